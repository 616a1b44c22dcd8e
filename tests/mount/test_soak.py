#!/usr/bin/python3
# time limit: 600
"""Trials at random, of which many die: whatever anybody reads was all written by one trial that ended well, and is all that it wrote.

Writers make checkpoints of a few names through two mounts, in the ways that programs have, and end well, badly or by SIGKILL at any moment; readers come before, during and
after; mounts are killed and come back; checkpoints are removed. Each file tells which attempt wrote it, how long it is and how many files there are, so that a reader sees by
himself whether he was given what nobody sealed. SOAK=N: so many attempts instead of a few; SOAK_SEED=N: those of a run that failed.
"""

import json
import os
import random
import select

from harness import DAEMON, PYTHON, ROOT, SLOWNESS, SealfsTest, in_modes, main, until

ATTEMPTS = int(os.environ.get("SOAK", "120"))
NAMES = 8
AT_ONCE = 6

# A writer: CHECKPOINT ATTEMPT SEED. Says "done" as the last thing before it ends well.
WRITER = r"""
import os, random, signal, sys, time
path, attempt, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
dice = random.Random(seed)
count = dice.randint(1, 5)
fate = dice.choice(("good", "good", "good", "exit", "kill"))
steps = dice.randrange(40) if fate != "good" else -1

def step():
    global steps
    if steps == 0:
        if fate == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(5)
    steps -= 1
    if dice.random() < 0.1:
        time.sleep(dice.random() / 100)

def body(index):
    length = random.Random(seed * 100 + index).choice((10, 4096, 5000, 70000, 300000))
    return ("%s %d %d %d\n" % (attempt, index, count, length)).encode() + (b"%s-%d." % (attempt.encode(), index)) * (length // 8)

def write(name, data):
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    while data:
        size = min(len(data), dice.choice((1000, 20000, 200000)))
        os.write(file, data[:size])
        data = data[size:]
        step()
    os.close(file)

def save(index):
    name = "%s/f%d" % (path, index)
    how = dice.randrange(5)
    if how == 0:
        write(name + ".tmp", body(index))
        os.rename(name + ".tmp", name)
    elif how == 1:
        write(name, b"an earlier state")
        step()
        write(name, body(index))
    elif how == 2:
        child = os.fork()
        if child == 0:
            write(name, body(index))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            os._exit(6)
    elif how == 3:
        write(name + ".part", body(index))
        os.link(name + ".part", name)
        os.unlink(name + ".part")
    else:
        write(name, body(index))

try:
    os.mkdir(path)
except OSError as error:
    print("refused", error.errno, flush=True)
    sys.exit(7)
try:
    for index in dice.sample(range(count), count):
        save(index)
        step()
    if fate != "good":
        steps = 0
        step()
except OSError as error:
    print("failed", error.errno, flush=True)
    os._exit(8)
print("done", flush=True)
os._exit(0)
"""

# A reader: CHECKPOINT. Prints "absent", "died", "gone" (removed while it was read) or "read ATTEMPT"; anything else is a fault of the file system.
READER = r"""
import errno, os, sys
path = sys.argv[1]
try:
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    names = os.listdir(top)
except OSError as error:
    if error.errno == errno.ENOENT: print("absent")
    elif error.errno == errno.EOWNERDEAD: print("died")
    elif error.errno == errno.ESTALE: print("gone")
    elif error.errno in (errno.ENOTCONN, errno.ECONNABORTED): print("unmounted")
    else: print("FAULT", error)
    sys.exit()
attempts = set()
try:
    for name in names:
        file = os.open(name, os.O_RDONLY, dir_fd=top)
        data = b""
        while True:
            more = os.read(file, 1 << 20)
            if not more: break
            data += more
        os.close(file)
        line, _, rest = data.partition(b"\n")
        words = line.decode(errors="replace").split()
        if len(words) != 4: raise ValueError("%s begins with %r" % (name, line[:40]))
        attempt, index, count, length = words[0], int(words[1]), int(words[2]), int(words[3])
        if name != "f%d" % index: raise ValueError("%s is named %s" % (index, name))
        if count != len(names): raise ValueError("%d of %d files: %s" % (len(names), count, names))
        if rest != (b"%s-%d." % (attempt.encode(), index)) * (length // 8): raise ValueError("%s is not whole: %d" % (name, len(data)))
        attempts.add(attempt)
    if len(attempts) != 1: raise ValueError("of several attempts: %s" % attempts)
except OSError as error:
    print({errno.ENOENT: "gone", errno.ESTALE: "gone", errno.EOWNERDEAD: "died", errno.ENOTCONN: "unmounted", errno.ECONNABORTED: "unmounted"}.get(error.errno,
          "FAULT %s" % error))
except ValueError as error:
    print("FAULT", error)
else:
    print("read", attempts.pop())
"""


@in_modes(ROOT, DAEMON)
class Soak(SealfsTest):
    def setUp(self):
        super().setUp()
        self.need_exit_info()
        self.uid = ROOT.trials  # who may not write into the bare mountpoint, while nothing is mounted there
        self.seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 30)))
        self.dice = random.Random(self.seed)
        self.a = self.mount(name="mount A")
        self.b = self.second_mount(name="mount B")
        self.running = {}  # pidfd: (process, kind, attempt)
        self.outcomes = {}
        self.well_ended = set()

    def begin(self, code, kind, trial, *arguments):
        process = self.spawn([PYTHON, "-S", "-E", "-c", code, *arguments], trial=trial, name="%s %s" % (kind, trial))
        self.running[process.pidfd] = (process, kind, trial)

    def end_one(self):
        """Takes in all that have ended, at least one."""
        poll = select.poll()
        for fd in self.running:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(60000 * SLOWNESS)
        self.assertTrue(ready, "nobody ends any more: %s\n%s" % ([(kind, trial) for _, kind, trial in self.running.values()],
                                                                  self.ctl("status", self.a.path, self.b.path).out))
        for fd, _ in ready:
            process, kind, trial = self.running.pop(fd)
            status, said = process.wait(), process.output().strip()
            words = said.split() or ["killed"]
            if kind == "reader" and (status or words[0] == "FAULT"):
                self.fail("seed %d: %s: %s\n%s" % (self.seed, trial, said, self.story(process.argv[-1].decode())))
            if kind == "writer" and status == 0:
                self.well_ended.add(trial)
            if words[0] == "read":
                self.assertIn(words[1], self.well_ended | {trial for _, _, trial in self.running.values()}, "seed %d" % self.seed)
            outcome = kind + " " + words[0]
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            process.close()
            self.processes.remove(process)

    def story(self, path):
        """What the mounts have said of the checkpoint lately."""
        name = "'%s" % os.path.basename(path)
        return "\n".join([path] + ["%s: %s" % (name_of_log, line) for name_of_log, log in self.logs if "mount" in name_of_log
                                   for line in open(log, errors="replace").read().splitlines() if name in line][-30:])

    def path(self):
        return "%s/c%d" % (self.dice.choice((self.a, self.b)).path, self.dice.randrange(NAMES))

    def break_mount(self):
        """Its writers fail, its readers get an error; then it is there again."""
        which = self.dice.choice("ab")
        mount = getattr(self, which)
        mount.kill()
        mount.clear()
        setattr(self, which, self.mount(point=mount.path, name="mount %s again" % which.upper()))

    def test_nobody_is_given_what_nobody_sealed(self):
        print("SOAK_SEED=%d" % self.seed, flush=True)
        for number in range(ATTEMPTS):
            while len(self.running) >= AT_ONCE:
                self.end_one()
            throw = self.dice.random()
            if throw < 0.4:
                self.begin(WRITER, "writer", "w%d" % number, self.path(), "w%d" % number, str(self.dice.randrange(1 << 30)))
            elif throw < 0.75:
                self.begin(READER, "reader", "r%d" % number, self.path())
            elif throw < 0.98:
                self.sealctl("rm", self.path())
            else:
                self.break_mount()
        while self.running:
            self.end_one()
        self.check_states()
        print(json.dumps(self.outcomes, sort_keys=True))

    def check_states(self):
        def settled():
            return {entry["path"]: entry["state"] for entry in json.loads(self.ctl("status", "--json", self.a.path).out) if entry["state"] not in ("sealed", "failed")}
        until(lambda: not settled(), lambda: "the ends of all: %s" % settled())
        for mount in (self.a, self.b):
            for entry in json.loads(self.ctl("status", "--json", mount.path).out):
                if entry["state"] == "sealed":
                    self.assertIn(entry["writer"], self.well_ended, "seed %d" % self.seed)
                    self.begin(READER, "reader", "check", entry["path"])
            while self.running:
                self.end_one()
        self.assertNotIn("FAULT", str(self.outcomes))
        self.ctl("verify", self.export)


if __name__ == "__main__":
    main()
