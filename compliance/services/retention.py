"""Do what the table of ``compliance/retention.py`` says: find what is over, let it go in small transactions, record it.

Nothing is remembered between runs: what is left is found again, so a run that was killed anywhere is finished by the next. One run at a time
(an advisory lock). Each batch and its record are one transaction. Time is given. A legal hold on a client keeps everything about them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import User
from brokerage.config import get_config
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import Actor, record
from brokerage.platform.locks import alone
from compliance.models import ClientEnd, KycAnswer, KycCase, KycDocument, LivenessCheck, ScreeningHit
from compliance.retention import TABLE, Act, Kept
from compliance.services.erasure import ErasureBusyError, case_forget, client_erase, files_remove

log = logging.getLogger(__name__)
LOCK = 7_305_002
BATCH = 500
SYSTEM = Actor("system")
#: Rows of cases: each is a handful of rows and files, so fewer at once.
CASES = 50


class RetentionRunningError(Exception):
    """Another run is at work."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did about one class, or (dry) what there was to do. ``until``: everything up to then is over."""

    name: str
    count: int
    until: datetime
    finished: bool


def retention_look(*, now: datetime, only: Collection[str] = ()) -> list[Outcome]:
    """Count what is over, and change nothing."""
    return [
        Outcome(row.name, _count(row, until), until, finished=True)
        for row in _rows(only)
        for until in [_until(row, now)]
    ]


def retention_run(
    *, now: datetime, seconds: int = 300, batch: int = BATCH, only: Collection[str] = ()
) -> list[Outcome]:
    """Let go of what is over, at most for about so many seconds; the rest waits for the next run. RetentionRunningError when one is at work."""
    ends_ns = SYSTEM_CLOCK.monotonic_ns() + seconds * NS_PER_S
    found = []
    with alone(LOCK) as free:
        if not free:
            raise RetentionRunningError("The times of keeping are being applied already.")
        for row in _rows(only):
            until, count, finished = _until(row, now), 0, True
            for done in _batches(row, until, now, batch):
                count += done
                if SYSTEM_CLOCK.monotonic_ns() >= ends_ns:
                    finished = False
                    break
            found.append(Outcome(row.name, count, until, finished))
    return found


def hold_set(*, user: User, reason: str, actor: Actor, now: datetime) -> None:
    """Keep everything about a client from now on (litigation, an order of an authority); 2014 for one who is erased."""
    with transaction.atomic():
        end, _ = ClientEnd.objects.select_for_update().get_or_create(user=user)
        if end.erased_at is not None:
            raise RejectedError(RejectCode.NOT_FOUND, "This client has been erased.")
        ClientEnd.objects.filter(pk=end.pk).update(held_at=end.held_at or now, held_reason=reason[:200])
        record("hold.set", object_type="user", object_id=user.pk, subject=user.pk, reason=reason, actor=actor)


def hold_release(*, user: User, reason: str, actor: Actor) -> None:
    """Let the table's times count again; 2014 when nothing was held."""
    with transaction.atomic():
        if not ClientEnd.objects.filter(user=user).exclude(held_at=None).update(held_at=None, held_reason=""):
            raise RejectedError(RejectCode.NOT_FOUND, "Nothing is held for this client.")
        record("hold.released", object_type="user", object_id=user.pk, subject=user.pk, reason=reason, actor=actor)


def _rows(only: Collection[str]) -> list[Kept]:
    unknown = set(only) - {row.name for row in TABLE}
    if unknown:
        raise ValueError(f"no such class: {', '.join(sorted(unknown))}")
    return [row for row in TABLE if row.act in {Act.DELETE, Act.ERASE} and (not only or row.name in only)]


def _until(row: Kept, now: datetime) -> datetime:
    assert row.after is not None  # noqa: S101 - the table's test
    return now - row.after


def _due(row: Kept, until: datetime) -> QuerySet[Any]:
    """The rows that are over, without those somebody holds."""
    queryset = apps.get_model(row.models[0])._default_manager.filter(**{f"{row.since}__lte": until}, **row.only)
    held = ClientEnd.objects.exclude(held_at=None).values("user")
    for path in row.user.split():
        queryset = queryset.exclude(**{f"{path}__in": held})
    if row.models[0] == "compliance.KycCase":
        own = OuterRef("pk")
        given = [model.objects.filter(case=own) for model in (KycAnswer, KycDocument, LivenessCheck)]
        hits = ScreeningHit.objects.filter(case=own)
        queryset = queryset.filter(Exists(given[0]) | Exists(given[1]) | Exists(given[2]))
        queryset = queryset.exclude(Exists(hits.filter(~Q(state=ScreeningHit.State.FALSE_POSITIVE))))
    return queryset


def _count(row: Kept, until: datetime) -> int:
    return sum(1 for _ in FILES[row.name](until)) if row.name in FILES else _due(row, until).count()


def _batches(row: Kept, until: datetime, now: datetime, size: int) -> Iterator[int]:
    """Do one batch after the other; how many each was. Ends when one is not full."""
    if row.name in FILES:
        yield _files(row, until)
        return
    if row.act == Act.ERASE:
        yield from _erase(row, until, now)
        return
    size = min(size, CASES) if row.models[0] == "compliance.KycCase" else size
    while True:
        with transaction.atomic():
            # Rows another transaction has hold of wait for the next run.
            rows = list(_due(row, until).order_by("pk").select_for_update(of=("self",), skip_locked=True)[:size])
            if rows:
                _let_go(rows)
                _note(row, len(rows), until)
        if rows:
            yield len(rows)
        if len(rows) < size:
            return


def _let_go(rows: list[Any]) -> None:
    if isinstance(rows[0], KycCase):
        for case in rows:
            case_forget(case)
        return
    if isinstance(rows[0], KycDocument):
        names = [document.name for document in rows]
        transaction.on_commit(lambda: files_remove(names))
    type(rows[0])._default_manager.filter(pk__in=[item.pk for item in rows]).delete()


def _note(row: Kept, count: int, until: datetime) -> None:
    record(
        "retention.applied",
        object_type="retention",
        object_id=row.name,
        actor=SYSTEM,
        after={"count": count, "until": until.astimezone(UTC).isoformat()},
    )


def _erase(row: Kept, until: datetime, now: datetime) -> Iterator[int]:
    # One after the other, each in its own transaction; who cannot be erased now is passed over.
    after = 0
    while (end := _due(row, until).filter(pk__gt=after).order_by("pk").first()) is not None:
        after = end.pk
        try:
            yield int(client_erase(user_id=end.user_id, now=now, ended_by=until))
        except ErasureBusyError:
            log.info("a client who left could not be erased yet: acts wait for the trail")


def _files(row: Kept, until: datetime) -> int:
    count = 0
    for path in FILES[row.name](until):
        path.unlink(missing_ok=True)
        count += 1
    if count:
        _note(row, count, until)
    return count


def _old(paths: Iterator[Path], until: datetime) -> Iterator[Path]:
    for path in paths:
        try:
            if path.is_file() and path.stat().st_mtime <= until.timestamp():
                yield path
        except FileNotFoundError:
            continue


def _strays(until: datetime) -> Iterator[Path]:
    """Files of the vault that no row names."""
    for folder in sorted(get_config().vault_dir.glob("*")):
        old = list(_old(folder.glob("*"), until))
        known = set(KycDocument.objects.filter(name__in=[path.name for path in old]).values_list("name", flat=True))
        yield from (path for path in old if path.name not in known)


def _mails(until: datetime) -> Iterator[Path]:
    folder = getattr(settings, "EMAIL_FILE_PATH", None)
    if folder and os.path.isdir(folder):
        yield from _old(Path(folder).glob("*.log"), until)


def _logs(until: datetime) -> Iterator[Path]:
    # Not the one being written: its process would go on writing into nothing.
    yield from _old(get_config().log_dir.glob("*.log.1"), until)


FILES: dict[str, Callable[[datetime], Iterator[Path]]] = {
    "uploads without a row": _strays,
    "mails as files": _mails,
    "old logs": _logs,
}
