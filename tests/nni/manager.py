"""A stand-in for NNI's manager and its local training service, for tests: starts the dispatcher (tests/nni/sdk) with a tuner, asks it for
trials, runs them as NNI does (run.sh, NNI_* variables, parameter.cfg, metrics) on "machines" that are mounts of one export, and
reports results and ends. Everything that happens is an event on a descriptor; nothing polls.
"""

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import selectors
import shutil
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "mount"))

from harness import PATIENCE, PYTHON, TOP, tools  # noqa: E402

# NNI itself instead of the stand-in (tests/nni/sdk), if somebody has it: what PYTHONPATH needs for it. It speaks one of the two forms.
REAL = os.environ.get("SEALFS_TEST_NNI", "")

RUN_SH = """#!/bin/bash
cd {directory}
eval {command} >stdout 2>stderr
echo $? >.nni/state
"""


def published():
    """A directory that every user may read, with the SDK, the tuners (tools/nni) and the trials: the checkout may be closed to others."""
    place = os.path.join(tools(), "nni")
    if not os.path.isdir(place):
        shutil.copytree(os.path.join(HERE, "sdk"), os.path.join(place, "sdk"))
        for source in (os.path.join(TOP, "tools/nni"), HERE):
            for name in os.listdir(source):
                if name.endswith(".py"):
                    shutil.copy(os.path.join(source, name), place)
        for top, _, files in os.walk(place):
            os.chmod(top, 0o755)
            for name in files:
                os.chmod(os.path.join(top, name), 0o755)
    return place


class Job:
    """A trial. state: waiting, running, SUCCEEDED or FAILED."""

    def __init__(self, sequence, text):
        self.id = "%s%02d" % (os.urandom(2).hex(), sequence)
        self.sequence, self.text = sequence, text
        content = json.loads(text)
        self.parameter_id, self.parameters = content["parameter_id"], content["parameters"]
        self.state, self.process, self.metrics = "waiting", None, b""
        self.result = None
        self.directory = None

    def file(self, name):
        with contextlib.suppress(OSError), open(os.path.join(self.directory, name), errors="replace") as file:
            return file.read()
        return ""

    def said(self):
        """What it printed: NNI's own SDK writes that to a log of its own."""
        return self.file("stdout") + self.file("trial.log")

    def __str__(self):
        return "trial %s (%s) %s\n%s%s" % (self.id, self.state, self.parameters, self.said(), self.file("stderr"))


class Manager:
    """An experiment. `tuner`: as in NNI's configuration, without codeDirectory. `machines`: paths of mounts; parameters have paths of the first."""

    def __init__(self, test, tuner, command, machines, search_space=None, websocket=False, wrapper="", env=None):
        self.test, self.machines, self.wrapper = test, machines, wrapper
        self.command, self.env = command, env or {}
        self.place = published()
        self.sdk = REAL or os.path.join(self.place, "sdk")
        self.jobs, self.initialized, self.none_left = [], False, False
        self.top = test.make_dir("experiment-%d" % len(test.logs), 0o755, test.uid)
        self.select = selectors.DefaultSelector()
        self.buffer = b""
        self.concurrency = self.wanted = 0
        self.asked = 0
        self.automatic = False
        self.failure = None
        if REAL:
            websocket = not os.path.exists(os.path.join(REAL.split(":", 1)[0], "nni/runtime/protocol.py"))
        self.start_dispatcher({"tuner": dict(tuner, codeDirectory=self.place)}, websocket)
        self.send("IN", json.dumps(search_space or {}))
        self.until(lambda: self.initialized, "the tuner's initialisation")

    # -- the dispatcher

    def environment(self, **more):
        return {"PATH": tools() + ":/usr/local/bin:/usr/bin:/bin", "HOME": self.top, "PYTHONPATH": self.sdk + ":" + self.place, **self.env, **more}

    def start_dispatcher(self, config, websocket):
        self.bridge = None
        into, self.out = os.pipe()
        self.incoming, outof = os.pipe()
        env = {"SDK_PROCESS": "dispatcher", "NNI_MODE": "create", "NNI_CHECKPOINT_DIRECTORY": self.top, "NNI_LOG_DIRECTORY": self.top,
               "NNI_LOG_LEVEL": "info", "NNI_INCLUDE_INTERMEDIATE_RESULTS": "false"}
        if websocket:
            self.bridge = Bridge(into, outof, os.path.exists(os.path.join(REAL.split(":", 1)[0], "nni/runtime/command_channel")))
            argv, fds = [], []
            env["NNI_TUNER_COMMAND_CHANNEL"] = self.bridge.url
        else:
            fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (into, outof)]
            place = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
            argv = [PYTHON, "-c", place] + ["%d" % fd for fd in fds]
            os.close(into)
            os.close(outof)
        parameters = base64.b64encode(json.dumps(config).encode()).decode()
        self.dispatcher = self.test.spawn(argv + [PYTHON, "-m", "nni", "--exp_params", parameters], name="dispatcher", pass_fds=fds,
                                          env=self.environment(**env))
        for fd in fds:
            os.close(fd)
        os.set_blocking(self.incoming, False)
        self.select.register(self.incoming, selectors.EVENT_READ, self.hear)
        self.select.register(self.dispatcher.pidfd, selectors.EVENT_READ, self.dispatcher_gone)

    def dispatcher_gone(self):
        self.select.unregister(self.dispatcher.pidfd)
        self.failure = self.failure or "the dispatcher is gone"

    def send(self, command, text):
        data = text.encode()
        message = b"%b%014d%b" % (command.encode(), len(data), data)
        with contextlib.suppress(BrokenPipeError):
            while message:
                message = message[os.write(self.out, message):]

    def hear(self):
        """What the dispatcher says."""
        data = os.read(self.incoming, 1 << 20)
        if not data:
            self.select.unregister(self.incoming)
            return
        self.buffer += data
        while len(self.buffer) >= 16 and len(self.buffer) >= 16 + int(self.buffer[2:16]):
            size = int(self.buffer[2:16])
            command, text = self.buffer[:2].decode(), self.buffer[16:16 + size].decode()
            self.buffer = self.buffer[16 + size:]
            if command == "ID":
                self.initialized = True
            elif command == "TR":
                self.jobs.append(Job(len(self.jobs), text))
                self.launch_some()
            elif command == "NO":
                self.none_left = True
            else:
                self.failure = "the dispatcher says '%s' %s" % (command, text)

    # -- trials

    def request(self, count):
        self.asked += count
        self.send("GE", "%d" % count)

    def launch(self, job, machine=0):
        """As NNI's local training service does: the script's status is written down, run.sh itself always ends with 0."""
        job.directory = os.path.join(self.top, job.id)
        os.makedirs(os.path.join(job.directory, ".nni"))
        os.mkfifo(os.path.join(job.directory, ".nni", "metrics"))
        job.fifo = os.open(os.path.join(job.directory, ".nni", "metrics"), os.O_RDWR | os.O_NONBLOCK)
        with open(os.path.join(job.directory, "parameter.cfg"), "w") as file:
            file.write(job.text.replace(self.machines[0], self.machines[machine]))
        with open(os.path.join(job.directory, "run.sh"), "w") as file:
            file.write(RUN_SH.format(directory=job.directory, command=" ".join([self.wrapper, self.command])))
        self.test.give(job.directory)
        env = self.environment(NNI_PLATFORM="local", NNI_EXP_ID="exp", NNI_SYS_DIR=job.directory, NNI_TRIAL_JOB_ID=job.id,
                               NNI_OUTPUT_DIR=job.directory, NNI_TRIAL_SEQ_ID="%d" % job.sequence, MULTI_PHASE="false")
        job.process = self.test.spawn(["/bin/bash", os.path.join(job.directory, "run.sh")], name="trial " + job.id, env=env)
        job.state = "running"
        self.select.register(job.fifo, selectors.EVENT_READ, lambda: self.metric(job))
        self.select.register(job.process.pidfd, selectors.EVENT_READ, lambda: self.ended(job))
        return job

    def launch_some(self):
        running = sum(job.state == "running" for job in self.jobs)
        for job in self.jobs:
            if self.automatic and job.state == "waiting" and running < self.concurrency:
                self.launch(job, job.sequence % len(self.machines))
                running += 1

    def metric(self, job):
        with contextlib.suppress(BlockingIOError):
            job.metrics += os.read(job.fifo, 1 << 16)
        while len(job.metrics) >= 8:
            size = int(job.metrics[2:8])
            text, job.metrics = job.metrics[8:8 + size].decode(), job.metrics[8 + size:]
            content = json.loads(text)
            if content["type"] == "FINAL":
                job.result = json.loads(content["value"])
            self.send("ME", text)

    def ended(self, job):
        job.process.wait()
        job.ended = time.monotonic()
        self.metric(job)
        self.select.unregister(job.fifo)
        self.select.unregister(job.process.pidfd)
        os.close(job.fifo)
        job.state = "SUCCEEDED" if job.file(".nni/state").strip() == "0" else "FAILED"
        self.send("EN", json.dumps({"trial_job_id": job.id, "event": job.state, "hyper_params": job.text}))
        if self.asked < self.wanted:
            self.request(1)
        self.launch_some()

    # -- the experiment

    def until(self, condition, what, patience=None):
        deadline = time.monotonic() + (PATIENCE if patience is None else patience)
        while not condition():
            left = deadline - time.monotonic()
            if self.failure or left <= 0:
                raise AssertionError("%s, waiting for %s\n%s\n%s" % (
                    self.failure or "in vain", what, self.log()[-4000:], "\n".join(str(job) for job in self.jobs if job.directory)[-6000:]))
            ready = self.select.select(min(left, 1))
            for key, _ in ready:
                key.data()
            if not ready:  # a dispatcher whose tuner has raised ends when it hears something
                self.send("PI", "")

    def over(self):
        return all(job.state not in ("waiting", "running") for job in self.jobs)

    def run(self, trials, concurrency, patience=None):
        """Until that many trials have ended."""
        self.automatic, self.wanted, self.concurrency = True, trials, concurrency
        self.request(min(concurrency, trials))
        self.until(lambda: len(self.jobs) >= trials and self.over(), "%d trials to end" % trials, patience)

    def stop(self, expect=0):
        """Terminates the dispatcher; returns what it has logged."""
        self.send("TE", "")
        status = self.dispatcher.wait()
        self.test.assertEqual(status, 0 if REAL else expect, self.log()[-6000:])
        for fd in (self.out, self.incoming):
            os.close(fd)
        if self.bridge:
            self.bridge.close()
        self.select.close()
        return self.log()

    def log(self):
        """NNI's own SDK has a file for it."""
        text = self.dispatcher.output()
        with contextlib.suppress(OSError), open(os.path.join(self.top, "dispatcher.log"), errors="replace") as file:
            text += file.read()
        return text


class Bridge:
    """The manager's end of the websocket form: passes on what is in the pipes. `objects`: as NNI 3.0 has it, a message is a JSON object."""

    def __init__(self, into, outof, objects):
        import websockets
        self.objects = objects
        self.websockets = websockets
        self.into, self.outof = into, outof
        self.loop = asyncio.new_event_loop()
        self.served = None
        ready = threading.Event()
        self.thread = threading.Thread(target=self.main, args=(ready,))
        self.thread.start()
        if not ready.wait(PATIENCE):
            raise AssertionError("no websocket server")

    def main(self, ready):
        self.loop.run_until_complete(self.serve(ready))

    async def serve(self, ready):
        self.done = asyncio.Event()
        async with self.websockets.serve(self.handle, "127.0.0.1", 0, max_size=None) as server:
            self.url = "ws://127.0.0.1:%d/tuner" % server.sockets[0].getsockname()[1]
            ready.set()
            await self.done.wait()

    async def handle(self, socket):
        reader = asyncio.StreamReader()
        transport, _ = await self.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), open(self.into, "rb", closefd=False))

        async def forward():
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    header = await reader.readexactly(16)
                    await socket.send(self.encode(header[:2].decode(), (await reader.readexactly(int(header[2:]))).decode()))
        task = asyncio.ensure_future(forward())
        with contextlib.suppress(self.websockets.ConnectionClosed):
            while True:
                command, text = self.decode(await socket.recv())
                data = text.encode()
                if len(command) == 2:  # not that it takes its leave
                    os.write(self.outof, b"%b%014d%b" % (command.encode(), len(data), data))
        task.cancel()
        transport.close()
        self.done.set()

    def encode(self, command, text):
        return json.dumps({"type": command, "content": text}) if self.objects else command + text

    def decode(self, message):
        content = json.loads(message) if self.objects else {"type": message[:2], "content": message[2:]}
        return content["type"], content.get("content", "")

    def close(self):
        self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join(PATIENCE)
        os.close(self.into)
        os.close(self.outof)
