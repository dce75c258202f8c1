"""Synthetic bars: a documented price model that is a pure function of seed and bar index.

It feeds the demonstration and the tests. It imitates the look of a currency pair and predicts
nothing; whatever shows its prices says that they are synthetic. It must not read a clock, keep
anything but a memo, or depend on the platform.

The model. A series has a key, K = blake2b-64(seed | instrument | timeframe). Boundary i is the
open of bar i and the close of bar i − 1. Its level is a sum of fourteen octaves of value noise,
with periods P = 1, 2, 4 … 8192 bars:

    x(i) = Σ a·w(P)·√P · N_P(i)
    N_P(i) = v(n) + (v(n + 1) − v(n)) · s(u),    n + u = (i + φ_P) / P,    s(u) = 3u² − 2u³

where v(n), in [−1, 1), and the phase φ_P, in 0 … P − 1, come from a hash of K, P and n. Amplitudes
that grow with √P make a random walk up to about P = 8192 bars and hold the price in a band beyond.
The weight w is 1.3 from 16 to 128 bars, else 1: trends of tens of bars are stronger than in real
markets, so that a demonstration has something to follow and its profit means nothing.
The scale a makes the standard deviation of one step σ = 0.0009 · √(bar length / 1 hour): v has the
variance 1/3, and the mean square of a step of s(u) is (6/5 − 1/P² + 4/(5P⁴)) / P², therefore

    σ² = a² · Σ w(P)² · (2/3) · (6/5 − 1/P² + 4/(5P⁴)) / P

    price(i) = start · f(x(i)) / f(x(0)),    f(x) = (2 + x) / (2 − x) ≈ eˣ

rounded to the instrument's precision. f is the first Padé approximant of the exponential: always
positive for |x| < 2, which the amplitudes guarantee, and made of basic arithmetic, which IEEE 754
fixes on every platform, as it does the square root; no other function of a C library takes part.

A bar opens at price(i) and closes at price(i + 1). Its high lies above the higher of the two by
1.25·σ·price·u², its low below the lower one alike, with an own hashed u in [0, 1) for each.

Time. Bars step through open market hours only (`lts_web.trading.calendar`): bar 0 opens at the
first whole multiple of the timeframe at or after the origin, the last bar of a week closes with
the market on Friday, the next one opens on Sunday at 17:00 New York.
"""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from lts_web.trading.calendar import at_market_time, is_open, market_time_of
from lts_web.trading.calendar import timeframe as timeframe_length

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

SyntheticBar = tuple["datetime", Decimal, Decimal, Decimal, Decimal]
"""Open time (UTC), open, high, low, close."""

HOURLY_DEVIATION = 0.0009
PERIODS = tuple(2**power for power in range(14))
_WICK = 1.25
# Fewer points than this would leave no room for the band below the start price.
_LEAST_START_POINTS = 1000
_MASK = (1 << 64) - 1


def _weight(period: int) -> float:
    """Return w(period)."""
    return 1.3 if 16 <= period <= 128 else 1.0


def _scale() -> float:
    """Return a / σ, by the variance of one step that the module's docstring gives."""
    variance = math.fsum(
        _weight(p) ** 2 * (2 / 3) * (6 / 5 - 1 / p**2 + 4 / (5 * p**4)) / p for p in PERIODS
    )
    return 1 / math.sqrt(variance)


_AMPLITUDES = tuple(_scale() * _weight(period) * math.sqrt(period) for period in PERIODS)


class SyntheticSeries:
    """Endless synthetic bars of one instrument and timeframe, read at any index at equal cost.

    `start_price` is the open of bar 0 and gives the scale (1.1 for EUR_USD, 150 for USD_JPY);
    `price_precision` is the number of decimals of every price. ValueError when the timeframe is
    unknown, the origin naive, or the start price not positive, too fine or under 1000 points.
    """

    def __init__(
        self,
        seed: int,
        instrument: str,
        timeframe: str,
        price_precision: int,
        start_price: Decimal | str,
        origin: datetime,
    ) -> None:
        self.seed = seed
        self.instrument = instrument
        self.timeframe = timeframe
        self.price_precision = price_precision
        self.start_price = Decimal(start_price)
        self.step = timeframe_length(timeframe)
        # Ceiling division: an origin inside a bar, or in a weekend, leads to the next open.
        self._first = -(-market_time_of(origin) // self.step)
        self._deviation = HOURLY_DEVIATION * math.sqrt(self.step / timedelta(hours=1))
        self._key = _key(f"{seed}|{instrument}|{timeframe}")
        octave_keys = [_mix(self._key + 1 + octave) for octave in range(len(PERIODS))]
        self._octaves = tuple(
            (period, self._deviation * amplitude, key, _mix(key - 1) % period)
            for period, amplitude, key in zip(PERIODS, _AMPLITUDES, octave_keys, strict=True)
        )
        # The cell that each octave was last asked for; a memo for reading in order, never state.
        # −2 is no cell and has no cell as its neighbour.
        self._cells = [(-2, 0.0, 0.0)] * len(PERIODS)
        self._points_per_ratio = self._points_of_start() / _ratio(self._level(0))

    def time_of(self, index: int) -> datetime:
        """Return the open time of bar `index`, in UTC; IndexError below 0."""
        return at_market_time((self._first + _checked(index)) * self.step)

    def index_at(self, time: datetime) -> int:
        """Return the index of the last bar that opens at or before `time`.

        While the market is closed that is the last bar of the week. ValueError before bar 0.
        """
        steps = market_time_of(time) // self.step - self._first
        index = steps if is_open(time) else steps - 1
        if index < 0:
            raise ValueError(
                f"{time.isoformat()} is before the first bar, which opens at "
                f"{self.time_of(0).isoformat()}."
            )
        return index

    def bars_closed(self, time: datetime) -> int:
        """Return how many bars have closed at or before `time`: indexes below it are known then."""
        return max(market_time_of(time) // self.step - self._first, 0)

    def bar(self, index: int) -> SyntheticBar:
        """Return bar `index`; IndexError below 0."""
        return next(self.bars(index, index + 1))

    def bars(self, first: int, last: int) -> Iterator[SyntheticBar]:
        """Yield the bars from `first` up to, but without, `last`; IndexError below 0."""
        opening = self._points(_checked(first))
        for index in range(first, last):
            closing = self._points(index + 1)
            above, below = self._wicks(index, opening)
            yield (
                self.time_of(index),
                self._price(opening),
                self._price(max(opening, closing) + above),
                self._price(min(opening, closing) - below),
                self._price(closing),
            )
            opening = closing

    def _points_of_start(self) -> int:
        """Return the start price in points, the smallest steps of the price."""
        points = self.start_price.scaleb(self.price_precision)
        if not points.is_finite() or points != points.to_integral_value():
            raise ValueError(
                f"The start price {self.start_price} of {self.instrument} must be a number with at "
                f"most {self.price_precision} decimals."
            )
        if points < _LEAST_START_POINTS:
            raise ValueError(
                f"The start price {self.start_price} of {self.instrument} is too small for "
                f"{self.price_precision} decimals: give at least "
                f"{Decimal(_LEAST_START_POINTS).scaleb(-self.price_precision)}."
            )
        return int(points)

    def _level(self, index: int) -> float:
        """Return x(index)."""
        total = 0.0
        for octave, (period, amplitude, key, phase) in enumerate(self._octaves):
            cell, offset = divmod(index + phase, period)
            known, left, right = self._cells[octave]
            if cell != known:
                left = right if cell == known + 1 else 2 * _unit(_mix(key + cell)) - 1
                right = 2 * _unit(_mix(key + cell + 1)) - 1
                # One assignment of a whole tuple: another thread sees the old cell or the new.
                self._cells[octave] = (cell, left, right)
            u = offset / period
            total += amplitude * (left + (right - left) * (u * u * (3 - 2 * u)))
        return total

    def _points(self, index: int) -> int:
        """Return price(index) in points."""
        return round(self._points_per_ratio * _ratio(self._level(index)))

    def _wicks(self, index: int, points: int) -> tuple[int, int]:
        """Return how far the bar reaches above and below its body, in points."""
        hashed = _mix(self._key ^ _mix(index))
        reach = _WICK * self._deviation * points
        above, below = (hashed >> 32) / 2**32, (hashed & 0xFFFFFFFF) / 2**32
        return int(reach * above * above), int(reach * below * below)

    def _price(self, points: int) -> Decimal:
        return Decimal(points).scaleb(-self.price_precision)


def _checked(index: int) -> int:
    if index < 0:
        raise IndexError(f"There is no bar {index}: the first bar is 0.")
    return index


def _ratio(level: float) -> float:
    """Return f(level), the Padé approximant of the exponential."""
    return (2 + level) / (2 - level)


def _key(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _mix(value: int) -> int:
    """Return a well mixed 64-bit number: one step of Steele, Lea and Flood's SplitMix64 (2014)."""
    value = (value + 1) * 0x9E3779B97F4A7C15 & _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31


def _unit(hashed: int) -> float:
    """Return a hash as a number in [0, 1), exact in a float: its upper 53 bits."""
    return (hashed >> 11) * 2.0**-53
