"""From fill to browser: how long after the engine stamped a trade its message is in a client's hands, on a running platform.

    python -m tests.bench.fill_latency [--url http://127.0.0.1:8000] [--orders 100] [--seconds 10] [--json FILE]

Two figures: public trades (engine -> market data process -> Valkey -> hub -> socket; every trade of the demo market is counted) and one's own fills
(engine -> projector -> PostgreSQL commit -> Valkey -> socket; market orders of the least quantity, placed by REST as a demo investor). Both
ends read the same machine's clock; the engine's time is the one the sequencer stamped, before the journal was written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import websockets

from brokerage.kernel.clock import parse_rfc3339
from tests.bench.rest_bench import DEMO_EMAIL, DEMO_PASSWORD, Api, percentile


async def _read(
    address: str, first: list[dict[str, Any]], take: Callable[[dict[str, Any], int], None], ready: asyncio.Event
) -> None:
    async with websockets.connect(address, compression=None, max_size=None) as client:
        for message in first:
            await client.send(json.dumps(message))
        async for text in client:
            now_ns = time.time_ns()
            frame = json.loads(text)
            if frame["type"] == "hb":
                await client.send(json.dumps({"op": "hb", "n": frame["n"]}))
            elif frame["type"] in {"ready", "subscribed"}:
                ready.set()
            elif frame["type"] == "error":
                raise SystemExit(f"the stream refused: {frame}")
            else:
                take(frame, now_ns)


def _figures(taken: list[float]) -> dict[str, Any]:
    if not taken:
        return {"count": 0}
    return {
        "count": len(taken),
        "p50_ms": round(statistics.median(taken), 2),
        "p95_ms": round(percentile(taken, 0.95), 2),
        "p99_ms": round(percentile(taken, 0.99), 2),
        "max_ms": round(max(taken), 2),
    }


async def measure(url: str, api: Api, symbol: str, orders: int, seconds: float) -> dict[str, Any]:
    """Listen, trade, compare clocks."""
    base = url.replace("http", "ws", 1)
    instruments = api.call("GET", "instruments")[1]["results"]
    quantity = api.call("GET", f"instruments/{symbol}")[1]["min_qty"]
    public: list[float] = []
    own: list[float] = []
    seen: set[str] = set()

    def on_public(frame: dict[str, Any], now_ns: int) -> None:
        if frame["type"] == "trades" and not frame.get("snapshot"):
            public.extend((now_ns - parse_rfc3339(trade["ts"])) / 1e6 for trade in frame["trades"])

    def on_own(frame: dict[str, Any], now_ns: int) -> None:
        if frame["type"] == "execution" and frame["execution"]["exec_id"] not in seen:
            seen.add(frame["execution"]["exec_id"])
            own.append((now_ns - parse_rfc3339(frame["execution"]["time"])) / 1e6)

    topics = [f"trades:{instrument['symbol']}" for instrument in instruments]
    listening, ready = asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(
            _read(f"{base}/ws/v1/market", [{"op": "subscribe", "topics": topics}], on_public, listening)
        ),
        asyncio.create_task(_read(f"{base}/ws/v1/private", [{"op": "auth", "token": api.token}], on_own, ready)),
    ]
    await asyncio.wait(
        [asyncio.gather(listening.wait(), ready.wait()), *tasks], timeout=20, return_when=asyncio.FIRST_COMPLETED
    )
    for task in tasks:
        if task.done():
            task.result()
    end = time.monotonic() + seconds
    refused = 0
    for number in range(orders):
        order = {
            "symbol": symbol,
            "side": "buy" if number % 2 == 0 else "sell",
            "type": "market",
            "time_in_force": "ioc",
            "qty": quantity,
        }
        status, _ = await asyncio.to_thread(api.call, "POST", "orders", order)
        refused += status != 201
        await asyncio.sleep(0.05)
    await asyncio.sleep(max(1.0, end - time.monotonic()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "public_trades": _figures(public),
        "own_fills": _figures(own),
        "orders": orders,
        "refused": refused,
        "load": os.getloadavg()[0],
    }


def run(url: str, *, symbol: str = "SOL-USD", orders: int = 100, seconds: float = 10.0) -> dict[str, Any]:
    """Sign in and measure."""
    status, tokens = Api(url).call("POST", "auth/token", {"email": DEMO_EMAIL, "password": DEMO_PASSWORD})
    if status != 200:
        raise SystemExit(f"signing in answered {status}: {tokens}")
    return asyncio.run(measure(url, Api(url, tokens["access"]), symbol, orders, seconds))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--symbol", default="SOL-USD")
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
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
