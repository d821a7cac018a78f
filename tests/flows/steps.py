"""Steps the flows of orders share: a limit order's body, placing it, reading a refusal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.conftest_engine import Trader

SYMBOL = "SOL-USD"


def limit(side: str, qty: str, price: Decimal | str, **more: Any) -> dict[str, Any]:
    return {"symbol": SYMBOL, "side": side, "type": "limit", "qty": qty, "price": str(price), **more}


def placed(trader: Trader, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = trader.api("POST", "orders", body, **headers)
    assert answer.status_code == 201, answer.content
    return answer.json()


def refused(answer: Any) -> tuple[int, int]:
    assert answer["Content-Type"] == "application/problem+json", answer.content
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer["X-Request-ID"]
    assert document["rule"]
    assert document["next_step"]
    return answer.status_code, document["code"]
