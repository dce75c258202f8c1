"""What describes the running system: heartbeats, live topics, plugins, statistics, billing."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from lts_web.store.base import Record, one_of
from lts_web.store.types import money_type

PLUGIN_STATES = ("ready", "broken")


class ConfigurationRecord(Record):
    """A stored setting, or a fact of this installation (such as its id)."""

    __tablename__ = "configuration"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    updated_at: Mapped[datetime]
    updated_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))


class WorkerHeartbeatRecord(Record):
    """When each worker process was last seen, by the wall clock."""

    __tablename__ = "worker_heartbeats"

    owner: Mapped[str] = mapped_column(String(80), primary_key=True)
    process_id: Mapped[int]
    host: Mapped[str] = mapped_column(String(100))
    version: Mapped[str] = mapped_column(String(40))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)
    stopped_at: Mapped[datetime | None]


class LiveTopicRecord(Record):
    """The number of the last change that a user's pages should hear of, by topic."""

    __tablename__ = "live_topics"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    topic: Mapped[str] = mapped_column(String(40), primary_key=True)
    sequence: Mapped[int]


class PluginStateRecord(Record):
    """Whether a plugin could be loaded, and why not."""

    __tablename__ = "plugin_states"

    family: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(1000), default="")
    version: Mapped[str] = mapped_column(String(40), default="")
    origin: Mapped[str] = mapped_column(String(200), default="")
    checked_at: Mapped[datetime]

    __table_args__ = (CheckConstraint(one_of("state", PLUGIN_STATES), name="state"),)


class PluginSnapshotRecord(Record):
    """The last debug information of a plugin instance, masked and bounded.

    `scope` says which instance: "asset:7", "portfolio:3" or "system".
    """

    __tablename__ = "plugin_snapshots"

    family: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    debug: Mapped[dict[str, Any]]
    recorded_at: Mapped[datetime]


class EquityPointRecord(Record):
    """What a portfolio was worth at the end of a cycle, in its base currency."""

    __tablename__ = "equity_points"

    id: Mapped[int] = mapped_column(primary_key=True)
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"))
    cycle_id: Mapped[int] = mapped_column(ForeignKey("cycles.id"))
    market_time: Mapped[datetime]
    recorded_at: Mapped[datetime]
    balance: Mapped[Decimal] = mapped_column(money_type())
    equity: Mapped[Decimal] = mapped_column(money_type())
    exposure: Mapped[Decimal] = mapped_column(money_type())
    margin_used: Mapped[Decimal] = mapped_column(money_type())
    open_risk: Mapped[Decimal] = mapped_column(money_type())

    __table_args__ = (
        UniqueConstraint("portfolio_id", "cycle_id"),
        Index(None, "portfolio_id", "market_time"),
        {"sqlite_autoincrement": True},
    )


class StatisticRecord(Record):
    """A performance figure of a portfolio (or one of its assets) as of a cycle."""

    __tablename__ = "statistics"

    id: Mapped[int] = mapped_column(primary_key=True)
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"))
    asset_id: Mapped[int | None] = mapped_column(ForeignKey("assets.id"))
    cycle_id: Mapped[int | None] = mapped_column(ForeignKey("cycles.id"))
    key: Mapped[str] = mapped_column(String(60))
    value: Mapped[float | None]
    sample: Mapped[int] = mapped_column(default=0)
    market_time: Mapped[datetime]
    recorded_at: Mapped[datetime]

    __table_args__ = (
        Index(None, "portfolio_id", "key", "id"),
        {"sqlite_autoincrement": True},
    )


class BillingRecordRecord(Record):
    """One billable event: a trade or an execution of a strategy (the amount is 0 today)."""

    __tablename__ = "billing_records"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    portfolio_id: Mapped[int] = mapped_column(ForeignKey("portfolios.id"))
    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id"))
    cycle_id: Mapped[int | None] = mapped_column(ForeignKey("cycles.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    kind: Mapped[str] = mapped_column(String(20))
    amount: Mapped[Decimal] = mapped_column(money_type(), default=Decimal(0))
    currency: Mapped[str] = mapped_column(String(3), default="USD")
    recorded_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(one_of("kind", ("trade", "strategy_execution")), name="kind"),
        CheckConstraint("amount >= 0", name="amount"),
        {"sqlite_autoincrement": True},
    )
