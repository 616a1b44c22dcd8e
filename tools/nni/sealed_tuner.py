"""SealedTuner: any tuner of NNI's, with sealfs underneath.

    tuner:
      codeDir: /usr/local/share/sealfs/nni            # 2.0 and newer: codeDirectory
      classFileName: sealed_tuner.py                  # 2.0 and newer: className: sealed_tuner.SealedTuner
      className: SealedTuner
      classArgs:
        tuner: PBTTuner                               # or your_module.YourTuner
        tuner_args: {optimize_mode: maximize, population_size: 8, all_checkpoint_dir: /mnt/seal/exp1}
        keys: {load: my_start, save: my_result}       # besides the usual ones, below

It passes everything on, but for the results of trials that cannot have begun with what they were to read, and looks at the paths in the parameters that the tuner hands out. What a trial is going to read and
another one has yet to write is reserved first, so that the reader waits at its open, wherever it runs and however it looks, until
that is sealed, and gets an error when the writer fails. It never waits itself and never keeps a trial back.
"""

import logging
import threading

from sealfs_checkpoints import Checkpoints, ForeignPath, SealfsError, Settler
from sealfs_nni import Tuner, create_tuner

_log = logging.getLogger("sealfs.SealedTuner")

SAVE_KEYS = ("save_path", "save_dir", "save_checkpoint_dir")
LOAD_KEYS = ("restore_path", "restore_dir", "load_checkpoint_dir", "prev_path")
# Where a trial tells in its result what it has saved.
RESULT_KEYS = ("path",)


class _Trial:
    """What is known of a trial: by what id NNI knows it (None before it reports), what it saves, whether it ended (None, True, False)."""

    def __init__(self, parameter_id, job=None):
        self.parameter_id = parameter_id
        self.job = job
        self.saves = {}  # checkpoint: the last generation that had ended before the trial was handed out
        self.loads = []  # checkpoints of others
        self.success = None

    def __str__(self):
        return "trial '%s'" % self.job if self.job else "the trial of parameters %s" % self.parameter_id


class SealedTuner(Tuner):
    """NNI's dispatcher calls it from several threads, and a trial's end may come before its result."""

    def __init__(self, tuner, tuner_args=None, keys=None, sealctl=None):
        """`tuner`: a name as for create_tuner(), or a tuner. `keys`: {"load": …, "save": …}, a name or several, that count as well."""
        super().__init__()
        self._save_keys, self._load_keys = _keys(keys)
        self._checkpoints = Checkpoints(sealctl)
        self._inner = create_tuner(tuner, tuner_args) if isinstance(tuner, str) else tuner
        self._lock = threading.Lock()
        self._trials = {}
        self._saver = {}  # checkpoint: the trial that was last told to save there
        self._reserved = set()
        self._settler = Settler(self._checkpoints)

    def __getattr__(self, name):
        """What is not in NNI's interface is the wrapped tuner's."""
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    # -- NNI's interface

    def update_search_space(self, search_space):
        self._inner.update_search_space(search_space)

    def generate_parameters(self, parameter_id, **kwargs):
        parameters = self._inner.generate_parameters(parameter_id, **self._intercept(kwargs))
        self._prepare(parameter_id, parameters, kwargs.get("trial_job_id"))
        return parameters

    def generate_multiple_parameters(self, parameter_id_list, **kwargs):
        several = self._inner.generate_multiple_parameters(parameter_id_list, **self._intercept(kwargs))
        for parameter_id, parameters in zip(parameter_id_list, several):
            self._prepare(parameter_id, parameters)
        return several

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        self._learn(parameter_id, value, kwargs.get("trial_job_id"))
        if self._is_orphan(self._trials[parameter_id]):
            return
        self._inner.receive_trial_result(parameter_id, parameters, value, **kwargs)

    def trial_end(self, parameter_id, success, **kwargs):
        with self._lock:
            trial = self._trials.get(parameter_id)
            if trial:
                trial.success = bool(success)
        # the tuner may hand out children in its own trial_end()
        if trial:
            self._settle(trial)
            success = success and not self._is_orphan(trial)
        self._inner.trial_end(parameter_id, success, **kwargs)

    def import_data(self, data):
        self._inner.import_data(data)

    def receive_customized_trial_result(self, parameter_id, parameters, value, **kwargs):
        """Before NNI 1.4."""
        self._inner.receive_customized_trial_result(parameter_id, parameters, value, **kwargs)

    def load_checkpoint(self):
        self._inner.load_checkpoint()

    def save_checkpoint(self):
        self._inner.save_checkpoint()

    def get_checkpoint_path(self):
        return self._inner.get_checkpoint_path()

    def _on_exit(self):
        self._leave("the experiment was stopped before the trial began to write")
        self._inner._on_exit()

    def _on_error(self):
        self._leave("the tuner failed before the trial began to write")
        self._inner._on_error()

    # -- what is handed out

    def _intercept(self, kwargs):
        """Tuners hand parameters out later, too: through this callback."""
        send = kwargs.get("st_callback")
        if send is None:
            return kwargs

        def prepare_and_send(parameter_id, parameters):
            self._prepare(parameter_id, parameters)
            send(parameter_id, parameters)
        return {**kwargs, "st_callback": prepare_and_send}

    def _prepare(self, parameter_id, parameters, job=None):
        """Before the trial is submitted. `job` is known beforehand for the later phases of a trial, which NNI 1.x has."""
        if not isinstance(parameters, dict):
            return
        trial = _Trial(parameter_id, job)
        for path in _paths(parameters, self._save_keys):
            checkpoint = self._checkpoints.find(path)
            self._checkpoints.make_above(checkpoint)  # without it `sealctl run` could not claim the checkpoint beforehand
            trial.saves[checkpoint] = self._look_at_own(trial, checkpoint)
        with self._lock:
            self._trials[parameter_id] = trial
            self._saver.update((checkpoint, trial) for checkpoint in trial.saves)
        for path in _paths(parameters, self._load_keys):
            try:
                checkpoint = self._checkpoints.find(path)
            except ForeignPath:
                _log.warning("'%s', which %s is to read, is not in a sealfs mount: nothing vouches for it", path, trial)
                continue
            if checkpoint not in trial.saves:  # where it is to write itself it must not be made to wait
                trial.loads.append(checkpoint)
                self._promise(trial, checkpoint)

    def _look_at_own(self, trial, checkpoint):
        status = self._checkpoints.status(checkpoint)
        if status.state == "sealed":
            _log.error("'%s', where %s is to save, is sealed already: it will fail with 'Read-only file system'; use a new directory for each "
                       "experiment, or remove it with 'sealctl rm'", checkpoint, trial)
        if not status.mounted:
            _log.warning("'%s' is on an export, not in a mount: here nobody waits; start the experiment with paths in a mount", checkpoint)
        return status.generation if status.state == "failed" else max(status.generation - 1, 0)

    def _promise(self, reader, checkpoint):
        """Sees to it that `reader` does not find nothing where there is going to be something."""
        status = self._checkpoints.status(checkpoint)
        if status.state not in ("absent", "failed", "damaged"):
            return
        with self._lock:
            saver = self._saver.get(checkpoint)
        if saver is None:
            if status.state == "absent":
                _log.warning("'%s', which %s is to read, does not exist, and no trial of this experiment is to write it", checkpoint, reader)
            else:
                _log.error("'%s', which %s is to read, is %s", checkpoint, reader, status)
        elif saver.success is None and status.state != "damaged" and (status.state == "absent" or status.generation <= saver.saves[checkpoint]):
            self._reserve(checkpoint, saver)
        else:
            _log.error("%s left '%s' %s, and %s is to read it", saver, checkpoint, status, reader)

    def _reserve(self, checkpoint, saver):
        self._checkpoints.make_above(checkpoint)
        try:
            self._checkpoints.reserve(checkpoint, saver.job)
        except SealfsError:
            # it was claimed meanwhile, which is as good
            if self._checkpoints.status(checkpoint).state in ("absent", "failed", "damaged"):
                raise
            return
        with self._lock:
            self._reserved.add(checkpoint)
            ended = saver.success is not None
        _log.info("reserved '%s' for %s", checkpoint, saver)
        if ended:
            self._settle(saver)

    # -- what became of it

    def _is_orphan(self, trial):
        """What it was to read has failed, so it cannot have begun with that, whatever its script made of the error: to the tuner it has failed."""
        for checkpoint in trial.loads:
            try:
                status = self._checkpoints.status(checkpoint)
            except SealfsError as problem:
                _log.error("what became of '%s', which %s was to read, can not be told: %s", checkpoint, trial, problem)
                continue
            if status.state == "failed":
                _log.error("%s counts as failed, its result is not passed on: '%s', which it was to read, is %s, so it has begun from nothing", trial,
                           checkpoint, status)
                return True
        return False

    def _learn(self, parameter_id, value, job):
        """A result names its trial, from NNI 1.4 on, and may tell where it has saved."""
        with self._lock:
            trial = self._trials.setdefault(parameter_id, _Trial(parameter_id))
            trial.job = job or trial.job
        for path in _paths(value, RESULT_KEYS + self._save_keys) if isinstance(value, dict) else ():
            try:
                checkpoint = self._checkpoints.find(path)
            except SealfsError as problem:
                _log.info("%s reported the path '%s': %s", trial, path, problem)
                continue
            with self._lock:
                if checkpoint not in trial.saves:
                    trial.saves[checkpoint] = 0
                    self._saver[checkpoint] = trial

    def _settle(self, trial):
        """Unless another trial was told meanwhile to save in the same place."""
        with self._lock:
            own = [(checkpoint, before) for checkpoint, before in trial.saves.items() if self._saver[checkpoint] is trial]
        for checkpoint, before in own:
            self._settler.submit(checkpoint, str(trial), trial.success, before)

    def _leave(self, reason):
        """Nobody will write what is still only reserved; who waits for it is told so."""
        self._settler.finish()
        with self._lock:
            left = [checkpoint for checkpoint in self._reserved if self._saver[checkpoint].success is None]
        for checkpoint in left:
            try:
                if self._checkpoints.status(checkpoint).state == "pending":
                    self._checkpoints.abandon(checkpoint, reason)
            except SealfsError as problem:
                _log.error("'%s' stays reserved: %s", checkpoint, problem)


def _keys(given):
    """(names of parameters that are paths to save to, to load from)"""
    given = dict(given or {})
    save, load = _list(given.pop("save", ())), _list(given.pop("load", ()))
    if given:
        raise ValueError("keys: '%s' is neither 'save' nor 'load'" % "', '".join(sorted(given)))
    # a name that the user gave one meaning loses the usual one
    return (tuple(key for key in SAVE_KEYS if key not in load) + save, tuple(key for key in LOAD_KEYS if key not in save) + load)


def _list(names):
    return (names,) if isinstance(names, str) else tuple(names)


def _paths(parameters, keys):
    """The paths among the values; a value may be a list of them."""
    found = []
    for key in keys:
        value = parameters.get(key)
        for path in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(path, str) and path and path not in found:
                found.append(path)
    return found
