"""The adapter of the sandbox vendor: HTTP out, signed webhooks in. The vendor itself is ``sandbox_server.py``, a service of its own."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from typing import Any

import httpx

from brokerage.config import get_config
from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, Clock, datetime_from_ns, parse_rfc3339
from compliance.providers.base import (
    LIVENESS_OUTCOMES,
    OUTCOMES,
    ApplicantUnknownError,
    CheckResult,
    DocumentNote,
    Event,
    KycProvider,
    LivenessChallenge,
    LivenessResult,
    ProviderError,
    Subject,
    WebhookRefusedError,
)

HEADER = "X-Sandbox-Signature"
WINDOW_S = 300
TIMEOUT_S = 5.0


def sign(secret: str, time_s: int, raw_body: bytes) -> str:
    """The value of the signature header: time and HMAC-SHA256 over ``time.body``."""
    digest = hmac.new(secret.encode(), f"{time_s}.".encode() + raw_body, hashlib.sha256).hexdigest()
    return f"t={time_s},v1={digest}"


class SandboxProvider:
    """KycProvider over the sandbox's HTTP interface."""

    name = "sandbox"

    def __init__(self, url: str, secret: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.url, self.secret, self.clock = url.rstrip("/"), secret, clock

    def create_applicant(self, subject: Subject) -> str:
        """See KycProvider."""
        return str(self._call("POST", "/applicants", asdict(subject))["id"])

    def start_check(self, ref: str, checks: Sequence[str], documents: Sequence[DocumentNote]) -> str:
        """See KycProvider."""
        body = {"checks": list(checks), "documents": [{"kind": row.kind, "digest": row.digest} for row in documents]}
        return str(self._call("POST", f"/applicants/{ref}/checks", body)["id"])

    def fetch(self, ref: str) -> list[CheckResult]:
        """See KycProvider."""
        rows = self._call("GET", f"/applicants/{ref}")["checks"]
        try:
            return [self._result(row) for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise ProviderError("the answer cannot be read") from error

    def liveness_start(self, ref: str) -> LivenessChallenge:
        """See KycProvider."""
        row = self._call("POST", f"/applicants/{ref}/liveness", {})
        try:
            gestures = tuple(str(name)[:40] for name in row["gestures"][:10])
            return LivenessChallenge(str(row["id"])[:80], gestures, _moment(row["expires_at"]), int(row["tries_left"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ProviderError("the answer cannot be read") from error

    def liveness_answer(self, liveness_ref: str, gestures: Sequence[str]) -> None:
        """See KycProvider."""
        self._call("POST", f"/liveness/{liveness_ref}/answer", {"gestures": list(gestures)})

    def liveness_fetch(self, liveness_ref: str) -> LivenessResult:
        """See KycProvider."""
        row = self._call("GET", f"/liveness/{liveness_ref}")
        try:
            if row["outcome"] not in LIVENESS_OUTCOMES:
                raise ValueError(row["outcome"])
            return LivenessResult(row["outcome"], str(row["reason"])[:200], int(row["tries_left"]), _moment(row["at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ProviderError("the answer cannot be read") from error

    def verify_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> Event:
        """See KycProvider."""
        given = {name.lower(): value for name, value in headers.items()}.get(HEADER.lower(), "")
        parts = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
        if not self.secret or not parts.get("t", "").isdigit() or len(parts["t"]) > 12:
            raise WebhookRefusedError("no signature")
        time_s = int(parts["t"])
        if not hmac.compare_digest(sign(self.secret, time_s, raw_body).encode(), given.encode()):
            raise WebhookRefusedError("wrong signature")
        if abs(self.clock.now_ns() // NS_PER_S - time_s) > WINDOW_S:
            raise WebhookRefusedError("too old")
        try:
            body = json.loads(raw_body)
            return Event(
                str(body["event_id"])[:80], str(body["kind"])[:40], str(body["applicant"])[:80], _moment(body["at"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WebhookRefusedError("not an event") from error

    def _result(self, row: Mapping[str, Any]) -> CheckResult:
        outcome = str(row["outcome"])
        if outcome not in OUTCOMES:
            raise ValueError(outcome)
        reasons = tuple(str(text)[:200] for text in row.get("reasons", ())[:10])
        return CheckResult(str(row["name"])[:30], outcome, reasons, str(row["id"])[:80], _moment(row["at"]))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = httpx.request(
                method,
                self.url + path,
                json=body,
                headers={"Authorization": f"Bearer {self.secret}"},
                timeout=TIMEOUT_S,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            raise ProviderError(f"cannot be reached ({type(error).__name__})") from error
        if answer.status_code == 404:
            raise ApplicantUnknownError(path)
        if answer.status_code >= 300:
            raise ProviderError(f"answered {answer.status_code}")
        try:
            return dict(answer.json())
        except ValueError as error:
            raise ProviderError("the answer is not JSON") from error


def _moment(text: Any) -> datetime:
    return datetime_from_ns(parse_rfc3339(str(text)))


@lru_cache(maxsize=1)
def provider() -> KycProvider:
    """The configured vendor."""
    config = get_config()
    return SandboxProvider(config.kyc_url, config.kyc_secret)
