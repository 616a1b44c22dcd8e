#!/usr/bin/python3
# time limit: 180
"""flock: among the processes of a mount, of two mounts of one export, and with programs that use the export itself; and what two mounts append."""

import os
import signal

from harness import DAEMON, ROOT, USER, SealfsTest, all_parked, in_modes, main, task_file, until

TAKE = "fcntl.flock(file, {})"
EX, SH, UN = "fcntl.LOCK_EX", "fcntl.LOCK_SH", "fcntl.LOCK_UN"
NB = " | fcntl.LOCK_NB"


@in_modes(ROOT, DAEMON, USER)
class Locks(SealfsTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.exported("plain"))
        with open(self.exported("plain/f"), "w") as file:
            file.write("0123456789")
        self.give(self.exported("plain"))
        self.running = self.mount()
        self.second = self.second_mount()
        # of the first mount, the second, and of no mount
        self.here, self.there, self.bare = (self.opened(place) for place in (self.point, self.second.path, self.export))

    def opened(self, place, how="r+b"):
        agent = self.agent("parent", name="at " + place)
        agent("file = open(p, how)", p=place + "/plain/f", how=how)
        return agent

    def taken(self, agent, how):
        """Is it had at once?"""
        problem = agent.error(TAKE.format(how + NB))
        self.assertIn(problem, (None, "EAGAIN"))
        return problem is None

    def test_exclusive_lock_excludes_all_everywhere(self):
        agents = (self.here, self.there, self.bare, self.opened(self.point), self.opened(self.second.path, "rb"))
        for holder in agents:
            holder(TAKE.format(EX))
            for other in agents:
                if other is not holder:
                    self.assertFalse(self.taken(other, EX))
                    self.assertFalse(self.taken(other, SH))
            holder(TAKE.format(UN))

    def test_shared_locks_are_shared(self):
        for agent in (self.here, self.there, self.bare):
            agent(TAKE.format(SH))
        for agent in (self.here, self.there, self.bare):
            self.assertFalse(self.taken(agent, EX))
            agent(TAKE.format(SH))
        self.there(TAKE.format(UN))
        self.bare(TAKE.format(UN))
        self.assertTrue(self.taken(self.here, EX))
        self.assertFalse(self.taken(self.there, SH))
        self.here(TAKE.format(SH))
        self.assertTrue(self.taken(self.there, SH))

    def test_waits_for_who_holds_it_in_the_other_mount(self):
        for holder, waiter in ((self.here, self.there), (self.there, self.here), (self.bare, self.here), (self.here, self.bare)):
            holder(TAKE.format(EX))
            waiting = waiter.start(TAKE.format(EX))
            if waiter is not self.bare:
                waiting.parked()
            else:
                until(lambda: "lock" in task_file(waiter.pid, "wchan"), "it to wait")
            holder(TAKE.format(UN))
            waiting.value()
            self.assertFalse(self.taken(holder, SH))
            waiter(TAKE.format(UN))

    def test_waiting_takes_no_thread_and_lets_the_mount_go_on(self):
        self.here(TAKE.format(EX))
        waiters = [self.opened(self.point if number % 2 else self.second.path) for number in range(20)]
        first = waiters[0].start(TAKE.format(EX)).parked()
        before = self.second.threads()
        calls = [first] + [waiter.start(TAKE.format(EX)) for waiter in waiters[1:]]
        all_parked(*calls)
        self.assertLess(self.second.threads(), before + 8)
        self.assertEqual(self.opened(self.second.path)("file.read()"), b"0123456789")
        self.here(TAKE.format(UN))
        left = list(zip(waiters, calls))
        while left:
            # exactly one has it at a time, and all have their turn
            until(lambda: [pair for pair in left if pair[1].done()], "one of those that wait")
            had = [pair for pair in left if pair[1].done()]
            self.assertEqual(len(had), 1)
            had[0][1].value()
            left.remove(had[0])
            had[0][0](TAKE.format(UN))

    def test_wait_can_be_killed_and_leaves_no_lock(self):
        self.here(TAKE.format(EX))
        for place in (self.point, self.second.path):
            victim = self.opened(place)
            victim.start(TAKE.format(EX)).parked()
            victim.kill()
        self.here(TAKE.format(UN))
        self.assertTrue(self.taken(self.bare, EX))

    def test_wait_can_be_interrupted(self):
        self.here(TAKE.format(EX))
        waiting = self.there.start(TAKE.format(EX)).parked()
        self.there.signal(signal.SIGINT)
        self.assertEqual(waiting.error(), "KeyboardInterrupt")
        self.here(TAKE.format(UN))
        self.assertTrue(self.taken(self.bare, EX))

    def test_lock_ends_with_its_last_descriptor(self):
        """Also while others have the file open, so that the kernel keeps what it passes content to."""
        other = self.opened(self.point)
        for end in ("file.close()", "copy = os.dup(file.fileno()); file.close(); os.close(copy)"):
            holder = self.opened(self.point)
            holder(TAKE.format(EX))
            waiting = self.there.start(TAKE.format(EX)).parked()
            holder(end)
            waiting.value()
            self.there(TAKE.format(UN))
        holder = self.opened(self.point)
        holder("view = __import__('mmap').mmap(file.fileno(), 10); view.close()")
        holder(TAKE.format(EX))
        child = holder("child = os.fork()\nif child == 0:\n    signal.pause()\nresult = child")
        holder("file.close()")
        self.assertFalse(self.taken(other, SH))  # the child has it open, too
        holder("os.kill(child, 9); os.waitpid(child, 0)")
        self.assertTrue(child > 0 and self.taken(other, EX))

    def test_close_has_given_it_back_when_it_returns(self):
        """As `flock -n FILE CMD` needs that is called again and again."""
        other = self.opened(self.point)
        self.here("other = open(p, 'r+b')", p=self.point + "/plain/f")
        for count in range(60):
            for agent in (self.here, other):
                agent("file = open(p, 'r+b')", p=self.point + "/plain/f")
                self.assertTrue(self.taken(agent, EX), count)
                agent("file.close()")
        self.here("""
            for _ in range(20):
                subprocess.run(['flock', '-n', p, 'true'], check=True)
            """, p=self.point + "/plain/f")

    def test_who_does_not_want_to_wait_is_refused_soon(self):
        self.here(TAKE.format(EX))
        same = self.opened(self.point)
        for agent in (same, self.there):
            self.assertFalse(self.taken(agent, EX))
        self.here(TAKE.format(UN))
        self.assertTrue(self.taken(same, EX))

    def test_death_of_the_holder_gives_it_on(self):
        self.here(TAKE.format(EX))
        waiting = self.there.start(TAKE.format(EX)).parked()
        self.here.kill()
        waiting.value()

    def test_death_of_the_holder_s_mount_gives_it_on(self):
        self.here(TAKE.format(EX))
        waiting = self.there.start(TAKE.format(EX)).parked()
        self.running.kill()
        waiting.value()

    def test_unmounting_ends_the_wait(self):
        self.bare(TAKE.format(EX))
        waiting = self.there.start(TAKE.format(EX)).parked()
        self.second.process.signal(signal.SIGTERM)
        self.assertIn(waiting.error(), ("ENOTCONN", "ECONNABORTED"))
        self.second.process.wait()
        self.there.kill()

    def test_in_an_open_and_a_sealed_checkpoint(self):
        writer = self.agent("parent")
        writer("os.mkdir(d); open(d + '/f', 'w').write('x'); file = open(d + '/f', 'r+')", d=self.point + "/p")
        second = self.agent("parent")
        second("file = open(d + '/f', 'r+')", d=self.point + "/p")
        writer(TAKE.format(EX))
        waiting = second.start(TAKE.format(EX)).parked()
        writer("file.close()")
        waiting.value()
        second("file.close()")
        self.ctl("seal", self.point + "/p", trial="parent")
        readers = [self.agent("child") for _ in range(2)]
        for reader, place in zip(readers, (self.point, self.second.path)):
            reader("file = open(d + '/f')", d=place + "/p")
        readers[0](TAKE.format(EX))
        self.assertFalse(self.taken(readers[1], SH))
        readers[0]("file.close()")
        until(lambda: self.taken(readers[1], SH), "the first mount to hear of the close")

    def test_counter_of_many_who_are_interrupted_at_times(self):
        """Nobody has it together with another, and no lock stays with who gave up."""
        code = """
            class Enough(Exception):
                pass
            def give_up(*_):
                raise Enough
            signal.signal(signal.SIGALRM, give_up)
            done = gave_up = 0
            while done < count:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.001 * (1 + (done * 7 + gave_up * 3) % 30))
                    fcntl.flock(file, fcntl.LOCK_EX)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Enough:
                    gave_up += 1
                    fcntl.flock(file, fcntl.LOCK_UN)  # it may have come just before the lock was had
                    continue
                number = int(os.pread(file.fileno(), 10, 0))
                os.pwrite(file.fileno(), b'%010d' % (number + 1), 0)
                fcntl.flock(file, fcntl.LOCK_UN)
                done += 1
            result = gave_up
            """
        self.bare("os.pwrite(file.fileno(), b'%010d' % 0, 0)")
        workers = [self.opened(place) for place in (self.point, self.second.path, self.export) for _ in range(2)]
        calls = [worker.start(code, count=100) for worker in workers]
        for call in calls:
            call.value(120)
        self.assertEqual(self.bare("os.pread(file.fileno(), 10, 0)"), b"%010d" % (100 * len(workers)))
        self.assertTrue(self.taken(self.here, EX))

    def test_content_is_read_anew_under_a_lock(self):
        """Though neither size nor time tell of a change."""
        for take in (TAKE.format(SH + NB), TAKE.format(EX)):
            before = self.here("os.pread(file.fileno(), 10, 0)")
            self.bare("""
                status = os.stat(file.fileno())
                os.pwrite(file.fileno(), data, 0)
                os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
                """, data=before[::-1])
            self.here(take)
            self.assertEqual(self.here("os.pread(file.fileno(), 10, 0)"), before[::-1])
            self.here(TAKE.format(UN))

    def test_appends_of_two_mounts_are_all_there(self):
        code = """
            fd = os.open(p, os.O_WRONLY | os.O_APPEND)
            for count in range(500):
                os.write(fd, b'%s%05d;' % (name, count))
            os.close(fd)
            """
        calls = [agent.start(code, p=place + "/plain/f", name=name) for agent, place, name in ((self.here, self.point, b"a"), (self.there, self.second.path, b"b"))]
        for call in calls:
            call.value()
        with open(self.exported("plain/f"), "rb") as file:
            records = file.read()[10:].split(b";")
        self.assertEqual(sorted(records), sorted([b""] + [b"%s%05d" % (name, count) for name in (b"a", b"b") for count in range(500)]))


if __name__ == "__main__":
    main()
