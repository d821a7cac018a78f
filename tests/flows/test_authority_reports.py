"""Reports to authorities over random days of trading on the real engine: everything is accounted for once, against the ledger too."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import LedgerEntry, TradingAccount, User
from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import datetime_from_ns
from brokerage.kernel.identifiers import decode_id, encode_id
from compliance.reporting.mifid_rts22 import Firm
from compliance.selectors import reports
from marketdata.models import Instrument
from tests.authority_reports import DAYS, FIRM, World, known_firm, made, officer, rows_of, world
from tests.conftest_engine import LivePlatform
from trading.models import Execution, OrderEvent

__all__ = ["known_firm", "officer", "world"]


# ---- RTS 22 -----------------------------------------------------------------------------------------------------------


def test_every_execution_is_accounted_for_once(world: World) -> None:
    report = made(world, "rts22")
    outcome = report.outcome
    rows = rows_of(report)
    produced = {decode_id(row["transaction_reference"][8:]) for row in rows}
    rejected = {row.key for row in outcome.rejected}
    everything = dict(Execution.objects.values_list("exec_id", "core_account"))
    assert len(rows) == len(produced) == outcome.produced > 5
    assert len(rejected) == len(outcome.rejected) > 5
    assert not produced & rejected
    assert produced | rejected <= set(everything)
    assert outcome.total == len(everything)
    assert len(everything) - len(produced) - len(rejected) == sum(outcome.not_reportable.values())
    assert set(outcome.not_reportable) == {"house", "jurisdiction", "instrument"}
    # Day by day it is the same.
    days = [
        made(world, "rts22", world.first + timedelta(days=day), world.first + timedelta(days=day))
        for day in range(DAYS)
    ]
    assert [line for day in days for line in day.outcome.lines] == outcome.lines
    assert sum(day.outcome.total for day in days) == outcome.total


def test_the_rows_are_the_ledgers_fills(world: World) -> None:
    report = made(world, "rts22")
    mine = {encode_id(row.exec_id): row for row in Execution.objects.all()}
    instruments = {row.core_instrument: row for row in Instrument.objects.all()}
    for row in rows_of(report):
        fill = mine[row["transaction_reference"][8:]]
        instrument = instruments[fill.core_instrument]
        assert row["instrument_id"] == instrument.isin == "US0378331005"
        assert Decimal(row["price"]) == fill.last_px * instrument.tick_size
        assert Decimal(row["quantity"]) == fill.last_qty * instrument.lot_size
        assert row["trading_time"].startswith(f"{datetime_from_ns(fill.time_ns):%Y-%m-%dT%H:%M:%S.%f}")
        # What the ledger moved for this execution: price times quantity, to the last unit.
        moved = LedgerEntry.objects.get(
            entry_seq=fill.exec_id, kind=LedgerEntry.Kind.TRADE, core_asset=1, book=LedgerEntry.Book.CLIENT
        )
        assert abs(moved.amount) == Decimal(row["price"]) * Decimal(row["quantity"]) * 10**6
        assert (moved.amount < 0) == bool(row["buyer_first_names"])
    # Every fill in a share that moved money of a client there is in a row or a reject.
    spoken = {decode_id(row["transaction_reference"][8:]) for row in rows_of(report)} | {
        row.key for row in report.outcome.rejected
    }
    who = {
        world.traders[name].account.core_account
        for name in ("german", "british", "without", "unasked", "unknown", "shared")
    }
    shares = {number for number, row in instruments.items() if row.asset_class == "stock"}
    legs = set(
        LedgerEntry.objects.filter(kind=LedgerEntry.Kind.TRADE, core_account__in=who, core_asset=1).values_list(
            "entry_seq", flat=True
        )
    )
    fills = {row.exec_id for row in mine.values() if row.core_instrument in shares}
    assert legs & fills <= spoken


def test_who_the_client_is_and_what_is_missing(world: World) -> None:
    report = made(world, "rts22")
    ids = {row["buyer_id"] for row in rows_of(report)} | {row["seller_id"] for row in rows_of(report)}
    assert ids == {"DEMO", "DE19900517NORA#NEWMA", "GBAB123456C", "GB19900517NORA#NEWMA"}
    cores = {name: trader.account.core_account for name, trader in world.traders.items()}
    by_account: dict[int, set[str]] = {}
    for row in report.outcome.rejected:
        by_account.setdefault(row.account, set()).update(row.reasons)
    assert "CLIENT_ID" in by_account[cores["unasked"]]
    assert "CLIENT_UNKNOWN" in by_account[cores["unknown"]]
    assert "DECISION_MAKER" in by_account[cores["shared"]]
    assert by_account[cores["german"]] == {"INSTRUMENT_ISIN", "INSTRUMENT_UNDERLYING"}
    assert not {cores["american"], cores["japanese"], cores["house"]} & set(by_account)


def test_a_changed_jurisdiction_changes_which_report_the_trades_are_in(world: World) -> None:
    user, core = world.traders["japanese"].user, world.traders["japanese"].account.core_account
    before = made(world, "rts22")
    User.objects.filter(pk=user.pk).update(jurisdiction="EU")
    try:
        after = made(world, "rts22")
        moved = (
            after.outcome.produced
            + len(after.outcome.rejected)
            - before.outcome.produced
            - len(before.outcome.rejected)
        )
        assert (
            moved
            == Execution.objects.filter(core_account=core)
            .exclude(core_instrument=Instrument.objects.get(symbol="SOL-USD").core_instrument)
            .count()
        )
        assert moved > 0
        assert after.outcome.total == before.outcome.total
    finally:
        User.objects.filter(pk=user.pk).update(jurisdiction="JP")
    assert set(trading_policy().jurisdictions["JP"].reports) == {"carf"}


def test_the_same_inputs_are_the_same_bytes_and_a_changed_answer_is_not(world: World) -> None:
    one, two = made(world, "rts22"), made(world, "rts22")
    assert one.content == two.content
    assert one.digest == two.digest == hashlib.sha256(one.content).hexdigest()
    Instrument.objects.filter(symbol="AAPL").update(isin="")
    try:
        assert made(world, "rts22").outcome.produced == 0
    finally:
        Instrument.objects.filter(symbol="AAPL").update(isin="US0378331005")


def test_without_the_firms_codes_every_row_is_rejected(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(world, "rts22")
    monkeypatch.setattr(reports, "firm", Firm)
    empty = made(world, "rts22")
    assert empty.outcome.produced == 0
    assert len(empty.outcome.rejected) == whole.outcome.produced + len(whole.outcome.rejected)
    assert {"FIRM_LEI", "FIRM_COUNTRY", "FIRM_MIC"} <= set(empty.outcome.rejected[0].reasons)


def test_named_transactions_are_taken_back(world: World) -> None:
    names = [row["transaction_reference"] for row in rows_of(made(world, "rts22"))][:2]
    rows = rows_of(made(world, "rts22", references=", ".join(names)))
    assert [(row["report_status"], row["transaction_reference"], row["price"]) for row in rows] == [
        ("CANC", name, "") for name in names
    ]
    for wrong in ("20260101" + names[0][8:], "X", names[0][:-1] + "0" if names[0][-1] != "0" else names[0][:-1] + "1"):
        with pytest.raises(Exception, match="No reportable execution"):
            made(world, "rts22", references=wrong)


# ---- CAT --------------------------------------------------------------------------------------------------------------


def test_every_order_event_is_accounted_for_once_and_hangs_together(world: World) -> None:
    report = made(world, "cat")
    outcome = report.outcome
    events = [json.loads(line) for line in outcome.lines]
    assert outcome.total == OrderEvent.objects.count()
    kinds = {event["type"] for event in events}
    assert kinds == {"MENO", "MEOM", "MEOC", "MEOT"}
    assert {row.reasons for row in outcome.rejected} <= {("CANCEL_INITIATOR",)}
    # Both Americans' sides of a match are one line, so fills = details of trades.
    cores = {world.traders[name].account.core_account for name in ("american", "american2")}
    shares = {row.core_instrument for row in Instrument.objects.filter(asset_class="stock")}
    fills = Execution.objects.filter(core_account__in=cores, core_instrument__in=shares).count()
    details = sum(len(event.get(side, [])) for event in events for side in ("buyDetails", "sellDetails"))
    assert details == fills > 0
    assert outcome.produced == sum(1 for event in events if event["type"] != "MEOT") + details
    # Day by day: what was entered on an earlier day is referred to, and it is the same in the end.
    days = [
        made(world, "cat", world.first + timedelta(days=day), world.first + timedelta(days=day)) for day in range(DAYS)
    ]
    assert [line for day in days for line in day.outcome.lines] == outcome.lines
    assert sum(day.outcome.total for day in days) == outcome.total


def test_no_account_is_named_in_the_order_events(world: World) -> None:
    text = made(world, "cat").content.decode()
    # As a value: digits of a number may well be met inside the id of an order.
    values = set(text.replace(":", ",").replace("{", ",").replace("}", ",").split(","))
    for trader in world.traders.values():
        assert f'"{trader.account.number}"' not in values
        assert str(trader.account.pk) not in text
    assert len({json.loads(line)["firmDesignatedID"] for line in text.splitlines() if '"MENO"' in line}) == 2


def test_leaves_never_fall_below_nothing(world: World) -> None:
    left: dict[str, Decimal] = {}
    for line in made(world, "cat").outcome.lines:
        event = json.loads(line, parse_float=Decimal, parse_int=Decimal)
        if event["type"] == "MENO":
            assert event["orderID"] not in left
            left[event["orderID"]] = event["quantity"]
        elif event["type"] == "MEOT":
            for one in [*event.get("buyDetails", []), *event.get("sellDetails", [])]:
                left[one["orderID"]] -= event["quantity"]
                assert left[one["orderID"]] >= 0
        else:
            left[event["orderID"]] = event["leavesQty"]
            assert event["leavesQty"] >= 0


def test_a_company_whose_kind_is_not_known_is_rejected(world: World) -> None:
    account = world.traders["american"].account
    TradingAccount.objects.filter(pk=account.pk).update(kind=TradingAccount.Kind.ENTITY, lei=FIRM.lei)
    try:
        rejected = made(world, "cat").outcome.rejected
        assert {row.account for row in rejected if "CLIENT_TYPE" in row.reasons} == {account.core_account}
    finally:
        TradingAccount.objects.filter(pk=account.pk).update(kind=TradingAccount.Kind.INDIVIDUAL, lei="")


def test_a_company_with_its_lei_is_reported_by_it(world: World, live_platform: LivePlatform) -> None:
    account = world.traders["german"].account
    before = made(world, "rts22").outcome.produced
    TradingAccount.objects.filter(pk=account.pk).update(kind=TradingAccount.Kind.ENTITY, lei=FIRM.lei)
    try:
        ids = {row["buyer_id"] for row in rows_of(made(world, "rts22"))}
        assert FIRM.lei in ids
        assert made(world, "rts22").outcome.produced == before
        TradingAccount.objects.filter(pk=account.pk).update(lei="")
        assert {"CLIENT_LEI"} <= {code for row in made(world, "rts22").outcome.rejected for code in row.reasons}
        TradingAccount.objects.filter(pk=account.pk).update(kind=TradingAccount.Kind.JOINT)
        assert {"CLIENT_SEVERAL"} <= {code for row in made(world, "rts22").outcome.rejected for code in row.reasons}
    finally:
        TradingAccount.objects.filter(pk=account.pk).update(kind=TradingAccount.Kind.INDIVIDUAL, lei="")
