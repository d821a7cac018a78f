"""A long statement: every row of it is on paper, and the time grows with the rows. ``STATEMENT_ROWS=10000 pytest -s`` on this file measures."""

from __future__ import annotations

import os
import re
import time
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Balance, LedgerEntry, User
from accounts.selectors.access import account_for_user
from accounts.services.trading_accounts import account_open
from brokerage.kernel.clock import NS_PER_DAY, NS_PER_S, SYSTEM_CLOCK, utc_now
from brokerage.platform.tests.pdf_reader import reader_of
from marketdata.models import Asset, Instrument
from marketdata.services.seed import reference_seed
from risk.models import Position
from trading.models import Execution, ProjectionState
from trading.projection.apply import position_fill
from trading.projection.rows import PositionRow
from trading.selectors.statement import period_of, statement_get
from trading.services import statements

pytestmark = pytest.mark.django_db
ROWS = int(os.environ.get("STATEMENT_ROWS", "600"))


def busy_account(rows: int) -> Any:
    """An account with ``rows`` rows in its statement: a deposit and then trades, three entries each, as the projector writes them."""
    reference_seed(demo=True)
    user = User.objects.create_user("busy@example.test", "Correct-Horse-2026", display_name="Busy Client", kyc_tier=2)
    account = account_open(user=user)
    core, item = account.core_account, Instrument.objects.get(symbol="SOL-USD")
    usd, sol = Asset.objects.get(code="USD").core_asset, Asset.objects.get(code="SOL").core_asset
    totals, position = {usd: 0, sol: 0}, PositionRow()
    entries, fills = [], []
    start = SYSTEM_CLOCK.now_ns() // NS_PER_DAY * NS_PER_DAY

    def leg(seq: int, number: int, asset: int, amount: int, kind: int) -> None:
        totals[asset] += amount
        entries.append(
            LedgerEntry(
                id=seq * 16 + number, entry_seq=seq, cmd_seq=seq, leg=number, book=1, core_account=core, core_asset=asset, amount=amount,
                kind=kind, ref_id=seq, time_ns=start + seq,
            )
        )  # fmt: skip

    leg(1, 0, usd, 10**15, LedgerEntry.Kind.DEPOSIT)
    for turn in range((rows - 1) // 4):
        seq, side, qty, price = turn + 2, 1 + (turn % 3 == 2), 7 + turn % 11, 150_000 + turn % 97
        notional = price * qty * item.tick_value
        sign = 1 if side == 1 else -1
        leg(seq, 0, usd, -sign * notional, LedgerEntry.Kind.TRADE)
        leg(seq, 1, sol, sign * qty * item.lot_minor, LedgerEntry.Kind.TRADE)
        leg(seq, 2, usd, -(notional // 1_000), LedgerEntry.Kind.FEE)
        position_fill(position, side, qty, notional)
        fills.append(
            Execution(
                exec_id=seq, order_id=seq, contra_order_id=0, core_account=core, core_instrument=item.core_instrument, side=side,
                last_px=price, last_qty=qty, fee=notional // 1_000, fee_core_asset=usd, liquidity="t", leaves_qty=0, cum_qty=qty, cmd_seq=seq,
                time_ns=start + seq,
            )
        )  # fmt: skip
    LedgerEntry.objects.bulk_create(entries)
    Execution.objects.bulk_create(fills)
    for asset, total in totals.items():
        Balance.objects.create(core_account=core, core_asset=asset, available=total, held=0, seq=1)
    Position.objects.create(
        core_account=core, core_instrument=item.core_instrument, net=position.net, cost=position.cost, realised_pnl=position.realised_pnl, seq=1,
    )  # fmt: skip
    ProjectionState.objects.update_or_create(pk=1, defaults={"event_seq": rows + 10})
    return account_for_user(user.pk, account.number)


def test_every_row_is_on_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "PDF_ROWS_MAX", max(ROWS, 10_000))
    account = busy_account(ROWS)
    today = utc_now().date()
    period = period_of(account, today, today + timedelta(days=1))
    began, cpu_began = SYSTEM_CLOCK.monotonic_ns(), time.process_time()
    one = statement_get(account, period)
    figures = SYSTEM_CLOCK.monotonic_ns()
    made = statements.statement_pdf(account=account, period=period, made_for="a@example.test")
    done, cpu = SYSTEM_CLOCK.monotonic_ns(), time.process_time()
    table = list(statements.statement_csv(account=account, period=period))
    print(
        f"{one.entries + one.trades} rows: figures {(figures - began) / NS_PER_S:.2f} s, whole PDF {(done - figures) / NS_PER_S:.2f} s, "
        f"{cpu - cpu_began:.2f} s of processor for both, {len(made.content)} bytes, CSV {time.process_time() - cpu:.2f} s of processor"
    )
    assert sum(row[0] in {"cash", "trade"} for row in table) == one.entries + one.trades
    if ROWS > 1_000:
        return
    pages = reader_of(made.content).pages
    text = "\n".join(page.extract_text() for page in pages)
    for row in table:
        assert row[0] not in {"cash", "trade"} or str(row[2]) in text, row
    # Each page of a table has its headings; what follows the tables is on the last.
    for page in pages[:-1]:
        assert re.search("(Amount|Price), [A-Z]{3}", page.extract_text()), page.extract_text()[:300]
