#!/usr/bin/python3
"""A sealed checkpoint is removed while somebody is at it: he gets an error or what was sealed, never less."""

import os
import signal

from harness import ALL_MODES, DAEMON, ROOT, SealfsTest, in_modes, main, pattern, until

DATA = pattern(9000, 1)
LIST = "sorted(os.listdir(fd))"


class Removal(SealfsTest):
    def make(self, files):
        self.path = self.point + "/t1"
        self.agent("writer")("""
            os.makedirs(d + '/sub')
            for name, data in files.items():
                with open(d + '/' + name, 'wb') as file:
                    file.write(data)
            """, d=self.path, files=files)
        self.ctl("seal", self.path, trial="writer")

    def remove(self, mount=None):
        self.ctl("rm", (mount or self.mounted[0]).path + "/t1", trial="writer")


@in_modes(*ALL_MODES)
class Listing(Removal):
    def test_that_was_begun_before_the_removal_is_an_error_not_shorter(self):
        self.mount()
        self.make({"a": DATA, "sub/b": DATA})
        for name, content in (("", ["a", "sub"]), ("/sub", ["b"])):
            reader = self.agent("reader")
            reader("fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)", d=self.path + name)
            if name:
                self.assertEqual(reader(LIST), content)  # the kernel has it cached
            other = self.agent("other")
            other("fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)", d=self.path + name)
            self.remove()
            self.assertIn(other.error(LIST), ("ESTALE", None) if name else ("ESTALE",))
            if not other.error(LIST):
                self.assertEqual(other(LIST), content)
            self.make({"a": DATA, "sub/b": DATA})

    def test_that_is_begun_after_the_removal_by_way_of_before_is_an_error(self):
        a, b = self.mount(name="mount A"), self.second_mount(name="mount B")
        self.make({"a": DATA})
        reader = self.agent("reader")
        reader("names = '/proc/self/fd/%d' % os.open(d, os.O_PATH); os.listdir(names)", d=a.path + "/t1")
        self.remove(b)
        look = self.agent("look")
        until(lambda: not look("os.path.exists(d)", d=a.path + "/t1"), "that mount A knows it")
        self.assertIn(reader.error("os.listdir(names)"), ("ESTALE", "ENOENT"))


@in_modes(ROOT, DAEMON)
class While_it_is_verified(Removal):
    def verified_meanwhile(self, change):
        """Reads a file whose verification takes a while, during which `change` is made; what the read came to."""
        size = 1 << 29
        while True:
            self.mount()
            self.agent("writer")("os.mkdir(d); open(d + '/huge', 'wb').truncate(size)", d=self.point + "/t1", size=size)
            self.ctl("seal", self.point + "/t1", trial="writer")
            self.mounted[-1].unmount()
            mount = self.mount()
            reader = self.agent("reader").start("file = os.open(p, os.O_RDONLY); result = os.pread(file, 5, 0)", p=self.point + "/t1/huge")

            def read_so_far():
                with open("/proc/%d/io" % mount.pid) as file:
                    return int(file.readline().split()[1])
            until(lambda: read_so_far() > 10 << 20, "the verification")
            os.kill(mount.pid, signal.SIGSTOP)
            late = read_so_far() >= size
            try:
                change()
            finally:
                os.kill(mount.pid, signal.SIGCONT)
            outcome = reader.error() or reader.value()
            if not late:
                return outcome
            mount.unmount()  # it was faster than we: once more
            self.ctl("rm", self.export + "/t1", trial="writer")

    def test_name_that_is_given_meanwhile_is_no_damage(self):
        self.assertEqual(self.verified_meanwhile(lambda: os.link(self.exported("t1", "huge"), self.exported("backup"))), bytes(5))

    def test_removed_meanwhile_it_is_what_was_sealed(self):
        self.assertEqual(self.verified_meanwhile(lambda: os.unlink(self.exported("t1", "huge"))), bytes(5))

    def test_changed_meanwhile_it_is_damage(self):
        def change():
            with open(self.exported("t1", "huge"), "r+b") as file:
                file.write(b"wrong")
        self.assertEqual(self.verified_meanwhile(change), "EBADMSG")


if __name__ == "__main__":
    main()
