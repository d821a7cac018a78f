"""The fallback app in process: its settings over those of the tests, and browsers signed in to it."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client, override_settings

PASSWORD = "Correct-Horse-2026"
#: Where no Valkey ever answers.
NO_VALKEY = "unix:///nonexistent/valkey.sock"


def fallback_app(**more: Any) -> override_settings:
    """Context manager and decorator: routes, middleware, cookies and sessions of the fallback app."""
    from brokerage.settings.fallback import OVERRIDES

    return override_settings(**{**OVERRIDES, **more})


def signed_in(email: str, password: str = PASSWORD) -> Client:
    """A browser that has signed in with a password alone."""
    client = Client()
    answer = client.post("/signin", {"email": email, "password": password})
    assert answer.status_code == 302, answer.content.decode()
    return client


def key_of(page: Any) -> str:
    """The form's own key on a page."""
    found = re.search(r'name="key" value="([^"]+)"', page.content.decode())
    assert found, page.content.decode()
    return found[1]
