"""What a simulated trade costs: spread, slippage, commission and swap.

The formulas are those that the documents' simulation broker uses: spread and slippage are both
paid at the entry, the exit is at the raw price; commission is for the whole round turn and booked
at the open; swap is a cost for both sides and booked at the close.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from lts_web.trading.instruments import Instrument, Side
from lts_web.trading.money import ZERO, round_money

SECONDS_A_DAY = Decimal(86_400)
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS_A_SECOND = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class CostModel:
    """Costs of one order. Pips are of the instrument; money is per standard lot in `currency`."""

    spread_pips: Decimal = ZERO
    slippage_pips: Decimal = ZERO
    commission_per_lot: Decimal = ZERO
    swap_per_lot_day: Decimal = ZERO
    currency: str = "USD"

    def entry_price(self, instrument: Instrument, side: Side, raw: Decimal) -> Decimal:
        """Return raw ± (spread + slippage) · pip, rounded against the trader."""
        distance = (self.spread_pips + self.slippage_pips) * instrument.pip
        return instrument.round_against(raw + side.sign * distance, side)

    def commission(self, instrument: Instrument, units: int, rate: Decimal) -> Decimal:
        """Return commission_per_lot · lots · rate, in account currency; `rate` converts."""
        return round_money(self.commission_per_lot * instrument.lots(units) * rate)

    def swap(self, instrument: Instrument, units: int, held: timedelta, rate: Decimal) -> Decimal:
        """Return swap_per_lot_day · lots · elapsed seconds / 86,400 · rate (account currency)."""
        seconds = max(Decimal(held // _MICROSECOND) / _MICROSECONDS_A_SECOND, ZERO)
        days = seconds / SECONDS_A_DAY
        return round_money(self.swap_per_lot_day * instrument.lots(units) * days * rate)

    def entry_spread_cost(self, instrument: Instrument, units: int, rate: Decimal) -> Decimal:
        """Return what the spread of the entry cost, in account currency (already in the price)."""
        return round_money(self.spread_pips * instrument.pip * abs(units) * rate)

    def entry_slippage_cost(self, instrument: Instrument, units: int, rate: Decimal) -> Decimal:
        """Return what the slippage of the entry cost, in account currency (in the price)."""
        return round_money(self.slippage_pips * instrument.pip * abs(units) * rate)
