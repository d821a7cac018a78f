"""The recording of one client's doings, and what they do with money that goes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import resolve

from accounts.selectors.access import account_for_user
from accounts.services.personal import personal_change
from accounts.services.push_devices import push_device_add
from accounts.services.withdrawals import withdrawal_create
from brokerage.kernel.clock import utc_now
from brokerage.platform.policy_rules import method_of
from compliance.tax.years import KINDS
from tests.authorization.world import SECRET, Actor
from tests.conftest_engine import Trader
from tests.payouts import IBAN, OTHER_IBAN, destination
from trading.services.payouts import asset_named

#: As ``compliance/tests/factories.py`` fills a case.
HOLDER = "Nora Newman"
#: Doings that end what the rest needs are recorded last, or on something made for them.
GOOD = {200, 201, 202, 204, 302}


@dataclass
class Call:
    """One request of the recording."""

    method: str
    path: str
    query: str = ""
    body: Any = None
    form: Any = None

    @property
    def route(self) -> tuple[str, str]:
        return resolve(self.path).view_name, method_of(self.method)


@dataclass
class Recording:
    """The first client at work."""

    trader: Trader
    page: Actor
    program: Actor
    calls: list[Call] = field(default_factory=list)

    def do(self, method: str, path: str, *, query: str = "", body: Any = None, form: Any = None) -> Any:
        """Do it; it must work."""
        call = Call(method, path, query, body, form)
        answer = self._as(call).call(method, path, body, form=_fresh(form), query=query)
        assert answer.status_code in GOOD, (
            method,
            path,
            answer.status_code,
            b"" if answer.streaming else answer.content[:600],
        )
        self.calls.append(call)
        return answer

    def _as(self, call: Call) -> Actor:
        return self.program if call.path.startswith("/api/") else self.page


def _fresh(form: Any) -> Any:
    # A file was read to its end the time before.
    if not form:
        return form
    return {
        name: SimpleUploadedFile("p.jpg", value, "image/jpeg") if isinstance(value, bytes) else value
        for name, value in form.items()
    }


def told_elsewhere(recording: Recording) -> None:
    """Devices for push messages; the mobile number is nobody's but the session's own."""
    do, anna = recording.do, recording.trader.user
    do("POST", "/api/v1/push-devices", body={"token": "annas-token-of-the-service", "name": "telephone"})
    devices = [push_device_add(user=anna, token=f"annas-token-number-{turn}", name=SECRET) for turn in range(3)]
    do("GET", "/api/v1/push-devices")
    do("DELETE", f"/api/v1/push-devices/{devices[0].pk}")
    do("POST", f"/security/devices/{devices[1].pk}/remove", form={})
    recording.calls += [
        Call("DELETE", f"/api/v1/push-devices/{devices[2].pk}"),
        Call("POST", f"/security/devices/{devices[2].pk}/remove", form={}),
    ]


def statement(recording: Recording, number: str) -> None:
    """A statement in all its forms, and its page."""
    day = utc_now().date()
    tax_year = KINDS["uk_cgt"].year_of(day).number
    for form in ("", ".csv", ".pdf"):
        recording.do(
            "GET", f"/api/v1/accounts/{number}/statement{form}", query=f"from={day}&to={day + timedelta(days=1)}"
        )
    recording.do("GET", f"/api/v1/accounts/{number}/tax-documents")
    for form in ("csv", "pdf"):
        recording.do("GET", f"/api/v1/accounts/{number}/tax-documents/uk_cgt/{tax_year}.{form}")
    for page in ("/account/reports", "/account/statements"):
        recording.do("GET", page, query=f"account={number}")
    recording.do("GET", "/account/reports")
    recording.do("GET", "/account/statements")


def money_out(recording: Recording, number: str) -> None:
    """Withdrawals and their destinations; what needs a code is only there to be tried by the second client."""
    do, anna, here = recording.do, recording.trader.user, f"account={number}"
    # The name onboarding has of her.
    personal_change(user=anna, values={"legal_name": HOLDER})
    saved, spare_one = (destination(anna, number, iban, holder=HOLDER) for iban in (IBAN, OTHER_IBAN))
    ref = account_for_user(anna.pk, number)
    asked = [
        withdrawal_create(user=anna, account=ref, beneficiary_id=saved.pk, asset=asset_named("USD"), minor=5_000_000)
        for _ in range(3)
    ]
    for name in ("withdrawals", "beneficiaries", "withdrawals.csv"):
        do("GET", f"/api/v1/{name}", query=here)
    do("GET", f"/api/v1/withdrawals/{asked[0].pk}")
    do("GET", "/account/withdrawals", query=here)
    do("DELETE", f"/api/v1/withdrawals/{asked[0].pk}")
    do("POST", f"/account/withdrawals/{asked[1].pk}/cancel", form={})
    do("GET", "/account/withdraw", query=here)
    do("GET", "/account/destinations/new", query=here)
    payout = {"account": number, "beneficiary_id": saved.pk, "amount": "5"}
    recording.calls += [
        Call("POST", "/api/v1/withdrawals", body=payout),
        Call("POST", "/api/v1/withdrawals", body={"beneficiary_id": saved.pk, "amount": "5"}),
        Call("POST", "/api/v1/beneficiaries", body={"account": number, "holder": HOLDER, "iban": IBAN}),
        Call("DELETE", f"/api/v1/beneficiaries/{spare_one.pk}"),
        Call("DELETE", f"/api/v1/withdrawals/{asked[2].pk}"),
        Call("POST", "/account/withdraw", here, form={"beneficiary": saved.pk, "amount": "5", "sure": "1"}),
        Call("POST", f"/account/withdrawals/{asked[2].pk}/cancel", form={}),
        Call("POST", "/account/destinations/new", here, form={"holder": HOLDER, "iban": IBAN}),
        Call("POST", f"/account/destinations/{spare_one.pk}/remove", form={}),
    ]
