"""The bars and the rule that all engines of the simulation benchmark trade.

The rule is the crossing of two exponential moving averages of the close. A position that stands
against them is left; a flat account enters in their direction, once for each crossing, with a stop
six and a target nine average ranges of a bar away from the close. At a close at which the market
closes too, nothing is decided. Every engine feeds the one object below, bar by bar, so that all
do the same arithmetic at the same price. This module knows no engine and imports nothing but the
standard library.
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


class Crossover:
    """Keeps the averages and decides; `fast` and `slow` are their lengths, in bars.

    `reach` is the average of high less low, over `slow` bars. Nothing is decided during the first
    `slow` bars, which make up the first averages.
    """

    __slots__ = (
        "_bars",
        "_fast",
        "_fast_weight",
        "_quiet",
        "_slow",
        "_slow_weight",
        "_traded",
        "_warm",
        "reach",
    )

    def __init__(self, fast: int, slow: int, quiet: Sequence[int]) -> None:
        self._fast_weight, self._slow_weight = 2 / (fast + 1), 2 / (slow + 1)
        self._warm, self._quiet = slow, quiet
        self._fast = self._slow = self.reach = 0.0
        self._bars = 0
        self._traded = HOLD

    def decide(self, high: float, low: float, close: float, held: float) -> int:
        """Take in the next bar and return BUY, SELL, LEAVE or HOLD.

        Only the sign matters of the position that is `held`.
        """
        index = self._bars
        self._bars = index + 1
        if index < self._warm:
            self._begin(high, low, close)
            return HOLD
        self.reach += self._slow_weight * (high - low - self.reach)
        fast = self._fast = self._fast + self._fast_weight * (close - self._fast)
        slow = self._slow = self._slow + self._slow_weight * (close - self._slow)
        if self._quiet[index]:
            return HOLD
        side = BUY if fast > slow else SELL
        if held:
            return LEAVE if held * side < 0 else HOLD
        if side == self._traded:
            return HOLD
        self._traded = side
        return side

    def _begin(self, high: float, low: float, close: float) -> None:
        """Take in one of the first bars, of which there are only plain averages."""
        self.reach += (high - low - self.reach) / self._bars
        self._fast += (close - self._fast) * max(self._fast_weight, 1 / self._bars)
        self._slow += (close - self._slow) / self._bars


def levels(side: int, close: float, reach: float) -> tuple[float, float]:
    """Return stop and target of an entry at `close`."""
    return round(close - side * STOP * reach, DIGITS), round(close + side * TARGET * reach, DIGITS)


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
