"""Money and conversion between currencies.

Amounts are `Decimal`, booked to four decimals half-even, as OANDA books them. This module knows
no instrument rules and no account.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

MONEY_STEP = Decimal("0.0001")
RATE_STEP = Decimal("0.000000000001")
ZERO = Decimal(0)
ONE = Decimal(1)

# Currencies through which a missing cross is derived, in the order in which they are tried.
HUBS = ("USD", "EUR", "GBP", "JPY")


def round_money(amount: Decimal) -> Decimal:
    """Return the amount as it is booked: four decimals, half-even."""
    return amount.quantize(MONEY_STEP, rounding=ROUND_HALF_EVEN)


def round_rate(rate: Decimal) -> Decimal:
    """Return a conversion rate as it is stored: twelve decimals, half-even."""
    return rate.quantize(RATE_STEP, rounding=ROUND_HALF_EVEN)


def to_decimal(value: object) -> Decimal | None:
    """Return a finite number of any ordinary type as `Decimal`, else None.

    A float becomes the shortest decimal that names it (1.1 is Decimal("1.1")), since that is
    what its author wrote. Booleans are no numbers.
    """
    if type(value) is float:  # The usual case, and the hot one.
        number = Decimal(repr(value))
    elif isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    else:
        try:
            number = Decimal(repr(float(value)) if isinstance(value, float) else str(value).strip())
        except (InvalidOperation, ValueError):  # ValueError: an int of thousands of digits
            return None
    return number if number.is_finite() else None


class RateTable:
    """Conversion rates derived from the last known mid prices of instruments.

    `prices` maps an instrument name such as "EUR_USD" to its price: one EUR costs that many USD.
    """

    __slots__ = ("_prices",)

    def __init__(self, prices: Mapping[str, Decimal]) -> None:
        self._prices = prices

    def rate(self, source: str, target: str) -> Decimal | None:
        """Return how many units of `target` one unit of `source` is worth, or None if unknown.

        A direct pair wins over an inverted one, and both over a chain through one hub currency. A
        rate too small for its twelve decimals is unknown, not zero.
        """
        if source == target:
            return ONE
        direct = self._pair(source, target)
        if direct is not None:
            return round_rate(direct) or None
        for hub in HUBS:
            if hub not in (source, target):
                first, second = self._pair(source, hub), self._pair(hub, target)
                if first is not None and second is not None:
                    return round_rate(first * second) or None
        return None

    def _pair(self, source: str, target: str) -> Decimal | None:
        price = self._prices.get(f"{source}_{target}")
        if price is not None and price > 0:
            return price
        inverse = self._prices.get(f"{target}_{source}")
        if inverse is not None and inverse > 0:
            return ONE / inverse
        return None
