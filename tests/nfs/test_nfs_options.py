"""Options of the NFS mount below that README advises against: what doctor says of them, and that nothing is sealed that was lost.

time limit: 1200
"""

from machines import *

SOON = 5 * SLOWNESS
SILENCE = 45  # seconds: after so many a machine with heartbeats is known to be gone
READ = "open(path, 'rb').read()"
# an earlier write's failure is told once, to whoever asks first; this program asks nobody
WRITE = """
    os.mkdir(top)
    fd = os.open(top + "/model", how | os.O_CREAT)
    for start in range(0, len(content), 1 << 20):
        os.write(fd, content[start:start + (1 << 20)])
"""
CLOSE = """
    said = []
    for step in steps:
        try:
            {"fsync": os.fsync, "close": os.close}[step](fd)
            said.append(None)
        except OSError as problem:
            said.append(errno.errorcode[problem.errno])
    result = said
"""


def forget():
    """All machines forget what they know of files that nobody uses, of lost writes too."""
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


class Base(MachinesTest):
    def begin(self):
        self.a.mount()
        self.b.mount()
        self.top_a, self.top_b = self.a.point + "/run", self.b.point + "/run"

    def read(self, machine, trial="child"):
        return machine.trial(trial).start(READ, path=machine.point + "/run/model")

    def doctor(self, machine, path):
        done = machine.sealctl("doctor", "--json", path)
        self.assertEqual(0, done.status, done)
        said = {}
        for line in json.loads(done.out):
            said.setdefault(line["check"], []).append((line["level"], line["text"]))
        return said


@in_versions("3,nolock", "3,local_lock=all", "3,local_lock=posix", "3", "4.2", "4.2,local_lock=all", "4.1,nolock")
class Said(Base):
    """Version 4 has no such options: its locks go to the server whatever was asked for."""

    def test_what_doctor_says_is_what_is_in_force(self):
        self.begin()
        v3, option = self.version == "3", self.nfs_options[:1]
        local = v3 and option
        for path in self.a.bare, self.a.point:
            said = self.doctor(self.a, path)
            warned = [text for level, text in said["nfs"] if level == "warn"]
            self.assertEqual(bool(local), any(text.startswith(option or ("nolock", "local_lock")) for text in warned), warned)
            self.assertEqual(v3, any("NFSv3" in text for text in warned), warned)
            (level, text), = said["signs of life"]
            self.assertEqual("ok", level)
            self.assertRegex(text, "^heartbeats every 5 s: .* 30 to 45 s" if v3 else "^locks: .*lease of %d s" % LEASE)
        self.assertEqual(v3, "heartbeats every 5 s tell that this mount lives" in self.mounted[0].log())
        self.a.trial("writer")("os.mkdir(top)", top=self.top_a)
        with open(os.path.join(self.served, ".sealfs/state/run/1.claim")) as file:
            self.assertIn("heartbeat: %d\n" % (5 if v3 else 60), file.read())


@in_versions("4.2,soft,timeo=10,retrans=1", "3,soft,timeo=10,retrans=1")
class Soft(Base):
    """The server is away for longer than a request is tried."""

    def setUp(self):
        super().setUp()
        self.begin()
        self.content = pattern(3 << 20, 3)

    def clean_up(self):
        if not int(self.threads()):
            command("server", "start")
            command("server", "await")
        super().clean_up()

    @staticmethod
    def threads():
        with open("/proc/fs/nfsd/threads") as file:
            return file.read()

    def go_away(self, during):
        command("server", "stop")
        try:
            during()
        finally:
            command("server", "start")
            command("server", "await")

    def write_back(self):
        """What the machine holds back of what was written goes to the server, whose writer asks for nothing."""
        self.spawn(["sync"], name="sync").wait(PATIENCE * 3)

    def is_not_sealed(self, said):
        result, told = self.writer.starts_call(self.a.point, CALL_SEAL, "run").value(patience=PATIENCE * 3)
        self.assertNotEqual(0, result, said)
        self.assertIn("could not be stored", told["error"])
        self.waiting.fails("EOWNERDEAD", patience=PATIENCE * 3)

    def test_doctor_warns(self):
        warned = [text for level, text in self.doctor(self.a, self.a.point)["nfs"] if level == "warn"]
        self.assertTrue(any(text.startswith("soft: ") for text in warned), warned)

    def loses(self, steps, forgetting=False):
        self.writer = self.a.trial("writer")
        self.writer(WRITE, top=self.top_a, content=self.content, how=os.O_WRONLY)
        self.waiting = self.read(self.b).parked()
        self.go_away(self.write_back)
        self.waiting.still_waiting()
        said = self.writer.start(CLOSE, steps=steps).value(patience=PATIENCE * 3)
        if forgetting:
            forget()
        self.is_not_sealed(said)

    def test_writes_that_were_lost_and_whose_loss_the_writer_does_not_heed(self):
        self.loses(["fsync", "close"])

    def test_writes_that_were_lost_and_nobody_asked(self):
        self.loses(["close"])

    def test_writes_that_were_lost_and_the_machine_has_forgotten_the_file_since(self):
        self.loses(["close"], forgetting=True)

    def test_writes_that_were_lost_after_a_close_that_waited_for_none(self):
        """A client to which the server delegated the file (opened for both) closes it before it is written back."""
        self.writer = self.a.trial("writer")
        self.writer(WRITE, top=self.top_a, content=self.content, how=os.O_RDWR)
        self.waiting = self.read(self.b).parked()
        said = []

        def during():
            said.extend(self.writer.start(CLOSE, steps=["close"]).value(patience=PATIENCE * 3))
            self.write_back()
        self.go_away(during)
        forget()
        self.is_not_sealed(said)

    def test_reader_of_a_sealed_file_gets_an_error_and_later_the_content(self):
        self.writer = self.a.trial("writer")
        self.writer(WRITE, top=self.top_a, content=self.content, how=os.O_WRONLY)
        self.writer("os.close(fd)")
        self.writer.asks(self.a.point, CALL_SEAL, "run")
        reading = []
        self.go_away(lambda: reading.append(self.read(self.b).error(patience=PATIENCE * 3)))
        self.assertIn(reading[0], ("EIO", "ETIMEDOUT"))
        self.assertEqual(self.content, self.read(self.b, "late").value())


class Mixed(Base):
    """The machines have mounted the export differently."""

    version = "4.2"

    def writes_on(self, of_a, of_b):
        self.a.version, *self.a.nfs_options = of_a.split(",")
        self.b.version, *self.b.nfs_options = of_b.split(",")
        self.a.nfs_options, self.b.nfs_options = tuple(self.a.nfs_options), tuple(self.b.nfs_options)
        self.begin()
        writer = self.a.trial("writer")
        writer("os.mkdir(top); file = open(top + '/model', 'wb', buffering=0); file.write(b'half')", top=self.top_a)
        waiting = self.read(self.b).parked()
        time.sleep(2 * SILENCE)  # nobody is taken for dead: its end is the event
        waiting.still_waiting()
        return writer, waiting

    def test_lease_that_the_other_does_not_see(self):
        writer, waiting = self.writes_on("4.2", "3,nolock")
        writer("file.write(b' and all'); file.close()")
        writer.asks(self.a.point, CALL_SEAL, "run")
        self.assertEqual(b"half and all", waiting.value())

    def test_lease_that_the_other_does_not_see_and_its_machine_vanishes(self):
        _, waiting = self.writes_on("4.2", "3,nolock")
        self.a.link("down")
        cut = time.monotonic()
        waiting.fails("EOWNERDEAD", patience=20 * SILENCE)
        figure("writer on NFS 4.2, waiter on 3,nolock: told after %.0f s" % (waiting.ended - cut))
        self.assertLess(waiting.ended - cut, 60 * 9 + SOON)

    def test_heartbeats_that_the_other_goes_by_though_it_sees_locks(self):
        writer, waiting = self.writes_on("3,nolock", "4.2")
        self.a.link("down")
        cut = time.monotonic()
        waiting.fails("EOWNERDEAD", patience=3 * SILENCE)
        self.assertLess(waiting.ended - cut, SILENCE + SOON)
        self.a.link("up")
        self.assertNotEqual(0, writer.starts_call(self.a.point, CALL_SEAL, "run").value(patience=3 * PATIENCE)[0])
        again = self.b.trial("again")
        again("os.makedirs(top, exist_ok=True); open(top + '/model', 'w').write('whole')", top=self.top_b)
        again.asks(self.b.point, CALL_SEAL, "run")
        self.assertEqual(b"whole", self.read(self.a).value(patience=3 * PATIENCE))


if __name__ == "__main__":
    main()
