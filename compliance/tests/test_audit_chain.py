"""The mathematics of the audit trail, against the test vectors of Certificate Transparency and RFC 8032, and the verifier against it."""

from __future__ import annotations

import json
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compliance.audit import chain
from compliance.audit.signing import Signer
from compliance.audit.verifier import verify_audit

# The leaves and roots of the reference tests of Certificate Transparency (google/certificate-transparency, merkle_tree_test).
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Tree:
    """A tree in memory."""

    def __init__(self, leaves):
        self.leaves = leaves
        self.nodes = dict(enumerate_nodes(leaves))
        self.root = self.nodes_root

    def node(self, level, index):
        return self.nodes[level, index]

    def nodes_root(self, size):
        return chain.root_of(0, size, self.node)


def enumerate_nodes(leaves):
    frontier = chain.Frontier(0, lambda level, index: b"")
    for number, leaf in enumerate(leaves):
        yield (0, number), leaf
        for level, index, digest in frontier.append(leaf):
            yield (level, index), digest


def test_roots_are_those_of_certificate_transparency():
    assert chain.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    tree = Tree([chain.leaf_hash(bytes.fromhex(text)) for text in LEAVES])
    frontier = chain.Frontier(0, tree.node)
    for size, root in enumerate(ROOTS, 1):
        frontier.append(tree.leaves[size - 1])
        assert frontier.root().hex() == root == tree.root(size).hex()
        assert chain.Frontier(size, tree.node).root().hex() == root


def test_every_inclusion_and_consistency_proof_of_small_trees_holds_and_no_other():
    tree = Tree([chain.leaf_hash(bytes([number])) for number in range(33)])
    for size in range(1, 34):
        for index in range(size):
            path = chain.inclusion_proof(index, size, tree.node)
            assert chain.inclusion_root(index, size, tree.leaves[index], path) == tree.root(size)
            assert chain.inclusion_root(index, size, chain.leaf_hash(b"other"), path) != tree.root(size)
            assert chain.inclusion_root(index, size, tree.leaves[index], [*path, bytes(32)]) != tree.root(size)
        for old in range(1, size + 1):
            points = [Point(old, tree.root(old)), Point(size, tree.root(size))]
            proof = {"from": old, "to": size, "path": [h.hex() for h in chain.consistency_proof(old, size, tree.node)]}
            assert verify_audit.consistency_verify(proof, points) == (old, size)
            if old < size:
                points[0].root = bytes(32)
                with pytest.raises(verify_audit.TamperedError):
                    verify_audit.consistency_verify(proof, points)


def test_a_proof_in_a_million_entries_has_at_most_twenty_hashes():
    assert len(chain.inclusion_proof(777_777, 1_000_000, lambda level, index: bytes(32))) <= 20


class Point:
    """A checkpoint without a signature."""

    def __init__(self, size, root):
        self.size, self.root = size, root


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "é\n\u001f"]}, '{"a":[true,null,"é\\n\\u001f"],"b":1}'),
        # RFC 8785 3.2.3: by UTF-16 units, so the astral letter comes before U+FB33.
        ({"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3}, '{"\u20ac":3,"\U0001f600":2,"\ufb33":1}'),
    ],
)
def test_canonical_bytes_are_those_of_the_rfc(value, text):
    assert chain.canonical(value) == text.encode()


@pytest.mark.parametrize("value", [1.5, 2**53, {"a": {1: 2}}, [b""]])
def test_what_has_no_exact_form_is_refused(value):
    with pytest.raises(ValueError, match=r"exact|text"):
        chain.canonical(value)


def test_the_verifiers_ed25519_agrees_with_rfc_8032_and_the_library():
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify_audit.ed25519_verify(key, b"\x72", signature)
    chance = random.Random(8032)
    for _ in range(20):
        private = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        message = chance.randbytes(chance.randrange(100))
        good = private.sign(message)
        bad = bytearray(good)
        bad[chance.randrange(64)] ^= 1 << chance.randrange(8)
        public = private.public_key().public_bytes_raw()
        assert verify_audit.ed25519_verify(public, message, good)
        assert not verify_audit.ed25519_verify(public, message, bytes(bad))
        assert not verify_audit.ed25519_verify(public, message + b"x", good)


# -- tampering ---------------------------------------------------------------------------------------------------------

SIZE = 200
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))), ())


def _line(seq, previous, **changes):
    columns = {"action": "listing.changed", "actor_id": "17", "object_id": str(seq), "seq": seq} | changes
    data = chain.canonical(columns)
    digest = chain.entry_hash(previous, data)
    return b'{"entry":' + data + b',"entry_hash":"' + digest.hex().encode() + b'"}\n', digest


def _trail(size, first_changed=None):
    """Lines of a trail; entries from ``first_changed`` on are forged and chained again, as one would who has the database."""
    lines, previous, leaves = [], chain.GENESIS, []
    for seq in range(1, size + 1):
        extra = {"object_id": "forged"} if seq == first_changed else {}
        line, previous = _line(seq, previous, **extra)
        lines.append(line)
        leaves.append(chain.leaf_hash(previous))
    return lines, Tree(leaves)


LINES, TREE = _trail(SIZE)


def _points(tree, sizes, signer=SIGNER):
    return [verify_audit.Checkpoint(signer.note(size, tree.root(size), "t"), SIGNER.public) for size in sizes]


POINTS = _points(TREE, range(1, SIZE + 1))


def _variants():
    """(label, lines, first bad seq): over a thousand ways to change a trail."""
    chance = random.Random(20261121)
    for _ in range(400):
        seq = chance.randrange(1, SIZE + 1)
        line = bytearray(LINES[seq - 1])
        line[chance.randrange(len(line) - 1)] ^= 1 << chance.randrange(7)
        # A flipped bit may make a line end, which would be two lines.
        pieces = bytes(line).replace(b"\n", b"") + b"\n"
        if pieces != LINES[seq - 1]:
            yield f"edit {seq}", [*LINES[: seq - 1], pieces, *LINES[seq:]], seq
    for seq in range(1, SIZE):
        yield f"delete {seq}", [*LINES[: seq - 1], *LINES[seq:]], seq
        yield f"swap {seq}", [*LINES[: seq - 1], LINES[seq], LINES[seq - 1], *LINES[seq + 1 :]], seq
        yield (
            f"insert {seq}",
            [*LINES[: seq - 1], _line(seq, bytes(32), object_id="inserted")[0], *LINES[seq - 1 :]],
            seq,
        )
        yield f"truncate to {seq}", LINES[:seq], seq + 1
    for seq in range(1, SIZE + 1, 4):
        yield f"chained again from {seq}", _trail(SIZE, first_changed=seq)[0], seq
    yield "appended unsigned", _trail(SIZE + 1)[0], SIZE + 1


def test_every_tampering_is_found_and_the_first_bad_entry_named():
    assert verify_audit.export_verify(LINES, POINTS) == SIZE
    count = 0
    for label, lines, seq in _variants():
        with pytest.raises(verify_audit.TamperedError) as caught:
            verify_audit.export_verify(lines, POINTS)
        assert caught.value.seq == seq, label
        count += 1
    assert count >= 1_000


def test_a_whole_trail_written_again_is_placed_between_two_checkpoints():
    points = _points(TREE, (50, 120, SIZE))
    with pytest.raises(verify_audit.TamperedError, match="entries 51 to 120") as caught:
        verify_audit.export_verify(_trail(SIZE, first_changed=77)[0], points)
    assert caught.value.seq == 51


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "export.jsonl").write_bytes(b"".join(LINES))
    (tmp_path / "new.txt").write_text(SIGNER.note(SIZE, TREE.root(SIZE), "t"))
    return tmp_path


def run(folder, verb, file, *points, key=SIGNER.public_text):
    return verify_audit.main([verb, str(folder / file), *(str(folder / name) for name in points), "--key", key])


def test_the_command_says_valid_and_exits_0(folder, capsys):
    assert run(folder, "export", "export.jsonl", "new.txt") == 0
    assert capsys.readouterr().out.startswith(f"valid: {SIZE} entries")


def test_an_old_checkpoint_played_back_with_a_cut_trail_is_found_by_a_newer_note(folder, capsys):
    (folder / "export.jsonl").write_bytes(b"".join(LINES[:150]))
    (folder / "old.txt").write_text(SIGNER.note(150, TREE.root(150), "t"))
    assert run(folder, "export", "export.jsonl", "old.txt") == 0
    assert run(folder, "export", "export.jsonl", "old.txt", "new.txt") == 1
    assert "First bad entry: 151" in capsys.readouterr().out


def test_two_signed_trails_of_one_size_are_a_fork(folder, capsys):
    forged = _trail(SIZE, first_changed=3)[1]
    (folder / "other.txt").write_text(SIGNER.note(SIZE, forged.root(SIZE), "t"))
    assert run(folder, "export", "export.jsonl", "new.txt", "other.txt") == 1
    assert "forked" in capsys.readouterr().out


def test_a_forger_with_another_key_is_refused(folder, capsys):
    other = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)), ())
    (folder / "new.txt").write_text(other.note(SIZE, TREE.root(SIZE), "t"))
    assert run(folder, "export", "export.jsonl", "new.txt") == 1
    assert "not signed by this key" in capsys.readouterr().out


@pytest.mark.parametrize("seq", [1, 64, 65, SIZE])
def test_an_inclusion_proof_is_checked_from_files(folder, seq):
    previous = bytes(32) if seq == 1 else bytes.fromhex(LINES[seq - 2][-67:-3].decode())
    data = LINES[seq - 1][9 : -1 - verify_audit.LINE_END]
    proof = {
        "seq": seq, "size": SIZE, "prev_hash": previous.hex(), "entry_hash": LINES[seq - 1][-67:-3].decode(),
        "canonical": data.decode(), "path": [h.hex() for h in chain.inclusion_proof(seq - 1, SIZE, TREE.node)],
    }  # fmt: skip
    (folder / "proof.json").write_text(json.dumps(proof))
    assert run(folder, "inclusion", "proof.json", "new.txt") == 0
    for change in ({"canonical": data.decode().replace("17", "18")}, {"path": proof["path"][:-1]}, {"seq": seq + 1}):
        (folder / "proof.json").write_text(json.dumps(proof | change))
        assert run(folder, "inclusion", "proof.json", "new.txt") == 1


def test_what_cannot_be_read_exits_2(folder, capsys):
    (folder / "bad.json").write_text("{")
    (folder / "bad.txt").write_text("no note")
    assert run(folder, "export", "none.jsonl", "new.txt") == 2
    assert run(folder, "export", "export.jsonl", "bad.txt") == 2
    assert run(folder, "export", "export.jsonl", "new.txt", key="short") == 2
    assert run(folder, "inclusion", "bad.json", "new.txt") == 2
    assert "cannot check" in capsys.readouterr().err
