"""Somebody on the network records the datagrams of sealfs, and sends them again, changed ones, and forged ones, ten thousand a second.

bed: real time
time limit: 300
"""

import random
import struct

from machines import *

RATE, COUNT = 10_000, 30_000
UDP_CHECKSUM = slice(40, 42)  # behind the headers of Ethernet and IPv4, 0: none
PAYLOAD = 42
ETH_P_ALL, ETH_P_IP = 3, 0x0800
SO_ATTACH_FILTER = 26
READ = "open(path).read()"


class Wire:
    """All that goes to a machine through its cable."""

    def __init__(self, machine):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        # nothing but UDP, or NFS leaves no room: load the byte at 23, return all if it is 17, else nothing
        steps = (0x30, 0, 0, 23), (0x15, 0, 1, socket.IPPROTO_UDP), (0x06, 0, 0, 0xffff), (0x06, 0, 0, 0)
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(steps), ctypes.addressof(program)))
        self.socket.setblocking(False)
        self.socket.bind(("cable." + machine, ETH_P_ALL))

    def datagrams(self):
        """Those that it has been sent since the last call."""
        found = []
        while True:
            try:
                frame, (_, protocol, kind, _, _) = self.socket.recvfrom(2000)
            except BlockingIOError:
                return found
            if kind == socket.PACKET_OUTGOING and protocol == ETH_P_IP and frame[PAYLOAD:PAYLOAD + 4] == b"SFSH":
                found.append(frame)

    def send(self, frame):
        try:
            self.socket.send(frame)
        except BlockingIOError:
            pass


def without_checksum(frame):
    frame = bytearray(frame)
    frame[UDP_CHECKSUM] = b"\0\0"
    return bytes(frame)


@in_versions("4.2", "3")
class HostileNetwork(MachinesTest):

    def setUp(self):
        super().setUp()
        self.chance = random.Random(1)
        self.wires = [Wire("a"), Wire("b")]
        self.a.mount()
        self.b.mount()
        self.reading = []

    def clean_up(self):
        for wire in self.wires:
            wire.socket.close()
        super().clean_up()

    def begin(self, trial):
        """A trial of A that writes, and one of B that waits for it, and is to be told."""
        writer = self.a.trial(trial)
        writer("os.makedirs(top, exist_ok=True); open(top + '/model', 'w').write(text)", top=self.a.point + "/run", text=trial)
        reading = self.b.trial("reader of " + trial).start(READ, path=self.b.point + "/run/model").parked()
        until(lambda: self.b.stats()["hinted"] == 1, "hints to be in force")
        return writer, reading

    def variants(self, frame):
        """It again, garbled anywhere, of another kind and generation, cut short, and nothing but its address."""
        yield frame
        for _ in range(3):
            garbled = bytearray(frame)
            garbled[self.chance.randrange(PAYLOAD, len(frame))] ^= 1 << self.chance.randrange(8)
            yield bytes(garbled)
        yield frame[:PAYLOAD + 5] + bytes([self.chance.randrange(1, 7)]) + frame[PAYLOAD + 6:]
        yield frame[:PAYLOAD + 8] + (2).to_bytes(4, "big") + frame[PAYLOAD + 12:]
        yield frame[:PAYLOAD] + self.chance.randbytes(len(frame) - PAYLOAD)

    @staticmethod
    def used(mount):
        """Seconds of processor time."""
        with open("/proc/%d/stat" % mount.pid) as file:
            return sum(int(field) for field in file.read().rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")

    def flood(self, frames):
        began = time.monotonic()
        for number in range(COUNT):
            if number % 50 == 0:
                time.sleep(max(0, began + number / RATE - time.monotonic()))
            wire, frame = frames[number % len(frames)]
            wire.send(frame)
        return time.monotonic() - began

    def test_nobody_is_waked_wrongly_and_the_processor_time_is_bounded(self):
        # what the end of the first generation looked like on the wire is sent again while the second is waited for
        writer, reading = self.begin("first")
        writer.asks(self.a.point, CALL_ABANDON, "run")
        reading.fails("EOWNERDEAD")
        writer, reading = self.begin("second")
        frames = []
        for wire in self.wires:
            seen = wire.datagrams()
            self.assertTrue(seen, "nothing was recorded")
            frames.extend((wire, variant) for frame in seen for variant in self.variants(without_checksum(frame)))
        self.chance.shuffle(frames)
        used, before = [self.used(mount) for mount in self.mounted], [machine.stats() for machine in (self.a, self.b)]
        took = self.flood(frames)
        used = [self.used(mount) - old for mount, old in zip(self.mounted, used)]
        after = [machine.stats() for machine in (self.a, self.b)]
        received, dropped, looks = [[new[name] - old[name] for new, old in zip(after, before)] for name in ("hints_received", "hints_dropped", "looks")]
        figure("NFS %s: %d datagrams in %.1f s (%d kinds): %s reached A and B, %s of them were dropped; %s looks; %.2f and %.2f s of processor time" % (
            self.version, COUNT, took, len(frames), received, dropped, looks, *used))
        reading.still_waiting()
        self.assertGreater(min(received), COUNT // 10)
        self.assertLess(max(used), 0.6 * took)
        self.assertLessEqual(max(looks), 64 + 50 * (took + 1))
        writer.asks(self.a.point, CALL_SEAL, "run")
        self.assertEqual("second", reading.value())


if __name__ == "__main__":
    main()
