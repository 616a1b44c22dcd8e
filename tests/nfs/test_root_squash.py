"""The server takes root for nobody (root_squash, its default): sealfs runs as root on the clients and serves each user as himself.

time limit: 600
"""

from machines import *

ALICE, ANONYMOUS = 61001, 65534
SOON = 5 * SLOWNESS
SILENCE = 45  # seconds: after so many a machine with heartbeats is known to be gone
READ = "open(path, 'rb').read()"
SAVE = """
    os.makedirs(top, exist_ok=True)
    with open(top + "/model", "wb") as file:
        file.write(content)
"""


class Squashed(MachinesTest):
    disk = "squash"
    rights = 0o755  # of the export, which is alice's

    def setUp(self):
        if not os.path.ismount("/export/squash"):
            command("disk", "squash", "64M", "rw,sync,root_squash")
        super().setUp()
        self.uid = ALICE
        os.chown(self.served, ALICE, ALICE)
        os.chmod(self.served, self.rights)

    def begin(self):
        """As README advises: whoever owns the directory makes an export of it."""
        made = self.a.sealctl("init", self.a.bare, uid=ALICE)
        self.assertEqual(0, made.status, made)
        self.a.mount()
        self.b.mount()
        self.top_a, self.top_b = self.a.point + "/run", self.b.point + "/run"

    def read(self, machine, trial="child", uid=ALICE):
        return machine.trial(trial, uid=uid).start(READ, path=machine.point + "/run/model")

    def is_refused(self, done, *words):
        self.assertEqual(1, done.status, done)
        for word in ("sealctl: cannot ", "Permission denied") + words:
            self.assertIn(word, done.err)

    def kept_states(self):
        return os.listdir(os.path.join(self.served, ".sealfs/state"))


@in_versions("4.2", "3")
class RootSquash(Squashed):

    def test_closed_files_of_a_user_reach_his_trials_and_root_is_refused_at_once(self):
        self.begin()
        content = pattern(300000, 1)
        writer = self.a.trial("writer")
        writer("os.umask(0o077)")
        writer(SAVE, top=self.top_a, content=content)
        reading = self.read(self.b).parked()
        self.read(self.b, "root's", uid=0).fails("EACCES")
        reading.still_waiting()
        # root may decide on its own machine what the user's trial began, with the user's ids
        sealed = self.a.sealctl("seal", self.top_a)
        self.assertEqual(0, sealed.status, sealed)
        self.assertEqual(content, reading.value())
        self.assertEqual(content, self.read(self.a).value())
        self.read(self.b, "root's", uid=0).fails("EACCES")
        self.assertEqual(0, self.b.sealctl("verify", self.top_b, uid=ALICE).status)
        self.is_refused(self.b.sealctl("verify", self.top_b))
        for folder in "run", ".sealfs/state/run":
            for where, names, files in os.walk(os.path.join(self.served, folder)):
                for path in [where] + [os.path.join(where, name) for name in names + files]:
                    self.assertEqual(ALICE, os.lstat(path).st_uid, path)
        # what root may not write he does not remove, and nothing is lost by the attempt
        for path in self.top_a, self.a.bare + "/run":
            self.is_refused(self.a.sealctl("rm", path), "as that user")
        self.assertEqual(content, self.read(self.b, "late").value())
        removed = self.a.sealctl("rm", self.top_a, uid=ALICE)
        self.assertEqual(0, removed.status, removed)
        self.assertEqual((False, []), (os.path.exists(self.served + "/run"), self.kept_states()))

    def test_user_locks_a_file_that_root_may_not_open(self):
        """h5py does so with each file."""
        self.begin()
        lock = """
            import fcntl
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            """
        writer = self.a.trial("writer")
        writer("os.mkdir(top)", top=self.top_a)
        writer(lock, path=self.top_a + "/model")
        self.a.trial("writer").start(lock, path=self.top_a + "/model").fails("EAGAIN")

    def test_trial_that_dies_and_the_next_generation(self):
        self.begin()
        writer = self.a.trial("writer")
        writer(SAVE, top=self.top_a, content=b"half")
        reading = self.read(self.b).parked()
        writer.kill()
        reading.fails("EOWNERDEAD")
        self.b.trial("root's", uid=0).start(SAVE, top=self.top_b, content=b"no").fails("EACCES")
        self.assertEqual([1], sorted(self.ends("run")))
        again = self.b.trial("writer")
        again(SAVE, top=self.top_b, content=b"whole")
        again.asks(self.b.point, CALL_SEAL, "run")
        self.assertEqual(b"whole", self.read(self.a).value())

    def test_mount_that_dies_is_noticed_and_the_next_generation_is_another_machine_s(self):
        self.begin()
        self.a.trial("writer")(SAVE, top=self.top_a, content=b"half")
        reading = self.read(self.b).parked()
        self.mounted[0].kill()
        self.mounted[0].clear()
        died = time.monotonic()
        reading.fails("EOWNERDEAD", patience=3 * SILENCE)
        self.assertLess(reading.ended - died, (SILENCE if self.version == "3" else 0) + 2 * SOON)
        again = self.b.trial("writer")
        again(SAVE, top=self.top_b, content=b"whole")
        again.asks(self.b.point, CALL_SEAL, "run")
        self.assertEqual(b"whole", self.read(self.b, "late").value())

    def test_root_abandons_what_a_user_s_trial_writes_on_another_machine(self):
        self.begin()
        self.a.trial("writer")(SAVE, top=self.top_a, content=b"half")
        reading = self.read(self.b).parked()
        done = self.b.sealctl("abandon", self.top_b)
        self.assertEqual(0, done.status, done)
        reading.fails("EOWNERDEAD")
        with open(os.path.join(self.served, ".sealfs/state/run/1.end")) as file:
            self.assertIn("abandoned", file.read())

    def test_where_only_the_owner_may_write_root_claims_nothing_in_his_way(self):
        self.begin()
        root = self.a.trial("root's", uid=0)
        root.start("os.mkdir(path)", path=self.top_a).fails("EACCES")
        root.start("open(path, 'w').close()", path=self.top_a).fails("EACCES")
        for arguments in ["reserve", "--writer", "root's", self.top_a], ["run", "--trial", "root's", "--save", self.top_a, "--", "/bin/true"]:
            self.is_refused(self.a.sealctl(*arguments), "as that user")
        self.assertEqual([], self.kept_states())
        writer = self.a.trial("writer")
        writer(SAVE, top=self.top_a, content=b"whole")
        writer.asks(self.a.point, CALL_SEAL, "run")
        self.assertEqual(b"whole", self.read(self.b).value())
        self.assertEqual(b"whole", self.read(self.b, "root's", uid=0).value())  # everybody may
        self.assertIn("root's own trials can not save there", self.mounted[0].log())


@in_versions("4.2", "3")
class OpenToAll(Squashed):
    """Root's own trials work where the server's nobody may write."""

    rights = 0o1777

    def test_trials_of_root(self):
        self.a.mount()  # whose .sealfs is nobody's, then
        self.b.mount()
        self.top_a, self.top_b = self.a.point + "/run", self.b.point + "/run"
        writer = self.a.trial("writer", uid=0)
        writer("os.umask(0o077)")
        writer(SAVE, top=self.top_a, content=b"half")
        reading = self.read(self.b, uid=0).parked()
        writer.kill()
        reading.fails("EOWNERDEAD")
        again = self.b.trial("again", uid=0)
        again(SAVE, top=self.top_b, content=b"whole")
        reading = self.read(self.a, "second", uid=0).parked()
        again.asks(self.b.point, CALL_SEAL, "run")
        self.assertEqual(b"whole", reading.value())
        self.assertEqual(ANONYMOUS, os.stat(self.served + "/run/model").st_uid)
        removed = self.a.sealctl("rm", self.top_a)
        self.assertEqual(0, removed.status, removed)
        self.assertFalse(os.path.exists(self.served + "/run"))

    def test_what_is_a_user_s_root_does_not_remove(self):
        self.a.mount()
        self.b.mount()
        writer = self.a.trial("writer")
        writer(SAVE, top=self.a.point + "/run", content=b"whole")
        writer.asks(self.a.point, CALL_SEAL, "run")
        for path in self.a.point + "/run", self.a.bare + "/run":
            self.is_refused(self.a.sealctl("rm", path), "as that user")
        self.assertEqual(b"whole", self.read(self.b).value())
        self.assertEqual(0, self.b.sealctl("verify", self.b.point + "/run").status)


@in_versions("4.2", "3")
class Told(Squashed):
    """What doctor and mount say of it."""

    def doctor(self, path):
        done = self.a.sealctl("doctor", "--json", path)
        return {line["check"]: line for line in json.loads(done.out)}

    def test_doctor_tells_it_of_an_export_and_of_a_mount(self):
        self.begin()
        for path in self.a.bare, self.a.point:
            found = self.doctor(path)["root_squash"]
            self.assertEqual("warn", found["level"])
            self.assertIn("takes root for uid %d" % ANONYMOUS, found["text"])

    def test_what_is_no_export_yet_is_for_its_owner_to_make(self):
        found = self.doctor(self.a.bare)
        self.assertEqual("warn", found["root_squash"]["level"])
        self.assertIn("sealctl init", found["root_squash"]["remedy"])
        self.is_refused(self.a.sealctl("init", self.a.bare))
        self.mount_is_refused("runs 'sealctl init %s' once" % self.a.bare)

    def test_what_root_may_not_even_enter(self):
        made = self.a.sealctl("init", self.a.bare, uid=ALICE)
        self.assertEqual(0, made.status, made)
        os.chmod(self.served, 0o700)
        found = self.doctor(self.a.bare)
        self.assertEqual(("fail", "warn"), (found["config"]["level"], found["root_squash"]["level"]), found)
        self.mount_is_refused("lets all who mount it enter it")

    def mount_is_refused(self, why):
        done = self.program_on_a(os.path.join(harness.tools(), "sealfs"), "-f", "-o", "allow_other", self.a.bare, self.make_dir("refused"))
        self.assertNotEqual(0, done.status, done)
        self.assertIn(why, done.err)

    def program_on_a(self, *argv):
        return self.run_program([ON, "a", *argv], uid=0)


@in_versions("4.2")
class AllSquash(MachinesTest):
    """The server takes everybody for one user: the kernel, which goes by owners, then keeps trials out of what they have made themselves."""

    disk = "all-squash"

    def setUp(self):
        if not os.path.ismount("/export/all-squash"):
            command("disk", "all-squash", "64M", "rw,sync,all_squash")
        super().setUp()
        self.uid = ALICE

    def test_doctor_tells_why_a_trial_is_refused(self):
        self.a.mount()
        writer = self.a.trial("writer")
        writer("os.mkdir(top)", top=self.a.point + "/run")
        writer.start("open(top + '/model', 'w')").fails("EACCES")
        for path in self.a.point, self.a.bare:
            done = self.a.sealctl("doctor", "--json", path, uid=ALICE)
            found = {line["check"]: line for line in json.loads(done.out)}["owner"]
            self.assertEqual("warn", found["level"])
            self.assertIn("uid %d for uid %d" % (ALICE, ANONYMOUS), found["text"])
            self.assertIn("no all_squash", found["remedy"])


if __name__ == "__main__":
    main()
