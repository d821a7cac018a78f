#!/usr/bin/env python3
"""Check an exported audit trail without trusting anybody: one file, Python's standard library only, no network.

    verify_audit.py export      EXPORT.jsonl CHECKPOINT... --key PUBLIC_KEY
    verify_audit.py inclusion   PROOF.json   CHECKPOINT... --key PUBLIC_KEY
    verify_audit.py proofs      PROOFS.jsonl CHECKPOINT... --key PUBLIC_KEY
    verify_audit.py consistency PROOF.json   CHECKPOINT... --key PUBLIC_KEY

CHECKPOINT is a signed note, or a .jsonl file with one {"note": …} a line (the copies kept outside the database). Give every one you ever kept:
the more there are, the nearer the first bad entry can be named, and an older or forked trail is found out by a newer or other checkpoint.
PUBLIC_KEY is the key's base64 text, or a file that holds it; take it from somewhere other than the export.

Exit codes: 0 everything agrees, 1 tampered (the first bad entry is named), 2 the input cannot be read.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path

_sha256 = hashlib.sha256
HEAD, MIDDLE, TAIL = b'{"entry":', b',"entry_hash":"', b'"}'
LINE_END = len(MIDDLE) + 64 + len(TAIL)


class TamperedError(Exception):
    """Something does not agree. ``seq`` is the first bad entry where one can be named."""

    def __init__(self, text: str, seq: int | None = None) -> None:
        super().__init__(text)
        self.seq = seq


class InputError(Exception):
    """A file cannot be read or is not what it should be."""


# Ed25519 (RFC 8032), verification only: extended coordinates, no secrets, so no constant time is needed.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_M1 = pow(2, (P - 1) // 4, P)


def _add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def _point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_M1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


_G = _point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """True when the signature is the key's over the message."""
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r = _point(key), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % Q
    return _equal(_times(s, _G), _add(r, _times(h, a)))


class Checkpoint:
    """A signed note: origin, size, root, and lines that say more. ``holds`` checks the signature."""

    def __init__(self, note: str, key: bytes, holds=ed25519_verify) -> None:
        body, mark, signatures = note.partition("\n\n")
        lines = body.split("\n")
        try:
            self.origin, self.size, self.root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        except (IndexError, ValueError) as error:
            raise InputError("This is not a checkpoint.") from error
        if not mark or len(self.root) != 32 or self.size < 0:
            raise InputError("This is not a checkpoint.")
        key_id = _sha256(self.origin.encode() + b"\n\x01" + key).digest()[:4]
        for line in signatures.splitlines():
            dash, name, text = [*line.split(" "), "", ""][:3]
            try:
                raw = base64.b64decode(text, validate=True)
            except ValueError:
                continue
            if dash == "—" and name == self.origin and raw[:4] == key_id:
                if holds(key, (body + "\n").encode(), raw[4:]):
                    return
                break
        raise TamperedError(f"The checkpoint of size {self.size} is not signed by this key.")


def checkpoints_read(paths, key: bytes):
    """All checkpoints of the files, by size; TamperedError when two of one size differ (the trail was forked)."""
    notes = []
    for path in paths:
        text = _read(path).decode("utf-8", "replace")
        if str(path).endswith(".jsonl"):
            try:
                notes += [json.loads(line)["note"] for line in text.splitlines() if line.strip()]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: a line is not a checkpoint.") from error
        else:
            notes.append(text)
    found = {}
    for note in notes:
        point = Checkpoint(note, key)
        other = found.setdefault(point.size, point)
        if other.root != point.root:
            raise TamperedError(
                f"Two signed checkpoints of size {point.size} have different roots: the trail was forked.", point.size
            )
    if not found:
        raise InputError("There is no checkpoint.")
    return [found[size] for size in sorted(found)]


def export_verify(lines, points) -> int:
    """Walk the chain and the tree over the lines (bytes); the number of entries. Raises TamperedError."""
    points = list(points)
    newest = points[-1].size
    waiting = iter(points)
    point = next(waiting)
    agreed = 0
    previous, count = bytes(32), 0
    peaks: list = []

    def compare():
        nonlocal point, agreed
        while point is not None and point.size == count:
            if _root(peaks) != point.root:
                span = f"entry {agreed + 1}" if count <= agreed + 1 else f"one of the entries {agreed + 1} to {count}"
                raise TamperedError(f"The trail was written again: {span} is not what was signed.", agreed + 1)
            agreed = count
            point = next(waiting, None)

    compare()
    for line in lines:
        line = line.rstrip(b"\n")
        cut = len(line) - LINE_END
        if line[:9] != HEAD or line[cut : cut + 15] != MIDDLE or line[-2:] != TAIL:
            raise TamperedError(f"Entry {count + 1} has no readable form.", count + 1)
        digest = _sha256(b"\x02" + previous + line[9:cut]).digest()
        # Compared as text: the same hash in other letters is a change too.
        if digest.hex().encode() != line[-66:-2]:
            raise TamperedError(f"Entry {count + 1} was changed, or is not the one that belongs here.", count + 1)
        previous = digest
        node = _sha256(b"\x00" + digest).digest()
        index = count
        while index & 1:
            node = _sha256(b"\x01" + peaks.pop() + node).digest()
            index >>= 1
        peaks.append(node)
        count += 1
        if count > newest:
            raise TamperedError(
                f"Entry {count} stands behind the newest checkpoint ({newest}): nobody signed it.", count
            )
        if point is not None and count == point.size:
            compare()
    if count < newest:
        raise TamperedError(f"Entry {count + 1} is missing: {newest} are signed, {count} are here.", count + 1)
    return count


def _root(peaks) -> bytes:
    if not peaks:
        return _sha256(b"").digest()
    digest = peaks[-1]
    for peak in reversed(peaks[:-1]):
        digest = _sha256(b"\x01" + peak + digest).digest()
    return digest


def inclusion_verify(proof, points) -> int:
    """Check that an entry is in the signed tree; its seq."""
    try:
        size, seq = int(proof["size"]), int(proof["seq"])
        previous, told = bytes.fromhex(proof["prev_hash"]), bytes.fromhex(proof["entry_hash"])
        path = [bytes.fromhex(text) for text in proof["path"]]
        data = proof["canonical"].encode()
        named = json.loads(proof["canonical"])["seq"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("This is not an inclusion proof.") from error
    point = next((each for each in points if each.size == size), None)
    if point is None:
        raise InputError(f"There is no checkpoint of size {size}.")
    if named != seq or _sha256(b"\x02" + previous + data).digest() != told:
        raise TamperedError(f"Entry {seq} was changed.", seq)
    first, last, digest = seq - 1, size - 1, _sha256(b"\x00" + told).digest()
    if not 0 <= first < size:
        raise TamperedError(f"Entry {seq} is not in a tree of {size}.", seq)
    for step in path:
        if last == 0:
            raise TamperedError(f"The proof of entry {seq} is too long.", seq)
        if first & 1 or first == last:
            digest = _sha256(b"\x01" + step + digest).digest()
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            digest = _sha256(b"\x01" + digest + step).digest()
        first, last = first >> 1, last >> 1
    if last or digest != point.root:
        raise TamperedError(f"Entry {seq} is not in the signed trail.", seq)
    return seq


def proofs_verify(lines, points) -> int:
    """Check inclusion proofs, one a line; their number. A line that holds a checkpoint says nothing that the given ones do not."""
    count = 0
    for number, line in enumerate(lines, 1):
        try:
            proof = json.loads(line)
        except ValueError as error:
            raise InputError(f"Line {number} is not JSON.") from error
        if not isinstance(proof, dict):
            raise InputError(f"Line {number} is not an inclusion proof.")
        if "checkpoint" not in proof or "seq" in proof:
            inclusion_verify(proof, points)
            count += 1
    return count


def consistency_verify(proof, points) -> tuple[int, int]:
    """Check that an older signed tree is the beginning of a newer one (RFC 9162 2.1.4.2)."""
    try:
        old, new = int(proof["from"]), int(proof["to"])
        path = [bytes.fromhex(text) for text in proof["path"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("This is not a consistency proof.") from error
    by_size = {each.size: each for each in points}
    if old not in by_size or new not in by_size or not 0 < old <= new:
        raise InputError(f"Checkpoints of the sizes {old} and {new} are needed.")
    bad = TamperedError(f"The trail of {new} does not begin with the signed trail of {old}.", 1)
    first_root, second_root = by_size[old].root, by_size[new].root
    if old == new:
        if path or first_root != second_root:
            raise bad
        return old, new
    if old & (old - 1) == 0:
        path = [first_root, *path]
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    if not path:
        raise bad
    one = two = path[0]
    for step in path[1:]:
        if last == 0:
            raise bad
        if first & 1 or first == last:
            one, two = _sha256(b"\x01" + step + one).digest(), _sha256(b"\x01" + step + two).digest()
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            two = _sha256(b"\x01" + two + step).digest()
        first, last = first >> 1, last >> 1
    if last or one != first_root or two != second_root:
        raise bad
    return old, new


def _read(path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def _key(text: str) -> bytes:
    try:
        given = Path(text).read_text().strip() if len(text) < 200 and Path(text).is_file() else text
        key = base64.b64decode(given, validate=True)
    except (OSError, ValueError) as error:
        raise InputError("The public key is not base64.") from error
    if len(key) != 32:
        raise InputError("A public key has 32 bytes.")
    return key


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("export", "inclusion", "proofs", "consistency"))
    parser.add_argument("file")
    parser.add_argument("checkpoint", nargs="+")
    parser.add_argument("--key", required=True)
    asked = parser.parse_args(arguments)
    try:
        points = checkpoints_read(asked.checkpoint, _key(asked.key))
        if asked.verb in ("export", "proofs"):
            try:
                with open(asked.file, "rb") as lines:
                    count = export_verify(lines, points) if asked.verb == "export" else proofs_verify(lines, points)
            except OSError as error:
                raise InputError(f"{asked.file} cannot be read ({error.strerror}).") from error
            print(f"valid: {count} entries, every one signed for")
            return 0
        try:
            proof = json.loads(_read(asked.file))
        except ValueError as error:
            raise InputError(f"{asked.file} is not JSON.") from error
        if asked.verb == "inclusion":
            print(f"valid: entry {inclusion_verify(proof, points)} is in the signed trail")
        else:
            print("valid: the trail of {} is the beginning of that of {}".format(*consistency_verify(proof, points)))
        return 0
    except TamperedError as error:
        print(f"TAMPERED: {error}" + (f" First bad entry: {error.seq}." if error.seq else ""))
        return 1
    except InputError as error:
        print(f"cannot check: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
