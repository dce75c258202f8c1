"""Instruments: names, pip, precision, lots and units, and rounding of prices and sizes.

The record here is the fallback for venues that give none of their own; where a venue states its
instrument, that record wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from functools import lru_cache

# Currencies that trade in LTS. Those whose smallest price step is a hundredth of the usual one
# ("JPY-like") have a pip of 0.01.
CURRENCIES = frozenset(
    {"AUD", "CAD", "CHF", "CNH", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "JPY"}
    | {"MXN", "NOK", "NZD", "PLN", "SEK", "SGD", "THB", "TRY", "USD", "ZAR"}
)
_HUNDREDTH_PIP = frozenset({"JPY", "HUF", "THB"})
_NAME = re.compile(r"([A-Z]{3})[_/\-]?([A-Z]{3})")


class Side(StrEnum):
    """Which way an order trades; a position that a buy opens is long."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Return +1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """Return the side that closes what this one opened."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def position(self) -> str:
        """Return "long" or "short", the position that this side opens."""
        return "long" if self is Side.BUY else "short"

    @classmethod
    def of_units(cls, units: int) -> Side:
        """Return the side of a signed number of units (zero has none: ValueError)."""
        if units == 0:
            raise ValueError("zero units have no side")
        return cls.BUY if units > 0 else cls.SELL


class InstrumentError(ValueError):
    """The instrument is not one that LTS can trade; the message says which names work."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What must be known of a currency pair to price and size an order in it.

    `pip` and the price step are in quote currency per unit of base currency; units are whole
    units of the base currency.
    """

    name: str
    base: str
    quote: str
    pip: Decimal
    price_precision: int
    unit_step: int = 1
    minimum_units: int = 1
    maximum_units: int = 100_000_000
    lot_size: int = 100_000

    @property
    def price_step(self) -> Decimal:
        """Return the smallest price difference."""
        return Decimal(1).scaleb(-self.price_precision)

    def round_price(self, price: Decimal) -> Decimal:
        """Return the nearest price with the instrument's precision (half-even)."""
        return price.quantize(self.price_step, rounding=ROUND_HALF_EVEN)

    def round_against(self, price: Decimal, side: Side) -> Decimal:
        """Return the price rounded to the trader's disadvantage: up for a buy, down for a sell."""
        rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
        return price.quantize(self.price_step, rounding=rounding)

    def round_units(self, units: Decimal) -> int:
        """Return the units rounded toward zero to the instrument's step."""
        steps = (units / self.unit_step).to_integral_value(rounding=ROUND_DOWN)
        return int(steps) * self.unit_step

    def pips(self, difference: Decimal) -> Decimal:
        """Return a price difference in pips."""
        return difference / self.pip

    def lots(self, units: int) -> Decimal:
        """Return (unsigned) lots for signed units."""
        return Decimal(abs(units)) / self.lot_size


def normalise_instrument(name: str) -> str:
    """Return "EUR_USD" for "EUR_USD", "EURUSD", "EUR/USD" or "eur-usd"; else InstrumentError."""
    match = _NAME.fullmatch(name.strip().upper())
    if match is None:
        raise InstrumentError(
            f"{name[:20]!r} is not a currency pair; write two currency codes, for example EUR_USD"
        )
    base, quote = match.groups()
    for currency in (base, quote):
        if currency not in CURRENCIES:
            raise InstrumentError(
                f"{currency} in {base}_{quote} is not a currency that LTS knows; "
                f"known are {', '.join(sorted(CURRENCIES))}"
            )
    if base == quote:
        raise InstrumentError(f"{base}_{quote} pairs a currency with itself")
    return f"{base}_{quote}"


@lru_cache(maxsize=512)
def find_instrument(name: str) -> Instrument:
    """Return the built-in record of a currency pair; InstrumentError if it cannot be one."""
    normal = normalise_instrument(name)
    base, quote = normal.split("_")
    if quote in _HUNDREDTH_PIP:
        return Instrument(normal, base, quote, Decimal("0.01"), 3)
    return Instrument(normal, base, quote, Decimal("0.0001"), 5)
