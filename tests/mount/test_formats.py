#!/usr/bin/python3
"""Exports of earlier versions are read by this one: each folder of tests/formats is laid down, mounted and verified."""

import json
import os
import shutil
import subprocess

from harness import DAEMON, HERE, ROOT, USER, SealfsTest, environment, in_modes, main

V1 = os.path.join(os.path.dirname(HERE), "formats", "v1")
WEIGHTS = (b"sealfs\n" * 100_001)[:700_000]


@in_modes(ROOT, DAEMON, USER)
class Version_1(SealfsTest):
    ROOTS = {
        "run1": "sha256:747bf567b0b59532660bf8d544631ee165c9539ec5c2cb7676f7502f63e6fd98",
        "one.pt": "sha256:bc9859a077df6963b825a5edc8c950fb252faf40483b8efb53114ba5d70306ea",
        "child": "sha256:354bbc84aad50f419a13f16c8551ea7207cae2088d3a60d3872c2444906dc13d",
    }

    def lay_down(self):
        # the checkout may be closed to the user who mounts
        shutil.copytree(V1, self.tmp + "/v1")
        shutil.rmtree(self.export)
        subprocess.run([self.tmp + "/v1/lay-down", self.export], check=True, env=environment(), timeout=60)
        self.trust = self.make_dir("trust", 0o755, self.mode.owner)
        shutil.copy(V1 + "/signer.pub", self.trust)
        if self.mode.owner:
            subprocess.run(["chown", "-R", str(self.mode.owner), self.export], check=True, timeout=60)

    def check_content(self):
        reader = self.agent("reader")
        for name, data in (("run1/weights.bin", WEIGHTS), ("run1/last", WEIGHTS), ("run1/logs/epoch 1", b"loss 0.25\n"), ("run1/logs/empty", b""),
                           ("run1/logs/odd\nname", b"two\nlines\n"), ("run1/resume", b"#!/bin/sh\n"), ("one.pt", b"one file\n"),
                           ("child/model", b"made from run1\n")):
            self.assertEqual(reader("open(p, 'rb').read()", p=self.point + "/" + name), data, name)
        self.assertEqual(reader("open(p.encode() + b'/run1/not utf-8 \\xff', 'rb').read()", p=self.point), b"x")
        self.assertEqual(reader("sorted(os.listdir(p.encode()))", p=self.point + "/run1"),
                         [b"last", b"logs", b"not utf-8 \xff", b"resume", b"void", b"weights.bin"])
        self.assertEqual(reader.error("open(p + '/broken/a')", p=self.point), "EOWNERDEAD")
        self.assertEqual(reader.error("open(p + '/run1/weights.bin', 'wb')", p=self.point) in ("EROFS", "EACCES"), True)

    def test_is_mounted_and_read(self):
        self.lay_down()
        self.mount("trust=" + self.trust, "require_signature")
        self.check_content()
        states = {entry["path"]: entry for entry in json.loads(self.ctl("status", "--json", self.point).out)}
        self.assertEqual({path: entry["state"] for path, entry in states.items()},
                         {"run1": "sealed", "one.pt": "sealed", "child": "sealed", "broken": "failed", "promised": "pending"})
        self.assertEqual({path: states[path]["root"] for path in self.ROOTS}, self.ROOTS)
        self.assertEqual((states["broken"]["reason"], states["promised"]["writer"]), ("exit status 1", "t9"))

    def test_is_read_block_by_block(self):
        self.lay_down()
        mount = self.mount("verify=read")
        self.check_content()
        self.assertNotIn("no good Merkle tree", mount.log())

    def test_is_verified_by_the_command(self):
        self.lay_down()
        result = self.ctl("verify", "--trust", self.trust, "--json", self.export, uid=self.mode.owner)
        self.assertEqual({one["path"]: one["root"] for one in json.loads(result.out)["checkpoints"]}, self.ROOTS)
        self.assertIn("weights.bin", self.ctl("manifest", self.export + "/run1", uid=self.mode.owner).out)
        tree = self.ctl("lineage", "--json", self.export + "/child", uid=self.mode.owner).out
        self.assertIn("run1", tree)
        self.assertIn("one.pt", tree)


if __name__ == "__main__":
    main()
