"""The synthetic price model: random access, continuity, order, scale and a pinned checksum."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import fmean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lts_web.trading.calendar import (
    TIMEFRAMES,
    bar_in_calendar,
    is_open,
    market_time_of,
    next_close,
    next_open,
)
from lts_web.trading.synthetic import HOURLY_DEVIATION, PERIODS, SyntheticSeries

ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)


def series(
    seed: int = 1,
    instrument: str = "EUR_USD",
    timeframe: str = "H1",
    price_precision: int = 5,
    start_price: str = "1.1",
    origin: datetime = ORIGIN,
) -> SyntheticSeries:
    return SyntheticSeries(seed, instrument, timeframe, price_precision, start_price, origin)


def checksum(made: SyntheticSeries) -> str:
    """A digest of 500 bars with their times, and of a far one's prices.

    Not of its time: future laws may move New York's clocks, and no price depends on them.
    """
    lines = [(bar[0].isoformat(), *map(str, bar[1:])) for bar in made.bars(0, 500)]
    lines.append(tuple(map(str, made.bar(1_000_000)[1:])))
    text = "\n".join(" ".join(line) for line in lines)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


seeds = st.integers(-(2**70), 2**70)
indexes = st.integers(0, 200_000)
timeframes = st.sampled_from(sorted(TIMEFRAMES))
origins = st.datetimes(
    min_value=datetime(2010, 1, 1),  # noqa: DTZ001
    max_value=datetime(2034, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (series(), "cff0b119a5fd68f9e60401ed3b33ca25"),
        (series(7, "USD_JPY", "M5", 3, "150"), "08c8c17c11846b9f3475ade524857d5d"),
        (series(42, "GBP_USD", "D1", 5, "1.27"), "40c1135035b0e0f419a5da700e516d5e"),
    ],
    ids=["EUR_USD H1", "USD_JPY M5", "GBP_USD D1"],
)
def test_prices_never_change_between_versions_and_platforms(
    made: SyntheticSeries, expected: str
) -> None:
    assert checksum(made) == expected


@settings(deadline=None)
@given(seeds, timeframes, indexes, st.integers(1, 60))
def test_random_access_equals_reading_in_order(
    seed: int, timeframe: str, first: int, count: int
) -> None:
    in_order = list(series(seed, timeframe=timeframe).bars(first, first + count))
    backwards = series(seed, timeframe=timeframe)
    again = [backwards.bar(index) for index in reversed(range(first, first + count))]
    assert again[::-1] == in_order


@settings(deadline=None)
@given(seeds, timeframes, indexes)
def test_bars_join_and_are_well_formed(seed: int, timeframe: str, first: int) -> None:
    bars = list(series(seed, timeframe=timeframe).bars(first, first + 40))
    for _, opening, high, low, closing in bars:
        assert 0 < low <= min(opening, closing)
        assert high >= max(opening, closing)
        assert {price.as_tuple().exponent for price in (opening, high, low, closing)} == {-5}
    for before, after in pairwise(bars):
        assert after[1] == before[4]
        assert after[0] > before[0]


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_the_level_can_never_leave_the_range_of_the_formula(timeframe: str) -> None:
    made = series(timeframe=timeframe)
    assert sum(amplitude for _, amplitude, _, _ in made._octaves) < 1.9


def test_the_variance_of_a_step_is_the_stated_one() -> None:
    for period in PERIODS[:9]:
        smooth = [3 * (n / period) ** 2 - 2 * (n / period) ** 3 for n in range(period + 1)]
        mean_square = fmean((b - a) ** 2 for a, b in pairwise(smooth))
        stated = (6 / 5 - 1 / period**2 + 4 / (5 * period**4)) / period**2
        assert mean_square == pytest.approx(stated, rel=1e-9)


@pytest.mark.parametrize(
    ("instrument", "precision", "start"), [("EUR_USD", 5, "1.1"), ("USD_JPY", 3, "150")]
)
@pytest.mark.parametrize("timeframe", ["M5", "H1"])
def test_volatility_is_the_stated_one(
    instrument: str, precision: int, start: str, timeframe: str
) -> None:
    made = series(5, instrument, timeframe, precision, start)
    closes = [float(bar[4]) for bar in made.bars(0, 6000)]
    deviation = stdev(math.log(b / a) for a, b in pairwise(closes))
    stated = HOURLY_DEVIATION * math.sqrt(TIMEFRAMES[timeframe] / timedelta(hours=1))
    assert deviation == pytest.approx(stated, rel=0.06)
    assert all(0.7 < close / float(start) < 1.45 for close in closes)


def test_neighbouring_seeds_instruments_and_timeframes_do_not_move_together() -> None:
    def returns(made: SyntheticSeries) -> list[float]:
        return [float(bar[4] / bar[1] - 1) for bar in made.bars(0, 3000)]

    one = returns(series())
    for other in (series(2), series(instrument="GBP_USD"), series(timeframe="M30")):
        theirs = returns(other)
        covariance = fmean(a * b for a, b in zip(one, theirs, strict=True))
        assert abs(covariance / (stdev(one) * stdev(theirs))) < 0.1


def test_the_first_bar_opens_at_the_start_price_at_the_origin() -> None:
    first = series(origin=datetime(2026, 3, 4, 10, tzinfo=UTC)).bar(0)
    assert first[:2] == (datetime(2026, 3, 4, 10, tzinfo=UTC), Decimal("1.10000"))
    assert str(series(9, "USD_JPY", "M1", 3, "149.5").bar(0)[1]) == "149.500"


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (datetime(2026, 3, 4, 10, 1, tzinfo=UTC), datetime(2026, 3, 4, 11, tzinfo=UTC)),
        # The weekend on which New York's clocks go forward: the market opens at 21:00 UTC.
        (datetime(2026, 3, 7, 12, tzinfo=UTC), datetime(2026, 3, 8, 21, tzinfo=UTC)),
        (datetime(2026, 3, 6, 21, 30, tzinfo=UTC), datetime(2026, 3, 8, 21, tzinfo=UTC)),
    ],
)
def test_an_origin_off_the_grid_leads_to_the_next_open(
    origin: datetime, expected: datetime
) -> None:
    assert series(origin=origin).time_of(0) == expected


@given(origins, timeframes, indexes)
def test_bars_open_in_the_calendar_and_index_at_finds_them(
    origin: datetime, timeframe: str, index: int
) -> None:
    made = series(origin=origin, timeframe=timeframe)
    opening, following = made.time_of(index), made.time_of(index + 1)
    assert bar_in_calendar(opening)
    assert origin <= made.time_of(0)
    assert market_time_of(opening) % made.step == timedelta(0)
    assert following in (opening + made.step, next_open(opening))
    assert made.index_at(opening) == index
    assert made.index_at(following - timedelta(microseconds=1)) == index
    assert made.bars_closed(opening) == index
    assert made.bars_closed(opening + made.step) == index + 1


def test_the_last_bar_of_a_week_closes_with_the_market() -> None:
    made = series(timeframe="H4")
    closing = next_close(ORIGIN)
    index = made.index_at(closing)
    assert made.time_of(index) + made.step == closing
    assert made.index_at(closing + timedelta(hours=20)) == index
    assert made.bars_closed(closing) == made.bars_closed(closing + timedelta(hours=20)) == index + 1
    assert made.time_of(index + 1) == next_open(closing)
    assert not is_open(closing)


def test_times_before_the_first_bar_are_refused() -> None:
    made = series()
    assert made.bars_closed(ORIGIN - timedelta(days=9)) == 0
    with pytest.raises(ValueError, match="before the first bar"):
        made.index_at(ORIGIN - timedelta(seconds=1))


@pytest.mark.parametrize("read", [SyntheticSeries.bar, SyntheticSeries.time_of])
def test_negative_indexes_are_refused(read: object) -> None:
    with pytest.raises(IndexError, match="no bar -1"):
        read(series(), -1)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("start_price", "message"),
    [
        ("1.123456", "at most 5 decimals"),
        ("NaN", "must be a number"),
        ("Infinity", "must be a number"),
        ("0", "too small"),
        ("-1.1", "too small"),
        ("0.00999", "too small"),
    ],
)
def test_unusable_start_prices_are_refused(start_price: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        series(start_price=start_price)


def test_unknown_timeframes_and_naive_origins_are_refused() -> None:
    with pytest.raises(ValueError, match="Unknown timeframe 'H3'"):
        series(timeframe="H3")
    with pytest.raises(ValueError, match="no zone"):
        series(origin=ORIGIN.replace(tzinfo=None))
