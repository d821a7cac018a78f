"""Settings of a developer's machine and of the demo; ``DEBUG=1`` for debug pages and static files that are looked for at each request."""

from brokerage.settings.base import *  # noqa: F403
from brokerage.settings.base import CONFIG

DEBUG = CONFIG.debug

# On a developer's machine every browser, script and test comes from one address.
STREAM_LIMITS = {"per_ip": 500}
