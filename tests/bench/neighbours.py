"""What others feel while somebody attacks or floods: latency of their orders before and during, on a running platform with its real budgets.

    python -m tests.bench.neighbours --url http://127.0.0.1:8000 [--tries 10000] [--seconds 15] [--json FILE]

Two attacks, each with a measurement of the same client's orders before it: **bruteforce** (passwords tried over REST from hundreds of loopback
addresses, one owner first, then many addresses at once; the right password is among them) and **flood** (one client's REST calls without
pause, sockets that send as fast as they can, and refused requests without identity). Start the platform with RATE_SCALE=1: budgets are what
is measured. Bound: p99 of the others' orders at most BOUND times that before. Addresses are 127.x.y.z, so nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import websockets

from brokerage.kernel.rejects import RejectCode
from tests.bench.rest_bench import DEMO_EMAIL, DEMO_PASSWORD, Api, cancel_all, percentile, resting_order

BOUND = 3.0
VICTIM = "investor2@demo.test"
ATTACKERS = 4
ADDRESSES = 400
FLOODER = "127.77.0.1"


class Others:
    """The other user: one order after another, each taken back; latency of placing and of cancelling, in milliseconds."""

    def __init__(self, url: str, email: str = DEMO_EMAIL) -> None:
        status, tokens = Api(url).call("POST", "auth/token", {"email": email, "password": DEMO_PASSWORD})
        if status != 200:
            raise SystemExit(f"signing in answered {status}: {tokens}")
        self.api = Api(url, tokens["access"])
        self.order = resting_order(self.api, "SOL-USD")
        cancel_all(self.api)
        self.refused: Counter[int] = Counter()

    def measure(self, enough: Callable[[int], bool]) -> dict[str, float]:
        """Trade until ``enough(orders so far)``."""
        place: list[float] = []
        cancel: list[float] = []
        while not enough(len(place)):
            begun = time.perf_counter()
            status, answer = self.api.call("POST", "orders", self.order)
            placed = time.perf_counter()
            if status != 201:
                self.refused[status] += 1
                continue
            gone, _ = self.api.call("DELETE", f"orders/{answer['order_id']}")
            cancel.append((time.perf_counter() - placed) * 1000)
            place.append((placed - begun) * 1000)
            if gone != 200:
                self.refused[gone] += 1
            time.sleep(0.02)  # within the budget of orders
        return {
            "orders": len(place),
            "place_p50_ms": round(statistics.median(place), 2),
            "place_p99_ms": round(percentile(place, 0.99), 2),
            "cancel_p50_ms": round(statistics.median(cancel), 2),
            "cancel_p99_ms": round(percentile(cancel, 0.99), 2),
        }


def sign_in_from(url: str, address: str, email: str, password: str) -> tuple[int, int]:
    """Try a password over REST from one loopback address: status and code of the refusal."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30, source_address=(address, 0))
    try:
        connection.request(
            "POST", "/api/v1/auth/token", json.dumps({"email": email, "password": password}),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()).get("code", 0)
    except (OSError, ValueError, http.client.HTTPException):
        return 0, 0
    finally:
        connection.close()


def address_of(number: int) -> str:
    """The n-th attacker's address."""
    return f"127.{10 + number // 60_000}.{number // 250 % 240}.{1 + number % 250}"


class Guesser:
    """Tries passwords until ``tries`` were sent, from many addresses, most for one victim; once that is locked, the right one among them."""

    def __init__(self, url: str, tries: int, seed: int, addresses: int = ADDRESSES) -> None:
        self.url, self.tries, self.addresses = url, tries, addresses
        self.answers: Counter[int] = Counter()
        self.right_tried = 0
        self.locked_after = 0
        self._number = 0
        self._lock = threading.Lock()
        self._rng = random.Random(seed)
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(ATTACKERS)]

    @property
    def done(self) -> bool:
        """All were sent."""
        return not any(thread.is_alive() for thread in self.threads)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._number += 1
                number = self._number
                address = address_of(self._rng.randrange(self.addresses))
            if number > self.tries:
                return
            # Once the owner is locked for strangers, even the right password opens nothing.
            right = self.locked_after > 0 and number % 10 == 0
            email = VICTIM if number % 3 or right else f"nobody{number}@example.test"
            status, code = sign_in_from(self.url, address, email, DEMO_PASSWORD if right else f"Wrong-guess-{number}")
            with self._lock:
                self.answers[status] += 1
                self.right_tried += right
                if code == RejectCode.SIGN_IN_LOCKED and email == VICTIM and not self.locked_after:
                    self.locked_after = number


def bruteforce(url: str, tries: int, orders: int = 300, seed: int = 1) -> dict[str, Any]:
    """Attack the victim while another trades and the victim, signed in before, cancels."""
    others, owner = Others(url), Others(url, VICTIM)
    guesser = Guesser(url, tries, seed)
    owned: dict[str, Any] = {}

    def beside(over: Callable[[], bool]) -> threading.Thread:
        """The owner trades too, before as well as during the attack: only the guessing differs."""
        thread = threading.Thread(target=lambda: owned.update(owner.measure(lambda _: over())), daemon=True)
        thread.start()
        return thread

    warm = threading.Event()
    watch = beside(warm.is_set)
    before = others.measure(lambda count: count >= orders)
    warm.set()
    watch.join(60)
    begun = time.monotonic()
    for thread in guesser.threads:
        thread.start()
    watch = beside(lambda: guesser.done)
    during = others.measure(lambda count: guesser.done and count >= 100)
    watch.join(60)
    return {
        "tries": sum(guesser.answers.values()),
        "tries_per_s": round(tries / (time.monotonic() - begun), 1),
        "answers": {str(status): count for status, count in sorted(guesser.answers.items())},
        "succeeded": guesser.answers[200],
        "right_password_tried": guesser.right_tried,
        "locked_after": guesser.locked_after,
        "owner_during": owned,
        "owner_refused": dict(owner.refused),
        **compared(before, during, others),
    }


def compared(before: dict[str, float], during: dict[str, float], others: Others) -> dict[str, Any]:
    """The figures of before and during, and by how much they differ."""
    return {
        "others_before": before,
        "others_during": during,
        "others_refused": dict(others.refused),
        "place_p99_ratio": round(during["place_p99_ms"] / before["place_p99_ms"], 2),
        "cancel_p99_ratio": round(during["cancel_p99_ms"] / before["cancel_p99_ms"], 2),
    }


def flood(url: str, seconds: float, orders: int = 300) -> dict[str, Any]:
    """One client sends without pause over REST and sockets while another trades."""
    others = Others(url)
    flooder = Others(url, VICTIM)
    before = others.measure(lambda count: count >= orders)
    end = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def connected(token: str) -> Api:
        api = Api(url, token)
        parts = urlsplit(url)
        api.connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=30, source_address=(FLOODER, 0)
        )
        return api

    def rest(token: str, path: str) -> None:
        api = connected(token)
        mine: Counter[str] = Counter()
        while time.monotonic() < end:
            try:
                mine[f"rest {api.call('GET', path)[0]}"] += 1
            except (OSError, http.client.HTTPException):
                api = connected(token)
                mine["rest cut"] += 1
        with lock:
            counts.update(mine)

    def sockets() -> None:
        with lock:
            counts.update(asyncio.run(socket_flood(url, end)))

    work = [
        threading.Thread(target=rest, args=(flooder.api.token, "orders?limit=100"), daemon=True),
        threading.Thread(target=rest, args=("not-a-token", "accounts"), daemon=True),
        threading.Thread(target=sockets, daemon=True),
    ]
    for thread in work:
        thread.start()
    during = others.measure(lambda count: time.monotonic() > end and count >= 100)
    for thread in work:
        thread.join(30)
    return {"seconds": seconds, "flood": dict(sorted(counts.items())), **compared(before, during, others)}


async def socket_flood(url: str, end: float, clients: int = 6) -> Counter[str]:
    """Sockets that send without pause and come back at once when they are cut."""
    counts: Counter[str] = Counter()
    address = url.replace("http://", "ws://") + "/ws/v1/market"

    async def one() -> None:
        while time.monotonic() < end:
            with contextlib.suppress(OSError, websockets.WebSocketException, TimeoutError):
                async with websockets.connect(
                    address, compression=None, open_timeout=5, local_addr=(FLOODER, 0)
                ) as socket:
                    counts["sockets"] += 1
                    while time.monotonic() < end:
                        await socket.send('{"op":"subscribe","topics":["quotes","book:BTC-USD","no:such"]}')
                        counts["frames"] += 1
                        await asyncio.sleep(0)
            counts["cut"] += time.monotonic() < end
            await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(clients)))
    return counts


def good(result: dict[str, Any]) -> bool:
    """The figures hold the bounds."""
    attack, burst = result.get("bruteforce"), result.get("flood")
    fine = all(part["place_p99_ratio"] <= BOUND and not part["others_refused"] for part in (attack, burst) if part)
    if attack:
        fine = fine and attack["succeeded"] == 0 and attack["right_password_tried"] > 0 and not attack["owner_refused"]
    return bool(fine)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--parts", default="flood,bruteforce")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    parts = options.parts.split(",")
    result: dict[str, Any] = {}
    if "flood" in parts:
        result["flood"] = flood(options.url, options.seconds)
    if "bruteforce" in parts:
        result["bruteforce"] = bruteforce(options.url, options.tries)
    result["bounds_hold"] = good(result)
    text = json.dumps(result, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
