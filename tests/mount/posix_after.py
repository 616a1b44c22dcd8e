"""What every kind of operation leaves behind: which times moved, link counts, sizes and modes of all that it touches. More rows of the table in posix_ops.py."""

import ctypes
import fcntl
import mmap
import os
import socket
import stat
import time

from posix_ops import EXCHANGE, NOREPLACE, OPERATIONS, check, libc, names, outcome, read, rename, write

OLD = 1_000_000_000_000_000_000
REALTIME_COARSE = 5  # the clock that file systems take their times from


def pass_a_tick(since):
    """Until a change would be seen in a time that was `since`."""
    while time.clock_gettime_ns(REALTIME_COARSE) <= since:
        time.sleep(0.001)


def paths(d):
    """Of all there is. To list moves times, and to ask a symlink whether it leads to a directory, too."""
    found, directories = [""], [""]
    while directories:
        where = directories.pop()
        for name in names(d + where):
            found.append(where + "/" + name)
            if stat.S_ISDIR(os.lstat(d + found[-1]).st_mode):
                directories.append(found[-1])
    return found


def statuses(d, known):
    return {path: os.lstat(d + path) for path in known if os.path.lexists(d + path)}


def changes(d, before):
    """{path: what is seen of it, and which of its times moved if it was there before}."""
    known = {status.st_ino: status for status in before.values()}
    after = statuses(d, before)
    new = [path for path in paths(d) if path not in after]
    after.update(statuses(d, new))
    seen = {}
    for path, status in sorted(after.items()):
        old = known.get(status.st_ino)
        # what has another name now has been listed meanwhile
        times = (("a", "st_atime_ns"), ("m", "st_mtime_ns"), ("c", "st_ctime_ns"))[path in new:]
        moved = "new" if old is None else "".join(letter for letter, name in times if getattr(status, name) != getattr(old, name))
        seen[path] = stat.filemode(status.st_mode), status.st_nlink, None if stat.S_ISDIR(status.st_mode) else status.st_size, moved
    return seen


def after(name, function, prepare=None):
    """Adds the row: all times are made old, `function(d)` is called, and its outcome is what it returned and what changed."""
    def row(d):
        write(d + "/other", b"other")
        os.link(d + "/other", d + "/hard")
        if prepare:
            prepare(d)
        present = paths(d)
        for path in present:
            os.utime(d + path, ns=(OLD, OLD), follow_symlinks=False)
        before = statuses(d, present)
        pass_a_tick(max(status.st_ctime_ns for status in before.values()))
        result = outcome(function, d)
        return result if isinstance(result, (str, int, bytes, tuple, list, type(None))) else "done", changes(d, before)
    OPERATIONS["after_" + name] = row


def with_file(path, flags, function):
    """The function, given a descriptor."""
    def run(d):
        fd = os.open(d + path, flags)
        try:
            return function(fd)
        finally:
            os.close(fd)
    return run


def through_mapping(d):
    with open(d + "/file", "r+b") as file:
        with mmap.mmap(file.fileno(), 10) as view:
            view[0:1] = b"!"
            view.flush()
        os.fsync(file.fileno())


def allocate(mode, offset, size):
    return lambda fd: check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(size)))


def copied(d):
    with open(d + "/other", "rb") as source, open(d + "/file", "r+b") as target:
        return os.copy_file_range(source.fileno(), target.fileno(), 5, 0, 3)


def sent(d):
    with open(d + "/other", "rb") as source, open(d + "/file", "r+b") as target:
        return os.sendfile(target.fileno(), source.fileno(), 0, 5)


def bind(d):
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(d)
        try:
            server.bind("n")
        finally:
            os.chdir("/")


def rewritten(d):
    """As most programs save: a new file, then a rename."""
    write(d + "/new", b"rewritten")
    os.rename(d + "/new", d + "/file")


READ, WRITE, BOTH = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32

# ---- looking
after("stat", lambda d: os.stat(d + "/file").st_size)
after("access", lambda d: os.access(d + "/file", os.R_OK))
after("open_and_close", with_file("/file", READ, lambda fd: None))
after("open_for_writing_and_close", with_file("/file", WRITE, lambda fd: None))
after("read", with_file("/file", READ, lambda fd: os.read(fd, 4)))
after("read_of_nothing", with_file("/file", READ, lambda fd: os.pread(fd, 4, 10)))
after("read_without_access_time", with_file("/file", READ | os.O_NOATIME, lambda fd: os.read(fd, 4)))
after("readlink", lambda d: os.readlink(d + "/link"))
after("walk_over_a_link", lambda d: os.stat(d + "/link").st_size)
after("listing", lambda d: names(d + "/full"))
after("listing_of_nothing", lambda d: names(d + "/dir"))
after("lookup_in_vain", lambda d: os.stat(d + "/dir/no"))

# ---- writing
after("write", with_file("/file", WRITE, lambda fd: os.write(fd, b"abc")))
after("write_of_nothing", with_file("/file", WRITE, lambda fd: os.write(fd, b"")))
after("append", with_file("/file", WRITE | os.O_APPEND, lambda fd: os.write(fd, b"abc")))
after("write_beyond_the_end", with_file("/file", WRITE, lambda fd: os.pwrite(fd, b"abc", 5000)))
after("write_by_another_name", with_file("/hard", WRITE, lambda fd: os.write(fd, b"abc")))
after("write_and_sync", with_file("/file", WRITE, lambda fd: (os.write(fd, b"abc"), os.fsync(fd))))
after("mapped_write", through_mapping)
after("copy_file_range", copied)
after("sendfile", sent)
after("truncation_at_open", with_file("/file", WRITE | os.O_TRUNC, lambda fd: None))
after("truncation_at_open_of_an_empty_file", with_file("/file", WRITE | os.O_TRUNC, lambda fd: None), lambda d: os.truncate(d + "/file", 0))
after("truncation_to_less", lambda d: os.truncate(d + "/file", 3))
after("truncation_to_more", lambda d: os.truncate(d + "/file", 30))
after("truncation_to_the_same", lambda d: os.truncate(d + "/file", 10))
after("ftruncate_to_less", with_file("/file", WRITE, lambda fd: os.ftruncate(fd, 3)))
after("ftruncate_to_the_same", with_file("/file", WRITE, lambda fd: os.ftruncate(fd, 10)))
after("fallocate", with_file("/file", WRITE, allocate(0, 0, 5000)))
after("fallocate_within", with_file("/file", WRITE, allocate(0, 0, 5)))
after("fallocate_keep_size", with_file("/file", WRITE, allocate(KEEP_SIZE, 0, 5000)))
after("fallocate_punch", with_file("/file", WRITE, allocate(KEEP_SIZE | PUNCH, 2, 3)))
after("fallocate_zero", with_file("/file", WRITE, allocate(ZERO, 2, 30)))
after("fallocate_collapse", with_file("/file", WRITE, allocate(COLLAPSE, 0, 4096)), lambda d: write(d + "/file", b"x" * 8192))
after("fallocate_insert", with_file("/file", WRITE, allocate(INSERT, 4096, 4096)), lambda d: write(d + "/file", b"x" * 8192))
after("fallocate_of_a_reader", with_file("/file", READ, allocate(0, 0, 100)))

# ---- making
after("create", lambda d: write(d + "/dir/n", b""))
after("create_and_write", lambda d: write(d + "/dir/n", b"abc"))
after("create_of_what_exists", lambda d: os.close(os.open(d + "/file", os.O_CREAT | os.O_WRONLY)))
after("create_exclusively_of_what_exists", lambda d: os.open(d + "/file", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
after("mkdir", lambda d: os.mkdir(d + "/dir/n"))
after("mkdir_of_what_exists", lambda d: os.mkdir(d + "/dir"))
after("symlink", lambda d: os.symlink("target", d + "/dir/n"))
after("link", lambda d: os.link(d + "/file", d + "/dir/n"))
after("link_onto_what_exists", lambda d: os.link(d + "/file", d + "/other"))
after("link_of_a_link", lambda d: os.link(d + "/link", d + "/dir/n", follow_symlinks=False))
after("mkfifo", lambda d: os.mkfifo(d + "/dir/n"))
after("mknod", lambda d: os.mknod(d + "/dir/n", stat.S_IFREG | 0o644))
after("bind", bind)
after("rewriting", rewritten)

# ---- renaming
after("rename", lambda d: os.rename(d + "/file", d + "/n"))
after("rename_to_another_directory", lambda d: os.rename(d + "/file", d + "/dir/n"))
after("rename_over_a_file", lambda d: os.rename(d + "/full/x", d + "/file"))
after("rename_over_one_of_two_names", lambda d: os.rename(d + "/file", d + "/hard"))
after("rename_of_a_directory", lambda d: os.rename(d + "/full", d + "/dir/n"))
after("rename_over_a_directory", lambda d: os.rename(d + "/full", d + "/dir"))
after("rename_of_a_link", lambda d: os.rename(d + "/link", d + "/dir/n"))
after("rename_to_another_name_of_the_same_file", lambda d: os.rename(d + "/hard", d + "/other"))
after("rename_to_itself", lambda d: os.rename(d + "/file", d + "/file"))
after("rename_that_is_refused", lambda d: os.rename(d + "/dir", d + "/full"))
after("rename_noreplace", lambda d: rename(d + "/file", d + "/full/n", NOREPLACE))
after("exchange", lambda d: rename(d + "/file", d + "/full/x", EXCHANGE))
after("exchange_of_file_and_directory", lambda d: rename(d + "/full", d + "/dir", EXCHANGE))
after("rename_of_an_open_file", with_file("/file", BOTH, lambda fd: (os.rename(os.readlink("/proc/self/fd/%d" % fd), os.readlink("/proc/self/fd/%d" % fd) + "2"),
                                                                     os.write(fd, b"later"), os.fstat(fd).st_nlink)[1:]))

# ---- removing
after("unlink", lambda d: os.unlink(d + "/file"))
after("unlink_of_one_of_two_names", lambda d: os.unlink(d + "/hard"))
after("unlink_of_an_open_file", with_file("/file", BOTH, lambda fd: (os.unlink(os.readlink("/proc/self/fd/%d" % fd)), os.write(fd, b"x"), os.fstat(fd).st_nlink)[1:]))
after("unlink_of_one_of_two_names_of_an_open_file", with_file("/hard", BOTH, lambda fd: (
    os.unlink(os.readlink("/proc/self/fd/%d" % fd)), os.write(fd, b"x"), os.fstat(fd).st_nlink)[1:]))
after("unlink_of_a_link", lambda d: os.unlink(d + "/link"))
after("unlink_of_a_directory", lambda d: os.unlink(d + "/dir"))
after("rmdir", lambda d: os.rmdir(d + "/dir"))
after("rmdir_of_a_full_one", lambda d: os.rmdir(d + "/full"))

# ---- attributes
after("chmod", lambda d: os.chmod(d + "/file", 0o600))
after("chmod_to_the_same", lambda d: os.chmod(d + "/file", stat.S_IMODE(os.stat(d + "/file").st_mode)))
after("chmod_of_a_directory", lambda d: os.chmod(d + "/dir", 0o700))
after("fchmod", with_file("/file", READ, lambda fd: os.fchmod(fd, 0o640)))
after("chown_to_self", lambda d: os.chown(d + "/file", os.getuid(), os.getgid()))
after("chown_to_nobody_new", lambda d: os.chown(d + "/file", -1, -1))
after("chown_of_a_directory", lambda d: os.chown(d + "/dir", os.getuid(), os.getgid()))
after("utime_now", lambda d: os.utime(d + "/file"))
after("utime_now_of_a_directory", lambda d: os.utime(d + "/dir"))
after("setxattr", lambda d: os.setxattr(d + "/file", "user.x", b"1"))
after("setxattr_of_a_directory", lambda d: os.setxattr(d + "/dir", "user.x", b"1"))
after("removexattr", lambda d: os.removexattr(d + "/file", "user.x"), lambda d: outcome(os.setxattr, d + "/file", "user.x", b"1"))
after("flock", with_file("/file", READ, lambda fd: fcntl.flock(fd, fcntl.LOCK_EX)))
after("fsync", with_file("/file", WRITE, os.fsync))
after("fsync_of_a_directory", with_file("/dir", READ, os.fsync))

# ---- set-id bits, which a change of the content or of the owner takes away (what of them root may keep is compared, too)

SET_ID = {
    "write": with_file("/file", WRITE, lambda fd: os.write(fd, b"x")),
    "append": with_file("/file", WRITE | os.O_APPEND, lambda fd: os.write(fd, b"x")),
    "mapped_write": through_mapping,
    "truncation": lambda d: os.truncate(d + "/file", 3),
    "truncation_to_more": lambda d: os.truncate(d + "/file", 30),
    "ftruncate": with_file("/file", WRITE, lambda fd: os.ftruncate(fd, 3)),
    "truncation_at_open": with_file("/file", WRITE | os.O_TRUNC, lambda fd: None),
    "fallocate": with_file("/file", WRITE, allocate(0, 0, 5000)),
    "fallocate_punch": with_file("/file", WRITE, allocate(KEEP_SIZE | PUNCH, 0, 4)),
    "copy_file_range": copied,
    "sendfile": sent,
    "chown_to_self": lambda d: os.chown(d + "/file", os.getuid(), os.getgid()),
    "chown_to_nobody_new": lambda d: os.chown(d + "/file", -1, -1),
    "chown_of_the_group_alone": lambda d: os.chown(d + "/file", -1, os.getgid()),
    "chmod": lambda d: os.chmod(d + "/file", 0o6750),
    "rename": lambda d: os.rename(d + "/file", d + "/n"),
    "link": lambda d: os.link(d + "/file", d + "/n"),
    "utime": lambda d: os.utime(d + "/file"),
    "setxattr": lambda d: os.setxattr(d + "/file", "user.x", b"1"),
    "mode_and_size_of_another_user": lambda d: (os.chown(d + "/file", 12345, 12345), os.truncate(d + "/file", 2)),
}
for mode in (0o6755, 0o2644):
    for how, function in SET_ID.items():
        after("%s_of_mode_%o" % (how, mode), function, lambda d, mode=mode: os.chmod(d + "/file", mode))


# ---- directories with the setgid or sticky bit, and umask

def made_in(mode, group, umask):
    def row(d):
        os.chmod(d + "/dir", mode)
        if group is not None:
            outcome(os.chown, d + "/dir", -1, group)
            outcome(os.chmod, d + "/dir", mode)
        old = os.umask(umask)
        try:
            results = (
                outcome(os.mkdir, d + "/dir/d", 0o7777), outcome(os.mkdir, d + "/dir/d2", 0o755), outcome(os.mkfifo, d + "/dir/p", 0o666),
                outcome(os.symlink, "x", d + "/dir/l"), outcome(os.mknod, d + "/dir/m", stat.S_IFREG | 0o7777),
                outcome(lambda: os.close(os.open(d + "/dir/f", os.O_CREAT | os.O_WRONLY, 0o7777))),
                outcome(lambda: os.close(os.open(d + "/dir/g", os.O_CREAT | os.O_WRONLY, 0o2755))),
                outcome(lambda: os.close(os.open(d + "/dir/h", os.O_CREAT | os.O_WRONLY, 0o2644))),
                outcome(os.mkdir, d + "/dir/d/deeper"), outcome(os.rename, d + "/file", d + "/dir/moved"), outcome(os.link, d + "/full/x", d + "/dir/linked"))
        finally:
            os.umask(old)
        seen = {}
        for name in names(d + "/dir") + ["d/deeper"]:
            if os.path.lexists(d + "/dir/" + name):
                status = os.lstat(d + "/dir/" + name)
                seen[name] = stat.filemode(status.st_mode), status.st_uid, status.st_gid
        status = os.stat(d + "/dir")
        return results, seen, (stat.filemode(status.st_mode), status.st_gid)
    return row


for mode in (0o755, 0o1777, 0o2775, 0o3777):
    for group in (None, 12345):
        for umask in (0, 0o027):
            OPERATIONS["made_in_%o_of_group_%s_with_umask_%03o" % (mode, group or "own", umask)] = made_in(mode, group, umask)
