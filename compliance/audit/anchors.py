"""Ties the engine's journal to the audit trail: where it durably ends, the hash of its last frame, the digest of the state.

A frame names the hash of the frame before it, so the one hash binds the journal up to there: a journal changed afterwards has another at that
place (docs/audit.md says how to look), and replaying it leads to another digest. The engine is asked over its socket: one small answer in a minute.
A halt of the engine is recorded here too, once, with its reason.
"""

from __future__ import annotations

from brokerage.kernel.errors import EngineUnavailableError
from brokerage.platform.audit import Actor, record
from trading.engine.gateway import EngineUnavailable
from trading.services.engine_access import get_engine_client

EVERY_S = 60.0
_last: tuple[str, int] = ("", 0)
_last_halt = ""


def journal_anchor() -> bool:
    """Record the journal's place when it has moved since the last call; False when it has not, or the engine is away."""
    global _last, _last_halt
    try:
        client = get_engine_client()
        status = client.status()
        cmd_seq, event_seq, digest = client.digest()
    except (EngineUnavailable, EngineUnavailableError):
        return False
    if status.halt_reason != _last_halt:
        record(
            "engine.halted" if status.halt_reason else "engine.resumed",
            object_type="journal",
            object_id=status.journal_id,
            actor=Actor("engine", str(status.journal_id)),
            before={"halt_reason": _last_halt},
            after={"halt_reason": status.halt_reason},
        )
        _last_halt = status.halt_reason
    if (status.journal_id, cmd_seq) == _last:
        return False
    record(
        "journal.anchored",
        object_type="journal",
        object_id=status.journal_id,
        actor=Actor("engine", str(status.journal_id)),
        after={
            "cmd_seq": str(cmd_seq),
            "event_seq": str(event_seq),
            "state_digest": f"{digest:016x}",
            **(status.details.get("durable") or {}),
            "epoch": status.epoch,
        },
    )
    _last = (status.journal_id, cmd_seq)
    return True
