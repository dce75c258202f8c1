"""A data directory with portfolios at full speed, and real worker processes on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lts_web.services.claims import series_of
from lts_web.services.market_data import BarStore
from lts_web.store.engine import Database
from lts_web.store.models import AssetRecord, CycleRecord, DatasetRecord, PortfolioRecord
from lts_web.store.venues import Venues
from tests.house_of_trading import House
from tests.protocol.evidence import steps_taken
from tests.real_processes import eventually

PATIENCE_SECONDS = 60.0
REPOSITORY = Path(__file__).resolve().parents[2]
PAIRS = (("EUR_USD", "1.10000"), ("GBP_USD", "1.27000"))
# It trades at every other bar, with stops and targets that are hit within a few.
STRATEGY = {
    "entry_interval_bars": 2,
    "holding_bars": 4,
    "stop_loss_pips": 15,
    "take_profit_pips": 15,
    "position_size": 0.2,
}


def furnish(folder: Path, portfolios: int = 1, **values: Any) -> None:
    """Make the databases, with portfolios of two pairs on synthetic bars at latency 0."""
    house = House.build(folder)
    for number in range(portfolios):
        portfolio = house.portfolio(
            f"Portfolio {number}", next_due_at=datetime(2020, 1, 1, tzinfo=UTC), **values
        )
        for instrument, price in PAIRS:
            dataset = house.dataset(instrument, seed=number, start_price=price)
            house.asset(portfolio, instrument, dataset, strategy_config=STRATEGY)
    house.close()


@dataclass
class Workers:
    """The workers on one data directory, and a look at what they did."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open both databases for reading."""
        self.database = Database(self.folder / "lts.db")
        self.venues = Venues(self.folder / "venues.db")

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start a worker; `more` are arguments of `worker_entry`."""
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("LTS_")},
            "LTS_DATA_DIR": str(self.folder),
            "LTS_QUIET": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.protocol.worker_entry", *more],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def killed_at(self, step: str, times: int, journal: Path) -> None:
        """Start a worker that kills itself, and wait for its end."""
        process = self.start("--step", step, "--times", str(times), "--journal", str(journal))
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, (step, errors.decode())

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask a worker to end, and see that it ends well."""
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors.decode()

    def run_for(self, cycles: int) -> None:
        """Run one undisturbed worker for at least so many cycles, then stop it."""
        until = self.cycles() + cycles
        process = self.start()
        self.eventually(lambda: self.cycles() >= until)
        self.stop(process)

    def eventually(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; fail at once where a worker ends meanwhile."""

        def ended() -> list[subprocess.Popen[bytes]]:
            return [one for one in self.processes if one.poll() not in (None, 0, -signal.SIGKILL)]

        eventually(lambda: ended() or condition(), PATIENCE_SECONDS)
        for process in ended():
            raise AssertionError(process.communicate()[1].decode())

    def cycles(self, *statuses: str) -> int:
        """Return how many cycles there are, of these statuses or of all."""
        query = select(func.count()).select_from(CycleRecord)
        if statuses:
            query = query.where(CycleRecord.status.in_(statuses))
        with self.database.read() as session:
            return session.scalar(query) or 0

    def consecutive(self) -> bool:
        """Return whether every portfolio's cycles are its bars, each once, without a gap."""
        bars = BarStore(self.database)
        with self.database.read() as session:
            portfolios = list(session.scalars(select(PortfolioRecord.id)))
            taken = {portfolio: steps_taken(session, portfolio) for portfolio in portfolios}
            rows = session.execute(
                select(AssetRecord.portfolio_id, DatasetRecord).join(DatasetRecord)
            )
            series = {portfolio: series_of(dataset) for portfolio, dataset in rows}
        for portfolio, slots in taken.items():
            expected: datetime | None = None
            for slot in slots:
                expected = bars.next_close(series[portfolio], expected)
                if expected is None or slot != expected.isoformat():
                    return False
        return True

    def close(self) -> None:
        """End what is left."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()
        self.database.close()
        self.venues.close()
