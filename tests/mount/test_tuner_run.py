#!/usr/bin/python3
"""sealtuner run: trials as processes, what they report, and launchers that are stopped, killed, or not alone. time limit: 400"""

import json
import os
import pty
import random
import re
import select
import signal
import sys
import time

from harness import DAEMON, PATIENCE, PYTHON, Process, in_modes, main, until, ROOT, TOP, USER
from tuner import TunerTest

# A script that knows nothing of sealfs or NNI: loads, "trains", saves, prints a result. It tells a log when it begins and ends.
TRAIN = r'''
name=$1 save=$2 restore=$3 log=$4 pause=$5
echo "begin $name" >>"$log"
weights=0
if [ -n "$restore" ]; then
	weights=$(cat "$restore/weights") || exit 9
fi
sleep "$pause"
mkdir "$save" && echo $((weights + 1)) >"$save/weights" || exit 8
echo "end $name" >>"$log"
echo "training..."
echo $((weights + 1))
'''

# The root is taken apart only when its child has ended.
TELLS = r'''
import os, sys
save, restore, gate = sys.argv[1:]
weights = int(open(restore + "/weights").read()) if restore else 0
os.makedirs(save, exist_ok=True)
with open(save + "/weights", "w") as file:
    file.write(str(weights + 1))
print(weights + 1)
class Late:
    def __del__(self, open=open, restore=restore, gate=gate):
        open(gate, "w" if restore else "r").close()
late = Late()
'''

# What nni.get_next_parameter() and nni.report_final_result() of the SDK do on the platform "local", reduced to what a trial
# sees of it: where parameters come from, and how metrics are framed.
NNI = r'''
import json, os, subprocess, time
assert os.environ["NNI_PLATFORM"] == "local"
sysdir, outputdir = os.environ["NNI_SYS_DIR"], os.environ["NNI_OUTPUT_DIR"]
trial, experiment, sequence = os.environ["NNI_TRIAL_JOB_ID"], os.environ["NNI_EXP_ID"], int(os.environ["NNI_TRIAL_SEQ_ID"])
os.makedirs(os.path.join(sysdir, ".nni"), exist_ok=True)
os.makedirs(outputdir, exist_ok=True)
metrics = open(os.path.join(sysdir, ".nni", "metrics"), "ab")

def get_next_parameter():
    path = os.path.join(sysdir, "parameter.cfg")
    while not (os.path.isfile(path) and os.path.getsize(path) > 0):
        time.sleep(3)
    with open(path) as file:
        return json.load(file)

def report(kind, value, number=0):
    data = json.dumps({"parameter_id": parameters["parameter_id"], "trial_job_id": trial, "type": kind, "sequence": number,
                       "value": json.dumps(value)}).encode()
    metrics.write(b"ME%06d%b" % (len(data), data))
    metrics.flush()
    subprocess.run(["touch", metrics.name], check=True)

parameters = get_next_parameter()
values = parameters["parameters"]
assert parameters["parameter_id"] == sequence
loaded = 0
if values["restore_path"]:
    with open(os.path.join(values["restore_path"], "model")) as file:
        loaded = int(file.read())
report("PERIODICAL", 0.1)
os.makedirs(values["save_path"])
with open(os.path.join(values["save_path"], "model"), "w") as file:
    file.write(str(loaded + 1))
report("FINAL", {"default": loaded + 1, "units": values["units"]})
print("this is no result")
'''


class RunTest(TunerTest):
    def setUp(self):
        super().setUp()
        self.log_of_trials = os.path.join(self.tmp, "trials.log")
        self.script = os.path.join(self.tmp, "train.sh")
        with open(self.script, "w") as file:
            file.write(TRAIN)

    def command(self, pause="0.05"):
        return ["/bin/sh", self.script, "{id}", "{save_path}", "{restore_path}", self.log_of_trials, str(pause)]

    def arguments(self, trials, jobs, command, directory=None):
        return ["run", "--trials", str(trials), "--jobs", str(jobs), directory or self.dir, "--"] + command

    def launch(self, trials, jobs=1, command=None, expect=0, **more):
        return self.tune(*self.arguments(trials, jobs, command or self.command()), expect=expect, patience=4 * PATIENCE, **more)

    def start(self, trials, jobs=1, command=None, directory=None, **more):
        return self.spawn([self.sealtuner_path] + self.arguments(trials, jobs, command or self.command(), directory), name="launcher", **more)

    def events(self):
        try:
            with open(self.log_of_trials) as file:
                return [tuple(line.split()) for line in file]
        except FileNotFoundError:
            return []

    def begun(self):
        return [name for what, name in self.events() if what == "begin"]

    def work(self, trial, name):
        with open(self.exported("exp/.sealtuner/trials", trial, name)) as file:
            return file.read()

    def check_all_done(self, count):
        trials = self.trials()
        self.assertEqual(len(trials), count)
        self.assertEqual({trial["state"] for trial in trials.values()}, {"done"}, trials)
        for trial in trials.values():
            before = trials[trial["parent"]]["value"] if trial["parent"] else 0
            self.assertEqual(trial["value"], before + 1, trial)
        return trials


@in_modes(ROOT, USER)
class Running(RunTest):
    def test_trials_share_weights(self):
        self.init("evolution", "--population", "4")
        result = self.launch(12, 3)
        trials = self.check_all_done(12)
        self.assertEqual(sum(trial["parent"] is not None for trial in trials.values()), 8)
        self.assertEqual(len(result.out.splitlines()), 12, result.out)
        self.assertRegex(result.out, r"(?m)^t0012  \d+  from t00\d\d  [\d.]+ s  lr=")
        for name in trials:
            self.assertEqual(self.state(self.dir + "/" + name), "sealed")
        again = self.launch(12, 3)
        self.assertEqual(again.out, "")
        self.assertRegex(again.err, r"^sealtuner: nothing is left to do in '.*/exp': it has had 12 trials; 'sealtuner best' names the best, .*greater number than 12")
        self.launch(14, 3)
        self.check_all_done(14)
        self.assertEqual(len(self.begun()), 14)

    def test_a_script_for_nni_runs_without_nni(self):
        path = os.path.join(self.tmp, "nni_trial.py")
        with open(path, "w") as file:
            file.write(NNI)
        self.init("morphism")
        self.launch(5, 2, [sys.executable, path])
        trials = self.check_all_done(5)
        self.assertEqual(self.tune("best", "--path", self.dir).status, 0)
        for name, trial in trials.items():
            given = json.loads(self.work(name, "parameter.cfg"))["parameters"]
            self.assertEqual({key: given[key] for key in trial["parameters"]}, trial["parameters"])


    def test_a_script_that_tells_its_end_is_not_waited_for_by_its_children(self):
        """The first one's process is there until its child has ended, though it has one place to restore from."""
        path, gate = os.path.join(self.tmp, "train.py"), os.path.join(self.tmp, "gate")
        os.mkfifo(gate)
        os.chmod(gate, 0o666)
        with open(path, "w") as file:
            file.write(TELLS)
        self.init("morphism")
        result = self.launch(2, 2, [PYTHON, os.path.join(TOP, "tools/python/tell_end.py"), path, "{save_path}", "{restore_path}", gate])
        self.check_all_done(2)
        self.assertEqual(len(re.findall("(?m)^t000[12] ", result.out)), 2, result.out)


class Reports(RunTest):
    def test_what_a_trial_sees(self):
        self.init("evolution", "--population", "1")
        see = r'''
        import json, os, sys
        assert sys.argv[1:] == [os.environ["SEALTUNER_ID"], os.environ["SEALTUNER_SAVE_PATH"], os.environ.get("SEALTUNER_RESTORE_PATH", ""),
                                os.environ["SEALTUNER_PARAMETERS"], os.environ["SEALTUNER_WORK"], "{literal}", sys.argv[7], sys.argv[8]], sys.argv
        given = json.load(open(os.environ["SEALTUNER_PARAMETERS"]))
        assert (given["save_path"], given["restore_path"] or "") == (sys.argv[2], sys.argv[3])
        assert float(sys.argv[7]) == given["lr"] and sys.argv[8] == given["layer"]["_name"]
        assert os.environ["SEALFS_TRIAL"] == os.environ["NNI_TRIAL_JOB_ID"] == sys.argv[1]
        assert os.environ["SEALTUNER_DIR"] == os.path.dirname(sys.argv[2])
        os.mkdir(sys.argv[2])
        open(sys.argv[2] + "/x", "w").close()
        open(os.environ["SEALTUNER_RESULT"], "w").write('{"value": 7}')
        print(8)
        '''
        path = os.path.join(self.tmp, "see.py")
        with open(path, "w") as file:
            file.write("import textwrap\nexec(textwrap.dedent(%r))\n" % see)
        self.launch(2, 1, [sys.executable, path, "{id}", "{save_path}", "{restore_path}", "{parameters}", "{work}", "{{literal}}", "{lr}", "{layer/_name}"])
        self.assertEqual([trial["value"] for trial in self.trials().values()], [7, 7])

    def test_why_a_trial_has_failed(self):
        self.init("darts")
        cases = {
            "t0001": ("echo boom >&2; exit 5", "exit status 5: boom"),
            "t0002": ("kill -SEGV $$", "killed by SIGSEGV"),
            "t0003": ("mkdir $SEALTUNER_SAVE_PATH; touch $SEALTUNER_SAVE_PATH/x; echo fine", "it has reported no result"),
            "t0004": ("mkdir $SEALTUNER_SAVE_PATH; touch $SEALTUNER_SAVE_PATH/x; echo nan", "its result is not a number"),
            "t0005": ("echo 3", "exit status 3: abandoned 'exp/t0005': its trial ended without having saved anything"),
            "t0006": ("exec /nowhere", "exit status 127"),
        }
        script = 'case $SEALTUNER_ID in %s esac' % " ".join("%s) %s ;;" % (name, what) for name, (what, _) in cases.items())
        self.launch(6, 1, ["/bin/sh", "-c", script.replace("{", "{{")], expect=3)
        trials = self.trials()
        for name, (_, why) in cases.items():
            with self.subTest(name):
                self.assertEqual(trials[name]["state"], "failed")
                self.assertIn(why, trials[name]["reason"])

    def test_without_sharing_nothing_need_be_saved(self):
        self.init("random")
        self.launch(3, 2, ["echo", "{lr}"])
        for trial in self.trials().values():
            self.assertAlmostEqual(trial["value"], trial["parameters"]["lr"])
        self.assertEqual({entry["state"] for entry in json.loads(self.ctl("status", "--json", self.dir).out)}, {"failed"})

    def test_readers_of_a_chain_need_not_save(self):
        self.init("enas", "--set", "fanout=3")
        script = r'''
        echo "$SEALTUNER_ROLE ${SEALTUNER_RESTORE_PATH##*/}" >>%s
        test -z "$SEALTUNER_RESTORE_PATH" || cat "$SEALTUNER_RESTORE_PATH/w" || exit 9
        test "$SEALTUNER_ROLE" = evaluate || { mkdir "$SEALTUNER_SAVE_PATH" && echo shared >"$SEALTUNER_SAVE_PATH/w"; }
        echo 0.5''' % self.log_of_trials
        self.launch(9, 4, ["/bin/sh", "-c", script])
        self.assertEqual({trial["state"] for trial in self.trials().values()}, {"done"})
        self.assertEqual(sorted(event[0] for event in self.events()), ["evaluate"] * 6 + ["train"] * 3)

    def test_children_of_a_failed_parent_fail_even_if_they_swallow_the_error(self):
        self.init("darts")
        script = r'''
        if test -z "$SEALTUNER_RESTORE_PATH"; then sleep 0.5; exit 1; fi
        cat "$SEALTUNER_RESTORE_PATH/w" || echo "starting from nothing"
        mkdir "$SEALTUNER_SAVE_PATH" && echo x >"$SEALTUNER_SAVE_PATH/w"
        echo 1'''
        self.launch(2, 2, ["/bin/sh", "-c", script], expect=3)
        reasons = [trial["reason"] for trial in self.trials().values()]
        self.assertEqual(reasons[1], "the checkpoint that it was to restore has failed")

    def test_unknown_placeholders_are_refused_before_anything_is_given_out(self):
        self.init("random")
        result = self.launch(1, 1, ["echo", "{learning_rate}"], expect=2)
        self.assertIn("there is no parameter 'learning_rate' for the placeholder '{learning_rate}'", result.err)
        self.assertEqual(self.trials(), {})
        result = self.tune(*self.arguments(1, 1, ["echo"], self.exported("exp")), expect=1)
        self.assertIn("it is on an export, where nothing waits", result.err)


class Progress(RunTest):
    def test_one_job_gets_through_a_chain(self):
        self.init("darts")
        self.launch(6, 1)
        self.check_all_done(6)

    def test_more_jobs_than_a_chain_can_use(self):
        self.init("darts")
        process = self.start(8, 8, self.command("0.1"))
        # all are begun long before their turn
        until(lambda: len(self.begun()) == 8, "all eight to be begun")
        self.assertEqual(process.wait(4 * PATIENCE), 0, process.output())
        self.check_all_done(8)

    def test_a_child_of_somebody_elses_trial_takes_no_slot(self):
        """What another launcher gave out may take for ever: new trials do not wait for it."""
        self.init("darts")
        self.ask("--trial", "foreign")
        self.launch(3, 1)
        trials = self.trials()
        self.assertEqual({name: trial["state"] for name, trial in trials.items()}, {"foreign": "running", "t0002": "done", "t0003": "done"})
        self.assertIsNone(trials["t0002"]["parent"])

    def test_two_launchers_on_two_mounts_share_the_work(self):
        second = self.second_mount()
        self.init("evolution", "--population", "4")
        first = self.start(24, 3)
        other = self.start(24, 3, directory=os.path.join(second.path, "exp"))
        for process in (first, other):
            self.assertEqual(process.wait(4 * PATIENCE), 0, process.output())
        self.check_all_done(24)
        begun = self.begun()
        self.assertEqual(sorted(begun), sorted(set(begun)))
        for process in (first, other):
            self.assertRegex(process.output(), r"(?m)^t00")


class Ends(RunTest):
    def test_a_signal_stops_it_and_it_goes_on_later(self):
        self.init("evolution", "--population", "4")
        for number, jobs in ((signal.SIGINT, 3), (signal.SIGTERM, 2)):
            before = len(self.begun())
            process = self.start(8, jobs, self.command("30"))
            until(lambda: len(self.begun()) - before == jobs, "the trials to be begun")
            process.signal(number)
            self.assertEqual(process.wait(), 128 + number, process.output())
            self.assertIn("the trials are stopped", process.output())
            self.assertEqual({trial["state"] for trial in self.trials().values()}, {"running"})
        self.launch(8, 3)
        self.check_all_done(8)

    def test_a_second_signal_kills(self):
        self.init("evolution", "--population", "4")
        process = self.start(2, 2, ["/bin/sh", "-c", 'trap "" TERM; echo "begin {id}" >>%s; while :; do sleep 0.1; done' % self.log_of_trials])
        until(lambda: len(self.begun()) == 2, "the trials to be begun")
        process.signal(signal.SIGTERM)
        until(lambda: "the trials are stopped" in process.output(), "the first signal to be noticed")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM, process.output())

    def test_a_trial_that_ends_well_while_it_is_stopped_counts(self):
        self.init("evolution", "--population", "4")
        script = 'trap "" TERM; echo "begin {id}" >>%s; while ! [ -e %s/go ]; do sleep 0.05; done; mkdir {save_path}; echo >{save_path}/x; echo 1' % (
            self.log_of_trials, self.tmp)
        process = self.start(5, 1, ["/bin/sh", "-c", script])
        until(lambda: len(self.begun()) == 1, "the trial to be begun")
        process.signal(signal.SIGTERM)
        until(lambda: "the trials are stopped" in process.output(), "the signal to be noticed")
        open(self.tmp + "/go", "w").close()
        self.assertEqual(process.wait(), 128 + signal.SIGTERM, process.output())
        self.assertEqual([trial["state"] for trial in self.trials().values()], ["done"])

    def test_trials_outlive_a_killed_launcher_and_are_taken_in(self):
        self.init("evolution", "--population", "4")
        process = self.start(4, 2, self.command("1"))
        until(lambda: len(self.begun()) == 2, "the trials to be begun")
        process.kill()
        # one launcher comes while they run, and waits for them
        self.launch(4, 2, self.command("0.05"))
        self.check_all_done(4)
        self.assertEqual(len(self.begun()), 4, "a trial was run twice")

    def test_what_ended_while_nobody_looked_is_taken_in(self):
        self.init("evolution", "--population", "4")
        process = self.start(2, 2, self.command("0.5"))
        until(lambda: len(self.begun()) == 2, "the trials to be begun")
        process.kill()
        until(lambda: len(self.events()) == 4, "the trials to end")
        until(lambda: all(os.path.exists(self.exported("exp/.sealtuner/trials", name, "end")) for name in self.begun()), "their ends to be written")
        self.launch(2, 2)
        self.check_all_done(2)
        self.assertEqual(len(self.begun()), 2)

    def test_a_trial_whose_wrapper_was_killed_fails(self):
        self.init("evolution", "--population", "4")
        process = self.start(1, 1, self.command("30"))
        until(lambda: len(self.begun()) == 1, "the trial to be begun")
        until(lambda: self.work("t0001", "lock").strip(), "the lock to be written")
        os.killpg(int(self.work("t0001", "lock")), signal.SIGKILL)
        self.assertEqual(process.wait(), 3, process.output())
        self.assertIn("killed by SIGKILL", self.trials()["t0001"]["reason"])
        self.assertEqual(self.state(self.dir + "/t0001"), "failed")


class Terminal(RunTest):
    def test_a_table_shows_who_waits_for_whom(self):
        self.need_terminal()
        self.init("darts")
        # the first one reports how far it is, the way NNI's SDK does
        data = '{"type": "PERIODICAL", "value": "0.25"}'
        record = "ME%06d%s" % (len(data), data.replace("{", "{{").replace("}", "}}"))
        report = "mkdir \"$NNI_SYS_DIR/.nni\"; test {id} != t0001 || printf %s '" + record + "' >\"$NNI_SYS_DIR/.nni/metrics\"; exec \"$@\""
        command = ["/bin/sh", "-c", report, "-"] + self.command("1")
        ours, theirs = pty.openpty()
        with open(theirs, "r+b", buffering=0, closefd=True) as terminal:
            pid = os.fork()
            if pid == 0:
                os.setsid()
                for fd in (0, 1, 2):
                    os.dup2(terminal.fileno(), fd)
                if self.uid != os.geteuid():
                    os.setgroups([])
                    os.setgid(self.uid)
                    os.setuid(self.uid)
                os.execve(self.sealtuner_path, [self.sealtuner_path] + self.arguments(3, 3, command), dict(os.environ, TERM="xterm"))
        seen = b""
        deadline = time.monotonic() + 4 * PATIENCE
        while time.monotonic() < deadline:
            ready, _, _ = select.select([ours], [], [], 1)
            if ready:
                try:
                    data = os.read(ours, 65536)
                except OSError:
                    break
                if not data:
                    break
                seen += data
        os.close(ours)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, seen)
        text = seen.decode()
        self.assertRegex(text, r"ID +STATE +METRIC +WAITS FOR +TIME +PARAMETERS")
        self.assertRegex(text, r"t0001 +running +0.25 +- +\d+ s")
        self.assertRegex(text, r"t0002 +waiting +- +t0001 +\d+ s")
        self.assertRegex(text, r"\d of 3 done, 0 failed, \d running; best: t000\d, \d")
        for name in ("t0001", "t0002", "t0003"):
            self.assertRegex(text, r"%s  \d  (from t000\d  )?[\d.]+ s" % name)
        # the last thing that stands there is a line that stays, not the table
        self.assertNotIn("WAITS FOR", re.split(r"\x1b\[J", text)[-1])


class Kills(RunTest):
    mode = DAEMON

    def test_kill_of_run_ask_and_tell_at_any_point(self):
        """200 rounds: no trial is lost, none is run twice, and the journal can be read after each."""
        rounds, jobs = 200, 3
        self.init("evolution", "--population", "6", "--keep", "20")
        dice = random.Random(11)
        asked = set()
        interrupted = 0
        wanted = 0
        for i in range(rounds):
            wanted = len(self.trials()) + 4
            victims = [Process([self.sealtuner_path] + self.arguments(wanted, jobs, self.command("0.01")), os.path.join(self.scratch, "run"), uid=self.uid)]
            name = "other%d" % (i // 2)
            words = ["ask", "--trial", name, self.dir] if i % 2 == 0 else ["tell", "--failed", self.dir, name]
            victims.append(Process([self.sealtuner_path] + words, os.path.join(self.scratch, "other"), uid=self.uid))
            time.sleep(dice.random() * 0.1)
            for victim in victims:
                interrupted += victim.running()
                victim.kill()
                victim.close()
            trials = self.trials()  # it can be read
            self.assertLessEqual(asked, set(trials), "a trial was lost")
            if i % 2 == 0:
                self.ask("--trial", name)
            else:
                self.tune("tell", "--failed", self.dir, name)
            asked = set(trials) | {name}
        self.launch(max(wanted, len(self.trials())) + 2, jobs, self.command("0.01"))
        trials = self.trials()
        ours = {name: trial for name, trial in trials.items() if name.startswith("t")}
        self.assertEqual(sorted(trial["number"] for trial in trials.values()), list(range(1, len(trials) + 1)))
        self.assertNotIn("running", {trial["state"] for trial in ours.values()})
        begun = self.begun()
        self.assertEqual(sorted(begun), sorted(set(begun)), "a trial was run twice")
        self.assertEqual(set(begun), set(ours), "a trial was never run")
        done = {name for name, trial in ours.items() if trial["state"] == "done"}
        self.assertEqual(done, {name for what, name in self.events() if what == "end"})
        for name, trial in ours.items():
            if trial["state"] == "failed":
                self.assertIn("the checkpoint that it was to restore", trial["reason"] or "")
        self.assertGreater(interrupted, rounds // 2, "the kills came too late to say anything")
        self.assertGreater(len(done), 10)


if __name__ == "__main__":
    main()
