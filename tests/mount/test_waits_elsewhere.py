#!/usr/bin/python3
# time limit: 300
"""What waits on one mount is known on the others: in listings, and when trials wait for each other in a circle."""

import fcntl
import hashlib
import json
import os
import re
import time

from harness import DAEMON, ROOT, SLOWNESS, USER, SealfsTest, all_parked, in_modes, main, until

SECONDS = 20 * max(SLOWNESS, 1)  # "within seconds": publishing takes two, a circle must be found twice, two seconds apart


class Elsewhere(SealfsTest):
    def setUp(self):
        super().setUp()
        self.a, self.b = self.mount(name="mount A"), self.second_mount(name="mount B")

    def write(self, mount, name, trial):
        agent = self.agent(trial)
        agent("os.mkdir(d); open(d + '/a', 'w').write('x')", d=mount.path + "/" + name)
        return agent

    def read(self, mount, name, agent):
        return agent.start("open(d + '/a').read()", d=mount.path + "/" + name)

    def published(self):
        return sorted(name for name in os.listdir(self.exported(".sealfs/mounts")) if name.endswith((".waits", ".mount", ".trial")))


@in_modes(ROOT, DAEMON, USER)
class Listings(Elsewhere):
    def test_status_shows_who_waits_on_another_mount(self):
        self.write(self.a, "p", "parent")
        child = self.agent("child one")
        reading = self.read(self.b, "p", child).parked()
        for place, patience in ((self.b.path + "/p", 0), (self.a.path + "/p", None), (self.exported("p"), None)):
            entry = until(lambda: [one for one in self.status(place)["waiters"]], "the waiter in " + place, patience)[0]
            self.assertEqual((entry["trial"], entry["pid"]), ("child\\x20one", child.pid))
            self.assertRegex(entry["command"], "python")
            self.assertEqual(entry["host"], os.uname().nodename)
            self.assertGreaterEqual(entry["seconds"], 0)
            self.assertNotIn("unconfirmed", entry)
            self.assertRegex(self.ctl("status", place).out, r"awaited by pid %d \(python" % child.pid)
        for place in (self.a.path, self.export):
            everything = {one["path"]: one for one in json.loads(self.ctl("status", "--json", place).out)}
            self.assertEqual([one["pid"] for one in everything["p"]["waiters"]], [child.pid])
        self.ctl("seal", self.a.path + "/p", trial="parent")
        self.assertEqual(reading.value(), "x")
        for place in (self.a.path + "/p", self.exported("p")):
            until(lambda: self.status(place)["waiters"] == [], "it to be forgotten")

    def test_nothing_is_published_of_short_waits_and_nothing_stays(self):
        self.write(self.a, "p", "parent")
        reading = self.read(self.b, "p", self.agent("child")).parked()
        self.ctl("seal", self.a.path + "/p", trial="parent")
        reading.value()
        self.write(self.a, "q", "parent2")
        reading = self.read(self.b, "q", self.agent("child2")).parked()
        until(lambda: len(self.published()) == 3, self.published)
        self.ctl("seal", self.a.path + "/q", trial="parent2")
        reading.value()
        until(lambda: len(self.published()) == 1, self.published)  # the sign of life
        self.b.unmount()
        self.assertEqual(self.published(), [])

    def test_waiters_of_a_mount_that_died_are_not_shown(self):
        self.write(self.a, "p", "parent")
        self.read(self.b, "p", self.agent("child")).parked()
        until(lambda: self.status(self.a.path + "/p")["waiters"], "the waiter")
        self.b.kill()
        until(lambda: self.status(self.a.path + "/p")["waiters"] == [], "it to be forgotten")
        self.assertEqual(self.status(self.exported("p"))["waiters"], [])

    def test_many(self):
        self.write(self.a, "p", "parent")
        agents = [self.agent("child-%d" % number) for number in range(12)]
        all_parked(*[self.read(self.b, "p", agent) for agent in agents])
        seen = until(lambda: len(self.status(self.a.path + "/p")["waiters"]) == 12 and self.status(self.a.path + "/p")["waiters"], "all of them")
        self.assertEqual({one["pid"] for one in seen}, {agent.pid for agent in agents})
        for agent in agents[:6]:
            agent.close()
        until(lambda: len(self.status(self.a.path + "/p")["waiters"]) == 6, "those that are left")


@in_modes(ROOT)
class Machines(SealfsTest):
    def test_host_of_who_waits_on_another_machine(self):
        a = self.mount()
        b = self.mount(point=self.make_dir("mnt-b"), wrapper=["/usr/bin/unshare", "--uts", "/bin/sh", "-c", 'hostname node-b && exec "$@"', "sh"])
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'w')", d=a.path + "/p")
        child = self.agent("child")
        child.start("open(d + '/a').read()", d=b.path + "/p").parked()
        entry = until(lambda: self.status(a.path + "/p")["waiters"], "the waiter")[0]
        self.assertEqual(entry["host"], "node-b")
        for place in (a.path + "/p", self.exported("p")):
            self.assertRegex(self.ctl("status", place).out, r"pid %d \(python3?[^)]*\) of trial 'child' on node-b" % child.pid)

    def test_mount_that_may_not_write_publishes_nothing(self):
        a, b = self.mount(), self.second_mount("ro")
        self.agent("parent")("os.mkdir(d); open(d + '/a', 'w').write('x')", d=a.path + "/p")
        reading = self.agent("child").start("open(d + '/a').read()", d=b.path + "/p").parked()
        time.sleep(2.5)
        self.assertEqual([name for name in os.listdir(self.exported(".sealfs/mounts")) if name.endswith(".waits")], [])
        self.assertEqual(len(self.status(b.path + "/p")["waiters"]), 1)
        self.ctl("seal", a.path + "/p", trial="parent")
        self.assertEqual(reading.value(), "x")


@in_modes(ROOT, USER)
class Circles(Elsewhere):
    def check_one_is_refused(self, calls, names):
        """One of them gets EDEADLK; what its trial writes is abandoned then, and the others get on."""
        began = time.monotonic()
        until(lambda: any(call.done() for call in calls), "one of them to be refused", SECONDS)
        print("%s: refused after %.1f s" % (self.id(), time.monotonic() - began))
        refused = [call for call in calls if call.done()]
        self.assertEqual([call.error() for call in refused], ["EDEADLK"])
        for call in calls:
            if call not in refused:
                call.still_waiting()
        return calls.index(refused[0])

    def test_of_two_who_write_and_wait(self):
        one, two = self.write(self.a, "x", "one"), self.write(self.b, "y", "two")
        calls = [self.read(self.a, "y", one).parked()]
        self.published_by(1)
        calls.append(self.read(self.b, "x", two).parked())
        victim = self.check_one_is_refused(calls, "xy")
        self.assertEqual(victim, 1, "who closed the circle was not the one")
        self.b.await_log(r"'x': trial 'two' on .* gets EDEADLK: .*trial 'two' on .* waits for 'x', which trial 'one' writes; trial 'one' on .* waits for 'y'")
        self.ctl("abandon", self.b.path + "/y")
        calls[0].fails("EOWNERDEAD")

    def published_by(self, count):
        until(lambda: len([name for name in self.published() if name.endswith(".waits")]) == count, "waits to be published")

    def test_of_two_who_have_not_begun(self):
        self.reserve(self.a.path + "/x", writer="one")
        self.reserve(self.b.path + "/y", writer="two")
        calls = [self.read(self.a, "y", self.agent("one")).parked(), self.read(self.b, "x", self.agent("two")).parked()]
        self.check_one_is_refused(calls, "xy")

    def test_of_three(self):
        c = self.second_mount("hints=off", name="mount C")
        agents = [self.write(mount, name, name) for mount, name in ((self.a, "x"), (self.b, "y"), (c, "z"))]
        calls = [self.read(self.a, "y", agents[0]).parked(), self.read(self.b, "z", agents[1]).parked(), self.read(c, "x", agents[2]).parked()]
        self.check_one_is_refused(calls, "xyz")

    def test_chain_is_no_circle(self):
        c = self.second_mount(name="mount C")
        _, second = self.write(self.a, "x", "one"), self.write(self.b, "y", "two")
        third = self.agent("three")
        calls = [self.read(self.b, "x", second).parked(), self.read(c, "y", third).parked(), self.read(c, "x", self.agent("four")).parked()]
        self.published_by(2)
        time.sleep(6)
        for call in calls:
            call.still_waiting()
        self.ctl("abandon", self.a.path + "/x")
        calls[0].fails("EOWNERDEAD")
        calls[2].fails("EOWNERDEAD")
        calls[1].still_waiting()


@in_modes(ROOT)
class Waits_of_another_implementation(Elsewhere):
    """The test publishes what a mount elsewhere would, as sealfs(5) describes it."""
    token = "0123456789abcdef0123456789abcdef"

    def publish(self, generation=1, awaited="one", since="2026-01-01T00:00:00.000000000Z", lock=True):
        folder = self.exported(".sealfs/mounts/")
        self.sign = open(folder + self.token + ".mount", "w+")
        self.addCleanup(self.sign.close)
        if lock:
            fcntl.lockf(self.sign, fcntl.LOCK_EX)
        text = "sealfs waits 1\nmount: %s\nhost: far\ntime: 2026-01-01T00:00:01.000000000Z\n" % self.token
        text += "checkpoint: x\ngeneration: %d\ntrial: two\nawaited: %s\npid: 9\ncommand: sh\nsince: %s\n" % (generation, awaited, since)
        text += "sha256: %s\n" % hashlib.sha256(text.encode()).hexdigest()
        with open(folder + ".new", "w") as file:
            file.write(text)
        os.rename(folder + ".new", folder + self.token + ".waits")
        os.symlink(self.token, folder + hashlib.sha256(b"two").hexdigest()[:32] + ".trial")

    def begin(self):
        """Trial one writes x here and waits for y, which trial two writes through the other mount, and which is said to wait elsewhere for x."""
        one = self.write(self.a, "x", "one")
        self.write(self.b, "y", "two")
        return self.read(self.a, "y", one).parked()

    def stays(self, call):
        time.sleep(8)
        call.still_waiting()

    def test_circle_through_it(self):
        self.publish()
        self.begin().fails("EDEADLK", patience=SECONDS)
        self.a.await_log("trial 'two' on far waits for 'x'")

    def test_circle_that_is_closed_after_long(self):
        """Its clock is behind ours, so it is ours that is refused, though it came last."""
        call = self.begin()
        time.sleep(4)
        self.publish()
        call.fails("EDEADLK", patience=30 * max(SLOWNESS, 1))

    def test_it_began_later_so_it_is_refused_itself(self):
        self.publish(since="2100-01-01T00:00:00.000000000Z")
        self.stays(self.begin())

    def test_dead_mount_closes_no_circle(self):
        self.publish(lock=False)
        self.stays(self.begin())

    def test_wait_for_another_generation_closes_none(self):
        self.publish(generation=2)
        self.stays(self.begin())

    def test_it_is_listed(self):
        self.publish()
        self.write(self.a, "x", "one")
        for place in (self.a.path + "/x", self.b.path + "/x", self.exported("x")):
            self.assertEqual([(one["host"], one["trial"], one["pid"]) for one in self.status(place)["waiters"]], [("far", "two", 9)])
            self.assertTrue(re.search(r"awaited by pid 9 \(sh\) of trial 'two' on far", self.ctl("status", place).out))


if __name__ == "__main__":
    main()
