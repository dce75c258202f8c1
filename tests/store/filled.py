"""A database with at least one row in every table, for tests that need none of them empty."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from lts_web.store.models import (
    AssetRecord,
    AuditLogRecord,
    BarRecord,
    BillingRecordRecord,
    BrokerAccountRecord,
    ConfigurationRecord,
    CycleRecord,
    DatasetRecord,
    DecisionRecord,
    EquityPointRecord,
    FillRecord,
    LeaseRecord,
    LiveTopicRecord,
    OrderEventRecord,
    OrderRecord,
    PluginSnapshotRecord,
    PluginStateRecord,
    PortfolioRecord,
    PositionRecord,
    SessionRecord,
    StatisticRecord,
    UserRecord,
    WorkerHeartbeatRecord,
)
from lts_web.store.models.system import PLUGIN_STATES

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def fill_every_table(session: Session) -> None:
    """Write one user's small world: a portfolio that has traded EUR_USD once. Every id is 1."""
    _people(session)
    _portfolio(session)
    _cycle(session)
    _trade(session)
    _system(session)
    session.flush()


def _people(session: Session) -> None:
    session.add(
        UserRecord(
            id=1,
            username="Alice",
            email="alice@example.org",
            password_hash="$2b$12$" + "x" * 53,
            role="admin",
            created_at=NOW,
            updated_at=NOW,
        )
    )
    session.flush()
    session.add(
        SessionRecord(
            id=1,
            user_id=1,
            token_hash="a" * 64,
            created_at=NOW,
            last_seen_at=NOW,
            expires_at=NOW + timedelta(hours=8),
        )
    )
    session.add(
        AuditLogRecord(
            id=1,
            user_id=1,
            actor="Alice",
            action="portfolio.created",
            object_type="portfolio",
            object_id=1,
            details={"name": "Majors"},
            recorded_at=NOW,
        )
    )


def _portfolio(session: Session) -> None:
    session.add(
        PortfolioRecord(
            id=1,
            user_id=1,
            name="Majors",
            initial_capital=Decimal(10_000),
            latency_minutes=0.05,
            created_at=NOW,
            updated_at=NOW,
        )
    )
    session.add(
        DatasetRecord(
            id=1,
            user_id=1,
            name="EURUSD",
            instrument="EUR_USD",
            timeframe="H1",
            origin="stored",
            row_count=1,
            created_at=NOW,
        )
    )
    session.flush()
    session.add(
        BrokerAccountRecord(
            id=1,
            portfolio_id=1,
            name="Simulated",
            venue_key="1",
            currency="USD",
            initial_capital=Decimal(10_000),
            balance=Decimal("9999.93"),
            created_at=NOW,
        )
    )
    session.add(
        BarRecord(
            dataset_id=1,
            open_time=NOW - timedelta(hours=1),
            open=Decimal("1.1"),
            high=Decimal("1.102"),
            low=Decimal("1.099"),
            close=Decimal("1.101"),
        )
    )
    session.flush()
    session.add(
        AssetRecord(
            id=1,
            portfolio_id=1,
            account_id=1,
            dataset_id=1,
            instrument="EUR_USD",
            timeframe="H1",
            created_at=NOW,
            updated_at=NOW,
        )
    )
    session.add(LeaseRecord(portfolio_id=1, token=1, owner="worker-1", expires_at=NOW))
    session.flush()


def _cycle(session: Session) -> None:
    session.add(
        CycleRecord(
            id=1,
            portfolio_id=1,
            slot="2026-03-04T12:00:00Z",
            status="done",
            market_time=NOW,
            started_at=NOW,
            finished_at=NOW,
            counts={"ordered": 1},
        )
    )
    session.flush()
    session.add(
        DecisionRecord(
            id=1,
            cycle_id=1,
            portfolio_id=1,
            asset_id=1,
            action="open",
            outcome="ordered",
            reason="the trend is up",
            units=1000,
            market_time=NOW,
            recorded_at=NOW,
        )
    )
    session.flush()


def _trade(session: Session) -> None:
    session.add(
        PositionRecord(
            id=1,
            portfolio_id=1,
            asset_id=1,
            account_id=1,
            broker_trade_id="2",
            instrument="EUR_USD",
            side="long",
            units=1000,
            opened_units=1000,
            entry_price=Decimal("1.10112"),
            is_open=True,
            opened_at=NOW,
            updated_at=NOW,
        )
    )
    session.flush()
    session.add(
        OrderRecord(
            id=1,
            portfolio_id=1,
            asset_id=1,
            account_id=1,
            cycle_id=1,
            decision_id=1,
            position_id=1,
            order_key="1:1:2026-03-04T12:00:00Z:open:0",
            client_order_id="lts-abcd1234-1",
            kind="entry",
            origin="strategy",
            instrument="EUR_USD",
            side="buy",
            status="filled",
            units=1000,
            filled_units=1000,
            market_time=NOW,
            created_at=NOW,
            updated_at=NOW,
        )
    )
    session.flush()
    session.add(
        OrderEventRecord(
            id=1,
            order_id=1,
            from_status="accepted",
            to_status="filled",
            market_time=NOW,
            recorded_at=NOW,
        )
    )
    session.add(
        FillRecord(
            id=1,
            account_id=1,
            order_id=1,
            position_id=1,
            venue_transaction_id="2",
            instrument="EUR_USD",
            units=1000,
            price=Decimal("1.10112"),
            rate=Decimal(1),
            commission=Decimal("0.07"),
            reason="market",
            market_time=NOW,
            recorded_at=NOW,
        )
    )


def _system(session: Session) -> None:
    session.add_all(
        [
            ConfigurationRecord(key="install_id", value="abcd1234", updated_at=NOW, updated_by=1),
            WorkerHeartbeatRecord(
                owner="worker-1",
                process_id=4711,
                host="example",
                version="0.1.0",
                started_at=NOW,
                seen_at=NOW,
            ),
            LiveTopicRecord(user_id=1, topic="portfolio:1", sequence=7),
            PluginStateRecord(
                family="strategy", name="default_strategy", state=PLUGIN_STATES[0], checked_at=NOW
            ),
            PluginSnapshotRecord(
                family="strategy",
                name="default_strategy",
                scope="asset:1",
                debug={"calls": 3},
                recorded_at=NOW,
            ),
            EquityPointRecord(
                id=1,
                portfolio_id=1,
                cycle_id=1,
                market_time=NOW,
                recorded_at=NOW,
                balance=Decimal("9999.93"),
                equity=Decimal("9999.81"),
                exposure=Decimal("1101.12"),
                margin_used=Decimal("11.0112"),
                open_risk=Decimal(20),
            ),
            StatisticRecord(
                id=1,
                portfolio_id=1,
                asset_id=1,
                cycle_id=1,
                key="win_rate",
                value=0.5,
                market_time=NOW,
                recorded_at=NOW,
            ),
            BillingRecordRecord(
                id=1,
                user_id=1,
                portfolio_id=1,
                asset_id=1,
                cycle_id=1,
                order_id=1,
                kind="trade",
                recorded_at=NOW,
            ),
        ]
    )
