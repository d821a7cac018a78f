"""``manage.py run_fix``: the FIX gateway, for clients' sessions (docs/fix.md)."""

import asyncio
import signal

import uvloop
from django.core.management.base import BaseCommand

from brokerage.config import get_config
from brokerage.platform.health import mark_ready
from trading.fix_gateway.acceptor import Gateway


class Command(BaseCommand):
    """Serve FIX sessions until SIGTERM."""

    help = __doc__
    # The launcher has checked already; a restart after a crash should not wait for it.
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        """Serve."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve())


async def _serve() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await Gateway(get_config()).run(stopped, lambda: mark_ready("fix"))
