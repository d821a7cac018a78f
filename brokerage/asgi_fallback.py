"""ASGI entry point of the fallback app (process ``web-fallback``): HTTP to the few routes of ``brokerage/urls_fallback.py``, nothing else."""

import os

import django

# Set, not defaulted: the launcher names the portal's settings for every process.
os.environ["DJANGO_SETTINGS_MODULE"] = "brokerage.settings.fallback"
django.setup(set_prefix=False)  # first: everything below needs Django set up

from brokerage.platform.http import ThreadedHandler  # noqa: E402

application = ThreadedHandler()
