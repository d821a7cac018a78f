"""JSON shapes of rows: averages, unknown values, refusals in their own units."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.selectors.access import AccountRef
from brokerage.kernel.terms import OrdStatus, Side
from brokerage.platform.problems import ApiProblem
from marketdata.selectors.instruments import AssetRef, InstrumentRef
from trading.selectors.portfolio import margin_hold, mark_of
from trading.selectors.shapes import average_text, order_json, order_public_id, position_json, reject_numbers
from trading.services.order_entry import account_demand

USD = AssetRef("USD", "US dollar", "fiat", 6, 2, 1)
SOL = AssetRef("SOL", "Solana", "crypto", 8, 8, 6)


def instrument(**changes: Any) -> InstrumentRef:
    values = {
        "core_instrument": 3, "symbol": "SOL-USD", "name": "Solana", "kind": "spot", "asset_class": "crypto", "base": SOL, "quote": USD,
        "venue": "DEMO", "calendar": "24/7", "isin": "", "cfi": "", "tick_size": Decimal("0.001"), "lot_size": Decimal("0.01"),
        "price_decimals": 3, "qty_decimals": 2, "tick_value": 10, "lot_minor": 1_000_000, "min_qty": 1, "max_qty": 0, "max_notional": 0,
        "collar_ppm": 0, "maker_ppm": 500, "taker_ppm": 1000, "margin_ppm": 0, "state": "active", "history_source": "",
    }  # fmt: skip
    return InstrumentRef(**{**values, **changes})


SPOT = instrument()
MARGIN = instrument(kind="margin", base=None, margin_ppm=100_000)


def row(**changes: Any) -> dict[str, Any]:
    values = {
        "order_id": 5, "core_account": 1, "core_instrument": 3, "cl_ord_id": "", "side": 1, "ord_type": 2, "time_in_force": 1, "flags": 3,
        "stp": 1, "price": 150_000, "order_qty": 300, "leaves_qty": 100, "cum_qty": 200, "notional_sum": 200 * 150_001, "fee_sum": 7,
        "ord_status": 1, "reject_reason": 0, "cancel_reason": 0, "version": 2, "expire_ns": 0, "created_ns": 1_000, "updated_ns": 2_000,
        "seq": 9,
    }  # fmt: skip
    return {**values, **changes}


def test_an_order_in_decimals() -> None:
    shown = order_json(row(), SPOT, "A1")
    assert (shown["price"], shown["qty"], shown["filled_qty"], shown["leaves_qty"]) == (
        "150.000",
        "3.00",
        "2.00",
        "1.00",
    )
    assert (shown["avg_price"], shown["fee"], shown["fee_asset"]) == ("150.001", "0.000007", "USD")
    assert (shown["post_only"], shown["reduce_only"], shown["client_order_id"]) == (True, True, None)
    assert (shown["created_at"], shown["updated_at"]) == ("1970-01-01T00:00:00.000001Z", "1970-01-01T00:00:00.000002Z")


@pytest.mark.parametrize("status", list(OrdStatus))
def test_every_status_has_its_word(status: OrdStatus) -> None:
    assert order_json(row(ord_status=int(status)), SPOT, "A1")["status"] == status.api


def test_a_market_order_shows_no_price() -> None:
    assert order_json(row(ord_type=1), SPOT, "A1")["price"] is None


def test_what_is_not_known_stays_null() -> None:
    shown = order_json(row(notional_sum=None, fee_sum=None, created_ns=None, ord_type=None, stp=None), SPOT, "A1")
    assert [shown[name] for name in ("avg_price", "fee", "created_at", "type", "stp")] == [None] * 5


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(1, 10**9), st.integers(1, 10**6))
def test_the_average_lies_between_its_prices(px1: int, qty1: int, px2: int, qty2: int) -> None:
    text = average_text(px1 * qty1 + px2 * qty2, qty1 + qty2, SPOT)
    assert text is not None
    average = Decimal(text)
    half = Decimal("0.00000005")
    assert min(px1, px2) * SPOT.tick_size - half <= average <= max(px1, px2) * SPOT.tick_size + half
    assert len(text.partition(".")[2]) >= SPOT.price_decimals


def test_refused_orders_have_ids_of_their_own() -> None:
    from trading.selectors.orders import order_number

    for number in (5, -5, 2**63 - 1, -(2**63 - 1)):
        assert order_number(order_public_id(number)) == number
    for text in ("", "R", "x" * 13, "0" * 13, "R" + "0" * 13, "F" * 13 + "F", "FZZZZZZZZZZZZ"):
        assert order_number(text) is None, text


@pytest.mark.parametrize(
    ("code", "side", "wanted"),
    [
        (4001, Side.BUY, ("0.000005 USD", "0.000004 USD")),
        (4001, Side.SELL, ("0.00000005 SOL", "0.00000004 SOL")),
        (4003, Side.BUY, ("0.000005 USD", "0.000004 USD")),
        (3005, Side.BUY, ("0.05", None)),
        (5004, Side.BUY, ("0.05", "0.04")),
        (4002, Side.BUY, ("0.003", None)),
        (4004, Side.BUY, ("5", None)),
        (5006, Side.BUY, ("5", None)),
        (3003, Side.BUY, (None, None)),
    ],
)
def test_refusals_in_their_own_units(code: int, side: Side, wanted: tuple[str | None, str | None]) -> None:
    assert reject_numbers(code, needed=5, available=4, price=3, side=side, instrument=SPOT) == wanted


def position(net: int, cost: int) -> dict[str, Any]:
    return {"core_account": 1, "core_instrument": 3, "net": net, "cost": cost, "realised_pnl": 0, "seq": 1}


def test_a_position_without_a_mark_is_not_worth_zero() -> None:
    shown = position_json(position(100, 150_000 * 100 * 10), SPOT)
    assert shown["avg_price"] == "150.000"
    assert [shown[name] for name in ("mark_price", "market_value", "unrealised_pnl", "margin_held")] == [None] * 4


@pytest.mark.parametrize(("net", "wanted"), [(100, "1.000000"), (-100, "-1.000000")])
def test_profit_has_the_sign_of_the_side(net: int, wanted: str) -> None:
    shown = position_json(position(net, net * 150_000 * 10), MARGIN, mark=(151_000, "t"))
    assert shown["unrealised_pnl"] == wanted


def test_a_mark_is_where_one_could_close() -> None:
    quote = {"bid": "149.999", "ask": "150.001", "last": "150.000", "ts": "t"}
    assert mark_of(quote, 1, SPOT) == (149_999, "t")
    assert mark_of(quote, -1, SPOT) == (150_001, "t")
    assert mark_of({**quote, "bid": None}, 1, SPOT) == (150_000, "t")
    assert mark_of({"bid": None, "ask": None, "last": None, "ts": "t"}, 1, SPOT) is None
    assert mark_of(None, 1, SPOT) is None


def test_margin_is_the_cores_formula() -> None:
    # 100 lots at 150.000: 150 USD; ten per cent; reserve 0.1 % of each order's value, rounded down.
    cost = 150_000 * 100 * 10
    assert margin_hold(MARGIN, cost, []) == cost // 10
    assert margin_hold(MARGIN, cost, [(2, 150_000, 100)]) == cost // 10 + cost // 1000
    assert margin_hold(MARGIN, cost, [(1, 150_000, 100)]) == 2 * cost // 10 + cost // 1000
    assert margin_hold(MARGIN, 0, [(1, 1, 1)]) == 1, "rounded up"


def account(status: str, role: str) -> AccountRef:
    return AccountRef(
        uuid4(), "A1", 1, "individual", "USD", status, role, datetime.now(UTC), kyc_tier=1, trading_allowed=True
    )


@pytest.mark.parametrize("status", ["pending", "suspended", "closed"])
def test_only_an_active_account_enters_orders(status: str) -> None:
    account_demand(account("active", "trader"), entering=True)
    account_demand(account(status, "owner"), entering=False)
    with pytest.raises(ApiProblem) as refused:
        account_demand(account(status, "owner"), entering=True)
    assert refused.value.code == 2015
