"""What someone did, recorded in the transaction in which it is done: no act without its record, no record without its act.

``record`` writes a row that waits; ``compliance/audit`` puts it into the chain in order (one sequencer). Who acts, from where and in which
request comes from the context that ``AuditContextMiddleware`` sets; tasks and processes name their actor.
Owns the waiting table and the context. Leaves chain, proofs and search to ``compliance/audit``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

from brokerage.platform.middleware import current_request_id
from brokerage.platform.models import AuditPending
from brokerage.platform.throttling import client_address

ACTOR_TYPES = ("anonymous", "user", "staff", "system", "engine")


@dataclass(frozen=True)
class Actor:
    """Who acts. ``on_behalf_of`` names the client a member of staff looks on as (impersonation)."""

    type: str
    id: str = ""
    on_behalf_of: str = ""

    def __post_init__(self) -> None:
        if self.type not in ACTOR_TYPES:
            raise ValueError(f"unknown type of actor {self.type!r}")


@dataclass(frozen=True)
class AuditContext:
    """Whose act and whence: what ``record`` adds by itself. A request's user is asked when it matters, not before."""

    actor: Actor | None = None
    ip: str = ""
    request: HttpRequest | None = None

    def who(self) -> Actor:
        """The actor: the one named, the request's user, or the system."""
        if self.actor is not None:
            return self.actor
        if self.request is None:
            return Actor("system")
        # Looking as a client, the request's user is the client; the act is still the member of staff's.
        user = getattr(self.request, "real_user", None) or getattr(self.request, "user", None)
        return actor_of(user, getattr(self.request, "on_behalf_of", ""))


_NOBODY = AuditContext()
_context: ContextVar[AuditContext] = ContextVar("audit_context", default=_NOBODY)


def actor_of(user: Any, on_behalf_of: str = "") -> Actor:
    """The actor for a Django user, signed in or not."""
    if user is None or not user.is_authenticated:
        return Actor("anonymous")
    return Actor("staff" if user.is_staff else "user", str(user.pk), on_behalf_of)


def current_context() -> AuditContext:
    """The context of the running request or task."""
    return _context.get()


@contextmanager
def acting(actor: Actor, ip: str = "") -> Iterator[None]:
    """Act as somebody for the length of a block: tasks, commands, processes, bearer-authenticated calls."""
    token = _context.set(replace(_context.get(), actor=actor, ip=ip or _context.get().ip))
    try:
        yield
    finally:
        _context.reset(token)


def record(
    action: str,
    *,
    object_type: str,
    object_id: Any,
    actor: Actor | None = None,
    subject: Any = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Record an act in the caller's transaction.

    ``action`` is past tense, ``<noun>.<what_happened>``. ``subject`` is the id of the person whose data ``before`` and ``after`` show: they are
    sealed with that person's key and go when it is destroyed. Values must be JSON; secrets never belong here.
    """
    context = _context.get()
    who = actor or context.who()
    AuditPending.objects.create(
        action=action,
        actor_type=who.type,
        actor_id=who.id,
        on_behalf_of=who.on_behalf_of,
        object_type=object_type,
        object_id=str(object_id),
        subject=str(subject),
        before=before,
        after=after,
        reason=reason,
        request_id=current_request_id(),
        ip=context.ip,
    )


class AuditContextMiddleware:
    """Remember the request for ``record``. Sync and async capable."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if iscoroutinefunction(self):
            return self._call_async(request)
        token = _context.set(AuditContext(None, client_address(request), request))
        try:
            return self.get_response(request)
        finally:
            _context.reset(token)

    async def _call_async(self, request: HttpRequest) -> HttpResponse:
        token = _context.set(AuditContext(None, client_address(request), request))
        try:
            return await self.get_response(request)  # type: ignore[misc]
        finally:
            _context.reset(token)
