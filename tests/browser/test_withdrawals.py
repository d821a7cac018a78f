"""Money out in a real Chromium: asked for with a second factor, held, approved by staff, noted as paid; and by keyboard on a phone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from accounts.models import Beneficiary, Withdrawal
from accounts.roles import FINANCE
from brokerage.kernel.clock import utc_now
from tests.browser.conftest import PHONE, Site
from tests.browser.test_staff import REASON, enter, staff
from tests.conftest_engine import PASSWORD
from tests.payouts import NAME, OTHER_IBAN, Payee, code_for, payee


def prove(tab: Any, anna: Payee, where: str) -> None:
    """Give the second factor where it is asked for, and arrive."""
    tab.wait_for_url("**/step-up?**")
    tab.fill("#id_code", code_for(anna.trader.user))
    tab.click("main button[type=submit]")
    tab.wait_for_url(f"**{where}**")


def signed_in(tab: Any, anna: Payee) -> None:
    tab.goto("/signin?next=/account/ledger")
    tab.fill("#id_email", anna.trader.user.email)
    tab.fill("#id_password", PASSWORD)
    tab.click("main button[type=submit]")
    tab.wait_for_url("**/signin/second**")
    tab.fill("#id_code", code_for(anna.trader.user))
    tab.click("main button[type=submit]")
    tab.wait_for_url("**/account/ledger")


def waited(row: Withdrawal) -> Withdrawal:
    """The row once the engine has closed it."""
    until = time.monotonic() + 20
    while row.closed_at is None:
        assert time.monotonic() < until, row.status
        time.sleep(0.05)
        row.refresh_from_db()
    return row


def test_asked_for_held_approved_by_two_and_paid(open_page: Callable[..., Any], site: Site) -> None:
    anna = payee(site.platform, usd="1000")
    tab, maker, checker = open_page(), open_page(), open_page()
    signed_in(tab, anna)
    tab.click("main a:has-text('Withdrawals')")
    tab.click("main a.primary:has-text('Withdraw')")
    if "/step-up" in tab.url:
        prove(tab, anna, "/account/withdraw")
    tab.fill("#id_amount", "250.50")
    tab.click("button:has-text('Go on')")
    tab.wait_for_selector("text=Is this right?")
    assert "749.50" in tab.inner_text("main")
    tab.click("button:has-text('Withdraw 250.50 USD')")
    tab.wait_for_url("**/account/withdrawals**")
    tab.wait_for_selector("text=Waiting for approval")
    assert anna.usd() == ("749.50", "250.50")
    row = Withdrawal.objects.get(account=anna.trader.account)
    # The first withdrawal of a client takes two.
    enter(maker, staff(FINANCE), "/desk/funding")
    maker.click(f"a[href$='{row.pk}']")
    maker.fill("#id_approve-reason", REASON)
    maker.click("button:has-text('Ask a colleague to approve')")
    maker.wait_for_selector("text=a colleague decides")
    enter(checker, staff(FINANCE), f"/desk/funding/{row.pk}")
    checker.click("main a:has-text('a colleague decides')")
    checker.fill("#id_reason", REASON)
    checker.click("button:has-text('Approve and do it')")
    checker.wait_for_selector("text=Approved and done.")
    maker.goto(f"/desk/funding/{row.pk}")
    maker.fill("#id_paid-reference", "BANK 4711")
    maker.click("button:has-text('Note as paid')")
    maker.wait_for_selector("text=Noted as paid.")
    row.refresh_from_db()
    assert waited(row).status == "paid"
    assert anna.usd() == ("749.50", "0.00")
    tab.reload()
    tab.wait_for_selector("text=BANK 4711")
    tab.goto("/account/ledger?kind=withdrawal")
    tab.wait_for_selector("text=−250.5")


def test_a_destination_is_added_and_a_withdrawal_taken_back_on_a_phone(
    open_page: Callable[..., Any], site: Site
) -> None:
    anna = payee(site.platform, usd="1000")
    tab = open_page(PHONE)
    signed_in(tab, anna)
    tab.goto("/account/destinations/new")
    if "/step-up" in tab.url:
        prove(tab, anna, "/account/destinations/new")
    tab.fill("#id_holder", NAME)
    tab.fill("#id_iban", "DE00 3704 0044 0532 0130 00")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("text=not a valid IBAN")
    # The browser reports the refusal's status as well.
    tab.complaints[:] = [line for line in tab.complaints if "422" not in line]
    tab.fill("#id_iban", "DE89 3704 0044 0532 0130 00")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("text=DE89 •••• 3000")
    assert Beneficiary.objects.get(account=anna.trader.account, usable_at__gt=utc_now())
    assert OTHER_IBAN not in tab.content()
    row = anna.held("100")
    tab.reload()
    tab.click("button[aria-label^='Cancel the withdrawal']")
    tab.wait_for_selector("text=The money is available again.")
    assert waited(row).status == "cancelled"
    assert anna.usd() == ("1000.00", "0.00")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
