"""REST: tokens that sign a reader in inside a partner's page (``brokerage/platform/embed.py``)."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import schemas
from accounts.selectors.access import account_for_user
from accounts.selectors.credentials import credential_of
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.api import ApiView
from brokerage.platform.api_schema import documented
from brokerage.platform.audit import actor_of, record
from brokerage.platform.embed import EMBED_TOKEN_S, EmbedGrant, embed_token_issue, partner_origins


class EmbedTokensView(ApiView):
    """Tokens for frames."""

    @documented(
        answer=schemas.EmbedToken, body=schemas.EmbedTokenBody, status=201, problems=(404,), tag="auth", operation="embed_token",
        summary="Token for a frame in a partner's page",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """A token for one use within a minute, to show one account, read only, inside one origin of one partner."""
        body = self.body(schemas.EmbedTokenBody)
        partner, origin = body["partner"], body["origin"]
        origins = partner_origins(partner)
        if origins is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such partner.", field="partner")
        if origin not in origins:
            raise RejectedError(RejectCode.NOT_FOUND, "This origin is not on the partner's list.", field="origin")
        ref = account_for_user(request.user.pk, body.get("account"))
        grant = EmbedGrant(str(request.user.pk), ref.number, partner, origin, credential_of(request))
        record(
            "embed_token.issued",
            object_type="account",
            object_id=ref.number,
            actor=actor_of(request.user),
            subject=request.user.pk,
            after={"partner": partner, "origin": origin},
        )
        where = f"{reverse('embed-portfolio', args=[partner])}?{urlencode({'origin': origin})}"
        answer = {
            "token": embed_token_issue(grant),
            "expires_in": EMBED_TOKEN_S,
            "partner": partner,
            "origin": origin,
            "account": ref.number,
            "frame": request.build_absolute_uri(where),
        }
        return Response(answer, status=201)
