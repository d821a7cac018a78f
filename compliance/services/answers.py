"""Saving the steps of the checklist that are answers: checked locally, sealed with the client's key, recorded.

Owns the check of each step's meaning and its storing. Leaves the form of fields to ``compliance/forms.py`` and ``compliance/api``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date
from typing import Any

from django.db import transaction

from accounts.services.rules import right_answers_set
from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import is_lei
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.crypto import seal
from compliance.identity import DetailError, age_check, iban_check, mrz_read, national_insurance_check, tax_number_check
from compliance.models import KycAnswer, KycCase
from compliance.policy import policy
from compliance.services.kyc import CLIENT_STATES, case_lock, case_open

WORSE = "At the next price there is, which may be worse"
#: Question, answers, the right one.
QUIZ = {
    "leverage": (
        "A CFD with leverage of 10 loses 10 %. What have you lost of what you put in?",
        ("10 %", "All of it", "Nothing yet"),
        "All of it",
    ),
    "stop": (
        "A stop order is triggered in a falling market. At which price is it filled?",
        ("Always at the stop price", WORSE),
        WORSE,
    ),
    "crypto": (
        "Who makes up for a fall in the price of a crypto asset?",
        ("The deposit guarantee", "Nobody"),
        "Nobody",
    ),
}


def answer_save(*, user: Any, step: str, data: dict[str, Any], case: KycCase | None = None) -> KycCase:
    """Store a step's answers; 7016 with the field when a detail does not check, 7013 when it is not the client's turn.

    ``case``: of an entity; the user's own when left out.
    """
    try:
        clean = CHECKS[step](data)
    except DetailError as error:
        raise RejectedError(RejectCode.DETAILS_REFUSED, str(error), field=error.field) from error
    own = case or case_open(user=user)
    with transaction.atomic():
        found = case_lock(own.pk)
        answer_store(found, step, clean)
        if step == "suitability":
            right_answers_set(user_id=user.pk, right=clean["right"])
    return found


def answer_store(case: KycCase, step: str, clean: dict[str, Any]) -> None:
    """Seal what was checked with the key of who answers for the locked case; 7013 when it is not the client's turn."""
    if case.state not in CLIENT_STATES:
        raise RejectedError(RejectCode.KYC_STATE, needed="draft, action required or approved", available=case.state)
    answer = KycAnswer.objects.filter(case=case, step=step).first() or KycAnswer(case=case, step=step)
    answer.sealed = seal(
        json.dumps(clean),
        owner=f"user:{case.person.pk}",
        table="compliance_kycanswer",
        row=str(answer.pk),
        field="sealed",
    )
    answer.digest = hashlib.sha256(answer.sealed).hexdigest()
    answer.save()
    if step in {"address", "company"}:
        case.jurisdiction = trading_policy().jurisdiction_of(clean["country"]).code
    # Done anew, it is no longer asked for.
    case.actions = [row for row in case.actions if row["step"] != step]
    case.save(update_fields=["jurisdiction", "actions", "updated_at"])
    record("kyc_answer.saved", object_type="kyc_case", object_id=case.pk, after={"step": step, "digest": answer.digest})


def _company(data: dict[str, Any]) -> dict[str, Any]:
    if not policy().served(data["country"]):
        raise RejectedError(RejectCode.NOT_SERVED, field="country")
    lei = str(data.get("lei", "")).strip().upper()
    if lei and not is_lei(lei):
        raise DetailError("lei", "The check digits of this LEI do not fit.")
    founded = date.fromisoformat(data["founded_on"])
    if founded > utc_now().date():
        raise DetailError("founded_on", "This day has not come yet.")
    names = ("legal_name", "registry_number", "country", "business", "expected_deposit", "funds_from")
    return {name: str(data[name]).strip() for name in names} | {"lei": lei, "founded_on": founded.isoformat()}


def _identity(data: dict[str, Any]) -> dict[str, Any]:
    today = utc_now().date()
    born = date.fromisoformat(data["birth_date"])
    age_check(born, today=today, minimum=policy().body["minimum_age_years"])
    clean = {name: str(data[name]).strip() for name in ("first_name", "last_name", "birth_date", "nationality")}
    if "national_insurance" in data and clean["nationality"] == "GB":
        # Kept also when empty: that the client has none lets reports name them in the next way there is.
        clean["national_insurance"] = national_insurance_check(data["national_insurance"])
    if data.get("mrz"):
        zone = mrz_read(data["mrz"], today=today)
        if zone.born != born:
            raise DetailError("mrz", "The birth date in the machine-readable zone is not the one given above.")
        if zone.expires < today:
            raise DetailError("mrz", f"This document ran out on {zone.expires}: use a valid one.")
        clean |= {"mrz": data["mrz"], "document_expires": zone.expires.isoformat(), "document_number": zone.number}
    return clean


def _address(data: dict[str, Any]) -> dict[str, Any]:
    if not policy().served(data["country"]):
        raise RejectedError(RejectCode.NOT_SERVED, field="country")
    return {name: str(data.get(name, "")).strip() for name in ("street", "city", "postal_code", "country")}


def _suitability(data: dict[str, Any]) -> dict[str, Any]:
    right = sum(data.get(name) == row[2] for name, row in QUIZ.items())
    kept = {name: data[name] for name in ("experience", "occupation", "expected_deposit", "funds_from")}
    return kept | {name: data.get(name, "") for name in QUIZ} | {"right": right, "of": len(QUIZ)}


def _tax(data: dict[str, Any]) -> dict[str, Any]:
    number = tax_number_check(data["country"], data["tax_number"])
    return {"country": data["country"], "tax_number": number, "us_person": bool(data["us_person"])}


def _bank(data: dict[str, Any]) -> dict[str, Any]:
    return {"holder": str(data["holder"]).strip(), "iban": iban_check(data["iban"])}


CHECKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "identity": _identity,
    "address": _address,
    "suitability": _suitability,
    "tax": _tax,
    "bank": _bank,
    "company": _company,
}
