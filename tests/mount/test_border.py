#!/usr/bin/python3
"""A checkpoint's border is one between file systems: what is renamed or linked across it gets EXDEV and nothing changes, and what a rename means for the whole is said."""

import os

from harness import ROOT, USER, SealfsTest, in_modes, main, snapshot

NOREPLACE, EXCHANGE = 1, 2
# How something may cross: `a` to `b`
WAYS = {
    "rename": "os.rename(a, b)",
    "noreplace": "check(raw('renameat2', -100, a, -100, b, 1))",
    "exchange": "check(raw('renameat2', -100, a, -100, b, 2))",
    "link": "os.link(a, b)",
}
CHECK = """
def check(result):
    if result < 0:
        raise OSError(-result, os.strerror(-result))
"""


@in_modes(ROOT, USER)
class Border(SealfsTest):
    def set_up(self, depth=2):
        self.ctl("init", "--depth", str(depth), self.export, uid=self.mode.owner)
        os.makedirs(self.exported("e/plain/sub"))
        for name in ("e/above", "e/plain/f", "e/plain/g"):
            if depth == 2 and name == "e/above":
                name = "above"  # an entry of e would be a checkpoint
            with open(self.exported(name), "w") as file:
                file.write("plain")
        self.give(self.export)
        self.mount()
        writer = self.agent("parent")
        writer(CHECK)
        writer("""
            for name in ('one', 'two'):
                os.makedirs(e + '/' + name + '/sub')
                for inside in ('f', 'g', 'sub/h'):
                    open(e + '/' + name + '/' + inside, 'w').write(name)
            """, e=self.point + "/e")
        return writer

    def seen(self):
        return {name: value for name, value in snapshot(self.export).items() if not name.startswith(".sealfs")}

    def test_nothing_crosses(self):
        writer = self.set_up()
        before = self.seen()
        pairs = [("e/one/f", "e/two/g"), ("e/one/f", "e/two/n"), ("e/one/sub", "e/two/n"), ("e/one/f", "e/plain/n"), ("e/one/f", "e/plain/g"), ("e/plain/f", "e/one/n"),
                 ("e/plain/f", "e/one/g"), ("e/plain/sub", "e/one/n"), ("e/plain/f", "n"), ("e/one/f", "n"), ("above", "e/one/n"), ("above", "e/plain/n"), ("e/one/f", "e/n"),
                 ("e/plain/f", "e/n"), ("above", "e/n"), ("e/one", "n"), ("e/plain", "n"), ("e/one/sub", "e/n"), ("e/one/sub", "n")]
        for a, b in pairs:
            for way, code in WAYS.items():
                if way == "exchange" and not os.path.lexists(self.exported(b)) or way == "noreplace" and os.path.lexists(self.exported(b)):
                    continue
                if way == "link" and (os.path.isdir(self.exported(a)) or os.path.lexists(self.exported(b))):
                    continue
                with self.subTest(way, a=a, b=b):
                    self.assertEqual(writer.error(code, a=self.point + "/" + a, b=self.point + "/" + b), "EXDEV")
                    self.assertEqual(self.seen(), before)
        self.assertEqual([self.state(self.point + "/e/" + name) for name in ("one", "two", "plain")], ["open", "open", "plain"])

    def test_mv_copies_across_it(self):
        """With mode and times, and what was copied into a checkpoint is part of its seal."""
        writer = self.set_up()
        writer("""
            os.chmod(e + '/plain/f', 0o640); os.utime(e + '/plain/f', ns=(5, 10**18 + 7)); os.symlink('f', e + '/plain/sub/l')
            subprocess.run(['mv', e + '/plain/f', e + '/one/moved'], check=True)
            subprocess.run(['mv', e + '/plain/sub', e + '/one/moved.d'], check=True)
            subprocess.run(['mv', e + '/two/f', e + '/one/f'], check=True)
            shutil.move(e + '/two/sub', e + '/one/sub2')
            """)
        status = writer("os.stat(e + '/one/moved')")
        self.assertEqual((status.st_mode & 0o7777, status.st_mtime_ns, status.st_nlink), (0o640, 10**18 + 7, 1))
        self.assertEqual(sorted(os.listdir(self.exported("e/plain"))), ["g"])
        self.assertEqual(sorted(os.listdir(self.exported("e/two"))), ["g"])
        self.ctl("seal", self.point + "/e/one", trial="parent")
        listing = self.ctl("manifest", self.point + "/e/one").out
        for name in ("moved", "moved.d/l", "f", "sub2/h"):
            self.assertIn(name, listing)
        self.assertEqual(self.agent("child")("(open(e + '/one/moved').read(), open(e + '/one/f').read())", e=self.point + "/e"), ("plain", "two"))

    def test_mv_out_of_a_sealed_one_leaves_it_whole(self):
        """The copy is made, and the original stays; the program says so."""
        writer = self.set_up()
        self.ctl("seal", self.point + "/e/one", trial="parent")
        before = self.seen()
        result = writer("(lambda r: (r.returncode, r.stderr.decode()))(subprocess.run(['mv', e + '/one/f', e + '/two/copied'], stderr=subprocess.PIPE))")
        self.assertEqual(result[0], 1)
        self.assertIn("Read-only file system", result[1])
        self.assertEqual(writer("open(e + '/two/copied').read()"), "one")
        self.assertEqual({name: value for name, value in self.seen().items() if name != "e/two/copied"}, before)
        self.ctl("verify", self.exported("e/one"))

    def test_whole_checkpoint_is_renamed_with_its_record(self):
        writer = self.set_up()
        writer("os.rename(e + '/one', e + '/renamed')")
        self.assertEqual(self.state(self.point + "/e/renamed"), "open")
        self.assertFalse(writer("os.path.exists(e + '/one')"))
        writer("open(e + '/renamed/later', 'w').write('x')")
        self.ctl("seal", self.point + "/e/renamed", trial="parent")
        self.assertEqual(writer.error("os.rename(e + '/renamed', e + '/again')"), "EROFS")
        self.assertEqual(writer.error("os.rename(e + '/two', e + '/renamed')"), "EROFS")
        self.assertEqual(self.agent("child")("open(e + '/renamed/later').read()", e=self.point + "/e"), "x")

    def test_directory_above_checkpoints_with_records_stays(self):
        """Records go by path; without any, it is a directory like others."""
        writer = self.set_up()
        self.assertEqual(writer.error("os.rename(e, e + '2')"), "EBUSY")
        writer("os.makedirs(p + '/free'); os.rename(p + '/free', p + '/freed'); os.rmdir(p + '/freed')", p=self.point)
        self.assertEqual(self.state(self.point + "/e/one"), "open")


if __name__ == "__main__":
    main()
