#!/usr/bin/python3
# time limit: 240
"""sealctl verify, manifest and lineage: on exports, through mounts, and on copies with nothing of sealfs around."""

import ctypes
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time

from harness import ALL_MODES, DAEMON, PATIENCE, USER, SealfsTest, environment, escape, in_modes, main, pattern

GOOD, ERROR, USAGE, MISMATCH = 0, 1, 2, 5
BLOCK = 4096


class Sealed(SealfsTest):
    """One checkpoint of several files, and one of a single file, sealed straight on the export."""

    def setUp(self):
        super().setUp()
        self.ctl("init", self.export, uid=self.mode.owner)
        self.fill(self.exported("t4"))
        with open(self.exported("one.pt"), "wb") as file:
            file.write(pattern(10000, 7))
        self.give(self.exported("one.pt"))
        self.ctl("seal", self.exported("t4"), self.exported("one.pt"))

    def fill(self, top):
        os.makedirs(top + "/sub/deep")
        for name, size in (("model.pt", 10 * BLOCK + 1), ("empty", 0), ("sub/opt.pt", 20), ("sub/deep/x y\n\\z", 5)):
            with open(os.path.join(top, name), "wb") as file:
                file.write(pattern(size, size))
        with open(os.fsencode(top) + b"/raw\xff", "wb") as file:
            file.write(b"bytes")
        os.chmod(top + "/sub/opt.pt", 0o755)
        os.symlink("model.pt", top + "/latest")
        self.give(top)

    def json(self, *arguments, expect=GOOD, **more):
        return json.loads(self.ctl("verify", "--json", *arguments, expect=expect, **more).out)

    def faults(self, path, *options):
        """[(path, why, first block, last block)] of a checkpoint that is not good."""
        (one,) = self.json(*options, path, expect=MISMATCH)["checkpoints"]
        self.assertIs(one["ok"], False)
        return [(fault["path"], fault["why"], fault["first_block"], fault["last_block"]) for fault in one["faults"]]

    def copy_to(self, name):
        place = os.path.join(self.tmp, name)
        os.mkdir(place)
        os.chmod(place, 0o777)
        return place


@in_modes(DAEMON, USER)
class Verify(Sealed):
    def test_good(self):
        result = self.ctl("verify", self.exported("t4"))
        self.assertRegex(result.out, r"(?m)^good +%s  sha256:[0-9a-f]{64}  5 files, 41\.0 kB$" % re.escape(self.exported("t4")))
        self.assertRegex(result.out, r"(?m)^1 checkpoint: 1 good; 5 files, 41\.0 kB, \d+\.\d s, \S+ \S+/s$")
        self.assertEqual(result.err, "")

    def test_whole_export_with_all_states(self):
        os.mkdir(self.exported("plain"))
        os.mkdir(self.exported("bad"))
        self.give(self.exported("bad"))
        self.reserve(self.exported("pending"))
        self.reserve(self.exported("failed"))
        self.ctl("abandon", self.exported("failed"))
        result = self.ctl("verify", self.export)
        self.assertEqual(re.findall(r"(?m)^good +(\S+)", result.out), [self.exported("one.pt"), self.exported("t4")])
        self.assertIn("; not sealed and left out: ", result.out)
        whole = self.json(self.export)
        self.assertEqual(whole["skipped"], {"plain": 2, "pending": 1, "failed": 1})
        self.assertEqual((whole["good"], whole["failed"], whole["errors"]), (2, 0, 0))

    def test_json(self):
        whole = self.json(self.exported("t4"), self.exported("one.pt"))
        self.assertEqual(set(whole), {"checkpoints", "ok", "quick", "good", "failed", "errors", "files", "bytes", "skipped", "seconds"})
        self.assertEqual((whole["ok"], whole["quick"], whole["files"], whole["bytes"]), (True, False, 6, 10 * BLOCK + 1 + 20 + 5 + 5 + 10000))
        self.assertGreaterEqual(whole["seconds"], 0)
        one, single = whole["checkpoints"]
        self.assertEqual(set(one), {"path", "export", "ok", "against", "root", "signed_by", "files", "bytes", "error", "faults"})
        self.assertEqual((one["path"], one["export"], one["ok"], one["against"], one["files"], one["error"], one["faults"]),
                         ("t4", self.export, True, "record", 5, None, []))
        self.assertEqual(single["path"], "one.pt")
        self.assertEqual(one["root"], self.status(self.exported("t4"))["root"])

    def test_each_kind_of_tampering_is_told_by_its_path(self):
        top = self.exported("t4")

        def spoil(name, at=0):
            with open(os.path.join(top, name), "r+b") as file:
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1]))

        def replace(name, make):
            os.unlink(os.path.join(top, name))
            make(os.path.join(top, name))

        odd = "sub/deep/" + escape("x y\n\\z")
        kinds = [
            (lambda: spoil("model.pt", 3 * BLOCK + 5), [("model.pt", "content differs", 3, 3)]),
            (lambda: (spoil("model.pt", 3 * BLOCK), spoil("model.pt", 10 * BLOCK)), [("model.pt", "content differs", 3, 10)]),
            (lambda: spoil("sub/deep/x y\n\\z"), [(odd, "content differs", 0, 0)]),
            (lambda: os.truncate(top + "/model.pt", 5), [("model.pt", "size differs", None, None)]),
            (lambda: os.truncate(top + "/empty", 1), [("empty", "size differs", None, None)]),
            (lambda: os.chmod(top + "/sub/opt.pt", 0o644), [("sub/opt.pt", "mode differs", None, None)]),
            (lambda: os.unlink(top + "/sub/opt.pt"), [("sub/opt.pt", "missing", None, None)]),
            (lambda: shutil.rmtree(top + "/sub/deep"), [("sub/deep", "missing", None, None), (odd, "missing", None, None)]),
            (lambda: open(top + "/sub/more", "w").close(), [("sub/more", "not in the manifest", None, None)]),
            (lambda: replace("latest", lambda path: os.symlink("other.pt", path)), [("latest", "target differs", None, None)]),
            (lambda: replace("model.pt", lambda path: os.symlink("/etc/passwd", path)), [("model.pt", "type differs", None, None)]),
            (lambda: replace("model.pt", os.mkfifo), [("model.pt", "type differs", None, None)]),
            (lambda: replace("model.pt", os.mkdir), [("model.pt", "type differs", None, None)]),
            (lambda: os.unlink(os.fsencode(top) + b"/raw\xff"), [(r"raw\xff", "missing", None, None)]),
            (lambda: spoil(".seal/manifest", 40), [(".seal", "the manifest does not match the root digest", None, None)]),
            (lambda: spoil(".seal/seal", 40), [(".seal", "the seal is not the one that was recorded", None, None)]),
            (lambda: os.unlink(top + "/.seal/seal"), [(".seal", "the seal is missing", None, None)]),
            (lambda: shutil.rmtree(top + "/.seal"), [(".seal", "the seal is missing", None, None)]),
            (lambda: shutil.rmtree(top), [(".seal", "the data is missing", None, None)]),
            (lambda: replace(".seal/manifest", os.mkfifo), [(".seal", "the manifest is not a regular file", None, None)]),
        ]
        safe = self.exported(".safe")
        shutil.copytree(top, safe, symlinks=True)
        for number, (damage, expected) in enumerate(kinds):
            with self.subTest(number, expected=expected):
                damage()
                self.assertEqual(self.faults(top), expected)
                result = self.ctl("verify", top, expect=MISMATCH)
                self.assertRegex(result.out, r"(?m)^FAILED ")
                for path, why, first, last in expected:
                    blocks = "" if first is None else ", blocks %d-%d" % (first, last)
                    self.assertIn("        %s: %s%s\n" % (path, why, blocks), result.out)
            shutil.rmtree(top, ignore_errors=True)
            shutil.copytree(safe, top, symlinks=True)
            self.give(top)
            self.json(top)

    def test_where_content_differs_is_not_known_without_the_tree(self):
        with open(self.exported("t4/model.pt"), "r+b") as file:
            file.write(b"!")
        os.unlink(self.exported("t4/.seal/tree"))
        self.assertEqual(self.faults(self.exported("t4")), [("model.pt", "content differs", None, None)])
        self.assertIn("        model.pt: content differs\n", self.ctl("verify", self.exported("t4"), expect=MISMATCH).out)

    def test_damaged_state(self):
        (record,) = [name for name in os.listdir(self.exported(".sealfs/state/t4")) if name.endswith(".end")]
        with open(self.exported(".sealfs/state/t4", record), "a") as file:
            file.write("more")
        ((path, why, _, _),) = self.faults(self.exported("t4"))
        self.assertEqual(path, ".")
        self.assertIn(record, why)
        self.assertEqual(self.json(self.export, expect=MISMATCH)["failed"], 1)

    def test_what_is_not_sealed(self):
        os.mkdir(self.exported("plain"))
        self.reserve(self.exported("pending"))
        self.reserve(self.exported("failed"))
        self.ctl("abandon", self.exported("failed"))
        for name, word in (("plain", "plain"), ("pending", "pending"), ("failed", "failed"), ("nothing", "nothing")):
            with self.subTest(name):
                result = self.ctl("verify", self.exported(name), expect=ERROR)
                self.assertRegex(result.err, r"(?m)^sealctl: cannot verify '%s': .*%s.*; " % (re.escape(self.exported(name)), word))
                (one,) = self.json(self.exported(name), expect=ERROR)["checkpoints"]
                self.assertIn(word, one["error"])

    def test_worst_of_several_decides(self):
        os.mkdir(self.exported("plain"))
        with open(self.exported("one.pt"), "r+b") as file:
            file.write(b"!")
        result = self.ctl("verify", self.exported("one.pt"), self.exported("plain"), "/nowhere", self.exported("t4"), expect=MISMATCH)
        self.assertEqual(len(re.findall(r"(?m)^(good|FAILED) ", result.out)), 2)
        self.assertIn("3 checkpoints: 1 good, 1 FAILED, 1 not verified; ", result.out)
        self.ctl("verify", self.exported("plain"), self.exported("t4"), expect=ERROR)

    def test_usage(self):
        for arguments in ([], ["--nonsense", "x"], ["--live"], ["--json"]):
            self.ctl("verify", *arguments, expect=USAGE)
        for path in ("/nowhere", self.exported("t4/model.pt"), "/etc/passwd", self.tmp):
            self.ctl("verify", path, expect=ERROR)

    def test_live_files(self):
        with open(self.exported("t4/events.1"), "w") as file:
            file.write("x")
        self.assertEqual(self.faults(self.exported("t4")), [("events.1", "not in the manifest", None, None)])
        self.json("--live", "nothing", "--live", "events.*", self.exported("t4"))

    def test_many_files_in_parallel(self):
        os.mkdir(self.exported("many"))
        for number in range(600):
            with open(self.exported("many/f%03d" % number), "wb") as file:
                file.write(pattern(100 + number, number))
        self.give(self.exported("many"))
        self.ctl("seal", self.exported("many"))
        self.json(self.exported("many"))
        for number in range(0, 600, 50):
            with open(self.exported("many/f%03d" % number), "r+b") as file:
                file.write(b"!!!")
        self.assertEqual([fault[0] for fault in self.faults(self.exported("many"))], ["f%03d" % number for number in range(0, 600, 50)])


@in_modes(DAEMON, USER)
class Quick(Sealed):
    def test_tells_all_but_content(self):
        with open(self.exported("t4/model.pt"), "r+b") as file:
            file.write(b"!")
        result = self.ctl("verify", "--quick", self.exported("t4"))
        self.assertIn(", content not read, ", result.out)
        os.chmod(self.exported("t4/sub/opt.pt"), 0o644)
        os.truncate(self.exported("t4/model.pt"), 3)
        self.assertEqual(self.faults(self.exported("t4"), "--quick"),
                         [("model.pt", "size differs", None, None), ("sub/opt.pt", "mode differs", None, None)])
        with open(self.exported("t4/.seal/manifest"), "a") as file:
            file.write("x")
        self.assertEqual([fault[0] for fault in self.faults(self.exported("t4"), "--quick")], [".seal"])

    def opened(self, *options):
        """The names of the checkpoint's own files that it opens: inotify tells."""
        in_open = 0x20
        library = ctypes.CDLL(None, use_errno=True)
        watch = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.assertGreaterEqual(watch, 0)
        self.assertGreaterEqual(library.inotify_add_watch(watch, os.fsencode(self.exported("t4")), in_open), 0)
        self.ctl("verify", *options, self.exported("t4"))
        data, names = os.read(watch, 1 << 16), set()
        os.close(watch)
        while data:
            size = int.from_bytes(data[12:16], "little")
            names.add(data[16:16 + size].rstrip(b"\0").decode(errors="surrogateescape"))
            data = data[16 + size:]
        return names

    def test_opens_no_file(self):
        self.assertIn("model.pt", self.opened())
        self.assertFalse({"model.pt", "empty"} & self.opened("--quick"))


@in_modes(*ALL_MODES)
class ThroughMount(Sealed):
    def test_path_and_mount(self):
        self.mount()
        whole = self.json(self.point + "/t4")
        (one,) = whole["checkpoints"]
        self.assertEqual((one["path"], one["mount"], one["ok"]), ("t4", self.point, True))
        result = self.ctl("verify", self.point)
        self.assertIn("good    %s  sha256:" % (self.point + "/t4"), result.out)
        self.assertIn("2 checkpoints: 2 good; ", result.out)

    def test_damage_behind_the_mount(self):
        self.mount()
        with open(self.exported("t4/model.pt"), "r+b") as file:
            file.write(b"!")
        self.assertEqual(self.faults(self.point + "/t4"), [("model.pt", "content differs", 0, 0)])
        self.assertEqual(self.json(self.point, expect=MISMATCH)["failed"], 1)

    def test_open_checkpoint_does_not_hang(self):
        self.mount()
        writer = self.agent("writer")
        writer("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/new")
        result = self.ctl("verify", self.point + "/new", expect=ERROR)
        self.assertRegex(result.err, "'%s/new': it is open" % re.escape(self.point))
        self.assertEqual(self.json(self.point)["skipped"], {"open": 1})

    def test_export_that_is_not_there(self):
        mount = self.mount()
        os.rename(self.export, self.export + ".moved")
        try:
            for path in (self.point, self.point + "/t4"):
                result = self.ctl("verify", path, expect=ERROR)
                self.assertIn("the export of this mount, '%s', cannot be reached from here; " % self.export, result.err)
            os.mkdir(self.export)
            os.chmod(self.export, 0o755)
            self.assertIn("cannot be reached", self.ctl("verify", self.point, expect=ERROR).err)
            os.rmdir(self.export)
        finally:
            os.rename(self.export + ".moved", self.export)
        self.json(self.point)
        mount.unmount()


@in_modes(DAEMON, USER)
class Copies(Sealed):
    def check_copy(self, place):
        for name, files in (("t4", 5), ("one.pt", 1)):
            result = self.ctl("verify", os.path.join(place, name))
            self.assertRegex(result.out, r"good .*%s  sha256:\w+  %d file.*, checked against the seal beside it" % (name, files))
        (one,) = self.json(place + "/t4/")["checkpoints"]
        self.assertEqual((one["path"], one["copy"], one["against"]), ("t4", place, "seal"))
        self.assertEqual(self.json(place)["good"], 2)
        with open(place + "/t4/sub/opt.pt", "r+b") as file:
            file.write(b"!")
        with open(place + "/one.pt", "r+b") as file:
            file.seek(9000)
            file.write(b"!")
        self.assertEqual(self.faults(place + "/t4"), [("sub/opt.pt", "content differs", 0, 0)])
        self.assertEqual(self.faults(place + "/one.pt"), [(".", "content differs", 2, 2)])
        self.assertEqual(self.json(place, expect=MISMATCH)["failed"], 2)

    def run_copy(self, *argv):
        result = self.run_program(argv, cwd=self.export)
        self.assertEqual(result.status, 0, result)

    def test_by_cp(self):
        place = self.copy_to("cp")
        self.run_copy("cp", "-a", "t4", "one.pt", ".one.pt.seal", place)
        self.check_copy(place)

    def test_by_rsync(self):
        if not shutil.which("rsync"):
            self.skipTest("no rsync")
        place = self.copy_to("rsync")
        self.run_copy("rsync", "-a", "t4", "one.pt", ".one.pt.seal", place)
        self.check_copy(place)

    def test_by_tar(self):
        place = self.copy_to("tar")
        self.run_copy("tar", "-cf", place + "/archive.tar", "t4", "one.pt", ".one.pt.seal")
        self.run_copy("tar", "-xf", place + "/archive.tar", "-C", place)
        os.unlink(place + "/archive.tar")
        self.check_copy(place)

    def test_under_another_name_and_from_a_symlink_and_in_place(self):
        place = self.copy_to("named")
        self.run_copy("cp", "-a", "t4", place + "/other")
        os.symlink(place + "/other", place + "/link")
        self.json(place + "/link")
        result = self.run_program([self.sealctl_path, "verify", "."], cwd=place + "/other")
        self.assertEqual(result.status, GOOD, result)

    def test_inside_an_export(self):
        place = self.exported("backup")
        os.mkdir(place)
        os.chmod(place, 0o777)
        self.run_copy("cp", "-a", "t4", place)
        (one,) = self.json(place + "/t4")["checkpoints"]
        self.assertEqual((one["copy"], one["ok"]), (place, True))
        # at the depth of checkpoints it is one of the export's, which has no record of it
        self.run_copy("cp", "-a", "t4", "t5")
        (one,) = self.json(self.exported("t5"))["checkpoints"]
        self.assertEqual((one["export"], one["against"]), (self.export, "seal"))
        self.assertEqual(self.json(self.export)["good"], 3)

    def test_without_its_seal(self):
        place = self.copy_to("bare")
        self.run_copy("cp", "-a", "one.pt", place)
        result = self.ctl("verify", place + "/one.pt", expect=ERROR)
        self.assertIn("'.one.pt.seal' was looked for", result.err)
        result = self.ctl("verify", place, expect=ERROR)
        self.assertIn("neither in '.seal' in it", result.err)

    def test_forged_seal(self):
        place = self.copy_to("forged")
        self.run_copy("cp", "-a", "t4", place)
        with open(place + "/t4/.seal/seal", "r+b") as file:
            text = file.read().replace(b"files: 5", b"files: 6")
            file.seek(0)
            file.write(text)
        self.ctl("verify", place + "/t4", expect=MISMATCH)


@in_modes(*ALL_MODES)
class Manifest(Sealed):
    def stored(self, name):
        with open(self.exported(name), "rb") as file:
            return file.read().decode(errors="surrogateescape")

    def test_is_printed_as_it_is_stored(self):
        self.assertEqual(self.ctl("manifest", self.exported("t4")).out, self.stored("t4/.seal/manifest"))
        self.assertEqual(self.ctl("manifest", self.exported("one.pt")).out, self.stored(".one.pt.seal/manifest"))
        self.mount()
        self.assertEqual(self.ctl("manifest", self.point + "/t4").out, self.stored("t4/.seal/manifest"))

    def test_of_a_copy(self):
        shutil.copytree(self.exported("t4"), self.tmp + "/t4", symlinks=True)
        self.assertEqual(self.ctl("manifest", self.tmp + "/t4").out, self.stored("t4/.seal/manifest"))

    def files(self):
        top = os.fsencode(self.exported("t4"))
        found = [os.path.relpath(os.path.join(where, name), top) for where, names, files in os.walk(top) for name in files]
        return sorted(name for name in found if not name.startswith(b".seal/") and not os.path.islink(os.path.join(top, name)))

    def test_fsverity_equals_the_tool(self):
        if not shutil.which("fsverity"):
            self.skipTest("no fsverity")
        theirs = self.run_program(["fsverity", "digest", *self.files()], cwd=self.exported("t4"))
        self.assertEqual(theirs.status, 0, theirs)
        self.assertEqual(self.ctl("manifest", "--fsverity", self.exported("t4")).out, theirs.out)
        theirs = self.run_program(["fsverity", "digest", "one.pt"], cwd=self.export)
        self.assertEqual(self.ctl("manifest", "--fsverity", self.exported("one.pt")).out, theirs.out)

    def test_json(self):
        whole = json.loads(self.ctl("manifest", "--json", self.exported("t4")).out)
        self.assertEqual(set(whole), {"path", "root", "entries"})
        self.assertEqual((whole["path"], whole["root"]), ("t4", self.status(self.exported("t4"))["root"]))
        entries = {entry["path"]: entry for entry in whole["entries"]}
        self.assertEqual(entries["sub"], {"path": "sub", "type": "dir", "size": 0})
        self.assertEqual(entries["latest"], {"path": "latest", "type": "symlink", "size": 8, "target": "model.pt"})
        self.assertIs(entries["sub/opt.pt"]["executable"], True)
        self.assertRegex(entries["model.pt"]["digest"], r"^sha256:[0-9a-f]{64}$")
        self.assertIn(escape("sub/deep/x y\n\\z"), entries)
        self.assertIn(r"raw\xff", entries)

    def test_refusals(self):
        os.mkdir(self.exported("plain"))
        for path, status in ((self.exported("plain"), ERROR), (self.export, ERROR), ("/nowhere", ERROR)):
            result = self.ctl("manifest", path, expect=status)
            self.assertIn("sealctl: cannot show the manifest of '%s': " % path, result.err)
            self.assertEqual(result.out, "")
        with open(self.exported("t4/.seal/manifest"), "a") as file:
            file.write("x")
        result = self.ctl("manifest", self.exported("t4"), expect=MISMATCH)
        self.assertIn("the manifest does not match the root digest", result.err)
        self.assertEqual(result.out, "")
        for arguments in ([], ["a", "b"], ["--json", "--fsverity", "a"], ["--nonsense", "a"]):
            self.ctl("manifest", *arguments, expect=USAGE)


class Related(SealfsTest):
    """Exports with checkpoints that list parents: made with the seal library, as a mount would that saw what was read."""

    def setUp(self):
        super().setUp()
        self.ctl("init", "--depth", "2", self.export, uid=self.mode.owner)

    def make(self, *words):
        """[-t TRIAL] [-p PARENT]... PATH"""
        for path in words:
            os.makedirs(os.path.dirname(os.path.join(self.export, path)), exist_ok=True)
        self.give(self.export)
        result = self.run_program([os.path.join(os.path.dirname(self.sealctl_path), "seal_with_parents"), self.export, *words])
        self.assertEqual(result.status, 0, result)

    def family(self):
        """r/a; r/b of a; r/c of a; r/d of b and c; r/e alone."""
        self.make("-t", "first", "r/a", "-p", "r/a", "r/b", "-p", "r/a", "r/c", "-p", "r/b", "-p", "r/c", "-t", "NNI 4", "r/d", "r/e")

    def remake(self, name, trial="again"):
        self.ctl("rm", self.exported(name))
        self.make("-t", trial, name)

    def nodes(self, *arguments, expect=GOOD):
        whole = json.loads(self.ctl("lineage", "--json", *arguments, expect=expect).out)
        return {(node["path"], node["state"]): node for node in whole["nodes"]}


@in_modes(DAEMON, USER)
class Lineage(Related):
    def shape(self, result):
        """Without what stands behind the state."""
        return [re.sub(r"^(\W*\S+  [a-z ]+?)(  .*)?$", r"\1", line) for line in result.out.splitlines()]

    def test_ancestors(self):
        self.family()
        result = self.ctl("lineage", self.exported("r/d"))
        self.assertEqual(self.shape(result), ["ancestors in '%s':" % self.export, "r/d  sealed", "├─ r/b  sealed", "│  └─ r/a  sealed", "└─ r/c  sealed",
                                              "   └─ r/a  (see above)"])
        self.assertRegex(result.out, r"(?m)^r/d  sealed  sha256:[0-9a-f]{12}…  NNI 4 on \S+, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, \d+ bytes$")
        self.assertEqual(result.err, "")

    def test_forest_with_all_states(self):
        self.family()
        self.reserve(self.exported("r/p"))
        os.mkdir(self.exported("r/plain"))
        result = self.ctl("lineage", self.export)
        self.assertEqual(self.shape(result), ["lineage of '%s':" % self.export, "r/a  sealed", "├─ r/b  sealed", "│  └─ r/d  sealed", "└─ r/c  sealed",
                                              "   └─ r/d  (see above)", "r/e  sealed", "r/p  pending"])

    def test_through_a_mount(self):
        self.family()
        self.mount()
        self.assertIn("ancestors in '%s':" % self.point, self.ctl("lineage", self.point + "/r/d").out)
        self.assertIn("r/e  sealed", self.ctl("lineage", self.point).out)
        self.assertIn("r/e  sealed", self.ctl("lineage", self.point + "/r").out)

    def test_replaced_parent(self):
        self.family()
        was = self.status(self.exported("r/b"))["root"]
        self.remake("r/b")
        now = self.status(self.exported("r/b"))["root"]
        result = self.ctl("lineage", self.exported("r/d"), expect=MISMATCH)
        self.assertIn("├─ r/b  replaced since  %s…  (now %s…)\n" % (was[:19], now[:19]), result.out)
        self.assertIn("1 listed parent was replaced since", result.err)
        nodes = self.nodes(self.export, expect=MISMATCH)
        listed = nodes["r/b", "replaced"]
        self.assertEqual((listed["root"], listed["now"], listed["now_root"]), (was, "sealed", now))
        self.assertEqual(nodes["r/b", "sealed"]["root"], now)
        self.assertEqual([(parent["path"], parent["standing"]) for parent in nodes["r/d", "sealed"]["parents"]], [("r/b", "replaced"), ("r/c", "good")])
        # the same content again is the same parent
        self.ctl("rm", self.exported("r/b"))
        self.make("-t", "t", "r/b")
        self.ctl("lineage", self.exported("r/d"))

    def test_parent_that_is_gone_or_not_sealed(self):
        self.family()
        self.ctl("rm", self.exported("r/b"), self.exported("r/c"))
        self.reserve(self.exported("r/c"))
        result = self.ctl("lineage", self.exported("r/d"))
        self.assertEqual(self.shape(result)[1:], ["r/d  sealed", "├─ r/b  gone", "└─ r/c  not sealed"])
        self.assertIn("  (now pending)", result.out)
        nodes = self.nodes(self.export)
        self.assertEqual({key for key in nodes}, {("r/a", "sealed"), ("r/d", "sealed"), ("r/e", "sealed"), ("r/c", "pending"), ("r/b", "gone"), ("r/c", "not-sealed")})

    def test_damaged_seal(self):
        self.family()
        with open(self.exported("r/b/.seal/manifest"), "a") as file:
            file.write("x")
        result = self.ctl("lineage", self.export, expect=MISMATCH)
        self.assertRegex(result.out, r"r/b  damaged  sha256:\w+…  the manifest does not match the root digest")
        self.assertIn("1 checkpoint is damaged", result.err)

    def test_copies(self):
        self.family()
        for name in ("a", "b", "d"):
            shutil.copytree(self.exported("r", name), os.path.join(self.tmp, "copies", "my-" + name), symlinks=True)
        result = self.ctl("lineage", self.tmp + "/copies")
        self.assertEqual(self.shape(result), ["lineage of '%s/copies':" % self.tmp, "my-a  sealed", "└─ my-b  sealed", "   └─ my-d  sealed", "r/c  elsewhere",
                                              "└─ my-d  (see above)"])
        self.assertEqual(self.shape(self.ctl("lineage", self.tmp + "/copies/my-b"))[1:], ["my-b  sealed", "└─ r/a  elsewhere"])

    def test_dot(self):
        self.family()
        text = self.ctl("lineage", "--dot", self.export).out
        self.assertEqual(len(re.findall(r"(?m)^\tn\d+ \[label=", text)), 5)
        self.assertEqual(len(re.findall(r"(?m)^\tn\d+ -> n\d+", text)), 4)
        if shutil.which("dot"):
            result = self.run_program(["dot", "-Tsvg"], input=text.encode())
            self.assertEqual(result.status, 0, result)

    def test_usage_and_errors(self):
        for arguments in ([], ["--json", "--dot", "x"], ["--html"], ["--html", "x"], ["--nonsense", "x"]):
            self.ctl("lineage", *arguments, expect=USAGE)
        for path in ("/nowhere", self.exported("r/none"), self.tmp):
            result = self.ctl("lineage", path, expect=ERROR)
            self.assertIn("cannot show the lineage of '%s': " % path, result.err)

    def test_page_is_written_whole_or_not_at_all(self):
        self.family()
        page = self.tmp + "/page.html"
        self.ctl("lineage", "--html", page, self.export)
        with open(page) as file:
            first = file.read()
        self.assertTrue(first.startswith("<!DOCTYPE html>") and first.endswith("</html>\n"))
        self.assertEqual(oct(os.stat(page).st_mode & 0o777), "0o644")
        self.ctl("lineage", "--html", page, "/nowhere", expect=ERROR)
        with open(page) as file:
            self.assertEqual(file.read(), first)
        os.symlink(page, self.tmp + "/link.html")
        self.make("r/new")
        self.ctl("lineage", "--html", self.tmp + "/link.html", self.export)
        self.assertTrue(os.path.islink(self.tmp + "/link.html"))
        with open(page) as file:
            self.assertIn("r/new", file.read())
        for place in ("/dev/null", self.tmp, self.tmp + "/none/page.html"):
            result = self.ctl("lineage", "--html", place, self.export, expect=ERROR)
            self.assertIn("cannot write '%s': " % place, result.err)
        self.assertEqual(sorted(name for name in os.listdir(self.tmp) if "page" in name), ["page.html"])

    def test_page_needs_nothing_else(self):
        self.family()
        self.ctl("lineage", "--html", self.tmp + "/page.html", self.export)
        with open(self.tmp + "/page.html") as file:
            text = file.read()
        self.assertEqual(re.findall(r"(?:https?:|//)[\w.]", text), [])
        self.assertNotRegex(text, r"(?:src|href)=")


@in_modes(DAEMON)
class Browser(Related):
    """The page in Chromium."""

    def setUp(self):
        super().setUp()
        if not shutil.which("chromium"):
            self.skipTest("no chromium")

    def after(self, script, *paths, expect=GOOD):
        """The document when the page was loaded and this script ran."""
        page = self.tmp + "/page.html"
        self.ctl("lineage", "--html", page, *(paths or [self.export]), expect=expect)
        with open(page) as file:
            text = file.read()
        with open(page, "w") as file:
            file.write(text.replace("</body>", "<script>window.addEventListener('load', () => {%s});</script></body>" % script))
        result = self.run_program(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + self.tmp + "/profile",
                                   "--virtual-time-budget=2000", "--dump-dom", "file://" + page], patience=3 * PATIENCE)
        self.assertEqual(result.status, 0, result)
        self.assertIn("</html>", result.out, result)
        return result.out

    def panel(self, document):
        return re.search(r'(?s)<aside id="panel".*?</aside>', document).group(0)

    def test_click_shows_root_digest_and_manifest(self):
        self.family()
        root = self.status(self.exported("r/d"))["root"]
        panel = self.panel(self.after("document.querySelector('[data-id=\"3\"]').dispatchEvent(new MouseEvent('click', {bubbles: true}))"))
        self.assertIn(root, panel)
        self.assertIn("<h2>r/d</h2>", panel)
        with open(self.exported("r/d/.seal/manifest")) as file:
            self.assertIn(file.read(), panel)
        self.assertIn("Parents", panel)

    def test_keys(self):
        self.family()
        press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: '%s', bubbles: true}));"
        document = self.after("document.querySelector('.node[tabindex=\"0\"]').focus();" + press % "Enter" + press % "ArrowRight" + press % "ArrowDown" + press % "ArrowRight")
        self.assertIn("<h2>r/d</h2>", self.panel(document))
        document = self.after("document.querySelector('.node[tabindex=\"0\"]').focus();" + press % "Enter" + press % "Escape")
        self.assertNotIn("<h2>", self.panel(document))
        self.assertNotRegex(document, r'class="[^"]*\bdim\b')

    def test_long_manifest_is_cut(self):
        os.makedirs(self.exported("r/many"))
        for number in range(1200):
            with open(self.exported("r/many/f%04d" % number), "w"):
                pass
        self.give(self.exported("r"))
        self.ctl("seal", self.exported("r/many"))
        panel = self.panel(self.after("document.querySelector('.node').dispatchEvent(new MouseEvent('click', {bubbles: true}))"))
        self.assertIn("Manifest, the first 1000 of 1201 lines", panel)
        self.assertIn("f0998\n", panel)
        self.assertNotIn("f0999", panel)

    def test_hostile_names(self):
        hostile = ["</script><img src=x onerror=document.title=1>", "r/\"'><svg onload=document.title=1>", "r/a\nb\xe2\x80\xae", "r/{{x}}&lt;"]
        for name in hostile:
            self.make("-t", "</script><b>" + name, name)
        os.makedirs(self.exported("r/files/<"))
        with open(self.exported("r/files/</script><script>document.title=1"), "w"):
            pass
        with open(os.fsencode(self.exported("r/files")) + b"/\xff", "w"):
            pass
        self.give(self.exported("r"))
        self.ctl("seal", self.exported("r/files"))
        click = "for (const node of document.querySelectorAll('.node')) { node.dispatchEvent(new MouseEvent('click', {bubbles: true})); document.title += '|' + document.querySelector('#panel h2').textContent; }"
        document = self.after(click)
        title = re.search(r"(?s)<title>(.*?)</title>", document).group(1)
        shown = [part.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for part in title.split("|")[1:]]
        self.assertEqual(sorted(shown), sorted([escape(name) for name in hostile] + ["r/files"]))
        self.assertNotIn("<img", document)


@in_modes(USER)
class Terminal(Sealed):
    def start(self, *arguments):
        """sealctl with a terminal for its standard error, which is read by the caller."""
        self.need_terminal()
        master, slave = pty.openpty()
        process = subprocess.Popen([self.sealctl_path, "verify", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
                                   env=environment(), start_new_session=True, restore_signals=True)
        os.close(slave)
        return process, master

    def make_large(self, size):
        with open(self.exported("large"), "wb") as file:
            file.truncate(size)
        self.ctl("seal", self.exported("large"))

    def test_progress_and_interrupt(self):
        self.make_large(3 << 30)
        process, master = self.start(self.exported("large"))
        shown = os.read(master, 65536)
        self.assertRegex(shown.decode(), r"verifying +\d+%, [\d.]+ \w+ of 3\.2 GB")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        self.assertEqual(process.returncode, -signal.SIGINT)
        self.assertLess(time.monotonic() - began, 2)
        rest = os.read(master, 65536).decode()
        self.assertIn("interrupted", rest.split("\r\x1b[K")[-1])
        self.assertEqual(process.stdout.read(), b"")
        process.stdout.close()
        os.close(master)

    def test_without_terminal_nothing_is_drawn(self):
        self.make_large(256 << 20)
        self.assertEqual(self.ctl("verify", self.exported("large")).err, "")


if __name__ == "__main__":
    main()
