"""An order that is stored between two looks is found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trading.selectors import engine_orders, projection


def test_an_order_stored_while_the_engine_was_asked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: dict[int, dict[str, Any]] = {}

    def status() -> Any:
        stored[7] = {"order_id": 7}  # the projector commits in this very moment
        return SimpleNamespace(cmd_seq=5)

    monkeypatch.setattr(engine_orders, "order_get", lambda account, order_id: stored.get(order_id))
    monkeypatch.setattr(engine_orders, "get_engine_client", lambda: SimpleNamespace(status=status))
    monkeypatch.setattr(projection, "projection_get", lambda: SimpleNamespace(cmd_seq=5, halted_reason=""))
    assert engine_orders.order_find(1, 7) == {"order_id": 7}
