#!/usr/bin/python3
# time limit: 180
"""How sealfs(8) starts: what it accepts, what it refuses and with which sentence, and when the parent returns."""

import os
import re
import signal
import subprocess

from harness import DAEMON, PATIENCE, ROOT, USER, SealfsTest, detach, environment, in_modes, main, marked_processes, mounts, tools, until

PROMPT = 5  # seconds


class Starting(SealfsTest):
    def setUp(self):
        super().setUp()
        self.sealfs = os.path.join(tools(), "sealfs")

    def give_to_owner(self, path):
        if os.geteuid() == 0:
            os.chown(path, self.mode.owner, self.mode.owner)

    def start(self, *arguments, **more):
        return self.run_program([self.sealfs, *arguments], uid=self.mode.owner, **more)

    def check_refused(self, *arguments, says, foreground=True, **more):
        for flags in ([], ["-f"]) if foreground else ([],):
            with self.subTest(flags=flags):
                try:
                    result = self.start(*flags, *arguments, patience=PROMPT, **more)
                finally:
                    self.check_nothing_mounted()
                self.assertGreater(result.status, 0, result)
                for word in says if isinstance(says, (list, tuple)) else [says]:
                    self.assertRegex(result.err, word)
                self.assertRegex(result.err, r"(?m)^sealfs: ")

    def check_nothing_mounted(self):
        left = [point for point in mounts() if point.startswith(self.scratch)]
        for point in left:
            detach(point)
        self.assertEqual(left, [], "mounted all the same")

    def daemons(self):
        """Background daemons of this test."""
        found = []
        for pid in marked_processes():
            try:
                if os.readlink("/proc/%d/exe" % pid).split(" ")[0] == self.sealfs:
                    found.append(pid)
            except OSError:
                pass
        return found

    def unmount(self, point=None):
        point = point or self.point
        command = ["umount", point] if self.mode.owner == 0 else ["fusermount3", "-u", point]
        result = self.run_program(command, uid=self.mode.owner)
        if result.status != 0:
            detach(point)
        self.assertEqual(result.status, 0, result)
        until(lambda: self.daemons() == [], "the end of the daemon after the unmount")

    def options_of_mount(self):
        with open("/proc/self/mountinfo") as table:
            lines = [line.split(" ") for line in table if line.split(" ")[4] == self.point]
        self.assertEqual(len(lines), 1)
        return lines[0]


@in_modes(DAEMON, USER)
class Refusals(Starting):
    def test_missing_export(self):
        self.check_refused(self.scratch + "/nowhere", self.point, says=[re.escape(self.scratch + "/nowhere"), "No such file|not exist|not there"])

    def test_export_that_is_a_file(self):
        path = self.scratch + "/file"
        with open(path, "w"):
            pass
        self.check_refused(path, self.point, says=[re.escape(path), "(?i)not a directory"])

    def test_missing_mountpoint(self):
        self.check_refused(self.export, self.scratch + "/nowhere", says=re.escape(self.scratch + "/nowhere"))

    def test_mountpoint_that_is_a_file(self):
        path = self.scratch + "/file"
        with open(path, "w"):
            pass
        self.check_refused(self.export, path, says=re.escape(path))

    def test_export_equal_to_the_mountpoint(self):
        for point in (self.export, self.export + "/", self.export + "/.", os.path.join(self.scratch, "tmp/../export")):
            self.check_refused(self.export, point, says=re.escape(self.export))

    def test_export_equal_to_the_mountpoint_by_symlink(self):
        os.symlink("export", self.scratch + "/alias")
        self.check_refused(self.scratch + "/alias", self.export, says="(?i)same|equal|itself|inside")

    def test_export_inside_the_mountpoint(self):
        inside = self.point + "/export"
        os.mkdir(inside)
        self.give_to_owner(inside)
        self.check_refused(inside, self.point, says=[re.escape(inside), "(?i)inside|within|below|contains"])

    def test_mountpoint_inside_the_export(self):
        inside = self.exported("mnt")
        os.mkdir(inside)
        self.give_to_owner(inside)
        self.check_refused(self.export, inside, says=[re.escape(inside), "(?i)inside|within|below|contains"])

    def test_config_of_a_newer_version(self):
        os.mkdir(self.exported(".sealfs"))
        with open(self.exported(".sealfs/config"), "w") as file:
            file.write("version = 7\ndepth = 1\nfancy = yes\n")
        self.check_refused(self.export, self.point, says=[re.escape(".sealfs/config"), r"\b7\b", "(?i)version"])

    def test_unknown_option_is_wrong_usage_in_the_background_too(self):
        for flags in ([], ["-f"]):
            with self.subTest(flags=flags):
                result = self.start(*flags, "-o", "nosuchoption", self.export, self.point, patience=PROMPT)
                self.assertEqual(result.status, 2, result)
                self.assertRegex(result.err, "nosuchoption")
                self.assertRegex(result.err, "sealfs -h")
        self.check_nothing_mounted()

    def test_wrong_usage(self):
        for arguments in ([], [self.export], [self.export, self.point, "third"], ["--nonsense", self.export, self.point], ["-o"],
                          [self.export, self.point, "-o"], ["-z", self.export, self.point]):
            with self.subTest(arguments):
                result = self.start(*arguments)
                self.assertGreater(result.status, 0, result)
                self.assertTrue(result.err)
                self.check_nothing_mounted()

    def test_wrong_values_of_options(self):
        for option in ("verify=sometimes", "wait_timeout=-1", "wait_timeout=soon", "wait_timeout=", "passthrough=maybe", "trial_env=A=B", "nonsense",
                       "nonsense=1"):
            with self.subTest(option):
                self.check_refused("-o", option, self.export, self.point, says=re.escape(option.split("=")[0]))

    def test_dead_mountpoint(self):
        mount = self.mount()
        mount.kill()
        for flags in ([], ["-f"]):
            result = self.start(*flags, self.export, self.point)
            self.assertGreater(result.status, 0, result)
            self.assertLess(result.seconds, PROMPT)
            self.assertIn(self.point, result.err)
            self.assertRegex(result.err, r"fusermount3? -u|umount")
        # and the command that it names does help
        command = re.search(r"((?:fusermount3? -u|umount)(?: -\w+)*) ", result.err).group(1).split()
        cleared = self.run_program(command + [self.point], uid=self.mode.owner)
        self.assertEqual(cleared.status, 0, cleared)
        self.mount()

    def test_dead_mount_as_export(self):
        mount = self.mount()
        mount.kill()
        other = self.make_dir("mnt-2", 0o755, self.mode.owner)
        result = self.start("-f", self.point, other, patience=10)
        self.assertGreater(result.status, 0, result)
        self.assertIn(self.point, result.err)

    def test_failed_start_leaves_export_and_mountpoint_as_they_were(self):
        for option in ("verify=sometimes", "nonsense", "nonsense=1", "key=" + self.scratch + "/none", "trust=" + self.scratch + "/none"):
            result = self.start("-f", "-o", option, self.export, self.point)
            self.assertGreater(result.status, 0)
            if option.startswith("trust"):
                self.assertIn("the trust directory '%s/none': No such file or directory; make it" % self.scratch, result.err)
            self.assertEqual(os.listdir(self.export), [], option)
        self.assertEqual(os.listdir(self.point), [])
        self.assertEqual(os.listdir(self.export), [])
        self.mount()


@in_modes(USER)
class Refusals_for_ordinary_users(Starting):
    def test_unwritable_export(self):
        os.chmod(self.export, 0o555)
        self.check_refused(self.export, self.point, says=[re.escape(self.export), "(?i)writ|permission"])
        self.assertEqual(os.listdir(self.export), [])

    def test_unreadable_export(self):
        os.chmod(self.export, 0o000)
        self.check_refused(self.export, self.point, says=[re.escape(self.export), "(?i)permission"])

    def test_mountpoint_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to make one")
        point = self.make_dir("closed", 0o755, 0)
        self.check_refused(self.export, point, says="(?i)permi|access|fusermount")

    def test_allow_other_where_it_is_forbidden(self):
        with open("/etc/fuse.conf") as file:
            if re.search(r"(?m)^user_allow_other", file.read()):
                self.skipTest("user_allow_other is set")
        self.check_refused("-o", "allow_other", self.export, self.point, says="allow_other|fusermount")


@in_modes(DAEMON)
class Read_only_export(Starting):
    def test_refused_unless_ro(self):
        """An export that even root may not write: a read-only mount."""
        for command in (["mount", "--bind", self.export, self.export], ["mount", "-o", "remount,bind,ro", self.export]):
            self.assertEqual(self.run_program(command, uid=0).status, 0)
        try:
            result = self.start("-f", self.export, self.point)
            self.assertGreater(result.status, 0, result)
            self.assertRegex(result.err, "(?i)writ|read-only")
            self.assertRegex(result.err, r"\bro\b")
            mount = self.mount("ro")
            self.assertEqual(self.agent("child")("os.listdir(d)", d=self.point), [])
            mount.unmount()
        finally:
            self.run_program(["umount", self.export], uid=0)


@in_modes(DAEMON, USER)
class Arguments(Starting):
    def test_help(self):
        for flag in ("-h", "--help"):
            result = self.start(flag)
            self.assertEqual(result.status, 0, result)
            self.assertRegex(result.out, r"(?i)usage:.*sealfs")
            self.assertEqual(result.err, "")
            for word in ("EXPORT", "MOUNTPOINT", "-o", "wait_timeout", "passthrough", "verify"):
                self.assertIn(word, result.out)

    def test_version(self):
        for flag in ("-V", "--version"):
            result = self.start(flag)
            self.assertEqual(result.status, 0, result)
            self.assertRegex(result.out, r"sealfs.*\d+\.\d+")

    def test_options_anywhere(self):
        opts = ",".join(self.mode.options + ["wait_timeout=77"])
        for order in ([self.export, self.point, "-f", "-o", opts], [self.export, "-f", "-o", opts, self.point],
                      ["-o", opts, self.export, "-f", self.point], ["-f", self.export, self.point, "-o" + opts], ["-f", "-o", opts, self.export, self.point],
                      ["-o", "wait_timeout=77", self.export, self.point, "-f", "-o", opts], ["-f", "-o", opts, "--", self.export, self.point]):
            with self.subTest(order):
                process = self.spawn([self.sealfs, *order], uid=self.mode.owner)
                try:
                    until(lambda: self.point in mounts() or not process.running(), "the mount")
                    self.assertTrue(process.running(), process.output())
                    agent = self.agent("x")
                    info = agent("""
                        fd = os.open(d, os.O_RDONLY)
                        result = control(fd, 1)
                        os.close(fd)
                        """, d=self.point)
                    agent.close()
                    self.assertEqual(info[0], 0)
                    self.assertRegex(info[1].decode(), r'"wait_timeout":\s*77\b')
                finally:
                    process.signal(signal.SIGTERM)
                    self.assertEqual(process.wait(), 0)
                self.assertNotIn(self.point, mounts())

    def test_last_of_two_values_counts(self):
        self.mount("wait_timeout=5", "wait_timeout=6")
        result = self.agent("x")("fd = os.open(d, os.O_RDONLY); result = control(fd, 1)", d=self.point)
        self.assertRegex(result[1].decode(), r'"wait_timeout":\s*6\b')

    def test_relative_paths(self):
        result = self.run_program([self.sealfs] + self.with_options() + ["export", "mnt"], uid=self.mode.owner, cwd=self.scratch)
        self.assertEqual(result.status, 0, result)
        try:
            self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/p")
            self.assertTrue(os.path.exists(self.exported("p/a")))
        finally:
            self.close_agents()
            self.unmount()

    def with_options(self):
        return ["-o", ",".join(self.mode.options)] if self.mode.options else []

    def close_agents(self):
        for process in self.processes:
            process.close()

    def test_symlinks_to_export_and_mountpoint(self):
        os.symlink("export", self.scratch + "/to-export")
        os.symlink("mnt", self.scratch + "/to-mnt")
        self.mount(export=self.scratch + "/to-export")
        self.agent("x")("os.mkdir(d)", d=self.point + "/p")
        self.assertTrue(os.path.isdir(self.exported("p")))

    def test_names_in_the_mount_table(self):
        self.mount()
        fields = self.options_of_mount()
        kind, source = fields[fields.index("-") + 1], fields[fields.index("-") + 2]
        self.assertEqual(kind, "fuse.sealfs")
        self.assertIn(source, (self.export, "sealfs"))

    def test_fsname_of_the_caller(self):
        self.mount("fsname=thing")
        fields = self.options_of_mount()
        self.assertEqual(fields[fields.index("-") + 2], "thing")

    def test_debug_output(self):
        process = self.spawn([self.sealfs, "-d", *self.with_options(), self.export, self.point], uid=self.mode.owner)
        until(lambda: self.point in mounts() or not process.running(), "the mount")
        self.assertTrue(process.running(), process.output())
        self.agent("x")("os.listdir(d)", d=self.point)
        until(lambda: "INIT" in process.output() or "READDIR" in process.output() or "LOOKUP" in process.output(), "the debug output")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)

    def test_single_threaded(self):
        """-s: parked requests still hold no thread."""
        process = self.spawn([self.sealfs, "-f", "-s", *self.with_options(), self.export, self.point], uid=self.mode.owner)
        until(lambda: self.point in mounts() or not process.running(), "the mount")
        self.assertTrue(process.running(), process.output())
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/p")
        waiting = [self.agent("child").start("open(d + '/a').read()", d=self.point + "/p").parked() for _ in range(3)]
        parent("open(d + '/b', 'w').write('y'); os.listdir(d)", d=self.point + "/p")
        self.ctl("seal", self.point + "/p", trial="parent")
        self.assertEqual([call.value() for call in waiting], ["x"] * 3)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)


@in_modes(DAEMON, USER)
class Background(Starting):
    def with_options(self):
        return ["-o", ",".join(self.mode.options)] if self.mode.options else []

    def test_parent_returns_when_the_mount_works(self):
        for _ in range(5):
            result = self.start(*self.with_options(), self.export, self.point)
            try:
                self.assertEqual(result.status, 0, result)
                self.assertIn(self.point, mounts())
                look = self.run_program(["/bin/ls", "-a", self.point], uid=self.uid, patience=5)
                self.assertEqual((look.status, look.out.split()), (0, [".", ".."]))
                self.assertEqual(len(self.daemons()), 1)
                self.check_detached(self.daemons()[0])
            finally:
                self.unmount()

    def check_detached(self, pid):
        with open("/proc/%d/stat" % pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        self.assertEqual(int(fields[1]) == os.getpid(), False)
        self.assertEqual(int(fields[4]), 0, "has a terminal")
        self.assertEqual(os.readlink("/proc/%d/cwd" % pid), "/")
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink("/proc/%d/fd/%d" % (pid, fd)), "/dev/null")

    def test_output_is_closed_so_that_a_pipe_ends(self):
        """`sealfs … | cat` must not hang for as long as the mount lives."""
        result = self.run_program(["/bin/sh", "-c", '"$@" 2>&1 | cat; echo end', "sh", self.sealfs, *self.with_options(), self.export, self.point],
                                  uid=self.mode.owner, patience=10)
        try:
            self.assertTrue(result.out.endswith("end\n"), result)
        finally:
            self.unmount()

    def test_started_without_standard_input_and_output(self):
        for name, closed in (("in the background", ()), ("in the foreground", ("-f",))):
            with self.subTest(name):
                starter = self.spawn(["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", self.sealfs, *closed, *self.with_options(), self.export, self.point],
                                     uid=self.mode.owner)
                until(lambda: self.point in mounts(), "the mount")
                try:
                    path = self.point + "/" + name
                    self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=path)
                    reading = self.agent("child").start("open(d + '/a').read()", d=path).parked()
                    self.ctl("seal", path, trial="parent")
                    self.assertEqual(reading.value(), "x")
                finally:
                    for process in self.processes:
                        if process is not starter:
                            process.close()
                    self.unmount()
                    starter.close()

    def test_failure_is_told_by_the_parent(self):
        result = self.start(*self.with_options(), self.export, self.scratch + "/nowhere")
        self.assertGreater(result.status, 0)
        self.assertIn("nowhere", result.err)
        self.assertEqual(self.daemons(), [])

    def test_sigterm_unmounts(self):
        self.start(*self.with_options(), self.export, self.point)
        (daemon,) = self.daemons()
        os.kill(daemon, signal.SIGTERM)
        until(lambda: self.point not in mounts() and self.daemons() == [], "the unmount")

    def test_works_as_before(self):
        self.start(*self.with_options(), self.export, self.point)
        try:
            self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/p")
            reading = self.agent("child").start("open(d + '/a').read()", d=self.point + "/p").parked()
            self.ctl("seal", self.point + "/p", trial="parent")
            self.assertEqual(reading.value(), "x")
        finally:
            for process in self.processes:
                process.close()
            self.unmount()


@in_modes(ROOT, DAEMON, USER)
class First_mount(Starting):
    def test_export_without_a_config_is_initialised_and_it_says_so(self):
        mount = self.mount()
        self.assertTrue(os.path.isfile(self.exported(".sealfs/config")))
        self.assertRegex(mount.log(), r"(?i)initiali[sz]ed|new export|made.*config|\.sealfs/config")
        with open(self.exported(".sealfs/config")) as file:
            text = file.read()
        self.assertRegex(text, r"(?m)^version = 1$")
        self.assertRegex(text, r"(?m)^depth = 1$")

    def test_config_is_kept(self):
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)
        with open(self.exported(".sealfs/config")) as file:
            before = file.read()
        self.mount()
        with open(self.exported(".sealfs/config")) as file:
            self.assertEqual(file.read(), before)

    def test_passthrough_is_told(self):
        mount = self.mount()
        reply = self.agent("x")("fd = os.open(d, os.O_RDONLY); result = control(fd, 1)", d=self.point)
        told = re.search(r'"passthrough":\s*(true|false)', reply[1].decode()).group(1) == "true"
        if self.mode.name != "root":
            self.assertFalse(told)
        elif not kernel_has_passthrough():
            self.skipTest("this kernel has no passthrough")
        else:
            self.assertTrue(told, mount.log())

    def test_passthrough_is_used(self):
        """With it a megabyte written and read moves through the daemon not at all."""
        self.mount()
        agent = self.agent("parent")
        reply = agent("fd = os.open(d, os.O_RDONLY); result = control(fd, 1)", d=self.point)
        if not re.search(r'"passthrough":\s*true', reply[1].decode()):
            self.skipTest("no passthrough here")
        agent("os.mkdir(d); file = open(d + '/a', 'w+b', buffering=0)", d=self.point + "/p")
        before = self.moved()
        agent("""
            for _ in range(16):
                file.write(b'x' * (1 << 20))
            file.seek(0)
            while file.read(1 << 20):
                pass
            """)
        self.assertLess(self.moved() - before, 1 << 20)

    def moved(self):
        with open("/proc/%d/io" % self.mounted[0].pid) as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(("rchar", "wchar")))

    def test_second_start_on_a_mountpoint_is_refused_whatever_the_export(self):
        self.mount()
        other = self.make_dir("other", 0o755, self.mode.owner)
        for export in (self.export, other):
            for flags in ((), ("-f",)):
                result = self.start(*flags, export, self.point + "/", patience=PATIENCE)
                self.assertEqual(result.status, 1, result)
                self.assertIn("on '%s' sealfs has mounted '%s' already" % (self.point, self.export), result.err)
                self.assertIn("fusermount3 -u %s" % self.point, result.err)
        self.assertEqual(self.agent("x")("os.listdir(d)", d=self.point), [])
        # the same export elsewhere is another thing
        self.mount(point=self.make_dir("mnt-2", 0o755, self.mode.owner), name="elsewhere")

    def test_read_only(self):
        self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/p")
        self.ctl("seal", self.point + "/p", trial="parent")
        for process in self.processes:
            process.close()
        self.mounted[0].unmount()
        self.mount("ro")
        agent = self.agent("parent")
        self.assertEqual(agent("open(d + '/a').read()", d=self.point + "/p"), "x")
        for code in ("os.mkdir(d + '/n')", "open(d + '/n', 'w')", "os.unlink(d + '/p/a')", "os.chmod(d + '/p', 0o700)", "os.rename(d + '/p', d + '/q')"):
            self.assertEqual(agent.error(code, d=self.point), "EROFS", code)
        self.assertNotEqual(self.sealctl("rm", self.point + "/p").status, 0)
        self.assertNotEqual(self.sealctl("reserve", self.point + "/q").status, 0)

    def test_read_only_export_of_somebody_else(self):
        """`ro` needs no right to write, and writes nothing."""
        self.mount().unmount()
        with open(self.exported("plain"), "w") as file:
            file.write("x")
        before = {name: os.stat(self.exported(name)).st_mtime_ns for name in os.listdir(self.export)}
        os.chmod(self.export, 0o555)
        self.mount("ro")
        self.assertEqual(self.agent("x")("open(d + '/plain').read()", d=self.point), "x")
        self.assertEqual({name: os.stat(self.exported(name)).st_mtime_ns for name in os.listdir(self.export)}, before)

    def test_read_only_of_a_bare_export_makes_nothing_in_it(self):
        self.mount("ro")
        self.assertEqual(self.agent("x")("os.listdir(d)", d=self.point), [])
        self.assertEqual(os.listdir(self.export), [])


def kernel_has_passthrough():
    """Asked of the kernel's configuration where it tells; otherwise assumed not, so that nothing is demanded."""
    try:
        import gzip
        with gzip.open("/proc/config.gz", "rt") as file:
            return "CONFIG_FUSE_PASSTHROUGH=y" in file.read()
    except OSError:
        return False


@in_modes(DAEMON)
class As_mount_helper(Starting):
    def test_mount_type_fuse_sealfs(self):
        """mount -t fuse.sealfs, as fstab does: mount.fuse runs the program by its name."""
        helper = next((path for path in ("/sbin/mount.fuse3", "/sbin/mount.fuse", "/usr/sbin/mount.fuse3") if os.path.exists(path)), None)
        if helper is None:
            self.skipTest("no mount.fuse")
        result = subprocess.run([helper, self.export, self.point, "-t", "fuse.sealfs", "-o", "rw,allow_other,passthrough=off,nosuid,nodev,noauto,_netdev"],
                                env=environment(extra={"PATH": tools() + ":/usr/sbin:/usr/bin:/sbin:/bin"}), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
        try:
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertIn(self.point, mounts())
        finally:
            if self.point in mounts():
                self.unmount()


if __name__ == "__main__":
    main()
