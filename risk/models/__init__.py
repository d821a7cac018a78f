"""Models of risk."""

from risk.models.positions import Position

__all__ = ["Position"]
