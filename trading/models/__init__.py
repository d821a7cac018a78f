"""Models of trading."""

from trading.models.executions import Execution
from trading.models.fallback import FallbackRequest
from trading.models.fix import FixMessage, FixRequest, FixSession
from trading.models.orders import Order, OrderEvent
from trading.models.projection import ProjectedListing, ProjectionState

__all__ = [
    "Execution",
    "FallbackRequest",
    "FixMessage",
    "FixRequest",
    "FixSession",
    "Order",
    "OrderEvent",
    "ProjectedListing",
    "ProjectionState",
]
