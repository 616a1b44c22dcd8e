#!/usr/bin/python3
# time limit: 240
"""NNI's own test of weight sharing, written anew, without its sleeps and without any wait in the tuner: the children are started first.

ROUNDS=100 tests/run nni/test_weight_sharing: how often (10).
"""

import os
import select
import time

from manager import Manager, published

from harness import DAEMON, PATIENCE, PYTHON, ROOT, SLOWNESS, USER, SealfsTest, all_parked, in_modes, main, until

CHILDREN = 16
ROUNDS = int(os.environ.get("ROUNDS", "10"))


class Sharing(SealfsTest):
    def setUp(self):
        super().setUp()
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)
        self.machines = [self.mount(name="mount A").path, self.second_mount(name="mount B").path]

    def experiment(self, name, arguments, wrapper="sealctl run --", **more):
        """One father and his children; the children run and wait when this returns."""
        trial = " ".join([PYTHON, os.path.join(published(), "share_trial.py"), *arguments])
        tuner = {"className": "sealed_tuner.SealedTuner",
                 "classArgs": {"tuner": "share_tuner.SharingTuner", "tuner_args": {"root": os.path.join(self.machines[0], name)}}}
        manager = Manager(self, tuner, trial, self.machines, wrapper=wrapper, **more)
        manager.request(1 + CHILDREN)
        manager.until(lambda: len(manager.jobs) == 1 + CHILDREN, "father and children")
        father, *children = manager.jobs
        for number, job in enumerate(children):
            manager.launch(job, number % 2)
        all_parked(*[job.process for job in children])
        return manager, father, children

    def close(self, *managers):
        """So that a hundred rounds need not a hundred times the descriptors."""
        for manager in managers:
            for process in [manager.dispatcher] + [job.process for job in manager.jobs]:
                process.close()
                self.processes.remove(process)

    def round(self, name, **more):
        manager, father, children = self.experiment(name, ["10", "0.01"], **more)
        manager.launch(father)
        manager.until(manager.over, "the end of all")
        for job in manager.jobs:
            self.assertEqual(job.state, "SUCCEEDED", job)
        self.assertEqual({job.result["checksum"] for job in children}, {father.result["checksum"]})
        self.assertIn("compared %d" % CHILDREN, manager.stop())
        self.close(manager)


@in_modes(ROOT)
class Children_first(Sharing):
    def test_every_round(self):
        for number in range(ROUNDS):
            self.round("round-%d" % number)
        print("%d rounds of %d children over two mounts" % (ROUNDS, CHILDREN))


@in_modes(DAEMON, USER)
class Children_first_otherwise_mounted(Sharing):
    def test_once(self):
        self.round("once")

    def test_without_sealctl_run(self):
        """The kernel tells how the father ended."""
        self.need_exit_info()
        self.round("bare", wrapper="")

    def test_over_the_websocket(self):
        self.round("socket", websocket=True)


@in_modes(ROOT, USER)
class Father_killed(Sharing):
    def test_all_children_end_with_an_error_within_a_second(self):
        fifo = self.tmp + "/half"
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        manager, father, children = self.experiment("killed", ["10", "0.01", fifo])
        manager.launch(father)
        until(lambda: select.select([reader], [], [], PATIENCE)[0] and os.read(reader, 100) == b"half\n", lambda: str(father))
        os.close(reader)
        all_parked(*[job.process for job in children])
        script = father.process.pids()[-1]
        began = time.monotonic()
        os.kill(script, 9)
        manager.until(manager.over, "the end of all")
        late = max(job.ended for job in children) - began
        print("%s: the last of %d children ended after %.0f ms" % (self.id(), CHILDREN, late * 1000))
        for job in manager.jobs:
            self.assertEqual(job.state, "FAILED", job)
            self.assertIsNone(job.result, job)
        for job in children:
            self.assertIn("Owner died", job.file("stderr"), job)
        self.assertLess(late, 1 * SLOWNESS)
        manager.stop()


if __name__ == "__main__":
    main()
