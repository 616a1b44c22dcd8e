#!/usr/bin/python3
"""crash.py SCRIPT [ARGUMENTS]: runs SCRIPT, and kills it (SIGKILL) when half of its first torch.save() is written.

What the out-of-memory killer or a scheduler does now and then; the script itself is not changed.
"""
import io
import os
import runpy
import signal
import sys

import torch


def save_half_and_die(obj, path):
    whole = io.BytesIO()
    real_save(obj, whole)
    data = whole.getvalue()
    with open(path, "wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        print(f"killed with {len(data) // 2} of {len(data)} bytes of {path} written", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


real_save, torch.save = torch.save, save_half_and_die
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
