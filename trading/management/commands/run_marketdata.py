"""``manage.py run_marketdata``: the market data process. Stops cleanly on SIGTERM; waits for whatever is away."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

import redis.asyncio
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from brokerage.config import get_config
from brokerage.platform.health import heartbeat, mark_ready
from trading.engine.gateway import AsyncEngineClient
from trading.projection.market_runner import HaltedError, MarketDataRunner

log = logging.getLogger(__name__)


class Command(BaseCommand):
    """Run until told to stop."""

    help = "Turn engine events into books, quotes, candles and the tape."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run; a halt is told by heartbeat until an operator stops the process, since starting again would not help."""
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_main())
        except KeyboardInterrupt:
            return


async def _main() -> None:
    client = AsyncEngineClient(get_config().engine_socket)
    valkey = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=5.0, socket_connect_timeout=2.0)
    runner = MarketDataRunner(client, valkey, on_ready=lambda: mark_ready("marketdata"))
    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        runner.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await runner.run()
    except HaltedError as error:
        log.error("market data halted: %s", error)
        runner.pipeline.watch.halted(str(error))
        runner.publisher.show_states()
        while not stopping.is_set():
            try:
                await runner.publisher.publish_due()
                await runner.publisher.publish_status()
            except (redis.RedisError, OSError):
                pass
            await asyncio.to_thread(heartbeat, "marketdata", "halted", detail=str(error))
            try:
                await asyncio.wait_for(stopping.wait(), 2.0)
            except TimeoutError:
                continue
        raise CommandError(str(error)) from error
    finally:
        await client.close()
        await valkey.aclose()
