"""Settings of the fallback app: those of the environment with everything left out that needs more than PostgreSQL.

Sessions are rows of the same table as the portal's, without the cache in front; wrong tries are counted in this process when Valkey is away;
jobs wait in the outbox. Owns what differs (``OVERRIDES``, which tests put over their own settings); why: docs/adr/0041-fallback-app.md.
"""

from typing import Any

from brokerage.settings import *  # noqa: F403
from brokerage.settings import BASE_DIR, CONFIG, MIDDLEWARE, TEMPLATES

_LEFT_OUT = {"backoffice.middleware.StaffGateMiddleware", "backoffice.middleware.ViewAsMiddleware"}
_INSTEAD = {"accounts.middleware.PolicyMiddleware": "accounts.middleware.FallbackPolicyMiddleware"}
#: Browsers send a host's cookies to all of its ports, so these have names of their own.
_PREFIX = "__Host-" if CONFIG.production else ""

OVERRIDES: dict[str, Any] = {
    "ROOT_URLCONF": "brokerage.urls_fallback",
    "ASGI_APPLICATION": "brokerage.asgi_fallback.application",
    "MIDDLEWARE": [_INSTEAD.get(name, name) for name in MIDDLEWARE if name not in _LEFT_OUT],
    # base.html of this folder stands in for the portal's, in pages of errors too.
    "TEMPLATES": [{**TEMPLATES[0], "DIRS": [BASE_DIR / "templates" / "fallback", BASE_DIR / "templates"]}],
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
    "SESSION_COOKIE_NAME": f"{_PREFIX}fallback-session",
    "CSRF_COOKIE_NAME": f"{_PREFIX}fallback-csrf",
    "CSRF_TRUSTED_ORIGINS": [CONFIG.fallback_url],
    "COUNT_HERE_WITHOUT_VALKEY": True,
    "JOBS_BY_OUTBOX": True,
}
globals().update(OVERRIDES)
