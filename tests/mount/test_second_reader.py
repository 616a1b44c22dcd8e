#!/usr/bin/python3
# time limit: 240
"""An export as a mount leaves it, read by the second implementation (tests/formats/verify.py), which knows the manual sealfs(5) and nothing else."""

import json
import os
import shutil

from harness import DAEMON, HERE, PYTHON, ROOT, SealfsTest, escape, in_modes, main, pattern
from test_tampering import flip

READER = os.path.join(os.path.dirname(HERE), "formats", "verify.py")
LEVELS = 65 << 20  # three levels of hashes


@in_modes(ROOT, DAEMON)
class Second_reader(SealfsTest):
    def read(self, expect):
        result = self.run_program([PYTHON, READER, "--trust", self.trust, self.export], uid=os.geteuid(), patience=120)
        self.assertEqual(result.status, expect, result)
        return json.loads(result.out)

    def make_export(self):
        self.ctl("init", "--depth", "2", "--live", "events.*", self.export, uid=self.mode.owner)
        self.trust, key = self.make_dir("trust", 0o755, self.mode.owner), self.tmp + "/key"
        self.ctl("keygen", "--name", "the signer", key, uid=self.mode.owner)
        shutil.move(key + ".pub", self.trust)
        mount = self.mount("key=" + key)
        first = self.agent("first trial")
        first("os.mkdir(d); os.mkdir(d + '/odd name')", d=self.point + "/e 1")
        first("""
            for name in ('sub', 'sub/deeper', 'sub.d', 'sub-d', 'void', 'events.d'):
                os.mkdir(d + '/' + name)
            for name, data in files.items():
                with open(d.encode() + b'/' + name, 'wb') as file:
                    file.write(data)
            with open(d + '/huge', 'wb') as file:
                file.truncate(levels)
                os.pwrite(file.fileno(), b'middle', levels // 2)
            os.link(d + '/one', d + '/sub/linked')
            os.chmod(d + '/sub/run', 0o755)
            os.symlink('../a b\\n', d + '/void/link -> ')
            os.mkfifo(d + '/fifo')
            """, d=self.point + "/e 1/odd name", levels=LEVELS, files={
                b"empty": b"", b"one": b"x", b"block": pattern(4096, 1), b"more": pattern(4097, 2), b"group": pattern(128 * 4096, 3),
                b"group+": pattern(128 * 4096 + 1, 4), b"sub/run": b"#!/bin/sh\n", b"sub/deeper/\xff\xfe\n \\": b"odd", "ü\u2028".encode(): b"unicode",
                b"events.out": b"live", b"sub/events.1": b"live", b"events.d/kept": b"in a directory of such a name"})
        self.ctl("seal", self.point + "/e 1/odd name", trial="first trial")
        second = self.agent("second")
        second("open(p, 'rb').read(); open(d + '/' + 'n' * 251, 'wb').write(b'one file')", p=self.point + "/e 1/odd name/group", d=self.point + "/e 1")
        self.ctl("seal", self.point + "/e 1/" + "n" * 251, trial="second")
        third = self.agent("third")
        third("open(d + '/' + 'n' * 251, 'rb').read(); open(e, 'rb').read(); open(d + '/c.pt', 'wb').write(data)", d=self.point + "/e 1",
              e=self.point + "/e 1/odd name/one", data=pattern(9000, 5))
        self.ctl("abandon", self.point + "/e 1/c.pt", trial="third")
        third.exit()
        third = self.agent("third")
        third("open(d + '/' + 'n' * 251, 'rb').read(); open(e, 'rb').read(); open(d + '/c.pt', 'wb').write(data)", d=self.point + "/e 1",
              e=self.point + "/e 1/odd name/one", data=pattern(9000, 6))
        self.ctl("seal", self.point + "/e 1/c.pt", trial="third")
        self.reserve(self.point + "/e 1/later", writer="t9")
        self.agent("open")("os.mkdir(d); open(d + '/x', 'w').close()", d=self.point + "/e 1/open")
        report = json.loads(self.ctl("verify", "--json", "--trust", self.trust, self.export, uid=self.mode.owner, patience=60).out)
        listing = json.loads(self.ctl("status", "--json", self.point).out)
        mount.unmount()
        return report["checkpoints"], listing

    def test_reads_what_was_written(self):
        checkpoints, listing = self.make_export()
        states = {entry["path"]: entry for entry in listing}
        # when it was unmounted, what was open failed
        seen = self.read(0)
        self.assertEqual({escape(path): one["state"] for path, one in seen.items()},
                         {path: "failed" if entry["state"] == "open" else entry["state"] for path, entry in states.items()})
        sealed = {path: one for path, one in seen.items() if one["state"] == "sealed"}
        self.assertEqual(len(sealed), 3)
        by_path = {escape(path): one for path, one in sealed.items()}
        for one in checkpoints:
            ours = by_path[one["path"]]
            self.assertEqual((ours["root"], ours["files"], ours["bytes"], ours["signer"], ours["tree"]),
                             (one["root"], one["files"], one["bytes"], "the signer", True), one)
        parents = [["e 1/" + "n" * 251, sealed["e 1/" + "n" * 251]["root"]], ["e 1/odd name", sealed["e 1/odd name"]["root"]]]
        self.assertEqual(sealed["e 1/c.pt"]["parents"], parents)
        self.assertEqual(sealed["e 1/c.pt"]["generation"], 2)

    def test_refuses_what_sealctl_refuses(self):
        self.make_export()
        self.assertEqual(self.ctl("verify", self.export, uid=0, patience=60).status, 0)
        top = self.export + "/e 1/"
        state, seal = self.export + "/.sealfs/state/e 1/", top + "odd name/.seal/"
        backup = self.scratch + "/backup"
        shutil.copytree(self.export, backup, symlinks=True, ignore=shutil.ignore_patterns("fifo"))
        tamperings = {
            "a bit of the huge file": (lambda: flip(top + "odd name/huge", LEVELS - 1), top + "odd name/huge"),
            "a bit of the one file": (lambda: flip(top + "c.pt", 8500), top + "c.pt"),
            "a bit of the manifest": (lambda: flip(seal + "manifest", 300), seal + "manifest"),
            "a bit of the seal": (lambda: flip(seal + "seal", 40), seal + "seal"),
            "a bit of the record": (lambda: flip(state + "odd name/1.end", 100), state + "odd name/1.end"),
            "a bit of the signature": (lambda: flip(seal + "signature", 120), seal + "signature"),
            "the seal of another": (lambda: shutil.copy(top + ".c.pt.seal/seal", seal + "seal"), seal + "seal"),
            "the record of another": (lambda: shutil.copy(state + "c.pt/2.end", state + "odd name/1.end"), state + "odd name/1.end"),
        }
        for name, (tamper, file) in tamperings.items():
            with self.subTest(name):
                tamper()
                seen = self.read(1)
                self.assertEqual([path for path, one in seen.items() if one["faults"]], ["e 1/c.pt" if "one file" in name else "e 1/odd name"])
                result = self.sealctl("verify", "--trust", self.trust, self.export, uid=0, patience=60)
                self.assertEqual(result.status, 5, result)
                shutil.copystat(file.replace(self.export, backup, 1), file)
                shutil.copyfile(file.replace(self.export, backup, 1), file)
        self.read(0)


if __name__ == "__main__":
    main()
