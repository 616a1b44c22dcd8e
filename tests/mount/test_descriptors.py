#!/usr/bin/python3
"""A mount that runs out of descriptors says so, and what is written, sealed and awaited goes on."""

import errno
import os
import resource

from harness import DAEMON, ROOT, USER, SealfsTest, all_parked, in_modes, main, pattern

DATA = pattern(5000, 1)


@in_modes(USER)
class Many_directories(SealfsTest):
    def test_remembered_directories_leave_descriptors_for_everything_else(self):
        for number in range(600):
            os.mkdir(self.exported("plain%d" % number))
            os.chown(self.exported("plain%d" % number), self.mode.owner, -1)
        mount = self.mount(wrapper=["prlimit", "--nofile=600:600"])
        writer = self.agent("writer")
        writer("os.mkdir(d); file = open(d + '/w', 'wb'); file.write(data[:100]); file.flush()", d=self.point + "/t1", data=DATA)
        seen = self.agent("looker")("""
            result = []
            for number in range(600):
                try:
                    os.stat(d + '/plain%d' % number)
                except OSError as error:
                    result.append(error.errno)
            """, d=self.point)
        self.assertEqual(set(seen), {errno.EMFILE})
        mount.await_log("no descriptors left .EMFILE; it may have 600.*ulimit -n")
        self.assertEqual(mount.log().count("no descriptors left"), 1)
        reader = self.agent("reader").start("open(p, 'rb').read()", p=self.point + "/t1/w")
        all_parked(reader)
        self.assertEqual(writer("open(d + '/w', 'rb').read()"), DATA[:100])
        writer("file.write(data[100:]); file.close(); os.rename(d + '/w', d + '/v'); os.rename(d + '/v', d + '/w')")
        self.ctl("seal", self.point + "/t1", trial="writer")
        self.assertEqual(reader.value(), DATA)


@in_modes(ROOT, DAEMON)
class None_left(SealfsTest):
    def test_writer_is_not_taken_for_somebody_else(self):
        mount = self.mount()
        writer = self.agent("writer")
        writer("os.mkdir(d); open(d + '/w', 'wb').write(data)", d=self.point + "/t1", data=DATA)
        other = self.agent("writer")  # whose name has to be asked for
        before = resource.prlimit(mount.pid, resource.RLIMIT_NOFILE)
        self.assertEqual(before[0], before[1])
        numbers = {int(number) for number in os.listdir("/proc/%d/fd" % mount.pid)}
        lowest = min(set(range(len(numbers) + 1)) - numbers)
        resource.prlimit(mount.pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
        self.assertEqual(other.error("open(p, 'rb').read()", p=self.point + "/t1/w"), "EMFILE")
        self.assertEqual(other.error("open(p, 'ab')", p=self.point + "/t1/w"), "EMFILE")
        resource.prlimit(mount.pid, resource.RLIMIT_NOFILE, before)
        self.assertEqual(other("open(p, 'rb').read()", p=self.point + "/t1/w"), DATA)
        mount.await_log("no descriptors left")


if __name__ == "__main__":
    main()
