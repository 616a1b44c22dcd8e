#!/usr/bin/python3
"""How many requests reach the daemon: the kernel's caches serve what can not have changed, and what is made costs no more than the protocol asks for."""

import collections
import re

from harness import ROOT, SealfsTest, in_modes, main, until

COUNT = 20


@in_modes(ROOT)
class Requests(SealfsTest):
    def setUp(self):
        super().setUp()
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

    def test_listing_a_sealed_directory_again_reads_nothing(self):
        self.sealed()
        reader = self.agent("reader")
        reader("import os; os.listdir(d + '/made/below')", d=self.point)
        found = self.counted(reader, "os.listdir(d + '/made/below')")
        self.assertNotIn("READDIR", found)
        self.assertNotIn("READDIRPLUS", found)


if __name__ == "__main__":
    main()
