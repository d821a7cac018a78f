"""Proofs of the audit trail and what a record's hashes really come to: nothing is called verified that was not computed here and now."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from compliance.audit import chain
from compliance.audit.recorder import entry_canonical
from compliance.audit.signing import signer
from compliance.audit.verifier.verify_audit import InputError, TamperedError
from compliance.audit.verify import note_read
from compliance.models import AuditCheckpoint, AuditEntry
from compliance.selectors.audit import checkpoint_latest

#: Proofs whose nodes are fetched together.
TOGETHER = 500


@dataclass(frozen=True)
class Check:
    """One thing that was computed about a record; ``holds`` is None when it could not be asked yet."""

    title: str
    holds: bool | None
    detail: str


def inclusion_get(entry: AuditEntry) -> dict[str, Any]:
    """The proof that an entry is in the newest signed tree, with its note; ApiProblem 2014 while it is newer than that."""
    point = checkpoint_latest()
    if entry.seq > point.size:
        raise ApiProblem(RejectCode.NOT_FOUND, "This entry is not signed yet. Try again in a second.")
    return next(proofs_for([entry], point.size)) | {"checkpoint": point.note}


def proofs_for(entries: Iterable[AuditEntry], size: int) -> Iterator[dict[str, Any]]:
    """Inclusion proofs in the tree of ``size`` entries, without its note; the nodes of TOGETHER of them cost two queries."""
    waiting: list[AuditEntry] = []
    for entry in entries:
        waiting.append(entry)
        if len(waiting) == TOGETHER:
            yield from _proofs(waiting, size)
            waiting = []
    yield from _proofs(waiting, size)


def _proofs(entries: list[AuditEntry], size: int) -> Iterator[dict[str, Any]]:
    if not entries:
        return
    node = _nodes_for([entry.seq - 1 for entry in entries], size)
    for entry in entries:
        yield {
            "seq": entry.seq,
            "size": size,
            "canonical": entry_canonical(entry).decode(),
            "prev_hash": bytes(entry.prev_hash).hex(),
            "entry_hash": bytes(entry.entry_hash).hex(),
            "path": [step.hex() for step in chain.inclusion_proof(entry.seq - 1, size, node)],
        }


def _nodes_for(indexes: list[int], size: int) -> Callable[[int, int], bytes]:
    """The nodes that proofs of these leaves ask for, fetched at once: a walk with no hashes says which."""
    wanted: set[tuple[int, int]] = set()

    def asked(level: int, index: int) -> bytes:
        wanted.add((level, index))
        return chain.EMPTY_ROOT

    for index in indexes:
        chain.inclusion_proof(index, size, asked)
    leaves = [index + 1 for level, index in wanted if level == 0]
    inner = [(level, index) for level, index in wanted if level]
    known = {
        (0, seq - 1): bytes(digest)
        for seq, digest in AuditEntry.objects.filter(seq__in=leaves).values_list("seq", "leaf_hash")
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT level, index, hash FROM audit_node JOIN unnest(%s::int[], %s::bigint[]) AS w (level, index) USING (level, index)",
            [[level for level, _ in inner], [index for _, index in inner]],
        )
        known |= {(level, index): bytes(digest) for level, index, digest in cursor.fetchall()}
    # A node that is missing is as good as one that is wrong: the proof leads to another root.
    return lambda level, index: known.get((level, index), bytes(chain.GENESIS))


def entry_checks(entry: AuditEntry, before: AuditEntry | None, behind: AuditEntry | None) -> list[Check]:
    """What the record's hashes, its neighbours, its proof and the newest signature come to."""
    previous = bytes(entry.prev_hash)
    digest = chain.entry_hash(previous, entry_canonical(entry))
    stored = bytes(entry.entry_hash)
    wanted = chain.GENESIS if entry.seq == 1 else bytes(before.entry_hash) if before else None
    return [
        Check(
            "Sealed part",
            hashlib.sha256(entry.payload).digest() == bytes(entry.payload_hash),
            "SHA-256 of the sealed before and after is the one in the record",
        ),
        Check("Record", digest == stored, "the record hashes to its own entry hash"),
        Check("Link back", wanted == previous, "it names the hash of the record before"),
        Check(
            "Link on",
            bytes(behind.prev_hash) == stored if behind else None,
            "the record behind names this one's hash" if behind else "there is no record behind it yet",
        ),
        *_signed_checks(entry, digest),
    ]


def _signed_checks(entry: AuditEntry, digest: bytes) -> list[Check]:
    point = AuditCheckpoint.objects.order_by("-size").first()
    if point is None or entry.seq > point.size:
        return [Check("Signed", None, "not signed yet: the next checkpoint follows within a second")]
    note = None
    try:
        note = note_read(point.note, signer().publics)
        said = f"Ed25519 signature of the checkpoint of {point.size} entries"
    except (TamperedError, InputError) as error:
        said = str(error)
    node = _nodes_for([entry.seq - 1], point.size)
    path = chain.inclusion_proof(entry.seq - 1, point.size, node)
    root = chain.inclusion_root(entry.seq - 1, point.size, chain.leaf_hash(digest), path)
    return [
        Check("Signature", note is not None, said),
        Check(
            "In the signed tree",
            note is not None and note.size == point.size and root == note.root,
            f"a proof of {len(path)} hashes leads to the signed root",
        ),
    ]
