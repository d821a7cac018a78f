"""Settings common to every environment. The overrides live in ``local.py``, ``test.py`` and ``production.py``.

Owns: installed apps, middleware order, database and cache wiring, DRF, JWT, Channels, Celery, static files.
Leaves to others: reading the environment (``brokerage/config.py``).
"""

import json
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from celery.schedules import crontab
from django.templatetags.static import static

from brokerage.config import BASE_DIR, ConfigError, get_config

CONFIG = get_config()

SECRET_KEY = CONFIG.secret_key
DEBUG = False
ALLOWED_HOSTS = list(CONFIG.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(CONFIG.csrf_trusted_origins)
ROOT_URLCONF = "brokerage.urls"
ASGI_APPLICATION = "brokerage.asgi.application"
WSGI_APPLICATION = "brokerage.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False  # API paths have none, and a redirect would turn a POST into a GET

INSTALLED_APPS = [
    "daphne",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_otp",
    "guardian",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "brokerage.platform",
    "accounts",
    "marketdata",
    "risk",
    "trading",
    "compliance",
    "backoffice",
]

MIDDLEWARE = [
    "brokerage.platform.middleware.RequestIdMiddleware",
    "brokerage.platform.throttling.RateHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "brokerage.platform.web.SecurityHeadersMiddleware",
    "brokerage.platform.transport.PlainHttpMiddleware",
    # Before everything that may answer by itself (files, the staff gate), so that those answers have the header too.
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.FactorMiddleware",
    "brokerage.platform.audit.AuditContextMiddleware",
    "brokerage.platform.refusals.RefusalLogMiddleware",
    "accounts.middleware.UserSessionMiddleware",
    "backoffice.middleware.StaffGateMiddleware",
    "backoffice.middleware.ViewAsMiddleware",
    "accounts.middleware.PolicyMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "brokerage.platform.web.page_context",
            ],
        },
    },
]


def database_from_url(url: str) -> dict[str, object]:
    """Turn ``postgresql://user:password@host:port/name?host=/socket/dir`` into Django's settings; raises ConfigError."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ConfigError(f"DATABASE_URL must begin with postgresql://, not {parts.scheme or 'nothing'}://.")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host = query.pop("host", "") or unquote(parts.hostname or "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or query.pop("user", "")),
        "PASSWORD": unquote(parts.password or query.pop("password", "")),
        "HOST": host,
        "PORT": str(query.pop("port", "") or parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**query, "application_name": "brokerage"},
        "ATOMIC_REQUESTS": False,
    }


def providers_from_file(path: Path | None) -> list[dict[str, str]]:
    """Read the OpenID providers: a JSON list of id, name, server_url, client_id and secret; raises ConfigError."""
    if path is None:
        return []
    wanted = {"id", "name", "server_url", "client_id", "secret"}
    try:
        rows = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"OIDC_FILE={str(path)!r} cannot be read ({type(error).__name__}).") from error
    if not isinstance(rows, list) or any(not isinstance(row, dict) or set(row) != wanted for row in rows):
        raise ConfigError(f"OIDC_FILE={str(path)!r} must be a JSON list of objects with {', '.join(sorted(wanted))}.")
    return rows


# Without a URL (a management command run by hand before `make run`), Django starts but any query says what is missing.
DATABASES = {"default": database_from_url(CONFIG.database_url or "postgresql://postgres@/brokerage?host=/nonexistent")}
REDIS_URL = CONFIG.redis_url or "unix:///nonexistent/valkey.sock"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "c",
        "TIMEOUT": 300,
        "OPTIONS": {"serializer": "brokerage.platform.session_store.JsonSerializer"},
    },
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "ch"},
    },
}
SESSION_ENGINE = "brokerage.platform.session_store"
#: Knows a browser again, so that a new one can be told to its owner (accounts/services/devices.py).
DEVICE_COOKIE_NAME = "device"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
# In the session rather than in a cookie of their own.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_FAILURE_VIEW = "brokerage.platform.web.csrf_failure"

PASSWORD_HASHERS = [
    "accounts.hashers.CalibratedArgon2PasswordHasher",
    "accounts.hashers.GatedBCryptPasswordHasher",
    "accounts.hashers.GatedScryptPasswordHasher",
    "accounts.hashers.GatedPBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.breached.BreachedPasswordValidator"},
    {"NAME": "accounts.house_words.HouseWordsValidator"},
]
AUTHENTICATION_BACKENDS = [
    # Answers every password itself; Django's own back end after it only knows sessions and permissions.
    "accounts.backends.PasswordBackend",
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
    "backoffice.backends.BreakGlassBackend",
]
ANONYMOUS_USER_NAME = None  # guardian: no database row for visitors
# django-allauth only speaks OpenID Connect; accounts, sign-in and sign-up are ours (accounts/views/social.py).
OIDC_PROVIDERS = providers_from_file(CONFIG.oidc_file)
TAX_RATES_FILE = CONFIG.tax_rates_file
SOCIALACCOUNT_ADAPTER = "accounts.views.social.PortalSocialAdapter"
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True}}
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*"]
#: More leaked passwords than the built-in list: a file made by `manage.py build_breached_list`.
BREACHED_FILE = CONFIG.var_dir / "breached.bin"
LOGIN_URL = "/signin"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/signin"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

NODE_MODULES = BASE_DIR / "node_modules"
STATIC_URL = "/static/"
STATIC_ROOT = CONFIG.static_root
if not CONFIG.production:
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # nothing is collected here, but whitenoise wants the folder
STATICFILES_DIRS = [
    BASE_DIR / "static",
    *[
        (f"vendor/{name}", NODE_MODULES / path)
        for name, path in (
            ("lightweight-charts", "lightweight-charts/dist"),
            ("inter", "@fontsource-variable/inter"),
            ("mono", "@fontsource-variable/jetbrains-mono"),
        )
        if (NODE_MODULES / path).is_dir()
    ],
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False
MEDIA_ROOT = CONFIG.var_dir / "media"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "brokerage.platform.signing.SignatureAuthentication",
        "brokerage.platform.auth.BearerAuthentication",
        "brokerage.platform.auth.PortalSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["brokerage.platform.parsers.ExactJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["brokerage.platform.throttling.PolicyThrottle"],
    "EXCEPTION_HANDLER": "brokerage.platform.problems.problem_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
ADMIN_PATH = CONFIG.admin_path
#: Pages and calls of staff: behind the list of networks and the second factor (backoffice/middleware.py).
STAFF_PREFIXES = (f"/{ADMIN_PATH}/", "/desk", "/compliance", "/api/v1/desk/")
STAFF_NETWORKS = CONFIG.staff_networks
CLIENT_SECOND_FACTOR = CONFIG.client_second_factor
STAFF_SECOND_FACTOR = CONFIG.staff_second_factor
KEYRING_FILE = CONFIG.keyring_file
JWT_KEYS_FILE = CONFIG.jwt_keys_file
# In production the file is given; a fresh one beside an old database would open nothing.
KEYRING_MAKE = not CONFIG.production
AUDIT_DIRS = [folder for folder in (CONFIG.audit_dir, CONFIG.audit_copy_dir) if folder]
API_RATE_SCALE = CONFIG.rate_scale
SPECTACULAR_SETTINGS = {
    "TITLE": "Brokerage API",
    "VERSION": "1.0.0",
    "DESCRIPTION": "Orders, market data and accounts. Decimals are strings, times are UTC, every error is a problem+json document with a code.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "KycDocumentKind": "compliance.api.schemas.DOCUMENT_KINDS",
        "KycDocumentState": "compliance.api.schemas.DOCUMENT_STATES",
        "OwnerKind": "compliance.api.schemas.OWNER_KINDS",
        "KycState": "compliance.api.schemas.STATES",
        "AccountStatus": "accounts.api.schemas.ACCOUNT_STATUSES",
        "OrderStatus": "trading.api.schemas.ORDER_STATUSES",
        "OrderType": "trading.api.schemas.ORDER_TYPES",
        "LedgerKind": "trading.api.schemas.LEDGER_KINDS",
        "OrderEventType": "trading.api.schemas.EVENT_TYPES",
        "InstrumentState": "marketdata.api.schemas.STATES",
        "PlatformState": "trading.api.schemas.PLATFORM_STATES",
    },
}

#: The fallback app counts tries at passwords in its own process while Valkey is away; the others refuse (brokerage/platform/throttling.py).
COUNT_HERE_WITHOUT_VALKEY = False
#: Jobs are handed to the outbox instead of the queue (brokerage/platform/jobs.py).
JOBS_BY_OUTBOX = False
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

CELERY_BEAT_SCHEDULE = {
    "kyc-clock": {"task": "compliance.tasks.kyc_clock", "schedule": 10.0},
    # At night, when little is written.
    "retention": {"task": "compliance.tasks.retention", "schedule": crontab(hour="3", minute="20")},
}

EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = CONFIG.var_dir / "mail"
DEFAULT_FROM_EMAIL = "Brokerage <no-reply@brokerage.invalid>"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
# Uploaded files stay in memory: a client's passport never lies on the disk in the clear. A larger body is read and dropped.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 10 * 1_048_576

UNFOLD = {
    "SITE_TITLE": "Brokerage desk",
    "SITE_HEADER": "Brokerage desk",
    "SITE_SYMBOL": "monitoring",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/mark.svg")}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "brokerage.platform.middleware.RequestIdFilter"}},
    "formatters": {
        "line": {
            "()": "brokerage.platform.middleware.LineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # Without Django's own handlers: its mails about faults hold cookies, forms and the links people were sent.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "daphne": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}
