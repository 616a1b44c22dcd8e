#!/usr/bin/python3
# time limit: 180
"""tell_end.py: a script that has ended well is sealed while its interpreter is still taken apart, and by nothing less than that."""

import os
import signal

from harness import DAEMON, PYTHON, SealfsTest, TOP, children, in_modes, main, program, until

TELL_END = os.path.join(TOP, "tools/python/tell_end.py")

SAVE = """
import os, sys
print("begun", __name__, sys.argv, sys.path[0] == os.path.dirname(os.path.abspath(__file__)), sys.modules["__main__"].__dict__ is globals(), flush=True)
path = os.environ["SAVE"]
os.makedirs(path, exist_ok=True)
with open(path + "/model", "wb") as file:
    file.write(b"weights")
"""
# taken apart last of all, and only when the test says so
LINGER = """
class Late:
    def __del__(self, open=open, os=os, gate=os.environ["GATE"]):
        with open(gate) as file:
            exec(file.read(), {"os": os})
late = Late()
"""


@in_modes(DAEMON)
class TellEnd(SealfsTest):
    def setUp(self):
        super().setUp()
        self.running = self.mount()
        self.path, self.gate, self.script = self.point + "/parent", self.tmp + "/gate", self.tmp + "/train.py"
        os.mkfifo(self.gate)
        self.reserve(self.path)

    def write(self, code):
        with open(self.script, "w") as file:
            file.write(code)

    def run_command(self, *command, **env):
        return self.spawn([program("sealctl"), "run", "--trial", "parent", "--", *command], env={"SAVE": self.path, "GATE": self.gate, **env})

    def run_script(self, code, *arguments):
        self.write(code)
        return self.run_command(PYTHON, TELL_END, self.script, *arguments)

    def descriptor(self, run, name):
        """Of the script."""
        found = [fd for pid in children(run.pid) for fd in os.listdir("/proc/%d/fd" % pid)
                 if os.readlink("/proc/%d/fd/%s" % (pid, fd)).endswith("/" + name)]
        return int(found[0])

    def is_pending(self, run):
        with open("/proc/%d/status" % run.pid) as file:
            return any(int(line.split()[1], 16) >> (signal.SIGRTMIN - 1) & 1 for line in file if line.startswith(("SigPnd", "ShdPnd")))

    def reader(self):
        return self.agent("child").start("open(p, 'rb').read()", p=self.path + "/model")

    def let_go(self, code=""):
        with open(self.gate, "w") as gate:
            gate.write(code)

    def test_who_waits_goes_on_when_the_script_has_ended_not_its_process(self):
        waiting = self.reader().parked()
        run = self.run_script(SAVE + LINGER)
        self.assertEqual(waiting.value(), b"weights")
        self.assertTrue(run.running())
        self.let_go()
        self.assertEqual(run.wait(), 0, run.output())
        self.assertIn("sealed 'parent'", run.output())

    def test_script_finds_all_as_python_alone_has_it(self):
        run = self.run_script(SAVE, "--lr", "0.1")
        self.assertEqual(run.wait(), 0, run.output())
        self.assertIn("begun __main__ %r True True" % [self.script, "--lr", "0.1"], run.output())

    def test_module(self):
        self.write(SAVE)
        run = self.run_command("sh", "-c", "cd %s && exec %s %s -m train --lr 0.1" % (self.tmp, PYTHON, TELL_END))
        self.assertEqual(run.wait(), 0, run.output())
        self.assertIn("'--lr', '0.1'] True True", run.output())
        self.assertEqual(self.state(self.path), "sealed")

    def test_without_the_wrapper_nothing_changes(self):
        self.write(SAVE + "sys.exit(4)")
        result = self.run_program([PYTHON, TELL_END, self.script], trial="parent", env={"SAVE": self.path, "GATE": self.gate})
        self.assertEqual(result.status, 4, result)

    def test_what_is_saved_at_exit_and_by_threads_is_in_the_seal(self):
        run = self.run_script(SAVE + """
import atexit, threading, time
def save(name):
    time.sleep(0.2)
    with open(path + "/" + name, "w") as file:
        file.write(name)
atexit.register(save, "by atexit")
threading.Thread(target=save, args=("by thread",)).start()
""" + LINGER)
        self.await_state(self.path, "sealed")
        self.assertEqual(sorted(os.listdir(self.path)), ["by atexit", "by thread", "model"])
        self.let_go()
        self.assertEqual(run.wait(), 0, run.output())

    def test_file_that_is_still_open_holds_the_seal_up(self):
        run = self.run_script(SAVE + LINGER + """
log = os.open(path + "/log", os.O_WRONLY | os.O_CREAT)
""")
        until(lambda: "open for writing" in run.output(), lambda: "that it waits:\n" + run.output())
        self.assertEqual(self.state(self.path), "open")
        self.let_go("os.write(%d, b'written late')" % self.descriptor(run, "log"))
        self.assertEqual(run.wait(), 0, run.output())
        with open(self.path + "/log") as file:
            self.assertEqual(file.read(), "written late")

    def check_failed(self, code, status):
        waiting = self.reader().parked()
        run = self.run_script(SAVE + code)
        waiting.fails("EOWNERDEAD")
        self.assertEqual(run.wait(), status, run.output())
        self.assertIn("abandoned 'parent'", run.output())

    def test_exception(self):
        self.check_failed("raise ValueError(1)", 1)

    def test_status(self):
        self.check_failed("sys.exit(3)", 3)

    def test_message_instead_of_a_status(self):
        self.check_failed("sys.exit('no data')", 1)

    def test_float_is_no_status(self):
        self.check_failed("sys.exit(0.0)", 1)

    def test_exit_behind_its_back(self):
        self.check_failed("os._exit(5)", 5)

    def test_output_that_is_lost(self):
        self.check_failed("os.dup2(os.open('/dev/full', os.O_WRONLY), 1); print('result')", 120)

    def test_process_that_breaks_down_afterwards_is_told(self):
        for code, status, word in (("os._exit(9)", 9, "exit status 9"), ("os.kill(os.getpid(), 11)", 139, "SIGSEGV")):
            with self.subTest(status):
                self.path = "%s/%d" % (self.point, status)
                run = self.run_script(SAVE + LINGER)
                self.await_state(self.path, "sealed")
                self.let_go(code)
                self.assertEqual(run.wait(), status, run.output())
                self.assertIn(word, run.output())

    def test_process_that_the_script_forks_says_nothing(self):
        self.check_failed("""
if os.fork() == 0:
    sys.exit(0)
os.wait()
sys.exit(6)
""", 6)

    def test_command_is_more_than_its_script(self):
        self.write(SAVE)
        run = self.run_command("sh", "-c", '%s %s %s && echo second >"$SAVE/second" && cat "$GATE"' % (PYTHON, TELL_END, self.script))
        until(lambda: os.path.exists(self.export + "/parent/second"), lambda: "the second file")
        self.assertEqual(self.state(self.path), "open")
        self.let_go()
        self.assertEqual(run.wait(), 0, run.output())
        self.assertEqual(sorted(os.listdir(self.path)), ["model", "second"])

    def test_signal_of_another_process_says_nothing(self):
        self.write("import os, signal; os.kill(int(os.environ['SEALCTL_RUN']), signal.SIGRTMIN)")
        run = self.run_command("sh", "-c", 'mkdir "$SAVE" && %s %s && echo 1 >"$SAVE/1" && cat "$GATE" && echo 2 >"$SAVE/2"' % (PYTHON, self.script))
        until(lambda: os.path.exists(self.export + "/parent/1"), lambda: "the signal was sent")
        until(lambda: not self.is_pending(run), lambda: "the signal was read")
        self.let_go()
        self.assertEqual(run.wait(), 0, run.output())
        self.assertEqual(sorted(os.listdir(self.path)), ["1", "2"])

    def test_wrong_use(self):
        for words, said in (([], "the script is missing"), (["-m"], "the module is missing"), (["-c", "pass"], "'-c': options of python3 come before"),
                            ([self.tmp + "/none.py"], "cannot read '%s/none.py': No such file" % self.tmp)):
            result = self.run_program([PYTHON, TELL_END, *words])
            self.assertEqual(result.status, 2, result)
            self.assertIn(said, result.err)
            self.assertNotIn("Traceback", result.err)


if __name__ == "__main__":
    main()
