#!/usr/bin/python3
# time limit: 240
"""Signed seals: who signs, whose signatures count, and what is refused."""

import os
import re
import shutil

from harness import DAEMON, ROOT, USER, SealfsTest, in_modes, main, pattern, until

CONTENT = pattern(300_000, 3)
MISMATCH = 5


@in_modes(ROOT, DAEMON, USER)
class Signed(SealfsTest):
    def setUp(self):
        super().setUp()
        self.keys = self.make_dir("keys", 0o755, self.mode.owner)
        self.trust = self.make_dir("trust", 0o755, self.mode.owner)
        self.key = self.keygen("signer", "--name", "the signer")
        self.trust_key(self.key)
        self.path = self.point + "/parent"

    def keygen(self, name, *options):
        path = os.path.join(self.keys, name)
        result = self.run_program([self.sealctl_path, "keygen", *options, path], uid=self.mode.owner)
        self.assertEqual(result.status, 0, result)
        self.assertRegex(result.out, r"^ed25519:[0-9a-f]{64}\n")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        return path

    def trust_key(self, key):
        shutil.copyfile(key + ".pub", os.path.join(self.trust, os.path.basename(key) + ".pub"))

    def make(self, *options, name="parent"):
        """Sealed through a mount of its own with these options."""
        maker = self.mount(*options, point=self.make_dir("maker-%d" % len(self.mounted), 0o755, self.mode.owner), name="maker")
        agent = self.agent(name)
        agent("os.mkdir(d); open(d + '/a', 'wb').write(data); os.mkdir(d + '/sub'); open(d + '/sub/b', 'w').close()", d=maker.path + "/" + name,
              data=CONTENT)
        self.ctl("seal", maker.path + "/" + name, trial=name)
        maker.unmount()

    def strict(self):
        return self.mount("trust=" + self.trust, "require_signature")

    def read(self, name="parent"):
        agent = self.agent("child")
        try:
            return agent.error("assert open(d + '/a', 'rb').read() == data", d=self.point + "/" + name, data=CONTENT)
        finally:
            agent.close()

    def refused(self, mount, pattern_of_log, name="parent"):
        agent = self.agent("child")
        for code in ("open(d + '/a', 'rb')", "open(d + '/sub/b')", "os.listdir(d)", "os.listdir(d + '/sub')"):
            self.assertEqual(agent.error(code, d=self.point + "/" + name), "EKEYREJECTED", code)
        agent.close()
        mount.await_log(pattern_of_log)

    def test_signed_by_a_trusted_key_is_read(self):
        self.make("key=" + self.key)
        mount = self.strict()
        self.assertIsNone(self.read())
        mount.await_log("'parent': signed by 'the signer'")

    def test_unsigned_is_refused_where_a_signature_is_required(self):
        self.make()
        self.refused(self.strict(), "'parent'.*it is not signed.*EKEYREJECTED")

    def test_seal_that_was_taken_away_with_its_records(self):
        self.make("key=" + self.key)
        shutil.rmtree(self.exported("parent", ".seal"))
        shutil.rmtree(self.exported(".sealfs", "state", "parent"))
        with open(self.exported("parent", "a"), "r+b") as file:
            file.write(b"wrong")
        mount = self.strict()
        self.refused(mount, "'parent': .*EKEYREJECTED: it is plain data")
        mount.unmount()
        self.mount("trust=" + self.trust)  # which does not require a signature
        self.assertEqual(self.agent("child")("open(d + '/a', 'rb').read(5)", d=self.path), b"wrong")

    def test_signed_copy_of_another_checkpoint_in_its_place(self):
        self.make("key=" + self.key)
        self.make("key=" + self.key, name="other")
        for path in (self.exported("parent"), self.exported(".sealfs", "state", "parent")):
            shutil.rmtree(path)
        shutil.copytree(self.exported("other"), self.exported("parent"))
        mount = self.strict()
        self.refused(mount, "'parent': it is a copy of 'other'")
        self.assertIsNone(self.read("other"))
        # under its own name a copy is as good
        shutil.rmtree(self.exported(".sealfs", "state", "other"))
        mount.unmount()
        self.strict()
        self.assertIsNone(self.read("other"))
        self.mounted[-1].unmount()
        self.mount("trust=" + self.trust)
        self.assertIsNone(self.read("parent"))

    def test_plain_data_can_be_written_sealed_and_then_read_where_a_signature_is_required(self):
        os.mkdir(self.exported("old"))
        self.give(self.exported("old"))
        self.mount("trust=" + self.trust, "require_signature", "key=" + self.key)
        agent = self.agent("t")
        agent("open(d + '/a', 'w').write('x')", d=self.point + "/old")
        self.assertEqual(agent.error("open(d + '/a')", d=self.point + "/old"), "EKEYREJECTED")
        self.ctl("seal", self.point + "/old", trial="t")
        self.assertEqual(agent("open(d + '/a').read()", d=self.point + "/old"), "x")
        # what a trial writes is its own, and nothing there is nothing
        agent("os.mkdir(d + '/new'); open(d + '/new/a', 'w').write('y')", d=self.point)
        self.assertEqual(agent("open(d + '/new/a').read(), os.path.exists(d + '/none')", d=self.point), ("y", False))

    def test_unsigned_is_read_where_none_is_required(self):
        self.make()
        self.mount("trust=" + self.trust)
        self.assertIsNone(self.read())

    def test_signed_by_a_key_that_nobody_trusts(self):
        self.make("key=" + self.keygen("stranger"))
        self.refused(self.strict(), "'parent'.*not in the trust directory")

    def test_signature_of_another_checkpoint_is_forged(self):
        self.make("key=" + self.key, name="one")
        self.make("key=" + self.key, name="two")
        shutil.copyfile(self.exported("one", ".seal", "signature"), self.exported("two", ".seal", "signature"))
        mount = self.strict()
        self.assertIsNone(self.read("one"))
        self.refused(mount, "'two'.*forged", "two")

    def test_wrong_signature_is_refused_even_where_none_is_required(self):
        self.make("key=" + self.key)
        path = self.exported("parent", ".seal", "signature")
        with open(path, "r+") as file:
            text = file.read()
            file.seek(text.index("signature: ") + 20)
            file.write("0" if file.read(1) != "0" else "1")
        mount = self.mount("trust=" + self.trust)
        self.refused(mount, "'parent'.*signature can not be read")

    def test_signature_that_was_removed(self):
        self.make("key=" + self.key)
        os.unlink(self.exported("parent", ".seal", "signature"))
        self.refused(self.strict(), "it is not signed")

    def test_key_that_is_revoked_and_trusted_again_while_it_is_mounted(self):
        self.make("key=" + self.key)
        self.strict()
        self.assertIsNone(self.read())
        os.unlink(os.path.join(self.trust, "signer.pub"))
        until(lambda: self.read() == "EKEYREJECTED", "the key to be revoked")
        self.trust_key(self.key)
        until(lambda: self.read() is None, "the key to be trusted again")

    def test_key_whose_time_is_over(self):
        self.make("key=" + self.key)
        public = os.path.join(self.trust, "signer.pub")
        with open(public) as file:
            text = file.read()
        with open(public, "w") as file:
            file.write("sealfs-not-after: 2020-01-01T00:00:00Z\n" + text)
        self.refused(self.strict(), "expired by policy")

    def test_days_of_keygen_are_a_period(self):
        key = self.keygen("short", "--days", "30")
        with open(key + ".pub") as file:
            self.assertRegex(file.read(), r"(?m)^sealfs-not-after: 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.trust_key(key)
        self.make("key=" + key)
        self.strict()
        self.assertIsNone(self.read())

    def failing_mount(self, *options):
        result = self.run_program([os.path.join(os.path.dirname(self.sealctl_path), "sealfs"), "-f", "-o", ",".join(options), self.export, self.point],
                                  uid=self.mode.owner)
        self.assertNotEqual(result.status, 0, result)
        return result.err

    def test_private_key_that_others_may_read_is_refused(self):
        os.chmod(self.key, 0o644)
        message = self.failing_mount("key=" + self.key)
        self.assertIn(self.key, message)
        self.assertIn("chmod 600", message)

    def test_options_that_make_no_sense_are_refused_with_a_sentence(self):
        self.assertIn("trust=", self.failing_mount("require_signature"))
        self.assertIn("nowhere", self.failing_mount("trust=" + self.tmp + "/nowhere"))
        self.assertIn("no-key", self.failing_mount("key=" + self.tmp + "/no-key"))

    def test_keygen_overwrites_nothing(self):
        with open(self.key) as file:
            before = file.read()
        for there in (self.key, None):
            if there is None:  # only the public one is there
                os.unlink(self.key)
            result = self.run_program([self.sealctl_path, "keygen", self.key], uid=self.mode.owner)
            self.assertEqual(result.status, 1, result)
            self.assertRegex(result.err, "never overwritten")
        self.assertFalse(os.path.exists(self.key))
        self.assertNotEqual(before, "")

    def test_seal_on_the_export_signs_with_the_key_it_is_given(self):
        os.mkdir(self.exported("plain"))
        with open(self.exported("plain", "a"), "wb") as file:
            file.write(CONTENT)
        maker = self.mount()  # makes the export's configuration
        result = self.run_program([self.sealctl_path, "seal", "--key", self.key, self.point + "/plain"], uid=self.mode.owner)
        self.assertEqual(result.status, 1, result)
        self.assertRegex(result.err, "-o key=")
        maker.unmount()
        self.give(self.exported("plain"))
        self.ctl("seal", "--key", self.key, self.exported("plain"), uid=self.mode.owner)
        self.strict()
        self.assertIsNone(self.read("plain"))

    def test_verify_tells_who_signed(self):
        self.make("key=" + self.key, name="one")
        self.make(name="two")
        result = self.ctl("verify", "--json", self.exported("one"), uid=0)
        self.assertRegex(result.out, r'"signed_by": "ed25519:[0-9a-f]{64}"')
        result = self.ctl("verify", "--json", "--trust", self.trust, self.exported("one"), uid=0)
        self.assertRegex(result.out, r'"signed_by": "the signer"')
        result = self.ctl("verify", "--trust", self.trust, self.exported("two"), uid=0, expect=MISMATCH)
        self.assertRegex(result.out, "it is not signed")
        self.ctl("verify", self.exported("two"), uid=0)
        shutil.copyfile(self.exported("one", ".seal", "signature"), self.exported("two", ".seal", "signature"))
        result = self.ctl("verify", self.exported("two"), uid=0, expect=MISMATCH)
        self.assertTrue(re.search("wrong|forged", result.out), result.out)


if __name__ == "__main__":
    main()
