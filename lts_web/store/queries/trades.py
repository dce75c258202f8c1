"""Orders, fills, positions, decisions and cycles as lists and pages show them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from lts_web.store.models import (
    AssetRecord,
    BillingRecordRecord,
    BrokerAccountRecord,
    CycleRecord,
    DatasetRecord,
    DecisionRecord,
    FillRecord,
    OrderEventRecord,
    OrderRecord,
    PortfolioRecord,
    PositionRecord,
)
from lts_web.store.queries import Scope, Snapshot, owned

PAGE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows a list wants; `before` continues below a row id, `state` is the list's own."""

    portfolio_id: int | None = None
    before: int | None = None
    state: str | None = None
    limit: int = PAGE_ROWS


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An order with where it belongs and the marks of its data."""

    id: int
    portfolio_id: int
    portfolio_name: str
    base_currency: str
    asset_id: int
    account_name: str
    account_kind: str
    account_currency: str
    cycle_id: int | None
    decision_id: int | None
    position_id: int | None
    client_order_id: str | None
    kind: str
    origin: str
    instrument: str
    side: str
    order_type: str
    status: str
    units: int
    filled_units: int
    price: Decimal | None
    fill_price: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    notional: Decimal
    margin: Decimal
    initial_risk: Decimal | None
    binding_cap: str | None
    code: str | None
    detail: str
    broker_order_id: str | None
    broker_trade_id: str | None
    last_transaction_id: int
    lease_token: int | None
    send_before: datetime | None
    unknown_since: datetime | None
    market_time: datetime
    created_at: datetime
    updated_at: datetime
    synthetic: bool
    oracle: bool


@dataclass(frozen=True, slots=True)
class PositionLine:
    """A position with where it belongs; money in account currency."""

    id: int
    portfolio_id: int
    portfolio_name: str
    asset_id: int
    account_currency: str
    broker_trade_id: str
    instrument: str
    side: str
    units: int
    opened_units: int
    entry_price: Decimal
    exit_price: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    current_price: Decimal | None
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    commission: Decimal
    swap: Decimal
    initial_risk: Decimal | None
    open_risk: Decimal | None
    close_reason: str | None
    is_open: bool
    opened_at: datetime
    closed_at: datetime | None
    updated_at: datetime
    synthetic: bool

    @property
    def net_pnl(self) -> Decimal:
        """Return realised profit less commission and swap."""
        return self.realized_pnl - self.commission - self.swap


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """A decision with where it belongs."""

    id: int
    cycle_id: int
    portfolio_id: int
    portfolio_name: str
    asset_id: int
    instrument: str
    action: str
    outcome: str
    code: str | None
    detail: str
    reason: str
    confidence: float | None
    units: int | None
    binding_cap: str | None
    synthetic: bool
    oracle: bool
    market_time: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class DecisionDetail:
    """What stood behind a decision: its inputs, its forecast, and the trace of rules."""

    line: DecisionLine
    inputs: dict[str, Any]
    forecast: dict[str, Any] | None
    trace: list[Any]


@dataclass(frozen=True, slots=True)
class CycleLine:
    """A cycle's report in one line."""

    id: int
    slot: str
    trigger: str
    status: str
    market_time: datetime
    started_at: datetime
    finished_at: datetime | None
    missed: int
    counts: dict[str, Any]
    errors: list[Any]

    @property
    def seconds(self) -> float | None:
        """Return how long it took by the wall clock, None while it runs."""
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class EventLine:
    """One change of an order's state, with both clocks."""

    id: int
    from_status: str | None
    to_status: str
    venue_transaction_id: str | None
    detail: str
    market_time: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class FillLine:
    """One execution; costs are positive, money in account currency."""

    id: int
    venue_transaction_id: str
    units: int
    price: Decimal
    rate: Decimal
    realized_pnl: Decimal
    commission: Decimal
    swap: Decimal
    reason: str
    price_source: str
    market_time: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class BillingLine:
    """One billable event."""

    id: int
    kind: str
    amount: Decimal
    currency: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """Everything that is known of one order."""

    order: OrderLine
    decision: DecisionDetail | None
    events: list[EventLine]
    fills: list[FillLine]
    position: PositionLine | None
    siblings: list[OrderLine]
    billing: list[BillingLine]


_EXTRA: dict[str, Any] = {
    "portfolio_name": PortfolioRecord.name,
    "base_currency": PortfolioRecord.base_currency,
    "account_name": BrokerAccountRecord.name,
    "account_kind": BrokerAccountRecord.kind,
    "account_currency": BrokerAccountRecord.currency,
}
_SYNTHETIC = func.coalesce(DatasetRecord.origin == "synthetic", False)
_ORACLE = func.coalesce(DecisionRecord.oracle, False)


def _columns(line: type, record: Any, **given: Any) -> list[Any]:
    """Return the columns of a line's fields, in their order."""
    known = given | _EXTRA
    return [
        known[field.name] if field.name in known else getattr(record, field.name)
        for field in fields(line)
    ]


def _in_portfolio(columns: list[Any], record: Any) -> Select[Any]:
    """Join a record that belongs to an asset with its portfolio, asset and bars."""
    return (
        select(*columns)
        .join(PortfolioRecord, PortfolioRecord.id == record.portfolio_id)
        .join(AssetRecord, AssetRecord.id == record.asset_id)
        .outerjoin(DatasetRecord, DatasetRecord.id == AssetRecord.dataset_id)
    )


_ORDERS = (
    _in_portfolio(
        _columns(OrderLine, OrderRecord, synthetic=_SYNTHETIC, oracle=_ORACLE), OrderRecord
    )
    .join(BrokerAccountRecord, BrokerAccountRecord.id == OrderRecord.account_id)
    .outerjoin(DecisionRecord, DecisionRecord.id == OrderRecord.decision_id)
)
_POSITIONS = _in_portfolio(
    _columns(PositionLine, PositionRecord, synthetic=_SYNTHETIC), PositionRecord
).join(BrokerAccountRecord, BrokerAccountRecord.id == PositionRecord.account_id)
_DECISIONS = _in_portfolio(
    _columns(DecisionLine, DecisionRecord, instrument=AssetRecord.instrument), DecisionRecord
)


def _page(
    statement: Select[Any], record: Any, scope: Scope, wanted: Filter, *states: ColumnElement[bool]
) -> Select[Any]:
    """Restrict a list to its scope, portfolio, states and place, newest first.

    The page's ids are chosen first, so that only its own rows are read and joined.
    """
    chosen = (
        select(record.id)
        .join(PortfolioRecord, PortfolioRecord.id == record.portfolio_id)
        .where(owned(scope), *states)
        .correlate(None)
    )
    if wanted.portfolio_id is not None:
        chosen = chosen.where(record.portfolio_id == wanted.portfolio_id)
    if wanted.before is not None:
        chosen = chosen.where(record.id < wanted.before)
    chosen = chosen.order_by(record.id.desc()).limit(wanted.limit)
    return statement.where(record.id.in_(chosen)).order_by(record.id.desc())


def orders(session: Snapshot, scope: Scope, wanted: Filter) -> list[OrderLine]:
    """Return orders, newest first; `state` is an order status."""
    states = [] if wanted.state is None else [OrderRecord.status == wanted.state]
    statement = _page(_ORDERS, OrderRecord, scope, wanted, *states)
    return [OrderLine(*row) for row in session.execute(statement)]


def positions(session: Snapshot, scope: Scope, wanted: Filter) -> list[PositionLine]:
    """Return positions, newest first; `state` is "open" or "closed"."""
    states = [] if wanted.state is None else [PositionRecord.is_open.is_(wanted.state == "open")]
    statement = _page(_POSITIONS, PositionRecord, scope, wanted, *states)
    return [PositionLine(*row) for row in session.execute(statement)]


def decisions(session: Snapshot, scope: Scope, wanted: Filter) -> list[DecisionLine]:
    """Return decisions, newest first; `state` is an outcome."""
    states = [] if wanted.state is None else [DecisionRecord.outcome == wanted.state]
    statement = _page(_DECISIONS, DecisionRecord, scope, wanted, *states)
    return [DecisionLine(*row) for row in session.execute(statement)]


def cycles(session: Snapshot, portfolio_id: int, limit: int = 10) -> list[CycleLine]:
    """Return the portfolio's cycles, newest first; the caller has checked who asks."""
    rows = session.execute(
        select(*_columns(CycleLine, CycleRecord))
        .where(CycleRecord.portfolio_id == portfolio_id)
        .order_by(CycleRecord.id.desc())
        .limit(limit)
    )
    return [CycleLine(*row) for row in rows]


def order_history(session: Snapshot, scope: Scope, order_id: int) -> OrderHistory | None:
    """Return one order with all that led to it and followed from it; foreign: None."""
    row = session.execute(_ORDERS.where(owned(scope), OrderRecord.id == order_id)).one_or_none()
    if row is None:
        return None
    order = OrderLine(*row)
    return OrderHistory(
        order=order,
        decision=_decision(session, order.decision_id),
        events=[EventLine(*event) for event in session.execute(_of_order(EventLine, order.id))],
        fills=[FillLine(*fill) for fill in session.execute(_of_order(FillLine, order.id))],
        position=_position(session, order.position_id),
        siblings=_siblings(session, order),
        billing=[BillingLine(*line) for line in session.execute(_of_order(BillingLine, order.id))],
    )


_RECORD_OF = {
    EventLine: OrderEventRecord,
    FillLine: FillRecord,
    BillingLine: BillingRecordRecord,
}


def _of_order(line: type, order_id: int) -> Select[Any]:
    record: Any = _RECORD_OF[line]
    return select(*_columns(line, record)).where(record.order_id == order_id).order_by(record.id)


def _decision(session: Snapshot, decision_id: int | None) -> DecisionDetail | None:
    if decision_id is None:
        return None
    return decision_detail(session, None, decision_id)


def decision_detail(
    session: Snapshot, scope: Scope | None, decision_id: int
) -> DecisionDetail | None:
    """Return one decision with its inputs and trace; scope None: the caller has checked."""
    columns = [DecisionRecord.inputs, DecisionRecord.forecast, DecisionRecord.trace]
    statement = _DECISIONS.add_columns(*columns).where(DecisionRecord.id == decision_id)
    if scope is not None:
        statement = statement.where(owned(scope))
    row = session.execute(statement).one_or_none()
    if row is None:
        return None
    *line, inputs, forecast, trace = row
    return DecisionDetail(DecisionLine(*line), inputs, forecast, trace)


def _position(session: Snapshot, position_id: int | None) -> PositionLine | None:
    if position_id is None:
        return None
    row = session.execute(_POSITIONS.where(PositionRecord.id == position_id)).one()
    return PositionLine(*row)


def _siblings(session: Snapshot, order: OrderLine) -> list[OrderLine]:
    """Return the other orders of the same position, oldest first."""
    if order.position_id is None:
        return []
    rows = session.execute(
        _ORDERS.where(OrderRecord.position_id == order.position_id, OrderRecord.id != order.id)
        .order_by(OrderRecord.id)
        .limit(PAGE_ROWS)
    )
    return [OrderLine(*row) for row in rows]
