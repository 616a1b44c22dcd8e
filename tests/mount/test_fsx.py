#!/usr/bin/python3
# time limit: 240, of the long form: 3600
"""Random operations on files with a copy in memory to compare with (fsx.c): on plain data and in an open checkpoint, whose seal is then to be right, too.

As `make conformance` runs it, a million operations with the kernel's passthrough, and as many without."""

import os
import re
import subprocess

from harness import DAEMON, LONG, PATIENCE, ROOT, USER, SealfsTest, counted, in_modes, main, pattern, tools

SEEDS = (1, 2, 3, 4, 5) if LONG else (int(os.environ.get("SEALFS_TEST_SEED", "1")),)
# in each of the two places and on each of the two file systems
OPERATIONS = 50_000 if LONG else 2_500


class Fsx(SealfsTest):
    def fsx(self, place, *arguments, trial="parent", expect=0, operations=OPERATIONS, seed=1):
        log = os.path.join(self.tmp, "operations-%d" % len(self.logs))
        process = self.spawn([os.path.join(tools(), "fsx"), "-n", str(operations), "-s", str(seed), "-l", log, *arguments, place], trial=trial, name="fsx of seed %d" % seed)
        status = process.wait(PATIENCE + operations / 100)
        if status != expect and os.path.exists(log):
            with open(log) as file:
                print("".join(file.readlines()[-200:]))
        self.assertEqual(status, expect, process.output())
        return process.output(), log

    def run_seeds(self, where, place):
        done = 0
        for seed in SEEDS:
            with self.subTest(seed=seed):
                text, _ = self.fsx(place, seed=seed)
                done += int(re.search(r": (\d+) operations, no difference", text).group(1))
        counted("fsx: %d operations on %s, %s, %s: no difference" % (done, where, self.mode.name, "on disk" if self.base else "in memory"))

    def plain_path(self):
        os.mkdir(self.exported("old"))
        self.give(self.exported("old"))
        self.mount()
        self.run_seeds("a plain path", self.point + "/old")

    def open_checkpoint(self):
        self.mount()
        writer = self.agent("parent")
        writer("os.mkdir(d)", d=self.point + "/mine")
        self.run_seeds("an open checkpoint", self.point + "/mine")
        written = writer("{name: open(d + '/' + name, 'rb').read() for name in os.listdir(d)}")
        self.ctl("seal", self.point + "/mine", trial="parent", patience=PATIENCE + 20)
        self.assertEqual(self.agent("child")("{name: open(d + '/' + name, 'rb').read() for name in os.listdir(d)}", d=self.point + "/mine"), written)
        self.ctl("verify", self.exported("mine"))


@in_modes(ROOT, DAEMON, USER)
class In_memory(Fsx):
    def test_plain_path(self):
        self.plain_path()

    def test_open_checkpoint(self):
        self.open_checkpoint()


@in_modes(ROOT, DAEMON, USER)
class On_disk(Fsx):
    """Where ranges can be zeroed, too."""

    base = "/tmp"

    def test_plain_path(self):
        self.plain_path()

    def test_open_checkpoint(self):
        self.open_checkpoint()


@in_modes(ROOT)
class Itself(Fsx):
    """It finds what is wrong, and can do again what it did."""

    def test_what_is_wrong_is_found(self):
        self.mount()
        self.agent("parent")("os.mkdir(d)", d=self.point + "/mine")
        for kind in ("byte", "size", "lost", "stale"):
            with self.subTest(kind):
                text, _ = self.fsx(self.point + "/mine", "-f", kind + ":300", expect=1, seed=7)
                self.assertRegex(text, r"fsx: operation \d+ of seed 7: .*(differ|bytes, not|bytes can be read)")

    def test_log_can_be_done_again(self):
        place = self.make_dir("bare", 0o777)
        first, log = self.fsx(place, operations=1000, seed=3)
        with open(place + "/fsx-0", "rb") as file:
            before = file.read()
        again = subprocess.run([os.path.join(tools(), "fsx"), "-r", log, place], stdout=subprocess.PIPE, check=False, timeout=PATIENCE)
        self.assertEqual((again.returncode, again.stdout.decode()), (0, first))
        with open(place + "/fsx-0", "rb") as file:
            self.assertEqual(file.read(), before)

    def test_change_behind_the_seal_is_found(self):
        """What is compared after the seal would show a difference."""
        self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.point + "/mine", data=pattern(5000))
        self.ctl("seal", self.point + "/mine", trial="parent")
        with open(self.exported("mine/a"), "r+b") as file:
            file.write(b"!")
        self.ctl("verify", self.exported("mine"), expect=5)


if __name__ == "__main__":
    main()
