"""A user's own data as one file: asked for, made by a job, sealed, downloaded for a day.

Each app registers sections of what it keeps about a user (``section_register``); a section gets the user and may return nothing of anybody else.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

from django.db import transaction

from accounts.models import (
    Balance,
    Beneficiary,
    ChangeRequest,
    DataExport,
    Deposit,
    KnownDevice,
    LedgerEntry,
    LoginEvent,
    PushDevice,
    TradingAccount,
    TradingAccountMember,
    User,
    UserSession,
    Withdrawal,
)
from accounts.services.beneficiaries import destination_of
from accounts.services.mobile import mobile_number, mobile_of
from accounts.services.personal import change_values, personal_get
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import Actor, record
from brokerage.platform.crypto import seal, unseal
from brokerage.platform.jobs import enqueue

KEPT = timedelta(hours=24)
#: Rows of one section; the file says when there were more.
ROWS_MAX = 100_000
TABLE = "accounts_dataexport"
Section = Callable[[User], Iterable[dict[str, Any]]]
_sections: dict[str, Section] = {}


def section_register(name: str, section: Section) -> None:
    """Add a section to every export; its name is the file's name."""
    _sections[name] = section


def export_ask(*, user: User) -> DataExport:
    """Ask for an export; one that is being made or ready is given instead of another."""
    now = utc_now()
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        DataExport.objects.filter(user=user, expires_at__lte=now).delete()
        known = DataExport.objects.filter(user=user).first()
        if known is not None:
            return known
        export = DataExport.objects.create(user=user, created_at=now, expires_at=now + KEPT)
        record("export.asked", object_type="export", object_id=export.pk, subject=user.pk)
        enqueue("accounts.tasks.export_build", export_id=str(export.pk))
    return export


def export_build(*, export_id: str) -> None:
    """Make the file; called by the job, again without harm."""
    export = DataExport.objects.select_related("user").filter(pk=export_id, status=DataExport.Status.WAITING).first()
    if export is None:
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, section in sorted(_sections.items()):
            rows: list[dict[str, Any]] = []
            for row in section(export.user):
                if len(rows) >= ROWS_MAX:
                    rows.append({"note": f"There are more rows than {ROWS_MAX}; ask support for the rest."})
                    break
                rows.append(row)
            archive.writestr(f"{name}.json", json.dumps(rows, indent=1, default=str))
    export.sealed = seal(
        buffer.getvalue(), owner=f"user:{export.user_id}", table=TABLE, row=str(export.pk), field="sealed"
    )
    export.status = DataExport.Status.READY
    with transaction.atomic():
        export.save(update_fields=["sealed", "status"])
        record("export.made", object_type="export", object_id=export.pk, subject=export.user_id, actor=Actor("system"))


def export_open(*, user: User, export_id: Any) -> bytes:
    """The file of an export of this user; 2014 for anybody else's, for one that is not ready and for one that is too old."""
    export = DataExport.objects.filter(
        pk=export_id, user=user, status=DataExport.Status.READY, expires_at__gt=utc_now()
    ).first()
    if export is None or export.sealed is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such export.")
    record("export.downloaded", object_type="export", object_id=export.pk, subject=user.pk)
    return unseal(export.sealed, table=TABLE, row=str(export.pk), field="sealed")


def _rows(queryset: Any, *names: str) -> Iterable[dict[str, Any]]:
    return queryset.values(*names).iterator(chunk_size=2_000)


def _own_core(user: User) -> list[int]:
    return list(TradingAccount.objects.filter(owner=user).values_list("core_account", flat=True))


def _changes(user: User) -> Iterable[dict[str, Any]]:
    for row in ChangeRequest.objects.filter(user=user):
        yield {"asked": row.created_at, "status": row.status, "decided": row.decided_at, "values": change_values(row)}


def _mobile(user: User) -> Iterator[dict[str, Any]]:
    row = mobile_of(user)
    if row is not None:
        yield {"number": mobile_number(row), "confirmed_at": row.confirmed_at, "notices": row.notices}


section_register(
    "user",
    lambda user: [
        {
            "id": user.pk,
            "email": user.email,
            "display_name": user.display_name,
            "time_zone": user.time_zone,
            "date_joined": user.date_joined,
            "email_confirmed_at": user.email_confirmed_at,
        }
    ],
)
section_register("personal", lambda user: [personal_get(user)])
section_register("change_requests", _changes)
section_register("mobile", _mobile)
section_register(
    "sessions",
    lambda user: _rows(
        UserSession.objects.filter(user=user), "method", "ip", "user_agent", "created_at", "last_seen_at", "ended_at"
    ),
)
section_register(
    "sign_ins",
    lambda user: _rows(LoginEvent.objects.filter(user=user), "outcome", "method", "ip", "user_agent", "created_at"),
)
section_register(
    "devices", lambda user: _rows(KnownDevice.objects.filter(user=user), "label", "first_seen_at", "last_seen_at")
)
section_register(
    "push_devices", lambda user: _rows(PushDevice.objects.filter(user=user), "name", "created_at", "seen_at")
)
section_register(
    "accounts",
    lambda user: _rows(
        TradingAccountMember.objects.filter(user=user), "account__number", "account__kind", "account__status", "role"
    ),
)


def _destinations(user: User) -> Iterator[dict[str, Any]]:
    for row in Beneficiary.objects.filter(account__owner=user).select_related("account"):
        found = destination_of(row)
        yield {
            "account": row.account.number,
            "holder": found.holder,
            "iban": found.iban,
            "created_at": row.created_at,
            "removed_at": row.removed_at,
        }


section_register(
    "balances",
    lambda user: _rows(Balance.objects.filter(core_account__in=_own_core(user))),
)
section_register(
    "ledger",
    lambda user: _rows(
        LedgerEntry.objects.filter(core_account__in=_own_core(user), book=LedgerEntry.Book.CLIENT),
        "id", "core_account", "core_asset", "amount", "kind", "time_ns",
    ),
)  # fmt: skip
section_register(
    "deposits",
    lambda user: _rows(
        Deposit.objects.filter(account__owner=user), "id", "account__number", "asset", "amount", "status", "created_at"
    ),
)
section_register(
    "withdrawals",
    lambda user: _rows(
        Withdrawal.objects.filter(account__owner=user),
        "id",
        "account__number",
        "asset",
        "amount",
        "status",
        "reference",
        "reason",
        "created_at",
        "decided_at",
    ),
)
section_register("payout destinations", _destinations)
