"""WebSockets take any frames without harm: garbage is cut or refused by name, and who behaves notices nothing.

``python -m tests.fuzz --frames 100000`` is the long run of the same.
"""

from __future__ import annotations

import asyncio
import os
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.conftest_engine import Child, LivePlatform, LiveWeb
from tests.fuzz.sockets import run

FRAMES = int(os.environ.get("FUZZ_FRAMES", "0")) or 4_000
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))


@pytest.mark.slow
def test_frames_do_no_harm(live_platform: LivePlatform, live_market: Child, live_web: LiveWeb) -> None:
    trader, stranger = live_platform.trader("framed"), live_platform.trader("other")
    port = urlsplit(live_web.url).port
    assert port is not None
    assert live_web.child.process is not None
    process = live_web.child.process.pid
    seen, pings = asyncio.run(
        run(port, FRAMES, SEED, ["BTC-USD", "SOL-USD"], [trader.account.number, stranger.account.number], trader.token)
    )
    pings.sort()
    print(
        f"WebSocket: {seen.frames} frames on {seen.connections} connections, seed {SEED}; errors {dict(seen.errors)}, "
        f"ends {dict(seen.closes)}; {len(pings)} pings of a bystander, median {pings[len(pings) // 2] * 1000:.1f} ms, "
        f"longest {pings[-1] * 1000:.0f} ms"
    )
    assert seen.faults == []
    assert seen.frames >= FRAMES
    assert {"malformed", "unknown_op", "too_large"} <= set(seen.errors), "the garbage reached the parser"
    assert live_web.child.process.poll() is None
    assert live_web.child.process.pid == process
    with urllib.request.urlopen(f"{live_web.url}/health/live", timeout=5) as answer:  # noqa: S310 - our own server
        assert answer.status == 200
    log = live_web.child.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
