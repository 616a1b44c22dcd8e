"""The server's clock stands still while several things happen: a client that looks in between must not take the first for the last.

The directory has the same times after the second change, so its NFS client sees no reason to ask again for a name that it missed. Version 3
knows of nothing but the times; version 4 has a count of changes, where the server's file system keeps one.

time limit: 400
"""

from machines import *

ROUNDS = 15


@in_versions()
class NamesOfOneTick(MachinesTest):

    def test_what_was_missed_in_the_same_tick_is_there_when_it_is_sealed(self):
        self.a.mount()
        self.b.mount()
        self.noise = self.a.trial("noise")
        for number in range(ROUNDS):
            self.round("run-%d" % number, self.a.trial("writer-%d" % number), self.b.trial("reader-%d" % number))

    def round(self, path, writer, reader):
        # it looks again and again, in vain, and so asks again whenever the directory's times are others
        looking = reader.start("""
            missed = 0
            while not os.path.exists(path):
                missed += 1
                open(mark, "w").close()
            with open(path + "/model") as file:
                result = file.read(), missed
        """, path=os.path.join(self.b.point, path), mark=os.path.join(self.tmp, path))
        until(lambda: os.path.exists(os.path.join(self.tmp, path)), "its first look")
        # what else happens there gives the directory its times
        self.noise("""
            for number in range(20):
                os.mkdir("%s/%s-noise-%d" % (top, path, number))
        """, top=self.a.bare, path=path)
        writer("""
            os.mkdir(top)
            with open(top + "/model", "w") as file:
                file.write(top)
        """, top=os.path.join(self.a.point, path))
        looking.must_run()
        writer.asks(self.a.point, CALL_SEAL, path)
        content, missed = looking.value()
        self.assertEqual(os.path.join(self.a.point, path), content)
        self.assertGreater(missed, 1)
        reader.close()
        writer.close()


if __name__ == "__main__":
    main()
