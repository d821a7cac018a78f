"""Transaction reports of MiFIR Art. 26: one row of 65 columns for each execution of a client. Pure.

Fields and codes are those of RTS 22 (Regulation (EU) 2017/590), Annex I, Table 2. A value that is not known makes a rejected row with its reasons,
never a default; what is written without being looked up follows from what the platform is, and says so beside it.

Owns the columns, what is reportable and the rules of a row. Leaves reading facts to ``compliance/selectors/reports.py``, identifiers of people to
``person_id.py``, sending to whoever takes the file.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from decimal import Decimal

from brokerage.kernel.clock import datetime_from_ns, rfc3339
from brokerage.kernel.identifiers import encode_id, is_cfi, is_currency, is_isin, is_lei, is_mic
from brokerage.kernel.terms import OrderSource
from compliance.reporting.outcome import in_order
from compliance.reporting.person_id import Person, names, person_id, surname_words

RULE = "RTS 22 (Regulation (EU) 2017/590), Annex I, Table 2"
#: Of the 65 fields, in their order.
COLUMNS = (
    "report_status", "transaction_reference", "venue_transaction_id", "executing_entity", "mifid_firm", "submitting_entity",
    "buyer_id", "buyer_branch_country", "buyer_first_names", "buyer_surnames", "buyer_birth_date",
    "buyer_decision_maker", "buyer_dm_first_names", "buyer_dm_surnames", "buyer_dm_birth_date",
    "seller_id", "seller_branch_country", "seller_first_names", "seller_surnames", "seller_birth_date",
    "seller_decision_maker", "seller_dm_first_names", "seller_dm_surnames", "seller_dm_birth_date",
    "order_transmitted", "transmitting_firm_buyer", "transmitting_firm_seller", "trading_time", "trading_capacity",
    "quantity", "quantity_currency", "notional_change", "price", "price_currency", "net_amount",
    "venue", "membership_country", "upfront_payment", "upfront_currency", "complex_trade_id",
    "instrument_id", "instrument_name", "classification", "notional_currency_1", "notional_currency_2", "price_multiplier",
    "underlying_id", "underlying_index", "underlying_index_term", "option_type", "strike_price", "strike_currency", "exercise_style",
    "maturity_date", "expiry_date", "delivery_type", "investment_decision", "investment_decision_country",
    "execution_decision", "execution_decision_country", "waiver", "short_selling", "otc_indicator",
    "commodity_derivative", "financing_transaction",
)  # fmt: skip
#: Spot crypto assets and spot currencies are no financial instruments (MiFID II Annex I, Section C); what is on margin is a contract for differences.
_NO_INSTRUMENT = frozenset({("spot", "crypto"), ("spot", "fx")})
#: Channels in which the client's own instruction came as it was executed.
CLIENT_SOURCES = frozenset({OrderSource.API, OrderSource.PORTAL, OrderSource.FIX})
_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 &/().,'-]*")
_INDEX_MAX = 25

Values = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Firm:
    """The firm as it is registered; empty: not configured."""

    lei: str = ""
    country: str = ""
    mic: str = ""
    imid: str = ""
    market_center: str = ""


@dataclass(frozen=True, slots=True)
class Security:
    """An instrument's reference data. ``underlying``: (kind, code of currency, ISIN or name) of what a contract is about."""

    symbol: str
    name: str
    kind: str
    asset_class: str
    isin: str
    cfi: str
    currency: str
    underlying: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds an account: a person, or a company by its LEI; ``problems`` are reasons that hold for every row."""

    person: Person | None = None
    lei: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one side."""

    exec_id: int
    cmd_seq: int
    order_id: int
    contra_order_id: int
    buys: bool
    price: Decimal
    qty: Decimal
    time_ns: int
    source: int


def reportable(kind: str, asset_class: str) -> bool:
    """True for instruments that a transaction report is about."""
    return (kind, asset_class) not in _NO_INSTRUMENT


def reference(fill: Fill) -> str:
    """Field 2: the day and the execution's own number; unique for ever, the same at every run."""
    return f"{datetime_from_ns(fill.time_ns):%Y%m%d}{encode_id(fill.exec_id)}"


def match_id(cmd_seq: int, order_id: int, contra_order_id: int) -> str:
    """The number of a match, the same from either side: two orders meet once in a command."""
    low, high = sorted((order_id, contra_order_id))
    return f"{encode_id(cmd_seq)}{encode_id(low)}{encode_id(high)}"


def new_row(fill: Fill, security: Security, holder: Holder, firm: Firm) -> tuple[Values | None, tuple[str, ...]]:
    """The 65 values of a NEWT row and no reason; or None and every reason why there is none."""
    problems = [*holder.problems, *_firm_problems(firm)]
    side, holder_problem = _side(holder, firm)
    problems += holder_problem
    contract, contract_problems = _instrument(security)
    problems += contract_problems
    if OrderSource.of(fill.source) not in CLIENT_SOURCES:
        problems.append("EXECUTOR")
    quantity, price = _number(fill.qty, 18, 17), _number(fill.price, 18, 13)
    if quantity is None or price is None:
        problems.append("NUMBER_FORM")
    if security.asset_class == "commodity" and not holder.person and not holder.problems:
        problems.append("CLIENT_TYPE")
    if problems:
        return None, in_order(problems)
    # The other side of an anonymous book is the venue, by its MIC (fields 7 and 16): nobody is told whose order it was.
    market = {"id": firm.mic}
    buyer, seller = (side, market) if fill.buys else (market, side)
    spot = security.kind == "spot"
    values = {
        "report_status": "NEWT",
        "transaction_reference": reference(fill),
        "venue_transaction_id": match_id(fill.cmd_seq, fill.order_id, fill.contra_order_id),
        "executing_entity": firm.lei,
        # Who makes this report on its own executions is an investment firm; it hands the file in itself.
        "mifid_firm": "true",
        "submitting_entity": firm.lei,
        **{f"buyer_{name}": value for name, value in buyer.items()},
        **{f"seller_{name}": value for name, value in seller.items()},
        # Orders are matched here; none is passed on to another firm.
        "order_transmitted": "false",
        "trading_time": rfc3339(fill.time_ns),
        # A share changes hands between clients; a contract is with the firm on either side, at the same price and time.
        "trading_capacity": "AOTC" if spot else "MTCH",
        "quantity": quantity or "",
        "price": price or "",
        "price_currency": security.currency,
        "venue": firm.mic,
        "membership_country": firm.country,
        **contract,
        # The client's order meets the book as the client gave it: nobody in the firm decides on it.
        "execution_decision": "NORE",
        # A share that is not there cannot be sold here, so a sale is a long sale.
        "short_selling": "SELL" if spot and not fill.buys else "",
        # A private person's trade cannot reduce a commercial risk; of a company it is not known, which is a reason above.
        "commodity_derivative": "false" if not spot and security.asset_class == "commodity" else "",
        "financing_transaction": "false",
    }
    return tuple(values.get(name, "") for name in COLUMNS), ()


def cancel_row(fill: Fill, firm: Firm) -> tuple[Values | None, tuple[str, ...]]:
    """The 65 values that take an earlier NEWT row back: status, reference and the two firms, nothing else."""
    if not is_lei(firm.lei):
        return None, ("FIRM_LEI",)
    values = {
        "report_status": "CANC", "transaction_reference": reference(fill), "executing_entity": firm.lei, "submitting_entity": firm.lei,
    }  # fmt: skip
    return tuple(values.get(name, "") for name in COLUMNS), ()


def line_of(values: Values) -> str:
    """A row as the file has it. The file is for a machine: nothing is escaped for spreadsheets. ValueError for anything but 65 values."""
    if len(values) != len(COLUMNS):
        raise ValueError(f"a transaction report has {len(COLUMNS)} columns, not {len(values)}")
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)
    return out.getvalue()


def _firm_problems(firm: Firm) -> list[str]:
    held = {
        "FIRM_LEI": is_lei(firm.lei),
        "FIRM_COUNTRY": bool(re.fullmatch(r"[A-Z]{2}", firm.country)),
        "FIRM_MIC": is_mic(firm.mic),
    }
    return [code for code, fine in held.items() if not fine]


def _side(holder: Holder, firm: Firm) -> tuple[dict[str, str], list[str]]:
    """What fields 7 to 11 (or 16 to 20) say of the client."""
    if holder.person is not None:
        person = holder.person
        found, first, surname = person_id(person), names(person.first_name), surname_words(person.surname)
        lacking = [
            code
            for code, value in (("CLIENT_ID", found), ("CLIENT_NAME", first), ("CLIENT_NAME", surname))
            if not value
        ]
        if lacking or not (found and first and surname):
            return {}, lacking
        return {
            "id": found, "branch_country": firm.country, "first_names": first, "surnames": surname,
            "birth_date": person.born.isoformat(),
        }, []  # fmt: skip
    if holder.problems:
        return {}, []
    return ({"id": holder.lei, "branch_country": firm.country}, []) if is_lei(holder.lei) else ({}, ["CLIENT_LEI"])


def _instrument(security: Security) -> tuple[dict[str, str], list[str]]:
    """Fields 41 to 56: by ISIN alone, or for a contract without one by what it is."""
    problems = [] if is_currency(security.currency) else ["INSTRUMENT_CURRENCY"]
    if security.isin or security.kind == "spot":
        return {"instrument_id": security.isin}, problems if is_isin(security.isin) else [*problems, "INSTRUMENT_ISIN"]
    if not is_cfi(security.cfi):
        problems.append("INSTRUMENT_CFI")
    if not _TEXT.fullmatch(security.name) or len(security.name) > 350:
        problems.append("INSTRUMENT_NAME")
    about, problem = _underlying(security)
    return {
        "instrument_name": security.name, "classification": security.cfi, "notional_currency_1": security.currency,
        # One contract moves by one unit of price for one unit of quantity, and is settled in money.
        "price_multiplier": "1", "delivery_type": "CASH", **about,
    }, problems + problem  # fmt: skip


def _underlying(security: Security) -> tuple[dict[str, str], list[str]]:
    kind, code = security.underlying or ("", "")
    if security.asset_class == "stock" and kind == "equity" and is_isin(code):
        return {"underlying_id": code}, []
    if security.asset_class == "index" and kind == "index" and _TEXT.fullmatch(code) and len(code) <= _INDEX_MAX:
        return {"underlying_index": code}, []
    if security.asset_class == "fx" and kind == "fiat" and is_currency(code):
        return {"notional_currency_2": code}, []
    if security.asset_class == "commodity" and kind == "commodity":
        return {}, []
    return {}, ["INSTRUMENT_UNDERLYING"]


def _number(value: Decimal, digits: int, places: int) -> str | None:
    """A number above zero as the report writes it, or None where it does not fit."""
    text = format(value, "f")
    whole, _, part = text.partition(".")
    part = part.rstrip("0")
    if value <= 0 or len(part) > places or len(whole.lstrip("0")) + len(part) > digits:
        return None
    return f"{whole}.{part}" if part else whole
