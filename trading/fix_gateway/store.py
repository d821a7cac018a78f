"""A session's memory in PostgreSQL: everything of one step in one transaction, before its bytes leave.

Owns the tables of ``trading/models/fix.py`` but for requests, the fence (``holder``: only the newest connection of a session may write), and how far
back messages are kept: MESSAGES_MAX a session here, and their time by ``compliance/retention.py``. What is not kept any more is gap filled.
"""

from __future__ import annotations

import uuid

from django.db import transaction

from accounts.models import FixKey
from brokerage.fix.codec import Field
from brokerage.fix.store import Stored
from brokerage.kernel.clock import datetime_from_ns, utc_now
from trading.models import FixMessage, FixSession
from trading.selectors.projection import projection_get

MESSAGES_MAX = 20_000
#: How many numbers pass between two looks for old messages.
PRUNE_EVERY = 1_000


class FencedError(Exception):
    """Another connection, or another gateway, holds this session now."""


def _text(body: tuple[Field, ...]) -> str:
    return "\x01".join(f"{tag}={value}" for tag, value in body)


def _fields(text: str) -> tuple[Field, ...]:
    parts = (part.partition("=") for part in text.split("\x01") if part)
    return tuple((int(tag), value) for tag, _, value in parts)


class DbStore:
    """Of one connection's session; used by one thread at a time."""

    def __init__(self, row: FixSession) -> None:
        self._id, self._holder = row.pk, row.holder
        self.next_in, self.next_out = row.next_in, row.next_out
        self.epoch, self.feed_seq = row.epoch, row.feed_seq
        self._pending: list[Stored] = []
        self._forgotten = False  # a reset that is not committed yet
        self._clean = self._state()

    @property
    def number(self) -> int:
        """The session's number in the database."""
        return int(self._id)

    def _state(self) -> tuple[int, int, int, int]:
        return self.next_in, self.next_out, self.epoch, self.feed_seq

    def append(self, message: Stored) -> None:
        """Keep an application message with the next commit."""
        self._pending.append(message)

    def between(self, first: int, last: int) -> list[Stored]:
        """Kept messages, those of this step with them."""
        kept: list[Stored] = []
        if not self._forgotten:
            rows = FixMessage.objects.filter(session_id=self._id, seq__gte=first, seq__lte=last).order_by("seq")
            kept = [Stored(row.seq, row.msg_type, _fields(row.body), row.sent_ns) for row in rows]
        return kept + [message for message in self._pending if first <= message.seq <= last]

    def reset(self) -> None:
        """Begin again at 1."""
        self.next_in = self.next_out = 1
        self.epoch += 1
        self._pending.clear()
        self._forgotten = True

    def commit(self) -> None:
        """Store what changed; FencedError when the session is another connection's by now."""
        state = self._state()
        if state == self._clean and not self._pending:
            return
        with transaction.atomic():
            held = FixSession.objects.filter(pk=self._id, holder=self._holder)
            next_in, next_out, epoch, feed_seq = state
            if not held.update(
                next_in=next_in, next_out=next_out, epoch=epoch, feed_seq=feed_seq, updated_at=utc_now()
            ):
                raise FencedError(f"FIX session {self._id} is held by another connection")
            messages = FixMessage.objects.filter(session_id=self._id)
            if self._forgotten:
                messages.delete()
            elif next_out // PRUNE_EVERY > self._clean[1] // PRUNE_EVERY:
                messages.filter(seq__lt=next_out - MESSAGES_MAX).delete()
            FixMessage.objects.bulk_create(
                FixMessage(
                    session_id=self._id,
                    seq=kept.seq,
                    msg_type=kept.msg_type,
                    body=_text(kept.body),
                    sent_ns=kept.sent_ns,
                    sent_at=datetime_from_ns(kept.sent_ns),
                )
                for kept in self._pending
            )
        self._pending.clear()
        self._forgotten, self._clean = False, state


def store_open(key: FixKey) -> DbStore:
    """Take a session for one connection; whoever held it before can write no more. A new one begins with what happens from now on."""
    with transaction.atomic():
        # A first logon: two at once wait for each other at the unique key.
        FixSession.objects.get_or_create(
            key=key, defaults={"core_account": key.account.core_account, "feed_seq": projection_get().event_seq}
        )
        row = FixSession.objects.select_for_update().get(key=key)
        row.holder, row.connected_at = uuid.uuid4().hex, utc_now()
        row.save(update_fields=["holder", "connected_at", "updated_at"])
    return DbStore(row)


def store_close(store: DbStore) -> bool:
    """Note that nobody is logged on; False when another connection has taken the session."""
    held = FixSession.objects.filter(pk=store.number, holder=store._holder)
    return bool(held.update(connected_at=None, holder="", updated_at=utc_now()))
