"""The trials' user has used up his disk quota on the server.

time limit: 400
bed: quota
"""

from full import *


@in_versions("4.2", "3")
class Quota(FullTests, MachinesTest):

    error = "EDQUOT"
    disk = "quota"

    def make_disk(self):
        command("disk", "quota", "64M", "rw,sync,no_root_squash", "-O", "quota", "-E", "quotatype=usrquota")
        command("quotaon", "/export/quota")

    def limit(self, blocks):
        command("setquota", "-u", str(NOBODY), "0", str(blocks), "0", "0", "/export/quota")

    def used(self):
        listed = command("repquota", "-u", "-n", "/export/quota")
        return next((int(line.split()[2]) for line in listed.splitlines() if line.startswith("#%d " % NOBODY)), 0)

    def take_room(self, left):
        self.limit(max(1, self.used() + left // 1024))

    def give_room(self):
        self.limit(0)


if __name__ == "__main__":
    main()
