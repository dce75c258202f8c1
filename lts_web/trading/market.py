"""What a cycle sees of the market: bars, quotes and the checks that refuse bad ones.

Values only; where they come from is the business of the market-data ports.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from lts_web.trading.codes import DenialCode


@dataclass(frozen=True, slots=True)
class Bar:
    """One OHLC bar; `open_time` is aware UTC, prices are mid prices in quote currency."""

    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """What one can sell at (`bid`) and buy at (`ask`) at `time` (aware UTC)."""

    time: datetime
    bid: Decimal
    ask: Decimal

    @property
    def mid(self) -> Decimal:
        """Return the middle of bid and ask, unrounded."""
        return (self.bid + self.ask) / 2

    @property
    def spread(self) -> Decimal:
        """Return ask minus bid."""
        return self.ask - self.bid


@dataclass(frozen=True, slots=True)
class MarketView:
    """The market of one asset at the instant of its decision.

    `now` is market time, `bar` the last complete bar, `quote` what an order would meet.
    `has_new_bar` is False where a replay's step belongs to another asset. `origin` names the
    kind of data ("stored", "synthetic"), which travels to every page that shows its results.
    """

    instrument: str
    now: datetime
    bar: Bar | None
    quote: Quote | None
    has_new_bar: bool
    market_open: bool
    origin: str
    oracle: bool = False


def quote_problem(quote: Quote | None, now: datetime, max_age: timedelta) -> DenialCode | None:
    """Return why no order may rest on this quote, or None if it is sound.

    Refused are: none at all, non-finite or non-positive prices, bid above ask, a quote from the
    future, and one older than `max_age`.
    """
    if quote is None:
        return DenialCode.NO_QUOTE
    if not (quote.bid.is_finite() and quote.ask.is_finite()) or quote.bid <= 0 or quote.ask <= 0:
        return DenialCode.BAD_QUOTE
    if quote.bid > quote.ask:
        return DenialCode.CROSSED_QUOTE
    if quote.time > now or now - quote.time > max_age:
        return DenialCode.STALE_QUOTE
    return None


def bar_problem(bar: Bar) -> str | None:
    """Return why a bar is impossible, in words, or None if it is sound."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    if not all(price.is_finite() and price > 0 for price in prices):
        return "a price is not a positive number"
    if bar.high < max(bar.open, bar.close) or bar.low > min(bar.open, bar.close):
        return "open or close lie outside low and high"
    return None
