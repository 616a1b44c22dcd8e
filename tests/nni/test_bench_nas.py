#!/usr/bin/python3
# time limit: 300
"""make bench-nas: the morphisms preserve what they must, and the searches are what the table says."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))

from harness import BUILD, DAEMON, PYTHON, SLOWNESS, SealfsTest, TOP, in_modes, main  # noqa: E402

MORPHISMS = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from nas_train import grow, linear_layers, network
torch.manual_seed(1)
images = torch.rand(200, 64)

def distance(before, after):
    model = network(before)
    outputs = model(images)
    child = grow(model, after)
    assert [layer.out_features for layer in linear_layers(child)] == after + [10], child
    return ((child(images) - outputs).norm() / outputs.norm()).item()

for before, after in (([8], [8]), ([8], [128]), ([8], [8, 8]), ([16], [64, 128, 32]), ([8, 32, 16], [16, 64, 64, 128])):
    assert distance(before, after) < 1e-3, (before, after, distance(before, after))
for before, after in (([128], [8]), ([128, 64], [64]), ([32, 32, 32, 32], [16, 8]), ([8, 128], [64, 16, 32])):
    assert distance(before, after) > 1e-3, (before, after)
# the new units part when they are trained
child = grow(network([8]), [16])
child(images).square().sum().backward()
heard = linear_layers(child)[1].weight.grad.T.tolist()
assert len({tuple(column) for column in heard if any(column)}) > 12, heard
print("preserved")
"""


@in_modes(DAEMON)
class Nas(SealfsTest):
    def setUp(self):
        super().setUp()
        if self.run_program([PYTHON, "-c", "import torch, sklearn"], patience=120 * SLOWNESS).status:
            self.skipTest("%s has no torch or no sklearn" % PYTHON)

    def test_wider_and_deeper_networks_compute_the_same(self):
        result = self.run_program([PYTHON, "-c", MORPHISMS, os.path.join(TOP, "tests/bench")], patience=120 * SLOWNESS)
        self.assertEqual((result.status, result.out), (0, "preserved\n"), result)

    def test_small_search(self):
        out = self.tmp + "/out.json"
        result = self.run_program([PYTHON, os.path.join(TOP, "tests/bench/nas"), "--trials", "6", "--steps", "40", "--seeds", "1", "--full",
                                   "--dir", self.tmp, "--json", out], patience=270 * SLOWNESS, env={"BUILD": BUILD, "SEALFS_TEST_SLOWNESS": str(SLOWNESS)})
        self.assertEqual(result.status, 0, result)
        print(result.out)
        with open(out) as file:
            row = json.load(file)["rows"][0]
        self.assertGreater(row["morphism"]["best"], row["target"])
        self.assertGreater(row["target"], 0.2)
        self.assertLessEqual(row["morphism"]["trials"], 6)
        self.assertEqual(os.listdir(self.tmp), ["out.json"])


if __name__ == "__main__":
    main()
