#!/usr/bin/python3
# time limit: 180
"""Several users on one mount that root made with allow_other: each may do what the export's modes allow him, and no more."""

import os
import stat

import harness
from harness import DAEMON, ROOT, USER, Mode, SealfsTest, in_modes, main, snapshot

ALICE, BOB, CAROL, TEAM = 61001, 61002, 61003, 61100
TRIALS_OF_ALICE = [Mode(mode.name, mode.options, owner=0, trials=ALICE) for mode in (ROOT, DAEMON)]


class Users(SealfsTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.export, 0o1777)
        self.running = self.mount()
        self.path = self.point + "/parent"

    def alice(self, trial="parent", **more):
        return self.agent(trial, uid=ALICE, name="alice", **more)

    def bob(self, trial="child", **more):
        return self.agent(trial, uid=BOB, name="bob", **more)

    def make(self, mode=0o755, file_mode=0o644, sealed=True):
        alice = self.alice()
        alice("""
            os.mkdir(d)
            open(d + '/a', 'w').write('weights')
            os.mkdir(d + '/sub')
            open(d + '/sub/b', 'w').write('more')
            os.chmod(d + '/a', file_mode)
            os.chmod(d, mode)
            """, d=self.path, mode=mode, file_mode=file_mode)
        if sealed:
            self.ctl("seal", self.path, trial="parent", uid=ALICE)
        return alice


@in_modes(*TRIALS_OF_ALICE)
class Plain_files(Users):
    def test_what_is_made_belongs_to_its_maker(self):
        alice = self.alice(groups=[TEAM], umask=0o027)
        alice("os.mkdir(d); open(d + '/a', 'w').write('x'); os.symlink('a', d + '/l'); os.mkfifo(d + '/f'); os.link(d + '/a', d + '/h')", d=self.path)
        for name, mode in (("", 0o750), ("a", 0o640), ("l", None), ("f", 0o640), ("h", 0o640)):
            with self.subTest(name):
                status = os.lstat(self.exported("parent", name))
                self.assertEqual((status.st_uid, status.st_gid), (ALICE, ALICE))
                if mode is not None:
                    self.assertEqual(stat.S_IMODE(status.st_mode), mode)

    def test_group_of_a_setgid_directory(self):
        os.mkdir(self.exported("shared"))
        os.chown(self.exported("shared"), 0, TEAM)
        os.chmod(self.exported("shared"), 0o2775)
        self.alice(groups=[TEAM])("open(d + '/a', 'w').write('x'); os.mkdir(d + '/sub')", d=self.point + "/shared")
        self.assertEqual((os.stat(self.exported("shared/a")).st_uid, os.stat(self.exported("shared/a")).st_gid), (ALICE, TEAM))
        self.assertTrue(os.stat(self.exported("shared/sub")).st_mode & stat.S_ISGID)
        self.assertEqual(self.bob().error("open(d + '/b', 'w')", d=self.point + "/shared"), "EACCES")

    def test_table_of_modes(self):
        """For every mode of a plain file and every kind of caller: the same answer as on the bare directory."""
        os.mkdir(self.exported("plain"))
        callers = {"owner": {"uid": ALICE}, "group": {"uid": BOB, "groups": [TEAM]}, "other": {"uid": CAROL}, "root": {"uid": 0}}
        for mode in (0o600, 0o640, 0o660, 0o604, 0o606, 0o000, 0o060, 0o006, 0o755, 0o700, 0o010):
            path = self.exported("plain", "%o" % mode)
            with open(path, "w") as file:
                file.write("x")
            os.chown(path, ALICE, TEAM)
            os.chmod(path, mode)
        code = """
            def outcome(how):
                try:
                    os.close(os.open(p, how))
                    return True
                except OSError as problem:
                    return errno.errorcode[problem.errno]
            result = {}
            for name in sorted(os.listdir(d)):
                p = d + '/' + name
                result[name] = [outcome(how) for how in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)] + [os.access(p, how) for how in (4, 2, 1)]
            """
        for caller, how in callers.items():
            with self.subTest(caller):
                agent = self.agent("x", name=caller, **how)
                expected = agent(code, d=self.exported("plain"))
                self.assertEqual(agent(code, d=self.point + "/plain"), expected)

    def test_table_of_directory_modes(self):
        os.mkdir(self.exported("plain"))
        os.chmod(self.exported("plain"), 0o755)
        for mode in (0o700, 0o750, 0o770, 0o705, 0o711, 0o733, 0o555, 0o1777, 0o070):
            path = self.exported("plain", "%o" % mode)
            os.mkdir(path)
            with open(path + "/x", "w") as file:
                file.write("x")
            os.chown(path + "/x", ALICE, TEAM)
            os.chown(path, ALICE, TEAM)
            os.chmod(path, mode)
        code = """
            def outcome(function, *arguments):
                try:
                    result = function(*arguments)
                    return sorted(result) if isinstance(result, list) else str(result)
                except OSError as problem:
                    return errno.errorcode[problem.errno]
            result = {}
            for name in sorted(os.listdir(d)):
                p = d + '/' + name
                mine = p + '/' + me
                result[name] = (outcome(os.listdir, p), outcome(os.path.getsize, p + '/x'), outcome(os.mkdir, mine), outcome(os.rmdir, mine),
                                outcome(os.rename, p + '/x', p + '/y'), outcome(os.rename, p + '/y', p + '/x'), outcome(os.chmod, p + '/x', 0o644),
                                outcome(os.utime, p + '/x'), outcome(os.link, p + '/x', p + '/l-' + me), outcome(os.unlink, p + '/l-' + me))
            """
        for caller, how in {"group": {"uid": BOB, "groups": [TEAM]}, "other": {"uid": CAROL}, "owner": {"uid": ALICE}, "root": {"uid": 0}}.items():
            with self.subTest(caller):
                agent = self.agent("x", name=caller, **how)
                expected = agent(code, d=self.exported("plain"), me=caller)
                self.assertEqual(agent(code, d=self.point + "/plain", me=caller), expected)

    def test_supplementary_groups_count(self):
        os.mkdir(self.exported("plain"))
        path = self.exported("plain/secret")
        with open(path, "w") as file:
            file.write("for the team")
        os.chown(path, 0, TEAM)
        os.chmod(path, 0o640)
        self.assertEqual(self.alice(groups=[TEAM])("open(p).read()", p=self.point + "/plain/secret"), "for the team")
        self.assertEqual(self.alice().error("open(p).read()", p=self.point + "/plain/secret"), "EACCES")

    def test_many_supplementary_groups(self):
        """More than /proc shows at first glance."""
        os.mkdir(self.exported("plain"))
        path = self.exported("plain/secret")
        with open(path, "w") as file:
            file.write("for the team")
        os.chown(path, 0, TEAM)
        os.chmod(path, 0o640)
        groups = list(range(70000, 70200)) + [TEAM] + list(range(80000, 80200))
        self.assertEqual(self.alice(groups=groups)("open(p).read()", p=self.point + "/plain/secret"), "for the team")

    def test_root_is_root(self):
        self.make(mode=0o700, file_mode=0o600, sealed=False)
        root = self.agent("parent", uid=0)
        self.assertEqual(root("open(d + '/a').read()", d=self.path), "weights")

    def test_sticky_export(self):
        self.make(sealed=False)
        self.assertIn(self.bob("parent").error("os.rename(d, d + '2')", d=self.path), ("EPERM", "EACCES"))
        self.assertIn(self.bob("parent").error("shutil.rmtree(d)", d=self.path), ("EPERM", "EACCES"))

    def test_no_set_user_id_and_no_devices_through_the_mount(self):
        with open("/proc/self/mountinfo") as table:
            options = [line.split(" ")[5] for line in table if line.split(" ")[4] == self.point]
        self.assertEqual(len(options), 1)
        self.assertIn("nosuid", options[0].split(","))
        self.assertIn("nodev", options[0].split(","))


@in_modes(*TRIALS_OF_ALICE)
class Checkpoints(Users):
    def test_sealed_but_private_stays_private(self):
        self.make(mode=0o700)
        bob = self.bob()
        self.assertEqual(bob.error("open(d + '/a').read()", d=self.path), "EACCES")
        self.assertEqual(bob.error("os.listdir(d)", d=self.path), "EACCES")
        self.assertEqual(bob.error("os.stat(d + '/a')", d=self.path), "EACCES")
        self.assertEqual(self.alice("child")("open(d + '/a').read()", d=self.path), "weights")

    def test_private_file_in_a_public_sealed_checkpoint(self):
        self.make(file_mode=0o600)
        bob = self.bob()
        self.assertEqual(bob.error("open(d + '/a').read()", d=self.path), "EACCES")
        self.assertEqual(bob("open(d + '/sub/b').read()", d=self.path), "more")
        self.assertEqual(self.alice("child")("open(d + '/a').read()", d=self.path), "weights")

    def test_the_same_trial_of_another_user_may_not_write(self):
        """Identity is no security: who may write at all is decided by owner and mode."""
        self.make(sealed=False)
        bob = self.bob("parent")
        for code in ("open(d + '/a', 'w')", "open(d + '/n', 'w')", "os.mkdir(d + '/n')", "os.unlink(d + '/a')", "os.rename(d + '/a', d + '/n')"):
            self.assertEqual(bob.error(code, d=self.path), "EACCES", code)
        self.assertEqual(bob.error("os.chmod(d + '/a', 0o777)", d=self.path), "EPERM")

    def test_another_user_may_not_seal_abandon_or_remove(self):
        self.make(sealed=False)
        for trial in ("parent", "child"):
            for command in (["seal"], ["abandon"], ["rm"]):
                with self.subTest(command=command, trial=trial):
                    result = self.sealctl(*command, self.path, trial=trial, uid=BOB)
                    self.assertEqual(result.status, 1, result)
            bob = self.bob(trial)
            self.assertIn(bob.error("os.setxattr(d, 'user.sealfs.seal', b'')", d=self.path), ("EPERM", "EACCES"))
        self.assertEqual(self.state(self.path), "open")
        self.ctl("seal", self.path, trial="parent", uid=ALICE)
        result = self.sealctl("rm", self.path, uid=BOB)
        self.assertEqual(result.status, 1, result)
        self.assertEqual(self.alice("child")("open(d + '/a').read()", d=self.path), "weights")
        self.ctl("rm", self.path, uid=ALICE)

    def test_member_of_the_group_may_write_and_seal(self):
        os.chmod(self.export, 0o1777)
        alice = self.alice(groups=[TEAM])
        alice("os.mkdir(d); os.chown(d, -1, g); os.chmod(d, 0o2775); open(d + '/a', 'w').write('x')", d=self.path, g=TEAM)
        bob = self.bob("parent", groups=[TEAM])
        bob("open(d + '/b', 'w').write('y')", d=self.path)
        self.ctl("seal", self.path, trial="parent", uid=ALICE)
        self.assertEqual(self.agent("child", uid=CAROL)("open(d + '/b').read()", d=self.path), "y")

    def test_closed_export_takes_no_reservation_of_strangers(self):
        os.chmod(self.export, 0o755)
        result = self.sealctl("reserve", "--writer", "x", self.path, uid=BOB)
        self.assertEqual(result.status, 1, result)
        self.assertEqual(self.bob().error("os.mkdir(d)", d=self.path), "EACCES")
        self.assertIs(self.bob()("os.path.exists(d)", d=self.path), False)
        self.ctl("reserve", "--writer", "x", self.path, uid=0)

    def test_reader_of_another_user_waits_and_reads(self):
        self.reserve(self.path, uid=ALICE)
        reading = self.bob().start("open(d + '/a').read()", d=self.path).parked()
        self.make()
        self.assertEqual(reading.value(), "weights")

    def test_reader_who_may_not_read_is_refused_and_does_not_get_it_by_waiting(self):
        self.reserve(self.path, uid=ALICE)
        reading = self.bob().start("open(d + '/a').read()", d=self.path).parked()
        self.make(mode=0o700)
        reading.fails("EACCES")

    def test_state_belongs_to_the_maker(self):
        self.make()
        self.assertEqual(os.stat(self.exported(".sealfs/state/parent")).st_uid, ALICE)
        self.assertEqual(os.stat(self.exported(".sealfs/state/parent/1.claim")).st_uid, ALICE)
        self.assertEqual(os.stat(self.exported("parent/.seal/manifest")).st_uid, ALICE)
        self.assertTrue(os.stat(self.exported(".sealfs/state")).st_mode & stat.S_ISVTX)

    def plain(self, name, mode=0o755):
        """Data of Alice's that were there before sealfs."""
        path = self.exported(name)
        os.mkdir(path)
        with open(path + "/w", "w") as file:
            file.write("mine")
        for entry in (path, path + "/w"):
            os.chown(entry, ALICE, ALICE)
        os.chmod(path, mode)
        return name

    def test_refused_removal_of_anothers_plain_data_changes_nothing(self):
        for sticky in (True, False):
            os.chmod(self.export, 0o1777 if sticky else 0o755)
            for number, top in enumerate((self.point, self.export)):
                # in a sticky directory it is the owner who counts, though all may write in it
                name = self.plain("data-%d-%d" % (sticky, number), 0o777)
                with self.subTest(sticky=sticky, top=top):
                    self.ctl("rm", top + "/" + name, trial="child", uid=BOB, expect=1)
                    self.assertEqual(self.state(self.point + "/" + name), "plain")
                    self.assertEqual(self.alice()("open(d + '/w').read()", d=self.point + "/" + name), "mine")
                    self.ctl("seal", self.point + "/" + name, trial="parent", uid=ALICE)

    def test_refusals_on_the_export_leave_nothing_behind(self):
        os.chmod(self.export, 0o755)
        os.chown(self.export, ALICE, ALICE)
        for options in ((), ("--writer", "child")):
            with self.subTest(options):
                self.ctl("reserve", *options, self.exported("new"), trial="child", uid=BOB, expect=1)
                self.assertFalse(os.path.lexists(self.exported(".sealfs", "state", "new")))
        name = self.plain("data")
        self.ctl("seal", self.exported(name), trial="child", uid=BOB, expect=1)
        self.assertFalse(os.path.lexists(self.exported(".sealfs", "state", name)))
        self.ctl("reserve", self.point + "/new", trial="parent", uid=ALICE)
        self.ctl("seal", self.point + "/" + name, trial="parent", uid=ALICE)

    def test_death_of_a_trial_of_any_user_is_decided_by_a_root_mount(self):
        self.need_exit_info()
        alice = self.make(sealed=False)
        reading = self.bob().start("open(d + '/a').read()", d=self.path).parked()
        alice.exit(1)
        reading.fails("EOWNERDEAD")
        self.assertEqual(self.state(self.path), "failed")

    def test_seal_of_files_that_the_sealer_could_not_read_by_mode(self):
        """The trial's own files of mode 0200 are part of the checkpoint like all others."""
        alice = self.alice()
        alice("os.mkdir(d); open(d + '/a', 'w').write('x'); os.chmod(d + '/a', 0o400); open(d + '/b', 'w').write('y')", d=self.path)
        self.ctl("seal", self.path, trial="parent", uid=ALICE)
        self.assertEqual(self.alice("child")("open(d + '/a').read()", d=self.path), "x")

    def test_identity_variable_of_another_user_is_read(self):
        """The environment of every caller is visible to a root mount, of programs that may not be traced as well."""
        alice = self.alice()
        alice("libc.prctl(4, 0, 0, 0, 0); os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.path)
        self.assertEqual(self.status(self.path)["writer"], "parent")


# What a stranger may send over the control channel, whatever a program of ours would refuse by itself: operation, writer, detail.
CALLS = {
    "reserve": (harness.CALL_RESERVE, "child", ""), "reserve for the same": (harness.CALL_RESERVE, "parent", ""), "reserve for nobody": (harness.CALL_RESERVE, "", ""),
    "claim": (harness.CALL_CLAIM, "", ""), "seal": (harness.CALL_SEAL, "", ""), "abandon": (harness.CALL_ABANDON, "", "I say so"),
    "remove": (harness.CALL_REMOVE, "", ""),
}
# … and do with the names
CHANGES = {
    "seal by attribute": "os.setxattr(p, 'user.sealfs.seal', b'')", "attribute": "os.setxattr(p, 'user.x', b'1')",
    "removal of an attribute": "os.removexattr(p, 'user.x')", "rename": "os.rename(p, p + '-bobs')", "rename over it": "os.mkdir(p + '-bobs'); os.rename(p + '-bobs', p)",
    "rename inside": "os.rename(p + '/w', p + '/w2')", "unlink inside": "os.unlink(p + '/w')", "create inside": "open(p + '/bobs', 'w')", "mkdir inside": "os.mkdir(p + '/bobs')",
    "symlink inside": "os.symlink('x', p + '/bobs')", "link inside": "os.link(p + '/w', p + '/bobs')", "write": "open(p + '/w', 'w')", "append": "open(p + '/w', 'a')",
    "truncate": "os.truncate(p + '/w', 0)", "truncation when opened for reading": "os.open(p + '/w', os.O_RDONLY | os.O_TRUNC)", "chmod": "os.chmod(p, 0o777)",
    "chmod inside": "os.chmod(p + '/w', 0o666)", "chown": "os.chown(p, os.getuid(), -1)", "utime": "os.utime(p + '/w', (1, 2))", "rmdir": "os.rmdir(p)",
}


@in_modes(*TRIALS_OF_ALICE)
class Strangers(Users):
    """Whatever state Alice's checkpoint is in: Bob changes nothing, not the data, not the record, and not by the name of her trial."""

    def make_in_state(self, state):
        name = "in-" + state
        path = self.point + "/" + name
        if state == "pending":
            self.reserve(path, uid=ALICE)
        elif state == "plain":
            os.mkdir(self.exported(name))
            with open(self.exported(name, "w"), "w") as file:
                file.write("hers")
            for entry in (self.exported(name), self.exported(name, "w")):
                os.chown(entry, ALICE, ALICE)
        else:
            self.alice()("os.mkdir(d); open(d + '/w', 'w').write('hers'); os.chmod(d, 0o755)", d=path)
        if state == "sealed":
            self.ctl("seal", path, trial="parent", uid=ALICE)
        elif state == "failed":
            self.ctl("abandon", path, trial="parent", uid=ALICE)
        self.assertEqual(self.state(path), state)
        return name

    def seen(self, name):
        """The data and the record; the locks and hints of a mount come and go by themselves."""
        record = {}
        for top in (self.exported(name), self.exported(".sealfs/state", name)):
            if os.path.isdir(top):
                for path, value in snapshot(top).items():
                    status = os.lstat(os.path.join(top, path))
                    record[os.path.join(top, path)] = value, status.st_uid, status.st_ino, status.st_mtime_ns if value[0] == "file" else None
        return record

    def attempt(self, state, member):
        name = self.make_in_state(state)
        path = self.point + "/" + name
        before = self.seen(name)
        done = 0
        for trial in ("parent", "child"):
            bob = self.agent(trial, uid=BOB, name="bob", groups=[TEAM] if member else [])
            bob("import harness; root = os.open(top, os.O_RDONLY | os.O_DIRECTORY)", top=self.point)
            for what, (operation, writer, detail) in CALLS.items():
                with self.subTest(what, state=state, trial=trial):
                    call = bob.start("harness.control(root, operation, path, trial, writer, detail)[0]", operation=operation, path=name, trial=trial, writer=writer,
                                     detail=detail)
                    result = call.error() or call.outcome["value"]
                    done += result == 0
                    self.assertEqual(self.seen(name), before, result)
                    self.assertEqual(self.state(path), state, result)
            for what, code in CHANGES.items():
                with self.subTest(what, state=state, trial=trial):
                    problem = bob.start("import shutil; " + code, p=path).error(patience=60)
                    self.assertIsNotNone(problem)
                    self.assertEqual(self.seen(name), before, problem)
                    self.assertEqual(self.state(path), state, problem)
            bob.close()
        return done

    def attempts(self, *states):
        for state in states:
            self.attempt(state, member=False)

    def test_open_and_failed(self):
        self.attempts("open", "failed")

    def test_sealed_and_plain(self):
        self.attempts("sealed", "plain")

    def test_who_is_in_a_group_that_may_not_write_is_a_stranger_too(self):
        self.attempt("open", member=True)

    def test_pending(self):
        """Nobody's directory is there yet; but who will write it was said by Alice."""
        name = self.make_in_state("pending")
        before = self.seen(name)
        bob = self.bob()
        bob("import harness; root = os.open(top, os.O_RDONLY | os.O_DIRECTORY)", top=self.point)
        for what, (operation, writer, detail) in CALLS.items():
            with self.subTest(what):
                call = bob.start("harness.control(root, operation, path, 'child', writer, detail)[0]", operation=operation, path=name, writer=writer, detail=detail)
                result = call.error() or call.outcome["value"]
                self.assertEqual((self.seen(name), self.state(self.point + "/" + name)), (before, "pending"), result)
        for what in ("rename", "rename over it", "create inside", "mkdir inside", "seal by attribute", "chmod", "attribute"):
            with self.subTest(what):
                problem = bob.start("import shutil; " + CHANGES[what], p=self.point + "/" + name).error(patience=60)
                self.assertIsNotNone(problem)
                self.assertEqual((self.seen(name), self.state(self.point + "/" + name)), (before, "pending"), problem)

    def test_group_is_what_counts(self):
        """The counter-example: who is in the group that may write does write and read, by a supplementary group."""
        alice = self.alice(groups=[TEAM])
        alice("os.mkdir(d); os.chown(d, -1, g); os.chmod(d, 0o2770); open(d + '/w', 'w').write('hers'); os.chmod(d + '/w', 0o660)", d=self.path, g=TEAM)
        member, other = self.bob("parent", groups=[1, 2, TEAM, 3]), self.agent("parent", uid=CAROL, name="carol", groups=[1, 2, 3])
        self.assertEqual(member("open(d + '/w', 'a').write('his'); open(d + '/w').read()", d=self.path) or member("open(d + '/w').read()"), "hershis")
        for code in ("open(d + '/w').read()", "open(d + '/w', 'a')", "os.listdir(d)", "os.stat(d + '/w')", "open(d + '/n', 'w')"):
            self.assertEqual(other.error(code, d=self.path), "EACCES", code)
        self.ctl("seal", self.path, trial="parent", uid=ALICE)
        self.assertEqual(self.bob("child", groups=[TEAM])("open(d + '/w').read()", d=self.path), "hershis")
        self.assertEqual(self.agent("child", uid=CAROL).error("open(d + '/w').read()", d=self.path), "EACCES")


@in_modes(USER)
class Private_mount(SealfsTest):
    def test_other_users_are_kept_out_by_the_kernel(self):
        if not os.geteuid() == 0:
            self.skipTest("needs root to become another user")
        self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/p")
        self.assertEqual(self.agent("child", uid=BOB).error("os.listdir(d)", d=self.point), "EACCES")

    def test_what_is_made_belongs_to_the_user(self):
        self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/p")
        self.assertEqual(os.stat(self.exported("p/a")).st_uid, self.mode.owner)


if __name__ == "__main__":
    main()
