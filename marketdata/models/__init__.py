"""Models of market data."""

from marketdata.models.history import Candle, TradePrint
from marketdata.models.pipeline import MarketDataState
from marketdata.models.reference import Asset, Instrument, Venue

__all__ = ["Asset", "Candle", "Instrument", "MarketDataState", "TradePrint", "Venue"]
