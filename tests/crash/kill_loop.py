"""``python -m tests.crash.kill_loop --cycles 50``: kill -9 engine, projector and web in turn while orders flow, then count.

``--victims postgres,valkey`` takes the servers instead, or as well: PostgreSQL is stopped as by ``pg_ctl -m immediate``, Valkey killed.

Starts a platform of its own in a temporary folder, with the demo market trading and REST clients that keep their own ledger of every answer
they got. Afterwards, from the client's ledger and the database: no acknowledged order lost, none twice, ledger sums zero, held equals the sum
over open orders (``reconcile``), books never crossed (the core's own check), projection equal to a replay of the journal.
Exit code 0 only when every count is as it must be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg
import redis

from tests.live_platform import LivePlatform

VICTIMS = ("engine", "projector", "web")
#: What ends a victim: SIGQUIT is what ``pg_ctl -m immediate`` sends to a postmaster, no checkpoint, WAL replay at the next start.
SIGNALS = {"postgres": signal.SIGQUIT}
EMAILS = ("investor@demo.test", "investor2@demo.test")
PASSWORD = "demo-Pass-2026"
#: Limits of (buys, sells) near the demo market's start, inside the collars: some rest, some trade.
PRICES = {
    "EUR-USD": ("1.07000", "1.10000"),
    "XAU-USD": ("2350.00", "2450.00"),
    "US500": ("2450.0", "2560.0"),
    "BTC-USD": ("62000.00", ""),
}


@dataclass
class Sent:
    """One order as its client knows it."""

    body: dict[str, Any]
    email: str
    status: int = 0  # HTTP status; 0 = no answer
    order_id: str = ""
    code: int = 0

    @property
    def acknowledged(self) -> bool:
        """The platform said yes, durably."""
        return self.status in (200, 201)


@dataclass
class Loop:
    """State of a run."""

    platform: LivePlatform
    seed: int
    sent: list[Sent] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    tokens: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, email: str = "") -> tuple[int, Any]:
        """One HTTP call: (status, JSON); (0, None) when no answer came."""
        request = urllib.request.Request(  # noqa: S310 - our own server on the loopback
            f"{self.platform.base}{path}", method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", "application/json")
        if email:
            request.add_header("Authorization", f"Bearer {self.tokens.get(email, '')}")
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310
                raw = answer.read()
                return answer.status, json.loads(raw) if raw else None
        except urllib.error.HTTPError as error:
            with contextlib.suppress(ValueError, OSError):
                return error.code, json.loads(error.read())
            return error.code, None
        except (OSError, ValueError):
            return 0, None

    def sign_in(self, email: str) -> bool:
        """Get a token; False while nobody answers."""
        status, answer = self.call("POST", "/api/v1/auth/token", {"email": email, "password": PASSWORD})
        if status == 200:
            self.tokens[email] = answer["access"]
        return status == 200

    def trade(self, email: str, number: int) -> None:
        """Client thread: orders until told to stop, each with its own id, each answer noted."""
        rng = random.Random(self.seed * 100 + number)
        while not self.stop.is_set():
            if email not in self.tokens and not self.sign_in(email):
                time.sleep(0.2)
                continue
            body = self.order(rng)
            sent = Sent(body, email)
            self.sent.append(sent)
            status, answer = self.call("POST", "/api/v1/orders", body, email)
            if status == 401:
                self.tokens.pop(email, None)
                self.sent.remove(sent)
                continue
            sent.status = status
            if isinstance(answer, dict):
                sent.order_id = answer.get("order_id") or ""
                sent.code = answer.get("code") or 0
            if sent.acknowledged and rng.random() < 0.3:
                self.call("DELETE", f"/api/v1/orders/{sent.order_id}", None, email)
            time.sleep(rng.uniform(0.0, 0.03) if status else 0.1)

    @staticmethod
    def order(rng: random.Random) -> dict[str, Any]:
        """An ordinary order: resting, crossing or at market."""
        side = rng.choice(("buy", "sell"))
        symbol, qty = rng.choice((("EUR-USD", "1000"), ("XAU-USD", "0.1"), ("US500", "0.01"), ("BTC-USD", "0.0001")))
        body = {
            "client_order_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "symbol": symbol,
            "side": side,
            "qty": qty,
        }
        if symbol == "BTC-USD":
            body["side"] = "buy"
        if rng.random() < 0.5:
            return {**body, "type": "market", "time_in_force": "ioc"}
        price = PRICES[symbol]
        return {
            **body,
            "type": "limit",
            "time_in_force": "gtc",
            "price": price[0] if body["side"] == "buy" else price[1],
        }

    def table(self) -> dict[str, int]:
        """Process ids by name."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.platform.var / "run" / "processes.json").read_text()))
        return {}

    def kill(self, name: str) -> None:
        """Kill one process and wait until its successor works."""
        pid = self.table().get(name)
        if pid is None:
            return
        with contextlib.suppress(OSError):
            os.kill(pid, SIGNALS.get(name, signal.SIGKILL))
        self.kills[name] = self.kills.get(name, 0) + 1
        deadline = time.monotonic() + 150
        while time.monotonic() < deadline:
            new = self.table().get(name)
            if new not in (None, pid) and self.works(name):
                return
            time.sleep(0.05)
        raise SystemExit(f"{name} did not come back within 150 s: see {self.platform.var / 'log' / (name + '.log')}")

    def works(self, name: str) -> bool:
        """The successor is ready."""
        if name == "web":
            return self.platform.answers()
        if name == "postgres":
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.platform.servers.database_url):
                return True
            return False
        if name == "valkey":
            with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.platform.servers.redis_url) as client:
                return bool(client.ping())
            return False
        return (self.platform.var / "run" / f"{name}.ready").exists()


def count(loop: Loop) -> dict[str, Any]:
    """All counts after the last kill, on a quiet platform."""
    loop.platform.manage("demo_rate", "0")
    time.sleep(3)
    result: dict[str, Any] = {"sent": len(loop.sent), "acknowledged": 0, "refused": 0, "unknown": 0}
    result |= {
        "lost": 0,
        "doubled": 0,
        "wrong_id": 0,
        "unknown_resolved_done": 0,
        "unknown_resolved_absent": 0,
        "retry_differs": 0,
    }
    for email in {sent.email for sent in loop.sent}:
        loop.sign_in(email)
    with psycopg.connect(loop.platform.environment["DATABASE_URL"]) as connection:
        rows = connection.execute(
            "SELECT cl_ord_id, count(*) FROM trading_order WHERE order_id > 0 AND cl_ord_id <> '' GROUP BY 1"
        ).fetchall()
        projected = dict(rows)
        for sent in loop.sent:
            kind = "acknowledged" if sent.acknowledged else "refused" if 400 <= sent.status < 500 else "unknown"
            result[kind] += 1
            copies = projected.get(sent.body["client_order_id"], 0)
            result["doubled"] += copies > 1
            if kind == "acknowledged":
                result["lost"] += copies == 0
            elif kind == "unknown":
                result["unknown_resolved_done" if copies else "unknown_resolved_absent"] += 1
        sample = [sent for sent in loop.sent if sent.acknowledged][-200:]
        for sent in sample:
            status, answer = loop.call("POST", "/api/v1/orders", sent.body, sent.email)
            if status == 429:
                time.sleep(1)
                status, answer = loop.call("POST", "/api/v1/orders", sent.body, sent.email)
            result["retry_differs"] += status not in (200, 201) or answer.get("order_id") != sent.order_id
        result["retries"] = len(sample)
        sums = connection.execute(
            "SELECT core_asset, sum(amount) FROM accounts_ledgerentry GROUP BY 1 HAVING sum(amount) <> 0"
        ).fetchall()
        result["ledger_assets_not_zero"] = len(sums)
        by_command = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM accounts_ledgerentry GROUP BY cmd_seq, core_asset HAVING sum(amount) <> 0) AS broken"
        ).fetchone()
        result["ledger_commands_not_zero"] = by_command[0] if by_command else -1
        fills = connection.execute("SELECT count(*) FROM trading_execution").fetchone()
        result["executions"] = fills[0] if fills else -1
    for name, arguments in (("reconcile", ["reconcile"]), ("rebuild_compare", ["rebuild_projection", "--compare"])):
        done = loop.platform.manage(*arguments, check=False)
        result[name] = "0 breaks" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-400:]
    return result


def main() -> int:
    """Run the loop; prints the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--victims", default=",".join(VICTIMS), help="also: postgres, valkey")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with LivePlatform(demo_rate=40, keep=arguments.keep) as platform:
        loop = Loop(platform, arguments.seed)
        result = run(loop, arguments.cycles, tuple(arguments.victims.split(",")))
    print(json.dumps(result, indent=1))
    print("good" if good(result) else "BROKEN")
    return 0 if good(result) else 1


def good(result: dict[str, Any]) -> bool:
    """Every count is as it must be."""
    zero = ("lost", "doubled", "retry_differs", "ledger_assets_not_zero", "ledger_commands_not_zero")
    equal = result["reconcile"] == result["rebuild_compare"] == "0 breaks"
    return all(result[name] == 0 for name in zero) and equal and result["acknowledged"] > 0


def run(loop: Loop, cycles: int, victims: tuple[str, ...] = VICTIMS) -> dict[str, Any]:
    """Send orders from two clients, kill in turn, then count."""
    for email in EMAILS:
        while not loop.sign_in(email):
            time.sleep(0.2)
    clients = [
        threading.Thread(target=loop.trade, args=(email, number), daemon=True) for number, email in enumerate(EMAILS)
    ]
    for client in clients:
        client.start()
    rng = random.Random(loop.seed)
    try:
        for cycle in range(cycles):
            time.sleep(rng.uniform(0.2, 1.2))
            loop.kill(victims[cycle % len(victims)])
            if (cycle + 1) % 10 == 0:
                print(f"{cycle + 1} kills, {len(loop.sent)} orders sent", flush=True)
        time.sleep(2)
    finally:
        loop.stop.set()
    for client in clients:
        client.join(20)
    return {"cycles": cycles, "kills": loop.kills, **count(loop)}


if __name__ == "__main__":
    sys.exit(main())
