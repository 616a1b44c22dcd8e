#!/usr/bin/python3
# time limit: 300
"""One trial through several mounts: one seal over all its files, when all of it has ended well, and none when a part of it died."""

import os
import signal

from harness import DAEMON, PYTHON, ROOT, SealfsTest, all_parked, in_modes, main, pattern, until

CONTENT, OTHER = pattern(200_000, 1), pattern(150_000, 2)
SAVE = "import os, sys; os.makedirs(sys.argv[1], exist_ok=True); open(sys.argv[1] + '/' + sys.argv[2], 'w').write('x' * 1000)"


class Joined(SealfsTest):
    options = ()

    def setUp(self):
        super().setUp()
        self.a = self.mount(*self.options, name="mount A")
        self.b = self.second_mount(*self.options, name="mount B")
        self.on_a, self.on_b = self.a.path + "/parent", self.b.path + "/parent"

    def on_machine_of(self, path, argv):
        """A command line that sees the mount of `path` alone, as on a machine that has no other: `sealctl run` runs on all mounts that it sees."""
        others = [mount.path for mount in self.mounted if mount.process.running() and not path.startswith(mount.path + "/")]
        return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c",
                'while [ "$1" != -- ]; do umount -l "$1" || exit; shift; done; shift; exec setpriv --reuid=%d --regid=%d --clear-groups "$@"' % (
                    self.uid, self.uid), "sh", *others, "--", *argv]

    def sealctl_run(self, path, name, *arguments):
        return self.spawn(self.on_machine_of(path, [self.sealctl_path, "run", "--trial", "parent", *arguments]), uid=0, name=name)

    def run_until_told(self, *arguments, path, name):
        """`sealctl run` of a command that saves one file and then goes on until a status is written to .go."""
        fifo = "%s/go-%s" % (self.tmp, name)
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        run = self.sealctl_run(path, name, *arguments, "--", "/bin/sh", "-c",
                               '"$1" -c "$2" "$3" "$4" && echo ready && read -r status <"$5" && exit "$status"', "sh", PYTHON, SAVE, path, name, fifo)
        until(lambda: "ready" in run.output(), "the run %s" % name)
        run.go = fifo
        return run

    def end(self, run, status=0):
        with open(run.go, "w") as file:
            file.write("%d\n" % status)


class Of_runs:
    def test_seal_waits_for_a_joined_run_that_has_nothing_open(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        reading = self.agent("child").start("sorted(os.listdir(d))", d=self.on_b).parked()
        self.end(first)
        self.a.await_log("it is sealed when it has ended through its other mounts")
        first.must_run()
        reading.parked()
        self.assertEqual(self.state(self.on_b), "open")
        here = os.uname().nodename
        self.assertEqual(self.status(self.on_a)["waits_for"], here)
        self.assertIn("waits until its trial has ended on %s" % here, self.ctl("status", self.on_a).out)
        until(lambda: "waiting to seal 'parent': trial 'parent' has not ended on %s" % here in first.output(), "the run to say what it waits for")
        self.end(second)
        self.assertEqual([second.wait(), first.wait()], [0, 0], first.output() + second.output())
        self.assertEqual(reading.value(), ["first", "second"])

    def test_joined_run_that_ends_first(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", "--save", self.on_b, path=self.on_b, name="second")
        self.end(second)
        self.assertEqual(second.wait(), 0, second.output())
        self.assertIn("left 'parent' to another run", second.output())
        self.assertEqual(self.state(self.on_a), "open")
        # and once more through the same mount, in the same generation
        third = self.run_until_told("--join", path=self.on_b, name="third")
        self.end(first)
        self.a.await_log("it is sealed when it has ended through its other mounts")
        self.end(third)
        self.assertEqual([third.wait(), first.wait()], [0, 0], first.output() + third.output())
        self.assertEqual(self.agent("child")("sorted(os.listdir(d))", d=self.on_a), ["first", "second", "third"])

    def test_joined_run_that_fails_makes_the_checkpoint_fail(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        readings = [self.agent("child").start("os.listdir(d)", d=d) for d in (self.on_a, self.on_b)]
        all_parked(*readings)
        self.end(second, 4)
        self.assertEqual(second.wait(), 4, second.output())
        for reading in readings:
            reading.fails("EOWNERDEAD")
        self.assertIn("on the joined machine", self.status(self.on_a)["reason"])
        self.end(first)
        self.assertNotEqual(first.wait(), 0, first.output())
        self.assertEqual(self.state(self.on_a), "failed")

    def test_joined_run_that_fails_while_the_seal_waits_for_it(self):
        """Its mount goes on living: another trial writes through it."""
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        self.agent("other")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.b.path + "/other")
        reading = self.agent("child").start("os.listdir(d)", d=self.on_a).parked()
        self.end(first)
        self.a.await_log("it is sealed when it has ended through its other mounts")
        self.end(second, 4)
        self.assertEqual([second.wait(), first.wait()], [4, 3], first.output() + second.output())
        self.assertIn("on the joined machine", first.output())
        reading.fails("EOWNERDEAD")

    def test_seal_that_waits_for_a_joined_run_can_be_abandoned_by_hand(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        self.end(first)
        self.a.await_log("it is sealed when it has ended through its other mounts")
        until(lambda: self.sealctl("abandon", self.on_a, trial="parent").status == 0, "the end by hand")
        self.assertEqual(first.wait(), 3, first.output())
        self.end(second)
        self.assertEqual(second.wait(), 3, second.output())
        self.assertEqual(self.state(self.on_b), "failed")

    def test_joined_run_that_fails_while_the_seal_waits_for_a_last_close(self):
        """Of a process that outlives the run, with a file of it open."""
        fifos = [self.tmp + "/first", self.tmp + "/held"]
        for fifo in fifos:
            os.mkfifo(fifo)
            os.chmod(fifo, 0o666)
        first = self.sealctl_run(self.on_a, "first", "--save", self.on_a, "--", "/bin/sh", "-c", """
            mkdir "$1" && exec 3>"$1/held" || exit
            read -r line <"$3" &
            echo ready && read -r line <"$2"
            """, "sh", self.on_a, *fifos)
        until(lambda: "ready" in first.output(), "the first run")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        self.agent("other")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.b.path + "/other")
        with open(fifos[1], "w"):
            with open(fifos[0], "w") as go:
                go.write("\n")
            self.a.await_log("still has a file open for writing")
            self.end(second, 4)
            self.assertEqual([second.wait(), first.wait()], [4, 3], first.output() + second.output())
            self.assertEqual(self.a.log().count("still has a file open for writing"), 1)

    def test_first_run_that_fails_makes_the_checkpoint_fail(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        reading = self.agent("child").start("os.listdir(d)", d=self.on_b).parked()
        self.end(first, 3)
        self.assertEqual(first.wait(), 3, first.output())
        reading.fails("EOWNERDEAD")
        self.end(second)
        second.wait()
        self.assertEqual(self.state(self.on_b), "failed")

    def test_late_run_is_refused_when_the_first_has_ended(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        self.end(first)
        self.a.await_log("it is sealed when it has ended through its other mounts")
        third = self.second_mount(*self.options, name="mount C")
        late = self.sealctl_run(third.path + "/parent", "late", "--join", "--", PYTHON, "-c", SAVE, third.path + "/parent", "late")
        self.assertNotEqual(late.wait(), 0, late.output())
        third.await_log(r"refused \(EBUSY\); let all its machines begin")
        self.end(second)
        self.assertEqual([second.wait(), first.wait()], [0, 0], first.output() + second.output())
        self.assertEqual(self.agent("child")("sorted(os.listdir(d))", d=self.on_a), ["first", "second"])

    def test_seal_by_hand_says_who_has_not_ended(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        refused = self.sealctl("seal", self.on_a, trial="parent")
        self.assertEqual(refused.status, 1, refused)
        self.assertIn("another mount (on %s) still writes" % os.uname().nodename, refused.err)
        # it can be joined again
        third = self.run_until_told("--join", path=self.on_b, name="third")
        self.end(third)
        self.end(second)
        self.assertEqual([third.wait(), second.wait()], [0, 0])
        self.end(first)
        self.assertEqual(first.wait(), 0, first.output())
        self.assertEqual(self.agent("child")("len(os.listdir(d))", d=self.on_a), 3)


class Of_death:
    def test_mount_that_joined_and_dies_makes_the_checkpoint_fail(self):
        """Between two of its files, when it has nothing open."""
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        self.run_until_told("--join", path=self.on_b, name="second")
        reading = self.agent("child").start("os.listdir(d)", d=self.on_a).parked()
        self.b.kill()
        self.end(first)
        self.assertEqual(first.wait(), 3, first.output())
        reading.fails("EOWNERDEAD")
        self.assertIn("died before trial 'parent' had ended there", self.status(self.on_a)["reason"])

    def test_mount_that_joined_dies_while_the_seal_waits_for_it(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        self.run_until_told("--join", path=self.on_b, name="second")
        self.end(first)
        self.a.await_log("it is sealed when it has ended through its other mounts")
        self.b.kill()
        self.assertEqual(first.wait(), 3, first.output())
        self.assertIn("the joined machine", self.status(self.on_a)["reason"])

    def test_unmount_of_one_that_joined_makes_the_checkpoint_fail(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        helper = self.agent("parent")
        helper("open(d + '/b', 'w').write('x')", d=self.on_b)
        self.b.unmount()
        self.assertEqual(self.state(self.on_a), "failed")
        self.end(first)
        self.assertEqual(first.wait(), 3, first.output())

    def test_claimer_that_dies_makes_the_checkpoint_fail_though_one_that_joined_lives(self):
        """Its trial goes on through the mount that joined, and who waits need not wait until that has ended, too."""
        self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        third = self.second_mount(*self.options, name="mount C")
        readings = [self.agent("child").start("os.listdir(d)", d=d) for d in (self.on_b, third.path + "/parent")]
        all_parked(*readings)
        self.a.kill()
        for reading in readings:
            reading.fails("EOWNERDEAD")
        second.must_run()
        self.end(second)
        self.assertEqual(second.wait(), 3, second.output())

    def test_claimer_that_dies_is_noticed_by_the_mount_that_joined_when_nobody_else_waits(self):
        self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        reading = self.agent("child").start("os.listdir(d)", d=self.on_b).parked()
        self.a.kill()
        reading.fails("EOWNERDEAD")
        second.must_run()

    def test_claimer_that_dies_is_not_replaced_by_one_that_joined(self):
        self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        third = self.second_mount(*self.options, name="mount C")
        reading = self.agent("child").start("os.listdir(d)", d=third.path + "/parent").parked()
        self.a.kill()
        refused = self.sealctl("seal", self.on_b, trial="parent")
        self.assertIn(refused.status, (1, 3), refused)  # by B, or because C was quicker
        self.end(second)
        second.wait()
        reading.fails("EOWNERDEAD")
        self.assertEqual(self.state(self.on_b), "failed")


@in_modes(ROOT, DAEMON)
class Runs(Of_runs, Joined):
    pass


@in_modes(ROOT)
class Death(Of_death, Joined):
    pass


@in_modes(ROOT)
class Without_locks(Of_runs, Of_death, Joined):
    """The same where locks tell nothing: the joins alone must do."""
    options = ("locks=off", "heartbeat=1")


@in_modes(ROOT)
class Mixed(Joined):
    """One machine has leases, the other has heartbeats."""

    def setUp(self):
        SealfsTest.setUp(self)
        self.a = self.mount("heartbeat=1", name="mount A")
        self.b = self.second_mount("locks=off", "heartbeat=1", name="mount B")
        self.on_a, self.on_b = self.a.path + "/parent", self.b.path + "/parent"

    def test_one_without_locks_that_lives_is_waited_for(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        second = self.run_until_told("--join", path=self.on_b, name="second")
        self.end(first)
        self.a.await_log("it is sealed when it has ended through its other mounts")
        first.must_run()
        self.end(second)
        self.assertEqual([second.wait(), first.wait()], [0, 0], first.output() + second.output())
        self.assertEqual(self.agent("child")("sorted(os.listdir(d))", d=self.on_a), ["first", "second"])

    def test_one_without_locks_that_dies_is_noticed(self):
        first = self.run_until_told("--save", self.on_a, path=self.on_a, name="first")
        self.run_until_told("--join", path=self.on_b, name="second")
        self.b.kill()
        self.end(first)
        self.assertEqual(first.wait(), 3, first.output())

    def test_one_without_locks_waits_for_one_with_a_lease(self):
        first = self.run_until_told("--save", self.on_b, path=self.on_b, name="first")
        second = self.run_until_told("--join", path=self.on_a, name="second")
        self.end(first)
        self.b.await_log("it is sealed when it has ended through its other mounts")
        first.must_run()
        self.end(second)
        self.assertEqual([second.wait(), first.wait()], [0, 0], first.output() + second.output())

    def test_stopped_mount_that_joined_is_waited_for_while_it_has_its_lease(self):
        first = self.run_until_told("--save", self.on_b, path=self.on_b, name="first")
        second = self.run_until_told("--join", path=self.on_a, name="second")
        os.kill(self.a.pid, signal.SIGSTOP)
        try:
            self.end(first)
            self.b.await_log("it is sealed when it has ended through its other mounts")
            first.must_run()
        finally:
            os.kill(self.a.pid, signal.SIGCONT)
        self.end(second)
        self.assertEqual([second.wait(), first.wait()], [0, 0], first.output() + second.output())


if __name__ == "__main__":
    main()
