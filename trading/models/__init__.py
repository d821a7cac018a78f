"""Models of trading."""

from trading.models.executions import Execution
from trading.models.fix import FixMessage, FixRequest, FixSession
from trading.models.orders import Order, OrderEvent
from trading.models.projection import ProjectedListing, ProjectionState

__all__ = [
    "Execution",
    "FixMessage",
    "FixRequest",
    "FixSession",
    "Order",
    "OrderEvent",
    "ProjectedListing",
    "ProjectionState",
]
