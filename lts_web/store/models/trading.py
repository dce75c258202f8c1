"""What the cycle writes: leases, cycles, decisions, orders, fills and positions."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from lts_web.store.base import Record, one_of
from lts_web.store.types import money_type, price_type, rate_type
from lts_web.trading.orders import OPEN_STATUSES, OrderKind, OrderOrigin, OrderStatus

CYCLE_STATUSES = ("queued", "running", "done", "failed", "interrupted", "missed")
DECISION_OUTCOMES = ("ordered", "denied", "held", "failed", "no_bar")
WORKING = one_of("status", sorted(OPEN_STATUSES))


class LeaseRecord(Record):
    """Who may trade a portfolio now; the token fences off whoever held it before."""

    __tablename__ = "leases"

    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"), primary_key=True)
    token: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None] = mapped_column(String(80))
    expires_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("token >= 0", name="token"),)


class CycleRecord(Record):
    """One run of a portfolio's cycle and its report; unique by slot, so it runs once."""

    __tablename__ = "cycles"

    id: Mapped[int] = mapped_column(primary_key=True)
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"))
    slot: Mapped[str] = mapped_column(String(40))
    trigger: Mapped[str] = mapped_column(String(10), default="schedule")
    status: Mapped[str] = mapped_column(String(12))
    owner: Mapped[str | None] = mapped_column(String(80))
    lease_token: Mapped[int | None]
    market_time: Mapped[datetime]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    missed: Mapped[int] = mapped_column(default=0)
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    allocation: Mapped[dict[str, Any]] = mapped_column(default=dict)
    errors: Mapped[list[Any]] = mapped_column(default=list)

    __table_args__ = (
        UniqueConstraint("portfolio_id", "slot"),
        CheckConstraint(one_of("status", CYCLE_STATUSES), name="status"),
        CheckConstraint(one_of("trigger", ("schedule", "manual", "command")), name="trigger"),
        Index(None, "status"),
        Index(None, "portfolio_id", "id"),
        {"sqlite_autoincrement": True},
    )


class DecisionRecord(Record):
    """Why an asset did, or did not, trade in a cycle."""

    __tablename__ = "decisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    cycle_id: Mapped[int] = mapped_column(ForeignKey("cycles.id"))
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"))
    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id"))
    action: Mapped[str] = mapped_column(String(10))
    outcome: Mapped[str] = mapped_column(String(10))
    code: Mapped[str | None] = mapped_column(String(60))
    detail: Mapped[str] = mapped_column(String(1000), default="")
    reason: Mapped[str] = mapped_column(String(1000), default="")
    confidence: Mapped[float | None]
    inputs: Mapped[dict[str, Any]] = mapped_column(default=dict)
    forecast: Mapped[dict[str, Any] | None]
    trace: Mapped[list[Any]] = mapped_column(default=list)
    units: Mapped[int | None]
    binding_cap: Mapped[str | None] = mapped_column(String(40))
    synthetic: Mapped[bool] = mapped_column(default=False)
    oracle: Mapped[bool] = mapped_column(default=False)
    market_time: Mapped[datetime]
    recorded_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("cycle_id", "asset_id"),
        CheckConstraint(one_of("action", ("open", "close", "none")), name="action"),
        CheckConstraint(one_of("outcome", DECISION_OUTCOMES), name="outcome"),
        CheckConstraint("outcome != 'denied' OR code IS NOT NULL", name="denied_code"),
        Index(None, "portfolio_id", "id"),
        Index(None, "asset_id", "id"),
        Index(
            "ix_decisions_refused",
            "portfolio_id",
            "recorded_at",
            sqlite_where=text("outcome IN ('denied', 'failed')"),
        ),
        {"sqlite_autoincrement": True},
    )


class PositionRecord(Record):
    """One round trip of an asset; follows from its fills."""

    __tablename__ = "positions"

    id: Mapped[int] = mapped_column(primary_key=True)
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"))
    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("broker_accounts.id"))
    broker_trade_id: Mapped[str] = mapped_column(String(100))
    instrument: Mapped[str] = mapped_column(String(7))
    side: Mapped[str] = mapped_column(String(5))
    units: Mapped[int]
    opened_units: Mapped[int]
    entry_price: Mapped[Decimal] = mapped_column(price_type())
    exit_price: Mapped[Decimal | None] = mapped_column(price_type())
    stop_loss: Mapped[Decimal | None] = mapped_column(price_type())
    take_profit: Mapped[Decimal | None] = mapped_column(price_type())
    current_price: Mapped[Decimal | None] = mapped_column(price_type())
    unrealized_pnl: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    realized_pnl: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    commission: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    swap: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    initial_risk: Mapped[Decimal | None] = mapped_column(money_type())
    open_risk: Mapped[Decimal | None] = mapped_column(money_type())
    notional: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    margin: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    close_reason: Mapped[str | None] = mapped_column(String(40))
    is_open: Mapped[bool]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("account_id", "broker_trade_id"),
        CheckConstraint(one_of("side", ("long", "short")), name="side"),
        CheckConstraint("is_open = (units != 0)", name="open_units"),
        CheckConstraint("is_open = (closed_at IS NULL)", name="open_closed_at"),
        CheckConstraint(
            "(side = 'long' AND units >= 0 AND opened_units > 0) OR "
            "(side = 'short' AND units <= 0 AND opened_units < 0)",
            name="sign",
        ),
        CheckConstraint("entry_price > 0", name="entry_price"),
        Index(
            "uq_positions_one_open_an_asset",
            "asset_id",
            unique=True,
            sqlite_where=text("is_open = 1"),
        ),
        Index(None, "portfolio_id", "is_open"),
        Index("ix_positions_account_id_open", "account_id", sqlite_where=text("is_open = 1")),
        {"sqlite_autoincrement": True},
    )


class OrderRecord(Record):
    """Our intent and what became of it. `units` are signed as traded."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"))
    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("broker_accounts.id"))
    cycle_id: Mapped[int | None] = mapped_column(ForeignKey("cycles.id"), index=True)
    decision_id: Mapped[int | None] = mapped_column(ForeignKey("decisions.id"), index=True)
    position_id: Mapped[int | None] = mapped_column(ForeignKey("positions.id"), index=True)
    order_key: Mapped[str] = mapped_column(String(120), unique=True)
    client_order_id: Mapped[str | None] = mapped_column(String(128), unique=True)
    kind: Mapped[str] = mapped_column(String(12))
    origin: Mapped[str] = mapped_column(String(10))
    instrument: Mapped[str] = mapped_column(String(7))
    side: Mapped[str] = mapped_column(String(4))
    order_type: Mapped[str] = mapped_column(String(10), default="market")
    status: Mapped[str] = mapped_column(String(20))
    units: Mapped[int]
    filled_units: Mapped[int] = mapped_column(default=0)
    price: Mapped[Decimal | None] = mapped_column(price_type())
    fill_price: Mapped[Decimal | None] = mapped_column(price_type())
    stop_loss: Mapped[Decimal | None] = mapped_column(price_type())
    take_profit: Mapped[Decimal | None] = mapped_column(price_type())
    notional: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    margin: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    initial_risk: Mapped[Decimal | None] = mapped_column(money_type())
    binding_cap: Mapped[str | None] = mapped_column(String(40))
    code: Mapped[str | None] = mapped_column(String(60))
    detail: Mapped[str] = mapped_column(String(1000), default="")
    broker_order_id: Mapped[str | None] = mapped_column(String(100))
    broker_trade_id: Mapped[str | None] = mapped_column(String(100))
    last_transaction_id: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[int | None]
    send_before: Mapped[datetime | None]
    unknown_since: Mapped[datetime | None]
    market_time: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(one_of("kind", OrderKind), name="kind"),
        CheckConstraint(one_of("origin", OrderOrigin), name="origin"),
        CheckConstraint(one_of("side", ("buy", "sell")), name="side"),
        CheckConstraint(one_of("status", OrderStatus), name="status"),
        CheckConstraint(
            "(side = 'buy' AND units > 0 AND filled_units BETWEEN 0 AND units) OR "
            "(side = 'sell' AND units < 0 AND filled_units BETWEEN units AND 0)",
            name="units",
        ),
        CheckConstraint("status != 'filled' OR filled_units = units", name="filled"),
        CheckConstraint(
            "status NOT IN ('denied', 'rejected') OR code IS NOT NULL", name="refusal_code"
        ),
        CheckConstraint("status != 'unknown' OR unknown_since IS NOT NULL", name="unknown_since"),
        Index("ix_orders_account_id_working", "account_id", sqlite_where=text(WORKING)),
        Index("ix_orders_asset_id_working", "asset_id", sqlite_where=text(WORKING)),
        Index(None, "portfolio_id", "id"),
        Index(None, "asset_id", "id"),
        {"sqlite_autoincrement": True},
    )


class OrderEventRecord(Record):
    """One change of an order's state, with both clocks."""

    __tablename__ = "order_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    from_status: Mapped[str | None] = mapped_column(String(20))
    to_status: Mapped[str] = mapped_column(String(20))
    venue_transaction_id: Mapped[str | None] = mapped_column(String(100))
    detail: Mapped[str] = mapped_column(String(1000), default="")
    market_time: Mapped[datetime]
    recorded_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(one_of("to_status", OrderStatus), name="to_status"),
        {"sqlite_autoincrement": True},
    )


class FillRecord(Record):
    """An execution, unique by the venue's transaction id in its account; never changed."""

    __tablename__ = "fills"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("broker_accounts.id"))
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    position_id: Mapped[int] = mapped_column(ForeignKey("positions.id"), index=True)
    venue_transaction_id: Mapped[str] = mapped_column(String(100))
    instrument: Mapped[str] = mapped_column(String(7))
    units: Mapped[int]
    price: Mapped[Decimal] = mapped_column(price_type())
    rate: Mapped[Decimal] = mapped_column(rate_type())
    realized_pnl: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    commission: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    swap: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    reason: Mapped[str] = mapped_column(String(40))
    price_source: Mapped[str] = mapped_column(String(10), default="venue")
    market_time: Mapped[datetime]
    recorded_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("account_id", "venue_transaction_id"),
        CheckConstraint("units != 0", name="units"),
        CheckConstraint("price > 0 AND rate > 0", name="positive"),
        CheckConstraint(one_of("price_source", ("venue", "assumed")), name="price_source"),
        {"sqlite_autoincrement": True},
    )
