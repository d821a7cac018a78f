"""axe-core on every page there is, light and dark, on a desk and on a phone.

Which pages there are is asked of the routes: a page that is neither looked at here nor named below with its reason fails the first test.
Each page is opened once; the theme and the size are changed around it. Rules other than those of contrast do not depend on the theme, so in
the dark only contrast is asked again; the administration's lists are one template of its maker's, so on a phone they are asked for contrast only.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from django.core.mail import send_mail
from django.test import Client, override_settings
from django.urls import get_resolver

from accounts.models import TradingAccount
from accounts.roles import ADMINISTRATOR, FINANCE
from accounts.services.api_keys import api_key_create
from accounts.services.fix_keys import fix_key_create
from accounts.services.mail_tokens import mail_token_make
from accounts.services.members import invitation_secret_make, invitation_send
from accounts.services.mobile import mobile_ask
from accounts.services.push_devices import push_device_add
from accounts.services.step_up import PROOF
from accounts.services.token_families import family_begin
from accounts.views import demo_mail
from accounts.views.developers import url_routes
from backoffice.tests.factories import REASON, browser, staff
from brokerage.config import get_config
from brokerage.kernel.clock import utc_now
from compliance.audit.recorder import Recorder
from compliance.models import AuditEntry, KycCase
from compliance.selectors.checklist import STEPS
from compliance.services.kyc import case_open
from tests.browser.conftest import DESK, PHONE, WAIT_MS, Site
from tests.browser.test_pages import AXE, too_wide
from tests.conftest_engine import Trader
from tests.payouts import OTHER_IBAN, destination, payee
from trading.models import FallbackRequest
from trading.selectors.orders import order_number

LOOKS = [(scheme, size["width"]) for scheme in ("light", "dark") for size in (DESK, PHONE)]

#: Routes that are no pages to look at; the style guide is there only with debugging on.
NOT_PAGES = {
    "schema", "health-live", "health-ready", "version", "jwks", "proof-verifier", "embed-session", "embed-data", "onboarding-status",
    "styleguide", "kyc-document", "export-file", "desk-access-review", "passkey-use-options", "passkey-register-options",
    "entity-status", "audit-csv", "audit-proofs", "audit-proof", "audit-pdf", "audit-record-pdf", "kyc-file",
    "rules-register-csv", "desk-client-statement", "desk-client-tax",
}  # fmt: skip
#: They answer forms (POST) and lead elsewhere.
FORMS = {
    "signout", "session-stop", "sessions-stop", "settings-lock", "settings-unlock", "freeze-own", "passkey-use", "passkey-register",
    "passkey-remove", "totp-remove", "recovery-codes", "export-new", "member-invite", "member", "uninvite", "sub-account",
    "openid_connect_login", "openid_connect_callback", "social-unlink", "kyc-decide", "kyc-hit", "kyc-proposal", "onboarding-appeal",
    "onboarding-submit", "trade-default", "desk", "desk-view-as", "desk-client-request", "desk-view-as-end", "desk-role-request",
    "desk-password-link",
    "desk-emergency", "desk-role-end", "confirm-send", "email-old", "email-new",
    "mobile-notices", "mobile-remove", "push-device-remove",
    "entity-submit", "entity-appeal", "withdrawal-cancel", "beneficiary-remove", "desk-withdrawal-act", "desk-request-act",
}  # fmt: skip
#: What is not ours to mend, by page and rule. Everything else of the administration and of the API documentation counts.
THIRD_PARTY = {
    # unfold's frame has no main landmark, so nothing of it lies in one; its scrolling boxes all have one name.
    "/admin/": {"landmark-one-main", "region", "landmark-unique"},
    # Swagger UI's own colours and markup, and the page of drf-spectacular around it.
    "/api/docs": {"color-contrast", "heading-order", "nested-interactive", "region", "html-has-lang"},
}

RUN = """async (rules) => {
  // Two frames, so that every part has the colours of the theme just set.
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const options = {resultTypes: ['violations']};
  if (rules) options.runOnly = {type: 'rule', values: rules};
  const result = await axe.run(document, options);
  return result.violations.map((row) => ({
    id: row.id, impact: row.impact, count: row.nodes.length,
    html: row.nodes[0].html.slice(0, 160), why: (row.nodes[0].failureSummary || '').slice(0, 220),
  }));
}"""


@dataclass
class Looked:
    """What was found, by theme and width."""

    findings: dict[tuple[str, int], list[str]] = field(default_factory=lambda: {look: [] for look in LOOKS})
    wide: dict[str, list[str]] = field(default_factory=dict)
    routes: set[str] = field(default_factory=set)
    elsewhere: list[str] = field(default_factory=list)
    seconds: float = 0.0
    pages: int = 0


def _client(site: Site) -> Trader:
    maker = site.trader(USD="1000000", ETH="100")
    trader = site.trader(USD="50000", ETH="2")
    site.order(maker, symbol="ETH-USD", side="sell", price="3001", qty="5")
    site.order(trader, symbol="ETH-USD", side="buy", price="3001", qty="0.25", time_in_force="ioc")
    site.order(trader, symbol="ETH-USD", side="sell", price="3333.33", qty="0.125", post_only=True)
    api_key_create(user=trader.user, name="my program", scopes=["read", "trade"], networks=["203.0.113.0/24"])
    fix_key_create(user=trader.user, account=None, name="desk", scopes=["read", "trade"], cancel_on_disconnect=True)
    mobile_ask(user=trader.user, number="+447700900123")
    push_device_add(user=trader.user, token="token-of-a-telephone", name="my telephone")
    family_begin(user=trader.user, name="laptop", agent="curl/8", address="203.0.113.7")
    site.platform.settle()
    return trader


def _cookie(user: Any, *, factor: bool) -> str:
    """A session of somebody who has just proved who they are."""
    client = browser(user, factor=factor)
    session = client.session
    session[PROOF] = {"at": time.time_ns() // 1_000_000_000, "method": "totp", "strong": factor}
    session.save()
    return client.cookies["sessionid"].value


def _pages(site: Site) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Who → (session cookie or nothing, [(route, path)])."""
    from backoffice.services.approvals import approval_request

    client = _client(site)
    user, number = client.user, client.account.number
    order = site.orders(client)[0]["order_id"]
    onboarding = site.platform.trader("olga", verified=False)
    # A kind of account with more than one role to give.
    TradingAccount.objects.filter(pk=client.account.pk).update(kind="entity")
    sent = invitation_send(user=user, number=number, email=onboarding.user.email, role="viewer")
    case = case_open(user=onboarding.user)
    KycCase.objects.filter(pk=case.pk).update(state="review", risk_score=72, risk_band="high", reason_code="high_risk")
    chief = staff(ADMINISTRATOR, superuser=True)
    asked = approval_request(
        maker=staff(ADMINISTRATOR), kind="role", subject=staff(FINANCE).email, payload={"role": "risk"}, reason=REASON
    )
    payer = payee(site.platform)
    payout = payer.held("250")
    destination(payer.trader.user, payer.number, OTHER_IBAN, old=False)
    # Claimed by whoever looks, so that every form of the page is there.
    wanted = FallbackRequest.objects.create(
        account=client.account, requested_by=user, key="k", uid="0" * 26, kind="cancel", order_id=order_number(order), core_instrument=1,
        side=2, qty=125, state="claimed", claimed_by=chief, claimed_at=utc_now(), created_at=utc_now(),
    )  # fmt: skip
    recover, confirm, freeze = (
        mail_token_make(user=user, purpose=one) for one in ("recover", "confirm_email", "freeze")
    )
    Recorder().run_once()
    entry = AuditEntry.objects.latest("seq").seq
    day = utc_now().date()
    visitor = [
        ("home", "/"), ("markets", "/markets"), ("trade", "/trade/ETH-USD"), ("candles", "/trade/ETH-USD/candles?frame=1m"),
        ("signin", "/signin"), ("signup", "/signup"), ("signed-up", "/signup/done"), ("about", "/about"), ("status", "/status"),
        ("confirm", f"/confirm/{confirm}"), ("recover", "/recover"), ("recover-set", f"/recover/{recover}"),
        ("freeze", f"/freeze/{freeze}"), ("proof", "/proof"), ("demo-mail", "/demo/mail"), ("developers", "/developers"),
        ("api-docs", "/api/docs"), ("404", "/no-such-page"), ("embed-markets", "/embed/beta/markets"),
        ("embed-portfolio", "/embed/beta/portfolio?origin=https://beta.example"),
    ]  # fmt: skip
    own = [
        ("home", "/"), ("trade", "/trade/ETH-USD"), ("orders", "/orders"), ("orders", "/orders?view=all"), ("orders", "/orders?view=fills"),
        ("order", f"/orders/{order}"), ("portfolio", "/portfolio"), ("ledger", "/account/ledger"), ("profile", "/profile"),
        ("personal", "/profile/personal"), ("export", "/profile/export"), ("close", "/profile/close"), ("profile-api", "/profile/api"),
        ("profile-api-keys", "/profile/api-keys"), ("profile-fix-keys", "/profile/fix-keys"),
        ("security", "/security"), ("password", "/security/password"),
        ("email", "/security/email"), ("login-history", "/security/history"),
        ("mobile", "/security/mobile"), ("mobile-confirm", "/security/mobile/code"),
        ("totp", "/security/authenticator"), ("withdrawals", "/account/withdrawals"),
        ("statements", "/account/statements"), ("reports", "/account/reports"),
        ("passkey-add", "/security/passkeys/add"), ("account-new", "/accounts/new"), ("members", f"/accounts/{number}/members"),
        ("onboarding", "/onboarding"), ("developers", "/developers"),
        ("limits", "/account/limits"), ("entity", f"/onboarding/entity/{number}"), ("entity-step", f"/onboarding/entity/{number}/steps/company"),
        ("entity-step", f"/onboarding/entity/{number}/steps/owners"),
    ]  # fmt: skip
    onboards = [
        ("onboarding", "/onboarding"),
        ("invitation", f"/invitations/{invitation_secret_make(invitation=sent)}"),
        *(("onboarding-step", f"/onboarding/steps/{step.name}") for step in STEPS if step.kind != "account"),
    ]
    office = [
        ("desk-clients", "/desk/clients"), ("desk-clients", "/desk/clients?q=nobody-at-all"), ("desk-client", f"/desk/clients/{number}"),
        ("desk-client", f"/desk/clients/{number}?view=orders"), ("desk-approvals", "/desk/approvals"),
        ("desk-approvals", "/desk/approvals?status=refused"), ("desk-client", f"/desk/clients/{number}?view=fills"),
        ("desk-approval", f"/desk/approvals/{asked.pk}"), ("desk-access", "/desk/access"), ("kyc-queue", "/compliance/kyc"),
        ("kyc-case", f"/compliance/kyc/{case.pk}"), ("step-up", "/step-up?next=/security"),
        ("audit-search", "/compliance/audit"), ("audit-entry", f"/compliance/audit/{entry}"),
        ("authority-reports", "/compliance/reports"),
        *(("authority-reports", f"/compliance/reports?report={one}&first={day}&last={day}&references=") for one in ("rts22", "cat")),
        ("rules-register", "/compliance/register"), ("rules-register", "/compliance/register?jurisdiction=JP&state=in_force"),
    ]  # fmt: skip
    money = [
        ("withdrawals", "/account/withdrawals"),
        ("withdraw", "/account/withdraw"),
        ("beneficiary-add", "/account/destinations/new"),
    ]
    office += [
        ("desk-funding", "/desk/funding"), ("desk-funding", "/desk/funding?queue=paid"), ("desk-withdrawal", f"/desk/funding/{payout.pk}"),
        ("desk-requests", "/desk/requests"), ("desk-requests", "/desk/requests?queue=over"), ("desk-request", f"/desk/requests/{wanted.pk}"),
    ]  # fmt: skip
    admin = [("admin:index", "/admin/")] + [
        ("admin:" + (row.name or ""), f"/{path}")
        for path, row in url_routes(get_resolver().url_patterns)
        if path.startswith("admin/") and (row.name or "").endswith("_changelist")
    ]
    admin += [
        ("admin:change", f"/admin/accounts/user/{user.pk}/change/"), ("admin:change", "/admin/marketdata/instrument/1/change/"),
        ("admin:add", "/admin/backoffice/desk/add/"),
    ]  # fmt: skip
    return {
        # First: a proof for money is good for two minutes.
        "payer": (_cookie(payer.trader.user, factor=True), money),
        "visitor": ("", visitor),
        "client": (_cookie(user, factor=False), own),
        "onboarding": (_cookie(onboarding.user, factor=False), onboards),
        "office": (_cookie(chief, factor=True), office + admin),
    }


def _kept(path: str, rule: str) -> bool:
    return not any(path.startswith(place) and rule in rules for place, rules in THIRD_PARTY.items())


#: Colours of a new scheme come with the next frames, even where transitions last no time.
SETTLED = """async () => {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)));
  await Promise.all(document.getAnimations().map((one) => one.finished.catch(() => null)).slice(0, 200).map((one) =>
    Promise.race([one, new Promise((done) => setTimeout(done, 500))])));
}"""


def _look(tab: Any, who: str, path: str, found: Looked) -> None:
    for size in (DESK, PHONE):
        tab.set_viewport_size(size)
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            tab.evaluate(SETTLED)
            whole = scheme == "light" and (size is DESK or not path.startswith("/admin/"))
            rows = tab.evaluate(RUN, None if whole else ["color-contrast"])
            found.findings[(scheme, size["width"])] += [
                f"{who} {path} {row['id']} ({row['impact']}, {row['count']}): {row['html']} {row['why']}"
                for row in rows
                if _kept(path, row["id"])
            ]
            where = os.environ.get("SHOTS")
            if where and (scheme == "light" or os.environ.get("SHOTS_DARK")):
                name = f"{who}{path.split('?')[0].replace('/', '-')[:48]}-{size['width']}-{scheme}.png"
                tab.screenshot(path=f"{where}/{name}", full_page=True)
    found.wide[f"{who} {path}"] = too_wide(tab)
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size(DESK)


def _serve_demo_mail(tab: Any, path: str) -> None:
    """The demo's mailbox is there only in a demo: its view answers here as in one, the browser gets that page with the site's styles."""
    made = replace(get_config(), demo=True)
    with (
        TemporaryDirectory() as folder,
        override_settings(EMAIL_BACKEND=demo_mail.FILE_BACKEND, EMAIL_FILE_PATH=folder),
    ):
        send_mail(
            "Confirm your address", "Open https://portal.example/confirm/abc to confirm.", None, ["ann@example.test"]
        )
        with patch.object(demo_mail, "get_config", lambda: made):
            page = Client().get(path)
    assert b"Confirm your address" in page.content
    headers = {"Content-Security-Policy": page["Content-Security-Policy"]}
    body, status = page.content, page.status_code
    tab.route(
        f"**{path}", lambda route: route.fulfill(status=status, body=body, content_type="text/html", headers=headers)
    )


@pytest.fixture(scope="module")
def looked(chromium: Any, site: Site) -> Looked:
    """Every page opened once and looked at four times."""
    found, source = Looked(), AXE.read_text()
    people = _pages(site)
    begun = time.monotonic()
    for who, (cookie, pages) in people.items():
        # Motion would be measured half way; the house's pages have none then.
        context = chromium.new_context(base_url=site.url, viewport=DESK, reduced_motion="reduce")
        context.set_default_timeout(WAIT_MS)
        if cookie:
            context.add_cookies([{"name": "sessionid", "value": cookie, "url": site.url}])
        tab = context.new_page()
        for route, path in pages:
            if route == "demo-mail":
                _serve_demo_mail(tab, path)
            answer = tab.goto(path, wait_until="load")
            if answer.status != (404 if route == "404" else 200):
                found.elsewhere.append(f"{who}: {path} answered {answer.status}")
                continue
            if route == "api-docs":
                tab.wait_for_selector(".opblock")
            elif route == "developers":
                tab.wait_for_selector("#op-list [data-op]")
            came = tab.evaluate("location.pathname + location.search")
            if came.split("?")[0] != path.split("?")[0]:
                found.elsewhere.append(f"{who}: {path} led to {came}")
                continue
            # Through the debugging interface, because the page's own policy rightly refuses foreign scripts.
            tab.evaluate(source)
            tab.evaluate("document.querySelectorAll('main details').forEach((part) => { part.open = true; })")
            _look(tab, who, path, found)
            found.routes.add(route)
            found.pages += 1
        context.close()
    found.seconds = time.monotonic() - begun
    print(f"axe: {found.pages} pages in {found.seconds:.0f} s")
    return found


def test_every_page_is_looked_at(looked: Looked) -> None:
    assert looked.elsewhere == []
    routes = {
        ("admin:" if path.startswith("admin/") else "") + (row.name or path)
        for path, row in url_routes(get_resolver().url_patterns)
        if not path.startswith("api/v1/")
    }
    admin = {name for name in routes if name.startswith("admin:") and not name.endswith(("_changelist", ":index"))}
    missing = routes - admin - looked.routes - NOT_PAGES - FORMS
    # A second factor that is asked for at sign-in needs a sign-in that waits for it: tests/browser/test_identity.py looks at it.
    assert missing == {"second-step"}
    assert not (NOT_PAGES | FORMS) & looked.routes


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_axe_finds_nothing(looked: Looked, scheme: str, width: int) -> None:
    assert looked.findings[(scheme, width)] == [], "\n".join(looked.findings[(scheme, width)])


def test_no_page_is_wider_than_a_phone(looked: Looked) -> None:
    assert {path: over for path, over in looked.wide.items() if over} == {}
