"""The bars and the rule that all engines of the simulation benchmark trade.

The rule is the crossing of two exponential moving averages of the close, each of which begins as
the plain average of its first bars. A position that stands against the averages is left; a flat
account enters in their direction, once for each crossing, with a stop 1 % and a target 2 % away
from the close. At a close at which the market closes too, nothing is decided. This module knows
no engine and imports nothing but the standard library.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

STOP = 6
TARGET = 9
UNITS = 10_000
CASH = 1_000_000.0
LEVERAGE = 100.0
DIGITS = 5
HOUR = 3600

BUY, HOLD, SELL, LEAVE = 1, 0, -1, 2


class Bars(NamedTuple):
    """Epoch seconds of the opens, prices, and 1 where the market closes as the bar does."""

    times: array[int]
    opens: array[float]
    highs: array[float]
    lows: array[float]
    closes: array[float]
    quiet: array[int]


class Averages:
    """Two averages of the close and one of the true range, kept up to date bar by bar."""

    __slots__ = (
        "_close",
        "_fast",
        "_fast_weight",
        "_lengths",
        "_slow",
        "_slow_weight",
        "bars",
        "true_range",
    )

    def __init__(self, fast: int, slow: int) -> None:
        self._lengths = (fast, slow)
        self._fast_weight, self._slow_weight = 2 / (fast + 1), 2 / (slow + 1)
        self._fast = self._slow = self._close = self.true_range = 0.0
        self.bars = 0

    def follow(self, high: float, low: float, close: float) -> float:
        """Take in the next bar and return how far the fast average is above the slow one."""
        bars = self.bars = self.bars + 1
        before, self._close = self._close, close
        if bars <= self._lengths[1]:
            return self._begin(bars, high, low, close)
        reach = (high if high > before else before) - (low if low < before else before)
        self.true_range += self._slow_weight * (reach - self.true_range)
        fast = self._fast = self._fast + self._fast_weight * (close - self._fast)
        slow = self._slow = self._slow + self._slow_weight * (close - self._slow)
        return fast - slow

    def _begin(self, bars: int, high: float, low: float, close: float) -> float:
        """Take in one of the first bars, of which there are only plain averages."""
        self.true_range += (high - low - self.true_range) / bars
        self._fast += (close - self._fast) * max(self._fast_weight, 1 / bars)
        self._slow += (close - self._slow) / bars
        return self._fast - self._slow


class Crossover:
    """Decides at each close from bar number `first` on."""

    __slots__ = ("_first", "_quiet", "_traded")

    def __init__(self, first: int, quiet: Sequence[int]) -> None:
        self._first, self._quiet = first, quiet
        self._traded = HOLD

    def decide(self, index: int, lead: float, held: float) -> int:
        """Return BUY, SELL, LEAVE or HOLD; of the lead of the fast average, and of the position
        that is held, only the sign matters.
        """
        if index < self._first or self._quiet[index]:
            return HOLD
        side = BUY if lead > 0 else SELL
        if held:
            return LEAVE if held * side < 0 else HOLD
        if side == self._traded:
            return HOLD
        self._traded = side
        return side


def levels(side: int, close: float, true_range: float) -> tuple[float, float]:
    """Return stop and target of an entry."""
    return (
        round(close - side * STOP * true_range, DIGITS),
        round(close + side * TARGET * true_range, DIGITS),
    )


def write_bars(path: Path, bars: Bars) -> None:
    """Write the bars so that any process on this machine can read them at once."""
    with path.open("wb") as file:
        for column in bars:
            column.tofile(file)


def read_bars(path: Path) -> Bars:
    """Return the bars that `write_bars` wrote."""
    times, quiet = array("q"), array("b")
    prices = [array("d") for _ in range(4)]
    count = path.stat().st_size // (times.itemsize + 4 * prices[0].itemsize + quiet.itemsize)
    with path.open("rb") as file:
        times.fromfile(file, count)
        for column in prices:
            column.fromfile(file, count)
        quiet.fromfile(file, count)
    return Bars(times, prices[0], prices[1], prices[2], prices[3], quiet)
