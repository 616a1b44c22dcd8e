#!/usr/bin/python3
"""The control channel of include/sealfs/control.h, spoken byte by byte: what tools rely on, and what malformed calls get."""

import json
import os

from harness import (ALL_MODES, CALL_ABANDON, CALL_CLAIM, CALL_INFO, CALL_MORE, CALL_REMOVE, CALL_RESERVE, CALL_RUN_BEGIN, CALL_RUN_END, CALL_SEAL, CALL_STATUS,
                     CALL_TEXT, CALL_WAIT, DAEMON, SealfsTest, in_modes, main, until)

EBUSY, ENOENT, EOWNERDEAD = -16, -2, -130


class Channel(SealfsTest):
    def setUp(self):
        super().setUp()
        self.running = self.mount()

    def channel(self, trial="tuner"):
        agent = self.agent(trial)
        agent("fd = os.open(p, os.O_RDONLY | os.O_DIRECTORY)", p=self.point)
        return agent

    def call(self, agent, operation, expect=0, **fields):
        result, text, _ = agent("control(fd, op, **f)", op=operation, f=fields)
        self.assertEqual(result, expect, text)
        reply = json.loads(text) if text else None
        if result:
            self.assertTrue(reply["error"])
        return reply

    def make(self, name="p", trial="parent"):
        agent = self.channel(trial)
        agent("os.mkdir(p + '/' + n); open(p + '/' + n + '/a', 'w').write('x')", p=self.point, n=name)
        return agent


@in_modes(*ALL_MODES)
class Calls(Channel):
    def test_info(self):
        info = self.call(self.channel(), CALL_INFO)
        self.assertEqual((info["depth"], info["export"], info["pid"]), (1, self.export, self.running.pid))
        for key in ("version", "verify", "wait_timeout", "fuse"):
            self.assertIn(key, info)
        for key in ("passthrough", "exit_info", "allow_other"):
            self.assertIsInstance(info[key], bool)
        self.assertEqual(info["allow_other"], self.mode.owner == 0)

    def test_life_of_a_checkpoint(self):
        tuner, parent = self.channel(), self.channel("parent")
        self.assertEqual(self.call(tuner, CALL_RESERVE, path="p", writer="parent"), {"path": "p", "generation": 1})
        waiting = tuner.start("control(fd, op, path='p')", op=CALL_WAIT).parked()
        self.assertEqual(self.call(parent, CALL_CLAIM, path="p")["generation"], 1)
        self.assertIs(parent("os.path.exists(d)", d=self.point + "/p"), False)
        parent("os.mkdir(d); open(d + '/a', 'w').write('xyz')", d=self.point + "/p")
        sealed = self.call(parent, CALL_SEAL, path="p")
        self.assertEqual((sealed["path"], sealed["files"], sealed["bytes"], sealed["generation"]), ("p", 1, 3, 1))
        result, text, _ = waiting.value()
        self.assertEqual((result, json.loads(text)["root"]), (0, sealed["root"]))
        (status,) = self.call(tuner, CALL_STATUS, path="p")
        self.assertEqual((status["state"], status["root"]), ("sealed", sealed["root"]))
        self.call(tuner, CALL_REMOVE, path="p")
        self.assertIs(parent("os.path.exists(d)", d=self.point + "/p"), False)

    def test_seal_while_written_is_busy_and_says_by_whom(self):
        parent = self.make()
        parent("file = open(d + '/a', 'a')", d=self.point + "/p")
        reply = self.call(parent, CALL_SEAL, expect=EBUSY, path="p")
        self.assertIn(str(parent.pid), reply["error"])

    def test_abandon_and_wait(self):
        self.make()
        tuner = self.channel()
        self.call(tuner, CALL_ABANDON, path="p", detail="not a number")
        self.call(tuner, CALL_WAIT, expect=EOWNERDEAD, path="p")
        (status,) = self.call(tuner, CALL_STATUS, path="p")
        self.assertIn("not a number", status["reason"])

    def test_wait_of_nothing(self):
        self.call(self.channel(), CALL_WAIT, expect=ENOENT, path="nothing")

    def test_claim_for_another_trial(self):
        self.call(self.channel(), CALL_CLAIM, path="p", trial="worker")
        (status,) = self.call(self.channel(), CALL_STATUS, path="p")
        self.assertEqual((status["state"], status["writer"]), ("open", "worker"))

    def test_run_that_ends_well(self):
        wrapper, parent = self.channel("wrapper"), self.agent("parent")
        self.call(wrapper, CALL_RUN_BEGIN, trial="parent")
        parent("os.mkdir(d); open(d + '/a', 'w').write('xyz')", d=self.point + "/p")
        parent.exit(0)
        reply = self.call(wrapper, CALL_RUN_END, trial="parent")
        self.assertEqual([entry["path"] for entry in reply["sealed"]], ["p"])
        self.assertEqual((reply["failed"], self.state(self.point + "/p")), ([], "sealed"))

    def test_run_that_ends_badly(self):
        wrapper, parent = self.channel("wrapper"), self.agent("parent")
        self.call(wrapper, CALL_RUN_BEGIN, trial="parent")
        parent("os.mkdir(d); open(d + '/a', 'w').write('xyz')", d=self.point + "/p")
        parent.exit(0)
        reply = self.call(wrapper, CALL_RUN_END, trial="parent", detail="exit status 3")
        self.assertEqual([entry["path"] for entry in reply["failed"]], ["p"])
        self.assertIn("exit status 3", self.status(self.point + "/p")["reason"])

    def test_run_decides_and_not_the_exit_of_a_process(self):
        """While a wrapper lives, the end of the trial's processes alone seals nothing."""
        wrapper, parent = self.channel("wrapper"), self.agent("parent")
        self.call(wrapper, CALL_RUN_BEGIN, trial="parent")
        parent("os.mkdir(d); open(d + '/a', 'w').write('xyz')", d=self.point + "/p")
        parent.exit(0)
        self.assertEqual(self.state(self.point + "/p"), "open")
        another = self.agent("parent")
        another("open(d + '/b', 'w').write('more')", d=self.point + "/p")
        another.exit(0)
        self.assertEqual(self.state(self.point + "/p"), "open")
        self.call(wrapper, CALL_RUN_END, trial="parent")
        self.assertEqual(self.agent("child")("sorted(os.listdir(d))", d=self.point + "/p"), ["a", "b"])

    def test_closed_without_an_end_is_a_failure(self):
        wrapper, parent = self.channel("wrapper"), self.agent("parent")
        self.call(wrapper, CALL_RUN_BEGIN, trial="parent")
        parent("os.mkdir(d); open(d + '/a', 'w').write('xyz')", d=self.point + "/p")
        waiting = self.agent("child").start("os.listdir(d)", d=self.point + "/p").parked()
        wrapper("os.close(fd)")
        waiting.fails("EOWNERDEAD")

    def test_signal_ends_a_parked_call_with_eintr(self):
        self.make()
        tuner = self.channel()
        tuner("signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(InterruptedError(4, 'interrupted')))")
        waiting = tuner.start("control(fd, op, path='p')", op=CALL_WAIT).parked()
        tuner.signal(10)
        waiting.fails("EINTR")
        until(lambda: self.status(self.point + "/p")["waiters"] == [], "the waiter to be forgotten")

    def test_end_of_a_run_that_a_signal_broke_off_goes_on_when_it_is_asked_again(self):
        wrapper, parent = self.channel("wrapper"), self.agent("parent")
        self.call(wrapper, CALL_RUN_BEGIN, trial="parent")
        parent("os.mkdir(d); file = open(d + '/a', 'w'); file.write('xyz')", d=self.point + "/p")
        parent("os.mkdir(d); open(d + '/a', 'w').write('xyz')", d=self.point + "/q")
        wrapper("signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(InterruptedError(4, 'interrupted')))")
        for _ in range(2):
            ending = wrapper.start("control(fd, op, trial='parent')", op=CALL_RUN_END).parked()
            wrapper.signal(10)
            ending.fails("EINTR")
        parent("file.close()")
        reply = self.call(wrapper, CALL_RUN_END, trial="parent")
        self.assertEqual(sorted(entry["path"] for entry in reply["sealed"]), ["p", "q"])

    def test_wrapper_that_does_not_ask_again_leaves_nothing_behind(self):
        mount, wrapper, parent = self.mounted[0], self.channel("wrapper"), self.agent("parent")
        self.call(wrapper, CALL_RUN_BEGIN, trial="parent")
        parent("os.mkdir(d); file = open(d + '/a', 'w'); file.write('xyz')", d=self.point + "/p")
        wrapper("signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(InterruptedError(4, 'interrupted')))")
        ending = wrapper.start("control(fd, op, trial='parent')", op=CALL_RUN_END).parked()
        wrapper.signal(10)
        ending.fails("EINTR")
        wrapper("os.close(fd)")
        parent("file.close()")
        self.await_state(self.point + "/p", "sealed")
        mount.unmount()  # what the sanitizers find is an exit status of its own

    def test_long_reply_comes_in_pieces(self):
        agent = self.channel("many")
        agent("[os.mkdir('%s/a-rather-long-name-of-a-checkpoint-%04d' % (p, n)) for n in range(200)]", p=self.point)
        result, text, total = agent("control(fd, op)", op=CALL_STATUS)
        self.assertEqual(result, 0)
        self.assertGreater(total, CALL_TEXT)
        while len(text) < total:
            result, more, again = agent("control(fd, op, offset=n)", op=CALL_MORE, n=len(text))
            self.assertEqual((result, again), (0, total))
            self.assertTrue(more)
            text += more
        self.assertEqual(len(json.loads(text)), 200)

    def test_other_directories_of_the_mount_do_as_well(self):
        parent = self.make()
        parent("fd2 = os.open(p + '/p', os.O_RDONLY | os.O_DIRECTORY)", p=self.point)
        result, text, _ = parent("control(fd2, op)", op=CALL_INFO)
        self.assertEqual((result, json.loads(text)["depth"]), (0, 1))


@in_modes(DAEMON)
class Malformed(Channel):
    def check(self, **fields):
        agent = self.channel()
        error = agent.error("control(fd, **f)", f=fields)
        if error is None:
            result, text, _ = agent("control(fd, **f)", f=fields)
            self.assertLess(result, 0, text)
        else:
            self.assertIn(error, ("EINVAL", "ENOTTY"))
        agent.close()
        self.assertTrue(self.running.process.running())

    def test_calls(self):
        good = b"p\0\0\0\0"
        for name, fields in {
                "unknown operation": {"operation": 99}, "operation 0": {"operation": 0}, "version 0": {"operation": CALL_INFO, "version": 0},
                "version of the future": {"operation": CALL_INFO, "version": 2}, "size beyond the buffer": {"operation": CALL_STATUS, "size": CALL_TEXT + 1},
                "huge size": {"operation": CALL_STATUS, "size": 0xFFFFFFFF}, "no strings": {"operation": CALL_SEAL, "text": b""},
                "three strings": {"operation": CALL_SEAL, "text": b"p\0\0\0"}, "not closed": {"operation": CALL_SEAL, "text": good + b"x", "size": 4},
                "five strings": {"operation": CALL_SEAL, "text": good + b"x\0"}, "text without any nul": {"operation": CALL_SEAL, "text": b"x" * CALL_TEXT},
                "empty path": {"operation": CALL_SEAL, "path": ""}, "path of dots": {"operation": CALL_SEAL, "path": ".."}, "absolute path": {"operation": CALL_SEAL, "path": "/p"},
                "path upwards": {"operation": CALL_SEAL, "path": "../p"}, "path too deep": {"operation": CALL_SEAL, "path": "p/q"}, "hidden path": {"operation": CALL_SEAL, "path": ".sealfs"},
                "sidecar": {"operation": CALL_RESERVE, "path": ".x.seal"}, "path too long": {"operation": CALL_RESERVE, "path": "n" * 300},
                "path with a slash at its end": {"operation": CALL_RESERVE, "path": "p//"}, "end of no run": {"operation": CALL_RUN_END, "trial": "nobody"},
        }.items():
            with self.subTest(name):
                self.check(**fields)
        self.assertEqual(os.listdir(self.exported(".sealfs/state")), [])

    def test_of_another_file_system(self):
        agent = self.agent("x")
        agent("fd = os.open('/tmp', os.O_RDONLY)")
        self.assertEqual(agent.error("control(fd, 1)"), "ENOTTY")

    def test_other_ioctls(self):
        agent = self.channel()
        for request in (0x5401, 0xC0045E00, 0x80086601, 0xFFFFFFFF):
            self.assertIn(agent.error("fcntl.ioctl(fd, r, bytearray(64))", r=request), ("ENOTTY", "EINVAL", "ENOSYS", "EFAULT"))
        for offset in (10, 1 << 60):
            result, text, _ = agent("control(fd, op, offset=n)", op=CALL_MORE, n=offset)
            self.assertTrue(result < 0 or text == b"", text)
        self.assertTrue(self.running.process.running())


if __name__ == "__main__":
    main()
