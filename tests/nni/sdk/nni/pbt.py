"""Population based training, as NNI's tuner of this name behaves: generation by generation; who is asked too early hands out later."""

import os
import random

import nni
from nni.tuner import Tuner


class PBTTuner(Tuner):
    def __init__(self, all_checkpoint_dir, optimize_mode="maximize", population_size=10, factor=0.2, fraction=0.2):
        self.directory, self.size, self.factor, self.fraction = all_checkpoint_dir, population_size, factor, fraction
        self.maximize = optimize_mode == "maximize"
        self.generation = 0
        self.ready, self.owed, self.running, self.finished = [], [], {}, []
        self.send = None

    def update_search_space(self, search_space):
        self.space = search_space
        for member in range(self.size):
            place = os.path.join(self.directory, str(member), "0")
            values = {name: random.uniform(*what["_value"]) for name, what in search_space.items()}
            self.ready.append((member, {**values, "load_checkpoint_dir": place, "save_checkpoint_dir": place}))

    def generate_multiple_parameters(self, parameter_id_list, **kwargs):
        self.send = kwargs["st_callback"]
        return super().generate_multiple_parameters(parameter_id_list, **kwargs)

    def generate_parameters(self, parameter_id, **kwargs):
        if not self.ready:
            self.owed.append(parameter_id)
            raise nni.NoMoreTrialError("none now")
        self.running[parameter_id] = self.ready.pop(0)
        return self.running[parameter_id][1]

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        self.finish(parameter_id, value if self.maximize else -value)

    def trial_end(self, parameter_id, success, **kwargs):
        if not success and parameter_id in self.running:
            self.finish(parameter_id, float("-inf"))

    def finish(self, parameter_id, score):
        self.finished.append((score, *self.running.pop(parameter_id)))
        if len(self.finished) == self.size:
            self.next_generation()

    def next_generation(self):
        self.generation += 1
        ranked = sorted(self.finished, key=lambda item: item[0], reverse=True)
        self.finished = []
        cut = max(1, round(self.size * self.fraction))
        for rank, (_, member, parameters) in enumerate(ranked):
            source = parameters
            if rank >= self.size - cut:
                source = random.choice(ranked[:cut])[2]
                parameters = {name: value * random.choice((1 - self.factor, 1 + self.factor)) for name, value in source.items() if name in self.space}
            self.ready.append((member, {**parameters, "load_checkpoint_dir": source["save_checkpoint_dir"],
                                        "save_checkpoint_dir": os.path.join(self.directory, str(member), str(self.generation))}))
        while self.owed and self.ready:
            parameter_id = self.owed.pop(0)
            self.running[parameter_id] = self.ready.pop(0)
            self.send(parameter_id, self.running[parameter_id][1])
