"""How fast the content of files is read and written through a mount over NFS, beside bare NFS on the same machine, and how much of it crosses
the wire.

bed: real time
time limit: 400
"""

import gzip
import statistics

from machines import *

SIZE = 256 << 20  # so many bytes that it is more than the making or opening of the file that is seen
CHANCES = 3
LEAST = 0.9  # of bare NFS

READ = """
    began = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        for _ in range(times):
            file.seek(0)
            while file.readinto(buffer):
                pass
    result = time.monotonic() - began
"""
WRITE = """
    began = time.monotonic()
    with open(path, "wb", buffering=0) as file:
        for _ in range(size // len(buffer)):
            file.write(buffer)
        os.fsync(file.fileno())
    result = time.monotonic() - began
"""


def forget_pages():
    """Of files: what else the kernels remember stays, as do the names, whose loss the mount takes for the end of all interest in them."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("1")


def can_pass():
    """Was this kernel built with passthrough? Where it does not tell, it has none."""
    try:
        with gzip.open("/proc/config.gz", "rt") as file:
            return "CONFIG_FUSE_PASSTHROUGH=y\n" in file
    except FileNotFoundError:
        return False


@in_versions("4.2", "3")
class Throughput(MachinesTest):

    def setUp(self):
        super().setUp()
        self.a.mount()
        self.b.mount()
        self.passes = "passed through by the kernel" in self.mounted[0].log()
        self.assertEqual(can_pass(), self.passes, self.mounted[0].log())
        self.writer = self.a.trial("writer")
        self.reader = self.b.trial("reader")
        for trial in self.writer, self.reader:
            trial("buffer = bytearray(os.urandom(1 << 20))")

    def write(self, top, name):
        self.writer("os.makedirs(top, exist_ok=True)", top=top)
        return self.writer.start(WRITE, path=os.path.join(top, name), size=SIZE).value(patience=PATIENCE * 5)

    def read(self, path, times=1):
        return self.reader.start(READ, path=path, times=times).value(patience=PATIENCE * 5)

    def compare(self, what, size, rounds, measure):
        """`measure` returns the seconds that it takes bare and through the mount, one after the other, so that what else the machine does meets
        both. A machine that is busy with other things gets another chance; what is slow is slow each time."""
        for chance in range(CHANCES):
            bare, mounted = zip(*[tuple(measure(number)) for number in range(rounds)])
            ratio = statistics.median(bare) / statistics.median(mounted)
            figure("NFS %s, %s: %.0f MB/s through the mount, %.0f MB/s bare: %.2f" % (
                self.version, what, size / 1e6 / statistics.median(mounted), size / 1e6 / statistics.median(bare), ratio))
            if ratio >= LEAST or not self.passes:
                return
        self.fail("%s is slower than it is bare: %.2f" % (what, ratio))

    def test_writing(self):
        def measure(number):
            # neither is always the first
            taken = {}
            for top in sorted((self.a.bare + "/bare", "%s/run-%d" % (self.a.point, number)), reverse=number % 2 == 1):
                taken[top.startswith(self.a.point)] = self.write(top, "file")
                self.writer("os.unlink(top + '/file')", top=top)
            return taken[False], taken[True]
        self.compare("writing", SIZE, 24, measure)

    def test_reading_what_is_verified(self):
        self.write(self.a.point + "/run", "file")
        self.writer.asks(self.a.point, CALL_SEAL, "run")
        self.write(self.a.bare + "/bare", "file")
        paths = [self.b.bare + "/bare/file", self.b.point + "/run/file"]
        for path in paths:
            self.read(path)  # the one is verified now

        def cold(_):
            for path in paths:
                forget_pages()
                yield self.read(path)

        def warm(_):
            # what is in memory is read so fast that many bytes are needed to see more than the opening
            for path in paths:
                yield self.read(path, 8)
        self.compare("reading, cold", SIZE, 9, cold)
        self.compare("reading, warm", SIZE * 8, 7, warm)


@in_versions()
class WireBytes(MachinesTest):

    def test_a_file_that_is_verified_when_it_is_opened_crosses_the_wire_once(self):
        size = 256 << 20
        self.a.mount()
        self.b.mount("verify=open")
        writer = self.a.trial("writer")
        writer.start("""
            os.mkdir(top)
            with open(top + "/model", "wb", buffering=0) as file:
                for number in range(size >> 20):
                    file.write(number.to_bytes(4, "big") * (1 << 18))
        """, top=self.a.point + "/run", size=size).value(patience=PATIENCE * 5)
        writer.start("os.sync()").value(patience=PATIENCE * 5)
        starts_call(writer, self.a.point, CALL_SEAL, "run").value(patience=PATIENCE * 5)
        before = self.b.wire_bytes()
        read = self.b.trial("reader").start("""
            total = 0
            with open(path, "rb", buffering=0) as file:
                for number in range(size >> 20):
                    data = file.read(1 << 20)
                    assert data == number.to_bytes(4, "big") * (1 << 18), number
                    total += len(data)
            result = total
        """, path=self.b.point + "/run/model", size=size).value(patience=PATIENCE * 10)
        self.assertEqual(size, read)
        brought = self.b.wire_bytes()[0] - before[0]
        figure("NFS %s: %.4f bytes crossed the wire for each of a verified file of 256 MiB" % (self.version, brought / size))
        self.assertGreaterEqual(brought, size)
        self.assertLessEqual(brought, 1.02 * size)

    def test_who_waits_for_one_file_has_the_others_read_and_verified_meanwhile(self):
        size = 32 << 20
        self.a.mount()
        self.b.mount("verify=open")
        writer, reader = self.a.trial("writer"), self.b.trial("reader")
        writer("os.mkdir(top); open(top + '/config', 'w').write('small'); open(top + '/model', 'wb').write(bytes(size))", top=self.a.point + "/run", size=size)
        reading = reader.start("open(top + '/config').read()", top=self.b.point + "/run").parked()
        before = self.b.wire_bytes()[0]
        writer.asks(self.a.point, CALL_SEAL, "run")
        self.assertEqual("small", reading.value())
        # nobody has asked for the other one
        until(lambda: self.b.wire_bytes()[0] - before >= size, "it to be read ahead", 3 * PATIENCE)
        reader.start("model = open(top + '/model', 'rb').read()", top=self.b.point + "/run").value(patience=3 * PATIENCE)
        self.assertTrue(reader("model == bytes(size)", size=size))
        self.assertLessEqual(self.b.wire_bytes()[0] - before, 1.02 * size)


if __name__ == "__main__":
    main()
