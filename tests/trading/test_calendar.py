"""The FX week, checked against New York's own clock across daylight-saving changes."""

from __future__ import annotations

import csv
import os
import timeit
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lts_web.trading.calendar import (
    OPEN_WEEK,
    TIMEFRAMES,
    at_market_time,
    bar_in_calendar,
    day_end,
    day_start,
    is_open,
    market_time_of,
    next_close,
    next_open,
    open_seconds,
    timeframe,
    trading_day,
    week_open,
)

NEW_YORK = ZoneInfo("America/New_York")
MICROSECOND = timedelta(microseconds=1)
NAIVE = datetime(2026, 1, 5, 12)  # noqa: DTZ001


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def new_york(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=NEW_YORK)  # type: ignore[arg-type, misc]


def open_by_the_wall_clock(at: datetime) -> bool:
    """The rule as people say it, told from New York's weekday and hour alone."""
    local = at.astimezone(NEW_YORK)
    weekday, before_five = local.weekday(), local.time() < time(17)
    if weekday == 4:
        return before_five
    if weekday == 6:
        return not before_five
    return weekday < 4


def clock_changes() -> list[date]:
    """Dates from 2010 to 2035 whose noon in New York has another offset than the day before."""
    found = []
    day = date(2010, 1, 2)
    while day.year <= 2035:
        noon = datetime.combine(day, time(12), NEW_YORK)
        if noon.utcoffset() != (noon - timedelta(days=1)).utcoffset():
            found.append(day)
        day += timedelta(days=1)
    return found


CHANGES = clock_changes()

instants = st.datetimes(
    min_value=datetime(2010, 1, 1),  # noqa: DTZ001
    max_value=datetime(2035, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)
# Half of the examples fall within a week of a change of the clocks, where mistakes would hide.
around_changes = st.builds(
    lambda day, offset: datetime.combine(day, time(0), UTC) + offset,
    st.sampled_from(CHANGES),
    st.timedeltas(min_value=timedelta(days=-8), max_value=timedelta(days=8)),
)
edges = st.builds(
    lambda day, weeks, hours: (
        datetime.combine(day, time(17), NEW_YORK).astimezone(UTC)
        + weeks * timedelta(days=7)
        + timedelta(hours=hours)
    ),
    st.sampled_from(CHANGES),
    st.integers(-3, 3),
    st.integers(-50, 50),
)
times = st.one_of(instants, around_changes, edges)


def test_there_are_two_changes_of_the_clocks_a_year_and_all_on_closed_sundays() -> None:
    assert len(CHANGES) == 52
    assert {day.weekday() for day in CHANGES} == {6}
    assert not any(is_open(datetime.combine(day, time(12), UTC)) for day in CHANGES)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_the_week_after_a_change_opens_at_five_in_new_york_and_lasts_120_hours(
    change: date,
) -> None:
    opening = datetime.combine(change, time(17), NEW_YORK).astimezone(UTC)
    assert opening.hour == (21 if change.month == 3 else 22)
    assert not is_open(opening - MICROSECOND)
    assert is_open(opening)
    assert next_open(opening - MICROSECOND) == opening
    closing = next_close(opening)
    assert closing - opening == OPEN_WEEK
    assert closing.astimezone(NEW_YORK).time() == time(17)
    assert is_open(closing - MICROSECOND)
    assert not is_open(closing)
    # The weekend of the change is an hour shorter in spring and an hour longer in autumn.
    weekend = opening - next_close(opening - timedelta(days=3))
    assert weekend == timedelta(hours=47 if change.month == 3 else 49)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (utc(2026, 1, 9, 21, 59), True),
        (utc(2026, 1, 9, 22, 0), False),
        (utc(2026, 7, 10, 20, 59), True),
        (utc(2026, 7, 10, 21, 0), False),
        (utc(2026, 7, 12, 20, 59), False),
        (utc(2026, 7, 12, 21, 0), True),
        (utc(2026, 7, 11, 12, 0), False),
        (utc(2025, 12, 25, 12, 0), True),
        (utc(2026, 1, 1, 12, 0), True),
    ],
)
def test_known_instants(at: datetime, expected: bool) -> None:
    assert is_open(at) is expected
    assert bar_in_calendar(at) is expected


@given(times)
@example(utc(2019, 11, 3, 22))
@example(utc(2019, 3, 10, 21))
def test_is_open_agrees_with_the_wall_clock_of_new_york(at: datetime) -> None:
    assert is_open(at) is open_by_the_wall_clock(at)


@given(times, st.integers(-23, 23))
def test_the_zone_in_which_a_time_is_given_does_not_matter(at: datetime, hours: int) -> None:
    elsewhere = at.astimezone(timezone(timedelta(hours=hours)))
    assert is_open(elsewhere) is is_open(at)
    assert trading_day(elsewhere) == trading_day(at)
    assert next_open(elsewhere) == next_open(at)
    assert market_time_of(elsewhere) == market_time_of(at)
    assert next_open(elsewhere).tzinfo is UTC


@given(times)
def test_next_open_next_close_and_week_open_are_consistent(at: datetime) -> None:
    opening, closing, latest = next_open(at), next_close(at), week_open(at)
    assert latest <= at < opening
    assert at < closing
    assert is_open(at) is (closing < opening)
    assert (is_open(opening), is_open(opening - MICROSECOND)) == (True, False)
    assert (is_open(closing), is_open(closing - MICROSECOND)) == (False, True)
    assert is_open(latest)
    assert next_open(latest) == opening


@given(times, times)
def test_trading_days_never_go_backwards(one: datetime, other: datetime) -> None:
    earlier, later = sorted((one, other))
    assert trading_day(earlier) <= trading_day(later)


@given(times)
def test_a_trading_day_ends_at_five_in_new_york_on_its_own_date(at: datetime) -> None:
    start, end, day = day_start(at), day_end(at), trading_day(at)
    assert start <= at < end
    assert end.astimezone(NEW_YORK) == datetime.combine(day, time(17), NEW_YORK)
    assert start.astimezone(NEW_YORK).time() == time(17)
    assert day.weekday() < 5
    assert trading_day(start) == day == trading_day(end - MICROSECOND)
    assert trading_day(start - MICROSECOND) < day < trading_day(end)
    assert open_seconds(start, end) == 86_400


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (new_york(2026, 3, 5, 16, 59), date(2026, 3, 5)),
        (new_york(2026, 3, 5, 17), date(2026, 3, 6)),
        (new_york(2026, 3, 6, 16, 59), date(2026, 3, 6)),
        (new_york(2026, 3, 6, 17), date(2026, 3, 9)),
        (new_york(2026, 3, 7, 12), date(2026, 3, 9)),
        (new_york(2026, 3, 8, 17), date(2026, 3, 9)),
        (new_york(2026, 3, 9, 16, 59), date(2026, 3, 9)),
    ],
)
def test_the_weekend_belongs_to_monday(at: datetime, day: date) -> None:
    assert trading_day(at) == day


@given(times, times, times)
def test_open_seconds_add_up(a: datetime, b: datetime, c: datetime) -> None:
    start, middle, end = sorted((a, b, c))
    whole = open_seconds(start, end)
    assert whole == pytest.approx(open_seconds(start, middle) + open_seconds(middle, end), abs=1e-5)
    assert 0 <= whole <= (end - start).total_seconds()


@given(times, st.integers(0, 21 * 24 * 4))
def test_open_seconds_equal_a_count_of_open_quarters(at: datetime, quarters: int) -> None:
    step = timedelta(minutes=15)
    start = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
    counted = sum(open_by_the_wall_clock(start + n * step) for n in range(quarters))
    assert open_seconds(start, start + quarters * step) == counted * 900


@given(times)
def test_market_time_has_an_inverse(at: datetime) -> None:
    again = at_market_time(market_time_of(at))
    assert again == (at if is_open(at) else next_open(at))


@pytest.mark.parametrize("name", TIMEFRAMES)
def test_openings_lie_on_the_grid_of_every_timeframe(name: str) -> None:
    assert market_time_of(week_open(utc(2026, 11, 4))) % timeframe(name) == timedelta(0)
    assert OPEN_WEEK % timeframe(name) == timedelta(0)


def test_open_seconds_refuse_an_end_before_the_start() -> None:
    with pytest.raises(ValueError, match="before the start"):
        open_seconds(utc(2026, 1, 2), utc(2026, 1, 1))


def test_an_unknown_timeframe_names_the_known() -> None:
    with pytest.raises(ValueError, match=r"'H2'.*M1, M5, M15, M30, H1, H4, D1"):
        timeframe("H2")


@pytest.mark.parametrize(
    "question",
    [
        is_open, bar_in_calendar, next_open, next_close, week_open,
        trading_day, day_start, day_end, market_time_of,
    ],
)  # fmt: skip
def test_a_naive_time_is_refused(question: object) -> None:
    with pytest.raises(ValueError, match="no zone"):
        question(NAIVE)  # type: ignore[operator]


def test_open_seconds_refuse_a_naive_time() -> None:
    with pytest.raises(ValueError, match="no zone"):
        open_seconds(NAIVE, utc(2026, 1, 6))


def test_is_open_is_cheap_enough_for_a_loop_over_bars() -> None:
    at = utc(2026, 3, 9, 12)
    seconds = min(timeit.repeat(lambda: is_open(at), number=10_000, repeat=5)) / 10_000
    assert seconds < 5e-6  # About 0.2 µs on a plain machine; the margin is for a busy one.


@pytest.mark.parametrize(
    ("name", "outside"),
    [
        ("eurusd_h1_2017_2018.csv", 0),
        ("eurusd_h1_2018_2020.csv", 0),
        ("gbpusd_h1_2012_2022.csv", 23),
        ("usdjpy_h1_2012_2022.csv", 29),
    ],
)
def test_real_bars_outside_the_calendar_open_at_the_friday_close(name: str, outside: int) -> None:
    folder = os.environ.get("LTS_REFERENCE_DATA")
    path = Path(folder or "") / name
    if not folder or not path.is_file():
        pytest.skip("LTS_REFERENCE_DATA does not lead to the reference bars")
    with path.open(newline="") as stream:
        opens = [
            datetime.fromisoformat(row["DATE_TIME"]).replace(tzinfo=UTC)
            for row in csv.DictReader(stream)
        ]
    strays = [at.astimezone(NEW_YORK) for at in opens if not bar_in_calendar(at)]
    assert len(strays) == outside
    assert all((at.weekday(), at.time()) == (4, time(17)) for at in strays)
