"""Column types that keep what SQLite would lose: digits and time zones.

Money, prices and rates are scaled 64-bit integers (exact, sortable, summable); instants are
microseconds since 1970 in UTC. Naive times and inexact amounts are refused, not repaired.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sqlalchemy import BigInteger, Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LARGEST = 2**63 - 1


class UtcTime(TypeDecorator[datetime]):
    """An aware instant, stored as integer microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return the stored integer; ValueError for a naive time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value.isoformat()} has no zone; store aware times only")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC."""
        return None if value is None else _EPOCH + timedelta(microseconds=int(value))


class ScaledDecimal(TypeDecorator[Decimal]):
    """A decimal with a fixed number of places, stored as a scaled integer."""

    impl = BigInteger
    cache_ok = True

    def __init__(self, places: int) -> None:
        super().__init__()
        self.places = places

    def process_bind_param(self, value: Decimal | int | None, dialect: Dialect) -> int | None:
        """Return the scaled integer (half-even); ValueError if not finite or too large."""
        if value is None:
            return None
        if isinstance(value, float) or not Decimal(value).is_finite():
            raise ValueError(f"{value!r} is no exact finite decimal")
        scaled = int(Decimal(value).scaleb(self.places).to_integral_value(rounding=ROUND_HALF_EVEN))
        if abs(scaled) > _LARGEST:
            raise ValueError(f"{value} is too large to be stored")
        return scaled

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the decimal with all its places."""
        return None if value is None else Decimal(int(value)).scaleb(-self.places)


def money_type() -> ScaledDecimal:
    """Return the type of amounts: four decimals."""
    return ScaledDecimal(4)


def price_type() -> ScaledDecimal:
    """Return the type of prices: eight decimals."""
    return ScaledDecimal(8)


def rate_type() -> ScaledDecimal:
    """Return the type of conversion rates: twelve decimals."""
    return ScaledDecimal(12)
