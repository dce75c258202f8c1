"""Portfolios, their accounts and assets, and the bars that they trade on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from lts_web.store.base import Record, one_of
from lts_web.store.types import money_type, price_type
from lts_web.trading.calendar import TIMEFRAMES

PORTFOLIO_STATUSES = ("inactive", "active", "archived")
FEEDS = ("replay", "live")
MODES = ("off", "shadow", "approve", "automatic")
ORIGINS = ("stored", "synthetic")
DATASET_STATES = ("importing", "ready")


class PortfolioRecord(Record):
    """A set of assets that share capital, limits and a cycle."""

    __tablename__ = "portfolios"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(String(2000), default="")
    base_currency: Mapped[str] = mapped_column(String(3), default="USD")
    initial_capital: Mapped[Decimal] = mapped_column(money_type())
    latency_minutes: Mapped[float | None]
    status: Mapped[str] = mapped_column(String(10), default="inactive")
    feed: Mapped[str] = mapped_column(String(10), default="replay")
    mode: Mapped[str] = mapped_column(String(10), default="automatic")
    portfolio_plugin: Mapped[str] = mapped_column(String(100), default="default_portfolio")
    portfolio_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    pipeline_plugin: Mapped[str] = mapped_column(String(100), default="default_pipeline")
    pipeline_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    require_stop_loss: Mapped[bool] = mapped_column(default=True)
    require_take_profit: Mapped[bool] = mapped_column(default=True)
    max_open_positions: Mapped[int] = mapped_column(default=20)
    max_exposure: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(10))
    max_leverage: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(30))
    max_spread_pips: Mapped[Decimal | None] = mapped_column(money_type())
    is_demonstration: Mapped[bool] = mapped_column(default=False)
    cursor_at: Mapped[datetime | None]
    next_due_at: Mapped[datetime | None] = mapped_column(index=True)
    run_requested_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("user_id", "name"),
        CheckConstraint(one_of("status", PORTFOLIO_STATUSES), name="status"),
        CheckConstraint(one_of("feed", FEEDS), name="feed"),
        CheckConstraint(one_of("mode", MODES), name="mode"),
        CheckConstraint("length(name) BETWEEN 1 AND 100", name="name_length"),
        CheckConstraint("length(base_currency) = 3", name="base_currency"),
        CheckConstraint("initial_capital >= 0", name="initial_capital"),
        CheckConstraint("latency_minutes >= 0", name="latency_minutes"),
        CheckConstraint("max_open_positions >= 0", name="max_open_positions"),
        CheckConstraint("max_exposure > 0 AND max_leverage > 0", name="limits"),
        {"sqlite_autoincrement": True},
    )


class BrokerAccountRecord(Record):
    """An account at a venue: our view of it, and how far its transaction log has been read.

    `balance` is our own ledger (rebuilt from fills), `venue_balance` what the venue last said.
    """

    __tablename__ = "broker_accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(20), default="simulated")
    venue_key: Mapped[str] = mapped_column(String(100), unique=True)
    currency: Mapped[str] = mapped_column(String(3))
    initial_capital: Mapped[Decimal] = mapped_column(money_type())
    balance: Mapped[Decimal] = mapped_column(money_type())
    venue_balance: Mapped[Decimal | None] = mapped_column(money_type())
    last_transaction_id: Mapped[int] = mapped_column(default=0)
    synced_at: Mapped[datetime | None]
    sync_error: Mapped[str | None] = mapped_column(String(500))
    sync_failures: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("portfolio_id", "name"),
        CheckConstraint(one_of("kind", ("simulated", "practice", "live")), name="kind"),
        CheckConstraint("length(currency) = 3", name="currency"),
        CheckConstraint("initial_capital >= 0", name="initial_capital"),
        CheckConstraint("last_transaction_id >= 0", name="last_transaction_id"),
        {"sqlite_autoincrement": True},
    )


class DatasetRecord(Record):
    """A series of bars: imported from a file, or a synthetic model with its seed."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    instrument: Mapped[str] = mapped_column(String(7))
    timeframe: Mapped[str] = mapped_column(String(4))
    origin: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10), default="ready")
    seed: Mapped[int | None]
    start_price: Mapped[Decimal | None] = mapped_column(price_type())
    starts_at: Mapped[datetime | None]
    row_count: Mapped[int] = mapped_column(default=0)
    first_open: Mapped[datetime | None]
    last_open: Mapped[datetime | None]
    gap_count: Mapped[int] = mapped_column(default=0)
    outside_calendar: Mapped[int] = mapped_column(default=0)
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    content_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(one_of("origin", ORIGINS), name="origin"),
        CheckConstraint(one_of("state", DATASET_STATES), name="state"),
        CheckConstraint(one_of("timeframe", TIMEFRAMES), name="timeframe"),
        CheckConstraint("length(instrument) = 7", name="instrument"),
        CheckConstraint(
            "origin = 'stored' OR (seed IS NOT NULL AND start_price IS NOT NULL "
            "AND starts_at IS NOT NULL)",
            name="synthetic_model",
        ),
        CheckConstraint("row_count >= 0", name="row_count"),
        {"sqlite_autoincrement": True},
    )


class BarRecord(Record):
    """One stored bar, by its open."""

    __tablename__ = "bars"

    dataset_id: Mapped[int] = mapped_column(
        ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True
    )
    open_time: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[Decimal] = mapped_column(price_type())
    high: Mapped[Decimal] = mapped_column(price_type())
    low: Mapped[Decimal] = mapped_column(price_type())
    close: Mapped[Decimal] = mapped_column(price_type())

    __table_args__ = (
        CheckConstraint("low > 0 AND high >= low", name="range"),
        CheckConstraint("open BETWEEN low AND high", name="open"),
        CheckConstraint("close BETWEEN low AND high", name="close"),
        {"sqlite_with_rowid": False},
    )


class AssetRecord(Record):
    """An instrument within a portfolio: what decides for it, through whom, on which bars."""

    __tablename__ = "assets"

    id: Mapped[int] = mapped_column(primary_key=True)
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("broker_accounts.id"), index=True)
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id"), index=True)
    instrument: Mapped[str] = mapped_column(String(7))
    timeframe: Mapped[str] = mapped_column(String(4))
    enabled: Mapped[bool] = mapped_column(default=True)
    strategy_plugin: Mapped[str] = mapped_column(String(100), default="default_strategy")
    strategy_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    broker_plugin: Mapped[str] = mapped_column(String(100), default="backtrader_simulation_broker")
    broker_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    pipeline_plugin: Mapped[str | None] = mapped_column(String(100))
    pipeline_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    allocated_capital: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    max_positions: Mapped[int] = mapped_column(default=1)
    status: Mapped[str] = mapped_column(String(300), default="never run")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(one_of("timeframe", TIMEFRAMES), name="timeframe"),
        CheckConstraint("length(instrument) = 7", name="instrument"),
        CheckConstraint("max_positions = 1", name="max_positions"),
        CheckConstraint("allocated_capital >= 0", name="allocated_capital"),
        Index(
            None,
            "portfolio_id",
            "instrument",
            "timeframe",
            "strategy_plugin",
            sqlite_where=text("enabled = 1"),
        ),
        {"sqlite_autoincrement": True},
    )
