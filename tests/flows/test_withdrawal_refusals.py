"""Every way a withdrawal or a destination is refused, with its number: over REST, as programs and people meet it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client

from accounts.api.tests.signer import code as said
from accounts.api.tests.signer import key_of
from accounts.models import Beneficiary, TotpDevice, TradingAccount, TradingAccountMember, User, Withdrawal
from accounts.selectors.access import accounts_forget
from accounts.services.security import settings_lock
from accounts.services.withdrawals import withdrawal_approve, withdrawal_paid
from backoffice.services.view_as import MINUTES_MAX
from backoffice.tests.factories import REASON, browser, staff
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from compliance.tests.factories import case_filled
from tests.conftest_engine import LivePlatform
from tests.payouts import IBAN, NAME, OTHER_IBAN, Payee, code_for, enrolled, payee, proven_browser


@pytest.fixture
def anna(live_platform: LivePlatform) -> Payee:
    return payee(live_platform)


def asked(anna: Payee, amount: str = "10", **more: Any) -> tuple[int, int]:
    accounts_forget()
    return said(anna.ask(amount, **more))


def added(anna: Payee, holder: str = NAME, iban: str = OTHER_IBAN) -> Any:
    user = anna.trader.user
    return anna.trader.api("POST", "beneficiaries", {"holder": holder, "iban": iban}, X_Second_Factor=code_for(user))


def test_without_a_fresh_code_nothing_goes(anna: Payee) -> None:
    body = {"beneficiary_id": anna.beneficiary.pk, "amount": "10"}
    assert said(anna.trader.api("POST", "withdrawals", body)) == (403, 2034)
    code = code_for(anna.trader.user)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert said(anna.trader.api("POST", "withdrawals", body, X_Second_Factor=wrong)) == (401, 2036)
    assert anna.trader.api("POST", "withdrawals", body, X_Second_Factor=code).status_code == 201
    assert said(anna.trader.api("POST", "withdrawals", body, X_Second_Factor=code)) == (401, 2036)
    TotpDevice.objects.filter(user=anna.trader.user).delete()
    assert said(anna.trader.api("POST", "withdrawals", body, X_Second_Factor=code)) == (401, 2035)
    assert Withdrawal.objects.filter(account=anna.trader.account).count() == 1


def test_a_password_is_no_proof_where_money_goes(live_platform: LivePlatform) -> None:
    trader = live_platform.trader()
    page = browser(trader.user, factor=False)
    answer = page.post(
        "/api/v1/withdrawals", {"beneficiary_id": "0" * 26, "amount": "1"}, content_type="application/json"
    )
    assert said(answer) == (401, 2035)
    assert page.get("/account/withdraw")["Location"].startswith("/security/authenticator?next=")


@pytest.mark.parametrize(
    ("_case", "body", "expected"),
    [
        ("zero", {"amount": "0"}, (422, 8002)),
        ("below zero", {"amount": "-5"}, (422, 8002)),
        ("less than a cent", {"amount": "1.001"}, (400, 1011)),
        ("no number", {"amount": "much"}, (400, 1012)),
        ("no such asset", {"amount": "1", "asset": "XXX"}, (422, 3007)),
        ("another asset", {"amount": "1", "asset": "SOL"}, (403, 7029)),
        ("unknown destination", {"amount": "1", "beneficiary_id": "0" * 26}, (404, 2014)),
        ("unknown account", {"amount": "1", "account": "ZZZZZZ"}, (404, 2014)),
        ("a field that is not there", {"amount": "1", "status": "paid"}, (400, 1010)),
        ("a bad key", {"amount": "1", "Idempotency_Key": "x" * 40}, (400, 1001)),
    ],
)
def test_what_cannot_be(anna: Payee, _case: str, body: dict[str, str], expected: tuple[int, int]) -> None:
    amount = body.pop("amount")
    assert asked(anna, amount, **body) == expected
    assert not Withdrawal.objects.filter(account=anna.trader.account).exists()


def test_a_new_destination_rests_a_day(anna: Payee) -> None:
    new = added(anna).json()
    assert (new["usable"], new["destination"]) == (False, "DE89 •••• 3000")
    answer = anna.ask("10", beneficiary_id=new["beneficiary_id"])
    assert said(answer) == (403, 7061)
    assert answer.json()["needed"] == new["usable_at"]
    Beneficiary.objects.filter(pk=new["beneficiary_id"]).update(usable_at=utc_now() - timedelta(seconds=1))
    assert anna.ask("10", beneficiary_id=new["beneficiary_id"]).status_code == 201


@pytest.mark.parametrize(
    ("_case", "change", "expected"),
    [
        ("credentials changed", {"payouts_frozen_until": timedelta(hours=1)}, 7060),
        ("not verified", {"trading_allowed": False, "kyc_tier": 0}, 7010),
        ("restricted", {"trading_allowed": False}, 7011),
        ("a tier without withdrawals", {"kyc_tier": 1}, 7062),
    ],
)
def test_what_binds_the_client_binds_the_money(anna: Payee, _case: str, change: dict[str, Any], expected: int) -> None:
    values = {name: utc_now() + value if isinstance(value, timedelta) else value for name, value in change.items()}
    User.objects.filter(pk=anna.trader.user.pk).update(**values)
    answer = anna.ask("10")
    assert answer.json()["code"] == expected
    assert not Withdrawal.objects.filter(account=anna.trader.account).exists()


def test_a_freeze_that_begins_later_stops_the_approval(anna: Payee) -> None:
    row = anna.held()
    User.objects.filter(pk=anna.trader.user.pk).update(payouts_frozen_until=utc_now() + timedelta(hours=1))
    with pytest.raises(RejectedError) as refused:
        withdrawal_approve(withdrawal_id=row.pk, staff=staff("finance"), reason=REASON)
    assert refused.value.code == 7060
    User.objects.filter(pk=anna.trader.user.pk).update(payouts_frozen_until=None, trading_allowed=False)
    with pytest.raises(RejectedError) as refused:
        withdrawal_approve(withdrawal_id=row.pk, staff=staff("finance"), reason=REASON)
    assert refused.value.code == 7011


def test_an_account_that_is_not_open_pays_nothing(anna: Payee) -> None:
    TradingAccount.objects.filter(pk=anna.trader.account.pk).update(status="suspended")
    assert asked(anna) == (403, 2015)


def test_the_days_limit_at_below_and_above(live_platform: LivePlatform) -> None:
    anna = payee(live_platform, usd="100000")
    User.objects.filter(pk=anna.trader.user.pk).update(kyc_tier=2)  # 25,000 a day
    accounts_forget()
    first = anna.held("20000")
    answer = anna.ask("5000.01")
    assert said(answer) == (422, 7062)
    assert (answer.json()["needed"], answer.json()["available"]) == ("25000 USD", "25000.01 USD")
    anna.held("5000")
    assert asked(anna, "0.01") == (422, 7062)
    # What was taken back does not count.
    assert anna.trader.api("DELETE", f"withdrawals/{first.pk}").status_code == 200
    anna.held("20000")


def test_viewers_and_traders_take_nothing_out_and_strangers_see_nothing(
    live_platform: LivePlatform, anna: Payee
) -> None:
    row = anna.held()
    for role, expected in (("viewer", (403, 2012)), ("trader", (403, 2012)), ("", (404, 2014))):
        other = live_platform.trader()
        enrolled(other.user)
        if role:
            TradingAccountMember.objects.create(account=anna.trader.account, user=other.user, role=role)
        accounts_forget()
        body = {"account": anna.number, "beneficiary_id": anna.beneficiary.pk, "amount": "1"}
        answer = other.api("POST", "withdrawals", body, X_Second_Factor=code_for(other.user))
        assert said(answer) == expected, role
        account = {"account": anna.number, "holder": NAME, "iban": OTHER_IBAN}
        answer = other.api("POST", "beneficiaries", account, X_Second_Factor=code_for(other.user))
        assert said(answer) == expected, role
        assert said(other.api("DELETE", f"withdrawals/{row.pk}")) == expected
        assert said(other.api("DELETE", f"beneficiaries/{anna.beneficiary.pk}")) == expected
        for path in (
            f"withdrawals/{row.pk}",
            f"withdrawals?account={anna.number}",
            f"beneficiaries?account={anna.number}",
        ):
            assert other.api("GET", path).status_code == (200 if role else 404), (role, path)
    row.refresh_from_db()
    assert row.status == "held"


def test_keys_need_the_scope_a_code_and_a_saved_destination(anna: Payee) -> None:
    user, listed = anna.trader.user, {"networks": ["127.0.0.1"], "expires_in_days": 1}
    body = {"beneficiary_id": anna.beneficiary.pk, "amount": "10"}
    assert said(key_of(user, "read", "trade").call("POST", "withdrawals", body)) == (403, 2066)
    signer = key_of(user, "withdraw", **listed)
    assert said(signer.call("POST", "withdrawals", body)) == (403, 2034)
    assert said(signer.call("POST", "beneficiaries", {"holder": NAME, "iban": OTHER_IBAN})) == (403, 2066)
    import json as codec

    from accounts.api.tests.signer import send

    raw = codec.dumps(body).encode()
    path = "/api/v1/withdrawals"
    headers = signer.headers("POST", path, "", raw) | {"X-Second-Factor": code_for(user)}
    assert send("POST", path, raw, "", headers, "127.0.0.1").status_code == 201


def test_looking_as_the_client_sends_nothing(anna: Payee) -> None:
    row = anna.held()
    desk = browser(staff("support"))
    form = {"view_as-minutes": str(min(5, MINUTES_MAX)), "view_as-reason": REASON}
    assert desk.post(f"/desk/clients/{anna.number}/view-as", form).status_code == 302
    assert desk.get("/account/withdrawals").status_code == 200
    assert desk.get("/account/withdraw").status_code == 403
    body = {"beneficiary_id": anna.beneficiary.pk, "amount": "10"}
    assert said(desk.post("/api/v1/withdrawals", body, content_type="application/json")) == (403, 2090)
    assert desk.post(f"/account/withdrawals/{row.pk}/cancel").status_code == 403


def test_destinations_have_check_digits_and_the_owners_name(anna: Payee) -> None:
    assert said(added(anna, iban="DE00370400440532013000")) == (422, 7016)
    assert said(added(anna, holder="Mallory Moor")) == (422, 7063)
    assert said(added(anna, holder="Anna Maria Ely")) == (422, 7063)
    # Order, case and accents are the bank's.
    made = added(anna, holder="ELY, Ánna").json()
    assert added(anna).json()["beneficiary_id"] == made["beneficiary_id"]
    shown = anna.trader.api("GET", "beneficiaries").json()["results"]
    assert [row["destination"] for row in shown] == ["DE89 •••• 3000", "GB29 •••• 6819"]
    sealed = bytes(Beneficiary.objects.get(pk=made["beneficiary_id"]).sealed)
    assert OTHER_IBAN.encode() not in sealed


def test_who_has_no_known_name_saves_no_destination(live_platform: LivePlatform) -> None:
    trader = live_platform.trader()
    enrolled(trader.user)
    trader.user.personal.delete()
    body = {"holder": NAME, "iban": IBAN}
    assert said(trader.api("POST", "beneficiaries", body, X_Second_Factor=code_for(trader.user))) == (422, 7063)


def test_the_verified_name_counts_too(anna: Payee) -> None:
    """Who changes only one of the names the house knows gains nothing by it."""
    case_filled(anna.trader.user)  # Nora Newman
    assert said(added(anna)) == (422, 7063)
    assert said(added(anna, holder="Nora Newman")) == (422, 7063)


def test_locked_settings_keep_the_destinations_as_they_are(anna: Payee) -> None:
    settings_lock(user=User.objects.get(pk=anna.trader.user.pk))
    from brokerage.platform.auth import users_forget

    users_forget()
    assert said(added(anna)) == (403, 2037)
    assert said(anna.trader.api("DELETE", f"beneficiaries/{anna.beneficiary.pk}")) == (403, 2037)


def test_a_destination_goes_only_when_no_money_is_on_its_way_to_it(anna: Payee) -> None:
    row = anna.held()
    assert said(anna.trader.api("DELETE", f"beneficiaries/{anna.beneficiary.pk}")) == (409, 7064)
    anna.trader.api("DELETE", f"withdrawals/{row.pk}")
    assert anna.trader.api("DELETE", f"beneficiaries/{anna.beneficiary.pk}").status_code == 204
    assert asked(anna) == (404, 2014)


def test_ten_destinations_are_enough(anna: Payee) -> None:
    numbers = ("FR1420041010050500013M02606", "NL91ABNA0417164300", "ES9121000418450200051332", "AT611904300234573201",
               "FI2112345600000785", "CH9300762011623852957", "IE29AIBK93115212345678", "PT50000201231234567890154",
               OTHER_IBAN)  # fmt: skip
    for number in numbers:
        assert added(anna, iban=number).status_code == 201, number
    assert said(added(anna, iban="IT60X0542811101000000123456")) == (400, 1014)


def test_one_bank_reference_is_one_payout(anna: Payee) -> None:
    first, second = anna.held("10"), anna.held("20")
    for row in (first, second):
        withdrawal_approve(withdrawal_id=row.pk, staff=staff("finance"), reason=REASON)
    withdrawal_paid(withdrawal_id=first.pk, reference="STATEMENT 17/4")
    with pytest.raises(RejectedError) as refused:
        withdrawal_paid(withdrawal_id=second.pk, reference="STATEMENT  17/4")
    assert (refused.value.code, refused.value.available) == (7065, f"withdrawal {first.pk}")
    with pytest.raises(RejectedError) as refused:
        withdrawal_paid(withdrawal_id=first.pk, reference="ANOTHER")
    assert refused.value.code == 7064


def test_loss_of_open_positions_cannot_be_taken_out(
    live_platform: LivePlatform, anna: Payee, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bought at 1.10, worth 1.05 now: 100 of the cash belongs to the loss, though the engine holds only the margin."""
    from trading.selectors import portfolio

    maker = live_platform.trader()
    order = {"symbol": "EUR-USD", "type": "limit", "qty": "2000", "price": "1.10000"}
    assert maker.api("POST", "orders", {**order, "side": "sell"}).status_code == 201
    assert anna.trader.api("POST", "orders", {**order, "side": "buy"}).status_code == 201
    live_platform.settle()
    available, _ = anna.usd()
    stale = anna.ask("1")
    assert said(stale) == (503, 9012)
    quote = {"EUR-USD": {"symbol": "EUR-USD", "bid": "1.05000", "ask": "1.05001", "ts": "2026-01-01T00:00:00.000000Z"}}
    monkeypatch.setattr(portfolio, "quotes_get", lambda symbols: quote)
    may = f"{float(available) - 100:.2f}"
    above = anna.ask(f"{float(may) + 0.01:.2f}")
    assert said(above) == (422, 4001)
    assert above.json()["available"].startswith(may)
    assert anna.ask(may).status_code == 201


def test_owners_are_told_by_mail(live_platform: LivePlatform, mailoutbox: list[EmailMessage], settings: Any) -> None:
    anna = payee(live_platform)
    mailoutbox.clear()
    added(anna)
    assert "a new payout destination, DE89 •••• 3000, was added" in mailoutbox[-1].body
    assert "/freeze/" in mailoutbox[-1].body
    row = anna.held("12.30")
    assert mailoutbox[-1].subject == "A withdrawal was asked for"
    assert "12.3 USD" in mailoutbox[-1].body
    assert IBAN not in mailoutbox[-1].body
    withdrawal_approve(withdrawal_id=row.pk, staff=staff("finance"), reason=REASON)
    withdrawal_paid(withdrawal_id=row.pk, reference=f"BANK-{row.pk}")
    assert mailoutbox[-1].subject == "Your withdrawal was paid"
    assert {mail.to[0] for mail in mailoutbox} == {anna.trader.user.email}


def test_lists_are_paged_and_come_as_a_file(anna: Payee) -> None:
    for amount in ("1", "2", "3"):
        anna.held(amount)
    first = anna.trader.api("GET", "withdrawals?limit=2").json()
    rest = anna.trader.api("GET", f"withdrawals?limit=2&cursor={first['next_cursor']}").json()
    amounts = [row["amount"] for page in (first, rest) for row in page["results"]]
    assert amounts == ["3.000000", "2.000000", "1.000000"]
    assert rest["next_cursor"] is None
    assert said(anna.trader.api("GET", "withdrawals?cursor=nonsense")) == (400, 1017)
    file = b"".join(anna.trader.api("GET", "withdrawals.csv").streaming_content).decode()
    assert file.count("held") == 3
    assert IBAN not in file


def test_the_pages_ask_review_and_take_back(anna: Payee) -> None:
    page: Client = proven_browser(anna.trader.user)
    shown = page.get("/account/withdraw").content.decode()
    assert "1,000.00" in shown
    form = {"beneficiary": anna.beneficiary.pk, "amount": "1,000.01", "key": "one-form"}
    assert page.post("/account/withdraw", form).status_code == 422
    review = page.post("/account/withdraw", form | {"amount": "250"})
    assert "750.00" in review.content.decode()
    assert not Withdrawal.objects.filter(account=anna.trader.account).exists()
    for _ in range(2):
        # Sent twice, it is one.
        assert page.post("/account/withdraw", form | {"amount": "250", "sure": "1"}).status_code == 302
    row = Withdrawal.objects.get(account=anna.trader.account)
    assert (row.status, anna.usd()) == ("held", ("750.00", "250.00"))
    assert "Waiting for approval" in page.get("/account/withdrawals").content.decode()
    assert page.post(f"/account/withdrawals/{row.pk}/cancel").status_code == 302
    assert anna.usd() == ("1000.00", "0.00")
    answer = page.post("/account/destinations/new", {"holder": NAME, "iban": "nonsense"})
    assert answer.status_code == 422
    assert "not a valid IBAN" in answer.content.decode()
    assert page.post("/account/destinations/new", {"holder": NAME, "iban": OTHER_IBAN}).status_code == 302
    assert page.post(f"/account/destinations/{anna.beneficiary.pk}/remove").status_code == 302
    left = page.get("/account/withdraw").content.decode()
    assert "still new" in left
