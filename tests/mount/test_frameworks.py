#!/usr/bin/python3
# time limit: 300
"""The libraries that trials really use, unmodified: PyTorch, NumPy, h5py."""

import os
import subprocess

from harness import ALL_MODES, DAEMON, PYTHON, ROOT, SealfsTest, all_parked, environment, in_modes, main, until


def has(module):
    return subprocess.run([PYTHON, "-c", "import " + module], stderr=subprocess.DEVNULL, env=environment(), check=False).returncode == 0


class Frameworks(SealfsTest):
    def setUp(self):
        super().setUp()
        self.mount()
        self.path = self.point + "/parent"

    def need(self, module):
        if not has(module):
            self.skipTest("no " + module)

    def check(self, writer, reader, expected):
        """The reader's script is started first and waits; the writer's is run to its end."""
        self.reserve(self.path)
        child = self.python(reader, self.path, trial="child", env={"OMP_NUM_THREADS": "1"})
        child.parked(patience=60)
        self.assertNotIn("seen", child.output())
        parent = self.spawn([self.sealctl_path, "run", "--trial", "parent", "--"] + self.script_argv(writer), env={"OMP_NUM_THREADS": "1"})
        self.assertEqual(parent.wait(90), 0, parent.output())
        self.assertEqual(child.wait(60), 0, child.output())
        self.assertIn("seen " + expected, child.output())

    def script_argv(self, code):
        import inspect
        path = os.path.join(self.tmp, "writer.py")
        with open(path, "w") as file:
            file.write(inspect.cleandoc(code) + "\n")
        return [PYTHON, path, self.path]


@in_modes(*ALL_MODES)
class Numpy(Frameworks):
    WRITER = """
        import os, sys
        import numpy
        os.makedirs(sys.argv[1])
        numpy.save(sys.argv[1] + "/weights.npy", numpy.arange(300_000, dtype="float64").reshape(300, 1000))
        numpy.savez(sys.argv[1] + "/weights.npz", a=numpy.ones(1000), b=numpy.zeros((3, 3)))
        view = numpy.lib.format.open_memmap(sys.argv[1] + "/mapped.npy", mode="w+", dtype="int32", shape=(1000,))
        view[:] = 7
        del view
        """

    def test_load_by_mmap(self):
        self.need("numpy")
        self.check(self.WRITER, """
            import sys
            import numpy
            array = numpy.load(sys.argv[1] + "/weights.npy", mmap_mode="r")
            print("seen", array.shape, float(array.sum()), type(array).__name__)
            """, "(300, 1000) %s memmap" % float(299_999 * 300_000 // 2))

    def test_load(self):
        self.need("numpy")
        self.check(self.WRITER, """
            import sys
            import numpy
            archive = numpy.load(sys.argv[1] + "/weights.npz")
            mapped = numpy.load(sys.argv[1] + "/mapped.npy")
            print("seen", archive["a"].sum(), archive["b"].shape, mapped.sum())
            """, "1000.0 (3, 3) 7000")


@in_modes(*ALL_MODES)
class H5py(Frameworks):
    def test_file_for_reading(self):
        self.need("h5py")
        self.check("""
            import os, sys
            import h5py
            os.makedirs(sys.argv[1])
            with h5py.File(sys.argv[1] + "/model.h5", "w") as file:
                file["layer/kernel"] = [[1.5] * 100] * 200
                file.attrs["epoch"] = 3
            with h5py.File(sys.argv[1] + "/model.h5", "a") as file:
                file["optimizer"] = list(range(5000))
            """, """
            import sys
            import h5py
            with h5py.File(sys.argv[1] + "/model.h5", "r") as file:
                print("seen", file["layer/kernel"].shape, file.attrs["epoch"], file["optimizer"][4999])
            """, "(200, 100) 3 4999")


@in_modes(ROOT, DAEMON)
class Torch(Frameworks):
    def test_save_and_load(self):
        self.need("torch")
        self.check("""
            import os, sys
            import torch
            torch.manual_seed(1)
            model = torch.nn.Linear(500, 200)
            if not os.path.exists(sys.argv[1]):
                os.makedirs(sys.argv[1])
            for epoch in range(3):
                torch.save({"model": model.state_dict(), "epoch": epoch}, sys.argv[1] + "/checkpoint.pt")
            """, """
            import os, sys
            import torch
            assert os.path.isfile(sys.argv[1] + "/checkpoint.pt"), "started from nothing"
            state = torch.load(sys.argv[1] + "/checkpoint.pt")
            torch.manual_seed(1)
            model = torch.nn.Linear(500, 200)
            print("seen", state["epoch"], all(torch.equal(state["model"][name], value) for name, value in model.state_dict().items()))
            """, "2 True")

    def test_load_straight(self):
        """Without any guard: torch.load opens a file that nobody has begun to write."""
        self.need("torch")
        self.check("""
            import os, sys
            import torch
            os.makedirs(sys.argv[1] + "/epoch_5")
            torch.save(torch.arange(1000), sys.argv[1] + "/epoch_5/tensor.pt")
            """, """
            import sys
            import torch
            print("seen", int(torch.load(sys.argv[1] + "/epoch_5/tensor.pt").sum()))
            """, "499500")

    def test_parent_that_dies_in_its_save(self):
        self.need("torch")
        self.reserve(self.path)
        child = self.python("""
            import sys
            import torch
            try:
                torch.load(sys.argv[1] + "/checkpoint.pt")
            except OSError as problem:
                print("told:", problem.strerror)
                sys.exit(7)
            """, self.path, trial="child")
        child.parked(patience=60)
        parent = self.sealctl("run", "--trial", "parent", "--", PYTHON, "-c", """
import os, signal, sys
import torch
os.makedirs(sys.argv[1])
class Bomb:
    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)
torch.save({"weights": torch.zeros(100000), "bomb": Bomb()}, sys.argv[1] + "/checkpoint.pt")
""", self.path, trial=None, patience=90)
        self.assertNotEqual(parent.status, 0)
        self.assertEqual(child.wait(60), 7, child.output())
        self.assertIn("told: Owner died", child.output())


@in_modes(ROOT)
class Tools(SealfsTest):
    """How people move checkpoints about."""

    def test_cp_of_a_checkpoint_waits(self):
        self.mount()
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=self.point + "/p")
        copying = self.spawn(["cp", "-a", self.point + "/p", self.tmp + "/copy"], trial="child")
        all_parked(copying)
        self.assertEqual(os.listdir(self.tmp + "/copy") if os.path.exists(self.tmp + "/copy") else [], [])
        self.ctl("seal", self.point + "/p", trial="parent")
        self.assertEqual(copying.wait(), 0, copying.output())
        until(lambda: os.listdir(self.tmp + "/copy") == ["a"], "the copy")


if __name__ == "__main__":
    main()
