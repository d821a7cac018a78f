"""The wrapper, and what only the C core has: capacities, batches, snapshots as bytes, misuse, the build.

What the commands mean is tested by the hand-computed cases (test_reference_*.py run on both cores) and by the comparison with the reference.
"""

from __future__ import annotations

import zlib

import pytest

from native import build, layout
from native.core import Core, CoreConfig, CoreSequenceError, build_id, crc32c
from native.layout import CommandType, EventFlag, EventType, OrdType, Reject, Tif
from native.tests.house import House
from native.tests.streams import PROFILES, Stream

SMALL = CoreConfig(
    max_assets=8,
    max_instruments=8,
    max_accounts=16,
    max_orders=64,
    max_levels=64,
    max_cl_ord_ids=64,
    max_holds=8,
    max_fills_per_command=8,
    max_cancels_per_command=8,
)


def stream_of(name: str, seed: int, n: int) -> tuple[list[bytes], CoreConfig]:
    stream = Stream(seed, PROFILES[name])
    return [stream.next()[0] for _ in range(n)], CoreConfig(**PROFILES[name].capacities())


def market(core: Core) -> House:
    """Two funded accounts in one spot instrument, tick_value 1, lot_minor 1, no fees."""
    house = House(core)
    house.asset(1)
    house.asset(2)
    house.listing(1, base=2, quote=1, lot_minor=1)
    for account in (1, 2):
        house.do(CommandType.ACCOUNT_UPSERT, account=account)
        for asset in (1, 2):
            house.do(
                CommandType.DEPOSIT, account=account, instrument=asset, amount=10**9, cl_ord_id=f"d{account}{asset}"
            )
    return house


def limit(
    house: House, account: int, side: int, price: int, qty: int, tif: int = Tif.GTC, **more: int
) -> list[layout.Event]:
    return house.do(
        CommandType.ORDER_NEW,
        account=account, instrument=1, side=side, ord_type=OrdType.LIMIT, tif=tif, price=price, qty=qty, **more,
    )  # fmt: skip


# -- opening -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["max_assets", "max_instruments", "max_accounts", "max_orders", "max_levels", "max_cl_ord_ids", "max_holds"]
)
def test_a_capacity_of_zero_or_too_many_is_refused(name: str) -> None:
    for value in (0, 2**32 - 1):
        with pytest.raises(ValueError, match="capacity"):
            Core(CoreConfig(**{**vars(SMALL), name: value}))


def test_a_new_core_is_empty_and_sound() -> None:
    with Core(SMALL) as core:
        assert core.stats().accounts == 1  # the house
        assert core.stats().cmd_seq == core.stats().event_seq == 0
        assert core.depth(1) == ([], [])
        assert core.next_expiry() == core.reference_price(1) == core.clearing(1) == 0
        core.check()


def test_the_default_configuration_opens_quickly_and_holds_a_book_of_many_levels() -> None:
    with Core() as core:
        house = House(core, check=False)
        house.asset(1)
        house.asset(2)
        house.listing(1, base=2, quote=1, lot_minor=1)
        house.do(CommandType.ACCOUNT_UPSERT, account=1)
        house.do(CommandType.DEPOSIT, account=1, instrument=1, amount=2**61, cl_ord_id="d")
        # Far apart, so most levels lie outside the dense window, added from the middle outwards and back.
        prices = [1_000_000 + step * 7_919 * (-1) ** step for step in range(120)]
        for price in prices:
            limit(house, 1, 1, price, 1)
        assert [level.price for level in core.depth(1, 200)[0]] == sorted(prices, reverse=True)
        core.check()
        for order in core.orders_of(1)[::2]:
            house.do(CommandType.ORDER_CANCEL, account=1, order_id=order.order_id)
        core.check()
        assert len(core.depth(1, 200)[0]) == 60


# -- batches and misuse ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_batches_give_one_stream(name: str) -> None:
    commands, config = stream_of(name, 77, 700)
    results = []
    for size in (1, 7, 64, 256, 700):
        with Core(config) as core:
            events = b"".join(bytes(core.apply(b"".join(commands[at : at + size]))) for at in range(0, 700, size))
            core.check()
            results.append((events, core.digest(), core.snapshot()))
    assert all(result == results[0] for result in results)


def test_more_events_than_the_buffer_holds() -> None:
    """The wrapper grows its buffer; apply_into stops before a command that might not fit."""
    with Core(SMALL) as core:
        house = market(core)
        data = b"".join(
            layout.pack_command(CommandType.TIME, seq=house.seq + 1 + n, time_ns=house.now) for n in range(20_000)
        )
        events = core.apply(data)
        assert len(events) == 20_000 * layout.EVENT_SIZE
        seqs = [event.cmd_seq for event in layout.iter_events(bytes(events))]
        assert seqs == list(range(house.seq + 1, house.seq + 20_001))
        first = house.seq + 20_001
        more = b"".join(layout.pack_command(CommandType.TIME, seq=first + n, time_ns=house.now) for n in range(100))
        room = bytearray((core.events_max + 4) * layout.EVENT_SIZE)
        done, written = core.apply_into(more, room)
        assert done == written == 5  # after five only events_max - 1 places are left
        assert core.stats().cmd_seq == first + 4
        with pytest.raises(ValueError, match=str(core.events_max)):
            core.apply_into(more, bytearray((core.events_max - 1) * layout.EVENT_SIZE))


def test_a_gap_or_a_step_back_in_time_is_the_callers_bug() -> None:
    with Core(SMALL) as core:
        good = layout.pack_command(CommandType.TIME, seq=1, time_ns=5)
        for bad in (
            layout.pack_command(CommandType.TIME, seq=3, time_ns=6),
            layout.pack_command(CommandType.TIME, seq=1, time_ns=6),
            layout.pack_command(CommandType.TIME, seq=2, time_ns=4),
        ):
            with Core(SMALL) as fresh, pytest.raises(CoreSequenceError) as caught:
                fresh.apply(good + bad + good)
            assert caught.value.applied == 1
            assert [event.cmd_seq for event in layout.iter_events(caught.value.events)] == [1]
        core.apply(good)
        before = core.digest()
        with pytest.raises(CoreSequenceError):
            core.apply(good)
        assert core.digest() == before


@pytest.mark.parametrize("size", [1, 127, 129, 300])
def test_a_buffer_that_is_not_whole_commands_is_refused(size: int) -> None:
    with Core(SMALL) as core, pytest.raises(ValueError, match="whole"):
        core.apply(bytes(size))


def test_no_commands_give_no_events() -> None:
    with Core(SMALL) as core:
        assert len(core.apply(b"")) == 0


# -- bounded work and capacities ---------------------------------------------------------------------------------------


def test_one_order_makes_at_most_max_fills_matches() -> None:
    with Core(SMALL) as core:
        house = market(core)
        for _ in range(9):
            limit(house, 2, 2, 100, 1)
        events = limit(house, 1, 1, 100, 9)
        assert sum(event.type == EventType.ORDER_FILLED for event in events) == 2 * 8
        assert (events[-1].type, events[-1].reason, events[-1].qty) == (EventType.ORDER_CANCELED, 8, 1)
        assert core.balance(1, 1).held == 0
        # Exactly max_fills matches, then nothing crosses: the rest may rest.
        for _ in range(7):
            limit(house, 2, 2, 100, 1)
        assert limit(house, 1, 1, 100, 10)[-1].type == EventType.ORDER_RESTED


def test_order_slots_run_out_by_name_and_come_back() -> None:
    with Core(SMALL) as core:
        house = market(core)
        accepted = [limit(house, 1, 1, 1 + n % 10, 1)[0] for n in range(64)]
        assert all(event.type == EventType.ORDER_ACCEPTED for event in accepted)
        (event,) = limit(house, 1, 1, 5, 1)
        assert (event.reason, event.qty) == (Reject.CAPACITY, 64)
        house.do(CommandType.ORDER_CANCEL, account=1, order_id=accepted[10].order_id)
        (event,) = limit(house, 1, 1, 5, 1)
        assert event.order_id == 2 << 32 | 11  # the freed slot, next generation


def test_a_mass_cancel_goes_on_where_it_was_cut() -> None:
    with Core(SMALL) as core:
        house = market(core)
        for n in range(19):
            limit(house, 1 + n % 2, 1, 1 + n, 1)
        got = []
        for _ in range(4):
            events = house.do(CommandType.MASS_CANCEL, account=1, instrument=layout.ANY)
            got.append((events[-1].qty, bool(events[-1].flags & EventFlag.MORE)))
            assert [event.order_id & 0xFFFFFFFF for event in events[:-1]] == sorted(
                event.order_id & 0xFFFFFFFF for event in events[:-1]
            )
        assert got == [(8, True), (2, False), (0, False), (0, False)]
        assert core.stats().live_orders == 9


# -- snapshots ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_snapshot_at_any_point_goes_on_as_a_straight_run(name: str) -> None:
    commands, config = stream_of(name, 5, 600)
    with Core(config) as straight:
        cut = b""
        for at in range(0, 600, 40):
            batch = b"".join(commands[at : at + 40])
            expected = bytes(straight.apply(batch))
            if at:
                with Core.restore(config, cut) as restored:
                    assert restored.snapshot() == cut
                    assert bytes(restored.apply(batch)) == expected
                    restored.check()
                    assert restored.digest() == straight.digest()
            cut = straight.snapshot()


def test_a_damaged_or_cut_snapshot_is_refused() -> None:
    commands, config = stream_of("everyday", 3, 400)
    with Core(config) as core:
        core.apply(b"".join(commands))
        good = core.snapshot()
    Core.restore(config, good).close()
    for at in range(0, len(good), max(1, len(good) // 200)):
        bad = bytearray(good)
        bad[at] ^= 0x10
        with pytest.raises(ValueError, match="snapshot"):
            Core.restore(config, bad)
    for size in (0, 1, 15, 16, len(good) // 2, len(good) - 8, len(good) - 1):
        with pytest.raises(ValueError, match="snapshot"):
            Core.restore(config, good[:size])
    with pytest.raises(ValueError, match="snapshot"):
        Core.restore(config, good + bytes(8))


def test_damage_under_a_mended_checksum_never_gives_an_unsound_core() -> None:
    """Every 8-byte word changed in turn, the checksum made right again: refused, or a core whose invariants hold."""
    commands, config = stream_of("everyday", 4, 300)
    with Core(config) as core:
        core.apply(b"".join(commands))
        good = core.snapshot()
    taken = 0
    for at in range(0, len(good) - 8, 8):
        for change in (1, 1 << 33, 1 << 63):
            bad = bytearray(good)
            word = int.from_bytes(bad[at : at + 8], "little") ^ change
            bad[at : at + 8] = word.to_bytes(8, "little")
            bad[-8:] = crc32c(bad[:-8]).to_bytes(8, "little")
            try:
                restored = Core.restore(config, bad)
            except ValueError:
                continue
            taken += 1
            restored.check()
            restored.close()
    assert taken > 0  # harmless fields such as a client's limits may differ


def test_a_snapshot_needs_room() -> None:
    with Core(SMALL) as core:
        house = market(core)
        for n in range(20):
            limit(house, 1, 1, 1 + n, 1)
        data = core.snapshot()
    for name, value in (
        ("max_orders", 19),
        ("max_levels", 19),
        ("max_accounts", 2),
        ("max_assets", 2),
        ("max_cl_ord_ids", 3),
    ):
        with pytest.raises(ValueError, match="larger"):
            Core.restore(CoreConfig(**{**vars(SMALL), name: value}), data)
    bigger = CoreConfig(**{**vars(SMALL), "max_orders": 1000, "max_levels": 900})
    with Core.restore(bigger, data) as core:
        assert core.snapshot() == data


# -- queries -----------------------------------------------------------------------------------------------------------


def test_queries_answer_for_what_is_not_there() -> None:
    with Core(SMALL) as core:
        house = market(core)
        assert core.order(1 << 32 | 1) is None
        assert core.order(0) is None
        assert core.balance(9, 1) == core.balance(1, 7) == core.balance(2**31, 2**31) == (0, 0)
        assert core.position(1, 1) == core.position(99, 99) == (0, 0, 0, 0, 0, 0)
        assert core.cl_ord_id(1, "nothing") is None
        assert core.cl_ord_id(1, "") is None
        assert core.cl_ord_id(1, "x" * 37) is None
        assert core.cl_ord_id(2**31, "d11") is None
        assert core.depth(1, 0) == ([], [])
        assert core.depth(2**31) == ([], [])
        assert core.orders_of(1) == []
        assert house.seq == core.stats().cmd_seq


def test_orders_of_pages_in_slot_order() -> None:
    with Core(SMALL) as core:
        house = market(core)
        for n in range(12):
            limit(house, 1 + n % 2, 1, 10 + n, 1 + n)
        everyone = core.orders_of()
        assert [order.order_id & 0xFFFFFFFF for order in everyone] == list(range(1, 13))
        mine = core.orders_of(1)
        assert [order.price for order in mine] == [10, 12, 14, 16, 18, 20]
        assert core.orders_of(1, after=mine[2].order_id, limit=2) == mine[3:5]
        assert core.order(mine[1].order_id) == mine[1]
        assert mine[1].held == 12 * 3


def test_a_remembered_id_is_told_with_the_present_balances() -> None:
    with Core(SMALL) as core:
        house = market(core)
        house.do(
            CommandType.ORDER_NEW,
            account=1, instrument=1, side=1, ord_type=OrdType.LIMIT, tif=Tif.GTC, price=10, qty=5, cl_ord_id="mine",
        )  # fmt: skip
        first = core.cl_ord_id(1, "mine")
        assert first is not None
        assert (first.type, first.ref_id, first.qty, first.leaves, first.quote_b) == (
            EventType.DUPLICATE,
            house.seq,
            5,
            5,
            50,
        )
        house.do(CommandType.ORDER_CANCEL, account=1, order_id=first.order_id)
        again = core.cl_ord_id(1, b"mine")
        assert again is not None
        assert (again.leaves, again.quote_b) == (5, 0)
        assert core.cl_ord_id(2, "mine") is None


def test_preview_changes_nothing() -> None:
    with Core(SMALL) as core:
        house = market(core)
        limit(house, 2, 2, 100, 3)
        limit(house, 2, 2, 102, 3)
        before = core.digest()
        order = layout.pack_command(
            CommandType.ORDER_NEW,
            account=1,
            instrument=1,
            side=1,
            ord_type=OrdType.LIMIT,
            tif=Tif.GTC,
            price=102,
            qty=8,
        )
        seen = core.preview(order)
        assert (seen.reason, seen.fills, seen.fill_qty, seen.fill_notional, seen.worst_price, seen.rest_qty) == (
            0,
            2,
            6,
            606,
            102,
            2,
        )
        assert seen.hold == 8 * 102
        assert core.digest() == before
        with pytest.raises(ValueError, match="one command"):
            core.preview(order * 2)


# -- checksum and build ------------------------------------------------------------------------------------------------


def test_crc32c_known_answers() -> None:
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes([255] * 32)) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    whole = bytes(range(256)) * 3
    assert crc32c(whole[100:], crc32c(whole[:100])) == crc32c(whole)
    assert crc32c(whole) != zlib.crc32(whole)


def test_the_loaded_library_is_the_one_the_sources_give() -> None:
    assert build.is_current()
    assert build_id() == build.build_id() == build.stamp_path().read_text().strip()
    assert build.library_path().exists()
