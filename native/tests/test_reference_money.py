"""Hand-computed cases of money, listing, halts, preview and sequence, run on the reference and on the C core."""

from __future__ import annotations

from typing import Any

import pytest

from native import layout
from native.layout import CancelReason, CommandFlag, CommandType, EventType, Reject, Stp, Tif
from native.reference import ReferenceConfig, ReferenceCore, ReferenceSequenceError
from native.tests.house import BUY, EUR, MARGIN, SPOT, USD, House, kinds, small_config, standard
from native.tests.test_reference_orders import Make, house, make

__all__ = ["house", "make"]  # fixtures

LIMIT = 2**62


def test_a_deposit_counts_once(house: House) -> None:
    event = house.deposit(1, USD, 500, "in-1")
    assert (event.type, event.amount, event.price, event.quote_a) == (EventType.BALANCE_CHANGED, 500, 0, 1_000_500)
    again = house.deposit(1, USD, 500, "in-1")
    assert (again.type, again.ref_id, again.quote_a) == (EventType.DUPLICATE, event.cmd_seq, 1_000_500)
    assert house.deposit(1, USD, 501, "in-1").reason == Reject.DUPLICATE_CL_ORD_ID


@pytest.mark.parametrize(("amount", "reason"), [(1_000_000, 0), (1_000_001, 4001), (0, 8002), (-1, 8002)])
def test_a_withdrawal_at_and_above_what_there_is(house: House, amount: int, reason: int) -> None:
    event = house.one(CommandType.WITHDRAW, account=1, instrument=USD, amount=amount, cl_ord_id="w")
    assert event.reason == reason
    if reason == 4001:
        assert (event.type, event.qty, event.leaves) == (EventType.COMMAND_REJECTED, amount, 1_000_000)
    if not reason:
        assert (event.amount, event.quote_a) == (-1_000_000, 0)


def test_a_hold_is_settled_or_released_once(house: House) -> None:
    first = house.one(CommandType.HOLD, account=1, instrument=USD, amount=300, cl_ord_id="h1")
    second = house.one(CommandType.HOLD, account=1, instrument=USD, amount=200, cl_ord_id="h2")
    assert (first.order_id, second.order_id) == (1 << 32 | 1, 1 << 32 | 2)
    assert (first.amount, first.price, second.quote_a, second.quote_b) == (0, 300, 999_500, 500)
    settled = house.one(CommandType.HOLD_SETTLE, account=1, order_id=first.order_id)
    assert (settled.amount, settled.price, settled.quote_a, settled.quote_b) == (-300, -300, 999_500, 200)
    released = house.one(CommandType.HOLD_RELEASE, account=1, order_id=second.order_id)
    assert (released.amount, released.price, released.quote_a, released.quote_b) == (0, -200, 999_700, 0)
    for order_id in (first.order_id, second.order_id, 0, 77):
        assert house.one(CommandType.HOLD_RELEASE, account=1, order_id=order_id).reason == Reject.UNKNOWN_HOLD
    third = house.one(CommandType.HOLD, account=1, instrument=USD, amount=1, cl_ord_id="h3")
    assert third.order_id == 2 << 32 | 2
    assert house.one(CommandType.HOLD_SETTLE, account=2, order_id=third.order_id).reason == Reject.UNKNOWN_HOLD


def test_holds_are_bounded(make: Make) -> None:
    house = make(max_holds=1)
    house.one(CommandType.HOLD, account=1, instrument=USD, amount=1, cl_ord_id="h1")
    refused = house.one(CommandType.HOLD, account=1, instrument=USD, amount=1, cl_ord_id="h2")
    assert (refused.reason, refused.qty) == (Reject.CAPACITY, 1)


def test_a_transfer_tells_both_sides(house: House) -> None:
    payer, payee = house.do(CommandType.TRANSFER, account=1, order_id=2, instrument=USD, amount=70, cl_ord_id="t")
    assert (payer.account, payer.amount, payer.ref_id, payer.quote_a) == (1, -70, 2, 999_930)
    assert (payee.account, payee.amount, payee.ref_id, payee.quote_a) == (2, 70, 1, 1_000_070)
    for other in (1, 9):
        refused = house.one(
            CommandType.TRANSFER, account=1, order_id=other, instrument=USD, amount=7, cl_ord_id=f"u{other}"
        )
        assert refused.reason == Reject.UNKNOWN_ACCOUNT


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        (Reject.UNKNOWN_ACCOUNT, {"account": 9}),
        (Reject.MALFORMED, {"cl_ord_id": ""}),
        (Reject.MALFORMED, {"cl_ord_id": "a b"}),
        (Reject.UNKNOWN_ASSET, {"instrument": 7}),
        (Reject.UNKNOWN_ASSET, {"instrument": 0}),
        (Reject.BAD_AMOUNT, {"amount": 0}),
        (Reject.OVERFLOW, {"amount": LIMIT}),
        (Reject.BAD_VERSION, {"version": 0}),
    ],
)
def test_refusals_of_a_deposit(house: House, reason: Reject, fields: dict[str, Any]) -> None:
    good = {"account": 1, "instrument": USD, "amount": 5, "cl_ord_id": "z"}
    event = house.one(CommandType.DEPOSIT, **good | fields)
    assert (event.type, event.reason) == (EventType.COMMAND_REJECTED, reason)


def test_the_largest_balance_is_reached_and_not_passed(house: House) -> None:
    assert house.deposit(5 - 4, USD, LIMIT - 4_000_000).reason == 0  # deposits of the asset now at 2^62 exactly
    assert house.deposit(2, USD, 1).reason == Reject.OVERFLOW


@pytest.mark.parametrize(("price", "made"), [(300, True), (301, False)])
def test_a_match_that_would_overflow_a_balance_is_not_made(house: House, price: int, made: bool) -> None:
    house.listing(5, 2, base=0, quote=EUR, price=100, margin_ppm=1)
    house.deposit(1, EUR, LIMIT - 2_000)
    house.deposit(2, EUR, 1_000)
    house.deposit(3, EUR, 1_000)
    house.sell(2, 100, 10, instrument=5)
    house.buy(1, 100, 10, instrument=5)
    house.buy(3, price, 10, instrument=5)
    before = house.balance(1, EUR)
    events = house.sell(1, price, 10, instrument=5)
    # The profit of 2 000 brings available to 2^62 exactly once the unit held as margin is back; 2 010 would pass it.
    assert before == (LIMIT - 2_001, 1)
    if made:
        assert house.balance(1, EUR) == (LIMIT, 0)
    else:
        assert kinds(events) == ["ORDER_ACCEPTED", "ORDER_CANCELED"]
        assert (events[1].reason, events[1].qty) == (CancelReason.FILL_LIMIT, 10)
        assert house.balance(1, EUR) == before
        assert house.depth(5) == ([(301, 10, 1)], [])
        assert house.core.reference_price(5) == 100


def test_what_is_held_counts_towards_the_largest_balance(house: House) -> None:
    house.listing(5, 2, base=0, quote=EUR, price=100, margin_ppm=1)
    house.deposit(1, EUR, LIMIT - 2_000)
    house.deposit(2, EUR, 1_000)
    house.deposit(3, EUR, 1_000)
    hold = house.one(CommandType.HOLD, account=1, instrument=EUR, amount=5_000, cl_ord_id="h").order_id
    house.sell(2, 100, 10, instrument=5)
    house.buy(1, 100, 10, instrument=5)
    house.buy(3, 301, 10, instrument=5)
    # 2 010 profit would fit into available alone, but not once the hold comes back.
    assert house.sell(1, 301, 10, instrument=5)[-1].reason == CancelReason.FILL_LIMIT
    assert house.one(CommandType.HOLD_RELEASE, account=1, order_id=hold).quote_a == LIMIT - 2_001


def test_a_deposit_counts_what_is_held_too(house: House) -> None:
    house.listing(5, 2, base=0, quote=EUR, price=100, margin_ppm=1)
    house.deposit(1, EUR, LIMIT - 2_000)
    house.deposit(2, EUR, 1_000)
    house.deposit(3, EUR, 1_000)
    house.one(CommandType.HOLD, account=1, instrument=EUR, amount=5_000, cl_ord_id="h")
    house.sell(2, 100, 10, instrument=5)
    house.buy(1, 100, 10, instrument=5)
    house.buy(3, 300, 10, instrument=5)
    house.sell(1, 300, 10, instrument=5)
    assert house.balance(1, EUR) == (LIMIT - 5_000, 5_000)
    # Room for it in deposits less withdrawals, and in available alone, but not in the balance.
    house.one(CommandType.WITHDRAW, account=2, instrument=EUR, amount=500, cl_ord_id="w")
    assert house.deposit(1, EUR, 1).reason == Reject.OVERFLOW
    assert house.deposit(2, EUR, 500).reason == 0


# -- listing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        (Reject.UNKNOWN_INSTRUMENT, {"index": 0}),
        (Reject.UNKNOWN_INSTRUMENT, {"index": 8}),
        (Reject.UNKNOWN_ASSET, {"base": 6}),
        (Reject.UNKNOWN_ASSET, {"quote": 6}),
        (Reject.UNKNOWN_ASSET, {"base": 0}),
        (Reject.BAD_LISTING, {"tick_value": 0}),
        (Reject.BAD_LISTING, {"lot_minor": 0}),
        (Reject.BAD_LISTING, {"min_qty": 0}),
        (Reject.BAD_LISTING, {"max_qty": -1}),
        (Reject.NONE, {"max_qty": LIMIT + 1, "max_notional": LIMIT + 1}),
        (Reject.BAD_LISTING, {"maker_ppm": -1}),
        (Reject.BAD_LISTING, {"taker_ppm": 1_000_001}),
        (Reject.BAD_LISTING, {"collar_ppm": 1_000_001}),
        (Reject.BAD_LISTING, {"base": USD}),
        (Reject.BAD_LISTING, {"price": LIMIT + 1}),
        (Reject.BAD_LISTING, {"state": 4}),
        (Reject.BAD_LISTING, {"kind": 2, "base": 0}),
        (Reject.BAD_LISTING, {"kind": 3}),
        (Reject.NONE, {"kind": 2, "base": 0, "margin_ppm": 1}),
        (Reject.NONE, {}),
    ],
)
def test_listing_rules(house: House, reason: Reject, fields: dict[str, int]) -> None:
    event = house.listing(**({"index": 6} | fields))
    assert event.reason == reason
    assert event.type == (EventType.COMMAND_REJECTED if reason else EventType.INSTRUMENT_UPSERTED)


def test_what_is_listed_is_frozen(house: House) -> None:
    rates = {"maker_ppm": 1000, "taker_ppm": 2000}
    assert house.listing(SPOT, tick_value=2, **rates).reason == Reject.LISTING_FROZEN
    assert house.listing(SPOT, base=3, **rates).reason == Reject.LISTING_FROZEN
    assert house.listing(SPOT, taker_ppm=2001, maker_ppm=1000).reason == 0
    house.buy(1, 50, 1)
    assert house.listing(SPOT, **rates).reason == Reject.LISTING_FROZEN
    assert house.listing(SPOT, taker_ppm=2001, maker_ppm=1000, collar_ppm=5).reason == 0
    house.sell(2, 100, 1, instrument=MARGIN)
    house.buy(1, 100, 1, instrument=MARGIN)
    assert house.listing(MARGIN, 2, base=0, margin_ppm=1).reason == Reject.LISTING_FROZEN
    assert house.one(CommandType.ASSET_UPSERT, instrument=USD, side=5).reason == Reject.LISTING_FROZEN
    assert house.one(CommandType.ASSET_UPSERT, instrument=8, side=5).reason == Reject.UNKNOWN_ASSET
    assert house.one(CommandType.ASSET_UPSERT, instrument=7, side=13).reason == Reject.UNSUPPORTED


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        (CommandType.ACCOUNT_UPSERT, {"account": 0}, Reject.UNKNOWN_ACCOUNT),
        (CommandType.ACCOUNT_UPSERT, {"account": 16}, Reject.UNKNOWN_ACCOUNT),
        (CommandType.ACCOUNT_UPSERT, {"account": 5, "aux": -1}, Reject.UNSUPPORTED),
        (CommandType.LIMITS_SET, {"account": 0}, Reject.UNKNOWN_ACCOUNT),
        (CommandType.LIMITS_SET, {"account": 1, "qty": -1}, Reject.UNSUPPORTED),
        (CommandType.HALT_SET, {"ord_type": 0}, Reject.UNSUPPORTED),
        (CommandType.HALT_SET, {"ord_type": 1, "side": 4}, Reject.UNSUPPORTED),
        (CommandType.HALT_SET, {"ord_type": 2, "instrument": 7}, Reject.UNKNOWN_INSTRUMENT),
        (CommandType.HALT_SET, {"ord_type": 3, "account": 0}, Reject.UNKNOWN_ACCOUNT),
        (CommandType.SESSION_CLOSE, {"instrument": 7}, Reject.UNKNOWN_INSTRUMENT),
        (CommandType.DAY_ROLL, {"amount": 0}, Reject.MALFORMED),
        (CommandType.DAY_ROLL, {"amount": 2**32}, Reject.MALFORMED),
        (CommandType.NONE, {}, Reject.UNSUPPORTED),
        (99, {}, Reject.UNSUPPORTED),
        (CommandType.TIME, {"version": 7}, Reject.BAD_VERSION),
    ],
)
def test_refusals_of_other_commands(house: House, kind: int, fields: dict[str, int], reason: Reject) -> None:
    event = house.one(kind, **fields)
    assert (event.type, event.reason) == (EventType.COMMAND_REJECTED, reason)


# -- preview ---------------------------------------------------------------------------------------


def preview(house: House, **fields: Any) -> Any:
    good = {"account": 1, "instrument": SPOT, "side": BUY, "ord_type": 2, "tif": 1, "price": 101, "qty": 10}
    return house.core.preview(layout.pack_command(CommandType.ORDER_NEW, **good | fields))


def test_preview_tells_what_would_happen_and_changes_nothing(house: House) -> None:
    house.sell(2, 100, 4)
    house.sell(2, 101, 3)
    digest = house.core.digest()
    seen = preview(house)
    # 400 and 303 traded at 2000 ppm: floor(0.8) + floor(0.6); held 1010 + floor(2.02).
    assert seen == (0, 2, 7, 703, 0, 101, 3, 1_012, 1_012, 1_000_000)
    assert house.core.digest() == digest
    events = house.buy(1, 101, 10)
    assert events[-1].leaves == seen.rest_qty


def test_preview_of_what_would_be_refused(house: House) -> None:
    assert preview(house, qty=0).reason == Reject.BAD_QTY
    assert preview(house, tif=Tif.FOK).reason == Reject.UNFILLABLE
    poor = preview(house, qty=10_000, price=100)
    assert (poor.reason, poor.needed, poor.available) == (Reject.INSUFFICIENT_FUNDS, 1_002_000, 1_000_000)
    house.sell(1, 100, 1)
    seen = preview(house, stp=Stp.CANCEL_NEWEST)
    assert (seen.reason, seen.fills, seen.rest_qty) == (0, 0, 0)
    assert preview(house, flags=CommandFlag.POST_ONLY).reason == Reject.WOULD_CROSS


# -- sequence, queries -----------------------------------------------------------------------------


def test_a_gap_or_a_step_back_is_a_bug_of_the_caller() -> None:
    core = ReferenceCore(ReferenceConfig(**small_config()))
    good = layout.pack_command(CommandType.TIME, seq=1, time_ns=10)
    for bad in ({"seq": 3, "time_ns": 10}, {"seq": 2, "time_ns": 9}):
        fresh = core.clone()
        with pytest.raises(ReferenceSequenceError) as caught:
            fresh.apply(good + layout.pack_command(CommandType.TIME, **bad))
        assert caught.value.applied == 1
        assert len(caught.value.events) == layout.EVENT_SIZE
        assert fresh.stats().cmd_seq == 1


def test_a_clone_goes_its_own_way() -> None:
    house = standard(ReferenceCore(ReferenceConfig(**small_config())))
    house.buy(1, 50, 1)
    twin = house.core.clone()
    assert twin.digest() == house.core.digest()
    house.buy(1, 50, 1)
    assert twin.digest() != house.core.digest()
    assert twin.stats().live_orders == 1


def test_queries_of_what_is_not_there(house: House) -> None:
    core = house.core
    assert core.order(5) is None
    assert core.cl_ord_id(1, "nope") is None
    assert house.depth(7) == ([], [])
    assert house.balance(9, USD) == house.balance(1, 7) == (0, 0)
    assert house.position(9) == house.position(1, 7) == (0,) * 6
    assert (core.clearing(7), core.reference_price(7), core.next_expiry()) == (0, 0, 0)
    assert core.orders_of(1) == []


def test_orders_of_an_account_in_slot_order_and_pages(house: House) -> None:
    ids = [house.buy(account, 50, 1)[0].order_id for account in (1, 2, 1, 1)]
    assert [order.order_id for order in house.core.orders_of(1)] == [ids[0], ids[2], ids[3]]
    assert [order.order_id for order in house.core.orders_of(1, limit=1)] == [ids[0]]
    assert [order.order_id for order in house.core.orders_of(1, after=ids[0])] == [ids[2], ids[3]]
    assert len(house.core.orders_of(layout.ANY)) == 4


def test_every_answer_of_the_book_is_in_the_events(house: House) -> None:
    """Rebuild the book from EVF_BOOK events alone (§8)."""
    levels: dict[tuple[int, int], int] = {}

    def see(events: list[layout.Event]) -> None:
        for event in events:
            if not event.flags & layout.EventFlag.BOOK:
                continue
            change: list[tuple[int, int]] = []
            if event.type in (EventType.ORDER_ACCEPTED, EventType.ORDER_RESTED):
                change = [(event.price, event.leaves)]
            elif event.type == EventType.ORDER_REPLACED:
                change = [(event.ref_id, -event.amount)]
                if not event.flags & layout.EventFlag.CROSSES:
                    change.append((event.price, event.leaves))
            else:
                change = [(event.price, -event.qty)]
            for price, qty in change:
                levels[event.side, price] = levels.get((event.side, price), 0) + qty

    see(house.buy(1, 90, 10))
    (other,) = house.buy(2, 91, 10)
    see([other])
    see(house.sell(3, 90, 14))
    see(house.sell(3, 95, 14))
    see(house.replace(3, house.core.orders_of(3)[0].order_id, 96, 3))
    see(house.replace(1, house.core.orders_of(1)[0].order_id, 97, 12))
    see(house.sell(1, 97, 2, stp=Stp.DECREMENT))
    bids, asks = house.depth()
    seen = {(1, price): qty for price, qty, _ in bids} | {(2, price): qty for price, qty, _ in asks}
    assert {key: qty for key, qty in levels.items() if qty} == seen
    assert seen
