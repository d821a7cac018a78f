"""The vocabulary agrees with FIX and with the core's numbers."""

from __future__ import annotations

from enum import IntEnum

import pytest

from brokerage.kernel import terms
from native import layout


@pytest.mark.parametrize(
    ("ours", "core"),
    [
        (terms.Side, layout.Side),
        (terms.OrdType, layout.OrdType),
        (terms.TimeInForce, layout.Tif),
        (terms.StpMode, layout.Stp),
        (terms.TradingState, layout.TradingState),
        (terms.InstrumentKind, layout.InstrumentKind),
        (terms.CancelReason, layout.CancelReason),
    ],
)
def test_numbers_and_names_are_the_cores(ours: type[terms.Term], core: type[IntEnum]) -> None:
    # Only a term of the core has "no side"; orders always have one.
    theirs = {name: member.value for name, member in core.__members__.items() if (core, name) != (layout.Side, "NONE")}
    assert {member.name: member.value for member in ours} == theirs


def test_fix_values() -> None:
    assert [side.fix for side in terms.Side] == ["1", "2"]
    assert [tif.fix for tif in terms.TimeInForce] == ["0", "1", "3", "4", "6"]
    assert [status.fix for status in terms.OrdStatus] == ["0", "1", "2", "4", "8", "C"]
    assert {exec_type.name: exec_type.fix for exec_type in terms.ExecType} == {
        "NEW": "0", "CANCELED": "4", "REPLACED": "5", "REJECTED": "8", "EXPIRED": "C", "RESTATED": "D", "TRADE": "F",
        "ORDER_STATUS": "I",
    }  # fmt: skip


def test_names_round_trip_and_strangers_are_told_the_choices() -> None:
    for term in (terms.Side, terms.OrdType, terms.TimeInForce, terms.OrdStatus, terms.ExecType, terms.StpMode):
        for member in term:
            assert term.from_api(member.api) is member
            assert term.from_fix(member.fix) is member
    with pytest.raises(ValueError, match="buy, sell"):
        terms.Side.from_api("BUY")
    with pytest.raises(ValueError, match="no Side"):
        terms.Side.from_fix("9")
    assert terms.Side.choices() == [(1, "buy"), (2, "sell")]


def test_sides_and_states() -> None:
    assert terms.Side.BUY.opposite is terms.Side.SELL
    assert terms.Side.SELL.opposite is terms.Side.BUY
    assert (terms.Side.BUY.sign, terms.Side.SELL.sign) == (1, -1)
    assert [status.terminal for status in terms.OrdStatus] == [False, False, True, True, True, True]
    assert all(reason.text.endswith(".") for reason in terms.CancelReason)
