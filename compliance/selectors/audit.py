"""Reads of the audit trail: entries with what they show, checkpoints, proofs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.crypto import CryptoError, KeyDestroyedError, unseal
from brokerage.platform.problems import ApiProblem
from compliance.audit import chain
from compliance.audit.recorder import node_get, time_text
from compliance.models import AuditCheckpoint, AuditEntry

#: Rows a long walk reads at once.
WALK_ROWS = 1_000


def entries_for(
    *,
    actor: str = "",
    object_type: str = "",
    object_id: str = "",
    action: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[AuditEntry]:
    """Entries that fit every filter given, the newest first; ``since`` is included, ``until`` is not."""
    exact = {
        "actor_id": actor, "object_type": object_type, "object_id": object_id, "action": action, "ts__gte": since, "ts__lt": until,
    }  # fmt: skip
    return AuditEntry.objects.filter(**{name: value for name, value in exact.items() if value}).order_by("-seq")


def entries_walk(found: QuerySet[AuditEntry], limit: int) -> Iterator[AuditEntry]:
    """Up to ``limit`` of the newest entries found, without their sealed part, read by key in chunks."""
    before, left = None, limit
    while left:
        part = found.filter(seq__lt=before) if before else found
        rows = list(part.defer("payload")[: min(WALK_ROWS, left)])
        yield from rows
        left -= len(rows)
        if len(rows) < WALK_ROWS:
            return
        before = rows[-1].seq


def entry_row(entry: AuditEntry) -> dict[str, Any]:
    """What a list shows of an entry."""
    return {
        "seq": str(entry.seq),
        "time": time_text(entry.ts),
        "actor_type": entry.actor_type,
        "actor": entry.actor_id,
        "on_behalf_of": entry.on_behalf_of,
        "action": entry.action,
        "object_type": entry.object_type,
        "object_id": entry.object_id,
        "subject": entry.subject,
        "request_id": entry.request_id,
        "entry_hash": bytes(entry.entry_hash).hex(),
    }


def entry_detail(entry: AuditEntry) -> dict[str, Any]:
    """An entry with its opened payload. ``state`` says when it cannot be opened: erased, or damaged."""
    shown = {"before": None, "after": None, "reason": "", "ip": ""}
    state = "open"
    try:
        shown = json.loads(unseal(entry.payload, table="audit_entry", row=str(entry.source_id), field="payload"))
    except KeyDestroyedError:
        state = "erased"
    except CryptoError:
        state = "unreadable"
    return entry_row(entry) | {"state": state} | shown


def entry_get(seq: int) -> AuditEntry:
    """The entry; ApiProblem 2014 when there is none."""
    entry = AuditEntry.objects.filter(seq=seq).first()
    if entry is None:
        raise ApiProblem(RejectCode.NOT_FOUND, f"There is no audit entry {seq}.")
    return entry


def checkpoint_latest() -> AuditCheckpoint:
    """The newest checkpoint; ApiProblem 2014 while nothing was signed yet."""
    found = AuditCheckpoint.objects.order_by("-size").first()
    if found is None:
        raise ApiProblem(RejectCode.NOT_FOUND, "Nothing was signed yet.")
    return found


def actor_find(text: str) -> str:
    """The id of an actor by id or e-mail address; an address nobody has is given back, and finds nothing."""
    if "@" not in text:
        return text
    found = get_user_model().objects.filter(email__iexact=text).values_list("pk", flat=True).first()
    return str(found) if found else text


def actor_names(rows: Iterable[AuditEntry]) -> dict[str, str]:
    """E-mail addresses of the people among the actors and the clients looked on as, by id."""
    keys = set()
    for text in {name for row in rows for name in (row.actor_id, row.on_behalf_of)}:
        try:
            keys.add(UUID(text))
        except ValueError:
            continue
    return {str(pk): email for pk, email in get_user_model().objects.filter(pk__in=keys).values_list("pk", "email")}


def changes_of(before: Any, after: Any) -> list[dict[str, Any]]:
    """Before and after side by side, a row for each field (``a.b`` for fields of fields), and whether it changed."""
    old, new = _fields(before), _fields(after)
    return [
        {
            "field": name,
            "before": old.get(name),
            "after": new.get(name),
            # Where only one side was recorded there is nothing to compare.
            "changed": before is not None and after is not None and old.get(name) != new.get(name),
        }
        for name in dict.fromkeys([*old, *new])
    ]


def _fields(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        found: dict[str, str] = {}
        for name, item in value.items():
            found |= _fields(item, f"{prefix}.{name}" if prefix else str(name))
        return found
    if value is None and not prefix:
        return {}
    return {prefix or "value": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}


def consistency_get(old: int, new: int) -> dict[str, Any]:
    """The proof that the tree of ``old`` entries begins that of ``new``; ApiProblem 1014 outside the signed trail."""
    size = checkpoint_latest().size
    if not 0 < old <= new <= size:
        raise ApiProblem(
            RejectCode.VALUE_OUT_OF_RANGE,
            f"Sizes go from 1 to {size}, the older first.",
            field="from",
            needed=f"1 to {size}",
        )
    return {"from": old, "to": new, "path": [step.hex() for step in chain.consistency_proof(old, new, node_get)]}
