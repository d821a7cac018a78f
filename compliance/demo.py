"""Clients of the demo at different places of onboarding, brought there by the services, the vendor and the clock that everybody's case goes
through: nothing here writes a state. Run by the clock while it is a demo; each round does what is next for each, so it may stop anywhere.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from PIL import Image, ImageDraw

from accounts.models import User
from accounts.selectors.access import account_for_user
from accounts.services.rules import disclosures_accept
from accounts.services.trading_accounts import account_open
from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import utc_now
from brokerage.kernel.terms import OrderSource, OrdType, Side, TimeInForce
from brokerage.platform.audit import Actor, acting
from compliance.models import KycCase, KycProposal
from compliance.selectors.checklist import steps_done
from compliance.services.answers import QUIZ, answer_save
from compliance.services.documents import document_add
from compliance.services.kyc import State, case_decide, case_open, case_submit
from compliance.services.liveness import liveness_answer, liveness_begin
from marketdata.selectors.instruments import instrument_by_symbol
from trading.selectors.orders import order_by_client_id
from trading.services.orders import order_place

log = logging.getLogger(__name__)
OFFICER = "compliance@demo.test"
#: Bought by the clients who may.
SHARE = "AAPL"
LAST = {"id_document": "passport", "address_document": "proof_of_address"}


@dataclass(frozen=True)
class DemoClient:
    """Who it is and what they answer. The surname decides what the sandbox vendor finds."""

    email: str
    first_name: str
    last_name: str
    nationality: str = "GB"
    suitability: dict[str, str] = field(default_factory=dict)
    documents: tuple[str, ...] = ("id_document", "address_document")
    live: bool = True


CLIENTS = (
    DemoClient("approved@demo.test", "Olive", "Okafor"),
    # The vendor cannot read the passport: action required, naming it.
    DemoClient("action@demo.test", "Bea", "Blurred"),
    DemoClient("refused@demo.test", "Rob", "Refused", documents=(), live=False),
    # High risk by country, source of funds and amount: proposed by one officer, waits for another.
    DemoClient(
        "highrisk@demo.test", "Hugo", "Consider", nationality="MM",
        suitability={"occupation": "student", "expected_deposit": "over_250k", "funds_from": "other"},
    ),
)  # fmt: skip


def demo_round(password: str) -> None:
    """Do what is next for every demo client."""
    for client in CLIENTS:
        user = User.objects.filter(email=client.email).first() or _register(client, password)
        try:
            with acting(Actor("user", str(user.pk))):
                _client(client, user)
            _officer(user)
            with acting(Actor("user", str(user.pk))):
                _trade(user)
        except Exception:  # one that cannot go on must not keep the clock from its work
            log.exception("the demo client %s does not get on", client.email)


def _register(client: DemoClient, password: str) -> User:
    with transaction.atomic():
        user = User.objects.create_user(
            client.email, password, display_name=f"{client.first_name} {client.last_name}", country="GB",
            email_confirmed_at=utc_now(),
        )  # fmt: skip
        account_open(user=user)
        disclosures_accept(user=user, codes=list(trading_policy().disclosures))
    return user


def _client(client: DemoClient, user: User) -> None:
    case = case_open(user=user)
    if case.state != State.DRAFT:
        return
    done = steps_done(case)
    for step, data in _answers(client).items():
        if step not in done:
            answer_save(user=user, step=step, data=data)
    today = utc_now().date()
    for step in client.documents:
        if step not in done:
            dates: dict[str, Any] = (
                {"expires_on": today + timedelta(days=2_000)}
                if step == "id_document"
                else {"issued_on": today - timedelta(days=20)}
            )
            document_add(user=user, kind=LAST[step], data=_paper(LAST[step], client), **dates)
    if client.live and "liveness" not in done:
        check = liveness_begin(case=case)
        if check.state in {"open", "retry"}:
            liveness_answer(case=case, gestures=check.gestures)
        return
    case_submit(user=user)


def _officer(user: User) -> None:
    case = KycCase.objects.get(user=user)
    officer = User.objects.filter(email=OFFICER).first()
    if case.state != State.REVIEW or case.risk_band != KycCase.Band.HIGH or officer is None:
        return
    if not KycProposal.objects.filter(case=case).exists() and not case.hits.filter(state="open").exists():
        with acting(Actor("staff", str(officer.pk))):
            case_decide(
                case_id=case.pk, officer=officer, decision=State.APPROVED, reason_code="identity_proven",
                note="The identity is proven and the source of funds is plausible; a second look is asked for.",
            )  # fmt: skip


def _trade(user: User) -> None:
    """A share a day for who may trade, so that the reports of a day have something in them."""
    account = account_for_user(user.pk)
    share, day = instrument_by_symbol(SHARE), utc_now().date()
    name = f"demo-{day}"
    if not account.trading_allowed or share is None or share.state != "active":
        return
    if order_by_client_id(account.core_account, name) is None:
        order_place(
            account=account, instrument=share, side=Side.BUY, ord_type=OrdType.MARKET, time_in_force=TimeInForce.IOC, qty=Decimal(1),
            cl_ord_id=name, source=OrderSource.PORTAL,
        )  # fmt: skip


def _answers(client: DemoClient) -> dict[str, dict[str, Any]]:
    quiz = {name: row[2] for name, row in QUIZ.items()}
    return {
        "identity": {
            "first_name": client.first_name, "last_name": client.last_name, "birth_date": "1988-04-09",
            "nationality": client.nationality, "national_insurance": "",
        },
        "address": {"street": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB"},
        "suitability": {
            "experience": "some", "occupation": "employed", "expected_deposit": "under_10k", "funds_from": "salary",
        } | quiz | client.suitability,
        "tax": {"country": "GB", "tax_number": "1955839661", "us_person": False},
        "bank": {"holder": f"{client.first_name} {client.last_name}", "iban": "GB29NWBK60161331926819"},
    }  # fmt: skip


def _paper(kind: str, client: DemoClient) -> bytes:
    """A picture that says what it stands for: no document of anybody."""
    picture = Image.new("RGB", (900, 600), (236, 239, 244))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((20, 20, 880, 580), outline=(90, 100, 120), width=4)
    lines = (
        "SPECIMEN - NOT A DOCUMENT",
        kind.replace("_", " ").upper(),
        f"{client.first_name} {client.last_name}",
        client.nationality,
    )
    for place, text in enumerate(lines):
        pen.text((60, 80 + 110 * place), text, fill=(30, 35, 50), font_size=44)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
