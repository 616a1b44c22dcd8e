#!/usr/bin/python3
# time limit: 240
"""What somebody might try who is not of the trial that writes: nothing of an unsealed checkpoint is had by it, nobody is lost in it,
and what is sealed stays as it is."""

import inspect
import os

from harness import ALL_MODES, DAEMON, ROOT, USER, SealfsTest, all_parked, in_modes, main, pattern, until

CONTENT = pattern(100_000, 3)
# As setproctitle(3) and its kin do: the title is written over the arguments, and the rest, with the environment, is wiped.
SET_TITLE = """
    numbers = open('/proc/self/stat').read().rpartition(')')[2].split()
    first, last = int(numbers[45]), int(numbers[48])  # arg_start, env_end
    title = b'trainer: a long title, as those have that show step and loss' + b'.' * (int(numbers[46]) - first)
    ctypes.memset(first, 0, last - first)
    ctypes.memmove(first, title, min(len(title), last - first - 1))
    """


class Around(SealfsTest):
    def setUp(self):
        super().setUp()
        self.path = self.point + "/parent"

    def make(self, trial="parent", path=None):
        agent = self.agent(trial)
        agent("os.makedirs(d, exist_ok=True); open(d + '/a', 'wb').write(data); os.mkdir(d + '/sub'); open(d + '/sub/b', 'w').write('b'); os.symlink('a', d + '/l')",
              d=path or self.path, data=CONTENT)
        return agent

    def seal(self, path=None, trial="parent"):
        self.ctl("seal", path or self.path, trial=trial)


@in_modes(*ALL_MODES)
class Attributes(Around):
    """Extended attributes are content, too: a step count, a loss."""

    def setUp(self):
        super().setUp()
        self.mount()
        self.parent = self.make()
        if self.parent.error("os.setxattr(d + '/a', 'user.step', b'17')", d=self.path):
            self.skipTest("no extended attributes on the export")

    def test_of_an_unsealed_file_wait(self):
        self.parent("os.setxattr(d + '/sub', 'user.step', b'17'); os.setxattr(d, 'user.step', b'17')", d=self.path)
        calls = {code: self.agent("child").start(code, d=self.path) for code in (
            "os.getxattr(d + '/a', 'user.step')", "os.listxattr(d + '/a')", "os.getxattr(d + '/l', 'user.step')",
            "os.getxattr(d + '/sub', 'user.step')", "os.getxattr(d, 'user.step')", "os.getxattr(d + '/sub/b', 'user.none')")}
        all_parked(*calls.values())
        self.parent("[os.setxattr(p, 'user.step', b'18') for p in (d, d + '/a', d + '/sub')]", d=self.path)
        all_parked(*calls.values())
        self.seal()
        self.assertEqual([call.error() or call.value() for call in calls.values()], [b"18", ["user.step"], b"18", b"18", b"18", "ENODATA"])

    def test_of_a_failed_file_are_refused(self):
        self.ctl("abandon", self.path)
        child = self.agent("child")
        for code in ("os.getxattr(d + '/a', 'user.step')", "os.listxattr(d + '/a')"):
            self.assertEqual(child.error(code, d=self.path), "EOWNERDEAD", code)

    def test_long_listing_of_what_is_above_does_not_wait(self):
        """ls -l asks for attributes of all that it shows."""
        self.parent("os.setxattr(d, 'user.step', b'17')", d=self.path)
        child = self.agent("child")
        self.assertEqual(child("[os.listxattr(d), os.listxattr(d + '/sub')]", d=self.path), [[], []])
        self.assertEqual(child.error("os.getxattr(d, 'security.selinux')", d=self.path), "ENODATA")
        self.assertIn("parent", child("subprocess.run(['ls', '-la', d], stdout=-1, check=True).stdout.decode()", d=self.point))

    def test_of_the_own_checkpoint_are_there(self):
        self.assertEqual(self.parent("[os.getxattr(d + '/a', 'user.step'), os.listxattr(d + '/a')]", d=self.path), [b"17", ["user.step"]])


@in_modes(*ALL_MODES)
class Other_ways_in(Around):
    def setUp(self):
        super().setUp()
        self.mount()

    def check_waits(self, *codes, expected, **variables):
        calls = [self.agent("child").start(code, d=self.path, **variables) for code in codes]
        all_parked(*calls)
        self.parent("open(d + '/a', 'r+b').write(data)", d=self.path, data=CONTENT[::-1])
        all_parked(*calls)
        self.seal()
        for code, call, value in zip(codes, calls, expected):
            self.assertEqual(call.value(), value, code)

    def test_symlink_from_elsewhere(self):
        self.parent = self.make()
        self.agent("child")("os.symlink('parent/a', p + '/alias'); os.symlink(p + '/parent', t + '/way')", p=self.point, t=self.tmp)
        self.check_waits("open(p + '/alias', 'rb').read()", "os.stat(p + '/alias').st_size", "open(t + '/way/a', 'rb').read()",
                         "sorted(os.listdir(t + '/way'))", expected=[CONTENT[::-1], len(CONTENT), CONTENT[::-1], ["a", "l", "sub"]],
                         p=self.point, t=self.tmp)

    def test_paths_of_the_writer_s_descriptors(self):
        self.parent = self.make()
        fd = self.parent("os.open(d + '/a', os.O_RDONLY)", d=self.path)
        self.check_waits("open('/proc/%d/fd/%d' % (pid, fd), 'rb').read()", "os.stat('/proc/%d/fd/%d' % (pid, fd)).st_size",
                         expected=[CONTENT[::-1], len(CONTENT)], pid=self.parent.pid, fd=fd)

    def test_current_directory_from_before(self):
        self.reserve(self.path, writer=None)
        child, listing = self.agent("child"), self.agent("child")
        for agent in (child, listing):
            agent("os.chdir(d)", d=self.path)
        self.parent = self.agent("parent")
        self.parent("open(d + '/a', 'wb').write(data)", d=self.path, data=CONTENT)
        calls = [child.start("open('a', 'rb').read()"), listing.start("os.listdir('.')")]
        all_parked(*calls)
        self.seal()
        self.assertEqual([call.value() for call in calls], [CONTENT, ["a"]])

    def test_descriptor_of_an_earlier_generation(self):
        """It leads to what has failed, never to what comes after it."""
        self.make("first")
        reader = self.agent("child")
        fd = reader("os.open(d, os.O_PATH)", d=self.path)
        file = reader("os.open(d + '/a', os.O_PATH)", d=self.path)
        self.ctl("abandon", self.path)
        second = self.make("second")
        for code in ("os.listdir('/proc/self/fd/%d' % fd)", "os.open('a', os.O_RDONLY, dir_fd=fd)", "open('/proc/self/fd/%d' % file).read()",
                     "os.stat('a', dir_fd=fd)", "os.fstat(file)"):
            self.assertIn(reader.error(code, fd=fd, file=file), ("ESTALE", "ENOENT", "EOWNERDEAD"), code)
        second("open(d + '/a', 'wb').write(b'second')", d=self.path)
        call = reader.start("open(d + '/a', 'rb').read()", d=self.path).parked()
        self.seal(trial="second")
        self.assertEqual(call.value(), b"second")

    def test_descriptor_that_a_writer_of_a_failed_generation_kept(self):
        """What it goes on to write is in nobody's seal."""
        first = self.make("first")
        first("file = open(d + '/a', 'r+b', buffering=0); view = __import__('mmap').mmap(file.fileno(), 0)", d=self.path)
        self.ctl("abandon", self.path)
        second = self.make("second")
        first("file.write(b'late'); view[50:54] = b'late'; view.flush()")
        second("open(d + '/a', 'rb').read() == data or 1 / 0", d=self.path, data=CONTENT)
        self.seal(trial="second")
        first("file.write(b'later'); view[60:64] = b'late'; view.flush()")
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.path), CONTENT)

    def test_change_notices_tell_names_and_nothing_else(self):
        """inotify(7) does not ask the file system; the manual says what it tells."""
        self.make()
        child = self.agent("child")
        child("fd = libc.inotify_init1(0o4000); libc.inotify_add_watch(fd, os.fsencode(d), 0xfff) > 0 or 1 / 0", d=self.path)
        self.agent("parent")("open(d + '/later', 'wb').write(data)", d=self.path, data=CONTENT)
        told = child.error("result = os.read(fd, 65536)") is None
        calls = [self.agent("child").start(code, d=self.path) for code in ("open(d + '/later', 'rb').read()", "os.stat(d + '/later').st_size")]
        all_parked(*calls)
        print("%s: inotify told of it: %s" % (self.id(), told))
        self.seal()
        self.assertEqual([call.value() for call in calls], [CONTENT, len(CONTENT)])

    def test_program_in_an_unsealed_checkpoint_is_run_after_the_seal(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/run', 'w').write('#!/bin/sh\\necho early\\n'); os.chmod(d + '/run', 0o755)", d=self.path)
        call = self.agent("child").start("subprocess.run([d + '/run'], stdout=-1).stdout", d=self.path)
        until(lambda: self.status(self.path)["waiters"], "the child to wait")
        parent("open(d + '/run', 'w').write('#!/bin/sh\\necho late\\n')", d=self.path)
        self.seal()
        self.assertEqual(call.value(), b"late\n")

    def test_io_uring_and_threads_have_the_identity_of_their_process(self):
        self.make()
        call = self.agent("child").start("""
            import threading
            seen = []
            thread = threading.Thread(target=lambda: seen.append(open(d + '/a', 'rb').read()))
            thread.start(); thread.join()
            result = seen[0]
            """, d=self.path)
        until(lambda: self.status(self.path)["waiters"], "the thread to wait")
        self.seal()
        self.assertEqual(call.value(), CONTENT)


@in_modes(ROOT)
class As_root(Around):
    def test_file_handle_leads_to_the_gate_too(self):
        """name_to_handle_at() and open_by_handle_at(): without a path."""
        self.mount()
        self.make()
        reader = self.agent("child", uid=0)
        call = reader.start("""
            class Handle(ctypes.Structure):
                _fields_ = [('size', ctypes.c_uint), ('kind', ctypes.c_int), ('data', ctypes.c_ubyte * 128)]
            handle, mount_id = Handle(128), ctypes.c_int()
            if libc.name_to_handle_at(-100, os.fsencode(d + '/a'), ctypes.byref(handle), ctypes.byref(mount_id), 0):
                result = -ctypes.get_errno()
            else:
                top = os.open(p, os.O_RDONLY | os.O_DIRECTORY)
                fd = libc.open_by_handle_at(top, ctypes.byref(handle), os.O_RDONLY)
                result = os.read(fd, 1 << 20) if fd >= 0 else -ctypes.get_errno()
            """, d=self.path, p=self.point)
        until(lambda: call.done() or self.status(self.path)["waiters"], "the reader to wait, or to fail")
        if call.done():
            self.assertIn(call.value(), (-95, -116), "EOPNOTSUPP or ESTALE")  # no way, then
        self.seal()
        call.done() or self.assertIn(call.value(), (CONTENT, -116))

    def test_bind_mount_of_a_directory_inside(self):
        self.mount()
        self.make()
        self.ctl("abandon", self.path)  # and of a generation that is over
        place, above = self.make_dir("bound"), self.make_dir("bound-above")
        self.make("second", self.point + "/other")
        reader, root = self.agent("child"), self.agent("other", uid=0)
        root("[subprocess.run(['mount', '--bind', a, b], check=True) for a, b in pairs]",
             pairs=[(self.point + "/other/sub", place), (self.point, above)])
        try:
            calls = [reader.start("open(d + '/b').read()", d=place), self.agent("child").start("os.listdir(d + '/other')", d=above)]
            all_parked(*calls)
            self.seal(self.point + "/other", trial="second")
            self.assertEqual([calls[0].value(), sorted(calls[1].value())], ["b", ["a", "l", "sub"]])
        finally:
            root("[subprocess.run(['umount', '-l', d]) for d in places]", places=[place, above])

    def test_setuid_program_has_the_identity_that_it_was_started_with(self):
        """Its environment may be read by root alone."""
        self.mount()
        os.chmod(self.export, 0o1777)
        program = self.make_dir("programs") + "/touch"
        # a program that another user owns and whose mode makes it his
        with open("/usr/bin/touch", "rb") as source, open(program, "wb") as target:
            target.write(source.read())
        os.chown(program, 1, 1)
        os.chmod(program, 0o4755)
        self.agent("parent")("os.mkdir(d, 0o777); os.chmod(d, 0o777); subprocess.run([t, d + '/by-setuid'], check=True)", d=self.path, t=program)
        self.assertEqual(os.stat(self.exported("parent/by-setuid")).st_uid, 1)
        self.assertEqual(self.agent("other")("subprocess.run([t, d + '/n'], stderr=-3).returncode", d=self.path, t=program), 1)


@in_modes(*ALL_MODES)
class Identity(Around):
    """A trial is what it was started as, whatever its processes make of their own memory."""

    def setUp(self):
        super().setUp()
        self.mount()

    def titled(self, code):
        """A script that changes its title before it does anything else."""
        return "import ctypes, os, sys\n" + inspect.cleandoc(SET_TITLE) + "\nd = sys.argv[1]\n" + code

    def test_helper_that_changed_its_title_writes_for_its_trial(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'w').write('a')", d=self.path)
        call = parent.start("subprocess.run([sys.executable, '-c', script, d], stdout=-1, stderr=-2).stdout.decode()", d=self.path, script=self.titled(
            "print(b'SEALFS_TRIAL' in open('/proc/self/environ', 'rb').read(), open(d + '/b', 'w').write('b'), open(d + '/a').read())"))
        self.assertEqual(call.value(patience=10), "False 1 a\n")
        self.seal()

    def test_command_of_a_wrapper_that_changed_its_title_writes_for_its_trial(self):
        """Nobody above it has the variable; the wrapper knows."""
        result = self.sealctl("run", "--trial", "parent", "--", "/usr/bin/python3", "-c", self.titled(
            "os.mkdir(d); open(d + '/a', 'w').write('a'); print(open(d + '/a').read())"), self.path, trial=None)
        self.assertEqual((result.status, result.out), (0, "a\n"), result)
        self.assertEqual((self.state(self.path), self.status(self.path)["writer"]), ("sealed", "parent"))

    def test_process_that_changed_its_title_is_still_another_trial(self):
        self.make()
        child = self.agent("child")
        call = child.start("subprocess.run([sys.executable, '-c', script, d], stdout=-1, stderr=-2).stdout.decode()", d=self.path, script=self.titled(
            "print(len(open(d + '/a', 'rb').read()))"))
        until(lambda: [waiter["trial"] for waiter in self.status(self.path)["waiters"]] == ["child"], "it to wait as what it is")
        self.seal()
        self.assertEqual(call.value(), "%d\n" % len(CONTENT))

    def test_child_that_is_started_with_another_identity_is_another_trial(self):
        parent = self.make()
        run = parent("""
            child = subprocess.Popen(['cat', d + '/a'], env=dict(os.environ, SEALFS_TRIAL='child'), stdout=subprocess.PIPE)
            result = child.pid
            """, d=self.path)
        until(lambda: [waiter["pid"] for waiter in self.status(self.path)["waiters"]] == [run], "the child to wait")
        parent("open(d + '/a', 'r+b').write(data)", d=self.path, data=CONTENT[::-1])
        self.seal()
        self.assertEqual(parent("child.communicate()[0]"), CONTENT[::-1])


@in_modes(*ALL_MODES)
class Stays_sealed(Around):
    """Whoever had it open for writing before keeps it from being sealed, by whatever way."""

    def setUp(self):
        super().setUp()
        self.mount()

    def refused_while(self, path, close, agent, content):
        """A seal by hand is refused as long as somebody could still write, and nobody is worse off for that."""
        result = self.sealctl("seal", path, trial="parent")
        self.assertEqual(result.status, 1, result)
        self.assertIn("open for writing by pid %d" % agent.pid, result.err)
        agent(close)
        self.ctl("seal", path, trial="parent")
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=path), content)

    def test_plain_file_that_is_open_for_writing(self):
        os.mkdir(self.exported("plain"))
        with open(self.exported("plain/a"), "wb") as file:
            file.write(b"old")
        self.give(self.exported("plain"))
        writer, reader = self.agent("parent"), self.agent("child")
        writer("file = open(d + '/a', 'r+b', buffering=0)", d=self.point + "/plain")
        self.refused_while(self.point + "/plain", "file.write(b'new'); file.close()", writer, b"new")
        self.assertEqual(reader("open(d + '/a', 'rb').read()", d=self.point + "/plain"), b"new")

    def test_refused_seal_leaves_plain_data_plain(self):
        os.mkdir(self.exported("plain"))
        self.give(self.exported("plain"))
        writer, reader = self.agent("other"), self.agent("child")
        writer("file = open(d + '/a', 'wb', buffering=0); file.write(b'old')", d=self.point + "/plain")
        self.assertEqual(self.sealctl("seal", self.point + "/plain", trial="parent").status, 1)
        self.assertEqual(self.state(self.point + "/plain"), "plain")
        self.assertEqual(reader.start("open(d + '/a', 'rb').read()", d=self.point + "/plain").value(patience=10), b"old")
        writer("open(d + '/b', 'w').write('more')", d=self.point + "/plain")

    def test_file_that_is_open_for_writing_in_a_renamed_checkpoint(self):
        parent = self.make(path=self.point + "/tmp")
        parent("file = open(p + '/tmp/a', 'r+b', buffering=0); os.rename(p + '/tmp', p + '/parent')", p=self.point)
        self.refused_while(self.path, "file.write(b'last'); file.close()", parent, b"last" + CONTENT[4:])

    def test_mapping_that_is_kept_after_the_descriptor(self):
        parent = self.make()
        parent("""
            file = open(d + '/a', 'r+b')
            view = __import__('mmap').mmap(file.fileno(), 0)
            file.close()
            view[0:4] = b'last'
            """, d=self.path)
        self.refused_while(self.path, "view.close()", parent, b"last" + CONTENT[4:])

    def test_what_was_written_through_a_mapping_is_in_the_seal(self):
        parent = self.make()
        parent("""
            file = open(d + '/a', 'r+b')
            view = __import__('mmap').mmap(file.fileno(), 0)
            view[4096:4100] = b'page'
            view.close(); file.close()
            """, d=self.path)
        self.seal()
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.path), CONTENT[:4096] + b"page" + CONTENT[4100:])

    def test_reader_s_descriptor_and_mapping_give_no_way_to_write(self):
        parent = self.make()
        parent("file = open(d + '/a', 'rb'); fd = os.open(d + '/a', os.O_RDONLY)", d=self.path)
        self.seal()
        for code in ("os.ftruncate(os.open('/proc/self/fd/%d' % fd, os.O_WRONLY), 0)", "os.open('/proc/self/fd/%d' % fd, os.O_RDWR)",
                     "os.fchmod(fd, 0o600)", "os.utime(fd, (1, 1))", "os.setxattr(fd, 'user.x', b'y')"):
            self.assertEqual(parent.error(code), "EROFS", code)
        self.assertIn(parent.error("__import__('mmap').mmap(fd, 0)"), ("EACCES", "PermissionError"))
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.path), CONTENT)


@in_modes(ROOT, USER)
class Stays_plain(Around):
    def test_seal_that_fails_leaves_plain_data_plain(self):
        """One file of it can not be read by who seals, who is not root."""
        self.mount()
        os.mkdir(self.exported("plain"))
        for name in ("a", "closed"):
            with open(self.exported("plain", name), "wb") as file:
                file.write(b"old")
        self.give(self.exported("plain"))
        os.chmod(self.exported("plain/closed"), 0)
        result = self.sealctl("seal", self.point + "/plain", trial="parent")
        self.assertEqual(result.status, 1, result)
        self.assertIn("closed", result.err)
        self.assertEqual(self.state(self.point + "/plain"), "plain")
        reader = self.agent("child")
        self.assertEqual(reader.start("open(d + '/a', 'rb').read()", d=self.point + "/plain").value(patience=10), b"old")
        self.agent("other")("open(d + '/b', 'w').write('more'); os.unlink(d + '/closed')", d=self.point + "/plain")
        self.ctl("seal", self.point + "/plain", trial="parent")
        self.assertEqual(reader("sorted(os.listdir(d))", d=self.point + "/plain"), ["a", "b"])

    def test_seal_on_the_export_that_fails_leaves_plain_data_plain(self):
        os.mkdir(self.exported("plain"))
        for name, mode in (("a", 0o644), ("closed", 0)):
            with open(self.exported("plain", name), "wb") as file:
                file.write(b"old")
            os.chmod(self.exported("plain", name), mode)
        self.give(self.exported("plain"))
        self.ctl("init", self.export)
        self.assertEqual(self.sealctl("seal", self.exported("plain")).status, 1)
        self.assertEqual(self.state(self.exported("plain")), "plain")
        os.chmod(self.exported("plain/closed"), 0o600)
        self.ctl("seal", self.exported("plain"))
        self.assertEqual(self.state(self.exported("plain")), "sealed")


@in_modes(ROOT, DAEMON)
class Hard_links(Around):
    """Made on the export, before: two checkpoints share a file (cp -al, rsync --link-dest, deduplication)."""

    def test_each_name_has_the_state_of_its_own_checkpoint(self):
        self.mount()
        self.make("first", self.point + "/first")
        self.ctl("seal", self.point + "/first", trial="first")
        second = self.agent("second")
        second("os.mkdir(d)", d=self.point + "/second")
        os.link(self.exported("first/a"), self.exported("second/a"))
        reader = self.agent("child")
        for _ in range(2):
            self.assertEqual(second("os.stat(d + '/a').st_size", d=self.point + "/second"), len(CONTENT))
            self.assertEqual(reader.start("open(d + '/a', 'rb').read()", d=self.point + "/first").value(patience=10), CONTENT)
            self.assertEqual(second.start("open(d + '/a', 'rb').read()", d=self.point + "/second").value(patience=10), CONTENT)
        self.assertEqual(second.error("os.open(d + '/a', os.O_WRONLY)", d=self.point + "/first"), "EROFS")
        call = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.point + "/second").parked()
        self.assertEqual(reader.start("open(d + '/a', 'rb').read()", d=self.point + "/first").value(patience=10), CONTENT)
        self.ctl("seal", self.point + "/second", trial="second")
        self.assertEqual(call.value(), CONTENT)

    def test_removing_one_leaves_the_other_readable(self):
        self.mount()
        for name in ("first", "second"):
            self.agent(name)("os.mkdir(d)", d=self.point + "/" + name)
        with open(self.exported("first/a"), "wb") as file:
            file.write(CONTENT)
        os.link(self.exported("first/a"), self.exported("second/a"))
        self.give(self.exported("first"))
        for name in ("first", "second"):
            self.ctl("seal", self.point + "/" + name, trial=name)
        reader = self.agent("child")
        for name in ("first", "second", "first"):
            self.assertEqual(reader("open(d + '/a', 'rb').read()", d=self.point + "/" + name), CONTENT)
        self.ctl("rm", self.point + "/second")
        for _ in range(2):
            self.assertEqual(reader("open(d + '/a', 'rb').read()", d=self.point + "/first"), CONTENT)


if __name__ == "__main__":
    main()
