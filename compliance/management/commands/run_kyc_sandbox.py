"""``manage.py run_kyc_sandbox``: the demo's KYC vendor, an HTTP service of its own on loopback."""

import signal
import threading
from types import FrameType
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand

from brokerage.config import get_config
from brokerage.platform.health import mark_ready
from compliance.providers.sandbox_server import Sandbox, server_make


class Command(BaseCommand):
    """Serve until SIGTERM."""

    help = __doc__
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        """Listen, say so, wait."""
        config = get_config()
        sandbox = Sandbox(config.kyc_secret, f"{config.base_url}/api/v1/onboarding/webhooks/sandbox")
        server = server_make(sandbox, urlsplit(config.kyc_url).port or 0)
        stopping = threading.Event()

        def stop(signum: int, frame: FrameType | None) -> None:
            stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mark_ready("kyc-sandbox")
        stopping.wait()
        server.shutdown()
        server.server_close()
