"""Writes and short reads of orders, fills and positions, in the caller's transaction.

Statements are built once and run past the object mapper where no object is needed: a cycle runs
them for every asset. Such reads see what was flushed, and they spell out the conditions of partial
indexes, because SQLite uses one only where its very condition stands in the query.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select, text, union_all
from sqlalchemy.orm import Session

from lts_web.store.models import OrderRecord, PositionRecord
from lts_web.store.models.trading import WORKING
from lts_web.store.rows import row_values, update_of, write_row
from lts_web.trading.money import ZERO
from lts_web.trading.orders import UNRESOLVED_STATUSES, OrderKind, OrderStatus, check_transition

_TABLES = OrderRecord.metadata.tables
_ASSETS, _ORDERS, _POSITIONS = _TABLES["assets"], _TABLES["orders"], _TABLES["positions"]
_EVENTS, _FILLS = _TABLES["order_events"], _TABLES["fills"]
_IS_WORKING, _IS_OPEN = text(WORKING), text("is_open = 1")

_BOUND = union_all(
    select(_POSITIONS.c.notional, _POSITIONS.c.margin).where(
        _POSITIONS.c.account_id == bindparam("account"), _IS_OPEN
    ),
    select(_ORDERS.c.notional, _ORDERS.c.margin).where(
        _ORDERS.c.account_id == bindparam("account"),
        _IS_WORKING,
        _ORDERS.c.kind == OrderKind.ENTRY.value,
    ),
).subquery()
_RESERVED = select(func.sum(_BOUND.c.notional), func.sum(_BOUND.c.margin), func.count())
_WORKING_OF_ASSET = select(_ORDERS.c.id, _ORDERS.c.status).where(
    _ORDERS.c.asset_id == bindparam("asset"), _IS_WORKING
)
_WORKING_OF_PORTFOLIO = select(_ORDERS.c.id, _ORDERS.c.asset_id, _ORDERS.c.status).where(
    _ORDERS.c.asset_id.in_(
        select(_ASSETS.c.id).where(_ASSETS.c.portfolio_id == bindparam("portfolio"))
    ),
    _IS_WORKING,
)
_UNRESOLVED = (
    select(OrderRecord)
    .where(
        OrderRecord.account_id == bindparam("account"),
        _IS_WORKING,
        OrderRecord.status.in_([status.value for status in UNRESOLVED_STATUSES]),
    )
    .order_by(OrderRecord.id)
)
_BY_CLIENT_ID = select(_ORDERS.c.id).where(
    _ORDERS.c.client_order_id == bindparam("client"), _ORDERS.c.account_id == bindparam("account")
)
_BY_CLIENT_IDS = select(OrderRecord).where(
    OrderRecord.client_order_id.in_(bindparam("clients", expanding=True)),
    OrderRecord.account_id == bindparam("account"),
)
_POSITION_OF_TRADE = select(_POSITIONS.c.id).where(
    _POSITIONS.c.account_id == bindparam("account"),
    _POSITIONS.c.broker_trade_id == bindparam("trade"),
)
_POSITIONS_OF_TRADES = select(PositionRecord).where(
    PositionRecord.account_id == bindparam("account"),
    PositionRecord.broker_trade_id.in_(bindparam("trades", expanding=True)),
)
_OPEN_POSITION = select(_POSITIONS.c.id).where(
    _POSITIONS.c.asset_id == bindparam("asset"), _IS_OPEN
)
_FILL = select(_FILLS.c.id).where(
    _FILLS.c.account_id == bindparam("account"),
    _FILLS.c.venue_transaction_id == bindparam("transaction"),
)
_ADD_ORDER, _NAME_ORDER = insert(_ORDERS), update_of(_ORDERS, "client_order_id")
_ADD_EVENT, _ADD_FILL, _ADD_POSITION = insert(_EVENTS), insert(_FILLS), insert(_POSITIONS)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What an account has at work: notional and margin of positions and entries, and a count."""

    exposure: Decimal
    margin: Decimal
    open_positions: int


def reserved(session: Session, account_id: int) -> Reserved:
    """Return what open positions and working entries of the account bind together."""
    exposure, margin, count = session.connection().execute(_RESERVED, {"account": account_id}).one()
    return Reserved(exposure or ZERO, margin or ZERO, count)


def working_orders(session: Session, asset_id: int) -> Sequence[Row[int, str]]:
    """Return `id` and `status` of the asset's orders that are not final."""
    return session.connection().execute(_WORKING_OF_ASSET, {"asset": asset_id}).all()


def working_orders_of(session: Session, portfolio_id: int) -> Sequence[Row[int, int, str]]:
    """Return `id`, `asset_id` and `status` of the portfolio's orders that are not final."""
    return session.connection().execute(_WORKING_OF_PORTFOLIO, {"portfolio": portfolio_id}).all()


def unresolved_orders(session: Session, account_id: int) -> list[OrderRecord]:
    """Return the account's orders of which only the venue knows what became of them."""
    return list(session.scalars(_UNRESOLVED, {"account": account_id}))


def load_named(
    session: Session, account_id: int, client_ids: Collection[str], trade_ids: Collection[str]
) -> list[OrderRecord | PositionRecord]:
    """Return the account's orders and positions with these ids of the client and of the venue.

    While the caller holds them, looking one of them up costs no reading of its row.
    """
    found: list[OrderRecord | PositionRecord] = []
    if client_ids:
        named = {"account": account_id, "clients": list(client_ids)}
        found.extend(session.scalars(_BY_CLIENT_IDS, named))
    if trade_ids:
        held = {"account": account_id, "trades": list(trade_ids)}
        found.extend(session.scalars(_POSITIONS_OF_TRADES, held))
    return found


def by_client_id(session: Session, account_id: int, client_id: str) -> OrderRecord | None:
    """Return the account's order with this client order id."""
    found = session.connection().execute(
        _BY_CLIENT_ID, {"account": account_id, "client": client_id}
    )
    order_id = found.scalar_one_or_none()
    return session.get_one(OrderRecord, order_id) if order_id is not None else None


def by_broker_id(session: Session, account_id: int, broker_id: str) -> OrderRecord | None:
    """Return the account's order with this id of the venue."""
    return session.scalar(
        select(OrderRecord)
        .where(OrderRecord.broker_order_id == broker_id, OrderRecord.account_id == account_id)
        .order_by(OrderRecord.id.desc())
        .limit(1)
    )


def position_of_trade(session: Session, account_id: int, trade_id: str) -> PositionRecord | None:
    """Return the account's position with this trade id of the venue."""
    found = session.connection().execute(
        _POSITION_OF_TRADE, {"account": account_id, "trade": trade_id}
    )
    position_id = found.scalar_one_or_none()
    return session.get_one(PositionRecord, position_id) if position_id is not None else None


def open_position(session: Session, asset_id: int) -> int | None:
    """Return the id of the asset's open position."""
    found = session.connection().execute(_OPEN_POSITION, {"asset": asset_id})
    return found.scalar_one_or_none()


def trade_for_broker(session: Session, position_id: int) -> str:
    """Return the id by which a broker without a log knows a position: that of its entry."""
    return (
        session.scalar(
            select(OrderRecord.broker_order_id).where(
                OrderRecord.position_id == position_id, OrderRecord.kind == OrderKind.ENTRY.value
            )
        )
        or ""
    )


def fill_exists(session: Session, account_id: int, transaction_id: str) -> bool:
    """Return whether a fill with this transaction id of the venue is booked already."""
    found = session.connection().execute(
        _FILL, {"account": account_id, "transaction": transaction_id}
    )
    return found.scalar_one_or_none() is not None


def add_order(session: Session, **values: Any) -> int:
    """Insert an order and return its id."""
    made = session.connection().execute(_ADD_ORDER, values)
    assert made.lastrowid is not None
    return made.lastrowid


def name_order(session: Session, order_id: int, client_id: str) -> None:
    """Write the client order id, which is made of the order's own."""
    named = row_values(order_id, {"client_order_id": client_id})
    session.connection().execute(_NAME_ORDER, named)


def add_event(session: Session, **values: Any) -> None:
    """Insert a change of an order's state."""
    session.connection().execute(_ADD_EVENT, values)


def add_fill(session: Session, **values: Any) -> None:
    """Insert a fill; its order and position are in the database already."""
    session.connection().execute(_ADD_FILL, values)


def add_position(session: Session, **values: Any) -> int:
    """Insert a position and return its id."""
    made = session.connection().execute(_ADD_POSITION, values)
    assert made.lastrowid is not None
    return made.lastrowid


def change_status(
    session: Session,
    order: OrderRecord,
    status: OrderStatus,
    *,
    market_time: datetime,
    now: datetime,
    detail: str = "",
    venue_transaction_id: str | None = None,
    **columns: Any,
) -> None:
    """Move the order along the table of lawful states, write columns with it, and the event.

    UnlawfulTransition if the state may not follow. The order must have been read in this very
    transaction, whose write lock makes this a compare-and-set.
    """
    previous = OrderStatus(order.status)
    check_transition(previous, status)
    if status is OrderStatus.UNKNOWN and order.unknown_since is None:
        columns["unknown_since"] = now
    write_row(session, order, status=status.value, updated_at=now, **columns)
    add_event(
        session,
        order_id=order.id,
        from_status=previous.value,
        to_status=status.value,
        venue_transaction_id=venue_transaction_id,
        detail=detail[:1000],
        market_time=market_time,
        recorded_at=now,
    )
