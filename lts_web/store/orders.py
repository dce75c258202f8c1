"""Writes and short reads of orders, fills and positions, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lts_web.store.models import FillRecord, OrderEventRecord, OrderRecord, PositionRecord
from lts_web.trading.money import ZERO
from lts_web.trading.orders import (
    OPEN_STATUSES,
    UNRESOLVED_STATUSES,
    OrderKind,
    OrderStatus,
    check_transition,
)

_WORKING = [status.value for status in OPEN_STATUSES]
_UNRESOLVED = [status.value for status in UNRESOLVED_STATUSES]


@dataclass(frozen=True, slots=True)
class Reserved:
    """What an account has at work: notional and margin of positions and entries, and a count."""

    exposure: Decimal
    margin: Decimal
    open_positions: int


def reserved(session: Session, account_id: int) -> Reserved:
    """Return what open positions and working entries of the account bind together."""
    totals = [ZERO, ZERO]
    count = 0
    for record, condition in (
        (PositionRecord, (PositionRecord.is_open.is_(True),)),
        (OrderRecord, (OrderRecord.status.in_(_WORKING), OrderRecord.kind == OrderKind.ENTRY)),
    ):
        row = session.execute(
            select(func.sum(record.notional), func.sum(record.margin), func.count()).where(
                record.account_id == account_id, *condition
            )
        ).one()
        totals[0] += row[0] or ZERO
        totals[1] += row[1] or ZERO
        count += row[2]
    return Reserved(totals[0], totals[1], count)


def working_orders(session: Session, asset_id: int) -> list[OrderRecord]:
    """Return the asset's orders that are not final."""
    return list(
        session.scalars(
            select(OrderRecord).where(
                OrderRecord.asset_id == asset_id, OrderRecord.status.in_(_WORKING)
            )
        )
    )


def working_orders_of(session: Session, portfolio_id: int) -> list[OrderRecord]:
    """Return the portfolio's orders that are not final."""
    return list(
        session.scalars(
            select(OrderRecord).where(
                OrderRecord.portfolio_id == portfolio_id, OrderRecord.status.in_(_WORKING)
            )
        )
    )


def unresolved_orders(session: Session, account_id: int) -> list[OrderRecord]:
    """Return the account's orders of which only the venue knows what became of them."""
    return list(
        session.scalars(
            select(OrderRecord)
            .where(OrderRecord.account_id == account_id, OrderRecord.status.in_(_UNRESOLVED))
            .order_by(OrderRecord.id)
        )
    )


def by_client_id(session: Session, account_id: int, client_id: str) -> OrderRecord | None:
    """Return the account's order with this client order id."""
    return session.scalar(
        select(OrderRecord).where(
            OrderRecord.client_order_id == client_id, OrderRecord.account_id == account_id
        )
    )


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
    return session.scalar(
        select(PositionRecord).where(
            PositionRecord.account_id == account_id, PositionRecord.broker_trade_id == trade_id
        )
    )


def open_position(session: Session, asset_id: int) -> PositionRecord | None:
    """Return the asset's open position."""
    return session.scalar(
        select(PositionRecord).where(
            PositionRecord.asset_id == asset_id, PositionRecord.is_open.is_(True)
        )
    )


def fill_exists(session: Session, account_id: int, transaction_id: str) -> bool:
    """Return whether a fill with this transaction id of the venue is booked already."""
    return (
        session.scalar(
            select(FillRecord.id).where(
                FillRecord.account_id == account_id,
                FillRecord.venue_transaction_id == transaction_id,
            )
        )
        is not None
    )


def change_status(
    session: Session,
    order: OrderRecord,
    status: OrderStatus,
    *,
    market_time: datetime,
    now: datetime,
    detail: str = "",
    venue_transaction_id: str | None = None,
) -> None:
    """Move the order along the table of lawful states and write the event.

    UnlawfulTransition if the state may not follow. The order must have been read in this very
    transaction, whose write lock makes this a compare-and-set.
    """
    previous = OrderStatus(order.status)
    check_transition(previous, status)
    order.status = status.value
    order.updated_at = now
    if status is OrderStatus.UNKNOWN and order.unknown_since is None:
        order.unknown_since = now
    session.add(
        OrderEventRecord(
            order_id=order.id,
            from_status=previous.value,
            to_status=status.value,
            venue_transaction_id=venue_transaction_id,
            detail=detail[:1000],
            market_time=market_time,
            recorded_at=now,
        )
    )
