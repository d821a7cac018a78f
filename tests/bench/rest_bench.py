"""How fast a running platform takes orders over REST: latency of one client after another, and orders a second of many at once.

    python -m tests.bench.rest_bench [--url http://127.0.0.1:8000] [--orders 1000] [--clients 8] [--seconds 5] [--json FILE]

Signs in as a demo investor, places small limit orders below the market, so that they rest, and cancels them all at the end. Start the server
with RATE_SCALE=1000, else the client's own request budget is what is measured: refusals by budget (429) are counted and shown. Everything runs
as on a user's machine: HTTP, JWT, budgets, validation, the engine's journal with the durability that GET /status names.
Owns nothing of the platform; talks only to loopback addresses.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import threading
import time
from collections import Counter
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEMO_EMAIL, DEMO_PASSWORD = "investor@demo.test", "demo-Pass-2026"


class Api:
    """One kept-alive connection."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        if parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise SystemExit("this bench talks to loopback addresses only")
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=30)
        self.token = token

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send and read one request."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        self.connection.request(method, f"/api/v1/{path}", json.dumps(body) if body is not None else None, headers)
        answer = self.connection.getresponse()
        raw = answer.read()
        return answer.status, json.loads(raw) if raw else None


def resting_order(api: Api, symbol: str) -> dict[str, Any]:
    """A buy of the least quantity, one per cent below the market."""
    status, instrument = api.call("GET", f"instruments/{symbol}")
    if status != 200:
        raise SystemExit(f"GET instruments/{symbol} answered {status}: {instrument}")
    _, quote = api.call("GET", f"quotes/{symbol}")
    last = quote["bid"] or quote["last"]
    if last is None:
        candles = api.call("GET", f"instruments/{symbol}/candles?frame=1m&limit=1")[1]["results"]
        if not candles:
            raise SystemExit(f"{symbol} has no price to place orders below")
        last = candles[-1]["close"]
    step = Decimal(instrument["price_increment"])
    price = (Decimal(last) * Decimal("0.99") / step).to_integral_value(ROUND_FLOOR) * step
    return {
        "symbol": symbol,
        "side": "buy",
        "type": "limit",
        "qty": instrument["min_qty"],
        "price": format(price, "f"),
    }


def cancel_all(api: Api) -> None:
    """Leave nothing behind."""
    for _ in range(5):
        status, answer = api.call("POST", "orders/cancel-all", {})
        if status == 200 and answer["canceled"] == 0:
            return
        time.sleep(0.2)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def measure_latency(api: Api, order: dict[str, Any], orders: int, counts: Counter[int]) -> dict[str, float]:
    """One order after another; every hundred are cancelled, outside the clock."""
    for _ in range(20):
        api.call("POST", "orders", order)
    cancel_all(api)
    taken: list[float] = []
    for number in range(orders):
        begun = time.perf_counter()
        status, _ = api.call("POST", "orders", order)
        spent = (time.perf_counter() - begun) * 1000
        counts[status] += 1
        # A refusal is quick and no order.
        if status == 201:
            taken.append(spent)
        if number % 100 == 99:
            cancel_all(api)
    cancel_all(api)
    if not taken:
        raise SystemExit(f"no order was taken: {dict(counts)}")
    return {
        "place_p50_ms": round(statistics.median(taken), 3),
        "place_p95_ms": round(percentile(taken, 0.95), 3),
        "place_p99_ms": round(percentile(taken, 0.99), 3),
        "place_max_ms": round(max(taken), 3),
    }


def measure_rate(
    url: str, token: str, order: dict[str, Any], clients: int, seconds: float, counts: Counter[int]
) -> dict[str, float]:
    """Many clients at once: each places and takes back, so that the account's cap of open orders is not what stops them."""
    placed = [0] * clients
    lock = threading.Lock()
    stop = time.perf_counter() + seconds

    def work(index: int) -> None:
        api = Api(url, token)
        mine: Counter[int] = Counter()
        while time.perf_counter() < stop:
            status, answer = api.call("POST", "orders", order)
            mine[status] += 1
            if status == 201:
                placed[index] += 1
                api.call("DELETE", f"orders/{answer['order_id']}")
        with lock:
            counts.update(mine)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - begun
    return {"orders_per_s": round(sum(placed) / spent, 1), "requests_per_s": round(2 * sum(placed) / spent, 1)}


def run(
    url: str = "http://127.0.0.1:8000",
    *,
    email: str = DEMO_EMAIL,
    password: str = DEMO_PASSWORD,
    symbol: str = "SOL-USD",
    orders: int = 1000,
    clients: int = 8,
    seconds: float = 5.0,
) -> dict[str, Any]:
    """Measure and return the figures."""
    status, tokens = Api(url).call("POST", "auth/token", {"email": email, "password": password})
    if status != 200:
        raise SystemExit(f"signing in answered {status}: {tokens}")
    api = Api(url, tokens["access"])
    _, state = api.call("GET", "status")
    order = resting_order(api, symbol)
    cancel_all(api)
    counts: Counter[int] = Counter()
    result: dict[str, Any] = {
        "orders": orders,
        "clients": clients,
        "durability": (state["engine"] or {}).get("durability"),
    }
    result |= measure_latency(api, order, orders, counts)
    result |= measure_rate(url, tokens["access"], order, clients, seconds, counts)
    cancel_all(api)
    result["answers"] = {str(code): number for code, number in sorted(counts.items())}
    return result


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--email", default=DEMO_EMAIL)
    parser.add_argument("--password", default=DEMO_PASSWORD)
    parser.add_argument("--symbol", default="SOL-USD")
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path, default=None)
    options = vars(parser.parse_args())
    target = options.pop("json")
    result = run(options.pop("url"), **options)
    text = json.dumps(result, indent=2)
    print(text)
    if target is not None:
        target.write_text(text + "\n")


if __name__ == "__main__":
    main()
