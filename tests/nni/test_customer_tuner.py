#!/usr/bin/python3
# time limit: 180
"""CustomerTuner: the tuner of NNI's tutorial, in front of sealtuner, driven by NNI's commands."""

import json
import os

from manager import Manager, published

from harness import PYTHON, ROOT, USER, SealfsTest, all_parked, in_modes, main

X = {"x": {"_type": "uniform", "_value": [0, 1]}}


def always(how):
    return {**X, "how": {"_type": "choice", "_value": [how]}}


class Customer(SealfsTest):
    def setUp(self):
        super().setUp()
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)
        self.machines = [self.mount(name="mount A").path, self.second_mount(name="mount B").path]
        self.directory = self.machines[0] + "/exp"

    def manager(self, space=None, wrapper="sealctl run --", websocket=False, **arguments):
        trial = " ".join([PYTHON, os.path.join(published(), "tuned_trial.py")])
        tuner = {"className": "customer_tuner.CustomerTuner", "classArgs": {"save_dir_root": self.directory, "seed": 1, **arguments}}
        return Manager(self, tuner, trial, self.machines, search_space=space or X, wrapper=wrapper, websocket=websocket)

    def sealtuner(self, *words):
        result = self.run_program([self.sealctl_path.replace("sealctl", "sealtuner"), *words])
        self.assertEqual(result.status, 0, result)
        return json.loads(result.out)

    def trials(self):
        """What sealtuner knows of them, by their names."""
        return {trial["id"]: trial for trial in self.sealtuner("status", self.directory, "--json")["trials"]}

    def saved(self, name):
        with open(self.exported("exp", name, "model.json")) as file:
            return json.load(file)

    def check_lineage(self, known):
        """Everybody has really read what its parent has saved."""
        for name, trial in known.items():
            if trial["state"] == "done":
                self.assertEqual(self.saved(name), (self.saved(trial["parent"]) if trial["parent"] else []) + [name])
                self.assertEqual(self.state(self.directory + "/" + name), "sealed")


@in_modes(ROOT, USER)
class Customer_tuner(Customer):
    def check_search(self, **more):
        manager = self.manager(strategy="evolution", population=4, settings={"sample": 2}, **more)
        manager.run(20, 4)
        for job in manager.jobs:
            self.assertEqual(job.state, "SUCCEEDED", job)
        manager.stop()
        known = self.trials()
        self.assertEqual(sorted(known), sorted("p%d" % number for number in range(20)))
        self.assertEqual({trial["state"] for trial in known.values()}, {"done"})
        self.assertEqual({known["p%d" % job.parameter_id]["value"] for job in manager.jobs}, {-job.parameters["x"] for job in manager.jobs})
        self.assertGreaterEqual(sum(bool(trial["parent"]) for trial in known.values()), 12)
        self.check_lineage(known)

    def test_search_over_two_mounts(self):
        self.check_search()

    def test_search_over_the_websocket_without_sealctl_run(self):
        self.need_exit_info()
        self.check_search(websocket=True, wrapper="")


@in_modes(ROOT)
class Customer_tuner_in_trouble(Customer):
    def test_children_are_given_out_before_their_parent_has_begun(self):
        """One chain, started from its end."""
        manager = self.manager(strategy="pbt", population=1)
        manager.request(5)
        manager.until(lambda: len(manager.jobs) == 5, "five trials")
        for number in (4, 3, 2, 1):
            manager.launch(manager.jobs[number], number % 2)
        all_parked(*[job.process for job in manager.jobs[1:]])
        manager.launch(manager.jobs[0])
        manager.until(manager.over, "the end of all")
        manager.stop()
        self.assertEqual(self.saved("p4"), ["p0", "p1", "p2", "p3", "p4"])
        self.assertEqual({trial["state"] for trial in self.trials().values()}, {"done"})

    def test_failed_trial_fails_those_that_wait_for_it(self):
        manager = self.manager(always("fail"), strategy="pbt", population=1)
        manager.request(3)
        manager.until(lambda: len(manager.jobs) == 3, "three trials")
        for number in (2, 1):
            manager.launch(manager.jobs[number])
        all_parked(*[job.process for job in manager.jobs[1:]])
        manager.launch(manager.jobs[0])
        manager.until(manager.over, "the end of all")
        for job in manager.jobs:
            self.assertEqual(job.state, "FAILED", job)
        self.assertIn("Owner died", manager.jobs[1].file("stderr"))
        manager.stop()
        self.assertEqual({trial["state"] for trial in self.trials().values()}, {"failed"})

    def test_trial_that_reports_nothing_has_failed_at_the_end(self):
        manager = self.manager(always("silent"), strategy="random")
        manager.run(2, 2)
        manager.stop()
        self.assertEqual({(trial["state"], trial["reason"]) for trial in self.trials().values()}, {("failed", "it ended well and reported no result")})

    def test_result_that_is_an_object(self):
        manager = self.manager(always("dict"), strategy="random", optimize_mode="minimize")
        manager.run(2, 2)
        manager.stop()
        self.assertEqual({trial["value"] for trial in self.trials().values()}, {-job.parameters["x"] for job in manager.jobs})

    def test_experiment_that_is_begun_again_goes_on(self):
        """NNI counts its parameters from 0 again, and tells of the earlier ones."""
        arguments = {"strategy": "evolution", "population": 2, "settings": {"sample": 1}}
        first = self.manager(**arguments)
        first.run(3, 1)
        first.stop()
        again = self.manager(**arguments)
        again.send("FD", json.dumps([{"parameter": job.parameters, "value": job.result} for job in first.jobs]
                                    + [{"parameter": {"x": 0.25}, "value": -0.25}, {"parameter": {"x": 0.5}, "value": None}]))
        again.run(3, 1)
        self.assertIn("goes on after 3 trials", again.stop())
        known = self.trials()
        self.assertEqual({name for name, trial in known.items() if trial["state"] == "done"}, {"p0", "p1", "p2", "p0-2", "p1-2", "p2-2"})
        self.assertEqual([trial["value"] for trial in known.values() if trial["state"] == "imported"], [-0.25])
        self.assertTrue(all(job.parameters["restore_path"] for job in again.jobs))
        self.check_lineage(known)

    def test_other_strategy_in_a_directory_that_was_begun_is_told(self):
        self.manager(strategy="random").stop()
        self.assertIn("was begun with the strategy random", self.manager(strategy="evolution").stop())

    def test_what_sealtuner_refuses_reaches_the_manager(self):
        for space, arguments, said in ((X, {"strategy": "evolutoin"}, "--strategy is random"),
                                       ({"x": {"_type": "loguniform", "_value": [0, 1]}}, {}, "parameter 'x'"),
                                       (X, {"save_dir_root": "/var/tmp"}, "neither in a sealfs mount"),
                                       (X, {"sealtuner": "/nowhere/sealtuner"}, "is sealfs installed")):
            with self.subTest(said), self.assertRaises(AssertionError) as caught:
                self.manager(space, **arguments)
            self.assertIn(said, str(caught.exception))


if __name__ == "__main__":
    main()
