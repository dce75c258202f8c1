"""History as a plugin sees it: a window on columns of bars that ends at the current bar.

Making a view costs the same whatever its length, since nothing is copied before it is read.
A view offers no way to later bars and no way to change one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, overload

HISTORY_BARS = 500

BarRow = dict[str, Any]
"""{time: aware UTC open, open, high, low, close: floats}."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Bars by column, oldest first: opens' epoch seconds, and mid prices.

    `timeframe_seconds` is the length of a bar.
    """

    timeframe_seconds: int
    times: array[int] = field(default_factory=lambda: array("q"))
    opens: array[float] = field(default_factory=lambda: array("d"))
    highs: array[float] = field(default_factory=lambda: array("d"))
    lows: array[float] = field(default_factory=lambda: array("d"))
    closes: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.times)

    def append(self, time: int, open_: float, high: float, low: float, close: float) -> None:
        """Add the next bar; `time` is its open in epoch seconds."""
        self.times.append(time)
        self.opens.append(open_)
        self.highs.append(high)
        self.lows.append(low)
        self.closes.append(close)

    def row(self, index: int) -> BarRow:
        """Return the bar at `index` as a dictionary."""
        return {
            "time": datetime.fromtimestamp(self.times[index], UTC),
            "open": self.opens[index],
            "high": self.highs[index],
            "low": self.lows[index],
            "close": self.closes[index],
        }


class BarsView(Sequence[BarRow]):
    """At most `limit` bars of `columns`, the last of them at index `end`; read-only."""

    __slots__ = ("_columns", "_limit", "_stop")

    def __init__(self, columns: Columns, end: int, limit: int = HISTORY_BARS) -> None:
        """Look at the bars up to and with index `end` (−1: an empty view)."""
        # One view is made at every bar, so nothing else is worked out before it is asked for.
        self._columns = columns
        self._limit = limit
        self._stop = end + 1

    def __len__(self) -> int:
        """Return the number of bars in view."""
        return min(self._stop, self._limit)

    @overload
    def __getitem__(self, index: int) -> BarRow: ...

    @overload
    def __getitem__(self, index: slice) -> list[BarRow]: ...

    def __getitem__(self, index: int | slice) -> BarRow | list[BarRow]:
        """Return one bar, or a list of bars for a slice; IndexError outside the view."""
        length = len(self)
        start = self._stop - length
        if isinstance(index, slice):
            return [self._columns.row(start + one) for one in range(*index.indices(length))]
        place = index + length if index < 0 else index
        if not 0 <= place < length:
            raise IndexError(f"there is no bar {index} among {length}")
        return self._columns.row(start + place)

    def __iter__(self) -> Iterator[BarRow]:
        """Yield the bars, oldest first."""
        return map(self._columns.row, range(self._stop - len(self), self._stop))

    def opens(self, n: int | None = None) -> list[float]:
        """Return the opens of the last `n` bars (None: of all in view), oldest first."""
        return self._last(self._columns.opens, n)

    def highs(self, n: int | None = None) -> list[float]:
        """Return the highs of the last `n` bars (None: of all in view), oldest first."""
        return self._last(self._columns.highs, n)

    def lows(self, n: int | None = None) -> list[float]:
        """Return the lows of the last `n` bars (None: of all in view), oldest first."""
        return self._last(self._columns.lows, n)

    def closes(self, n: int | None = None) -> list[float]:
        """Return the closes of the last `n` bars (None: of all in view), oldest first."""
        return self._last(self._columns.closes, n)

    def _last(self, column: array[float], n: int | None) -> list[float]:
        stop, length = self._stop, self._limit
        if n is not None and n < length:
            if n < 0:
                raise ValueError(f"{n} is no number of bars: ask for 0 or more")
            length = n
        return column[stop - length if stop > length else 0 : stop].tolist()
