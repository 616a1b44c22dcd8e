#!/usr/bin/python3
# time limit: 240
"""How savers really write. Each is replayed step by step while readers wait; they see the final state and nothing before."""

import os

from harness import ALL_MODES, DAEMON, ROOT, SealfsTest, all_parked, in_modes, kernel_tells_exit_status, main, pattern, snapshot

# name: (the steps in which the parent saves into directory d, a file that a reader opens).
# Steps share their variables. They run on a bare directory as well: what is there in the end is what the reader is to see.
PATTERNS = {
    "rewrite_in_place_every_epoch": ([
        "os.makedirs(d)",
        "open(d + '/model.pt', 'wb').write(pattern(100_000, 1))",
        "open(d + '/model.pt', 'wb').write(pattern(250_000, 2))",
        "open(d + '/model.pt', 'wb').write(pattern(50_000, 3))",
        "file = open(d + '/model.pt', 'r+b'); file.seek(49_000); file.write(b'central directory' * 100); file.close()",
    ], "model.pt"),
    "temporary_and_rename": ([
        "os.makedirs(d)",
        "open(d + '/model.pt.tmp', 'wb').write(pattern(100_000, 1))",
        "os.rename(d + '/model.pt.tmp', d + '/model.pt')",
        "open(d + '/model.pt.tmp', 'wb').write(pattern(120_000, 2))",
        "os.replace(d + '/model.pt.tmp', d + '/model.pt')",
    ], "model.pt"),
    "tensorflow_saver_with_meta_after_checkpoint": ([
        "os.makedirs(d)",
        """
        def save(step):
            open(f'{d}/model-{step}.data-00000-of-00001.tempstate', 'wb').write(pattern(80_000, step))
            os.rename(f'{d}/model-{step}.data-00000-of-00001.tempstate', f'{d}/model-{step}.data-00000-of-00001')
            open(f'{d}/model-{step}.index', 'wb').write(pattern(900, step))
            open(d + '/checkpoint.tmp', 'w').write('model_checkpoint_path: "model-%d"' % step)
            os.rename(d + '/checkpoint.tmp', d + '/checkpoint')

        def meta(step):
            open(f'{d}/model-{step}.meta', 'wb').write(pattern(30_000, step))

        def drop(step):
            for suffix in ('data-00000-of-00001', 'index', 'meta'):
                os.remove(f'{d}/model-{step}.{suffix}')
        """,
        "save(1)", "meta(1)", "save(2)", "meta(2)", "drop(1)", "save(3)", "meta(3)", "drop(2)",
    ], "model-3.meta"),
    "distributed_shards_with_metadata_last": ([
        "os.makedirs(d)",
        "open(d + '/__0_0.distcp', 'wb').write(pattern(70_000, 1))",
        # another rank, a process of the same trial
        "subprocess.run(['/bin/sh', '-c', 'head -c 65536 /dev/zero >\"$1/__1_0.distcp\"', 'sh', d], check=True)",
        "file = open(d + '/.metadata.tmp', 'wb'); file.write(b'shards'); file.flush(); os.fsync(file.fileno()); file.close()",
        "os.rename(d + '/.metadata.tmp', d + '/.metadata')",
        "fd = os.open(d, os.O_RDONLY); os.fsync(fd); os.close(fd)",
    ], ".metadata"),
    "renamed_directory": ([
        "os.makedirs(d + '/step_10.orbax-checkpoint-tmp-17/params/layer0')",
        "open(d + '/step_10.orbax-checkpoint-tmp-17/params/layer0/0.0', 'wb').write(pattern(40_000, 1))",
        "open(d + '/step_10.orbax-checkpoint-tmp-17/_METADATA', 'w').write('{}')",
        "os.rename(d + '/step_10.orbax-checkpoint-tmp-17', d + '/step_10')",
    ], "step_10/params/layer0/0.0"),
    "sized_ahead_written_and_renamed": ([
        "os.makedirs(d)",
        "fd = os.open(d + '/.tmpAb12', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)",
        "os.ftruncate(fd, 300_000)",
        "os.pwrite(fd, pattern(200_000, 1), 100_000)",
        "os.pwrite(fd, pattern(100_000, 2), 0)",
        "os.close(fd); os.rename(d + '/.tmpAb12', d + '/model.safetensors')",
    ], "model.safetensors"),
    "sized_ahead_and_written_by_mmap": ([
        "os.makedirs(d)",
        "fd = os.open(d + '/arrays.bin', os.O_RDWR | os.O_CREAT, 0o644); os.ftruncate(fd, 200_000)",
        "import mmap; view = mmap.mmap(fd, 200_000); os.close(fd)",
        "view[:100_000] = pattern(100_000, 1)",
        "view[100_000:] = pattern(100_000, 2); view.flush(); view.close()",
    ], "arrays.bin"),
    "symlink_to_the_last": ([
        "os.makedirs(d)",
        "open(d + '/epoch=1.ckpt', 'wb').write(pattern(1_000, 1)); os.symlink('epoch=1.ckpt', d + '/last.ckpt')",
        "open(d + '/epoch=2.ckpt', 'wb').write(pattern(2_000, 2))",
        "os.remove(d + '/last.ckpt'); os.symlink('epoch=2.ckpt', d + '/last.ckpt')",
        "os.symlink('epoch=2.ckpt', d + '/last.new'); os.replace(d + '/last.new', d + '/last.ckpt')",
        "os.remove(d + '/epoch=1.ckpt')",
    ], "last.ckpt"),
    "bare_makedirs_of_a_directory_below": ([
        "os.makedirs(d + '/ckpts/best')",
        "open(d + '/ckpts/best/model.pt', 'wb').write(pattern(10_000, 1))",
    ], "ckpts/best/model.pt"),
    "makedirs_unless_it_exists": ([
        "if not os.path.exists(d): os.makedirs(d)",
        "open(d + '/model.pt', 'wb').write(pattern(10_000, 1))",
        "if not os.path.exists(d): os.makedirs(d)",
        "open(d + '/model.pt', 'wb').write(pattern(11_000, 2))",
    ], "model.pt"),
    "guard_by_isfile_and_resume": ([
        "os.path.isfile(d + '/model.pt') and 1 / 0",
        "os.makedirs(d, exist_ok=True); open(d + '/model.pt', 'wb').write(pattern(10_000, 1))",
        "data = open(d + '/model.pt', 'rb').read(); open(d + '/model.pt', 'wb').write(data[::-1])",
        "assert os.path.isfile(d + '/model.pt') and os.listdir(d) == ['model.pt']",
    ], "model.pt"),
    "best_as_hard_link": ([
        "os.makedirs(d)",
        "open(d + '/epoch1.pt', 'wb').write(pattern(10_000, 1)); os.link(d + '/epoch1.pt', d + '/best.pt')",
        "open(d + '/epoch2.pt', 'wb').write(pattern(10_000, 2)); os.remove(d + '/best.pt'); os.link(d + '/epoch2.pt', d + '/best.pt')",
        "os.remove(d + '/epoch1.pt')",
    ], "best.pt"),
    "old_output_removed_first": ([
        "os.makedirs(d + '/checkpoint-500'); open(d + '/checkpoint-500/w', 'wb').write(pattern(5_000, 1))",
        "shutil.rmtree(d)",
        "assert not os.path.exists(d)",
        "os.makedirs(d + '/checkpoint-1000'); open(d + '/checkpoint-1000/w', 'wb').write(pattern(5_000, 2))",
    ], "checkpoint-1000/w"),
    "moved_from_elsewhere": ([
        "os.makedirs(d)",
        "source = os.path.join(scratch, 'elsewhere-%d' % os.getpid()); open(source, 'wb').write(pattern(100_000, 1)); os.chmod(source, 0o640)",
        "shutil.move(source, d + '/epoch=1.ckpt')",
    ], "epoch=1.ckpt"),
    "copied_tree": ([
        "source = os.path.join(scratch, 'tree-%d' % os.getpid()); os.makedirs(source + '/a/b')",
        "open(source + '/a/b/c', 'wb').write(pattern(100_000, 1)); os.symlink('b/c', source + '/a/link')",
        "shutil.copytree(source, d, symlinks=True)",
    ], "a/link"),
    "exchange_of_two_directories": ([
        "os.makedirs(d + '/current'); open(d + '/current/w', 'wb').write(pattern(5_000, 1))",
        "os.makedirs(d + '/next'); open(d + '/next/w', 'wb').write(pattern(6_000, 2))",
        "assert raw('renameat2', -100, d + '/current', -100, d + '/next', 2) == 0",
        "shutil.rmtree(d + '/next')",
    ], "current/w"),
    "log_that_grows": ([
        "os.makedirs(d); log = open(d + '/train.log', 'a', buffering=1)",
        "log.write('epoch 1\\n')",
        "open(d + '/train.log', 'a').write('from elsewhere\\n')",
        "log.write('epoch 2\\n'); log.close()",
    ], "train.log"),
    "sparse_file": ([
        "os.makedirs(d)",
        "file = open(d + '/sparse', 'wb'); file.seek(3_000_000); file.write(b'end'); file.close()",
    ], "sparse"),
}


class Patterns(SealfsTest):
    def replay(self, name, reserve=True):
        steps, opened = PATTERNS[name]
        bare = self.make_dir("bare", 0o777)
        model = self.agent("bare")
        for step in steps:
            model(step, d=bare + "/parent", scratch=self.tmp)
        expected = snapshot(bare + "/parent")
        with open(os.path.join(bare, "parent", opened), "rb") as file:
            content = file.read()

        path = self.point + "/parent"
        if reserve:
            self.reserve(path, writer="parent" if reserve is True else None)
            readers = self.readers(path, opened)
            all_parked(*readers)
        parent = self.agent("parent")
        for count, step in enumerate(steps):
            parent(step, d=path, scratch=self.tmp)
            if not reserve and count == 0:
                readers = self.readers(path, opened)
            all_parked(*readers)
        self.end(parent, path)
        walking, opening, sizing = readers
        self.assertEqual(walking.value(), expected)
        self.assertEqual(opening.value(), content)
        self.assertEqual(sizing.value(), len(content))
        self.assertEqual(self.without_seal(self.export + "/parent"), expected)

    def readers(self, path, opened):
        codes = ("snapshot(d)", "open(os.path.join(d, f), 'rb').read()", "os.path.getsize(os.path.join(d, f))")
        return [self.agent("child").start(code, d=path, f=opened) for code in codes]

    @staticmethod
    def without_seal(path):
        return {name: entry for name, entry in snapshot(path).items() if name != ".seal" and not name.startswith(".seal/")}

    def end(self, parent, path):
        parent.exit(0)
        if self.kernel_sees_the_end:
            self.ctl("wait", "--timeout", "20", path)
        else:
            self.ctl("seal", path, trial="parent")

    def setUp(self):
        super().setUp()
        self.kernel_sees_the_end = kernel_tells_exit_status()
        self.mount()


def add_patterns(cls, **how):
    for name in PATTERNS:
        def test(self, name=name):
            self.replay(name, **how)
        setattr(cls, "test_" + name, test)
    return cls


class Reserved_before(Patterns):
    pass


in_modes(*ALL_MODES)(add_patterns(Reserved_before))


@in_modes(ROOT, DAEMON)
class Otherwise(Patterns):
    def test_child_that_comes_after_the_first_step(self):
        self.replay("tensorflow_saver_with_meta_after_checkpoint", reserve=False)

    def test_makedirs_unless_it_exists_where_the_directory_was_made_ahead(self):
        self.replay("makedirs_unless_it_exists", reserve="empty")

    def test_bare_makedirs_after_run_save(self):
        """`sealctl run --save` has claimed the path when the script makes it without exist_ok."""
        path = self.point + "/parent"
        self.reserve(path)
        child = self.agent("child").start("open(d + '/model.pt').read()", d=path).parked()
        result = self.sealctl("run", "--trial", "parent", "--save", path, "--", "/usr/bin/python3", "-c", """
import os, sys
d = sys.argv[1]
assert not os.path.isfile(d + "/model.pt")
os.makedirs(d)
open(d + "/model.pt", "w").write("weights")
""", path, trial=None)
        self.assertEqual(result.status, 0, result)
        self.assertEqual(child.value(), "weights")

    def test_directory_renamed_at_checkpoint_depth(self):
        path = self.point + "/step_10"
        self.reserve(path)
        child = self.agent("child").start("open(d + '/w').read()", d=path).parked()
        parent = self.agent("parent")
        parent("os.mkdir(d + '.tmp'); open(d + '.tmp/w', 'w').write('x')", d=path)
        parent("os.rename(d + '.tmp', d)", d=path)
        child.parked()
        self.assertEqual(parent("os.listdir(d)", d=path), ["w"])
        self.end(parent, path)
        self.assertEqual(child.value(), "x")
        # a name that its trial has left behind: never a good one
        self.assertEqual(self.agent("child").error("os.stat(d + '.tmp')", d=path), "ENOENT")

    def test_file_renamed_at_checkpoint_depth_again_and_again(self):
        path = self.point + "/model.pt"
        self.reserve(path)
        child = self.agent("child").start("open(d, 'rb').read()", d=path).parked()
        parent = self.agent("parent")
        for seed in (1, 2, 3):
            parent("open(d + '.tmp', 'wb').write(pattern(5_000, seed)); os.replace(d + '.tmp', d)", d=path, seed=seed)
            child.parked()
        self.end(parent, path)
        self.assertEqual(child.value(), pattern(5_000, 3))


if __name__ == "__main__":
    main()
