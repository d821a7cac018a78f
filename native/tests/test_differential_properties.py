"""Hypothesis drives the reference and the C core with the same short command lists and shrinks what differs.

Small domains of accounts, prices, quantities and ids make collisions likely; boundary values come from a fixed list.
Hypothesis prints
the failing commands (and the blob to reproduce them). Long seeded runs are in test_differential.py.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native import layout
from native.core import Core, CoreConfig
from native.layout import ANY, CommandFlag, CommandType, OrdType, Stp, Tif
from native.reference import ReferenceConfig, ReferenceCore
from native.tests.test_differential import decoded, shown_command

BIG = st.sampled_from([-(2**63), -1, 0, 1, 2**31 - 1, 2**32, 2**40, 2**61, 2**62 - 1, 2**62, 2**62 + 1, 2**63 - 1])
PRICE = st.one_of(st.integers(95, 105), st.integers(95, 105), BIG)
QTY = st.one_of(st.integers(1, 12), st.integers(1, 12), BIG)
AMOUNT = st.one_of(st.integers(1, 3_000), BIG)
ACCOUNT = st.one_of(st.integers(1, 3), st.integers(1, 3), st.sampled_from([0, 4, 5, 9, ANY]))
INSTRUMENT = st.one_of(st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.sampled_from([0, 3, 4, ANY]))
ASSET = st.sampled_from([1, 1, 2, 0, 3, 4, ANY])
NAME = st.sampled_from(["", "", "", "a", "b", "c", "x" * 36])
ORDER_ID = st.builds(lambda generation, slot: generation << 32 | slot, st.integers(0, 3), st.integers(0, 5))
SIDE = st.sampled_from([1, 2, 1, 2, 1, 2, 0, 3])
FLAGS = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 8])
STATE = st.sampled_from([0, 0, 0, 1, 2, 3, 4])


def commands(kind: CommandType, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(int(kind)), **fields})


LIMIT = commands(
    CommandType.ORDER_NEW, account=ACCOUNT, instrument=INSTRUMENT, side=SIDE, ord_type=st.just(OrdType.LIMIT), price=PRICE, qty=QTY,
    tif=st.sampled_from([Tif.GTC, Tif.GTC, Tif.DAY, Tif.IOC, Tif.FOK, 7]), stp=st.sampled_from([*Stp, 5]), flags=FLAGS, cl_ord_id=NAME,
)  # fmt: skip
GTD = commands(
    CommandType.ORDER_NEW, account=ACCOUNT, instrument=INSTRUMENT, side=SIDE, ord_type=st.just(OrdType.LIMIT), price=PRICE, qty=QTY,
    tif=st.just(Tif.GTD), amount=st.one_of(st.integers(0, 60), BIG), cl_ord_id=NAME,
)  # fmt: skip
MARKET = commands(
    CommandType.ORDER_NEW, account=ACCOUNT, instrument=INSTRUMENT, side=SIDE, ord_type=st.sampled_from([OrdType.MARKET] * 9 + [3]), qty=QTY,
    tif=st.sampled_from([Tif.IOC, Tif.FOK, Tif.IOC, Tif.GTC]), stp=st.sampled_from(list(Stp)),
    flags=st.sampled_from([0, CommandFlag.REDUCE_ONLY]), cl_ord_id=NAME,
)  # fmt: skip
CANCEL = commands(
    CommandType.ORDER_CANCEL, account=ACCOUNT, order_id=ORDER_ID, flags=st.sampled_from([0, 0, CommandFlag.CANCEL_BY_CL_ORD_ID]),
    cl_ord_id=NAME, instrument=INSTRUMENT,
)  # fmt: skip
REPLACE = commands(
    CommandType.ORDER_REPLACE, account=ACCOUNT, order_id=ORDER_ID, price=PRICE, qty=QTY, aux=st.sampled_from([0, 0, 1, 2]), cl_ord_id=NAME,
    flags=st.sampled_from([0, 0, 0, 1]), instrument=INSTRUMENT,
)  # fmt: skip
MASS = commands(
    CommandType.MASS_CANCEL,
    account=st.one_of(ACCOUNT, st.just(ANY)),
    instrument=st.one_of(INSTRUMENT, st.just(ANY)),
    side=SIDE,
)
MONEY = st.one_of(
    commands(
        kind, account=ACCOUNT, instrument=ASSET, amount=AMOUNT, cl_ord_id=NAME, order_id=st.sampled_from([0, 1, 2, 9])
    )
    for kind in (CommandType.DEPOSIT, CommandType.WITHDRAW, CommandType.HOLD, CommandType.TRANSFER)
)
HOLDS = st.one_of(
    commands(kind, account=ACCOUNT, order_id=ORDER_ID) for kind in (CommandType.HOLD_RELEASE, CommandType.HOLD_SETTLE)
)
ADMIN = st.one_of(
    commands(CommandType.ACCOUNT_UPSERT, account=ACCOUNT, aux=st.sampled_from([0, 1, 2, -1, 2**32])),
    commands(
        CommandType.LIMITS_SET,
        account=ACCOUNT,
        qty=st.sampled_from([0, 1, 2, -1]),
        amount=st.sampled_from([0, 500, -1]),
    ),
    commands(CommandType.HALT_SET, ord_type=st.integers(0, 4), side=STATE, account=ACCOUNT, instrument=INSTRUMENT),
    commands(CommandType.ASSET_UPSERT, instrument=ASSET, side=st.sampled_from([6, 6, 13])),
    commands(CommandType.TIME),
    commands(CommandType.SESSION_CLOSE, instrument=INSTRUMENT),
    commands(CommandType.DAY_ROLL, amount=st.one_of(st.integers(0, 5), BIG)),
)
LISTING = st.builds(
    lambda index, kind, price, max_qty, **data: {
        "type": int(CommandType.INSTRUMENT_UPSERT), "instrument": index, "ord_type": kind, "price": price, "qty": max_qty,
        "order_id": (2 << 32 | 1) if kind == 1 else 1, "amount": 1, "aux": 3, "cl_ord_id": layout.pack_instrument_data(**data),
    },
    index=st.integers(0, 3),
    kind=st.sampled_from([1, 2, 2, 3]),
    price=st.one_of(st.just(0), PRICE),
    max_qty=st.sampled_from([0, 0, 10, -1]),
    maker_ppm=st.sampled_from([0, 1_000, 1_000_000, -1]),
    taker_ppm=st.sampled_from([0, 2_000, 1_000_001]),
    margin_ppm=st.sampled_from([0, 1, 500_000, 1_000_000]),
    collar_ppm=st.sampled_from([0, 0, 30_000, 1_000_000]),
    min_qty=st.sampled_from([0, 1, 1, 3]),
    max_notional=st.sampled_from([0, 0, 700, -1]),
)  # fmt: skip
ANYTHING = st.fixed_dictionaries({
    "type": st.integers(0, 40), "version": st.sampled_from([1, 1, 1, 0]), "account": ACCOUNT, "instrument": INSTRUMENT,
    "side": st.integers(0, 255), "ord_type": st.integers(0, 255), "tif": st.integers(0, 255), "stp": st.integers(0, 255),
    "order_id": st.integers(0, 2**64 - 1), "price": st.integers(-(2**63), 2**63 - 1), "qty": st.integers(-(2**63), 2**63 - 1),
    "amount": st.integers(-(2**63), 2**63 - 1), "aux": st.integers(-(2**63), 2**63 - 1), "flags": st.integers(0, 2**32 - 1),
    "cl_ord_id": st.binary(max_size=40),
})  # fmt: skip
COMMAND = st.one_of(
    LIMIT, LIMIT, LIMIT, GTD, MARKET, CANCEL, REPLACE, REPLACE, MASS, MONEY, HOLDS, ADMIN, LISTING, ANYTHING
)
CONFIG = st.fixed_dictionaries({
    "max_assets": st.just(4), "max_instruments": st.just(4), "max_accounts": st.just(6),
    "max_orders": st.sampled_from([1, 2, 3, 50]), "max_levels": st.sampled_from([1, 2, 3, 50]), "max_cl_ord_ids": st.sampled_from([1, 2, 50]),
    "max_holds": st.sampled_from([1, 2, 9]), "max_fills_per_command": st.sampled_from([1, 2, 3, 0]),
    "max_cancels_per_command": st.sampled_from([1, 2, 0]),
})  # fmt: skip


def house(cash: int, fees: bool) -> list[dict[str, Any]]:
    """Two assets, a spot and a margin instrument, three accounts of which two trade for the same owner."""
    rates = {"maker_ppm": 1_000, "taker_ppm": 20_000} if fees else {}
    made: list[dict[str, Any]] = [
        {"type": CommandType.ASSET_UPSERT, "instrument": asset, "side": 6} for asset in (1, 2)
    ]
    for index, kind, extra in ((1, 1, {}), (2, 2, {"margin_ppm": 333_333})):
        data = layout.pack_instrument_data(**rates, **extra)
        base = 2 << 32 if kind == 1 else 0
        made.append({
            "type": CommandType.INSTRUMENT_UPSERT, "instrument": index, "ord_type": kind, "order_id": base | 1,
            "amount": 1, "aux": 3,
            "price": 100, "cl_ord_id": data,
        })  # fmt: skip
    for account in (1, 2, 3):
        made.append({"type": CommandType.ACCOUNT_UPSERT, "account": account, "aux": 1 if account == 2 else 0})
        for asset in (1, 2):
            name = f"seed-{asset}"
            made.append(
                {
                    "type": CommandType.DEPOSIT,
                    "account": account,
                    "instrument": asset,
                    "amount": cash,
                    "cl_ord_id": name,
                }
            )
    return made


def both(config: dict[str, int], flow: list[dict[str, Any]]) -> None:
    """Apply to both, one command at a time, and compare everything that can be seen."""
    reference = ReferenceCore(ReferenceConfig(**config))
    with Core(CoreConfig(**config)) as core:
        now = 1
        for index, given_fields in enumerate(flow):
            fields = dict(given_fields)
            now += 2
            command = layout.pack_command(fields.pop("type"), seq=index + 1, time_ns=now, **fields)
            if fields.get("ord_type") and given_fields["type"] == CommandType.ORDER_NEW:
                mine, theirs = core.preview(command), reference.preview(command)
                assert tuple(mine) == tuple(theirs), f"preview of {shown_command(command)}"
            expected, got = reference.apply(command), bytes(core.apply(command))
            assert decoded(got) == decoded(expected), shown_command(command)
            assert got == expected
            core.check()
            reference.check()
            assert core.digest() == reference.digest(), shown_command(command)
        for instrument in range(4):
            assert core.depth(instrument, 50) == reference.depth(instrument, 50)
        assert core.stats() == reference.stats()
        assert core.orders_of(ANY) == reference.orders_of(ANY)
        # The whole in one batch, and cut by a snapshot in the middle, is the same again.
        packed = [
            layout.pack_command(
                fields["type"],
                seq=index + 1,
                time_ns=1 + 2 * (index + 1),
                **{k: v for k, v in fields.items() if k != "type"},
            )
            for index, fields in enumerate(flow)
        ]
        half = len(packed) // 2
        with Core(CoreConfig(**config)) as first:
            first.apply(b"".join(packed[:half]))
            with Core.restore(CoreConfig(**config), first.snapshot()) as second:
                second.apply(b"".join(packed[half:]))
                assert second.digest() == core.digest()


RUN = settings(
    max_examples=150,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@RUN
@given(CONFIG, st.sampled_from([300, 5_000, 10**12]), st.booleans(), st.lists(COMMAND, max_size=30))
def test_any_commands_on_a_small_house(
    config: dict[str, int], cash: int, fees: bool, flow: list[dict[str, Any]]
) -> None:
    both(config, house(cash, fees) + flow)


@RUN
@given(CONFIG, st.lists(COMMAND, max_size=12))
def test_any_commands_on_an_empty_house(config: dict[str, int], flow: list[dict[str, Any]]) -> None:
    both(config, flow)


CROSSING = st.builds(
    lambda account, instrument, side, price, qty, tif, stp: {
        "type": CommandType.ORDER_NEW, "account": account, "instrument": instrument, "side": side, "price": price,
        "qty": qty,
        "tif": tif, "stp": stp, "ord_type": OrdType.LIMIT,
    },
    st.integers(1, 3), st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.integers(98, 102), st.integers(1, 6),
    st.sampled_from([Tif.GTC, Tif.GTC, Tif.GTC, Tif.IOC, Tif.FOK]), st.sampled_from(list(Stp)),
)  # fmt: skip


@RUN
@given(
    CONFIG,
    st.sampled_from([1_000, 10**9]),
    st.booleans(),
    st.lists(st.one_of(CROSSING, CROSSING, REPLACE, MARKET), max_size=40),
)
def test_orders_that_cross(config: dict[str, int], cash: int, fees: bool, flow: list[dict[str, Any]]) -> None:
    both(config, house(cash, fees) + flow)


HUGE = st.builds(
    lambda account, instrument, side, price, qty, market: {
        "type": CommandType.ORDER_NEW, "account": account, "instrument": instrument, "side": side, "price": 0 if
        market else price,
        "qty": qty, "tif": Tif.IOC if market else Tif.GTC, "ord_type": OrdType.MARKET if market else OrdType.LIMIT,
    },
    st.integers(1, 3), st.sampled_from([1, 2, 2]), st.sampled_from([1, 2]),
    st.sampled_from([1, 2**29, 2**30, 2**31, 2**60, 2**61, 2**62 - 1, 2**62]),
    st.sampled_from([1, 2, 3, 2**29, 2**30, 2**31, 2**60, 2**61, 2**62 - 1, 2**62]), st.sampled_from([False, False, False, True]),
)  # fmt: skip


@RUN
@given(st.sampled_from([2**58, 2**60]), st.booleans(), st.lists(st.one_of(HUGE, HUGE, MONEY), max_size=40))
def test_orders_at_the_edge_of_the_range(cash: int, fees: bool, flow: list[dict[str, Any]]) -> None:
    config = {
        "max_assets": 4, "max_instruments": 4, "max_accounts": 6, "max_orders": 50, "max_levels": 50,
        "max_cl_ord_ids": 50,
        "max_holds": 5, "max_fills_per_command": 8, "max_cancels_per_command": 8,
    }  # fmt: skip
    both(config, house(cash, fees) + flow)


@pytest.mark.parametrize("seed", range(12))
def test_balances_at_the_brink(seed: int) -> None:
    """One account owns nearly all that can be owned: matches, releases and transfers that would pass 2^62 must not happen."""
    rolls = random.Random(seed)
    rates = {"maker_ppm": 1_000, "taker_ppm": 20_000} if seed % 2 else {}
    flow = [
        fields
        for fields in house(1_000, False)
        if (fields["type"], fields.get("instrument")) != (CommandType.DEPOSIT, 2)
    ]
    flow.append({
        "type": CommandType.INSTRUMENT_UPSERT, "instrument": 3, "ord_type": 2, "order_id": 2, "amount": 2**37, "aux": 1, "price": 100,
        "cl_ord_id": layout.pack_instrument_data(margin_ppm=1, **rates),
    })  # fmt: skip
    for account, amount in ((1, 2**62 - 2**47), (2, 2**46), (3, 2**46)):
        flow.append(
            {"type": CommandType.DEPOSIT, "account": account, "instrument": 2, "amount": amount, "cl_ord_id": "d"}
        )
    for step in range(300):
        roll = rolls.random()
        if roll < 0.75:
            flow.append({
                "type": CommandType.ORDER_NEW, "account": rolls.randint(1, 3), "instrument": 3, "side": rolls.choice((1, 2)),
                "price": rolls.choice((50, 100, 200, 400, 800)), "qty": rolls.randint(1, 6), "ord_type": OrdType.LIMIT,
                "tif": rolls.choice((Tif.GTC, Tif.GTC, Tif.IOC)), "stp": rolls.choice((0, 0, 0, 2, 4)),
            })  # fmt: skip
        elif roll < 0.9:
            kind = rolls.choice((CommandType.HOLD, CommandType.HOLD, CommandType.TRANSFER, CommandType.DEPOSIT))
            amount = rolls.choice((1, 2**30, 2**43, 2**45, 2**46))
            account, other = rolls.choice((0, 1, 2, 3)), 1
            fields = {
                "account": account,
                "instrument": 2,
                "amount": amount,
                "order_id": other if kind == CommandType.TRANSFER else 0,
            }
            flow.append({"type": kind, "cl_ord_id": f"m{step}", **fields})
        else:
            kind = rolls.choice((CommandType.HOLD_RELEASE,) * 9 + (CommandType.HOLD_SETTLE,))
            hold_id = rolls.randint(1, 9) << 32 | rolls.randint(1, 5)
            flow.append({"type": kind, "account": rolls.choice((1, 1, 2)), "order_id": hold_id})
    config = {
        "max_assets": 4, "max_instruments": 4, "max_accounts": 6, "max_orders": 50, "max_levels": 50, "max_cl_ord_ids": 50,
        "max_holds": 5, "max_fills_per_command": 8, "max_cancels_per_command": 8,
    }  # fmt: skip
    both(config, flow)
