"""The newest price known at a moment: trades and closes of bars that are over, whichever is newer, and nothing from later."""

from __future__ import annotations

import pytest

from brokerage.kernel.clock import NS_PER_S
from marketdata.models import Candle, TradePrint
from marketdata.selectors.candles import PriceView, prices_before

pytestmark = pytest.mark.django_db
DAY = 20_000 * 86_400


def bar(core: int, frame: int, open_s: int, close: int, source: Candle.Source) -> None:
    Candle.objects.create(
        core_instrument=core, frame=frame, open_time=open_s, open=close, high=close, low=close, close=close, volume=0, source=source
    )  # fmt: skip


def test_the_newest_of_all_frames_and_trades_counts() -> None:
    bar(1, 86_400, DAY - 86_400, 100, Candle.Source.RECORDED)
    assert prices_before([1, 2], DAY * NS_PER_S) == {1: PriceView(100, DAY * NS_PER_S, "recorded")}
    # A bar that is over later, though it begins earlier, says nothing yet.
    bar(1, 3_600, DAY, 200, Candle.Source.LIVE)
    assert prices_before([1], (DAY + 3_599) * NS_PER_S)[1].ticks == 100
    assert prices_before([1], (DAY + 3_600) * NS_PER_S) == {1: PriceView(200, (DAY + 3_600) * NS_PER_S, "live")}
    bar(1, 60, DAY + 3_600, 300, Candle.Source.SIMULATED)
    assert prices_before([1], (DAY + 3_700) * NS_PER_S)[1] == PriceView(300, (DAY + 3_660) * NS_PER_S, "simulated")
    at = (DAY + 3_660) * NS_PER_S
    TradePrint.objects.create(seq=7, core_instrument=1, price=400, qty=1, side=1, time_ns=at)
    TradePrint.objects.create(seq=8, core_instrument=1, price=500, qty=1, side=1, time_ns=at + 1)
    # Equally new as the bar: the trade. One after the moment is not known at it.
    assert prices_before([1], at) == {1: PriceView(400, at, "trade")}
    assert prices_before([1], at + 1)[1].ticks == 500
    assert prices_before([1], (DAY - 1) * NS_PER_S) == {}
    assert prices_before([], at) == {}
