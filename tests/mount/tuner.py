"""What the tests of sealtuner share: an export with experiments, and the program."""

import json
import os

from harness import ROOT, SealfsTest, tools

SPACE = {
    "lr": {"_type": "loguniform", "_value": [0.0001, 0.1]},
    "units": {"_type": "choice", "_value": [16, 32, 64]},
    "layer": {"_type": "choice", "_value": [{"_name": "none"}, {"_name": "conv", "kernel": {"_type": "randint", "_value": [1, 6]}}]},
}


class TunerTest(SealfsTest):
    """Depth 2; the experiment's directory is self.dir, in the mount."""

    mode = ROOT

    def setUp(self):
        super().setUp()
        self.sealtuner_path = os.path.join(tools(), "sealtuner")
        self.space = os.path.join(self.tmp, "space.json")
        with open(self.space, "w") as file:
            json.dump(SPACE, file)
        self.prepare()

    def prepare(self):
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)
        self.mount()
        self.dir = os.path.join(self.point, "exp")
        os.mkdir(self.exported("exp"))
        self.give(self.exported("exp"))

    def sealtuner(self, *arguments, trial=None, **more):
        return self.run_program([self.sealtuner_path] + list(arguments), trial=trial, **more)

    def tune(self, *arguments, expect=0, **more):
        result = self.sealtuner(*arguments, **more)
        self.assertEqual(result.status, expect, "sealtuner %r\n%r" % (arguments, result))
        return result

    def init(self, strategy="evolution", *options, directory=None, seed=1):
        self.tune("init", "--space", self.space, "--strategy", strategy, "--seed", str(seed), *options, directory or self.dir)

    def ask(self, *options, directory=None, **more):
        out = self.tune("ask", *options, directory or self.dir, **more).out
        self.assertEqual(out.count("\n"), 1, out)
        return json.loads(out)

    def tell(self, trial, value, directory=None, **more):
        return self.tune("tell", directory or self.dir, trial, str(value), **more)

    def whole(self, directory=None):
        return json.loads(self.tune("status", "--json", directory or self.dir).out)

    def trials(self, directory=None):
        return {trial["id"]: trial for trial in self.whole(directory)["trials"]}

    def write(self, asked, name="weights", text="x", patience=None):
        """The trial writes its checkpoint, and seals it."""
        path = asked["parameters"]["save_path"]
        script = 'mkdir -p "$1" && printf %s "$3" >"$1/$2"'
        self.ctl("run", "--trial", asked["id"], "--", "sh", "-c", script, "-", path, name, text, patience=patience)

    def journal(self):
        return sorted(name for name in os.listdir(self.exported("exp/.sealtuner/journal")) if name.isdigit())
