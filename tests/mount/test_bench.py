#!/usr/bin/python3
# time limit: 240
# runs alone: what waiting costs is measured
"""make bench measures what it says, and leaves nothing behind, however it ends."""

import html
import json
import os
import shutil
import signal
import tempfile
import unittest

from harness import BUILD, IS_ROOT, PYTHON, SELF, SLOWNESS, TOKEN, TOP, Mode, Process, main, marked_processes, program, roomy, task_file, until

SEALFS = ["sealfs", "sealfs-off"]
PEERS = ["bindfs", "fuse-overlayfs", "mergerfs", "unionfs-fuse"]
READERS = 100  # that --quick parks


class Bench(unittest.TestCase):
    def setUp(self):
        for name in ("sealfs", "sealctl", "tests/bench/bench_io"):
            program(name)
        reason = Mode("self", owner=SELF).unavailable()
        if reason:
            self.skipTest(reason)
        self.scratch = tempfile.mkdtemp(prefix="sealfs-test.%s." % TOKEN, dir=roomy())
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)
        self.place = os.path.join(self.scratch, "place")
        self.json = os.path.join(self.scratch, "json")
        os.mkdir(self.place)

    def start(self, *arguments):
        process = Process([PYTHON, os.path.join(TOP, "tests/bench/bench"), "--quick", "--dir", self.place, "--json", self.json, *arguments],
                          os.path.join(self.scratch, "log"), env={"BUILD": BUILD, "SEALFS_TEST_SLOWNESS": str(SLOWNESS)}, name="bench")
        self.addCleanup(process.close)
        return process

    def run_bench(self, *arguments):
        process = self.start(*arguments)
        self.assertEqual(process.wait(120 * SLOWNESS), 0, process.output())
        with open(self.json) as file:
            return json.load(file), process.output()

    def nothing_runs(self):
        until(lambda: not marked_processes(), lambda: "the end of %r" % [task_file(pid, "cmdline") for pid in marked_processes()])

    def is_spread(self, figure, least):
        self.assertLessEqual(figure["min"], figure["median"])
        self.assertLessEqual(figure["median"], figure["max"])
        self.assertGreaterEqual(figure["min"], least)

    def is_measured(self, result, rounds):
        self.assertEqual(len(result["rounds"]), rounds)
        self.is_spread(result["seconds"], 1e-9)
        self.is_spread(result["ratio"], 1e-9)

    def test_two_rows_are_measured_on_all_that_mounts(self):
        report, table = self.run_bench("--only", "open", "--only", "wake")
        skipped = {target["name"]: target["skipped"] for target in report["targets"]}
        self.assertEqual(list(skipped), ["bare"] + SEALFS + PEERS)
        self.assertEqual([skipped[name] for name in ["bare"] + SEALFS], [None] * 3)
        how = {target["name"]: target["how"] for target in report["targets"]}
        self.assertIn("content ", how["sealfs"])
        self.assertEqual(how["sealfs-off"], "content through the daemon")
        rows = {row["name"]: row["results"] for row in report["rows"]}
        self.assertEqual(list(rows), ["open", "wake-called-p50", "wake-called-p99", "wake-returned-p50", "wake-returned-p99"])
        self.assertEqual(set(rows["open"]), {name for name, why in skipped.items() if not why})
        self.assertEqual(set(rows["wake-called-p50"]), {"bare", *SEALFS})
        for name in ("open", "wake-called-p50", "wake-called-p99"):  # a reader may be out before the call has returned
            for target, result in rows[name].items():
                with self.subTest(row=name, target=target):
                    self.is_measured(result, report["rounds"])
            self.assertEqual(rows[name]["bare"]["ratio"], {"median": 1, "min": 1, "max": 1})
            self.assertRegex(table, r"(?m)^%s +[0-9]" % name)
        for name, why in skipped.items():
            if why:
                self.assertIn("skipped: %s: %s" % (name, why), table)
        for key in ("format", "when", "sealfs", "kernel", "cpus", "file_system", "sizes"):
            self.assertTrue(report[key], key)
        self.assertEqual(report["parked"], {})
        self.assertEqual(os.listdir(self.place), [])
        self.nothing_runs()

    def test_parked_readers_are_counted(self):
        report, table = self.run_bench("--only", "parked", "--targets", "sealfs", "--rounds", "1")
        self.assertEqual(report["rows"], [])
        found = report["parked"]["sealfs"]
        for figure in ("rss_before", "rss_parked", "rss_after", "rss_ratio", "threads_before", "threads_parked", "threads_ratio"):
            self.is_spread(found[figure], 1e-9)
        for figure in ("ticks_daemon", "ticks_readers"):
            self.is_spread(found[figure], 0)
        self.assertLess(found["threads_parked"]["max"], READERS / 2)
        self.assertIn("what %d waiting readers cost" % READERS, table)
        self.assertEqual(os.listdir(self.place), [])
        self.nothing_runs()

    def test_what_is_checked_is_compared_with_hashing(self):
        report, _ = self.run_bench("--only", "first", "--only", "seal")
        names = ["first-hash", "first-fsverity", "seal-hash", "seal-fsverity"]
        self.assertEqual([row["name"] for row in report["rows"]], names if shutil.which("fsverity") else names[::2])
        for row in report["rows"]:
            self.assertEqual(set(row["results"]), {"bare", *SEALFS})
            for result in row["results"].values():
                self.is_measured(result, report["rounds"])

    @unittest.skipUnless(IS_ROOT, "only root can make the kernel forget names")
    def test_memory_of_forgotten_names_is_given_back(self):
        report, table = self.run_bench("--only", "names", "--targets", "sealfs")
        found = report["names"]["sealfs"]
        self.assertGreater(found["known"], found["before"] + (1 << 20))
        self.assertLess(found["forgotten"], found["before"] + (4 << 20))
        self.assertIn("looked up", table)

    def test_the_page_shows_all_rows_and_needs_nothing_else(self):
        path = os.path.join(self.scratch, "page.html")
        report, _ = self.run_bench("--only", "stat", "--only", "wake", "--only", "parked", "--html", path)
        with open(path, encoding="utf-8") as file:
            page = file.read()
        for row in report["rows"]:
            self.assertIn("<h2>%s</h2>" % html.escape(row["title"]), page)
        stat = next(row for row in report["rows"] if row["name"] == "stat")
        for name, result in stat["results"].items():
            if name != "bare":
                self.assertIn("%.2f×" % result["ratio"]["median"], page)
        self.assertIn("What %d waiting readers cost" % READERS, page)
        self.assertNotRegex(page, r"(?i)https?:|<script|<link|<img|@import|url\(")
        self.assertEqual(os.listdir(self.place), [])

    def in_the_middle(self):
        """A run whose readers wait."""
        process = self.start("--only", "parked", "--targets", "sealfs")
        until(lambda: not process.running() or len(marked_processes()) > READERS, process.output)
        process.must_run()
        return process

    def test_ended_it_takes_all_away(self):
        for number, status in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 130)):
            with self.subTest(number):
                process = self.in_the_middle()
                process.signal(number)
                self.assertEqual(process.wait(60 * SLOWNESS), status, process.output())
                self.assertEqual(os.listdir(self.place), [])
                self.nothing_runs()

    @unittest.skipUnless(IS_ROOT, "an ordinary user's mount is in everybody's mount table")
    def test_killed_it_leaves_no_process_and_no_mount(self):
        process = self.in_the_middle()
        process.kill()
        self.nothing_runs()

    def test_an_unknown_row_is_named(self):
        process = self.start("--only", "no such row")
        self.assertEqual(process.wait(), 1, process.output())
        self.assertIn("bench: no row has such a name; --list shows them", process.output())


if __name__ == "__main__":
    main()
