"""Rows of the reports to authorities, one rule at a time: identifiers of people, the 65 columns, order events and how they hang together."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import parse_rfc3339
from brokerage.kernel.identifiers import encode_id
from brokerage.kernel.terms import CancelReason, OrderSource
from compliance.identity import DetailError, national_insurance_check
from compliance.reporting import cat
from compliance.reporting.cat import CatEvent, CatOrder
from compliance.reporting.mifid_rts22 import (
    COLUMNS,
    Fill,
    Firm,
    Holder,
    Security,
    cancel_row,
    line_of,
    new_row,
    reference,
    reportable,
)
from compliance.reporting.outcome import REASONS
from compliance.reporting.person_id import PRIORITY, Person, concat, letters, names, person_id, surname_words

FIRM = Firm("DEMO00BROKERAGE00020", "GB", "DEMO", "DEMO", "DEMO")
JOHN = Person("John", "O'Brien", date(1980, 1, 13), "IE", {})
SHARE = Security("ZZZ", "Zed", "spot", "stock", "US0378331005", "ESVUFR", "USD")
GOLD = Security("XAU-USD", "Gold CFD", "margin", "commodity", "", "JTIXCC", "USD", ("commodity", "XAU"))
TIME = parse_rfc3339("2026-01-05T09:30:00.123456789Z")
FILL = Fill(17, 12, 5, 3, True, Decimal("10.0400000000"), Decimal("100"), TIME, 2)


def row(
    fill: Fill = FILL, security: Security = SHARE, holder: Holder | None = None, firm: Firm = FIRM
) -> dict[str, str]:
    values, reasons = new_row(fill, security, holder or Holder(JOHN), firm)
    assert values is not None, reasons
    assert reasons == ()
    return dict(zip(COLUMNS, values, strict=True))


def reasons_of(
    fill: Fill = FILL, security: Security = SHARE, holder: Holder | None = None, firm: Firm = FIRM
) -> tuple[str, ...]:
    values, reasons = new_row(fill, security, holder or Holder(JOHN), firm)
    assert values is None
    assert reasons
    assert set(reasons) <= set(REASONS)
    return reasons


# ---- people -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "made"),
    [
        ("John", "O'Brien", "19800113JOHN#OBRIE"), ("Ludwig", "Van der Rohe", "19800113LUDWIROHE#"), ("Victor", "Vandenberg", "19800113VICTOVANDE"),
        ("Eli", "Ødegård", "19800113ELI##ODEGA"), ("Willeke", "de Bruijn", "19800113WILLEBRUIJ"), ("Jon Ian", "Dewitt", "19800113JON##DEWIT"),
        ("Amy-Ally", "Garção de Magalhães", "19800113AMYALGARCA"), ("Giovani", "dos Santos", "19800113GIOVASANTO"),
        ("Günter", "Voẞ", "19800113GUNTEVOSS#"),
        ("Dr. Anna", "Le", "19800113ANNA#LE###"), ("Μαρία", "Ψαρά", "19800113MARIAPSARA"), ("Яна", "Щерева", "19800113YANA#SHTER"),
    ],
)  # fmt: skip
def test_concat_drops_titles_and_prefixes_and_writes_a_to_z(first: str, last: str, made: str) -> None:
    found = concat(replace(JOHN, first_name=first, surname=last))
    assert found == made
    assert len(found) == 18


def test_a_name_without_letters_of_the_table_has_no_concat() -> None:
    assert letters("李") is None
    assert person_id(replace(JOHN, first_name="李", surname="王")) is None


@pytest.mark.parametrize(
    ("nationality", "numbers", "found"),
    [
        ("GB", {"nino": "AB123456C"}, "GBAB123456C"),
        ("GB", {"nino": ""}, "GB19800113JOHN#OBRIE"),
        ("GB", {}, None),
        ("GB", {"tax": "1955839661"}, None),
        ("IT", {"tax": "RCCMNL83S18D969H"}, "ITRCCMNL83S18D969H"),
        ("IT", {}, None),
        ("BE", {}, None),
        ("NL", {"passport": "XR1001R58"}, "NLXR1001R58"),
        ("NL", {}, None),
        ("GR", {}, None),
        ("US", {"passport": "E00007730"}, "USE00007730"),
        ("US", {}, None),
    ],
)
def test_what_the_nationality_asks_for_first_counts_and_a_gap_is_no_concat(
    nationality: str, numbers: dict[str, str], found: str | None
) -> None:
    assert person_id(replace(JOHN, nationality=nationality, numbers=numbers)) == found


def test_every_country_of_the_union_has_its_order_of_identifiers() -> None:
    union = {country for country, code in trading_policy().countries.items() if code in {"EU", "GB"}}
    assert union <= set(PRIORITY)


def test_names_are_capitals_with_commas_and_surnames_stay_whole() -> None:
    assert names("Mary jane") == "MARY,JANE"
    assert surname_words("van der  Größe") == "VAN DER GRÖSSE"
    assert names("=CMD()") is None
    assert names("") is None
    assert names("x" * 141) is None


def test_a_national_insurance_number_has_its_form() -> None:
    assert national_insurance_check(" ab 12 34 56 c ") == "AB123456C"
    assert national_insurance_check("") == ""
    for wrong in ("BG123456A", "AB123456E", "DA123456A", "AB12345C", "AB123456"):
        with pytest.raises(DetailError):
            national_insurance_check(wrong)


# ---- RTS 22 -----------------------------------------------------------------------------------------------------------


def test_there_are_65_columns_in_their_order() -> None:
    assert len(COLUMNS) == len(set(COLUMNS)) == 65
    numbered = {name: place for place, name in enumerate(COLUMNS, 1)}
    known = {
        "report_status": 1, "executing_entity": 4, "buyer_id": 7, "seller_id": 16, "order_transmitted": 25, "trading_time": 28, "quantity": 30,
        "price": 33, "venue": 36, "instrument_id": 41, "price_multiplier": 46, "delivery_type": 56, "execution_decision": 59, "short_selling": 62,
        "financing_transaction": 65,
    }  # fmt: skip
    assert {name: numbered[name] for name in known} == known


def test_a_clients_purchase_of_a_share() -> None:
    made = row()
    assert {name: value for name, value in made.items() if value} == {
        "report_status": "NEWT", "transaction_reference": "20260105" + encode_id(17), 
        "venue_transaction_id": encode_id(12) + encode_id(3) + encode_id(5),
        "executing_entity": FIRM.lei, "mifid_firm": "true", "submitting_entity": FIRM.lei, "buyer_id": "IE19800113JOHN#OBRIE",
        "buyer_branch_country": "GB", "buyer_first_names": "JOHN", "buyer_surnames": "O'BRIEN", "buyer_birth_date": "1980-01-13",
        "seller_id": "DEMO", "order_transmitted": "false", "trading_time": "2026-01-05T09:30:00.123456Z", "trading_capacity": "AOTC",
        "quantity": "100", "price": "10.04", "price_currency": "USD", "venue": "DEMO", "membership_country": "GB",
        "instrument_id": "US0378331005", "execution_decision": "NORE", "financing_transaction": "false",
    }  # fmt: skip


def test_a_sale_names_the_client_as_seller_and_is_long() -> None:
    made = row(replace(FILL, buys=False))
    assert (made["buyer_id"], made["seller_id"], made["short_selling"]) == ("DEMO", "IE19800113JOHN#OBRIE", "SELL")
    assert made["buyer_first_names"] == ""


def test_both_sides_of_a_match_have_one_venue_transaction_id_and_two_references() -> None:
    other = replace(FILL, exec_id=18, order_id=3, contra_order_id=5, buys=False)
    assert row()["venue_transaction_id"] == row(other)["venue_transaction_id"]
    assert row()["transaction_reference"] != row(other)["transaction_reference"]


def test_a_company_is_its_lei_without_names() -> None:
    made = row(holder=Holder(lei=FIRM.lei))
    assert made["buyer_id"] == FIRM.lei
    assert made["buyer_first_names"] == made["buyer_birth_date"] == ""
    assert reasons_of(holder=Holder(lei="DEMO00BROKERAGE00021")) == ("CLIENT_LEI",)


@pytest.mark.parametrize(
    ("security", "about"),
    [
        (GOLD, {"commodity_derivative": "false"}),
        (replace(GOLD, asset_class="index", underlying=("index", "S&P 500")), {"underlying_index": "S&P 500"}),
        (replace(GOLD, asset_class="stock", underlying=("equity", "US0378331005")), {"underlying_id": "US0378331005"}),
        (replace(GOLD, asset_class="fx", underlying=("fiat", "EUR")), {"notional_currency_2": "EUR"}),
    ],
)
def test_a_contract_is_described_where_it_has_no_isin(security: Security, about: dict[str, str]) -> None:
    made = row(security=security)
    wanted = {
        "instrument_id": "", "instrument_name": "Gold CFD", "classification": "JTIXCC", "notional_currency_1": "USD", "price_multiplier": "1",
        "delivery_type": "CASH", "trading_capacity": "MTCH", "short_selling": "",
    } | about  # fmt: skip
    assert {name: made[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"firm": replace(FIRM, lei="")}, "FIRM_LEI"), ({"firm": replace(FIRM, lei="DEMO00BROKERAGE00021")}, "FIRM_LEI"),
        ({"firm": replace(FIRM, country="")}, "FIRM_COUNTRY"), ({"firm": replace(FIRM, mic="")}, "FIRM_MIC"),
        ({"security": replace(SHARE, isin="")}, "INSTRUMENT_ISIN"), ({"security": replace(SHARE, isin="US0378331006")}, "INSTRUMENT_ISIN"),
        ({"security": replace(SHARE, currency="BTC")}, "INSTRUMENT_CURRENCY"), ({"security": replace(GOLD, cfi="")}, "INSTRUMENT_CFI"),
        ({"security": replace(GOLD, underlying=None)}, "INSTRUMENT_UNDERLYING"), ({"security": replace(GOLD, name="=1+1")}, "INSTRUMENT_NAME"),
        ({"security": replace(GOLD, asset_class="stock", underlying=("equity", ""))}, "INSTRUMENT_UNDERLYING"),
        ({"holder": Holder(problems=("CLIENT_UNKNOWN",))}, "CLIENT_UNKNOWN"), ({"holder": Holder(problems=("CLIENT_ERASED",))}, "CLIENT_ERASED"),
        ({"holder": Holder(problems=("CLIENT_SEVERAL",))}, "CLIENT_SEVERAL"),
        ({"holder": Holder(JOHN, problems=("DECISION_MAKER",))}, "DECISION_MAKER"),
        ({"holder": Holder(replace(JOHN, first_name="+"))}, "CLIENT_NAME"), ({"holder": Holder(replace(JOHN, nationality="GB"))}, "CLIENT_ID"),
        ({"holder": Holder()}, "CLIENT_LEI"), ({"security": GOLD, "holder": Holder(lei=FIRM.lei)}, "CLIENT_TYPE"),
        ({"fill": replace(FILL, source=9)}, "EXECUTOR"), ({"fill": replace(FILL, qty=Decimal("1234567890123456789"))}, "NUMBER_FORM"),
        ({"fill": replace(FILL, price=Decimal("0.00000000000001"))}, "NUMBER_FORM"),
    ],
)  # fmt: skip
def test_each_missing_value_rejects_the_row_with_its_reason(change: dict[str, Any], reason: str) -> None:
    assert reason in reasons_of(**change)


def test_everything_that_is_missing_is_said_at_once() -> None:
    found = reasons_of(security=replace(SHARE, isin=""), holder=Holder(problems=("CLIENT_UNKNOWN",)), firm=Firm())
    assert found == ("FIRM_LEI", "FIRM_COUNTRY", "FIRM_MIC", "INSTRUMENT_ISIN", "CLIENT_UNKNOWN")


def test_what_is_reportable() -> None:
    assert [reportable("spot", "stock"), reportable("margin", "fx"), reportable("margin", "crypto")] == [
        True,
        True,
        True,
    ]
    assert [reportable("spot", "crypto"), reportable("spot", "fx")] == [False, False]


def test_a_cancellation_says_which_row_and_who() -> None:
    values, _ = cancel_row(FILL, FIRM)
    assert values is not None
    assert {name: value for name, value in zip(COLUMNS, values, strict=True) if value} == {
        "report_status": "CANC", "transaction_reference": reference(FILL), "executing_entity": FIRM.lei, "submitting_entity": FIRM.lei,
    }  # fmt: skip
    assert cancel_row(FILL, Firm()) == (None, ("FIRM_LEI",))


def test_a_line_has_65_cells_whatever_is_in_them() -> None:
    values, _ = new_row(FILL, SHARE, Holder(replace(JOHN, first_name="Mary Jane")), FIRM)
    assert values is not None
    line = line_of(values)
    assert line.endswith("\r\n")
    assert tuple(next(csv.reader([line]))) == values
    with pytest.raises(ValueError, match="65"):
        line_of(values[1:])


# ---- CAT --------------------------------------------------------------------------------------------------------------

BOUGHT = CatOrder(5, "ZZZ", True, 2, 1, 0, TIME, 2, True, "F" * 13, "I")
SOLD = replace(BOUGHT, order_id=6, buys=False, fdid="G" * 13)


def step(seq: int, kind: str, qty: str, leaves: str, *, reason: int = 0, contra: int = 0) -> CatEvent:
    return CatEvent(
        seq, seq, kind, reason, Decimal("187.5000000000"), Decimal(qty), Decimal(leaves), TIME + seq, contra
    )


def test_a_new_order() -> None:
    event = cat.event_of(BOUGHT, step(1, "accepted", "100", "100"), FIRM)
    line = cat.line_of(event)
    assert '"price":187.5,' in line
    assert '"quantity":100,' in line
    assert json.loads(line) == {
        "actionType": "NEW", "firmROEID": f"20260105_{encode_id(1)}", "type": "MENO", "CATReporterIMID": "DEMO",
        # Nine in the morning in London is four in New York.
        "orderKeyDate": "20260105T043000.123456789", "orderID": encode_id(5), "symbol": "ZZZ", "eventTimestamp": "20260105T043000.123456790",
        "manualFlag": False, "electronicDupFlag": False, "deptType": "A", "solicitationFlag": False, "side": "B", "price": 187.5, "quantity": 100,
        "orderType": "LMT", "timeInForce": {"GTC": True}, "tradingSession": "ALL", "custDspIntrFlag": False, "firmDesignatedID": "F" * 13,
        "accountHolderType": "I", "affiliateFlag": False, "negotiatedTradeFlag": False, "representativeInd": "N",
    }  # fmt: skip


def test_a_market_order_has_no_price_and_a_day_order_its_eastern_day() -> None:
    late = parse_rfc3339("2026-01-06T03:00:00Z")
    event = cat.event_of(
        replace(BOUGHT, ord_type=1, time_in_force=0, created_ns=late), step(1, "accepted", "1", "1"), FIRM
    )
    assert "price" not in event
    assert event["timeInForce"] == {"DAY": 20260105}


def test_a_trade_has_the_sides_that_are_reported() -> None:
    event = step(3, "filled", "40", "60", contra=6)
    both = cat.trade_of({True: BOUGHT, False: SOLD}, event, FIRM)
    assert (both["type"], both["sideDetailsInd"], both["buyDetails"][0]["side"], both["sellDetails"][0]["side"]) == (
        "MEOT",
        "NA",
        "B",
        "SL",
    )
    one = cat.trade_of({False: SOLD}, replace(event, contra_order_id=5), FIRM)
    assert (one["tradeID"], one["sideDetailsInd"], "buyDetails" in one) == (both["tradeID"], "SELL", False)


def test_who_ended_an_order() -> None:
    assert cat.event_of(BOUGHT, step(4, "canceled", "60", "0", reason=CancelReason.USER), FIRM)["initiator"] == "C"
    assert (
        cat.event_of(BOUGHT, step(4, "canceled", "60", "0", reason=CancelReason.SELF_TRADE), FIRM)["initiator"] == "F"
    )
    assert cat.problems_of(BOUGHT, step(4, "canceled", "60", "0", reason=CancelReason.MASS), FIRM) == (
        "CANCEL_INITIATOR",
    )


@pytest.mark.parametrize("source", [OrderSource.API, OrderSource.PORTAL, OrderSource.FIX | 7 << 8])
def test_every_door_of_the_client_is_reported(source: int) -> None:
    assert cat.problems_of(replace(BOUGHT, source=source), step(3, "filled", "1", "0"), FIRM) == ()
    assert new_row(replace(FILL, source=source), SHARE, Holder(JOHN), FIRM)[1] == ()


@pytest.mark.parametrize(
    ("order", "firm", "reason"),
    [
        (BOUGHT, replace(FIRM, imid=""), "FIRM_IMID"), (replace(BOUGHT, holder_type=""), FIRM, "CLIENT_TYPE"),
        (replace(BOUGHT, source=0), FIRM, "EXECUTOR"),
        (BOUGHT, replace(FIRM, market_center=""), "FIRM_MARKET_CENTER"),
    ],
)  # fmt: skip
def test_what_is_missing_rejects_the_event(order: CatOrder, firm: Firm, reason: str) -> None:
    assert cat.problems_of(order, step(3, "filled", "1", "0"), firm) == (reason,)


def life() -> list[dict[str, Any]]:
    """Entered, traded, enlarged, cancelled."""
    return [
        cat.event_of(BOUGHT, step(1, "accepted", "100", "100"), FIRM), cat.trade_of({True: BOUGHT}, step(2, "filled", "40", "60", contra=6), FIRM),
        cat.event_of(BOUGHT, step(3, "replaced", "120", "80"), FIRM), cat.event_of(BOUGHT, step(4, "canceled", "80", "0", reason=1), FIRM),
    ]  # fmt: skip


def test_a_whole_life_hangs_together() -> None:
    assert cat.linkage_problems(life(), frozenset()) == []


def test_what_does_not_hang_together_is_found() -> None:
    key = frozenset({(life()[0]["orderKeyDate"], life()[0]["orderID"])})
    assert "no order" in cat.linkage_problems(life()[1:], frozenset())[0]
    assert cat.linkage_problems(life()[1:], key) == []
    assert "there twice" in cat.linkage_problems([*life(), life()[3]], frozenset())[0]
    assert "is there already" in cat.linkage_problems(life(), key)[0]
    assert "is left" in cat.linkage_problems([life()[0], life()[3]], frozenset())[0]
    too_much = life()[1] | {"quantity": Decimal(101)}
    assert "less than nothing" in cat.linkage_problems([life()[0], too_much], frozenset())[0]
    assert "had ended" in cat.linkage_problems([*life(), life()[2] | {"firmROEID": "20260105_X"}], frozenset())[0]
    # Where an event of the order was rejected its quantities cannot be added up, and are not.
    assert cat.linkage_problems([life()[0], life()[3]], frozenset(), key) == []
