"""``manage.py run_demo_market``: the process that keeps the demo's markets alive. ``--rate N`` overrides DEMO_RATE (commands per second).

The rate can be changed while it runs: ``manage.py demo_rate 200``.
"""

import signal
import time
from types import FrameType

from django.core.cache import cache
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from brokerage.config import get_config
from brokerage.kernel.clock import SystemClock
from brokerage.platform.health import heartbeat, mark_ready
from trading.demo.runner import DemoMarket, DemoStats
from trading.demo.setup import demo_accounts, demo_instruments
from trading.engine.gateway import EngineClient, EngineUnavailable

RATE_KEY = "demo:rate"


class Command(BaseCommand):
    """Run the seeded demo market until SIGTERM."""

    help = __doc__
    # The launcher has checked already; a restart after a crash should not wait for it.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--rate``."""
        parser.add_argument("--rate", type=int, default=None)

    def handle(self, *args: object, **options: object) -> None:
        """Open and fund the demo accounts, then trade."""
        config = get_config()
        stopped = False

        def stop(signum: int, frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        client = EngineClient(config.engine_socket)
        makers: list[int] = []
        takers: list[int] = []
        while not stopped and not makers:
            try:
                makers, takers = demo_accounts(client, lambda: stopped)
            except EngineUnavailable as error:
                heartbeat("demo", "waiting", detail=str(error))
                time.sleep(1.0)
        if stopped:
            return
        default_rate = options["rate"] if options["rate"] is not None else config.demo_rate
        asked = (0.0, default_rate)

        def rate() -> int:
            nonlocal asked
            if time.monotonic() - asked[0] > 2.0:
                asked = (time.monotonic(), cache.get(RATE_KEY, default_rate))
            return asked[1]

        market = DemoMarket(
            client,
            demo_instruments(),
            maker_accounts=makers,
            taker_accounts=takers,
            seed=config.demo_seed,
            clock=SystemClock(),
            rate=rate,
        )
        close_old_connections()
        ready = False

        def beat(stats: DemoStats) -> None:
            nonlocal ready
            heartbeat(
                "demo",
                "running",
                sent=stats.sent,
                fills=stats.fills,
                unknown=stats.unknown,
                refused=stats.refused,
                rate=rate(),
            )
            if not ready:
                mark_ready("demo")
                ready = True

        market.run(lambda: stopped, beat)
        client.close()
