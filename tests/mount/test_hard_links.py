#!/usr/bin/python3
"""Files with several names: each name is judged by the checkpoint that it is in, whatever other names the file has.

Through a mount no link leaves its checkpoint, but `cp -al`, `rsync --link-dest` and tools that replace copies by links make them on the export.
"""

import os

from harness import ALL_MODES, SealfsTest, in_modes, main, pattern

DATA, OTHER = pattern(9000, 1), pattern(9000, 2)
READ = "open(p, 'rb').read()"


@in_modes(*ALL_MODES)
class Hard_links(SealfsTest):
    def make(self, name, files, trial="writer"):
        self.agent(trial)("os.mkdir(d); [open(d + '/' + n, 'wb').write(data) for n, data in files.items()]", d=self.point + "/" + name, files=files)

    def seal(self, name, trial="writer"):
        self.ctl("seal", self.point + "/" + name, trial=trial)

    def copy_by_links(self, name, copy):
        os.mkdir(self.exported(copy))
        for file in os.listdir(self.exported(name)):
            if file != ".seal":
                os.link(self.exported(name, file), self.exported(copy, file))
        os.chmod(self.exported(copy), 0o777)

    def overwrite(self, *names):
        with open(self.exported(*names), "r+b") as file:
            file.write(b"wrong")

    def test_plain_name_of_a_sealed_file_hides_no_damage(self):
        self.mount()
        self.make("t1", {"w": DATA})
        self.seal("t1")
        self.copy_by_links("t1", "plain")
        reader = self.agent("reader")
        for _ in range(2):
            for name in ("plain", "t1"):
                self.assertEqual(reader(READ, p=self.point + "/" + name + "/w"), DATA)
        self.overwrite("t1", "w")
        for _ in range(2):  # whichever was looked up last
            self.assertEqual(reader(READ, p=self.point + "/plain/w")[:5], b"wrong")
            self.assertEqual(reader.error(READ, p=self.point + "/t1/w"), "EBADMSG")

    def test_plain_name_opens_no_sealed_file_for_writing(self):
        self.mount()
        self.make("t1", {"w": DATA})
        self.seal("t1")
        self.copy_by_links("t1", "plain")
        agent = self.agent("writer")
        for name in ("t1", "plain", "t1"):
            self.assertEqual(agent(READ, p=self.point + "/" + name + "/w"), DATA)
        for code in ("open(p, 'r+b')", "os.truncate(p, 5)", "os.chmod(p, 0o777)", "os.utime(p)", "os.unlink(p)"):
            self.assertEqual(agent.error(code, p=self.point + "/t1/w"), "EROFS", code)
        self.assertEqual(agent(READ, p=self.point + "/t1/w"), DATA)

    def test_name_in_an_open_checkpoint_waits_though_the_sealed_one_is_read(self):
        self.mount()
        self.make("t1", {"w": DATA})
        self.seal("t1")
        self.make("t2", {"own": b"x"}, trial="second")
        os.link(self.exported("t1", "w"), self.exported("t2", "w"))
        reader, other = self.agent("reader"), self.agent("reader")
        self.assertEqual(reader(READ, p=self.point + "/t1/w"), DATA)
        call = other.start(READ, p=self.point + "/t2/w").parked()
        self.assertEqual(reader(READ, p=self.point + "/t1/w"), DATA)
        call.still_waiting()
        self.seal("t2", trial="second")
        self.assertEqual(call.value(), DATA)
        self.assertEqual(self.ctl("verify", self.point).status, 0)

    def test_one_name_replaced_by_a_link_to_another_is_noticed(self):
        self.mount()
        self.make("t1", {"a": DATA, "b": OTHER})
        self.seal("t1")
        os.unlink(self.exported("t1", "a"))
        os.link(self.exported("t1", "b"), self.exported("t1", "a"))
        reader = self.agent("reader")
        for name in ("a", "b", "a", "b", "a"):
            if name == "a":
                self.assertEqual(reader.error(READ, p=self.point + "/t1/a"), "EBADMSG")
            else:
                self.assertEqual(reader(READ, p=self.point + "/t1/b"), OTHER)

    def test_links_within_a_checkpoint_are_sealed_as_files(self):
        self.mount()
        agent = self.agent("writer")
        agent("os.mkdir(d); open(d + '/a', 'wb').write(data); os.link(d + '/a', d + '/b'); os.mkdir(d + '/s'); os.link(d + '/b', d + '/s/c')",
              d=self.point + "/t1", data=DATA)
        self.assertEqual(agent("f = open(d + '/a', 'ab'); f.write(b'more'); f.close(); result = os.stat(d + '/b').st_size, os.stat(d + '/s/c').st_nlink",
                               d=self.point + "/t1"), (len(DATA) + 4, 3))
        self.seal("t1")
        reader = self.agent("reader")
        for name in ("a", "b", "s/c", "a"):
            self.assertEqual(reader(READ, p=self.point + "/t1/" + name), DATA + b"more")
        self.assertEqual(reader("os.path.samefile(d + '/a', d + '/b')", d=self.point + "/t1"), True)
        self.assertEqual(self.ctl("verify", self.point + "/t1").status, 0)

    def test_checkpoints_of_one_file(self):
        self.mount()
        self.agent("writer")("open(p, 'wb').write(data)", p=self.point + "/one.pt", data=DATA)
        self.seal("one.pt")
        os.link(self.exported("one.pt"), self.exported("plain.pt"))
        reader = self.agent("reader")
        for name in ("one.pt", "plain.pt", "one.pt", "plain.pt"):
            self.assertEqual(reader(READ, p=self.point + "/" + name), DATA)
        self.assertEqual(reader.error("open(p, 'r+b')", p=self.point + "/one.pt"), "EROFS")
        self.overwrite("plain.pt")
        for name, seen in (("plain.pt", None), ("one.pt", "EBADMSG"), ("plain.pt", None), ("one.pt", "EBADMSG")):
            self.assertEqual(reader.error(READ, p=self.point + "/" + name), seen)

    def test_file_looked_up_before_the_seal_is_opened_after_it_whoever_looked_meanwhile(self):
        self.mount()
        self.make("t1", {"w": DATA, "v": OTHER})
        early, late = self.agent("early"), self.agent("late")
        early("fd = os.open(p, os.O_PATH); names = '/proc/self/fd/%d' % fd", p=self.point + "/t1/w")
        self.seal("t1")
        for _ in range(3):  # the kernel opens what early looked up, and what late looked up: two nodes of one name
            self.assertEqual(late(READ, p=self.point + "/t1/w"), DATA)
            self.assertEqual(early("open(names, 'rb').read()"), DATA)
        self.overwrite("t1", "w")
        self.assertEqual(late.error(READ, p=self.point + "/t1/w"), "EBADMSG")
        self.assertEqual(early.error("open(names, 'rb').read()"), "EBADMSG")

    def test_file_with_two_names_looked_up_before_the_seal_is_not_opened_as_the_other(self):
        self.mount()
        self.agent("writer")("os.mkdir(d); open(d + '/a', 'wb').write(data); os.link(d + '/a', d + '/b')", d=self.point + "/t1", data=DATA)
        early, late = self.agent("early"), self.agent("late")
        early("fd = os.open(p, os.O_PATH); names = '/proc/self/fd/%d' % fd", p=self.point + "/t1/a")
        early("os.close(os.open(p, os.O_PATH))", p=self.point + "/t1/b")
        self.seal("t1")
        self.assertEqual(early.error("open(names, 'rb').read()"), "ESTALE")
        for name in "ab":
            self.assertEqual(late(READ, p=self.point + "/t1/" + name), DATA)
            self.assertEqual(early(READ, p=self.point + "/t1/" + name), DATA)


if __name__ == "__main__":
    main()
