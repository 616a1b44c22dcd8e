#!/usr/bin/python3
"""What still writes when it is to be sealed is seen, whichever way it came to write: nothing sealed is written to."""

import os

from harness import ALL_MODES, DAEMON, ROOT, SealfsTest, in_modes, main, pattern

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


if __name__ == "__main__":
    main()
