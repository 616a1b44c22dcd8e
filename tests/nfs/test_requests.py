"""What the simulation of a cluster (tests/sim) takes a step of the real code to cost the server is what it costs over NFS.

time limit: 300
"""

from machines import *

COUNTED_WITH = "6.12"  # Linux, of client and server
STEPS = {"claim": "CLAIM", "end": "END", "read": "READ", "open": "OPEN_FOLDER", "stamp": "STAMP", "judge": "JUDGE", "again": "JUDGE_AGAIN", "naive": "HAS_ENDED"}
MANY = 20


def written_down():
    """{step: (what the simulation reckons with, what was counted over NFS 4.2)} of tests/sim/requests.h."""
    with open(os.path.join(os.path.dirname(HERE), "sim", "requests.h")) as file:
        found = {name: (int(most), float(counted)) for name, most, counted in
                 re.findall(r"^#define REQUESTS_(\w+) (\d+)\s+/\* ([\d.]+) ", file.read(), re.M)}
    return {step: found[name] for step, name in STEPS.items()}


@in_versions("4.2")
class Requests(MachinesTest):

    def test_the_simulation_reckons_with_what_was_counted_here(self):
        program = os.path.join(os.environ["SEALFS_BUILD"], "tests/sim/count_requests")
        other = self.spawn([ON, "a", program, "prepare", self.a.bare, str(MANY)], uid=0, name="count_requests", stdin=subprocess.PIPE)
        until(lambda: "prepared" in other.output(), "the checkpoints", 3 * PATIENCE)
        counts = {}

        def count(step):
            done = self.run_program([ON, "b", program, step, self.b.bare, str(MANY)], uid=0)
            self.assertEqual(0, done.status, done)
            counts[step] = float(done.out.split()[1])

        # the first `read` fills caches
        for step in "read", "open", "read", "stamp", "judge", "again", "naive", "claim":
            count(step)
        other.popen.stdin.write(b"\n")
        other.popen.stdin.close()
        self.assertEqual(0, other.wait(3 * PATIENCE))
        counts["end"] = float(re.search(r"^end +([\d.]+)", other.output(), re.M).group(1))
        count("read")
        figure("NFS 4.2: requests for one step: %s" % ", ".join("%s %.1f" % pair for pair in sorted(counts.items())))
        for step, (most, counted) in written_down().items():
            self.assertLessEqual(counts[step], most + 0.5, step)
            if os.uname().release.startswith(COUNTED_WITH):
                self.assertAlmostEqual(counts[step], counted, delta=max(0.5, counted / 10), msg=step)


if __name__ == "__main__":
    main()
