"""How large an order may be: the least of several caps, rounded down to the instrument's step.

Money is in account currency; `rate` converts quote to account currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter

from lts_web.trading.instruments import Instrument
from lts_web.trading.money import ZERO


@dataclass(frozen=True, slots=True)
class SizingInputs:
    """What the caps are computed from.

    `capital` is what the allocation gave the asset, `equity` the account's equity, `free_margin`
    what is not bound by open trades. Fractions are 0–1; leverage is a multiple.
    """

    capital: Decimal
    equity: Decimal
    free_margin: Decimal
    price: Decimal
    stop_loss: Decimal | None
    rate: Decimal
    position_size: Decimal
    max_risk_per_trade: Decimal
    leverage: Decimal
    explicit_units: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Sized:
    """The size in whole units (unsigned), the cap that set it, and every cap in units."""

    units: int
    binding_cap: str
    caps: tuple[tuple[str, Decimal], ...]


def size_order(instrument: Instrument, inputs: SizingInputs) -> Sized:
    """Return the least of the caps, rounded down to the step.

    risk      max_risk_per_trade · equity / (|price − stop| · rate), where there is a stop;
    capital   capital · position_size · leverage / (price · rate), a notional;
    margin    free_margin · leverage / (price · rate);
    quantity  what the strategy asked for, where it did;
    maximum   the instrument's largest order.
    """
    unit_value = inputs.price * inputs.rate
    caps: list[tuple[str, Decimal]] = []
    if inputs.stop_loss is not None:
        loss_a_unit = abs(inputs.price - inputs.stop_loss) * inputs.rate
        if loss_a_unit > 0:
            caps.append(("risk", inputs.max_risk_per_trade * inputs.equity / loss_a_unit))
    caps.append(("capital", inputs.capital * inputs.position_size * inputs.leverage / unit_value))
    caps.append(("margin", inputs.free_margin * inputs.leverage / unit_value))
    if inputs.explicit_units is not None:
        caps.append(("quantity", inputs.explicit_units))
    caps.append(("maximum", Decimal(instrument.maximum_units)))
    name, least = min(caps, key=itemgetter(1))
    return Sized(instrument.round_units(max(least, ZERO)), name, tuple(caps))
