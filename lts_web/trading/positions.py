"""Fills, and what follows from them: positions, profit and the ledger of an account.

Everything is folded from fills, so that any balance can be rebuilt from its evidence. A position
is one round trip: it opens, may grow or shrink, closes, and never crosses zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from lts_web.trading.instruments import Side
from lts_web.trading.money import ZERO, round_money


class FillError(ValueError):
    """A fill does not fit the position that it claims to change; nothing is booked."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution at the venue, unique by the venue's transaction id.

    `units` are signed; `price` is in quote currency; `rate` converts quote to account currency;
    commission and swap are costs (positive) in account currency.
    """

    transaction_id: str
    position_key: str
    instrument: str
    units: int
    price: Decimal
    time: datetime
    rate: Decimal
    commission: Decimal = ZERO
    swap: Decimal = ZERO
    reason: str = "market"


@dataclass(frozen=True, slots=True)
class Position:
    """The state of one round trip after some fills; money in account currency.

    `units` are signed and zero once closed; `realized_pnl` is gross of commission and swap.
    """

    key: str
    instrument: str
    side: Side
    units: int
    opened_units: int
    entry_price: Decimal
    opened_at: datetime
    exit_price: Decimal | None = None
    closed_at: datetime | None = None
    realized_pnl: Decimal = ZERO
    commission: Decimal = ZERO
    swap: Decimal = ZERO

    @property
    def is_open(self) -> bool:
        """Return whether any units are left."""
        return self.units != 0

    @property
    def net_pnl(self) -> Decimal:
        """Return realised profit less commission and swap."""
        return self.realized_pnl - self.commission - self.swap


def profit(entry: Decimal, exit_price: Decimal, units: int, rate: Decimal) -> Decimal:
    """Return (exit − entry) · units · rate, booked: signed units, account currency."""
    return round_money((exit_price - entry) * units * rate)


def apply_fill(position: Position | None, fill: Fill) -> Position:
    """Return the position after the fill.

    The first fill opens it; one of the same side grows it at the weighted average price; one of
    the other side realises profit on what it closes. FillError: zero units, another instrument,
    or more units than are open.
    """
    if fill.units == 0:
        raise FillError(f"fill {fill.transaction_id} has no units")
    if position is None:
        return Position(
            key=fill.position_key,
            instrument=fill.instrument,
            side=Side.of_units(fill.units),
            units=fill.units,
            opened_units=fill.units,
            entry_price=fill.price,
            opened_at=fill.time,
            commission=fill.commission,
            swap=fill.swap,
        )
    if not position.is_open or fill.instrument != position.instrument:
        raise FillError(
            f"fill {fill.transaction_id} in {fill.instrument} does not belong to position "
            f"{position.key} in {position.instrument}"
        )
    costs = replace(
        position,
        commission=position.commission + fill.commission,
        swap=position.swap + fill.swap,
    )
    if (fill.units > 0) == (position.units > 0):
        units = position.units + fill.units
        value = position.entry_price * position.units + fill.price * fill.units
        return replace(
            costs,
            units=units,
            opened_units=position.opened_units + fill.units,
            entry_price=value / units,
        )
    if abs(fill.units) > abs(position.units):
        raise FillError(
            f"fill {fill.transaction_id} of {fill.units} units would carry position "
            f"{position.key} of {position.units} units across zero"
        )
    left = position.units + fill.units
    return replace(
        costs,
        units=left,
        exit_price=_average_exit(position, fill),
        closed_at=fill.time if left == 0 else None,
        realized_pnl=position.realized_pnl
        + profit(position.entry_price, fill.price, -fill.units, fill.rate),
    )


def _average_exit(position: Position, fill: Fill) -> Decimal:
    closed_before = position.opened_units - position.units
    if position.exit_price is None or closed_before == 0:
        return fill.price
    closed_now = closed_before - fill.units
    return (position.exit_price * closed_before - fill.price * fill.units) / closed_now


def fold_fills(fills: Iterable[Fill]) -> dict[str, Position]:
    """Return all positions, by key, that the fills (in order) make."""
    positions: dict[str, Position] = {}
    for fill in fills:
        positions[fill.position_key] = apply_fill(positions.get(fill.position_key), fill)
    return positions


def ledger_balance(initial: Decimal, fills: Iterable[Fill]) -> Decimal:
    """Return the balance that the fills leave: initial + Σ profit − Σ commission − Σ swap."""
    positions = fold_fills(fills).values()
    return initial + sum((position.net_pnl for position in positions), ZERO)


def unrealized_pnl(entry: Decimal, mark: Decimal, units: int, rate: Decimal) -> Decimal:
    """Return what closing at `mark` would realise, before swap (account currency)."""
    return profit(entry, mark, units, rate)


def open_risk(
    entry: Decimal, stop_loss: Decimal | None, units: int, rate: Decimal
) -> Decimal | None:
    """Return what the stop would lose from the entry price, never negative; None: no stop."""
    if stop_loss is None:
        return None
    return max(-profit(entry, stop_loss, units, rate), ZERO)
