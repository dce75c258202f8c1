"""Rows for tests, written as the cycle would write them: people, portfolios, and days of trading.

Every function works in the caller's session. `trade_through` makes a history that looks like one,
from a seed; the figures of its books agree.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy.orm import Session

from lts_web.store.engine import Database
from lts_web.store.live import bump, bump_everyone, portfolio_topic
from lts_web.store.models import (
    AssetRecord,
    BillingRecordRecord,
    BrokerAccountRecord,
    CycleRecord,
    DatasetRecord,
    DecisionRecord,
    EquityPointRecord,
    FillRecord,
    OrderEventRecord,
    OrderRecord,
    PortfolioRecord,
    PositionRecord,
    Record,
    UserRecord,
    WorkerHeartbeatRecord,
)
from tests.cast import CAST

NOW = datetime(2026, 3, 4, 12, 0, 10, tzinfo=UTC)
MARKET_NOW = datetime(2019, 5, 14, 14, 0, tzinfo=UTC)
CAPITAL = Decimal(10_000)
ONE = Decimal(1)


def new_database(folder: Path) -> Database:
    """Return an empty database with all tables."""
    database = Database(folder / "lts.db")
    Record.metadata.create_all(database.engine)
    return database


def add_cast(session: Session) -> None:
    """Write Alice, Bob, Charlie and Vera."""
    for member in CAST:
        session.add(
            UserRecord(
                id=member.id,
                username=member.username,
                email=member.email,
                password_hash="x",
                role=member.role,
                created_at=NOW,
                updated_at=NOW,
            )
        )
    session.flush()


@dataclass(frozen=True, slots=True)
class Made:
    """A portfolio with one account and one asset."""

    portfolio: PortfolioRecord
    account: BrokerAccountRecord
    dataset: DatasetRecord
    asset: AssetRecord


def add_portfolio(
    session: Session,
    user_id: int,
    name: str,
    *,
    status: str = "active",
    synthetic: bool = False,
    kind: str = "simulated",
    instrument: str = "EUR_USD",
) -> Made:
    """Write a portfolio that has not run yet."""
    portfolio = PortfolioRecord(
        user_id=user_id,
        name=name,
        description="Two assets on hourly bars.",
        initial_capital=CAPITAL,
        latency_minutes=0.05,
        status=status,
        next_due_at=NOW + timedelta(seconds=2) if status == "active" else None,
        created_at=NOW,
        updated_at=NOW,
    )
    session.add(portfolio)
    session.flush()
    account = BrokerAccountRecord(
        portfolio_id=portfolio.id,
        name="Main",
        kind=kind,
        venue_key=f"venue-{portfolio.id}",
        currency="USD",
        initial_capital=CAPITAL,
        balance=CAPITAL,
        venue_balance=CAPITAL,
        synced_at=NOW,
        created_at=NOW,
    )
    dataset = DatasetRecord(
        user_id=user_id,
        name=f"{instrument} H1",
        instrument=instrument,
        timeframe="H1",
        origin="synthetic" if synthetic else "stored",
        seed=7 if synthetic else None,
        start_price=Decimal("1.1") if synthetic else None,
        starts_at=MARKET_NOW if synthetic else None,
        created_at=NOW,
    )
    session.add_all([account, dataset])
    session.flush()
    asset = AssetRecord(
        portfolio_id=portfolio.id,
        account_id=account.id,
        dataset_id=dataset.id,
        instrument=instrument,
        timeframe="H1",
        allocated_capital=CAPITAL,
        status="held: no signal",
        created_at=NOW,
        updated_at=NOW,
    )
    session.add(asset)
    session.flush()
    bump(session, user_id, portfolio_topic(portfolio.id))
    return Made(portfolio, account, dataset, asset)


def add_cycle(
    session: Session,
    made: Made,
    at: datetime,
    *,
    recorded_at: datetime = NOW,
    status: str = "done",
    equity: Decimal | None = CAPITAL,
    missed: int = 0,
) -> CycleRecord:
    """Write a cycle at a market time, and what the portfolio was worth after it."""
    cycle = CycleRecord(
        portfolio_id=made.portfolio.id,
        slot=f"{at:%Y%m%dT%H%M%S}-{recorded_at:%Y%m%dT%H%M%S}-{status}",
        status=status,
        market_time=at,
        started_at=recorded_at - timedelta(milliseconds=180),
        finished_at=recorded_at,
        missed=missed,
        counts={"decided": 1, "ordered": 0},
        errors=[{"asset_id": made.asset.id, "error": "The strategy failed."}]
        if status == "failed"
        else [],
    )
    session.add(cycle)
    session.flush()
    if equity is not None:
        session.add(
            EquityPointRecord(
                portfolio_id=made.portfolio.id,
                cycle_id=cycle.id,
                market_time=at,
                recorded_at=recorded_at,
                balance=equity,
                equity=equity,
                exposure=Decimal(0),
                margin_used=Decimal(0),
                open_risk=Decimal(0),
            )
        )
    return cycle


def add_decision(
    session: Session,
    made: Made,
    cycle: CycleRecord,
    *,
    action: str = "none",
    outcome: str = "held",
    code: str | None = None,
    reason: str = "The averages lie too close together.",
) -> DecisionRecord:
    """Write the decision of the portfolio's asset in a cycle."""
    decision = DecisionRecord(
        cycle_id=cycle.id,
        portfolio_id=made.portfolio.id,
        asset_id=made.asset.id,
        action=action,
        outcome=outcome,
        code=code,
        reason=reason,
        confidence=0.61 if action != "none" else None,
        inputs={"close": 1.10342, "capital": 10000.0, "open_positions": 0},
        trace=[["market", "open, with a sound quote"], ["cap risk", "10000.00 units"]]
        if outcome in {"ordered", "denied"}
        else [],
        units=10_000 if outcome == "ordered" else None,
        binding_cap="risk" if outcome == "ordered" else None,
        synthetic=made.dataset.origin == "synthetic",
        market_time=cycle.market_time,
        recorded_at=cycle.started_at,
    )
    session.add(decision)
    session.flush()
    return decision


def add_order(
    session: Session,
    made: Made,
    cycle: CycleRecord,
    *,
    units: int = 10_000,
    status: str = "filled",
    kind: str = "entry",
    price: Decimal = Decimal("1.10342"),
    decision: DecisionRecord | None = None,
    position: PositionRecord | None = None,
    code: str | None = None,
) -> OrderRecord:
    """Write an order with the events that led to its state."""
    at = cycle.market_time
    sign = 1 if units > 0 else -1
    order = OrderRecord(
        portfolio_id=made.portfolio.id,
        asset_id=made.asset.id,
        account_id=made.account.id,
        cycle_id=cycle.id,
        decision_id=decision.id if decision else None,
        position_id=position.id if position else None,
        order_key=f"{cycle.id}-{kind}-{units}-{status}",
        client_order_id=f"lts-a1b2c3d4-{cycle.id}-{kind}",
        kind=kind,
        origin="strategy" if kind in {"entry", "close"} else "venue",
        instrument=made.asset.instrument,
        side="buy" if units > 0 else "sell",
        status=status,
        units=units,
        filled_units=units if status == "filled" else 0,
        price=price,
        fill_price=price if status == "filled" else None,
        stop_loss=price - sign * Decimal("0.005") if kind == "entry" else None,
        take_profit=price + sign * Decimal("0.01") if kind == "entry" else None,
        notional=price * abs(units),
        margin=price * abs(units) / 30,
        initial_risk=Decimal(50) if kind == "entry" else None,
        binding_cap="risk",
        code=code,
        broker_order_id=str(2 * cycle.id),
        unknown_since=cycle.started_at if status == "unknown" else None,
        send_before=cycle.started_at + timedelta(seconds=30),
        market_time=at,
        created_at=cycle.started_at,
        updated_at=cycle.started_at,
    )
    session.add(order)
    session.flush()
    steps = [(None, "created"), ("created", "submitted"), ("submitted", status)]
    for number, (before, after) in enumerate(steps):
        session.add(
            OrderEventRecord(
                order_id=order.id,
                from_status=before,
                to_status=after,
                venue_transaction_id=str(2 * cycle.id) if after == "filled" else None,
                market_time=at,
                recorded_at=cycle.started_at + timedelta(milliseconds=40 * number),
            )
        )
    return order


def add_position(
    session: Session,
    made: Made,
    cycle: CycleRecord,
    *,
    units: int = 10_000,
    price: Decimal = Decimal("1.10342"),
    stop: bool = True,
) -> PositionRecord:
    """Write an open position with its entry order, fill and billing row."""
    sign = 1 if units > 0 else -1
    decision = add_decision(
        session,
        made,
        cycle,
        action="open",
        outcome="ordered",
        reason="The fast average crossed above the slow one.",
    )
    position = PositionRecord(
        portfolio_id=made.portfolio.id,
        asset_id=made.asset.id,
        account_id=made.account.id,
        broker_trade_id=str(cycle.id),
        instrument=made.asset.instrument,
        side="long" if units > 0 else "short",
        units=units,
        opened_units=units,
        entry_price=price,
        stop_loss=price - sign * Decimal("0.005") if stop else None,
        take_profit=price + sign * Decimal("0.01"),
        current_price=price + Decimal("0.0012"),
        unrealized_pnl=Decimal("0.0012") * units,
        commission=Decimal("0.7"),
        initial_risk=Decimal(50),
        open_risk=Decimal(50) if stop else None,
        notional=price * abs(units),
        margin=price * abs(units) / 30,
        is_open=True,
        opened_at=cycle.market_time,
        updated_at=NOW,
    )
    session.add(position)
    session.flush()
    order = add_order(
        session, made, cycle, units=units, price=price, decision=decision, position=position
    )
    _add_fill(session, made, order, position, cycle, reason="market", commission=Decimal("0.7"))
    session.add(
        BillingRecordRecord(
            user_id=made.portfolio.user_id,
            portfolio_id=made.portfolio.id,
            asset_id=made.asset.id,
            cycle_id=cycle.id,
            order_id=order.id,
            kind="trade",
            recorded_at=NOW,
        )
    )
    return position


def close_position(
    session: Session, made: Made, position: PositionRecord, cycle: CycleRecord, price: Decimal
) -> Decimal:
    """Close a position at a price; returns its net profit and books it."""
    kind = "take_profit" if (price - position.entry_price) * position.units > 0 else "stop_loss"
    order = add_order(
        session,
        made,
        cycle,
        units=-position.units,
        kind=kind,
        price=price,
        position=position,
    )
    profit = (price - position.entry_price) * position.units
    swap = Decimal("0.12")
    _add_fill(session, made, order, position, cycle, reason=kind, profit=profit, swap=swap)
    position.units = 0
    position.is_open = False
    position.exit_price = price
    position.realized_pnl = profit
    position.unrealized_pnl = Decimal(0)
    position.swap = swap
    position.open_risk = None
    position.close_reason = kind
    position.closed_at = cycle.market_time
    net = profit - swap - position.commission
    made.account.balance += net
    made.account.venue_balance = made.account.balance
    session.flush()
    return net


def _add_fill(
    session: Session,
    made: Made,
    order: OrderRecord,
    position: PositionRecord,
    cycle: CycleRecord,
    *,
    reason: str,
    profit: Decimal = Decimal(0),
    commission: Decimal = Decimal(0),
    swap: Decimal = Decimal(0),
) -> None:
    session.add(
        FillRecord(
            account_id=made.account.id,
            order_id=order.id,
            position_id=position.id,
            venue_transaction_id=f"{2 * cycle.id}-{reason}",
            instrument=order.instrument,
            units=order.units,
            price=order.fill_price or order.price,
            rate=ONE,
            realized_pnl=profit,
            commission=commission,
            swap=swap,
            reason=reason,
            market_time=cycle.market_time,
            recorded_at=cycle.started_at,
        )
    )
    session.flush()


def trade_through(session: Session, made: Made, cycles: int = 120, seed: int = 1) -> None:
    """Let the portfolio trade for so many hourly cycles, ending at `MARKET_NOW` and `NOW`."""
    chance = random.Random(seed)
    price, balance = Decimal("1.10342"), CAPITAL
    position: PositionRecord | None = None
    for number in range(cycles):
        left = cycles - 1 - number
        at, recorded = MARKET_NOW - timedelta(hours=left), NOW - timedelta(seconds=3 * left)
        price += Decimal(chance.randint(-60, 62)).scaleb(-5)
        open_profit = Decimal(0)
        if position is not None:
            position.current_price = price
            position.unrealized_pnl = (price - position.entry_price) * position.units
            open_profit = position.unrealized_pnl
        cycle = add_cycle(session, made, at, recorded_at=recorded, equity=balance + open_profit)
        if position is not None and number % 17 == 16 and left > 5:
            balance += close_position(session, made, position, cycle, price)
            position = None
        if position is None and number % 17 == 3:
            units = 10_000 if chance.random() < 0.6 else -10_000
            position = add_position(session, made, cycle, units=units, price=price)
        elif number % 23 == 5:
            add_decision(
                session,
                made,
                cycle,
                action="open",
                outcome="denied",
                code="EXPOSURE_LIMIT",
                reason="The fast average crossed below the slow one.",
            )
        else:
            add_decision(session, made, cycle)
    bump(session, made.portfolio.user_id, portfolio_topic(made.portfolio.id))


def add_heartbeat(session: Session, seen_at: datetime = NOW, *, stopped: bool = False) -> None:
    """Write the worker's sign of life."""
    session.merge(
        WorkerHeartbeatRecord(
            owner="worker-1",
            process_id=4711,
            host="desk",
            version="0.1.0",
            started_at=NOW - timedelta(hours=3),
            seen_at=seen_at,
            stopped_at=seen_at if stopped else None,
        )
    )
    bump_everyone(session)
