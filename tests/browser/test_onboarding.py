"""A client onboards in the browser, an officer decides; every page of it on a desk and on a phone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from playwright.sync_api import expect

from accounts.models import TotpDevice, User
from accounts.services.second_factor import totp_begin
from backoffice.tests.factories import code_now
from brokerage.kernel.clock import utc_now
from compliance.models import KycCase
from compliance.tests.test_uploads import picture
from tests.browser.conftest import PHONE, Site
from tests.browser.test_pages import findings, too_wide
from tests.conftest_engine import PASSWORD, Child, Trader

SignIn = Callable[..., None]
SHOTS = Path("var/screenshots/onboarding")


@pytest.fixture(scope="module")
def vendor(site: Site) -> Iterator[None]:
    """The sandbox vendor and a worker, beside the platform."""
    environment, var = site.web.environment, site.web.var
    sandbox = Child("kyc-sandbox", [sys.executable, "manage.py", "run_kyc_sandbox"], environment, var)
    command = [sys.executable, "-m", "celery", "-A", "brokerage", "worker", "-P", "threads", "-c", "2", "-B"]
    worker = Child("worker", [*command, "-s", str(var / "beat-schedule")], environment, var)
    worker.wait_ready = lambda: None  # type: ignore[method-assign] - what is queued waits for it
    try:
        sandbox.start()
        worker.start()
        yield
    finally:
        worker.stop()
        sandbox.stop()


@pytest.fixture
def officer(site: Site) -> Trader:
    """A compliance officer."""
    user = User.objects.create_user(f"officer{User.objects.count()}@example.test", PASSWORD, is_staff=True)
    kind = ContentType.objects.get_for_model(KycCase)
    # The live database is emptied between modules, permissions with it.
    permission, _ = Permission.objects.get_or_create(
        codename="decide_kyc", content_type=kind, defaults={"name": "Decide"}
    )
    user.user_permissions.add(permission)
    return Trader(user, None, "", site.platform)


def save(tab: Any) -> None:
    tab.click("main form.panel button[type=submit]")
    tab.wait_for_url("**/onboarding")


def officer_in(tab: Any, officer: Trader) -> None:
    """Sign an officer in, with the second factor staff pages ask for."""
    device = TotpDevice.objects.filter(user=officer.user).first() or totp_begin(user=officer.user)
    # As if no code had been used yet: two tabs within half a minute show the same one.
    TotpDevice.objects.filter(pk=device.pk).update(confirmed=True, last_step=0)
    tab.goto("/signin?next=/compliance/kyc")
    tab.fill("#id_email", officer.user.email)
    tab.fill("#id_password", PASSWORD)
    tab.click("main button[type=submit]")
    tab.wait_for_url("**/signin/second?**")
    tab.fill("#id_code", code_now(device))
    tab.click("main button[type=submit]")
    tab.wait_for_url("**/compliance/kyc")


def fill(tab: Any, surname: str) -> None:
    """Every step of tier 1."""
    tab.goto("/onboarding/steps/identity")
    tab.fill("#id_first_name", "Nora")
    tab.fill("#id_last_name", surname)
    tab.fill("#id_birth_date", "1990-05-17")
    tab.select_option("#id_nationality", "GB")
    save(tab)
    tab.goto("/onboarding/steps/address")
    tab.fill("#id_street", "1 High Street")
    tab.fill("#id_city", "Leeds")
    tab.fill("#id_postal_code", "LS1 1AA")
    tab.select_option("#id_country", "GB")
    save(tab)
    tab.goto("/onboarding/steps/suitability")
    for name in ("experience", "occupation", "expected_deposit", "funds_from", "leverage", "stop", "crypto"):
        tab.select_option(f"#id_{name}", index=1)
    save(tab)
    tab.goto("/onboarding/steps/tax")
    tab.select_option("#id_country", "GB")
    tab.fill("#id_tax_number", "1955839661")
    save(tab)


def upload(tab: Any) -> None:
    tab.goto("/onboarding/steps/id_document")
    tab.fill("#id_expires_on", (utc_now().date() + timedelta(days=900)).isoformat())
    tab.set_input_files("#id_file", {"name": "scan.png", "mimeType": "image/png", "buffer": picture("PNG")})
    save(tab)


def test_a_client_onboards_and_trades(open_page: Callable[..., Any], site: Site, vendor: None, sign_in: SignIn) -> None:
    trader = site.platform.trader("nora", verified=False)
    tab = open_page(PHONE)
    sign_in(tab, trader, "/")
    tab.get_by_role("link", name="Finish opening your account").click()
    tab.wait_for_url("**/onboarding")
    expect(tab.locator("main")).to_contain_text("Still to do")
    fill(tab, "Newman")
    tab.goto("/onboarding")
    tab.get_by_role("button", name="Submit for checking").click()
    expect(tab.locator("[data-case-state]")).to_have_text("Approved")
    expect(tab.locator("main")).to_contain_text("You are verified: Basic")
    order = site.order(trader, symbol="ETH-USD", side="buy", price="2000", qty="0.1")
    assert order["status"] == "new"


def test_an_officer_approves_what_needed_a_look(
    open_page: Callable[..., Any], site: Site, vendor: None, sign_in: SignIn, officer: Trader
) -> None:
    trader = site.platform.trader("cora", verified=False)
    client = open_page()
    sign_in(client, trader, "/onboarding")
    fill(client, "Consider")
    upload(client)
    client.get_by_role("button", name="Submit for checking").click()
    expect(client.locator("[data-case-state]")).to_have_text("With an officer")
    tab = open_page()
    officer_in(tab, officer)
    tab.get_by_role("link", name="cora").click()
    expect(tab.locator("main")).to_contain_text("The name matches more than one person.")
    image = tab.locator("figure img")
    image.scroll_into_view_if_needed()
    assert image.evaluate("(e) => e.decode().then(() => e.naturalWidth)") == 800
    tab.select_option("#decision", "approved")
    tab.select_option("#reason", "identity_proven")
    tab.fill("#note", "Seen the document, it is this person.")
    tab.locator("main").get_by_role("button", name="Decide").click()
    expect(tab.locator(".strip[role=status]").last).to_contain_text("Decided.")
    client.reload()
    expect(client.locator("[data-case-state]")).to_have_text("Approved")


def test_the_pages_fit_a_phone_and_have_no_serious_findings(
    open_page: Callable[..., Any], site: Site, sign_in: SignIn, officer: Trader
) -> None:
    trader = site.platform.trader("dora", verified=False)
    SHOTS.mkdir(parents=True, exist_ok=True)
    faults: list[Any] = []

    def look(tab: Any, path: str, name: str) -> None:
        tab.goto(path)
        tab.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)
        faults.extend([*findings(tab), *too_wide(tab)])

    desk, phone, dark = open_page(), open_page(PHONE), open_page(color_scheme="dark")
    sign_in(desk, trader, "/onboarding")
    fill(desk, "Newman")
    upload(desk)
    for tab, kind in ((desk, "desk"), (phone, "phone"), (dark, "dark")):
        if tab is not desk:
            sign_in(tab, trader, "/onboarding")
        for name in ("", "/steps/identity", "/steps/suitability", "/steps/id_document"):
            look(tab, f"/onboarding{name}", f"{kind}{name.replace('/', '-')}")
    case = KycCase.objects.get(user=trader.user)
    KycCase.objects.filter(pk=case.pk).update(state="review", risk_score=72, risk_band="high", reason_code="high_risk")
    for size, kind in ((None, "desk"), (PHONE, "phone")):
        tab = open_page(size)
        officer_in(tab, officer)
        look(tab, "/compliance/kyc", f"{kind}-queue")
        look(tab, f"/compliance/kyc/{case.pk}", f"{kind}-case")
    assert not faults, faults
