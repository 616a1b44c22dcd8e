#!/usr/bin/python3
"""Requests that hold the threads which carry them out, on an export whose disk does not answer: all others are served meanwhile."""

import os
import signal

from harness import ROOT, SealfsTest, detach, in_modes, main, mounts, tools, until

COUNT = 20


@in_modes(ROOT)
class Held(SealfsTest):
    def setUp(self):
        """Below the directory `slow` of the export there is another file system, whose server stands still."""
        super().setUp()
        self.slow = self.export + "/slow"
        os.mkdir(self.slow)
        self.store = self.make_dir("store", 0o777)
        self.server = self.spawn([os.path.join(tools(), "losing_export"), self.store, self.slow], uid=0)
        until(self.is_served, "the slow directory")
        self.running = self.mount()
        os.stat(self.point + "/slow")
        self.server.signal(signal.SIGSTOP)

    def is_served(self):
        self.server.must_run()
        return self.slow in mounts()

    def clean_up(self):
        self.server.signal(signal.SIGCONT)
        for process in self.processes:
            if process is not self.server:
                process.close()
        for mount in self.mounted:
            mount.unmount()
        detach(self.slow)
        super().clean_up()

    def test_others_are_served_while_requests_hold_their_threads(self):
        waiting = self.running.waiting_requests
        writer = self.agent("writer")
        held = []
        for number in range(COUNT):
            held.append(self.spawn(["/usr/bin/stat", self.point + "/slow/%d" % number], uid=0, name="stat"))
            # each is carried out by a thread of its own: no one waits for the one before
            until(lambda count=number + 1: waiting() == count, lambda: "%r requests under way" % waiting())
            writer("os.makedirs(d, exist_ok=True); open(d + '/%d' % n, 'wb').close()", d=self.point + "/made", n=number)
            self.assertEqual(writer("len(os.listdir(d))"), number + 1)
        self.ctl("seal", self.point + "/made", trial="writer")
        self.assertEqual(len(self.agent("reader")("os.listdir(d)", d=self.point + "/made")), COUNT)
        for process in held:
            process.must_run()
        self.server.signal(signal.SIGCONT)
        for process in held:
            self.assertEqual(process.wait(), 1, process.output())

    def test_it_ends_though_requests_hold_its_threads(self):
        held = self.spawn(["/usr/bin/stat", self.point + "/slow/name"], uid=0, name="stat")
        until(lambda: self.running.waiting_requests() == 1, "the request under way")
        self.running.process.signal(signal.SIGTERM)
        self.server.signal(signal.SIGCONT)
        self.running.process.wait()
        self.assertNotEqual(held.wait(), 0, held.output())


if __name__ == "__main__":
    main()
