"""Settings of production: TLS only, secure cookies, hashed static files. ``manage.py check --deploy`` is clean with them."""

from brokerage.settings.base import *  # noqa: F403
from brokerage.settings.base import STORAGES

DEBUG = False
SECURE_SSL_REDIRECT = True
# Pages are sent on to HTTPS; what programs call is refused instead (brokerage/platform/transport.py). The API's documentation is a page.
SECURE_REDIRECT_EXEMPT = [r"^(?:api/(?!docs$)|embed/[^/]+/portfolio/|health/|version$|\.well-known/)"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "__Host-session"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "__Host-csrf"
DEVICE_COOKIE_NAME = "__Host-device"
WHITENOISE_USE_FINDERS = False
STORAGES["staticfiles"] = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
