"""Who holds accounts, as the reports to authorities ask: people with their identifiers, companies by LEI. Opens sealed answers of onboarding.

What a client gave counts as it stands when the report is made. Leaves which identifier a nationality asks for to
``compliance/reporting/person_id.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db.models import Prefetch, Q

from accounts.models import TradingAccount, TradingAccountMember
from brokerage.kernel.clock import utc_now
from brokerage.platform.crypto import KeyDestroyedError
from compliance.identity import DetailError, mrz_read
from compliance.models import KycAnswer, KycCase
from compliance.reporting.mifid_rts22 import Holder
from compliance.reporting.person_id import PASSPORT_OF, PRIORITY, Person
from compliance.selectors.checklist import answer_open

STEPS = ("identity", "tax", "company")


def holders_of(accounts: Iterable[TradingAccount]) -> dict[int, Holder]:
    """Core account -> holder. Accounts have their owner and parent loaded."""
    rows = list(accounts)
    entities = {(row.parent or row).pk for row in rows if row.kind == TradingAccount.Kind.ENTITY}
    answers = KycAnswer.objects.filter(step__in=STEPS)
    cases = list(
        KycCase.objects.filter(Q(user__in={row.owner_id for row in rows}) | Q(account__in=entities)).prefetch_related(
            Prefetch("answers", answers, to_attr="opened")
        )
    )
    of_user = {case.user_id: case for case in cases if case.user_id}
    of_account = {case.account_id: case for case in cases if case.account_id}
    others = _traded_by_others(rows)
    found = {}
    for row in rows:
        if row.kind == TradingAccount.Kind.JOINT:
            found[row.core_account] = Holder(problems=("CLIENT_SEVERAL",))
        elif row.kind == TradingAccount.Kind.ENTITY:
            main = row.parent or row
            found[row.core_account] = _company(main, of_account.get(main.pk))
        else:
            found[row.core_account] = _person(of_user.get(row.owner_id), row.pk in others)
    return found


def _traded_by_others(rows: list[TradingAccount]) -> set[Any]:
    """Accounts of one person in which somebody else may trade."""
    members = TradingAccountMember.objects.filter(account__in=rows).exclude(role=TradingAccountMember.Role.VIEWER)
    owner = {row.pk: row.owner_id for row in rows}
    return {account for account, user in members.values_list("account_id", "user_id") if owner[account] != user}


def _answers(case: KycCase | None) -> dict[str, dict[str, Any]]:
    """The opened answers by step. KeyDestroyedError for an erased client."""
    return {answer.step: answer_open(answer) for answer in case.opened} if case is not None else {}  # type: ignore[attr-defined]


def _company(account: TradingAccount, case: KycCase | None) -> Holder:
    if account.lei:
        return Holder(lei=account.lei)
    try:
        return Holder(lei=str(_answers(case).get("company", {}).get("lei", "")))
    except KeyDestroyedError:
        return Holder(problems=("CLIENT_ERASED",))


def _person(case: KycCase | None, others: bool) -> Holder:
    also = ("DECISION_MAKER",) if others else ()
    try:
        answers = _answers(case)
    except KeyDestroyedError:
        return Holder(problems=("CLIENT_ERASED",))
    identity = answers.get("identity")
    if not identity:
        return Holder(problems=("CLIENT_UNKNOWN", *also))
    person = Person(
        identity["first_name"], identity["last_name"], date.fromisoformat(identity["birth_date"]), identity["nationality"],
        _numbers(identity, answers.get("tax", {})),
    )  # fmt: skip
    return Holder(person, problems=also)


def _numbers(identity: dict[str, Any], tax: dict[str, Any]) -> dict[str, str]:
    """Identifiers by kind; what was never asked for is not in it."""
    country, found = identity["nationality"], {}
    if "national_insurance" in identity:
        found["nino"] = identity["national_insurance"]
    if "tax" in PRIORITY.get(country, ()) and tax.get("country") == country:
        found["tax"] = _personal_number(country, tax["tax_number"], identity["birth_date"])
    passport = _passport(identity)
    if passport:
        found["passport"] = passport
    return {kind: number for kind, number in found.items() if number is not None}


def _personal_number(country: str, number: str, born: str) -> Any:
    plain = "".join(number.split())
    if country == "SE":
        # The century is not in the short form.
        digits = plain.replace("-", "").replace("+", "")[-10:]
        return f"{born[:2]}{digits}" if digits[:2] == born[2:4] else None
    return plain if country == "FI" else "".join(letter for letter in plain if letter.isalnum())


def _passport(identity: dict[str, Any]) -> str:
    """The number of a passport of the client's own country, from its machine-readable zone."""
    if not identity.get("mrz"):
        return ""
    try:
        zone = mrz_read(identity["mrz"], today=utc_now().date())
    except DetailError:
        return ""
    own = zone.nationality == zone.issuer == PASSPORT_OF.get(identity["nationality"], " ")
    return zone.number if zone.form == "TD3" and own else ""
