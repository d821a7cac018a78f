"""A client who lost every second factor: support says how they proved who they are, compliance decides, everything else ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from accounts.models import ApiKey, Passkey, RecoveryCode, TokenFamily, TotpDevice, TradingAccount, User, UserSession
from accounts.roles import ADMINISTRATOR, COMPLIANCE, DEALER, FINANCE, SENIOR_DEALER, SUPPORT
from accounts.selectors.security import payouts_frozen_until
from accounts.services.second_factor import RESET_FREEZE, totp_begin
from accounts.services.security import credentials_changed, settings_lock
from accounts.services.sessions import session_begin
from accounts.services.token_families import family_begin
from backoffice.models import Approval
from backoffice.services.approvals import approval_decide, approval_request
from backoffice.tests.factories import REASON, browser, client_account, staff
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform.models import AuditPending

pytestmark = pytest.mark.django_db(transaction=True)
PROOF = {"proof": "video", "evidence": "recording 2026-11-0815"}


@pytest.fixture
def account() -> TradingAccount:
    """A client with an authenticator, a passkey, recovery codes, a session and a program."""
    made = client_account()
    user = made.owner
    assert user is not None
    device = totp_begin(user=user)
    TotpDevice.objects.filter(pk=device.pk).update(confirmed=True)
    Passkey.objects.create(
        user=user, name="Phone", credential_id=b"1", public_key=b"2", rp_id="x", created_at=utc_now()
    )
    RecoveryCode.objects.create(user=user, digest=b"3" * 32, created_at=utc_now())
    session_begin(user=user, method="password", ip="127.0.0.1", user_agent="x")
    family_begin(user=user)
    return made


def ask(account: TradingAccount, maker: User | None = None, **changes: str) -> Approval:
    return approval_request(
        maker=maker or staff(SUPPORT),
        kind="factor_reset",
        subject=account.number,
        payload=PROOF | changes,
        reason=REASON,
    )


def decide(approval: Approval, checker: User, approve: bool = True) -> Approval:
    return approval_decide(approval_id=approval.pk, checker=checker, approve=approve, reason=REASON)


def code_of(act: Any, *args: Any, **more: Any) -> int:
    with pytest.raises(RejectedError) as refused:
        act(*args, **more)
    return refused.value.code


def factors(user: Any) -> int:
    return sum(model.objects.filter(user=user).count() for model in (TotpDevice, Passkey, RecoveryCode))


def test_two_people_remove_what_was_lost_and_everything_else_ends(account: TradingAccount) -> None:
    user = account.owner
    approval = ask(account)
    assert approval.before == {"authenticator": "set up", "passkeys": "1", "recovery codes": "1"}
    assert "somebody told our staff" in mail.outbox[-1].body, "the client can stop it before it is decided"
    assert "/freeze/" in mail.outbox[-1].body
    assert factors(user) == 3, "asking alone removes nothing"
    done = decide(approval, staff(COMPLIANCE))
    assert "removed" in done.result
    assert factors(user) == 0
    assert not UserSession.objects.filter(user=user, ended_at=None).exists()
    assert not TokenFamily.objects.filter(user=user, revoked_at=None).exists()
    until = payouts_frozen_until(user.pk)  # type: ignore[union-attr]
    assert until is not None
    assert until > utc_now() + RESET_FREEZE - timedelta(minutes=1)
    assert "removed your second factors" in mail.outbox[-1].body
    row = AuditPending.objects.get(action="factor.reset")
    assert row.object_id == str(user.pk)  # type: ignore[union-attr]
    asked = AuditPending.objects.get(action="approval.requested")
    assert asked.after is not None
    assert asked.after["evidence"] == PROOF["evidence"]
    assert not ApiKey.objects.exists()


def test_a_new_factor_does_not_cut_the_freeze_of_payouts_short(account: TradingAccount) -> None:
    decide(ask(account), staff(COMPLIANCE))
    user = User.objects.get(pk=account.owner_id)
    before = user.payouts_frozen_until
    credentials_changed(user=user, what="a factor was set up", action="factor.totp_added")
    assert user.payouts_frozen_until == before
    assert User.objects.get(pk=user.pk).payouts_frozen_until == before


def test_locked_settings_do_not_stand_in_the_way(account: TradingAccount) -> None:
    settings_lock(user=account.owner)  # type: ignore[arg-type]
    decide(ask(account), staff(COMPLIANCE))
    assert factors(account.owner) == 0


@pytest.mark.parametrize("role", [DEALER, SENIOR_DEALER, FINANCE, ADMINISTRATOR, COMPLIANCE])
def test_only_support_asks(account: TradingAccount, role: str) -> None:
    assert code_of(ask, account, staff(role)) == 2012


@pytest.mark.parametrize("role", [SUPPORT, DEALER, SENIOR_DEALER, FINANCE, ADMINISTRATOR])
def test_only_compliance_decides(account: TradingAccount, role: str) -> None:
    approval = ask(account)
    assert code_of(decide, approval, staff(role)) == 2012
    assert factors(account.owner) == 3


def test_who_asked_does_not_decide(account: TradingAccount) -> None:
    both = staff(SUPPORT, COMPLIANCE)
    assert code_of(decide, ask(account, both), both) == 7050


def test_a_refused_request_removes_nothing(account: TradingAccount) -> None:
    assert decide(ask(account), staff(COMPLIANCE), approve=False).status == "refused"
    assert factors(account.owner) == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"proof": "telephone"}, 1001), ({"evidence": "none"}, 7053), ({"evidence": ""}, 1016), ({"more": "x"}, 1010)],
)
def test_without_proof_there_is_nothing_to_decide(account: TradingAccount, changes: dict[str, str], code: int) -> None:
    assert code_of(ask, account, **changes) == code
    assert not Approval.objects.exists()


def test_a_client_without_factors_has_lost_none(account: TradingAccount) -> None:
    other = client_account()
    assert code_of(ask, other) == 2038
    first = ask(account)
    second = ask(account, evidence="another recording")
    decide(first, staff(COMPLIANCE))
    assert code_of(decide, second, staff(COMPLIANCE)) == 2038


def test_support_asks_on_the_clients_page(account: TradingAccount) -> None:
    desk = browser(staff(SUPPORT))
    page = desk.get(f"/desk/clients/{account.number}").content.decode()
    assert "Second factor lost" in page
    assert (
        "Second factor lost"
        not in browser(staff(DEALER, SUPPORT)).get(f"/desk/clients/{client_account().number}").content.decode()
    ), "nothing to remove there"
    form = {"factor_reset-proof": "video", "factor_reset-evidence": "short", "factor_reset-reason": REASON}
    path = f"/desk/clients/{account.number}/requests/factor_reset"
    assert desk.post(path, form).status_code == 400
    answer = desk.post(path, form | {"factor_reset-evidence": PROOF["evidence"]})
    assert answer.status_code == 302
    assert answer["Location"] == f"/desk/approvals/{Approval.objects.get().pk}"
    colleague = browser(staff(COMPLIANCE))
    shown = colleague.get(answer["Location"]).content.decode()
    assert "Second factor lost" in shown
    assert "recording 2026-11-0815" in shown
    assert colleague.post(answer["Location"], {"act": "approve", "reason": REASON}).status_code == 302
    assert factors(account.owner) == 0
