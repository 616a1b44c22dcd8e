#!/usr/bin/python3
"""verify.py [--trust DIR] EXPORT: checks all sealed checkpoints of an export, as `sealctl verify` does.

A second implementation, written from sealfs(5) and nothing else, to find out whether that suffices; it shares no code with the programs. Prints a
JSON object: path -> {state, generation, root, files, bytes, parents, signer, faults}. Needs Python and, for signatures, openssl.
"""

import base64
import ctypes
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile

libc = ctypes.CDLL(None)
BLOCK, HASHES = 4096, 128


class Bad(Exception):
    pass


def need(good, what):
    if not good:
        raise Bad(what)


def sha256(data):
    return hashlib.sha256(data).digest()


def read(path, limit):
    status = os.lstat(path)
    need(stat.S_ISREG(status.st_mode), "%r is no file" % path)
    need(status.st_size <= limit, "%r is too large" % path)
    with open(path, "rb") as file:
        return file.read()


# ---- rules for text

def escape(data, blank_too=True):
    out = b""
    for char in data.decode("utf-8", "surrogateescape"):
        raw = char.encode("utf-8", "surrogateescape")
        ordinary = char > " " and char not in "\x7f\\" and not "\udc80" <= char <= "\udcff"
        out += raw if ordinary or (char == " " and not blank_too) else b"".join(b"\\x%02x" % byte for byte in raw)
    return out


def unescape(text, blank_too=True):
    data = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), text)
    need(escape(data, blank_too) == text, "%r is not the one escaped form" % text)
    return data


def lines_with_digest(text, word):
    """[(key, value)] of a text with a closing digest."""
    need(text.endswith(b"\n"), "the last line is torn")
    lines = text[:-1].split(b"\n")
    need(lines[0] == b"sealfs %s 1" % word, "it is no %s of version 1" % word.decode())
    body, closing = text[:text.rindex(b"\n", 0, -1) + 1], lines[-1]
    need(closing == b"sha256: " + hashlib.sha256(body).hexdigest().encode(), "its closing digest does not hold")
    found = []
    for line in lines[1:-1]:
        match = re.fullmatch(rb"([a-z_][a-z_0-9]*): (.*)", line, re.S)
        need(match, "%r is no line" % line)
        value = unescape(match[2], blank_too=False)
        need(b"\0" not in value, "zero byte")
        found.append((match[1].decode(), value))
    return found


def single(pairs, *several):
    """As a dictionary; a key that comes twice is refused, but for those that may."""
    out = {key: [] for key in several}
    for key, value in pairs:
        if key in several:
            out[key].append(value)
        else:
            need(key not in out, "%s comes twice" % key)
            out[key] = value
    return out


def tagged(text):
    need(re.fullmatch(rb"sha256:[0-9a-f]{64}", text), "%r is no digest" % text)
    return bytes.fromhex(text[7:].decode())


def number(text):
    need(re.fullmatch(rb"0|[1-9][0-9]*", text), "%r is no number" % text)
    return int(text)


# ---- digests and trees

def levels_of(file, size):
    """The levels of hashes of an open file, lowest first, down to the level of a single one."""
    hashes, left = [], size
    while left:
        block = file.read(min(BLOCK, left))
        need(block, "the file ends early")
        left -= len(block)
        hashes.append(sha256(block.ljust(BLOCK, b"\0")))
    levels = [hashes]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([sha256(b"".join(below[at:at + HASHES]).ljust(BLOCK, b"\0")) for at in range(0, len(below), HASHES)])
    return levels


def file_digest(levels, size):
    root = levels[-1][0] if levels[-1] else bytes(32)
    return sha256(bytes([1, 1, 12, 0]) + bytes(4) + size.to_bytes(8, "little") + root.ljust(64, b"\0") + bytes(176))


def tree_of(levels):
    return b"".join(b"".join(level) for level in reversed(levels) if len(level) > 1)


# ---- manifest

def parse_manifest(text):
    need(text.endswith(b"\n"), "the manifest is torn")
    lines = text[:-1].split(b"\n")
    need(lines[0] == b"sealfs manifest 1", "it is no manifest of version 1")
    entries = []
    for line in lines[1:]:
        match = re.fullmatch(rb"(sha256:[0-9a-f]{64})(:x)?  (0|[1-9][0-9]*)  (\S+)", line)
        if match:
            entries.append((unescape(match[4]), "file", int(match[3]), tagged(match[1]), bool(match[2])))
            continue
        match = re.fullmatch(rb"dir  0  (\S+)", line)
        if match:
            entries.append((unescape(match[1]), "dir", 0, None, False))
            continue
        match = re.fullmatch(rb"symlink  (0|[1-9][0-9]*)  (\S+) -> (\S+)", line)
        need(match, "%r is no line of a manifest" % line)
        target = unescape(match[3])
        need(len(target) == int(match[1]), "the length of a target")
        entries.append((unescape(match[2]), "symlink", len(target), target, False))
    paths = [entry[0] for entry in entries]
    need(paths == sorted(set(paths)), "the manifest is not sorted")
    directories = {entry[0] for entry in entries if entry[1] == "dir"}
    for path in paths:
        need(path == b"." and len(paths) == 1 or not set(path.split(b"/")) & {b"", b".", b".."}, "%r is no path" % path)
        need(b"/" not in path or path.rpartition(b"/")[0] in directories, "%r has no line of its own" % path.rpartition(b"/")[0])
    return entries


def what_is_there(top, live):
    """{path: lstat} below a directory, without what a manifest leaves out."""
    found = {}

    def walk(below):
        for name in os.listdir(os.path.join(top, below)):
            path = os.path.join(below, name)
            status = os.lstat(os.path.join(top, path))
            if name.startswith(b".nfs") or path == b".seal":
                continue
            if not stat.S_ISDIR(status.st_mode) and any(libc.fnmatch(glob, name, 0) == 0 for glob in live):
                continue
            if stat.S_ISDIR(status.st_mode):
                walk(path)
            elif not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
                continue
            found[path] = status
    walk(b"")
    return found


KINDS = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK}


def check_content(where, entries, live, faults):
    """Everything that was sealed is there, and nothing else; returns the tree file's content."""
    tree = b""
    one_file = not stat.S_ISDIR(os.lstat(where).st_mode)
    there = {b".": os.lstat(where)} if one_file else what_is_there(where, live)
    for path, kind, size, what, executable in entries:
        place = where if one_file else os.path.join(where, path)
        status = there.pop(path, None)
        if status is None or not KINDS[kind](status.st_mode):
            faults.append([os.fsdecode(path), "missing"])
        elif kind == "symlink" and os.readlink(place) != what:
            faults.append([os.fsdecode(path), "target"])
        elif kind == "file":
            if status.st_size != size:
                faults.append([os.fsdecode(path), "size"])
                continue
            with open(place, "rb") as file:
                levels = levels_of(file, size)
            tree += tree_of(levels)
            if file_digest(levels, size) != what:
                faults.append([os.fsdecode(path), "content"])
            if bool(status.st_mode & stat.S_IXUSR) != executable:
                faults.append([os.fsdecode(path), "mode"])
    faults += [[os.fsdecode(path), "added"] for path in there]
    return tree


# ---- signature

def trusted_keys(folder):
    """{public key: (name, from, until)}"""
    keys = {}
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".pub") or file.startswith("."):
            continue
        with open(os.path.join(folder, file)) as text:
            text = text.read()
        settings = dict(re.findall(r"^sealfs-([a-z-]+): (.*)$", text, re.M))
        block = re.search(r"-----BEGIN PUBLIC KEY-----\n(.*?)-----END PUBLIC KEY-----", text, re.S)
        keys[base64.b64decode(block[1])[-32:]] = (settings.get("name", file[:-4]), settings.get("not-before", ""), settings.get("not-after", "9999"))
    return keys


def check_signature(text, seal_text, time, keys):
    """The signer's name; None for a seal that is not signed."""
    if not text:
        return None
    pairs = lines_with_digest(text, b"signature")
    need([key for key, _ in pairs] == ["key", "signature"], "keys of the signature")
    values = dict(pairs)
    need(re.fullmatch(rb"ed25519:[0-9a-f]{64}", values["key"]) and re.fullmatch(rb"[0-9a-f]{128}", values["signature"]), "form of the signature")
    key, signature = bytes.fromhex(values["key"][8:].decode()), bytes.fromhex(values["signature"].decode())
    statement = b"sealfs seal 1\nsha256:%s\n" % hashlib.sha256(seal_text).hexdigest().encode()
    need(len(statement) == 86, "the statement has 86 bytes")
    with tempfile.TemporaryDirectory() as work:
        der = bytes.fromhex("302a300506032b6570032100") + key
        pem = b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % base64.b64encode(der)
        for name, data in (("key", pem), ("statement", statement), ("signature", signature)):
            with open(os.path.join(work, name), "wb") as file:
                file.write(data)
        said = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "statement", "-sigfile", "signature"], cwd=work,
                              capture_output=True, check=False)
    need(said.returncode == 0, "the signature is forged")
    need(key in keys, "the key is not trusted")
    name, begins, ends = keys[key]
    need(begins <= time[:19].decode() + "Z" <= ends, "the key's time")
    return name


# ---- state

def state_of(export, path):
    """(state, generation, end) of a checkpoint."""
    folder = os.path.join(export, b".sealfs/state", path)
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        names = []
    numbers = [int(match[1]) for match in (re.fullmatch(rb"([1-9][0-9]*)\.(?:reserve|claim|end)", name) for name in names) if match]
    generation = max(numbers, default=0)
    kinds = {}
    for kind in (b"reserve", b"claim", b"end"):
        name = b"%d.%s" % (generation, kind)
        if name in names:
            record = single(lines_with_digest(read(os.path.join(folder, name), 64 << 10), kind))
            need((record["checkpoint"], number(record["generation"])) == (path, generation), "%r is of another place" % name)
            kinds[kind] = record
    if not kinds:
        there = os.path.lexists(os.path.join(export, path))
        return ("copy" if os.path.isdir(seal_folder(export, path)) else "plain") if there else "absent", 0, None
    if b"end" in kinds:
        need(kinds[b"end"]["result"] in (b"sealed", b"failed"), "the result")
        need(b"claim" in kinds or b"reserve" in kinds, "an end of nothing")
        need(b"claim" in kinds or kinds[b"end"]["result"] == b"failed", "a seal without a claim")
        return kinds[b"end"]["result"].decode(), generation, kinds[b"end"]
    return "open" if b"claim" in kinds else "pending", generation, None


def seal_folder(export, path):
    where = os.path.join(export, path)
    above, _, name = path.rpartition(b"/")
    if os.path.lexists(where) and stat.S_ISDIR(os.lstat(where).st_mode):
        return os.path.join(where, b".seal")
    folder = b".%s.seal" % name
    if len(folder) > 255:
        folder = b".%s.seal" % hashlib.sha256(name).hexdigest().encode()
    return os.path.join(export, above, folder)


def check_sealed(export, path, end, keys, live, out):
    folder = seal_folder(export, path)
    seal_text = read(os.path.join(folder, b"seal"), 16 << 20)
    manifest_text = read(os.path.join(folder, b"manifest"), 1 << 30)
    seal = single(lines_with_digest(seal_text, b"seal"), "parent")
    root = b"sha256:" + hashlib.sha256(manifest_text).hexdigest().encode()
    need(seal["root"] == root, "the seal has another root digest")
    if end:
        need(end["root"] == root, "the record has another root digest")
        need(end["seal"] == b"sha256:" + hashlib.sha256(seal_text).hexdigest().encode(), "the record has another seal")
        need((seal["checkpoint"], seal["generation"]) == (path, end["generation"]), "it is the seal of another checkpoint")
    entries = parse_manifest(manifest_text)
    files = [entry for entry in entries if entry[1] == "file"]
    need((number(seal["files"]), number(seal["bytes"])) == (len(files), sum(entry[2] for entry in files)), "files and bytes")
    out["parents"] = [[os.fsdecode(parent[72:]), "sha256:" + tagged(parent[:71]).hex()] for parent in seal["parent"]]
    need(out["parents"] == sorted(out["parents"]), "parents are not sorted")
    out.update(root=root.decode(), files=len(files), bytes=sum(entry[2] for entry in files), time=seal["time"].decode())
    tree = check_content(os.path.join(export, path), entries, live, out["faults"])
    if not out["faults"]:
        stored = os.path.join(folder, b"tree")
        need(os.path.lexists(stored) == bool(tree), "a tree file where there is none, or none where there is one")
        out["tree"] = not tree or read(stored, 1 << 40) == tree
    try:
        text = read(os.path.join(folder, b"signature"), 4096)
    except FileNotFoundError:
        text = b""
    out["signer"] = check_signature(text, seal_text, seal["time"], keys)


def checkpoints(export, depth):
    """All that have data or state."""
    def below(top, level, hidden):
        if level == 0:
            return {b""}
        found = set()
        for name in os.listdir(top):
            if name in hidden or (level == 1 and name.startswith(b".") and name.endswith(b".seal")):
                continue
            if level == 1:
                found.add(name)
            elif stat.S_ISDIR(os.lstat(os.path.join(top, name)).st_mode):
                found |= {name + b"/" + rest for rest in below(os.path.join(top, name), level - 1, ())}
        return found
    return below(export, depth, (b".sealfs",)) | below(os.path.join(export, b".sealfs/state"), depth, ())


def main(arguments):
    keys = {}
    if arguments[0] == "--trust":
        keys, arguments = trusted_keys(arguments[1]), arguments[2:]
    export = os.fsencode(arguments[0])
    depth, live = 1, []
    for line in read(os.path.join(export, b".sealfs/config"), 65536).splitlines():
        key, _, value = (part.strip() for part in line.partition(b"="))
        if line.strip() and not line.lstrip().startswith(b"#"):
            need(key in (b"version", b"depth", b"live", b"trial_env"), "unknown key in the configuration")
            depth = int(value) if key == b"depth" else depth
            live += [value] if key == b"live" else []
    report = {}
    for path in sorted(checkpoints(export, depth)):
        out = report[os.fsdecode(path)] = {"faults": []}
        try:
            out["state"], out["generation"], end = state_of(export, path)
            if out["state"] in ("sealed", "copy"):
                check_sealed(export, path, end, keys, live, out)
        except (Bad, OSError, KeyError) as problem:
            out["faults"].append([".", "%s: %s" % (type(problem).__name__, problem)])
    json.dump(report, sys.stdout, indent=1)
    return any(out["faults"] for out in report.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
