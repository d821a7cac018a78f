"""History: recorded rows are read as they are, simulated candles roll up exactly and end where they must."""

from decimal import Decimal

import numpy as np
import pytest

from marketdata.history.recorded import SOURCES, recorded_bars
from marketdata.history.simulated import FRAMES, simulate

END_S = 1_795_246_080
DAY = 86_400


@pytest.mark.parametrize("symbol", sorted(SOURCES))
def test_recorded_bars_are_in_order_and_in_range(symbol: str) -> None:
    bars = list(recorded_bars(symbol))
    assert len(bars) > 2_000
    assert [bar.open_time for bar in bars] == sorted({bar.open_time for bar in bars})
    assert all(bar.open_time % DAY == 0 for bar in bars)
    assert all(bar.low > 0 for bar in bars)


def test_a_known_day_is_read_exactly() -> None:
    last = list(recorded_bars("AAPL"))[-1]
    assert (last.open, last.close, last.volume) == (Decimal("438.0"), Decimal("430.47"), Decimal(19730300))


def test_no_source_no_bars() -> None:
    assert list(recorded_bars("BTC-USD")) == []


@pytest.mark.parametrize("seed", [1, 99, 123_456_789])
def test_simulated_candles_end_at_the_price_and_roll_up_exactly(seed: int) -> None:
    by_frame = {
        bars.frame: bars
        for bars in simulate(seed=seed, end_s=END_S, end_ticks=6_400_000, volatility=0.65, daily_lots=900_000)
    }
    assert tuple(by_frame) == FRAMES
    minutes = by_frame[60]
    assert minutes.close[-1] == 6_400_000
    assert minutes.open_time[-1] == END_S - 60
    for bars in by_frame.values():
        assert np.all(np.diff(bars.open_time) > 0)
        assert np.all(bars.open_time % bars.frame == 0)
        assert np.all(bars.low <= np.minimum(bars.open, bars.close))
        assert np.all(bars.high >= np.maximum(bars.open, bars.close))
        assert np.all(bars.low >= 1)
        assert np.all(bars.volume >= 1)
    hours = by_frame[3_600]
    hour = int(minutes.open_time[-1] - minutes.open_time[-1] % 3_600) - 3_600
    inside = (minutes.open_time >= hour) & (minutes.open_time < hour + 3_600)
    at = int(np.flatnonzero(hours.open_time == hour)[0])
    assert int(inside.sum()) == 60
    assert hours.open[at] == minutes.open[inside][0]
    assert hours.close[at] == minutes.close[inside][-1]
    assert hours.high[at] == minutes.high[inside].max()
    assert hours.low[at] == minutes.low[inside].min()
    assert hours.volume[at] == minutes.volume[inside].sum()


def test_same_seed_same_history() -> None:
    first, second = (simulate(seed=5, end_s=END_S, end_ticks=1_000, volatility=0.2, daily_lots=100) for _ in range(2))
    assert [list(bars.rows()) for bars in first] == [list(bars.rows()) for bars in second]


def test_simulated_bars_stay_out_of_the_recorded_time() -> None:
    since = END_S - 100 * DAY
    for bars in simulate(seed=5, end_s=END_S, end_ticks=1_000, volatility=0.2, daily_lots=100, since_s=since):
        assert bars.open_time[0] > since
