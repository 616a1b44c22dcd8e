#!/usr/bin/python3
# time limit: 180
"""Names with newlines, blanks, 255 bytes and invalid UTF-8, as checkpoints and inside, through everything that handles a name."""

import json
import os

from harness import ALL_MODES, DAEMON, ROOT, USER, SealfsTest, all_parked, escape, in_modes, main

NAMES = {
    "newline": "two\nlines",
    "only_newlines": "\n\n",
    "blanks": " a b\t c ",
    "backslash": "a\\x0ab\\",
    "quotes": "it's \"so\" `x` $HOME",
    "dash": "-rf",
    "double_dash": "--json",
    "colon_and_comma": "a:b,c=d",
    "percent": "%s%n%d",
    "star": "*[a]?{b,c}",
    "control": "\x01\x1b[31m\x7f",
    "utf8": "Überprüfung-模型-🦭",
    "decomposed": "u\u0308",
    "next_line": "a\u0085b\u2028c",
    "invalid_utf8": os.fsdecode(b"\xff\xfe\x80"),
    "half_a_character": os.fsdecode(b"caf\xc3"),
    "overlong": os.fsdecode(b"\xc0\xaf\xe0\x80\xaf"),
    "surrogate": os.fsdecode(b"\xed\xa0\x80"),
    "long": "n" * 255,
    "long_invalid": os.fsdecode(b"\xff" * 255),
    "long_newlines": "\n" * 255,
    "almost_too_long_for_a_sidecar": "s" * 250,
    "dots": "...",
    "hidden": ".hidden",
    "seal_within": "model.seal",
    "temporary": ".tmp.0123456789abcdef0123456789abcdef",
    "number": "1.end",
    "lock": "lock",
}


def shown(name):
    return ascii(name)[:60]


@in_modes(*ALL_MODES)
class Checkpoints(SealfsTest):
    def test_directories(self):
        """Every odd name as a checkpoint, with every odd name in it."""
        mount = self.mount()
        parent, child = self.agent("parent"), self.agent("child")
        for kind, name in NAMES.items():
            with self.subTest(kind):
                path = os.path.join(self.point, name)
                self.reserve_dashed(path)
                other = self.agent("child")
                waiting = other.start("sorted(os.listdir(d))", d=path).parked()
                entry = self.status_dashed(path)
                self.assertEqual((entry["path"], entry["state"], entry["writer"]), (escape(name), "pending", "parent"))
                self.assertEqual([waiter["pid"] for waiter in entry["waiters"]], [other.pid])
                parent("""
                    os.mkdir(d)
                    for name in names:
                        open(d + '/' + name, 'w').write(name.encode('utf-8', 'surrogateescape').hex())
                    os.mkdir(d + '/dir')
                    os.symlink(names[0], d + '/dir/' + names[-1])
                    """, d=path, names=[name, *list(NAMES.values())[:3]] if kind not in list(NAMES)[:3] else list(NAMES.values()))
                self.assertEqual(self.sealctl("seal", "--", path, trial="parent").status, 0)
                self.assertIn("dir", waiting.value())
                other.close()
                self.assertEqual(child("bytes.fromhex(open(d + '/' + n).read())", d=path, n=name), os.fsencode(name))
                self.assertEqual(child.error("open(d + '/' + n)", d=path, n="x" + name[:200]), "ENOENT")
                self.assertEqual(self.status_dashed(path)["state"], "sealed")
        self.assertTrue(mount.process.running())

        with self.subTest("all in one list"):
            listing = json.loads(self.ctl("status", "--json", self.point).out)
            self.assertEqual(sorted(entry["path"] for entry in listing), sorted(escape(name) for name in NAMES.values()))
            plain = self.ctl("status", self.point).out
            self.assertNotIn("\x1b", plain)
        with self.subTest("listing of the mount"):
            self.assertEqual(sorted(child("os.listdir(d)", d=self.point)), sorted(NAMES.values()))
        with self.subTest("manifest"):
            with open(os.path.join(self.export, "two\nlines", ".seal", "manifest"), encoding="utf-8") as file:
                lines = file.read().split("\n")
            paths = [line.split("  ")[2].split(" -> ")[0] for line in lines[1:-1]]
            self.assertEqual(sorted(paths), sorted([escape(name) for name in NAMES.values()] + ["dir", "dir/" + escape("lock")]))
        with self.subTest("log"):
            for line in mount.log().split("\n"):
                self.assertNotRegex(line, r"^lines")
                self.assertNotIn("\x1b", line)

    def reserve_dashed(self, path):
        result = self.sealctl("reserve", "--writer", "parent", "--", path)
        self.assertEqual(result.status, 0, result)

    def status_dashed(self, path):
        result = self.sealctl("status", "--json", "--", path)
        self.assertEqual(result.status, 0, result)
        listing = json.loads(result.out)
        self.assertEqual(len(listing), 1)
        return listing[0]


@in_modes(ROOT, DAEMON)
class Files(SealfsTest):
    def test_checkpoints_of_one_file(self):
        self.mount()
        parent, child = self.agent("parent"), self.agent("child")
        for kind, name in NAMES.items():
            with self.subTest(kind):
                path = os.path.join(self.point, name)
                parent("open(p, 'w').write('x' + str(len(p)))", p=path)
                other = self.agent("child")
                waiting = other.start("open(p).read()", p=path).parked()
                self.assertEqual(self.sealctl("seal", "--", path, trial="parent").status, 0)
                self.assertEqual(waiting.value(), "x%d" % len(path))
                other.close()
        self.assertEqual(sorted(child("os.listdir(d)", d=self.point)), sorted(NAMES.values()))
        for kind, name in NAMES.items():
            with self.subTest(kind, what="rm"):
                result = self.sealctl("rm", "--", os.path.join(self.point, name))
                self.assertEqual(result.status, 0, result)
        self.assertEqual(child("os.listdir(d)", d=self.point), [])
        self.assertEqual([name for name in os.listdir(self.export) if name != ".sealfs"], [])

    def test_names_survive_a_new_mount(self):
        mount = self.mount()
        parent = self.agent("parent")
        for name in NAMES.values():
            parent("os.mkdir(p); open(p + '/a', 'w').write('x')", p=os.path.join(self.point, name))
            self.sealctl("seal", "--", os.path.join(self.point, name), trial="parent")
        mount.unmount()
        self.mount()
        child = self.agent("child")
        for kind, name in NAMES.items():
            with self.subTest(kind):
                self.assertEqual(child("open(p + '/a').read()", p=os.path.join(self.point, name)), "x")
                self.assertEqual(child.error("open(p + '/a', 'w')", p=os.path.join(self.point, name)), "EROFS")

    def test_name_that_is_too_long(self):
        self.mount()
        agent = self.agent("x")
        self.assertEqual(agent.error("os.mkdir(p)", p=self.point + "/" + "n" * 256), "ENAMETOOLONG")
        self.assertEqual(agent.error("os.stat(p)", p=self.point + "/" + "n" * 256), "ENAMETOOLONG")
        self.assertEqual(self.sealctl("reserve", self.point + "/" + "n" * 256).status, 1)

    def test_deep_paths(self):
        """A path inside a checkpoint may be longer than any one system call takes."""
        self.mount()
        parent = self.agent("parent")
        depth = parent("""
            os.mkdir(d)
            os.chdir(d)
            for count in range(30):
                os.mkdir('d' * 200)
                os.chdir('d' * 200)
            open('leaf', 'w').write('deep')
            os.chdir('/')
            result = count + 1
            """, d=self.point + "/parent")
        self.assertEqual(depth, 30)
        self.ctl("seal", self.point + "/parent", trial="parent")
        read = """
            os.chdir(d)
            for count in range(30):
                os.chdir('d' * 200)
            result = open('leaf').read()
            os.chdir('/')
            """
        self.assertEqual(self.agent("child")(read, d=self.point + "/parent"), "deep")

    def test_odd_trial_names(self):
        mount = self.mount()
        for count, trial in enumerate(("two\nlines", "a b", "Ü", os.fsdecode(b"\xff"), "t" * 1000, "-x", "%s%n")):
            with self.subTest(shown(trial)):
                path = self.point + "/c%d" % count
                self.agent(trial)("os.mkdir(p); open(p + '/a', 'w').write('x')", p=path)
                self.assertEqual(self.agent(trial)("open(p + '/a').read()", p=path), "x")
                reading = self.agent("child").start("open(p + '/a').read()", p=path).parked()
                self.assertIn(self.status(path)["writer"], (trial, escape(trial)))
                self.ctl("seal", path, trial=trial)
                self.assertEqual(reading.value(), "x")
        for line in mount.log().split("\n"):
            self.assertNotRegex(line, r"^lines")

    def test_empty_identity_is_none(self):
        self.mount()
        path = self.point + "/p"
        self.agent("")("os.mkdir(p); open(p + '/a', 'w').write('x')", p=path)
        self.agent("").start("open(p + '/a').read()", p=path).parked()


@in_modes(USER)
class Places(SealfsTest):
    def test_export_and_mountpoint_with_odd_names(self):
        for kind in ("newline", "blanks", "backslash", "utf8", "invalid_utf8", "colon_and_comma", "percent"):
            with self.subTest(kind):
                export = self.make_dir("e-" + NAMES[kind], 0o755, self.mode.owner)
                point = self.make_dir("m-" + NAMES[kind], 0o755, self.mode.owner)
                mount = self.mount(export=export, point=point)
                agent = self.agent("parent")
                agent("os.mkdir(d + '/p'); open(d + '/p/a', 'w').write('x')", d=point)
                waiting = self.agent("child").start("open(d + '/p/a').read()", d=point)
                all_parked(waiting)
                self.ctl("seal", point + "/p", trial="parent")
                self.assertEqual(waiting.value(), "x")
                mount.unmount()


if __name__ == "__main__":
    main()
