"""Reports to authorities over random days of trading on the real engine: everything is accounted for once, against the ledger too."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import LedgerEntry, TradingAccount, TradingAccountMember, User
from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import NS_PER_DAY, datetime_from_ns, utc_now
from brokerage.kernel.identifiers import decode_id, encode_id
from brokerage.platform.models import AuditPending
from brokerage.platform.reporting import text_uncell
from compliance.models import AuditEntry
from compliance.reporting.mifid_rts22 import COLUMNS, Firm
from compliance.reporting.outcome import REASONS
from compliance.selectors import reports
from compliance.selectors.reports import DAYS_MAX, Report, asked_of, report_make
from compliance.tests.factories import case_filled, factor_given, officer_make
from marketdata.models import Instrument
from tests.conftest_engine import LivePlatform, Trader, forget_caches
from tests.statements import day_ns
from trading.models import Execution, OrderEvent

SEED = int(os.environ.get("REPORT_SEED", "20261122"))
DAYS = 3
FIRM = Firm("DEMO00BROKERAGE00020", "GB", "DEMO", "DEMO", "DEMO")
#: Symbol -> smallest step of a price, quantity; prices are round those at listing.
MARKETS = {"AAPL": ("0.5", "10"), "GOOG": ("0.5", "5"), "SOL-USD": ("0.5", "0.5"), "EUR-USD": ("0.0005", "1000")}
FUNDS = {"USD": "9000000", "AAPL": "5000", "GOOG": "5000", "SOL": "500"}


@dataclass
class World:
    """Traders by what the reports make of them, and the days on which they traded."""

    traders: dict[str, Trader]
    first: date

    @property
    def last(self) -> date:
        return self.first + timedelta(days=DAYS - 1)


def _trader(platform: LivePlatform, name: str, jurisdiction: str, **identity: Any) -> Trader:
    made = platform.trader(name, FUNDS)
    if identity:
        case_filled(made.user, identity=identity)
    User.objects.filter(pk=made.user.pk).update(jurisdiction=jurisdiction)
    return made


def _traders(platform: LivePlatform) -> dict[str, Trader]:
    found = {
        "german": _trader(platform, "german", "EU", nationality="DE"),
        "british": _trader(platform, "british", "GB", nationality="GB", national_insurance="AB 12 34 56 C"),
        "without": _trader(platform, "without", "GB", nationality="GB", national_insurance=""),
        "unasked": _trader(platform, "unasked", "GB", nationality="GB"),
        "unknown": _trader(platform, "unknown", "GB"),
        "american": _trader(platform, "american", "US", nationality="US"),
        "american2": _trader(platform, "american2", "US"),
        "japanese": _trader(platform, "japanese", "JP", nationality="JP"),
        "shared": _trader(platform, "shared", "GB", nationality="DE"),
        "house": _trader(platform, "house", "GB"),
    }
    TradingAccountMember.objects.create(account=found["shared"].account, user=found["japanese"].user, role="trader")
    TradingAccount.objects.filter(pk=found["house"].account.pk).update(kind=TradingAccount.Kind.DEMO)
    return found


def _price(symbol: str) -> Decimal:
    instrument = Instrument.objects.get(symbol=symbol)
    return instrument.reference_price * instrument.tick_size.normalize()


def _order(who: Trader, symbol: str, side: str, qty: str) -> str:
    body = {
        "account": who.account.number, "symbol": symbol, "side": side, "type": "limit", "qty": qty, "price": str(_price(symbol)),
        "time_in_force": "gtc",
    }  # fmt: skip
    answer = who.api("POST", "orders", body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["order_id"])


def _something_of_each(traders: dict[str, Trader]) -> None:
    """What the tests below look for, whatever the seed: a fill of everybody in a share and most in a contract, a whole life of an order."""
    house, american = traders["house"], traders["american"]
    for name, who in traders.items():
        if who is not house:
            _order(house, "AAPL", "sell", "10")
            _order(who, "AAPL", "buy", "10")
            if name not in {"american", "american2"}:
                _order(house, "GOOG", "buy", "5")
                _order(who, "GOOG", "sell", "5")
        if name not in {"house", "japanese"}:
            _order(house, "EUR-USD", "sell", "1000")
            _order(who, "EUR-USD", "buy", "1000")
    _order(house, "SOL-USD", "sell", "1")
    _order(traders["german"], "SOL-USD", "buy", "1")
    number = _order(american, "AAPL", "buy", "100")
    _order(traders["american2"], "AAPL", "sell", "40")
    assert (
        american.api("PATCH", f"orders/{number}", {"account": american.account.number, "qty": "120"}).status_code == 200
    )
    assert american.api("DELETE", f"orders/{number}?account={american.account.number}").status_code == 200


def _spread(first: date) -> None:
    """Put what has happened on the days from ``first`` on, in its order; what is of one command stays together."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(cmd_seq), max(cmd_seq) FROM trading_orderevent")
        low, high = cursor.fetchone()
        step = DAYS * NS_PER_DAY // (high - low + 1)
        start = day_ns(first)
        cursor.execute("UPDATE trading_execution SET time_ns = %s + (cmd_seq - %s) * %s", [start, low, step])
        cursor.execute("UPDATE trading_orderevent SET time_ns = %s + (cmd_seq - %s) * %s", [start, low, step])
        cursor.execute(
            "UPDATE trading_order SET created_ns = %s + (entry_seq - %s) * %s WHERE order_id > 0 AND version = 1",
            [start, low, step],
        )
        # A replaced order that lost its place has the sequence of the replacing command as its entry: it was entered when it was accepted.
        cursor.execute(
            "UPDATE trading_order o SET created_ns = e.time_ns FROM trading_orderevent e WHERE e.order_id = o.order_id AND e.exec_type = 1"
        )


def _world(platform: LivePlatform) -> World:
    print(f"seed {SEED} (REPORT_SEED)")
    rng = random.Random(SEED)
    traders = _traders(platform)
    _something_of_each(traders)
    open_orders: list[tuple[Trader, str, dict[str, str]]] = []
    for turn in range(260):
        act = rng.random()
        if act < 0.10 and open_orders:
            who, number, body = rng.choice(open_orders[-12:])
            answer = who.api("DELETE", f"orders/{number}?account={who.account.number}")
        elif act < 0.22 and open_orders:
            who, number, body = rng.choice(open_orders[-12:])
            change = {"account": who.account.number, "qty": str(Decimal(body["qty"]) * 2), "price": body["price"]}
            answer = who.api("PATCH", f"orders/{number}", change)
        elif act < 0.24:
            who = rng.choice(list(traders.values()))
            answer = who.api("POST", "orders/cancel-all", {"account": who.account.number})
        else:
            who = rng.choice(list(traders.values()))
            symbol = rng.choice(list(MARKETS))
            step, qty = MARKETS[symbol]
            body = {
                "account": who.account.number, "symbol": symbol, "side": rng.choice(("buy", "sell")),
                "type": rng.choice(("limit", "limit", "limit", "market")), "qty": str(Decimal(qty) * rng.randint(1, 9)),
                "price": str(_price(symbol) + rng.randint(-4, 4) * Decimal(step)), "time_in_force": rng.choice(("gtc", "gtc", "ioc", "day")),
            }  # fmt: skip
            if body["type"] == "market":
                del body["price"]
                body["time_in_force"] = "ioc"
            answer = who.api("POST", "orders", body)
            if answer.status_code == 201 and "price" in body:
                open_orders.append((who, answer.json()["order_id"], body))
        assert answer.status_code in {200, 201, 202, 403, 404, 409, 422}, (turn, answer.content)
    platform.settle()
    first = utc_now().date() - timedelta(days=DAYS)
    _spread(first)
    forget_caches()
    return World(traders, first)


@pytest.fixture(scope="module")
def world(live_platform: LivePlatform) -> World:
    return _world(live_platform)


@pytest.fixture(autouse=True)
def known_firm(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.API_RATE_SCALE = 1_000
    monkeypatch.setattr(reports, "firm", lambda: FIRM)


def made(world: World, code: str, first: date | None = None, last: date | None = None, references: str = "") -> Report:
    return report_make(asked_of(code, first or world.first, last or world.last, references))


def rows_of(report: Report) -> list[dict[str, str]]:
    found = list(csv.reader(io.StringIO(report.content.decode(), newline="")))
    assert tuple(found[0]) == COLUMNS
    assert {len(row) for row in found} == {65}
    return [dict(zip(COLUMNS, row, strict=True)) for row in found[1:]]


@pytest.fixture
def officer(client: Client, world: World) -> Client:
    user = officer_make("decide_kyc", "view_auditentry")
    client.force_login(user)
    factor_given(client, user)
    return client


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
    for trader in world.traders.values():
        assert trader.account.number not in text
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


# ---- the officer's page and REST --------------------------------------------------------------------------------------


def query(world: World, **more: str) -> str:
    return "&".join(f"{name}={value}" for name, value in {"first": world.first, "last": world.last, **more}.items())


@pytest.mark.parametrize("code", ["rts22", "cat"])
def test_page_rest_and_files_say_the_same(world: World, officer: Client, code: str) -> None:
    figures = officer.get(f"/api/v1/compliance/reports/{code}?{query(world)}").json()
    assert figures["produced"] + figures["rejected"] + figures["not_reportable"] == figures["total"]
    assert figures["reportable"] == figures["produced"] + figures["rejected"]
    page = officer.get(f"/compliance/reports?report={code}&{query(world)}&references=")
    assert page.status_code == 200
    assert page.context["shown"]["sha256"] == figures["sha256"]
    file = officer.get(f"/api/v1/compliance/reports/{code}/file?{query(world)}")
    assert hashlib.sha256(file.content).hexdigest() == figures["sha256"]
    assert len(file.content.decode().splitlines()) == figures["lines"] + (code == "rts22")
    rejects = b"".join(
        officer.get(f"/api/v1/compliance/reports/{code}/rejects.csv?{query(world)}").streaming_content
    ).decode()  # type: ignore[attr-defined]
    lines = list(csv.DictReader(io.StringIO(rejects)))
    assert len(lines) == figures["rejected"]
    assert (
        {reason for line in lines for reason in text_uncell(line["reasons"]).split("; ")}
        == {row["code"] for row in figures["reasons"]}
        <= set(REASONS)
    )
    paper = officer.get(f"/api/v1/compliance/reports/{code}/summary.pdf?{query(world)}")
    assert paper.content.startswith(b"%PDF-")


def test_each_time_it_is_recorded_with_the_digest_of_the_bytes(world: World, officer: Client) -> None:
    def acts() -> int:
        return (
            AuditPending.objects.filter(action="authority_report.made").count()
            + AuditEntry.objects.filter(action="authority_report.made").count()
        )

    before = acts()
    for place in ("", "/file", "/rejects.csv", "/summary.pdf"):
        assert officer.get(f"/api/v1/compliance/reports/rts22{place}?{query(world)}").status_code == 200
    assert acts() == before + 4


@pytest.mark.parametrize(
    ("code", "days", "number"),
    [
        ("rts22", (0, 10), 1014), ("rts22", (1, 1), 1014), ("rts22", (-2, -3), 1014), ("rts22", (-DAYS_MAX, 0), 1014), ("mifid", (0, 0), 2014),
    ],
)  # fmt: skip
def test_days_that_cannot_be_are_refused(
    world: World, officer: Client, code: str, days: tuple[int, int], number: int
) -> None:
    today = utc_now().date()
    first, last = (today + timedelta(days=day) for day in days)
    answer = officer.get(f"/api/v1/compliance/reports/{code}?first={first}&last={last}")
    assert answer.json()["code"] == number
    page = officer.get(f"/compliance/reports?report={code}&first={first}&last={last}&references=")
    assert page.status_code == 400
    assert officer.get(f"/api/v1/compliance/reports/rts22?first={today}").status_code == 400
    assert officer.get(f"/api/v1/compliance/reports/rts22?first={today}&last=tomorrow").status_code == 400


def test_at_the_bound_of_days_it_is_made_and_today_is_so_far(world: World, officer: Client) -> None:
    today = utc_now().date()
    answer = officer.get(
        f"/api/v1/compliance/reports/rts22?first={today - timedelta(days=DAYS_MAX - 1)}&last={today}"
    ).json()
    assert answer["so_far"]
    nothing = officer.get(f"/compliance/reports?report=cat&first={today}&last={today}&references=")
    assert "Nothing in these days" in nothing.content.decode()


def test_references_belong_to_rts22(world: World, officer: Client) -> None:
    assert officer.get(f"/api/v1/compliance/reports/cat?{query(world, references='A')}").json()["code"] == 1001
    assert officer.get(f"/api/v1/compliance/reports/rts22?{query(world, references='A')}").json()["code"] == 1014
    many = ",".join(f"A{number}" for number in range(51))
    assert officer.get(f"/api/v1/compliance/reports/rts22?{query(world, references=many)}").json()["code"] == 1014


def test_too_many_rows_are_refused_before_it_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = made(world, "rts22").outcome
    monkeypatch.setattr(reports, "CSV_ROWS_MAX", asked.produced + len(asked.rejected))
    made(world, "rts22")
    monkeypatch.setattr(reports, "CSV_ROWS_MAX", asked.produced + len(asked.rejected) - 1)
    monkeypatch.setattr(reports, "holders_of", None)
    with pytest.raises(Exception, match="at most"):
        made(world, "rts22")
    monkeypatch.setattr(reports, "CSV_ROWS_MAX", 10)
    with pytest.raises(Exception, match="at most"):
        made(world, "cat")


def test_only_who_decides_cases_gets_in(world: World, client: Client) -> None:
    paths = [
        f"/compliance/reports?report=rts22&{query(world)}",
        f"/api/v1/compliance/reports/rts22/file?{query(world)}",
    ]
    assert [client.get(path).status_code for path in paths] == [302, 401]
    for user in (world.traders["german"].user, officer_make("view_auditentry")):
        client.force_login(user)
        factor_given(client, user)
        assert [client.get(path).status_code for path in paths] == [403, 403]


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
