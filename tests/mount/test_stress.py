#!/usr/bin/python3
# time limit: 600
"""Thousands of parks, interrupts, wakes, kills and time-outs (stress_parks.c): the counters add up and nothing is left over.

Once with the daemon as it is, and once under valgrind. With a build made by `make BUILD=build-asan SANITIZE=address,undefined` and
BUILD=build-asan the sanitizers watch, and valgrind is not asked.
"""

import json
import os
import re
import shutil

from harness import DAEMON, ROOT, SLOWNESS, USER, SealfsTest, in_modes, main, mounts, sanitized, tools, until

ROUNDS = 150


class Stress(SealfsTest):
    def play(self, *arguments, patience=120):
        result = self.run_program([os.path.join(tools(), "stress_parks"), *arguments, self.point], trial="stress-writer",
                                  patience=patience * SLOWNESS)
        print("%s:\n%s" % (self.id(), result.out))
        self.assertEqual(result.status, 0, result)
        return result

    def check_nothing_left(self, mount):
        self.assertEqual([entry for entry in self.all_states() if entry["waiters"] or entry["state"] not in ("sealed", "failed")], [])
        waiting = mount.waiting_requests()
        if waiting is not None:
            until(lambda: mount.waiting_requests() == 0, "no request to wait in the kernel")
        self.assertTrue(mount.process.running())

    def all_states(self):
        return json.loads(self.ctl("status", "--json", self.point).out)

    def remove_all(self):
        self.ctl("rm", *[os.path.join(self.point, name) for name in os.listdir(self.export) if name != ".sealfs"])


@in_modes(ROOT, DAEMON, USER)
class Counters(Stress):
    def test_add_up(self):
        mount = self.mount()
        self.play("-r", "5")
        self.remove_all()
        descriptors = mount.descriptors()
        self.play("-r", str(ROUNDS), "-p", "12")
        self.check_nothing_left(mount)
        self.remove_all()
        # directories that the kernel still knows keep theirs
        until(lambda: mount.descriptors() <= descriptors + 16, lambda: "descriptors to be closed: %d, at first %d" % (mount.descriptors(), descriptors))

    def test_with_time_outs(self):
        mount = self.mount("wait_timeout=1")
        result = self.play("-r", "6", "-p", "12", "-t")
        self.assertIn("timed out", result.out)
        self.check_nothing_left(mount)


@in_modes(DAEMON, USER)
class Single_thread(Stress):
    def test_one_thread_serves_all(self):
        process = self.spawn([os.path.join(tools(), "sealfs"), "-f", "-s"] + (["-o", ",".join(self.mode.options)] if self.mode.options else [])
                             + [self.export, self.point], uid=self.mode.owner)
        until(lambda: self.point in mounts() or not process.running(), "the mount")
        self.play("-r", "40")
        process.signal(15)
        process.wait()


@in_modes(ROOT, DAEMON)
class Watched(Stress):
    def test_valgrind_finds_nothing(self):
        if not shutil.which("valgrind"):
            self.skipTest("valgrind is not there")
        if sanitized():
            self.skipTest("built with sanitizers")
        log = os.path.join(self.tmp, "valgrind.log")
        mount = self.mount(wrapper=["valgrind", "--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite",
                                    "--error-exitcode=99", "--fair-sched=yes", "--log-file=" + log])
        mount.expected_end = (0, 99)
        try:
            self.play("-r", "25", "-p", "8", patience=240)
        except AssertionError:
            with open(log) as file:
                unknown = re.search(r"unhandled \S+ syscall: \d+", file.read())
            if unknown:
                self.skipTest("this valgrind does not know all system calls: " + unknown.group(0))
            raise
        self.check_nothing_left(mount)
        mount.unmount()
        with open(log) as file:
            text = file.read()
        # what valgrind itself does not know is no fault of the program
        faults = [line for line in text.splitlines() if not re.search(r"Warning: |unhandled|set address range|This could cause spurious|You may be able to write|"
                                                                     r"Read the file README|Nevertheless|This is happening|==\d+==\s*$", line)]
        self.assertEqual("\n".join(faults), "")

    def test_sanitizers_find_nothing(self):
        if not sanitized():
            self.skipTest("built without sanitizers")
        mount = self.mount()
        self.play("-r", "60", "-p", "12")
        self.check_nothing_left(mount)
        mount.unmount()
        self.assertNotRegex(mount.log(), r"ERROR: \w*Sanitizer|runtime error:|SUMMARY:")


if __name__ == "__main__":
    main()
