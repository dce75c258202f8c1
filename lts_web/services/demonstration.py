"""The demonstration: a portfolio on synthetic bars that moves by itself, also on a Saturday.

It is created once, for the first administrator, active from the start. Its bars come from the
documented seeded model and every page says so; nothing about its results means anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from lts_web.store.audit import write_audit
from lts_web.store.demonstration import demonstration_of, first_administrator
from lts_web.store.engine import Database, Session
from lts_web.store.live import bump, portfolio_topic
from lts_web.store.models import (
    AssetRecord,
    BrokerAccountRecord,
    DatasetRecord,
    PortfolioRecord,
)
from lts_web.trading.ports import Clock

NAME = "Demonstration"
SEED = 20_240_101
CAPITAL = Decimal(100_000)
STARTS_AT = datetime(2024, 1, 1, tzinfo=UTC)
SERIES: tuple[tuple[str, Decimal, dict[str, float | int]], ...] = (
    ("EUR_USD", Decimal("1.10000"), {}),
    ("GBP_USD", Decimal("1.27000"), {"stop_loss_pips": 40.0, "take_profit_pips": 60.0}),
    ("USD_JPY", Decimal("141.000"), {"entry_interval_bars": 7, "holding_bars": 15}),
)
DESCRIPTION = (
    "Three currency pairs on synthetic bars, traded by a demonstration strategy that buys and "
    "sells in turn. It shows every step of a cycle at work; its profit means nothing."
)


class Demonstration:
    """Creates the demonstration portfolio."""

    def __init__(self, database: Database, clock: Clock, pace_seconds: float) -> None:
        self._database = database
        self._clock = clock
        self._pace_minutes = pace_seconds / 60

    def ensure(self) -> int | None:
        """Return the demonstration's id, created if need be; None: there is no administrator."""
        now = self._clock()
        with self._database.write() as session:
            existing = demonstration_of(session)
            if existing is not None:
                return existing
            user_id = first_administrator(session)
            if user_id is None:
                return None
            return self._create(session, user_id, now)

    def _create(self, session: Session, user_id: int, now: datetime) -> int:
        portfolio = PortfolioRecord(
            user_id=user_id,
            name=NAME,
            description=DESCRIPTION,
            base_currency="USD",
            initial_capital=CAPITAL,
            latency_minutes=self._pace_minutes,
            status="active",
            feed="replay",
            portfolio_config={"method": "equal_weight"},
            is_demonstration=True,
            next_due_at=now,
            created_at=now,
            updated_at=now,
        )
        session.add(portfolio)
        session.flush()
        account = BrokerAccountRecord(
            portfolio_id=portfolio.id,
            name="Simulated",
            venue_key=f"portfolio-{portfolio.id}-simulated",
            currency="USD",
            initial_capital=CAPITAL,
            balance=CAPITAL,
            created_at=now,
        )
        session.add(account)
        session.flush()
        for instrument, start_price, strategy in SERIES:
            self._add_asset(session, portfolio, account, instrument, start_price, strategy, now)
        write_audit(
            session,
            actor="system",
            action="portfolio.create",
            object_type="portfolio",
            object_id=portfolio.id,
            details={"name": NAME, "demonstration": True},
            now=now,
        )
        bump(session, user_id, portfolio_topic(portfolio.id))
        return portfolio.id

    def _add_asset(
        self,
        session: Session,
        portfolio: PortfolioRecord,
        account: BrokerAccountRecord,
        instrument: str,
        start_price: Decimal,
        strategy: dict[str, float | int],
        now: datetime,
    ) -> None:
        dataset = DatasetRecord(
            user_id=portfolio.user_id,
            name=f"Synthetic {instrument} H1",
            instrument=instrument,
            timeframe="H1",
            origin="synthetic",
            seed=SEED,
            start_price=start_price,
            starts_at=STARTS_AT,
            created_at=now,
        )
        session.add(dataset)
        session.flush()
        session.add(
            AssetRecord(
                portfolio_id=portfolio.id,
                account_id=account.id,
                dataset_id=dataset.id,
                instrument=instrument,
                timeframe="H1",
                strategy_config={"position_size": 0.2, **strategy},
                broker_config={"spread_pips": 1.0, "slippage_pips": 0.2},
                created_at=now,
                updated_at=now,
            )
        )
