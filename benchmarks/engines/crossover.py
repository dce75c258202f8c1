"""The bars and the rule that all engines of the simulation benchmark trade.

The rule is the crossing of two exponential moving averages of the close, kept up to date bar by
bar. When the fast one crosses the slow one, a position that stands against it is left, and a flat
account enters in its direction, once for each crossing, with a stop 1 % and a target 1.5 % away
from the close. At a close at which the market closes too, nothing is decided. Every engine feeds
the one object below, so all of them do the same arithmetic at the same price. This module knows
no engine and imports nothing but the standard library.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

STOP = 0.010
TARGET = 0.015
UNITS = 10_000
CASH = 1_000_000.0
LEVERAGE = 100.0
DIGITS = 5
HOUR = 3600

LEAVE = 2
BUY, HOLD, SELL = 1, 0, -1


class Bars(NamedTuple):
    """Epoch seconds of the opens, prices, and 1 where the market closes as the bar does."""

    times: array[int]
    opens: array[float]
    highs: array[float]
    lows: array[float]
    closes: array[float]
    quiet: array[int]


class Crossover:
    """Decides at each close; `fast` and `slow` are the averages' lengths in bars."""

    __slots__ = ("_fast", "_fast_weight", "_quiet", "_seen", "_slow", "_slow_weight", "_traded")

    def __init__(self, fast: int, slow: int, quiet: Sequence[int]) -> None:
        self._fast_weight, self._slow_weight = 2 / (fast + 1), 2 / (slow + 1)
        self._quiet = quiet
        self._fast = self._slow = 0.0
        self._seen = 0
        self._traded = HOLD

    def decide(self, close: float, held: float) -> int:
        """Take in the next close; return BUY, SELL, LEAVE or HOLD. The sign of `held` matters."""
        seen = self._seen
        self._seen = seen + 1
        if not seen:
            self._fast = self._slow = close
            return HOLD
        fast = self._fast = self._fast + self._fast_weight * (close - self._fast)
        slow = self._slow = self._slow + self._slow_weight * (close - self._slow)
        if self._quiet[seen]:
            return HOLD
        side = BUY if fast > slow else SELL
        if held:
            return LEAVE if held * side < 0 else HOLD
        if side == self._traded:
            return HOLD
        self._traded = side
        return side


def levels(side: int, close: float) -> tuple[float, float]:
    """Return stop and target of an entry."""
    return (
        round(close * (1 - side * STOP), DIGITS),
        round(close * (1 + side * TARGET), DIGITS),
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
