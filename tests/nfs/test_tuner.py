"""sealtuner on two machines: each trial is given out once, what one has told the other knows at once, children are there before their fathers,
and launchers share the work.

time limit: 600
"""

import hashlib

from machines import *

SPACE = {"lr": {"_type": "loguniform", "_value": [0.0001, 0.1]}, "units": {"_type": "choice", "_value": [16, 32, 64]}}
ASKERS, EACH, CHILDREN = 2, 4, 16

# asks for trials, one after the other, and tells the result of each at once
ASK_AND_TELL = r'''
for _ in $(seq %d); do
	answer=$("$0" ask "$1") || exit
	echo "$answer"
	id=${answer#*'"id":"'}
	"$0" tell "$1" "${id%%%%'"'*}" 1 || exit
done
''' % EACH

# who looks meanwhile finds what has been asked for, never less than before, until the file is there
WATCH = r'''
while :; do
	[ -e "$2" ] && last=yes
	"$0" status --json "$1" || exit
	[ -z "$last" ] || exit 0
done
'''

TRAIN = r'''
echo "begin $1" >>"$4"
weights=0
if [ -n "$3" ]; then weights=$(cat "$3/weights") || exit 9; fi
mkdir "$2" && echo $((weights + 1)) >"$2/weights" || exit 8
echo $((weights + 1))
'''


@in_versions("4.2", "3")
class Tuner(MachinesTest):
    def setUp(self):
        super().setUp()
        self.uid = 0  # trials are whose who reserves for them

    def begin(self, strategy, *options):
        self.tuner = os.path.join(harness.tools(), "sealtuner")
        space = os.path.join(self.tmp, "space.json")
        with open(space, "w") as file:
            json.dump(SPACE, file)
        self.a.mount()
        self.b.mount()
        self.run_on(self.a, "init", "--space", space, "--strategy", strategy, "--seed", "1", *options, self.a.point)

    def run_on(self, machine, *arguments):
        result = self.run_program([ON, machine.name, self.tuner] + list(arguments), uid=0)
        self.assertEqual(result.status, 0, (arguments, result))
        return result.out

    def trials(self, machine):
        return {trial["id"]: trial for trial in json.loads(self.run_on(machine, "status", "--json", machine.point))["trials"]}

    @staticmethod
    def documents(text):
        """JSON texts that were printed one after the other."""
        found, decoder, text = [], json.JSONDecoder(), text.strip()
        while text:
            value, end = decoder.raw_decode(text)
            found.append(value)
            text = text[end:].lstrip()
        return found

    def test_each_trial_is_given_out_once_and_who_looks_meanwhile_sees_no_less_than_before(self):
        self.begin("random")
        done = os.path.join(self.tmp, "done")
        machines = self.a, self.b
        watchers = [machine.spawn(["/bin/sh", "-c", WATCH, self.tuner, machine.point, done], name="watcher") for machine in machines]
        askers = [machine.spawn(["/bin/sh", "-c", ASK_AND_TELL, self.tuner, machine.point], name="asker") for _ in range(ASKERS) for machine in machines]
        answers = []
        for process in askers:
            self.assertEqual(process.wait(PATIENCE * 6), 0, process.output())
            answers += self.documents(process.output())
        with open(done, "w"):
            pass
        count = len(machines) * ASKERS * EACH
        self.assertEqual(sorted(answer["number"] for answer in answers), list(range(1, count + 1)))
        self.assertEqual(len({answer["id"] for answer in answers}), count)
        for process in watchers:
            self.assertEqual(process.wait(PATIENCE * 3), 0, process.output())
            seen = self.documents(process.output())
            for what in (lambda trial: True, lambda trial: trial["value"] == 1):
                counts = [len([trial for trial in status["trials"] if what(trial)]) for status in seen]
                self.assertEqual(sorted(counts), counts)
                self.assertEqual(count, counts[-1])

    def test_what_one_machine_tells_the_other_knows(self):
        self.begin("evolution", "--population", "1")
        for number in range(4):
            here, there = (self.a, self.b) if number % 2 else (self.b, self.a)
            name = "k%d" % number
            asked = json.loads(self.run_on(here, "ask", "--trial", name, here.point))
            self.assertEqual(asked["parent"], "k%d" % (number - 1) if number else None)
            self.assertEqual(self.trials(there)[name]["state"], "running")
            trial = there.trial(name)
            trial("os.mkdir(path); open(path + '/w', 'w').write(path)", path=os.path.join(there.point, name))
            trial.asks(there.point, CALL_SEAL, name)
            trial.close()
            self.run_on(there, "tell", there.point, name, str(number))
            self.assertEqual(self.trials(here)[name]["value"], number)

    def children_before_their_father(self):
        """All are given out, and the children wait on B, when the father has not begun on A."""
        self.begin("enas", "--set", "fanout=%d" % CHILDREN)
        asked = json.loads(self.run_on(self.a, "ask", "--trial", "father", self.a.point))
        self.assertIsNone(asked["parameters"]["restore_path"])
        self.father = self.a.trial("father")
        reading = []
        for number in range(CHILDREN):
            name = "child%d" % number
            child = json.loads(self.run_on(self.b, "ask", "--trial", name, self.b.point))
            self.assertEqual("father", child["parent"])
            self.assertEqual(os.path.join(self.b.point, "father"), child["parameters"]["restore_path"])
            reading.append(self.b.trial(name).start("open(path + '/weights', 'rb').read()", path=child["parameters"]["restore_path"]))
        harness.all_parked(*reading)
        self.father("""
            os.mkdir(path)
            file = open(path + "/weights", "wb", buffering=0)
            for start in range(0, len(data) // 2, 10000):
                file.write(data[start:start + 10000])
        """, path=asked["parameters"]["save_path"], data=pattern(200000, 5))
        for call in reading:
            call.still_waiting()
        return reading

    def test_children_that_are_there_before_their_father_get_his_weights(self):
        reading = self.children_before_their_father()
        self.father("file.write(data[file.tell():]), file.close()")
        wanted = hashlib.md5(pattern(200000, 5)).hexdigest()
        self.father.asks(self.a.point, CALL_SEAL, "father")
        self.run_on(self.a, "tell", self.a.point, "father", "0.5")
        self.assertEqual({wanted}, {hashlib.md5(call.value()).hexdigest() for call in reading})
        for number in (0, CHILDREN - 1):
            self.run_on(self.b, "tell", self.b.point, "child%d" % number, "0.6")
        found = self.trials(self.a)
        self.assertEqual([0.5, 0.6, 0.6], [found[name]["value"] for name in ("father", "child0", "child%d" % (CHILDREN - 1))])

    def test_children_of_a_father_who_is_killed_half_way(self):
        reading = self.children_before_their_father()
        died = self.father.kill()
        for call in reading:
            call.fails("EOWNERDEAD")
        late = max(call.ended for call in reading) - died
        figure("NFS %s: %d children on another machine were told of their father's death after %.2f s" % (self.version, CHILDREN, late))
        self.assertLess(late, 1 * SLOWNESS)
        self.run_on(self.a, "tell", "--failed", self.a.point, "father")
        told = self.run_program([ON, "b", self.tuner, "tell", self.b.point, "child0", "0.6"], uid=0)
        self.assertEqual(3, told.status, told)  # it can not have begun with his weights
        self.assertEqual(["failed", "failed"], [self.trials(self.b)[name]["state"] for name in ("father", "child0")])

    def launch(self, machine, *arguments):
        """Below /mnt the mounts of all machines are seen, but a launcher is to find those of its own."""
        others = [other.point for other in self.machines.values() if other is not machine]
        return machine.spawn(["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", 'umount -l "$1" && shift && exec "$@"', "sh", *others,
                              self.tuner, "run", *arguments], name="launcher")

    def test_launchers_on_two_machines_share_the_work(self):
        self.begin("evolution", "--population", "3")
        script, log, wanted = os.path.join(self.tmp, "train.sh"), os.path.join(self.tmp, "log"), 8
        with open(script, "w") as file:
            file.write(TRAIN)
        launchers = [self.launch(machine, "--trials", str(wanted), "--jobs", "2", machine.point, "--", "/bin/sh", script, "{id}", "{save_path}",
                                 "{restore_path}", log) for machine in (self.a, self.b)]
        for process in launchers:
            self.assertEqual(process.wait(PATIENCE * 10), 0, process.output())
        trials = self.trials(self.a)
        self.assertEqual({trial["state"] for trial in trials.values()}, {"done"}, trials)
        for trial in trials.values():
            self.assertEqual(trial["value"], (trials[trial["parent"]]["value"] if trial["parent"] else 0) + 1)
        with open(log) as file:
            begun = [line.split()[1] for line in file]
        self.assertEqual(sorted(begun), sorted(trials))
        self.assertEqual(len(trials), wanted)


if __name__ == "__main__":
    main()
