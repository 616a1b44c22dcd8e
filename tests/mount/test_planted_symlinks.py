#!/usr/bin/python3
# time limit: 180
"""Symlinks that somebody plants in the export and that lead out of it: the caller's kernel follows them, as it does on a bare directory, and the daemon never.

The mount lies elsewhere than the export, so where a link leads tells who followed it: `../../outside` leads from the export to what is secret, from the mount to a
decoy; `/proc/self/cwd` is the root directory to the daemon, and the decoy to the caller."""

import os
import signal

from harness import DAEMON, PATIENCE, ROOT, TOKEN, USER, SealfsTest, in_modes, main, until

OURS = "sealfs-test.%s.planted" % TOKEN

# What a caller tries, on directory q (which turns into a symlink) with file x in it, and on file f (likewise). What is done to a name is undone.
ATTEMPTS = {
    "read": "read(f)",
    "read_below": "read(q + '/x')",
    "mapped": "mapped(q + '/x')",
    "stat": "os.stat(q + '/x').st_size",
    "stat_of_the_file": "os.stat(f).st_size",
    "listing": "sorted(os.listdir(q))",
    "xattrs": "os.listxattr(q + '/x') and 0",
    "write": "write(q + '/x')",
    "write_to_the_file": "write(f)",
    "truncate": "os.truncate(f, 6)",
    "truncate_below": "os.truncate(q + '/x', 6)",
    "chmod": "os.chmod(q + '/x', 0o644)",
    "chmod_of_the_file": "os.chmod(f, 0o644)",
    "utime": "os.utime(q + '/x', (7, 7))",
    "setxattr": "os.setxattr(q + '/x', 'user.planted', b'1')",
    "create": "os.close(os.open(q + '/' + ours, os.O_CREAT | os.O_WRONLY, 0o600))",
    "unlink": "os.unlink(q + '/' + ours)",
    "mkdir": "os.mkdir(q + '/' + ours + '.d')",
    "rmdir": "os.rmdir(q + '/' + ours + '.d')",
    "symlink": "os.symlink('x', q + '/' + ours + '.l')",
    "unlink_of_the_symlink": "os.unlink(q + '/' + ours + '.l')",
    "rename": "os.rename(q + '/x', q + '/y')",
    "rename_back": "os.rename(q + '/y', q + '/x')",
    "link": "os.link(q + '/x', q + '/z')",
    "unlink_of_the_link": "os.unlink(q + '/z')",
}
TRY = """
import mmap as mapping
def read(path):
    with open(path, 'rb', buffering=0) as file:
        return file.read(100)
def mapped(path):
    with open(path, 'rb') as file:
        with mapping.mmap(file.fileno(), 6, prot=mapping.PROT_READ) as view:
            return bytes(view)
def write(path):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, b'inside')
    finally:
        os.close(fd)
os.chdir(decoy)
compiled = {name: compile(code, name, 'eval') for name, code in attempts.items()}
done, refused, seen = {}, {}, set()
until = time.monotonic() + seconds
while time.monotonic() < until:
    for name, code in compiled.items():
        try:
            value = eval(code)
            done[name] = done.get(name, 0) + 1
            if isinstance(value, (bytes, list)):
                seen.add(str(value))
        except OSError as problem:
            refused[name] = refused.get(name, 0) + 1
        except ValueError:
            pass  # an empty file can not be mapped
result = done, refused, sorted(seen)
"""
FLIP = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
pairs = [word.encode() for word in sys.argv[1:]]
while os.getppid() != 1:
    for one in pairs:
        libc.renameat2(-100, one, -100, one + b'.planted', 2)
"""


@in_modes(ROOT, DAEMON, USER)
class Planted(SealfsTest):
    def setUp(self):
        super().setUp()
        # what must stay as it is
        self.secret = self.make_dir("outside", 0o777, self.uid)
        self.fill(self.secret, "secret")
        self.point = self.make_dir("deep/mnt", 0o755, self.mode.owner)
        self.decoy = self.make_dir("deep/outside", 0o777, self.uid)
        self.fill(self.decoy, "decoy!")
        self.mount()
        self.agent("parent")("[os.mkdir(p + '/' + name) or os.mkdir(p + '/' + name + '/q') for name in ('open', 'sealed')]", p=self.point)
        os.makedirs(self.exported("plain/q"))
        for name in ("plain", "open", "sealed"):
            for path in (self.exported(name, "f"), self.exported(name, "q/x")):
                with open(path, "w") as file:
                    file.write("inside")
            self.give(self.exported(name))
        self.ctl("seal", self.point + "/sealed", trial="parent")

    def fill(self, place, text):
        for name in ("x", "f"):
            with open(os.path.join(place, name), "w") as file:
                file.write(text)
            if self.uid != os.geteuid():
                os.chown(os.path.join(place, name), self.uid, self.uid)

    def plant(self, name, target):
        os.symlink(target, self.exported(name, "q.planted"))
        os.symlink(target + "/f", self.exported(name, "f.planted"))

    def snapshot_of_secret(self):
        found = {}
        for name in sorted(os.listdir(self.secret)):
            path = os.path.join(self.secret, name)
            status = os.lstat(path)
            with open(path) as file:
                found[name] = file.read(), status.st_mode, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink, os.listxattr(path)
        return found, os.stat(self.secret).st_mtime_ns

    def check(self, seen):
        for value in seen:
            self.assertNotIn("secret", value)
            self.assertNotIn("'proc'", value)
        self.assertEqual([name for name in os.listdir("/") if name.startswith(OURS)], [])

    def start(self, agent, name, seconds):
        return agent.start(TRY, q=self.point + "/" + name + "/q", f=self.point + "/" + name + "/f", decoy=self.decoy, seconds=seconds, attempts=ATTEMPTS, ours=OURS)

    def test_link_that_stays(self):
        """Who looks through it sees what his own kernel finds."""
        agent = self.agent("parent")
        before = self.snapshot_of_secret()
        for target in ("../../outside", "/proc/self/cwd"):
            for name in ("plain", "open"):
                with self.subTest(target=target, place=name):
                    for one in ("q", "f"):
                        os.rename(self.exported(name, one), self.exported(name, one + ".kept"))
                    os.symlink(target, self.exported(name, "q"))
                    os.symlink(target + "/f", self.exported(name, "f"))
                    agent("os.chdir(d)", d=self.decoy)
                    self.assertEqual(agent("(open(p + '/q/x').read(), open(p + '/f').read())", p=self.point + "/" + name), ("decoy!", "decoy!"))
                    done, _, seen = self.start(agent, name, 0.2).value()
                    self.assertIn("create", done)
                    self.check(seen)
                    self.fill(self.decoy, "decoy!")
                    for one in ("q", "f"):
                        os.unlink(self.exported(name, one))
                        os.rename(self.exported(name, one + ".kept"), self.exported(name, one))
        self.assertEqual(self.snapshot_of_secret(), before)

    def test_race_with_rename(self):
        """For 10 s, what was looked up as a directory or a file becomes a link by the time it is used, and back."""
        before = self.snapshot_of_secret()
        flipped = []
        for name in ("plain", "open", "sealed"):
            self.plant(name, "../../outside" if name != "open" else "/proc/self/cwd")
            flipped += [self.exported(name, "q"), self.exported(name, "f")]
        flipper = self.python(FLIP, *flipped, uid=0 if os.geteuid() == 0 else None)
        until(lambda: os.path.islink(flipped[0]), "the first exchange")
        calls = {}
        for name in ("plain", "open", "sealed"):
            calls[name] = self.start(self.agent("parent" if name != "sealed" else "child", name=name), name, 10)
        results = {name: call.value(PATIENCE + 60) for name, call in calls.items()}
        flipper.must_run()
        flipper.kill(signal.SIGKILL)
        for name, (done, refused, seen) in results.items():
            with self.subTest(name):
                self.check(seen)
                # it was tried, and had its chances
                wanted = ("read", "stat") if name == "sealed" else ("read", "read_below", "listing", "write", "truncate", "create", "mkdir", "rename", "chmod")
                for attempt in wanted:
                    self.assertGreater(done.get(attempt, 0), 0, (attempt, done, refused))
                self.assertGreater(sum(refused.values()), 0)
        self.assertEqual(self.snapshot_of_secret(), before)


if __name__ == "__main__":
    main()
