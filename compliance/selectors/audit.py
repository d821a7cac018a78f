"""Reads of the audit trail: entries with what they show, checkpoints, proofs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.crypto import CryptoError, KeyDestroyedError, unseal
from brokerage.platform.problems import ApiProblem
from compliance.audit import chain
from compliance.audit.recorder import entry_canonical, node_get, time_text
from compliance.models import AuditCheckpoint, AuditEntry


def entries_for(
    *,
    actor: str = "",
    object_type: str = "",
    object_id: str = "",
    action: str = "",
    day_from: date | None = None,
    day_to: date | None = None,
) -> QuerySet[AuditEntry]:
    """Entries that fit every filter given; days are UTC, the last one included."""
    exact = {"actor_id": actor, "object_type": object_type, "object_id": object_id, "action": action}
    found = AuditEntry.objects.filter(**{name: value for name, value in exact.items() if value})
    if day_from:
        found = found.filter(ts__gte=datetime.combine(day_from, time.min, UTC))
    if day_to and day_to < date.max:
        found = found.filter(ts__lt=datetime.combine(day_to + timedelta(days=1), time.min, UTC))
    return found


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


def inclusion_get(entry: AuditEntry) -> dict[str, Any]:
    """The proof that an entry is in the newest signed tree; ApiProblem 2014 while it is newer than that."""
    point = checkpoint_latest()
    if entry.seq > point.size:
        raise ApiProblem(RejectCode.NOT_FOUND, "This entry is not signed yet. Try again in a second.")
    return {
        "seq": entry.seq,
        "size": point.size,
        "canonical": entry_canonical(entry).decode(),
        "prev_hash": bytes(entry.prev_hash).hex(),
        "entry_hash": bytes(entry.entry_hash).hex(),
        "path": [step.hex() for step in chain.inclusion_proof(entry.seq - 1, point.size, node_get)],
        "checkpoint": point.note,
    }


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
