"""What was sealed through a mount over NFS is what the server's own file system has, and tools that know nothing of sealfs say so."""

from machines import *


@in_versions("4.2", "4.1", "4.0", "3")
class SealOnServer(MachinesTest):

    def test_fsverity_on_the_server_agrees_with_the_manifest(self):
        self.a.mount()
        self.b.mount()
        sizes = {"empty": 0, "one": 1, "block": 4096, "odd": 4097, "tree": 129 * 4096, "deep/large": (3 << 20) + 5}
        content = {name: pattern(size, size + 1) for name, size in sizes.items()}
        writer = self.a.trial("writer")
        writer("""
            for name, data in content.items():
                os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)
                with open(os.path.join(top, name), "wb") as file:
                    file.write(data)
        """, top=os.path.join(self.a.point, "run"), content=content)
        root = writer.asks(self.a.point, CALL_SEAL, "run")["root"]
        manifest = self.read("run/.seal/manifest")
        self.assertEqual(root, "sha256:" + self.sha256(manifest))
        listed = {}
        for line in manifest.decode().splitlines()[1:]:
            fields = line.split("  ")
            if len(fields) == 3 and fields[0].startswith("sha256:"):
                listed[fields[2]] = fields[0]
        self.assertEqual(sorted(content), sorted(listed))
        for name in content:
            said = command("fsverity", "digest", os.path.join(self.served, "run", name))
            self.assertEqual(listed[name], said.split()[0], name)
            self.assertEqual(content[name], self.read("run/" + name))
        child = self.b.trial("child")
        seen = child("snapshot(path)", path=os.path.join(self.b.point, "run"))
        self.assertEqual(content, {name: data for name, (kind, _, data) in seen.items() if kind == "file"})

    def read(self, path):
        with open(os.path.join(self.served, path), "rb") as file:
            return file.read()

    @staticmethod
    def sha256(data):
        import hashlib
        return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()
