#!/usr/bin/python3
# time limit: 240
"""Two mounts of one export on one machine act as one."""

import os
import signal
import time

from harness import ALL_MODES, DAEMON, PYTHON, ROOT, USER, SealfsTest, all_parked, in_modes, main, pattern, tools, until

CONTENT, OTHER = pattern(200_000, 1), pattern(150_000, 2)
# Without being told, a waiting mount looks at the export at least once a second or so; told by the other one, much sooner.
SOON = 5  # seconds, on a busy machine
REMOVED = 2 + 1


class Two(SealfsTest):
    def setUp(self):
        super().setUp()
        self.a = self.mount(name="mount A")
        self.b = self.second_mount(name="mount B")
        self.on_a, self.on_b = self.a.path + "/parent", self.b.path + "/parent"

    def check_soon(self, call, since, what):
        late = call.ended - since
        print("%s: %s after %.0f ms" % (self.id(), what, late * 1000))
        self.assertLess(late, SOON)


@in_modes(ROOT, DAEMON)
class Begun_anew(SealfsTest):
    """Abandoned and removed through another mount, and begun there anew, with the same number: whoever wrote the first is told of nothing (no locks, no hints), and has no part in it."""

    def setUp(self):
        super().setUp()
        alone = {"wrapper": [os.path.join(tools(), "without_inotify")]}
        self.a = self.mount("hints=off", "locks=off", name="mount A", **alone)
        self.b = self.mount("hints=off", "locks=off", name="mount B", point=self.make_dir("mnt-b", 0o755, self.mode.owner), **alone)
        self.on_a, self.on_b = self.a.path + "/parent", self.b.path + "/parent"

    def begin(self, name):
        self.old = self.agent("parent")
        self.old("os.mkdir(d); file = open(d + '/a', 'wb', buffering=0); file.write(data)", d=self.on_a, data=OTHER)
        self.ctl("abandon", self.on_b)
        self.ctl("rm", self.on_b)
        self.new = self.agent(name)
        self.new("os.mkdir(d); file = open(d + '/a', 'wb', buffering=0); file.write(data[:1000])", d=self.on_b, data=CONTENT)

    def check_new(self):
        self.assertEqual("open", self.state(self.on_b))
        self.new("file.write(data[1000:]); file.close()", data=CONTENT)
        self.ctl("seal", self.on_b)
        for path in self.on_a, self.on_b:
            self.assertEqual({"a": CONTENT}, {name: data for name, (_, _, data) in self.agent("child")("snapshot(d)", d=path).items()})

    def test_it_is_not_sealed_by_the_first_mount(self):
        for name in "again", "parent":
            self.begin(name)
            self.assertNotEqual(0, self.sealctl("seal", self.on_a, trial="parent").status)
            self.check_new()
            self.ctl("rm", self.on_b)

    def test_it_does_not_fail_with_the_first_trial(self):
        self.begin("again")
        self.old.exit(1)
        self.a.await_log("generation 1 of trial 'parent' has failed|in nobody's seal")
        self.check_new()

    def test_the_first_trial_puts_nothing_into_it(self):
        self.begin("again")
        time.sleep(1.1)  # the mount believes for so long that what it writes is its own; nobody is told when it no longer does
        self.assertIn(self.old.error("open(d + '/late', 'w').close()", d=self.on_a), ("EBUSY", "EOWNERDEAD", "ESTALE"))
        self.check_new()


@in_modes(ROOT, DAEMON, USER)
class Reader_and_writer(Two):
    def check_waits(self, writer_path, reader_path, reserve_path):
        self.reserve(reserve_path)
        calls = {code: self.agent("child").start(code, d=reader_path) for code in (
            "open(d + '/a', 'rb').read()", "os.path.isfile(d + '/sub/b')", "os.path.exists(d + '/never')", "sorted(os.listdir(d))", "os.path.isdir(d)")}
        all_parked(*calls.values())
        parent = self.agent("parent")
        self.assertIs(parent("os.path.exists(d)", d=writer_path), False)
        parent("os.mkdir(d); open(d + '/a', 'wb').write(data[:10])", d=writer_path, data=CONTENT)
        all_parked(*[call for code, call in calls.items() if "isdir" not in code])
        parent("os.mkdir(d + '/sub'); open(d + '/sub/b', 'w'); open(d + '/a', 'wb').write(data)", d=writer_path, data=CONTENT)
        all_parked(*[call for code, call in calls.items() if "isdir" not in code])
        began = time.monotonic()
        self.ctl("seal", writer_path, trial="parent")
        self.assertEqual([call.value() for call in calls.values()], [CONTENT, True, False, ["a", "sub"], True])
        for code, call in calls.items():
            if "isdir" not in code:
                self.check_soon(call, began, code)

    def test_reader_on_b_waits_for_the_writer_on_a(self):
        self.check_waits(self.on_a, self.on_b, self.on_a)

    def test_reader_on_a_waits_for_the_writer_on_b(self):
        self.check_waits(self.on_b, self.on_a, self.on_a)

    def test_reservation_by_the_reader_s_mount(self):
        self.check_waits(self.on_a, self.on_b, self.on_b)

    def test_claim_on_a_is_seen_on_b_at_once(self):
        """B had looked the name up in vain before."""
        child = self.agent("child")
        self.assertIs(child("os.path.exists(d)", d=self.on_b), False)
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        self.assertIs(child("os.path.exists(d)", d=self.on_b), True)
        call = child.start("open(d + '/a', 'rb').read()", d=self.on_b).parked()
        self.ctl("seal", self.on_a, trial="parent")
        self.assertEqual(call.value(), CONTENT)

    def test_seal_by_hand_is_refused_through_the_mount_that_did_not_write(self):
        child = self.agent("child")
        self.agent("parent")("os.mkdir(d)", d=self.on_a)
        call = child.start("os.listdir(d)", d=self.on_b).parked()
        refused = self.sealctl("seal", self.on_b, trial="parent")
        self.assertEqual(refused.status, 1)
        self.assertIn("another mount", refused.err)
        self.ctl("seal", self.on_a, trial="parent")
        self.assertEqual(call.value(), [])

    def test_writer_through_both_mounts(self):
        parent, helper = self.agent("parent"), self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        self.assertEqual(helper("open(d + '/a', 'rb').read()", d=self.on_b), CONTENT)
        helper("open(d + '/b', 'wb').write(data)", d=self.on_b, data=OTHER)
        self.assertEqual(parent("sorted(os.listdir(d))", d=self.on_a), ["a", "b"])
        self.assertEqual(parent("open(d + '/b', 'rb').read()", d=self.on_a), OTHER)
        readers = [self.agent("child").start("{n: open(d + '/' + n, 'rb').read() for n in os.listdir(d)}", d=d) for d in (self.on_a, self.on_b)]
        all_parked(*readers)
        self.need_exit_info()
        helper.exit(0)
        all_parked(*readers)
        parent.exit(0)
        for call in readers:
            self.assertEqual(call.value(), {"a": CONTENT, "b": OTHER})

    def test_writer_through_both_that_fails(self):
        self.need_exit_info()
        parent = self.agent("parent")
        parent("os.mkdir(a); open(a + '/a', 'w').write('x'); open(b + '/b', 'w').write('y')", a=self.on_a, b=self.on_b)
        readers = [self.agent("child").start("open(d + '/a').read()", d=d).parked() for d in (self.on_a, self.on_b)]
        end = parent.exit(1)
        for call in readers:
            call.fails("EOWNERDEAD")
            self.check_soon(call, end, "failure")

    def test_two_runs_one_joins(self):
        parent_path, joined_path = self.on_a, self.on_b
        fifo = self.tmp + "/go"
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        save = "import os, sys; os.makedirs(sys.argv[1], exist_ok=True); open(sys.argv[1] + '/' + sys.argv[2], 'w').write('x' * 1000)"
        first = self.spawn([self.sealctl_path, "run", "--trial", "parent", "--save", parent_path, "--", "/bin/sh", "-c",
                            '"$1" -c "$2" "$3" a && echo ready && read -r _ <"$4"', "sh", PYTHON, save, parent_path, fifo])
        until(lambda: "ready" in first.output(), "the first run")
        result = self.sealctl("run", "--trial", "parent", "--join", "--", PYTHON, "-c", save, joined_path, "b", trial=None)
        self.assertEqual(result.status, 0, result)
        self.assertEqual(self.state(parent_path), "open")
        with open(fifo, "w") as file:
            file.write("\n")
        self.assertEqual(first.wait(), 0, first.output())
        self.assertEqual(self.agent("child")("sorted(os.listdir(d))", d=self.on_b), ["a", "b"])

    def test_seal_waits_for_no_one_but_says_that_b_still_writes(self):
        parent, helper = self.agent("parent"), self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.on_a)
        helper("file = open(d + '/b', 'w'); file.write('half'); file.flush()", d=self.on_b)
        result = self.sealctl("seal", self.on_a, trial="parent")
        self.assertEqual(result.status, 1, result)
        self.assertEqual(self.state(self.on_a), "open")
        helper("file.write(' and half'); file.close()")
        helper.exit(0)
        until(lambda: self.sealctl("seal", self.on_a, trial="parent").status == 0, "the seal after B is done")
        self.assertEqual(self.agent("child")("open(d + '/b').read()", d=self.on_b), "half and half")


@in_modes(ROOT, DAEMON, USER)
class Changes(Two):
    def test_change_by_another_on_b_is_busy(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        other = self.agent("other")
        for code in ("open(d + '/a', 'r+b')", "os.unlink(d + '/a')", "os.chmod(d + '/a', 0o600)", "os.rename(d + '/a', d + '/n')"):
            self.assertEqual(other.start(code, d=self.on_b).error(patience=10), "EBUSY", code)
        self.assertIn(other.error("os.mkdir(d + '/n')", d=self.on_b), ("EEXIST", "EBUSY"))

    def test_sealed_on_a_is_read_only_on_b(self):
        parent, helper = self.agent("parent"), self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        helper("os.listdir(d)", d=self.on_b)
        helper("open(d + '/a', 'rb').read()", d=self.on_b)
        self.ctl("seal", self.on_a, trial="parent")
        for code in ("open(d + '/a', 'r+b')", "open(d + '/n', 'w')", "os.mkdir(d + '/n')", "os.unlink(d + '/a')", "os.truncate(d + '/a', 0)",
                     "os.rename(d + '/a', d + '/n')", "os.chmod(d, 0o700)"):
            for agent in (helper, parent):
                self.assertEqual(agent.error(code, d=self.on_b), "EROFS", code)
        self.assertEqual(helper("open(d + '/a', 'rb').read()", d=self.on_b), CONTENT)

    def test_descriptor_open_for_writing_on_b_keeps_a_from_sealing(self):
        """Otherwise it could write after the seal."""
        parent, helper = self.agent("parent"), self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        helper("fd = os.open(d + '/a', os.O_WRONLY)", d=self.on_b)
        self.assertEqual(self.sealctl("seal", self.on_a, trial="parent").status, 1)
        helper("os.pwrite(fd, b'still', 0); os.close(fd)")
        helper.exit(0)
        until(lambda: self.sealctl("seal", self.on_a, trial="parent").status == 0, "the seal")
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read(5)", d=self.on_b), b"still")

    def test_abandon_on_b_wakes_the_reader_on_the_mount_that_writes(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); file = open(d + '/a', 'wb', buffering=0); file.write(data)", d=self.on_a, data=CONTENT)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_a).parked()
        self.ctl("abandon", self.on_b)
        reading.fails("EOWNERDEAD")

    def test_abandon_on_a_wakes_the_reader_on_b_where_the_trial_still_writes(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        helper = self.agent("parent")
        helper("file = open(d + '/b', 'wb', buffering=0); file.write(data)", d=self.on_b, data=CONTENT)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).parked()
        self.ctl("abandon", self.on_a)
        reading.fails("EOWNERDEAD")

    def test_seal_on_a_wakes_the_reader_on_b_after_the_trial_wrote_there(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        helper = self.agent("parent")
        helper("file = open(d + '/b', 'wb', buffering=0); file.write(data)", d=self.on_b, data=CONTENT)
        reading = self.agent("child").start("open(d + '/b', 'rb').read()", d=self.on_b).parked()
        helper("file.close()")
        self.need_exit_info()
        helper.exit(0)
        until(lambda: self.sealctl("seal", self.on_a, trial="parent").status == 0, "the seal after the trial has ended on B")
        self.assertEqual(reading.value(), CONTENT)

    def test_rm_on_a_is_seen_on_b(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        self.ctl("seal", self.on_a, trial="parent")
        reader = self.agent("child")
        reader("file = open(d + '/a', 'rb', buffering=0); os.stat(d + '/a'); os.listdir(d)", d=self.on_b)
        began = time.monotonic()
        self.ctl("rm", self.on_a)
        for code in ("os.stat(d)", "open(d + '/a')", "os.listdir(d)"):
            until(lambda: reader.error(code, d=self.on_b) == "ENOENT",
                  lambda: "B to see that it is gone; %s: %s" % (code, reader.error(code, d=self.on_b)), REMOVED)
        print("%s: seen on B after %.0f ms" % (self.id(), (time.monotonic() - began) * 1000))
        self.assertEqual(reader("file.read()"), CONTENT)  # who has it open keeps it

    def test_name_is_free_for_a_new_one_on_b_after_rm_on_a(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        self.ctl("seal", self.on_a, trial="parent")
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.on_b), CONTENT)
        self.ctl("rm", self.on_a)
        second = self.agent("second")
        until(lambda: second.error("os.stat(d)", d=self.on_b) == "ENOENT", "B to see that it is gone", REMOVED)
        second("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_b, data=OTHER)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_a).parked()
        self.ctl("seal", self.on_b, trial="second")
        self.assertEqual(reading.value(), OTHER)

    def test_second_generation_on_b_is_what_a_reads(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        self.ctl("abandon", self.on_a, trial="parent")
        self.assertEqual(self.agent("child").error("open(d + '/a', 'rb').read()", d=self.on_b), "EOWNERDEAD")
        second = self.agent("second")
        second("os.makedirs(d, exist_ok=True); open(d + '/a', 'wb').write(data)", d=self.on_b, data=OTHER)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_a).parked()
        self.ctl("seal", self.on_b, trial="second")
        self.assertEqual(reading.value(), OTHER)
        self.assertEqual(self.status(self.on_a)["generation"], 2)

    def test_one_decision_when_seal_and_abandon_race(self):
        for count in range(6):
            path_a, path_b = "%s/r%d" % (self.a.path, count), "%s/r%d" % (self.b.path, count)
            parent = self.agent("parent")
            parent("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=path_a, data=CONTENT)
            readers = [self.agent("child").start("open(d + '/a', 'rb').read()", d=d).parked() for d in (path_a, path_b)]
            racers = [self.spawn([self.sealctl_path, "seal", path_a], trial="parent"), self.spawn([self.sealctl_path, "abandon", path_b], trial="tuner")]
            for racer in racers:
                racer.wait()
            outcomes = {call.error() for call in readers}
            self.assertEqual(len(outcomes), 1, outcomes)
            self.assertIn(outcomes.pop(), (None, "EOWNERDEAD"))
            self.assertEqual(self.state(path_a), self.state(path_b))
            parent.close()

    def test_one_writer_when_two_claims_race(self):
        for count in range(6):
            agents = [self.agent("one"), self.agent("two")]
            calls = [agent.start("os.mkdir(d); open(d + '/' + n, 'w').write(n)", d="%s/c%d" % (mount.path, count), n=agent.trial)
                     for agent, mount in zip(agents, (self.a, self.b))]
            errors = [call.error() for call in calls]
            self.assertEqual(errors.count(None), 1, errors)
            self.assertEqual(self.status("%s/c%d" % (self.a.path, count))["writer"], ("one", "two")[errors.index(None)])
            for agent in agents:
                agent.close()


@in_modes(ROOT, DAEMON, USER)
class Death_of_a_mount(Two):
    def test_owner_killed_is_seen_on_the_other_mount(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); file = open(d + '/a', 'wb', buffering=0); file.write(data)", d=self.on_a, data=CONTENT)
        readers = [self.agent("child").start(code, d=self.on_b) for code in ("open(d + '/a', 'rb').read()", "os.listdir(d)", "os.stat(d + '/never')")]
        all_parked(*readers)
        end = self.a.kill()
        for call in readers:
            call.fails("EOWNERDEAD")
            self.check_soon(call, end, "death of the owner's mount")
        self.assertEqual(self.state(self.on_b), "failed")
        self.b.await_log(r"parent.*(died|dead|owner|Owner)")

    def test_owner_killed_before_the_reader_came(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        self.a.kill()
        self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).fails("EOWNERDEAD")

    def test_death_of_a_mount_that_only_read_changes_nothing(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        other = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).parked()
        here = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_a).parked()
        self.b.kill()
        other.fails("ECONNABORTED", "ENOTCONN")
        here.parked()
        self.ctl("seal", self.on_a, trial="parent")
        self.assertEqual(here.value(), CONTENT)

    def test_sealed_by_a_survives_its_death(self):
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        self.ctl("seal", self.on_a, trial="parent")
        self.a.kill()
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.on_b), CONTENT)

    def test_stopped_mount_is_not_taken_for_dead(self):
        """A daemon that does not run for a while still holds its lease."""
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.on_a, data=CONTENT)
        os.kill(self.a.pid, signal.SIGSTOP)
        try:
            call = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).parked()
            self.assertFalse(call.done(2.5), "took a stopped mount for a dead one")
        finally:
            os.kill(self.a.pid, signal.SIGCONT)
        self.ctl("seal", self.on_a, trial="parent")
        self.assertEqual(call.value(), CONTENT)

    def test_new_trial_takes_over_on_b(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); file = open(d + '/a', 'wb', buffering=0); file.write(data)", d=self.on_a, data=CONTENT)
        self.a.kill()
        second = self.agent("second")
        self.agent("child").start("open(d + '/a', 'rb').read()", d=self.on_b).fails("EOWNERDEAD")
        second("os.makedirs(d, exist_ok=True); open(d + '/a', 'wb').write(data)", d=self.on_b, data=OTHER)
        parent.start("file.write(b'late')").finish()  # whatever it says, nobody may see it
        self.ctl("seal", self.on_b, trial="second")
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.on_b), OTHER)


@in_modes(ROOT)
class Mixed(SealfsTest):
    """Mounts of different kinds on one export."""

    def test_with_and_without_passthrough(self):
        a, b = self.mount(), self.second_mount("passthrough=off")
        for first, second, name in ((a, b, "x"), (b, a, "y")):
            self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=first.path + "/" + name, data=CONTENT)
            reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=second.path + "/" + name).parked()
            self.ctl("seal", first.path + "/" + name, trial="parent")
            self.assertEqual(reading.value(), CONTENT)

    def test_read_only_mount_waits_too(self):
        a, b = self.mount(), self.second_mount("ro")
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=a.path + "/p", data=CONTENT)
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=b.path + "/p").parked()
        self.ctl("seal", a.path + "/p", trial="parent")
        self.assertEqual(reading.value(), CONTENT)

    def test_three_mounts(self):
        mounts = [self.mount(), self.second_mount(), self.second_mount()]
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=mounts[0].path + "/p", data=CONTENT)
        readers = [self.agent("child").start("open(d + '/a', 'rb').read()", d=mount.path + "/p") for mount in mounts]
        all_parked(*readers)
        self.ctl("seal", mounts[0].path + "/p", trial="parent")
        for call in readers:
            self.assertEqual(call.value(), CONTENT)


@in_modes(*ALL_MODES)
class What_the_kernel_kept(Two):
    def test_pages_from_before_the_seal_are_not_what_is_read_after_it(self):
        writer = self.agent("parent")
        writer("os.mkdir(d); open(d + '/w', 'wb').write(data); open(d + '/w', 'rb').read()", d=self.on_a, data=CONTENT)
        early = self.agent("child")
        early("names = '/proc/self/fd/%d' % os.open(d + '/w', os.O_PATH)", d=self.on_a)
        elsewhere = self.agent("parent")
        elsewhere("""
            times = os.stat(d + '/w')
            with open(d + '/w', 'r+b') as file:
                file.write(b'better')
            os.utime(d + '/w', ns=(times.st_atime_ns, times.st_mtime_ns))
            """, d=self.on_b)
        writer.exit()
        elsewhere.exit()
        until(lambda: self.agent("child")("os.path.isfile(d + '/w')", d=self.on_a), "the seal")
        self.assertEqual(early("open(names, 'rb').read()"), b"better" + CONTENT[6:])


if __name__ == "__main__":
    main()
