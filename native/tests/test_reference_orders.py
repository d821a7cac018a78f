"""Hand-computed order cases, run on the reference and on the C core: numbers from docs/engine.md and a pencil."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from native.layout import CancelReason, CommandFlag, CommandType, Event, EventFlag, EventType, Reject, Stp, Tif
from native.reference import ReferenceConfig, ReferenceCore
from native.tests.house import BTC, BUY, MARGIN, SELL, SPOT, USD, House, kinds, small_config, standard

Make = Callable[..., House]


def c_core(config: dict[str, int]) -> Any:
    from native.core import Core, CoreConfig

    return Core(CoreConfig(**config))


@pytest.fixture(params=["oracle", "compiled"])
def make(request: pytest.FixtureRequest) -> Make:
    def build(**changes: int) -> House:
        config = small_config(**changes)
        return standard(ReferenceCore(ReferenceConfig(**config)) if request.param == "oracle" else c_core(config))

    return build


@pytest.fixture
def house(make: Make) -> House:
    return make()


def figures(event: Event) -> tuple[int, int, int, int, int]:
    return (event.account, event.price, event.qty, event.leaves, event.cum_qty)


# -- resting, price-time priority ------------------------------------------------------------------


def test_a_resting_buy_holds_its_notional_and_the_reserve_of_its_fee(house: House) -> None:
    (accepted,) = house.buy(1, 99, 100)
    # 99 × 100 = 9 900; reserve rate max(1000, 2000) ppm: floor(19.8) = 19.
    assert (accepted.type, accepted.flags) == (EventType.ORDER_ACCEPTED, EventFlag.BOOK | EventFlag.LAST)
    assert (accepted.quote_a, accepted.quote_b) == (1_000_000 - 9_919, 9_919)
    assert (accepted.order_id, accepted.version) == (1 << 32 | 1, 1)
    assert house.depth() == ([(99, 100, 1)], [])
    assert house.core.order(accepted.order_id).held == 9_919


def test_a_resting_sell_holds_its_base(house: House) -> None:
    (accepted,) = house.sell(1, 101, 100)
    assert (accepted.base_a, accepted.base_b) == (1_000_000 - 1_000, 1_000)
    assert house.depth() == ([], [(101, 100, 1)])


def test_best_price_first_then_oldest_first_at_the_makers_price(house: House) -> None:
    house.sell(2, 101, 5)
    house.sell(3, 100, 5)
    house.sell(4, 100, 5)
    events = house.buy(1, 101, 12)
    assert kinds(events) == ["ORDER_ACCEPTED"] + ["ORDER_FILLED"] * 6
    makers = [event for event in events if event.flags & EventFlag.MAKER]
    assert [figures(event) for event in makers] == [(3, 100, 5, 0, 5), (4, 100, 5, 0, 5), (2, 101, 2, 3, 2)]
    assert [bool(event.flags & EventFlag.TERMINAL) for event in makers] == [True, True, False]
    assert events[0].flags == EventFlag.CROSSES
    assert events[-1].flags == EventFlag.TERMINAL | EventFlag.LAST
    assert house.depth() == ([], [(101, 3, 1)])
    assert house.core.reference_price(SPOT) == 101


def test_a_remainder_rests_after_trading(house: House) -> None:
    house.sell(2, 100, 5)
    events = house.buy(1, 100, 12)
    assert kinds(events) == ["ORDER_ACCEPTED", "ORDER_FILLED", "ORDER_FILLED", "ORDER_RESTED"]
    assert figures(events[-1]) == (1, 100, 12, 7, 5)
    assert house.depth() == ([(100, 7, 1)], [])


def test_fills_name_each_other_and_round_each_fee_down(house: House) -> None:
    house.sell(2, 100, 33)
    _, maker, taker = house.buy(1, 120, 33)
    # 3 300: maker floor(3.3) = 3, taker floor(6.6) = 6.
    assert (maker.amount, taker.amount) == (3, 6)
    assert (maker.ref_id, taker.ref_id) == (taker.order_id, maker.order_id)
    assert house.balance(1, USD) == (1_000_000 - 3_300 - 6, 0)
    assert house.balance(2, USD) == (1_000_000 + 3_300 - 3, 0)
    assert house.balance(0, USD) == (9, 0)
    assert house.balance(1, BTC) == (1_000_330, 0)
    assert house.balance(2, BTC) == (999_670, 0)


def test_price_improvement_returns_to_available_while_the_rest_stays_held(house: House) -> None:
    house.sell(2, 90, 10)
    events = house.buy(1, 100, 30)
    # Paid 900 + floor(1.8); 20 left at 100: 2 000 + floor(4).
    assert (events[2].quote_a, events[2].quote_b) == (1_000_000 - 901 - 2_004, 2_004)


def test_a_cancel_releases_everything_and_a_second_one_is_too_late(house: House) -> None:
    (accepted,) = house.buy(1, 99, 100)
    canceled = house.cancel(1, accepted.order_id)
    assert (canceled.type, canceled.reason) == (EventType.ORDER_CANCELED, CancelReason.USER)
    assert canceled.flags == EventFlag.BOOK | EventFlag.TERMINAL | EventFlag.LAST
    assert (canceled.qty, canceled.leaves, canceled.quote_a, canceled.quote_b) == (100, 0, 1_000_000, 0)
    late = house.cancel(1, accepted.order_id)
    assert (late.type, late.reason, late.order_id) == (EventType.CANCEL_REJECTED, Reject.TOO_LATE, accepted.order_id)
    assert house.cancel(1, 99 << 32 | 7).reason == Reject.UNKNOWN_ORDER
    assert house.cancel(1, 0).reason == Reject.UNKNOWN_ORDER


def test_a_strangers_order_is_unknown(house: House) -> None:
    (accepted,) = house.buy(1, 99, 100)
    assert house.cancel(2, accepted.order_id).reason == Reject.UNKNOWN_ORDER
    (refused,) = house.replace(2, accepted.order_id, 98, 100)
    assert (refused.type, refused.reason) == (EventType.REPLACE_REJECTED, Reject.UNKNOWN_ORDER)


def test_slots_are_used_again_last_freed_first_with_the_next_generation(house: House) -> None:
    ids = [house.buy(1, 90 + index, 1)[0].order_id for index in range(3)]
    house.cancel(1, ids[0])
    house.cancel(1, ids[2])
    assert house.buy(1, 95, 1)[0].order_id == 2 << 32 | 3
    assert house.buy(1, 95, 1)[0].order_id == 2 << 32 | 1
    assert house.buy(1, 95, 1)[0].order_id == 1 << 32 | 4


# -- time in force ---------------------------------------------------------------------------------


def test_ioc_cancels_what_does_not_trade_at_once(house: House) -> None:
    house.sell(2, 100, 5)
    events = house.buy(1, 100, 12, tif=Tif.IOC)
    assert kinds(events) == ["ORDER_ACCEPTED", "ORDER_FILLED", "ORDER_FILLED", "ORDER_CANCELED"]
    assert (events[-1].reason, events[-1].qty, events[-1].leaves, events[-1].cum_qty) == (2, 7, 0, 5)
    assert events[-1].flags == EventFlag.TERMINAL | EventFlag.LAST
    assert house.depth() == ([], [])
    assert house.balance(1, USD)[1] == 0


def test_ioc_that_meets_nothing_is_accepted_and_cancelled(house: House) -> None:
    accepted, canceled = house.buy(1, 100, 12, tif=Tif.IOC)
    assert accepted.flags == 0
    assert (accepted.quote_b, canceled.quote_b, canceled.reason) == (1_202, 0, CancelReason.IOC_REMAINDER)


@pytest.mark.parametrize(("qty", "fills"), [(7, True), (8, True), (9, False)])
def test_fok_fills_completely_or_is_refused(house: House, qty: int, fills: bool) -> None:
    house.sell(2, 100, 5)
    house.sell(3, 101, 3)
    house.sell(3, 102, 9)
    events = house.buy(1, 101, qty, tif=Tif.FOK)
    if fills:
        assert events[-1].flags & EventFlag.TERMINAL
        assert events[-1].cum_qty == qty
    else:
        (refused,) = events
        assert (refused.reason, refused.qty, refused.leaves) == (Reject.UNFILLABLE, 9, 8)
        assert house.balance(1, USD) == (1_000_000, 0)


def test_fok_that_needs_more_matches_than_allowed_is_told_so(make: Make) -> None:
    house = make(max_fills_per_command=2)
    for _ in range(3):
        house.sell(2, 100, 1)
    (refused,) = house.buy(1, 100, 3, tif=Tif.FOK)
    assert (refused.reason, refused.qty) == (Reject.FILL_LIMIT, 2)
    assert house.buy(1, 100, 2, tif=Tif.FOK)[-1].cum_qty == 2


def test_the_match_limit_cancels_the_remainder_whatever_its_time_in_force(make: Make) -> None:
    house = make(max_fills_per_command=2)
    for _ in range(3):
        house.sell(2, 100, 1)
    events = house.buy(1, 100, 9, tif=Tif.GTC)
    assert (events[-1].type, events[-1].reason, events[-1].qty) == (
        EventType.ORDER_CANCELED,
        CancelReason.FILL_LIMIT,
        7,
    )
    assert house.depth() == ([], [(100, 1, 1)])


def test_filled_or_out_of_price_comes_before_the_match_limit(make: Make) -> None:
    house = make(max_fills_per_command=2)
    house.sell(2, 100, 1)
    house.sell(2, 100, 1)
    assert kinds(house.buy(1, 100, 9))[-1] == "ORDER_RESTED"


def test_gtd_expires_in_order_of_time_then_slot_and_not_before(house: House) -> None:
    for expire in (3_000, 2_000, 2_000):
        house.buy(1, 90, 1, tif=Tif.GTD, amount=expire)
    assert house.core.next_expiry() == 2_000
    house.now = 1_999
    assert house.one(CommandType.TIME).qty == 0
    house.now = 2_000
    events = house.do(CommandType.TIME)
    assert kinds(events) == ["ORDER_EXPIRED", "ORDER_EXPIRED", "TIME"]
    assert [event.order_id & 0xFF for event in events[:2]] == [2, 3]
    assert (events[0].reason, events[2].qty) == (CancelReason.GTD, 2)
    house.now = 5_000
    assert house.do(CommandType.TIME)[-1].qty == 1
    assert house.core.next_expiry() == 0


def test_gtd_expiry_due_at_this_very_time_is_told_as_more(make: Make) -> None:
    house = make(max_cancels_per_command=2)
    for _ in range(3):
        house.buy(1, 90, 1, tif=Tif.GTD, amount=2_000)
    house.now = 2_000
    assert (house.do(CommandType.TIME)[-1].qty, house.do(CommandType.TIME)[-1].qty) == (2, 1)
    for _ in range(3):
        house.buy(1, 90, 1, tif=Tif.GTD, amount=3_000)
    house.now = 3_000
    first, second = house.do(CommandType.TIME)[-1], house.do(CommandType.TIME)[-1]
    assert (first.flags, second.flags) == (EventFlag.MORE | EventFlag.LAST, EventFlag.LAST)


@pytest.mark.parametrize(("expire", "accepted"), [(1_000, False), (1_001, True), (0, False), (-5, False)])
def test_gtd_must_lie_ahead(house: House, expire: int, accepted: bool) -> None:
    (event,) = house.buy(1, 90, 1, tif=Tif.GTD, amount=expire)
    assert event.reason == (0 if accepted else Reject.BAD_EXPIRE)


def test_session_close_expires_day_orders_in_bites_and_closes(make: Make) -> None:
    house = make(max_cancels_per_command=2)
    for _ in range(3):
        house.buy(1, 90, 1, tif=Tif.DAY)
    house.buy(1, 90, 1, tif=Tif.GTC)
    events = house.do(CommandType.SESSION_CLOSE, instrument=SPOT)
    assert [event.reason for event in events] == [CancelReason.DAY_END, CancelReason.DAY_END, 0]
    assert (events[-1].type, events[-1].qty) == (EventType.SESSION_CLOSED, 2)
    assert events[-1].flags == EventFlag.MORE | EventFlag.LAST
    assert house.buy(1, 90, 1)[0].reason == Reject.INSTRUMENT_CLOSED
    events = house.do(CommandType.SESSION_CLOSE, instrument=SPOT)
    assert (events[-1].qty, events[-1].flags) == (1, EventFlag.LAST)
    assert house.depth() == ([(90, 1, 1)], [])


def test_mass_cancel_goes_by_slot_and_asks_to_be_sent_again(make: Make) -> None:
    house = make(max_cancels_per_command=2)
    for account in (1, 2, 1, 1):
        house.buy(account, 90, 1)
    events = house.do(CommandType.MASS_CANCEL, account=1, instrument=0xFFFFFFFF)
    assert [event.order_id & 0xFF for event in events] == [1, 3, 0]
    assert events[-1].flags == EventFlag.MORE | EventFlag.LAST
    events = house.do(CommandType.MASS_CANCEL, account=1, instrument=0xFFFFFFFF)
    assert (events[-1].qty, events[-1].flags) == (1, EventFlag.LAST)
    assert house.depth() == ([(90, 1, 1)], [])
    assert house.one(CommandType.MASS_CANCEL, account=0xFFFFFFFF, instrument=0xFFFFFFFF, side=SELL).qty == 0
    assert house.one(CommandType.MASS_CANCEL, account=9, instrument=0xFFFFFFFF).reason == Reject.UNKNOWN_ACCOUNT
    assert house.one(CommandType.MASS_CANCEL, account=0xFFFFFFFF, instrument=7).reason == Reject.UNKNOWN_INSTRUMENT


# -- market orders ---------------------------------------------------------------------------------


def test_a_market_order_takes_its_limit_from_the_dry_run(house: House) -> None:
    house.sell(2, 100, 5)
    house.sell(3, 103, 5)
    events = house.market(1, BUY, 7)
    assert kinds(events) == ["ORDER_ACCEPTED"] + ["ORDER_FILLED"] * 4
    # Held: 103 × 7 = 721 and floor(1.442).
    assert (events[0].price, events[0].quote_b) == (103, 722)
    assert house.balance(1, USD) == (1_000_000 - 500 - 1 - 206 - 0, 0)


def test_a_market_remainder_is_cancelled(house: House) -> None:
    house.sell(2, 100, 5)
    events = house.market(1, BUY, 7)
    assert (events[-1].reason, events[-1].qty) == (CancelReason.MARKET_REMAINDER, 2)
    # The money covers the five lots that can trade.
    assert events[0].quote_b == 501


def test_a_market_order_needs_a_price_and_someone_to_trade_with(house: House) -> None:
    assert house.market(1, BUY, 7)[0].reason == Reject.NO_LIQUIDITY
    house.listing(3, base=BTC, quote=3)
    assert house.market(1, BUY, 7, instrument=3)[0].reason == Reject.NO_REFERENCE_PRICE


def test_the_collar_bounds_limits_and_market_walks(house: House) -> None:
    house.listing(SPOT, price=1_000, maker_ppm=1000, taker_ppm=2000, collar_ppm=10_500)  # ± floor(10.5)
    assert house.buy(1, 1_011, 1)[0].price == 1_010
    assert house.buy(1, 1_011, 1)[0].reason == Reject.PRICE_COLLAR
    assert house.sell(1, 989, 1)[0].price == 990
    assert house.sell(2, 1_010, 1)[0].reason == 0
    # A sell far above and a buy far below are no danger to anyone.
    assert house.sell(2, 5_000, 1)[0].reason == 0
    assert house.buy(2, 1, 1)[0].reason == 0
    events = house.market(1, BUY, 2)
    assert (events[0].price, events[-1].reason) == (1_010, CancelReason.MARKET_REMAINDER)


# -- refusals of form and bounds -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        (Reject.UNKNOWN_INSTRUMENT, {"instrument": 7}),
        (Reject.UNSUPPORTED, {"side": 3}),
        (Reject.UNSUPPORTED, {"side": 0}),
        (Reject.UNSUPPORTED, {"ord_type": 3}),
        (Reject.UNSUPPORTED, {"tif": 2}),
        (Reject.UNSUPPORTED, {"tif": 7}),
        (Reject.UNSUPPORTED, {"stp": 5}),
        (Reject.UNSUPPORTED, {"flags": 8}),
        (Reject.UNSUPPORTED, {"flags": CommandFlag.CANCEL_BY_CL_ORD_ID}),
        (Reject.UNSUPPORTED, {"flags": CommandFlag.POST_ONLY, "tif": Tif.IOC}),
        (Reject.UNSUPPORTED, {"ord_type": 1, "price": 0}),
        (Reject.UNSUPPORTED, {"order_id": 1}),
        (Reject.UNSUPPORTED, {"aux": 1}),
        (Reject.BAD_QTY, {"qty": 0}),
        (Reject.BAD_QTY, {"qty": -1}),
        (Reject.BAD_PRICE, {"price": 0}),
        (Reject.BAD_PRICE, {"price": -1}),
        (Reject.BAD_PRICE, {"ord_type": 1, "tif": Tif.IOC, "price": 5}),
        (Reject.BAD_EXPIRE, {"amount": 5_000}),
        (Reject.OVERFLOW, {"qty": 2**62}),
        (Reject.UNKNOWN_ACCOUNT, {"account": 0}),
        (Reject.UNKNOWN_ACCOUNT, {"account": 9}),
        (Reject.UNKNOWN_ACCOUNT, {"account": 0xFFFFFFFF}),
        (Reject.BAD_VERSION, {"version": 2}),
        (Reject.MALFORMED, {"cl_ord_id": "a b"}),
        (Reject.MALFORMED, {"cl_ord_id": "a" * 37}),
        (Reject.MALFORMED, {"cl_ord_id": b"a\0b"}),
        (Reject.MALFORMED, {"cl_ord_id": b"\0a"}),
        (Reject.MALFORMED, {"cl_ord_id": b"a\xff"}),
    ],
)
def test_a_malformed_order_is_refused_by_name(house: House, reason: Reject, fields: dict[str, Any]) -> None:
    good = {"account": 1, "instrument": SPOT, "side": BUY, "ord_type": 2, "tif": 1, "price": 50, "qty": 10}
    refused = house.one(CommandType.ORDER_NEW, **good | fields)
    assert (refused.type, refused.reason, refused.order_id) == (EventType.ORDER_REJECTED, reason, 0)
    assert house.one(CommandType.ORDER_NEW, **good).reason == 0


@pytest.mark.parametrize(("qty", "reason", "bound"), [(4, 3005, 5), (5, 0, 5), (9, 0, 9), (10, 3006, 9)])
def test_quantity_bounds_at_below_and_above(house: House, qty: int, reason: int, bound: int) -> None:
    house.listing(SPOT, min_qty=5, max_qty=9, maker_ppm=1000, taker_ppm=2000)
    (event,) = house.buy(1, 50, qty)
    assert event.reason == reason
    assert event.qty == bound


@pytest.mark.parametrize(("qty", "reason"), [(10, 0), (11, 4003)])
def test_value_bound_of_the_instrument(house: House, qty: int, reason: int) -> None:
    house.listing(SPOT, max_notional=500, maker_ppm=1000, taker_ppm=2000)
    (event,) = house.buy(1, 50, qty)
    assert event.reason == reason
    if reason:
        assert (event.qty, event.leaves) == (500, 550)


def test_bounds_of_the_account(house: House) -> None:
    house.one(CommandType.LIMITS_SET, account=1, qty=2, amount=500)
    assert house.buy(1, 50, 11)[0].reason == Reject.ACCOUNT_MAX_NOTIONAL
    house.buy(1, 50, 10)
    house.buy(1, 50, 10)
    (capped,) = house.buy(1, 50, 10)
    assert (capped.reason, capped.qty) == (Reject.MAX_OPEN_ORDERS, 2)
    assert kinds(house.buy(1, 50, 10, tif=Tif.IOC)) == ["ORDER_ACCEPTED", "ORDER_CANCELED"]


@pytest.mark.parametrize(("deposit", "reason"), [(9_918, 4001), (9_919, 0)])
def test_funds_at_and_below_what_is_needed(house: House, deposit: int, reason: int) -> None:
    house.account(5)
    house.deposit(5, USD, deposit)
    (event,) = house.buy(5, 99, 100)
    assert event.reason == reason
    if reason:
        assert (event.qty, event.leaves, event.quote_a) == (9_919, 9_918, 9_918)


def test_capacity_is_refused_by_name(make: Make) -> None:
    house = make(max_orders=2, max_levels=2)
    house.buy(1, 90, 1)
    (refused,) = house.buy(1, 91, 1) and house.buy(1, 90, 1)
    assert (refused.reason, refused.qty) == (Reject.CAPACITY, 2)
    house = make(max_levels=2)
    house.buy(1, 90, 1)
    house.sell(2, 95, 1)
    assert house.buy(1, 91, 1)[0].reason == Reject.CAPACITY
    assert house.buy(1, 90, 1)[0].reason == 0
    assert house.buy(1, 95, 1, tif=Tif.IOC)[-1].cum_qty == 1


def test_halts_of_house_instrument_and_account(house: House) -> None:
    (resting,) = house.buy(1, 90, 1)
    for scope, state, fields, reason in (
        (1, 2, {}, Reject.GLOBAL_HALT),
        (1, 3, {}, Reject.GLOBAL_HALT),
        (2, 3, {"instrument": SPOT}, Reject.INSTRUMENT_CLOSED),
        (2, 2, {"instrument": SPOT}, Reject.INSTRUMENT_HALTED),
        (3, 2, {"account": 1}, Reject.ACCOUNT_HALTED),
        (3, 3, {"account": 1}, Reject.ACCOUNT_HALTED),
    ):
        house.halt(scope, state, **fields)
        assert house.buy(1, 90, 1)[0].reason == reason
        assert house.replace(1, resting.order_id, 90, 1)[0].reason == reason
        house.halt(scope, 0, **fields)
    house.halt(1, 2)
    assert house.cancel(1, resting.order_id).type == EventType.ORDER_CANCELED


def test_post_only_never_takes(house: House) -> None:
    house.sell(2, 100, 5)
    (refused,) = house.buy(1, 100, 1, flags=CommandFlag.POST_ONLY)
    assert (refused.reason, refused.price) == (Reject.WOULD_CROSS, 100)
    (resting,) = house.buy(1, 99, 1, flags=CommandFlag.POST_ONLY)
    assert house.replace(1, resting.order_id, 100, 1)[0].reason == Reject.WOULD_CROSS


# -- self-trade prevention -------------------------------------------------------------------------


def own_and_foreign_asks(house: House) -> None:
    house.sell(1, 100, 4)
    house.sell(2, 100, 4)


def told(events: list[Event]) -> list[tuple[str, int, int, int]]:
    return [(EventType(event.type).name[6:], event.account, event.qty, event.leaves) for event in events]


def test_stp_none_trades_with_itself(house: House) -> None:
    own_and_foreign_asks(house)
    assert told(house.buy(1, 100, 6))[1:] == [
        ("FILLED", 1, 4, 0),
        ("FILLED", 1, 4, 2),
        ("FILLED", 2, 2, 2),
        ("FILLED", 1, 2, 0),
    ]


def test_stp_cancel_newest(house: House) -> None:
    own_and_foreign_asks(house)
    events = house.buy(1, 100, 6, stp=Stp.CANCEL_NEWEST)
    assert told(events)[1:] == [("CANCELED", 1, 6, 0)]
    assert (events[1].reason, events[1].flags) == (CancelReason.SELF_TRADE, EventFlag.TERMINAL | EventFlag.LAST)
    assert house.depth()[1] == [(100, 8, 2)]


def test_stp_cancel_oldest(house: House) -> None:
    own_and_foreign_asks(house)
    events = house.buy(1, 100, 6, stp=Stp.CANCEL_OLDEST)
    assert told(events)[1:] == [("CANCELED", 1, 4, 0), ("FILLED", 2, 4, 0), ("FILLED", 1, 4, 2), ("RESTED", 1, 6, 2)]
    assert events[1].flags == EventFlag.BOOK | EventFlag.TERMINAL


def test_stp_cancel_both(house: House) -> None:
    own_and_foreign_asks(house)
    assert told(house.buy(1, 100, 6, stp=Stp.CANCEL_BOTH))[1:] == [("CANCELED", 1, 4, 0), ("CANCELED", 1, 6, 0)]
    assert house.depth()[1] == [(100, 4, 1)]


def test_stp_decrement(house: House) -> None:
    own_and_foreign_asks(house)
    events = house.buy(1, 100, 6, stp=Stp.DECREMENT)
    assert told(events)[1:] == [("CANCELED", 1, 4, 0), ("CANCELED", 1, 4, 2), ("FILLED", 2, 2, 2), ("FILLED", 1, 2, 0)]
    assert (events[1].flags, events[2].flags) == (EventFlag.BOOK | EventFlag.TERMINAL, 0)
    # The quantity of the order itself shrank: 2 of 2, not 2 of 6.
    assert events[-1].cum_qty == 2


def test_stp_goes_by_group_not_by_account(house: House) -> None:
    house.account(2, group=1)
    house.sell(2, 100, 4)
    assert told(house.buy(1, 100, 6, stp=Stp.CANCEL_NEWEST))[1:] == [("CANCELED", 1, 6, 0)]


# -- replace ---------------------------------------------------------------------------------------


def test_a_reduction_keeps_priority_and_anything_else_loses_it(house: House) -> None:
    (first,) = house.buy(1, 90, 10)
    house.buy(2, 90, 10)
    (kept,) = house.replace(1, first.order_id, 90, 8)
    assert (kept.flags & EventFlag.PRIORITY_KEPT, kept.version, kept.qty, kept.leaves) == (
        EventFlag.PRIORITY_KEPT,
        2,
        8,
        8,
    )
    assert (kept.ref_id, kept.amount) == (90, 10)
    assert house.sell(3, 90, 1)[1].account == 1
    (lost,) = house.replace(1, first.order_id, 90, 9)
    assert lost.flags == EventFlag.BOOK | EventFlag.LAST
    assert lost.leaves == 8
    assert house.sell(3, 90, 1)[1].account == 2


def test_a_replace_may_trade_at_once(house: House) -> None:
    (resting,) = house.buy(1, 90, 10)
    house.sell(2, 95, 4)
    events = house.replace(1, resting.order_id, 96, 12)
    assert kinds(events) == ["ORDER_REPLACED", "ORDER_FILLED", "ORDER_FILLED", "ORDER_RESTED"]
    assert events[0].flags == EventFlag.BOOK | EventFlag.CROSSES
    assert (events[1].price, events[3].leaves, events[3].order_id) == (95, 8, resting.order_id)
    assert house.depth() == ([(96, 8, 1)], [])


def test_refusals_of_a_replace(house: House) -> None:
    house.sell(2, 90, 4)
    order_id = house.buy(1, 90, 10)[0].order_id
    for reason, fields in (
        (Reject.UNSUPPORTED, {"flags": 1}),
        (Reject.UNSUPPORTED, {"amount": 5}),
        (Reject.BAD_QTY, {"qty": 0}),
        (Reject.BAD_PRICE, {"price": 0}),
        (Reject.STALE_REPLACE, {"aux": 2}),
        (Reject.QTY_BELOW_FILLED, {"qty": 4}),
        (Reject.OVERFLOW, {"qty": 2**62}),
        (Reject.INSUFFICIENT_FUNDS, {"qty": 100_000}),
    ):
        (refused,) = house.replace(1, order_id, **({"price": 90, "qty": 9} | fields))
        assert (refused.type, refused.reason) == (EventType.REPLACE_REJECTED, reason)
        assert (refused.order_id, refused.side, refused.version) == (order_id, BUY, 1)
    assert house.replace(1, order_id, 90, 5)[0].leaves == 1


def test_a_replace_needs_only_the_difference(house: House) -> None:
    house.account(5)
    house.deposit(5, USD, 1_000)
    order_id = house.buy(5, 90, 10)[0].order_id  # 900 + 1
    (refused,) = house.replace(5, order_id, 90, 12)  # 1 080 + 2
    assert (refused.reason, refused.qty, refused.leaves) == (Reject.INSUFFICIENT_FUNDS, 181, 99)
    assert house.replace(5, order_id, 90, 11)[0].quote_b == 991


# -- idempotency -----------------------------------------------------------------------------------


def test_the_same_command_gets_the_first_answer_and_changes_nothing(house: House) -> None:
    house.sell(2, 100, 4)
    first = house.buy(1, 100, 6, cl_ord_id="x")
    digest_before = house.balance(1, USD)
    (again,) = house.buy(1, 100, 6, cl_ord_id="x")
    assert (again.type, again.reason, again.order_id, again.ref_id) == (10, 0, first[0].order_id, first[0].cmd_seq)
    assert (again.qty, again.leaves, again.cum_qty, again.price) == (6, 2, 4, 100)
    assert house.balance(1, USD) == digest_before
    # Still the first answer when the order has moved on.
    house.sell(2, 100, 2)
    assert house.buy(1, 100, 6, cl_ord_id="x")[0].leaves == 2


def test_another_body_under_the_same_id_is_refused_and_another_account_is_another_id(house: House) -> None:
    house.buy(1, 50, 6, cl_ord_id="x")
    assert house.buy(1, 50, 7, cl_ord_id="x")[0].reason == Reject.DUPLICATE_CL_ORD_ID
    assert house.buy(2, 50, 7, cl_ord_id="x")[0].reason == 0
    assert house.buy(1, 50, 6, cl_ord_id="x", source=9, correlation=4)[0].type == EventType.DUPLICATE


def test_refusals_are_remembered_too(house: House) -> None:
    refused = house.buy(1, 50, 100_000_000, cl_ord_id="x")[0]
    assert refused.reason == Reject.INSUFFICIENT_FUNDS
    house.deposit(1, USD, 10**12)
    (again,) = house.buy(1, 50, 100_000_000, cl_ord_id="x")
    assert (again.type, again.reason, again.qty, again.order_id) == (10, Reject.INSUFFICIENT_FUNDS, refused.qty, 0)


def test_the_oldest_id_is_forgotten_first_and_old_days_go(make: Make) -> None:
    house = make(max_cl_ord_ids=2)
    for name in ("a", "b", "c"):
        house.buy(1, 50, 1, cl_ord_id=name)
    assert house.buy(1, 50, 1, cl_ord_id="c")[0].type == EventType.DUPLICATE
    assert house.buy(1, 50, 1, cl_ord_id="a")[0].type == EventType.ORDER_ACCEPTED
    assert house.one(CommandType.DAY_ROLL, amount=5).amount == 5
    assert house.buy(1, 50, 1, cl_ord_id="a")[0].type == EventType.DUPLICATE
    house.one(CommandType.DAY_ROLL, amount=6)
    assert house.buy(1, 50, 1, cl_ord_id="a")[0].type == EventType.ORDER_ACCEPTED
    assert house.one(CommandType.DAY_ROLL, amount=6).reason == Reject.MALFORMED


def test_cancel_by_client_id(house: House) -> None:
    by_id = CommandFlag.CANCEL_BY_CL_ORD_ID
    (accepted,) = house.buy(1, 50, 6, cl_ord_id="x")
    assert house.one(CommandType.ORDER_CANCEL, account=2, flags=by_id, cl_ord_id="x").reason == Reject.UNKNOWN_ORDER
    canceled = house.one(CommandType.ORDER_CANCEL, account=1, flags=by_id, cl_ord_id="x")
    assert (canceled.type, canceled.order_id) == (EventType.ORDER_CANCELED, accepted.order_id)
    assert house.one(CommandType.ORDER_CANCEL, account=1, flags=by_id, cl_ord_id="x").reason == Reject.TOO_LATE
    assert house.one(CommandType.ORDER_CANCEL, account=1, flags=by_id, cl_ord_id="y").reason == Reject.UNKNOWN_ORDER


# -- margin ----------------------------------------------------------------------------------------


def test_margin_position_opens_grows_reduces_and_turns(house: House) -> None:
    def trade(side: int, price: int, qty: int) -> Event:
        house.order(2, 3 - side, price, qty, instrument=MARGIN)
        return house.order(1, side, price, qty, instrument=MARGIN)[-1]

    event = trade(BUY, 100, 10)  # opens
    assert (event.base_a, event.base_b, event.pnl) == (10, 1_000, 0)
    assert house.position(1) == (10, 1_000, 0, 0, 0, 500)
    event = trade(BUY, 110, 10)  # grows
    assert (event.base_a, event.base_b) == (20, 2_100)
    event = trade(SELL, 120, 7)  # reduces: removed 2100 × 7 / 20 = 735
    assert (event.pnl, event.base_a, event.base_b) == (105, 13, 1_365)
    event = trade(SELL, 90, 20)  # closes 13 for 1170, opens 7 short at 90
    assert (event.pnl, event.base_a, event.base_b) == (1_170 - 1_365, -7, -630)
    assert house.position(1) == (-7, -630, 0, 0, 0, 315)
    assert house.balance(1, USD) == (1_000_000 + 105 - 195 - 315, 315)
    event = trade(BUY, 80, 7)  # buys the short back: 630 − 560
    assert (event.pnl, event.base_a, event.base_b) == (70, 0, 0)
    assert house.core.clearing(USD) == 0
    assert house.balance(1, USD) == (999_980, 0)
    assert house.balance(2, USD) == (1_000_020, 0)


def test_an_order_that_only_reduces_needs_no_more_margin(house: House) -> None:
    house.sell(2, 100, 10, instrument=MARGIN)
    house.buy(1, 100, 10, instrument=MARGIN)
    held = house.balance(1, USD)[1]
    assert held == 500
    assert house.sell(1, 100, 10, instrument=MARGIN)[0].quote_b == held
    # 10 more would open a short: S − cost = 2000 − 1000.
    assert house.sell(1, 100, 10, instrument=MARGIN)[0].quote_b == held
    assert house.sell(1, 100, 2, instrument=MARGIN)[0].quote_b == 600
    assert house.core.clearing(USD) == 0  # long 1000, short -1000


def test_margin_is_rounded_up_and_fees_are_reserved(make: Make) -> None:
    house = make()
    house.listing(4, 2, base=0, price=100, margin_ppm=333_333, maker_ppm=1000, taker_ppm=2000)
    (accepted,) = house.buy(1, 101, 10, instrument=4)
    # ceil(1010 × 0.333333) = 337; floor(1010 × 0.002) = 2.
    assert accepted.quote_b == 339
    assert house.position(1, 4) == (0, 0, 1_010, 0, 2, 339)
    assert accepted.flags == EventFlag.BOOK | EventFlag.MARGIN | EventFlag.LAST


def test_a_margin_sell_needs_the_money_for_the_price_it_may_get(house: House) -> None:
    house.account(5)
    house.buy(2, 200, 10, instrument=MARGIN)
    house.deposit(5, USD, 999)
    (refused,) = house.sell(5, 100, 10, instrument=MARGIN)  # 200 × 10 at 50 %
    assert (refused.reason, refused.qty, refused.leaves) == (Reject.INSUFFICIENT_FUNDS, 1_000, 999)
    house.deposit(5, USD, 1)
    events = house.sell(5, 100, 10, instrument=MARGIN)
    assert (events[0].quote_b, events[-1].quote_b, events[-1].quote_a) == (500, 1_000, 0)


def test_a_loss_may_overdraw_and_then_new_orders_need_cash_first(house: House) -> None:
    house.account(5)
    house.deposit(5, USD, 500)
    house.sell(2, 100, 10, instrument=MARGIN)
    house.buy(5, 100, 10, instrument=MARGIN)
    house.buy(2, 20, 10, instrument=MARGIN)
    last = house.sell(5, 20, 10, instrument=MARGIN)[-1]
    assert (last.pnl, last.quote_a, last.quote_b) == (-800, -300, 0)
    (refused,) = house.buy(5, 1, 1, instrument=MARGIN)
    assert (refused.reason, refused.qty, refused.leaves) == (Reject.INSUFFICIENT_FUNDS, 1, -300)


def test_who_is_overdrawn_may_still_change_an_order_that_needs_nothing_more(house: House) -> None:
    house.account(5)
    house.deposit(5, USD, 500)
    house.sell(2, 100, 10, instrument=MARGIN)
    house.buy(5, 100, 10, instrument=MARGIN)
    (ask,) = house.sell(5, 30, 5, instrument=MARGIN)  # only reduces: nothing more is held
    house.buy(2, 20, 5, instrument=MARGIN)
    house.sell(5, 20, 5, instrument=MARGIN)  # 400 lost, 250 of margin comes back
    assert house.balance(5, USD) == (-150, 250)
    (changed,) = house.replace(5, ask.order_id, 31, 5)
    assert (changed.type, changed.reason, changed.quote_a) == (EventType.ORDER_REPLACED, 0, -150)
    (refused,) = house.replace(5, ask.order_id, 31, 50)
    assert (refused.reason, refused.leaves) == (Reject.INSUFFICIENT_FUNDS, -150)
    (fresh,) = house.sell(5, 30, 1, instrument=MARGIN, tif=Tif.IOC)
    assert (fresh.reason, fresh.qty) == (Reject.INSUFFICIENT_FUNDS, 0)


@pytest.mark.parametrize(("qty", "reason"), [(6, 0), (7, 4006)])
def test_reduce_only_counts_what_is_open_already(house: House, qty: int, reason: int) -> None:
    house.sell(2, 100, 10, instrument=MARGIN)
    house.buy(1, 100, 10, instrument=MARGIN)
    house.sell(1, 150, 4, instrument=MARGIN)
    (event,) = house.sell(1, 150, qty, instrument=MARGIN, flags=CommandFlag.REDUCE_ONLY)
    assert event.reason == reason
    assert event.qty == 6
    assert house.buy(1, 50, 1, instrument=MARGIN, flags=CommandFlag.REDUCE_ONLY)[0].reason == Reject.REDUCE_ONLY


def test_reduce_only_states_and_which_is_told(house: House) -> None:
    house.halt(1, 1)
    assert house.buy(1, 90, 1)[0].reason == Reject.REDUCE_ONLY_STATE
    house.halt(3, 1, account=1)
    assert house.buy(1, 90, 1)[0].reason == Reject.ACCOUNT_REDUCE_ONLY
    assert house.buy(1, 90, 1, flags=CommandFlag.REDUCE_ONLY)[0].reason == Reject.REDUCE_ONLY
    (resting,) = house.sell(1, 110, 5)
    assert resting.reason == 0
    assert house.replace(1, resting.order_id, 110, 6)[0].reason == Reject.ACCOUNT_REDUCE_ONLY
    assert house.replace(1, resting.order_id, 110, 4)[0].reason == 0
