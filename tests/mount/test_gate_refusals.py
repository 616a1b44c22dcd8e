#!/usr/bin/python3
# time limit: 240
"""Every way in which the gate says no, or stops waiting: EBUSY, EROFS, EAGAIN, EINTR, ETIMEDOUT, EDEADLK, and the names that are not to be had."""

import errno
import os
import signal
import time

from harness import ALL_MODES, DAEMON, ROOT, SealfsTest, all_parked, in_modes, main, until

# What somebody else might try inside the checkpoint d, in which are file `a`, directory `sub` with file `sub/b`, and the symlink `l`.
CHANGES = {
    "write": "os.open(d + '/a', os.O_WRONLY)",
    "read_and_write": "os.open(d + '/a', os.O_RDWR)",
    "append": "os.open(d + '/a', os.O_WRONLY | os.O_APPEND)",
    "truncate_at_open": "os.open(d + '/a', os.O_WRONLY | os.O_TRUNC)",
    "truncate_at_open_for_reading": "os.open(d + '/a', os.O_RDONLY | os.O_TRUNC)",
    "write_without_waiting": "os.open(d + '/a', os.O_WRONLY | os.O_NONBLOCK)",
    "write_through_symlink": "os.open(d + '/l', os.O_WRONLY)",
    "truncate_through_symlink": "os.truncate(d + '/l', 0)",
    "truncate": "os.truncate(d + '/a', 0)",
    "chmod": "os.chmod(d + '/a', 0o600)",
    "chmod_of_directory": "os.chmod(d + '/sub', 0o700)",
    "chmod_of_checkpoint": "os.chmod(d, 0o700)",
    "chown": "os.chown(d + '/a', os.getuid(), os.getgid())",
    "utime": "os.utime(d + '/a', (1, 1))",
    "utime_now": "os.utime(d + '/a')",
    "utime_of_directory": "os.utime(d + '/sub', (1, 1))",
    "setxattr": "os.setxattr(d + '/a', 'user.x', b'y')",
    "removexattr": "os.removexattr(d + '/a', 'user.x')",
    "unlink": "os.unlink(d + '/a')",
    "unlink_symlink": "os.unlink(d + '/l')",
    "unlink_below": "os.unlink(d + '/sub/b')",
    "rmdir": "os.rmdir(d + '/sub')",
    "rmdir_of_checkpoint": "os.rmdir(d)",
    "rename_over": "os.rename(d + '/a', d + '/sub/b')",
    "rename_of_checkpoint": "os.rename(d, d + '-renamed')",
    "exchange": "fails(raw('renameat2', -100, d + '/a', -100, d + '/sub/b', 2))",
}
# The same for names that are not there. For a reader of an open checkpoint the name is a promise, which is a directory: the kernel itself then says
# EEXIST or EISDIR.
CREATIONS = {
    "create": "os.open(d + '/n', os.O_WRONLY | os.O_CREAT)",
    "create_exclusively": "os.open(d + '/n', os.O_WRONLY | os.O_CREAT | os.O_EXCL)",
    "create_below": "os.open(d + '/sub/n', os.O_WRONLY | os.O_CREAT)",
    "mkdir": "os.mkdir(d + '/n')",
    "symlink": "os.symlink('a', d + '/n')",
    "link": "os.link(d + '/a', d + '/n')",
    "mkfifo": "os.mkfifo(d + '/n')",
    "rename_to_new_name": "os.rename(d + '/a', d + '/n')",
    "rename_into_directory": "os.rename(d + '/a', d + '/sub/a')",
    "tmpfile": "os.open(d, os.O_TMPFILE | os.O_WRONLY, 0o600)",
}
HELPERS = """
def fails(result):
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result
"""
MAKE = """
os.mkdir(d)
open(d + '/a', 'w').write('aaa')
os.mkdir(d + '/sub')
open(d + '/sub/b', 'w').write('bbb')
os.symlink('a', d + '/l')
"""


class Refusals(SealfsTest):
    def setUp(self):
        super().setUp()
        self.path = self.point + "/parent"

    def make(self, trial="parent", path=None):
        agent = self.agent(trial)
        agent(MAKE, d=path or self.path)
        return agent

    def assert_unchanged(self):
        with open(self.exported("parent/a")) as file:
            self.assertEqual(file.read(), "aaa")
        self.assertEqual(sorted(name for name in os.listdir(self.exported("parent")) if name != ".seal"), ["a", "l", "sub"])
        self.assertEqual(os.listdir(self.exported("parent/sub")), ["b"])

    def check_table(self, trial, table, *expected):
        """Each in turn; whoever may not change must not wait to be told so."""
        agent = self.agent(trial)
        agent(HELPERS)
        for name, code in table.items():
            with self.subTest(name, trial=trial):
                call = agent.start(code, d=self.path)
                try:
                    call.fails(*expected, patience=3)
                finally:
                    if not call.done():
                        agent.close()
                        agent = self.agent(trial)
                        agent(HELPERS)


@in_modes(*ALL_MODES)
class Change_by_another(Refusals):
    def test_change_in_an_open_checkpoint_is_busy_at_once(self):
        self.mount()
        self.make()
        self.check_table("other", {name: code for name, code in CHANGES.items() if name != "removexattr"}, "EBUSY")
        self.check_table("other", CREATIONS, "EBUSY", "EEXIST", "EISDIR", "EOPNOTSUPP")
        self.assert_unchanged()

    def test_touching_a_missing_name_is_refused_at_once(self):
        self.mount()
        self.make()
        for code in ("os.utime(d + '/n')", "os.utime(d + '/n', (1, 1))", "os.chmod(d + '/n', 0o600)"):
            self.assertIn(self.agent("other").start(code, d=self.path).error(patience=10), ("EBUSY", "EACCES", "EPERM"), code)
        result = self.run_program(["/usr/bin/touch", self.path + "/n"], trial="other")
        self.assertIn("busy", result.err)

    def test_change_in_a_sealed_checkpoint_is_read_only_for_all(self):
        self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        for trial in ("parent", "other"):
            self.check_table(trial, CHANGES, "EROFS")
            self.check_table(trial, CREATIONS, "EROFS", "EOPNOTSUPP")
        self.assert_unchanged()
        self.assertEqual(self.state(self.path), "sealed")

    def told(self, mount, error):
        return [line for line in mount.log().splitlines() if error in line]

    def test_refusal_is_told_with_who_and_what_helps(self):
        mount = self.mount()
        self.make()
        other = self.agent("other")
        self.assertEqual(other.error("os.mkdir(d + '/trial2')", d=self.path), "EBUSY")
        self.assertEqual(other.error("os.unlink(d + '/a')", d=self.path), "EBUSY")
        created, changed = until(lambda: self.told(mount, "EBUSY")[1:] and self.told(mount, "EBUSY"), "both lines")
        self.assertRegex(created, "'parent': refused to let trial 'other' change it .* trial 'parent' on .*'sealctl status parent'.* the wrong depth: 'sealctl init --depth 2'")
        self.assertNotIn("depth", changed)
        self.ctl("seal", self.path, trial="parent")
        # all of an rm -r is one line
        self.run_program(["rm", "-r", self.path], trial="parent")
        self.assertEqual(other.error("os.mkdir(d + '/trial3')", d=self.path), "EROFS")
        self.assertRegex(until(lambda: self.told(mount, "EROFS"), "the line")[0],
                         "'parent': refused to let trial 'parent' change it .* sealed, generation 1 of trial 'parent' on .*'sealctl rm parent'$")
        self.assertEqual(len(self.told(mount, "EROFS")), 1)

    def test_wrong_depth_is_supposed_where_a_trial_makes_something_in_what_another_sealed(self):
        mount = self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(self.agent("other").error("os.mkdir(d + '/trial2')", d=self.path), "EROFS")
        self.assertIn("the wrong depth: 'sealctl init --depth 2' on a new one", until(lambda: self.told(mount, "EROFS"), "the line")[0])

    def test_creating_what_exists_in_a_sealed_checkpoint_says_what_a_read_only_file_system_says(self):
        self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        reader = self.agent("reader")
        self.assertEqual(reader.error("os.mkdir(d)", d=self.path), "EEXIST")
        self.assertEqual(reader.error("os.mkdir(d + '/sub')", d=self.path), "EEXIST")
        reader("os.makedirs(d + '/sub', exist_ok=True)", d=self.path)

    def test_border_of_a_checkpoint_is_a_border_of_file_systems(self):
        self.mount()
        parent = self.make()
        other = self.make("other", self.point + "/other")
        self.assertEqual(parent.error("os.rename(d + '/a', d + '/../mine')", d=self.path), "EXDEV")
        self.assertEqual(parent.error("os.link(d + '/a', d + '/../mine')", d=self.path), "EXDEV")
        self.assertIn(parent.error("os.rename(d + '/a', d + '/../other/a')", d=self.path), ("EXDEV", "EBUSY"))
        self.assertIn(other.error("os.link(d + '/a', d + '/../parent/c')", d=self.point + "/other"), ("EXDEV", "EBUSY", "EEXIST"))
        parent("shutil.move(d + '/a', d + '/sub/moved')", d=self.path)  # inside it is none

    def test_border_between_own_checkpoints_too(self):
        self.mount()
        parent = self.make()
        parent("os.mkdir(d + '2')", d=self.path)
        self.assertEqual(parent.error("os.rename(d + '/a', d + '2/a')", d=self.path), "EXDEV")
        parent("shutil.move(d + '/a', d + '2/a')", d=self.path)  # which copies
        self.assertEqual(parent("open(d + '2/a').read()", d=self.path), "aaa")

    def test_seal_of_a_checkpoint_that_is_still_written_names_who_writes(self):
        self.mount()
        parent = self.make()
        parent("file = open(d + '/a', 'r+')", d=self.path)
        result = self.sealctl("seal", self.path, trial="parent")
        self.assertEqual(result.status, 1, result)
        self.assertIn(str(parent.pid), result.err)
        self.assertEqual(self.state(self.path), "open")
        parent("file.close()")
        self.ctl("seal", self.path, trial="parent")


@in_modes(*ALL_MODES)
class Not_waiting(Refusals):
    def test_nonblocking_open_of_a_file_gets_eagain(self):
        self.mount()
        self.make()
        reader = self.agent("child")
        self.assertEqual(reader.error("os.open(d + '/a', os.O_RDONLY | os.O_NONBLOCK)", d=self.path), "EAGAIN")
        self.assertEqual(reader.error("os.open(d + '/never', os.O_RDONLY | os.O_NONBLOCK)", d=self.path), "EAGAIN")
        self.assertEqual(reader.start("os.open(d + '/l', os.O_RDONLY | os.O_NONBLOCK)", d=self.path).error(patience=10), "EAGAIN")

    def test_nonblocking_listing_waits_because_opendir_always_asks_so(self):
        self.mount()
        self.make()
        call = self.agent("child").start("os.open(d, os.O_RDONLY | os.O_NONBLOCK | os.O_DIRECTORY)", d=self.path).parked()
        self.ctl("seal", self.path, trial="parent")
        self.assertGreater(call.value(), 0)

    def test_nonblocking_open_after_seal_opens(self):
        self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(self.agent("child")("os.read(os.open(d + '/a', os.O_RDONLY | os.O_NONBLOCK), 9)", d=self.path), b"aaa")


INTERRUPTED = {
    "open": "raw('open', d + '/a', os.O_RDONLY)",
    "open_of_promise": "raw('open', d + '/never', os.O_RDONLY)",
    "open_of_directory": "raw('open', d, os.O_RDONLY | os.O_DIRECTORY)",
    "access": "raw('access', d + '/never', os.R_OK)",
    "chdir": "raw('chdir', d + '/never')",
}


@in_modes(*ALL_MODES)
class Interrupts(Refusals):
    def test_signal_frees_every_kind_of_waiter_with_eintr(self):
        self.mount()
        self.make()
        for name, code in INTERRUPTED.items():
            with self.subTest(name):
                agent = self.agent("child", name="child " + name)
                agent("signal.signal(signal.SIGUSR1, lambda *_: None)")
                call = agent.start(code, d=self.path).parked()
                agent.signal(signal.SIGUSR1)
                self.assertEqual(call.value(patience=10), -errno.EINTR)
        self.assertEqual(self.status(self.path)["waiters"], [])

    def test_interrupt_of_one_leaves_the_others_waiting(self):
        self.mount()
        self.make()
        calls = [self.agent("child").start("open(d + '/a').read()", d=self.path) for _ in range(3)]
        all_parked(*calls)
        calls[1].agent.signal(signal.SIGINT)
        calls[1].fails("KeyboardInterrupt", patience=10)
        all_parked(calls[0], calls[2])
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual([calls[0].value(), calls[2].value()], ["aaa", "aaa"])
        self.assertEqual(calls[1].agent("open(d + '/a').read()", d=self.path), "aaa")

    def test_script_that_is_only_signalled_goes_on_waiting(self):
        """Python tries again after a signal whose handler returns."""
        self.mount()
        self.make()
        agent = self.agent("child")
        agent("seen = []; signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))")
        call = agent.start("open(d + '/a').read()", d=self.path).parked()
        for count in (1, 2, 3):
            agent.signal(signal.SIGUSR1)
            call.parked()
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(call.value(), "aaa")

    def test_killed_waiter_dies_at_once(self):
        self.mount()
        self.make()
        agents = [self.agent("child") for _ in INTERRUPTED]
        calls = [agent.start(code, d=self.path) for agent, code in zip(agents, INTERRUPTED.values())]
        all_parked(*calls)
        for agent in agents:
            agent.kill(signal.SIGKILL, patience=10)
        until(lambda: self.status(self.path)["waiters"] == [], "no waiters left in the status")
        self.ctl("seal", self.path, trial="parent")

    def test_stopped_and_continued_waiter_goes_on(self):
        self.mount()
        self.make()
        agent = self.agent("child")
        call = agent.start("open(d + '/a').read()", d=self.path).parked()
        agent.signal(signal.SIGSTOP)
        agent.signal(signal.SIGCONT)
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(call.value(), "aaa")


@in_modes(ROOT, DAEMON)
class Time_out(Refusals):
    def test_wait_ends_with_etimedout(self):
        mount = self.mount("wait_timeout=1")
        self.make()
        calls = [self.agent("child").start(code, d=self.path) for code in (
            "open(d + '/a')", "os.stat(d + '/never')", "os.listdir(d)", "open(d + '/no/never')")]
        began = time.monotonic()
        for call in calls:
            call.fails("ETIMEDOUT", patience=10)
            self.assertGreater(call.ended - began, 0.5)
        mount.await_log(r"parent")
        self.assertEqual(self.status(self.path)["waiters"], [])
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(calls[0].agent("open(d + '/a').read()", d=self.path), "aaa")

    def test_seal_within_the_time_is_seen(self):
        self.mount("wait_timeout=60")
        self.make()
        call = self.agent("child").start("open(d + '/a').read()", d=self.path).parked()
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(call.value(), "aaa")


@in_modes(*ALL_MODES)
class Cycle(Refusals):
    def test_wait_that_would_close_a_cycle_gets_edeadlk(self):
        mount = self.mount()
        one, two = self.make("one", self.point + "/one"), self.make("two", self.point + "/two")
        first = one.start("open(d + '/two/a').read()", d=self.point).parked()
        second = two.start("open(d + '/one/a').read()", d=self.point)
        second.fails("EDEADLK", patience=10)
        first.parked()
        mount.await_log(r"(?i)cycle|deadlock|EDEADLK")
        self.ctl("seal", self.point + "/two", trial="two")
        self.assertEqual(first.value(), "aaa")
        self.ctl("seal", self.point + "/one", trial="one")
        self.assertEqual(two("open(d + '/one/a').read()", d=self.point), "aaa")

    def test_cycle_of_three(self):
        self.mount()
        agents = [self.make(name, "%s/%s" % (self.point, name)) for name in ("one", "two", "three")]
        first = agents[0].start("os.listdir(d + '/two')", d=self.point).parked()
        second = agents[1].start("os.path.exists(d + '/three/never')", d=self.point).parked()
        agents[2].start("open(d + '/one/a').read()", d=self.point).fails("EDEADLK", patience=10)
        self.ctl("abandon", self.point + "/three", trial="three")
        # os.path.exists() says no for every error
        self.assertIs(second.value(), False)
        self.ctl("seal", self.point + "/two", trial="two")
        self.assertEqual(sorted(first.value()), ["a", "l", "sub"])

    def test_chain_is_no_cycle(self):
        self.mount()
        agents = [self.make(name, "%s/%s" % (self.point, name)) for name in ("one", "two", "three")]
        first = agents[0].start("open(d + '/two/a').read()", d=self.point).parked()
        second = agents[1].start("open(d + '/three/a').read()", d=self.point).parked()
        self.ctl("seal", self.point + "/three", trial="three")
        self.assertEqual(second.value(), "aaa")
        first.parked()
        self.ctl("seal", self.point + "/two", trial="two")
        self.assertEqual(first.value(), "aaa")

    def test_reservation_takes_part_in_cycles(self):
        """The one who will write a reserved checkpoint waits for the one who waits for it."""
        self.mount()
        self.reserve(self.point + "/two", writer="two")
        one = self.make("one", self.point + "/one")
        one.start("open(d + '/two/a').read()", d=self.point).parked()
        self.agent("two").start("open(d + '/one/a').read()", d=self.point).fails("EDEADLK", patience=10)


@in_modes(*ALL_MODES)
class Hidden_names(Refusals):
    def test_state_of_sealfs_is_invisible_and_untouchable(self):
        self.mount()
        parent = self.make()
        parent("open(d + '/file.pt', 'w').write('x')", d=self.point)
        self.ctl("seal", self.path, trial="parent")
        self.ctl("seal", self.point + "/file.pt", trial="parent")
        self.assertTrue(os.path.isdir(self.exported(".sealfs")))
        self.assertTrue(os.path.isdir(self.exported("parent/.seal")))
        self.assertTrue(os.path.isdir(self.exported(".file.pt.seal")))
        os.mkdir(self.exported(".sealtuner"))
        reader = self.agent("child")
        self.assertEqual(reader("sorted(os.listdir(d))", d=self.point), ["file.pt", "parent"])
        self.assertEqual(reader("sorted(os.listdir(d))", d=self.path), ["a", "l", "sub"])
        for name in (".sealfs", ".sealfs/config", ".sealfs/state", "parent/.seal", "parent/.seal/manifest", ".file.pt.seal", ".file.pt.seal/seal", ".sealtuner"):
            with self.subTest(name):
                self.assertEqual(reader.error("os.lstat(p)", p=os.path.join(self.point, name)), "ENOENT")
                self.assertEqual(reader.error("os.listdir(p)", p=os.path.join(self.point, name)), "ENOENT")
                self.assertEqual(reader.error("open(p)", p=os.path.join(self.point, name)), "ENOENT")
                self.assertIn(reader.error("os.unlink(p)", p=os.path.join(self.point, name)), ("ENOENT", "EPERM", "EROFS"))
                self.assertIn(reader.error("os.rename(p, d + '/x')", p=os.path.join(self.point, name), d=self.point), ("ENOENT", "EPERM", "EROFS", "EXDEV"))

    def test_creating_a_hidden_name_is_not_permitted(self):
        self.mount()
        parent = self.make()
        for name in (".sealfs", ".sealtuner", ".x.seal", "parent/.seal", "parent/.nfs0001", "parent/sub/.nfs0001", ".nfs0002"):
            for how in ("os.mkdir(p)", "os.open(p, os.O_CREAT | os.O_WRONLY)", "os.symlink('x', p)", "os.mkfifo(p)"):
                with self.subTest(name, how=how):
                    self.assertEqual(parent.error(how, p=os.path.join(self.point, name)), "EPERM")
        for name in (".seal", ".nfs0001", "sub/.nfs0001"):
            for how in ("os.rename(d + '/a', p)", "os.link(d + '/a', p)", "os.rename(d + '/sub', p)"):
                with self.subTest(name, how=how):
                    self.assertIn(parent.error(how, d=self.path, p=os.path.join(self.path, name)), ("EPERM", "EINVAL"))
        self.assertEqual(parent("sorted(os.listdir(d))", d=self.path), ["a", "l", "sub"])

    def test_left_overs_of_nfs_are_neither_listed_nor_sealed(self):
        self.mount()
        parent = self.make()
        for name in (".nfs000000000001", "sub/.nfs000000000002"):
            with open(self.exported("parent", name), "w") as file:
                file.write("left")
        self.assertEqual(parent("sorted(os.listdir(d))", d=self.path), ["a", "l", "sub"])
        self.assertIs(parent("os.path.exists(d + '/.nfs000000000001')", d=self.path), False)
        self.ctl("seal", self.path, trial="parent")
        with open(self.exported("parent/.seal/manifest")) as file:
            self.assertNotIn(".nfs", file.read())
        self.assertEqual(self.agent("child")("sorted(os.listdir(d))", d=self.path), ["a", "l", "sub"])
        self.assertEqual(self.agent("child").error("open(d + '/.nfs000000000001')", d=self.path), "ENOENT")

    def test_same_names_are_ordinary_where_they_mean_nothing(self):
        self.mount()
        parent = self.make()
        parent("open(d + '/sub/.seal', 'w').write('x'); open(d + '/sub/.b.seal', 'w').write('y'); os.mkdir(d + '/.sealfs')", d=self.path)
        self.assertEqual(parent("sorted(os.listdir(d + '/sub'))", d=self.path), [".b.seal", ".seal", "b"])
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(self.agent("child")("open(d + '/sub/.seal').read()", d=self.path), "x")


@in_modes(DAEMON)
class Log(Refusals):
    """Each of these leaves a line that names path, writer, host, state and what helps."""

    def test_waiting_is_logged(self):
        mount = self.mount()
        self.make()
        self.agent("child").start("open(d + '/a').read()", d=self.path).parked()
        line = mount.await_log(r"^.*\bparent\b.*$").group(0)
        host = os.uname().nodename
        lines = [text for text in mount.log().splitlines() if "wait" in text]
        self.assertTrue(lines, mount.log())
        for word in ("parent", host, "open", "sealctl"):
            self.assertTrue(any(word in text for text in lines), (word, lines, line))

    def test_refused_change_is_logged(self):
        mount = self.mount()
        self.make()
        self.agent("other").error("os.open(d + '/a', os.O_WRONLY)", d=self.path)
        line = mount.await_log(r"^.*(EBUSY|[Bb]usy).*$").group(0)
        for word in ("'parent'", "'other'", os.uname().nodename, "it is open", "'sealctl status parent'"):
            self.assertIn(word, line)

    def test_end_of_the_daemon_is_clean_while_readers_wait(self):
        mount = self.mount()
        self.make()
        calls = [self.agent("child").start(code, d=self.path) for code in INTERRUPTED.values()]
        all_parked(*calls)
        mount.unmount()
        for call in calls:
            call.finish(patience=10)
            self.assertLess(call.value(), 0)


if __name__ == "__main__":
    main()
