"""Ties the engine's journal to the audit trail: where it is, and the digest of the state that its commands lead to.

Whoever replays the journal to that command must come to the same digest; a journal changed afterwards does not. The engine is asked over its
socket, so this costs it one small answer in a minute.
"""

from __future__ import annotations

from brokerage.kernel.errors import EngineUnavailableError
from brokerage.platform.audit import Actor, record
from trading.engine.gateway import EngineUnavailable
from trading.services.engine_access import get_engine_client

EVERY_S = 60.0
_last: tuple[str, int] = ("", 0)


def journal_anchor() -> bool:
    """Record the journal's place when it has moved since the last call; False when it has not, or the engine is away."""
    global _last
    try:
        client = get_engine_client()
        status = client.status()
        cmd_seq, event_seq, digest = client.digest()
    except (EngineUnavailable, EngineUnavailableError):
        return False
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
            "segment": status.details.get("segment"),
            "epoch": status.epoch,
        },
    )
    _last = (status.journal_id, cmd_seq)
    return True
