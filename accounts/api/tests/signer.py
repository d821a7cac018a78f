"""A client that signs requests, for tests; each part of a request can be spoilt."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from accounts.models import ApiKey, User
from accounts.services.api_keys import api_key_create
from brokerage.kernel.clock import SYSTEM_CLOCK
from brokerage.platform.signing import canonical_string, signature_of

PASSWORD = "Correct-Horse-2026"


class Signer:
    """Signs as a client would; each part can be spoilt."""

    def __init__(self, key: ApiKey, secret: str) -> None:
        self.key, self.secret, self.count = key, secret, 0

    def headers(self, method: str, path: str, query: str = "", body: bytes = b"", **spoilt: Any) -> dict[str, str]:
        self.count += 1
        shift_s = spoilt.get("shift_s", 0)
        stamp = str(SYSTEM_CLOCK.now_ns() // 1_000_000 + shift_s * 1_000)
        nonce = spoilt.get("nonce", f"{self.key.key_id[3:]}{self.count:08}")
        canonical = canonical_string(method, path, query, stamp, nonce, body)
        return {
            "X-Api-Key": self.key.key_id,
            "X-Api-Timestamp": stamp,
            "X-Api-Nonce": nonce,
            "X-Api-Signature": signature_of(spoilt.get("secret", self.secret).encode(), canonical),
        }

    def call(self, method: str, path: str, body: Any = None, query: str = "", address: str = "", **spoilt: Any) -> Any:
        raw = json.dumps(body).encode() if body is not None else b""
        full = f"/api/v1/{path}"
        return send(method, full, raw, query, self.headers(method, full, query, raw, **spoilt), address)


def send(
    method: str, path: str, raw: bytes, query: str, headers: dict[str, str], address: str = "", client: Any = None
) -> Any:
    extra = {"REMOTE_ADDR": address} if address else {}
    url = f"{path}?{query}" if query else path
    return (client or Client()).generic(method, url, raw, content_type="application/json", headers=headers, **extra)


def key_of(user: User, *scopes: str, **more: Any) -> Signer:
    return Signer(*api_key_create(user=user, name="bot", scopes=scopes or ("read",), **more))


def code(answer: Any) -> tuple[int, int]:
    return answer.status_code, answer.json().get("code", 0)
