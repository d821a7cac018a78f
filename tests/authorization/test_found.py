"""What the matrix found when it first ran: each hole by itself, closed."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import TotpDevice, TradingAccount
from accounts.roles import ADMINISTRATOR, COMPLIANCE, DEALER, SUPPORT
from accounts.services.token_families import family_begin
from backoffice.models import Approval
from backoffice.services.approvals import approval_request
from backoffice.tests.factories import REASON, browser, client_account, staff
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK

pytestmark = pytest.mark.django_db


def looking() -> tuple[Client, TradingAccount]:
    """Support, looking as the owner of an account."""
    client, account = browser(staff(SUPPORT)), client_account()
    form = {"view_as-minutes": "10", "view_as-reason": REASON}
    assert client.post(f"/desk/clients/{account.number}/view-as", form).status_code == 302
    return client, account


def test_signing_out_while_looking_ends_ones_own_session() -> None:
    client, _ = looking()
    client.get("/portfolio")
    assert client.post("/signout").status_code == 302
    assert client.get("/desk/clients").status_code == 302
    assert "_auth_user_id" not in client.session


def test_looking_gives_no_page_that_asks_for_a_proof() -> None:
    """The proof in the session is that of who looks: personal data, the export and factors of the client stay closed."""
    client, account = looking()
    session = client.session
    session["proved"] = {"at": SYSTEM_CLOCK.now_ns() // NS_PER_S, "method": "totp", "strong": True}
    session.save()
    for path in ("/profile/personal", "/security/authenticator", "/security/email", "/profile/close", "/accounts/new"):
        assert client.get(path).status_code == 403, path
    assert not TotpDevice.objects.filter(user=account.owner).exists()


def test_the_engines_page_is_for_those_who_may_see_it() -> None:
    assert browser(staff(SUPPORT)).get("/admin/trading/projectionstate/engine/").status_code == 403
    assert browser(staff(ADMINISTRATOR)).get("/admin/trading/projectionstate/engine/").status_code == 200


def test_passwords_are_not_changed_in_the_admin() -> None:
    user = staff(ADMINISTRATOR)
    form = {
        "old_password": "Correct-Horse-2026",
        "new_password1": "Other-Horse-2027",
        "new_password2": "Other-Horse-2027",
    }
    client = browser(user)
    assert client.post("/admin/password_change/", form).status_code == 405
    assert client.get("/admin/password_change/")["Location"] == "/security/password"
    user.refresh_from_db()
    assert user.check_password("Correct-Horse-2026")


def test_the_audit_trail_over_rest_needs_a_second_factor_too() -> None:
    officer = staff(COMPLIANCE)
    bearer = {"Authorization": f"Bearer {family_begin(user=officer)['access']}"}
    assert browser(officer, factor=False).get("/api/v1/audit/entries").json()["code"] == 2091
    answer = Client().get("/api/v1/audit/entries", headers=bearer)
    assert (answer.status_code, answer.json()["code"]) == (403, 2091)
    browser(officer)
    assert Client().get("/api/v1/audit/entries", headers=bearer).status_code == 200


def test_a_decision_about_a_request_one_may_not_see_is_about_nothing() -> None:
    account = client_account()
    row = approval_request(
        maker=staff("senior dealer"),
        kind="account_state",
        subject=account.number,
        payload={"state": "halted"},
        reason=REASON,
    )
    dealer = browser(staff(DEALER))
    for number in (row.pk, "0" * 26):
        answer = dealer.post(
            f"/api/v1/desk/approvals/{number}/decision",
            {"approve": True, "reason": REASON},
            content_type="application/json",
        )
        assert (answer.status_code, answer.json()["code"]) == (404, 2014)
    assert Approval.objects.get().status == "pending"


def test_asking_for_what_ones_role_may_not_ask_is_forbidden_not_a_mistake_of_the_form() -> None:
    account = client_account()
    form = {"account_state-state": "halted", "account_state-reason": REASON}
    answer = browser(staff(SUPPORT)).post(f"/desk/clients/{account.number}/requests/account_state", form)
    assert answer.status_code == 403
