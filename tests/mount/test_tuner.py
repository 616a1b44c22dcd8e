#!/usr/bin/python3
"""sealtuner: what is given out and taken in, by many at once, and across kills; what is kept. time limit: 300"""

import json
import os
import random
import re
import signal
import time

from harness import ALL_MODES, DAEMON, Process, in_modes, main, until
from tuner import TunerTest


@in_modes(*ALL_MODES)
class Contract(TunerTest):
    def test_asked_and_told(self):
        self.init("evolution", "--population", "2", "--goal", "minimize")
        first = self.ask("--trial", "a")
        self.assertEqual(set(first), {"id", "number", "parent", "role", "checkpoint", "parameters"})
        self.assertEqual((first["id"], first["number"], first["parent"], first["role"], first["checkpoint"]), ("a", 1, None, None, "exp/a"))
        self.assertEqual(set(first["parameters"]), {"lr", "units", "layer", "save_path", "restore_path"})
        self.assertEqual(first["parameters"]["save_path"], self.dir + "/a")
        self.assertIsNone(first["parameters"]["restore_path"])
        self.assertEqual((self.status(self.dir + "/a")["state"], self.status(self.dir + "/a")["writer"]), ("pending", "a"))
        second = self.ask("--key", "b")
        self.assertEqual(self.status(self.dir + "/b")["state"], "pending")
        self.assertIsNone(self.status(self.dir + "/b")["writer"])
        self.write(first)
        self.tell("a", 3)
        child = self.ask()
        self.assertEqual((child["id"], child["parent"], child["parameters"]["restore_path"]), ("t0003", "a", self.dir + "/a"))
        self.tell(second["id"], "-0.5", env={"POSIXLY_CORRECT": "1"})
        whole = self.whole()
        self.assertEqual(whole["counts"], {"asked": 3, "running": 1, "done": 2, "failed": 0, "imported": 0})
        self.assertEqual((whole["best"], whole["directory"], whole["experiment"], whole["goal"], whole["population"]),
                         ("b", self.dir, "exp", "minimize", 2))
        self.assertEqual({key: value for key, value in self.trials()["a"].items() if key in ("state", "value", "parent", "removed")},
                         {"state": "done", "value": 3.0, "parent": None, "removed": False})
        text = self.tune("status", self.dir).out
        self.assertRegex(text, r"(?m)^t0003 +running +- +a ")

    def test_the_same_trial_gets_the_same_answer(self):
        self.init("random")
        first = self.ask("--trial", "a")
        self.ask()
        self.assertEqual(self.ask("--trial", "a"), first)
        self.assertEqual(self.ask("--key", "a"), first)
        self.tune("tell", "--failed", "--reason", "out of memory", self.dir, "a")
        self.assertEqual(self.trials()["a"]["reason"], "out of memory")
        self.assertEqual(self.status(self.dir + "/a")["state"], "failed")
        again = self.ask("--trial", "a")
        self.assertEqual(again, first)
        self.assertEqual((self.trials()["a"]["state"], self.status(self.dir + "/a")["state"]), ("running", "pending"))
        self.write(again)
        self.tell("a", 1)
        self.assertEqual(self.ask("--trial", "a"), first)
        self.assertEqual(self.status(self.dir + "/a")["state"], "sealed")

    def test_results_do_not_change(self):
        self.init("random")
        self.ask("--trial", "a")
        self.tell("a", 0.5)
        self.tell("a", 0.5)
        self.assertIn("its result is known already: 0.5", self.tell("a", 0.6, expect=1).err)
        self.assertIn("its result is known already", self.tune("tell", "--failed", self.dir, "a", expect=1).err)
        self.assertIn("there is no such trial", self.tell("b", 1, expect=1).err)
        self.ask("--trial", "c")
        self.tune("tell", self.dir, "c", "nan", expect=3)
        self.assertEqual(self.trials()["c"]["reason"], "its result is not a number")
        self.tell("c", 2)
        self.assertEqual(self.trials()["c"]["value"], 2)

    def test_on_the_export_the_same_experiment(self):
        self.init("random")
        self.ask("--trial", "a")
        there = self.exported("exp")
        asked = self.ask("--trial", "b", directory=there)
        self.assertEqual(asked["parameters"]["save_path"], there + "/b")
        self.assertEqual(asked["number"], 2)
        self.assertEqual(self.state(self.dir + "/b"), "pending")
        self.assertEqual(set(self.trials()), {"a", "b"})

    def test_wrong_depth_names_the_right_one(self):
        for directory, deeper in ((self.point, 1), (self.dir + "/a", 3)):
            result = self.sealtuner("init", "--space", self.space, "--strategy", "random", directory)
            self.assertEqual(result.status, 1, result)
            self.assertIn("sealctl init --depth %d'" % deeper, result.err)
            self.assertIn("'%s/NAME'" % self.point, result.err)
        result = self.sealtuner("init", "--space", self.space, "--strategy", "random", self.tmp)
        self.assertIn("it is neither in a sealfs mount nor on an export", result.err)
        result = self.sealtuner("init", "--space", self.space, "--strategy", "random", self.point + "/none")
        self.assertIn("cannot begin an experiment in '%s/none': No such file or directory; make the directory first" % self.point, result.err)
        self.assertIn("there is no experiment in it; begin one with 'sealtuner init'", self.tune("ask", self.dir, expect=1).err)

    def test_begun_twice(self):
        self.init("random")
        self.assertIn("there is an experiment in it already", self.tune("init", "--space", self.space, "--strategy", "pbt", self.dir, expect=1).err)

    def test_taken_and_bad_names(self):
        self.init("random")
        os.mkdir(self.exported("exp/t0001"))
        with open(self.exported("exp/t0001/x"), "w"):
            pass
        self.assertEqual(self.ask()["id"], "t0001-2")
        self.assertIn("there is a checkpoint 't0001' already", self.tune("ask", "--trial", "t0001", self.dir, expect=1).err)
        for name in ("a/b", "..", ".seal", ".sealtuner", "x" * 256):
            self.assertIn("cannot be the name of a checkpoint", self.tune("ask", "--trial", name, self.dir, expect=1).err)
        self.assertEqual(list(self.trials()), ["t0001-2"])

    def test_its_own_files_are_not_shown_and_nothing_waits_for_them(self):
        self.init("random")
        self.ask()
        reader = self.agent("reader")
        self.assertEqual(reader("os.listdir(d)", d=self.dir), ["t0001"])
        self.assertEqual(reader.error("os.listdir(d + '/.sealtuner')", d=self.dir), "ENOENT")
        self.assertEqual([entry["path"] for entry in json.loads(self.ctl("status", "--json", self.dir).out)], ["exp/t0001"])

    def test_bad_usage(self):
        self.init("random")
        for words in (["init", self.dir], ["init", "--space", self.space, "--strategy", "magic", self.dir], ["ask"],
                      ["init", "--space", self.space, "--strategy", "pbt", "--set", "sample=3", self.dir],
                      ["init", "--space", self.space, "--strategy", "pbt", "--set", "fraction=0.9", self.dir],
                      ["init", "--space", self.space, "--strategy", "pbt", "--keep", "best", self.dir],
                      ["ask", "--trial", "a", "--key", "b", self.dir], ["ask", "--trial", "", self.dir], ["tell", self.dir, "a"],
                      ["tell", self.dir, "a", "0.5x"], ["tell", self.dir, "a", "1", "--failed"], ["tell", "--reason", "x", self.dir, "a", "1"],
                      ["run", self.dir, "--", "true"], ["run", "--trials", "0", self.dir, "true"], ["run", "--trials", "1", self.dir], ["dance"]):
            with self.subTest(words):
                self.tune(*words, expect=2)
        with open(self.space, "w") as file:
            file.write('{"lr": {"_type": "uniform", "_value": [1, 0]}}')
        self.assertIn("parameter 'lr': the _value of 'uniform' is [low, high]",
                      self.tune("init", "--space", self.space, "--strategy", "pbt", self.dir, expect=1).err)
        with open(self.space, "w") as file:
            file.write("{}")
        self.assertIn("there is no parameter in it", self.tune("init", "--space", self.space, "--strategy", "pbt", self.dir, expect=1).err)
        for words in (["init", "--space", self.tmp + "/none", "--strategy", "pbt", self.dir], ["import", self.dir, self.tmp + "/none"]):
            self.assertRegex(self.tune(*words, expect=1).err, "^sealtuner: cannot read .*'%s/none': No such file or directory\n$" % self.tmp)


class Results(TunerTest):
    def test_best_and_its_path(self):
        self.init("random")
        self.assertIn("no trial has a result yet", self.tune("best", self.dir, expect=1).err)
        for name, value in (("a", 1), ("b", 3), ("c", 2)):
            asked = self.ask("--trial", name)
            if name != "b":
                self.write(asked)
            self.tell(name, value)
        lines = self.tune("status", self.dir).out.splitlines()
        (head,) = [line for line in lines if line.startswith("ID")]
        for line in lines[lines.index(head) + 1:]:
            self.assertEqual(line.index("lr="), head.index("PARAMETERS"), lines)
        self.assertIn("it is pending, not sealed", self.tune("best", "--path", self.dir, expect=1).err)
        self.write(self.ask("--trial", "b"))
        self.assertEqual(self.tune("best", "--path", self.dir).out, self.dir + "/b\n")
        best = json.loads(self.tune("best", "--json", self.dir).out)
        self.assertEqual((best["id"], best["value"], best["path"]), ("b", 3, self.dir + "/b"))

    def test_lineage_with_results(self):
        self.init("evolution", "--population", "1")
        parent = self.ask("--trial", "father")
        self.write(parent)
        self.tell("father", 0.25)
        child = self.ask("--trial", "son")
        script = 'cat "$1/weights" && mkdir -p "$2" && echo y >"$2/weights"'
        self.ctl("run", "--trial", "son", "--", "sh", "-c", script, "-", child["parameters"]["restore_path"], child["parameters"]["save_path"])
        self.tell("son", 0.5)
        nodes = {node["path"]: node for node in json.loads(self.tune("lineage", "--json", self.dir).out)["nodes"]}
        self.assertEqual({path: node["metric"] for path, node in nodes.items()}, {"exp/father": "0.25", "exp/son": "0.5"})
        self.assertEqual([parent["path"] for parent in nodes["exp/son"]["parents"]], ["exp/father"])
        self.assertIn("0.25", self.tune("lineage", self.dir).out)
        page = os.path.join(self.tmp, "page.html")
        self.tune("lineage", "--html", page, self.dir)
        with open(page) as file:
            self.assertRegex(file.read(), r'class="metric"[^>]*>0\.25<')

    def test_a_child_of_a_failed_parent_has_not_trained(self):
        self.init("evolution", "--population", "1")
        self.ask("--trial", "father")
        child = self.ask("--trial", "son")
        self.assertEqual(child["parent"], "father")
        self.tune("tell", "--failed", self.dir, "father")
        reader = self.agent("son")
        self.assertEqual(reader.error("open(p + '/weights')", p=child["parameters"]["restore_path"]), "EOWNERDEAD")
        # a script that swallows this and starts from nothing has a result all the same
        self.assertIn("the checkpoint that it was to restore has failed", self.tell("son", 0.9, expect=3).err)
        self.assertEqual((self.trials()["son"]["state"], self.trials()["son"]["value"]), ("failed", None))

    def test_a_parent_whose_checkpoint_came_to_nothing_is_not_chosen(self):
        """It reported its result and failed before it had saved; or somebody removed what it saved."""
        self.init("evolution", "--population", "1")
        self.ask("--trial", "a")
        self.tell("a", 1)
        self.ctl("abandon", self.dir + "/a")
        child = self.ask("--trial", "b")
        self.assertIsNone(child["parent"])
        self.write(child)
        self.tell("b", 2)
        self.ctl("rm", self.dir + "/b")
        self.assertIsNone(self.ask("--trial", "c")["parent"])

    def test_seal_by_tell(self):
        self.init("random")
        asked = self.ask("--trial", "a")
        writer = self.agent("a")
        writer("os.makedirs(p); open(p + '/w', 'w').write('x')", p=asked["parameters"]["save_path"])
        self.tune("tell", "--seal", self.dir, "a", "1")
        self.assertEqual(self.state(self.dir + "/a"), "sealed")

    def test_import(self):
        self.init("evolution", "--population", "2")
        good = {"lr": 0.01, "units": 32, "layer": {"_name": "conv", "kernel": 3}}
        old = os.path.join(self.exported("exp"), "old")
        os.mkdir(old)
        with open(old + "/w", "w") as file:
            file.write("x")
        self.give(old)
        results = os.path.join(self.tmp, "results.json")

        def put(items):
            with open(results, "w") as file:
                file.write(items if isinstance(items, str) else json.dumps(items))

        put([{"parameter": good, "value": "0.5"}, {"parameters": good, "value": {"default": 0.75}, "checkpoint": "old"}])
        self.assertIn("result 2: its checkpoint 'old' is plain, not sealed", self.tune("import", self.dir, results, expect=1).err)
        self.ctl("seal", self.dir + "/old")
        self.tune("import", self.dir, results)
        self.assertEqual(self.whole()["counts"]["imported"], 2)
        self.assertEqual(self.whole()["best"], "old")
        self.assertEqual(self.ask()["parameters"]["restore_path"], self.dir + "/old")
        self.assertIn("its checkpoint is a trial's of this experiment already", self.tune("import", self.dir, results, expect=1).err)
        put('{"parameters": %s, "value": 1}\n{"parameters": %s, "value": 2}\n' % (json.dumps(good), json.dumps(good)))
        self.tune("import", self.dir, results)
        self.assertEqual(self.whole()["counts"]["imported"], 4)
        for bad, why in (([{"parameters": dict(good, lr=3), "value": 1}], "result 1: parameter 'lr'"), ([{"parameters": good}], 'no "value"'),
                         ('[{"parameters"', "line 1"), ("", None), (b"\xff".decode("latin-1"), "line 1")):
            put(bad)
            result = self.tune("import", self.dir, results, expect=1 if why else 0)
            self.assertIn(why or "", result.err)
        self.assertEqual(self.whole()["counts"]["imported"], 4)


class TopOfTheMount(TunerTest):
    def prepare(self):
        self.mount()
        self.dir = self.point

    def test_with_depth_1_the_mount_is_the_directory(self):
        self.init("random")
        asked = self.ask("--trial", "a")
        self.assertEqual((asked["checkpoint"], asked["parameters"]["save_path"]), ("a", self.point + "/a"))
        self.write(asked)
        self.tell("a", 1)
        self.assertEqual(self.tune("best", "--path", self.dir).out, self.point + "/a\n")
        self.assertTrue(os.path.isdir(self.exported(".sealtuner/journal")))
        self.assertEqual(self.agent("b")("os.listdir(p)", p=self.point), ["a"])
        self.ctl("verify", self.point)


class Keeping(TunerTest):
    def sealed(self):
        return {entry["path"].split("/")[1] for entry in json.loads(self.ctl("status", "--json", self.dir).out) if entry["state"] == "sealed"}

    def done(self, name, value):
        asked = self.ask("--trial", name)
        self.write(asked)
        self.tell(name, value)
        return asked

    def test_the_last_and_the_best(self):
        self.init("random", "--keep", "2")
        for i, value in enumerate((1, 9, 2, 3, 4)):
            self.done("t%d" % i, value)
        self.assertEqual(self.sealed(), {"t1", "t3", "t4"})
        self.assertEqual({name: trial["removed"] for name, trial in self.trials().items()}, {"t0": True, "t1": False, "t2": True, "t3": False, "t4": False})
        self.assertEqual(sorted(os.listdir(self.exported("exp"))), [".sealtuner", "t1", "t3", "t4"])

    def test_the_best_ones(self):
        self.init("random", "--keep", "best:2", "--goal", "minimize")
        for i, value in enumerate((3, 5, 1, 4, 2)):
            self.done("t%d" % i, value)
        self.assertEqual(self.sealed(), {"t2", "t4"})

    def test_ancestors_of_the_best(self):
        self.init("morphism", "--keep", "ancestors", "--set", "neighbours=1")
        self.done("a", 1)
        self.assertEqual(self.done("b", 2)["parent"], "a")
        self.assertEqual(self.done("c", 1)["parent"], "b")
        self.assertEqual(self.done("d", 3)["parent"], "b")
        self.assertEqual(self.sealed(), {"a", "b", "d"})

    def test_what_an_unfinished_trial_is_to_restore_stays(self):
        self.init("morphism", "--keep", "1", "--set", "neighbours=1")
        self.done("a", 1)
        child = self.ask("--trial", "b")  # not begun yet
        self.assertEqual(child["parent"], "a")
        for i in range(4):
            self.done("t%d" % i, 10 + i)
        self.assertIn("a", self.sealed())
        self.assertIn("t3", self.sealed())
        self.assertNotIn("t1", self.sealed())
        self.write(child)
        self.tell("b", 0)
        self.assertEqual(self.sealed(), {"b", "t3"})
        # and nobody is given what was removed
        self.assertNotIn(self.ask("--trial", "c")["parent"], ("a", "t0", "t1", "t2"))

    def test_a_trial_whose_parent_is_gone_is_not_given_out_again(self):
        self.init("morphism", "--keep", "1", "--set", "neighbours=1")
        self.done("a", 1)
        self.assertEqual(self.ask("--trial", "b")["parent"], "a")
        self.tune("tell", "--failed", self.dir, "b")
        self.done("c", 2)
        self.done("d", 3)
        self.assertNotIn("a", self.sealed())
        self.assertIn("the checkpoint of its parent 'a' has been removed", self.tune("ask", "--trial", "b", self.dir, expect=1).err)

    def test_a_value_of_a_trial_whose_parent_was_removed_since_it_failed_is_not_believed(self):
        """Its process was still there, say, and opened what it was to restore only now: there was nothing, and it began from nothing."""
        self.init("morphism", "--keep", "1", "--set", "neighbours=1")
        self.done("a", 1)
        child = self.ask("--trial", "b")
        self.assertEqual(child["parent"], "a")
        self.tune("tell", "--failed", self.dir, "b")
        self.done("c", 2)
        self.done("d", 3)
        self.assertEqual(self.agent("b")("os.path.isfile(p + '/weights')", p=child["parameters"]["restore_path"]), False)
        self.assertIn("it is recorded as failed: the checkpoint that it was to restore has been removed", self.tell("b", 9, expect=3).err)
        self.assertEqual((self.trials()["b"]["state"], self.trials()["b"]["value"]), ("failed", None))
        # one whose parent is still there may have been told too early
        late = self.ask("--trial", "e")
        self.tune("tell", "--failed", self.dir, "e")
        self.assertIn(late["parent"], self.sealed())
        self.tell("e", 0)
        self.assertEqual(self.trials()["e"]["state"], "done")

    def test_one_that_is_sealed_after_it_was_told_is_removed_later(self):
        self.init("random", "--keep", "1")
        early = self.ask("--trial", "early")
        self.tell("early", 1)
        self.done("a", 2)
        self.done("b", 3)
        self.write(early)
        self.assertEqual(self.sealed(), {"b", "early"})
        self.done("c", 4)
        self.assertEqual(self.sealed(), {"c"})

    def test_many_tell_and_ask_while_checkpoints_are_removed(self):
        """The child of a checkpoint that is removed at the same moment: it is either there, or nobody was given it."""
        self.init("morphism", "--keep", "1", "--set", "neighbours=1")
        self.done("root", 0)
        worker = """
        import json, subprocess, sys
        tuner, ctl, where, name = sys.argv[1:]
        for i in range(8):
            asked = json.loads(subprocess.run([tuner, "ask", "--trial", "%s-%d" % (name, i), where], check=True, stdout=subprocess.PIPE).stdout)
            values = asked["parameters"]
            subprocess.run([ctl, "run", "--trial", asked["id"], "--", "sh", "-c", 'test "$(cat "$1/weights")" = x && mkdir "$2" && printf x >"$2/weights"',
                            "-", values["restore_path"], values["save_path"]], check=True)
            subprocess.run([tuner, "tell", where, asked["id"], str(asked["number"])], check=True)
        """
        workers = [self.python(worker, self.sealtuner_path, self.sealctl_path, self.dir, "w%d" % i) for i in range(4)]
        for process in workers:
            self.assertEqual(process.wait(120), 0, process.output())
        trials = self.trials()
        self.assertEqual({trial["state"] for trial in trials.values()}, {"done"})
        self.assertEqual(len(trials), 33)
        self.assertTrue(any(trial["removed"] for trial in trials.values()))


class ManyAtOnce(TunerTest):
    mode = DAEMON

    def test_launchers_and_askers_on_two_mounts_while_checkpoints_are_removed(self):
        """Whoever is given a parent finds it there and whole, whoever tells and removes meanwhile, and wherever."""
        where = [self.dir, os.path.join(self.second_mount().path, "exp")]
        self.init("evolution", "--population", "3", "--set", "sample=2", "--keep", "1")
        train = """
        save=$1 restore=$2
        weights=0
        test -z "$restore" || { sleep 0.02; weights=$(cat "$restore/weights") || exit 9; }
        mkdir "$save" && echo $((weights + 1)) >"$save/weights" && echo $((weights + 1))
        """
        asker = """
        import json, random, subprocess, sys
        tuner, ctl, where, name, script = sys.argv[1:]
        dice = random.Random(name)
        for i in range(10):
            trial = "%s-%d" % (name, i)
            for attempt in range(3):
                # one that failed is asked for again, unless what it was to restore is gone
                asked = subprocess.run([tuner, "ask", "--trial", trial, where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                if asked.returncode and attempt and "has been removed" in asked.stderr:
                    break
                assert asked.returncode == 0, asked
                if attempt < 2 and dice.random() < 0.3:
                    subprocess.run([tuner, "tell", "--failed", where, trial], check=True)
                    continue
                values = json.loads(asked.stdout)["parameters"]
                done = subprocess.run([ctl, "run", "--trial", trial, "--", "sh", "-c", script, "-", values["save_path"], values["restore_path"] or ""],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                # another asker may have given up its parent
                assert done.returncode == 0 or "Owner died" in done.stderr, done
                words = ["--failed", "--reason", "Owner died", where, trial] if done.returncode else [where, trial, done.stdout.strip()]
                subprocess.run([tuner, "tell", *words], check=True)
                break
        """
        begun = [self.spawn([self.sealtuner_path, "run", "--trials", "70", "--jobs", "3", place, "--", "/bin/sh", "-c", train, "-", "{save_path}",
                             "{restore_path}"]) for place in where]
        begun += [self.python(asker, self.sealtuner_path, self.sealctl_path, where[i % 2], "w%d" % i, train) for i in range(4)]
        for process in begun:
            self.assertEqual(process.wait(150), 0, process.output())
        trials = self.trials()
        failed = {name: trial["reason"] for name, trial in trials.items() if trial["state"] != "done"}
        self.assertEqual([reason for reason in failed.values() if not re.search("told to have failed|Owner died", reason)], [])
        for trial in trials.values():
            if trial["state"] == "done":
                self.assertEqual(trial["value"], (trials[trial["parent"]]["value"] if trial["parent"] else 0) + 1, trial)
        self.assertGreater(sum(trial["removed"] for trial in trials.values()), len(trials) // 2)
        self.assertGreater(sum(trial["parent"] is not None for trial in trials.values()), len(trials) // 2)

    def test_many_askers_on_two_mounts_get_each_trial_once(self):
        second = self.second_mount()
        self.init("evolution", "--population", "10")
        askers = 16
        logs = []
        for i in range(askers):
            where = self.dir if i % 2 else os.path.join(second.path, "exp")
            logs.append(self.spawn(["/bin/sh", "-c", 'for i in 1 2 3 4 5; do "$1" ask "$2" || exit; done', "-", self.sealtuner_path, where]))
        answers = []
        for process in logs:
            self.assertEqual(process.wait(120), 0, process.output())
            answers += [json.loads(line) for line in process.output().splitlines()]
        self.assertEqual(sorted(answer["number"] for answer in answers), list(range(1, askers * 5 + 1)))
        self.assertEqual(len({answer["id"] for answer in answers}), askers * 5)
        self.assertEqual({trial["id"] for trial in self.whole()["trials"]}, {answer["id"] for answer in answers})
        for answer in answers:
            self.assertTrue(answer["parent"] is None or answer["parent"] in self.trials())

    def test_one_name_asked_for_by_many_is_one_trial(self):
        second = self.second_mount()
        self.init("random")
        askers = [self.spawn([self.sealtuner_path, "ask", "--trial", "same", where])
                  for where in [self.dir, os.path.join(second.path, "exp")] * 6]
        answers = set()
        for process in askers:
            self.assertEqual(process.wait(60), 0, process.output())
            answer = json.loads(process.output())
            answers.add((answer["id"], answer["number"], answer["parameters"]["lr"]))
        self.assertEqual(len(answers), 1)
        self.assertEqual(len(self.journal()), 2)


class Kills(TunerTest):
    mode = DAEMON

    def test_kill_of_ask_and_tell_at_any_point(self):
        """200 rounds. What a killed command did is either there as a whole or not at all, and asking again completes it."""
        self.init("evolution", "--population", "5")
        dice = random.Random(5)
        given, told = {}, {}
        killed = 0
        for i in range(200):
            name = "k%d" % i
            ask = i % 2 == 0 or not given
            if ask:
                words = ["ask", "--trial", name, self.dir]
            else:
                name = dice.choice(sorted(given))
                told.setdefault(name, i)
                words = ["tell", self.dir, name, str(told[name])]
            process = Process([self.sealtuner_path] + words, os.path.join(self.scratch, "round"), uid=self.uid)
            time.sleep(dice.random() * 0.012)
            killed += process.running()
            process.kill()
            process.close()
            os.unlink(os.path.join(self.scratch, "round"))
            # the journal can be read, and the retry gives what was decided
            if ask:
                known = self.trials().get(name)
                answer = self.ask("--trial", name)
                if known:
                    self.assertEqual({key: value for key, value in answer["parameters"].items() if not key.endswith("_path")}, known["parameters"])
                given[name] = answer
                self.assertEqual(self.state(answer["parameters"]["save_path"]), "pending")
            else:
                self.tell(name, told[name])
        trials = self.trials()
        self.assertEqual(set(trials), set(given))
        self.assertEqual(sorted(trial["number"] for trial in trials.values()), list(range(1, len(given) + 1)))
        self.assertEqual({name: trial["value"] for name, trial in trials.items() if trial["state"] == "done"}, told)
        self.assertGreater(killed, 40, "the kills came too late to say anything")

    def test_a_child_is_not_given_out_before_its_parent_is_reserved(self):
        """Whoever took the parent was killed between the journal and the reservation; the next one completes that."""
        self.init("evolution", "--population", "1")
        self.ask("--trial", "father")
        self.ctl("rm", self.dir + "/father")
        self.assertEqual(self.state(self.dir + "/father"), "absent")
        child = self.ask("--trial", "son")
        self.assertEqual(child["parent"], "father")
        self.assertEqual((self.state(self.dir + "/father"), self.status(self.dir + "/father")["writer"]), ("pending", "father"))
        reader = self.agent("son")
        reading = reader.start("open(p + '/weights').read()", p=child["parameters"]["restore_path"]).parked()
        self.write({"id": "father", "parameters": {"save_path": self.dir + "/father"}})
        self.assertEqual(reading.value(), "x")

    def test_a_stopped_asker_holds_up_nobody(self):
        self.init("random")
        process = self.spawn([self.sealtuner_path, "ask", self.dir])
        time.sleep(0.002)
        process.signal(signal.SIGSTOP)
        for _ in range(3):
            self.ask()
        process.signal(signal.SIGCONT)
        self.assertEqual(process.wait(), 0, process.output())
        until(lambda: self.whole()["counts"]["asked"] == 4, "all four trials")


if __name__ == "__main__":
    main()
