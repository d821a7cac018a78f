"""From engine events to ticks: where our own book joins the market data pipeline (docs/engine.md §8, "book from events").

Owns the translation and the check that events follow one another. Leaves books, candles and showing to ``marketdata`` and the connection
to ``market_runner.py``.
"""

from __future__ import annotations

from typing import Any

from marketdata.pipeline import Pipeline
from marketdata.ticks import BookChange, StateChange, Trade
from native.layout import EVENT_STRUCT, EventFlag, EventType, TradingState

_BOOK = int(EventFlag.BOOK)
_MAKER = int(EventFlag.MAKER)
_CROSSES = int(EventFlag.CROSSES)
_ADDS = {int(EventType.ORDER_ACCEPTED), int(EventType.ORDER_RESTED)}
_REMOVES = {int(EventType.ORDER_CANCELED), int(EventType.ORDER_EXPIRED)}
_FILLED = int(EventType.ORDER_FILLED)
_REPLACED = int(EventType.ORDER_REPLACED)
_HALT_SET = int(EventType.HALT_SET)
_SESSION_CLOSED = int(EventType.SESSION_CLOSED)
_LISTED = int(EventType.INSTRUMENT_UPSERTED)
_SCOPE_GLOBAL, _SCOPE_INSTRUMENT = 1, 2


class SequenceGapError(Exception):
    """The feed left something out; everything must be loaded again."""


class BookPublisher:
    """Feed packed events of whole commands into a pipeline.

    ``listed`` is set when an instrument was listed or changed; the runner then reads the reference data again.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.listed = False

    def apply(self, raw_events: Any) -> None:
        """Apply events in order. Raises SequenceGapError at the first one that does not follow its predecessor."""
        pipeline, watch = self.pipeline, self.pipeline.watch
        for event in EVENT_STRUCT.iter_unpack(raw_events):
            seq, _, time_ns, kind, _, flags, side, _, _, instrument, _, ref_id, price, qty, leaves, _, amount = event[
                :17
            ]
            if not watch.event(seq, time_ns):
                raise SequenceGapError(f"event {seq} does not follow")
            if kind == _FILLED:
                if flags & _BOOK:
                    pipeline.on_book(BookChange(instrument, seq, side, price, -qty), time_ns)
                if not flags & _MAKER:
                    pipeline.on_trade(Trade(instrument, seq, price, qty, side, time_ns))
            elif flags & _BOOK:
                if kind in _ADDS:
                    pipeline.on_book(BookChange(instrument, seq, side, price, leaves), time_ns)
                elif kind in _REMOVES:
                    pipeline.on_book(BookChange(instrument, seq, side, price, -qty), time_ns)
                elif kind == _REPLACED:
                    pipeline.on_book(BookChange(instrument, seq, side, ref_id, -amount), time_ns)
                    if not flags & _CROSSES:
                        pipeline.on_book(BookChange(instrument, seq, side, price, leaves), time_ns)
            elif kind == _HALT_SET:
                if price == _SCOPE_GLOBAL:
                    pipeline.on_state(StateChange(0, seq, side))
                elif price == _SCOPE_INSTRUMENT:
                    pipeline.on_state(StateChange(instrument, seq, side))
            elif kind == _SESSION_CLOSED:
                pipeline.on_state(StateChange(instrument, seq, int(TradingState.CLOSED)))
            elif kind == _LISTED:
                self.listed = True
