"""What the engine's frames mean to a client: outcomes, feed batches, status, errors. Shared by the two clients of the gateway.

Owns: turning payloads into values of events.py and the exceptions of the gateway. Leaves to others: bytes (wire.py), sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from brokerage.kernel.errors import EngineUnavailableError, ProtocolError
from native import layout
from native.layout import COMMAND_SIZE, EVENT_SIZE
from trading.engine import wire
from trading.engine.events import Accepted, FeedBatch, Rejected, outcome_of


class FeedCutError(EngineUnavailableError):
    """The engine ended a feed on purpose; ``code`` is wire.ERR_SEQUENCE (no such place) or ERR_SLOW (fell behind)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class HaltedError(EngineUnavailableError):
    """The engine has halted: it acknowledges nothing more and ends. The text is its reason."""


@dataclass(frozen=True)
class EngineStatus:
    """State of the engine as of a durable sequence. Counts are None for the moment in which a batch is being written."""

    epoch: int
    journal_id: str
    build_id: str
    durability: str
    cmd_seq: int
    event_seq: int
    time_ns: int
    started_ns: int
    halt_reason: str
    low_space: bool
    live_orders: int | None
    trading_day: int
    subscribers: int
    details: dict[str, Any] = field(default_factory=dict)
    """Everything the engine said, these fields included."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> EngineStatus:
        """From the engine's JSON."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name != "details"}, details=values)


def raise_error(kind: int, payload: Any) -> NoReturn:
    """Raise what an ERROR, HALT or unexpected frame means."""
    if kind == wire.HALT:
        raise HaltedError(f"the engine has halted: {bytes(payload).decode('utf-8', 'replace')}")
    if kind == wire.ERROR:
        code, text = wire.error_text(payload)
        if code in (wire.ERR_SEQUENCE, wire.ERR_SLOW):
            raise FeedCutError(code, text)
        if code in (wire.ERR_PROTOCOL, wire.ERR_VERSION, wire.ERR_QUERY):
            raise ProtocolError(f"the engine refused ({wire.ERROR_NAMES[code]}): {text}")
        raise EngineUnavailableError(f"the engine refused ({wire.ERROR_NAMES.get(code, code)}): {text}")
    raise ProtocolError(f"unexpected frame type {kind}")


def parse_answer(payload: Any) -> list[Any]:
    """Outcomes of one SUBMIT frame."""
    count = wire.ANSWER_HEAD.unpack_from(payload)[0]
    place = wire.ANSWER_HEAD.size
    offset = place + count * wire.ANSWER_ROW.size
    outcomes: list[Accepted | Rejected] = []
    for row in range(count):
        cmd_seq, n_events, reason = wire.ANSWER_ROW.unpack_from(payload, place + row * wire.ANSWER_ROW.size)
        if reason == 9010:
            raise EngineUnavailableError("the engine is stopping; the command was not taken")
        events = tuple([layout.unpack_event(payload, offset + i * EVENT_SIZE) for i in range(n_events)])
        offset += n_events * EVENT_SIZE
        outcomes.append(outcome_of(cmd_seq, events, reason))
    if offset != len(payload):
        raise ProtocolError("an answer has the wrong size")
    return outcomes


def outcome_by_id(payload: Any) -> Accepted | Rejected | None:
    """Outcome of Q_CL_ORD_ID."""
    if not payload:
        return None
    event = layout.unpack_event(payload)
    return outcome_of(event.ref_id, (event,))


def parse_feed(payload: Any, journal_id: str, wanted: int) -> FeedBatch | None:
    """A feed batch without what lies before ``wanted`` (a batch comes whole); None when nothing is left."""
    epoch, count, first_seq, n_events, _ = wire.FEED_HEAD.unpack_from(payload)
    begin = wire.FEED_HEAD.size
    middle = begin + count * COMMAND_SIZE
    if len(payload) != middle + n_events * EVENT_SIZE:
        raise ProtocolError("a feed batch has the wrong size")
    commands, events = payload[begin:middle], payload[middle:]
    skip = wanted - first_seq
    if wanted > 0 and skip < 0:
        raise ProtocolError(f"the feed skipped from command {wanted} to {first_seq}")
    if wanted > 0 and skip:
        if skip >= count:
            return None
        passed = 0
        while (
            passed < n_events
            and int.from_bytes(events[passed * EVENT_SIZE + 8 : passed * EVENT_SIZE + 16], "little") < wanted
        ):
            passed += 1
        commands, events = commands[skip * COMMAND_SIZE :], events[passed * EVENT_SIZE :]
        first_seq, count = wanted, count - skip
    return FeedBatch(epoch, journal_id, first_seq, count, commands, events)
