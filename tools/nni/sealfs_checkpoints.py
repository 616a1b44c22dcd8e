"""What the tuners here ask of sealfs, all of it through sealctl(1)."""

import json
import logging
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

_log = logging.getLogger("sealfs")

# As sealctl(1) tells of a path that lies inside a checkpoint, and of one that sealfs knows nothing of.
_INSIDE = "it is inside checkpoint"
_FOREIGN = "it is neither in a sealfs mount nor on an export"


# Seconds after a trial's end in which its own machine usually has sealed.
_SEALED_SOON = 30


class SealfsError(RuntimeError):
    """What sealctl or sealtuner could not do, in their own words."""


class ForeignPath(SealfsError):
    """The path is in no sealfs mount."""


class Status:
    """How a checkpoint stands: state and generation as in sealctl(1)."""

    def __init__(self, entry):
        self.state = entry["state"]
        self.generation = entry["generation"]
        self.writer = entry.get("writer")
        self.sealing = entry.get("sealing", False)
        self.reason = entry.get("reason")
        self.mounted = "mount" in entry

    def __str__(self):
        words = self.state
        if self.writer:
            words += ", writer '%s'" % self.writer
        return words + (": " + self.reason if self.reason else "")


class Checkpoints:
    """Checkpoints by path. The methods may be called from several threads at once; each starts a sealctl and waits for its end, which
    is a matter of milliseconds but for seal()."""

    def __init__(self, sealctl=None):
        self.sealctl = sealctl or os.environ.get("SEALCTL") or "sealctl"

    def find(self, path):
        """The checkpoint that `path` names or lies in. SealfsError if it lies above the checkpoints, ForeignPath if outside of sealfs."""
        if not os.path.isabs(path):
            raise SealfsError("'%s' is not an absolute path: trials do not run in the tuner's directory" % path)
        path = os.path.normpath(path)
        while True:
            status, out, error = self._run("status", "--json", path)
            if status == 0 and self._is_checkpoint(path, json.loads(out)):
                return path
            if status == 0:
                self._call("reserve", path)  # which is refused with the depth that this export has
                raise SealfsError("'%s' lies above the checkpoints of its export" % path)
            if _INSIDE not in error:
                raise (ForeignPath if _FOREIGN in error else SealfsError)(error)
            path = os.path.dirname(path)

    def status(self, checkpoint):
        return Status(json.loads(self._call("status", "--json", checkpoint))[0])

    @staticmethod
    def make_above(checkpoint):
        """The directories above it, which are ordinary ones."""
        os.makedirs(os.path.dirname(checkpoint), exist_ok=True)

    def reserve(self, checkpoint, writer=None):
        """Makes it pending: who opens something in it waits."""
        self._call("reserve", *(["--writer", writer] if writer else []), checkpoint)

    def seal(self, checkpoint):
        """Returns when everything in it is durable and hashed."""
        self._call("seal", checkpoint)

    def wait(self, checkpoint, seconds):
        """Until it has ended, but not longer than that."""
        self._run("wait", "--timeout", str(seconds), checkpoint)

    def abandon(self, checkpoint, reason):
        """Whoever waits for it gets the error EOWNERDEAD."""
        self._call("abandon", "--reason", reason, checkpoint)

    @staticmethod
    def _is_checkpoint(path, entries):
        """A path above the checkpoints is answered with all that are below it."""
        if len(entries) != 1:
            return False
        below = os.path.relpath(path, entries[0].get("mount") or entries[0].get("export"))
        return below.count("/") == entries[0]["path"].count("/")

    def _call(self, *words):
        status, out, error = self._run(*words)
        if status:
            raise SealfsError(error)
        return out

    def _run(self, *words):
        return run(self.sealctl, *words)


def run(program, *words):
    """(exit status, output, what it said on standard error); SealfsError if it can not be started."""
    try:
        done = subprocess.run([program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    except OSError as problem:
        raise SealfsError("cannot run '%s': %s; is sealfs installed on the machine of the tuner?" % (program, problem.strerror)) from problem
    error = done.stderr.decode(errors="replace").strip() or "%s %s ended with status %d" % (program, words[0], done.returncode)
    return done.returncode, done.stdout.decode(errors="surrogateescape"), error


class Settler:
    """Ends the checkpoints of trials that have ended, in threads of its own: NNI's have more to do, and a seal takes its time.

    `sealctl run` and the kernel usually were faster. What is left: a reservation that nobody used, a trial that was cancelled, a kernel that
    does not tell."""

    def __init__(self, checkpoints):
        self.checkpoints = checkpoints
        self._threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="sealfs")

    def submit(self, checkpoint, trial, success, before=0):
        """`trial`: as messages call it. `before`: the last generation of the checkpoint that has nothing to do with it."""
        self._threads.submit(self._settle, checkpoint, trial, success, before)

    def finish(self):
        """Waits for what was submitted; nothing is, afterwards."""
        self._threads.shutdown(wait=True)

    def _settle(self, checkpoint, trial, success, before):
        try:
            self._settle_as(self.checkpoints.status(checkpoint), checkpoint, trial, success, before)
        except Exception as problem:
            _log.error("%s has ended, but '%s' could not be ended with it: %s", trial, checkpoint, problem)

    def _settle_as(self, status, checkpoint, trial, success, before):
        if status.state == "pending":
            self.checkpoints.abandon(checkpoint, "%s ended %s and has written nothing" % (trial, "well" if success else "badly"))
        elif status.state == "open" and not success:
            self.checkpoints.abandon(checkpoint, "NNI says that %s has failed or was cancelled" % trial)
        elif status.state == "open" and not status.sealing:
            self._seal(checkpoint, trial)
        elif status.state == "failed" and success and status.generation > before:
            _log.error("%s ended well, but '%s' is %s; write 'sealctl run --' in front of the trial's command", trial, checkpoint, status)
        elif status.state == "absent" and success:
            _log.warning("%s ended well and has saved nothing in '%s'", trial, checkpoint)

    def _seal(self, checkpoint, trial):
        try:
            self.checkpoints.seal(checkpoint)
        except SealfsError as problem:
            # another machine or mount is to seal it, or just did
            self.checkpoints.wait(checkpoint, _SEALED_SOON)
            status = self.checkpoints.status(checkpoint)
            if status.state != "sealed" and not status.sealing:
                _log.warning("%s ended well, but '%s' is %s: %s", trial, checkpoint, status, problem)
