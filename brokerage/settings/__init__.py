"""Django settings, chosen by BROKERAGE_ENV: ``local`` (default), ``test`` or ``production``."""

from brokerage.config import get_config

_env = get_config().env
if _env == "production":
    from brokerage.settings.production import *  # noqa: F403
elif _env == "test":
    from brokerage.settings.test import *  # noqa: F403
else:
    from brokerage.settings.local import *  # noqa: F403
