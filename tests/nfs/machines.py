"""What the tests over NFS stand on: client machines, their NFS mounts and mounts of sealfs, and trials on them.

Runs in the guest of tests/nfs/bed, on its server; tests/mount/harness.py has the rest. A trial is an agent as there, but forked from a
process that waits on its machine with everything loaded (its *nursery*): Python takes a second to start in the guest.
"""

import ctypes
import errno
import json
import os
import pickle
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "mount"))

import harness
from harness import (CALL_ABANDON, CALL_CLAIM, CALL_MORE, CALL_RESERVE, CALL_RUN_BEGIN, CALL_RUN_END, CALL_SEAL, CALL_STATS, CALL_STATUS,
                     CALL_WAIT, NOBODY, PATIENCE, PYTHON, SLOWNESS, TOKEN, Agent, Mode, Mount, Process, SealfsTest, environment, pattern, task_file,
                     task_state, until)

LEASE = int(os.environ.get("BED_LEASE", "10"))  # seconds: of the server for NFSv4, and its time of grace
TRAVELS = bool(os.environ.get("BED_TRAVEL"))  # idle time costs nothing: tests can afford more of it
ON = os.path.join(HERE, "guest", "on")
VERSIONS = ("4.2", "4.1", "3")
# One mount for all users, as on a cluster; the trials are an ordinary user's.
CLUSTER = Mode("cluster", ["allow_other"], owner=0, trials=NOBODY)


def in_versions(*versions):
    """Makes one class a version of NFS out of a test class; "3,nolock" is one with other options than the usual."""
    def decorate(cls):
        module = sys.modules[cls.__module__]
        for words in versions or VERSIONS:
            version, *options = words.split(",")
            name = "%s_v%s" % (cls.__name__, re.sub(r"\W", "_", words))
            setattr(module, name, type(name, (cls,), {"version": version, "nfs_options": tuple(options), "__module__": cls.__module__}))
        return None
    return decorate


def command(*argv, patience=None):
    """A command of the bed; its output."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
                          env=environment(extra={"PATH": os.environ["PATH"]}), timeout=PATIENCE * 3 if patience is None else patience, check=False)
    if done.returncode:
        raise AssertionError("%s: status %d: %s" % (" ".join(argv), done.returncode, done.stdout.decode()))
    return done.stdout.decode()


def limit(seconds):
    """What something may take that consists of waiting; where idle time costs nothing a busy machine does not make it longer."""
    return seconds * (1 if TRAVELS else SLOWNESS)


def count_of(number, travelling):
    """How many rounds a test can afford: `travelling` of them where idle time costs nothing."""
    return travelling if TRAVELS else number


# ---------------------------------------------------------------- what is seen of others

def stacks(*pids):
    """Where the threads of these processes are, where the kernel tells."""
    said = []
    for pid in pids:
        for task in sorted(os.listdir("/proc/%d/task" % pid), key=int):
            said.append("-- %s %s: %s\n%s" % (task, task_file(pid, "task/%s/comm" % task).strip(), task_state(int(task)),
                                             task_file(pid, "task/%s/stack" % task)))
    return "\n".join(said)


def figure(text):
    """What was measured is told even when all is well."""
    with open(os.environ.get("BED_FIGURES", "/dev/stderr"), "a") as file:
        print(text, file=file)


# ---------------------------------------------------------------- calls of include/sealfs/control.h

def starts_call(agent, point, operation, path="", **fields):
    """A call through the mount at `point`; its value is (result, what the mount says)."""
    return agent.start("""
        fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            number, text, total = control(fd, operation, path, **fields)
            while len(text) < total:
                text += control(fd, more, offset=len(text))[1]
        finally:
            os.close(fd)
        result = number, json.loads(text) if text else None
    """, point=point, operation=operation, path=path, fields=fields, more=CALL_MORE)


def asks(agent, point, operation, path="", **fields):
    """The same to its good end: what the mount says."""
    result, said = starts_call(agent, point, operation, path, **fields).value()
    if result:
        raise AssertionError("%s: call %d for '%s' fails with %s: %s" % (agent.name, operation, path, harness.errno_name(-result), said))
    return said


# ---------------------------------------------------------------- trials

ROOM = 200  # bytes for a trial's name in the environment that a nursery was started with


def rename_in_environment(value):
    """Writes over the variable in the block that /proc/PID/environ shows, as if the process had been started so."""
    strings = ctypes.POINTER(ctypes.c_void_p).in_dll(harness.libc, "environ")
    index = 0
    while strings[index]:
        text = ctypes.string_at(strings[index])
        if text.startswith(b"SEALFS_TRIAL="):
            ctypes.memmove(strings[index], (b"SEALFS_TRIAL=" + os.fsencode(value)).ljust(len(text), b"\0"), len(text))
        index += 1
    os.environ["SEALFS_TRIAL"] = value


def nursery_main(fd):
    """Forks an agent for each message (trial, uid) that comes with a socket, and answers with its pid."""
    channel = socket.socket(fileno=fd)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, fds, _, _ = socket.recv_fds(channel, 4096, 1)
        if not message:
            return
        trial, uid = pickle.loads(message)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            os.setsid()
            rename_in_environment(trial or "")
            if uid:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            harness.agent_main(fds[0])
        os.close(fds[0])
        channel.sendall(b"%d\n" % pid)


class Trial(Agent):
    """An agent that a nursery has forked: nobody's child here, so how it ended is not known, only that it did."""

    def __init__(self, nursery, trial, uid, name):
        self.name, self.trial, self.log = name, trial, nursery.log
        self.channel, theirs = socket.socketpair()
        self.stream = self.channel.makefile("rb")
        with theirs:
            self.pid = nursery.fork(trial, uid, theirs)
        self.pidfd = os.pidfd_open(self.pid)
        self.ended = self.call = None

    def running(self):
        return not select.select([self.pidfd], [], [], 0)[0]

    def wait(self, patience=None):
        if not select.select([self.pidfd], [], [], PATIENCE if patience is None else patience)[0]:
            raise AssertionError("%s (pid %d) does not end: state %s\n%s" % (self.name, self.pid, task_state(self.pid), stacks(self.pid)))
        if self.ended is None:
            self.ended = time.monotonic()
        return None

    def kill(self, number=signal.SIGKILL, patience=None):
        if self.running():
            self.signal(number)
        self.wait(patience)
        return self.ended

    def signal(self, number):
        signal.pidfd_send_signal(self.pidfd, number)

    def must_run(self):
        if not self.running():
            raise AssertionError("%s has ended\n%s" % (self.name, self.output()[-4000:]))

    def close(self):
        if self.pidfd >= 0:
            self.kill()
            os.close(self.pidfd)
            self.pidfd = -1
        self.stream.close()
        self.channel.close()

    def starts_call(self, point, operation, path="", **fields):
        return starts_call(self, point, operation, path, **fields)

    def asks(self, point, operation, path="", **fields):
        return asks(self, point, operation, path, **fields)


def parked_of(pids):
    """As in the harness, but the mounts themselves say who waits: these kernels do not tell where a process sleeps."""
    found = set()
    for machine in Machine.mounting:
        for listed in asks(machine.asker, machine.point, CALL_STATUS):
            found.update(waiter["pid"] for waiter in listed["waiters"])
    return found & set(pids)


harness.parked_of = parked_of

nurseries = {}  # of this run of tests, by machine
marked_processes = harness.marked_processes
# a test that takes down what it has started leaves them to the next
harness.marked_processes = lambda: [pid for pid in marked_processes() if pid not in [nursery.pid for nursery in nurseries.values()]]


class Nursery(Process):
    def __init__(self, machine, log):
        ours, theirs = socket.socketpair()
        self.channel = ours
        try:
            super().__init__([ON, machine, PYTHON, os.path.join(HERE, "machines.py"), "--nursery", str(theirs.fileno())], log,
                             trial="-" * ROOM, pass_fds=[theirs.fileno()], name="nursery of " + machine)
        finally:
            theirs.close()

    def fork(self, trial, uid, channel):
        socket.send_fds(self.channel, [pickle.dumps((trial, uid))], [channel.fileno()])
        answer = self.channel.recv(100)
        if not answer:
            raise AssertionError("the nursery is gone\n" + self.output())
        return int(answer)

    def close(self):
        super().close()
        self.channel.close()


# ---------------------------------------------------------------- machines

class Machine:
    """A client machine, as one test uses it."""

    mounting = set()  # those that have a mount of sealfs

    def __init__(self, test, name):
        self.test, self.name = test, name
        self.version, self.nfs_options = test.version, test.nfs_options  # until it is mounted another one can be chosen
        self.asker = None
        with open("/bed/pid." + name) as file:
            self.pid = int(file.read())
        self.point = None  # of its last mount
        self.cut = self.dropping = self.without_server = False
        self.tcp = None

    @property
    def nfs(self):
        """The test's disk by NFS, in the version of the test; mounted once for all tests of a guest."""
        where = "/mnt/%s.%s.%s" % (self.name, self.test.disk, "-".join((self.version,) + self.nfs_options))
        if not os.path.ismount(where):
            command("attach", self.name, ",".join(("vers=" + self.version,) + self.nfs_options), self.test.disk, where)
        return where

    @property
    def bare(self):
        """The test's export, without sealfs."""
        return os.path.join(self.nfs, self.test.folder)

    def mount(self, *options, point=None):
        """Starts sealfs there."""
        point = point or self.test.make_dir("%s-%d" % (self.name, len(self.test.mounted)))
        mount = Mount(self.test, self.bare, point, self.test.mode.options + list(options), name="sealfs on " + self.name,
                      wrapper=[ON, self.name])
        self.test.mounted.append(mount)
        self.point = point
        self.asker = self.asker or self.trial("asker of " + self.name, uid=0)
        Machine.mounting.add(self)
        return mount

    def trial(self, name, uid=None):
        """A process of that trial."""
        trial = Trial(self.test.nursery(self.name), name, self.test.uid if uid is None else uid, "%s on %s" % (name, self.name))
        self.test.processes.append(trial)
        return trial

    def sealctl(self, *arguments, trial="tuner", uid=0):
        become = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"] if uid else []
        return self.test.run_program([ON, self.name] + become + [self.test.sealctl_path] + list(arguments), trial=trial, uid=0)

    def spawn(self, argv, **more):
        """A process of root's."""
        return self.test.spawn([ON, self.name] + list(argv), uid=0, **more)

    def stats(self):
        """What its last mount has done."""
        return asks(self.asker, self.point, CALL_STATS)

    # -- the network

    def link(self, state):
        command("link", self.name, state)
        self.cut = state == "down"

    def server_path(self, state):
        """"down": what it sends to the server gets lost, and only that."""
        command(ON, self.name, "/sbin/ip", "neigh", *(("del", "10.99.0.1") if state == "up" else
                                                      ("replace", "10.99.0.1", "lladdr", "02:00:00:00:00:01", "nud", "permanent")), "dev", "eth0")
        self.without_server = state == "down"

    def tcp_waits(self, seconds):
        """At least so long for the first answer, then twice as long, and so on; None: as usual."""
        command(ON, self.name, "/sbin/ip", "route", "change", "10.99.0.0/24", "dev", "eth0",
                *(("rto_min", "%dms" % (seconds * 1000)) if seconds else ()))
        self.tcp = seconds

    def datagrams(self, what):
        """Those to other clients: "drop" or "pass"."""
        command("datagrams", self.name, what)
        self.dropping = what == "drop"

    def statistics(self):
        """What the NFS client tells of the mount at .nfs."""
        where = " mounted on %s with " % self.nfs
        with open("/proc/%d/mountstats" % self.pid) as file:
            return next(part for part in file.read().split("\ndevice ") if where in part)

    def rpcs(self):
        """{procedure: how many were sent} since it was mounted, without those that were never used."""
        listed = self.statistics().split("per-op statistics")[1]
        return {name: int(sent) for name, sent in re.findall(r"^\s*(\w+): \d+ (\d+) ", listed, re.M) if sent != "0"}

    def wire_bytes(self):
        """Bytes that READs brought and WRITEs took."""
        numbers = [int(word) for word in re.search(r"^\s*bytes:\s+(.*)$", self.statistics(), re.M).group(1).split()]
        return numbers[4], numbers[5]


class MachinesTest(SealfsTest):
    """An export of its own on the server, and two machines a and b."""

    mode = CLUSTER
    base = "/mnt"  # what a machine mounts there is seen by all
    version = "4.2"
    nfs_options = ()
    disk = "main"  # of the server

    def setUp(self):
        super().setUp()
        self.folder = os.path.basename(self.scratch)
        self.served = os.path.join("/export", self.disk, self.folder)
        os.mkdir(self.served)
        os.chmod(self.served, 0o777)
        self.machines = {name: Machine(self, name) for name in "ab"}
        self.a, self.b = self.machines.values()

    def clean_up(self):
        """What the test has cut is made whole before the rest is taken down."""
        for machine in self.machines.values():
            if machine.cut:
                machine.link("up")
            if machine.dropping:
                machine.datagrams("pass")
            if machine.without_server:
                machine.server_path("up")
            if machine.tcp:
                machine.tcp_waits(None)
        Machine.mounting.clear()
        super().clean_up()
        shutil.rmtree(self.served, ignore_errors=True)

    @staticmethod
    def nursery(machine):
        if machine not in nurseries:
            nurseries[machine] = Nursery(machine, os.path.join("/tmp", "nursery-%s-%s" % (TOKEN, machine)))
        return nurseries[machine]

    # -- what is on the server's own file system

    def ends(self, path):
        """The records of its ends: {generation: text}."""
        folder = os.path.join(self.served, ".sealfs/state", path)
        found = {}
        for name in os.listdir(folder):
            if name.endswith(".end"):
                with open(os.path.join(folder, name)) as file:
                    found[int(name[:-4])] = file.read()
        return found


def main():
    """As harness.main(), but the mounts are to be seen by all machines."""
    harness.own_mount_table = lambda: None
    try:
        harness.main()
    finally:
        for nursery in nurseries.values():
            nursery.close()


if __name__ == "__main__":
    nursery_main(int(sys.argv[2]))
