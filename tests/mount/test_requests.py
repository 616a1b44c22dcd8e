#!/usr/bin/python3
"""How many requests reach the daemon: the kernel's caches serve what can not have changed, and what is made costs no more than the protocol asks for."""

import collections
import os
import re

from harness import ROOT, SealfsTest, in_modes, main, until

COUNT = 20


@in_modes(ROOT)
class Requests(SealfsTest):
    def setUp(self):
        super().setUp()
        self.ctl("init", "--live", "events.*", self.export)
        self.watched = self.mount("debug")

    def counted(self, agent, code, **variables):
        """What the agent's code made the kernel ask for, by opcode, when the last of it has been answered; forgetting is not counted, it comes when it likes."""
        def log():
            return re.findall(r"opcode: (\w+)", self.watched.log())

        def idle():
            return self.watched.waiting_requests() == 0

        until(idle, "no request under way")
        before = len(log())
        agent(code, d=self.point, **variables)
        until(idle, "no request under way")
        found = collections.Counter(log()[before:])
        for background in ("FORGET", "BATCH_FORGET", "INTERRUPT"):
            found.pop(background, None)
        return found

    def test_create_write_and_close_asks_for_nothing_twice(self):
        writer = self.agent("writer")
        writer("import os; os.mkdir(d + '/made'); open(d + '/made/first', 'wb').close()", d=self.point)
        found = self.counted(writer, "import os\n"
                             "for n in range(%d):\n"
                             "    fd = os.open(d + '/made/%%d' %% n, os.O_CREAT | os.O_EXCL | os.O_WRONLY)\n"
                             "    os.write(fd, bytes(4096))\n"
                             "    os.close(fd)" % COUNT)
        # the checkpoint's own name and the new one; the kernel asks for security.capability before a first write
        self.assertEqual(found.pop("LOOKUP"), 2 * COUNT)
        self.assertEqual(found.pop("CREATE"), COUNT)
        self.assertEqual(found.pop("RELEASE"), COUNT)
        self.assertLessEqual(found.pop("GETXATTR", 0), COUNT)
        # of the directory, once its time is over
        self.assertLess(found.pop("GETATTR", 0), COUNT // 2)
        found.pop("WRITE", None)  # where the kernel does not pass it through
        self.assertEqual(found, {})

    def test_attributes_of_a_new_file_are_not_shown_to_others_from_the_kernels_cache(self):
        writer, reader = self.agent("writer"), self.agent("reader")
        writer("import os; os.mkdir(d + '/made'); file = open(d + '/made/new', 'wb'); file.write(b'half'); file.flush()", d=self.point)
        call = reader.start("os.stat(d + '/made/new').st_size", d=self.point)
        call.parked()
        writer("file.write(b'whole'); file.close()")
        self.ctl("seal", self.point + "/made", trial="writer")
        self.assertEqual(call.value(), 9)

    def sealed(self):
        writer = self.agent("writer")
        writer("import os; os.makedirs(d + '/made/below'); [open(d + '/made/below/%%d' %% n, 'wb').write(bytes(4096)) for n in range(%d)]" % COUNT,
               d=self.point)
        self.ctl("seal", self.point + "/made", trial="writer")

    def test_a_sealed_file_that_is_opened_again_costs_one_open_and_one_release(self):
        self.sealed()
        reader = self.agent("reader")
        code = ("import os\n"
                "for n in range(%d):\n"
                "    fd = os.open(d + '/made/below/%%d' %% n, os.O_RDONLY)\n"
                "    os.read(fd, 4096)\n"
                "    os.close(fd)" % COUNT)
        reader(code, d=self.point)
        found = self.counted(reader, code)
        self.assertEqual(found.pop("OPEN"), COUNT)
        self.assertEqual(found.pop("RELEASE"), COUNT)
        # of the checkpoint itself, which may be removed elsewhere
        self.assertLessEqual(sum(found.values()), 2, found)
        self.assertNotIn("READ", found)

    def test_stat_of_sealed_names_costs_no_request(self):
        self.sealed()
        reader = self.agent("reader")
        code = "import os\nfor n in range(%d): os.stat(d + '/made/below/%%d' %% n)" % COUNT
        reader(code, d=self.point)
        found = self.counted(reader, code)
        self.assertLessEqual(sum(found.values()), 2, found)

    def in_the_kernel(self, reader, path):
        """Lists it until the kernel does so by itself: what is listed within the tick in which it was changed is not kept."""
        def by_itself():
            found = self.counted(reader, "os.listdir(p)", p=path)
            return "READDIR" not in found and "READDIRPLUS" not in found

        until(by_itself, "a listing that reads nothing")

    def test_listing_a_sealed_directory_again_reads_nothing(self):
        self.sealed()
        reader = self.agent("reader")
        for path in (self.point + "/made", self.point + "/made/below"):
            self.in_the_kernel(reader, path)
            found = self.counted(reader, "for n in range(10): os.listdir(p)", p=path)
            self.assertEqual((found.pop("OPENDIR"), found.pop("RELEASEDIR")), (10, 10))
            # of the checkpoint itself, which may be removed elsewhere
            self.assertLessEqual(sum(found.values()), 2, found)

    def test_listing_is_never_short_though_the_kernel_had_it(self):
        self.sealed()
        reader, path = self.agent("reader"), self.point + "/made/below"
        self.in_the_kernel(reader, path)
        os.rename(self.export + "/made/below/7", self.export + "/made/hidden")
        self.assertEqual(reader.error("os.listdir(p)", p=path), "EBADMSG")
        os.rename(self.export + "/made/hidden", self.export + "/made/below/7")
        self.assertEqual(len(reader("os.listdir(p)", p=path)), COUNT)

    def test_live_file_that_came_from_elsewhere_is_listed_though_the_kernel_had_the_listing(self):
        self.sealed()
        reader = self.agent("reader")
        for path in ("/made", "/made/below"):
            self.in_the_kernel(reader, self.point + path)
            with open(self.export + path + "/events.1", "wb"):
                pass
            self.assertIn("events.1", reader("os.listdir(p)", p=self.point + path))
            self.in_the_kernel(reader, self.point + path)
            os.unlink(self.export + path + "/events.1")
            self.assertNotIn("events.1", reader("os.listdir(p)", p=self.point + path))


if __name__ == "__main__":
    main()
