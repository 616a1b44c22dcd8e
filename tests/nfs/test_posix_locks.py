"""fcntl locks of two machines, with posix_locks=export: as over bare NFS."""

from machines import *

LOCKS = """
import fcntl, struct
LAYOUT = 'hhqqi4x'
def ask(command, kind, start, length):
    return struct.unpack(LAYOUT, fcntl.fcntl(file, command, struct.pack(LAYOUT, kind, os.SEEK_SET, start, length, 0)))
def take(kind, start=0, length=0):
    ask(fcntl.F_SETLK, kind, start, length)
def wait_for(kind, start=0, length=0):
    ask(fcntl.F_SETLKW, kind, start, length)
WR, RD, UN = fcntl.F_WRLCK, fcntl.F_RDLCK, fcntl.F_UNLCK
"""


@in_versions("4.2", "4.0", "3")
class PosixLocks(MachinesTest):

    def setUp(self):
        super().setUp()
        os.mkdir(os.path.join(self.served, "plain"))
        with open(os.path.join(self.served, "plain/f"), "wb") as file:
            file.write(b"0" * 100)
        for path in ("plain", "plain/f"):
            os.chown(os.path.join(self.served, path), self.uid, self.uid)

    def opened(self, machine, where=None):
        trial = machine.trial("locker")
        trial(LOCKS)
        trial("file = open(path, 'r+b', buffering=0)", path=os.path.join(where or machine.point, "plain/f"))
        return trial

    def refused(self, trial, code):
        self.assertIn(trial.error(code), ("EAGAIN", "EACCES"))

    def test_exclude_each_other_through_mounts_and_beside_them(self):
        self.a.mount("posix_locks=export")
        self.b.mount("posix_locks=export")
        trials = [self.opened(self.a), self.opened(self.b), self.opened(self.b, self.b.bare)]
        for holder in trials:
            holder("take(WR, 10, 10)")
            for other in trials:
                if other is not holder:
                    self.refused(other, "take(WR, 0, 11)")
                    self.refused(other, "take(RD, 19, 1)")
                    other("take(WR, 20, 5); take(UN)")
            holder("take(UN, 15, 5)")
            trials[holder is trials[0]]("take(RD, 15, 5)")
            trials[holder is trials[0]]("take(UN)")
            holder("file.close(); file = open(path, 'r+b', buffering=0)", path=os.path.join(holder("os.path.dirname(file.name)"), "f"))

    def test_wait_ends_with_the_lock_of_the_other_machine(self):
        self.a.mount("posix_locks=export")
        self.b.mount("posix_locks=export")
        for end in ("take(UN)", "os.close(os.dup(file.fileno()))", None):
            holder, waiter = self.opened(self.a), self.opened(self.b)
            holder("take(WR)")
            waiting = waiter.start("wait_for(WR)")
            time.sleep(1)  # nothing tells that it waits
            waiting.still_waiting()
            if end:
                holder(end)
            else:
                holder.kill()
            waiting.value()
            waiter("file.close()")

    def test_what_was_written_under_the_lock_is_read_under_it(self):
        self.a.mount("posix_locks=export")
        self.b.mount("posix_locks=export")
        code = """
            for _ in range(count):
                wait_for(WR)
                number = int(os.pread(file.fileno(), 10, 0))
                os.pwrite(file.fileno(), b'%010d' % (number + 1), 0)
                take(UN)
        """
        trials = [self.opened(machine) for machine in (self.a, self.b) for _ in range(2)]
        # under the lock, too: else an NFS client may write it out over what others wrote since
        trials[0]("wait_for(WR); os.pwrite(file.fileno(), b'%010d' % 0, 0); take(UN)")
        for call in [trial.start(code, count=20) for trial in trials]:
            call.value(200)
        self.assertEqual(trials[1]("wait_for(RD); result = os.pread(file.fileno(), 10, 0)"), b"%010d" % 80)


if __name__ == "__main__":
    main()
