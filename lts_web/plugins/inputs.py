"""What the house tells plugins of its assets, as values; `boundary` makes dictionaries of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from lts_web.trading.instruments import Instrument


@dataclass(frozen=True, slots=True)
class PositionInput:
    """An open position as a strategy sees it: unsigned units, money in account currency."""

    position_id: int
    side: str
    units: int
    entry_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    unrealized_pnl: Decimal
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class AssetInputs:
    """What a strategy is told of its asset; `capital` is the allocation, in `currency`."""

    asset_id: int
    portfolio_id: int
    instrument: Instrument
    timeframe: str
    capital: Decimal
    equity: Decimal
    currency: str
    positions: tuple[PositionInput, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AllocationRow:
    """One asset that asks for a share, as a portfolio plugin sees it.

    `capital` and `equity` are the whole portfolio's and the same in each row: what there is to
    share. `volatility` is the standard deviation of log returns per bar over the plugin's window,
    None if unknown; `weight` the share of the capital that the asset has now, None at first.
    """

    asset_id: int
    instrument: str
    capital: Decimal
    equity: Decimal
    volatility: float | None = None
    weight: float | None = None
