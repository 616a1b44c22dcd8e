#!/usr/bin/python3
# time limit: 300
"""Everything that can be done to a sealed checkpoint behind the mount is noticed: by the mount when it is used, and by `sealctl verify`."""

import json
import os
import re
import shutil

from harness import DAEMON, ROOT, SealfsTest, in_modes, main, pattern

DATA, OTHER = pattern(300_000, 7), pattern(300_000, 8)
LAST = (len(DATA) - 1) // 4096
MISMATCH = 5


def flip(path, at):
    """One bit; size and times stay."""
    status = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(at if at >= 0 else status.st_size + at)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x10]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def replace(path, data=None):
    """Another file of that name."""
    write(path + ".new", DATA if data is None else data)
    os.rename(path + ".new", path)


def edit(path, old, new):
    with open(path, "rb") as file:
        text = file.read()
    assert old in text
    write(path, text.replace(old, new, 1))


def remove_and(path, make):
    os.unlink(path)
    make(path)


def removed_directory(path):
    shutil.rmtree(path)
    write(path, b"")


READ_A, READ_B, LIST, LIST_SUB, LINK = ("open(d + '/a', 'rb').read()", "open(d + '/sub/b').read()", "os.listdir(d)", "os.listdir(d + '/sub')",
                                        "os.readlink(d + '/l')")

# name: (what is done, given the checkpoint's path and the state folder; what notices it through the mount; what `verify` says: path and why)
TAMPERINGS = {
    "first byte of the data": (lambda c, s: flip(c + "/a", 0), [READ_A], ("a", "content differs.*block.* 0-0")),
    "middle byte of the data": (lambda c, s: flip(c + "/a", 150_000), [READ_A], ("a", "content differs.*block.* 36-36")),
    "last byte of the data": (lambda c, s: flip(c + "/a", -1), [READ_A], ("a", "content differs.*block.* %d-%d" % (LAST, LAST))),
    "truncation": (lambda c, s: os.truncate(c + "/a", 4096), [READ_A], ("a", "size differs")),
    "truncation to nothing": (lambda c, s: os.truncate(c + "/a", 0), [READ_A], ("a", "size differs")),
    "extension": (lambda c, s: os.truncate(c + "/a", len(DATA) + 1), [READ_A], ("a", "size differs")),
    "another file of that size": (lambda c, s: replace(c + "/a", OTHER), [READ_A], ("a", "content differs")),
    "file removed": (lambda c, s: os.unlink(c + "/sub/b"), [READ_B, LIST_SUB], ("sub/b", "missing")),
    "file renamed": (lambda c, s: os.rename(c + "/a", c + "/z"), [READ_A, LIST], ("a", "missing")),
    "executable bit set": (lambda c, s: os.chmod(c + "/a", 0o755), [READ_A], ("a", "mode differs")),
    "symlink elsewhere": (lambda c, s: remove_and(c + "/l", lambda p: os.symlink("sub/b", p)), [LINK], ("l", "target differs")),
    "symlink removed": (lambda c, s: os.unlink(c + "/l"), [LINK, LIST], ("l", "missing")),
    "file in place of the symlink": (lambda c, s: remove_and(c + "/l", lambda p: write(p, b"a")), [LINK], ("l", "type differs")),
    "directory in place of the file": (lambda c, s: remove_and(c + "/a", os.mkdir), [READ_A], ("a", "type differs")),
    "symlink in place of the file": (lambda c, s: remove_and(c + "/a", lambda p: os.symlink("sub/b", p)), [READ_A], ("a", "type differs")),
    "FIFO in place of the file": (lambda c, s: remove_and(c + "/a", os.mkfifo), [READ_A], ("a", "missing|type differs")),
    "empty directory removed": (lambda c, s: os.rmdir(c + "/void"), [LIST], ("void", "missing")),
    "file in place of the directory": (lambda c, s: removed_directory(c + "/sub"), [READ_B, LIST_SUB], ("sub", "type differs")),
}

# These are read once, when the checkpoint is first used on a mount.
OF_THE_SEAL = {
    "manifest edited": (lambda c, s: edit(c + "/.seal/manifest", b"  300000  a", b"  300001  a"), (".seal", "manifest")),
    "manifest truncated": (lambda c, s: os.truncate(c + "/.seal/manifest", 100), (".seal", "manifest")),
    "manifest removed": (lambda c, s: os.unlink(c + "/.seal/manifest"), (".seal", "manifest is missing")),
    "manifest of another checkpoint": (lambda c, s: shutil.copyfile(c + "/../other/.seal/manifest", c + "/.seal/manifest"), (".seal", "manifest")),
    "seal file edited": (lambda c, s: edit(c + "/.seal/seal", b"trial: parent", b"trial: praent"), (".seal", "seal")),
    "seal file removed": (lambda c, s: os.unlink(c + "/.seal/seal"), (".seal", "seal is missing")),
    "seal folder of another checkpoint": (lambda c, s: (shutil.rmtree(c + "/.seal"), shutil.copytree(c + "/../other/.seal", c + "/.seal")), (".seal", "seal")),
    "record edited": (lambda c, s: edit(s + "/1.end", b"trial: parent", b"trial: praent"), (".", "1.end")),
    "record truncated": (lambda c, s: os.truncate(s + "/1.end", 60), (".", "1.end")),
    "record emptied": (lambda c, s: os.truncate(s + "/1.end", 0), (".", "1.end")),
    "record of another checkpoint": (lambda c, s: shutil.copyfile(s + "/../other/1.end", s + "/1.end"), (".", "1.end")),
}


class Tampering(SealfsTest):
    def prepare(self, *options):
        """Two sealed checkpoints, made through a mount of their own; then the mount under test."""
        self.options = options
        maker = self.mount(point=self.make_dir("maker", 0o755, self.mode.owner), name="maker")
        for name, data in (("parent", DATA), ("other", OTHER)):
            agent = self.agent(name)
            agent("""
                os.mkdir(d)
                open(d + '/a', 'wb').write(data)
                os.mkdir(d + '/sub')
                open(d + '/sub/b', 'w').write('b')
                os.mkdir(d + '/void')
                os.symlink('a', d + '/l')
                """, d=maker.path + "/" + name, data=data)
            self.ctl("seal", maker.path + "/" + name, trial=name)
        maker.unmount()
        shutil.copytree(self.export, self.tmp + "/good", symlinks=True)
        self.checkpoint, self.state_dir = self.exported("parent"), self.exported(".sealfs", "state", "parent")
        self.reader = self.agent("child")

    def restore(self):
        for path in (self.checkpoint, self.state_dir):
            shutil.rmtree(path)
            shutil.copytree(path.replace(self.export, self.tmp + "/good", 1), path, symlinks=True)
            self.give(path)

    def warm_up(self):
        for code in (READ_A, READ_B, LIST, LIST_SUB, LINK):
            self.assertIsNone(self.reader.error(code, d=self.point + "/parent"))

    def check_mount(self, mount, name, codes):
        for code in codes:
            start = len(mount.log())
            # a damaged block may be met by the kernel's own read-ahead, which says EIO
            errors = ("EBADMSG", "EIO") if "verify=read" in self.options else ("EBADMSG",)
            self.assertIn(self.reader.error(code, d=self.point + "/parent"), errors, (name, code))
            self.assertEqual(self.reader.error("assert open(d + '/other/a', 'rb').read() == data", d=self.point, data=OTHER), None, name)
            lines = [line for line in mount.log()[start:].splitlines() if re.search("EBADMSG|can not be read|but ", line)]
            self.assertGreaterEqual(len(lines), 1, (name, code))
            self.assertLess(len(lines), 4, (name, code, lines))
            self.assertIn("'parent", lines[0])

    def check_verify(self, name, path, why):
        result = self.sealctl("verify", "--json", self.checkpoint, uid=0)
        self.assertEqual(result.status, MISMATCH, (name, result))
        faults = json.loads(result.out)["checkpoints"][0]["faults"]
        text = self.sealctl("verify", self.checkpoint, uid=0)
        self.assertIn(path, [fault["path"] for fault in faults], name)
        self.assertTrue(re.search(why, text.out), (name, text.out))
        self.assertEqual(self.sealctl("verify", self.exported("other"), uid=0).status, 0, name)

    def check_good_again(self, name):
        self.assertEqual(self.sealctl("verify", self.checkpoint, uid=0).status, 0, name)

    def play(self, warm, *options):
        self.prepare(*options)
        for name, (tamper, codes, (path, why)) in TAMPERINGS.items():
            mount = self.mount(*options)
            if warm:
                self.warm_up()
            tamper(self.checkpoint, self.state_dir)
            self.check_mount(mount, name, codes)
            if not warm:
                self.check_verify(name, path, why)
            mount.unmount()
            self.restore()
        self.check_good_again("all")
        self.mount(*options)
        self.warm_up()


@in_modes(ROOT, DAEMON)
class Content(Tampering):
    def test_before_the_mount_has_seen_it(self):
        self.play(False)

    def test_after_the_mount_has_verified_it(self):
        self.play(True)

    def test_before_the_mount_has_seen_it_with_verify_read(self):
        self.play(False, "verify=read")

    def test_what_was_read_of_damaged_content_is_forgotten_when_that_is_put_right(self):
        self.prepare()
        self.mount()
        holder = self.agent("holder")
        holder("file = open(d + '/a', 'rb', buffering=0)", d=self.point + "/parent")
        for at in (0, len(DATA) // 2, -1):
            flip(self.checkpoint + "/a", at)
            holder("file.seek(0); file.read()")
            self.assertEqual(self.reader.error(READ_A, d=self.point + "/parent"), "EBADMSG")
            flip(self.checkpoint + "/a", at)
            self.assertIsNone(self.reader.error("assert open(d + '/a', 'rb').read() == data", d=self.point + "/parent", data=DATA), at)

    def test_small_file_that_is_changed_while_it_is_open_gives_what_was_sealed_or_an_error(self):
        small = {"one": pattern(4096, 1), "two": pattern(8192, 2), "odd": pattern(5000, 3)}
        self.mount()
        self.agent("small")("""
            os.mkdir(d)
            for name, data in files.items():
                open(d + '/' + name, 'wb').write(data)
            """, d=self.point + "/small", files=small)
        self.ctl("seal", self.point + "/small", trial="small")
        holder, reader = self.agent("holder"), self.agent("reader")
        for name, data in small.items():
            path, file = self.point + "/small/" + name, self.export + "/small/" + name
            holder("file = open(p, 'rb', buffering=0); other = open(p, 'rb', buffering=0)", p=path)
            self.assertEqual(holder("file.read()"), data)
            flip(file, -1)
            # what the kernel has of it is what was sealed
            self.assertEqual(holder("other.read()"), data)
            self.assertEqual(reader.error("open(p, 'rb')", p=path), "EBADMSG")
            flip(file, -1)
            holder("file.close(); other.close(); file = open(p, 'rb', buffering=0)", p=path)
            flip(file, 0)
            # what the kernel has to ask for is checked once more
            self.assertEqual(holder.error("file.read()"), "EBADMSG")
            flip(file, 0)
            self.assertEqual(holder("file.read()"), data)
            holder("file.close()")

    def test_file_that_was_added_is_not_visible(self):
        self.prepare()
        self.mount()
        for warm in (False, True):
            write(self.checkpoint + "/added", b"x")
            write(self.checkpoint + "/sub/added", b"x")
            self.assertEqual(self.reader("sorted(os.listdir(d))", d=self.point + "/parent"), ["a", "l", "sub", "void"])
            self.assertEqual(self.reader("os.listdir(d + '/sub')", d=self.point + "/parent"), ["b"])
            for path in ("added", "sub/added"):
                self.assertEqual(self.reader.error("open(p)", p=self.point + "/parent/" + path), "ENOENT")
            self.check_verify("added", "added", "not in the manifest")
            os.unlink(self.checkpoint + "/added")
            os.unlink(self.checkpoint + "/sub/added")
            if not warm:
                self.warm_up()


@in_modes(ROOT, DAEMON)
class Seal(Tampering):
    def test_before_the_mount_has_seen_it(self):
        self.prepare()
        for name, (tamper, (path, why)) in OF_THE_SEAL.items():
            tamper(self.checkpoint, self.state_dir)
            mount = self.mount()
            self.check_mount(mount, name, [READ_A])
            self.check_verify(name, path, why)
            mount.unmount()
            self.restore()
        self.check_good_again("all")
        self.mount()
        self.warm_up()


if __name__ == "__main__":
    main()
