"""The tuner of NNI's weight-sharing test, from its contract: one father, whose children must report the checksum that he reports.

Nothing in here waits: the children are handed out in the same breath as their father.
"""

import os

from nni.tuner import Tuner


class SharingTuner(Tuner):
    def __init__(self, root):
        self.root = root
        self.father = None
        self.checksum = None
        self.early = []  # what children reported before their father's report was handled
        self.compared = 0

    def update_search_space(self, search_space):
        pass

    def generate_parameters(self, parameter_id, **kwargs):
        if self.father is None:
            self.father = parameter_id
            return {"id": parameter_id, "prev_id": 0, "save_path": os.path.join(self.root, str(parameter_id))}
        return {"id": parameter_id, "prev_id": self.father, "prev_path": os.path.join(self.root, str(self.father), "model.dat")}

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        if parameter_id == self.father:
            self.checksum = value["checksum"]
            for checksum in self.early:
                self.compare(checksum)
        elif self.checksum is None:
            self.early.append(value["checksum"])
        else:
            self.compare(value["checksum"])

    def compare(self, checksum):
        if checksum != self.checksum:
            raise ValueError("weights are not shared: a child has %s, the father %s" % (checksum, self.checksum))
        self.compared += 1

    def _on_exit(self):
        print("compared", self.compared, flush=True)
