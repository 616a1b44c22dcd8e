"""What the mount tests stand on: exports, mounts, trials, and the certainty that nothing is left behind.

A test never touches a mount itself. It tells *agents* to: processes with a trial's identity and a user's ids, to which Python code
is sent and which answer with a value or an errno, so that a test that goes wrong cannot hang in the kernel, and so that a
private mount of another user can be tested by root, who may not even look into it.

Nothing here sleeps to let something happen: a wait is for an event or for a condition that is looked at again
and again, and every wait has an end.
"""

import atexit
import contextlib
import ctypes
import errno
import fcntl
import inspect
import json
import os
import pickle
import pty
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.path.join(TOP, os.environ.get("SEALFS_BUILD") or os.environ.get("BUILD") or "build"))
# Every process that a test starts has it in its environment and every directory in its name: so whoever cleans up finds them.
TOKEN = os.environ.get("SEALFS_TEST_TOKEN") or "t%d" % os.getpid()
# How long anything may take that should happen soon, in seconds. Slow machines and valgrind multiply it.
SLOWNESS = float(os.environ.get("SEALFS_TEST_SLOWNESS", "1"))
PATIENCE = 20 * SLOWNESS
# As `make conformance` runs it: more of the same.
LONG = bool(os.environ.get("SEALFS_CONFORMANCE"))
CONNECTIONS = "/sys/fs/fuse/connections"  # a directory for each
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
NOBODY = 65534
SKIP = 77
IS_ROOT = os.geteuid() == 0

libc = ctypes.CDLL(None, use_errno=True)

# A script's background job starts with these ignored, and whatever it starts inherits that: tests that interrupt would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


# ---------------------------------------------------------------- waiting

def until(condition, what, patience=None, interval=0.005):
    """Looks at the condition again and again, returns its first true value."""
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain: " + (what() if callable(what) else what))
        time.sleep(interval)


def task_file(pid, name):
    try:
        with open("/proc/%d/%s" % (pid, name)) as file:
            return file.read()
    except OSError:
        return ""


def task_state(pid):
    """R, S, D, Z… or "" when it is gone."""
    match = re.search(r"^State:\s+(\S)", task_file(pid, "status"), re.M)
    return match.group(1) if match else ""


def children(pid):
    return [int(child) for child in task_file(pid, "task/%d/children" % pid).split()]


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child] + descendants(child)
    return found


def in_fuse_wait(pid):
    """A value that stays the same for as long as the task waits for one and the same answer of a FUSE daemon, else None."""
    where = task_file(pid, "wchan")
    if "request_wait_answer" not in where and "fuse" not in where and "fuse" not in task_file(pid, "stack"):
        return None
    switches = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", task_file(pid, "status"), re.M)
    return switches and switches.group(1)


STABLE = 0.05  # seconds


def parked_of(pids):
    """Those that are parked. A request that is merely on its way is answered within microseconds; one that waits is seen waiting
    again and again, and its task did not run in between."""
    waits = {pid: wait for pid, wait in ((pid, in_fuse_wait(pid)) for pid in pids) if wait is not None}
    for _ in range(3 if waits else 0):
        time.sleep(STABLE / 3)
        waits = {pid: wait for pid, wait in waits.items() if in_fuse_wait(pid) == wait}
    return set(waits)


def all_parked(*waiters, patience=None):
    """Waits until each of these calls and processes waits for an answer of the mount; fails as soon as one ends instead."""
    left = list(waiters)

    def look():
        nonlocal left
        for waiter in left:
            waiter.must_run()
        pids = {waiter: waiter.pids() for waiter in left}
        found = parked_of({pid for several in pids.values() for pid in several})
        left = [waiter for waiter in left if not found & set(pids[waiter])]
        for waiter in waiters:
            waiter.must_run()
        return not left
    until(look, lambda: "\n".join(waiter.where() for waiter in left), patience)


def marked_processes():
    """All that a test of this run has started, wherever they have got to."""
    mark = b"SEALFS_TEST_TOKEN=" + TOKEN.encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open("/proc/%s/environ" % name, "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def counted(text):
    """A line that tests/run shows of a test that went well."""
    print("count: " + text, flush=True)


# ---------------------------------------------------------------- mount table

def mounts():
    """{mountpoint: (type, "major:minor")} of this mount namespace; the topmost wins."""
    table = {}
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        for line in file:
            fields = line.rstrip("\n").split(" ")
            point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), fields[4])
            table[point] = (fields[fields.index("-") + 1], fields[2])
    return table


def detach_here(point):
    mnt_detach = 2
    libc.umount2(os.fsencode(point), mnt_detach)


def detach(point):
    """The last resort: answers all requests with an error and takes the mount out of the tree."""
    if IS_ROOT:
        mnt_force = 1
        libc.umount2(os.fsencode(point), mnt_force)
        detach_here(point)
    else:
        subprocess.run(["fusermount3", "-u", "-z", point], stderr=subprocess.DEVNULL, check=False)


# ---------------------------------------------------------------- processes

def user_arguments(uid, groups=()):
    if uid is None or uid == os.geteuid():
        return {}
    return {"user": uid, "group": uid, "extra_groups": list(groups)}


def environment(trial=None, extra=None):
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SEALFS_TEST_TOKEN": TOKEN,
    }
    for name, value in os.environ.items():
        if name.startswith(("ASAN_", "UBSAN_", "LSAN_", "TSAN_")):
            env[name] = value
    if isinstance(trial, dict):
        env.update(trial)
    elif trial is not None:
        env["SEALFS_TRIAL"] = trial
    env.update(extra or {})
    return env


class Process:
    """A process in a session of its own, its output in a file."""

    def __init__(self, argv, log, trial=None, uid=None, groups=(), env=None, cwd="/", pass_fds=(), umask=-1, name=None, stdin=subprocess.DEVNULL,
                 stderr=None):
        self.argv = [os.fsencode(word) for word in argv]
        self.name = name or os.fsdecode(os.path.basename(self.argv[0]))
        self.log = log
        self.trial = trial
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                self.argv, stdin=stdin, stdout=out, stderr=out if stderr is None else stderr, cwd=cwd, env=environment(trial, env),
                start_new_session=True, pass_fds=pass_fds, umask=umask, **user_arguments(uid, groups))
        self.pid = self.popen.pid
        self.pidfd = os.pidfd_open(self.pid)
        self.ended = None  # monotonic time

    def output(self):
        with open(self.log, "rb") as file:
            return file.read().decode(errors="surrogateescape")

    def running(self):
        return self.popen.poll() is None

    def wait(self, patience=None):
        """The exit status, negative for a signal."""
        patience = PATIENCE if patience is None else patience
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(patience * 1000):
            raise AssertionError("%s (pid %d) does not end: state %s in %s\n%s" % (
                self.name, self.pid, task_state(self.pid), task_file(self.pid, "wchan"), self.output()[-4000:]))
        if self.ended is None:
            self.ended = time.monotonic()
        return self.popen.wait()

    def kill(self, number=signal.SIGKILL, patience=None):
        """Sends it, reaps, returns the time of the end."""
        if self.running():
            self.popen.send_signal(number)
        self.wait(patience)
        return self.ended

    def signal(self, number):
        self.popen.send_signal(number)

    def must_run(self):
        if not self.running():
            raise AssertionError("%s ended with %r instead of waiting\n%s" % (self.name, self.popen.returncode, self.output()[-4000:]))

    def pids(self):
        return [self.pid] + descendants(self.pid)

    def where(self):
        return "%s to be parked; it is in state %s in %s\n%s" % (
            self.name, task_state(self.pid), task_file(self.pid, "wchan"), self.output()[-4000:])

    def parked(self, patience=None):
        """Waits until it, or a process that it started, waits for an answer of the mount."""
        all_parked(self, patience=patience)
        return self

    def close(self):
        """Kills it with all that it started."""
        if self.pidfd < 0:
            return
        if self.running():
            family = [self.pid] + descendants(self.pid)
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        try:
            self.wait()
        finally:
            if self.pidfd >= 0:
                os.close(self.pidfd)
                self.pidfd = -1


def adopt(argv):
    """harness.py --adopt PIDFILE NAME=VALUE… -- CMD…: runs the command and reaps all that it orphans, as init would, but at once.
    Ends with the command's status when nothing is left."""
    pidfile, rest = argv[0], argv[1:]
    split = rest.index("--")
    env = dict(os.environ, **dict(word.split("=", 1) for word in rest[:split]))
    pr_set_child_subreaper = 36
    libc.prctl(pr_set_child_subreaper, 1, 0, 0, 0)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.execvpe(rest[split + 1], rest[split + 1:], env)
    with open(pidfile + ".tmp", "w") as file:
        file.write("%d" % pid)
    os.rename(pidfile + ".tmp", pidfile)
    status = 1
    with contextlib.suppress(ChildProcessError):
        while True:
            gone, how = os.wait()
            if gone == pid:
                status = os.waitstatus_to_exitcode(how)
    os._exit(status & 255)


# ---------------------------------------------------------------- agents

def agent_main(fd):
    """The inside of an agent: answers (op, code, variables) until told to go."""
    channel = socket.socket(fileno=fd)
    requests = channel.makefile("rb")
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    space = {"__name__": "agent", "os": os, "errno": errno, "stat": stat, "sys": sys, "fcntl": fcntl, "time": time,
             "signal": signal, "subprocess": subprocess, "ctypes": ctypes, "json": json, "shutil": shutil,
             "libc": libc, "raw": raw, "control": control, "snapshot": snapshot, "pattern": pattern}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    while True:
        try:
            operation, code, variables = pickle.load(requests)
        except KeyboardInterrupt:
            continue
        except EOFError:
            os._exit(1)
        if operation == "exit":
            sys.exit(code)
        outcome = {"value": None, "error": None}
        space.update(variables)
        try:
            try:
                compiled = compile(code, "<test>", "eval")
            except SyntaxError:
                exec(compile(inspect.cleandoc(code), "<test>", "exec"), space)
                outcome["value"] = space.pop("result", None)
            else:
                outcome["value"] = eval(compiled, space)
        except BaseException as problem:  # an interrupt is an answer, too
            outcome["error"] = (type(problem).__name__, getattr(problem, "errno", None), traceback.format_exc())
        outcome["ended"] = time.monotonic()
        channel.sendall(pickle.dumps(outcome))


def raw(name, *arguments):
    """A system call through the C library without Python's retry after a signal: the result, or -errno."""
    function = getattr(libc, name)
    function.restype = ctypes.c_int
    words = [os.fsencode(word) if isinstance(word, (str, os.PathLike)) else word for word in arguments]
    result = function(*words)
    return -ctypes.get_errno() if result == -1 else result


def errno_name(number):
    """By its usual name, where it has several."""
    usual = {errno.EDEADLK: "EDEADLK", errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EAGAIN: "EAGAIN"}
    return usual.get(number) or errno.errorcode.get(number, str(number)) if number is not None else None


class Call:
    """What an agent was told to do, and what came of it."""

    def __init__(self, agent, code):
        self.agent, self.code, self.outcome = agent, code, None

    def __str__(self):
        return "%s: %s" % (self.agent.name, " ".join(self.code.split())[:200])

    def done(self, patience=0):
        if self.outcome is None:
            ready, _, _ = select.select([self.agent.channel], [], [], patience)
            if ready:
                try:
                    self.outcome = pickle.load(self.agent.stream)
                except (EOFError, ConnectionResetError):
                    self.outcome = {"value": None, "error": ("EOFError", None, "the agent is gone\n" + self.agent.output()), "ended": time.monotonic()}
        return self.outcome is not None

    def finish(self, patience=None):
        if not self.done(PATIENCE if patience is None else patience):
            raise AssertionError("%s: no end; state %s in %s" % (self, task_state(self.agent.pid), task_file(self.agent.pid, "wchan")))
        return self.outcome

    def value(self, patience=None):
        outcome = self.finish(patience)
        if outcome["error"]:
            raise AssertionError("%s failed: %s" % (self, outcome["error"][2]))
        return outcome["value"]

    def error(self, patience=None):
        """The name of the errno that it failed with, or of the exception; None if it succeeded."""
        outcome = self.finish(patience)
        if not outcome["error"]:
            return None
        kind, number, _ = outcome["error"]
        return errno_name(number) or kind

    def fails(self, *names, patience=None):
        seen = self.error(patience)
        if seen not in names:
            raise AssertionError("%s: expected %s, got %s%s" % (
                self, " or ".join(names), seen or "success with %r" % (self.outcome["value"],),
                "\n" + self.outcome["error"][2] if seen else ""))
        return self

    @property
    def ended(self):
        """When the agent had its answer: monotonic time, the same clock for all processes."""
        return self.finish()["ended"]

    def must_run(self):
        if self.done():
            raise AssertionError("%s did not wait, it got %s" % (self, self.error() or repr(self.outcome["value"])))

    def pids(self):
        return [self.agent.pid]

    def where(self):
        return "%s to be parked; it is in state %s in %s" % (self, task_state(self.agent.pid), task_file(self.agent.pid, "wchan"))

    def parked(self, patience=None):
        """Waits until the kernel holds the agent for an answer of the mount; fails if the call ends before."""
        all_parked(self, patience=patience)
        return self

    def still_waiting(self):
        self.must_run()
        return self


class Agent(Process):
    def __init__(self, tools, log, trial=None, name=None, **more):
        ours, theirs = socket.socketpair()
        self.channel = ours
        self.stream = ours.makefile("rb")
        try:
            super().__init__([PYTHON, os.path.join(tools, "harness.py"), "--agent", str(theirs.fileno())], log, trial=trial,
                             pass_fds=[theirs.fileno()], name=name or "trial %s" % (trial,), **more)
        finally:
            theirs.close()
        self.call = None

    def start(self, code, **variables):
        if self.call is not None and not self.call.done():
            raise AssertionError("%s is still busy with %s" % (self.name, self.call))
        self.call = Call(self, code)
        self.send("run", code, variables)
        return self.call

    def send(self, operation, code, variables):
        self.channel.sendall(pickle.dumps((operation, code, variables)))

    def __call__(self, code, **variables):
        """Runs it, returns its value; an error is the test's failure."""
        return self.start(code, **variables).value()

    def error(self, code, **variables):
        return self.start(code, **variables).error()

    def exit(self, status=0):
        """The trial's process ends by itself; returns when it is reaped, with the time of the end."""
        self.send("exit", status, {})
        self.wait()
        return self.ended

    def close(self):
        super().close()
        self.stream.close()
        self.channel.close()


# ---------------------------------------------------------------- the programs under test

def program(name):
    path = os.path.join(BUILD, name)
    if not os.access(path, os.X_OK):
        raise unittest.SkipTest("%s is not built" % path)
    return path


_tools = None


def sanitized():
    """The sanitizers that are linked into the daemon."""
    linked = subprocess.run(["ldd", os.path.join(BUILD, "sealfs")], stdout=subprocess.PIPE, env=environment(), check=False).stdout.decode()
    return re.findall(r"lib(asan|ubsan|tsan)", linked)


def tools():
    """A directory that every user may read, with the programs and this file: the checkout may be closed to others."""
    global _tools
    if _tools is None:
        files = [program(name) for name in ("sealfs", "sealctl", "sealtuner")]
        helpers = os.path.join(BUILD, "tests/mount")
        files += [os.path.join(HERE, name) for name in os.listdir(HERE) if name.endswith(".py")]
        if os.path.isdir(helpers):
            files += [os.path.join(helpers, name) for name in os.listdir(helpers) if not name.endswith((".o", ".d"))]
        place = tempfile.mkdtemp(prefix="sealfs-test.%s.tools." % TOKEN, dir="/tmp")
        owner = os.getpid()
        atexit.register(lambda: os.getpid() == owner and shutil.rmtree(place, ignore_errors=True))
        os.chmod(place, 0o755)
        for file in files:
            os.chmod(shutil.copy(file, place), 0o755)
        _tools = place
    return _tools


class Mode:
    """How a test class is mounted and who its trials are."""

    def __init__(self, name, options=(), owner=0, trials=0):
        self.name, self.options, self.owner, self.trials = name, list(options), owner, trials

    def unavailable(self):
        """Why this machine cannot do it, or None."""
        if not os.path.exists("/dev/fuse"):
            return "no /dev/fuse"
        if self.owner == 0 and not IS_ROOT:
            return "needs root"
        if self.owner != 0:
            if not shutil.which("fusermount3"):
                return "needs fusermount3"
            if not os.stat("/dev/fuse").st_mode & stat.S_IWOTH:
                return "/dev/fuse is closed to ordinary users"
        return None


SELF = 0 if IS_ROOT else os.geteuid()
# One root mount for all users, reads and writes in the kernel; its trials are an ordinary user's.
ROOT = Mode("root", ["allow_other"], owner=0, trials=NOBODY)
# The same without passthrough: every byte goes through the daemon; the trials are root's.
DAEMON = Mode("daemon", ["allow_other", "passthrough=off"], owner=0, trials=0)
# An ordinary user's own mount through fusermount3.
USER = Mode("user", [], owner=NOBODY if IS_ROOT else SELF, trials=NOBODY if IS_ROOT else SELF)
ALL_MODES = (ROOT, DAEMON, USER)


def in_modes(*modes):
    """Makes one class a mode out of a test class."""
    def decorate(cls):
        module = sys.modules[cls.__module__]
        for mode in modes:
            name = "%s_%s" % (cls.__name__, mode.name)
            setattr(module, name, type(name, (cls,), {"mode": mode, "__module__": cls.__module__}))
        return None
    return decorate


class Mount:
    """One running sealfs. `options` come after the mode's."""

    def __init__(self, test, export, point, options=(), uid=0, wrapper=(), name="sealfs"):
        self.test, self.export, self.path, self.uid = test, export, point, uid
        self.log_path = os.path.join(test.scratch, "log-%d" % len(test.logs))
        test.logs.append((name, self.log_path))
        argv = list(wrapper) + [os.path.join(tools(), "sealfs"), "-f"]
        if options:
            argv += ["-o", ",".join(options)]
        self.process = Process(argv + [export, point], self.log_path, uid=uid, name=name)
        self.pid = self.process.pid
        self.expected_end = (0,)
        self.device = None
        try:
            self.await_ready()
        except BaseException:
            self.abort()
            raise

    def await_ready(self):
        """Until it is in the mount table (whose change wakes us) and answers."""
        deadline = time.monotonic() + PATIENCE
        with open("/proc/self/mountinfo", "rb") as table:
            poll = select.poll()
            poll.register(table, select.POLLPRI | select.POLLERR)
            poll.register(self.process.pidfd, select.POLLIN)
            while True:
                table.seek(0)
                table.read()
                known = mounts().get(self.path)
                if known and known[0].startswith("fuse"):
                    self.device = known[1]
                    break
                if not self.process.running():
                    raise AssertionError("sealfs ended with %d instead of mounting:\n%s" % (self.process.popen.returncode, self.log()))
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError("sealfs did not mount within %g s:\n%s" % (PATIENCE, self.log()))
                poll.poll(left * 1000)
        look = subprocess.Popen(["/usr/bin/stat", "-f", "-c", "%T", self.path], stdout=subprocess.DEVNULL, cwd="/", env=environment(),
                                **user_arguments(self.uid))
        try:
            status = look.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            detach(self.path)
            look.kill()
            look.wait()
            raise AssertionError("the mount does not answer:\n" + self.log()) from None
        if status != 0:
            raise AssertionError("the mount answers with an error:\n" + self.log())

    def log(self):
        return self.process.output()

    def await_log(self, pattern, patience=None, start=0):
        """Until a line of the log matches; returns the match."""
        return until(lambda: re.search(pattern, self.log()[start:], re.M | re.S if "\n" in pattern else re.M),
                     lambda: "/%s/ in the log:\n%s" % (pattern, self.log()[start:]), patience)

    def waiting_requests(self):
        """How many requests the kernel waits for, or None where it does not tell."""
        text = None
        with contextlib.suppress(OSError):
            with open(CONNECTIONS + "/%s/waiting" % self.device.split(":")[1]) as file:
                text = file.read()
        return int(text) if text else None

    def threads(self):
        return int(re.search(r"^Threads:\s+(\d+)", task_file(self.pid, "status"), re.M).group(1))

    def resident(self):
        """Bytes of private memory."""
        return int(re.search(r"^RssAnon:\s+(\d+)", task_file(self.pid, "status"), re.M).group(1)) * 1024

    def descriptors(self):
        """Without pipes, of which libfuse keeps a pair for each of its threads, and what is open in /proc: a cache of bounded size."""
        count = 0
        for fd in os.listdir("/proc/%d/fd" % self.pid):
            with contextlib.suppress(OSError):
                count += not os.readlink("/proc/%d/fd/%s" % (self.pid, fd)).startswith(("pipe:", "/proc/"))
        return count

    def unmount(self):
        """The ordinary end: SIGTERM, then the program unmounts and leaves with 0."""
        if self.process.running():
            self.process.signal(signal.SIGTERM)
            try:
                self.process.wait()
            except AssertionError as problem:
                self.abort()
                raise AssertionError("SIGTERM did not end sealfs\n%s" % problem) from None
        status = self.process.wait()
        left = self.path in mounts()
        if left:
            detach(self.path)
        if status not in self.expected_end:
            raise AssertionError("sealfs ended with %d\n%s" % (status, self.log()[-4000:]))
        if left and -signal.SIGKILL not in self.expected_end:
            raise AssertionError("sealfs ended and left its mount")

    def kill(self):
        """kill -9 of the daemon. The dead mount stays until clear() or the test's end."""
        self.expected_end = (-signal.SIGKILL,)
        return self.process.kill()

    def clear(self):
        """Takes a dead mount away, as the message of the next sealfs advises."""
        detach(self.path)

    def abort(self):
        self.expected_end = (-signal.SIGKILL,)
        detach(self.path)
        self.process.kill()
        detach(self.path)


# ---------------------------------------------------------------- test cases

class Result:
    """Of a program that ran to its end."""

    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds
        self.all = out + err

    def __repr__(self):
        return "status %d\nstdout: %s\nstderr: %s" % (self.status, self.out, self.err)


class SealfsTest(unittest.TestCase):
    """A scratch directory with an export and a mountpoint, and the tools to use them. Subclasses are made per mode by in_modes()."""

    mode = DAEMON
    base = None  # where the scratch directory is made
    maxDiff = None

    def setUp(self):
        reason = self.mode.unavailable()
        if reason:
            self.skipTest(reason)
        self.sealctl_path = os.path.join(tools(), "sealctl")
        self.logs = []
        self.processes = []
        self.mounted = []
        self.uid = self.mode.trials
        self.scratch = tempfile.mkdtemp(prefix="sealfs-test.%s." % TOKEN, dir=self.base or roomy())
        os.chmod(self.scratch, 0o755)
        self.addCleanup(self.clean_up)
        self.tmp = self.make_dir("tmp", 0o1777)
        self.export = self.make_dir("export", 0o777, self.mode.owner)
        self.point = self.make_dir("mnt", 0o755, self.mode.owner)

    # -- directories

    def make_dir(self, name, mode=0o755, uid=None):
        path = os.path.join(self.scratch, name)
        os.makedirs(path)
        os.chmod(path, mode)
        if uid is not None and uid != os.geteuid():
            os.chown(path, uid, uid)
        return path

    def exported(self, *names):
        return os.path.join(self.export, *names)

    def give(self, path):
        """Lets the trials' user own what the test made on the export."""
        if IS_ROOT:
            for top, _, files in os.walk(path):
                for entry in [top] + [os.path.join(top, name) for name in files]:
                    os.lchown(entry, self.uid, self.uid)
            os.lchown(path, self.uid, self.uid)
        return path

    # -- mounts

    def mount(self, *options, export=None, point=None, name="sealfs", **more):
        """Mounts (once without arguments: the usual export at the usual place)."""
        mount = Mount(self, export or self.export, point or self.point, list(self.mode.options) + list(options), uid=self.mode.owner,
                      name=name, **more)
        self.mounted.append(mount)
        return mount

    def second_mount(self, *options, name="second"):
        return self.mount(*options, point=self.make_dir("mnt-%d" % len(self.mounted), 0o755, self.mode.owner), name=name)

    # -- processes

    def new_log(self, name):
        path = os.path.join(self.scratch, "log-%d" % len(self.logs))
        self.logs.append((name, path))
        return path

    def agent(self, trial=None, uid=None, name=None, **more):
        """A process of that trial, waiting for what to do."""
        agent = Agent(tools(), self.new_log(name or "trial %s" % (trial,)), trial=trial, name=name, uid=self.uid if uid is None else uid, **more)
        self.processes.append(agent)
        return agent

    def spawn(self, argv, trial=None, uid=None, name=None, **more):
        process = Process(argv, self.new_log(name or os.path.basename(argv[0])), trial=trial, uid=self.uid if uid is None else uid, name=name, **more)
        self.processes.append(process)
        return process

    def spawn_adopted(self, argv, trial=None, **more):
        """A command whose orphans are reaped at once. `main` of the result is the command's own pid."""
        pidfile = os.path.join(self.tmp, "pid-%d" % len(self.logs))
        identity = ["%s=%s" % pair for pair in (trial if isinstance(trial, dict) else {"SEALFS_TRIAL": trial} if trial else {}).items()]
        process = self.spawn([PYTHON, os.path.join(tools(), "harness.py"), "--adopt", pidfile] + identity + ["--"] + list(argv),
                             name=os.path.basename(argv[0]), **more)
        until(lambda: os.path.exists(pidfile), "the command's start")
        with open(pidfile) as file:
            process.main = int(file.read())
        return process

    def python(self, code, *arguments, trial=None, **more):
        """A script that knows nothing of sealfs, as a process."""
        path = os.path.join(self.tmp, "script-%d.py" % len(self.logs))
        with open(path, "w") as file:
            file.write(inspect.cleandoc(code) + "\n")
        return self.spawn([PYTHON, path] + list(arguments), trial=trial, name="script", **more)

    def run_program(self, argv, trial=None, uid=None, patience=None, env=None, cwd="/", input=None):
        began = time.monotonic()
        if cwd != "/":  # which only that user may be able to enter
            argv = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', cwd, *argv]
        popen = subprocess.Popen(
            [os.fsencode(word) for word in argv], stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(trial, env), cwd="/", start_new_session=True,
            **user_arguments(self.uid if uid is None else uid))
        try:
            out, err = popen.communicate(input, timeout=PATIENCE if patience is None else patience)
        except subprocess.TimeoutExpired:
            stack = "state %s in %s" % (task_state(popen.pid), task_file(popen.pid, "wchan"))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
            out, err = popen.communicate(timeout=PATIENCE)
            raise AssertionError("%r did not end: %s\n%s\n%s" % (argv, stack, out, err)) from None
        return Result(popen.returncode, out.decode(errors="surrogateescape"), err.decode(errors="surrogateescape"), time.monotonic() - began)

    def sealctl(self, *arguments, trial="tuner", **more):
        return self.run_program([self.sealctl_path] + list(arguments), trial=trial, **more)

    def ctl(self, *arguments, expect=0, **more):
        """sealctl, whose exit status is to be `expect`."""
        result = self.sealctl(*arguments, **more)
        self.assertEqual(result.status, expect, "sealctl %r\n%r" % (arguments, result))
        return result

    def reserve(self, path, writer="parent", **more):
        self.ctl("reserve", *(["--writer", writer] if writer else []), path, **more)

    def status(self, path, **more):
        """What `sealctl status --json` says of one checkpoint."""
        listing = json.loads(self.ctl("status", "--json", path, **more).out)
        self.assertIsInstance(listing, list)
        self.assertEqual(len(listing), 1, listing)
        return listing[0]

    def state(self, path):
        return self.status(path)["state"]

    def await_state(self, path, state, patience=None):
        return until(lambda: self.state(path) == state, lambda: "%s to be %s; it is %r" % (path, state, self.status(path)), patience)

    def need_terminal(self):
        """A container may have none to give."""
        try:
            for fd in pty.openpty():
                os.close(fd)
        except OSError as problem:
            self.skipTest(str(problem))

    def need_exit_info(self):
        """Without it only `sealctl run` can tell how a trial ended."""
        if not kernel_tells_exit_status():
            self.skipTest("this kernel does not tell how a process ended")

    # -- the end

    def has_failed(self):
        result = getattr(self._outcome, "result", None)
        seen = getattr(result, "failures", []) + getattr(result, "errors", [])
        return any(getattr(test, "test_case", test) is self for test, _ in seen)

    def clean_up(self):
        problems = []
        for process in reversed(self.processes):
            try:
                process.close()
            except Exception as problem:
                problems.append(str(problem))
        for mount in reversed(self.mounted):
            try:
                mount.unmount()
            except Exception as problem:
                problems.append(str(problem))
            finally:
                mount.process.close()
        for point in sorted(mounts(), reverse=True):
            if point.startswith(self.scratch + "/"):
                problems.append("left mounted: " + point)
                detach(point)
        for pid in marked_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if problems or self.has_failed():
            for name, path in self.logs:
                with contextlib.suppress(OSError), open(path, errors="replace") as file:
                    text = file.read()
                    if text:
                        print("---- %s: %s\n%s" % (self.id(), name, text[-6000:]), file=sys.stderr)
        if not os.environ.get("SEALFS_TEST_KEEP"):
            shutil.rmtree(self.scratch, ignore_errors=True)
        if problems:
            raise AssertionError("\n".join(problems))


def roomy():
    """Where SEALFS_TEST_SCRATCH says, to test with another file system below; else in memory where there is room, else on disk."""
    if os.environ.get("SEALFS_TEST_SCRATCH"):
        return os.environ["SEALFS_TEST_SCRATCH"]
    with contextlib.suppress(OSError):
        room = os.statvfs("/dev/shm")
        if room.f_bavail * room.f_frsize > 1 << 28 and os.access("/dev/shm", os.W_OK):
            return "/dev/shm"
    return "/tmp"


# ---------------------------------------------------------------- what the kernel can

_exit_info = None


def kernel_tells_exit_status():
    """Asks for the exit status of a process that is gone, of which only a pidfd is left."""
    global _exit_info
    if _exit_info is None:
        child = subprocess.Popen(["/bin/false"], env=environment())
        pidfd = os.pidfd_open(child.pid)
        child.wait()
        pidfd_info_exit, size = 1 << 3, 64
        request = 3 << 30 | size << 16 | 0xFF << 8 | 11
        buffer = bytearray(struct.pack("=Q", pidfd_info_exit) + bytes(size - 8))
        try:
            fcntl.ioctl(pidfd, request, buffer)
            _exit_info = bool(struct.unpack_from("=Q", buffer)[0] & pidfd_info_exit)
        except OSError:
            _exit_info = False
        os.close(pidfd)
    return _exit_info


# ---------------------------------------------------------------- names and the control channel

def escape(name):
    """A path as sealfs(5) writes it: written here anew, from the description."""
    data = os.fsencode(name)
    text = data.decode("utf-8", errors="surrogateescape")
    out = []
    for char in text:
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            out.append("\\x%02x" % (code - 0xDC00))
        elif code <= 0x20 or code in (0x5C, 0x7F):
            out.append("\\x%02x" % code)
        else:
            out.append(char)
    return "".join(out)


CALL_VERSION, CALL_TEXT = 1, 12000
CALL_HEAD = struct.Struct("=IIiIQQ")
CALL_REQUEST = 3 << 30 | (CALL_HEAD.size + CALL_TEXT) << 16 | ord("S") << 8 | 0x5E
CALL_INFO, CALL_RESERVE, CALL_CLAIM, CALL_SEAL, CALL_ABANDON, CALL_WAIT, CALL_STATUS, CALL_REMOVE, CALL_RUN_BEGIN, CALL_RUN_END, CALL_MORE, CALL_STATS = range(1, 13)


def control(fd, operation, path=b"", trial=b"", writer=b"", detail=b"", text=None, version=CALL_VERSION, size=None, offset=0):
    """One call of include/sealfs/control.h: (result, text, total). For agents: control.control(…)."""
    if text is None:
        text = b"".join(os.fsencode(word) + b"\0" for word in (path, trial, writer, detail))
    buffer = bytearray(CALL_HEAD.pack(version, operation, 0, len(text) if size is None else size, 0, offset) + text.ljust(CALL_TEXT, b"\0"))
    fcntl.ioctl(fd, CALL_REQUEST, buffer)
    _, _, result, used, total, _ = CALL_HEAD.unpack_from(buffer)
    return result, bytes(buffer[CALL_HEAD.size:CALL_HEAD.size + used]), total


def snapshot(top):
    """Everything below `top`: {relative path: (kind, mode, content or target)}."""
    found = {}
    for where, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(where, name)
            relative = os.path.relpath(path, top)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                found[relative] = ("symlink", None, os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                found[relative] = ("dir", stat.S_IMODE(status.st_mode), None)
            else:
                with open(path, "rb") as file:
                    found[relative] = ("file", stat.S_IMODE(status.st_mode), file.read())
    return found


def pattern(size, seed=1):
    """Bytes that differ in every block and with every seed."""
    unit = b"".join(struct.pack("=IIII", seed, index, index * 2654435761 & 0xFFFFFFFF, seed ^ index) for index in range(min(size // 16 + 1, 65536)))
    return (unit * (size // len(unit) + 1))[:size]


def sealed_manifest_parents(checkpoint):
    """[(path, root digest)] of the seal file of a checkpoint on the export."""
    with open(os.path.join(checkpoint, ".seal", "seal")) as file:
        return [tuple(reversed(line.split()[1:])) for line in file if line.startswith("parent: ")]


# ---------------------------------------------------------------- main

def give_up(*_):
    """Somebody ended us: still nothing is left behind."""
    for point in sorted(mounts(), reverse=True):
        if "/sealfs-test.%s." % TOKEN in point:
            detach(point)
    for pid in marked_processes():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for base in {"/tmp", "/dev/shm", os.environ.get("SEALFS_TEST_SCRATCH") or "/tmp"}:
        for name in os.listdir(base):
            if name.startswith("sealfs-test.%s." % TOKEN):
                shutil.rmtree(os.path.join(base, name), ignore_errors=True)
    os._exit(128 + signal.SIGTERM)


def own_mount_table():
    """As root: mounts that are seen by this test alone, and that end with it. Tests that run beside it don't see each other's."""
    clone_newns, ms_rec, ms_private = 0x20000, 0x4000, 1 << 18
    if IS_ROOT and libc.unshare(clone_newns) == 0:
        libc.mount(b"none", b"/", None, ctypes.c_ulong(ms_rec | ms_private), None)
        if os.path.isdir(CONNECTIONS) and not os.path.ismount(CONNECTIONS):  # another run on this machine may have taken it away at its end
            libc.mount(b"none", CONNECTIONS.encode(), b"fusectl", ctypes.c_ulong(0), None)
        for point, (kind, _) in mounts().items():
            if kind == "fuse.sealfs":  # sealctl looks at all that it finds
                detach_here(point)


def main():
    """Runs the file's tests. Arguments that are no options select tests by a part of their name."""
    signal.signal(signal.SIGTERM, give_up)
    own_mount_table()
    arguments = [sys.argv[0]]
    for word in sys.argv[1:]:
        arguments += [word] if word.startswith("-") else ["-k", word]
    run = unittest.main(module="__main__", argv=arguments, exit=False, verbosity=2 if os.environ.get("SEALFS_TEST_VERBOSE") else 1)
    result = run.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) >= result.testsRun:
        for test, reason in result.skipped:
            print("%s: %s" % (test, reason))
        sys.exit(SKIP)
    sys.exit(0 if result.testsRun else 1)


if __name__ == "__main__":
    if sys.argv[1] == "--agent":
        agent_main(int(sys.argv[2]))
    elif sys.argv[1] == "--adopt":
        adopt(sys.argv[2:])
