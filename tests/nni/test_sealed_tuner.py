#!/usr/bin/python3
"""SealedTuner around a tuner that hands out what the test says: what it reserves, for whom, and how that ends. Here without NNI."""

from manager import Manager, published

from harness import PYTHON, ROOT, SealfsTest, in_modes, main

SETUP = """
import io, logging
sys.path.insert(0, place)
log = io.StringIO()
logging.basicConfig(stream=log, level=logging.INFO)
from sealed_tuner import SealedTuner
from sealfs_checkpoints import Settler
from sealfs_nni import NoMoreTrialError, Tuner

class Scripted(Tuner):
    def __init__(self, several=()):
        self.several, self.heard = list(several), []
    def update_search_space(self, space):
        self.heard.append(("space", space))
    def generate_parameters(self, parameter_id, **kwargs):
        if not self.several:
            raise NoMoreTrialError
        return self.several.pop(0)
    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        self.heard.append(("result", parameter_id, parameters, value, kwargs))
    def trial_end(self, parameter_id, success, **kwargs):
        self.heard.append(("end", parameter_id, success))
    def import_data(self, data):
        self.heard.append(("data", data))
    def _on_exit(self):
        self.heard.append("exit")

def settled(parameter_id, success):
    "trial_end, and until what it started in other threads is done"
    tuner.trial_end(parameter_id, success)
    tuner._settler.finish()
    tuner._settler = Settler(tuner._checkpoints)

tuner = SealedTuner(Scripted(several), keys=keys, sealctl=sealctl)
"""


@in_modes(ROOT)
class Sealed_tuner(SealfsTest):
    def setUp(self):
        super().setUp()
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)
        self.mount()
        self.top = self.point + "/exp"

    def tuner(self, *several, keys=None):
        self.driver = self.agent("tuner")
        self.driver(SETUP, place=published(), several=several, keys=keys, sealctl=self.sealctl_path)
        return self.driver

    def path(self, name):
        return self.top + "/" + name

    def stand(self, name):
        """(state, writer)"""
        status = self.status(self.path(name))
        return status["state"], status["writer"]

    def log(self):
        return self.driver("log.getvalue()")

    def test_what_is_about_to_be_read_is_reserved_and_nothing_else(self):
        tuner = self.tuner({"save_path": self.path("a")}, {"save_path": self.path("b"), "restore_path": self.path("a")})
        tuner("tuner.generate_parameters(0)")
        self.assertEqual(self.stand("a"), ("absent", None))
        tuner("tuner.generate_parameters(1)")
        self.assertEqual((self.stand("a"), self.stand("b")), (("pending", None), ("absent", None)))

    def test_writer_is_named_once_he_has_reported(self):
        tuner = self.tuner({"save_dir": self.path("a")}, {"save_dir": self.path("b"), "restore_dir": self.path("a")})
        tuner("p = tuner.generate_parameters(0)")
        tuner("tuner.receive_trial_result(0, p, 0.5, trial_job_id='Job7')")
        tuner("tuner.generate_multiple_parameters([1])")
        self.assertEqual(self.stand("a"), ("pending", "Job7"))
        child = self.agent("Job8").start("os.path.isfile(d + '/model')", d=self.path("a")).parked()
        writer = self.agent("Job7")
        self.assertIs(writer("os.path.exists(d)", d=self.path("a")), False)
        writer("os.makedirs(d); open(d + '/model', 'w').write('x')", d=self.path("a"))
        child.still_waiting()
        tuner("settled(0, True)")
        self.assertIs(child.value(), True)
        self.assertEqual(self.stand("a"), ("sealed", "Job7"))

    def test_later_phase_of_a_trial_names_it_beforehand(self):
        tuner = self.tuner({"save_path": self.path("a")}, {"restore_path": self.path("a"), "save_path": self.path("b")})
        tuner("tuner.generate_parameters(0, trial_job_id='Job7')")
        tuner("tuner.generate_parameters(1)")
        self.assertEqual(self.stand("a"), ("pending", "Job7"))

    def test_what_the_tuner_sends_later_is_seen_to_as_well(self):
        tuner = self.tuner({"save_path": self.path("a")})
        tuner("""
            sent = []
            def generate(ids, st_callback):
                tuner._inner.later = st_callback
                return [tuner._inner.generate_parameters(one) for one in ids[:1]]
            tuner._inner.generate_multiple_parameters = generate
            tuner.generate_multiple_parameters([0, 1], st_callback=lambda *words: sent.append((words, os.listdir(top))))
            tuner._inner.later(1, {"restore_path": top + "/a", "save_path": top + "/b"})
            """, top=self.top)
        self.assertEqual(self.stand("a")[0], "pending")
        self.assertEqual(tuner("sent"), [((1, {"restore_path": self.path("a"), "save_path": self.path("b")}), ["a"])])

    def test_everything_else_is_passed_on(self):
        tuner = self.tuner({"lr": 0.1})
        tuner("tuner.update_search_space({'lr': 1})")
        self.assertEqual(tuner("tuner.generate_multiple_parameters([0, 1])"), [{"lr": 0.1}])
        tuner("tuner.receive_trial_result(0, {'lr': 0.1}, 3, trial_job_id='x', customized=False)")
        tuner("settled(0, True)")
        tuner("tuner.import_data([1])")
        tuner("tuner._on_exit()")
        self.assertEqual(tuner("tuner.heard"), [("space", {"lr": 1}), ("result", 0, {"lr": 0.1}, 3, {"trial_job_id": "x", "customized": False}),
                                                ("end", 0, True), ("data", [1]), "exit"])

    def test_trial_that_loads_from_where_it_saves_does_not_wait_for_itself(self):
        tuner = self.tuner({"load_checkpoint_dir": self.path("a"), "save_checkpoint_dir": self.path("a")})
        tuner("tuner.generate_parameters(0)")
        self.assertEqual(self.stand("a"), ("absent", None))
        self.assertIs(self.agent("Job1")("os.path.isfile(d + '/model')", d=self.path("a")), False)

    def waiting_child(self):
        tuner = self.tuner({"save_path": self.path("a")}, {"save_path": self.path("b"), "restore_path": self.path("a")})
        tuner("tuner.generate_multiple_parameters([0, 1])")
        return tuner, self.agent("child").start("open(d + '/model')", d=self.path("a")).parked()

    def test_trial_that_is_cancelled_before_it_began_ends_the_wait(self):
        tuner, child = self.waiting_child()
        tuner("settled(0, False)")
        child.fails("EOWNERDEAD")

    def test_trial_that_ends_well_without_saving_ends_the_wait(self):
        tuner, child = self.waiting_child()
        tuner("settled(0, True)")
        child.fails("EOWNERDEAD")
        self.assertIn("has written nothing", self.status(self.path("a"))["reason"])

    def test_end_of_the_experiment_ends_the_wait(self):
        tuner, child = self.waiting_child()
        tuner("tuner._on_exit()")
        child.fails("EOWNERDEAD")

    def test_failure_of_the_tuner_ends_the_wait(self):
        tuner, child = self.waiting_child()
        tuner("tuner._on_error()")
        child.fails("EOWNERDEAD")

    def test_failed_trial_abandons_what_it_has_open(self):
        tuner, child = self.waiting_child()
        writer = self.agent("Job1")
        writer("open(d + '/model', 'w').write('half')", d=self.path("a"))
        self.assertEqual(self.stand("a"), ("open", "Job1"))
        tuner("settled(0, False)")
        child.fails("EOWNERDEAD")

    def test_result_of_a_trial_whose_parent_failed_is_not_passed_on(self):
        """Its script takes every error for 'not there', and has begun from nothing."""
        tuner, child = self.waiting_child()
        tuner("settled(0, False)")
        child.fails("EOWNERDEAD")
        tuner("tuner.receive_trial_result(1, {}, 0.9, trial_job_id='child')")
        tuner("settled(1, True)")
        self.assertEqual(tuner("tuner.heard"), [("end", 0, False), ("end", 1, False)])
        self.assertIn("trial 'child' counts as failed, its result is not passed on: '%s', which it was to read, is failed" % self.path("a"), self.log())

    def test_end_of_a_trial_that_this_tuner_does_not_know(self):
        """NNI tells of trials of an experiment that is resumed."""
        tuner = self.tuner()
        tuner("settled(77, True)")
        self.assertEqual(tuner("tuner.heard"), [("end", 77, True)])

    def fail(self, name):
        self.agent("earlier")("os.makedirs(d)", d=self.path(name))
        self.ctl("abandon", self.path(name))

    def test_what_failed_in_an_earlier_run_is_promised_anew(self):
        self.fail("a")
        tuner = self.tuner({"save_path": self.path("a")}, {"restore_path": self.path("a"), "save_path": self.path("b")})
        tuner("tuner.generate_multiple_parameters([0, 1])")
        self.assertEqual(self.stand("a"), ("pending", None))

    def test_what_failed_in_this_run_is_not(self):
        tuner = self.tuner({"save_path": self.path("a")}, {"restore_path": self.path("a"), "save_path": self.path("b")})
        tuner("tuner.generate_parameters(0)")
        self.fail("a")
        tuner("tuner.generate_parameters(1)")
        self.assertEqual(self.stand("a")[0], "failed")
        self.assertIn("left '%s' failed" % self.path("a"), self.log())

    def test_path_that_nobody_is_to_write_is_told_and_not_waited_for(self):
        tuner = self.tuner({"save_path": self.path("a"), "restore_path": self.path("never")})
        tuner("tuner.generate_parameters(0)")
        self.assertEqual(self.stand("never"), ("absent", None))
        self.assertIn("no trial of this experiment is to write it", self.log())

    def test_save_path_that_is_sealed_already_is_told(self):
        self.agent("old")("os.makedirs(d)", d=self.path("a"))
        self.ctl("seal", self.path("a"))
        tuner = self.tuner({"save_path": self.path("a")})
        tuner("tuner.generate_parameters(0)")
        self.assertIn("is sealed already", self.log())

    def test_own_names_of_the_parameters(self):
        tuner = self.tuner({"out": self.path("a")}, {"in": [self.path("a") + "/model.pt", "/etc/hosts"], "out": self.path("b")},
                           keys={"load": "in", "save": ["out"]})
        tuner("tuner.generate_multiple_parameters([0, 1])")
        self.assertEqual(self.stand("a"), ("pending", None))
        self.assertIn("'/etc/hosts', which the trial of parameters 1 is to read, is not in a sealfs mount", self.log())

    def test_path_that_is_known_from_a_report_only(self):
        """The father of NNI's weight-sharing test chooses where to save."""
        tuner = self.tuner({"id": 0}, {"id": 1, "prev_id": 0, "prev_path": self.path("0") + "/model.dat"})
        tuner("p = tuner.generate_parameters(0)")
        tuner("tuner.receive_trial_result(0, p, {'checksum': 'x', 'path': path}, trial_job_id='Job1')", path=self.path("0") + "/model.dat")
        tuner("tuner.generate_parameters(1)")
        self.assertEqual(self.stand("0"), ("pending", "Job1"))

    def test_wrong_depth_is_an_error_that_names_the_right_one(self):
        for path, said in ((self.point, "depth 2"), (self.top, "above the checkpoints"), ("/var/tmp", "neither in a sealfs mount"), ("a/b", "absolute")):
            tuner = self.tuner({"save_path": path})
            tuner("""
                try:
                    tuner.generate_parameters(0)
                    said = "nothing"
                except Exception as problem:
                    said = str(problem)
                """)
            self.assertIn(said, tuner("said"))

    def test_error_reaches_the_manager(self):
        manager = Manager(self, {"className": "sealed_tuner.SealedTuner", "classArgs": {"tuner": "PBT", "tuner_args": {
            "all_checkpoint_dir": "/var/tmp", "population_size": 2}}}, "true", [self.point])
        manager.request(1)
        with self.assertRaises(AssertionError) as caught:
            manager.until(lambda: manager.jobs, "a trial")
        self.assertIn("neither in a sealfs mount", str(caught.exception))
        manager.stop(expect=1)

    def test_unknown_tuner_is_named(self):
        out = self.run_program([PYTHON, "-c", "from sealed_tuner import SealedTuner; SealedTuner('PTB')"],
                               env={"PYTHONPATH": published() + ":" + published() + "/sdk"})
        self.assertIn("NNI has no tuner 'PTB'; it has PBT, PBTTuner", out.err)

    def test_tuner_by_its_name_in_all_that_nni_was(self):
        """The stand-in describes its tuners as 2.6 and newer do. A list of names is what 1.8 to 2.5 have, in two places; before there were tables."""
        code = """
        import sys, types
        sys.path.insert(0, place)
        import sealfs_nni

        class Made:
            def __init__(self, **arguments):
                self.arguments = arguments
            generate_multiple_parameters = None

        def install(name, **content):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__dict__.update(content)

        def made(name):
            return sealfs_nni.create_tuner(name, {"size": 8}).arguments

        listed = dict(get_all_builtin_names=lambda kind: {"tuners": ["TPE", "PBTTuner"], "assessors": ["Medianstop"]}[kind],
                      create_builtin_class_instance=lambda name, arguments, kind: Made(name=name, kind=kind, **arguments))
        described = dict(get_all_algo_meta=lambda: [types.SimpleNamespace(name="TPE", algo_type="tuner"),
                                                    types.SimpleNamespace(name="PBT", alias="PBTTuner", algo_type="tuner"),
                                                    types.SimpleNamespace(name="Medianstop", algo_type="assessor")],
                         create_builtin_class_instance=listed["create_builtin_class_instance"])
        sys.modules["nni.package_utils"] = sys.modules["nni.tools.package_utils"] = None
        install("ours", Made=Made)
        install("nni.constants", ModuleName={"TPE": "ours"}, ClassName={"TPE": "Made"}, ClassArgs={"TPE": {"algorithm_name": "tpe"}})
        seen = [made("TPE")]
        install("nni.package_utils", **listed)
        seen.append(made("PBT"))
        install("nni.tools.package_utils", **listed)
        seen.append(made("PBT"))
        install("nni.tools.package_utils", **described)
        seen += [made("PBT"), made("PBTTuner"), made("pbt"), made("TPE")]
        try:
            made("Medianstop")
        except ValueError as problem:
            seen.append(str(problem))
        """
        agent = self.agent("tuner")
        agent(code, place=published())
        by_name = [{"name": name, "kind": "tuners", "size": 8} for name in ("PBTTuner", "PBTTuner", "PBT", "PBTTuner", "PBT", "TPE")]
        *seen, refused = agent("seen")
        self.assertEqual(seen, [{"algorithm_name": "tpe", "size": 8}] + by_name)
        self.assertIn("NNI has no tuner 'Medianstop'; it has PBT, PBTTuner, TPE", refused)


if __name__ == "__main__":
    main()
