#!/usr/bin/python3
"""What still writes when it is to be sealed is seen, whichever way it came to write: nothing sealed is written to."""

import errno
import inspect
import os
import socket
import subprocess

from harness import ALL_MODES, DAEMON, ROOT, SealfsTest, in_modes, main, pattern, until

DATA = pattern(9000, 1)
READ = "open(p, 'rb').read()"


@in_modes(*ALL_MODES)
class Open_files(SealfsTest):
    def refused(self, path, agent, trial="writer"):
        """A seal by hand, naming the process; the content is as it was."""
        result = self.ctl("seal", path, trial=trial, expect=1)
        self.assertRegex(result.err, r"still open for writing by pid %d \(python3\)" % agent.pid)

    def test_plain_data_that_are_open_for_writing_are_not_sealed(self):
        os.mkdir(self.exported("old"))
        with open(self.exported("old", "w"), "wb") as file:
            file.write(DATA)
        self.give(self.exported("old"))
        self.mount()
        agent, path = self.agent("writer"), self.point + "/old"
        agent("f = open(p, 'r+b', buffering=0)", p=path + "/w")
        self.refused(path, agent)
        self.assertEqual(self.state(path), "plain")
        self.assertEqual(self.agent("reader")(READ, p=path + "/w"), DATA)
        agent("f.write(b'later'); f.close()")
        self.ctl("seal", path, trial="writer")
        self.assertEqual(self.agent("reader")(READ, p=path + "/w"), b"later" + DATA[5:])

    def test_plain_file_that_is_open_for_writing_is_not_sealed(self):
        self.mount()
        with open(self.exported("old.pt"), "wb") as file:
            file.write(DATA)
        self.give(self.exported("old.pt"))
        agent, path = self.agent("writer"), self.point + "/old.pt"
        agent("f = open(p, 'r+b', buffering=0)", p=path)
        self.refused(path, agent)
        agent("f.close()")
        self.ctl("seal", path, trial="writer")
        self.assertEqual(self.agent("reader")(READ, p=path), DATA)

    def test_file_that_was_opened_before_its_checkpoint_was_renamed(self):
        self.mount()
        agent = self.agent("writer")
        agent("f = open(d + '/tmp.pt', 'wb', buffering=0); f.write(data); os.rename(d + '/tmp.pt', d + '/model.pt'); f.write(b'end')", d=self.point, data=DATA)
        self.assertEqual(agent("os.fstat(f.fileno()).st_size, os.stat(d + '/model.pt').st_size", d=self.point), (len(DATA) + 3,) * 2)
        self.refused(self.point + "/model.pt", agent)
        agent("f.write(b'ing'); f.close()")
        self.ctl("seal", self.point + "/model.pt", trial="writer")
        self.assertEqual(self.agent("reader")(READ, p=self.point + "/model.pt"), DATA + b"ending")

    def test_file_in_a_directory_that_was_renamed_as_a_checkpoint(self):
        self.mount()
        agent = self.agent("writer")
        agent("os.mkdir(d + '/tmp'); f = open(d + '/tmp/w', 'wb', buffering=0); f.write(data); os.rename(d + '/tmp', d + '/final')", d=self.point, data=DATA)
        self.refused(self.point + "/final", agent)
        agent("f.write(b'end'); f.close()")
        self.ctl("seal", self.point + "/final", trial="writer")
        self.assertEqual(self.agent("reader")(READ, p=self.point + "/final/w"), DATA + b"end")

    def test_plain_data_that_were_renamed_while_they_were_open(self):
        os.mkdir(self.exported("old"))
        for name in "old/w", "old.pt":
            with open(self.exported(name), "wb") as file:
                file.write(DATA)
            self.give(self.exported(name))
        self.give(self.exported("old"))
        self.mount()
        for name, written in ("%s", "%s/w"), ("%s.pt", "%s.pt"):
            agent, path = self.agent("writer"), self.point + "/" + name % "new"
            # that nothing is there is known
            agent("assert not os.path.exists(new); f = open(p, 'r+b', buffering=0); os.rename(old, new)",
                  p=self.point + "/" + written % "old", old=self.point + "/" + name % "old", new=path)
            self.refused(path, agent)
            self.assertEqual(self.state(path), "plain")
            agent("f.write(b'later'); f.close()")
            self.ctl("seal", path, trial="writer")
            self.assertEqual(self.agent("reader")(READ, p=self.point + "/" + written % "new"), b"later" + DATA[5:])

    def test_files_of_checkpoints_that_were_exchanged(self):
        self.mount()
        agent = self.agent("writer")
        agent("""
            os.mkdir(d + '/a')
            os.mkdir(d + '/b')
            open(d + '/b/w', 'wb').close()
            f = open(d + '/a/w', 'wb', buffering=0)
            result = libc.renameat2(-100, os.fsencode(d + '/a'), -100, os.fsencode(d + '/b'), 2)
            """, d=self.point)
        self.refused(self.point + "/b", agent)
        self.ctl("seal", self.point + "/a", trial="writer")
        agent("f.write(data); f.close()", data=DATA)
        self.ctl("seal", self.point + "/b", trial="writer")
        self.assertEqual(self.agent("reader")(READ, p=self.point + "/b/w"), DATA)
        self.assertEqual(self.agent("reader")(READ, p=self.point + "/a/w"), b"")


@in_modes(*ALL_MODES)
class Live_files(SealfsTest):
    """Who writes a live file is not known, so it never becomes one that is sealed."""

    def mount_with_live_files(self):
        self.ctl("init", "--live", "*.log", self.export, uid=os.geteuid())
        self.mount()
        agent, path = self.agent("writer"), self.point + "/c"
        agent("""
            def attempt(call, *names):
                try:
                    call(*names)
                except OSError as error:
                    return error.errno
                return 0
            """)
        agent("os.mkdir(d); open(d + '/model', 'w').write('model'); live = open(d + '/a.log', 'w'); print('one', file=live, flush=True)", d=path)
        return agent, path

    def test_live_file_can_not_be_renamed_to_be_sealed(self):
        agent, path = self.mount_with_live_files()
        self.assertEqual(agent("attempt(os.rename, d + '/a.log', d + '/a')", d=path), errno.EXDEV)
        self.assertEqual(agent("attempt(os.rename, d + '/a.log', d + '/model')", d=path), errno.EXDEV)
        self.assertEqual(agent("attempt(os.rename, d + '/a.log', d + '/b.log')", d=path), 0)
        self.assertEqual(agent("libc.renameat2(-100, os.fsencode(d + '/b.log'), -100, os.fsencode(d + '/model'), 2)", d=path), -1)
        self.ctl("seal", path, trial="writer")
        self.assertEqual(agent("sorted(os.listdir(d)), open(d + '/model').read(), open(d + '/b.log').read()", d=path),
                         (["b.log", "model"], "model", "one\n"))

    def test_live_and_sealed_names_are_never_of_the_same_file(self):
        agent, path = self.mount_with_live_files()
        self.assertEqual(agent("attempt(os.link, d + '/a.log', d + '/a')", d=path), errno.EXDEV)
        self.assertEqual(agent("attempt(os.link, d + '/model', d + '/model.log')", d=path), errno.EXDEV)
        self.assertEqual(agent("attempt(os.link, d + '/a.log', d + '/b.log')", d=path), 0)
        self.assertEqual(agent("attempt(os.link, d + '/model', d + '/again')", d=path), 0)
        # its other name is sealed
        self.assertEqual(agent("attempt(os.rename, d + '/again', d + '/again.log')", d=path), errno.EXDEV)

    def test_live_file_is_replaced_at_a_stroke(self):
        agent, path = self.mount_with_live_files()
        agent("open(d + '/a.log.tmp', 'w').write('two'); os.rename(d + '/a.log.tmp', d + '/a.log')", d=path)
        self.assertEqual(agent("open(d + '/a.log').read()", d=path), "two")
        # directories are never live
        agent("os.mkdir(d + '/dir'); os.rename(d + '/dir', d + '/dir.log'); os.rename(d + '/dir.log', d + '/other')", d=path)
        self.ctl("seal", path, trial="writer")
        self.assertEqual(self.agent("reader")("sorted(os.listdir(d))", d=path), ["a.log", "model", "other"])


MAPPED = """
    def keep_mapping(path, size):
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, size)
        libc.mmap.restype = ctypes.c_void_p
        view = libc.mmap(None, ctypes.c_size_t(size), 3, 1, fd, ctypes.c_long(0))
        os.close(fd)
        ctypes.memset(view, 97, size)
        return view
    def end_mapping(view, size):
        libc.munmap(ctypes.c_void_p(view), ctypes.c_size_t(size))
    """

MAPPED_SCRIPT = "import ctypes, os, sys, time\nlibc = ctypes.CDLL(None)\n" + inspect.cleandoc("\n" + MAPPED) + "\n"


@in_modes(ROOT, DAEMON)
class Mappings(SealfsTest):
    """A shared mapping goes on writing after its file was closed (Python's own `mmap` keeps a descriptor, numpy's and Rust's do not)."""

    def writer(self, trial="writer"):
        agent = self.agent(trial)
        agent(MAPPED)
        return agent

    def test_seal_by_hand_is_refused_while_a_file_is_mapped_for_writing(self):
        self.mount()
        agent, path = self.writer(), self.point + "/c"
        agent("os.mkdir(d); view = keep_mapping(d + '/m', 8192)", d=path)
        result = self.ctl("seal", path, trial="writer", expect=1)
        self.assertRegex(result.err, r"still (mapped|open) for writing by pid %d \(python3\)" % agent.pid)
        self.assertEqual(self.state(path), "open")
        agent("ctypes.memset(view, 98, 5); end_mapping(view, 8192)")
        self.ctl("seal", path, trial="writer")
        self.assertEqual(self.agent("reader")(READ, p=path + "/m"), b"b" * 5 + b"a" * 8187)

    def test_checkpoint_of_one_file_that_is_mapped_for_writing(self):
        self.mount()
        agent, path = self.writer(), self.point + "/one.pt"
        agent("view = keep_mapping(p, 8192)", p=path)
        result = self.ctl("seal", path, trial="writer", expect=1)
        self.assertRegex(result.err, r"still (mapped|open) for writing by pid %d " % agent.pid)
        agent("end_mapping(view, 8192)")
        self.ctl("seal", path, trial="writer")

    def test_mapping_that_can_be_made_writable(self):
        self.mount()
        agent, path = self.writer(), self.point + "/c"
        agent("os.mkdir(d); view = keep_mapping(d + '/m', 8192); assert libc.mprotect(ctypes.c_void_p(view), ctypes.c_size_t(8192), 1) == 0", d=path)
        result = self.ctl("seal", path, trial="writer", expect=1)
        self.assertRegex(result.err, r"still (mapped|open) for writing by pid %d " % agent.pid)
        agent("end_mapping(view, 8192)")
        self.ctl("seal", path, trial="writer")

    def test_plain_data_that_are_mapped_for_writing_stay_plain(self):
        os.mkdir(self.exported("old"))
        self.give(self.exported("old"))
        self.mount()
        agent, path = self.writer(), self.point + "/old"
        agent("view = keep_mapping(d + '/m', 8192)", d=path)
        result = self.ctl("seal", path, trial="writer", expect=1)
        self.assertRegex(result.err, r"still (mapped|open) for writing by pid %d " % agent.pid)
        self.assertEqual(self.state(path), "plain")
        agent("end_mapping(view, 8192)")
        self.ctl("seal", path, trial="writer")

    def test_mapping_that_a_child_has_inherited(self):
        self.mount()
        agent, path = self.writer(), self.point + "/c"
        agent("os.mkdir(d); view = keep_mapping(d + '/m', 8192)", d=path)
        child = agent("""
            ends = os.pipe()
            result = os.fork()
            if result == 0:
                os.close(ends[1])
                os.read(ends[0], 1)
                os._exit(0)
            os.close(ends[0])
            end_mapping(view, 8192)
            """)
        result = self.ctl("seal", path, trial="writer", expect=1)
        # without passthrough it is the file that is still open
        self.assertIn("still mapped for writing by pid %d " % child if self.mode is ROOT else "still open for writing by pid %d " % agent.pid, result.err)
        agent("os.close(ends[1]); os.waitpid(child, 0)", child=child)
        self.ctl("seal", path, trial="writer")

    def test_mapping_of_a_process_whose_main_thread_has_ended(self):
        self.mount()
        agent, path = self.writer(), self.point + "/c"
        agent("os.mkdir(d)", d=path)
        code = MAPPED_SCRIPT + """
import threading
def rest():
    while open('/proc/self/stat').read().rsplit(')', 1)[1].split()[0] != 'Z':
        time.sleep(0.001)
    print('alone', flush=True)
    sys.stdin.readline()
    os._exit(0)
view = keep_mapping(sys.argv[1], 8192)
threading.Thread(target=rest).start()
libc.syscall(ctypes.c_long(%d), ctypes.c_long(0)) # exit, of this thread
""" % {"x86_64": 60, "aarch64": 93}[os.uname().machine]
        child = agent("""
            process = subprocess.Popen(['/usr/bin/python3', '-c', script, d + '/m'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdout.readline().strip() == 'alone'
            result = process.pid
            """, script=code, d=path)
        result = self.ctl("seal", path, trial="writer", expect=1)
        self.assertRegex(result.err, r"still (mapped|open) for writing by pid %d " % child)
        self.assertEqual(self.state(path), "open")
        agent("process.communicate('')")
        self.ctl("seal", path, trial="writer")

    def test_end_of_a_trial_waits_for_the_last_mapping(self):
        mount = self.mount()
        path = self.point + "/c"
        reader = self.agent("reader")
        code = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
os.mkdir(sys.argv[1])
fd = os.open(sys.argv[1] + '/m', os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8192)
view = libc.mmap(None, ctypes.c_size_t(8192), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
ends = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.close(1)
    os.close(2)
    open(sys.argv[2], 'rb').read()
    ctypes.memset(view, 98, 8192)
    os._exit(0)
"""
        fifo = self.tmp + "/fifo"
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        process = self.spawn([self.sealctl_path, "run", "--trial", "t", "--", "/usr/bin/python3", "-c", code, path, fifo])
        call = reader.start(READ, p=path + "/m") if os.path.exists(path) else None
        mount.await_log("still has a file (mapped|open) for writing: it is sealed when that is")
        if call is None:
            call = reader.start(READ, p=path + "/m")
        call.parked()
        with open(fifo, "wb"):
            pass
        self.assertEqual(call.value(), b"b" * 8192)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(self.ctl("verify", path).status, 0)

    def test_mapping_through_another_mount_of_the_same_trial(self):
        self.mount()
        other = self.second_mount()
        first, second = self.agent("writer"), self.writer()
        first("os.mkdir(d); open(d + '/a', 'w').write('a')", d=self.point + "/c")
        second("view = keep_mapping(d + '/m', 8192)", d=other.path + "/c")
        result = self.ctl("seal", self.point + "/c", trial="writer", expect=1)
        self.assertRegex(result.err, "another mount .*still writes to it")
        second("ctypes.memset(view, 98, 8192); end_mapping(view, 8192)")
        second.exit()
        until(lambda: self.sealctl("seal", self.point + "/c", trial="writer").status == 0, "the other mount to let go")
        self.assertEqual(self.agent("reader")(READ, p=self.point + "/c/m"), b"b" * 8192)

    def test_mappings_that_can_not_write_are_no_hindrance(self):
        self.mount()
        agent, path = self.writer(), self.point + "/c"
        agent("""
            import mmap
            os.mkdir(d)
            with open(d + '/m', 'wb') as file:
                file.write(b'a' * 8192)
            with open(d + '/m', 'rb') as file:
                shared = mmap.mmap(file.fileno(), 8192, prot=mmap.PROT_READ)
                private = mmap.mmap(file.fileno(), 8192, flags=mmap.MAP_PRIVATE)
            private[:] = b'b' * 8192
            os.mkdir(d + '2')
            view = keep_mapping(d + '2/m', 8192)
            """, d=path)
        self.ctl("seal", path, trial="writer")
        self.assertEqual(agent("shared[:]"), b"a" * 8192)
        self.ctl("seal", path + "2", trial="writer", expect=1)


@in_modes(ROOT)
class Mappings_that_can_not_be_seen(SealfsTest):
    def test_seal_by_hand_is_refused_while_it_can_not_be_told(self):
        self.mount()
        agent, path = self.agent("writer"), self.point + "/c"
        agent(MAPPED)
        agent("os.mkdir(d); view = keep_mapping(d + '/m', 8192)", d=path)
        # a socket can not be opened; it goes with the process at the latest
        maps = "/proc/%d/task/%d/maps" % (agent.pid, agent.pid)
        with socket.socket(socket.AF_UNIX) as nothing:
            nothing.bind(self.tmp + "/socket")
        subprocess.run(["/usr/bin/mount", "--bind", self.tmp + "/socket", maps], check=True)
        try:
            result = self.ctl("seal", path, trial="writer", expect=1)
        finally:
            subprocess.run(["/usr/bin/umount", maps], check=True)
        self.assertIn("it can not be told whether a process has a file mapped for writing: " + os.strerror(errno.ENXIO), result.err)
        self.assertEqual(self.state(path), "open")
        self.assertRegex(self.ctl("seal", path, trial="writer", expect=1).err, "still mapped for writing by pid %d " % agent.pid)
        agent("ctypes.memset(view, 98, 8192); end_mapping(view, 8192)")
        self.ctl("seal", path, trial="writer")
        self.assertEqual(self.agent("reader")(READ, p=path + "/m"), b"b" * 8192)

    def test_file_whose_name_another_one_has_taken_on_the_export(self):
        self.mount()
        agent, path = self.agent("writer"), self.point + "/c"
        agent(MAPPED)
        agent("os.mkdir(d); view = keep_mapping(d + '/m', 8192)", d=path)
        with open(self.exported("c/other"), "wb") as file:
            file.write(DATA)
        os.rename(self.exported("c/m"), self.exported("c/mapped"))
        os.rename(self.exported("c/other"), self.exported("c/m"))
        self.assertRegex(self.ctl("seal", path, trial="writer", expect=1).err, "still mapped for writing by pid %d " % agent.pid)
        agent("end_mapping(view, 8192)")
        self.ctl("seal", path, trial="writer")


if __name__ == "__main__":
    main()
