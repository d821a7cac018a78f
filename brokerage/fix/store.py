"""What a session must remember: its two sequence numbers and the application messages it sent, so that they can be sent again.

A store is written before anything leaves: ``commit`` returns, then the bytes go out, so a process killed in between has lost nothing that a peer
knows of. Owns the contract and a store in memory for tests. Leaves the one in PostgreSQL to ``trading/fix_gateway/store.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from brokerage.fix.codec import Field


@dataclass(frozen=True, slots=True)
class Stored:
    """An application message as it was sent: enough to send it again."""

    seq: int
    msg_type: str
    body: tuple[Field, ...]
    sent_ns: int


class MessageStore(Protocol):
    """Of one session."""

    next_in: int
    next_out: int

    def append(self, message: Stored) -> None:
        """Keep an application message."""

    def between(self, first: int, last: int) -> list[Stored]:
        """The messages kept with these numbers, in order; those that are not kept are left out."""

    def reset(self) -> None:
        """Begin again at 1 and forget the messages."""


class MemoryStore:
    """For tests and tools: forgets with the process."""

    def __init__(self, next_in: int = 1, next_out: int = 1) -> None:
        self.next_in, self.next_out = next_in, next_out
        self.kept: dict[int, Stored] = {}

    def append(self, message: Stored) -> None:
        """Keep it."""
        self.kept[message.seq] = message

    def between(self, first: int, last: int) -> list[Stored]:
        """Those there are."""
        return [self.kept[seq] for seq in sorted(self.kept) if first <= seq <= last]

    def reset(self) -> None:
        """Forget."""
        self.next_in = self.next_out = 1
        self.kept.clear()
