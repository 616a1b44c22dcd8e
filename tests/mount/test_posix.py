#!/usr/bin/python3
# time limit: 400
"""The whole surface of a file system, operation by operation (posix_ops.py), compared with what the bare directory does."""

import os

from harness import ALL_MODES, DAEMON, NOBODY, ROOT, Mode, SealfsTest, all_parked, in_modes, main

# Root's own trials where the kernel passes content through, and an ordinary user's where the daemon moves it as root.
ROOT_ITSELF = Mode("root_itself", ROOT.options, owner=0, trials=0)
DAEMON_FOR_OTHERS = Mode("daemon_for_others", DAEMON.options, owner=0, trials=NOBODY)


def through_the_daemon(mode):
    return "passthrough=off" in mode.options or mode.owner != 0


# What the kernel does by itself, whatever a file system on FUSE says: row, in which modes, why. If a row has become equal, it is to be taken out here.
OF_THE_KERNEL = {
    "after_read_of_nothing": (through_the_daemon, "nobody is asked for what lies beyond the end, so no access is noticed"),
    "after_mapped_write_of_mode_6755": (lambda mode: mode.owner != 0, "a user's own daemon can but write, which takes set-id bits away"),
}
# … of those, what only some file systems can do at all
WHERE_POSSIBLE = {
    "after_fallocate_collapse": "it is refused before the file system is asked",
    "after_fallocate_insert": "it is refused before the file system is asked",
}


def differences(expected, seen):
    """The parts of two outcomes that differ."""
    if isinstance(expected, dict) and isinstance(seen, dict):
        return {name: differences(expected.get(name), seen.get(name)) for name in {**expected, **seen} if expected.get(name) != seen.get(name)}
    if isinstance(expected, tuple) and isinstance(seen, tuple) and len(expected) == len(seen):
        return {number: differences(*pair) for number, pair in enumerate(zip(expected, seen)) if pair[0] != pair[1]}
    return "expected %r, got %r" % (expected, seen)


class Surface(SealfsTest):
    def compare(self, place, trial="parent", leave_out=()):
        """Runs the table below `place` of the mount and in a bare directory of the same file system, as the same user."""
        bare = self.make_dir("bare", 0o777)
        expected = self.agent("bare").start("__import__('posix_ops').run(d)", d=bare).value(patience=120)
        seen = self.agent(trial).start("__import__('posix_ops').run(d)", d=place).value(patience=120)
        self.assertEqual(list(expected), list(seen))
        for name, value in expected.items():
            if name in leave_out:
                continue
            with self.subTest(name):
                if name in WHERE_POSSIBLE and value[0] == 0:
                    self.assertEqual(seen[name][0], "ENOTSUP")
                elif name in OF_THE_KERNEL and OF_THE_KERNEL[name][0](self.mode):
                    self.assertNotEqual(seen[name], value)
                else:
                    self.assertEqual(seen[name], value, differences(value, seen[name]))


class Places(Surface):
    def plain_data(self):
        """What was there before sealfs."""
        os.mkdir(self.exported("old"))
        self.give(self.exported("old"))
        self.mount()
        self.compare(self.point + "/old")
        self.assertEqual(self.state(self.point + "/old"), "plain")

    def own_open_checkpoint(self):
        """While others wait for it."""
        self.mount()
        self.agent("parent")("os.mkdir(d)", d=self.point + "/mine")
        waiting = [self.agent("child").start(code, d=self.point + "/mine") for code in (
            "len(os.listdir(d))", "os.path.exists(d + '/mkdir/n')", "open(d + '/create/n').read()", "os.path.exists(d + '/never/never')")]
        all_parked(*waiting)
        self.compare(self.point + "/mine")
        all_parked(*waiting)
        self.assertEqual(self.state(self.point + "/mine"), "open")


@in_modes(*ALL_MODES)
class In_memory(Places):
    def test_plain_data(self):
        self.plain_data()

    def test_own_open_checkpoint_while_others_wait(self):
        self.own_open_checkpoint()


@in_modes(ROOT_ITSELF, DAEMON_FOR_OTHERS)
class Otherwise(Places):
    def test_own_open_checkpoint_while_others_wait(self):
        self.own_open_checkpoint()


@in_modes(ROOT)
class Descriptors(SealfsTest):
    def test_attributes_of_a_symlink_hold_nothing_open(self):
        """ls -l asks for them."""
        running = self.mount()
        agent = self.agent("parent")
        agent("os.mkdir(d); os.symlink('x', d + '/l')", d=self.point + "/p")
        agent("[os.listxattr(d + '/l', follow_symlinks=False) for _ in range(3)]")
        before = running.descriptors()
        agent("""
            for _ in range(50):
                os.listxattr(d + '/l', follow_symlinks=False)
                try:
                    os.getxattr(d + '/l', 'security.selinux', follow_symlinks=False)
                except OSError:
                    pass
            """)
        self.assertLess(running.descriptors(), before + 10)


@in_modes(DAEMON)
class Above(Surface):
    def test_above_the_checkpoints(self):
        self.ctl("init", "--depth", "16", self.export, uid=self.mode.owner)
        self.mount()
        self.agent("somebody")("os.mkdir(d)", d=self.point + "/experiment")
        # that one is so deep that it does reach the checkpoints
        self.compare(self.point + "/experiment", leave_out=["at_deeper_than_a_path"])


@in_modes(ROOT)
class On_disk(Places):
    base = "/tmp"

    def test_plain_data(self):
        self.plain_data()

    def test_own_open_checkpoint_while_others_wait(self):
        self.own_open_checkpoint()


@in_modes(*ALL_MODES)
class Sealed(Surface):
    """Reading is complete as well."""

    def test_reading_a_sealed_checkpoint(self):
        self.mount()
        writer = self.agent("parent")
        writer("""
            os.mkdir(d)
            open(d + '/file', 'wb').write(pattern(300_000, 9))
            os.chmod(d + '/file', 0o640)
            os.mkdir(d + '/dir')
            [open(d + '/dir/%d' % n, 'w').write(str(n)) for n in range(500)]
            os.symlink('../file', d + '/dir/link')
            os.link(d + '/file', d + '/hard')
            open(d + '/program', 'w').write('#!/bin/sh\\necho run\\n')
            os.chmod(d + '/program', 0o755)
            os.utime(d + '/file', (5, 6))
            """, d=self.point + "/p")
        self.ctl("seal", self.point + "/p", trial="parent")
        reads = {
            "content": "open(d + '/file', 'rb').read()",
            "link": "open(d + '/dir/link', 'rb').read()[:20]",
            "mmap": "bytes(__import__('mmap').mmap(os.open(d + '/file', os.O_RDONLY), 0, prot=1))",
            "mmap_private": "__import__('posix_ops').outcome(lambda: bytes(__import__('mmap').mmap(os.open(d + '/file', os.O_RDONLY), 0, access=3))[:9])",
            "listing": "sorted(os.listdir(d + '/dir'))",
            "stat": "[(s.st_size, s.st_mode, s.st_nlink, s.st_mtime_ns, s.st_uid) for s in [os.stat(d + '/file')]]",
            "readlink": "os.readlink(d + '/dir/link')",
            "seek_hole": "os.lseek(os.open(d + '/file', os.O_RDONLY), 0, os.SEEK_HOLE)",
            "xattr": "__import__('posix_ops').outcome(os.getxattr, d + '/file', 'user.none')",
            "flock": "__import__('posix_ops').outcome(fcntl.flock, os.open(d + '/file', os.O_RDONLY), fcntl.LOCK_SH)",
            "run": "subprocess.run([d + '/program'], capture_output=True).stdout",
            "copy": "subprocess.run(['cp', '-a', d, t], check=True).returncode",
            "access": "[os.access(d + '/file', how) for how in (os.R_OK, os.X_OK)]",
            "sendfile": "os.sendfile(os.open('/dev/null', os.O_WRONLY), os.open(d + '/file', os.O_RDONLY), 0, 1000)",
            "fsync": "os.fsync(os.open(d + '/file', os.O_RDONLY))",
            "telldir": "__import__('posix_ops').names(d)",
        }
        reader, bare = self.agent("child"), self.agent("bare")
        for name, code in reads.items():
            with self.subTest(name):
                expected = bare(code, d=self.export + "/p", t=self.tmp + "/copy-bare")
                if name == "telldir":
                    expected.remove(".seal")
                self.assertEqual(reader(code, d=self.point + "/p", t=self.tmp + "/copy"), expected)

    def test_reader_that_has_it_open_keeps_its_data_after_rm(self):
        self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(pattern(200_000, 1))", d=self.point + "/p")
        self.ctl("seal", self.point + "/p", trial="parent")
        reader = self.agent("child")
        reader("file = open(d + '/a', 'rb', buffering=0); view = __import__('mmap').mmap(file.fileno(), 0, prot=1)", d=self.point + "/p")
        self.ctl("rm", self.point + "/p")
        self.assertIs(reader("os.path.exists(d)", d=self.point + "/p"), False)
        self.assertEqual(reader("(file.read() == pattern(200_000, 1), bytes(view) == pattern(200_000, 1))"), (True, True))


if __name__ == "__main__":
    main()
