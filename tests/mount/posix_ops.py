"""A table of file-system operations. Each is run in a fresh directory and tells what came of it, as plain values that can be compared.

An operation gets the directory `d` with, always, `d/file` ("0123456789"), `d/dir` (empty), `d/full` (a directory with `d/full/x`), and `d/link`, a symlink
to `file`. Whatever it returns is its outcome; an OSError is one, too.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import stat
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
OPERATIONS = {}


def operation(function):
    OPERATIONS[function.__name__] = function
    return function


def check(result):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def outcome(function, *arguments, **more):
    """The value, or the name of the errno."""
    try:
        return function(*arguments, **more)
    except OSError as problem:
        return errno.errorcode.get(problem.errno, problem.errno)


def write(path, data, mode="wb"):
    with open(path, mode) as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def look(path):
    """What stat says, less what differs from place to place."""
    status = os.lstat(path)
    size = status.st_size if not stat.S_ISDIR(status.st_mode) else None
    links = status.st_nlink if not stat.S_ISDIR(status.st_mode) else None
    return stat.filemode(status.st_mode), size, links, status.st_uid, status.st_gid, status.st_rdev


def names(path):
    return sorted(os.listdir(path))


def rename(old, new, flags):
    return check(libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4


# ---- making

@operation
def mkdir(d):
    os.mkdir(d + "/n", 0o751)
    return look(d + "/n"), outcome(os.mkdir, d + "/n"), outcome(os.mkdir, d + "/file/n"), outcome(os.mkdir, d + "/no/n"), outcome(os.mkdir, d + "/link")


@operation
def mkdir_with_umask_and_sticky(d):
    old = os.umask(0o027)
    try:
        os.mkdir(d + "/n", 0o1777)
        os.close(os.open(d + "/f", os.O_CREAT | os.O_WRONLY, 0o666))
    finally:
        os.umask(old)
    return look(d + "/n"), look(d + "/f")


@operation
def mkdir_in_setgid_directory(d):
    os.chmod(d + "/dir", 0o2775)
    os.mkdir(d + "/dir/n")
    return look(d + "/dir")[0], look(d + "/dir/n")[0]


@operation
def create(d):
    fd = os.open(d + "/n", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640)
    os.write(fd, b"abc")
    result = os.pread(fd, 10, 0), os.fstat(fd).st_size
    os.close(fd)
    return result, look(d + "/n"), outcome(os.open, d + "/n", os.O_CREAT | os.O_EXCL | os.O_RDWR), outcome(os.open, d + "/dir", os.O_CREAT | os.O_RDWR)


@operation
def create_read_only_for_writing(d):
    """A mode that forbids what the creator himself may do with his descriptor."""
    fd = os.open(d + "/n", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o400)
    os.write(fd, b"abc")
    os.fsync(fd)
    os.ftruncate(fd, 2)
    os.close(fd)
    return look(d + "/n"), read(d + "/n")


@operation
def create_write_only_unreadable(d):
    fd = os.open(d + "/n", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o000)
    os.write(fd, b"abc")
    os.close(fd)
    return look(d + "/n")


@operation
def create_through_symlink(d):
    os.symlink("target", d + "/s")
    write(d + "/s", b"abc")
    return look(d + "/target"), os.readlink(d + "/s"), outcome(os.open, d + "/s", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


@operation
def mknod_file_fifo_socket(d):
    os.mknod(d + "/f", stat.S_IFREG | 0o600)
    os.mkfifo(d + "/p", 0o640)
    os.mknod(d + "/s", stat.S_IFSOCK | 0o600)
    return look(d + "/f"), look(d + "/p"), look(d + "/s"), outcome(os.mkfifo, d + "/p"), outcome(os.open, d + "/s", os.O_RDONLY)


@operation
def fifo_passes_data(d):
    os.mkfifo(d + "/p")
    fd = os.open(d + "/p", os.O_RDWR)
    os.write(fd, b"through")
    result = os.read(fd, 100)
    os.close(fd)
    return result


@operation
def unix_socket(d):
    server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    os.chdir(d)
    try:
        server.bind("s")
        server.listen()
        client.connect("s")
        peer, _ = server.accept()
        client.send(b"hello")
        return peer.recv(10), look("s")[0]
    finally:
        os.chdir("/")
        server.close()
        client.close()


@operation
def mknod_device(d):
    # an ordinary user is refused; root's device node can not be opened on a nodev mount, which is not compared
    return outcome(os.mknod, d + "/n", stat.S_IFCHR | 0o600, os.makedev(1, 3))


@operation
def symlink(d):
    os.symlink("no/where", d + "/n")
    os.symlink("x" * 4000, d + "/long")
    return (os.readlink(d + "/n"), look(d + "/n"), len(os.readlink(d + "/long")), outcome(os.stat, d + "/n"), outcome(os.symlink, "x", d + "/n"),
            outcome(os.symlink, "", d + "/empty"), outcome(os.readlink, d + "/file"))


@operation
def symlink_loop(d):
    os.symlink("b", d + "/a")
    os.symlink("a", d + "/b")
    return outcome(os.stat, d + "/a"), outcome(os.open, d + "/file/", os.O_RDONLY), outcome(os.open, d + "/link", os.O_RDONLY | os.O_NOFOLLOW)


@operation
def link(d):
    os.link(d + "/file", d + "/n")
    write(d + "/n", b"AB", "r+b")
    result = look(d + "/file"), look(d + "/n"), read(d + "/file"), os.path.samefile(d + "/file", d + "/n")
    os.unlink(d + "/file")
    return result, look(d + "/n"), read(d + "/n"), outcome(os.link, d + "/n", d + "/dir"), outcome(os.link, d + "/dir", d + "/n2"), outcome(os.link, d + "/no", d + "/n3")


@operation
def link_of_symlink(d):
    os.link(d + "/link", d + "/n", follow_symlinks=False)
    return os.readlink(d + "/n"), look(d + "/n")


# ---- renaming

@operation
def rename_file(d):
    os.rename(d + "/file", d + "/dir/n")
    return names(d), names(d + "/dir"), read(d + "/dir/n"), outcome(os.rename, d + "/no", d + "/n"), outcome(os.stat, d + "/file")


@operation
def rename_over_file(d):
    write(d + "/other", b"other")
    os.rename(d + "/other", d + "/file")
    return names(d), read(d + "/file"), look(d + "/file")


@operation
def rename_over_open_file(d):
    write(d + "/other", b"other")
    with open(d + "/file", "rb") as old:
        os.rename(d + "/other", d + "/file")
        return old.read(), read(d + "/file"), os.fstat(old.fileno()).st_nlink


@operation
def rename_same(d):
    os.link(d + "/file", d + "/n")
    os.rename(d + "/file", d + "/n")
    os.rename(d + "/n", d + "/n")
    return names(d)


@operation
def rename_directories(d):
    os.rename(d + "/full", d + "/dir")
    return names(d), names(d + "/dir"), read(d + "/dir/x")


@operation
def rename_refused(d):
    return (outcome(os.rename, d + "/dir", d + "/full"), outcome(os.rename, d + "/file", d + "/dir"), outcome(os.rename, d + "/dir", d + "/file"),
            outcome(os.rename, d + "/full", d + "/full/sub"), outcome(os.rename, d + "/file", d + "/no/n"), names(d))


@operation
def rename_directory_with_open_file_below(d):
    with open(d + "/full/x", "r+b") as file:
        os.rename(d + "/full", d + "/moved")
        file.write(b"new")
        file.flush()
        return read(d + "/moved/x"), outcome(os.stat, d + "/full/x")


@operation
def rename_noreplace(d):
    first = outcome(rename, d + "/file", d + "/full/x", NOREPLACE)
    return first, outcome(rename, d + "/file", d + "/n", NOREPLACE), names(d), read(d + "/full/x")


@operation
def rename_exchange(d):
    first = outcome(rename, d + "/file", d + "/full/x", EXCHANGE)
    second = outcome(rename, d + "/dir", d + "/file", EXCHANGE)
    return first, second, outcome(rename, d + "/full", d + "/no", EXCHANGE), read(d + "/full/x"), stat.S_ISDIR(os.lstat(d + "/file").st_mode), read(d + "/dir")


@operation
def rename_bad_flags(d):
    return outcome(rename, d + "/file", d + "/n", NOREPLACE | EXCHANGE), outcome(rename, d + "/file", d + "/n", 1 << 10), names(d)


# ---- removing

@operation
def unlink(d):
    os.unlink(d + "/file")
    return names(d), outcome(os.unlink, d + "/file"), outcome(os.unlink, d + "/dir"), outcome(os.unlink, d + "/link"), names(d)


@operation
def unlink_of_open_file(d):
    with open(d + "/file", "r+b") as file:
        os.unlink(d + "/file")
        file.write(b"AB")
        file.flush()
        file.seek(0)
        result = file.read(), os.fstat(file.fileno()).st_nlink, os.fstat(file.fileno()).st_size
        os.fchmod(file.fileno(), 0o600)
        os.ftruncate(file.fileno(), 3)
        return result, os.fstat(file.fileno()).st_size, stat.filemode(os.fstat(file.fileno()).st_mode), names(d)


@operation
def truncation_of_the_unlinked_at_open(d):
    with open(d + "/file", "r+b", buffering=0) as file:
        os.unlink(d + "/file")
        again = os.open("/proc/self/fd/%d" % file.fileno(), os.O_WRONLY | os.O_TRUNC)
        os.write(again, b"ab")
        os.close(again)
        return file.read(), os.fstat(file.fileno()).st_size


@operation
def create_again_while_the_unlinked_is_open(d):
    with open(d + "/file", "rb") as old:
        os.unlink(d + "/file")
        write(d + "/file", b"new")
        return old.read(), read(d + "/file"), os.fstat(old.fileno()).st_nlink, look(d + "/file")


@operation
def rmdir(d):
    os.rmdir(d + "/dir")
    return names(d), outcome(os.rmdir, d + "/full"), outcome(os.rmdir, d + "/file"), outcome(os.rmdir, d + "/dir"), outcome(os.rmdir, d + "/full/.")


@operation
def rmdir_of_the_current_directory(d):
    os.chdir(d + "/dir")
    try:
        os.rmdir(d + "/dir")
        return outcome(os.listdir, ".") in ([], "ENOENT"), outcome(os.mkdir, "x"), outcome(os.getcwd)
    finally:
        os.chdir("/")


# ---- attributes

@operation
def truncate(d):
    os.truncate(d + "/file", 4)
    first = read(d + "/file")
    os.truncate(d + "/file", 8)
    return first, read(d + "/file"), outcome(os.truncate, d + "/dir", 0), outcome(os.truncate, d + "/no", 0), outcome(os.truncate, d + "/file", -1)


@operation
def truncate_of_open_file(d):
    with open(d + "/file", "r+b", buffering=0) as file:
        file.seek(10)
        file.write(b"tail")
        file.truncate(3)
        first = os.fstat(file.fileno()).st_size, read(d + "/file")
        file.seek(6)
        file.write(b"!")
        return first, read(d + "/file")


@operation
def truncate_at_open(d):
    fd = os.open(d + "/file", os.O_WRONLY | os.O_TRUNC)
    result = os.fstat(fd).st_size
    os.close(fd)
    return result, look(d + "/file")


@operation
def truncate_large_and_small(d):
    os.truncate(d + "/file", (1 << 33) + 1)
    large = os.stat(d + "/file").st_size
    os.truncate(d + "/file", 1)
    return large, read(d + "/file")


@operation
def chmod(d):
    os.chmod(d + "/file", 0o4751)
    os.chmod(d + "/dir", 0o1700)
    result = look(d + "/file")[0], look(d + "/dir")[0]
    write(d + "/file", b"x", "ab")  # a write takes set-user-ID away, unless it is root's
    return result, look(d + "/file")[0], outcome(os.chmod, d + "/no", 0o600)


@operation
def chmod_through_descriptor(d):
    fd = os.open(d + "/file", os.O_RDONLY)
    os.fchmod(fd, 0o604)
    os.close(fd)
    return look(d + "/file")[0]


@operation
def chown_to_self(d):
    os.chown(d + "/file", os.getuid(), os.getgid())
    os.chown(d + "/link", -1, -1, follow_symlinks=False)
    return look(d + "/file"), look(d + "/link")


@operation
def chown_to_others(d):
    result = outcome(os.chown, d + "/file", 12345, 12345), outcome(os.chown, d + "/dir", -1, 12345), outcome(os.chown, d + "/no", 1, 1)
    return result, look(d + "/file"), look(d + "/dir")


@operation
def utimes(d):
    os.utime(d + "/file", ns=(1_000_000_000_123_456_789, 1_500_000_000_987_654_321))
    os.utime(d + "/link", ns=(5, 7), follow_symlinks=False)
    os.utime(d + "/dir", ns=(1 << 32, 1 << 33))
    return [(os.lstat(d + name).st_mtime_ns, os.lstat(d + name).st_atime_ns if name != "/dir" else 0) for name in ("/file", "/link", "/dir")]


@operation
def utimes_through_descriptor(d):
    with open(d + "/file", "rb") as file:
        os.utime(file.fileno(), ns=(3, 4))
        return os.fstat(file.fileno()).st_mtime_ns, os.stat(d + "/file").st_mtime_ns


@operation
def utimes_one_of_two(d):
    os.utime(d + "/file", ns=(10, 20))

    class Pair(ctypes.Structure):
        _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]
    omit = (1 << 30) - 2
    check(libc.utimensat(AT_FDCWD, os.fsencode(d + "/file"), (Pair * 2)(Pair(5, 6), Pair(0, omit)), 0))
    status = os.stat(d + "/file")
    return status.st_atime_ns, status.st_mtime_ns


@operation
def times_move(d):
    old = 1_000_000_000_000_000_000
    for name in ("/file", "/dir"):
        os.utime(d + name, ns=(old, old))
    write(d + "/file", b"x", "ab")
    write(d + "/dir/x", b"x")
    return [os.stat(d + name).st_mtime_ns > old for name in ("/file", "/dir")]


@operation
def times_keep_after_writing(d):
    """shutil.copy2 and tar set the times through a descriptor that has just been written."""
    with open(d + "/n", "wb") as file:
        file.write(b"x" * 10_000)
        file.flush()
        os.utime(file.fileno(), ns=(3, 4))
    return os.stat(d + "/n").st_mtime_ns


@operation
def xattrs(d):
    def attempt():
        os.setxattr(d + "/file", "user.one", b"1")
        os.setxattr(d + "/file", "user.two", b"\0" * 300)
        return (sorted(os.listxattr(d + "/file")), os.getxattr(d + "/file", "user.one"), len(os.getxattr(d + "/file", "user.two")),
                outcome(os.setxattr, d + "/file", "user.one", b"x", os.XATTR_CREATE), outcome(os.setxattr, d + "/file", "user.no", b"x", os.XATTR_REPLACE),
                outcome(os.getxattr, d + "/file", "user.no"), outcome(os.removexattr, d + "/file", "user.one"), outcome(os.removexattr, d + "/file", "user.one"),
                outcome(os.setxattr, d + "/file", "unknown.x", b"x"), outcome(os.setxattr, d + "/dir", "user.d", b"d"), os.listxattr(d + "/dir"))
    return outcome(attempt)


@operation
def xattrs_of_symlinks(d):
    os.symlink("nowhere", d + "/dangling")
    return [(outcome(os.listxattr, d + name, follow_symlinks=False), outcome(os.getxattr, d + name, "user.x", follow_symlinks=False),
             outcome(os.getxattr, d + name, "security.selinux", follow_symlinks=False), outcome(os.getxattr, d + name, "trusted.x", follow_symlinks=False),
             outcome(os.setxattr, d + name, "user.x", b"1", follow_symlinks=False), outcome(os.setxattr, d + name, "trusted.x", b"1", follow_symlinks=False),
             outcome(os.getxattr, d + name, "trusted.x", follow_symlinks=False), outcome(os.removexattr, d + name, "trusted.x", follow_symlinks=False),
             outcome(os.removexattr, d + name, "user.x", follow_symlinks=False)) for name in ("/link", "/dangling")]


@operation
def capabilities_of_a_file_just_made(d):
    """Which the kernel takes away before the first write to it."""
    name, some = "security.capability", b"\x01\x00\x00\x02" + b"\x00\x04" + bytes(14)
    with open(d + "/n", "wb", buffering=0) as file:
        told = [outcome(os.getxattr, d + "/n", name), outcome(os.setxattr, d + "/n", name, some), outcome(os.getxattr, d + "/n", name)]
        file.write(b"x")
        return told, outcome(os.getxattr, d + "/n", name)


@operation
def access(d):
    os.chmod(d + "/file", 0o500)
    return [os.access(d + "/file", how) for how in (os.F_OK, os.R_OK, os.X_OK)], os.access(d + "/no", os.F_OK)


@operation
def statfs(d):
    status = os.statvfs(d + "/file")
    return status.f_bsize > 0, status.f_blocks > 0, status.f_bavail > 0, status.f_namemax


@operation
def directory_links(d):
    os.mkdir(d + "/full/sub")
    return os.stat(d + "/full").st_nlink


# ---- data

@operation
def sync(d):
    with open(d + "/file", "r+b") as file:
        file.write(b"x")
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())
    fd = os.open(d + "/dir", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
    return read(d + "/file")


@operation
def fallocate(d):
    keep_size, punch_hole, zero_range = 1, 2, 16
    with open(d + "/file", "r+b") as file:
        fd = file.fileno()

        def allocate(mode, offset, size):
            return check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(size)))
        grown = outcome(allocate, 0, 5, 10_000), os.fstat(fd).st_size
        kept = outcome(allocate, keep_size, 0, 100_000), os.fstat(fd).st_size
        punched = outcome(allocate, keep_size | punch_hole, 2, 3)
        result = grown, kept, punched, os.pread(fd, 12, 0), outcome(os.posix_fallocate, fd, 0, 20_000), os.fstat(fd).st_size
        return result, outcome(allocate, zero_range, 0, 2), os.pread(fd, 12, 0)


@operation
def seek_data_and_hole(d):
    with open(d + "/sparse", "wb") as file:
        file.truncate(1 << 20)
        file.seek(512 << 10)
        file.write(b"x" * 65536)
        file.flush()
        fd = file.fileno()
        first = os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_HOLE), os.lseek(fd, 512 << 10, os.SEEK_HOLE), outcome(os.lseek, fd, 900 << 10, os.SEEK_DATA)
        return first, outcome(os.lseek, fd, 2 << 20, os.SEEK_DATA), os.lseek(fd, -10, os.SEEK_END), outcome(os.lseek, fd, -1, os.SEEK_SET)


@operation
def copy_file_range(d):
    write(d + "/source", bytes(range(256)) * 1000)
    with open(d + "/source", "rb") as source, open(d + "/target", "wb") as target:
        done = 0
        while done < 200_000:
            count = os.copy_file_range(source.fileno(), target.fileno(), 200_000 - done, done, done)
            if count == 0:
                break
            done += count
    return done, read(d + "/target") == read(d + "/source")[:200_000]


@operation
def sendfile_and_splice(d):
    write(d + "/source", bytes(range(256)) * 400)
    with open(d + "/source", "rb") as source, open(d + "/target", "wb") as target:
        sent = os.sendfile(target.fileno(), source.fileno(), 0, 100_000)
        reading, writing = os.pipe()
        moved = os.splice(source.fileno(), writing, 5000, offset_src=100)
        out = os.splice(reading, target.fileno(), moved)
        os.close(reading)
        os.close(writing)
    data = read(d + "/target")
    return sent, moved, out, data[:100_000] == read(d + "/source")[:100_000], data[100_000:] == read(d + "/source")[100:5100]


@operation
def scattered_writes(d):
    with open(d + "/n", "w+b", buffering=0) as file:
        for offset in (70_000, 0, 4095, 140_001, 8192, 4096):
            os.pwrite(file.fileno(), b"<%d>" % offset, offset)
        os.pwritev(file.fileno(), [b"a" * 10, b"b" * 10], 200_000)
        buffers = [bytearray(5), bytearray(10)]
        os.preadv(file.fileno(), buffers, 200_005)
    data = read(d + "/n")
    return len(data), hash_of(data), buffers


def hash_of(data):
    import hashlib
    return hashlib.sha256(data).hexdigest()


@operation
def large_write(d):
    import random
    data = random.Random(1).randbytes(5_000_000)
    write(d + "/n", data)
    with open(d + "/n", "rb", buffering=0) as file:
        parts = [file.read(1 << 20) for _ in range(6)]
    return len(parts[-1]), hash_of(b"".join(parts)), hash_of(data)


@operation
def append(d):
    first = os.open(d + "/file", os.O_WRONLY | os.O_APPEND)
    second = os.open(d + "/file", os.O_WRONLY | os.O_APPEND)
    for fd, data in ((first, b"a"), (second, b"b"), (first, b"c"), (second, b"d")):
        os.write(fd, data)
    os.close(first)
    os.close(second)
    return read(d + "/file")


APPENDER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
sys.stdin.read(1)
for count in range(500):
    os.write(fd, b"%s%05d;" % (sys.argv[2].encode(), count))
"""


@operation
def append_by_two_processes(d):
    """Nothing is lost and every record is whole."""
    write(d + "/n", b"")
    processes = [subprocess.Popen([sys.executable, "-c", APPENDER, d + "/n", name], stdin=subprocess.PIPE) for name in "ab"]
    for process in processes:
        process.stdin.write(b"x")
        process.stdin.flush()
    status = [process.wait(60) for process in processes]
    for process in processes:
        process.stdin.close()
    records = read(d + "/n").split(b";")
    return status, len(records), sorted(records) == sorted([b""] + [b"%s%05d" % (name, count) for name in (b"a", b"b") for count in range(500)])


@operation
def open_flags(d):
    directory = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    result = (outcome(os.open, d + "/file", os.O_RDONLY | os.O_DIRECTORY), outcome(os.open, d + "/dir", os.O_WRONLY),
              outcome(os.open, d + "/no", os.O_RDONLY), read_at(directory), outcome(os.open, d + "/file/x", os.O_RDONLY))
    os.close(directory)
    return result


def read_at(directory):
    fd = os.open("file", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


@operation
def open_path_only(d):
    fd = os.open(d + "/file", os.O_PATH)
    result = os.fstat(fd).st_size, outcome(os.read, fd, 1), read("/proc/self/fd/%d" % fd)
    os.close(fd)
    return result


@operation
def descriptor_modes(d):
    reading, writing = os.open(d + "/file", os.O_RDONLY), os.open(d + "/file", os.O_WRONLY)
    result = outcome(os.write, reading, b"x"), outcome(os.read, writing, 1), outcome(os.ftruncate, reading, 1)
    os.close(reading)
    os.close(writing)
    return result


@operation
def read_beyond_the_end(d):
    with open(d + "/file", "rb", buffering=0) as file:
        return os.pread(file.fileno(), 10, 5), os.pread(file.fileno(), 10, 10), os.pread(file.fileno(), 10, 1 << 40)


@operation
def two_descriptors_see_each_other(d):
    with open(d + "/file", "r+b", buffering=0) as one, open(d + "/file", "r+b", buffering=0) as two:
        one.write(b"one")
        first = two.read()
        two.write(b"two")
        one.seek(0)
        return first, one.read(), os.fstat(one.fileno()).st_size


# ---- mmap

@operation
def mmap_shared(d):
    with open(d + "/file", "r+b") as file:
        with mmap.mmap(file.fileno(), 10) as view:
            view[2:4] = b"XY"
            during = read(d + "/file")
            view.flush()
    return during, read(d + "/file")


@operation
def mmap_private(d):
    with open(d + "/file", "rb") as file:
        with mmap.mmap(file.fileno(), 10, access=mmap.ACCESS_COPY) as view:
            view[2:4] = b"XY"
            return bytes(view), read(d + "/file")


@operation
def mmap_read_only(d):
    with open(d + "/file", "rb") as file:
        first = outcome(mmap.mmap, file.fileno(), 10, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return first if isinstance(first, str) else "mapped", bytes(view)


@operation
def mmap_sees_writes_and_outlives_the_descriptor(d):
    with open(d + "/file", "r+b", buffering=0) as file:
        view = mmap.mmap(file.fileno(), 10)
        file.write(b"abc")
        first = bytes(view)
    write(d + "/file", b"xyz", "r+b")
    second = bytes(view)
    view[5:7] = b"!!"
    view.close()
    return first, second, read(d + "/file")


@operation
def mmap_and_write_of_a_larger_file(d):
    with open(d + "/n", "w+b") as file:
        file.truncate(1 << 20)
        with mmap.mmap(file.fileno(), 1 << 20) as view:
            for offset in range(0, 1 << 20, 4096):
                view[offset:offset + 8] = b"%08d" % offset
    return hash_of(read(d + "/n"))


@operation
def mmap_after_unlink(d):
    with open(d + "/file", "r+b") as file:
        view = mmap.mmap(file.fileno(), 10)
    os.unlink(d + "/file")
    view[0:1] = b"!"
    result = bytes(view)
    view.close()
    return result


@operation
def program_can_be_run(d):
    with open(d + "/program", "w") as file:
        file.write("#!/bin/sh\necho run\n")
    os.chmod(d + "/program", 0o755)
    first = subprocess.run([d + "/program"], stdout=subprocess.PIPE, check=True).stdout
    import shutil
    shutil.copy("/bin/true", d + "/binary")
    os.chmod(d + "/binary", 0o755)
    return first, subprocess.run([d + "/binary"], check=False).returncode


# ---- locks

LOCKER = """
import errno, fcntl, sys
how = sys.argv[2]
with open(sys.argv[1], "r+b") as file:
    try:
        if how == "flock":
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif how == "flock-shared":
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        else:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, int(sys.argv[3]))
        print("got", end="")
    except OSError as problem:
        print(errno.errorcode[problem.errno], end="")
"""


def in_other_process(d, *how):
    return subprocess.run([sys.executable, "-c", LOCKER, d + "/file", *how], stdout=subprocess.PIPE, check=True, timeout=60).stdout


@operation
def flock(d):
    with open(d + "/file", "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        first = in_other_process(d, "flock"), in_other_process(d, "flock-shared")
        fcntl.flock(file, fcntl.LOCK_SH)
        second = in_other_process(d, "flock"), in_other_process(d, "flock-shared")
        fcntl.flock(file, fcntl.LOCK_UN)
        third = in_other_process(d, "flock")
    return first, second, third


@operation
def flock_is_the_description_s(d):
    with open(d + "/file", "r+b") as one, open(d + "/file", "r+b") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        first = outcome(fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        duplicate = os.dup(one.fileno())
        one.close()
        second = outcome(fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(duplicate)
        return first, second, outcome(fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)


@operation
def fcntl_locks(d):
    with open(d + "/file", "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 100)
        first = in_other_process(d, "fcntl", "0"), in_other_process(d, "fcntl", "95"), in_other_process(d, "fcntl", "110")
        fcntl.lockf(file, fcntl.LOCK_UN, 5, 100)
        second = in_other_process(d, "fcntl", "95")
        with open(d + "/file", "rb"):
            pass  # POSIX: closing any descriptor of the file drops the locks
        return first, second, in_other_process(d, "fcntl", "105")


@operation
def flock_waits_for_its_turn(d):
    code = LOCKER.replace(" | fcntl.LOCK_NB", "")
    with open(d + "/file", "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = subprocess.Popen([sys.executable, "-c", code, d + "/file", "flock"], stdout=subprocess.PIPE)
        still = select.select([waiting.stdout], [], [], 0.2)[0]
        fcntl.flock(file, fcntl.LOCK_UN)
        return bool(still), waiting.communicate(timeout=60)[0]


# ---- directories

@operation
def readdir_of_many(d):
    for count in range(2000):
        os.close(os.open(d + "/dir/%04d" % count, os.O_CREAT | os.O_WRONLY))
    seen = os.listdir(d + "/dir")
    return len(seen), len(set(seen)), sorted(entry.name for entry in os.scandir(d) if entry.is_dir(follow_symlinks=False))


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_ushort), ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]


class Directory:
    def __init__(self, path):
        libc.opendir.restype = ctypes.c_void_p
        libc.readdir64.restype = ctypes.POINTER(Dirent)
        libc.telldir.restype = ctypes.c_long
        self.handle = ctypes.c_void_p(libc.opendir(os.fsencode(path)))

    def next(self):
        entry = libc.readdir64(self.handle)
        return entry.contents.name.decode() if entry else None

    def rest(self):
        return list(iter(self.next, None))

    def tell(self):
        return libc.telldir(self.handle)

    def seek(self, where):
        libc.seekdir(self.handle, ctypes.c_long(where))

    def rewind(self):
        libc.rewinddir(self.handle)

    def close(self):
        libc.closedir(self.handle)


def fill(d, count):
    for number in range(count):
        os.close(os.open(d + "/%04d" % number, os.O_CREAT | os.O_WRONLY))


@operation
def seekdir_returns_to_where_telldir_was(d):
    fill(d + "/dir", 300)
    directory = Directory(d + "/dir")
    before, marks = [], []
    for _ in range(302):
        marks.append(directory.tell())
        before.append(directory.next())
    good = []
    for index in (0, 1, 7, 150, 299, 301):
        directory.seek(marks[index])
        good.append(directory.rest() == before[index:])
    directory.rewind()
    good.append(directory.rest() == before)
    directory.close()
    return len(set(before)), good


@operation
def seekdir_survives_changes(d):
    """POSIX: what was there all the time is listed exactly once, whatever comes and goes."""
    fill(d + "/dir", 300)
    directory = Directory(d + "/dir")
    first = [directory.next() for _ in range(100)]
    mark = directory.tell()
    gone = {name for name in first if name.isdigit() and int(name) % 2}
    for name in gone:
        os.unlink(d + "/dir/" + name)
    for number in range(50):
        write(d + "/dir/new%d" % number, b"")
    directory.seek(mark)
    rest = directory.rest()
    directory.close()
    seen = [name for name in first + rest if name.isdigit()]
    return len(seen), len(set(seen))


@operation
def deletion_while_listing(d):
    """rm -r with a small buffer: reads some, deletes them, reads on."""
    fill(d + "/dir", 1000)
    directory = Directory(d + "/dir")
    while True:
        name = directory.next()
        if name is None:
            break
        if name not in (".", ".."):
            os.unlink(d + "/dir/" + name)
    directory.close()
    return names(d + "/dir")


@operation
def listing_shows_what_came_after_a_rewind(d):
    directory = Directory(d + "/dir")
    directory.rest()
    write(d + "/dir/new", b"")
    directory.rewind()
    result = sorted(directory.rest())
    directory.close()
    return result


@operation
def dots_are_listed_and_lead_where_they_should(d):
    directory = Directory(d + "/full")
    result = sorted(directory.rest())
    directory.close()
    return result, os.path.samefile(d + "/full/..", d), os.path.samefile(d + "/full/.", d + "/full")


@operation
def inode_numbers_agree(d):
    listed = {entry.name: entry.inode() for entry in os.scandir(d)}
    return [name for name, number in sorted(listed.items()) if os.lstat(d + "/" + name).st_ino != number], len(set(listed.values())) == len(listed)


@operation
def remove_tree(d):
    import shutil
    os.makedirs(d + "/full/a/b/c")
    write(d + "/full/a/b/c/f", b"")
    shutil.rmtree(d + "/full")
    return names(d)


@operation
def temporary_file_without_a_name(d):
    """Works all the way or says so cleanly."""
    try:
        fd = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as problem:
        return problem.errno in (errno.EOPNOTSUPP, errno.EISDIR)
    os.write(fd, b"abc")
    at_symlink_follow = 0x400
    check(libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, os.fsencode(d + "/named"), at_symlink_follow))
    os.close(fd)
    return read(d + "/named") == b"abc"


@operation
def named_temporary_file(d):
    import tempfile
    with tempfile.NamedTemporaryFile(dir=d) as file:
        file.write(b"abc")
        file.flush()
        result = read(file.name)
    with tempfile.TemporaryFile(dir=d) as file:
        file.write(b"def")
        file.seek(0)
        return result, file.read(), names(d)


@operation
def sqlite_database(d):
    import sqlite3
    with sqlite3.connect(d + "/db") as db:
        db.execute("create table t(x)")
        db.executemany("insert into t values (?)", [(count,) for count in range(1000)])
    with sqlite3.connect(d + "/db") as db:
        return db.execute("select count(*), sum(x) from t").fetchall()


@operation
def archive_tools(d):
    script = """
    set -e; cd "$1"
    cp -a full copy; cp -a dir copy/; ln -s x copy/link; tar -cf a.tar copy; mkdir out; tar -C out -xf a.tar; diff -r copy out/copy
    mv out/copy moved; rm -r copy; ls moved; cat moved/x; touch -d @1000 moved/x; stat -c %Y moved/x; ln moved/x hard; stat -c %h hard
    sed -i s/x/y/ moved/x; cat moved/x; dd if=/dev/zero of=z bs=4k count=3 conv=fsync,notrunc status=none; wc -c <z; truncate -s 5 z; wc -c <z; sort -o z z; du -s --apparent-size z >/dev/null
    """
    result = subprocess.run(["/bin/bash", "-c", script, "bash", d], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
    return result.returncode, result.stdout


# ---- running them

def prepare(d):
    os.mkdir(d)
    write(d + "/file", b"0123456789")
    os.mkdir(d + "/dir")
    os.mkdir(d + "/full")
    write(d + "/full/x", b"x\n")
    os.symlink("file", d + "/link")


def run(top, only=None):
    """{name: outcome} of all operations, each in a directory of its own below `top`."""
    import posix_after  # which add theirs
    import posix_errors
    assert posix_after and posix_errors
    outcomes = {}
    for name, function in OPERATIONS.items():
        if only and name not in only:
            continue
        try:
            prepare(os.path.join(top, name))
            outcomes[name] = function(os.path.join(top, name))
        except OSError as problem:
            outcomes[name] = "OSError %s at line %d" % (errno.errorcode.get(problem.errno, problem.errno), line_of(problem))
        except Exception as problem:
            outcomes[name] = "%s: %s at line %d" % (type(problem).__name__, problem, line_of(problem))
    return outcomes


def line_of(problem):
    trace, line = problem.__traceback__, 0
    while trace:
        if os.path.basename(trace.tb_frame.f_code.co_filename).startswith("posix_"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
