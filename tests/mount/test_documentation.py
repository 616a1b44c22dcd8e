#!/usr/bin/python3
"""What the programs know, what they say with --help, and what the manual says are the same: options, sub-commands, errors."""

import glob
import os
import re
import shutil
import subprocess
import unittest

from harness import TOP, environment, main, program

# What libfuse and mount(8) understand, so that it stands in no table of ours.
FUSE_OPTIONS = {"allow_other", "ro", "rw", "debug", "fsname", "default_permissions", "subtype", "max_read", "auto_unmount", "allow_root", "noatime", "nosuid", "nodev",
                "noexec", "max_threads", "nodiratime", "sync", "dirsync"}


def source(pattern):
    text = {}
    for path in sorted(glob.glob(os.path.join(TOP, pattern))):
        with open(path) as file:
            text[os.path.basename(path)] = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    return text


def tables(text, kind):
    """The bodies of the arrays of this structure."""
    return re.findall(r"struct %s\s+\w+\[\]\s*=\s*\{(.*?)\};" % kind, text, re.S)


def run(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60, check=False,
                          env=environment(extra={"MANWIDTH": "200", "MANPAGER": "cat"}))


def help_text(*argv):
    result = run(*argv)
    assert result.returncode == 0, (argv, result)
    return result.stdout.decode()


class Manual(unittest.TestCase):
    pages = {}

    def manual(self, name):
        """The page as it is read, without formatting."""
        if not shutil.which("man"):
            self.skipTest("no man")
        if name not in self.pages:
            result = run("man", "-l", os.path.join(TOP, "man", name))
            self.assertEqual(result.returncode, 0, result)
            self.pages[name] = re.sub(".\b", "", result.stdout.decode())
        return self.pages[name]


class Sealfs(Manual):
    def setUp(self):
        self.sealfs = program("sealfs")
        self.help = help_text(self.sealfs, "--help")

    def known(self, ignored=False):
        """{flags} and {mount options} of the source's tables, with those that are merely let pass only if asked."""
        flags, options = set(), set()
        for text in source("fs/mount/*.c").values():
            for body in tables(text, "fuse_opt"):
                for name, rest in re.findall(r'"([^"]+)"([^\n]*)', body):
                    if "IGNORE" in rest and not ignored or name == "rw":
                        continue
                    (flags if name.startswith("-") else options).add(re.split("[= %]", name)[0])
        self.assertTrue(flags and options, "no tables found")
        return flags, options

    def test_every_option_of_the_source_is_in_help_and_manual(self):
        flags, options = self.known()
        manual = self.manual("sealfs.8")
        for name in sorted(flags | options):
            with self.subTest(name):
                word = r"(?<![\w-])%s(?![\w-])" % re.escape(name)
                self.assertRegex(self.help, word, "not in --help")
                self.assertRegex(manual, word, "not in sealfs(8)")

    def test_every_option_of_help_is_in_source_and_manual(self):
        flags, options = self.known()
        manual = self.manual("sealfs.8")
        told = re.findall(r"(?m)^\s+(-\w|--[\w-]+)", self.help) + re.findall(r", (--[\w-]+)", self.help)
        told += [name for name in re.findall(r"(?m)^\s+([a-z_]+)(?:=\S+)?  ", self.help)]
        for name in told:
            with self.subTest(name):
                self.assertIn(name, flags | options | FUSE_OPTIONS | {"-o"}, "no such option")
                self.assertRegex(manual, r"(?<![\w-])%s(?![\w-])" % re.escape(name), "not in sealfs(8)")

    def test_every_option_of_the_manual_is_one(self):
        flags, options = self.known(ignored=True)
        manual = self.manual("sealfs.8")
        section = re.search(r"(?ms)^OPTIONS\n(.*?)^\S", manual).group(1)
        tagged = [word for line in re.findall(r"(?m)^ {7}(-.*)$", section) for word in re.findall(r"(?:^|, )(--?[\w-]+)", line)]
        tagged += [name for name in re.findall(r"(?m)^ {14}([a-z_]+)(?:=\S*)?(?:, .*)?$", section)]
        self.assertGreater(len(tagged), 8, "the section was not understood")
        for name in tagged:
            with self.subTest(name):
                self.assertIn(name, flags | options | FUSE_OPTIONS | {"-o"})

    def test_synopsis_and_files_and_errors(self):
        manual = self.manual("sealfs.8")
        for word in ("EOWNERDEAD", "EBADMSG", "EROFS", "EBUSY", "ETIMEDOUT", "EAGAIN", "EDEADLK", "EINTR", "Owner died", "sealctl", "fusermount3"):
            self.assertIn(word, manual)


class Sealctl(Manual):
    name = "sealctl"
    wanted = {"init", "run", "reserve", "seal", "abandon", "wait", "status", "rm", "doctor"}
    statuses = range(6)

    def setUp(self):
        self.program = program(self.name)
        self.help = help_text(self.program, "--help")
        self.source = source("tools/%s/*.c" % self.name)

    def commands(self):
        names = re.findall(r"(?m)^  ([a-z]+)  ", self.help)
        self.assertGreater(len(names), 5)
        return names

    def options_of(self, command):
        """Long options of the tables in the command's own file, and of the shared one where it has no table."""
        text = self.source["cmd_%s.c" % command]
        bodies = tables(text, "option")
        if not bodies:
            bodies = tables(source("tools/sealctl/report.c")["report.c"], "option")
        return set(re.findall(r'\{\s*"([\w-]+)"', " ".join(bodies)))

    def test_every_command_of_the_source_is_in_help_and_the_other_way_round(self):
        files = {re.fullmatch(r"cmd_(\w+)\.c", name).group(1) for name in self.source if name.startswith("cmd_")}
        self.assertEqual(files, set(self.commands()))

    def test_commands_of_the_issue_are_there(self):
        self.assertLessEqual(self.wanted, set(self.commands()))

    def test_every_command_is_in_the_manual(self):
        manual = self.manual(self.name + ".1")
        for command in self.commands():
            with self.subTest(command):
                self.assertRegex(manual, r"(?m)^\s+%s %s\b" % (self.name, command))

    def test_every_command_of_the_manual_is_one(self):
        for command in re.findall(r"(?m)^ {5,7}%s ([a-z]+) (?:\[|[A-Z])" % self.name, self.manual(self.name + ".1")):
            with self.subTest(command):
                self.assertIn(command, self.commands())

    def test_every_option_of_a_command_is_in_its_help_and_the_other_way_round(self):
        for command in self.commands():
            with self.subTest(command):
                text = help_text(self.program, command, "--help")
                told = set(re.findall(r"(?<![\w-])--([a-z][\w-]*)", text))
                self.assertEqual(told, self.options_of(command))

    def sections(self):
        """{command: its part of the manual}"""
        manual = self.manual(self.name + ".1")
        starts = [(match.start(), match.group(1)) for match in re.finditer(r"(?m)^ {5,7}%s ([a-z]+)\b" % self.name, manual)]
        parts = {}
        for (start, name), (end, _) in zip(starts, starts[1:] + [(len(manual), "")]):
            parts[name] = parts.get(name, "") + manual[start:end]
        return parts

    def test_every_option_of_a_command_is_in_its_part_of_the_manual(self):
        parts = self.sections()
        for command in self.commands():
            for option in self.options_of(command) - {"help"}:
                with self.subTest(command=command, option=option):
                    self.assertRegex(parts[command], r"--%s(?![\w-])" % option)

    def test_every_option_of_the_manual_is_one(self):
        everything = {option for command in self.commands() for option in self.options_of(command)} | {"help", "version"}
        for option in re.findall(r"(?m)^ {7,}(?:-\w, )?--([a-z][\w-]*)", self.manual(self.name + ".1")):
            with self.subTest(option):
                self.assertIn(option, everything)

    def test_exit_statuses_are_in_the_manual(self):
        section = re.search(r"(?ms)^EXIT STATUS\n(.*?)^\S", self.manual(self.name + ".1")).group(1)
        for status in self.statuses:
            self.assertRegex(section, r"(?m)^\s+%d\b" % status)


class Sealtuner(Sealctl):
    name = "sealtuner"
    wanted = {"init", "ask", "tell", "import", "run", "status", "best", "lineage"}
    statuses = range(4)


class Pages(Manual):
    def test_all_are_there_and_clean(self):
        if not shutil.which("man"):
            self.skipTest("no man")
        for name in ("sealfs.8", "sealctl.1", "sealtuner.1", "sealfs.5"):
            with self.subTest(name):
                result = run("man", "-l", "--warnings", os.path.join(TOP, "man", name))
                self.assertEqual((result.returncode, result.stderr.decode()), (0, ""))
                self.assertRegex(result.stdout.decode(), r"(?m)^NAME$")

    def test_references_lead_somewhere(self):
        pages = {os.path.basename(path) for path in glob.glob(os.path.join(TOP, "man", "*.[1-9]"))}
        for page in sorted(pages):
            for name, section in re.findall(r"\b(seal\w+)\((\d)\)", self.manual(page)):
                with self.subTest(page, to=name):
                    self.assertIn("%s.%s" % (name, section), pages)

    def test_format_is_described(self):
        manual = self.manual("sealfs.5")
        for word in (".sealfs/config", "version", "depth", "live", "trial_env", ".sealfs/state", "manifest", "sealfs manifest 1", "sealfs claim 1", "sealfs seal 1", "sha256", "lock"):
            with self.subTest(word):
                self.assertIn(word, manual)


if __name__ == "__main__":
    main()
