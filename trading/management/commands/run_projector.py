"""``manage.py run_projector``: the process that turns engine events into rows."""

import signal
from types import FrameType

from django.core.management.base import BaseCommand

from brokerage.config import get_config
from brokerage.platform.health import mark_ready
from trading.engine.gateway import EngineClient
from trading.projection.projector import Projector


class Command(BaseCommand):
    """Run the projector until SIGTERM."""

    help = __doc__
    # The launcher has checked already; a restart after a crash should not wait for it.
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        """Project."""
        stopped = False

        def stop(signum: int, frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        client = EngineClient(get_config().engine_socket)
        Projector(client, stopping=lambda: stopped, on_ready=lambda: mark_ready("projector")).run()
        client.close()
