"""Settings of the test run: real PostgreSQL and Valkey, cheap password hashes, mail kept in memory."""

from brokerage.settings.base import *  # noqa: F403
from brokerage.settings.base import CONFIG, DATABASES

DATABASES["default"]["TEST"] = {"NAME": f"test_brokerage{'_' + CONFIG.test_db_suffix if CONFIG.test_db_suffix else ''}"}
# Persistent connections would keep the test database busy when it is dropped.
DATABASES["default"]["CONN_MAX_AGE"] = 0
# Hashing is tested with the real hasher where it is the subject; elsewhere 250 ms a user would only slow the run.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", "accounts.hashers.CalibratedArgon2PasswordHasher"]
# Who signs in with a password alone is in most tests; what the switch does is tested where it is the subject.
CLIENT_SECOND_FACTOR = False
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# Files are looked for when asked for, not listed by each of the thousands of test clients.
WHITENOISE_AUTOREFRESH = True
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
