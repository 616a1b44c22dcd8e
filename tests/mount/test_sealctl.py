#!/usr/bin/python3
# time limit: 180
"""sealctl(1): its sub-commands, what they print for people and as JSON, and their exit statuses."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import time

from harness import ALL_MODES, DAEMON, ROOT, USER, Mount, NOBODY, SealfsTest, all_parked, in_modes, main, until

GOOD, ERROR, USAGE, ABANDONED, TIMED_OUT = 0, 1, 2, 3, 4


class Commands(SealfsTest):
    def setUp(self):
        super().setUp()
        self.path = self.point + "/parent"

    def make(self, path=None, trial="parent"):
        agent = self.agent(trial)
        agent("os.mkdir(d); open(d + '/a', 'w').write('weights')", d=path or self.path)
        return agent

    def json(self, *arguments, **more):
        return json.loads(self.ctl(*arguments, **more).out)

    def check_message(self, result, *words):
        """Habit: program, object, cause, next step."""
        self.assertRegex(result.err, r"(?m)^sealctl: ")
        for word in words:
            self.assertIn(word, result.err)


@in_modes(DAEMON, USER)
class Usage(Commands):
    def test_help_lists_all_commands(self):
        for flag in ("--help", "-h"):
            result = self.ctl(flag)
            for command in ("init", "run", "reserve", "seal", "abandon", "wait", "status", "verify", "manifest", "lineage", "rm", "doctor"):
                self.assertRegex(result.out, r"(?m)^\s+(sealctl )?%s\b" % command)

    def test_help_of_each_command(self):
        for command in ("init", "run", "reserve", "seal", "abandon", "wait", "status", "verify", "manifest", "lineage", "rm", "doctor"):
            with self.subTest(command):
                result = self.ctl(command, "--help")
                self.assertRegex(result.out, r"(?i)usage: sealctl %s" % command)
                self.assertEqual(result.err, "")

    def test_version(self):
        self.assertRegex(self.ctl("--version").out, r"sealctl.*\d+\.\d+")

    def test_wrong_usage_is_2(self):
        for arguments in ([], ["nonsense"], ["--nonsense"], ["seal"], ["abandon"], ["wait"], ["reserve"], ["rm"], ["run"], ["run", "--"], ["init"], ["doctor"],
                          ["seal", "--nonsense", "x"], ["wait", "--timeout"], ["wait", "--timeout", "soon", "x"], ["wait", "--timeout", "-1", "x"],
                          ["init", "--depth", "x", "y"], ["init", "a", "b"], ["reserve", "--writer"], ["run", "--trial"]):
            with self.subTest(arguments):
                result = self.sealctl(*arguments)
                self.assertEqual(result.status, USAGE, result)
                self.assertTrue(result.err)
                self.assertEqual(result.out, "")

    def test_paths_that_are_nothing_or_elsewhere(self):
        for path, why in ((self.scratch + "/nowhere/x", "it is neither in a sealfs mount nor on an export, and there is no such path; is the export mounted?"),
                          (self.scratch, "it is neither in a sealfs mount nor on an export; mount the export")):
            for command in ("status", "reserve", "seal", "wait", "rm"):
                result = self.sealctl(command, path)
                self.assertEqual(result.status, ERROR, result)
                self.check_message(result, "'%s'" % path, why)

    def test_save_below_a_directory_that_is_not_there(self):
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)
        self.mount()
        result = self.sealctl("run", "--save", self.point + "/exp/a", "--", "true")
        self.assertEqual(result.status, ERROR, result)
        self.check_message(result, "cannot save to 'exp/a'", "the directory above it does not exist; make that first")

    def test_run_beside_a_dead_mount_says_how_to_clear_it(self):
        self.mount().kill()
        result = self.sealctl("run", "--", "true")
        self.assertEqual(result.status, GOOD, result)
        self.assertIn("mount '%s' is left out" % self.point, result.err)
        self.assertIn("unmount it with 'fusermount3 -u'", result.err)

    def test_paths_that_are_no_checkpoints(self):
        self.mount()
        self.make()
        for path in (self.point + "/parent/a", self.point, "/etc/passwd", "/nonexistent/x", self.tmp):
            for command in ("seal", "reserve", "abandon", "rm"):
                with self.subTest(path, command=command):
                    result = self.sealctl(command, path)
                    self.assertEqual(result.status, ERROR, result)
                    self.check_message(result, path)
        self.assertEqual(self.state(self.path), "open")

    def test_relative_paths_and_trailing_slashes(self):
        self.mount()
        self.make()
        result = self.run_program([self.sealctl_path, "status", "--json", "parent/"], cwd=self.point)
        self.assertEqual(result.status, 0, result)
        self.assertEqual(json.loads(result.out)[0]["path"], "parent")
        result = self.run_program([self.sealctl_path, "seal", "./parent"], cwd=self.point)
        self.assertEqual(result.status, 0, result)
        result = self.run_program([self.sealctl_path, "status", "--json", "."], cwd=self.path)
        self.assertEqual(json.loads(result.out)[0]["state"], "sealed")


@in_modes(DAEMON, USER)
class Init(Commands):
    def test_writes_the_config(self):
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)
        with open(self.exported(".sealfs/config")) as file:
            text = file.read()
        self.assertRegex(text, r"(?m)^depth = 2$")
        self.assertEqual(oct(os.stat(self.exported(".sealfs/state")).st_mode & 0o7777), "0o1777")

    def test_default_depth_is_1(self):
        self.ctl("init", self.export, uid=self.mode.owner)
        with open(self.exported(".sealfs/config")) as file:
            self.assertRegex(file.read(), r"(?m)^depth = 1$")

    def test_second_time_is_refused_and_changes_nothing(self):
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)
        result = self.sealctl("init", "--depth", "3", self.export, uid=self.mode.owner)
        self.assertEqual(result.status, ERROR, result)
        self.check_message(result, self.export, "checkpoints at depth 2", "rm -r %s/.sealfs" % self.export)
        with open(self.exported(".sealfs/config")) as file:
            self.assertRegex(file.read(), r"(?m)^depth = 2$")
        # as it says
        self.assertEqual(self.run_program(["rm", "-r", self.export + "/.sealfs"], uid=0 if not os.geteuid() else None).status, 0)
        self.ctl("init", "--depth", "3", self.export, uid=self.mode.owner)

    def test_of_nothing(self):
        for path in (self.scratch + "/nowhere", self.sealctl_path):
            result = self.sealctl("init", path, uid=self.mode.owner)
            self.assertEqual(result.status, ERROR, result)
            self.check_message(result, path, "make the directory first" if path.endswith("nowhere") else "name a directory")


@in_modes(*ALL_MODES)
class Status(Commands):
    def test_all_states(self):
        os.mkdir(self.exported("old"))
        self.give(self.exported("old"))
        self.mount()
        self.reserve(self.point + "/promised", writer="later")
        for name in ("open", "done", "broken"):
            self.make(self.point + "/" + name, name)
        self.ctl("seal", self.point + "/done", trial="done")
        self.ctl("abandon", "--reason", "nan", self.point + "/broken", trial="broken")
        entries = {entry["path"]: entry for entry in self.json("status", "--json", self.point)}
        self.assertEqual({name: entries[name]["state"] for name in ("promised", "open", "done", "broken")},
                         {"promised": "pending", "open": "open", "done": "sealed", "broken": "failed"})
        for name, writer in (("promised", "later"), ("open", "open"), ("done", "done"), ("broken", "broken")):
            entry = entries[name]
            self.assertEqual((entry["writer"], entry["generation"]), (writer, 1))
            self.assertRegex(entry["since"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$")
            self.assertEqual(entry["waiters"], [])
        for name in ("open", "done", "broken"):
            self.assertEqual(entries[name]["host"], os.uname().nodename)
        self.assertIn("nan", entries["broken"]["reason"])
        self.assertRegex(entries["done"]["root"], r"^sha256:[0-9a-f]{64}$")
        self.assertEqual(self.status(self.point + "/old")["state"], "plain")

        table = self.ctl("status", self.point).out
        for name, state in (("promised", "pending"), ("open", "open"), ("done", "sealed"), ("broken", "failed")):
            self.assertRegex(table, r"(?m)^.*\b%s\b.*\b%s\b|^.*\b%s\b.*\b%s\b" % (name, state, state, name))
        self.assertIn("nan", self.ctl("status", self.point + "/broken").out)

    def test_who_waits(self):
        self.mount()
        self.make()
        waiting = self.agent("child")
        waiting.start("open(d + '/a').read()", d=self.path).parked()
        # it waits for an answer of the mount: the one for which it is parked follows the look-up
        entry = until(lambda: (lambda entry: entry["waiters"] and entry)(self.status(self.path)), "the waiter to be listed")
        self.assertEqual([(waiter["trial"], waiter["pid"]) for waiter in entry["waiters"]], [("child", waiting.pid)])
        self.assertRegex(entry["waiters"][0]["command"], "python")
        self.assertGreaterEqual(entry["waiters"][0]["seconds"], 0)
        text = self.ctl("status", self.path).out
        self.assertIn("child", text)
        self.assertIn(str(waiting.pid), text)
        waiting.kill()
        until(lambda: self.status(self.path)["waiters"] == [], "the waiter to be forgotten")

    def test_who_has_it_open_for_writing(self):
        self.mount()
        parent = self.make()
        parent("file = open(d + '/a', 'a')", d=self.path)
        self.assertEqual([writer["pid"] for writer in self.status(self.path)["open_for_writing"]], [parent.pid])
        parent("file.close()")
        self.assertEqual(self.status(self.path)["open_for_writing"], [])

    def test_of_several_paths_and_of_nothing(self):
        self.mount()
        self.make()
        entries = self.json("status", "--json", self.path, self.point + "/nothing")
        self.assertEqual({entry["path"]: entry["state"] for entry in entries}, {"parent": "open", "nothing": "absent"})
        self.assertEqual(self.json("status", "--json", self.point) and len(self.json("status", "--json", self.point)), 1)

    def test_of_a_mount_without_checkpoints(self):
        self.mount()
        self.assertEqual(self.json("status", "--json", self.point), [])
        self.assertEqual(self.ctl("status", "--json").err, "")
        for words in ([], [self.point], [self.export]):
            self.assertEqual(self.ctl("status", *words).err, "sealctl: there is no checkpoint in '%s' yet\n" % (self.export if self.export in words else self.point))

    def test_without_a_path_in_a_directory_of_the_mount(self):
        self.mount()
        self.make()
        result = self.run_program([self.sealctl_path, "status", "--json"], cwd=self.point)
        self.assertEqual(result.status, 0, result)
        self.assertIn("parent", [entry["path"] for entry in json.loads(result.out)])

    def test_straight_on_an_export(self):
        """Without a mount the state can be read as well."""
        mount = self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        mount.unmount()
        entries = self.json("status", "--json", self.export + "/parent")
        self.assertEqual([(entry["state"], entry["writer"]) for entry in entries], [("sealed", "parent")])

    def test_many_checkpoints_are_all_listed(self):
        """More than one answer of the mount holds."""
        self.mount()
        parent = self.agent("parent")
        parent("[os.mkdir('%s/checkpoint-%04d' % (d, n)) for n in range(300)]", d=self.point)
        entries = self.json("status", "--json", self.point)
        self.assertEqual(sorted(entry["path"] for entry in entries), ["checkpoint-%04d" % number for number in range(300)])


@in_modes(USER)
class Mount_of_another_user(Commands):
    def test_is_named_when_there_is_no_other(self):
        if os.geteuid():
            self.skipTest("only root can be somebody else")
        self.mount()
        for command in (["status"], ["status", "--json"], ["status", self.point], ["stats"], ["stats", "--json"], ["stats", self.point]):
            result = self.sealctl(*command, uid=0)
            self.assertEqual(result.status, ERROR, result)
            self.assertIn("sealctl: cannot show '%s': this user may not open the mount" % self.point, result.err)
            self.assertIn("allow_other", result.err)
        self.assertNotIn("cannot", self.ctl("status").err)
        # one that is open to us suffices
        other = Mount(self, self.export, self.make_dir("mnt-2"), ["allow_other"], uid=0)
        self.mounted.append(other)
        for command in ("status", "stats"):
            self.assertNotIn("cannot", self.ctl(command, uid=0).err)


@in_modes(*ALL_MODES)
class Wait(Commands):
    def test_until_sealed(self):
        self.mount()
        self.make()
        waiting = self.spawn([self.sealctl_path, "wait", self.path], trial="tuner")
        waiting.parked()
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(waiting.wait(), GOOD)

    def test_of_a_reservation(self):
        self.mount()
        self.reserve(self.path)
        waiting = self.spawn([self.sealctl_path, "wait", self.path], trial="tuner")
        waiting.parked()
        self.make()
        waiting.parked()
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(waiting.wait(), GOOD)

    def test_until_abandoned(self):
        self.mount()
        self.make()
        waiting = self.spawn([self.sealctl_path, "wait", self.path], trial="tuner")
        waiting.parked()
        self.ctl("abandon", "--reason", "nan", self.path)
        self.assertEqual(waiting.wait(), ABANDONED)
        self.assertIn("nan", waiting.output())
        self.assertEqual(self.sealctl("wait", self.path).status, ABANDONED)

    def test_time_out(self):
        self.mount()
        self.make()
        result = self.sealctl("wait", "--timeout", "1", self.path)
        self.assertEqual(result.status, TIMED_OUT, result)
        self.assertGreater(result.seconds, 0.9)
        self.assertLess(result.seconds, 5)

    def test_time_out_of_a_fraction(self):
        self.mount()
        self.make()
        result = self.sealctl("wait", "--timeout", "0.2", self.path)
        self.assertEqual(result.status, TIMED_OUT, result)
        self.assertLess(result.seconds, 3)

    def test_several(self):
        self.mount()
        for name in ("one", "two"):
            self.make(self.point + "/" + name, name)
        waiting = self.spawn([self.sealctl_path, "wait", self.point + "/one", self.point + "/two"], trial="tuner")
        self.ctl("seal", self.point + "/one", trial="one")
        waiting.parked()
        self.ctl("seal", self.point + "/two", trial="two")
        self.assertEqual(waiting.wait(), GOOD)

    def test_of_what_is_sealed_is_over_at_once(self):
        self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        self.ctl("wait", self.path)

    def test_of_nothing_is_an_error(self):
        self.mount()
        result = self.sealctl("wait", "--timeout", "10", self.point + "/nothing")
        self.assertEqual(result.status, ERROR, result)

    def test_interrupt(self):
        self.mount()
        self.make()
        waiting = self.spawn([self.sealctl_path, "wait", self.path], trial="tuner")
        waiting.parked()
        waiting.signal(signal.SIGINT)
        self.assertNotEqual(waiting.wait(10), GOOD)
        until(lambda: self.status(self.path)["waiters"] == [], "the waiter to be forgotten")


@in_modes(*ALL_MODES)
class Reserve(Commands):
    def test_several_at_once(self):
        self.mount()
        paths = [self.point + "/r%d" % number for number in range(3)]
        self.ctl("reserve", "--writer", "w", *paths)
        self.assertEqual([self.state(path) for path in paths], ["pending"] * 3)

    def test_twice_is_refused(self):
        self.mount()
        self.reserve(self.path)
        result = self.sealctl("reserve", "--writer", "other", self.path)
        self.assertEqual(result.status, ERROR, result)
        self.check_message(result, "parent")
        self.assertEqual(self.status(self.path)["writer"], "parent")

    def test_of_plain_data_is_refused(self):
        os.mkdir(self.exported("old"))
        with open(self.exported("old/a"), "w"):
            pass
        self.give(self.exported("old"))
        self.mount()
        result = self.sealctl("reserve", "--writer", "x", self.point + "/old")
        self.assertEqual(result.status, ERROR, result)
        self.assertEqual(self.state(self.point + "/old"), "plain")


@in_modes(*ALL_MODES)
class Remove(Commands):
    def test_sealed(self):
        self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        reader = self.agent("child")
        self.assertEqual(reader.error("shutil.rmtree(d)", d=self.path), "EROFS")
        self.ctl("rm", self.path)
        self.assertEqual(self.state(self.path), "absent")
        self.assertEqual(reader.error("os.stat(d)", d=self.path), "ENOENT")
        self.assertEqual(os.listdir(self.export), [".sealfs"])
        self.assertFalse(os.path.exists(self.exported(".sealfs/state/parent")))
        self.assertEqual(os.listdir(self.exported(".sealfs/failed")), [])

    def test_open_is_refused(self):
        self.mount()
        self.make()
        result = self.sealctl("rm", self.path)
        self.assertEqual(result.status, ERROR, result)
        self.check_message(result, "parent")
        self.assertEqual(self.state(self.path), "open")

    def test_failed_pending_and_plain(self):
        os.mkdir(self.exported("old"))
        self.give(self.exported("old"))
        self.mount()
        self.make()
        self.ctl("abandon", self.path, trial="parent")
        self.reserve(self.point + "/promised")
        waiting = self.agent("child").start("os.listdir(d)", d=self.point + "/promised").parked()
        self.ctl("rm", self.path, self.point + "/promised", self.point + "/old")
        self.assertEqual(waiting.error(), "ENOENT")
        self.assertEqual(self.agent("child")("os.listdir(d)", d=self.point), [])

    def test_of_nothing(self):
        self.mount()
        self.assertEqual(self.sealctl("rm", self.point + "/nothing").status, ERROR)

    def test_reader_that_has_it_open_keeps_its_data(self):
        self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        reader = self.agent("child")
        reader("file = open(d + '/a', 'rb', buffering=0)", d=self.path)
        self.ctl("rm", self.path)
        self.assertEqual(reader("file.read()"), b"weights")


@in_modes(*ALL_MODES)
class Doctor(Commands):
    RESULTS = ("ok", "warn", "fail")

    def test_of_a_mount(self):
        self.mount()
        checks = self.json("doctor", "--json", self.point)
        self.check_checks(checks)

    def test_of_an_export(self):
        self.check_checks(self.json("doctor", "--json", self.export, uid=self.mode.owner))

    def check_checks(self, checks):
        items = checks if isinstance(checks, list) else next(value for value in checks.values() if isinstance(value, list))
        self.assertGreaterEqual(len(items), 4)
        results = []
        for item in items:
            (result,) = [value for value in item.values() if value in self.RESULTS]
            results.append(result)
            if result != "ok":
                self.assertTrue(any(isinstance(value, str) and len(value) > 15 for value in item.values()), "no remedy: %r" % item)
        text = re.sub("[_-]", " ", json.dumps(items).lower())
        for word in ("kernel", "passthrough", "exit", "request timeout", "lock", "signs of life", "clock", "owner"):
            self.assertIn(word, text)

    def test_says_which_sign_of_life_a_mount_gives_and_after_how_long_its_death_is_noticed(self):
        for options, expected in (((), "locks: the locks of a local file system"),
                                  (("locks=off", "heartbeat=7"), "heartbeats every 7 s: locks=off was given; a machine that vanishes is noticed after 42 to 63 s")):
            mount = self.mount(*options)
            (line,) = [check for check in self.json("doctor", "--json", self.point) if check["check"] == "signs of life"]
            self.assertIn(expected, line["text"])
            self.assertEqual(line["level"], "ok")
            mount.unmount()

    def test_for_people(self):
        self.mount()
        text = self.ctl("doctor", self.point).out
        self.assertRegex(text, r"(?m)\bok\b")

    def test_of_nothing(self):
        result = self.sealctl("doctor", self.scratch + "/nowhere")
        self.assertEqual(result.status, ERROR, result)

    def test_fusermount3_that_lets_no_user_mount(self):
        if os.geteuid():
            self.skipTest("only root can put another fusermount3 there, for this test alone")
        copy = self.scratch + "/fusermount3"
        shutil.copy("/usr/bin/fusermount3", copy)
        user = "setpriv --reuid %d --regid %d --clear-groups" % (NOBODY, NOBODY)
        for mode, who, level, text in ((0o755, user, "fail", "'/usr/bin/fusermount3' is not set-uid root"), (0, user, "fail", "this user cannot run it"),
                                       (0o755, "", "warn", "is not set-uid root: only root can mount"), (0o4755, user, "ok", "lets users mount")):
            os.chmod(copy, mode)
            result = self.run_program(["unshare", "-m", "sh", "-c", 'mount --bind "$0" /usr/bin/fusermount3; exec %s env PATH=/usr/bin:/bin "$@"' % who,
                                       copy, self.sealctl_path, "doctor", "--json", self.scratch], uid=0)
            (line,) = [check for check in json.loads(result.out) if check["check"] == "fusermount3"]
            self.assertEqual(line["level"], level, line)
            self.assertIn(text, line["text"])
            if level == "fail":
                self.assertEqual(result.status, ERROR, result)

    def test_of_a_file(self):
        path = self.scratch + "/file"
        open(path, "w").close()
        result = self.sealctl("doctor", path)
        self.assertEqual((result.status, result.out), (ERROR, ""), result)
        self.assertIn("cannot examine '%s': it is no directory" % path, result.err)


@in_modes(ROOT)
class Request_timeouts(Commands):
    def test_warns_of_a_request_timeout_that_a_waiting_process_would_reach(self):
        """The kernel's own is not touched: for doctor alone, another file lies over it."""
        self.mount("wait_timeout=600")
        for name in "default_request_timeout", "max_request_timeout":
            known = "/proc/sys/fs/fuse/" + name
            if not os.path.exists(known):
                self.skipTest("this kernel has no fs.fuse." + name)
            for seconds, level in (("0", "ok"), ("300", "warn"), ("600", "warn"), ("601", "ok")):
                with open(self.tmp + "/seconds", "w") as file:
                    file.write(seconds + "\n")
                done = self.run_program(["/usr/bin/unshare", "--mount", "/bin/sh", "-c", 'mount --bind "$0" "$1" && exec "$2" doctor --json "$3"',
                                         self.tmp + "/seconds", known, self.sealctl_path, self.point], uid=0)
                (line,) = [check for check in json.loads(done.out) if check["check"] == "request timeout"]
                self.assertEqual(level, line["level"], (name, seconds, line))
                if level == "warn":
                    self.assertIn("fs.fuse.%s is %s s" % (name, seconds), line["text"])
                    self.assertIn("wait_timeout", line["remedy"])


@in_modes(ROOT, DAEMON, USER)
class Straight_on_the_export(Commands):
    """Where it makes sense, without a mount."""

    def test_seal_and_wait(self):
        os.mkdir(self.exported("old"))
        with open(self.exported("old/a"), "w") as file:
            file.write("x")
        self.give(self.exported("old"))
        self.mount().unmount()
        result = self.sealctl("seal", self.export + "/old")
        self.assertEqual(result.status, 0, result)
        self.mount()
        self.assertEqual(self.state(self.point + "/old"), "sealed")
        self.assertEqual(self.agent("child")("open(d + '/old/a').read()", d=self.point), "x")

    def test_mount_notices_what_is_done_to_the_export(self):
        """A reader waits through the mount, the reservation is abandoned behind its back: a look at the export tells it."""
        self.mount()
        self.reserve(self.path)
        waiting = self.agent("child").start("os.listdir(d)", d=self.path)
        all_parked(waiting)
        result = self.sealctl("abandon", self.export + "/parent")
        if result.status != 0:
            self.skipTest("abandon needs a mount: " + result.err)
        began = time.monotonic()
        waiting.fails("EOWNERDEAD")
        self.assertLess(waiting.ended - began, 10)


@in_modes(DAEMON)
class Forms(Commands):
    def test_double_dash_ends_options(self):
        self.mount()
        agent = self.agent("parent")
        agent("os.mkdir(d + '/-x'); open(d + '/-x/a', 'w')", d=self.point)
        result = self.run_program([self.sealctl_path, "seal", "--", "-x"], cwd=self.point, trial="parent")
        self.assertEqual(result.status, 0, result)

    def test_what_was_sealed_is_said_in_one_line(self):
        self.mount()
        self.make()
        result = self.ctl("seal", self.path, trial="parent")
        self.assertEqual(len(result.out.splitlines()), 1)
        self.assertRegex(result.out, r"sha256:[0-9a-f]{8}")

    def test_what_a_run_made_is_said_in_one_line_that_can_be_read(self):
        self.mount()
        for status, said in ((0, "sealed"), (1, "abandoned")):
            result = self.sealctl("run", "--trial", "t", "--", "/bin/sh", "-c",
                                  "for i in $(seq 20); do mkdir $0%d-$i; echo $i >$0%d-$i/w; done; exit %d" % (status, status, status), self.point + "/")
            self.assertEqual(result.err.count(said + " '%d-" % status), 8, result)
            self.assertIn(said + " 12 more ('sealctl status' lists them)\n", result.err)
            self.assertEqual(len(result.err.splitlines()), 1, result)

    def on_a_terminal(self, *arguments):
        """What sealctl shows on a terminal, and its exit status."""
        self.need_terminal()
        ours, theirs = pty.openpty()
        process = self.spawn([self.sealctl_path, *arguments], trial="parent", stderr=theirs)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other end was closed
            while True:
                more = os.read(ours, 4096)
                if not more:
                    break
                shown += more
        os.close(ours)
        return shown.decode(errors="replace"), process.wait()

    def test_progress_is_drawn_on_a_terminal_only(self):
        self.mount()
        parent = self.agent("parent")
        for name in ("x", "y"):
            parent("os.mkdir(d); open(d + '/huge', 'w').close(); os.truncate(d + '/huge', 3 << 30)", d=self.point + "/" + name)
        shown, status = self.on_a_terminal("seal", self.point + "/x")
        self.assertEqual(status, 0, shown)
        self.assertRegex(shown, r"sealing +\d+%, .* of 3\.2 GB, .*/s")
        self.assertTrue(shown.endswith("\r\x1b[K"), repr(shown[-80:]))
        shown, status = self.on_a_terminal("run", "--trial", "runner", "--", "/bin/sh", "-c", 'mkdir "$0" && truncate -s 3G "$0/huge"', self.point + "/r")
        self.assertEqual(status, 0, shown)
        self.assertRegex(shown, r"sealing +\d+%, .* of 3\.2 GB, .*/s")
        self.assertRegex(shown, r"sealed 'r'")
        result = self.ctl("seal", self.point + "/y", trial="parent", patience=60)
        self.assertNotIn("%", result.err)

    def test_no_mount_no_seal_of_a_file_elsewhere(self):
        result = self.sealctl("seal", self.tmp)
        self.assertEqual(result.status, ERROR, result)
        self.check_message(result, self.tmp)
        self.assertTrue(re.search(r"mount|export", result.err))


if __name__ == "__main__":
    main()
