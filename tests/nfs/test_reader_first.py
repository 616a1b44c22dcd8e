"""The reader is there before the writer, on another machine, whose NFS client is sure that the name does not exist.

time limit: 600
bed: also
"""

import random
import statistics

from machines import *

# what a checkpoint may look like: its files, and which of them the reader asks for
SHAPES = {
    "single": ("", [""]),
    "saver": ("/model.ckpt.meta", ["/checkpoint", "/model.ckpt.data-00000-of-00001", "/model.ckpt.index", "/model.ckpt.meta"]),
    "nested": ("/epoch_5/shards/model.bin", ["/config.json", "/epoch_5/shards/model.bin", "/epoch_5/state.json"]),
}

ROUNDS = {"4.2": 50, "4.1": 17, "3": 17}


@in_versions()
class ReaderFirst(MachinesTest):
    """Median and worst time from the seal's return on A to the reader's return on B."""

    chance = random.Random(1)

    def content(self, number, shape, name):
        return pattern(3000 + 17 * number, hash((number, shape, name)) & 0xFFFFFFFF)

    def round(self, number, reader, writer, bare):
        """One checkpoint of each shape, all awaited at once; when the reader went on after the seal, in seconds."""
        paths = {shape: "%s-%d" % (shape, number) for shape in SHAPES}
        for shape, path in paths.items():
            self.assertEqual("ENOENT", bare.error("os.stat(path)", path=os.path.join(self.b.bare, path)))
            writer.asks(self.a.point, CALL_RESERVE, path, writer="writer")
        reads = {}
        for shape, path in paths.items():
            reads[shape] = reader[shape].start("""
                with open(top + asked, "rb") as file:
                    first = file.read()
                result = time.monotonic(), first, {name: open(top + name, "rb").read() for name in names}
            """, top=os.path.join(self.b.point, path), asked=SHAPES[shape][0], names=SHAPES[shape][1])
        until(lambda: self.b.stats()["waiters"] == len(reads), "the readers' waiting")
        time.sleep(self.chance.uniform(0, 5) if TRAVELS else 0)  # looks become rarer the longer one waits
        delays = []
        for shape, path in paths.items():
            content = {name: self.content(number, shape, name) for name in SHAPES[shape][1]}
            writer("""
                for name, data in content.items():
                    os.makedirs(os.path.dirname(top + name), exist_ok=True)
                    with open(top + name, "wb") as file:
                        file.write(data[:1000])
                        file.flush()
                        file.write(data[1000:])
            """, top=os.path.join(self.a.point, path), content=content)
            reads[shape].still_waiting()
            sealing = writer.starts_call(self.a.point, CALL_SEAL, path)
            self.assertEqual(0, sealing.value()[0], sealing.value())
            when, first, files = reads[shape].value()
            self.assertEqual(content[SHAPES[shape][0]], first)
            self.assertEqual(content, files)
            delays.append(when - sealing.ended)
        return delays

    def rounds(self, what, rounds, *options):
        self.a.mount(*options)
        self.b.mount(*options)
        writer, bare = self.a.trial("writer"), self.b.trial("somebody")
        reader = {shape: self.b.trial("reader-" + shape) for shape in SHAPES}
        delays = [delay for number in range(rounds) for delay in self.round(number, reader, writer, bare)]
        median = statistics.median(delays)
        figure("NFS %s, %s: the reader went on %.0f ms after the seal (median of %d; at most %.0f ms)" % (
            self.version, what, median * 1000, len(delays), max(delays) * 1000))
        return median, max(delays)

    def test_with_hints_it_goes_on_at_once(self):
        median, worst = self.rounds("hints", ROUNDS[self.version])
        self.assertLess(median, 0.05)
        self.assertLess(worst, 1.5 * SLOWNESS)

    def test_without_hints_it_goes_on_within_a_second_and_a_half(self):
        median, worst = self.rounds("no hints", count_of(5, 17), "hints=off")
        self.assertLess(median, 1.5)
        self.assertLess(worst, 1.5 * SLOWNESS)


if __name__ == "__main__":
    main()
