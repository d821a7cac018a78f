"""What comes back: outcomes of commands and the items of the event feed, as frozen values.

Owns: the three outcomes (accepted, rejected, unknown), how a command's events become one, feed batches and their pairing of
commands with events. Leaves to others: the event struct (native/layout.py), its meaning (docs/engine.md), reject texts
(brokerage/kernel/rejects.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from native import layout
from native.layout import Command, Event, EventType

_REFUSALS = frozenset(
    {EventType.ORDER_REJECTED, EventType.CANCEL_REJECTED, EventType.REPLACE_REJECTED, EventType.COMMAND_REJECTED}
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The command was applied and is durable. ``duplicate``: it had been, earlier, under the same id."""

    cmd_seq: int
    events: tuple[Event, ...]
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The command was refused with a number of native.layout.Reject; ``needed``, ``available`` and ``price`` as its rule says.

    ``cmd_seq`` is 0 when the engine process refused it before it was journaled (9013: overloaded or low disk space); such
    a refusal is not remembered, the same id may be sent again.
    """

    cmd_seq: int
    reason: int
    needed: int
    available: int
    price: int
    events: tuple[Event, ...]
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The command was sent and no answer came: it may or may not have been applied. Ask by its ClOrdID (``resolve``)."""

    why: str
    cmd_seq: int = 0
    events: tuple[Event, ...] = ()


Outcome = Accepted | Rejected | Unknown


def outcome_of(cmd_seq: int, events: tuple[Event, ...], reason: int = 0) -> Accepted | Rejected:
    """The outcome a command's events state; ``reason`` is a refusal of the engine process itself."""
    if not events:
        if reason:
            return Rejected(cmd_seq, reason, 0, 0, 0, ())
        return Accepted(cmd_seq, ())
    first = events[0]
    if first.type in _REFUSALS:
        return Rejected(cmd_seq, first.reason, first.qty, first.leaves, first.price, events)
    if first.type == EventType.DUPLICATE:
        if first.reason:
            return Rejected(first.ref_id, first.reason, first.qty, first.leaves, first.price, events, True)
        return Accepted(first.ref_id, events, True)
    return Accepted(cmd_seq, events)


class FeedItem(NamedTuple):
    """One command and everything it caused."""

    command: Command
    events: list[Event]


class FeedBatch:
    """Consecutive durable commands with their events. ``raw_commands`` and ``raw_events`` are the packed structs.

    An empty batch only says that nothing happened for a while (``idle_s`` of the feed).
    """

    __slots__ = ("_items", "count", "epoch", "first_seq", "journal_id", "raw_commands", "raw_events")

    def __init__(
        self, epoch: int, journal_id: str, first_seq: int, count: int, raw_commands: Any, raw_events: Any
    ) -> None:
        self.epoch = epoch
        self.journal_id = journal_id
        self.first_seq = first_seq
        self.count = count
        self.raw_commands = raw_commands
        self.raw_events = raw_events
        self._items: list[FeedItem] | None = None

    @property
    def last_seq(self) -> int:
        """Command sequence of the last item (first_seq − 1 when empty)."""
        return self.first_seq + self.count - 1

    @property
    def raw(self) -> Any:
        """The packed events."""
        return self.raw_events

    @property
    def items(self) -> list[FeedItem]:
        """The items, unpacked on first use."""
        if self._items is None:
            by_seq: dict[int, list[Event]] = {}
            for event in layout.iter_events(self.raw_events):
                by_seq.setdefault(event.cmd_seq, []).append(event)
            self._items = [
                FeedItem(command, by_seq.get(command.seq, [])) for command in layout.iter_commands(self.raw_commands)
            ]
        return self._items

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[FeedItem]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> FeedItem: ...
    @overload
    def __getitem__(self, index: slice) -> list[FeedItem]: ...
    def __getitem__(self, index: int | slice) -> FeedItem | list[FeedItem]:
        return self.items[index]
