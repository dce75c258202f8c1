"""Portfolios as lists and pages show them: state, assets, accounts and what they are worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, case, func, select

from lts_web.store.models import (
    AssetRecord,
    BrokerAccountRecord,
    DatasetRecord,
    PortfolioRecord,
    PositionRecord,
    UserRecord,
)
from lts_web.store.queries import Scope, Snapshot, equity, owned
from lts_web.store.queries.equity import Reading

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class OpenBook:
    """What a portfolio's open positions amount to; money in account currency.

    `risk` is what is lost if every stop is hit, over the positions that have one.
    """

    positions: int = 0
    without_stop: int = 0
    risk: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A portfolio with its owner's name, the marks of its data and accounts, and its worth."""

    id: int
    user_id: int
    owner: str
    name: str
    description: str
    base_currency: str
    initial_capital: Decimal
    latency_minutes: float | None
    status: str
    feed: str
    mode: str
    portfolio_plugin: str
    pipeline_plugin: str
    require_stop_loss: bool
    require_take_profit: bool
    max_open_positions: int
    max_exposure: Decimal
    max_leverage: Decimal
    is_demonstration: bool
    cursor_at: datetime | None
    next_due_at: datetime | None
    run_requested_at: datetime | None
    finished_at: datetime | None
    account_kinds: frozenset[str] = frozenset()
    synthetic: bool = False
    latest: Reading | None = None
    day_profit: Decimal | None = None
    book: OpenBook = OpenBook()

    @property
    def is_simulated(self) -> bool:
        """Return whether no account of it could touch anybody's money."""
        return self.account_kinds <= {"simulated"}


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset of a portfolio with the name and origin of its bars."""

    id: int
    instrument: str
    timeframe: str
    enabled: bool
    strategy_plugin: str
    strategy_config: dict[str, Any]
    broker_plugin: str
    broker_config: dict[str, Any]
    allocated_capital: Decimal
    status: str
    dataset_name: str | None
    dataset_origin: str | None
    dataset_seed: int | None
    account_name: str
    account_currency: str


@dataclass(frozen=True, slots=True)
class Account:
    """An account at a venue: our ledger's balance, and what the venue last said."""

    id: int
    name: str
    kind: str
    currency: str
    initial_capital: Decimal
    balance: Decimal
    venue_balance: Decimal | None
    synced_at: datetime | None
    sync_error: str | None


_OWN_COLUMNS = [
    getattr(PortfolioRecord, field.name)
    for field in fields(Portfolio)
    if field.name in PortfolioRecord.__table__.c
]


def list_portfolios(session: Snapshot, scope: Scope, limit: int = 100) -> list[Portfolio]:
    """Return the portfolios, active ones first, then by name; archived ones last."""
    order = case({"active": 0, "inactive": 1}, value=PortfolioRecord.status, else_=2)
    rows = session.execute(
        _select().where(owned(scope)).order_by(order, PortfolioRecord.name).limit(limit)
    ).all()
    return _complete(session, rows)


def find_portfolio(session: Snapshot, scope: Scope, portfolio_id: int) -> Portfolio | None:
    """Return one portfolio; a foreign one is not there."""
    rows = session.execute(_select().where(owned(scope), PortfolioRecord.id == portfolio_id)).all()
    found = _complete(session, rows)
    return found[0] if found else None


def names(session: Snapshot, scope: Scope) -> list[tuple[int, str]]:
    """Return (id, name) of the portfolios, for a filter."""
    rows = session.execute(
        select(PortfolioRecord.id, PortfolioRecord.name)
        .where(owned(scope))
        .order_by(PortfolioRecord.name)
        .limit(500)
    )
    return [(row.id, row.name) for row in rows]


def assets(session: Snapshot, portfolio_id: int) -> list[Asset]:
    """Return the portfolio's assets, oldest first; the caller has checked who asks."""
    rows = session.execute(
        select(
            AssetRecord.id,
            AssetRecord.instrument,
            AssetRecord.timeframe,
            AssetRecord.enabled,
            AssetRecord.strategy_plugin,
            AssetRecord.strategy_config,
            AssetRecord.broker_plugin,
            AssetRecord.broker_config,
            AssetRecord.allocated_capital,
            AssetRecord.status,
            DatasetRecord.name,
            DatasetRecord.origin,
            DatasetRecord.seed,
            BrokerAccountRecord.name,
            BrokerAccountRecord.currency,
        )
        .join(BrokerAccountRecord, BrokerAccountRecord.id == AssetRecord.account_id)
        .outerjoin(DatasetRecord, DatasetRecord.id == AssetRecord.dataset_id)
        .where(AssetRecord.portfolio_id == portfolio_id)
        .order_by(AssetRecord.id)
    )
    return [Asset(*row) for row in rows]


def accounts(session: Snapshot, portfolio_id: int) -> list[Account]:
    """Return the portfolio's accounts, oldest first; the caller has checked who asks."""
    rows = session.execute(
        select(*(getattr(BrokerAccountRecord, field.name) for field in fields(Account)))
        .where(BrokerAccountRecord.portfolio_id == portfolio_id)
        .order_by(BrokerAccountRecord.id)
    )
    return [Account(*row) for row in rows]


def _select() -> Any:
    return select(UserRecord.username.label("owner"), *_OWN_COLUMNS).join(
        UserRecord, UserRecord.id == PortfolioRecord.user_id
    )


def _complete(session: Snapshot, rows: Sequence[Row[Any]]) -> list[Portfolio]:
    """Add to each row what stands in other tables."""
    ids = [row.id for row in rows]
    kinds = _kinds(session, ids)
    synthetic = _synthetic(session, ids)
    books = _books(session, ids)
    worth = equity.latest_with_day_profit(session, {row.id: row.initial_capital for row in rows})
    return [
        Portfolio(
            **row._asdict(),
            account_kinds=kinds.get(row.id, frozenset()),
            synthetic=row.id in synthetic,
            latest=worth[row.id][0],
            day_profit=worth[row.id][1],
            book=books.get(row.id, OpenBook()),
        )
        for row in rows
    ]


def _kinds(session: Snapshot, ids: Iterable[int]) -> dict[int, frozenset[str]]:
    found: dict[int, frozenset[str]] = {}
    rows = session.execute(
        select(BrokerAccountRecord.portfolio_id, BrokerAccountRecord.kind)
        .where(BrokerAccountRecord.portfolio_id.in_(ids))
        .distinct()
    )
    for row in rows:
        found[row.portfolio_id] = found.get(row.portfolio_id, frozenset()) | {row.kind}
    return found


def _synthetic(session: Snapshot, ids: Iterable[int]) -> set[int]:
    rows = session.scalars(
        select(AssetRecord.portfolio_id)
        .join(DatasetRecord, DatasetRecord.id == AssetRecord.dataset_id)
        .where(AssetRecord.portfolio_id.in_(ids), DatasetRecord.origin == "synthetic")
        .distinct()
    )
    return set(rows)


def _books(session: Snapshot, ids: Iterable[int]) -> dict[int, OpenBook]:
    rows = session.execute(
        select(
            PositionRecord.portfolio_id,
            func.count(),
            func.count() - func.count(PositionRecord.stop_loss),
            func.sum(PositionRecord.open_risk),
            func.sum(PositionRecord.unrealized_pnl),
        )
        .where(PositionRecord.portfolio_id.in_(ids), PositionRecord.is_open.is_(True))
        .group_by(PositionRecord.portfolio_id)
    )
    return {row[0]: OpenBook(row[1], row[2], row[3] or ZERO, row[4] or ZERO) for row in rows}
