"""Who lives, where locks have no lease or where the lease was lost; and trials that write on several machines.

time limit: 600
"""

from machines import *

SOON = 5 * SLOWNESS  # to look, to decide, to write that down
SILENCE = 45  # seconds: after so many a machine with heartbeats is known to be gone
READ = "open(path, 'rb').read()"
SAVE = "import os, sys; os.makedirs(sys.argv[1], exist_ok=True); open(sys.argv[1] + '/' + sys.argv[2], 'w').write('x' * 1000)"


class Base(MachinesTest):
    def begin(self, *options):
        self.a_mount = self.a.mount(*options)
        self.b.mount(*options)
        self.top_a, self.top_b = self.a.point + "/run", self.b.point + "/run"
        writer = self.a.trial("writer")
        writer("os.mkdir(top); file = open(top + '/model', 'wb', buffering=0); file.write(data); os.fsync(file.fileno())", top=self.top_a, data=pattern(100000, 1))
        return writer

    def read(self, machine, trial="child"):
        return machine.trial(trial).start(READ, path=machine.point + "/run/model")


@in_versions("3", "3,nolock")
class Silence(Base):
    """NFSv3 never frees the lock of a machine that vanished; with nolock nobody else sees one."""

    def test_machine_that_vanished_is_noticed_by_its_silence(self):
        self.begin()
        waiting = self.read(self.b).parked()
        self.a.link("down")
        cut = time.monotonic()
        waiting.fails("EOWNERDEAD", patience=3 * SILENCE)
        took = waiting.ended - cut
        figure("NFS %s: the waiter was told after %.1f s of silence" % (",".join((self.version,) + self.nfs_options), took))
        self.assertGreater(took, 20)
        self.assertLess(took, SILENCE + SOON)

    def test_next_generation_of_another_machine_is_sealed_and_late_bytes_are_in_nobody_s_seal(self):
        writer = self.begin()
        waiting = self.read(self.b).parked()
        self.a.link("down")
        waiting.fails("EOWNERDEAD", patience=3 * SILENCE)
        second, content = self.b.trial("writer"), pattern(300000, 2)  # the launcher has started it again, under its name
        second("os.makedirs(top, exist_ok=True); file = open(top + '/model', 'wb', buffering=0); file.write(data[:1000])", top=self.top_b, data=content)
        self.a.link("up")
        late = writer.start("open(top + '/more', 'w')", top=self.top_a)
        self.assertEqual(late.error(patience=3 * PATIENCE), "EOWNERDEAD")
        self.assertNotEqual(writer.starts_call(self.a.point, CALL_SEAL, "run").value(patience=3 * PATIENCE)[0], 0)
        writer.start("file.write(b'late' * 1000), file.close()").finish(patience=3 * PATIENCE)
        second("file.write(data[1000:]), file.close()", data=content)
        second.asks(self.b.point, CALL_SEAL, "run")
        for machine in (self.a, self.b):
            self.assertEqual(self.read(machine).value(), content)

    def test_server_that_is_away_for_longer_than_the_limit_kills_nobody(self):
        writer = self.begin()
        waiting = self.read(self.b).parked()
        command("server", "stop")
        self.addCleanup(command, "server", "start")
        time.sleep(2 * SILENCE)  # its end is the event, and nobody is told
        command("server", "start")
        command("server", "await")
        time.sleep(SILENCE)
        waiting.parked(patience=3 * PATIENCE)
        writer.start("file.close()").value(patience=3 * PATIENCE)
        writer.asks(self.a.point, CALL_SEAL, "run")
        self.assertEqual(waiting.value(patience=3 * PATIENCE), pattern(100000, 1))


@in_versions("4.2", "4.1")
class Lease(Base):
    def test_machine_that_answers_others_but_has_lost_the_server(self):
        """That it answers does not keep them waiting."""
        self.begin("heartbeat=1")  # a beat every 12 s, and the server need not have answered it for 10 s
        waiting = self.read(self.b).parked()
        until(lambda: self.b.stats()["hinted"] == 1, "hints to be in force")
        self.a.server_path("down")
        cut = time.monotonic()
        waiting.fails("EOWNERDEAD", patience=400)
        took = waiting.ended - cut
        figure("NFS %s: who waits for a machine that has lost the server, and answers datagrams, was told after %.1f s" % (self.version, took))
        self.assertLess(took, 12 + 10 + LEASE + SOON)

    def test_lease_that_was_lost_unnoticed_is_taken_anew(self):
        """Nobody waited, so nobody has declared it dead: what it wrote is sealed."""
        writer = self.begin()
        self.a.link("down")
        time.sleep(3 * LEASE)
        self.a.link("up")
        writer.start("file.write(b'more'), file.close()").value(patience=3 * PATIENCE)
        result, told = writer.starts_call(self.a.point, CALL_SEAL, "run").value(patience=3 * PATIENCE)
        if result:
            # somebody else had the lock in between, or the client says that data may be lost: never a seal of less
            self.assertEqual(self.ends("run")[1].count("failed"), 1, told)
            self.fail("not sealed: %s" % told)
        self.assertEqual(self.read(self.b).value(), pattern(100000, 1) + b"more")

    def test_lease_that_was_lost_unnoticed_is_there_again_for_who_comes_later(self):
        writer = self.begin("heartbeat=1")  # so that the lease is looked at every 12 s
        self.a.link("down")
        time.sleep(3 * LEASE)
        self.a.link("up")
        time.sleep(SILENCE)  # whether the server has forgotten it is the server's affair
        waiting = self.read(self.b).parked()
        self.assertFalse(waiting.done(2 * LEASE), "the writer lives")
        writer.start("file.close()").value(patience=3 * PATIENCE)
        writer.asks(self.a.point, CALL_SEAL, "run")
        self.assertEqual(waiting.value(patience=3 * PATIENCE), pattern(100000, 1))


@in_versions("4.2", "4.1", "3", "3,nolock")
class Joined(MachinesTest):
    def start(self, machine, name, *options):
        fifo = "%s/go-%s" % (self.tmp, name)
        os.mkfifo(fifo)
        # below /mnt the mounts of all machines are seen, but a run is to concern those of its own
        others = [other.point for other in self.machines.values() if other is not machine]
        run = machine.spawn(["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", 'umount -l "$1" && shift && exec "$@"', "sh", *others,
                             self.sealctl_path, "run", "--trial", "parent", *options, "--", "/bin/sh", "-c",
                             '"$1" -c "$2" "$3" "$4" && echo ready && read -r status <"$5" && exit "$status"', "sh", PYTHON, SAVE,
                             machine.point + "/run", name, fifo], name=name)
        until(lambda: "ready" in run.output(), lambda: "the run %s\n%s" % (name, run.output()), 3 * PATIENCE)
        run.go = fifo
        return run

    def end(self, run, status=0):
        with open(run.go, "w") as file:
            file.write("%d\n" % status)

    def begin(self):
        self.mounts = self.a.mount(), self.b.mount()
        first = self.start(self.a, "first", "--save", self.a.point + "/run")
        return first, self.start(self.b, "second", "--join")

    def test_one_seal_over_the_files_of_both_machines(self):
        first, second = self.begin()
        child = self.b.trial("child").start("sorted(os.listdir(path))", path=self.b.point + "/run").parked()
        self.end(first)
        self.mounts[0].await_log("it is sealed when it has ended through its other mounts", 3 * PATIENCE)
        child.parked()
        self.end(second)
        self.assertEqual([second.wait(3 * PATIENCE), first.wait(3 * PATIENCE)], [0, 0], first.output() + second.output())
        self.assertEqual(child.value(patience=3 * PATIENCE), ["first", "second"])

    def test_joined_machine_that_fails(self):
        first, second = self.begin()
        self.end(second, 5)
        self.assertEqual(second.wait(3 * PATIENCE), 5)
        self.end(first)
        self.assertEqual(first.wait(3 * PATIENCE), 3, first.output())

    def test_joined_machine_that_vanishes_between_two_of_its_files(self):
        first, _ = self.begin()
        child = self.a.trial("child").start("os.listdir(path)", path=self.a.point + "/run").parked()
        self.b.link("down")
        self.end(first)
        self.assertEqual(first.wait(3 * (SILENCE + LEASE)), 3, first.output())
        child.fails("EOWNERDEAD", patience=3 * PATIENCE)
        self.assertIn("the joined machine", self.ends("run")[1])

    def test_claimer_that_vanishes_is_noticed_though_the_joined_machine_lives(self):
        _, second = self.begin()
        child = self.b.trial("child").start("os.listdir(path)", path=self.b.point + "/run").parked()
        self.a.link("down")
        cut = time.monotonic()
        child.fails("EOWNERDEAD", patience=3 * (SILENCE + LEASE))
        took = child.ended - cut
        figure("NFS %s: a waiter was told of the claimer's death, while a joined machine lives, after %.1f s" % (self.version, took))
        self.assertLess(took, (SILENCE if self.version.startswith("3") else LEASE) + SOON)
        second.must_run()
        self.end(second)
        self.assertEqual(second.wait(3 * PATIENCE), 3, second.output())


if __name__ == "__main__":
    main()
