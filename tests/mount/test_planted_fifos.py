#!/usr/bin/python3
"""FIFOs that somebody plants in the export between the look at a name and its use: whoever opens one waits until it is opened at its other end, and the daemon waits for
nothing."""

import os

from harness import DAEMON, PYTHON, ROOT, USER, SealfsTest, in_modes, main

COME_AND_GO = """
import os, sys
while os.getppid() != 1:
    for path in sys.argv[1:]:
        for what in (os.mkfifo, os.unlink):
            try:
                what(path)
            except OSError:
                pass
"""
CREATE = """
import ctypes, signal
# by the C library, which does not begin anew after a signal: of a FIFO that the kernel sees itself it has the caller wait, who can give that up
libc = ctypes.CDLL(None)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
made = 0
until = time.monotonic() + seconds
while time.monotonic() < until:
    for flags in (os.O_WRONLY, os.O_RDONLY, os.O_RDWR):
        fd = libc.open(os.fsencode(path), os.O_CREAT | flags, 0o600)
        if fd >= 0:
            os.close(fd)
            made += 1
signal.setitimer(signal.ITIMER_REAL, 0)
result = made
"""


@in_modes(ROOT, DAEMON, USER)
class Planted(SealfsTest):
    def test_create_where_a_fifo_comes_and_goes(self):
        os.makedirs(self.exported("plain"))
        self.give(self.exported("plain"))
        self.mount()
        self.agent("parent")("os.mkdir(d)", d=self.point + "/open")
        places = ["plain/n", "open/n", "n"]
        planter = self.spawn([PYTHON, "-c", COME_AND_GO] + [self.exported(place) for place in places], uid=self.uid, name="planter")
        for place in places:
            with self.subTest(place):
                made = self.agent("parent").start(CREATE, path=self.point + "/" + place, seconds=2).value()
                self.assertGreater(made, 0)
        planter.must_run()
        planter.kill()


if __name__ == "__main__":
    main()
