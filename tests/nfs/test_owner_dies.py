"""The machine of a writer vanishes, and comes back later with a trial that knows nothing of it.

time limit: 800
bed: also
"""

from machines import *

# What a waiter may take to learn of it, besides the lease: to look, to try the lock, to write the end.
SOON = limit(5)


@in_versions("4.2", "4.1", "4.0")
class OwnerDies(MachinesTest):

    def begin(self):
        self.a.mount()
        self.b.mount()
        writer = self.a.trial("writer")
        writer("""
            os.mkdir(top)
            file = open(top + "/model", "wb")
            file.write(b"half")
            file.flush()
            os.fsync(file.fileno())
        """, top=os.path.join(self.a.point, "run"))
        return writer

    def test_the_waiter_is_told_within_the_lease_and_five_seconds(self):
        self.begin()
        waiting = self.b.trial("reader").start("open(path).read()", path=os.path.join(self.b.point, "run/model")).parked()
        self.a.link("down")
        cut = time.monotonic()
        waiting.fails("EOWNERDEAD", patience=(LEASE + SOON) * 3)
        self.assertLess(waiting.ended - cut, LEASE + SOON)
        figure("NFS %s: the waiter was told after %.1f s (lease %d s)" % (self.version, waiting.ended - cut, LEASE))

    def test_who_asks_after_the_lease_is_told_at_once(self):
        self.begin()
        self.a.link("down")
        time.sleep(LEASE + SOON)  # its end is the event, and nobody is told
        began = time.monotonic()
        self.b.trial("reader").start("open(path).read()", path=os.path.join(self.b.point, "run/model")).fails("EOWNERDEAD")
        self.assertLess(time.monotonic() - began, SOON)

    def test_late_bytes_of_a_machine_that_comes_back_are_in_nobodys_seal(self):
        writer = self.begin()
        waiting = self.b.trial("reader").start("open(path).read()", path=os.path.join(self.b.point, "run/model")).parked()
        self.a.link("down")
        waiting.fails("EOWNERDEAD", patience=(LEASE + SOON) * 3)
        second = self.b.trial("second")
        content = pattern(300000, 2)
        second("""
            os.makedirs(top, exist_ok=True)
            file = open(top + "/model", "wb")
            file.write(content[:100000])
            file.flush()
        """, top=os.path.join(self.b.point, "run"), content=content)
        # back on the network, the first goes on as if nothing had happened, while the second writes
        self.a.link("up")
        late = writer.start("""
            said = []
            for step in (lambda: file.write(b"late"), file.flush, lambda: os.fsync(file.fileno()), file.close,
                         lambda: open(top + "/more", "wb").write(b"more"), lambda: os.rename(top + "/model", top + "/best")):
                try:
                    step()
                    said.append(None)
                except OSError as problem:
                    said.append(errno.errorcode[problem.errno])
            result = said
        """, top=os.path.join(self.a.point, "run"))
        said = late.value(patience=PATIENCE * 3)
        self.assertIn(said[4], ("EBUSY", "EOWNERDEAD"), said)
        self.assertTrue(said[5], said)
        result, told = writer.starts_call(self.a.point, CALL_SEAL, "run").value(patience=PATIENCE * 3)
        self.assertNotEqual(0, result, told)
        second("file.write(content[100000:]), file.close()")
        second.asks(self.b.point, CALL_SEAL, "run")
        for machine in self.a, self.b:
            found = machine.trial("child").start("snapshot(path)", path=os.path.join(machine.point, "run"))
            self.assertEqual({"model": content}, {name: data for name, (_, _, data) in found.value().items()})
        ends = self.ends("run")
        self.assertEqual([1, 2], sorted(ends))
        self.assertIn("owner died", ends[1])
        verified = self.a.sealctl("verify", os.path.join(self.served, "run"))
        self.assertEqual(0, verified.status, verified)

    def test_what_a_machine_begins_when_it_is_back_is_not_taken_from_it(self):
        """Its NFS client can not be called back at once, and the server takes away what it delegated to it."""
        self.a.mount()
        self.b.mount()
        for number in range(count_of(1, 4)):
            self.a.link("down")
            time.sleep(LEASE + SOON)  # its end is the event, and nobody is told
            self.a.link("up")
            path, content = "run-%d" % number, b"good %d" % number
            writer, reader = self.a.trial("writer"), self.b.trial("reader")
            writer.start("os.mkdir(top); file = open(top + '/model', 'wb'); file.write(content)", top=os.path.join(self.a.point, path),
                         content=content).value(patience=PATIENCE * 3)
            reading = reader.start("open(path, 'rb').read()", path=os.path.join(self.b.point, path, "model"))
            self.assertFalse(reading.done(4 * LEASE), "the writer lives")
            writer("file.close()")
            writer.asks(self.a.point, CALL_SEAL, path)
            self.assertEqual(reading.value(patience=PATIENCE * 3), content)
            writer.close()
            reader.close()


if __name__ == "__main__":
    main()
