"""Reads what a simulated broker is asked to do: the documented dictionaries become requests.

Every documented name of a value is understood, two names that disagree are refused, and so is
everything that is no finite number. This module must not know a venue or a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from lts_web.trading.instruments import (
    Instrument,
    InstrumentError,
    Side,
    find_instrument,
)
from lts_web.trading.money import to_decimal

_SIDES = {"buy": Side.BUY, "long": Side.BUY, "sell": Side.SELL, "short": Side.SELL}
_CLIENT_ID_LENGTH = 128


class OrderRefused(ValueError):
    """The request cannot be carried out as it stands; nothing was done.

    `code` is a word for programs, the message a sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """An entry as it was asked for: signed units, prices in quote currency, aware UTC."""

    instrument: Instrument
    units: int
    stop_loss: Decimal | None
    take_profit: Decimal | None
    price: Decimal | None
    timestamp: datetime | None
    client_id: str

    @property
    def side(self) -> Side:
        """Return the side that the sign of the units says."""
        return Side.of_units(self.units)


def read_entry(parameters: Mapping[str, Any], default_instrument: str) -> EntryRequest:
    """Return the entry that the parameters describe.

    instrument | symbol; side | direction (buy, sell, long, short); quantity (units) or volume
    (lots); stop_loss | sl; take_profit | tp; price; timestamp; client_order_id. OrderRefused:
    unknown words, amounts that are not positive whole units, prices that are none.
    """
    order_type = parameters.get("order_type") or "market"
    if order_type != "market":
        raise OrderRefused(
            "ORDER_TYPE_UNSUPPORTED",
            f"The order type {_shown(order_type)} is not offered: use market.",
        )
    instrument = _instrument(pick(parameters, "instrument", "symbol"), default_instrument)
    side = _side(pick(parameters, "side", "direction"))
    stop_loss = read_price(pick(parameters, "stop_loss", "sl"), "stop loss")
    take_profit = read_price(pick(parameters, "take_profit", "tp"), "take profit")
    return EntryRequest(
        instrument=instrument,
        units=side.sign * _units(parameters, instrument),
        stop_loss=None if stop_loss is None else instrument.round_price(stop_loss),
        take_profit=None if take_profit is None else instrument.round_price(take_profit),
        price=read_price(parameters.get("price"), "price"),
        timestamp=read_time(parameters.get("timestamp")),
        client_id=read_client_id(parameters.get("client_order_id")),
    )


def pick(parameters: Mapping[str, Any], *names: str) -> Any:
    """Return the value that stands under one of the names; OrderRefused if two disagree."""
    given = {name: parameters[name] for name in names if parameters.get(name) is not None}
    values = list(given.values())
    if any(value != values[0] for value in values[1:]):
        listed = " and ".join(f"{name} {_shown(value)}" for name, value in given.items())
        raise OrderRefused(
            "PARAMETERS_CONTRADICT", f"{listed} contradict each other: give one of them."
        )
    return values[0] if values else None


def read_price(value: object, what: str) -> Decimal | None:
    """Return a price, None for none; OrderRefused unless it is a finite number above zero."""
    if value is None:
        return None
    price = to_decimal(value)
    if price is None or not 0 < price < Decimal(10) ** 9:
        raise OrderRefused(
            "PRICE_INVALID", f"The {what} {_shown(value)} is not a number above zero."
        )
    return price


def read_time(value: object) -> datetime | None:
    """Return a time in UTC, None for none; a time without a zone counts as UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        raise OrderRefused(
            "TIMESTAMP_INVALID",
            "The timestamp is not a time: give a datetime or text such as 2026-01-05T13:00:00Z.",
        )
    return value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)


def read_client_id(value: object) -> str:
    """Return the client order id, "" for none."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _CLIENT_ID_LENGTH:
        raise OrderRefused(
            "CLIENT_ID_INVALID",
            f"The client_order_id is not text of at most {_CLIENT_ID_LENGTH} characters.",
        )
    return value


def read_venue_id(value: object) -> int:
    """Return the number of an order or trade; OrderRefused unless it is one."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    raise OrderRefused(
        "ORDER_DOESNT_EXIST",
        f"{_shown(value)} is no order: give the order_id or trade_id that open_order answered.",
    )


def _instrument(value: object, default: str) -> Instrument:
    try:
        return find_instrument(value if isinstance(value, str) and value else default)
    except InstrumentError as error:
        raise OrderRefused("INSTRUMENT_INVALID", f"{error}.") from None


def _side(value: object) -> Side:
    side = _SIDES.get(value.strip().lower()) if isinstance(value, str) else None
    if side is None:
        raise OrderRefused(
            "SIDE_INVALID", f"{_shown(value)} is no direction: use buy or sell (or long, short)."
        )
    return side


def _units(parameters: Mapping[str, Any], instrument: Instrument) -> int:
    """Return unsigned units; `quantity` wins, since it means units everywhere."""
    quantity, volume = parameters.get("quantity"), parameters.get("volume")
    if quantity is None and volume is None:
        raise OrderRefused(
            "UNITS_INVALID", "The size is missing: give volume in lots or quantity in units."
        )
    name, value, factor = (
        ("volume", volume, instrument.lot_size) if quantity is None else ("quantity", quantity, 1)
    )
    number = to_decimal(value)
    if number is None or number <= 0:
        raise OrderRefused("UNITS_INVALID", f"The {name} {_shown(value)} is no number above zero.")
    # A size beyond any order must not grow into an integer of a million digits.
    units = min(number, Decimal(10) ** 12) * factor
    if units != units.to_integral_value():
        raise OrderRefused(
            "UNITS_INVALID",
            f"The {name} {_shown(value)} is {units.normalize():f} units: only whole units of "
            f"{instrument.base} trade.",
        )
    return int(units)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
