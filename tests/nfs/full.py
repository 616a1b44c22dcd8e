"""What test_full_export.py and test_quota.py have in common: there is no room on the server in the middle of a save, or of a seal."""

from machines import *


# Bytes that are left when a seal begins.
ROOMS = (0, 8 << 10, 24 << 10, 256 << 10)


class FullTests:
    """For a MachinesTest whose export lies on a small disk."""

    error = None  # what the writer is told
    disk = "small"

    def setUp(self):
        if not os.path.ismount("/export/" + self.disk):
            self.make_disk()
        super().setUp()

    def make_disk(self):
        raise NotImplementedError

    def take_room(self, left):
        """So that the trials' user has so many bytes left."""
        raise NotImplementedError

    def give_room(self):
        raise NotImplementedError

    def clean_up(self):
        self.give_room()
        super().clean_up()

    def begin(self):
        self.a.mount()
        self.b.mount()
        self.writer = self.a.trial("writer")
        self.writer("""
            os.mkdir(top)
            with open(top + "/small", "wb") as file:
                file.write(b"small")
        """, top=os.path.join(self.a.point, "run"))
        return self.b.trial("reader").start("open(path).read()", path=os.path.join(self.b.point, "run/model")).parked()

    def save(self, trial, machine, size, path="run"):
        return trial.start("""
            os.makedirs(top, exist_ok=True)
            with open(top + "/model", "wb", buffering=0) as file:
                for start in range(0, len(content), 1 << 20):
                    file.write(content[start:start + (1 << 20)])
                os.fsync(file.fileno())
        """, top=os.path.join(machine.point, path), content=pattern(size, size))

    def a_second_generation_works(self):
        self.give_room()
        # no end could be recorded: there was no room for it. Who asks now makes up for that
        self.b.trial("late").start("open(path).read()", path=os.path.join(self.b.point, "run/small")).fails("EOWNERDEAD")
        again = self.b.trial("again")
        self.save(again, self.b, 3 << 20).value()
        again.asks(self.b.point, CALL_SEAL, "run")
        seen = self.a.trial("child")("snapshot(path)", path=os.path.join(self.a.point, "run"))
        self.assertEqual({"model": pattern(3 << 20, 3 << 20)}, {name: data for name, (_, _, data) in seen.items()})

    def nothing_is_sealed(self):
        self.assertNotIn("result: sealed", "".join(self.ends("run").values()))
        self.assertFalse(os.path.exists(os.path.join(self.served, "run/.seal/seal")))

    def test_in_the_middle_of_a_save(self):
        waiting = self.begin()
        self.take_room(4 << 20)
        self.save(self.writer, self.a, 12 << 20).fails(self.error)
        waiting.still_waiting()
        # what a wrapper does when its command has failed
        starts_call(self.writer, self.a.point, CALL_ABANDON, "run", detail="exit status 1").value()
        waiting.fails("EOWNERDEAD", patience=PATIENCE * 3)
        self.nothing_is_sealed()
        self.a_second_generation_works()

    def test_in_the_middle_of_a_seal(self):
        waiting = self.begin()
        self.save(self.writer, self.a, 3 << 20).value()
        self.take_room(0)
        result, told = starts_call(self.writer, self.a.point, CALL_SEAL, "run").value()
        self.assertNotEqual(0, result, told)
        waiting.fails("EOWNERDEAD", patience=PATIENCE * 3)
        self.nothing_is_sealed()
        self.a_second_generation_works()

    def test_wherever_in_a_seal_the_room_ends(self):
        """There is more each time: for the digests, the manifest, the record of the end."""
        self.a.mount()
        self.b.mount()
        content, sealed = pattern(1 << 20, 1 << 20), []
        for left in ROOMS:
            path = "run-%d" % left
            writer, reader = self.a.trial("writer"), self.b.trial("reader")
            self.save(writer, self.a, len(content), path).value()
            waiting = reader.start("open(path, 'rb').read()", path=os.path.join(self.b.point, path, "model")).parked()
            self.take_room(left)
            result, told = starts_call(writer, self.a.point, CALL_SEAL, path).value()
            if result == 0:
                self.assertEqual(content, waiting.value())
                self.assertEqual(0, self.run_program([self.sealctl_path, "verify", os.path.join(self.served, path)], uid=0).status)
            else:
                waiting.fails("EOWNERDEAD", patience=PATIENCE * 3)
                self.assertNotIn("result: sealed", "".join(self.ends(path).values()))
            sealed.append(result == 0)
            self.give_room()
            writer.close()
            reader.close()
        figure("NFS %s, %s: of seals with %s KiB left these succeeded: %s" % (
            self.version, self.error, [left >> 10 for left in ROOMS], [left >> 10 for left, good in zip(ROOMS, sealed) if good]))
        self.assertEqual([False, True], [sealed[0], sealed[-1]])

    def test_loss_that_nobody_asked_for_before_the_machine_forgot_it(self):
        """The client writes back by itself and meets a full disk; then there is room again, and neither file nor error is remembered."""
        waiting = self.begin()
        self.take_room(1 << 20)
        # open for both: such a file the server may delegate, and then a close waits for nothing
        self.writer("""
            fd = os.open(top + "/model", os.O_RDWR | os.O_CREAT)
            try:
                os.write(fd, content)
                os.close(fd)
            except OSError:
                pass
        """, top=os.path.join(self.a.point, "run"), content=pattern(4 << 20, 7))
        self.spawn(["sync"], name="sync").wait(PATIENCE)
        self.give_room()
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3")
        result, why = starts_call(self.writer, self.a.point, CALL_SEAL, "run").value()
        self.assertNotEqual(0, result, why)
        waiting.fails("EOWNERDEAD", patience=PATIENCE * 3)
        self.nothing_is_sealed()
