#!/usr/bin/python3
# time limit: 180
"""fcntl locks with posix_locks=export: among the processes of a mount, of two mounts of one export, and with programs that use the export itself."""

import os
import signal

from harness import DAEMON, ROOT, USER, SealfsTest, all_parked, in_modes, main, task_file, until

LOCKS = """
import struct
WR, RD, UN = fcntl.F_WRLCK, fcntl.F_RDLCK, fcntl.F_UNLCK
LAYOUT = 'hhqqi4x'
def ask(command, kind, start, length, of):
    return struct.unpack(LAYOUT, fcntl.fcntl(of or file, command, struct.pack(LAYOUT, kind, os.SEEK_SET, start, length, 0)))
def take(kind, start=0, length=0, of=None):
    ask(fcntl.F_SETLK, kind, start, length, of)
def wait_for(kind, start=0, length=0, of=None):
    ask(fcntl.F_SETLKW, kind, start, length, of)
def seen(kind, start=0, length=0):
    found = ask(fcntl.F_GETLK, kind, start, length, None)
    return None if found[0] == UN else ('WR' if found[0] == WR else 'RD', found[2], found[3], found[4])
# the lock of the open file
def take_own(kind, start=0, length=0, of=None):
    ask(37, kind, start, length, of)
"""


class Places(SealfsTest):
    options = ("posix_locks=export",)

    def setUp(self):
        super().setUp()
        os.mkdir(self.exported("plain"))
        with open(self.exported("plain/f"), "w") as file:
            file.write("0123456789" * 20)
        self.give(self.exported("plain"))
        self.running = self.mount(*self.options)
        self.second = self.second_mount(*self.options)
        # of the first mount, the second, and of no mount
        self.here, self.there, self.bare = (self.opened(place) for place in (self.point, self.second.path, self.export))

    def opened(self, place, how="r+b"):
        agent = self.agent("parent", name="at " + place)
        agent(LOCKS)
        agent("file = open(p, how)", p=place + "/plain/f", how=how)
        return agent

    def can(self, agent, code):
        """Is it had at once?"""
        problem = agent.error(code)
        self.assertIn(problem, (None, "EAGAIN", "EACCES"))
        return problem is None


@in_modes(ROOT, DAEMON, USER)
class Export(Places):
    def test_lock_to_write_excludes_all_everywhere(self):
        agents = (self.here, self.there, self.bare, self.opened(self.point))
        reader = self.opened(self.second.path, "rb")
        for holder in agents:
            holder("take(WR)")
            for other in agents:
                if other is not holder:
                    self.assertFalse(self.can(other, "take(WR)"))
                    self.assertFalse(self.can(other, "take(RD)"))
            self.assertFalse(self.can(reader, "take(RD)"))
            holder("take(UN)")
        self.assertTrue(self.can(reader, "take(RD)"))
        self.assertEqual(reader.error("take(WR)"), "EBADF")

    def test_locks_to_read_are_shared(self):
        for agent in (self.here, self.there, self.bare):
            agent("take(RD)")
        for agent in (self.here, self.there, self.bare):
            self.assertFalse(self.can(agent, "take(WR)"))
        self.there("take(UN)")
        self.bare("take(UN)")
        self.assertTrue(self.can(self.here, "take(WR)"))
        self.assertFalse(self.can(self.there, "take(RD)"))
        self.here("take(RD)")
        self.assertTrue(self.can(self.there, "take(RD)"))

    def test_ranges_split_and_change(self):
        self.here("take(WR, 0, 100)")
        self.here("take(UN, 40, 20)")
        for other in (self.there, self.bare, self.opened(self.point)):
            self.assertTrue(self.can(other, "take(WR, 40, 20)"))
            self.assertFalse(self.can(other, "take(WR, 39, 1)"))
            self.assertFalse(self.can(other, "take(WR, 60, 1)"))
            self.assertTrue(self.can(other, "take(WR, 100, 0)"))
            other("take(UN)")
        self.here("take(RD, 0, 10)")
        self.assertTrue(self.can(self.there, "take(RD, 0, 10)"))
        self.assertFalse(self.can(self.there, "take(RD, 0, 11)"))
        self.assertFalse(self.can(self.here, "take(WR, 5, 1)"))
        self.there("take(UN)")
        self.assertTrue(self.can(self.here, "take(WR, 0, 200)"))
        self.assertFalse(self.can(self.bare, "take(RD, 45, 1)"))

    def test_waits_for_who_holds_it_elsewhere(self):
        near = self.opened(self.point)
        for holder, waiter in ((self.here, self.there), (self.there, self.here), (self.bare, self.here), (self.here, self.bare), (self.here, near)):
            holder("take(WR, 10, 10)")
            waiting = waiter.start("wait_for(WR, 0, 15)")
            if waiter is not self.bare:
                waiting.parked()
            else:
                until(lambda: "fcntl" in task_file(self.bare.pid, "wchan") or "lock" in task_file(self.bare.pid, "wchan"), "it to wait")
            holder("take(UN, 10, 10)")
            waiting.value()
            self.assertFalse(self.can(holder, "take(RD, 14, 1)"))
            waiter("take(UN)")

    def test_close_of_any_descriptor_gives_all_back(self):
        for end in ("file.close()", "other = open(p, 'rb'); other.close()", "os.close(os.dup(file.fileno()))"):
            holder = self.opened(self.point)
            holder("take(WR, 5, 5)")
            holder("take(RD, 50, 5)")
            waiting = self.there.start("wait_for(WR)").parked()
            holder(end, p=self.point + "/plain/f")
            waiting.value()
            self.there("take(UN)")
            holder.kill()

    def test_close_by_another_process_gives_nothing_back(self):
        self.here("take(WR)")
        self.here("pid = os.fork()\nif pid == 0:\n    file.close()\n    os._exit(0)\nos.waitpid(pid, 0)")
        self.assertFalse(self.can(self.there, "take(RD)"))
        # and a child has none of its parent's
        self.assertEqual(self.here("""
            pid = os.fork()
            if pid == 0:
                try:
                    take(RD)
                    os._exit(1)
                except OSError:
                    os._exit(0)
            result = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            """), 0)

    def test_it_is_free_when_close_has_returned(self):
        other = self.opened(self.point)
        for _ in range(50):
            for agent in (self.here, other, self.there):
                agent("file = open(p, 'r+b')", p=(self.second.path if agent is self.there else self.point) + "/plain/f")
                agent("take(WR)")
                agent("file.close()")

    def test_death_of_the_holder_gives_it_on(self):
        self.here("take(WR)")
        waiting = self.there.start("wait_for(WR)").parked()
        self.here.kill()
        waiting.value()

    def test_death_of_the_holder_s_mount_gives_it_on(self):
        self.here("take(WR)")
        waiting = self.there.start("wait_for(WR)").parked()
        self.running.kill()
        waiting.value()

    def test_wait_can_be_killed_and_leaves_no_lock(self):
        self.here("take(WR)")
        for place in (self.point, self.second.path):
            victim = self.opened(place)
            victim.start("wait_for(WR)").parked()
            victim.kill()
        self.here("take(UN)")
        self.assertTrue(self.can(self.bare, "take(WR)"))

    def test_wait_can_be_interrupted_and_what_was_held_stays(self):
        self.here("take(WR, 0, 10)")
        self.there("take(WR, 10, 10)")
        waiting = self.there.start("wait_for(WR, 0, 20)").parked()
        self.there.signal(signal.SIGINT)
        self.assertEqual(waiting.error(), "KeyboardInterrupt")
        self.here("take(UN)")
        self.assertTrue(self.can(self.bare, "take(WR, 0, 10)"))
        self.assertFalse(self.can(self.bare, "take(WR, 10, 1)"))

    def test_wait_outlives_what_another_thread_closes(self):
        """Which gives back what the process held, and not what it waits for."""
        self.here("take(WR, 0, 10)")
        self.there("take(WR, 100, 10)")
        self.there("""
            import threading
            had = threading.Event()
            waiting = threading.Thread(target=lambda: (wait_for(WR, 0, 10), had.set()))
            waiting.start()
            """)
        until(lambda: self.waiting_requests(self.second) == 1, "the thread to wait")
        self.there("open(p, 'rb').close()", p=self.second.path + "/plain/f")
        self.assertTrue(self.can(self.bare, "take(WR, 100, 10)"))
        self.here("take(UN)")
        self.there("had.wait(); waiting.join()")
        self.assertFalse(self.can(self.bare, "take(RD, 0, 1)"))
        self.there("file.close()")
        self.assertTrue(self.can(self.bare, "take(WR, 0, 1)"))

    def waiting_requests(self, mount):
        return sum("fuse" in task_file(int(task), "wchan") or "request_wait" in task_file(int(task), "wchan") for task in os.listdir("/proc/%d/task" % self.there.pid))

    def test_unmounting_ends_the_wait(self):
        self.bare("take(WR)")
        waiting = self.there.start("wait_for(WR)").parked()
        self.second.process.signal(signal.SIGTERM)
        self.assertIn(waiting.error(), ("ENOTCONN", "ECONNABORTED"))
        self.second.process.wait()
        self.there.kill()

    def test_question_who_has_it(self):
        near = self.opened(self.point)
        self.assertIsNone(near("seen(WR)"))
        self.here("take(WR, 10, 20)")
        self.here("take(RD, 50, 5)")
        self.assertEqual(near("seen(WR, 0, 40)"), ("WR", 10, 20, self.here.pid))
        self.assertEqual(near("seen(RD, 25, 5)"), ("WR", 10, 20, self.here.pid))
        self.assertEqual(near("seen(WR, 40, 0)"), ("RD", 50, 5, self.here.pid))
        self.assertIsNone(near("seen(RD, 40, 0)"))
        self.assertIsNone(self.here("seen(WR)"))
        # of another mount's process the number is not known
        self.assertEqual(self.there("seen(WR)")[:3], ("WR", 10, 20))
        self.assertEqual(self.bare("seen(WR)")[:3], ("WR", 10, 20))
        self.here("file.close()")
        self.assertIsNone(near("seen(WR)"))

    def test_locks_of_the_open_file_itself(self):
        self.here("take_own(WR); other = open(p, 'r+b')", p=self.point + "/plain/f")
        self.assertEqual(self.here.error("take_own(WR, of=other)"), "EAGAIN")
        self.here("other.close()")
        self.assertFalse(self.can(self.there, "take(RD)"))
        waiting = self.there.start("wait_for(WR)").parked()
        self.here("file.close()")
        waiting.value()

    def test_waiting_takes_no_thread_and_all_have_their_turn(self):
        self.here("take(WR)")
        waiters = [self.opened(self.point if number % 2 else self.second.path) for number in range(12)]
        calls = [waiter.start("wait_for(WR)") for waiter in waiters]
        all_parked(*calls)
        self.assertLess(self.second.threads(), 20)
        self.here("take(UN)")
        left = list(zip(waiters, calls))
        while left:
            until(lambda: [pair for pair in left if pair[1].done()], "one of those that wait")
            had = [pair for pair in left if pair[1].done()]
            self.assertEqual(len(had), 1)
            had[0][1].value()
            left.remove(had[0])
            had[0][0]("take(UN)")

    def test_counter_of_many_places(self):
        """What was written under the lock in one place is read under it in another."""
        code = """
            for _ in range(count):
                wait_for(WR, 0, 10)
                number = int(os.pread(file.fileno(), 10, 0))
                os.pwrite(file.fileno(), b'%010d' % (number + 1), 0)
                take(UN, 0, 10)
            """
        self.bare("os.pwrite(file.fileno(), b'%010d' % 0, 0)")
        workers = [self.opened(place) for place in (self.point, self.second.path, self.export) for _ in range(2)]
        for call in [worker.start(code, count=60) for worker in workers]:
            call.value(120)
        self.assertEqual(self.bare("os.pread(file.fileno(), 10, 0)"), b"%010d" % (60 * len(workers)))

    def test_content_is_read_anew_under_a_lock(self):
        """Though neither size nor time tell of a change."""
        for take in ("take(RD)", "wait_for(WR)"):
            before = self.here("os.pread(file.fileno(), 10, 0)")
            self.bare("""
                status = os.stat(file.fileno())
                os.pwrite(file.fileno(), data, 0)
                os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
                """, data=before[::-1])
            self.here(take)
            self.assertEqual(self.here("os.pread(file.fileno(), 10, 0)"), before[::-1])
            self.here("take(UN)")

    def test_database_through_two_mounts(self):
        code = """
            import sqlite3
            db = sqlite3.connect(p, timeout=100, isolation_level=None)
            for _ in range(count):
                db.execute('begin immediate')
                db.execute('update t set n = n + 1')
                db.execute('commit')
            db.close()
            """
        self.here("import sqlite3; db = sqlite3.connect(p); db.executescript('create table t(n); insert into t values (0)'); db.close()",
                  p=self.point + "/plain/db")
        places = (self.point, self.second.path, self.export)
        for call in [self.opened(place).start(code, p=place + "/plain/db", count=15) for place in places for _ in range(2)]:
            call.value(120)
        self.assertEqual(self.there("""
            import sqlite3
            db = sqlite3.connect(p)
            result = db.execute('select n from t').fetchall(), db.execute('pragma integrity_check').fetchall()
            db.close()
            """, p=self.second.path + "/plain/db"), ([(90,)], [("ok",)]))

    def test_in_an_open_and_a_sealed_checkpoint(self):
        writer, second = self.agent("parent"), self.agent("parent")
        for agent, place in ((writer, self.point), (second, self.point)):
            agent(LOCKS)
        writer("os.mkdir(d); open(d + '/f', 'w').write('x'); file = open(d + '/f', 'r+')", d=self.point + "/p")
        second("file = open(d + '/f', 'r+')", d=self.point + "/p")
        writer("take(WR)")
        waiting = second.start("wait_for(WR)").parked()
        writer("file.close()")
        waiting.value()
        second("file.close()")
        self.ctl("seal", self.point + "/p", trial="parent")
        readers = [self.agent("child") for _ in range(2)]
        for reader, place in zip(readers, (self.point, self.second.path)):
            reader(LOCKS)
            reader("file = open(d + '/f')", d=place + "/p")
            reader("take(RD); wait_for(RD, 0, 1)")
            self.assertEqual(reader.error("take(WR)"), "EBADF")
            self.assertIsNone(reader("seen(RD)"))
            reader("take(UN); file.close()")

    def test_nothing_stays_open(self):
        before = self.running.descriptors()
        for _ in range(5):
            holder = self.opened(self.point)
            holder("take(WR, 0, 5); other = open(p, 'rb'); take_own(RD, 20, 5, of=other); take(WR, 9, 1)", p=self.point + "/plain/f")
            holder.kill()
        until(lambda: self.running.descriptors() <= before, "all to be closed")


@in_modes(ROOT)
class Mount(Places):
    options = ()

    def test_hold_in_one_mount_where_nothing_else_is_asked_for(self):
        near = self.opened(self.point)
        self.here("take(WR)")
        self.assertFalse(self.can(near, "take(RD)"))
        self.assertTrue(self.can(self.there, "take(WR)"))
        self.assertTrue(self.can(self.bare, "take(WR)"))


if __name__ == "__main__":
    main()
