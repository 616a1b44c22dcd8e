"""NNI's side of the tuners here: its base class, and its tuners by name, in whichever version of NNI is installed.

Without NNI the classes can be used all the same, by other programs or by tests.
"""

import importlib

try:
    from nni import NoMoreTrialError
    from nni.tuner import Tuner
except ImportError:

    class NoMoreTrialError(Exception):
        """There is nothing to try, now or ever."""

    class Tuner:
        """What NNI's dispatcher calls and a tuner may leave as it is."""

        def generate_multiple_parameters(self, parameter_id_list, **kwargs):
            several = []
            try:
                for parameter_id in parameter_id_list:
                    several.append(self.generate_parameters(parameter_id, **kwargs))
            except NoMoreTrialError:
                pass
            return several

        def trial_end(self, parameter_id, success, **kwargs):
            pass

        def import_data(self, data):
            pass

        def _on_exit(self):
            pass

        def _on_error(self):
            pass


__all__ = ["NoMoreTrialError", "Tuner", "create_tuner", "scalar"]


def create_tuner(name, arguments):
    """A tuner by the name that it has in NNI ("TPE", "PBTTuner" or "PBT"), or by "package.module.Class"."""
    arguments = dict(arguments or {})
    if "." in name:
        module, _, cls = name.rpartition(".")
        tuner = getattr(importlib.import_module(module), cls)(**arguments)
    else:
        tuner = _create_builtin(name, arguments)
    if not hasattr(tuner, "generate_multiple_parameters"):
        raise TypeError("'%s' is no tuner of NNI's: it has no generate_multiple_parameters() (advisors, like Hyperband and BOHB, can not be wrapped)" % name)
    return tuner


def _create_builtin(name, arguments):
    names, create = _registry()
    known = {known.lower(): known for known in names}  # NNI 2.6 and newer do not look at the case
    spellings = [name, name + "Tuner", name[:-len("Tuner")] if name.endswith("Tuner") else name]
    for spelling in spellings:
        if spelling.lower() in known:
            return create(known[spelling.lower()], arguments)
    raise ValueError("NNI has no tuner '%s'; it has %s; one of your own is named 'module.Class'" % (name, ", ".join(sorted(names))))


def _registry():
    """(names, function that makes one): NNI from 2.0 on, 1.8 and 1.9, and before."""
    for package in ("nni.tools.package_utils", "nni.package_utils"):
        try:
            registry = importlib.import_module(package)
        except ImportError:
            continue
        return _names(registry), lambda name, arguments: registry.create_builtin_class_instance(name, arguments, "tuners")
    try:
        constants = importlib.import_module("nni.constants")
    except ImportError:
        raise ImportError("NNI is not installed here, so its own tuners can not be had by name") from None

    def create(name, arguments):
        given = getattr(constants, "ClassArgs", {}).get(name, {})
        return getattr(importlib.import_module(constants.ModuleName[name]), constants.ClassName[name])(**{**given, **arguments})
    return list(constants.ModuleName), create


def _names(registry):
    """From 2.6 on there are descriptions, and from 2.8 on some of them have a second name; before there was a list."""
    if not hasattr(registry, "get_all_algo_meta"):
        return registry.get_all_builtin_names("tuners")
    tuners = [meta for meta in registry.get_all_algo_meta() if meta.algo_type == "tuner"]
    return [name for meta in tuners for name in (meta.name, getattr(meta, "alias", None)) if name]


def scalar(value):
    """The one number of a result: itself, or what NNI calls its default."""
    if isinstance(value, dict):
        value = value["default"]
    return float(value)
