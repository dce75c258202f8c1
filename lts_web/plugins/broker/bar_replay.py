"""Lets bars pass over an account's book, and calls the book only where something can happen.

The market of a simulation is columns of floats; the book is exact and slow. A bar can change the
book only if a request waits for it or its low or high reaches a stop or a target, so only such
bars are given to the book, and what the others would have left behind (the last price) is set
before anything reads it. The result is that of giving it every bar, which a property test holds
this module to. Floats here are prices on the instrument's grid; every amount
of money is computed with integers or `Decimal`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf

from lts_web.plugins.bars_view import Columns
from lts_web.trading.calendar import OPEN_WEEK, bar_in_calendar, next_open, week_open
from lts_web.trading.instruments import Instrument
from lts_web.trading.market import Bar
from lts_web.trading.matching import Book, FillReason, VenueTransaction

MONEY_SCALE = 10_000
_RATE_SCALE = 10**12
_OPEN_WEEK_SECONDS = int(OPEN_WEEK.total_seconds())


@dataclass(frozen=True, slots=True)
class Market:
    """Bars to replay: one instrument's, and those of pairs that convert its money."""

    instrument: Instrument
    columns: Columns
    conversions: Mapping[str, Columns] = field(default_factory=dict)


def on_grid(columns: Columns, instrument: Instrument) -> Columns:
    """Return the bars with every price rounded to the instrument's precision, as imports do."""
    scale = 10**instrument.price_precision
    gridded = Columns(columns.timeframe_seconds, columns.times[:])
    pairs = (
        (columns.opens, gridded.opens),
        (columns.highs, gridded.highs),
        (columns.lows, gridded.lows),
        (columns.closes, gridded.closes),
    )
    for source, target in pairs:
        # An integer divided by a power of ten is the very float that its digits name.
        target.extend(round(price * scale) / scale for price in source)
    return gridded


def calendar_week(opened: int) -> tuple[int, int]:
    """Return when the week of a bar ends, and when the next begins (epoch seconds).

    The week is the latest that began at or before `opened`; the bar lies in the calendar if it
    opens before the week's end.
    """
    at = datetime.fromtimestamp(opened, UTC)
    begins = int(week_open(at).timestamp())
    return begins + _OPEN_WEEK_SECONDS, int(next_open(at).timestamp())


class BarReplay:
    """The bars of a market, the book under them, and what the next bar must reach to matter.

    `marked` is the last bar that counts for prices: those outside the calendar do not.
    `lower` and `upper` are the levels whose reach wakes the book; `waiting` tells of requests.
    `simple` is set while there is one open trade whose profit needs no rate: (entry, value,
    divisor), and the profit is (last price − entry) · value / divisor, prices in steps.
    """

    __slots__ = (
        "_bar",
        "_closes",
        "_divisor",
        "_exact",
        "_held",
        "_inverse",
        "_length",
        "_next_week",
        "_scale",
        "_week_end",
        "book",
        "lower",
        "marked",
        "market",
        "passed",
        "simple",
        "upper",
        "waiting",
    )

    def __init__(self, market: Market, book: Book) -> None:
        self.market = market
        self.book = book
        self.marked = -1
        self.passed = -1
        self._week_end = self._next_week = 0
        self._bar: tuple[int, Bar] | None = None
        self._closes = market.columns.closes
        self._length = timedelta(seconds=market.columns.timeframe_seconds)
        instrument = market.instrument
        self._scale = 10**instrument.price_precision
        self._inverse = instrument.base == book.currency
        self._divisor = self._scale * (_RATE_SCALE if self._inverse else 1)
        own = instrument.quote == book.currency or self._inverse
        # With other prices about, only the book knows which chain of rates wins.
        self._exact = not own or (bool(market.conversions) and self._inverse)
        self._held: list[tuple[int, int]] = []
        self.simple: tuple[int, int, int] | None = None
        self.rearm()

    def rearm(self) -> None:
        """Take up what the book holds now; call it after every change of the book."""
        book = self.book
        self.waiting = bool(book.orders)
        lower, upper = -inf, inf
        held: list[tuple[int, int]] = []
        for trade in book.trades.values():
            held.append((int(trade.price * self._scale), trade.units))
            below, above = trade.stop_loss, trade.take_profit
            if trade.units < 0:
                below, above = above, below
            # Rounding a decimal to a float keeps the order, so no touch is ever missed.
            if below is not None:
                lower = max(lower, float(below))
            if above is not None:
                upper = min(upper, float(above))
        self.lower, self.upper = lower, upper
        self._held = held
        self.simple = None
        if len(held) == 1 and not (self._exact or self._inverse):
            [(entry, units)] = held
            self.simple = (entry, units * MONEY_SCALE, self._divisor)

    def advance(self, index: int) -> None:
        """Let the bar at `index` pass; bars pass in order, each once."""
        columns = self.market.columns
        opened = columns.times[index]
        if opened >= self._next_week:
            self._week_end, self._next_week = calendar_week(opened)
        self.passed = index
        if opened >= self._week_end:
            return
        if self.waiting or columns.lows[index] <= self.lower or columns.highs[index] >= self.upper:
            self.pass_bar(index)
        self.marked = index

    def bar(self, index: int) -> Bar:
        """Return the bar at `index` as the book takes it; the last one asked for is kept."""
        if self._bar is None or self._bar[0] != index:
            self._bar = (index, exact_bar(self.market.columns, index))
        return self._bar[1]

    def pass_bar(self, index: int) -> None:
        """Give the bar, and the conversion bars of the same instant, to the book."""
        market = self.market
        bar = self.bar(index)
        bars = {market.instrument.name: bar}
        opened = market.columns.times[index]
        for name, columns in market.conversions.items():
            place = bisect_left(columns.times, opened)
            self._set_price(name, columns, place - 1)
            if place < len(columns.times) and columns.times[place] == opened:
                bars[name] = exact_bar(columns, place)
        self.book.on_bars(bar.open_time, bar.open_time + self._length, bars)
        self.rearm()

    def mark(self) -> None:
        """Give the book the last prices that the bars so far have left, as if it had seen all."""
        market = self.market
        if self.marked < 0:
            return
        self.book.prices[market.instrument.name] = self.bar(self.marked).close
        opened = market.columns.times[self.passed]
        for name, columns in market.conversions.items():
            place = bisect_left(columns.times, opened + 1)
            self._set_price(name, columns, place - 1)

    def unrealized(self) -> int:
        """Return the open profit at the last price, in ten-thousandths of account currency.

        Rounded trade by trade half-even, to the very digit that the book would give.
        """
        if not self._held or self.marked < 0:
            return 0
        if self._exact:
            self.mark()
            return int(self.book.account().unrealized_pnl * MONEY_SCALE)
        points = round(self._closes[self.marked] * self._scale)
        factor = MONEY_SCALE
        if self._inverse:
            factor *= half_even(self._scale * _RATE_SCALE, points)
        total = 0
        for entry, units in self._held:
            total += half_even((points - entry) * units * factor, self._divisor)
        return total

    def close_all(self, time: datetime) -> list[VenueTransaction]:
        """Close what is open at the last price, drop what waits, and return the fills."""
        self.mark()
        for order_id in list(self.book.orders):
            self.book.cancel(order_id, time)
        fills: list[VenueTransaction] = []
        for trade in list(self.book.trades.values()):
            raw = self.book.prices[trade.instrument]
            line = self.book.close_now(trade.id, raw, time, FillReason.END_OF_DATA)
            assert line is not None
            fills.append(line)
        self.rearm()
        return fills

    def _set_price(self, name: str, columns: Columns, place: int) -> None:
        """Set an instrument's price to the close of its last bar in the calendar up to `place`."""
        while place >= 0:
            if bar_in_calendar(datetime.fromtimestamp(columns.times[place], UTC)):
                self.book.prices[name] = exact(columns.closes[place])
                return
            place -= 1


def half_even(numerator: int, divisor: int) -> int:
    """Return numerator / divisor rounded half-even, for a positive divisor."""
    quotient, rest = divmod(numerator, divisor)
    rest += rest
    if rest > divisor or (rest == divisor and quotient & 1):
        return quotient + 1
    return quotient


def exact(price: float) -> Decimal:
    """Return the decimal that a price on the grid is written as."""
    return Decimal(repr(price))


def exact_bar(columns: Columns, index: int) -> Bar:
    """Return the bar at `index` as the book takes it."""
    return Bar(
        datetime.fromtimestamp(columns.times[index], UTC),
        Decimal(repr(columns.opens[index])),
        Decimal(repr(columns.highs[index])),
        Decimal(repr(columns.lows[index])),
        Decimal(repr(columns.closes[index])),
    )
