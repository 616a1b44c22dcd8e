"""There is no space left on the server.

time limit: 400
"""

from full import *


@in_versions()
class FullExport(FullTests, MachinesTest):

    error = "ENOSPC"
    hog = "/export/small/hog"

    def make_disk(self):
        # one inode table of few blocks: a full disk has no room for records either
        command("disk", "small", "24M", "rw,sync,no_root_squash", "-N", "1024", "-m", "0")

    def take_room(self, left):
        room = os.statvfs("/export/small")
        with open(self.hog, "wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_frsize - (64 << 10)))
            file.seek(0, os.SEEK_END)
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                os.fsync(file.fileno())
            os.ftruncate(file.fileno(), file.tell() - left)

    def give_room(self):
        if os.path.exists(self.hog):
            os.unlink(self.hog)
            os.sync()


if __name__ == "__main__":
    main()
