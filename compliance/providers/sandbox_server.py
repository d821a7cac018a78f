"""The sandbox vendor: a small HTTP service that behaves as vendors do. It takes its time, tells everything twice and in the wrong order, and
strangers send forged messages to its clients.

The surname decides: *Consider* needs a look, *Refused* fails, *Blurred* wants the document again, everybody else is clear. Liveness: three
movements in an order drawn at random, two minutes, three tries; *Still* never passes. There is no camera: what the person says they did is
compared with what was asked, which proves nothing about a real person. Holds everything in memory. Speaks only HTTP with the platform and shares
nothing with it but the secret.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from brokerage.kernel.clock import NS_PER_S, SYSTEM_CLOCK, rfc3339
from compliance.providers.sandbox import HEADER, sign

BODY_MAX = 64 * 1024
APPLICANTS_MAX = 50_000
RULES: dict[str, tuple[str, str]] = {
    "consider": ("consider", "The name matches more than one person."),
    "refused": ("reject", "The document is known to be forged."),
    "blurred": ("retry", "The photo is blurred: the number cannot be read."),
}
#: The check that each trigger touches; the others are clear.
TOUCHES = {"consider": "identity", "refused": "identity", "blurred": "document"}


GESTURES = ("turn_left", "turn_right", "look_up", "blink", "smile")
LIVENESS_S = 120
LIVENESS_TRIES = 3


class Sandbox:
    """The vendor's memory and its messages."""

    liveness_s = LIVENESS_S

    def __init__(self, secret: str, callback: str, delay_s: float = 2.0, *, mischief: bool = True) -> None:
        self.secret, self.callback, self.delay_s, self.mischief = secret, callback, delay_s, mischief
        self.applicants: dict[str, dict[str, Any]] = {}
        self.by_external: dict[str, str] = {}
        self.liveness: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()

    def applicant(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make or find an applicant."""
        with self.lock:
            known = self.by_external.get(str(body["external_id"]))
            if known is None:
                if len(self.applicants) >= APPLICANTS_MAX:
                    self.applicants.clear()
                    self.by_external.clear()
                known = f"app_{secrets.token_hex(8)}"
                self.by_external[str(body["external_id"])] = known
                self.applicants[known] = {"id": known, "surname": str(body["last_name"]).strip().lower(), "checks": []}
        return {"id": known}

    def start(self, ref: str, names: list[str]) -> dict[str, Any]:
        """Start the checks that were not started before; results come later."""
        with self.lock:
            row = self.applicants[ref]
            known = {check["name"] for check in row["checks"]}
            fresh = [
                {"id": f"chk_{secrets.token_hex(6)}", "name": name, "outcome": "pending", "reasons": [], "at": _now()}
                for name in names
                if name not in known
            ]
            row["checks"] += fresh
        if fresh:
            threading.Thread(target=self._finish, args=(ref, fresh), daemon=True).start()
        return {"id": f"run_{ref}"}

    def _finish(self, ref: str, checks: list[dict[str, Any]]) -> None:
        started = self._event(ref, "check.started")
        time.sleep(self.delay_s)
        surname = self.applicants[ref]["surname"]
        outcome, reason = RULES.get(surname, ("clear", ""))
        with self.lock:
            for check in checks:
                hit = TOUCHES.get(surname) == check["name"]
                check |= {
                    "outcome": outcome if hit else "clear",
                    "reasons": [reason] if hit and reason else [],
                    "at": _now(),
                }
        completed = self._event(ref, "check.completed")
        if not self.mischief:
            self._send(completed)
            return
        forged = self._event(ref, "check.completed")
        self._send(forged, secret="not the secret")  # noqa: S106 - what a stranger would try
        # Completed before started, and both twice.
        for event in (completed, started, completed, started):
            self._send(event)

    def liveness_start(self, ref: str) -> dict[str, Any]:
        """Draw a challenge for an applicant."""
        with self.lock:
            surname = self.applicants[ref]["surname"]
            if len(self.liveness) >= APPLICANTS_MAX:
                self.liveness.clear()
            row = {
                "id": f"liv_{secrets.token_hex(8)}", "gestures": secrets.SystemRandom().sample(GESTURES, 3), "surname": surname,
                "expires_at": rfc3339(SYSTEM_CLOCK.now_ns() + self.liveness_s * NS_PER_S), "tries_left": LIVENESS_TRIES,
                "outcome": "pending", "reason": "", "at": _now(), "ends": SYSTEM_CLOCK.now_ns() + self.liveness_s * NS_PER_S,
            }  # fmt: skip
            self.liveness[row["id"]] = row
            return {name: row[name] for name in ("id", "gestures", "expires_at", "tries_left")}

    def liveness_answer(self, ref: str, gestures: list[str]) -> dict[str, Any]:
        """Take an answer in; the result follows."""
        with self.lock:
            row = self.liveness[ref]
            if row["outcome"] in {"passed", "failed", "expired"}:
                return {"id": ref}
            late = SYSTEM_CLOCK.now_ns() > row["ends"]
            row |= {"outcome": "pending", "reason": ""}
        threading.Thread(target=self._liveness_finish, args=(ref, gestures, late), daemon=True).start()
        return {"id": ref}

    def _liveness_finish(self, ref: str, gestures: list[str], late: bool) -> None:
        time.sleep(self.delay_s / 2)
        with self.lock:
            row = self.liveness[ref]
            left = row["tries_left"] - 1
            if late:
                outcome, reason, left = "expired", "The answer came too late.", 0
            elif row["surname"] == "still":
                outcome, reason, left = "failed", "No movement was seen: it looks like a picture of a picture.", 0
            elif gestures == row["gestures"]:
                outcome, reason = "passed", ""
            elif left:
                outcome, reason = "retry", "The movements were not those asked for, in their order."
            else:
                outcome, reason = "failed", "The movements were not those asked for, too often."
            row |= {"outcome": outcome, "reason": reason, "tries_left": left, "at": _now()}
        done = self._event(ref, "liveness.completed")
        if self.mischief:
            self._send(done, secret="not the secret")  # noqa: S106 - what a stranger would try
            self._send(done)
        self._send(done)

    def _event(self, ref: str, kind: str) -> bytes:
        event = {"event_id": f"evt_{secrets.token_hex(8)}", "kind": kind, "applicant": ref, "at": _now()}
        return json.dumps(event).encode()

    def _send(self, body: bytes, secret: str = "") -> None:
        if not self.callback:
            return
        signature = sign(secret or self.secret, SYSTEM_CLOCK.now_ns() // NS_PER_S, body)
        headers = {HEADER: signature, "Content-Type": "application/json"}
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(self.callback, content=body, headers=headers, timeout=5, trust_env=False)


def _now() -> str:
    return rfc3339(SYSTEM_CLOCK.now_ns())


def server_make(sandbox: Sandbox, port: int) -> ThreadingHTTPServer:
    """An HTTP server on loopback for the vendor; ``serve_forever`` runs it."""

    class Handler(BaseHTTPRequestHandler):
        """Routes: POST /applicants, POST /applicants/<id>/checks, GET /applicants/<id>; POST /applicants/<id>/liveness,
        POST /liveness/<id>/answer, GET /liveness/<id>.
        """

        def do_GET(self) -> None:
            """Read an applicant."""
            self._answer(lambda: self._read())

        def do_POST(self) -> None:
            """Write."""
            self._answer(lambda: self._write())

        def _read(self) -> dict[str, Any]:
            if self.path.startswith("/liveness/"):
                with sandbox.lock:
                    known = sandbox.liveness[self.path.removeprefix("/liveness/")]
                    return {name: known[name] for name in ("id", "outcome", "reason", "tries_left", "at")}
            row = sandbox.applicants[self.path.removeprefix("/applicants/")]
            with sandbox.lock:
                return {"id": row["id"], "checks": [dict(check) for check in row["checks"]]}

        def _write(self) -> dict[str, Any]:
            length = int(self.headers.get("Content-Length", "0"))
            if length > BODY_MAX:
                raise ValueError("too large")
            body = json.loads(self.rfile.read(length))
            if self.path == "/applicants":
                return sandbox.applicant(body)
            parts = self.path.strip("/").split("/")
            if len(parts) == 3 and parts[2] == "checks":
                return sandbox.start(parts[1], [str(name) for name in body["checks"]][:20])
            if len(parts) == 3 and parts[2] == "liveness":
                return sandbox.liveness_start(parts[1])
            if len(parts) == 3 and parts[0] == "liveness" and parts[2] == "answer":
                return sandbox.liveness_answer(parts[1], [str(name) for name in body["gestures"]][:10])
            raise KeyError(self.path)

        def _answer(self, work: Any) -> None:
            status, body = 200, {}
            if self.headers.get("Authorization") != f"Bearer {sandbox.secret}":
                status = 401
            else:
                try:
                    body = work()
                except KeyError:
                    status = 404
                except (ValueError, TypeError):
                    status = 400
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing for each request."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
