"""The FX week: when the market is open, when a trading day ends, how long a bar lasts.

The market opens on Sunday at 17:00 and closes on Friday at 17:00, both in New York; the trading
day ends at 17:00 New York. New York moves its clocks on a Sunday at 02:00, while the market is
closed, so an open week always lasts 120 hours under one UTC offset, and only the UTC hour of its
start moves. Every function here rests on that.

Holidays are no rule of this calendar: 25 December and 1 January count as open when they fall
inside a week. Feeds simply have no bars there, and a missing quote is what stops a trade.

Intervals are half open: the instant of opening is open, the instant of closing is closed.
Times are aware; a naive one raises ValueError. Answers are in UTC. This module reads no clock.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

NEW_YORK = ZoneInfo("America/New_York")
DAY_END = time(17)
DAY = timedelta(days=1)
OPEN_WEEK = timedelta(hours=120)

TIMEFRAMES: Mapping[str, timedelta] = MappingProxyType(
    {
        "M1": timedelta(minutes=1),
        "M5": timedelta(minutes=5),
        "M15": timedelta(minutes=15),
        "M30": timedelta(minutes=30),
        "H1": timedelta(hours=1),
        "H4": timedelta(hours=4),
        "D1": timedelta(days=1),
    }
)


def timeframe(name: str) -> timedelta:
    """Return the length of a bar of the timeframe called `name`; ValueError lists the known."""
    try:
        return TIMEFRAMES[name]
    except KeyError:
        known = ", ".join(TIMEFRAMES)
        raise ValueError(f"Unknown timeframe {name!r}: use one of {known}.") from None


def is_open(at: datetime) -> bool:
    """Tell whether the market is open at `at`."""
    at = _utc(at)
    opening, closing = _week(at.toordinal() // 7)
    return opening <= at < closing


def bar_in_calendar(open_time: datetime) -> bool:
    """Tell whether a bar that opens at `open_time` belongs to the calendar.

    The open decides: a bar that opens on Friday at 17:00 New York is outside, whatever its length.
    """
    return is_open(open_time)


def next_open(at: datetime) -> datetime:
    """Return the first opening later than `at` (next week's, when the market is open)."""
    at = _utc(at)
    number = at.toordinal() // 7
    opening = _week(number)[0]
    return opening if at < opening else _week(number + 1)[0]


def next_close(at: datetime) -> datetime:
    """Return the first closing later than `at`."""
    at = _utc(at)
    number = at.toordinal() // 7
    closing = _week(number)[1]
    return closing if at < closing else _week(number + 1)[1]


def week_open(at: datetime) -> datetime:
    """Return the latest opening at or before `at`."""
    at = _utc(at)
    number = at.toordinal() // 7
    opening = _week(number)[0]
    return opening if opening <= at else _week(number - 1)[0]


def trading_day(at: datetime) -> date:
    """Return the trading day of `at`: the New York date of the 17:00 that ends it.

    There are five days a week. 17:00 itself starts the next day, and the closed weekend belongs
    to Monday, whose day therefore runs from Friday 17:00 to Monday 17:00.
    """
    number, day = _day(_utc(at))
    return date.fromordinal(number * 7 + 1 + day)


def day_start(at: datetime) -> datetime:
    """Return the start of the trading day of `at`, which is the end of the day before."""
    number, day = _day(_utc(at))
    return _week(number)[0] + day * DAY if day else _week(number - 1)[1]


def day_end(at: datetime) -> datetime:
    """Return the end of the trading day of `at`, always later than `at`: 17:00 New York."""
    number, day = _day(_utc(at))
    return _week(number)[0] + (day + 1) * DAY


def open_seconds(start: datetime, end: datetime) -> float:
    """Return for how many seconds the market is open from `start` to `end`.

    ValueError when `end` is before `start`.
    """
    start, end = _utc(start), _utc(end)
    if end < start:
        raise ValueError(f"The end {end.isoformat()} is before the start {start.isoformat()}.")
    return (market_time_of(end) - market_time_of(start)).total_seconds()


def market_time_of(at: datetime) -> timedelta:
    """Return the market time of `at`: a running total that stands still while it is closed.

    Only differences mean something. A week is exactly `OPEN_WEEK` of it, and every opening is a
    whole multiple of `OPEN_WEEK`, so that bars of every timeframe lie on whole multiples as well.
    """
    at = _utc(at)
    number = at.toordinal() // 7
    opening = _week(number)[0]
    return number * OPEN_WEEK + min(max(at - opening, timedelta(0)), OPEN_WEEK)


def at_market_time(total: timedelta) -> datetime:
    """Return the instant whose market time is `total`, the inverse of `market_time_of`.

    A closing and the opening after it have the same market time; the opening is the answer.
    """
    number, rest = divmod(total, OPEN_WEEK)
    return _week(number)[0] + rest


def _utc(at: datetime) -> datetime:
    """Return `at` in UTC; ValueError when it has no zone."""
    if at.tzinfo is UTC:  # Nearly always, and the hot loops of simulations pass here.
        return at
    if at.utcoffset() is None:
        raise ValueError(f"The time {at.isoformat()} has no zone: give an aware one, best in UTC.")
    return at.astimezone(UTC)


@lru_cache(maxsize=4096)
def _week(number: int) -> tuple[datetime, datetime]:
    """Return opening and closing of week `number`, in UTC.

    A week's number is the ordinal of its Sunday divided by seven. 17:00 New York is 21:00 or
    22:00 UTC on the same date, so both ends lie inside the UTC week from Sunday to Saturday, and
    the ordinal of any UTC date leads to the one week that can be open on it.
    """
    sunday = date.fromordinal(number * 7)
    opening = datetime.combine(sunday, DAY_END, NEW_YORK).astimezone(UTC)
    return opening, opening + OPEN_WEEK


def _day(at: datetime) -> tuple[int, int]:
    """Return the week's number and the day in it, 0 (Monday) to 4 (Friday), of a time in UTC."""
    number = at.toordinal() // 7
    opening, closing = _week(number)
    if at >= closing:
        return number + 1, 0
    return number, max((at - opening) // DAY, 0)
