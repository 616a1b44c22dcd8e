#!/usr/bin/python3
# time limit: 300
"""How a trial ends, well or badly, with the wrapper and without, and what those who wait for it get."""

import gzip
import os
import signal
import time

from harness import ALL_MODES, DAEMON, PYTHON, ROOT, SealfsTest, in_modes, main, pattern, task_state, until

PROMPT = 1.0  # seconds from the exit to the waiter's error; 0.1 is what is promised, the machine may be busy
MODEL = pattern(200_000, 4)

SAVE = """
import os, sys
d = sys.argv[1]
os.makedirs(d, exist_ok=True)
with open(d + "/model.bin", "wb") as file:
    file.write(b"weights" * 1000)
"""
WEIGHTS = b"weights" * 1000


class Ends(SealfsTest):
    def setUp(self):
        super().setUp()
        self.running = self.mount()
        self.path = self.point + "/parent"

    def reader(self, name="model.bin", path=None):
        return self.agent("child").start("open(d + '/' + n, 'rb').read()", d=path or self.path, n=name)

    def waiting_reader(self, name="model.bin"):
        self.reserve(self.path)
        return self.reader(name).parked()

    def check_died(self, call, end):
        """The waiter got EOWNERDEAD, promptly after `end`."""
        call.fails("EOWNERDEAD")
        late = call.ended - end
        print("%s: EOWNERDEAD %.1f ms after the exit" % (self.id().split(".", 1)[1], late * 1000))
        self.assertLess(late, PROMPT)

    def check_log(self, *words):
        """Some line says who and why."""
        def look():
            return [line for line in self.running.log().splitlines() if all(word in line for word in ("parent",) + words)]
        until(look, lambda: "a line with %r in the log" % (words,), 5)

    def check_killed_in_log(self):
        def look():
            return [line for line in self.running.log().splitlines() if "parent" in line and ("SIGKILL" in line or "signal 9" in line)]
        until(look, lambda: "a line that names the signal:\n" + self.running.log(), 5)

    def script(self, code, *arguments, trial="parent", **more):
        return self.python(code, self.path, *arguments, trial=trial, **more)


@in_modes(*ALL_MODES)
class Well_without_wrapper(Ends):
    def setUp(self):
        super().setUp()
        self.need_exit_info()

    def test_exit_0_seals(self):
        child = self.waiting_reader()
        parent = self.script(SAVE)
        self.assertEqual(parent.wait(), 0)
        self.assertEqual(child.value(), WEIGHTS)
        status = self.status(self.path)
        self.assertEqual((status["state"], status["writer"], status["generation"]), ("sealed", "parent", 1))
        self.assertRegex(status["root"], r"^sha256:[0-9a-f]{64}$")

    def test_reading_script_and_writing_script_know_nothing(self):
        """Both are processes of their own, the child is first."""
        self.reserve(self.path)
        child = self.python("""
            import os, sys
            assert os.path.isfile(sys.argv[1] + "/model.bin"), "started from nothing"
            print(len(open(sys.argv[1] + "/model.bin", "rb").read()))
            """, self.path, trial="child")
        child.parked()
        self.assertEqual(self.script(SAVE).wait(), 0)
        self.assertEqual((child.wait(), child.output()), (0, "7000\n"))

    def test_report_first_and_save_after(self):
        """NNI's own example reports its final result before it even makes its directory."""
        child = self.agent("child")
        self.reserve(self.path)
        guard = child.start("os.path.isfile(d + '/model.bin')", d=self.path).parked()
        parent = self.script("""
            import sys
            print("final result: 0.97", flush=True)
            sys.stdin.readline()
            """ + SAVE.replace("\n", "\n            "), stdin=self.gate())
        until(lambda: "final" in parent.output(), "the report")
        guard.parked()
        self.open_gate()
        self.assertEqual(parent.wait(), 0)
        self.assertIs(guard.value(), True)

    def gate(self):
        """A pipe that is a script's standard input: it goes on when the test says so."""
        reading, self.gate_fd = os.pipe()
        self.addCleanup(os.close, reading)
        return reading

    def open_gate(self):
        os.write(self.gate_fd, b"\n")
        os.close(self.gate_fd)

    def test_main_thread_ends_long_before_the_one_that_saves(self):
        child = self.waiting_reader()
        parent = self.script("""
            import ctypes, os, sys, threading
            def late():
                sys.stdin.readline()
                os.makedirs(sys.argv[1])
                with open(sys.argv[1] + "/model.bin", "wb") as file:
                    file.write(b"weights" * 1000)
                assert os.listdir(sys.argv[1]) == ["model.bin"]
                os._exit(0)
            threading.Thread(target=late).start()
            SYS_exit = 60 if os.uname().machine == "x86_64" else 93
            ctypes.CDLL(None).syscall(SYS_exit, 0)
            """, stdin=self.gate())
        until(lambda: self.main_thread_is_gone(parent.pid), "the end of the main thread")
        child.parked()
        self.open_gate()
        self.assertEqual(parent.wait(), 0)
        self.assertEqual(child.value(), WEIGHTS)

    @staticmethod
    def main_thread_is_gone(pid):
        with open("/proc/%d/status" % pid) as file:
            return "\nState:\tZ" in file.read()

    def test_main_thread_ends_while_another_saves(self):
        child = self.waiting_reader()
        parent = self.script("""
            import ctypes, os, sys, threading
            os.makedirs(sys.argv[1])
            file = open(sys.argv[1] + "/model.bin", "wb")
            file.write(b"wei")
            def late():
                sys.stdin.readline()
                file.write((b"weights" * 1000)[3:])
                file.close()
                open(sys.argv[1] + "/more.bin", "wb").write(b"more")
                os._exit(0)
            threading.Thread(target=late).start()
            SYS_exit = 60 if os.uname().machine == "x86_64" else 93
            ctypes.CDLL(None).syscall(SYS_exit, 0)
            """, stdin=self.gate())
        until(lambda: self.main_thread_is_gone(parent.pid), "the end of the main thread")
        child.parked()
        self.open_gate()
        self.assertEqual(parent.wait(), 0)
        self.assertEqual(child.value(), WEIGHTS)
        self.assertEqual(self.reader("more.bin").value(), b"more")

    def test_helpers_that_write_for_the_trial_and_end_before_it(self):
        child = self.waiting_reader("copy.bin")
        parent = self.agent("parent")
        parent("""
            os.mkdir(d)
            source = scratch + "/source.bin"
            open(source, "wb").write(model)
            subprocess.run(["cp", source, d + "/copy.bin"], check=True)
            child = subprocess.run(["/bin/sh", "-c", 'cd "$1" && tar -C "$2" -cf - source.bin | tar -xf -', "sh", d, scratch], check=True)
            subprocess.run(["mv", d + "/source.bin", d + "/moved.bin"], check=True)
            """, d=self.path, scratch=self.make_scratch(), model=MODEL)
        child.parked()
        self.assertEqual(self.state(self.path), "open")
        parent("open(d + '/last', 'w').write('still the writer')", d=self.path)
        parent.exit(0)
        self.assertEqual(child.value(), MODEL)
        self.assertEqual(self.reader("moved.bin").value(), MODEL)

    def make_scratch(self):
        return self.make_dir("scratch-of-trial", 0o777)

    def test_helper_made_it_all(self):
        """The trial's root never touched the mount itself."""
        child = self.waiting_reader()
        parent = self.agent("parent")
        parent("subprocess.run([sys.executable, '-c', script, d], check=True)", script=SAVE, d=self.path)
        child.parked()
        parent.exit(0)
        self.assertEqual(child.value(), WEIGHTS)

    def test_helper_that_goes_on_after_the_root_is_waited_for(self):
        child = self.waiting_reader()
        done = os.path.join(self.tmp, "go")
        os.mkfifo(done)
        os.chmod(done, 0o666)
        parent = self.spawn_adopted(["/bin/bash", "-c", """
            mkdir "$1"
            { exec >"$1/model.bin"; echo begun; read -r _ <"$2"; echo done; } &
            until [ -s "$1/model.bin" ]; do :; done
            exit 0
            """, "bash", self.path, done], trial="parent")
        until(lambda: not os.path.exists("/proc/%d" % parent.main), "the end of the trial's root")
        child.parked()
        self.assertEqual(self.state(self.path), "open")
        with open(done, "w") as file:
            file.write("\n")
        self.assertEqual(parent.wait(), 0)
        self.assertEqual(child.value(), b"begun\ndone\n")

    def test_helper_that_only_read_may_fail(self):
        child = self.waiting_reader()
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/model.bin', 'wb').write(b'x'); subprocess.run(['grep', '-q', 'y', d + '/model.bin'])", d=self.path)
        parent.exit(0)
        self.assertEqual(child.value(), b"x")

    def test_load_and_save_directory_are_the_same(self):
        """A trial that resumes from where it saves never waits on itself."""
        child = self.waiting_reader()
        parent = self.script("""
            import os, sys
            path = sys.argv[1] + "/model.bin"
            start = int(open(path).read()) if os.path.isfile(path) else 0
            os.makedirs(sys.argv[1], exist_ok=True)
            for step in range(start, 5):
                with open(path + ".tmp", "w") as file:
                    file.write(str(step + 1))
                os.replace(path + ".tmp", path)
                assert int(open(path).read()) == step + 1
            assert os.listdir(sys.argv[1]) == ["model.bin"]
            """)
        self.assertEqual(parent.wait(), 0)
        self.assertEqual(child.value(), b"5")

    def test_trial_that_writes_two_checkpoints_seals_both(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/a', 'w').write('1'); os.mkdir(d + '2'); open(d + '2/b', 'w').write('2')", d=self.path)
        first, second = self.reader("a").parked(), self.reader("b", self.path + "2").parked()
        parent.exit(0)
        self.assertEqual((first.value(), second.value()), (b"1", b"2"))

    def test_process_that_execs_another_program(self):
        child = self.waiting_reader()
        parent = self.spawn(["/bin/sh", "-c", 'mkdir "$1" && printf x >"$1/model.bin" && exec /bin/true', "sh", self.path], trial="parent")
        self.assertEqual(parent.wait(), 0)
        self.assertEqual(child.value(), b"x")

    def test_process_that_execs_under_another_name_is_another_trial(self):
        parent = self.spawn(["/bin/sh", "-c", "mkdir \"$1\" && printf x >\"$1/model.bin\" && exec env SEALFS_TRIAL=other sh -c '! printf y >\"$0/more\"' \"$1\"", "sh", self.path],
                            trial="parent")
        self.assertEqual(parent.wait(), 0)
        self.assertFalse(os.path.exists(os.path.join(self.export, os.path.basename(self.path), "more")))

    def test_file_kept_open_until_the_exit(self):
        child = self.waiting_reader()
        parent = self.agent("parent")
        parent("os.mkdir(d); file = open(d + '/model.bin', 'wb'); file.write(model)", d=self.path, model=MODEL)
        parent.exit(0)
        self.assertEqual(child.value(), MODEL)

    def test_mapping_kept_until_the_exit(self):
        child = self.waiting_reader()
        parent = self.agent("parent")
        parent("""
            import mmap
            os.mkdir(d)
            fd = os.open(d + '/model.bin', os.O_RDWR | os.O_CREAT)
            os.ftruncate(fd, len(model))
            view = mmap.mmap(fd, len(model))
            os.close(fd)
            view[:] = model
            """, d=self.path, model=MODEL)
        parent.exit(0)
        self.assertEqual(child.value(), MODEL)


@in_modes(ROOT, DAEMON)
class Jobs(Ends):
    """Without any variable, a shell's job is the trial."""

    def setUp(self):
        super().setUp()
        self.need_exit_info()

    def test_script_without_identity_seals_at_its_end(self):
        job = self.spawn(["/bin/sh", "-c", """
            mkdir "$1"
            seq 100000 | tee "$1/all" | sort -r | gzip >"$1/sorted.gz"
            read -r _
            exit 0
            """, "sh", self.path], stdin=self.hold())
        until(lambda: os.path.exists(self.exported("parent/sorted.gz")), "the pipeline's output")
        child = self.reader("all").parked()
        self.release()
        self.assertEqual(job.wait(), 0)
        self.assertEqual(child.value(), b"".join(b"%d\n" % number for number in range(1, 100001)))

    def hold(self):
        reading, self.hold_fd = os.pipe()
        self.addCleanup(os.close, reading)
        return reading

    def release(self):
        os.close(self.hold_fd)

    def interactive(self, commands):
        """A shell with job control, which needs a terminal: every pipeline is a process group of its own. Waits at its end for a line in a FIFO."""
        self.need_terminal()
        fifo = os.path.join(self.tmp, "go")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        shell = self.spawn([PYTHON, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", "/bin/bash", "-m", "-c",
                            commands + '\nread -r _ <"$2"', "bash", self.path, fifo], name="interactive shell")
        self.await_state(self.path, "sealed")
        self.assertTrue(shell.running(), shell.output())
        return shell

    def test_pipeline_of_an_interactive_shell_is_a_job_of_its_own(self):
        """Here it makes a checkpoint of one file."""
        self.interactive('seq 1000 | tac | gzip -n >"$1"')
        data = self.agent("child")("open(d, 'rb').read()", d=self.path)
        self.assertEqual(gzip.decompress(data), b"".join(b"%d\n" % number for number in range(1000, 0, -1)))

    def test_job_in_parentheses(self):
        self.interactive('(mkdir "$1" && seq 1000 | tee "$1/up" | tac >"$1/down")')
        self.assertEqual(self.agent("child")("sorted(os.listdir(d))", d=self.path), ["down", "up"])

    def test_job_in_the_background(self):
        self.interactive('(mkdir "$1" && seq 1000 >"$1/up") &')
        self.assertEqual(self.agent("child")("os.listdir(d)", d=self.path), ["up"])

    def test_job_that_fails_is_abandoned(self):
        job = self.spawn(["/bin/sh", "-c", 'mkdir "$1" && echo half >"$1/model.bin" && read -r _; exit 7', "sh", self.path], stdin=self.hold())
        self.await_state(self.path, "open")
        child = self.reader().parked()
        self.release()
        self.assertEqual(job.wait(), 7)
        self.check_died(child, job.ended)


@in_modes(*ALL_MODES)
class Badly_without_wrapper(Ends):
    def setUp(self):
        super().setUp()
        self.need_exit_info()

    def begin(self, **more):
        """A parent that has saved half, and two who wait."""
        self.reserve(self.path)
        child, lister = self.reader().parked(), self.agent("child").start("os.listdir(d)", d=self.path).parked()
        parent = self.agent("parent", **more)
        parent("os.mkdir(d); open(d + '/model.bin', 'wb').write(b'half')", d=self.path)
        child.parked()
        return parent, child, lister

    def test_exit_1(self):
        parent, child, lister = self.begin()
        end = parent.exit(1)
        self.check_died(child, end)
        lister.fails("EOWNERDEAD")
        self.check_log("1")
        status = self.status(self.path)
        self.assertEqual((status["state"], status["writer"]), ("failed", "parent"))
        self.assertTrue(status["reason"])

    def test_later_readers_are_told_at_once(self):
        parent, child, _ = self.begin()
        parent.exit(1)
        child.fails("EOWNERDEAD")
        late = self.agent("late")
        for code in ("open(d + '/model.bin').read()", "os.listdir(d)", "os.stat(d + '/model.bin')"):
            late.start(code, d=self.path).fails("EOWNERDEAD", patience=5)

    def test_sigkill(self):
        parent, child, lister = self.begin()
        end = parent.kill(signal.SIGKILL)
        self.check_died(child, end)
        lister.fails("EOWNERDEAD")
        self.check_killed_in_log()

    def test_sigsegv(self):
        parent, child, _ = self.begin()
        parent("__import__('resource').setrlimit(__import__('resource').RLIMIT_CORE, (0, 0))")
        self.check_died(child, parent.kill(signal.SIGSEGV))

    def test_interrupt_then_kill_as_nni_does(self):
        self.reserve(self.path)
        child = self.reader().parked()
        parent = self.script("""
            import os, sys, time
            os.makedirs(sys.argv[1])
            file = open(sys.argv[1] + "/model.bin", "wb")
            file.write(b"half")
            file.flush()
            print("saving", flush=True)
            while True:
                time.sleep(100)
            """)
        until(lambda: "saving" in parent.output(), "the parent's save")
        self.check_died(child, parent.kill(signal.SIGINT))

    def test_uncaught_exception(self):
        self.reserve(self.path)
        child = self.reader().parked()
        parent = self.script("""
            import os, sys
            os.makedirs(sys.argv[1])
            open(sys.argv[1] + "/model.bin", "wb").write(b"half")
            raise RuntimeError("CUDA out of memory")
            """)
        self.assertEqual(parent.wait(), 1)
        self.check_died(child, parent.ended)

    def test_helper_that_wrote_and_failed_spoils_it(self):
        parent, child, _ = self.begin()
        parent("subprocess.run(['/bin/sh', '-c', 'echo x >\"$1/part\"; exit 3', 'sh', d])", d=self.path)
        child.parked()
        self.check_died(child, parent.exit(0))

    def test_script_fails_but_its_shell_returns_0(self):
        """NNI's run.sh: the identity is in the shell's own environment."""
        self.reserve(self.path)
        child = self.reader().parked()
        shell = self.run_sh(export=False)
        self.assertEqual(shell.wait(), 0)
        self.check_died(child, shell.ended)

    def test_script_fails_but_its_shell_that_exported_the_identity_returns_0(self):
        """NNI's run.sh as it is: the shell sets the variable for its children."""
        self.reserve(self.path)
        child = self.reader().parked()
        shell = self.run_sh(export=True)
        self.assertEqual(shell.wait(), 0)
        self.check_died(child, shell.ended)

    def test_script_succeeds_under_a_run_sh(self):
        for export in (False, True):
            with self.subTest(export=export):
                self.path = self.point + "/parent-%d" % export
                self.reserve(self.path, writer="parent")
                child = self.reader().parked()
                shell = self.run_sh(export=export, code=SAVE)
                self.assertEqual(shell.wait(), 0)
                self.assertEqual(child.value(), WEIGHTS)

    def run_sh(self, export, code="""
import os, sys
os.makedirs(sys.argv[1])
open(sys.argv[1] + "/model.bin", "wb").write(b"half")
sys.exit(1)
"""):
        script = os.path.join(self.tmp, "trial-%d.py" % export)
        with open(script, "w") as file:
            file.write(code)
        run_sh = os.path.join(self.tmp, "run-%d.sh" % export)
        with open(run_sh, "w") as file:
            file.write("#!/bin/bash\n%s\neval \"$1\" \"$2\" \"$3\" >/dev/null 2>&1\necho $? $(date +%%s%%3N) >\"$0.state\"\n" % (
                "export NNI_TRIAL_JOB_ID=parent" if export else ""))
        return self.spawn(["/bin/bash", run_sh, PYTHON, script, self.path], trial={} if export else {"NNI_TRIAL_JOB_ID": "parent"})


@in_modes(*ALL_MODES)
class Wrapper(Ends):
    def run_wrapped(self, code, *options, trial=None, **more):
        return self.sealctl("run", "--trial", "parent", *options, "--", PYTHON, "-c", code, self.path, trial=trial, **more)

    def spawn_wrapped(self, argv, *options, trial=None, **more):
        return self.spawn_adopted([self.sealctl_path, "run", "--trial", "parent", *options, "--"] + argv, trial=trial, **more)

    def test_success_seals_and_says_so_in_one_line(self):
        child = self.waiting_reader()
        result = self.run_wrapped(SAVE)
        self.assertEqual(result.status, 0, result)
        self.assertEqual(child.value(), WEIGHTS)
        lines = [line for line in result.all.splitlines() if "parent" in line]
        self.assertEqual(len(lines), 1, result)
        self.assertRegex(lines[0], "(?i)seal")

    def test_sealed_when_run_returns(self):
        for count in range(5):
            path = self.point + "/p%d" % count
            result = self.sealctl("run", "--trial", "parent", "--", PYTHON, "-c", SAVE, path, trial=None)
            self.assertEqual(result.status, 0, result)
            reader = self.agent("child")
            self.assertEqual(reader.start("open(d + '/model.bin', 'rb').read()", d=path).value(), WEIGHTS)
            self.assertEqual(self.state(path), "sealed")

    def test_identity_may_come_from_the_environment(self):
        result = self.sealctl("run", "--", PYTHON, "-c", SAVE, self.path, trial={"NNI_TRIAL_JOB_ID": "t77"})
        self.assertEqual(result.status, 0, result)
        self.assertEqual(self.status(self.path)["writer"], "t77")

    def test_command_sees_its_identity(self):
        result = self.sealctl("run", "--trial", "t5", "--", "/bin/sh", "-c", 'echo "<$SEALFS_TRIAL>"', trial=None)
        self.assertIn("<t5>", result.out)

    def test_status_of_the_command_is_kept(self):
        child = self.waiting_reader()
        result = self.run_wrapped(SAVE + "sys.exit(42)")
        self.assertEqual(result.status, 42, result)
        child.fails("EOWNERDEAD")
        self.check_log("42")

    def test_death_of_the_command_by_a_signal_is_kept(self):
        child = self.waiting_reader()
        result = self.run_wrapped(SAVE + "os.kill(os.getpid(), 9)")
        self.assertIn(result.status, (128 + 9, -9), result)
        child.fails("EOWNERDEAD")
        self.check_killed_in_log()

    def test_command_that_does_not_exist(self):
        result = self.sealctl("run", "--trial", "parent", "--", "/nonexistent/command", trial=None)
        self.assertNotEqual(result.status, 0)
        self.assertIn("/nonexistent/command", result.err)

    def test_signals_are_forwarded(self):
        # at a terminal ^C reaches the command twice, directly and by the wrapper: here only the wrapper gets it
        child = self.waiting_reader()
        wrapped = self.spawn([self.sealctl_path, "run", "--trial", "parent", "--", PYTHON, "-c", """
import os, signal, sys
os.makedirs(sys.argv[1])
def finish(*_):
    with open(sys.argv[1] + "/model.bin", "w") as file:
        file.write("saved on request")
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
print("ready", flush=True)
while True:
    signal.pause()
""", self.path], env={"PYTHONUNBUFFERED": "1"})
        until(lambda: "ready" in wrapped.output(), "the command's start")
        child.parked()
        wrapped.signal(signal.SIGTERM)
        self.assertEqual(wrapped.wait(), 0, wrapped.output())
        self.assertEqual(child.value(), b"saved on request")

    def test_wrapper_killed(self):
        child = self.waiting_reader()
        wrapped = self.spawn_wrapped([PYTHON, "-c", SAVE + "print('saved', flush=True); sys.stdin.read(); import time; time.sleep(1000)", self.path])
        until(lambda: "saved" in wrapped.output(), "the command's save")
        child.parked()
        end = time.monotonic()
        os.kill(wrapped.main, signal.SIGKILL)
        self.check_died(child, end)
        self.assertEqual(self.state(self.path), "failed")

    def test_background_process_that_still_writes_is_waited_for(self):
        child = self.waiting_reader()
        fifo = os.path.join(self.tmp, "go")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        wrapped = self.spawn_wrapped(["/bin/bash", "-c", """
            mkdir "$1"
            { exec >"$1/model.bin"; echo begun; read -r _ <"$2"; echo done; } &
            until [ -s "$1/model.bin" ]; do :; done
            echo "root ends" >&2
            """, "bash", self.path, fifo])
        until(lambda: "root ends" in wrapped.output(), "the end of the command")
        child.parked()
        with open(fifo, "w") as file:
            file.write("\n")
        self.assertEqual(wrapped.wait(), 0, wrapped.output())
        self.assertEqual(child.value(), b"begun\ndone\n")

    def test_wrapper_that_is_stopped_while_it_waits_for_the_seal(self):
        """SIGSTOP and SIGCONT end the wait of the call for the end, and it is asked again."""
        child = self.waiting_reader()
        fifo = os.path.join(self.tmp, "go")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        wrapped = self.spawn_wrapped(["/bin/bash", "-c", """
            mkdir "$1"
            { exec >"$1/model.bin"; echo begun; read -r _ <"$2"; echo done; } &
            until [ -s "$1/model.bin" ]; do :; done
            echo "root ends" >&2
            """, "bash", self.path, fifo])
        until(lambda: "waiting to seal" in wrapped.output(), "the wrapper to wait")
        for _ in range(2):
            os.kill(wrapped.main, signal.SIGSTOP)
            until(lambda: task_state(wrapped.main) == "T", "it to be stopped")
            os.kill(wrapped.main, signal.SIGCONT)
        child.parked()
        with open(fifo, "w") as file:
            file.write("\n")
        self.assertEqual(wrapped.wait(), 0, wrapped.output())
        self.assertIn("sealed 'parent'", wrapped.output())
        self.assertEqual(child.value(), b"begun\ndone\n")

    def test_save_claims_before_the_command_starts(self):
        result = self.sealctl("run", "--trial", "parent", "--save", self.path, "--", "/bin/sh", "-c",
                              '"$0" status --json "$1" && mkdir -p "$1" && echo x >"$1/model.bin"', self.sealctl_path, self.path, trial=None)
        self.assertEqual(result.status, 0, result)
        self.assertRegex(result.out, r'"state":\s*"open"')
        self.assertEqual(self.reader().value(), b"x\n")

    def test_success_that_saved_nothing_is_no_success_for_who_waits(self):
        child = self.waiting_reader()
        result = self.sealctl("run", "--trial", "parent", "--save", self.path, "--", "/bin/true", trial=None)
        self.assertIn(result.status, range(1, 6), result)
        child.fails("EOWNERDEAD")

    def test_failure_before_anything_was_saved(self):
        child = self.waiting_reader()
        result = self.sealctl("run", "--trial", "parent", "--save", self.path, "--", "/bin/false", trial=None)
        self.assertEqual(result.status, 1, result)
        child.fails("EOWNERDEAD")

    def test_save_path_of_nni_is_read_from_parameter_cfg(self):
        system = self.make_dir("nni", 0o777)
        with open(system + "/parameter.cfg", "w") as file:
            file.write('{"parameter_id": 3, "parameter_source": "algorithm", "parameters": {"lr": 0.1, "save_path": "%s"}, "parameter_index": 0}' % self.path)
        result = self.sealctl("run", "--", "/bin/sh", "-c", '"$0" status --json "$1" && mkdir -p "$1" && echo x >"$1/model.bin"',
                              self.sealctl_path, self.path, trial={"NNI_TRIAL_JOB_ID": "Abc12"}, env={"NNI_SYS_DIR": system, "NNI_OUTPUT_DIR": system})
        self.assertEqual(result.status, 0, result)
        self.assertRegex(result.out, r'"state":\s*"open"')
        self.assertEqual(self.status(self.path)["writer"], "Abc12")
        self.assertEqual(self.reader().value(), b"x\n")

    def test_save_path_of_nni_in_a_directory_that_the_script_makes(self):
        export = self.make_dir("deep", 0o777, self.mode.owner)
        self.ctl("init", "--depth", "2", export, uid=self.mode.owner)
        path = self.mount(export=export, point=self.make_dir("deep-mnt", 0o755, self.mode.owner)).path + "/experiment/t1"
        system = self.make_dir("nni", 0o777)
        with open(system + "/parameter.cfg", "w") as file:
            file.write('{"parameter_id": 3, "parameters": {"save_path": "%s"}}' % path)
        result = self.sealctl("run", "--", "/bin/sh", "-c", 'mkdir -p "$0" && echo x >"$0/model.bin"', path,
                              trial={"NNI_TRIAL_JOB_ID": "Abc12"}, env={"NNI_SYS_DIR": system})
        self.assertEqual(result.status, 0, result)
        self.assertEqual((self.state(path), self.status(path)["writer"]), ("sealed", "Abc12"))

    def test_script_fails_under_a_shell_that_returns_0(self):
        child = self.waiting_reader()
        self.need_exit_info()
        result = self.sealctl("run", "--trial", "parent", "--", "/bin/sh", "-c",
                              'mkdir "$1"; sh -c \'echo half >"$0/model.bin"; exit 1\' "$1"; exit 0', "sh", self.path, trial=None)
        child.fails("EOWNERDEAD")
        self.assertNotEqual(result.status, 0, result)

    def test_two_runs_one_after_the_other(self):
        for name in ("one", "two"):
            result = self.sealctl("run", "--trial", name, "--", PYTHON, "-c", SAVE, self.point + "/" + name, trial=None)
            self.assertEqual(result.status, 0, result)
        self.assertEqual(self.reader(path=self.point + "/one").value(), WEIGHTS)

    def test_one_of_two_runs_at_a_time_fails_at_once_for_both(self):
        ready, go = self.tmp + "/ready", self.tmp + "/go"
        for fifo in (ready, go):
            os.mkfifo(fifo)
            os.chmod(fifo, 0o666)
        child = self.waiting_reader()
        long = self.spawn_wrapped(["/bin/sh", "-c", 'mkdir "$1" && echo x >"$1/a" && echo >"$2" && read x <"$3"; echo x >"$1/b"', "sh", self.path, ready, go])
        with open(ready) as file:
            file.read()
        short = self.run_wrapped("open(__import__('sys').argv[1] + '/c', 'w').write('x'); raise SystemExit(7)")
        self.assertEqual(short.status, 7, short)
        self.assertIn("abandoned 'parent': exit status 7", short.err)
        child.fails("EOWNERDEAD")
        self.assertTrue(long.running())
        self.assertEqual(self.state(self.path), "failed")
        with open(go, "w") as file:
            file.write("\n")
        self.assertNotEqual(long.wait(), 0, long.output())
        self.assertIn("abandoned 'parent': exit status 7", long.output())
        # what comes afterwards is a trial of its own
        self.assertEqual(self.run_wrapped(SAVE).status, 0)
        self.assertEqual(self.reader().value(), WEIGHTS)

    def test_the_good_one_of_two_runs_leaves_it_to_the_other(self):
        ready, go = self.tmp + "/ready", self.tmp + "/go"
        for fifo in (ready, go):
            os.mkfifo(fifo)
            os.chmod(fifo, 0o666)
        child = self.waiting_reader()
        long = self.spawn_wrapped(["/bin/sh", "-c", 'mkdir "$1" && echo >"$2" && read x <"$3"; printf %s "$4" >"$1/model.bin"', "sh", self.path, ready, go,
                                   "late"])
        with open(ready) as file:
            file.read()
        short = self.run_wrapped("open(__import__('sys').argv[1] + '/c', 'w').write('x')")
        self.assertEqual((short.status, short.err), (0, "sealctl: left 'parent' to another run of the trial\n"), short)
        child.still_waiting()
        with open(go, "w") as file:
            file.write("\n")
        self.assertEqual(long.wait(), 0, long.output())
        self.assertEqual(child.value(), b"late")

    def test_run_of_a_command_that_writes_nothing_is_just_the_command(self):
        result = self.sealctl("run", "--trial", "x", "--", "/bin/echo", "hello", trial=None)
        self.assertEqual((result.status, result.out), (0, "hello\n"))

    def run_that_outlives_a_mount(self, mount, *arguments):
        """A run that writes where it is told; before it goes on to its end, `mount` dies."""
        ready, go = self.tmp + "/ready", self.tmp + "/go"
        os.mkfifo(ready)
        os.mkfifo(go)
        os.chmod(ready, 0o666)
        os.chmod(go, 0o666)
        process = self.spawn([self.sealctl_path, "run", "--trial", "parent", "--", "/bin/sh", "-c",
                              'for d; do mkdir "$d" && echo x >"$d/model.bin"; done; echo >"$0.ready"; read x <"$0.go"'.replace(
                                  "$0.ready", ready).replace("$0.go", go), "sh", *arguments])
        with open(ready) as file:
            file.read()
        mount.kill()
        with open(go, "w") as file:
            file.write("\n")
        return process.wait(), process.output()

    def test_death_of_a_mount_where_it_wrote_nothing_does_not_fail_the_run(self):
        other = self.mount(export=self.make_dir("other-export", 0o777, self.mode.owner), point=self.make_dir("other", 0o755, self.mode.owner))
        status, log = self.run_that_outlives_a_mount(other, self.path)
        self.assertEqual(status, 0, log)
        self.assertRegex(log, "sealed .*parent")
        self.assertEqual(self.reader().value(), b"x\n")

    def test_death_of_a_mount_where_it_wrote_fails_the_run(self):
        point = self.make_dir("other", 0o755, self.mode.owner)
        other = self.mount(export=self.make_dir("other-export", 0o777, self.mode.owner), point=point)
        status, log = self.run_that_outlives_a_mount(other, self.path, point + "/lost")
        self.assertEqual(status, 3, log)
        self.assertRegex(log, "abandoned 'lost'")
        self.assertEqual(self.reader().value(), b"x\n")


@in_modes(*ALL_MODES)
class By_hand(Ends):
    def test_abandon_gives_the_reason(self):
        child = self.waiting_reader()
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/model.bin', 'w').write('half')", d=self.path)
        end = time.monotonic()
        self.ctl("abandon", "--reason", "loss is not a number", self.path)
        self.check_died(child, end)
        self.assertIn("loss is not a number", self.status(self.path)["reason"])
        self.check_log("loss is not a number")

    def test_abandon_of_a_reservation_that_nobody_took_up(self):
        child = self.waiting_reader()
        self.ctl("abandon", self.path)
        child.fails("EOWNERDEAD")
        self.assertEqual(self.state(self.path), "failed")

    def test_seal_by_a_tuner(self):
        child = self.waiting_reader()
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/model.bin', 'wb').write(model)", d=self.path, model=MODEL)
        self.ctl("seal", self.path, trial="tuner")
        self.assertEqual(child.value(), MODEL)
        self.assertEqual(parent.error("open(d + '/more', 'w')", d=self.path), "EROFS")

    def test_exit_with_1_after_the_seal_changes_nothing(self):
        parent = self.agent("parent")
        parent("os.mkdir(d); open(d + '/model.bin', 'wb').write(model)", d=self.path, model=MODEL)
        self.ctl("seal", self.path, trial="parent")
        parent.exit(1)
        self.assertEqual(self.reader().value(), MODEL)
        self.assertEqual(self.state(self.path), "sealed")


if __name__ == "__main__":
    main()
