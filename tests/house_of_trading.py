"""A whole trading house in a temporary folder: real databases, real plugins, no process.

`House` builds what the worker builds, on a clock that the test moves, with the system's own
plugins and whichever plugins a test brings. Bars come from lists or from the synthetic model.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lts_web.gateways.process_lock import ProcessOwner
from lts_web.plugins.registry import Registry, installed_entry_points
from lts_web.store import schema
from lts_web.store.bars import insert_bars
from lts_web.store.engine import Database
from lts_web.store.models import (
    AssetRecord,
    BrokerAccountRecord,
    DatasetRecord,
    PortfolioRecord,
    UserRecord,
)
from lts_web.store.venues import Venues
from lts_web.trading.calendar import timeframe
from lts_web.wiring import Trading, build_trading

START = datetime(2024, 3, 4, 9, tzinfo=UTC)  # a Monday


class MovableClock:
    """A wall clock that only a test moves."""

    def __init__(self, now: datetime = datetime(2026, 1, 5, 12, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **amount: float) -> None:
        """Let time pass: `pass_(seconds=90)`."""
        self.now += timedelta(**amount)


def points(own: Mapping[str, type]) -> Callable[[str], Iterable[EntryPoint]]:
    """Return an entry-point source with the installed plugins and some of the test's own.

    `own` maps "family/name" to a class that can be imported by its module and name.
    """

    def entry_points(group: str) -> list[EntryPoint]:
        found = list(installed_entry_points(group))
        for key, cls in own.items():
            family, name = key.split("/")
            if group == f"plugins_{family}":
                found.append(EntryPoint(name, f"{cls.__module__}:{cls.__qualname__}", group))
        return found

    return entry_points


@dataclass
class House:
    """One data directory and as many processes on it as a test starts."""

    folder: Path
    clock: MovableClock
    database: Database
    venues: Venues
    user_id: int

    @classmethod
    def build(cls, folder: Path) -> House:
        """Make the databases and one user."""
        clock = MovableClock()
        (folder / "lts.db").write_bytes(_migrated())
        database = Database(folder / "lts.db")
        venues = Venues(folder / "venues.db")
        venues.create_tables()
        (folder / "locks").mkdir(exist_ok=True)
        with database.write() as session:
            user = UserRecord(
                username="alice",
                email="alice@example.org",
                password_hash="none",
                role="user",
                created_at=clock(),
                updated_at=clock(),
            )
            session.add(user)
            session.flush()
            user_id = user.id
        return cls(folder, clock, database, venues, user_id)

    def process(
        self,
        plugins: Mapping[str, type] | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        parameters: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        reach: Callable[[str], None] = lambda _step: None,
        pipeline_plugin: str = "default_pipeline",
        max_quote_age: timedelta = timedelta(seconds=60),
        owner: ProcessOwner | None = None,
    ) -> tuple[Trading, ProcessOwner]:
        """Start what a worker process holds; close the owner to let that process die."""
        owner = owner or ProcessOwner(self.folder / "locks", "test")
        trading = build_trading(
            database=self.database,
            venues=self.venues,
            registry=Registry(
                ("pipeline", "strategy", "broker", "portfolio"), points(plugins or {})
            ),
            parameters=parameters or {},
            owner=owner,
            clock=clock or self.clock,
            pipeline_plugin=pipeline_plugin,
            max_quote_age=max_quote_age,
            reach=reach,
        )
        return trading, owner

    def dataset(
        self,
        instrument: str,
        bars: Sequence[tuple[datetime, Any, Any, Any, Any]] | None = None,
        *,
        timeframe_name: str = "H1",
        seed: int = 7,
        start_price: str = "1.10000",
        starts_at: datetime = START,
    ) -> int:
        """Store bars (open time, o, h, l, c), or without bars a synthetic series."""
        with self.database.write() as session:
            record = DatasetRecord(
                user_id=self.user_id,
                name=f"{instrument} {timeframe_name}",
                instrument=instrument,
                timeframe=timeframe_name,
                origin="synthetic" if bars is None else "stored",
                seed=seed if bars is None else None,
                start_price=Decimal(start_price) if bars is None else None,
                starts_at=starts_at if bars is None else None,
                row_count=len(bars or ()),
                created_at=self.clock(),
            )
            session.add(record)
            session.flush()
            if bars is not None:
                insert_bars(
                    session,
                    record.id,
                    [(row[0], *(Decimal(str(price)) for price in row[1:])) for row in bars],
                )
            return record.id

    def portfolio(self, name: str = "Portfolio", **values: Any) -> int:
        """Create an active replay portfolio with one simulated account of 10,000 USD."""
        capital = Decimal(values.pop("capital", 10_000))
        currency = values.pop("currency", "USD")
        now = self.clock()
        with self.database.write() as session:
            record = PortfolioRecord(
                **{
                    "user_id": self.user_id,
                    "name": name,
                    "base_currency": currency,
                    "initial_capital": capital,
                    "latency_minutes": 0.0,
                    "status": "active",
                    "next_due_at": now,
                    "created_at": now,
                    "updated_at": now,
                    **values,
                }
            )
            session.add(record)
            session.flush()
            session.add(
                BrokerAccountRecord(
                    portfolio_id=record.id,
                    name="Simulated",
                    venue_key=f"portfolio-{record.id}",
                    currency=currency,
                    initial_capital=capital,
                    balance=capital,
                    created_at=now,
                )
            )
            return record.id

    def asset(self, portfolio_id: int, instrument: str, dataset_id: int, **values: Any) -> int:
        """Add an asset to the portfolio's account."""
        now = self.clock()
        with self.database.write() as session:
            account = session.query(BrokerAccountRecord).filter_by(portfolio_id=portfolio_id).one()
            record = AssetRecord(
                **{
                    "portfolio_id": portfolio_id,
                    "account_id": account.id,
                    "dataset_id": dataset_id,
                    "instrument": instrument,
                    "timeframe": "H1",
                    "created_at": now,
                    "updated_at": now,
                    **values,
                }
            )
            session.add(record)
            session.flush()
            return record.id

    def close(self) -> None:
        """Close the databases."""
        self.database.close()
        self.venues.close()


@cache
def _migrated() -> bytes:
    """Return a database of the newest schema, migrated once for all houses of a test run."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lts.db"
        schema.upgrade(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


def flat_bars(
    prices: Sequence[float], start: datetime = START, timeframe_name: str = "H1"
) -> list[tuple[datetime, float, float, float, float]]:
    """Return bars that each open and close at one price, one after the other from `start`."""
    step = timeframe(timeframe_name)
    return [
        (start + step * number, price, price, price, price) for number, price in enumerate(prices)
    ]
