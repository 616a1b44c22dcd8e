"""A trial of population based training, in the order of NNI's example: load if there is something (isfile), train, report, and only then save,
some time later. Prints what it began with. It knows nothing of sealfs.

pbt_trial.py LONGEST: the longest time between report and save, in seconds.
"""

import json
import os
import random
import sys
import time

import nni


def load(path):
    if not os.path.isfile(path):
        return None
    with open(path) as file:
        return json.load(file)


def main():
    parameters = nni.get_next_parameter()
    state = load(os.path.join(parameters["load_checkpoint_dir"], "model.json"))
    print("began with", "nothing" if state is None else "%d steps" % state["steps"], flush=True)
    state = state or {"steps": 0, "weights": []}
    state["steps"] += 1
    state["weights"] = [random.random() for _ in range(2000)]
    nni.report_final_result(random.random())
    time.sleep(random.uniform(0, float(sys.argv[1])))
    place = parameters["save_checkpoint_dir"]
    if not os.path.exists(place):
        os.makedirs(place)
    with open(os.path.join(place, "model.json"), "w") as file:
        json.dump(state, file)


main()
