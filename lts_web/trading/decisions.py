"""What a strategy may decide: open, close or hold, each with its reason.

A decision is a wish. Sizing and risk turn it into an intent or a denial.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from lts_web.trading.instruments import Side


@dataclass(frozen=True, slots=True)
class Open:
    """Open a position; `units` None leaves the size to the house. Prices in quote currency."""

    side: Side
    units: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    price: Decimal | None = None
    order_type: str = "market"
    reason: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Close one position, or all of the asset's when `position_id` is None."""

    position_id: int | None = None
    reason: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Do nothing, for a reason."""

    reason: str = ""
    confidence: float | None = None


type_of_decision = {Open: "open", Close: "close", Hold: "none"}

Decision = Open | Close | Hold


def action_of(decision: Decision) -> str:
    """Return the documented word for a decision: "open", "close" or "none"."""
    return type_of_decision[type(decision)]
