"""The end of a cycle: its report and what it leaves, written in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from lts_web.store.models import (
    AssetRecord,
    BillingRecordRecord,
    CycleRecord,
    DecisionRecord,
    EquityPointRecord,
    LeaseRecord,
    OrderRecord,
    PluginSnapshotRecord,
    PositionRecord,
    StatisticRecord,
)
from lts_web.trading.money import ZERO


@dataclass(frozen=True, slots=True)
class Closed:
    """Sums over closed positions: their number, winners, and money in account currency."""

    count: int
    winners: int
    gross_profit: Decimal
    gross_loss: Decimal
    commission: Decimal
    swap: Decimal


def insert_decisions(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert decision rows in one statement."""
    if rows:
        session.execute(insert(DecisionRecord), list(rows))


def insert_billing(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert billing rows in one statement."""
    if rows:
        session.execute(insert(BillingRecordRecord), list(rows))


def insert_statistics(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert statistics in one statement."""
    if rows:
        session.execute(insert(StatisticRecord), list(rows))


def add_equity_point(session: Session, **values: Any) -> None:
    """Insert the portfolio's equity at the end of a cycle."""
    session.execute(insert(EquityPointRecord), [values])


def mark_positions(session: Session, marks: Sequence[dict[str, Any]]) -> None:
    """Write price, profit and risk of open positions; each mark names its position's `id`."""
    if marks:
        session.execute(update(PositionRecord), list(marks))


def set_asset_status(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write what the assets last did; each row names the asset's `id`."""
    if rows:
        session.execute(update(AssetRecord), list(rows))


def put_snapshots(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write the plugins' debug information, replacing what was there."""
    if not rows:
        return
    statement = upsert(PluginSnapshotRecord)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["family", "name", "scope"],
            set_={
                "debug": statement.excluded.debug,
                "recorded_at": statement.excluded.recorded_at,
            },
        ),
        list(rows),
    )


def finish_cycle(session: Session, cycle_id: int, **values: Any) -> None:
    """Write the cycle's report."""
    session.execute(update(CycleRecord).where(CycleRecord.id == cycle_id).values(**values))


def release_lease(session: Session, portfolio_id: int, token: int) -> bool:
    """Free the lease if the token is still in force; False: somebody else has it."""
    freed = session.execute(
        update(LeaseRecord)
        .where(LeaseRecord.portfolio_id == portfolio_id, LeaseRecord.token == token)
        .values(owner=None, expires_at=None)
        .returning(LeaseRecord.portfolio_id)
    )
    return freed.scalar_one_or_none() is not None


def closed_sums(session: Session, portfolio_id: int) -> Closed:
    """Return the sums over the portfolio's closed positions."""
    net = PositionRecord.realized_pnl - PositionRecord.commission - PositionRecord.swap
    row = session.execute(
        select(
            func.count(),
            func.count().filter(net > 0),
            func.sum(net).filter(net > 0),
            func.sum(net).filter(net <= 0),
            func.sum(PositionRecord.commission),
            func.sum(PositionRecord.swap),
        ).where(PositionRecord.portfolio_id == portfolio_id, PositionRecord.is_open.is_(False))
    ).one()
    return Closed(row[0], row[1], *(value or ZERO for value in row[2:]))


def order_counts(session: Session, cycle_id: int) -> dict[str, int]:
    """Return how many orders of the cycle stand in each state."""
    rows = session.execute(
        select(OrderRecord.status, func.count())
        .where(OrderRecord.cycle_id == cycle_id)
        .group_by(OrderRecord.status)
    )
    return dict(rows.tuples().all())
