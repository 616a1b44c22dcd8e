#!/usr/bin/python3
"""While the content of many large files is read, to verify or to seal it, whoever waits for something else waits no longer for that."""

import os

from harness import DAEMON, ROOT, SealfsTest, all_parked, in_modes, main
from test_late_errors import Losing

COUNT = 40  # more than there are threads for it
LARGE = 1_500_000


class Long_reads(Losing):
    def setUp(self):
        super().setUp()
        self.other_point = self.make_dir("mnt2", 0o755, self.mode.owner)
        self.mount("heartbeat=1", point=self.other_point)

    def clean_up(self):
        self.stand_still(False)
        super().clean_up()

    def stand_still(self, still):
        mark = self.store + "/stands-still"
        if still:
            open(mark, "w").close()
        elif os.path.exists(mark):
            os.unlink(mark)

    def fill(self, directory, files):
        os.mkdir(self.store + "/" + directory)
        for number in range(files):
            with open(self.store + "/" + directory + "/slow-%d" % number, "w") as file:
                file.write("x" * LARGE)

    def check_that_others_go_on(self, **points):
        """What is sealed through those mounts meanwhile."""
        readers = {}
        for name in points:
            self.reserve(self.point + "/" + name, writer=name)
            readers[name] = self.agent("reader of " + name).start("open(f).read()", f=self.point + "/" + name + "/x")
        all_parked(*readers.values())
        for name, point in points.items():
            writer = self.agent(name)
            writer("os.mkdir(d); open(d + '/x', 'w').write('done')", d=point + "/" + name)
            self.ctl("seal", point + "/" + name, trial=name)
            self.assertEqual(readers[name].value(), "done")

    def check_that_a_failure_is_told(self):
        self.reserve(self.point + "/failing", writer="failing")
        reader = self.agent("reader of what fails").start("open(f).read()", f=self.point + "/failing/x")
        all_parked(reader)
        writer = self.agent("failing")
        writer("os.mkdir(d); open(d + '/x', 'w').write('half')", d=self.point + "/failing")
        self.ctl("abandon", self.point + "/failing", trial="failing")
        reader.fails("EOWNERDEAD")

    def release(self, processes):
        self.stand_still(False)
        for process in processes:
            self.assertEqual(process.wait(), 0, process.output())


@in_modes(ROOT, DAEMON)
class While_others_wait_for_content(Long_reads):
    def test_that_is_verified(self):
        self.fill("big", COUNT)
        self.ctl("seal", self.point + "/big")
        self.stand_still(True)
        held = [self.spawn(["/usr/bin/cksum", self.point + "/big/slow-%d" % number]) for number in range(COUNT)]
        all_parked(*held)
        self.check_that_others_go_on(here=self.point, there=self.other_point)
        self.release(held)

    def test_that_is_sealed(self):
        for number in range(COUNT):
            self.fill("big-%d" % number, 1)
        self.stand_still(True)
        held = [self.spawn([self.sealctl_path, "seal", self.point + "/big-%d" % number]) for number in range(COUNT)]
        all_parked(*held)
        self.check_that_others_go_on(there=self.other_point)
        self.check_that_a_failure_is_told()
        self.release(held)


if __name__ == "__main__":
    main()
