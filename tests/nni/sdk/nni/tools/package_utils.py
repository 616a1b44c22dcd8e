"""The tuners that have a name, as NNI describes them from 2.6 on."""

import collections
import importlib

AlgoMeta = collections.namedtuple("AlgoMeta", "name alias class_name algo_type")

_ALGORITHMS = [AlgoMeta("PBT", "PBTTuner", "nni.pbt.PBTTuner", "tuner"), AlgoMeta("Medianstop", None, "nni.none.Medianstop", "assessor")]


def get_all_algo_meta():
    return list(_ALGORITHMS)


def create_builtin_class_instance(builtin_name, input_class_args, algo_type):
    for algorithm in _ALGORITHMS:
        names = [name.lower() for name in (algorithm.name, algorithm.alias) if name]
        if algorithm.algo_type + "s" == algo_type and builtin_name.lower() in names:
            module, name = algorithm.class_name.rsplit(".", 1)
            return getattr(importlib.import_module(module), name)(**(input_class_args or {}))
    raise RuntimeError("Builtin name is not found: " + builtin_name)
