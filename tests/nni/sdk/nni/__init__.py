"""A stand-in for NNI's Python SDK, written for these tests from the behaviour of NNI 1.x to 3.0; it contains nothing of NNI's.

Real are: the names and signatures that a tuner and a trial see, the commands on descriptors 3 and 4 (up to 2.7) and on the websocket (2.8 on),
the two queues with a thread each that a trial's result and its end go through, the trial's parameter.cfg and metrics.
Stood in for: everything else. The dispatcher ends with status 1 when the tuner raised, so that a test sees it.
"""

import json
import os

__version__ = "0.stand-in"


class NoMoreTrialError(Exception):
    pass


# -- a trial's side: NNI_SYS_DIR/parameter.cfg to read, NNI_SYS_DIR/.nni/metrics to append to

_parameters = None


def get_next_parameter():
    global _parameters
    with open(os.path.join(os.environ["NNI_SYS_DIR"], "parameter.cfg")) as file:
        _parameters = json.load(file)
    return _parameters["parameters"]


def get_trial_id():
    return os.environ["NNI_TRIAL_JOB_ID"]


def report_intermediate_result(metric):
    _report("PERIODICAL", metric)


def report_final_result(metric):
    _report("FINAL", metric)


def _report(kind, metric):
    data = json.dumps({"parameter_id": _parameters["parameter_id"], "trial_job_id": get_trial_id(), "type": kind, "sequence": 0,
                       "value": json.dumps(metric)}).encode() + b"\n"
    with open(os.path.join(os.environ["NNI_SYS_DIR"], ".nni", "metrics"), "ab") as file:
        file.write(b"ME%06d%b" % (len(data), data))
