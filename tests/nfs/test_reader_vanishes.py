"""The machine that waits loses its network for a while.

time limit: 400
"""

from machines import *


@in_versions()
class ReaderVanishes(MachinesTest):

    def setUp(self):
        super().setUp()
        self.a.mount()
        self.b.mount()
        self.content = pattern(100000, 4)
        self.writer = self.a.trial("writer")
        self.writer("""
            os.mkdir(top)
            with open(top + "/model", "wb") as file:
                file.write(content)
        """, top=os.path.join(self.a.point, "run"), content=self.content)

    def read(self):
        return self.b.trial("reader").start("open(path, 'rb').read()", path=os.path.join(self.b.point, "run/model"))

    def test_it_reads_what_was_sealed_meanwhile(self):
        reading = self.read().parked()
        self.b.link("down")
        time.sleep(LEASE + 5)
        self.writer.asks(self.a.point, CALL_SEAL, "run")
        reading.still_waiting()
        self.b.link("up")
        self.assertEqual(self.content, reading.value(patience=PATIENCE * 5))

    def test_it_goes_on_waiting_when_nothing_has_happened(self):
        reading = self.read().parked()
        self.b.link("down")
        time.sleep(LEASE + 5)
        self.b.link("up")
        bare = self.b.trial("somebody").start("os.listdir(path)", path=self.b.bare)
        self.assertIn("run", bare.value(patience=PATIENCE * 5))
        reading.still_waiting()
        self.writer.asks(self.a.point, CALL_SEAL, "run")
        self.assertEqual(self.content, reading.value(patience=PATIENCE * 5))

    def test_its_waiting_processes_can_be_killed(self):
        waiting = [self.b.trial("reader-%d" % number) for number in range(5)]
        harness.all_parked(*[reader.start("open(path).read()", path=os.path.join(self.b.point, "run/model")) for reader in waiting])
        self.b.link("down")
        time.sleep(LEASE + 5)
        began = time.monotonic()
        for reader in waiting:
            reader.signal(signal.SIGKILL)
        for reader in waiting:
            reader.wait()
        self.assertLess(time.monotonic() - began, 5 * SLOWNESS)


if __name__ == "__main__":
    main()
