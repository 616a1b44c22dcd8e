#!/usr/bin/python3
# time limit: 240, of the long form: 1800
"""Programs that are hard on a file system, and others' tests of one: on plain data and in an open checkpoint, which is sealed, verified and read afterwards.

As `make conformance` runs it, more of each."""

import os
import re
import shutil

from harness import DAEMON, LONG, PATIENCE, ROOT, USER, SealfsTest, counted, in_modes, main

MODES = (ROOT, DAEMON, USER) if LONG else (ROOT,)
# where it matters most which way the content goes
MODES_FOR_CONTENT = MODES if LONG else (ROOT, DAEMON)

LIMIT = PATIENCE * (20 if LONG else 3)


class Places(SealfsTest):
    """Each test is run on a plain path and in an open checkpoint."""

    def setUp(self):
        super().setUp()
        self.mount()
        os.mkdir(self.exported("old"))
        self.give(self.exported("old"))
        self.writer = self.agent("parent")
        self.writer("os.mkdir(d)", d=self.point + "/mine")

    def need(self, *programs):
        """Only what `make check` installs is always there."""
        for name in programs:
            if not shutil.which(name):
                self.skipTest("%s is not installed (tests/install-deps conformance)" % name)

    def places(self):
        return ("a plain path", self.point + "/old"), ("an open checkpoint", self.point + "/mine")

    def run_in(self, place, script, *arguments, expect=0, patience=LIMIT):
        """A shell script, as the trial, in that directory; its output."""
        process = self.spawn(["/bin/bash", "-c", "set -eu -o pipefail; cd \"$0\"; " + script, place, *arguments], trial="parent", name="script",
                             env={"GIT_CONFIG_GLOBAL": "/dev/null", "HOME": self.tmp})
        status = process.wait(patience)
        self.assertEqual(status, expect, process.output()[-6000:])
        return process.output()

    def seal_and_compare(self):
        """What another trial then sees is what the writer saw, and the seal agrees."""
        before = self.writer(SUMMARY, d=self.point + "/mine")
        self.ctl("seal", self.point + "/mine", trial="parent", patience=LIMIT)
        self.assertEqual(self.agent("child").start(SUMMARY, d=self.point + "/mine").value(LIMIT), before)
        self.ctl("verify", self.exported("mine"), patience=LIMIT)
        return len(before)


SUMMARY = """
import hashlib
result = {}
for top, directories, files in os.walk(d):
    for name in directories + files:
        path = os.path.join(top, name)
        status = os.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        content = hashlib.sha256(open(path, 'rb').read()).hexdigest() if kind == stat.S_IFREG else os.readlink(path) if kind == stat.S_IFLNK else None
        result[path[len(d):]] = stat.filemode(status.st_mode), status.st_nlink if content else None, status.st_mtime_ns if kind != stat.S_IFDIR else None, content
"""

# ---- fio

# engine, further arguments
FIO = {
    "psync": ["--ioengine=psync", "--rw=randrw", "--bs=4k"],
    "mmap": ["--ioengine=mmap", "--rw=randrw", "--bs=4k"],
    "vectors": ["--ioengine=pvsync2", "--rw=randwrite", "--bsrange=512-64k", "--bs_unaligned"],
    "direct": ["--ioengine=psync", "--rw=randwrite", "--bs=4k", "--direct=1"],
    "sequential": ["--ioengine=psync", "--rw=write", "--bs=1m", "--fsync=4"],
    "several": ["--ioengine=psync", "--rw=randwrite", "--bs=16k", "--numjobs=3"],
}


@in_modes(*MODES_FOR_CONTENT)
class Fio(Places):
    def test_verify(self):
        self.need("fio")
        size, jobs = "64m" if LONG else "4m", 0
        for where, place in self.places():
            for name, arguments in FIO.items():
                text = self.run_in(place, "fio --name=\"$1\" --directory=. --size=\"$2\" --verify=sha256 --verify_fatal=1 --do_verify=1 --randseed=7 --thread=0 "
                                          "--output-format=terse \"${@:3}\"", name, size, *arguments)
                jobs += len(re.findall(r"^3;", text, re.M))
                self.assertNotIn("verify:", text)
            counted("fio: %d kinds of work of %s verified on %s, %s" % (len(FIO), size, where, self.mode.name))
        self.assertGreaterEqual(jobs, 2 * len(FIO))
        counted("fio: %d files sealed and verified, %s" % (self.seal_and_compare(), self.mode.name))

    def test_wrong_byte_is_found(self):
        self.need("fio")
        self.run_in(self.point + "/old", "fio --name=x --filename=x --size=1m --rw=write --bs=4k --verify=sha256 --do_verify=0 --output-format=terse")
        with open(self.exported("old/x"), "r+b") as file:
            file.seek(500_000)
            file.write(b"!")
        self.run_in(self.point + "/old", "! fio --name=x --filename=x --size=1m --rw=read --bs=4k --verify=sha256 --verify_fatal=1 --output-format=terse")


# ---- stress-ng

# name: (operations in the short form, or None: the long one only; operations in the long one; further arguments)
STRESSORS = {
    "access": (2, 50), "chdir": (None, 2000, "--chdir-dirs", "128"), "chmod": (5, 200), "chown": (None, 200), "copy-file": (None, 20, "--copy-file-bytes", "128M"),
    "dentry": (200, 5000, "--dentries", "256"), "dir": (50, 2000, "--dir-dirs", "64"), "dirdeep": (None, 200, "--dirdeep-inodes", "256"), "dirmany": (None, 2000),
    "dup": (None, 50), "fallocate": (20, 500, "--fallocate-bytes", "4M"), "fcntl": (None, 1000), "fiemap": (None, 200, "--fiemap-bytes", "4M"),
    "file-ioctl": (None, 500), "filename": (100, 2000, "--filename-opts", "posix"), "flock": (50, 2000), "fsize": (10, 200), "fstat": (None, 1000), "getdent": (20, 1000),
    "hdd": (None, 5000, "--hdd-bytes", "4M"), "inotify": (None, 20), "io": (None, 200), "iomix": (None, 2000, "--iomix-bytes", "4M"), "link": (None, 500), "locka": (None, 2000),
    "lockf": (50, 2000), "lockofd": (None, 2000), "mknod": (5, 200), "open": (20, 500), "rename": (100, 5000), "symlink": (None, 500),
    "sync-file": (None, 50, "--sync-file-bytes", "1M"), "touch": (None, 5000), "utime": (20, 1000), "xattr": (None, 50), "seek": (100, 2000, "--seek-size", "4M"),
    "readahead": (None, 500, "--readahead-bytes", "4M"), "sendfile": (None, 500, "--sendfile-size", "1M"), "msync": (20, 500, "--msync-bytes", "4M"), "dnotify": (None, 100),
    "mmapaddr": (None, 500), "revio": (None, 1000, "--revio-bytes", "4M"), "tee": (None, 200), "lease": (None, 500),
}
# of its class "filesystem"
NOT_RUN = {
    "bind-mount": "mounts elsewhere", "binderfs": "is about another file system", "chattr": "flags of ext4, which do not pass FUSE", "eventfd": "touches no file",
    "fanotify": "is root's and about whole mounts", "fpunch": "needs minutes a turn and is in fsx", "handle": "FUSE gives no handles of a kind that lasts",
    "inode-flags": "as chattr, and never ends", "ioprio": "touches no file", "procfs": "is about another file system", "verity": "is for the file system that keeps the digests itself",
}


@in_modes(*MODES)
class Stress_ng(Places):
    def test_each_is_run_or_is_known_not_to_be(self):
        self.need("stress-ng")
        names = self.run_program(["stress-ng", "--class", "filesystem?"]).all.split("stressors:")[1].split()
        self.assertEqual([name for name in names if name not in STRESSORS and name not in NOT_RUN], [])

    def test_stressors(self):
        self.need("stress-ng")
        for where, place in self.places():
            ran = 0
            for name, (short, long, *more) in STRESSORS.items():
                operations = long if LONG else short
                if operations is None:
                    continue
                with self.subTest(name):
                    self.run_in(place, "mkdir stress-\"$1\"; stress-ng --temp-path stress-\"$1\" --verify --timeout 120 --\"$1\" 1 --\"$1\"-ops \"$2\" \"${@:3}\"",
                                name, str(operations), *more)
                    ran += 1
            counted("stress-ng: %d stressors on %s, %s" % (ran, where, self.mode.name))


# ---- git

GIT = """
git init -q -b main repository; cd repository; git config user.name t; git config user.email t@localhost; git config gc.auto 0
for n in $(seq "$1"); do mkdir -p "d$((n % 17))/e$((n % 5))"; seq "$n" $((n * 7)) >"d$((n % 17))/e$((n % 5))/f$n"; done
ln -s d1 link; printf '#!/bin/sh\\n' >run; chmod 755 run
git add .; git commit -q -m first; git checkout -q -b other
for n in $(seq 1 3 "$1"); do echo "$n" >>"d$((n % 17))/e$((n % 5))/f$n"; done
git mv d2 moved; git rm -q -r -f d3; git commit -q -a -m second
for round in 1 2 3; do git checkout -q main; [ -z "$(git status --porcelain)" ]; git checkout -q other; [ -z "$(git status --porcelain)" ]; done
git tag -a -m t v1; git merge -q --no-ff -m merge main; git repack -a -d -q; git gc -q; git fsck --full --strict
git clone -q . ../clone; git -C ../clone fsck --full --strict; git -C ../clone checkout -q main; git worktree add -q ../tree main; git -C ../tree status --porcelain
git worktree remove ../tree; [ "$(git -C ../clone rev-parse main)" = "$(git rev-parse main)" ]; git count-objects -v | sed -n 's/^in-pack: //p'
"""


@in_modes(*MODES)
class Git(Places):
    def test_checkout_and_fsck(self):
        self.need("git")
        files = 2000 if LONG else 150
        for where, place in self.places():
            text = self.run_in(place, GIT, str(files))
            counted("git: %d files, %s objects, fsck is content, on %s, %s" % (files, text.split()[-1], where, self.mode.name))
        counted("git: %d names sealed and verified, %s" % (self.seal_and_compare(), self.mode.name))


# ---- SQLite

DATABASE = """
import sqlite3
db = sqlite3.connect(p, timeout=60, isolation_level=None)
seen = db.execute('pragma journal_mode=' + journal).fetchone()[0]
db.execute('pragma synchronous=normal')
for n in range(count):
    db.execute('begin immediate')
    db.execute('insert into t(who, n, filler) values (?, ?, randomblob(500))', (who, n))
    db.execute('update total set sum = sum + 1')
    db.execute('commit' if n % 7 else 'rollback')
db.close()
result = seen
"""
CHECK = """
import sqlite3
db = sqlite3.connect(p, timeout=60)
result = (db.execute('pragma integrity_check').fetchall(), db.execute('select count(*) from t').fetchone()[0], db.execute('select sum from total').fetchone()[0])
db.close()
"""


@in_modes(*MODES_FOR_CONTENT)
class Sqlite(Places):
    def test_several_writers(self):
        count = 500 if LONG else 30
        writers = [self.agent("parent", name="writer %d" % number) for number in range(3)]
        for where, place in self.places():
            for journal in ("wal", "delete", "truncate", "persist"):
                with self.subTest(journal):
                    path = place + "/" + journal + ".db"
                    self.writer("import sqlite3; db = sqlite3.connect(p); db.execute('pragma journal_mode=' + journal); db.executescript('create table t(who, n, filler); create table total(sum); "
                                "insert into total values (0)'); db.close()", p=path, journal=journal)
                    calls = [writer.start(DATABASE, p=path, who=number, journal=journal, count=count) for number, writer in enumerate(writers)]
                    for call in calls:
                        self.assertEqual(call.value(LIMIT), journal)
                    kept = len(writers) * sum(1 for n in range(count) if n % 7)
                    self.assertEqual(self.writer(CHECK, p=path), ([("ok",)], kept, kept))
            counted("SQLite: 4 journals, %d transactions of 3 processes each, integrity ok, on %s, %s" % (3 * count, where, self.mode.name))
        counted("SQLite: %d names sealed and verified, %s" % (self.seal_and_compare(), self.mode.name))

    def test_writer_that_is_killed(self):
        """In the middle of a transaction: what was committed is there, and nothing else."""
        for _, place in self.places():
            for journal in ("wal", "delete"):
                with self.subTest(journal):
                    path = place + "/" + journal + ".db"
                    victim = self.agent("parent", name="victim")
                    victim("""
                        import sqlite3
                        db = sqlite3.connect(p, isolation_level=None)
                        db.execute('pragma journal_mode=' + journal)
                        db.execute('pragma cache_size=5')
                        db.executescript('create table t(who, n, filler); create table total(sum); insert into total values (0)')
                        db.execute('begin')
                        db.executemany('insert into t values (1, ?, randomblob(2000))', [(n,) for n in range(200)])
                        db.execute('update total set sum = 200')
                        """, p=path, journal=journal)
                    victim.kill()
                    self.assertEqual(self.writer(CHECK, p=path), ([("ok",)], 0, 0))


# ---- tar, rsync, cp

ROUND_TRIP = """
mkdir source; cd source; mkdir -p a/b/c empty
seq "$1" >a/numbers; printf x >a/b/one; : >a/b/nothing; ln a/numbers a/b/c/hard; ln a/numbers hard; ln -s a/numbers link; ln -s nowhere dangling; mkfifo pipe
truncate -s 3M sparse; printf middle | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none; truncate -s 1M hole
head -c 700000 /dev/urandom >random; chmod 640 a/numbers; chmod 4755 a/b/one; chmod 2750 a/b; chmod 1777 empty; chmod 400 random
for n in $(seq "$1"); do echo "$n" >"a/b/c/$n"; done
touch -d '2001-02-03 04:05:06.123456789' a/numbers a/b/one empty; touch -h -d '1999-01-01 00:00:00.5' link; touch -d '2038-02-01' a/b/nothing
setfattr_or_not() { python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.colour", b"red\\0blue")' "$1" 2>/dev/null || echo "no xattrs"; }
setfattr_or_not a/numbers; setfattr_or_not a
cd ..
tar --xattrs --sparse -cpf archive.tar source; mkdir tar; tar --xattrs -C tar -xpf archive.tar
rsync -aHXS --modify-window=-1 --numeric-ids source/ rsync/; [ -z "$(rsync -aHXni --checksum source/ rsync/)" ]
cp -a source cp
"""


LOOK = """
import hashlib
result, numbers = {}, {}
for top, directories, files in os.walk(d):
    directories.sort()
    for name in sorted(directories + files):
        path = os.path.join(top, name)
        status = os.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        content = None
        if kind == stat.S_IFREG:
            content = hashlib.sha256(open(path, 'rb').read()).hexdigest()
        elif kind == stat.S_IFLNK:
            content = os.readlink(path)
        try:
            xattrs = {one: os.getxattr(path, one, follow_symlinks=False) for one in os.listxattr(path, follow_symlinks=False) if one.startswith('user.')}
        except OSError as problem:
            xattrs = problem.errno
        # which names are the same file, and that holes stayed holes
        same = numbers.setdefault(status.st_ino, path[len(d):])
        result[path[len(d):]] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_nlink if kind != stat.S_IFDIR else None, status.st_mtime_ns,
                                 status.st_size if kind != stat.S_IFDIR else None, content, xattrs, same, status.st_size > 500_000 and status.st_blocks * 512 < status.st_size // 2)
"""


@in_modes(*MODES)
class Round_trips(Places):
    def test_tar_rsync_and_cp(self):
        """Modes, times, owners, extended attributes, hard links, symlinks, holes: the same after each, and the same as in a bare directory."""
        self.need("tar", "rsync")
        count = 2000 if LONG else 100
        script = "umask 022; " + ROUND_TRIP
        bare = self.make_dir("bare", 0o777)
        self.run_in(bare, script, str(count))
        before = self.agent("bare")(LOOK, d=bare + "/source")
        for where, place in self.places():
            self.run_in(place, script, str(count))
            source = self.writer(LOOK, d=place + "/source")
            self.assertEqual(set(source), set(before))
            for name in before:
                # the modification times that were not set are those of the run
                fixed = name in ("/a/numbers", "/a/b/one", "/empty", "/link", "/a/b/nothing", "/hard", "/a/b/c/hard")
                for field in range(10):
                    if (field != 4 or fixed) and not (field == 6 and name == "/random"):
                        self.assertEqual(source[name][field], before[name][field], (name, field))
            for copy in ("tar/source", "rsync", "cp"):
                self.assertEqual(self.writer(LOOK, d=place + "/" + copy), source, copy)
            self.run_in(place, "rm source/pipe tar/source/pipe rsync/pipe cp/pipe")  # which can not be sealed
            counted("tar, rsync, cp: %d names came back with all attributes, on %s, %s" % (3 * len(source), where, self.mode.name))
        counted("tar, rsync, cp: %d names sealed and verified, %s" % (self.seal_and_compare(), self.mode.name))

    def test_from_and_to_another_file_system(self):
        """Into the checkpoint and back: what comes out is what went in."""
        self.need("tar", "rsync")
        source, back = self.make_dir("source", 0o777), self.make_dir("back", 0o777)
        self.run_in(source, "mkdir -p t/sub; seq 5000 >t/a; ln t/a t/sub/b; ln -s a t/l; truncate -s 2M t/hole; chmod 640 t/a; touch -d '2001-01-01' t/a")
        expected = self.agent("bare")(LOOK, d=source + "/t")
        for _, place in self.places():
            self.run_in(place, "for way in \"$1/t/ in/\" \"in/ $2/rsync/\"; do rsync -aHS --modify-window=-1 $way; done; tar -C \"$1\" --format=posix -cSf - t | tar -xpf -; tar --format=posix -cSf - t | tar -C \"$2\" -xpf -", source, back)
            for copy in (place + "/in", back + "/rsync", place + "/t", back + "/t"):
                self.assertEqual(self.writer(LOOK, d=copy), expected, copy)
            shutil.rmtree(back + "/rsync")
            shutil.rmtree(back + "/t")


if __name__ == "__main__":
    main()
