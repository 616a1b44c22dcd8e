#!/usr/bin/python3
# time limit: 180
"""After a failure: who may begin anew, with what, and what becomes of the old."""

import os
import signal

from harness import ALL_MODES, DAEMON, PYTHON, ROOT, SealfsTest, all_parked, in_modes, main, pattern

OLD, NEW = pattern(50_000, 1), pattern(60_000, 2)
SAVE = """
os.makedirs(d, exist_ok=True)
with open(d + "/model.bin", "wb") as file:
    file.write(data)
"""


class Generations(SealfsTest):
    def setUp(self):
        super().setUp()
        self.mount()
        self.path = self.point + "/parent"

    def fail_once(self, trial="parent"):
        """Generation 1 has failed with half a model in it. Returns an agent of the failed trial that was there before."""
        agent = self.agent(trial)
        agent(SAVE, d=self.path, data=OLD[:1000])
        agent("open(d + '/old-only', 'w').write('old')", d=self.path)
        self.ctl("abandon", "--reason", "test", self.path, trial=trial)
        self.assertEqual(self.state(self.path), "failed")
        return agent

    def reader(self, name="model.bin"):
        return self.agent("child").start("open(d + '/' + n, 'rb').read()", d=self.path, n=name)

    def check_second(self, writer, content=NEW, names=("model.bin",)):
        status = self.status(self.path)
        self.assertEqual((status["state"], status["writer"], status["generation"]), ("sealed", writer, 2))
        self.assertEqual(self.reader().value(), content)
        self.assertEqual(sorted(self.agent("child")("os.listdir(d)", d=self.path)), sorted(names))
        self.assertEqual(self.reader("old-only").error(), "ENOENT")


@in_modes(*ALL_MODES)
class Anew(Generations):
    def test_another_trial_saves_the_same_names_and_its_seal_is_what_readers_get(self):
        self.fail_once()
        self.reader().fails("EOWNERDEAD", patience=5)
        second = self.agent("second")
        second(SAVE, d=self.path, data=NEW[:10])
        self.assertEqual(second("os.listdir(d)", d=self.path), ["model.bin"])
        waiting = self.reader().parked()
        second(SAVE, d=self.path, data=NEW)
        waiting.parked()
        self.ctl("seal", self.path, trial="second")
        self.assertEqual(waiting.value(), NEW)
        self.check_second("second")

    def test_another_trial_makes_a_new_name_first(self):
        self.fail_once()
        second = self.agent("second")
        second("open(d + '/model.bin.tmp', 'wb').write(data); os.rename(d + '/model.bin.tmp', d + '/model.bin')", d=self.path, data=NEW)
        self.ctl("seal", self.path, trial="second")
        self.check_second("second")

    def test_another_trial_makes_a_directory_first(self):
        self.fail_once()
        second = self.agent("second")
        second("os.makedirs(d + '/sub'); open(d + '/model.bin', 'wb').write(data)", d=self.path, data=NEW)
        self.ctl("seal", self.path, trial="second")
        self.check_second("second", names=("model.bin", "sub"))

    def test_same_trial_started_again(self):
        self.fail_once().exit(1)
        again = self.agent("parent")
        again(SAVE, d=self.path, data=NEW)
        self.ctl("seal", self.path, trial="parent")
        self.check_second("parent")

    def test_same_trial_started_again_makes_its_directory_bare(self):
        """Where nothing had been made in the failed generation the name is missing, for the trial that failed."""
        self.reserve(self.path)
        waiting = self.agent("child").start("os.listdir(d)", d=self.path).parked()
        self.ctl("abandon", self.path)
        waiting.fails("EOWNERDEAD")
        again = self.agent("parent")
        again("os.mkdir(d); open(d + '/model.bin', 'wb').write(data)", d=self.path, data=NEW)
        self.ctl("seal", self.path, trial="parent")
        self.check_second("parent")

    def test_process_from_before_the_failure_may_not_go_on(self):
        before = self.fail_once()
        self.assertEqual(before.error("open(d + '/more.bin', 'w')", d=self.path), "EOWNERDEAD")
        self.assertEqual(before.error("os.mkdir(d + '/sub')", d=self.path), "EOWNERDEAD")
        self.assertEqual(self.status(self.path)["generation"], 1)

    def test_process_from_before_writes_into_what_nobody_will_seal(self):
        before = self.agent("parent")
        before("os.mkdir(d); file = open(d + '/model.bin', 'wb', buffering=0); file.write(data)", d=self.path, data=OLD)
        self.ctl("abandon", self.path, trial="parent")
        second = self.agent("second")
        second(SAVE, d=self.path, data=NEW)
        # it may succeed or not: it must not be seen
        before.start("file.seek(0); file.write(b'late late late')").finish()
        self.ctl("seal", self.path, trial="second")
        before.start("file.seek(20); file.write(b'later still')").finish()
        self.check_second("second")
        with open(self.exported("parent/model.bin"), "rb") as file:
            self.assertEqual(file.read(), NEW)

    def test_process_from_before_gets_nothing_into_the_second_generation(self):
        before = self.fail_once()
        second = self.agent("second")
        second(SAVE, d=self.path, data=NEW)
        for code in ("open(d + '/model.bin', 'wb')", "os.unlink(d + '/model.bin')", "os.truncate(d + '/model.bin', 0)"):
            self.assertIn(before.error(code, d=self.path), ("EBUSY", "EOWNERDEAD"))
        self.assertIn(before.error("open(d + '/more.bin', 'wb')", d=self.path), ("EBUSY", "EOWNERDEAD", "EISDIR"))
        self.ctl("seal", self.path, trial="second")
        self.check_second("second")

    def test_old_content_is_kept_aside_on_the_export(self):
        self.fail_once()
        self.agent("second")(SAVE, d=self.path, data=NEW)
        found = [os.path.join(where, name) for where, _, names in os.walk(self.exported(".sealfs/failed")) for name in names]
        self.assertIn("old-only", [os.path.basename(name) for name in found])

    def test_waiters_of_the_first_generation_are_not_handed_the_second(self):
        parent = self.agent("parent")
        parent(SAVE, d=self.path, data=OLD)
        waiting = [self.reader(), self.agent("child").start("os.listdir(d)", d=self.path)]
        all_parked(*waiting)
        self.ctl("abandon", self.path, trial="parent")
        for call in waiting:
            call.fails("EOWNERDEAD")

    def test_third_generation(self):
        self.fail_once()
        self.agent("second")(SAVE, d=self.path, data=OLD)
        self.ctl("abandon", self.path)
        third = self.agent("third")
        third(SAVE, d=self.path, data=NEW)
        self.ctl("seal", self.path, trial="third")
        status = self.status(self.path)
        self.assertEqual((status["state"], status["writer"], status["generation"]), ("sealed", "third", 3))
        self.assertEqual(self.reader().value(), NEW)


@in_modes(ROOT, DAEMON)
class By_command(Generations):
    def test_run_save(self):
        self.fail_once()
        result = self.sealctl("run", "--trial", "second", "--save", self.path, "--", PYTHON, "-c", """
import os, sys
d = sys.argv[1]
assert not os.path.exists(d + "/model.bin")
os.makedirs(d, exist_ok=True)
open(d + "/model.bin", "wb").write(b"second")
""", self.path, trial=None)
        self.assertEqual(result.status, 0, result)
        self.check_second("second", b"second")

    def test_reserve_again(self):
        self.fail_once()
        self.reserve(self.path, writer="second")
        self.assertEqual((self.state(self.path), self.status(self.path)["generation"]), ("pending", 2))
        waiting = self.reader().parked()
        second = self.agent("second")
        self.assertIs(second("os.path.exists(d + '/model.bin')", d=self.path), False)
        second(SAVE, d=self.path, data=NEW)
        waiting.parked()
        self.ctl("seal", self.path, trial="second")
        self.assertEqual(waiting.value(), NEW)
        self.check_second("second")

    def test_reserve_of_an_open_or_sealed_checkpoint_is_refused(self):
        self.agent("parent")(SAVE, d=self.path, data=OLD)
        self.assertEqual(self.sealctl("reserve", "--writer", "x", self.path).status, 1)
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(self.sealctl("reserve", "--writer", "x", self.path).status, 1)
        self.assertEqual(self.state(self.path), "sealed")

    def test_checkpoint_of_one_file(self):
        path = self.point + "/model.pt"
        self.agent("parent")("open(p, 'wb').write(data)", p=path, data=OLD)
        self.ctl("abandon", path, trial="parent")
        self.assertEqual(self.agent("child").error("open(p).read()", p=path), "EOWNERDEAD")
        second = self.agent("second")
        second("open(p, 'wb').write(data)", p=path, data=NEW)
        self.ctl("seal", path, trial="second")
        self.assertEqual(self.agent("child")("open(p, 'rb').read()", p=path), NEW)
        self.assertEqual(self.status(path)["generation"], 2)

    def test_after_rm_the_name_is_free(self):
        self.fail_once()
        self.ctl("rm", self.path)
        self.assertIs(self.agent("child")("os.path.exists(d)", d=self.path), False)
        second = self.agent("second")
        second("os.mkdir(d); open(d + '/model.bin', 'wb').write(data)", d=self.path, data=NEW)
        self.ctl("seal", self.path, trial="second")
        self.assertEqual(self.reader().value(), NEW)

    def test_killed_trial_and_its_successor(self):
        """The whole story without any command."""
        self.need_exit_info()
        self.reserve(self.path)
        first_child = self.reader().parked()
        parent = self.agent("parent")
        parent(SAVE, d=self.path, data=OLD)
        parent.kill(signal.SIGKILL)
        first_child.fails("EOWNERDEAD")
        again = self.agent("parent")
        again(SAVE, d=self.path, data=NEW)
        second_child = self.reader().parked()
        again.exit(0)
        self.assertEqual(second_child.value(), NEW)
        self.check_second_generation()

    def check_second_generation(self):
        self.assertEqual(self.status(self.path)["generation"], 2)


if __name__ == "__main__":
    main()
