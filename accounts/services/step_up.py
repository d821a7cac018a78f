"""Step-up: risky acts need a fresh proof of who is there. Usable by every app, for pages and for the API.

    step_up_required(request, "withdrawal")        in an API view: ApiProblem 2034 or 2035
    user(step_up="security")                       in a page's row of the policy table: sends the browser to /step-up and back

A browser's proof is kept in its session: the second factor, or the password for a user without one. A program sends a code of the authenticator
in ``X-Second-Factor`` with the request itself.
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django_otp import login as otp_login

from accounts.selectors.factors import factor_device, second_factor_enrolled
from accounts.services.devices import device_place
from accounts.services.second_factor import CODE_MAX, code_verify
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem

#: How old a proof may be, in seconds, by kind of act.
FRESH_S = {"security": 600, "api_key": 300, "beneficiary": 300, "withdrawal": 120}
#: For these a password is no proof: who has no second factor sets one up first.
STRONG = frozenset({"beneficiary", "withdrawal"})
PROOF = "proved"
HEADER = "X-Second-Factor"


def proof_set(request: Any, *, method: str, strong: bool) -> None:
    """Note in the session that the user has just proved who they are; ``strong`` with a second factor, which verifies the session."""
    request.session[PROOF] = {"at": SYSTEM_CLOCK.now_ns() // NS_PER_S, "method": method, "strong": strong}
    device = factor_device(request.user.pk) if strong else None
    if device is not None:
        otp_login(request, device)


def step_up_required(request: Any, action: str) -> None:
    """Refuse (2034) an act without a fresh proof; 2035 without a second factor for a program, and for anybody where money goes out."""
    fresh_s = FRESH_S[action]
    user = request.user
    if getattr(request, "auth", None):
        code = request.headers.get(HEADER, "")
        if not second_factor_enrolled(user.pk):
            raise ApiProblem(RejectCode.SECOND_FACTOR_NEEDED)
        if not code:
            raise ApiProblem(RejectCode.STEP_UP_NEEDED, needed="0", next_step=f"Send a code in the header {HEADER}.")
        code_verify(user=user, code=code[:CODE_MAX], place=device_place(request, user.email))
        return
    if getattr(request, "view_as", None) is not None:
        # The proof in this session is that of the member of staff who looks, not the client's.
        raise RejectedError(RejectCode.VIEW_AS_READ_ONLY)
    if action in STRONG and not second_factor_enrolled(user.pk):
        raise ApiProblem(RejectCode.SECOND_FACTOR_NEEDED)
    proof = request.session.get(PROOF) or {}
    age = SYSTEM_CLOCK.now_ns() // NS_PER_S - int(proof.get("at", 0))
    if 0 <= age <= fresh_s and (proof.get("strong") or not second_factor_enrolled(user.pk)):
        return
    raise ApiProblem(RejectCode.STEP_UP_NEEDED, needed=str(fresh_s), extra={"step_up_url": reverse("step-up")})
