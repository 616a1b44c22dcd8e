#!/usr/bin/python3
# time limit: 240
"""What a seal is made of, how it is asked for, and what becomes of damage done behind the mount."""

import os
import re
import shutil
import subprocess

from harness import ALL_MODES, DAEMON, ROOT, SealfsTest, environment, escape, in_modes, main, pattern, sanitized, until

CONTENT = pattern(300_000, 7)


class Sealing(SealfsTest):
    def setUp(self):
        super().setUp()
        self.path = self.point + "/parent"

    def make(self, path=None, trial="parent"):
        agent = self.agent(trial)
        agent("""
            os.mkdir(d)
            open(d + '/a', 'wb').write(data)
            os.mkdir(d + '/sub')
            open(d + '/sub/b', 'w').write('b')
            os.symlink('a', d + '/l')
            """, d=path or self.path, data=CONTENT)
        return agent

    def sealed(self):
        self.running = self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")

    def read_error(self, name="a"):
        agent = self.agent("child")
        try:
            return agent.start("open(d + '/' + n, 'rb').read()", d=self.path, n=name).error()
        finally:
            agent.close()


@in_modes(*ALL_MODES)
class Asked_for(Sealing):
    def test_by_command_of_the_writer(self):
        self.mount()
        self.make()
        result = self.ctl("seal", self.path, trial="parent")
        self.assertRegex(result.all, "parent")
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.path), CONTENT)

    def test_by_xattr_from_any_language(self):
        self.mount()
        agent = self.make()
        self.assertEqual(agent("os.getxattr(d, 'user.sealfs.state')", d=self.path), b"open")
        reading = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.path).parked()
        agent("os.setxattr(d, 'user.sealfs.seal', b'')", d=self.path)
        until(lambda: agent("os.getxattr(d, 'user.sealfs.state')", d=self.path) == b"sealed", "the seal")
        self.assertEqual(reading.value(), CONTENT)

    def test_state_by_xattr_in_every_state(self):
        self.mount()
        os.mkdir(self.exported("old"))
        self.give(self.exported("old"))
        self.reserve(self.point + "/empty", writer=None)
        agent = self.make()
        state = "os.getxattr(d, 'user.sealfs.state')"
        self.assertEqual(agent(state, d=self.point + "/old"), b"plain")
        self.assertEqual(agent(state, d=self.point + "/empty"), b"pending")
        self.ctl("abandon", self.path, trial="parent")
        self.assertEqual(agent(state, d=self.path), b"failed")
        reader = self.agent("child")
        self.assertEqual(reader(state, d=self.path), b"failed")

    def test_xattr_seal_of_a_checkpoint_that_is_written_fails_or_shows_it(self):
        self.mount()
        agent = self.make()
        agent("file = open(d + '/a', 'r+b')", d=self.path)
        error = agent.error("os.setxattr(d, 'user.sealfs.seal', b'')", d=self.path)
        self.assertIn(error, (None, "EBUSY"))
        self.assertEqual(self.status(self.path)["state"], "open")
        agent("file.close()")
        # what was started may go on now, or have given up
        until(lambda: self.state(self.path) == "sealed" or self.sealctl("seal", self.path, trial="parent").status == 0, "the seal")
        self.assertEqual(self.read_error(), None)

    def test_control_names_are_no_ordinary_xattrs(self):
        self.mount()
        agent = self.make()
        self.assertEqual(agent("[n for n in os.listxattr(d) if 'seal' in n]", d=self.path), [])
        self.assertIsNotNone(agent.error("os.setxattr(d + '/a', 'user.sealfs.seal', b'')", d=self.path))
        self.assertIsNotNone(agent.error("os.setxattr(d, 'user.sealfs.state', b'sealed')", d=self.path))
        self.assertEqual(self.state(self.path), "open")

    def test_twice_is_once(self):
        self.mount()
        self.make()
        self.ctl("seal", self.path, trial="parent")
        root = self.status(self.path)["root"]
        self.sealctl("seal", self.path, trial="parent")
        self.assertEqual(self.status(self.path)["root"], root)

    def test_of_plain_data(self):
        """Old data can be sealed."""
        os.mkdir(self.exported("old"))
        with open(self.exported("old/a"), "wb") as file:
            file.write(CONTENT)
        self.give(self.exported("old"))
        self.mount()
        self.ctl("seal", self.point + "/old")
        self.assertEqual(self.state(self.point + "/old"), "sealed")
        reader = self.agent("child")
        self.assertEqual(reader("open(d + '/a', 'rb').read()", d=self.point + "/old"), CONTENT)
        self.assertEqual(reader.error("open(d + '/a', 'wb')", d=self.point + "/old"), "EROFS")

    def test_of_what_is_not_there(self):
        self.mount()
        self.assertEqual(self.sealctl("seal", self.point + "/nothing").status, 1)
        self.reserve(self.path)
        self.assertEqual(self.sealctl("seal", self.path, trial="parent").status, 1)

    def test_of_a_failed_checkpoint(self):
        self.mount()
        self.make()
        self.ctl("abandon", self.path, trial="parent")
        result = self.sealctl("seal", self.path, trial="parent")
        self.assertIn(result.status, (1, 3), result)
        self.assertEqual(self.state(self.path), "failed")

    def test_of_an_empty_directory(self):
        self.mount()
        self.agent("parent")("os.mkdir(d)", d=self.path)
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(self.agent("child")("os.listdir(d)", d=self.path), [])
        self.assertIs(self.agent("child")("os.path.exists(d + '/x')", d=self.path), False)

    def test_writing_that_stopped_at_the_last_moment_is_in(self):
        """Dirty pages, of write and of mmap, are part of what is sealed."""
        self.mount()
        agent = self.agent("parent")
        agent("""
            import mmap
            os.mkdir(d)
            fd = os.open(d + '/m', os.O_RDWR | os.O_CREAT)
            os.ftruncate(fd, 1 << 20)
            view = mmap.mmap(fd, 1 << 20)
            os.close(fd)
            view[:] = pattern(1 << 20, 3)
            view.close()
            open(d + '/w', 'wb').write(pattern(1 << 20, 4))
            """, d=self.path)
        self.ctl("seal", self.path, trial="parent")
        reader = self.agent("child")
        self.assertEqual(reader("[open(d + '/' + n, 'rb').read() for n in 'mw']", d=self.path), [pattern(1 << 20, 3), pattern(1 << 20, 4)])


@in_modes(ROOT, DAEMON)
class Made_of(Sealing):
    def test_manifest_lists_everything_with_digests_that_anyone_can_check(self):
        self.mount()
        agent = self.make()
        agent("os.mkdir(d + '/empty'); open(d + '/none', 'w'); os.chmod(d + '/sub/b', 0o755); open(d + '/big', 'wb').write(pattern(1_234_567, 8))", d=self.path)
        self.ctl("seal", self.path, trial="parent")
        with open(self.exported("parent/.seal/manifest"), encoding="utf-8") as file:
            lines = file.read().split("\n")
        self.assertEqual((lines[0], lines[-1]), ("sealfs manifest 1", ""))
        entries = {}
        for line in lines[1:-1]:
            digest, size, name = line.split("  ", 2)
            entries[name] = digest, int(size)
        self.assertEqual(sorted(entries), sorted(["a", "big", "empty", "l -> a", "none", "sub", "sub/b"]))
        self.assertEqual(list(entries), sorted(entries, key=lambda name: name.split(" -> ")[0].encode()))
        self.assertEqual((entries["empty"], entries["sub"], entries["l -> a"]), (("dir", 0), ("dir", 0), ("symlink", 1)))
        self.assertEqual([entries[name][1] for name in ("a", "big", "none", "sub/b")], [300_000, 1_234_567, 0, 1])
        self.assertTrue(entries["sub/b"][0].endswith(":x"))
        if not shutil.which("fsverity"):
            self.skipTest("fsverity is not there to check the digests")
        for name in ("a", "big", "none", "sub/b"):
            digest = subprocess.run(["fsverity", "digest", "--compact", self.exported("parent", name)], stdout=subprocess.PIPE, check=True,
                                    env=environment()).stdout.decode().strip()
            self.assertEqual(entries[name][0].split(":")[1], digest, name)

    def test_root_digest_is_the_manifest_s(self):
        self.sealed()
        output = subprocess.run(["sha256sum", self.exported("parent/.seal/manifest")], stdout=subprocess.PIPE, check=True, env=environment()).stdout.decode()
        self.assertEqual(self.status(self.path)["root"], "sha256:" + output.split()[0].lstrip("\\"))

    def test_same_content_has_the_same_root_digest(self):
        self.sealed()
        other = self.point + "/other"
        self.make(other, "other")
        self.ctl("seal", other, trial="other")
        self.assertEqual(self.status(other)["root"], self.status(self.path)["root"])

    def test_seal_file_tells_who_and_what(self):
        self.sealed()
        with open(self.exported("parent/.seal/seal"), encoding="utf-8") as file:
            text = file.read()
        for line in ("checkpoint: parent", "generation: 1", "trial: parent", "host: " + os.uname().nodename, "root: " + self.status(self.path)["root"], "files: 2",
                     "bytes: 300001"):
            self.assertIn(line + "\n", text)
        self.assertRegex(text, r"(?m)^sha256: [0-9a-f]{64}\n\Z")

    def test_records_are_as_described(self):
        self.sealed()
        with open(self.exported(".sealfs/state/parent/1.claim"), encoding="utf-8") as file:
            claim = file.read()
        self.assertTrue(claim.startswith("sealfs claim 1\n"))
        for line in ("checkpoint: parent", "generation: 1", "trial: parent", "host: " + escape(os.uname().nodename)):
            self.assertIn(line + "\n", claim)
        with open(self.exported(".sealfs/state/parent/1.end"), encoding="utf-8") as file:
            self.assertIn("sealed", file.read())
        import hashlib
        body, last = claim[:claim.rindex("sha256: ")], claim[claim.rindex("sha256: "):]
        self.assertEqual(last, "sha256: %s\n" % hashlib.sha256(body.encode()).hexdigest())

    def test_special_files_are_left_out_with_a_warning(self):
        mount = self.mount()
        agent = self.make()
        agent("os.mkfifo(d + '/pipe')", d=self.path)
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(self.state(self.path), "sealed")
        with open(self.exported("parent/.seal/manifest")) as file:
            self.assertNotIn("pipe", file.read())
        mount.await_log("pipe")
        self.assertEqual(self.read_error(), None)

    def test_sealed_checkpoint_that_was_copied_to_another_export_is_sealed_there(self):
        self.sealed()
        self.running.unmount()
        export, point = self.make_dir("export-2", 0o777, self.mode.owner), self.make_dir("mnt-2", 0o755, self.mode.owner)
        subprocess.run(["cp", "-a", self.exported("parent"), export], check=True, env=environment())
        self.mount(export=export, point=point)
        reader = self.agent("child")
        self.assertEqual(reader("open(d + '/a', 'rb').read()", d=point + "/parent"), CONTENT)
        self.assertEqual(reader.error("open(d + '/a', 'wb')", d=point + "/parent"), "EROFS")
        self.assertIs(reader("os.path.exists(d + '/n')", d=point + "/parent"), False)
        self.assertEqual(self.state(point + "/parent"), "sealed")
        with open(export + "/parent/sub/b", "w") as file:
            file.write("c")
        self.assertEqual(reader.error("open(d + '/sub/b')", d=point + "/parent"), "EBADMSG")


def flip(path, keep_times=True, at=None):
    """One bit, size and times as they were."""
    status = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(status.st_size // 2 if at is None else at)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x10]))
    if keep_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@in_modes(*ALL_MODES)
class Damage_behind_the_mount(Sealing):
    def test_one_byte(self):
        for at in (0, 150_000, 299_999):
            with self.subTest(at):
                self.path = self.point + "/p%d" % at
                if not self.mounted:
                    self.mount()
                self.make(self.path)
                self.ctl("seal", self.path, trial="parent")
                flip(self.exported("p%d" % at, "a"), at=at)
                self.assertEqual(self.read_error(), "EBADMSG")
                self.assertEqual(self.read_error("sub/b"), None)
        self.mounted[0].await_log(r"p150000.*a")

    def test_one_byte_after_it_was_read_and_found_good(self):
        self.sealed()
        self.assertEqual(self.read_error(), None)
        flip(self.exported("parent/a"))
        self.assertEqual(self.read_error(), "EBADMSG")

    def test_one_byte_before_a_new_mount(self):
        self.sealed()
        self.running.unmount()
        flip(self.exported("parent/a"))
        self.mount()
        self.assertEqual(self.read_error(), "EBADMSG")

    def test_repaired_file_is_good_again(self):
        self.sealed()
        flip(self.exported("parent/a"))
        self.assertEqual(self.read_error(), "EBADMSG")
        flip(self.exported("parent/a"))
        self.assertEqual(self.read_error(), None)

    def test_other_damage(self):
        def shorten(path):
            os.truncate(path, 100)

        def lengthen(path):
            with open(path, "ab") as file:
                file.write(b"x")

        def replace_by_symlink(path):
            os.unlink(path)
            os.symlink("sub/b", path)

        def replace_by_directory(path):
            os.unlink(path)
            os.mkdir(path)

        def replace_by_fifo(path):
            os.unlink(path)
            os.mkfifo(path)

        def replace_by_other(path):
            with open(path + ".other", "wb") as file:
                file.write(CONTENT[::-1])
            os.rename(path + ".other", path)
        self.mount()
        for count, damage in enumerate((shorten, lengthen, os.unlink, replace_by_symlink, replace_by_directory, replace_by_fifo, replace_by_other)):
            with self.subTest(damage.__name__):
                self.path = self.point + "/p%d" % count
                self.make(self.path)
                self.ctl("seal", self.path, trial="parent")
                damage(self.exported("p%d" % count, "a"))
                self.assertEqual(self.read_error(), "EBADMSG")

    def test_symlink_that_points_elsewhere(self):
        self.sealed()
        os.unlink(self.exported("parent/l"))
        os.symlink("/etc/passwd", self.exported("parent/l"))
        call = self.agent("child").start("os.readlink(d + '/l')", d=self.path)
        self.assertEqual(call.error(), "EBADMSG")

    def test_file_that_was_added_is_not_there(self):
        self.sealed()
        with open(self.exported("parent/added"), "w") as file:
            file.write("evil")
        os.mkdir(self.exported("parent/added-dir"))
        reader = self.agent("child")
        self.assertEqual(reader("sorted(os.listdir(d))", d=self.path), ["a", "l", "sub"])
        self.assertEqual(reader.error("open(d + '/added').read()", d=self.path), "ENOENT")
        self.assertIs(reader("os.path.exists(d + '/added-dir')", d=self.path), False)

    def test_checkpoint_of_one_file(self):
        self.mount()
        path = self.point + "/model.pt"
        self.agent("parent")("open(p, 'wb').write(data)", p=path, data=CONTENT)
        self.ctl("seal", path, trial="parent")
        flip(self.exported("model.pt"))
        self.assertEqual(self.agent("child").error("open(p, 'rb').read()", p=path), "EBADMSG")

    def test_verify_off_reads_what_is_there(self):
        self.mount("verify=off")
        self.make()
        self.ctl("seal", self.path, trial="parent")
        flip(self.exported("parent/a"))
        self.assertEqual(self.read_error(), None)

    def test_nonblocking_open_still_verifies(self):
        self.sealed()
        flip(self.exported("parent/a"))
        self.assertEqual(self.agent("child").error("os.open(d + '/a', os.O_RDONLY | os.O_NONBLOCK)", d=self.path), "EBADMSG")

    def test_way_around_by_execution(self):
        self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/run', 'w').write('#!/bin/sh\\necho good\\n'); os.chmod(d + '/run', 0o755)", d=self.path)
        self.ctl("seal", self.path, trial="parent")
        reader = self.agent("child")
        self.assertEqual(reader("subprocess.run([d + '/run'], capture_output=True).stdout", d=self.path), b"good\n")
        with open(self.exported("parent/run"), "w") as file:
            file.write("#!/bin/sh\necho evil\n")
        call = reader.start("subprocess.run([d + '/run'], capture_output=True).stdout", d=self.path)
        self.assertNotEqual(call.finish()["value"], b"evil\n")


@in_modes(ROOT, DAEMON)
class Huge(Sealing):
    def test_memory_does_not_grow_with_the_file(self):
        """8 GiB (with holes): at most 32 MiB of memory."""
        if sanitized():
            self.skipTest("a sanitizer has memory of its own")
        if os.statvfs(self.export).f_bavail * os.statvfs(self.export).f_frsize < 1 << 30:
            self.skipTest("there is no room for the hashes of 8 GiB")
        mount = self.mount("prefetch=off")
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').close(); os.truncate(d + '/a', 8 << 30)", d=self.path)
        self.ctl("seal", self.path, trial="parent", patience=150)
        self.agent("child")("open(d + '/a', 'rb').close()", d=self.path, patience=150)
        with open("/proc/%d/status" % mount.pid) as file:
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1))
        print("%s: at most %d KiB of memory" % (self.id(), peak))
        self.assertLess(peak, 32 << 10)


if __name__ == "__main__":
    main()
