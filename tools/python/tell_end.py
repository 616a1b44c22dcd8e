#!/usr/bin/python3
"""Runs a script, and tells `sealctl run` the moment it has ended well.

    sealctl run -- python3 /usr/local/share/sealfs/python/tell_end.py train.py --lr 0.1
    sealctl run -- python3 /usr/local/share/sealfs/python/tell_end.py -m package.train --lr 0.1

When a script is done, its interpreter is taken apart: with PyTorch imported that takes some tenths of a second, on a busy machine a whole one.
`sealctl run` knows that a command has ended well only when its process is gone, so whoever waits for the checkpoint waits for that as well. Run by this
program, the script says so itself: after its last line (or sys.exit(0)), its threads and its atexit functions. What it has then still open
for writing is waited for, as ever. Nothing is said after an exception or another status: what counts then is how the process ends.

The script is the same as when python3 runs it: its name, arguments, sys.path[0] and module __main__. Without `sealctl run` nothing is told to anybody.
"""

import atexit
import builtins
import contextlib
import io
import os
import runpy
import signal
import sys
import types

USAGE = "usage: python3 tell_end.py SCRIPT [ARG...]\n       python3 tell_end.py -m MODULE [ARG...]"


class End:
    """Made before the script runs, and so the last of all that happens at exit."""

    def __init__(self):
        self.good, self.pid, self.wrapper = False, os.getpid(), os.environ.get("SEALCTL_RUN", "")
        atexit.register(self.tell)

    def tell(self):
        """To the wrapper alone: a process that the script has forked ends too, and so does a script that another command has started."""
        if not self.good or os.getpid() != self.pid or str(os.getppid()) != self.wrapper:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None and not stream.closed:
                    stream.flush()
        except OSError:
            return  # python3 will end with status 120
        with contextlib.suppress(OSError):
            os.kill(os.getppid(), signal.SIGRTMIN)


def run_script(path):
    """In a module __main__ that stays, for threads and atexit functions."""
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    module = types.ModuleType("__main__")
    module.__file__, module.__builtins__, module.__cached__ = path, builtins, None
    try:
        with io.open_code(path) as file:
            text = file.read()
    except OSError as error:
        refuse("cannot read '%s': %s" % (path, error.strerror))
    code = compile(text, path, "exec", dont_inherit=True)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def run_module(name):
    sys.path[0] = os.getcwd()
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def refuse(why):
    sys.stderr.write("tell_end.py: %s\n%s\n" % (why, USAGE))
    sys.exit(2)


def arguments():
    """The script or None, the module or None. What is left in sys.argv is the script's."""
    words = sys.argv[1:]
    is_module = words[:1] == ["-m"]
    if len(words) < 1 + is_module:
        refuse("the %s is missing" % ("module" if is_module else "script"))
    if words[0].startswith("-") and not is_module:
        refuse("'%s': options of python3 come before tell_end.py, those of the script after its name" % words[0])
    sys.argv[:] = words[is_module:]
    return (None, sys.argv[0]) if is_module else (sys.argv[0], None)


def main():
    script, module = arguments()
    end = End()
    try:
        run_script(script) if script else run_module(module)
    except SystemExit as status:
        end.good = status.code is None or (isinstance(status.code, int) and status.code == 0)
        raise
    end.good = True


if __name__ == "__main__":
    main()
