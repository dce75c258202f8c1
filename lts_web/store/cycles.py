"""Writes and short reads of cycles and leases. Each function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    bindparam,
    func,
    or_,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.orm import Session

from lts_web.store.models import (
    AssetRecord,
    BrokerAccountRecord,
    CycleRecord,
    DatasetRecord,
    LeaseRecord,
    OrderRecord,
    PortfolioRecord,
    PositionRecord,
)
from lts_web.store.types import UtcTime
from lts_web.trading.orders import UNRESOLVED_STATUSES

# No retry or pace is put off by more than this beyond the portfolio's own latency.
LONGEST_DELAY = timedelta(hours=2)
MICROSECONDS_A_MINUTE = 60_000_000
LONGEST_PIPELINE_LATENCY_MINUTES = 10_080

_TABLES = PositionRecord.metadata.tables
_POSITIONS, _LEASES = _TABLES["positions"], _TABLES["leases"]


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """An open position as a cycle needs it."""

    id: int
    asset_id: int
    broker_trade_id: str
    units: int
    entry_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    opened_at: datetime
    unrealized_pnl: Decimal
    open_risk: Decimal | None
    notional: Decimal
    margin: Decimal


# Built once, and run past the object mapper: a cycle runs these for each of its assets.
_OPEN_POSITIONS = (
    select(*(_POSITIONS.c[name] for name in OpenPosition.__slots__))
    .where(_POSITIONS.c.portfolio_id == bindparam("portfolio"), text("is_open = 1"))
    .order_by(_POSITIONS.c.id)
)
_ASSETS_OF = (
    select(AssetRecord)
    .where(AssetRecord.portfolio_id == bindparam("portfolio"))
    .order_by(AssetRecord.id)
)
_ACCOUNTS_OF = (
    select(BrokerAccountRecord)
    .where(BrokerAccountRecord.portfolio_id == bindparam("portfolio"))
    .order_by(BrokerAccountRecord.id)
)
_DATASETS = select(DatasetRecord).where(
    DatasetRecord.id.in_(bindparam("ids", expanding=True)), DatasetRecord.state == "ready"
)
_HELD_LEASES = select(LeaseRecord).where(LeaseRecord.owner.is_not(None))
_RENEW_LEASE = (
    update(_LEASES)
    .where(
        _LEASES.c.portfolio_id == bindparam("of_portfolio"),
        _LEASES.c.token == bindparam("of_token"),
        _LEASES.c.owner == bindparam("of_owner"),
    )
    .values(expires_at=bindparam("until"))
)
_LEASE_TOKEN = select(_LEASES.c.token, _LEASES.c.owner).where(
    _LEASES.c.portfolio_id == bindparam("portfolio")
)


def _without_pace() -> ColumnElement[datetime]:
    """Return the due instant less the portfolio's pace, which is about when it last ran."""
    # A portfolio without a latency of its own has its pipeline's: at most a week.
    latency = func.coalesce(PortfolioRecord.latency_minutes, LONGEST_PIPELINE_LATENCY_MINUTES)
    pace = latency * MICROSECONDS_A_MINUTE
    # The scaled integers themselves; typed again, so that what is compared with them is scaled.
    return type_coerce(type_coerce(PortfolioRecord.next_due_at, BigInteger) - pace, UtcTime())


def _due_at() -> ColumnElement[datetime | None]:
    return func.min(
        func.coalesce(PortfolioRecord.next_due_at, PortfolioRecord.run_requested_at),
        func.coalesce(PortfolioRecord.run_requested_at, PortfolioRecord.next_due_at),
    )


def is_due(next_due_at: datetime | None, pace: timedelta, now: datetime) -> bool:
    """Return whether a portfolio is due: its instant has come, or lies too far off to be meant.

    An instant that is farther off than any pace or delay was set before the clock stepped back.
    """
    if next_due_at is None:
        return False
    farthest = pace + LONGEST_DELAY
    return next_due_at <= now or next_due_at > now + farthest


def due_portfolios(session: Session, now: datetime) -> list[int]:
    """Return the ids of the active portfolios that are due at `now`, longest overdue first."""
    rows = session.execute(
        select(PortfolioRecord.id)
        .where(
            PortfolioRecord.status == "active",
            or_(
                PortfolioRecord.next_due_at <= now,
                _without_pace() > now + LONGEST_DELAY,
                PortfolioRecord.run_requested_at.is_not(None),
            ),
        )
        .order_by(_due_at(), PortfolioRecord.id)
    )
    return list(rows.scalars())


def next_due(session: Session) -> datetime | None:
    """Return the earliest due instant of any active portfolio, or None."""
    return session.scalar(
        select(func.min(PortfolioRecord.next_due_at)).where(PortfolioRecord.status == "active")
    )


def get_portfolio(session: Session, portfolio_id: int) -> PortfolioRecord | None:
    """Return the portfolio's row."""
    return session.get(PortfolioRecord, portfolio_id)


def assets_of(session: Session, portfolio_id: int) -> list[AssetRecord]:
    """Return all assets of the portfolio, oldest first."""
    return list(session.scalars(_ASSETS_OF, {"portfolio": portfolio_id}))


def accounts_of(session: Session, portfolio_id: int) -> list[BrokerAccountRecord]:
    """Return all accounts of the portfolio, oldest first."""
    return list(session.scalars(_ACCOUNTS_OF, {"portfolio": portfolio_id}))


def datasets_by_id(session: Session, ids: Iterable[int]) -> dict[int, DatasetRecord]:
    """Return the data sets with these ids whose import has finished."""
    rows = session.scalars(_DATASETS, {"ids": sorted(set(ids))})
    return {row.id: row for row in rows}


def datasets_for_pairs(
    session: Session, user_id: int, instruments: Iterable[str]
) -> list[DatasetRecord]:
    """Return the data sets of the user (or of everybody) in any of the instruments."""
    return list(
        session.scalars(
            select(DatasetRecord)
            .where(
                DatasetRecord.instrument.in_(set(instruments)),
                DatasetRecord.state == "ready",
                or_(DatasetRecord.user_id == user_id, DatasetRecord.user_id.is_(None)),
            )
            .order_by(DatasetRecord.id)
        )
    )


def lease_of(session: Session, portfolio_id: int) -> LeaseRecord:
    """Return the portfolio's lease, made free if it never had one."""
    lease = session.get(LeaseRecord, portfolio_id)
    if lease is None:
        lease = LeaseRecord(portfolio_id=portfolio_id, token=0, owner=None, expires_at=None)
        session.add(lease)
        session.flush()
    return lease


def renew_lease(
    session: Session, portfolio_id: int, token: int, owner: str, expires_at: datetime
) -> bool:
    """Lengthen the lease; False: it is not this owner's, or another token is in force."""
    renewed = session.connection().execute(
        _RENEW_LEASE,
        {
            "of_portfolio": portfolio_id,
            "of_token": token,
            "of_owner": owner,
            "until": expires_at,
        },
    )
    return renewed.rowcount == 1


def held_leases(session: Session) -> list[LeaseRecord]:
    """Return all leases that somebody holds."""
    return list(session.scalars(_HELD_LEASES))


def lease_token(session: Session, portfolio_id: int) -> tuple[int, str | None]:
    """Return the fencing token in force and its owner."""
    found = session.connection().execute(_LEASE_TOKEN, {"portfolio": portfolio_id})
    row = found.one_or_none()
    return (row.token, row.owner) if row is not None else (0, None)


def slot_taken(session: Session, portfolio_id: int, slot: str) -> bool:
    """Return whether a cycle of this slot exists already."""
    return (
        session.scalar(
            select(CycleRecord.id).where(
                CycleRecord.portfolio_id == portfolio_id, CycleRecord.slot == slot
            )
        )
        is not None
    )


def interrupt_cycles(session: Session, portfolio_id: int, now: datetime) -> list[int]:
    """Mark the portfolio's running cycles interrupted and return their ids."""
    rows = session.execute(
        update(CycleRecord)
        .where(CycleRecord.portfolio_id == portfolio_id, CycleRecord.status == "running")
        .values(status="interrupted", finished_at=now)
        .returning(CycleRecord.id)
    )
    return list(rows.scalars())


def portfolios_to_recover(session: Session) -> list[int]:
    """Return the portfolios that have a running cycle, a held lease or an unresolved order."""
    running = select(CycleRecord.portfolio_id).where(CycleRecord.status == "running")
    held = select(LeaseRecord.portfolio_id).where(LeaseRecord.owner.is_not(None))
    unresolved = select(OrderRecord.portfolio_id).where(
        OrderRecord.status.in_([status.value for status in UNRESOLVED_STATUSES])
    )
    return sorted(session.scalars(running.union(held, unresolved)))


def open_positions_of(session: Session, portfolio_id: int) -> list[OpenPosition]:
    """Return the portfolio's open positions, oldest first, as the database has them."""
    rows = session.connection().execute(_OPEN_POSITIONS, {"portfolio": portfolio_id})
    return [OpenPosition(*row) for row in rows]
