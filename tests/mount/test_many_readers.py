#!/usr/bin/python3
# time limit: 180
# runs alone: what waiting costs is measured
"""Two hundred readers parked on one mount: they cost nothing but a little memory, and each can be freed alone."""

import errno
import json
import os
import shutil
import signal
import statistics
import time

from harness import DAEMON, ROOT, USER, SLOWNESS, SealfsTest, in_modes, main, parked_of, pattern, task_state, until

COUNT = 200
AT_REST = 10  # threads of a mount that has nothing to do: three for requests, two for what takes long, and those with one task each
KILOBYTES_EACH = 16  # at most; a few are promised, an allocator counts in pages

# One process of trial "child" that forks readers, each of which opens, and tells by its exit status what it saw.
FORK = """
def fork_readers(count, path, size):
    pids = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            try:
                with open(path, 'rb') as file:
                    os._exit(0 if len(file.read()) == size else 3)
            except OSError as problem:
                os._exit(min(problem.errno, 120) or 4)
            finally:
                os._exit(5)
        pids.append(pid)
    return pids

def reap(pids):
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
"""

MEASURE = """
def measure(path, rounds):
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        with open(path, 'rb', buffering=0) as file:
            file.read(65536)
        times.append(time.perf_counter() - began)
    return times
"""


class Crowd(SealfsTest):
    def begin(self, **how):
        self.running = self.mount(**how)
        self.path = self.point + "/parent"
        self.parent = self.agent("parent")
        self.parent("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.path, data=pattern(5000))
        self.child = self.agent("child")
        self.child(FORK)
        self.pids = []

    def add_readers(self, count, name="/a"):
        self.pids += self.child("fork_readers(n, p, 5000)", n=count, p=self.path + name)
        self.all_park(self.pids)

    @staticmethod
    def all_park(pids):
        left = set(pids)

        def look():
            left.difference_update(parked_of(left))
            return not left
        until(look, lambda: "%d readers to be parked: %s" % (len(left), {pid: task_state(pid) for pid in left}))

    def release(self, expected=0):
        self.ctl("seal", self.path, trial="parent")
        self.assertEqual(self.child("reap(p)", p=self.pids), [expected] * len(self.pids))


@in_modes(ROOT, DAEMON, USER)
class Two_hundred(Crowd):
    def test_one_seal_frees_all(self):
        self.begin()
        self.add_readers(COUNT // 2)
        self.add_readers(COUNT // 2, "/a")
        self.assertEqual(len(self.status(self.path)["waiters"]), COUNT)
        began = time.monotonic()
        self.release()
        print("%s: one seal freed %d readers in %.0f ms" % (self.id(), COUNT, (time.monotonic() - began) * 1000))
        self.assertEqual(self.status(self.path)["waiters"], [])

    def test_one_failure_frees_all(self):
        self.begin()
        self.add_readers(COUNT)
        self.ctl("abandon", self.path, trial="parent")
        self.assertEqual(set(self.child("reap(p)", p=self.pids)), {min(errno.EOWNERDEAD, 120)})

    def test_interrupt_frees_only_the_one(self):
        self.begin()
        self.add_readers(COUNT)
        victims = [self.pids.pop(COUNT // 2), self.pids.pop(3), self.pids.pop()]
        for victim, number in zip(victims, (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)):
            os.kill(victim, number)
        self.assertEqual(self.child("reap(p)", p=victims), [-signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL])
        self.all_park(self.pids)
        until(lambda: len(self.status(self.path)["waiters"]) == COUNT - 3, "the status to know of it")
        self.release()

    def test_threads_do_not_grow_and_memory_hardly(self):
        self.begin()
        # first the daemon gets used to many requests at once
        self.add_readers(COUNT)
        threads, memory, descriptors = self.running.threads(), self.running.resident(), self.running.descriptors()
        self.add_readers(COUNT)
        grown = self.running.resident() - memory
        print("%s: %d more readers: threads %d to %d, memory +%d bytes each" % (
            self.id(), COUNT, threads, self.running.threads(), grown // COUNT))
        self.assertLessEqual(self.running.threads(), max(threads + 4, 70))
        self.assertLessEqual(self.running.descriptors(), descriptors + COUNT + 8)
        self.assertLess(grown, COUNT * KILOBYTES_EACH * 1024)
        self.release()

    def test_threads_of_a_burst_end(self):
        """Made for requests that came all at once; at rest nobody needs them."""
        self.begin()
        burst = """
            import threading
            def ask():
                for _ in range(100):
                    os.statvfs(p)
            threads = [threading.Thread(target=ask) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            """
        def many():
            self.child(burst, p=self.path)
            return self.running.threads() > AT_REST
        until(many, "more threads than at rest")
        until(lambda: self.running.threads() <= AT_REST, lambda: "threads to end, of which there are %d" % self.running.threads())
        self.add_readers(COUNT)
        self.release()

    def test_threads_do_not_grow_with_the_first_hundred_either(self):
        self.begin()
        threads = self.running.threads()
        for _ in range(100):  # one after the other: none has to be handled while another is
            self.pids += self.child("fork_readers(1, p, 5000)", p=self.path + "/a")
            until(lambda: task_state(self.pids[-1]) == "S", "the reader to sleep")
        self.all_park(self.pids)
        print("%s: threads %d to %d" % (self.id(), threads, self.running.threads()))
        self.assertLess(self.running.threads() - threads, 50)
        self.release()

    def test_more_readers_than_the_limit_of_descriptors_at_the_start(self):
        """A service is often started with a low soft limit."""
        prlimit = shutil.which("prlimit")
        if not prlimit:
            self.skipTest("no prlimit")
        self.begin(wrapper=[prlimit, "--nofile=100:", "--"])
        self.add_readers(COUNT)
        self.agent("other")("os.mkdir(d); open(d + '/x', 'w').write('x')", d=self.point + "/others")
        self.release()

    def test_unrelated_work_is_as_fast(self):
        self.begin()
        self.agent("old")("os.mkdir(d); open(d + '/a', 'wb').write(data)", d=self.point + "/done", data=pattern(65536))
        self.ctl("seal", self.point + "/done", trial="old")
        other = self.agent("other")
        other(MEASURE)
        other("measure(p, 100)", p=self.point + "/done/a")
        alone = statistics.median(other("measure(p, 400)", p=self.point + "/done/a"))
        self.add_readers(COUNT)
        crowded = statistics.median(other("measure(p, 400)", p=self.point + "/done/a"))
        print("%s: open+read alone %.0f us, beside %d parked %.0f us" % (self.id(), alone * 1e6, COUNT, crowded * 1e6))
        self.assertLess(crowded, 2 * alone + 0.0005 * SLOWNESS)
        # and everything else goes on, in the very same checkpoint too
        self.parent("open(d + '/b', 'w').write('x'); os.rename(d + '/b', d + '/c'); os.listdir(d); os.unlink(d + '/c')", d=self.path)
        other("os.mkdir(d); open(d + '/x', 'w').write('x')", d=self.point + "/others")
        self.release()

    def test_readers_of_promises(self):
        self.begin()
        self.add_readers(COUNT // 2, "/later/a")
        self.parent("os.mkdir(d + '/later'); open(d + '/later/a', 'wb').write(data)", d=self.path, data=pattern(5000))
        self.all_park(self.pids)
        self.release()


@in_modes(ROOT)
class Thousands(Crowd):
    def test_status_of_many_leaves_no_memory(self):
        """Asked for again and again while more come: what it is made of lies among what stays."""
        self.begin()
        self.child("""
            import threading
            threading.stack_size(65536)
            def wait():
                os.close(os.open(p, os.O_RDONLY))
            def add_threads(count):
                for _ in range(count):
                    threads.append(threading.Thread(target=wait))
                    threads[-1].start()
            threads = []
            """, p=self.path + "/a")
        self.child("add_threads(3000)")
        until(lambda: json.loads(self.ctl("stats", "--json", self.point).out)[0]["waiters"] == 3000, "all to wait")
        memory = self.running.resident()
        for count in range(3100, 3600, 100):
            self.child("add_threads(100)")
            until(lambda: len(self.status(self.path)["waiters"]) == count, "all to wait")
        grown = self.running.resident() - memory
        print("%s: %d KiB more" % (self.id(), grown >> 10))
        self.assertLess(grown, 10 << 20)
        self.release()
        self.child("for thread in threads: thread.join()")


if __name__ == "__main__":
    main()
