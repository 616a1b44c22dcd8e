#!/usr/bin/python3
# time limit: 240
"""make bench-handoff measures what it says; how much sooner is the machine's business, that it is sooner is not."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))

from harness import BUILD, DAEMON, PYTHON, SLOWNESS, SealfsTest, TOP, in_modes, main  # noqa: E402


@in_modes(DAEMON)
class Handoff(SealfsTest):
    def test_one_round(self):
        if self.run_program([PYTHON, "-c", "import torch, sklearn"], patience=120 * SLOWNESS).status:
            self.skipTest("%s has no torch or no sklearn" % PYTHON)
        out = self.tmp + "/out.json"
        result = self.run_program([PYTHON, os.path.join(TOP, "tests/bench/handoff"), "--rounds", "1", "--mib", "2", "--dir", self.tmp, "--json", out],
                                  patience=200 * SLOWNESS, env={"BUILD": BUILD, "SEALFS_TEST_SLOWNESS": str(SLOWNESS)})
        self.assertEqual(result.status, 0, result)
        print(result.out)
        with open(out) as file:
            report = json.load(file)
        self.assertEqual({name: len(several) for name, several in report["seconds"].items()}, {"end": 1, "script": 1, "save": 1, "launch": 1, "after": 1})
        # `end` waits until the parent's process is gone, which on a loaded machine takes as long as to start a child
        self.assertEqual(set(report["ratios"]), {"end", "script", "save"})
        self.assertGreater(min(ratio for name in ("script", "save") for ratio in report["ratios"][name].values()), 1)
        self.assertLess(report["gone"][0], report["seconds"]["end"][0])
        self.assertGreater(report["gone"][0], 0)
        self.assertEqual(os.listdir(self.tmp), ["out.json"])


if __name__ == "__main__":
    main()
