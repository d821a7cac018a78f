"""Personal data: sealed at rest, given once by the client, changed afterwards only with the approval of staff.

The first value of a field is taken as given (verifying it is compliance's work). A regulated field that has a value changes through a
``ChangeRequest``; the phone number does not need one. Emits ``profile.changed`` and ``profile.change_requested``.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from django.db import transaction

from accounts.models import ChangeRequest, PersonalData, User
from accounts.services.security import settings_demand
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.auth import users_forget
from brokerage.platform.crypto import seal, unseal_text
from brokerage.platform.outbox import emit

FIELDS = ("legal_name", "birth_date", "address", "phone", "tax_id", "citizenship", "country")
FREE = frozenset({"phone"})
LONGEST = {
    "legal_name": 120,
    "birth_date": 10,
    "address": 300,
    "phone": 24,
    "tax_id": 40,
    "citizenship": 2,
    "country": 2,
}
AGE_MIN = 18
TABLE, REQUESTS = "accounts_personaldata", "accounts_changerequest"


def personal_get(user: User) -> dict[str, str]:
    """Every field of a user, empty text where nothing is known. Residence is the user's country."""
    row = PersonalData.objects.filter(user=user).first()
    known = json.loads(unseal_text(row.sealed, table=TABLE, row=str(user.pk), field="sealed")) if row else {}
    return {**{name: known.get(name, "") for name in FIELDS}, "country": user.country}


def change_values(request: ChangeRequest) -> dict[str, str]:
    """What a request wants the fields to be."""
    found: dict[str, str] = json.loads(unseal_text(request.sealed, table=REQUESTS, row=str(request.pk), field="sealed"))
    return found


def _checked(values: dict[str, str]) -> dict[str, str]:
    clean = {}
    for name, value in values.items():
        text = " ".join(value.split()) if name != "address" else value.strip()
        if name not in FIELDS:
            raise RejectedError(RejectCode.UNKNOWN_FIELD, field=name)
        if len(text) > LONGEST[name]:
            raise RejectedError(RejectCode.VALUE_OUT_OF_RANGE, needed=f"at most {LONGEST[name]} characters", field=name)
        clean[name] = text
    born = clean.get("birth_date", "")
    if born:
        try:
            day = date.fromisoformat(born)
        except ValueError as error:
            raise RejectedError(
                RejectCode.MALFORMED, "The date is not one.", needed="YYYY-MM-DD", field="birth_date"
            ) from error
        today = utc_now().date()
        age = today.year - day.year - ((today.month, today.day) < (day.month, day.day))
        if not AGE_MIN <= age <= 120:
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE, f"Clients are at least {AGE_MIN} years old.", needed=f"{AGE_MIN} years",
                field="birth_date",
            )  # fmt: skip
    return clean


def personal_change(*, user: User, values: dict[str, str]) -> tuple[list[str], list[str]]:
    """Change fields: (changed now, waiting for approval). 2040 while another request waits.

    Nothing is emptied: an empty value leaves the field as it is.
    """
    settings_demand(user)
    clean = {name: text for name, text in _checked(values).items() if text}
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        known = personal_get(user)
        changed = {name: text for name, text in clean.items() if text != known[name]}
        now = {name: text for name, text in changed.items() if name in FREE or not known[name]}
        later = {name: text for name, text in changed.items() if name not in now}
        if now:
            _apply(user, known, now)
            record("profile.changed", object_type="user", object_id=user.pk, subject=user.pk, after=now)
        if later:
            if ChangeRequest.objects.filter(user=user, status=ChangeRequest.Status.PENDING).exists():
                raise RejectedError(RejectCode.CHANGE_PENDING)
            request = ChangeRequest(user=user, fields=sorted(later), created_at=utc_now())
            request.sealed = seal(
                json.dumps(later), owner=f"user:{user.pk}", table=REQUESTS, row=str(request.pk), field="sealed"
            )
            request.save()
            record(
                "profile.change_requested",
                object_type="change_request",
                object_id=request.pk,
                subject=user.pk,
                before={name: known[name] for name in later},
                after=later,
            )
            emit("profile.change_requested", str(request.pk), {"user": str(user.pk), "fields": sorted(later)})
    return sorted(now), sorted(later)


def _apply(user: User, known: dict[str, str], values: dict[str, str]) -> None:
    merged = {**known, **values}
    if merged["country"] != user.country:
        user.country = merged["country"]
        user.save(update_fields=["country"])
    document = json.dumps({name: merged[name] for name in FIELDS if name != "country"})
    sealed = seal(document, owner=f"user:{user.pk}", table=TABLE, row=str(user.pk), field="sealed")
    PersonalData.objects.update_or_create(user=user, defaults={"sealed": sealed, "updated_at": utc_now()})
    emit("profile.changed", str(user.pk), {"fields": sorted(values)})


def profile_change(*, user: User, country: str = "", **plain: str) -> None:
    """Change display name and time zone at once, the country of residence by the rules of personal data."""
    with transaction.atomic():
        if country:
            personal_change(user=user, values={"country": country})
        before = {name: getattr(user, name) for name in plain}
        if plain and before != plain:
            User.objects.filter(pk=user.pk).update(**plain)
            record(
                "profile.changed", object_type="user", object_id=user.pk, subject=user.pk, before=before, after=plain
            )
        transaction.on_commit(lambda: users_forget(user.pk))


def change_decide(*, request_id: Any, staff: User, approve: bool, reason: str = "") -> ChangeRequest:
    """Approve or refuse a waiting request; 2012 for one's own or without the permission, 2041 when it is decided already."""
    with transaction.atomic():
        request = ChangeRequest.objects.select_for_update(of=("self",)).select_related("user").get(pk=request_id)
        if not staff.is_staff or not staff.has_perm("accounts.decide_changerequest") or staff.pk == request.user_id:
            raise RejectedError(
                RejectCode.PERMISSION_DENIED, "Only permitted staff decide, and nobody about themselves."
            )
        if request.status != ChangeRequest.Status.PENDING:
            raise RejectedError(RejectCode.CHANGE_DECIDED)
        values = change_values(request)
        if approve:
            user = User.objects.select_for_update().get(pk=request.user_id)
            _apply(user, personal_get(user), values)
        request.status = ChangeRequest.Status.APPROVED if approve else ChangeRequest.Status.REFUSED
        request.decided_at, request.decided_by, request.reason = utc_now(), staff, reason[:200]
        request.save()
        record(
            f"profile.change_{request.status}",
            object_type="change_request",
            object_id=request.pk,
            subject=request.user_id,
            after=values,
            reason=reason,
        )
    return request
