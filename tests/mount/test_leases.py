#!/usr/bin/python3
"""Somebody has a lease on a file of the export (an NFS server that has delegated it, Samba): who opens it waits until that is given back, as in a bare directory."""

import os

from harness import DAEMON, PYTHON, ROOT, USER, SealfsTest, all_parked, in_modes, main, until

HOLD = """
import fcntl, os, signal, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
signal.sigwait([signal.SIGIO])
print("called back", flush=True)
time.sleep(float(sys.argv[2]))
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
print("given back", flush=True)
"""


@in_modes(ROOT, DAEMON, USER)
class Leased(SealfsTest):
    def setUp(self):
        super().setUp()
        self.mount()
        self.path = self.point + "/c"
        self.writer = self.agent("writer")
        self.writer("os.mkdir(d); open(d + '/a', 'w').write('content')", d=self.path)

    def hold(self, seconds=0.3):
        holder = self.spawn([PYTHON, "-c", HOLD, self.exported("c/a"), str(seconds)], name="holder")
        until(lambda: holder.must_run() or "held" in holder.output(), holder.output)
        return holder

    def check_given_back(self, holder):
        self.assertEqual(holder.wait(), 0, holder.output())
        self.assertIn("given back", holder.output())

    def test_open_of_what_is_sealed(self):
        self.ctl("seal", self.path, trial="writer")
        holder = self.hold()
        self.assertEqual(self.agent("reader")("open(f).read()", f=self.path + "/a"), "content")
        self.check_given_back(holder)

    def test_open_of_what_is_open(self):
        holder = self.hold()
        self.assertEqual(self.writer("open(f).read()", f=self.path + "/a"), "content")
        self.check_given_back(holder)

    def test_open_to_write(self):
        holder = self.hold()
        self.writer("open(f, 'r+').write('C')", f=self.path + "/a")
        self.check_given_back(holder)

    def test_create_that_finds_it(self):
        holder = self.hold()
        self.writer("open(f, 'w').write('new')", f=self.path + "/a")
        self.check_given_back(holder)

    def test_seal(self):
        holder = self.hold()
        self.ctl("seal", self.path, trial="writer")
        self.check_given_back(holder)

    def test_open_that_does_not_wait(self):
        holder = self.hold()
        self.assertEqual(self.writer.error("os.open(f, os.O_RDONLY | os.O_NONBLOCK)", f=self.path + "/a"), "EAGAIN")
        self.check_given_back(holder)

    def test_whoever_waits_can_be_killed(self):
        self.ctl("seal", self.path, trial="writer")
        holder = self.hold(3600)
        reader = self.spawn(["/bin/cat", self.path + "/a"])
        until(lambda: "called back" in holder.output(), holder.output)
        all_parked(reader)
        reader.kill()
        holder.kill()


if __name__ == "__main__":
    main()
