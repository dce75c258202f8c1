"""The end of a cycle: its report and what it leaves, written in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Executable,
    Table,
    and_,
    bindparam,
    func,
    insert,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from lts_web.store.models import CycleRecord
from lts_web.store.rows import row_values, update_of
from lts_web.store.types import money_type
from lts_web.trading.money import ZERO

_TABLES = CycleRecord.metadata.tables
_POSITIONS, _ORDERS, _CYCLES = _TABLES["positions"], _TABLES["orders"], _TABLES["cycles"]
_LEASES = _TABLES["leases"]


@dataclass(frozen=True, slots=True)
class Closed:
    """Sums over closed positions: their number, winners, and money in account currency."""

    count: int
    winners: int
    gross_profit: Decimal
    gross_loss: Decimal
    commission: Decimal
    swap: Decimal


# All statements are built once and run past the object mapper: every cycle runs them.
_ADD_DECISION = insert(_TABLES["decisions"])
_ADD_BILLING = insert(_TABLES["billing_records"])
_ADD_STATISTIC = insert(_TABLES["statistics"])
_ADD_EQUITY_POINT = insert(_TABLES["equity_points"])
_PUT_SNAPSHOT = upsert(_TABLES["plugin_snapshots"])
_PUT_SNAPSHOT = _PUT_SNAPSHOT.on_conflict_do_update(
    index_elements=["family", "name", "scope"],
    set_={
        "debug": _PUT_SNAPSHOT.excluded.debug,
        "recorded_at": _PUT_SNAPSHOT.excluded.recorded_at,
    },
)


_MARKS = ("current_price", "unrealized_pnl", "open_risk", "updated_at")
_STATUS = ("status", "allocated_capital", "updated_at")
_RELEASE_LEASE = (
    update(_LEASES)
    .where(_LEASES.c.portfolio_id == bindparam("of_id"), _LEASES.c.token == bindparam("of_token"))
    .values(owner=None, expires_at=None)
)
_ORDER_COUNTS = (
    select(_ORDERS.c.status, func.count())
    .where(_ORDERS.c.cycle_id == bindparam("cycle"))
    .group_by(_ORDERS.c.status)
)
_IS_CLOSED = and_(_POSITIONS.c.portfolio_id == bindparam("portfolio"), text("is_open = 0"))
# A difference of columns is a plain number to SQLAlchemy; it stays an amount.
_NET = type_coerce(
    _POSITIONS.c.realized_pnl - _POSITIONS.c.commission - _POSITIONS.c.swap, money_type()
)
_CLOSED_COUNT = select(func.count()).where(_IS_CLOSED)
_CLOSED_SUMS = select(
    func.count(),
    func.count().filter(_NET > 0),
    func.sum(_NET).filter(_NET > 0),
    func.sum(_NET).filter(_NET <= 0),
    func.sum(_POSITIONS.c.commission),
    func.sum(_POSITIONS.c.swap),
).where(_IS_CLOSED)


def insert_decisions(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert decision rows in one statement."""
    _run(session, _ADD_DECISION, rows)


def insert_billing(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert billing rows in one statement."""
    _run(session, _ADD_BILLING, rows)


def insert_statistics(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert statistics in one statement."""
    _run(session, _ADD_STATISTIC, rows)


def add_equity_point(session: Session, **values: Any) -> None:
    """Insert the portfolio's equity at the end of a cycle."""
    session.connection().execute(_ADD_EQUITY_POINT, values)


def mark_positions(session: Session, marks: Sequence[dict[str, Any]]) -> None:
    """Write price, profit and risk of open positions; each mark names its position's `id`."""
    _update(session, _POSITIONS, _MARKS, marks)


def set_asset_status(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write what the assets last did; each row names the asset's `id`."""
    _update(session, _TABLES["assets"], _STATUS, rows)


def put_snapshots(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write the plugins' debug information, replacing what was there."""
    _run(session, _PUT_SNAPSHOT, rows)


def finish_cycle(session: Session, cycle_id: int, **values: Any) -> None:
    """Write the cycle's report."""
    session.connection().execute(update(_CYCLES).where(_CYCLES.c.id == cycle_id).values(**values))


def release_lease(session: Session, portfolio_id: int, token: int) -> bool:
    """Free the lease if the token is still in force; False: somebody else has it."""
    freed = session.connection().execute(_RELEASE_LEASE, {"of_id": portfolio_id, "of_token": token})
    return freed.rowcount == 1


def closed_count(session: Session, portfolio_id: int) -> int:
    """Return how many positions of the portfolio are closed."""
    found = session.connection().execute(_CLOSED_COUNT, {"portfolio": portfolio_id})
    return found.scalar_one()


def closed_sums(session: Session, portfolio_id: int) -> Closed:
    """Return the sums over the portfolio's closed positions."""
    row = session.connection().execute(_CLOSED_SUMS, {"portfolio": portfolio_id}).one()
    return Closed(row[0], row[1], *(value or ZERO for value in row[2:]))


def order_counts(session: Session, cycle_id: int) -> dict[str, int]:
    """Return how many orders of the cycle stand in each state."""
    rows = session.connection().execute(_ORDER_COUNTS, {"cycle": cycle_id})
    return dict(rows.all())


def _run(session: Session, statement: Executable, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        session.connection().execute(statement, list(rows))


def _update(
    session: Session, table: Table, names: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    chosen = [row_values(row["id"], {name: row[name] for name in names}) for row in rows]
    _run(session, update_of(table, *names), chosen)
