"""Identity in a real browser: a recovered password, an authenticator app, a passkey with Chromium's virtual authenticator."""

from __future__ import annotations

from typing import Any

from tests.authenticator import code_of
from tests.browser.conftest import PHONE, Site
from tests.conftest_engine import PASSWORD

NEXT = "Another-Horse-2027"


def _sign_out(tab: Any) -> None:
    tab.click(".menu summary")
    tab.click(".menu-list >> text=Sign out")
    tab.wait_for_url("**/signin")


def _password(tab: Any, email: str, password: str) -> None:
    tab.fill("#id_email", email)
    tab.fill("#id_password", password)
    tab.click("main button[type=submit]")


def test_a_lost_password_is_recovered(page: Any, site: Site) -> None:
    from accounts.services.mail_tokens import mail_token_make

    trader = site.trader()
    page.goto("/signin")
    page.click("text=Forgot your password?")
    page.fill("#id_email", trader.user.email)
    page.click("main button[type=submit]")
    page.wait_for_selector("text=a link is on its way")
    # The mail itself is sent by the web process; a link of the same kind stands for it.
    page.goto(f"/recover/{mail_token_make(user=trader.user, purpose='recover')}")
    page.fill("#id_password", NEXT)
    page.click("text=Set the password >> nth=-1")
    page.wait_for_selector("text=Your password is set")
    _password(page, trader.user.email, NEXT)
    page.wait_for_url("**/")
    page.goto("/security")
    page.wait_for_selector("text=Payouts are frozen")


def test_an_authenticator_is_set_up_and_asked_for(open_page: Any, site: Site, sign_in: Any) -> None:
    trader = site.trader()
    page = open_page(PHONE)
    sign_in(page, trader, "/security")
    page.click("a:has-text('Set up')")
    page.wait_for_selector("svg.qr")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    text = page.inner_text("code.secret")
    page.fill("#id_code", code_of(text))
    page.click("text=Take it into use")
    page.wait_for_selector("text=Your recovery codes")
    codes = page.locator(".codes li").all_inner_texts()
    assert len(codes) == 10
    page.click("text=I have kept them")
    page.wait_for_selector("text=10 left")
    _sign_out(page)
    _password(page, trader.user.email, PASSWORD)
    page.wait_for_selector("text=Second step")
    page.fill("#id_code", codes[0])
    page.click("main button[type=submit]")
    page.wait_for_url("**/")
    page.wait_for_selector("text=You used a recovery code: 9 left.")


def test_a_passkey_is_made_and_signs_in(page: Any, site: Site, sign_in: Any) -> None:
    trader = site.trader()
    # Browsers have passkeys at names only.
    base = site.url.replace("127.0.0.1", "localhost")
    line = page.context.new_cdp_session(page)
    line.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    line.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page.goto(f"{base}/signin?next=/security")
    _password(page, trader.user.email, PASSWORD)
    page.wait_for_url("**/security")
    page.click("text=Add a passkey")
    page.fill("#passkey-name", "Laptop")
    page.click("text=Make the passkey")
    page.wait_for_selector("text=The passkey is registered.")
    page.wait_for_selector("text=Laptop")
    _sign_out(page)
    page.click("text=Sign in with a passkey")
    page.wait_for_url(f"{base}/")
    _sign_out(page)
    _password(page, trader.user.email, PASSWORD)
    page.wait_for_selector("text=Second step")
    page.click("text=Use a passkey")
    page.wait_for_url(f"{base}/")
