"""Signing a reader in inside a partner's page, without cookies: a token for one use, and what it is exchanged for.

    partner's server ── POST /api/v1/embed-tokens ──> token (EMBED_TOKEN_S, one use, for one partner and one origin)
    partner's page ──postMessage──> our frame ── token + the frame's own mark ──> pass (EMBED_PASS_S, in the frame's memory)
    frame ── Authorization: Bearer pass ──> read-only data of one account

A browser keeps third-party cookies from a frame, and a cookie would be sent by whoever frames the page; a pass in memory is neither lost nor
stolen like that. The mark is in the page we served with ``frame-ancestors`` of exactly one origin, so the browser itself vouches for who is
around it. Owns the three signed texts. Leaves who may ask and what is shown to ``accounts`` and ``trading``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import redis
from django.core import signing

from brokerage.config import get_config
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem
from brokerage.platform.valkey import get_valkey

EMBED_TOKEN_S = 60
EMBED_PASS_S = 600
EMBED_MARK_S = 3600
_TOKEN, _PASS, _MARK = "embed-token", "embed-pass", "embed-mark"


@dataclass(frozen=True, slots=True)
class EmbedGrant:
    """Whose account is shown to whom: partner, the origin around the frame, and what the token was asked with."""

    user_id: str
    account: str
    partner: str
    origin: str
    credential: str


def partner_origins(partner: str) -> tuple[str, ...] | None:
    """The origins that may show a partner's frames; None for a partner there is not."""
    return dict(get_config().embed_partners).get(partner)


def embed_token_issue(grant: EmbedGrant) -> str:
    """A signed text, good once within EMBED_TOKEN_S."""
    return signing.dumps([*_fields(grant), secrets.token_urlsafe(12)], salt=_TOKEN)


def embed_mark(partner: str, origin: str) -> str:
    """What a frame's page carries: for whom and inside whom it was served."""
    return signing.dumps([partner, origin], salt=_MARK)


def embed_token_use(token: str, mark: str) -> EmbedGrant:
    """Use a token up in the frame that has this mark; ApiProblem 2010 when it is forged, old, used or for another frame."""
    partner, origin = _read(mark, _MARK, EMBED_MARK_S, 2)
    *fields, nonce = _read(token, _TOKEN, EMBED_TOKEN_S, 6)
    grant = EmbedGrant(*fields)
    if (grant.partner, grant.origin) != (partner, origin) or origin not in (partner_origins(partner) or ()):
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The token is for another frame.")
    try:
        fresh = get_valkey().set(f"embed:{nonce}", "1", nx=True, ex=EMBED_TOKEN_S * 2)
    except redis.RedisError as error:
        raise ApiProblem(RejectCode.OVERLOADED, "Tokens cannot be checked at the moment.") from error
    if not fresh:
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The token was used before.")
    return grant


def embed_pass_issue(grant: EmbedGrant) -> str:
    """What the frame reads with, EMBED_PASS_S long."""
    return signing.dumps(_fields(grant), salt=_PASS)


def embed_pass_read(text: str, partner: str) -> EmbedGrant:
    """The grant of a pass shown at a partner's address; ApiProblem 2010 or 2011 when it is no good or has run out."""
    grant = EmbedGrant(*_read(text, _PASS, EMBED_PASS_S, 5))
    # The origin may have been taken off the partner's list since.
    if grant.partner != partner or grant.origin not in (partner_origins(partner) or ()):
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The pass is for another partner.")
    return grant


def _fields(grant: EmbedGrant) -> list[str]:
    return [grant.user_id, grant.account, grant.partner, grant.origin, grant.credential]


def _read(text: str, salt: str, age_s: int, count: int) -> list[str]:
    try:
        said: Any = signing.loads(text, salt=salt, max_age=age_s)
    except signing.SignatureExpired as error:
        raise ApiProblem(RejectCode.TOKEN_EXPIRED) from error
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The token is not valid.") from error
    if not isinstance(said, list) or len(said) != count or not all(isinstance(part, str) for part in said):
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, "The token is not valid.")
    return said
