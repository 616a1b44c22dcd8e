"""Both sides of a partition race for the end of a generation: the writer's machine, which comes back with its seal, and the one that
waits and finds the writer dead.

time limit: 900
"""

import random

from machines import *

# idle time makes most of a round: where it costs something there are fewer
ROUNDS = {"4.2": count_of(4, 40), "4.1": count_of(2, 30), "3": count_of(2, 30)}


class Races:
    """Of a MachinesTest."""

    options = ()  # of the mounts

    def partition(self, chance):
        """Prepares one. When the machine's network is plugged in again, and when what it had to say gets through, in seconds after the cut."""
        raise NotImplementedError

    def test_there_is_one_end_and_all_machines_agree(self):
        chance = random.Random(self.version)
        self.a.mount(*self.options)
        self.b.mount(*self.options)
        server = Mount(self, self.served, self.make_dir("server"), self.mode.options, name="sealfs on the server")
        self.mounted.append(server)
        self.asker = self.agent("somebody")
        self.views = [self.a.point, self.b.point, server.path]
        won = {"sealed": 0, "failed": 0}
        for number in range(ROUNDS[self.version]):
            won[self.round("run-%d" % number, chance)] += 1
        figure("NFS %s: of %d races the seal won %d" % (self.version, sum(won.values()), won["sealed"]))
        if TRAVELS:
            self.assertGreater(won["sealed"], 0, "these were no races")
            self.assertGreater(won["failed"], 0, "these were no races")

    def round(self, path, chance):
        content = pattern(20000, len(path) + int(path[4:]))
        writer, reader = self.a.trial("writer"), self.b.trial("reader")
        plugged, through = self.partition(chance)
        writer("""
            os.mkdir(top)
            with open(top + "/model", "wb") as file:
                file.write(content)
        """, top=os.path.join(self.a.point, path), content=content)
        waiting = reader.start("open(path, 'rb').read()", path=os.path.join(self.b.point, path, "model")).parked()
        # the seal begins somewhere between long before and just after the moment at which the writer would be found dead
        self.a.link("down")
        cut = time.monotonic()
        sealing = None
        begin = chance.choice((0.1, chance.uniform(0, through), through + chance.uniform(0, 0.2)))
        for when, step in sorted([(plugged, "up"), (begin, "seal")]):
            time.sleep(max(0, cut + when - time.monotonic()))
            if step == "up":
                self.a.link("up")
            else:
                sealing = writer.starts_call(self.a.point, CALL_SEAL, path)
        result, told = sealing.value(patience=PATIENCE * 5)
        error = waiting.error(patience=PATIENCE * 5)
        end, = self.ends(path).values()
        sealed = "\nresult: sealed\n" in end
        self.assertTrue(sealed or "\nreason: owner died\n" in end, end)
        self.assertEqual(sealed, result == 0, (told, end))
        self.assertEqual(None if sealed else "EOWNERDEAD", error, end)
        if sealed:
            self.assertEqual(content, waiting.value())
        for point in self.views:
            listed, = asks(self.asker, point, CALL_STATUS, path)
            self.assertEqual("sealed" if sealed else "failed", listed["state"])
        if sealed:
            verified = self.run_program([self.sealctl_path, "verify", os.path.join(self.served, path)], uid=0)
            self.assertEqual(0, verified.status, verified)
        writer.close()
        reader.close()
        return "sealed" if sealed else "failed"


@in_versions("4.2", "4.1")
class Partition(Races, MachinesTest):
    """The server's lease decides when the writer is dead."""

    def partition(self, chance):
        # as TCP tries again in longer and longer intervals, its network comes back somewhat earlier
        back = LEASE + chance.uniform(-4, 3)
        return back, back


@in_versions("3")
class PartitionByHeartbeats(Races, MachinesTest):
    """The waiter finds the writer dead when it has seen no heartbeat for some 18 s."""

    options = ("heartbeat=2",)
    DOUBLINGS = 6

    def partition(self, chance):
        # a client of version 3 is heard when its TCP tries again, always twice as long after the last time: by itself after 12 and 25 s, never
        # between. So the first interval is chosen
        through = chance.uniform(8, 24)
        self.a.tcp_waits(through / (2 ** self.DOUBLINGS - 1))
        return through - 1, through


if __name__ == "__main__":
    main()
