#!/usr/bin/python3
# time limit: 180
"""Population based training whose trials report before they save, as NNI's own example does: nobody begins with nothing but the first."""

import os
import re

from manager import Manager, published

from harness import PYTHON, ROOT, USER, SealfsTest, in_modes, main

POPULATION, GENERATIONS, JOBS = 8, 5, 4
LONGEST = 0.5  # seconds from report to save


class Pbt(SealfsTest):
    def experiment(self, directory, machines, sealed, wrapper=""):
        """{generation: what its trials began with}"""
        arguments = {"all_checkpoint_dir": directory, "population_size": POPULATION, "optimize_mode": "maximize"}
        tuner = {"className": "sealed_tuner.SealedTuner", "classArgs": {"tuner": "PBT", "tuner_args": arguments}} if sealed else {
            "name": "PBTTuner", "classArgs": arguments}
        trial = " ".join([PYTHON, os.path.join(published(), "pbt_trial.py"), str(LONGEST)])
        manager = Manager(self, tuner, trial, machines, search_space={"lr": {"_type": "uniform", "_value": [0.01, 1]}}, wrapper=wrapper)
        manager.run(POPULATION * GENERATIONS, JOBS)
        self.log = manager.stop()
        began = {}
        for job in manager.jobs:
            self.assertEqual(job.state, "SUCCEEDED", job)
            generation = int(os.path.basename(job.parameters["save_checkpoint_dir"]))
            began.setdefault(generation, []).append(re.search("began with (.*)", job.said()).group(1))
        self.assertEqual({generation: len(several) for generation, several in began.items()}, dict.fromkeys(range(GENERATIONS), POPULATION))
        return began

    def check_sealed(self, **more):
        self.ctl("init", "--depth", "3", self.export, uid=self.mode.owner)
        machines = [self.mount(name="mount A").path, self.second_mount(name="mount B").path]
        began = self.experiment(os.path.join(machines[0], "pbt"), machines, True, **more)
        restored = sum(what != "nothing" for generation, several in began.items() if generation for what in several)
        print("%s: %d of %d trials of later generations restored" % (self.id(), restored, POPULATION * (GENERATIONS - 1)))
        for generation, several in began.items():
            self.assertEqual(several, ["%d steps" % generation if generation else "nothing"] * POPULATION)
        self.assertNotIn("ERROR", self.log)


@in_modes(ROOT, USER)
class Report_before_save(Pbt):
    def test_every_later_generation_restores(self):
        self.check_sealed(wrapper="sealctl run --")

    def test_without_sealctl_run(self):
        """The writers are known to the tuner from their reports; how they ended the kernel tells."""
        self.need_exit_info()
        self.check_sealed()


@in_modes(USER)
class In_the_bare_directory(Pbt):
    def test_some_begin_with_nothing(self):
        """How many is chance: told, not required."""
        directory = self.make_dir("bare", 0o777, self.uid)
        began = self.experiment(directory, [directory], False)
        lost = sum(what != "%d steps" % generation for generation, several in began.items() if generation for what in several)
        print("%s: %d of %d trials of later generations began with less than their parents had saved" % (
            self.id(), lost, POPULATION * (GENERATIONS - 1)))


if __name__ == "__main__":
    main()
