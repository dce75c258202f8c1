"""The first tables: people, portfolios, bars, the cycle's records and the running system.

Written out in full and never changed again: it must make the same schema when the models have
moved on. Money is scaled by 10^4, prices by 10^8, rates by 10^12; times are microseconds in UTC.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

TABLES = (
    "plugin_snapshots",
    "plugin_states",
    "users",
    "worker_heartbeats",
    "audit_logs",
    "configuration",
    "datasets",
    "live_topics",
    "portfolios",
    "sessions",
    "bars",
    "broker_accounts",
    "cycles",
    "leases",
    "assets",
    "equity_points",
    "decisions",
    "positions",
    "statistics",
    "orders",
    "billing_records",
    "fills",
    "order_events",
)


def upgrade() -> None:
    """Create all tables with their constraints and indexes."""
    _plugin_snapshots()
    _plugin_states()
    _users()
    _worker_heartbeats()
    _audit_logs()
    _configuration()
    _datasets()
    _live_topics()
    _portfolios()
    _sessions()
    _bars()
    _broker_accounts()
    _cycles()
    _leases()
    _assets()
    _equity_points()
    _decisions()
    _positions()
    _statistics()
    _orders()
    _billing_records()
    _fills()
    _order_events()


def downgrade() -> None:
    """Drop all tables, those that refer to others first."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Integer(), primary_key=True)


def _count(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=optional)


def _number(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Double(), nullable=optional)


def _flag(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=optional)


def _text(name: str, length: int, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=optional)


def _json(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(), nullable=optional)


def _scaled(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=optional)


_money = _price = _rate = _time = _scaled


def _plugin_snapshots() -> None:
    op.create_table(
        "plugin_snapshots",
        _text("family", 20),
        _text("name", 100),
        _text("scope", 40),
        _json("debug"),
        _time("recorded_at"),
        sa.PrimaryKeyConstraint("family", "name", "scope", name=op.f("pk_plugin_snapshots")),
    )


def _plugin_states() -> None:
    op.create_table(
        "plugin_states",
        _text("family", 20),
        _text("name", 100),
        _text("state", 10),
        _text("reason", 1000),
        _text("version", 40),
        _text("origin", 200),
        _time("checked_at"),
        sa.PrimaryKeyConstraint("family", "name", name=op.f("pk_plugin_states")),
        sa.CheckConstraint("state IN ('ready', 'broken')", name=op.f("ck_plugin_states_state")),
    )


def _users() -> None:
    op.create_table(
        "users",
        _id(),
        _text("username", 50),
        _text("email", 254),
        _text("password_hash", 255),
        _text("role", 20),
        _flag("is_active"),
        _text("time_zone", 64),
        _text("theme", 10),
        _count("failed_logins"),
        _time("locked_until", optional=True),
        _flag("must_change_password"),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("role IN ('admin', 'user', 'viewer')", name=op.f("ck_users_role")),
        sa.CheckConstraint("theme IN ('auto', 'light', 'dark')", name=op.f("ck_users_theme")),
        sa.CheckConstraint(
            "length(username) BETWEEN 1 AND 50", name=op.f("ck_users_username_length")
        ),
        sa.CheckConstraint("failed_logins >= 0", name=op.f("ck_users_failed_logins")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("uq_users_email_folded"), "users", [sa.text("lower(email)")], unique=True)
    op.create_index(
        op.f("uq_users_username_folded"), "users", [sa.text("lower(username)")], unique=True
    )


def _worker_heartbeats() -> None:
    op.create_table(
        "worker_heartbeats",
        _text("owner", 80),
        _count("process_id"),
        _text("host", 100),
        _text("version", 40),
        _time("started_at"),
        _time("seen_at"),
        _time("stopped_at", optional=True),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_worker_heartbeats")),
    )
    op.create_index(op.f("ix_worker_heartbeats_seen_at"), "worker_heartbeats", ["seen_at"])


def _audit_logs() -> None:
    op.create_table(
        "audit_logs",
        _id(),
        _count("user_id", optional=True),
        _text("actor", 80),
        _text("action", 100),
        _text("object_type", 40, optional=True),
        _count("object_id", optional=True),
        _json("details", optional=True),
        _text("address", 64, optional=True),
        _text("request_id", 40, optional=True),
        _time("recorded_at"),
        sa.CheckConstraint("length(action) > 0", name=op.f("ck_audit_logs_action")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_audit_logs_user_id_users"), ondelete="SET NULL"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_audit_logs_object_type_object_id"), "audit_logs", ["object_type", "object_id"]
    )
    op.create_index(op.f("ix_audit_logs_recorded_at"), "audit_logs", ["recorded_at"])
    op.create_index(op.f("ix_audit_logs_user_id"), "audit_logs", ["user_id"])


def _configuration() -> None:
    op.create_table(
        "configuration",
        _text("key", 100),
        _json("value"),
        _time("updated_at"),
        _count("updated_by", optional=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_configuration")),
        sa.ForeignKeyConstraint(
            ["updated_by"],
            ["users.id"],
            name=op.f("fk_configuration_updated_by_users"),
            ondelete="SET NULL",
        ),
    )


def _datasets() -> None:
    op.create_table(
        "datasets",
        _id(),
        _count("user_id", optional=True),
        _text("name", 200),
        _text("instrument", 7),
        _text("timeframe", 4),
        _text("origin", 10),
        _text("state", 10),
        _count("seed", optional=True),
        _price("start_price", optional=True),
        _time("starts_at", optional=True),
        _count("row_count"),
        _time("first_open", optional=True),
        _time("last_open", optional=True),
        _count("gap_count"),
        _count("outside_calendar"),
        _json("warnings"),
        _text("content_sha256", 64, optional=True),
        _time("created_at"),
        sa.CheckConstraint("origin IN ('stored', 'synthetic')", name=op.f("ck_datasets_origin")),
        sa.CheckConstraint("state IN ('importing', 'ready')", name=op.f("ck_datasets_state")),
        sa.CheckConstraint(
            "timeframe IN ('M1', 'M5', 'M15', 'M30', 'H1', 'H4', 'D1')",
            name=op.f("ck_datasets_timeframe"),
        ),
        sa.CheckConstraint("length(instrument) = 7", name=op.f("ck_datasets_instrument")),
        sa.CheckConstraint(
            "origin = 'stored' OR (seed IS NOT NULL AND start_price IS NOT NULL AND starts_at "
            "IS NOT NULL)",
            name=op.f("ck_datasets_synthetic_model"),
        ),
        sa.CheckConstraint("row_count >= 0", name=op.f("ck_datasets_row_count")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_datasets_user_id_users")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_datasets_user_id"), "datasets", ["user_id"])


def _live_topics() -> None:
    op.create_table(
        "live_topics",
        _count("user_id"),
        _text("topic", 40),
        _count("sequence"),
        sa.PrimaryKeyConstraint("user_id", "topic", name=op.f("pk_live_topics")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_live_topics_user_id_users"), ondelete="CASCADE"
        ),
    )


def _portfolios() -> None:
    op.create_table(
        "portfolios",
        _id(),
        _count("user_id"),
        _text("name", 100),
        _text("description", 2000),
        _text("base_currency", 3),
        _money("initial_capital"),
        _number("latency_minutes", optional=True),
        _text("status", 10),
        _text("feed", 10),
        _text("mode", 10),
        _text("portfolio_plugin", 100),
        _json("portfolio_config"),
        _text("pipeline_plugin", 100),
        _json("pipeline_config"),
        _flag("require_stop_loss"),
        _flag("require_take_profit"),
        _count("max_open_positions"),
        _money("max_exposure"),
        _money("max_leverage"),
        _money("max_spread_pips", optional=True),
        _flag("is_demonstration"),
        _time("cursor_at", optional=True),
        _time("next_due_at", optional=True),
        _time("run_requested_at", optional=True),
        _time("finished_at", optional=True),
        _time("created_at"),
        _time("updated_at"),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_portfolios_user_id_name")),
        sa.CheckConstraint(
            "status IN ('inactive', 'active', 'archived')", name=op.f("ck_portfolios_status")
        ),
        sa.CheckConstraint("feed IN ('replay', 'live')", name=op.f("ck_portfolios_feed")),
        sa.CheckConstraint(
            "mode IN ('off', 'shadow', 'approve', 'automatic')", name=op.f("ck_portfolios_mode")
        ),
        sa.CheckConstraint(
            "length(name) BETWEEN 1 AND 100", name=op.f("ck_portfolios_name_length")
        ),
        sa.CheckConstraint("length(base_currency) = 3", name=op.f("ck_portfolios_base_currency")),
        sa.CheckConstraint("initial_capital >= 0", name=op.f("ck_portfolios_initial_capital")),
        sa.CheckConstraint("latency_minutes >= 0", name=op.f("ck_portfolios_latency_minutes")),
        sa.CheckConstraint(
            "max_open_positions >= 0", name=op.f("ck_portfolios_max_open_positions")
        ),
        sa.CheckConstraint(
            "max_exposure > 0 AND max_leverage > 0", name=op.f("ck_portfolios_limits")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_portfolios_user_id_users")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_portfolios_next_due_at"), "portfolios", ["next_due_at"])
    op.create_index(op.f("ix_portfolios_user_id"), "portfolios", ["user_id"])


def _sessions() -> None:
    op.create_table(
        "sessions",
        _id(),
        _count("user_id"),
        _text("token_hash", 64),
        _text("address", 64, optional=True),
        _text("agent", 200, optional=True),
        _time("created_at"),
        _time("last_seen_at"),
        _time("expires_at"),
        _time("ended_at", optional=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_hash", name=op.f("uq_sessions_token_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"])


def _bars() -> None:
    op.create_table(
        "bars",
        _count("dataset_id"),
        _time("open_time"),
        _price("open"),
        _price("high"),
        _price("low"),
        _price("close"),
        sa.PrimaryKeyConstraint("dataset_id", "open_time", name=op.f("pk_bars")),
        sa.CheckConstraint("low > 0 AND high >= low", name=op.f("ck_bars_range")),
        sa.CheckConstraint("open BETWEEN low AND high", name=op.f("ck_bars_open")),
        sa.CheckConstraint("close BETWEEN low AND high", name=op.f("ck_bars_close")),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name=op.f("fk_bars_dataset_id_datasets"),
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )


def _broker_accounts() -> None:
    op.create_table(
        "broker_accounts",
        _id(),
        _count("portfolio_id"),
        _text("name", 100),
        _text("kind", 20),
        _text("venue_key", 100),
        _text("currency", 3),
        _money("initial_capital"),
        _money("balance"),
        _money("venue_balance", optional=True),
        _count("last_transaction_id"),
        _time("synced_at", optional=True),
        _text("sync_error", 500, optional=True),
        _count("sync_failures"),
        _time("created_at"),
        sa.UniqueConstraint(
            "portfolio_id", "name", name=op.f("uq_broker_accounts_portfolio_id_name")
        ),
        sa.CheckConstraint(
            "kind IN ('simulated', 'practice', 'live')", name=op.f("ck_broker_accounts_kind")
        ),
        sa.CheckConstraint("length(currency) = 3", name=op.f("ck_broker_accounts_currency")),
        sa.CheckConstraint("initial_capital >= 0", name=op.f("ck_broker_accounts_initial_capital")),
        sa.CheckConstraint(
            "last_transaction_id >= 0", name=op.f("ck_broker_accounts_last_transaction_id")
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"],
            ["portfolios.id"],
            name=op.f("fk_broker_accounts_portfolio_id_portfolios"),
        ),
        sa.UniqueConstraint("venue_key", name=op.f("uq_broker_accounts_venue_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_broker_accounts_portfolio_id"), "broker_accounts", ["portfolio_id"])


def _cycles() -> None:
    op.create_table(
        "cycles",
        _id(),
        _count("portfolio_id"),
        _text("slot", 40),
        _text("trigger", 10),
        _text("status", 12),
        _text("owner", 80, optional=True),
        _count("lease_token", optional=True),
        _time("market_time"),
        _time("started_at"),
        _time("finished_at", optional=True),
        _count("missed"),
        _json("counts"),
        _json("allocation"),
        _json("errors"),
        sa.UniqueConstraint("portfolio_id", "slot", name=op.f("uq_cycles_portfolio_id_slot")),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'done', 'failed', 'interrupted', 'missed')",
            name=op.f("ck_cycles_status"),
        ),
        sa.CheckConstraint(
            "trigger IN ('schedule', 'manual', 'command')", name=op.f("ck_cycles_trigger")
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_cycles_portfolio_id_portfolios")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_cycles_portfolio_id_id"), "cycles", ["portfolio_id", "id"])
    op.create_index(op.f("ix_cycles_status"), "cycles", ["status"])


def _leases() -> None:
    op.create_table(
        "leases",
        _count("portfolio_id"),
        _count("token"),
        _text("owner", 80, optional=True),
        _time("expires_at", optional=True),
        sa.PrimaryKeyConstraint("portfolio_id", name=op.f("pk_leases")),
        sa.CheckConstraint("token >= 0", name=op.f("ck_leases_token")),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_leases_portfolio_id_portfolios")
        ),
    )


def _assets() -> None:
    op.create_table(
        "assets",
        _id(),
        _count("portfolio_id"),
        _count("account_id"),
        _count("dataset_id", optional=True),
        _text("instrument", 7),
        _text("timeframe", 4),
        _flag("enabled"),
        _text("strategy_plugin", 100),
        _json("strategy_config"),
        _text("broker_plugin", 100),
        _json("broker_config"),
        _text("pipeline_plugin", 100, optional=True),
        _json("pipeline_config"),
        _money("allocated_capital"),
        _count("max_positions"),
        _text("status", 300),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint(
            "timeframe IN ('M1', 'M5', 'M15', 'M30', 'H1', 'H4', 'D1')",
            name=op.f("ck_assets_timeframe"),
        ),
        sa.CheckConstraint("length(instrument) = 7", name=op.f("ck_assets_instrument")),
        sa.CheckConstraint("max_positions = 1", name=op.f("ck_assets_max_positions")),
        sa.CheckConstraint("allocated_capital >= 0", name=op.f("ck_assets_allocated_capital")),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_assets_portfolio_id_portfolios")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["broker_accounts.id"],
            name=op.f("fk_assets_account_id_broker_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_assets_dataset_id_datasets")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_assets_account_id"), "assets", ["account_id"])
    op.create_index(op.f("ix_assets_dataset_id"), "assets", ["dataset_id"])
    op.create_index(op.f("ix_assets_portfolio_id"), "assets", ["portfolio_id"])
    op.create_index(
        op.f("ix_assets_portfolio_id_instrument_timeframe_strategy_plugin"),
        "assets",
        ["portfolio_id", "instrument", "timeframe", "strategy_plugin"],
        sqlite_where=sa.text("enabled = 1"),
    )


def _equity_points() -> None:
    op.create_table(
        "equity_points",
        _id(),
        _count("portfolio_id"),
        _count("cycle_id"),
        _time("market_time"),
        _time("recorded_at"),
        _money("balance"),
        _money("equity"),
        _money("exposure"),
        _money("margin_used"),
        _money("open_risk"),
        sa.UniqueConstraint(
            "portfolio_id", "cycle_id", name=op.f("uq_equity_points_portfolio_id_cycle_id")
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"],
            ["portfolios.id"],
            name=op.f("fk_equity_points_portfolio_id_portfolios"),
        ),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["cycles.id"], name=op.f("fk_equity_points_cycle_id_cycles")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_equity_points_portfolio_id_market_time"),
        "equity_points",
        ["portfolio_id", "market_time"],
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        _id(),
        _count("cycle_id"),
        _count("portfolio_id"),
        _count("asset_id"),
        _text("action", 10),
        _text("outcome", 10),
        _text("code", 60, optional=True),
        _text("detail", 1000),
        _text("reason", 1000),
        _number("confidence", optional=True),
        _json("inputs"),
        _json("forecast", optional=True),
        _json("trace"),
        _count("units", optional=True),
        _text("binding_cap", 40, optional=True),
        _flag("synthetic"),
        _flag("oracle"),
        _time("market_time"),
        _time("recorded_at"),
        sa.UniqueConstraint("cycle_id", "asset_id", name=op.f("uq_decisions_cycle_id_asset_id")),
        sa.CheckConstraint("action IN ('open', 'close', 'none')", name=op.f("ck_decisions_action")),
        sa.CheckConstraint(
            "outcome IN ('ordered', 'denied', 'held', 'failed', 'no_bar')",
            name=op.f("ck_decisions_outcome"),
        ),
        sa.CheckConstraint(
            "outcome != 'denied' OR code IS NOT NULL", name=op.f("ck_decisions_denied_code")
        ),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["cycles.id"], name=op.f("fk_decisions_cycle_id_cycles")
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_decisions_portfolio_id_portfolios")
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_decisions_asset_id_assets")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_decisions_asset_id_id"), "decisions", ["asset_id", "id"])
    op.create_index(op.f("ix_decisions_portfolio_id_id"), "decisions", ["portfolio_id", "id"])
    op.create_index(
        "ix_decisions_refused",
        "decisions",
        ["portfolio_id", "recorded_at"],
        sqlite_where=sa.text("outcome IN ('denied', 'failed')"),
    )


def _positions() -> None:
    op.create_table(
        "positions",
        _id(),
        _count("portfolio_id"),
        _count("asset_id"),
        _count("account_id"),
        _text("broker_trade_id", 100),
        _text("instrument", 7),
        _text("side", 5),
        _count("units"),
        _count("opened_units"),
        _price("entry_price"),
        _price("exit_price", optional=True),
        _price("stop_loss", optional=True),
        _price("take_profit", optional=True),
        _price("current_price", optional=True),
        _money("unrealized_pnl"),
        _money("realized_pnl"),
        _money("commission"),
        _money("swap"),
        _money("initial_risk", optional=True),
        _money("open_risk", optional=True),
        _money("notional"),
        _money("margin"),
        _text("close_reason", 40, optional=True),
        _flag("is_open"),
        _time("opened_at"),
        _time("closed_at", optional=True),
        _time("updated_at"),
        sa.UniqueConstraint(
            "account_id", "broker_trade_id", name=op.f("uq_positions_account_id_broker_trade_id")
        ),
        sa.CheckConstraint("side IN ('long', 'short')", name=op.f("ck_positions_side")),
        sa.CheckConstraint("is_open = (units != 0)", name=op.f("ck_positions_open_units")),
        sa.CheckConstraint(
            "is_open = (closed_at IS NULL)", name=op.f("ck_positions_open_closed_at")
        ),
        sa.CheckConstraint(
            "(side = 'long' AND units >= 0 AND opened_units > 0) OR (side = 'short' AND units "
            "<= 0 AND opened_units < 0)",
            name=op.f("ck_positions_sign"),
        ),
        sa.CheckConstraint("entry_price > 0", name=op.f("ck_positions_entry_price")),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_positions_portfolio_id_portfolios")
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_positions_asset_id_assets")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["broker_accounts.id"],
            name=op.f("fk_positions_account_id_broker_accounts"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_positions_account_id_open"),
        "positions",
        ["account_id"],
        sqlite_where=sa.text("is_open = 1"),
    )
    op.create_index(
        op.f("ix_positions_portfolio_id_is_open"), "positions", ["portfolio_id", "is_open"]
    )
    op.create_index(
        op.f("uq_positions_one_open_an_asset"),
        "positions",
        ["asset_id"],
        unique=True,
        sqlite_where=sa.text("is_open = 1"),
    )


def _statistics() -> None:
    op.create_table(
        "statistics",
        _id(),
        _count("portfolio_id"),
        _count("asset_id", optional=True),
        _count("cycle_id", optional=True),
        _text("key", 60),
        _number("value", optional=True),
        _count("sample"),
        _time("market_time"),
        _time("recorded_at"),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_statistics_portfolio_id_portfolios")
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_statistics_asset_id_assets")
        ),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["cycles.id"], name=op.f("fk_statistics_cycle_id_cycles")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_statistics_portfolio_id_key_id"), "statistics", ["portfolio_id", "key", "id"]
    )


def _orders() -> None:
    op.create_table(
        "orders",
        _id(),
        _count("portfolio_id"),
        _count("asset_id"),
        _count("account_id"),
        _count("cycle_id", optional=True),
        _count("decision_id", optional=True),
        _count("position_id", optional=True),
        _text("order_key", 120),
        _text("client_order_id", 128, optional=True),
        _text("kind", 12),
        _text("origin", 10),
        _text("instrument", 7),
        _text("side", 4),
        _text("order_type", 10),
        _text("status", 20),
        _count("units"),
        _count("filled_units"),
        _price("price", optional=True),
        _price("fill_price", optional=True),
        _price("stop_loss", optional=True),
        _price("take_profit", optional=True),
        _money("notional"),
        _money("margin"),
        _money("initial_risk", optional=True),
        _text("binding_cap", 40, optional=True),
        _text("code", 60, optional=True),
        _text("detail", 1000),
        _text("broker_order_id", 100, optional=True),
        _text("broker_trade_id", 100, optional=True),
        _count("last_transaction_id"),
        _count("lease_token", optional=True),
        _time("send_before", optional=True),
        _time("unknown_since", optional=True),
        _time("market_time"),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint(
            "kind IN ('entry', 'close', 'stop_loss', 'take_profit')", name=op.f("ck_orders_kind")
        ),
        sa.CheckConstraint(
            "origin IN ('strategy', 'person', 'venue', 'system')", name=op.f("ck_orders_origin")
        ),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_orders_side")),
        sa.CheckConstraint(
            "status IN ('created', 'submitted', 'accepted', 'partially_filled', 'filled', "
            "'cancelled', 'rejected', 'denied', 'expired', 'expired_unsent', 'unknown')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint(
            "(side = 'buy' AND units > 0 AND filled_units BETWEEN 0 AND units) OR (side = "
            "'sell' AND units < 0 AND filled_units BETWEEN units AND 0)",
            name=op.f("ck_orders_units"),
        ),
        sa.CheckConstraint(
            "status != 'filled' OR filled_units = units", name=op.f("ck_orders_filled")
        ),
        sa.CheckConstraint(
            "status NOT IN ('denied', 'rejected') OR code IS NOT NULL",
            name=op.f("ck_orders_refusal_code"),
        ),
        sa.CheckConstraint(
            "status != 'unknown' OR unknown_since IS NOT NULL", name=op.f("ck_orders_unknown_since")
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_orders_portfolio_id_portfolios")
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_orders_asset_id_assets")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["broker_accounts.id"],
            name=op.f("fk_orders_account_id_broker_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["cycles.id"], name=op.f("fk_orders_cycle_id_cycles")
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.id"], name=op.f("fk_orders_decision_id_decisions")
        ),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.id"], name=op.f("fk_orders_position_id_positions")
        ),
        sa.UniqueConstraint("order_key", name=op.f("uq_orders_order_key")),
        sa.UniqueConstraint("client_order_id", name=op.f("uq_orders_client_order_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_orders_account_id_working"),
        "orders",
        ["account_id"],
        sqlite_where=sa.text(
            "status IN ('accepted', 'created', 'partially_filled', 'submitted', 'unknown')"
        ),
    )
    op.create_index(op.f("ix_orders_asset_id_id"), "orders", ["asset_id", "id"])
    op.create_index(
        op.f("ix_orders_asset_id_working"),
        "orders",
        ["asset_id"],
        sqlite_where=sa.text(
            "status IN ('accepted', 'created', 'partially_filled', 'submitted', 'unknown')"
        ),
    )
    op.create_index(op.f("ix_orders_cycle_id"), "orders", ["cycle_id"])
    op.create_index(op.f("ix_orders_decision_id"), "orders", ["decision_id"])
    op.create_index(op.f("ix_orders_portfolio_id_id"), "orders", ["portfolio_id", "id"])
    op.create_index(op.f("ix_orders_position_id"), "orders", ["position_id"])


def _billing_records() -> None:
    op.create_table(
        "billing_records",
        _id(),
        _count("user_id"),
        _count("portfolio_id"),
        _count("asset_id"),
        _count("cycle_id", optional=True),
        _count("order_id", optional=True),
        _text("kind", 20),
        _money("amount"),
        _text("currency", 3),
        _time("recorded_at"),
        sa.CheckConstraint(
            "kind IN ('trade', 'strategy_execution')", name=op.f("ck_billing_records_kind")
        ),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_billing_records_amount")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_billing_records_user_id_users")
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"],
            ["portfolios.id"],
            name=op.f("fk_billing_records_portfolio_id_portfolios"),
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_billing_records_asset_id_assets")
        ),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["cycles.id"], name=op.f("fk_billing_records_cycle_id_cycles")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_billing_records_order_id_orders")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_billing_records_user_id"), "billing_records", ["user_id"])


def _fills() -> None:
    op.create_table(
        "fills",
        _id(),
        _count("account_id"),
        _count("order_id"),
        _count("position_id"),
        _text("venue_transaction_id", 100),
        _text("instrument", 7),
        _count("units"),
        _price("price"),
        _rate("rate"),
        _money("realized_pnl"),
        _money("commission"),
        _money("swap"),
        _text("reason", 40),
        _text("price_source", 10),
        _time("market_time"),
        _time("recorded_at"),
        sa.UniqueConstraint(
            "account_id",
            "venue_transaction_id",
            name=op.f("uq_fills_account_id_venue_transaction_id"),
        ),
        sa.CheckConstraint("units != 0", name=op.f("ck_fills_units")),
        sa.CheckConstraint("price > 0 AND rate > 0", name=op.f("ck_fills_positive")),
        sa.CheckConstraint(
            "price_source IN ('venue', 'assumed')", name=op.f("ck_fills_price_source")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["broker_accounts.id"], name=op.f("fk_fills_account_id_broker_accounts")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_fills_order_id_orders")),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.id"], name=op.f("fk_fills_position_id_positions")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_fills_order_id"), "fills", ["order_id"])
    op.create_index(op.f("ix_fills_position_id"), "fills", ["position_id"])


def _order_events() -> None:
    op.create_table(
        "order_events",
        _id(),
        _count("order_id"),
        _text("from_status", 20, optional=True),
        _text("to_status", 20),
        _text("venue_transaction_id", 100, optional=True),
        _text("detail", 1000),
        _time("market_time"),
        _time("recorded_at"),
        sa.CheckConstraint(
            "to_status IN ('created', 'submitted', 'accepted', 'partially_filled', 'filled', "
            "'cancelled', 'rejected', 'denied', 'expired', 'expired_unsent', 'unknown')",
            name=op.f("ck_order_events_to_status"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_events_order_id_orders")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_order_events_order_id"), "order_events", ["order_id"])
