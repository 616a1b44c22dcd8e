#!/usr/bin/python3
# time limit: 240
"""When content is checked: once before the first open, ahead, or block by block; and what the checks cost."""

import os
import re
import signal
import time

from harness import ALL_MODES, DAEMON, ROOT, USER, SealfsTest, in_modes, main, pattern, sealed_manifest_parents, until

MEGABYTE = 1 << 20
LARGE = pattern(5 * MEGABYTE + 77, 3)


def overwrite(path):
    with open(path, "r+b") as file:
        file.write(b"wrong")


class Verification(SealfsTest):
    def make(self, name="parent", files=None, trial="parent"):
        """A checkpoint, sealed through a mount of its own, so that the mount under test knows nothing of it."""
        maker = self.mount(point=self.make_dir("maker-%d" % len(self.mounted), 0o755, self.mode.owner), name="maker")
        self.agent(trial)("os.mkdir(d); [open(d + '/' + n, 'wb').write(data) for n, data in files.items()]", d=maker.path + "/" + name,
                          files=files or {"large": LARGE})
        self.ctl("seal", maker.path + "/" + name, trial=trial)
        maker.unmount()

    def tamper(self, path, offset, keep_times=False):
        """Flips a bit on the export."""
        path = self.exported(*path.split("/"))
        before = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 4]))
        if keep_times:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def bytes_read(self, mount):
        """By the daemon, from files (the requests of the kernel count too, they are small)."""
        with open("/proc/%d/io" % mount.pid) as file:
            return int(re.search(r"^rchar: (\d+)", file.read(), re.M).group(1))


@in_modes(ROOT, DAEMON)
class At_open(Verification):
    def test_second_opener_during_the_first_verification_hashes_nothing_twice(self):
        data = pattern(64 * MEGABYTE, 5)
        self.make(files={"large": data})
        mount = self.mount("prefetch=off")
        readers = [self.agent("child") for _ in range(6)]
        [reader("import hashlib") for reader in readers]
        before = self.bytes_read(mount)
        calls = [reader.start("file = open(d + '/parent/large', 'rb')", d=self.point) for reader in readers]
        for call in calls:
            call.value()
        once = self.bytes_read(mount) - before
        self.assertGreaterEqual(once, len(data))
        self.assertLess(once, len(data) * 1.2)
        # reopen: no hashing at all
        before = self.bytes_read(mount)
        for _ in range(20):
            readers[0]("open(d + '/parent/large', 'rb').close()", d=self.point)
        self.assertLess(self.bytes_read(mount) - before, MEGABYTE)

    def test_change_on_the_export_after_the_first_open_is_found_at_the_next(self):
        self.make()
        self.mount()
        reader = self.agent("child")
        self.assertEqual(reader("open(d + '/parent/large', 'rb').read()", d=self.point), LARGE)
        self.tamper("parent/large", 3 * MEGABYTE, keep_times=True)  # the change time tells
        self.assertEqual(reader.error("open(d + '/parent/large', 'rb')", d=self.point), "EBADMSG")

    def test_other_files_are_verified_ahead(self):
        files = {"f%d" % n: pattern(2 * MEGABYTE, n) for n in range(6)}
        self.make(files=files)
        mount = self.mount()
        reader = self.agent("child")
        reader("open(d + '/parent/f3', 'rb').close()", d=self.point)
        until(lambda: self.bytes_read(mount) > 12 * MEGABYTE, "all files to be read")
        reader("open(d + '/parent/f0', 'rb').close()", d=self.point)
        before = self.bytes_read(mount)
        for name in files:
            reader("open(d + '/parent/' + n, 'rb').close()", d=self.point, n=name)
        self.assertLess(self.bytes_read(mount) - before, 3 * MEGABYTE)  # the last may still have been under way

    def test_prefetch_off_reads_only_what_is_opened(self):
        self.make(files={"f%d" % n: pattern(2 * MEGABYTE, n) for n in range(6)})
        mount = self.mount("prefetch=off")
        reader = self.agent("child")
        for _ in range(3):
            reader("open(d + '/parent/f3', 'rb').close()", d=self.point)
        self.assertLess(self.bytes_read(mount), 3 * MEGABYTE)

    def begin_to_wait(self, how, *options):
        """Six files of 2 MiB that are not sealed yet, a mount that is to be looked at, and somebody who waits there."""
        writer = self.mount(point=self.make_dir("writer"), name="writer")
        parent = self.agent("parent")
        parent("os.mkdir(d); [open('%s/f%d' % (d, n), 'wb').write(pattern(size, n)) for n in range(6)]", d=writer.path + "/parent", size=2 * MEGABYTE)
        mount = self.mount(*options)
        if how == "wait":
            waiting = self.spawn([self.sealctl_path, "wait", self.point + "/parent"]).parked()
        else:
            waiting = self.agent("child").start(how, d=self.point).parked()
        return writer, mount, waiting

    def check_all_are_verified(self, how):
        """Nobody asks for a second one."""
        writer, mount, waiting = self.begin_to_wait(how)
        before = self.bytes_read(mount)
        self.ctl("seal", writer.path + "/parent", trial="parent")
        waiting.value()
        until(lambda: self.bytes_read(mount) - before > 12 * MEGABYTE, "all files to be read")

    def test_who_waited_for_one_file_has_all_verified_ahead(self):
        self.check_all_are_verified("open(d + '/parent/f3', 'rb').close()")

    def test_who_waited_whether_one_is_there_has_all_verified_ahead(self):
        self.check_all_are_verified("os.path.exists(d + '/parent/f3')")

    def test_who_waited_for_the_listing_has_all_verified_ahead(self):
        self.check_all_are_verified("os.listdir(d + '/parent')")

    def test_who_only_waits_for_the_end_has_nothing_read(self):
        writer, mount, waiting = self.begin_to_wait("wait")
        self.ctl("seal", writer.path + "/parent", trial="parent")
        self.assertEqual(waiting.wait(), 0)
        time.sleep(1)  # it would have begun
        self.assertLess(self.bytes_read(mount), MEGABYTE)

    def test_nothing_is_read_ahead_for_who_waits_with_prefetch_off(self):
        writer, mount, waiting = self.begin_to_wait("os.path.exists(d + '/parent/f3')", "prefetch=off")
        self.ctl("seal", writer.path + "/parent", trial="parent")
        self.assertIs(waiting.value(), True)
        self.agent("child")("open(d + '/parent/f1', 'rb').close()", d=self.point)
        self.assertLess(self.bytes_read(mount), 4 * MEGABYTE)

    def test_damage_that_was_found_ahead_is_told_at_open(self):
        self.make(files={"a": pattern(MEGABYTE, 1), "b": pattern(MEGABYTE, 2)})
        self.tamper("parent/b", 5)
        mount = self.mount()
        reader = self.agent("child")
        reader("open(d + '/parent/a', 'rb').close()", d=self.point)
        mount.await_log("parent/b.*EBADMSG")
        self.assertEqual(reader.error("open(d + '/parent/b', 'rb')", d=self.point), "EBADMSG")


@in_modes(*ALL_MODES)
class Block_by_block(Verification):
    def read_mount(self):
        return self.mount("verify=read")

    def test_content_is_what_was_sealed(self):
        files = {"empty": b"", "one": b"x", "block": pattern(4096, 1), "more": pattern(4097, 2), "group": pattern(128 * 4096, 3), "large": LARGE}
        self.make(files=files)
        self.read_mount()
        reader = self.agent("child")
        for name, data in files.items():
            self.assertEqual(reader("open(d + '/parent/' + n, 'rb').read()", d=self.point, n=name), data)
        reader("import mmap; file = open(d + '/parent/large', 'rb')", d=self.point)
        self.assertEqual(reader("mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:]"), LARGE)
        for offset, size in ((0, 1), (4095, 2), (5 * MEGABYTE, 200), (1234567, 98765), (len(LARGE) - 1, 10), (len(LARGE), 10)):
            self.assertEqual(reader("os.pread(file.fileno(), n, o)", n=size, o=offset), LARGE[offset:offset + size])

    def test_one_block_of_a_huge_file_reads_little(self):
        """4 KiB at any place of a sealed 4 GiB file: less than 1 MiB is read on the export."""
        maker = self.mount(point=self.make_dir("maker", 0o755, self.mode.owner), name="maker")
        self.agent("parent")("os.mkdir(d); file = open(d + '/huge', 'wb'); file.truncate(4 << 30); os.pwrite(file.fileno(), b'here', 3 << 30); file.close()",
                             d=maker.path + "/parent")
        self.ctl("seal", maker.path + "/parent", trial="parent", patience=120)
        maker.unmount()
        mount = self.read_mount()
        reader = self.agent("child")
        reader("import random; file = os.open(d + '/parent/huge', os.O_RDONLY); os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)", d=self.point)
        most = 0
        for n in range(20):
            before = self.bytes_read(mount)
            self.assertEqual(reader("os.pread(file, 4096, random.randrange(1 << 20) * 4096) in (bytes(4096), b'here' + bytes(4092))"), True)
            most = max(most, self.bytes_read(mount) - before)
        print("%s: at most %d bytes were read" % (self.id(), most))
        self.assertLess(most, MEGABYTE)
        self.assertEqual(reader("os.pread(file, 4, 3 << 30)"), b"here")

    def test_flipped_bit_is_an_error_where_it_is_and_nowhere_else(self):
        self.make()
        self.tamper("parent/large", 3 * MEGABYTE)
        mount = self.read_mount()
        reader = self.agent("child")
        reader("file = os.open(d + '/parent/large', os.O_RDONLY); os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)", d=self.point)
        self.assertEqual(reader("os.pread(file, 4096, 0)"), LARGE[:4096])
        self.assertIn(reader.error("os.pread(file, 4096, o)", o=3 * MEGABYTE), ("EBADMSG", "EIO"))
        self.assertEqual(reader("os.pread(file, 4096, o)", o=3 * MEGABYTE + 4096), LARGE[3 * MEGABYTE + 4096:3 * MEGABYTE + 8192])
        mount.await_log("parent/large.*block 768")

    def test_what_copy_file_range_copies_is_checked(self):
        """cp does so: both files are on the same file system."""
        self.make()
        self.tamper("parent/large", 3 * MEGABYTE)
        self.read_mount()
        child = self.agent("child")
        child("os.mkdir(d + '/child'); source = os.open(d + '/parent/large', os.O_RDONLY); target = os.open(d + '/child/copy', os.O_WRONLY | os.O_CREAT)", d=self.point)
        copy = """
            done = 0
            while done < size:
                count = os.copy_file_range(source, target, size - done, start + done, start + done)
                if not count:
                    break
                done += count
            result = done
            """
        self.assertEqual(child(copy, start=0, size=MEGABYTE + 5), MEGABYTE + 5)
        with open(self.exported("child/copy"), "rb") as file:
            self.assertEqual(file.read(), LARGE[:MEGABYTE + 5])
        self.assertIn(child.error(copy, start=2 * MEGABYTE, size=2 * MEGABYTE), ("EBADMSG", "EIO"))
        result = self.run_program(["/bin/cp", self.point + "/parent/large", self.point + "/child/by_cp"], trial="child")
        self.assertEqual(result.status, 1, result)

    def test_hole_that_was_punched_is_found_by_who_looks_for_holes(self):
        """cp and tar take a hole for zeros, and do not read it."""
        self.make()
        path = self.exported("parent/large")
        punched = self.run_program(["/usr/bin/fallocate", "--punch-hole", "--offset", str(2 * MEGABYTE), "--length", str(MEGABYTE), path], uid=0 if os.geteuid() == 0 else None)
        self.assertEqual(punched.status, 0, punched)
        self.read_mount()
        child = self.agent("child")
        child("file = os.open(d + '/parent/large', os.O_RDONLY)", d=self.point)
        self.assertEqual(child("[os.lseek(file, 0, os.SEEK_HOLE), os.lseek(file, 2 << 20, os.SEEK_DATA), os.lseek(file, 5, os.SEEK_DATA)]"), [len(LARGE), 2 * MEGABYTE, 5])
        self.assertEqual(child.error("os.lseek(file, n, os.SEEK_DATA)", n=len(LARGE)), "ENXIO")
        for sparse in ("auto", "always", "never"):
            result = self.run_program(["/bin/cp", "--sparse=" + sparse, self.point + "/parent/large", self.tmp + "/copy"], trial="child")
            self.assertEqual(result.status, 1, result)

    def test_change_while_it_is_open_is_never_read(self):
        self.make()
        self.read_mount()
        reader = self.agent("child")
        reader("file = os.open(d + '/parent/large', os.O_RDONLY); os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)", d=self.point)
        self.assertEqual(reader("os.pread(file, 4096, 0)"), LARGE[:4096])
        self.tamper("parent/large", 2 * MEGABYTE, keep_times=True)
        self.assertIn(reader.error("os.pread(file, 4096, o)", o=2 * MEGABYTE), ("EBADMSG", "EIO"))

    def test_wrong_size_is_an_error_at_open(self):
        self.make()
        os.truncate(self.exported("parent", "large"), 4096)
        self.read_mount()
        self.assertEqual(self.agent("child").error("open(d + '/parent/large', 'rb')", d=self.point), "EBADMSG")

    def test_missing_or_foreign_tree_is_replaced_by_reading_all_once(self):
        for number, spoil in enumerate((lambda path: os.unlink(path), lambda path: os.truncate(path, 5), overwrite, lambda path: os.truncate(path, 0))):
            name = "p%d" % number
            self.make(name)
            spoil(self.exported(name, ".seal", "tree"))
            mount = self.read_mount()
            reader = self.agent("child")
            self.assertEqual(reader("open(d + '/large', 'rb').read()", d=self.point + "/" + name), LARGE)
            mount.await_log("no good Merkle tree")
            self.tamper(name + "/large", MEGABYTE)
            self.assertIn(reader.error("open(d + '/large', 'rb').read()", d=self.point + "/" + name), ("EBADMSG", "EIO", None))
            mount.unmount()

    def test_bit_of_the_tree_is_no_silent_damage(self):
        self.make()
        size = os.path.getsize(self.exported("parent", ".seal", "tree"))
        self.tamper("parent/.seal/tree", size - 5)  # of the lowest level: the last blocks
        mount = self.read_mount()
        reader = self.agent("child")
        self.assertIn(reader.error("open(d + '/parent/large', 'rb').read()", d=self.point), ("EBADMSG", "EIO"))
        mount.await_log("tree beside the seal is damaged")


@in_modes(*ALL_MODES)
class Parents(Verification):
    def seal_by(self, trial, name, code=""):
        agent = self.agent(trial)
        if code:
            agent(code, d=self.point)
        agent("os.mkdir(p); open(p + '/model', 'wb').write(b'x')", p=self.point + "/" + name)
        self.ctl("seal", self.point + "/" + name, trial=trial)

    def parents(self, name):
        return sealed_manifest_parents(self.exported(name))

    def test_what_a_trial_opened_is_its_checkpoints_parent(self):
        self.mount()
        self.seal_by("a", "a")
        self.seal_by("b", "b")
        self.seal_by("c", "c", "open(d + '/a/model').read(); open(d + '/b/model').read(); open(d + '/a/model').read()")
        self.seal_by("e", "e", "open(d + '/c/model').read()")
        self.seal_by("f", "f")
        self.assertEqual(self.parents("a"), [])
        self.assertEqual([path for path, _ in self.parents("c")], ["a", "b"])
        self.assertEqual(self.parents("e"), [("c", self.status(self.point + "/c")["root"])])
        self.assertEqual(self.parents("f"), [])

    def test_helper_that_copies_and_ends_counts_for_its_trial(self):
        self.mount()
        self.seal_by("a", "a")
        self.seal_by("b", "b", "subprocess.run(['cat', d + '/a/model'], check=True, stdout=subprocess.DEVNULL)")
        self.assertEqual([path for path, _ in self.parents("b")], ["a"])

    def test_what_was_opened_through_another_mount_of_the_machine_counts_too(self):
        self.mount()
        other = self.second_mount()
        self.seal_by("a", "a")
        self.seal_by("b", "b")
        agent = self.agent("c")
        agent("open(d + '/a/model').read(); open(o + '/b/model').read(); open(o + '/a/model').read()", d=self.point, o=other.path)
        agent("os.mkdir(p); open(p + '/model', 'w').write('c')", p=self.point + "/c")
        self.ctl("seal", self.point + "/c", trial="c")
        self.assertEqual([path for path, _ in self.parents("c")], ["a", "b"])

    def test_mount_that_does_not_answer_does_not_hold_up_the_seal(self):
        mount = self.mount()
        other = self.second_mount()
        self.seal_by("a", "a")
        agent = self.agent("c")
        agent("open(d + '/a/model').read(); os.mkdir(d + '/c'); open(d + '/c/model', 'w').write('c')", d=self.point)
        os.kill(other.pid, signal.SIGSTOP)
        try:
            self.ctl("seal", self.point + "/c", trial="c")
        finally:
            os.kill(other.pid, signal.SIGCONT)
        self.assertEqual([path for path, _ in self.parents("c")], ["a"])
        mount.await_log("'c': another mount of this export does not say")

    def test_many_parents_come_in_several_parts(self):
        self.mount()
        other = self.second_mount()
        maker = self.agent("maker")
        names = ["%03d-%s" % (n, "x" * 240) for n in range(400)]
        for name in names:
            maker("os.mkdir(p); open(p + '/m', 'w').write(p[-250:-240])", p=self.point + "/" + name)
        self.ctl("seal", *[self.point + "/" + name for name in names], trial="maker", patience=60)
        agent = self.agent("c")
        agent("[open(o + '/' + n + '/m').close() for n in names]", o=other.path, names=names)
        agent("os.mkdir(d + '/c'); open(d + '/c/model', 'w').write('c')", d=self.point)
        self.ctl("seal", self.point + "/c", trial="c")
        self.assertEqual([path for path, _ in self.parents("c")], names)

    def test_looking_is_not_opening(self):
        self.mount()
        self.seal_by("a", "a")
        self.seal_by("b", "b", "os.stat(d + '/a/model'); os.listdir(d + '/a')")
        self.assertEqual(self.parents("b"), [])


if __name__ == "__main__":
    main()
