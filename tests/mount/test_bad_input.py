#!/usr/bin/python3
# time limit: 240
"""Records, seals and configs that are torn, empty, oversized or garbage: an error that names the file, never a crash, and never read as sealed."""

import os
import shutil

from harness import DAEMON, ROOT, SealfsTest, in_modes, main, pattern

CONTENT = pattern(20_000, 3)


def torn(data):
    return data[:len(data) // 2]


def without_last_line(data):
    return data[:data[:-1].rindex(b"\n") + 1]


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:]


DAMAGES = {
    "empty": lambda data: b"",
    "torn": torn,
    "one_byte_short": lambda data: data[:-1],
    "without_its_checksum": without_last_line,
    "one_bit_wrong": flipped,
    "with_a_tail": lambda data: data + b"more\n",
    "twice": lambda data: data + data,
    "garbage": lambda data: os.urandom(500),
    "zeros": lambda data: bytes(len(data)),
    "oversized": lambda data: data + b"x: " + b"y" * (20 << 20) + b"\n",
    "of_a_newer_version": lambda data: data.replace(b" 1\n", b" 99\n", 1),
}


class Damaged(SealfsTest):
    def setUp(self):
        super().setUp()
        self.path = self.point + "/parent"

    def make(self, end=None, name="parent"):
        """A checkpoint in the wanted state on the export, and no mount."""
        mount = self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.point + "/" + name, data=CONTENT)
        if end == "sealed":
            self.ctl("seal", self.point + "/" + name, trial="parent")
        elif end == "failed":
            self.ctl("abandon", self.point + "/" + name, trial="parent")
        elif end == "pending":
            self.reserve(self.point + "/promised")
        mount.unmount()

    def rewrite(self, file, change):
        with open(file, "rb") as stream:
            data = stream.read()
        os.chmod(file, 0o644)
        with open(file, "wb") as stream:
            stream.write(change(data))

    def check_refused(self, name, mount, file):
        """Whoever looks gets an error at once, and somebody is told which file it is."""
        child = self.agent("child")
        for code in ("open(d + '/a', 'rb').read()", "os.listdir(d)", "os.path.getsize(d + '/a')"):
            error = child.start(code, d=self.path).error(patience=15)
            self.assertIsNotNone(error, "read as if all were well: " + code)
            self.assertIn(error, ("EBADMSG", "EIO", "EPROTO", "EFBIG", "EINVAL"), code)
        told = mount.log() + self.sealctl("status", self.path).all
        self.assertIn(os.path.basename(file), told)
        status = self.status(self.path)
        self.assertEqual(status["state"], "damaged", status)
        self.assertTrue(mount.process.running(), "the daemon died")

    def check_each(self, file, end, damages=DAMAGES):
        self.make(end)
        target = self.exported(file)
        with open(target, "rb") as stream:
            good = stream.read()
        for name, change in damages.items():
            with self.subTest(name):
                self.rewrite(target, lambda _, change=change: change(good))
                mount = self.mount()
                try:
                    self.check_refused(name, mount, file)
                finally:
                    for process in self.processes:
                        process.close()
                    self.processes.clear()
                    mount.unmount()


@in_modes(DAEMON)
class Record(Damaged):
    def test_end_of_a_sealed_checkpoint(self):
        self.check_each(".sealfs/state/parent/1.end", "sealed")

    def test_claim_of_an_open_checkpoint(self):
        self.check_each(".sealfs/state/parent/1.claim", None)

    def test_end_of_a_failed_checkpoint(self):
        self.check_each(".sealfs/state/parent/1.end", "failed", {name: DAMAGES[name] for name in ("empty", "torn", "one_bit_wrong")})

    def test_record_that_is_no_file(self):
        self.make("sealed")
        target = self.exported(".sealfs/state/parent/1.end")
        os.unlink(target)
        for make in (os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/passwd", path), lambda path: os.symlink(path, path)):
            make(target)
            mount = self.mount()
            self.check_refused("no file", mount, target)
            mount.unmount()
            os.rmdir(target) if os.path.isdir(target) else os.unlink(target)

    def test_record_of_another_checkpoint(self):
        """A good record in the wrong place says nothing."""
        mount = self.mount()
        for name in ("parent", "other"):
            self.agent(name)("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.point + "/" + name, data=CONTENT)
        self.ctl("seal", self.point + "/other", trial="other")
        mount.unmount()
        shutil.copy(self.exported(".sealfs/state/other/1.end"), self.exported(".sealfs/state/parent/1.end"))
        mount = self.mount()
        error = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.path).error(patience=15)
        self.assertIn(error, ("EBADMSG", "EIO", "EOWNERDEAD"))
        self.assertNotEqual(self.state(self.path), "sealed")

    def test_reservation(self):
        self.make("pending")
        target = self.exported(".sealfs/state/promised/1.reserve")
        self.rewrite(target, torn)
        mount = self.mount()
        error = self.agent("child").start("open(d + '/a', 'rb').read()", d=self.point + "/promised").error(patience=15)
        self.assertIsNotNone(error)
        self.assertEqual(self.state(self.point + "/promised"), "damaged")
        self.assertIn("1.reserve", mount.log() + self.sealctl("status", self.point + "/promised").all)

    def test_leftovers_of_a_crash_are_no_records(self):
        self.make("sealed")
        for name in (".tmp.0123456789abcdef0123456789abcdef", "x", "0.end", "2.endx", "-1.claim", "99999999999999999999.end", "01.claim"):
            with open(self.exported(".sealfs/state/parent", name), "w") as file:
                file.write("half a rec")
        self.mount()
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.path), CONTENT)
        self.assertEqual((self.state(self.path), self.status(self.path)["generation"]), ("sealed", 1))

    def test_one_damaged_checkpoint_spoils_no_other(self):
        self.make("sealed")
        self.make(None, name="other")
        self.rewrite(self.exported(".sealfs/state/other/1.claim"), torn)
        self.mount()
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read()", d=self.path), CONTENT)
        listing = self.sealctl("status", self.point)
        self.assertIn("damaged", listing.all)
        self.assertIn("sealed", listing.all)

    def test_damaged_checkpoint_can_not_be_sealed_nor_written(self):
        self.make("sealed")
        self.rewrite(self.exported(".sealfs/state/parent/1.end"), torn)
        self.mount()
        agent = self.agent("parent")
        self.assertIn(agent.error("open(d + '/b', 'w')", d=self.path), ("EBADMSG", "EIO", "EROFS", "EISDIR"))
        self.assertIn(self.sealctl("seal", self.path, trial="parent").status, (1, 5))
        self.assertNotEqual(self.sealctl("wait", "--timeout", "5", self.path).status, 0)
        with open(self.exported("parent/a"), "rb") as file:
            self.assertEqual(file.read(), CONTENT)


@in_modes(ROOT, DAEMON)
class Seal(Damaged):
    def check_seal_file(self, name):
        self.make("sealed")
        target = self.exported("parent/.seal", name)
        with open(target, "rb") as stream:
            good = stream.read()
        for damage, change in DAMAGES.items():
            with self.subTest(damage):
                self.rewrite(target, lambda _, change=change: change(good))
                mount = self.mount()
                child = self.agent("child")
                self.assertEqual(child.error("open(d + '/a', 'rb').read()", d=self.path), "EBADMSG")
                mount.await_log(r"parent")
                self.assertTrue(mount.process.running())
                child.close()
                mount.unmount()

    def test_manifest(self):
        self.check_seal_file("manifest")

    def test_seal(self):
        self.check_seal_file("seal")

    def test_seal_that_is_missing(self):
        self.make("sealed")
        shutil.rmtree(self.exported("parent/.seal"))
        self.mount()
        self.assertEqual(self.agent("child").error("open(d + '/a', 'rb').read()", d=self.path), "EBADMSG")

    def test_seal_that_is_a_fifo_does_not_hang(self):
        self.make("sealed")
        os.unlink(self.exported("parent/.seal/manifest"))
        os.mkfifo(self.exported("parent/.seal/manifest"))
        self.mount()
        self.agent("child").start("open(d + '/a', 'rb').read()", d=self.path).fails("EBADMSG", "EIO", "EINVAL", patience=15)


CONFIGS = {
    "empty": b"",
    "garbage": bytes(range(256)) * 4,
    "no_number": b"version = one\n",
    "no_version": b"depth = 1\n",
    "depth_0": b"version = 1\ndepth = 0\n",
    "depth_negative": b"version = 1\ndepth = -1\n",
    "depth_huge": b"version = 1\ndepth = 99999999999999999999\n",
    "depth_with_a_tail": b"version = 1\ndepth = 1x\n",
    "unknown_key": b"version = 1\ndepth = 1\ncolour = blue\n",
    "no_equals_sign": b"version = 1\ndepth 1\n",
    "nul": b"version = 1\ndepth = 1\0\n",
    "oversized": b"version = 1\ndepth = 1\n" + b"# comment\n" * 100_000,
    "newer_version": b"version = 2\ndepth = 1\n",
    "bad_variable": b"version = 1\ndepth = 1\ntrial_env = A=B\n",
}


@in_modes(DAEMON)
class Config(Damaged):
    def test_refused_at_start_with_a_sentence_that_names_it(self):
        os.makedirs(self.exported(".sealfs"))
        sealfs = os.path.join(os.path.dirname(self.sealctl_path), "sealfs")
        for name, text in CONFIGS.items():
            with self.subTest(name):
                with open(self.exported(".sealfs/config"), "wb") as file:
                    file.write(text)
                result = self.run_program([sealfs, "-f", self.export, self.point], uid=self.mode.owner, patience=10)
                self.assertGreater(result.status, 0, result)
                self.assertIn(".sealfs/config", result.err)

    def test_line_number_is_named(self):
        os.makedirs(self.exported(".sealfs"))
        with open(self.exported(".sealfs/config"), "w") as file:
            file.write("# comment\nversion = 1\n\ncolour = blue\n")
        sealfs = os.path.join(os.path.dirname(self.sealctl_path), "sealfs")
        result = self.run_program([sealfs, "-f", self.export, self.point], uid=self.mode.owner, patience=10)
        self.assertRegex(result.err, r"\b4\b")
        self.assertIn("colour", result.err)

    def test_config_that_is_no_file(self):
        os.makedirs(self.exported(".sealfs/config"))
        sealfs = os.path.join(os.path.dirname(self.sealctl_path), "sealfs")
        result = self.run_program([sealfs, "-f", self.export, self.point], uid=self.mode.owner, patience=10)
        self.assertGreater(result.status, 0, result)
        self.assertIn(".sealfs/config", result.err)

    def test_comments_and_blanks_are_fine(self):
        os.makedirs(self.exported(".sealfs"))
        for name in ("state", "failed", "mounts"):
            os.mkdir(self.exported(".sealfs", name))
            os.chmod(self.exported(".sealfs", name), 0o1777)
        with open(self.exported(".sealfs/config"), "w") as file:
            file.write("# made by hand\n\nversion=1\n  depth =  2  \nlive = *.log\nlive = events.*\n")
        self.mount()
        agent = self.agent("parent")
        agent("os.makedirs(d + '/run/t1')", d=self.point)
        self.assertEqual(self.status(self.point + "/run/t1")["state"], "open")


if __name__ == "__main__":
    main()
