"""Whether an address has an account can be told by the clock: sign-in, registration and recovery, known against unknown addresses.

    python -m tests.bench.enumeration --url http://127.0.0.1:8000 [--samples 200] [--json FILE]

Needs the platform with RATE_SCALE=1000 (each sample is a request of its own). Known and unknown are asked in pairs, in random order, so that a
machine that gets slower meets both. A Mann-Whitney test says how likely such a difference is by chance when there is none (told apart: p < 0.001);
``auc`` is the share of pairs in which the known one took longer, 0.5 when nothing is told.
Registering and recovery are also asked what they leave behind (``register_echo``, ``recover_echo``): the time of the next request, a sign-in with
an address nobody has, sent as soon as they are answered. Behind each such pair the platform is left alone for REST_S, so that none is charged with
the one before it.
The test that the same work is done, without a clock, is accounts/tests/test_enumeration.py.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import random
import statistics
import time
import uuid
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.bench.rest_bench import Api

KNOWN = [f"enumeration-{number}@example.test" for number in range(10)]
PASSWORD = "Enumeration-Horse-2026"
P_MAX = 0.001
REST_S = 0.12


def mann_whitney(left: list[float], right: list[float]) -> tuple[float, float]:
    """(two-sided p by the normal approximation with ties, share of pairs in which ``left`` is larger)."""
    ranked = sorted([(value, 0) for value in left] + [(value, 1) for value in right])
    total, rank_sum, tied, at = len(ranked), 0.0, 0.0, 0
    while at < total:
        end = at
        while end < total and ranked[end][0] == ranked[at][0]:
            end += 1
        rank = (at + end + 1) / 2
        rank_sum += rank * sum(1 for _, side in ranked[at:end] if side == 0)
        tied += (end - at) ** 3 - (end - at)
        at = end
    n, m = len(left), len(right)
    u = rank_sum - n * (n + 1) / 2
    sigma = math.sqrt(n * m / 12 * (total + 1 - tied / (total * (total - 1))))
    z = (abs(u - n * m / 2) - 0.5) / sigma if sigma else 0.0
    return math.erfc(max(z, 0.0) / math.sqrt(2)), u / (n * m)


class Asked:
    """Requests whose time is taken."""

    def __init__(self, url: str) -> None:
        self.parts = urlsplit(url)
        self.api = Api(url)
        status = self.api.call("GET", "time")[0]
        if status != 200:
            raise SystemExit(f"GET time answered {status}")
        self.page = http.client.HTTPConnection(self.parts.hostname or "", self.parts.port or 80, timeout=30)
        self.page.request("GET", "/recover")
        answer = self.page.getresponse()
        answer.read()
        cookies = SimpleCookie("; ".join(value for name, value in answer.getheaders() if name.lower() == "set-cookie"))
        self.csrf = cookies["csrftoken"].value

    def sign_in(self, email: str) -> int:
        """A wrong password."""
        return self.api.call("POST", "auth/token", {"email": email, "password": "Wrong-Horse-2026-x"})[0]

    def register(self, email: str) -> int:
        """A registration."""
        body = {"email": email, "password": PASSWORD, "display_name": "E", "country": "GB"}
        return self.api.call("POST", "auth/register", body)[0]

    def recover(self, email: str) -> int:
        """A link for a new password, on the page."""
        self.page.request(
            "POST", "/recover", urlencode({"email": email}),
            {"Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": self.csrf, "Cookie": f"csrftoken={self.csrf}"},
        )  # fmt: skip
        answer = self.page.getresponse()
        answer.read()
        return answer.status


def told(known: list[float], unknown: list[float]) -> dict[str, Any]:
    """Medians and what the test says of them; the first ten of each are left out."""
    known, unknown = known[10:], unknown[10:]
    p, auc = mann_whitney(known, unknown)
    return {
        "samples": len(known),
        "known_median_ms": round(statistics.median(known), 3),
        "unknown_median_ms": round(statistics.median(unknown), 3),
        "p": round(p, 5),
        "auc": round(auc, 4),
        "told_apart": p < P_MAX,
    }


def timed(ask: Callable[[str], int], email: str, status: int) -> float:
    """Milliseconds of one request."""
    begun = time.perf_counter()
    answered = ask(email)
    took = (time.perf_counter() - begun) * 1000
    if answered != status:
        raise SystemExit(f"{email} was answered with {answered}, not {status}")
    return took


def compare(
    ask: Callable[[str], int], samples: int, status: int, echo: Callable[[str], int] | None = None, echo_status: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Times of known and unknown addresses in turn, and of the request behind each where there is an ``echo``."""
    times: dict[str, tuple[list[float], list[float]]] = {"known": ([], []), "unknown": ([], [])}
    rng = random.Random(samples)
    for number in range(samples + 10):
        pair = [("known", KNOWN[number % len(KNOWN)]), ("unknown", f"{uuid.uuid4()}@example.test")]
        rng.shuffle(pair)
        for which, email in pair:
            times[which][0].append(timed(ask, email, status))
            if echo is not None:
                times[which][1].append(timed(echo, "nobody@example.test", echo_status))
                time.sleep(REST_S)
    known, unknown = times["known"], times["unknown"]
    return told(known[0], unknown[0]), told(known[1], unknown[1]) if echo is not None else {}


def run(url: str, samples: int) -> dict[str, Any]:
    """Sign-in, registration with what it leaves behind, recovery."""
    asked = Asked(url)
    for email in KNOWN:
        if asked.register(email) != 202:
            raise SystemExit("the known addresses could not be registered")
    time.sleep(2)
    # The page's connection must not stand idle for as long as registering takes.
    recover, recover_echo = compare(asked.recover, samples, 302, asked.sign_in, 401)
    sign_in = compare(asked.sign_in, samples, 401)[0]
    registered, behind = compare(asked.register, samples, 202, asked.sign_in, 401)
    return {
        "sign_in": sign_in, "register": registered, "register_echo": behind, "recover": recover, "recover_echo": recover_echo,
    }  # fmt: skip


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    result = run(options.url, options.samples)
    text = json.dumps(result, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
