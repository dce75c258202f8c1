"""Bars for the cycle, stored or synthetic, behind one port.

A data set never changes once it is imported and the synthetic model is a pure function, so blocks
of bars are kept in memory. What is handed out always ends at the instant that was asked for.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from lts_web.plugins.bars_view import BarsView, Columns
from lts_web.store.bars import BarColumns, get_dataset, load_columns, opening_time
from lts_web.store.engine import Database
from lts_web.trading.calendar import bar_in_calendar, open_seconds, timeframe
from lts_web.trading.instruments import find_instrument
from lts_web.trading.market import Bar
from lts_web.trading.ports import Series
from lts_web.trading.synthetic import SyntheticSeries

HISTORY_BARS = 500
OLDEST_PRICE_SECONDS = 86_400
_BEFORE, _AFTER = 1024, 3072
_BLOCKS_KEPT = 256
# More bars than this never lie outside the calendar one after the other, but in foreign markets.
_OUTSIDE_IN_A_ROW = 64


@dataclass(frozen=True, slots=True)
class _Block:
    """Consecutive bars; `starts`/`ends` tell that no bar lies before or after them."""

    columns: Columns
    closes_at: array[int]
    starts: bool
    ends: bool

    def covers(self, until: int, count: int) -> bool:
        """Return whether the `count` bars that closed by `until`, and the next, are all here."""
        index = bisect_right(self.closes_at, until)
        enough_before = index >= count or self.starts
        return enough_before and (index < len(self.closes_at) or self.ends)


class BarStore:
    """Implements `ports.MarketData` on the database; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._blocks: OrderedDict[tuple[int, int], _Block] = OrderedDict()
        self._models: dict[int, SyntheticSeries] = {}
        self._lock = threading.Lock()

    def next_close(self, series: Series, after: datetime | None) -> datetime | None:
        """Return the first bar close later than `after` (None: the very first), or None."""
        block = self._block(series, after, 1)
        index = 0 if after is None else bisect_right(block.closes_at, _seconds(after))
        if index >= len(block.closes_at):
            return None
        return opening_time(block.closes_at[index])

    def window(self, series: Series, until: datetime, count: int = HISTORY_BARS) -> BarsView | None:
        """Return a read-only view of the last `count` bars that closed by `until`; None: no bar."""
        block = self._block(series, until, count)
        index = bisect_right(block.closes_at, _seconds(until)) - 1
        return BarsView(block.columns, index, count) if index >= 0 else None

    def bars(self, series: Series, until: datetime, count: int) -> list[Bar]:
        """Return at most `count` bars that closed at or before `until`, oldest first."""
        block = self._block(series, until, count)
        end = bisect_right(block.closes_at, _seconds(until))
        return [_bar(block.columns, index) for index in range(max(0, end - count), end)]

    def last_price(self, series: Series, until: datetime) -> Decimal | None:
        """Return the close of the last bar of the calendar that closed by `until`, or None.

        It is what a venue's last price is: bars outside the calendar move none. A price that is
        older than a day of open market is none any more.
        """
        block = self._block(series, until, _OUTSIDE_IN_A_ROW)
        index = bisect_right(block.closes_at, _seconds(until)) - 1
        columns = block.columns
        while index >= 0:
            if bar_in_calendar(opening_time(columns.times[index])):
                age = open_seconds(opening_time(block.closes_at[index]), until)
                fresh = age <= OLDEST_PRICE_SECONDS
                return Decimal(repr(columns.closes[index])) if fresh else None
            index -= 1
        return None

    def bars_between(self, series: Series, after: datetime, until: datetime) -> list[Bar]:
        """Return the bars that closed later than `after` and at or before `until`."""
        bars: list[Bar] = []
        last = _seconds(after)
        limit = _seconds(until)
        while last < limit:
            block = self._block(series, opening_time(last), 1)
            start = bisect_right(block.closes_at, last)
            end = bisect_right(block.closes_at, limit)
            bars.extend(_bar(block.columns, index) for index in range(start, end))
            if end < len(block.closes_at) or block.ends or start == end:
                break
            last = block.closes_at[-1]
        return bars

    def _block(self, series: Series, until: datetime | None, count: int) -> _Block:
        """Return a block that holds what is asked, from memory or newly loaded."""
        instant = _seconds(until) if until is not None else -1
        with self._lock:
            for part in range(2):
                block = self._blocks.get((series.dataset_id, part))
                if block is not None and until is not None and block.covers(instant, count):
                    self._blocks.move_to_end((series.dataset_id, part))
                    return block
        loaded = self._load(series, until)
        with self._lock:
            # Two blocks a series: portfolios that replay it at two places do not evict each other.
            newest = self._blocks.pop((series.dataset_id, 0), None)
            if newest is not None:
                self._blocks[series.dataset_id, 1] = newest
            self._blocks[series.dataset_id, 0] = loaded
            while len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return loaded

    def _load(self, series: Series, until: datetime | None) -> _Block:
        step = timeframe(series.timeframe)
        if series.origin == "synthetic":
            columns, starts, ends = self._synthetic(series, until)
        else:
            # The bar that opens at `until - step` is the last that has closed by `until`.
            around = until - step + timedelta(microseconds=1) if until is not None else None
            with self._database.read() as session:
                columns = load_columns(session, series.dataset_id, around, _BEFORE, _AFTER)
            before = 0 if around is None else _count_before(columns, around)
            starts = around is None or before < _BEFORE
            ends = len(columns.times) - before < _AFTER
        width = int(step.total_seconds())
        closes_at = array("q", (time + width for time in columns.times))
        view = Columns(
            times=columns.times,
            opens=columns.opens,
            highs=columns.highs,
            lows=columns.lows,
            closes=columns.closes,
            timeframe_seconds=width,
        )
        return _Block(view, closes_at, starts, ends)

    def _synthetic(self, series: Series, until: datetime | None) -> tuple[BarColumns, bool, bool]:
        model = self._model(series)
        closed = model.bars_closed(until) if until is not None else 0
        first = max(0, closed - _BEFORE)
        rows = list(model.bars(first, closed + _BEFORE))
        columns = BarColumns(
            array("q", (_seconds(time) for time, *_ in rows)),
            *(
                array("d", (float(price) for price in column))
                for column in ([prices[place] for _, *prices in rows] for place in range(4))
            ),
        )
        return columns, first == 0, False

    def _model(self, series: Series) -> SyntheticSeries:
        model = self._models.get(series.dataset_id)
        if model is None:
            with self._database.read() as session:
                row = get_dataset(session, series.dataset_id)
            if row is None or row.seed is None or row.start_price is None or row.starts_at is None:
                raise LookupError(f"data set {series.dataset_id} is no synthetic series")
            model = SyntheticSeries(
                seed=row.seed,
                instrument=row.instrument,
                timeframe=row.timeframe,
                price_precision=find_instrument(row.instrument).price_precision,
                start_price=row.start_price,
                origin=row.starts_at,
            )
            self._models[series.dataset_id] = model
        return model


def _count_before(columns: BarColumns, around: datetime) -> int:
    # `around` lies a microsecond past an opening time that still counts as before it.
    return bisect_right(columns.times, _seconds(around))


def _bar(columns: Columns, index: int) -> Bar:
    return Bar(
        opening_time(columns.times[index]),
        Decimal(repr(columns.opens[index])),
        Decimal(repr(columns.highs[index])),
        Decimal(repr(columns.lows[index])),
        Decimal(repr(columns.closes[index])),
    )


def _seconds(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp())
