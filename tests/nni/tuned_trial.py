"""A trial of a search whose tuner is CustomerTuner: restores what it is told to, trains, saves, reports. It knows nothing of sealfs.

With the parameter "how" it does otherwise: "fail" fails half-way through its save, "silent" reports nothing, "dict" reports an object.
"""

import json
import os
import sys

import nni


def main():
    parameters = nni.get_next_parameter()
    how = parameters.get("how", "well")
    lineage = []
    if parameters["restore_path"]:
        with open(os.path.join(parameters["restore_path"], "model.json")) as file:
            lineage = json.load(file)
    os.makedirs(parameters["save_path"], exist_ok=True)
    with open(os.path.join(parameters["save_path"], "model.json"), "w") as file:
        if how == "fail":
            sys.exit(3)
        json.dump(lineage + [os.path.basename(parameters["save_path"])], file)
    value = -parameters["x"] if "x" in parameters else 0.5
    if how != "silent":
        nni.report_final_result({"default": value, "other": 7} if how == "dict" else value)


main()
