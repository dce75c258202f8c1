"""The bars and the rule that all engines of the simulation benchmark trade.

At every bar the rule looks at the close, the close of 24 bars before, and the bar's range, high
less low. Flat, it enters when the closes are more than 120 pips apart and the bar is no wilder
than 40 pips, in the direction of the move; holding, it leaves when the move has turned or a bar is
wilder than 70 pips. Each entry has a stop and a target 200 pips away: wider than any bar, so that
engines which test them from the entry's own bar on and engines which begin one bar later agree. At
the last close of a week, when the market closes, nothing is decided; every 120th bar is a week's
last. This module knows no engine and imports nothing but the standard library.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import TypeAlias

LOOKBACK = 24
ENTRY = 0.0120
CALM = 0.0040
WILD = 0.0070
PROTECTION = 0.0200
UNITS = 10_000
CASH = 1_000_000.0
LEVERAGE = 100.0
DIGITS = 5
HOUR = 3600
WEEK_BARS = 120

# Written as text: arrays name their element type only from Python 3.12 on.
Bars: TypeAlias = "tuple[array[int], array[float], array[float], array[float], array[float]]"
"""Epoch seconds of the opens, then open, high, low and close."""


def write_bars(path: Path, bars: Bars) -> None:
    """Write the bars so that any process on this machine can read them at once."""
    with path.open("wb") as file:
        for column in bars:
            column.tofile(file)


def read_bars(path: Path) -> Bars:
    """Return the bars that `write_bars` wrote."""
    count = path.stat().st_size // (8 * 5)
    times, columns = array("q"), [array("d") for _ in range(4)]
    with path.open("rb") as file:
        times.fromfile(file, count)
        for column in columns:
            column.fromfile(file, count)
    return times, columns[0], columns[1], columns[2], columns[3]
