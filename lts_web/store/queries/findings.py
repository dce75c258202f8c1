"""What might be wrong, as the database tells it; `services.conditions` says what it means.

Counts look back one day by the wall clock. Of decisions only the latest are looked at, since a
busy installation writes many and the question must stay cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select, text

from lts_web.store.models import (
    BrokerAccountRecord,
    CycleRecord,
    DecisionRecord,
    OrderRecord,
    PortfolioRecord,
)
from lts_web.store.models.trading import WORKING
from lts_web.store.queries import Scope, Snapshot, owned
from lts_web.store.queries.system import Heartbeat, heartbeat

LOOK_BACK = timedelta(days=1)
# Denials that only say that there was nothing to do.
_ORDINARY = ("NO_BAR", "MARKET_CLOSED", "ASSET_POSITION_OPEN")
_STALE = ("STALE_QUOTE", "NO_QUOTE")
# Written as the partial index ix_decisions_refused has it, or SQLite would not use that.
_REFUSED = text("decisions.outcome IN ('denied', 'failed')")


@dataclass(frozen=True, slots=True)
class Counted:
    """So many of something in one portfolio."""

    portfolio_id: int
    portfolio_name: str
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class AccountFinding:
    """An account that cannot be reconciled, or whose balances differ."""

    portfolio_id: int
    portfolio_name: str
    account_name: str
    currency: str
    balance: Decimal
    venue_balance: Decimal | None
    sync_error: str | None


@dataclass(frozen=True, slots=True)
class ActivePortfolio:
    """An active portfolio and when its last cycle began (wall clock)."""

    id: int
    name: str
    latency_minutes: float | None
    finished_at: datetime | None
    next_due_at: datetime | None
    last_cycle_at: datetime | None


@dataclass(frozen=True, slots=True)
class Findings:
    """The evidence for all conditions."""

    heartbeat: Heartbeat | None
    active: tuple[ActivePortfolio, ...]
    accounts: tuple[AccountFinding, ...]
    unknown_orders: tuple[Counted, ...]
    cycles: tuple[Counted, ...]
    denials: tuple[Counted, ...]


def findings(session: Snapshot, scope: Scope, now: datetime) -> Findings:
    """Return the evidence, as of `now` (wall clock)."""
    since = now - LOOK_BACK
    return Findings(
        heartbeat=heartbeat(session),
        active=active_portfolios(session, scope),
        accounts=_accounts(session, scope),
        unknown_orders=_unknown_orders(session, scope),
        cycles=_cycles(session, scope, since),
        denials=_denials(session, scope, since),
    )


def active_portfolios(session: Snapshot, scope: Scope) -> tuple[ActivePortfolio, ...]:
    """Return the active portfolios with their last cycle's start."""
    last_cycle = (
        select(CycleRecord.started_at)
        .where(CycleRecord.portfolio_id == PortfolioRecord.id)
        .order_by(CycleRecord.id.desc())
        .limit(1)
        .correlate(PortfolioRecord)
        .scalar_subquery()
    )
    rows = session.execute(
        select(
            PortfolioRecord.id,
            PortfolioRecord.name,
            PortfolioRecord.latency_minutes,
            PortfolioRecord.finished_at,
            PortfolioRecord.next_due_at,
            last_cycle,
        )
        .where(owned(scope), PortfolioRecord.status == "active")
        .order_by(PortfolioRecord.id)
    )
    return tuple(ActivePortfolio(*row) for row in rows)


def _accounts(session: Snapshot, scope: Scope) -> tuple[AccountFinding, ...]:
    rows = session.execute(
        select(
            PortfolioRecord.id,
            PortfolioRecord.name,
            BrokerAccountRecord.name,
            BrokerAccountRecord.currency,
            BrokerAccountRecord.balance,
            BrokerAccountRecord.venue_balance,
            BrokerAccountRecord.sync_error,
        )
        .join(PortfolioRecord, PortfolioRecord.id == BrokerAccountRecord.portfolio_id)
        .where(
            owned(scope),
            PortfolioRecord.status != "archived",
            BrokerAccountRecord.sync_error.is_not(None)
            | (BrokerAccountRecord.venue_balance != BrokerAccountRecord.balance),
        )
        .order_by(BrokerAccountRecord.id)
    )
    return tuple(AccountFinding(*row) for row in rows)


def _unknown_orders(session: Snapshot, scope: Scope) -> tuple[Counted, ...]:
    # The inner condition is word for word that of a partial index, so only working orders are read.
    unknown = (
        select(OrderRecord.portfolio_id, func.count().label("count"))
        .where(text(WORKING), OrderRecord.status == "unknown")
        # The plus keeps SQLite from walking all orders in the order of their portfolios.
        .group_by(text("+portfolio_id"))
        .subquery()
    )
    rows = session.execute(
        select(PortfolioRecord.id, PortfolioRecord.name, unknown.c.count)
        .join(unknown, unknown.c.portfolio_id == PortfolioRecord.id)
        .where(owned(scope))
        .order_by(PortfolioRecord.id)
    )
    return tuple(Counted(row[0], row[1], "unknown", row[2]) for row in rows)


def _cycles(session: Snapshot, scope: Scope, since: datetime) -> tuple[Counted, ...]:
    """Return failed and interrupted cycles, and cycles missed (which one row counts together)."""
    # Counted before the join: SQLite would read all cycles of a portfolio to find these few.
    counted = (
        select(
            CycleRecord.portfolio_id,
            CycleRecord.status,
            func.sum(func.max(CycleRecord.missed, 1)).label("count"),
        )
        .where(
            CycleRecord.status.in_(("failed", "interrupted", "missed")),
            CycleRecord.started_at >= since,
        )
        .group_by(CycleRecord.portfolio_id, CycleRecord.status)
        .subquery()
    )
    rows = session.execute(
        select(PortfolioRecord.id, PortfolioRecord.name, counted.c.status, counted.c.count)
        .join(counted, counted.c.portfolio_id == PortfolioRecord.id)
        .where(owned(scope))
        .order_by(PortfolioRecord.id, counted.c.status)
    )
    return tuple(Counted(*row) for row in rows)


def _denials(session: Snapshot, scope: Scope, since: datetime) -> tuple[Counted, ...]:
    rows = session.execute(
        select(PortfolioRecord.id, PortfolioRecord.name, DecisionRecord.code, func.count())
        .join(PortfolioRecord, PortfolioRecord.id == DecisionRecord.portfolio_id)
        .where(
            owned(scope),
            _REFUSED,
            func.coalesce(DecisionRecord.code, "").not_in(_ORDINARY),
            DecisionRecord.recorded_at >= since,
        )
        .group_by(PortfolioRecord.id, PortfolioRecord.name, DecisionRecord.code)
        .order_by(PortfolioRecord.id, func.count().desc())
    )
    return tuple(Counted(row[0], row[1], row[2] or "", row[3]) for row in rows)


def is_stale(code: str) -> bool:
    """Return whether a denial code says that the market data were too old or missing."""
    return code in _STALE
