#!/usr/bin/python3
# time limit: 300
"""A child that comes before its parent has saved: every way to look at the checkpoint waits, and then sees what was sealed."""

import os

from harness import ALL_MODES, DAEMON, ROOT, SealfsTest, all_parked, in_modes, main, pattern

MODEL = pattern(300_000, seed=5)
SHARD = pattern(5_000, seed=6)

# What the parent makes, in the order in which it makes it.
SAVE = """
os.makedirs(d, exist_ok=True)
with open(d + "/model.bin", "wb") as file:
    file.write(model[:1000])
os.makedirs(d + "/epoch_5")
"""
SAVE_REST = """
with open(d + "/epoch_5/shard.bin", "wb") as file:
    file.write(shard)
with open(d + "/model.bin", "r+b") as file:
    file.write(model)
with open(d + "/log.txt", "w") as file:
    file.write("done\\n")
os.symlink("model.bin", d + "/last.bin")
"""

# name: (what the child does, what it is to see)
PYTHON_CALLS = {
    "open": ("open(d + '/model.bin', 'rb').read()", MODEL),
    "read_bytes": ("__import__('pathlib').Path(d, 'model.bin').read_bytes()", MODEL),
    "open_by_symlink": ("open(d + '/last.bin', 'rb').read()", MODEL),
    "open_below_missing_directory": ("open(d + '/epoch_5/shard.bin', 'rb').read()", SHARD),
    "exists": ("os.path.exists(d + '/model.bin')", True),
    "exists_below_missing_directory": ("os.path.exists(d + '/epoch_5/shard.bin')", True),
    "isfile": ("os.path.isfile(d + '/model.bin')", True),
    "isdir_of_missing_directory": ("os.path.isdir(d + '/epoch_5')", True),
    "islink": ("os.path.islink(d + '/last.bin')", True),
    "lexists": ("os.path.lexists(d + '/last.bin')", True),
    "getsize": ("os.path.getsize(d + '/model.bin')", len(MODEL)),
    "stat": ("os.stat(d + '/epoch_5/shard.bin').st_size", len(SHARD)),
    "access": ("os.access(d + '/model.bin', os.R_OK)", True),
    "listdir": ("sorted(os.listdir(d))", ["epoch_5", "last.bin", "log.txt", "model.bin"]),
    "listdir_of_missing_directory": ("os.listdir(d + '/epoch_5')", ["shard.bin"]),
    "scandir": ("sorted((e.name, e.is_file()) for e in os.scandir(d))",
                [("epoch_5", False), ("last.bin", True), ("log.txt", True), ("model.bin", True)]),
    "glob": ("[os.path.relpath(p, d) for p in __import__('glob').glob(d + '/*/*.bin')]", ["epoch_5/shard.bin"]),
    "glob_of_checkpoint": ("sorted(map(os.path.basename, __import__('glob').glob(d + '/*.bin')))", ["last.bin", "model.bin"]),
    "walk": ("sorted((os.path.relpath(t, d), sorted(n), sorted(f)) for t, n, f in os.walk(d))",
             [(".", ["epoch_5"], ["last.bin", "log.txt", "model.bin"]), ("epoch_5", [], ["shard.bin"])]),
    "mmap": ("""
with open(d + '/model.bin', 'rb') as file:
    with __import__('mmap').mmap(file.fileno(), 0, prot=1) as view:
        result = bytes(view)
""", MODEL),
    "chdir": ("""
os.chdir(d + '/epoch_5')
result = os.listdir('.')
os.chdir('/')
""", ["shard.bin"]),
    "copytree": ("""
shutil.copytree(d, scratch + '/copy-%d' % os.getpid(), symlinks=True)
result = snapshot(scratch + '/copy-%d' % os.getpid()) == snapshot(d)
""", True),
    "never_made_exists": ("os.path.exists(d + '/never')", False),
    "never_made_isfile": ("os.path.isfile(d + '/never')", False),
    "never_made_access": ("os.access(d + '/never', os.F_OK)", False),
    "never_made_below_missing": ("os.path.exists(d + '/nowhere/never')", False),
    "never_made_glob": ("__import__('glob').glob(d + '/*.never')", []),
    "never_made_walk": ("list(os.walk(d + '/nowhere'))", []),
    "never_made_open": ("open(d + '/never').read()", OSError("ENOENT")),
    "never_made_listdir": ("os.listdir(d + '/nowhere')", OSError("ENOENT")),
    "never_made_stat_below": ("os.stat(d + '/nowhere/never')", OSError("ENOENT")),
}

SHELL_CALLS = {
    "cat": ("cat log.txt", "done\n"),
    "test": ("test -f model.bin && echo yes", "yes\n"),
    "test_never_made": ("test -e never || echo no", "no\n"),
    "ls": ("ls", "epoch_5\nlast.bin\nlog.txt\nmodel.bin\n"),
    "find": ("find . -type f | sort", "./epoch_5/shard.bin\n./log.txt\n./model.bin\n"),
    # tar itself is not here: it opens everything with O_NONBLOCK and so is told EAGAIN
    "wc": ("wc -c <model.bin", "%d\n" % len(MODEL)),
}


class Waits(SealfsTest):
    def setUp(self):
        super().setUp()
        self.mount()
        self.path = os.path.join(self.point, "parent")

    def begin_calls(self, names):
        calls = {}
        for name in names:
            code = PYTHON_CALLS[name][0]
            calls[name] = self.agent("child", name="child " + name).start(code, d=self.path, scratch=self.tmp)
        return calls

    def begin_shells(self):
        return {name: self.spawn(["/bin/sh", "-c", 'cd "$1" && ' + code, "sh", self.path], trial="child", name="sh " + name)
                for name, (code, _) in SHELL_CALLS.items()}

    def check_calls(self, calls):
        for name, call in calls.items():
            with self.subTest(name):
                expected = PYTHON_CALLS[name][1]
                if isinstance(expected, OSError):
                    call.fails(*expected.args)
                else:
                    self.assertEqual(call.value(), expected)

    def check_shells(self, shells):
        for name, shell in shells.items():
            with self.subTest(name):
                self.assertEqual((shell.wait(), shell.output()), (0, SHELL_CALLS[name][1]))

    def save_while_all_wait(self, calls, shells, parent):
        """The parent saves bit by bit; nobody sees a bit of it before the end."""
        waiters = list(calls.values()) + list(shells.values())
        all_parked(*waiters)
        parent(SAVE, d=self.path, model=MODEL)
        all_parked(*waiters)
        parent(SAVE_REST, d=self.path, model=MODEL, shard=SHARD)
        all_parked(*waiters)
        self.ctl("seal", self.path, trial="parent")
        self.check_calls(calls)
        self.check_shells(shells)


@in_modes(*ALL_MODES)
class Nothing_there_yet(Waits):
    """Reserved for a writer that has not begun: even the checkpoint's own name is a promise."""

    def test_every_call_waits_until_seal_and_sees_what_was_sealed(self):
        self.reserve(self.path)
        parent = self.agent("parent")
        self.save_while_all_wait(self.begin_calls(PYTHON_CALLS), self.begin_shells(), parent)

    def test_name_of_the_checkpoint_itself_waits(self):
        self.reserve(self.path)
        calls = [self.agent("child").start(code, d=self.path) for code in ("os.path.exists(d)", "os.path.isdir(d)", "os.access(d, os.X_OK)")]
        parent = self.agent("parent")
        all_parked(*calls)
        parent(SAVE, d=self.path, model=MODEL)
        self.ctl("seal", self.path, trial="parent")
        for call in calls:
            self.assertIs(call.value(), True)


@in_modes(*ALL_MODES)
class Parent_has_begun(Waits):
    """The parent has made its directory and nothing else."""

    def test_every_call_waits_until_seal_and_sees_what_was_sealed(self):
        parent = self.agent("parent")
        parent("os.mkdir(d)", d=self.path)
        self.save_while_all_wait(self.begin_calls(PYTHON_CALLS), self.begin_shells(), parent)

    def test_checkpoint_directory_itself_is_seen_at_once(self):
        self.agent("parent")("os.mkdir(d)", d=self.path)
        child = self.agent("child")
        self.assertEqual(child("[os.path.exists(d), os.path.isdir(d), os.access(d, os.R_OK | os.X_OK), os.path.isfile(d)]", d=self.path),
                         [True, True, True, False])

    def test_guarded_makedirs_of_a_reader_never_blocks(self):
        self.agent("parent")("os.mkdir(d)", d=self.path)
        child = self.agent("child")
        child("os.path.exists(d) or os.makedirs(d)", d=self.path)
        child("os.makedirs(d, exist_ok=True)", d=self.path)

    def test_files_that_are_there_wait_too(self):
        parent = self.agent("parent")
        parent(SAVE + SAVE_REST, d=self.path, model=MODEL, shard=SHARD)
        names = [name for name in PYTHON_CALLS if name not in ("isdir_of_missing_directory", "chdir", "islink", "lexists")]
        calls = self.begin_calls(names)
        all_parked(*calls.values())
        self.ctl("seal", self.path, trial="parent")
        self.check_calls(calls)

    def test_real_subdirectory_is_seen_at_once_but_not_its_content(self):
        self.agent("parent")(SAVE, d=self.path, model=MODEL)
        child, other = self.agent("child"), self.agent("child")
        self.assertIs(child("os.path.isdir(d + '/epoch_5')", d=self.path), True)
        listing = child.start("os.listdir(d + '/epoch_5')", d=self.path).parked()
        opening = other.start("os.open(d + '/epoch_5', os.O_RDONLY | os.O_DIRECTORY)", d=self.path).parked()
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(listing.value(), [])
        self.assertGreater(opening.value(), 0)

    def test_way_around_by_descriptor_of_the_path_waits_too(self):
        self.agent("parent")(SAVE, d=self.path, model=MODEL)
        child = self.agent("child")
        fd = child("os.open(d + '/model.bin', os.O_PATH)", d=self.path)
        opening = child.start("open('/proc/self/fd/%d' % fd, 'rb').read()", fd=fd).parked()
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(opening.value(), MODEL[:1000])

    def test_descriptor_of_the_checkpoint_directory_is_no_way_around(self):
        self.agent("parent")(SAVE, d=self.path, model=MODEL)
        child = self.agent("child")
        fd = child("os.open(d, os.O_PATH | os.O_DIRECTORY)", d=self.path)
        opening = child.start("os.open('model.bin', os.O_RDONLY, dir_fd=fd)", fd=fd).parked()
        other = self.agent("child")
        looking = other.start("""
            fd = os.open(d, os.O_PATH | os.O_DIRECTORY)
            result = os.stat('model.bin', dir_fd=fd).st_size
            """, d=self.path).parked()
        self.ctl("seal", self.path, trial="parent")
        self.assertGreater(opening.value(), 0)
        self.assertEqual(looking.value(), 1000)


@in_modes(*ALL_MODES)
class Reserved_for_nobody_in_particular(Waits):
    """Reserved without a writer: an empty directory, which the first to create something in it makes his own."""

    def test_every_call_waits_until_seal_and_sees_what_was_sealed(self):
        self.reserve(self.path, writer=None)
        parent = self.agent("parent")
        self.save_while_all_wait(self.begin_calls(PYTHON_CALLS), self.begin_shells(), parent)

    def test_directory_is_seen_at_once_by_all(self):
        self.reserve(self.path, writer=None)
        self.assertIs(self.agent("child")("os.path.isdir(d)", d=self.path), True)
        self.assertIs(self.agent("parent")("os.path.isdir(d)", d=self.path), True)

    def test_first_to_create_becomes_the_writer(self):
        self.reserve(self.path, writer=None)
        first, second = self.agent("first"), self.agent("second")
        first("open(d + '/a', 'w').write('x')", d=self.path)
        # the kernel itself refuses to make a file where it sees a promise, which is a directory
        self.assertIn(second.error("open(d + '/b', 'w')", d=self.path), ("EBUSY", "EISDIR"))
        self.assertEqual((self.status(self.path)["state"], self.status(self.path)["writer"]), ("open", "first"))


@in_modes(ROOT, DAEMON)
class The_named_writer(Waits):
    """For the trial that is to write, the world is plain."""

    def test_sees_nothing_and_does_not_wait(self):
        self.reserve(self.path)
        parent = self.agent("parent")
        self.assertEqual(parent("[os.path.exists(d), os.path.isfile(d + '/model.bin'), os.path.isdir(d), os.access(d, os.R_OK)]", d=self.path),
                         [False] * 4)
        self.assertEqual(parent.error("os.listdir(d)", d=self.path), "ENOENT")
        self.assertEqual(parent.error("open(d + '/model.bin')", d=self.path), "ENOENT")

    def test_bare_mkdir_works_while_readers_wait(self):
        self.reserve(self.path)
        child = self.agent("child").start("os.listdir(d)", d=self.path).parked()
        parent = self.agent("parent")
        parent("os.mkdir(d)", d=self.path)
        child.still_waiting()
        self.assertEqual(parent("os.listdir(d)", d=self.path), [])
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(child.value(), [])

    def test_its_own_missing_files_are_missing_at_once(self):
        parent = self.agent("parent")
        parent(SAVE, d=self.path, model=MODEL)
        self.assertIs(parent("os.path.exists(d + '/never')", d=self.path), False)
        self.assertEqual(parent.error("open(d + '/never')", d=self.path), "ENOENT")
        self.assertEqual(parent("sorted(os.listdir(d))", d=self.path), ["epoch_5", "model.bin"])

    def test_names_that_readers_asked_for_in_vain_can_be_made(self):
        """The promise that a reader holds must not stand in the writer's way."""
        parent = self.agent("parent")
        parent("os.mkdir(d)", d=self.path)
        calls = [self.agent("child").start(code, d=self.path) for code in (
            "open(d + '/a.bin').read()", "open(d + '/sub/b.bin').read()", "os.path.exists(d + '/c')", "os.path.islink(d + '/d')", "os.stat(d + '/e').st_size")]
        all_parked(*calls)
        parent("""
            open(d + '/a.bin', 'x').write('a')
            os.mkdir(d + '/sub')
            open(d + '/sub/b.bin', 'x').write('b')
            open(d + '/c.tmp', 'x').write('c')
            os.rename(d + '/c.tmp', d + '/c')
            os.symlink('a.bin', d + '/d')
            os.link(d + '/a.bin', d + '/e')
            """, d=self.path)
        all_parked(*calls)
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual([call.value() for call in calls], ["a", "b", True, True, 1])

    def test_another_may_not_make_the_promised_name(self):
        self.reserve(self.path)
        other = self.agent("other")
        self.assertIn(other.error("os.mkdir(d)", d=self.path), ("EEXIST", "EBUSY"))
        self.assertIn(other.error("os.open(d, os.O_CREAT | os.O_EXCL | os.O_WRONLY)", d=self.path), ("EEXIST", "EBUSY"))
        self.assertEqual(self.state(self.path), "pending")


@in_modes(ROOT, DAEMON)
class Other_shapes(SealfsTest):
    def test_checkpoint_of_one_file(self):
        self.mount()
        path = self.point + "/model.pt"
        self.reserve(path)
        calls = [(self.agent("child").start(code, p=path).parked(), value) for code, value in (
            ("open(p, 'rb').read()", MODEL), ("os.path.isfile(p)", True), ("os.path.getsize(p)", len(MODEL)), ("os.access(p, os.R_OK)", True))]
        parent = self.agent("parent")
        self.assertIs(parent("os.path.exists(p)", p=path), False)
        parent("file = open(p, 'wb'); file.write(model[:10]); file.flush()", p=path, model=MODEL)
        all_parked(*[call for call, _ in calls])
        parent("file.write(model[10:]); file.close()", model=MODEL)
        self.ctl("seal", path, trial="parent")
        for call, value in calls:
            self.assertEqual(call.value(), value)

    def test_checkpoint_of_one_file_by_rename(self):
        self.mount()
        path = self.point + "/model.pt"
        self.reserve(path)
        child = self.agent("child").start("open(p, 'rb').read()", p=path).parked()
        parent = self.agent("parent")
        parent("open(p + '.tmp', 'wb').write(model); os.replace(p + '.tmp', p)", p=path, model=MODEL)
        child.parked()
        self.ctl("seal", path, trial="parent")
        self.assertEqual(child.value(), MODEL)

    def test_unreserved_name_is_plainly_missing(self):
        self.mount()
        child = self.agent("child")
        self.assertIs(child("os.path.exists(d)", d=self.point + "/nobody"), False)
        self.assertEqual(child.error("open(d + '/x')", d=self.point + "/nobody"), "ENOENT")

    def test_data_that_was_there_before_is_plain(self):
        os.mkdir(self.exported("old"))
        with open(self.exported("old/a"), "w") as file:
            file.write("old")
        self.give(self.exported("old"))
        self.mount()
        self.assertEqual(self.agent("child")("[open(d + '/a').read(), os.listdir(d), os.path.exists(d + '/b')]", d=self.point + "/old"),
                         ["old", ["a"], False])
        self.agent("child")("open(d + '/b', 'w').write('new')", d=self.point + "/old")
        self.assertEqual(self.agent("other")("open(d + '/b').read()", d=self.point + "/old"), "new")
        self.assertEqual(self.state(self.point + "/old"), "plain")

    def test_depth_two_gates_what_is_two_levels_down(self):
        self.ctl("init", "--depth", "2", self.export, uid=os.geteuid())
        self.mount()
        parent, child = self.agent("parent"), self.agent("child")
        parent("os.makedirs(d); open(d + '/a', 'w').write('x'); open(p + '/run1/notes', 'w').write('plain')", d=self.point + "/run1/t1", p=self.point)
        self.assertEqual(child("sorted(os.listdir(d))", d=self.point + "/run1"), ["notes", "t1"])
        reading = child.start("open(d + '/a').read()", d=self.point + "/run1/t1").parked()
        self.ctl("seal", self.point + "/run1/t1", trial="parent")
        self.assertEqual(reading.value(), "x")

    def test_live_files_are_neither_gated_nor_sealed(self):
        os.makedirs(self.exported(".sealfs"))
        with open(self.exported(".sealfs/config"), "w") as file:
            file.write("version = 1\ndepth = 1\nlive = events.out.tfevents.*\ntrial_env = SEALFS_TRIAL NNI_TRIAL_JOB_ID\n")
        self.mount()
        parent, child = self.agent("parent"), self.agent("child")
        parent("os.mkdir(d); live = open(d + '/events.out.tfevents.1', 'w'); print('one', file=live, flush=True); open(d + '/a', 'w').write('x')",
               d=self.point + "/parent")
        self.assertEqual(child("open(d + '/events.out.tfevents.1').read()", d=self.point + "/parent"), "one\n")
        self.assertEqual(child("os.path.getsize(d + '/events.out.tfevents.1')", d=self.point + "/parent"), 4)
        parent("live.close()")
        self.ctl("seal", self.point + "/parent", trial="parent")
        with open(self.exported("parent/.seal/manifest")) as file:
            self.assertNotIn("tfevents", file.read())
        self.assertEqual(child("open(d + '/events.out.tfevents.1').read()", d=self.point + "/parent"), "one\n")


@in_modes(ROOT, DAEMON)
class Identity(SealfsTest):
    def check_same_trial(self, writer, same, other):
        path = self.point + "/p"
        self.agent(writer)("os.mkdir(d); open(d + '/a', 'w').write('x')", d=path)
        self.assertEqual(self.agent(same)("open(d + '/a').read()", d=path), "x")
        waiting = self.agent(other).start("open(d + '/a').read()", d=path).parked()
        self.ctl("seal", path, trial=writer)
        self.assertEqual(waiting.value(), "x")

    def test_variable_of_nni_names_the_trial(self):
        self.mount()
        self.check_same_trial({"NNI_TRIAL_JOB_ID": "abc"}, {"NNI_TRIAL_JOB_ID": "abc"}, {"NNI_TRIAL_JOB_ID": "abd"})

    def test_first_variable_goes_first(self):
        self.mount()
        self.check_same_trial({"SEALFS_TRIAL": "one", "NNI_TRIAL_JOB_ID": "abc"}, {"SEALFS_TRIAL": "one", "NNI_TRIAL_JOB_ID": "xyz"},
                              {"SEALFS_TRIAL": "two", "NNI_TRIAL_JOB_ID": "abc"})

    def test_option_trial_env_names_other_variables(self):
        self.mount("trial_env=MY_JOB:MY_RANK")
        self.check_same_trial({"MY_JOB": "7", "SEALFS_TRIAL": "x"}, {"MY_RANK": "7", "SEALFS_TRIAL": "y"}, {"MY_JOB": "8", "SEALFS_TRIAL": "x"})

    def test_without_a_variable_the_process_group_is_the_trial(self):
        self.mount()
        path = self.point + "/p"
        writer, reader = self.agent(), self.agent()
        writer("os.mkdir(d); open(d + '/a', 'w').write('x')", d=path)
        self.assertEqual(writer("subprocess.run(['cat', d + '/a'], capture_output=True).stdout", d=path), b"x")
        waiting = reader.start("open(d + '/a').read()", d=path).parked()
        name = self.status(path)["writer"]
        self.assertRegex(name, r"^job:[^:]+:%d:\d+" % writer.pid)
        writer("subprocess.run([ctl, 'seal', d], check=True)", ctl=self.sealctl_path, d=path)
        self.assertEqual(waiting.value(), "x")

    def test_reading_its_own_open_checkpoint_through_threads(self):
        """fuse hands out thread ids: a thread is its process's trial."""
        self.mount()
        writer = self.agent("parent")
        self.assertEqual(writer("""
            import threading
            os.mkdir(d)
            open(d + '/a', 'w').write('x')
            seen = []
            thread = threading.Thread(target=lambda: seen.append((open(d + '/a').read(), os.listdir(d), os.path.exists(d + '/b'))))
            thread.start()
            thread.join()
            result = seen
            """, d=self.point + "/p"), [("x", ["a"], False)])


if __name__ == "__main__":
    main()
