"""Access and refresh tokens: what they say, how they are signed, when they are believed.

One algorithm (EdDSA), one issuer, one audience, a type in every token; a header that asks for anything else is refused before any key is
looked at. A signature and what never changes are remembered per process; times, key and family are asked at each use. A family is one
sign-in: who ends it (sign-out, reuse of a refresh token) ends its access tokens in every process within FAMILY_AGE_NS.
Owns the two kinds of token and the memory of families. Leaves rows of families to ``accounts``, which registers how to ask.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from django.utils.crypto import salted_hmac

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.jwt_keys import jwt_keys
from brokerage.platform.problems import ApiProblem
from brokerage.platform.remembered import Remembered

ALGORITHM = "EdDSA"
ISSUER = "brokerage"
AUDIENCE = "brokerage-api"
ACCESS_S = 600
REFRESH_S = 14 * 24 * 3600
#: Clocks of two web hosts may differ by this much.
SKEW_S = 5
TOKEN_MAX = 4096
#: A family that was ended is out of every process after this long.
FAMILY_AGE_NS = 3 * NS_PER_S
_TEXT_CLAIMS = ("sub", "fam", "jti", "pwd")
_TIME_CLAIMS = ("iat", "nbf", "exp")

_families: Remembered[str, bool] = Remembered(FAMILY_AGE_NS)
_family_alive: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token with a good signature says."""

    key: str
    user: str
    family: str
    jti: str
    password: str
    begins_s: int
    ends_s: int


def family_lookup_register(lookup: Callable[[str], bool]) -> None:
    """Say how to ask whether a family lives: the app above that keeps them does this once at start."""
    global _family_alive
    _family_alive = lookup


def password_mark(user: Any) -> str:
    """A short mark that changes with the user's password; kept on the remembered user."""
    known: tuple[str, str] | None = getattr(user, "_password_mark", None)
    if known is None or known[0] != user.password:
        mark = salted_hmac("token-password", user.password, algorithm="sha256").hexdigest()[:16]
        known = user._password_mark = (user.password, mark)
    return known[1]


def token_make(user: Any, *, kind: str, family: str, lifetime_s: int, jti: str = "") -> str:
    """Sign a token of that kind (access, refresh) for a user's family."""
    keys, now_s = jwt_keys(), SYSTEM_CLOCK.now_ns() // NS_PER_S
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user.pk),
        "typ": kind,
        "fam": family,
        "jti": jti or secrets.token_urlsafe(12),
        "pwd": password_mark(user),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + lifetime_s,
    }
    return jwt.encode(claims, keys.signing, algorithm=ALGORITHM, headers={"kid": keys.current})


@lru_cache(maxsize=20_000)
def _claims(token: str, kind: str) -> Claims:
    """The claims of a token with a good signature and form. Remembered: these stay good; the rest is asked each time."""
    bad = ApiProblem(RejectCode.NOT_AUTHENTICATED, f"The {kind} token is not valid.")
    if len(token) > TOKEN_MAX:
        raise bad
    try:
        header = jwt.get_unverified_header(token)
        # Only what we write ourselves: no key named by address, no embedded key, no extension.
        if set(header) != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM or header["typ"] != "JWT":
            raise bad
        key = jwt_keys().verifying.get(header["kid"])
        if key is None:
            raise bad
        # Times are checked by the caller at each use, against the house's clock.
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        said = jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=options)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise bad from error
    if (
        said.get("aud") != AUDIENCE
        or said.get("typ") != kind
        or not all(isinstance(said.get(name), str) and 0 < len(said[name]) <= 64 for name in _TEXT_CLAIMS)
        or not all(type(said.get(name)) is int and 0 < said[name] < 2**40 for name in _TIME_CLAIMS)
    ):
        raise bad
    return Claims(
        header["kid"], said["sub"], said["fam"], said["jti"], said["pwd"], max(said["nbf"], said["iat"]), said["exp"]
    )


def token_check(token: str, kind: str) -> Claims:
    """The claims of a token that is good now; ApiProblem 2011 when it has run out, 2010 for any other reason."""
    said = _claims(token, kind)
    now_s = SYSTEM_CLOCK.now_ns() // NS_PER_S
    if now_s >= said.ends_s:
        raise ApiProblem(RejectCode.TOKEN_EXPIRED)
    if now_s + SKEW_S < said.begins_s or said.key not in jwt_keys().verifying:
        raise ApiProblem(RejectCode.NOT_AUTHENTICATED, f"The {kind} token is not valid.")
    return said


def family_alive(family: str, user: str) -> bool:
    """False once the sign-in of a user that is behind a token was ended; remembered for three seconds."""
    ask = _family_alive
    return _families.get(family, lambda: ask is not None and ask(family), owner=lambda _: user)


def families_forget(user: str | None = None) -> None:
    """Drop the remembered families of a user, or all: after ending one in this process, and between tests."""
    if user is None:
        _families.forget()
    else:
        _families.forget_owner(user)
