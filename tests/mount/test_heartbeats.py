#!/usr/bin/python3
# time limit: 300
"""Where locks do not tell whether a mount lives, its heartbeats do; and who was taken for dead, and is not, has lost."""

import os
import re
import signal
import time

from harness import DAEMON, PYTHON, ROOT, USER, SealfsTest, all_parked, in_modes, main, pattern, until

CONTENT, OTHER = pattern(200_000, 1), pattern(150_000, 2)
BEAT = 1  # seconds
OPTIONS = ("locks=off", "heartbeat=%d" % BEAT)
DEAD_AFTER = 6 * BEAT  # at the earliest, since the last one


class Two(SealfsTest):
    def setUp(self):
        super().setUp()
        self.a = self.mount(*OPTIONS, name="mount A")
        self.b = self.second_mount(*OPTIONS, name="mount B")
        self.on_a, self.on_b = self.a.path + "/parent", self.b.path + "/parent"

    def beats(self):
        """What the heartbeat files say: {mount: count}."""
        folder = self.export + "/.sealfs/mounts"
        found = {}
        for name in os.listdir(folder):
            if name.endswith(".beat"):
                with open(folder + "/" + name) as file:
                    found[name] = int(file.read() or "0")
        return found

    def stop(self, mount):
        """The daemon does nothing any more, as on a machine that is cut off, until it is told to go on."""
        os.kill(mount.pid, signal.SIGSTOP)
        self.addCleanup(lambda: mount.process.running() and os.kill(mount.pid, signal.SIGCONT))

    def go_on(self, mount):
        os.kill(mount.pid, signal.SIGCONT)


@in_modes(ROOT, DAEMON, USER)
class Signs(Two):
    def test_who_writes_and_is_silent_otherwise_lives(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).parked()
        until(lambda: max(self.beats().values()) > DEAD_AFTER + 3, lambda: "so many heartbeats: %r" % self.beats(), 10 * DEAD_AFTER)
        reading.parked()
        self.ctl("seal", self.on_a, trial="parent")
        self.assertEqual(reading.value(), CONTENT)

    def test_mount_that_is_gone_is_noticed_by_its_silence(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        readers = [self.agent("child").start(code, d=self.on_b) for code in ("open(d + '/a', 'rb').read()", "os.listdir(d)", "os.stat(d + '/never')")]
        all_parked(*readers)
        gone = self.a.kill()
        for reader in readers:
            reader.fails("EOWNERDEAD", patience=10 * DEAD_AFTER)
            took = reader.ended - gone
            print("%s: noticed after %.1f s" % (self.id(), took))
            self.assertGreater(took, DEAD_AFTER - 2 * BEAT)
        self.assertEqual(self.status(self.on_b)["reason"], "owner died")
        self.b.await_log(r"owner died: the mount on \S+ through which trial 'parent' was writing is gone")

    def test_what_is_begun_by_a_mount_that_was_taken_for_dead_is_not_taken_from_it(self):
        """It goes on at once, and the other one has just found that it missed so many heartbeats."""
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).parked()
        self.stop(self.a)
        reading.fails("EOWNERDEAD", patience=10 * DEAD_AFTER)
        self.go_on(self.a)
        other = self.agent("other")
        other("os.mkdir(d); file = open(d + '/a', 'wb')", d=self.a.path + "/next")
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.b.path + "/next")
        self.assertFalse(reading.done(2 * DEAD_AFTER), "the writer lives")
        other("file.write(data), file.close()", data=OTHER)
        self.ctl("seal", self.a.path + "/next", trial="other")
        self.assertEqual(reading.value(), OTHER)

    def test_short_checkpoints_one_after_the_other_between_heartbeats(self):
        """A mount that writes nothing gives no heartbeat, and that is not held against it the next time."""
        for number in range(3 * DEAD_AFTER):
            writer = self.agent("parent-%d" % number)
            writer("os.mkdir(d); open(d + '/a', 'wb').write(data)", d="%s/p%d" % (self.a.path, number), data=CONTENT)
            reading = self.agent("child").start("open(d + '/a', 'rb').read()", d="%s/p%d" % (self.b.path, number)).parked()
            self.ctl("seal", "%s/p%d" % (self.a.path, number), trial="parent-%d" % number)
            self.assertEqual(reading.value(), CONTENT)
            writer.kill()
            time.sleep(BEAT)  # the next look counts

    def test_file_is_there_before_the_first_claim_and_gone_after_the_mount(self):
        self.assertEqual(self.beats(), {})
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        with open(self.export + "/.sealfs/state/parent/1.claim") as file:
            claim = file.read()
        self.assertIn("\nliveness: heartbeat\n", claim)
        self.assertIn("\nheartbeat: %d\n" % BEAT, claim)
        self.assertEqual(list(self.beats()), [re.search(r"^mount: (\w{32})$", claim, re.M).group(1) + ".beat"])
        self.ctl("seal", self.on_a, trial="parent")
        self.a.unmount()
        self.assertEqual(self.beats(), {})

    def test_deleted_heartbeat_file_comes_back(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        for name in self.beats():
            os.unlink(self.export + "/.sealfs/mounts/" + name)
        until(self.beats, "the next heartbeat")
        self.ctl("seal", self.on_a, trial="parent")
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.on_b), CONTENT)


@in_modes(ROOT)
class Taken_for_dead(Two):
    def lose(self, trial="parent"):
        """A writer on A that is taken for dead by B."""
        writer = self.agent(trial)
        writer("os.mkdir(d); file = open(d + '/a', 'wb', buffering=0); file.write(data)", d=self.on_a, data=CONTENT)
        reader = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).parked()
        self.stop(self.a)
        reader.fails("EOWNERDEAD", patience=10 * DEAD_AFTER)
        return writer

    def check_second(self, trial, writer, changes, refusals):
        second = self.agent(trial)
        second("os.makedirs(d, exist_ok=True); open(d + '/a', 'wb').write(data[:1000])", d=self.on_b, data=OTHER)
        self.go_on(self.a)
        for code in changes:
            self.assertIn(writer.start(code, d=self.on_a).error(), refusals, code)
        writer("file.write(b'late' * 5000)")  # into a file that has moved aside
        refused = self.sealctl("seal", self.on_a, trial=trial)
        self.assertEqual(refused.status, 1, refused)
        writer("file.close()")
        second("open(d + '/a', 'wb').write(data)", d=self.on_b, data=OTHER)
        self.ctl("seal", self.on_b, trial=trial)
        for mount in (self.a, self.b):
            self.assertEqual(self.agent("child")("{n: open(d + '/' + n, 'rb').read() for n in os.listdir(d)}", d=mount.path + "/parent"), {"a": OTHER})
        self.assertEqual(self.status(self.on_a)["generation"], 2)

    CHANGES = ("open(d + '/b', 'w')", "open(d + '/a', 'r+b')", "os.truncate(d + '/a', 0)", "os.unlink(d + '/a')", "os.rename(d + '/a', d + '/c')",
               "os.chmod(d + '/a', 0o600)", "os.mkdir(d + '/sub')", "os.utime(d + '/a')")

    def test_can_neither_change_nor_seal_what_another_trial_has_begun_anew(self):
        writer = self.lose()
        self.check_second("second", writer, self.CHANGES, ("EBUSY", "EOWNERDEAD", "EEXIST"))
        self.a.await_log(r"was ended on \S+ \(failed: owner died\) while this mount was writing it.*start it anew|refused to let trial 'parent' change it")

    def test_can_neither_change_nor_seal_what_a_trial_of_the_same_name_has_begun_anew(self):
        """A launcher has started it again elsewhere."""
        writer = self.lose()
        self.check_second("parent", writer, self.CHANGES, ("EOWNERDEAD",))
        self.a.await_log(r"'parent': trial 'parent' \(pid %d, .*start the trial anew" % writer.pid)

    def test_can_not_begin_the_next_generation_itself(self):
        """What it saves from now on would be sealed as if it were all."""
        writer = self.lose()
        self.go_on(self.a)
        for code in ("open(d + '/b', 'w')", "os.mkdir(d + '/sub')"):
            self.assertEqual(writer.start(code, d=self.on_a).error(), "EOWNERDEAD", code)
        writer("file.close()")
        self.assertEqual(self.state(self.on_a), "failed")
        again = self.agent("parent")
        again("os.makedirs(d, exist_ok=True); open(d + '/a', 'wb').write(data)", d=self.on_a, data=OTHER)
        self.ctl("seal", self.on_a, trial="parent")
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.on_b), OTHER)

    def test_run_says_that_its_checkpoint_was_ended_and_ends_with_3(self):
        run = self.spawn([self.sealctl_path, "run", "--trial", "parent", "--", PYTHON, "-c", """if True:
            import os, sys
            os.mkdir(sys.argv[1])
            open(sys.argv[1] + "/a", "w").write("x")
            print("ready", flush=True)
            sys.stdin.read()
        """, self.on_a], stdin=-1, name="run")
        until(lambda: "ready" in run.output(), "the run")
        reader = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).parked()
        self.stop(self.a)
        reader.fails("EOWNERDEAD", patience=10 * DEAD_AFTER)
        self.go_on(self.a)
        until(lambda: self.state(self.on_a) == "failed", "A to see it")
        run.popen.stdin.close()
        self.assertEqual(run.wait(), 3, run.output())
        self.assertRegex(run.output(), "abandoned 'parent': owner died")

    def test_survivor_is_known_to_the_next_mount_too(self):
        """The mount that remembers has gone; the claim that its trial made has not."""
        writer = self.agent("parent")
        writer("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        self.a.kill()
        self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).fails("EOWNERDEAD", patience=10 * DEAD_AFTER)
        third = self.second_mount(*OPTIONS, name="mount C")
        self.assertEqual(writer.start("open(d + '/b', 'w')", d=third.path + "/parent").error(), "EOWNERDEAD")


@in_modes(ROOT)
class Kinds(SealfsTest):
    def test_reader_with_locks_goes_by_the_heartbeats_of_one_without(self):
        a, b = self.mount(*OPTIONS), self.second_mount(name="with locks")
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=a.path + "/parent", data=CONTENT)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=b.path + "/parent").parked()
        self.assertFalse(reading.done(DEAD_AFTER + 3 * BEAT), "taken for dead because it holds no lock")
        reading.parked()
        a.kill()
        reading.fails("EOWNERDEAD", patience=10 * DEAD_AFTER)

    def test_read_only_mount_notices_it_too(self):
        a, b = self.mount(*OPTIONS), self.second_mount("ro", *OPTIONS)
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=a.path + "/parent", data=CONTENT)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=b.path + "/parent").parked()
        a.kill()
        reading.fails("EOWNERDEAD", patience=10 * DEAD_AFTER)

    def test_wait_on_the_export_goes_by_the_heartbeats(self):
        a = self.mount(*OPTIONS)
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=a.path + "/parent", data=CONTENT)
        waiting = self.spawn([self.sealctl_path, "wait", self.export + "/parent"], uid=0)
        time.sleep(DEAD_AFTER + 3 * BEAT)  # long enough to be wrong
        waiting.must_run()
        refused = self.sealctl("seal", self.export + "/parent", trial=None, uid=0)
        self.assertEqual(refused.status, 1, refused)
        self.assertEqual(self.state(a.path + "/parent"), "open")
        a.kill()
        self.assertEqual(waiting.wait(10 * DEAD_AFTER), 3, waiting.output())


if __name__ == "__main__":
    main()
