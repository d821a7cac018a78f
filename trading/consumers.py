"""``/ws/v1/private``: an account's orders, executions, balances and positions (docs/streams.md).

Messages here are distinct: none is merged or dropped. A socket that cannot take them is closed (4008) and resumes by event id; whenever the bus
may have lost something the socket reads it from the projection. The order is: listen first, read the database second, then pass on only what
is newer than what was read.

Owns authentication of the socket, the right to the account (checked again every minute), resuming. Leaves tickets and tokens to
``brokerage/platform/auth.py``, rows to ``selectors/stream.py``, limits and flow control to ``brokerage/platform/sockets.py``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError

from accounts.selectors.access import AccountRef, account_for_user
from accounts.selectors.credentials import credential_state
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, rfc3339
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode, reject_row
from brokerage.platform.audit import Actor
from brokerage.platform.auth import access_token_grant, ticket_verify, user_for_token
from brokerage.platform.problems import ApiProblem
from brokerage.platform.realtime import private_channel, revoke_channel
from brokerage.platform.refusals import refusal_note
from brokerage.platform.sockets import (
    CLOSE_ABUSE,
    CLOSE_FORBIDDEN,
    CLOSE_SLOW,
    CLOSE_TOO_MANY,
    CLOSE_UNAUTHENTICATED,
    CLOSE_UNAVAILABLE,
    SocketError,
    StreamSocket,
    encode_text,
)
from trading.private_hub import PrivateHub, get_private_hub
from trading.selectors.stream import Missed, missed_get

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Messages waiting for one client; beyond it the client is too slow and resumes later.
QUEUE_MAX = 1_000
BUS_TIMEOUT_S = 5.0
RECHECK_S = 60


def in_thread(work: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """Run database work in any thread of the pool: one slow query must not hold up every other socket's."""
    return database_sync_to_async(work, thread_sensitive=False)


@dataclass(frozen=True, slots=True)
class _Identity:
    """Whose socket, for which account, with which credential, until when (epoch ns, None without end)."""

    user_id: str
    account: AccountRef
    credential: str
    ends_ns: int | None


def _identify(message: dict[str, Any], address: str) -> _Identity:
    """Who an auth message is from; ApiProblem or RejectedError without a right."""
    # The database is asked, not what is remembered: a membership may have ended a moment ago and closed the socket before this one.
    ticket, token, number = message.get("ticket"), message.get("token"), message.get("account")
    if number is not None and not isinstance(number, str):
        raise SocketError("malformed", "account is a text.")
    if isinstance(ticket, str):
        used = ticket_verify(ticket)
        state = credential_state(used.credential, address)
        if state is None:
            ended = "What this ticket was asked with has ended, or is not for this address."
            raise ApiProblem(RejectCode.NOT_AUTHENTICATED, ended)
        account = _account(UUID(used.user_id), number or used.account or None, address)
        return _Identity(used.user_id, account, used.credential, state.ends_ns)
    if isinstance(token, str):
        user, grant = access_token_grant(token)
        account = _account(user.pk, number, address)
        return _Identity(str(user.pk), account, f"family:{grant.family}", grant.ends_s * NS_PER_S)
    raise SocketError("malformed", "auth needs a ticket or a token.")


def _account(user_id: UUID, number: str | None, address: str) -> AccountRef:
    """The account asked for; noted and RejectedError when it is not the user's."""
    try:
        return account_for_user(user_id, number, fresh=True)
    except RejectedError as error:
        _note(error.code, Actor("user", str(user_id)), address)
        raise


def _note(code: int, actor: Actor, address: str) -> None:
    refusal_note(route="ws/v1/private", method="auth", code=code, actor=actor, address=address)


def _end_of(identity: _Identity) -> int | None:
    """The close code when the right has ended since, else None."""
    if user_for_token(identity.user_id) is None:
        return CLOSE_FORBIDDEN
    if credential_state(identity.credential) is None:
        return CLOSE_UNAUTHENTICATED
    try:
        account_for_user(UUID(identity.user_id), identity.account.number)
    except RejectedError:
        return CLOSE_FORBIDDEN
    return None


class PrivateConsumer(StreamSocket):
    """One signed-in client of one account."""

    def __init__(self, *args: Any, hub: PrivateHub | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hub = hub or get_private_hub()
        self.identity: _Identity | None = None
        self._queue: deque[str] = deque()
        self._floor = 0  # everything up to this event id was queued or is not wanted
        self._reading = False  # the database is being read: live messages wait
        self._waiting: list[tuple[int, str]] = []
        self._gap = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._checked_ns = self._opened_ns

    # ---- from the client --------------------------------------------------------------------------------------------

    async def on_message(self, message: dict[str, Any]) -> None:
        """Authenticate, or extend."""
        if message.get("op") != "auth":
            detail = "op is auth, ping or hb." if self.identity else "The first message must be auth."
            raise SocketError("unknown_op" if self.identity else "not_authenticated", detail)
        resume = message.get("resume")
        known = isinstance(resume, str) and resume.isascii() and resume.isdigit() and len(resume) <= 19
        if resume is not None and not known:
            raise SocketError("malformed", "resume is the eid of the last message, as text.")
        try:
            identity = await in_thread(_identify)(message, self.ip)
        except ApiProblem as problem:
            row = reject_row(problem.code)
            if row.http in {401, 403}:
                await in_thread(_note)(problem.code, Actor("anonymous"), self.ip)
            self._refuse(row.slug, problem.detail or row.text, CLOSE_UNAUTHENTICATED)
        except RejectedError as error:
            self._refuse("not_found", error.detail, CLOSE_FORBIDDEN)
        except DatabaseError:
            log.exception("a socket could not be authenticated")
            self._refuse("unavailable", "Try again in a moment.", CLOSE_UNAVAILABLE)
        else:
            if self.identity is not None:
                self._extend(identity)
                return
            await self._begin(identity, int(resume) if resume is not None else None)

    def _refuse(self, code: str, detail: str, close: int) -> None:
        self.reply({"type": "error", "code": code, "detail": detail})
        self.close(close)

    def _extend(self, identity: _Identity) -> None:
        now = self.identity
        if now is None or (identity.user_id, identity.account.number) != (now.user_id, now.account.number):
            self._refuse("not_permitted", "A socket stays with its user and account; open another.", CLOSE_ABUSE)
            return
        self.identity = identity
        self.reply(self._ready(self._floor))
        self._spawn(self._recheck())

    def _ready(self, eid: int) -> dict[str, Any]:
        assert self.identity is not None  # noqa: S101 - who is not known is never ready
        number, now = self.identity.account.number, rfc3339(SYSTEM_CLOCK.now_ns())
        return {"type": "ready", "account": number, "eid": str(eid), "server_time": now}

    async def _begin(self, identity: _Identity, resume: int | None) -> None:
        user_id, account = identity.user_id, identity.account
        if self._heart.per_user[user_id] >= self.limits.per_user:
            self._refuse("too_many", f"At most {self.limits.per_user} sockets a user.", CLOSE_TOO_MANY)
            return
        self._heart.per_user[user_id] += 1
        self.identity = identity
        self.uncount_ip()
        self._reading = True
        try:
            await asyncio.wait_for(
                self._hub.join(self, private_channel(account.core_account), revoke_channel(user_id)), BUS_TIMEOUT_S
            )
            # What ended between the first look and the joining was told to nobody: look again.
            ended = await in_thread(_end_of)(identity)
            if ended is not None:
                self.close(ended)
                return
            missed = await in_thread(missed_get)(account.core_account, resume)
        except (TimeoutError, DatabaseError) as error:
            log.warning("a private stream could not begin: %s", error)
            self._refuse("unavailable", "Try again in a moment.", CLOSE_UNAVAILABLE)
            return
        self._push(self._ready(missed.event_seq))
        if self._hub.delayed is not None:
            self.on_delay(self._hub.delayed)
        if resume is not None:
            self._push_missed(missed, told=True)
        self._resume_live(missed)

    # ---- from the bus -----------------------------------------------------------------------------------------------

    def on_batch(self, batch: list[tuple[int, str]]) -> None:
        """One commit's messages of the account, in event order. Called by the hub; never blocks."""
        if self._reading:
            self._waiting.extend(batch)
            if len(self._waiting) > QUEUE_MAX:
                self.close(CLOSE_SLOW)
            return
        fresh = [text for eid, text in batch if eid > self._floor]
        if batch:
            self._floor = max(self._floor, batch[-1][0])
        if len(self._queue) + len(fresh) > QUEUE_MAX:
            self.close(CLOSE_SLOW)
            return
        self._queue.extend(fresh)
        self.wake()

    def on_gap(self) -> None:
        """Messages may have been lost, among them that the right has ended: read what came after the last one, and look."""
        if self.identity is None:
            return
        self._gap = True
        self._spawn(self._recheck())
        if not self._reading:
            self._reading = True
            self._spawn(self._heal())

    def on_delay(self, since: str | None) -> None:
        """What is stored is behind since then, or (None) no more. Orders go on: the engine does not wait for the store."""
        self._push({"type": "delayed", "since": since})

    async def _heal(self) -> None:
        assert self.identity is not None  # noqa: S101 - set before any gap is told
        while self._gap:
            self._gap = False
            try:
                missed = await in_thread(missed_get)(self.identity.account.core_account, self._floor)
            except DatabaseError as error:
                log.warning("a private stream waits for the database: %s", error)
                self._gap = True
                await asyncio.sleep(1.0)
                continue
            self._push_missed(missed, told=False)
            self._floor = max(self._floor, missed.event_seq)
        self._resume_live(missed)

    def _push_missed(self, missed: Missed, *, told: bool) -> None:
        if missed.messages is None:
            self._push({"type": "resync"})
            return
        for message in missed.messages:
            self._push(message)
        if told:
            self._push({"type": "resumed", "count": len(missed.messages)})

    def _resume_live(self, missed: Missed) -> None:
        self._floor = max(self._floor, missed.event_seq)
        if self._gap:
            # The bus was interrupted while the database was read; what waited may have a hole.
            self._spawn(self._heal())
            return
        self._reading = False
        waiting, self._waiting = self._waiting, []
        # One commit's messages share no id with another's, so each can be judged on its own.
        fresh = [text for eid, text in waiting if eid > self._floor]
        if waiting:
            self._floor = max(self._floor, max(eid for eid, _ in waiting))
        self._queue.extend(fresh)
        self.wake()

    def _push(self, message: dict[str, Any]) -> None:
        self._queue.append(encode_text(message).decode())
        self.wake()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- writer and end ---------------------------------------------------------------------------------------------

    async def pump(self) -> None:
        """Write in order while the client keeps up."""
        while self._queue and self.may_send:
            await self.send_text(self._queue.popleft())

    def on_tick(self, now_ns: int) -> None:
        """Time limits of identity."""
        if self.identity is None:
            if now_ns - self._opened_ns > self.limits.auth_s * NS_PER_S:
                self.close(CLOSE_UNAUTHENTICATED)
            return
        ends_ns = self.identity.ends_ns
        if ends_ns is not None and SYSTEM_CLOCK.now_ns() >= ends_ns:
            self.close(CLOSE_UNAUTHENTICATED)
        elif now_ns - self._checked_ns > RECHECK_S * NS_PER_S:
            self._checked_ns = now_ns
            self._spawn(self._recheck())

    async def _recheck(self) -> None:
        assert self.identity is not None  # noqa: S101 - only called when set
        try:
            ended = await in_thread(_end_of)(self.identity)
        except DatabaseError:
            return  # asked again in a minute; REST refuses meanwhile
        if ended is not None:
            self.close(ended)

    async def on_closed(self) -> None:
        """Give everything back."""
        for task in self._tasks:
            task.cancel()
        if self.identity is not None:
            user_id = self.identity.user_id
            self._hub.leave(self, private_channel(self.identity.account.core_account), revoke_channel(user_id))
            self._heart.per_user[user_id] -= 1
            if self._heart.per_user[user_id] <= 0:
                del self._heart.per_user[user_id]
