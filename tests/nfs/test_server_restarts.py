"""The NFS server is stopped and started, with its time of grace: nobody errs, nothing is lost.

time limit: 900
"""

from machines import *


@in_versions("4.2", "4.1", "4.0", "3")
class ServerRestarts(MachinesTest):

    def setUp(self):
        super().setUp()
        self.a.mount()
        self.b.mount()
        self.content = pattern(5 << 20, 3)
        self.writer = self.a.trial("writer")
        self.writer("os.mkdir(top)", top=os.path.join(self.a.point, "run"))

    def clean_up(self):
        if "0" == self.threads():
            command("server", "start")
        super().clean_up()

    @staticmethod
    def threads():
        with open("/proc/fs/nfsd/threads") as file:
            return file.read().strip()

    def write(self):
        """Piece by piece, each on the server before the next."""
        return self.writer.start("""
            with open(top + "/model", "wb") as file:
                for start in range(0, len(content), 100000):
                    file.write(content[start:start + 100000])
                    file.flush()
                    os.fsync(file.fileno())
                    time.sleep(0.05)
        """, content=self.content)

    def read(self):
        return self.b.trial("reader").start("open(path, 'rb').read()", path=os.path.join(self.b.point, "run/model"))

    def away(self, seconds, how="crash"):
        command("server", how)
        time.sleep(seconds)
        command("server", "start")

    def reads_what_was_sealed(self, reading):
        self.assertEqual(self.content, reading.value(patience=PATIENCE * 5))
        self.assertEqual([1], sorted(self.ends("run")))
        self.assertEqual(0, self.run_program([self.sealctl_path, "verify", os.path.join(self.served, "run")], uid=0).status)

    def test_a_crash_while_a_trial_writes_and_another_waits(self):
        self.goes_away_while_a_trial_writes("crash")

    def test_a_restart_while_a_trial_writes_and_another_waits(self):
        self.goes_away_while_a_trial_writes("stop")

    def goes_away_while_a_trial_writes(self, how):
        reading = self.read().parked()
        writing = self.write()
        until(lambda: os.path.exists(os.path.join(self.served, "run/model")), "its first bytes")
        self.away(2, how)
        writing.value(patience=PATIENCE * 5)
        reading.still_waiting()
        self.writer.asks(self.a.point, CALL_SEAL, "run")
        self.reads_what_was_sealed(reading)

    def test_while_it_is_sealed(self):
        reading = self.read().parked()
        self.write().value()
        command("server", "crash")
        sealing = starts_call(self.writer, self.a.point, CALL_SEAL, "run")
        time.sleep(2)
        sealing.must_run()
        command("server", "start")
        self.assertEqual(0, sealing.value(patience=PATIENCE * 5)[0], sealing.value())
        self.reads_what_was_sealed(reading)

    def test_in_the_middle_of_its_seal(self):
        """Whatever has just been done of it: the server goes away somewhere between the first request and the last."""
        self.write().value()
        began = time.monotonic()
        self.writer.asks(self.a.point, CALL_SEAL, "run")
        takes = time.monotonic() - began
        for number in range(count_of(2, 5)):
            path = "run-%d" % number
            writer = self.a.trial("writer-%d" % number)
            writer("os.mkdir(top); open(top + '/model', 'wb').write(content)", top=os.path.join(self.a.point, path), content=self.content)
            reading = self.b.trial("reader").start("open(path, 'rb').read()", path=os.path.join(self.b.point, path, "model")).parked()
            sealing = starts_call(writer, self.a.point, CALL_SEAL, path)
            time.sleep(takes * number / 5)
            self.away(1, ("crash", "stop")[number % 2])
            self.assertEqual(0, sealing.value(patience=PATIENCE * 5)[0], sealing.value())
            self.assertEqual(self.content, reading.value(patience=PATIENCE * 5))
            self.assertEqual([1], sorted(self.ends(path)))
            self.assertEqual(0, self.run_program([self.sealctl_path, "verify", os.path.join(self.served, path)], uid=0).status)
            command("server", "await")

    def test_for_longer_than_a_lease(self):
        reading = self.read().parked()
        self.write().value()
        self.away(LEASE * 2)
        command("server", "await")
        reading.still_waiting()
        result, told = starts_call(self.writer, self.a.point, CALL_SEAL, "run").value(patience=PATIENCE * 5)
        self.assertEqual(0, result, told)
        self.reads_what_was_sealed(reading)


if __name__ == "__main__":
    main()
