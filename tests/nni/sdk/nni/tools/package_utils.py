"""The tuners that have a name."""

import importlib

_TUNERS = {"PBTTuner": "nni.pbt.PBTTuner"}


def get_all_builtin_names(algo_type):
    return list(_TUNERS) if algo_type == "tuners" else []


def create_builtin_class_instance(builtin_name, input_class_args, algo_type):
    module, name = _TUNERS[builtin_name].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(**(input_class_args or {}))
