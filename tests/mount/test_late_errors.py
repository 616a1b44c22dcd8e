#!/usr/bin/python3
"""Written data that are lost behind a write that went well: the error comes at fsync or close, once, and the writer may not look at it."""

import os

from harness import DAEMON, ROOT, SealfsTest, detach, in_modes, main, mounts, tools, until


class Losing(SealfsTest):
    def setUp(self):
        """The export is a file system that loses data (losing_export.c), and knows no users."""
        super().setUp()
        self.uid = 0
        self.store = self.make_dir("store", 0o777)
        self.server = self.spawn([os.path.join(tools(), "losing_export"), self.store, self.export])
        until(self.is_served, "the export")
        self.mount("heartbeat=1")
        self.path = self.point + "/c"

    def is_served(self):
        self.server.must_run()
        return self.export in mounts()

    def clean_up(self):
        """First what uses the export."""
        for process in self.processes:
            if process is not self.server:
                process.close()
        for mount in self.mounted:
            mount.unmount()
        detach(self.export)
        super().clean_up()

    def check_failed(self, why):
        """Abandoned; whoever waits is told; the reason names file and error."""
        status = self.status(self.path)
        self.assertEqual(status["state"], "failed", status)
        self.assertRegex(str(status), why)
        self.assertEqual(self.agent("reader").error("open(d + '/good', 'rb')", d=self.path), "EOWNERDEAD")
        with open(self.store + "/.sealfs/state/c/1.end") as file:
            self.assertIn("result: failed", file.read())

    def write(self, name, ending):
        """By a program that looks at no error."""
        agent = self.agent("writer")
        agent("os.mkdir(d); open(d + '/good', 'wb').write(b'good')", d=self.path)
        agent("""
            fd = os.open(d + '/' + name, os.O_RDWR | os.O_CREAT)
            assert os.write(fd, b'x' * 10000) == 10000
            errors = []
            for step in ending:
                try:
                    {'fsync': os.fsync, 'close': os.close}[step](fd)
                except OSError as problem:
                    errors.append(problem.errno)
            result = errors
            """, d=self.path, name=name, ending=ending)
        return agent


@in_modes(ROOT, DAEMON)
class Late_errors(Losing):
    def test_error_at_close_that_the_writer_ignores(self):
        self.write("close-w", ["close"])
        result = self.ctl("seal", self.path, trial="writer", expect=3)
        self.assertIn("No space left on device", result.err)
        self.check_failed("close-w.*No space left")

    def test_error_at_fsync_that_the_writer_ignores(self):
        self.write("fsync-w", ["fsync", "close"])
        result = self.ctl("seal", self.path, trial="writer", expect=3)
        self.assertIn("Input/output error", result.err)
        self.check_failed("fsync-w.*Input/output error")

    def test_error_that_comes_when_the_seal_fsyncs(self):
        self.write("fsync-w", ["close"])
        result = self.ctl("seal", self.path, trial="writer", expect=3)
        self.assertIn("Input/output error", result.err)
        self.check_failed("fsync-w.*Input/output error")

    def test_trial_that_ended_well_all_the_same(self):
        code = "import os; os.mkdir(%r); fd = os.open(%r, os.O_RDWR | os.O_CREAT); os.write(fd, b'x' * 9000); os._exit(0)" % (self.path, self.path + "/close-w")
        result = self.ctl("run", "--trial", "t", "--", "/usr/bin/python3", "-c", code, expect=3)
        self.assertIn("No space left on device", result.err)
        self.check_failed("close-w.*No space left")

    def test_mount_that_joined_and_lost_a_write_does_not_leave_it_to_be_sealed(self):
        """The mount that seals finds a file of the right size, and knows of no error."""
        second = self.second_mount(name="joined").path + "/c"
        first = self.agent("writer")
        first("os.mkdir(d); open(d + '/good', 'wb').write(b'good')", d=self.path)
        joined = self.agent("writer")
        joined("fd = os.open(d + '/close-w', os.O_RDWR | os.O_CREAT); os.write(fd, b'x' * 9000)", d=second)
        joined("""
            try:
                os.close(fd)
            except OSError:
                pass
            """)
        waiting = self.agent("reader").start("os.listdir(d)", d=self.path).parked()
        joined.exit()
        first.exit()
        waiting.fails("EOWNERDEAD")
        self.check_failed("on the joined machine.*close-w.*No space left")

    def test_error_that_comes_when_a_mount_that_joined_fsyncs_what_may_be_mapped(self):
        """On that machine alone: the one that seals has nothing to write back."""
        second = self.second_mount(name="joined").path + "/c"
        first = self.agent("writer")
        first("os.mkdir(d); open(d + '/good', 'wb').write(b'good')", d=self.path)
        joined = self.agent("writer")
        joined("fd = os.open(d + '/fsync-w', os.O_RDWR | os.O_CREAT); os.write(fd, b'x' * 9000); os.close(fd)", d=second)
        waiting = self.agent("reader").start("os.listdir(d)", d=self.path).parked()
        joined.exit()
        first.exit()
        waiting.fails("EOWNERDEAD")
        self.check_failed("on the joined machine.*fsync-w.*Input/output error")

    def test_stores_into_a_mapping_that_find_no_room(self):
        agent = self.agent("writer")
        agent("""
            import mmap
            os.mkdir(d)
            open(d + '/good', 'wb').write(b'good')
            fd = os.open(d + '/full-m', os.O_RDWR | os.O_CREAT)
            os.ftruncate(fd, 8192)
            view = mmap.mmap(fd, 8192)
            view[:] = b'x' * 8192
            for end in (view.close, lambda: os.close(fd)):
                try:
                    end()
                except OSError:
                    pass
            """, d=self.path)
        result = self.ctl("seal", self.path, trial="writer", expect=3)
        self.assertIn("No space left on device", result.err)
        self.check_failed("full-m.*No space left")

    def test_next_generation_is_sealed(self):
        agent = self.write("close-w", ["close"])
        self.ctl("seal", self.path, trial="writer", expect=3)
        agent.exit()
        self.agent("writer")("os.mkdir(d); open(d + '/good', 'wb').write(b'good')", d=self.path)
        self.ctl("seal", self.path, trial="writer")
        self.assertEqual(self.agent("reader")("open(d + '/good', 'rb').read()", d=self.path), b"good")


@in_modes(ROOT)
class Unanswered(Losing):
    """What sealfs's own records meet. The export gives no locks, so that other machines go by a heartbeat, which goes on."""

    def setUp(self):
        super().setUp()
        self.second = self.second_mount("heartbeat=1", name="another machine").path
        self.agent("other")("os.mkdir(d); open(d + '/a', 'wb').write(b'x')", d=self.point + "/other")

    def break_export(self, how):
        with open(os.path.join(self.store, how), "w"):
            pass

    def mend_export(self, how):
        os.unlink(os.path.join(self.store, how))

    def test_end_that_can_not_be_recorded_is_tried_again(self):
        self.agent("writer")("os.mkdir(d); open(d + '/good', 'wb').write(b'good')", d=self.path)
        elsewhere = self.agent("reader").start("os.listdir(d)", d=self.second + "/c").parked()
        here = self.agent("reader").start("os.listdir(d)", d=self.path).parked()
        self.break_export("no-ends")
        self.sealctl("abandon", "--reason", "no good", self.path, trial="writer")
        here.fails("EOWNERDEAD")
        elsewhere.parked()
        self.mend_export("no-ends")
        elsewhere.fails("EOWNERDEAD")
        with open(self.store + "/.sealfs/state/c/1.end") as file:
            self.assertIn("no good", file.read())

    def test_claim_that_was_made_in_spite_of_an_error_is_ended_by_who_made_it(self):
        self.break_export("late-records")
        self.assertEqual(self.agent("writer").error("os.mkdir(d)", d=self.path), "EIO")
        self.mend_export("late-records")
        self.assertTrue(os.path.exists(self.store + "/.sealfs/state/c/1.claim"))
        elsewhere = self.agent("reader").start("os.listdir(d)", d=self.second + "/c").parked()
        self.agent("writer")("os.mkdir(d)", d=self.path)  # the trial's next attempt
        elsewhere.fails("EOWNERDEAD")
        self.assertEqual(self.status(self.path)["generation"], 2)

    def test_claim_that_was_made_in_spite_of_an_error_is_ended_though_nobody_asks_for_it_again(self):
        self.break_export("late-records")
        self.assertEqual(self.agent("writer").error("os.mkdir(d)", d=self.path), "EIO")
        elsewhere = self.agent("reader").start("os.listdir(d)", d=self.second + "/c").parked()
        self.mend_export("late-records")
        elsewhere.fails("EOWNERDEAD")
        with open(self.store + "/.sealfs/state/c/1.end") as file:
            self.assertIn("its claim was made, but the export answered with an error", file.read())


if __name__ == "__main__":
    main()
