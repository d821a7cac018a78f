"""What processes remember of rows, between tests: dropped, or kept from aging."""

from __future__ import annotations

import pytest


def forget_caches() -> None:
    """Drop what processes remember of rows."""
    from accounts.selectors.access import accounts_forget
    from brokerage.platform.auth import users_forget
    from brokerage.platform.crypto import keyring_forget
    from brokerage.platform.remembered import pause_end
    from brokerage.platform.valkey import get_valkey
    from marketdata.selectors.instruments import reference_forget
    from trading.services import order_cache

    order_cache._rows.clear()
    # All tests come from one address: what one used up must not refuse the next.
    budgets = list(get_valkey().scan_iter("th:*"))
    if budgets:
        get_valkey().delete(*budgets)
    accounts_forget()
    users_forget()
    pause_end()
    # A flushed database counts its keys from one again.
    keyring_forget()
    reference_forget()


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches that do not age during the test, so that the queries counted are those of the work itself."""
    from accounts.selectors import access, sessions
    from brokerage.platform import auth
    from marketdata.selectors import instruments

    for memory in (access._accounts, auth._users, sessions._states):
        monkeypatch.setattr(memory, "age_ns", 10**15)
    monkeypatch.setattr(instruments, "MAX_AGE_NS", 10**15)
