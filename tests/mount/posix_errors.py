"""Which error, when there are several ways to be wrong: names that are too long, loops, what is no directory, what is not empty. More rows of posix_ops.py."""

import ctypes
import os
import resource
import signal
import stat

from posix_ops import AT_FDCWD, EXCHANGE, NOREPLACE, OPERATIONS, check, hash_of, libc, names, operation, outcome, read, rename, write


def closed(*arguments):
    """Opens and closes."""
    os.close(os.open(*arguments))


# Whatever takes one path
OF_A_PATH = {
    "stat": os.stat,
    "lstat": os.lstat,
    "access": lambda p: os.access(p, os.W_OK),
    "open": lambda p: closed(p, os.O_RDONLY),
    "open_for_writing": lambda p: closed(p, os.O_WRONLY),
    "open_directory": lambda p: closed(p, os.O_RDONLY | os.O_DIRECTORY),
    "open_nofollow": lambda p: closed(p, os.O_RDONLY | os.O_NOFOLLOW),
    "open_path_nofollow": lambda p: closed(p, os.O_PATH | os.O_NOFOLLOW),
    "create": lambda p: closed(p, os.O_WRONLY | os.O_CREAT),
    "create_exclusively": lambda p: closed(p, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "create_directory": lambda p: closed(p, os.O_RDONLY | os.O_CREAT | os.O_DIRECTORY),
    "truncate_at_open": lambda p: closed(p, os.O_WRONLY | os.O_TRUNC),
    "truncate_at_open_for_reading": lambda p: closed(p, os.O_RDONLY | os.O_TRUNC),
    "temporary": lambda p: closed(p, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW),
    "mkdir": os.mkdir,
    "mkfifo": os.mkfifo,
    "mknod": lambda p: os.mknod(p, stat.S_IFREG | 0o644),
    "symlink": lambda p: os.symlink("x", p),
    "readlink": os.readlink,
    "unlink": os.unlink,
    "rmdir": os.rmdir,
    "listdir": lambda p: sorted(os.listdir(p)),
    "chdir": lambda p: (os.chdir(p), os.chdir("/")) and None,
    "truncate": lambda p: os.truncate(p, 3),
    "chmod": lambda p: os.chmod(p, 0o700),
    "chown": lambda p: os.chown(p, -1, -1),
    "lchown": lambda p: os.chown(p, -1, -1, follow_symlinks=False),
    "utime": os.utime,
    "lutime": lambda p: os.utime(p, follow_symlinks=False),
    "statvfs": lambda p: os.statvfs(p).f_namemax,
    "getxattr": lambda p: os.getxattr(p, "user.none"),
    "listxattr": os.listxattr,
    "setxattr": lambda p: os.setxattr(p, "user.x", b"1"),
    "removexattr": lambda p: os.removexattr(p, "user.none"),
}
# Whatever takes two: the path in question first, the other one beside it
OF_TWO_PATHS = {
    "rename_from": lambda p, other: os.rename(p, other + "/n"),
    "rename_file_to": lambda p, other: os.rename(other + "/file", p),
    "rename_directory_to": lambda p, other: os.rename(other + "/dir", p),
    "rename_noreplace_to": lambda p, other: rename(other + "/file", p, NOREPLACE),
    "exchange_with": lambda p, other: rename(other + "/file", p, EXCHANGE),
    "link_from": lambda p, other: os.link(p, other + "/n"),
    "link_from_followed": lambda p, other: os.link(p, other + "/n", follow_symlinks=True),
    "link_to": lambda p, other: os.link(other + "/file", p),
}
LOOKS = {"stat", "lstat", "access", "open", "open_for_writing", "open_directory", "open_nofollow", "open_path_nofollow", "readlink", "listdir", "chdir", "statvfs",
         "getxattr", "listxattr"}


def loops(d):
    os.symlink("b", d + "/a")
    os.symlink("a", d + "/b")


def chain(d):
    """As many links as are followed, and one more."""
    previous = "dir"
    for number in range(41):
        os.symlink(previous, d + "/chain%d" % number)
        previous = "chain%d" % number


def deep(d):
    """A directory whose path is longer than a path may be."""
    os.chdir(d)
    for _ in range(18):
        os.mkdir("x" * 255)
        os.chdir("x" * 255)
    os.chdir("/")


# name: (path, what is prepared)
PLACES = {
    "file": "/file",
    "directory": "/dir",
    "full_directory": "/full",
    "link": "/link",
    "nothing": "/no",
    "nothing_below_nothing": "/no/no",
    "below_a_file": "/file/x",
    "below_a_link_to_a_file": "/link/x",
    "file_with_a_slash": "/file/",
    "link_with_a_slash": "/link/",
    "nothing_with_a_slash": "/no/",
    "directory_with_a_slash": "/dir/",
    "full_directory_with_a_dot": "/full/.",
    "full_directory_with_two_dots": "/full/..",
    "dot_of_nothing": "/no/.",
    "dangling_link": ("/dangling", lambda d: os.symlink("nowhere", d + "/dangling")),
    "dangling_link_with_a_slash": ("/dangling/", lambda d: os.symlink("nowhere", d + "/dangling")),
    "link_to_a_directory": ("/way", lambda d: os.symlink("dir", d + "/way")),
    "link_to_a_directory_with_a_slash": ("/way/", lambda d: os.symlink("dir", d + "/way")),
    "below_a_dangling_link": ("/dangling/x", lambda d: os.symlink("nowhere", d + "/dangling")),
    "loop": ("/a", loops),
    "below_a_loop": ("/a/x", loops),
    "link_to_itself": ("/self", lambda d: os.symlink("self", d + "/self")),
    "as_many_links_as_are_followed": ("/chain39", chain),
    "one_link_more": ("/chain40", chain),
    "below_as_many_links": ("/chain39/n", chain),
    "longest_name": "/" + "x" * 255,
    "name_too_long": "/" + "x" * 256,
    "name_too_long_in_nothing": "/no/" + "x" * 256,
    "below_a_name_too_long": "/" + "x" * 256 + "/y",
    "longest_name_in_bytes": "/" + "ä" * 127 + "x",
    "name_too_long_in_bytes": "/" + "ä" * 128,
    "path_too_long": "/dir" * 1100,
    "path_too_long_of_dots": "/." * 2100,
    "link_to_a_name_too_long": ("/long", lambda d: os.symlink("y" * 256, d + "/long")),
    "link_to_a_longest_path": ("/long", lambda d: os.symlink("./" * 2040 + "file", d + "/long")),
    "deeper_than_a_path": ("/" + "/".join(["x" * 255] * 13), deep),
    "fifo": ("/fifo", lambda d: os.mkfifo(d + "/fifo")),
    "socket": ("/socket", lambda d: os.mknod(d + "/socket", stat.S_IFSOCK | 0o644)),
    "unreadable_directory": ("/dir", lambda d: os.chmod(d + "/dir", 0o300)),
    "below_an_unsearchable_directory": ("/full/x", lambda d: os.chmod(d + "/full", 0o600)),
    "nothing_below_an_unsearchable_directory": ("/full/no", lambda d: os.chmod(d + "/full", 0o600)),
    "in_an_unwritable_directory": ("/full/x", lambda d: os.chmod(d + "/full", 0o500)),
    "nothing_in_an_unwritable_directory": ("/full/no", lambda d: os.chmod(d + "/full", 0o500)),
    "unreadable_file": ("/file", lambda d: os.chmod(d + "/file", 0o200)),
    "unwritable_file": ("/file", lambda d: os.chmod(d + "/file", 0o400)),
    "file_of_no_mode": ("/file", lambda d: os.chmod(d + "/file", 0)),
}
# would wait for the other end
OPENS = {"open", "open_for_writing", "create", "open_nofollow", "truncate_at_open", "truncate_at_open_for_reading"}


def home_of_one(home, prepare):
    os.mkdir(home)
    write(home + "/file", b"0123456789")
    os.mkdir(home + "/dir")
    os.mkdir(home + "/full")
    write(home + "/full/x", b"x")
    os.symlink("file", home + "/link")
    if prepare:
        prepare(home)
    return home, names(home)


def refused_at(path, prepare):
    def row(d):
        seen, count = {}, 0
        home, there = home_of_one(d + "/0", prepare)
        for name, function in list(OF_A_PATH.items()) + list(OF_TWO_PATHS.items()):
            if path == "/fifo" and name in OPENS:
                continue
            result = outcome(function, home + path) if name in OF_A_PATH else outcome(function, home + path, home)
            seen[name] = result if isinstance(result, (str, int, bytes, list, bool, type(None))) else "done", names(home)
            # what was refused has changed nothing, so the next finds all as it was
            refused = isinstance(result, str) and result.startswith("E")
            if not refused and name not in LOOKS:
                count += 1
                home, there = home_of_one(d + "/%d" % count, prepare)
            elif names(home) != there:
                seen[name] += ("refused, but something changed",)
        return seen
    return row


for place, where in PLACES.items():
    path, prepare = where if isinstance(where, tuple) else (where, None)
    OPERATIONS["at_" + place] = refused_at(path, prepare)


@operation
def not_empty(d):
    for name in ("a", "b", "c"):
        os.makedirs(d + "/" + name + "/sub")
    write(d + "/b/x", b"")
    os.symlink("x", d + "/c/link")
    os.rmdir(d + "/c/sub")
    return ([outcome(os.rmdir, d + "/" + name) for name in ("a", "b", "c")], [outcome(os.rename, d + "/dir", d + "/" + name) for name in ("a", "b", "c")],
            outcome(os.rename, d + "/a", d + "/a/sub/deeper"), outcome(os.rename, d + "/a/sub", d + "/a"), outcome(rename, d + "/a", d + "/a/sub", EXCHANGE), names(d))


@operation
def numbers_that_are_wrong(d):
    fd = os.open(d + "/file", os.O_RDWR)
    try:
        def allocate(mode, offset, size):
            return outcome(lambda: check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(size))))
        return (outcome(os.pread, fd, 1, -1), outcome(os.pwrite, fd, b"x", -1), outcome(os.ftruncate, fd, -1), outcome(os.lseek, fd, -1, os.SEEK_SET),
                outcome(os.lseek, fd, 0, 99), outcome(os.lseek, fd, -1, os.SEEK_DATA), outcome(os.lseek, fd, 10, os.SEEK_DATA),
                outcome(os.lseek, fd, 10, os.SEEK_HOLE), outcome(os.lseek, fd, 3, os.SEEK_HOLE), allocate(0, -1, 5), allocate(0, 0, 0), allocate(0, 0, -1),
                allocate(2, 0, 5), allocate(1 << 20, 0, 5), os.fstat(fd).st_size,
                outcome(os.copy_file_range, fd, fd, 5, 0, 2), outcome(os.copy_file_range, fd, fd, 5, 100, 20), os.fstat(fd).st_size)
    finally:
        os.close(fd)


@operation
def larger_than_allowed(d):
    """The limit of the process counts, wherever the bytes go; up to it they are written."""
    child, status = os.fork(), None
    if child == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
            fd = os.open(d + "/n", os.O_RDWR | os.O_CREAT, 0o644)
            results = (outcome(os.write, fd, b"x" * 6000), outcome(os.write, fd, b"x"), outcome(os.pwrite, fd, b"x", 5000), outcome(os.pwrite, fd, b"x", 4999),
                       outcome(os.ftruncate, fd, 5001), outcome(os.ftruncate, fd, 100), outcome(os.truncate, d + "/n", 5001),
                       outcome(lambda: check(libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(9000)))), os.fstat(fd).st_size)
            write(d + "/results", repr(results).encode())
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return status, read(d + "/results")


@operation
def larger_than_possible(d):
    with open(d + "/file", "r+b", buffering=0) as file:
        fd, most = file.fileno(), (1 << 63) - 1
        return (outcome(os.pwrite, fd, b"x", most), outcome(os.pwrite, fd, b"xx", most - 1), outcome(os.ftruncate, fd, most) in (None, "EFBIG"),
                outcome(os.lseek, fd, most, os.SEEK_SET) in (most, "EINVAL"))


@operation
def unlinked_file_can_not_be_named_again(d):
    with open(d + "/file", "r+b") as file:
        os.unlink(d + "/file")
        at_symlink_follow = 0x400
        return (outcome(lambda: check(libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % file.fileno(), AT_FDCWD, os.fsencode(d + "/again"), at_symlink_follow))), names(d),
                os.fstat(file.fileno()).st_nlink)


@operation
def file_that_is_open_under_another_name_after_a_rename(d):
    """The descriptor, the link count and the content follow the file, not the name."""
    with open(d + "/file", "r+b", buffering=0) as file:
        os.rename(d + "/file", d + "/dir/moved")
        write(d + "/file", b"another")
        file.write(b"first")
        first = read(d + "/dir/moved"), read(d + "/file"), os.fstat(file.fileno()).st_nlink
        os.link(d + "/dir/moved", d + "/second")
        second = os.fstat(file.fileno()).st_nlink
        os.rename(d + "/file", d + "/dir/moved")
        third = os.fstat(file.fileno()).st_nlink, read(d + "/dir/moved"), read(d + "/second")
        os.unlink(d + "/second")
        file.seek(0)
        return first, second, third, os.fstat(file.fileno()).st_nlink, file.read(), os.path.samestat(os.fstat(file.fileno()), os.stat("/proc/self/fd/%d" % file.fileno()))


@operation
def directory_that_is_open_after_its_end(d):
    fd = os.open(d + "/dir", os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir(d + "/dir")
    result = (os.fstat(fd).st_nlink, outcome(os.open, "n", os.O_CREAT | os.O_WRONLY, dir_fd=fd), outcome(os.mkdir, "n", dir_fd=fd), outcome(os.stat, "n", dir_fd=fd))
    os.close(fd)
    return result


@operation
def directory_that_is_open_after_a_rename(d):
    fd = os.open(d + "/full", os.O_RDONLY | os.O_DIRECTORY)
    os.rename(d + "/full", d + "/dir/full")
    os.mkdir("n", dir_fd=fd)
    result = sorted(os.listdir(fd)), names(d + "/dir/full"), os.stat("x", dir_fd=fd).st_size, os.stat("..", dir_fd=fd).st_ino == os.stat(d + "/dir").st_ino
    os.close(fd)
    return result


@operation
def link_counts_of_directories(d):
    counts = [os.stat(d + "/dir").st_nlink]
    for step in (lambda: os.mkdir(d + "/dir/a"), lambda: os.mkdir(d + "/dir/b"), lambda: write(d + "/dir/f", b""), lambda: os.rename(d + "/dir/a", d + "/full/a"),
                 lambda: os.rmdir(d + "/dir/b"), lambda: rename(d + "/full/a", d + "/dir/f", EXCHANGE), lambda: os.rename(d + "/dir/f", d + "/moved")):
        step()
        counts.append((os.stat(d + "/dir").st_nlink, os.stat(d + "/full").st_nlink))
    return counts


@operation
def link_counts_of_a_file(d):
    counts = []
    with open(d + "/file", "rb") as file:
        for step in (lambda: os.link(d + "/file", d + "/1"), lambda: os.link(d + "/1", d + "/dir/2"), lambda: os.rename(d + "/dir/2", d + "/1"),
                     lambda: os.rename(d + "/1", d + "/3"), lambda: os.unlink(d + "/3"), lambda: write(d + "/new", b""), lambda: os.rename(d + "/new", d + "/file"),
                     lambda: os.unlink(d + "/dir/2")):
            step()
            counts.append((os.fstat(file.fileno()).st_nlink, names(d), names(d + "/dir"), os.stat(d + "/file").st_nlink))
    return counts


@operation
def direct_io(d):
    """With a buffer and an offset that suit every device."""
    import mmap
    block = mmap.mmap(-1, 8192)
    block[:] = b"d" * 8192

    def attempt():
        fd = os.open(d + "/n", os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o644)
        try:
            wrote = os.pwritev(fd, [block], 4096)
            back = mmap.mmap(-1, 8192)
            got = os.preadv(fd, [back], 4096)
            return wrote, got, bytes(back) == bytes(block), os.fstat(fd).st_size
        finally:
            os.close(fd)
    return outcome(attempt), hash_of(read(d + "/n")) if os.path.exists(d + "/n") else None


@operation
def synchronous_writes(d):
    results = []
    for flag in (os.O_SYNC, os.O_DSYNC):
        fd = os.open(d + "/file", os.O_WRONLY | flag | os.O_APPEND)
        results.append(os.write(fd, b"sync"))
        os.close(fd)
    return results, read(d + "/file")


@operation
def write_through_a_descriptor_that_was_allowed(d):
    """What was opened stays usable when the mode is taken away, by its name it can not be opened any more."""
    fd = os.open(d + "/file", os.O_RDWR)
    os.chmod(d + "/file", 0)
    result = os.write(fd, b"abc"), os.pread(fd, 5, 0), outcome(os.ftruncate, fd, 4), os.fstat(fd).st_size, outcome(os.open, d + "/file", os.O_RDONLY) == "EACCES"
    os.fchmod(fd, 0o600)
    os.close(fd)
    return result, read(d + "/file")


@operation
def working_directory_that_was_renamed(d):
    os.chdir(d + "/full")
    try:
        os.rename(d + "/full", d + "/moved")
        write("n", b"abc")
        return names(d + "/moved"), os.getcwd()[len(d):], read("../file"), names(".")
    finally:
        os.chdir("/")
