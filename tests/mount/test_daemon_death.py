#!/usr/bin/python3
"""The daemon is killed while readers wait and a writer writes: nobody hangs, nothing false is ever read."""

import os
import signal

from harness import ALL_MODES, SealfsTest, all_parked, in_modes, main, mounts, pattern, until

SEALED, HALF = pattern(100_000, 1), pattern(100_000, 2)
GONE = ("ECONNABORTED", "ENOTCONN")


@in_modes(*ALL_MODES)
class Kill_9(SealfsTest):
    def begin(self):
        mount = self.mount()
        self.agent("old")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.point + "/done", data=SEALED)
        self.ctl("seal", self.point + "/done", trial="old")
        writer = self.agent("parent")
        writer("os.mkdir(d); file = open(d + '/a', 'wb', buffering=0); file.write(data)", d=self.point + "/half", data=HALF)
        self.reserve(self.point + "/promised", writer="later")
        readers = [self.agent("child").start(code, p=self.point) for code in (
            "open(p + '/half/a', 'rb').read()", "os.stat(p + '/half/never')", "os.listdir(p + '/half')", "open(p + '/promised/x/y')")]
        all_parked(*readers)
        return mount, writer, readers

    def mount_again(self, mount):
        mount.clear()
        return self.mount()

    def check_after(self):
        child = self.agent("child2")
        self.assertEqual(child("open(p + '/done/a', 'rb').read()", p=self.point), SEALED)
        child.start("open(p + '/half/a', 'rb').read()", p=self.point).fails("EOWNERDEAD")
        child.start("os.listdir(p + '/half')", p=self.point).fails("EOWNERDEAD")
        self.assertEqual([self.state(self.point + "/" + name) for name in ("done", "half", "promised")], ["sealed", "failed", "pending"])

    def test_waiters_get_an_error_and_nobody_is_unkillable(self):
        mount, writer, readers = self.begin()
        mount.kill()
        for call in readers:
            call.fails(*GONE)
        # where the kernel writes by itself this may even succeed; it must end
        writer.start("file.write(b'more'); os.fsync(file.fileno())").finish()
        writer.start("file.close()").finish()
        self.assertIn(writer.error("open(d + '/half/b', 'w')", d=self.point), GONE)
        for agent in [writer] + [call.agent for call in readers]:
            agent.kill(signal.SIGKILL, patience=10)

    def test_after_a_new_mount_the_unsealed_is_failed_and_the_sealed_untouched(self):
        mount, writer, readers = self.begin()
        mount.kill()
        for call in readers:
            call.finish()
        self.mount_again(mount)
        self.check_after()

    def test_writer_that_lives_on_does_not_seal_the_rest(self):
        mount, writer, readers = self.begin()
        mount.kill()
        self.mount_again(mount)
        self.agent("child").start("open(p + '/half/a', 'rb').read()", p=self.point).fails("EOWNERDEAD")
        self.assertIn(writer.error("open(d + '/half/b', 'w')", d=self.point), ("EOWNERDEAD",))
        writer.exit(0)
        self.check_after()

    def test_new_mount_over_the_dead_one_names_the_remedy(self):
        mount, _, _ = self.begin()
        mount.kill()
        result = self.run_program([os.path.join(os.path.dirname(self.sealctl_path), "sealfs"), self.export, self.point], uid=self.mode.owner)
        self.assertNotEqual(result.status, 0, result)
        self.assertRegex(result.err, r"fusermount3? -u|umount")
        self.assertIn(self.point, result.err)

    def test_killed_while_sealing_leaves_open_or_sealed(self):
        """Killed at any moment of a seal: the checkpoint is sealed with all its bytes, or failed; never half."""
        outcomes = []
        for count in range(6):
            mount = self.mount()
            name = "c%d" % count
            writer = self.agent("parent")
            writer("os.mkdir(d); [open(d + '/%d' % n, 'wb').write(data) for n in range(20)]", d=self.point + "/" + name, data=SEALED)
            sealing = writer.start("subprocess.run([ctl, 'seal', d], env=dict(os.environ, SEALFS_TRIAL='parent'), capture_output=True).returncode",
                                   ctl=self.sealctl_path, d=self.point + "/" + name)
            if count % 2:  # every second time let most of it happen
                until(lambda: os.path.exists(self.exported(name, ".seal")) or sealing.done(), "the seal's last part")
            mount.kill()
            sealing.finish()
            self.mount_again(mount)
            reader = self.agent("child")
            call = reader.start("[open(d + '/%d' % n, 'rb').read() for n in range(20)]", d=self.point + "/" + name)
            error = call.error()
            outcomes.append(error)
            self.assertIn(error, (None, "EOWNERDEAD"))
            if error is None:
                self.assertEqual(call.value(), [SEALED] * 20)
            self.assertEqual(self.state(self.point + "/" + name), "failed" if error else "sealed")
            writer.close()
            self.mounted[-1].unmount()
        print("%s: %r" % (self.id(), outcomes))

    def test_killed_while_sealing_plain_data_leaves_them_plain_or_sealed(self):
        for count in range(4):
            mount = self.mount()
            path = self.point + "/plain%d" % count
            self.give(self.make_plain("plain%d" % count))
            sealing = self.agent("parent").start("subprocess.run([ctl, 'seal', d], capture_output=True).returncode", ctl=self.sealctl_path, d=path)
            claim = self.exported(".sealfs/state/plain%d" % count)
            until(lambda: os.path.exists(claim + "/1.claim") or sealing.done(), "the seal to begin")
            mount.kill()
            sealing.finish()
            self.mount_again(mount)
            self.assertEqual(self.agent("child").start("[open(d + '/%d' % n, 'rb').read() == data for n in range(20)]", d=path, data=SEALED).value(),
                             [True] * 20)
            self.assertIn(self.state(path), ("plain", "sealed"))
            self.mounted[-1].unmount()

    def make_plain(self, name):
        os.mkdir(self.exported(name))
        for number in range(20):
            with open(self.exported(name, str(number)), "wb") as file:
                file.write(SEALED)
        return self.exported(name)


@in_modes(*ALL_MODES)
class Terminated(SealfsTest):
    def test_sigterm_wakes_all_and_unmounts(self):
        mount = self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/p")
        calls = [self.agent("child").start(code, d=self.point + "/p") for code in ("open(d + '/a').read()", "os.stat(d + '/b')", "os.listdir(d)")]
        all_parked(*calls)
        mount.unmount()
        for call in calls:
            self.assertIsNotNone(call.error())
        self.assertNotIn(self.point, mounts())

    def test_mount_and_unmount_keep_reservations_and_seals(self):
        mount = self.mount()
        self.agent("old")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/done")
        self.ctl("seal", self.point + "/done", trial="old")
        self.reserve(self.point + "/promised", writer="later")
        mount.unmount()
        self.mount()
        self.assertEqual(self.agent("child")("open(d + '/a').read()", d=self.point + "/done"), "x")
        call = self.agent("child").start("open(d + '/a').read()", d=self.point + "/promised").parked()
        self.agent("later")("os.mkdir(d); open(d + '/a', 'w').write('y')", d=self.point + "/promised")
        self.ctl("seal", self.point + "/promised", trial="later")
        self.assertEqual(call.value(), "y")

    def test_ordinary_unmount_ends_the_daemon(self):
        mount = self.mount()
        command = ["umount", self.point] if self.mode.owner == 0 else ["fusermount3", "-u", self.point]
        result = self.run_program(command, uid=self.mode.owner)
        self.assertEqual(result.status, 0, result)
        self.assertEqual(mount.process.wait(), 0, mount.log())


if __name__ == "__main__":
    main()
