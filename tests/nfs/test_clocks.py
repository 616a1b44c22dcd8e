"""The machines' clocks do not agree: what was written down by one of them lies in another's future, or long ago.

The guest has one clock for all; so it is set between what one machine does and what the other does.

time limit: 800
"""

from machines import *

DAY = 86400
SOON = limit(5)
HEARTBEATS = 45  # seconds, after which a machine that gives none is dead


@in_versions("4.2", "3")
class Clocks(MachinesTest):

    def setUp(self):
        super().setUp()
        self.a.mount()
        self.b.mount()
        self.moved = 0
        self.writer = self.a.trial("writer")
        self.begin(self.writer, self.a, b"half")

    def clean_up(self):
        self.move_clock(-self.moved)
        super().clean_up()

    def move_clock(self, seconds):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
        self.moved += seconds

    def begin(self, writer, machine, content):
        writer("""
            os.makedirs(top, exist_ok=True)
            file = open(top + "/model", "wb")
            file.write(content)
            file.flush()
        """, top=os.path.join(machine.point, "run"), content=content)

    def read(self, name):
        return self.b.trial(name).start("open(path, 'rb').read()", path=os.path.join(self.b.point, "run/model"))

    def test_nobody_is_taken_for_dead_and_what_was_sealed_is_read(self):
        waiting = self.read("reader").parked()
        for move in 2 * DAY, -4 * DAY, 2 * DAY:
            self.move_clock(move)
            time.sleep(HEARTBEATS + SOON)  # nothing is to happen
            waiting.still_waiting()
        self.move_clock(-DAY)
        self.writer("file.write(b' and more'); file.close()")
        self.writer.asks(self.a.point, CALL_SEAL, "run")
        self.move_clock(2 * DAY)
        self.assertEqual(b"half and more", waiting.value(patience=PATIENCE * 3))
        self.assertEqual(b"half and more", self.read("later").value())
        self.assertEqual(0, self.b.sealctl("verify", self.b.point + "/run").status)

    def dies_when_the_clock_moves(self, seconds):
        most = (HEARTBEATS if self.version == "3" else LEASE) + SOON
        waiting = self.read("reader").parked()
        self.a.link("down")
        cut = time.monotonic()
        self.move_clock(seconds)
        waiting.fails("EOWNERDEAD", patience=most * 3)
        self.assertLess(waiting.ended - cut, most)

    def test_death_is_noticed_as_soon_as_ever_when_the_clock_is_put_back(self):
        self.dies_when_the_clock_moves(-DAY)

    def test_death_is_noticed_as_soon_as_ever_when_the_clock_is_put_forward(self):
        self.dies_when_the_clock_moves(DAY)

    def test_generation_begun_before_the_last_one_by_the_clock_is_the_later_one(self):
        self.writer.asks(self.a.point, CALL_ABANDON, "run")
        self.move_clock(-2 * DAY)
        second = self.b.trial("second")
        self.begin(second, self.b, b"all of it")
        waiting = self.a.trial("reader").start("open(path, 'rb').read()", path=os.path.join(self.a.point, "run/model")).parked()
        second("file.close()")
        second.asks(self.b.point, CALL_SEAL, "run")
        self.assertEqual(b"all of it", waiting.value(patience=PATIENCE * 3))


if __name__ == "__main__":
    main()
