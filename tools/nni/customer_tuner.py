"""CustomerTuner: NNI's tutorial of weight sharing as it is written, with sealtuner(1) behind it.

    tuner:
      codeDir: /usr/local/share/sealfs/nni            # 2.0 and newer: codeDirectory
      classFileName: customer_tuner.py                # 2.0 and newer: className: customer_tuner.CustomerTuner
      className: CustomerTuner
      classArgs:
        save_dir_root: /mnt/seal/exp1                 # a directory in a mount; its entries become the checkpoints
        strategy: evolution                           # random, evolution, morphism, pbt, enas, darts
        optimize_mode: maximize

A trial gets `save_path` and `restore_path` among its parameters, the latter null for one that begins with nothing. A child is handed out
at once: it waits at its open until its parent's checkpoint is sealed.
"""

import json
import logging
import os
import re
import tempfile
import threading

from sealfs_checkpoints import Checkpoints, SealfsError, Settler, run
from sealfs_nni import Tuner, scalar

_log = logging.getLogger("sealfs.CustomerTuner")

# NNI may hand on a trial's result after its end. One that has ended well and is silent for so many seconds has none.
RESULT_PATIENCE = 60


class _Trial:
    def __init__(self, name, checkpoint):
        self.name, self.checkpoint = name, checkpoint
        self.told = False  # its result
        self.timer = None


class CustomerTuner(Tuner):
    """The state is sealtuner's, in save_dir_root: an experiment that is begun again with the same directory goes on where it stopped, and
    `sealtuner status`, `best` and `lineage` show it. NNI's dispatcher calls from several threads."""

    def __init__(self, save_dir_root, strategy="evolution", optimize_mode="maximize", population=None, seed=None, keep=None, settings=None,
                 sealtuner=None, sealctl=None):
        """`population`, `seed`, `keep` and `settings` ({name: value}, its --set) are those of `sealtuner init`."""
        super().__init__()
        self._directory = save_dir_root
        self._wanted = {"strategy": strategy, "goal": optimize_mode}
        self._options = ["--strategy", strategy, "--goal", optimize_mode]
        for name, value in (("--population", population), ("--seed", seed), ("--keep", keep)):
            self._options += [] if value is None else [name, str(value)]
        for name, value in sorted((settings or {}).items()):
            self._options += ["--set", "%s=%s" % (name, value)]
        self._sealtuner = sealtuner or os.environ.get("SEALTUNER") or "sealtuner"
        self._settler = Settler(Checkpoints(sealctl))
        self._lock = threading.Lock()
        self._trials = {}  # by parameter id
        self._known = set()  # names of trials of earlier times
        self._suffix = None

    # -- NNI's interface

    def update_search_space(self, search_space):
        """A directory that was begun before goes on with its own space and strategy."""
        if self._suffix is not None:
            _log.warning("the search space of '%s' is fixed: what NNI was told now has no effect", self._directory)
            return
        os.makedirs(self._directory, exist_ok=True)
        status, out, _ = run(self._sealtuner, "status", self._directory, "--json")
        if status == 0:
            self._go_on(json.loads(out))
        else:
            self._with_file(search_space, lambda path: self._call("init", self._directory, "--space", path, *self._options))
            self._suffix = ""

    def generate_parameters(self, parameter_id, **kwargs):
        answer = json.loads(self._call("ask", self._directory, "--key", "p%d%s" % (parameter_id, self._suffix)))
        parameters = answer["parameters"]
        with self._lock:
            self._trials[parameter_id] = _Trial(answer["id"], parameters["save_path"])
        return parameters

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        trial = self._trials[parameter_id]
        with self._lock:
            trial.told = True
        self._tell(trial, repr(scalar(value)))

    def trial_end(self, parameter_id, success, **kwargs):
        trial = self._trials.get(parameter_id)
        if trial is None:  # of an experiment that NNI resumed
            return
        if not success:
            self._fail(trial, "NNI says that it has failed or was cancelled")
        else:
            with self._lock:
                if not trial.told:
                    trial.timer = threading.Timer(RESULT_PATIENCE, self._miss, [trial])
                    trial.timer.daemon = True
                    trial.timer.start()
        self._settler.submit(trial.checkpoint, "trial '%s'" % trial.name, success)

    def import_data(self, data):
        """Results of other experiments. Those of this directory are known already, which NNI tells when it resumes."""
        entries = []
        for item in data:
            parameters = dict(item["parameter"])
            saved = parameters.pop("save_path", None)
            parameters.pop("restore_path", None)
            ours = bool(saved) and os.path.dirname(os.path.normpath(saved)) == os.path.normpath(self._directory)
            if item.get("value") is None or ours and os.path.basename(os.path.normpath(saved)) in self._known:
                continue
            entries.append({"parameters": parameters, "value": scalar(item["value"])})
        if entries:
            self._with_file(entries, lambda path: self._call("import", self._directory, path))

    def _on_exit(self):
        """What runs now is killed by NNI, and will not report."""
        self._settler.finish()
        for trial in self._trials.values():
            if trial.timer:
                trial.timer.cancel()
                self._miss(trial)

    def _on_error(self):
        self._settler.finish()

    # -- how it is done

    def _go_on(self, experiment):
        for name, value in self._wanted.items():
            if experiment.get(name) != value:
                _log.warning("'%s' was begun with the %s %s and goes on so, not with %s", self._directory, name, experiment.get(name), value)
        self._known = {trial["id"] for trial in experiment["trials"]}
        # NNI counts from 0 again, and the names are given once
        earlier = [int(match.group(1) or 1) for match in (re.match(r"p\d+(?:-(\d+))?$", name) for name in self._known) if match]
        self._suffix = "-%d" % (max(earlier) + 1) if earlier else ""
        _log.info("'%s' goes on after %d trials", self._directory, len(self._known))

    def _tell(self, trial, *words):
        status, _, error = run(self._sealtuner, "tell", self._directory, trial.name, *words)
        if status:
            _log.error("%s: %s", trial.name, error)

    def _fail(self, trial, reason):
        self._tell(trial, "--failed", "--reason", reason)

    def _miss(self, trial):
        with self._lock:
            if trial.told:
                return
            trial.told = True
        self._fail(trial, "it ended well and reported no result")

    def _call(self, *words):
        status, out, error = run(self._sealtuner, *words)
        if status:
            raise SealfsError(error)
        return out

    @staticmethod
    def _with_file(content, use):
        with tempfile.NamedTemporaryFile("w", prefix="sealtuner.", suffix=".json") as file:
            json.dump(content, file)
            file.flush()
            use(file.name)
