"""A client's portfolio inside a partner's page: read only, no session, no cookie; the reader is known by a pass the frame holds in memory."""

from __future__ import annotations

from uuid import UUID

import msgspec
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST, require_safe

from accounts.selectors.access import AccountRef, account_for_user
from accounts.selectors.credentials import credential_state
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.auth import user_for_token
from brokerage.platform.embed import (
    EMBED_PASS_S,
    EmbedGrant,
    embed_mark,
    embed_pass_issue,
    embed_pass_read,
    embed_token_use,
)
from brokerage.platform.problems import ApiProblem, problem_response
from brokerage.platform.throttling import client_address, throttle_demand
from brokerage.platform.web import embeddable
from trading.selectors.portfolio import balance_list_for, position_list_for
from trading.selectors.shapes import balance_json, position_json

BODY_MAX = 4096


class _Exchange(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    mark: str


_decode = msgspec.json.Decoder(_Exchange).decode


@require_safe
@never_cache
@embeddable
def portfolio(request: HttpRequest, *, partner: str) -> HttpResponse:
    """The frame for one origin of the partner (``?origin=``); it knows nobody until it is given a token."""
    origin = request.GET.get("origin", "")
    if not origin:
        raise Http404
    context = {"partner": partner, "origin": origin, "mark": embed_mark(partner, origin)}
    return render(None, "trading/embed.html", context)  # type: ignore[arg-type]


def _account(grant: EmbedGrant) -> AccountRef:
    """The account, while user, credential and membership still stand."""
    if user_for_token(grant.user_id) is None or credential_state(grant.credential) is None:
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "What this was asked with has ended.")
    return account_for_user(UUID(grant.user_id), grant.account)


# No cookie is looked at here, so there is nothing another site could use: the token in the body is what counts.
@csrf_exempt
@require_POST
@never_cache
def session(request: HttpRequest, *, partner: str) -> HttpResponse:
    """Exchange a token for a pass."""
    try:
        throttle_demand("anonymous", client_address(request))
        if len(request.body) > BODY_MAX:
            raise ApiProblem(RejectCode.PAYLOAD_TOO_LARGE, needed=str(BODY_MAX))
        try:
            body = _decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ApiProblem(RejectCode.MALFORMED_JSON) from error
        grant = embed_token_use(body.token, body.mark)
        if grant.partner != partner:
            raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The token is for another partner.")
        _account(grant)
    except RejectedError as error:
        return problem_response(error)
    return JsonResponse({"pass": embed_pass_issue(grant), "expires_in": EMBED_PASS_S, "account": grant.account})


@require_GET
@never_cache
def data(request: HttpRequest, *, partner: str) -> HttpResponse:
    """Balances and positions for a pass."""
    try:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiProblem(RejectCode.NOT_AUTHENTICATED)
        grant = embed_pass_read(text, partner)
        throttle_demand("read", f"embed:{grant.user_id}")
        account = _account(grant)
    except RejectedError as error:
        return problem_response(error)
    core = account.core_account
    return JsonResponse(
        {
            "account": account.number,
            "balances": [balance_json(row) for row in balance_list_for(core)],
            "positions": [
                position_json(view.row, view.instrument, mark=view.mark, margin_held=view.margin_held)
                for view in position_list_for(core)
            ],
        }
    )
