"""The cycle over 100 portfolios × 10 assets, beside the same rows in raw SQLite commits.

Every round the worker's service runs one cycle of each portfolio on real files, with the built-in
plugins, and every asset places an order: an entry in one round, its close in the next, while the
fills of the round before are booked. The peer then replays the very statements that the round
committed, with their values, in as many `synchronous=FULL` commits, through the bare driver on
copies of both databases made before the round. It decides nothing and must not be made to.
"""

from __future__ import annotations

import argparse
import gc
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from sqlalchemy import Connection, Engine, event

from lts_web.wiring import Trading
from tests.house_of_trading import House

PAIRS = {
    "EUR_USD": "1.10000",
    "GBP_USD": "1.27000",
    "AUD_USD": "0.66000",
    "NZD_USD": "0.61000",
    "USD_JPY": "150.000",
    "USD_CHF": "0.88000",
    "USD_CAD": "1.35000",
    "EUR_GBP": "0.86000",
    "EUR_JPY": "163.000",
    "EUR_CHF": "0.96000",
}
STRATEGY = {
    "entry_interval_bars": 1,
    "holding_bars": 1,
    "stop_loss_pips": 500,
    "take_profit_pips": 500,
}
MOST_COMMITS, MOST_TIMES = 5.0, 4.0


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one commit wrote: to which file, and its statements with their values."""

    database: str
    statements: tuple[tuple[str, Any, bool], ...]


@dataclass
class Recorder:
    """Keeps every write transaction of the engines it watches, in the order of their commits."""

    transactions: list[Transaction] = field(default_factory=list)
    _open: dict[int, list[tuple[str, Any, bool]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, engine: Engine, database: str) -> None:
        """Record what is committed through the engine."""

        def begin(connection: Connection) -> None:
            self._open[id(connection.connection.dbapi_connection)] = []

        def execute(
            connection: Connection, _cursor: Any, statement: str, values: Any, _: Any, many: bool
        ) -> None:
            if statement.startswith(("INSERT", "UPDATE", "DELETE")):
                key = id(connection.connection.dbapi_connection)
                self._open[key].append((statement, values, many))

        def commit(connection: Connection) -> None:
            statements = self._open.pop(id(connection.connection.dbapi_connection))
            if connection.get_execution_options().get("lts_write"):
                with self._lock:
                    self.transactions.append(Transaction(database, tuple(statements)))

        event.listen(engine, "begin", begin)
        event.listen(engine, "before_cursor_execute", execute)
        event.listen(engine, "commit", commit)

    def take(self) -> list[Transaction]:
        """Return what was recorded since the last time."""
        taken, self.transactions = self.transactions, []
        return taken


@dataclass(slots=True)
class Seconds:
    """How long something took, and how much of that the process was computing."""

    passed: float = 0.0
    computed: float = 0.0


@dataclass(frozen=True, slots=True)
class Round:
    """One round: the time of both, and what was committed."""

    kind: str
    own: Seconds
    peer: Seconds
    transactions: list[Transaction]
    rows: int

    @property
    def ratio(self) -> float:
        """Return how many times the peer's time the cycle took."""
        return self.own.passed / self.peer.passed


def build(folder: Path, portfolios: int, assets: int) -> House:
    """Make the databases with their portfolios; nothing has run yet."""
    house = House.build(folder)
    pairs = list(PAIRS.items())[:assets]
    datasets = {
        pair: house.dataset(pair, seed=number, start_price=price)
        for number, (pair, price) in enumerate(pairs, start=1)
    }
    for number in range(portfolios):
        portfolio = house.portfolio(f"Portfolio {number}", capital=1_000_000, latency_minutes=60.0)
        for pair, dataset in datasets.items():
            house.asset(portfolio, pair, dataset, strategy_config=STRATEGY)
    return house


def run_round(house: House, trading: Trading) -> Seconds:
    """Run one cycle of every portfolio and return its time."""
    house.clock.pass_(hours=2)
    with _timed() as seconds:
        trading.run_due()
    return seconds


def replay(folder: Path, transactions: list[Transaction]) -> tuple[Seconds, int]:
    """Commit the transactions again through the bare driver; return its time and changed rows."""
    files = {name: _connect(folder / f"{name}.db") for name in ("lts", "venues")}
    with closing(files["lts"]), closing(files["venues"]):
        before = sum(connection.total_changes for connection in files.values())
        with _timed() as seconds:
            for transaction in transactions:
                cursor = files[transaction.database].cursor()
                cursor.execute("BEGIN IMMEDIATE")
                for statement, values, many in transaction.statements:
                    if many:
                        cursor.executemany(statement, values)
                    else:
                        cursor.execute(statement, values).fetchall()
                cursor.execute("COMMIT")
        return seconds, sum(one.total_changes for one in files.values()) - before


def measure(portfolios: int, assets: int, rounds: int) -> list[Round]:
    """Run the rounds, each followed by its peer; two rounds before them warm both up."""
    with tempfile.TemporaryDirectory(prefix="lts-cycle-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        house = build(folder, portfolios, assets)
        started = perf_counter()

        def clock() -> datetime:
            return house.clock() + timedelta(seconds=perf_counter() - started)

        trading, owner = house.process(clock=clock)
        recorder = Recorder()
        recorder.watch(house.database.engine, "lts")
        recorder.watch(house.venues.engine, "venues")
        measured = []
        for number in range(rounds + 2):
            copies = folder / f"before-{number}"
            _copy(folder, copies)
            recorder.take()
            own = run_round(house, trading)
            transactions = recorder.take()
            _check(house, portfolios * assets)
            peer, rows = replay(copies, transactions)
            kind = "closes" if number % 2 else "entries"
            if number >= 2:
                measured.append(Round(kind, own, peer, transactions, rows))
        owner.close()
        house.close()
    return measured


def report(rounds: list[Round], asset_count: int) -> bool:
    """Print the figures; return whether both limits are kept."""
    print("milliseconds an asset, and of them the processor's:")
    for one in rounds:
        own, peer = (
            f"{1000 * time.passed / asset_count:6.2f} ({1000 * time.computed / asset_count:5.2f})"
            for time in (one.own, one.peer)
        )
        print(f"{one.kind:<8} LTS {own}   peer {peer}   ratio {one.ratio:5.2f}")
    ratios = [one.ratio for one in rounds]
    commits = max(len(one.transactions) for one in rounds) / asset_count
    of_venues = sum(entry.database == "venues" for entry in rounds[-1].transactions) / asset_count
    size = sum(_size(entry) for entry in rounds[-1].transactions)
    print(
        f"each round: {rounds[-1].rows} rows changed, {size} bytes of values; "
        f"{of_venues:.2f} of the commits of an asset are the venue's own file\n"
        f"durable commits an asset: {commits:.2f} (limit {MOST_COMMITS:g})\n"
        f"time against the peer: median {median(ratios):.2f}, from {min(ratios):.2f} to "
        f"{max(ratios):.2f} (limit {MOST_TIMES:g})"
    )
    return commits <= MOST_COMMITS and median(ratios) <= MOST_TIMES


def main(arguments: list[str] | None = None) -> int:
    """Measure and report; 0 when both limits are kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cycle", description=__doc__)
    parser.add_argument("--portfolios", type=int, default=100)
    parser.add_argument("--assets", type=int, default=10, choices=range(1, len(PAIRS) + 1))
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args(arguments)
    print(f"cycle: {options.portfolios} portfolios × {options.assets} assets, each trading")
    rounds = measure(options.portfolios, options.assets, options.rounds)
    return 0 if report(rounds, options.portfolios * options.assets) else 1


def _check(house: House, asset_count: int) -> None:
    """See to it that every asset of the round did trade."""
    with closing(sqlite3.connect(house.folder / "lts.db")) as connection:
        [(ordered,)] = connection.execute(
            "SELECT count(*) FROM orders WHERE status = 'accepted' AND origin = 'strategy'"
        )
    if ordered != asset_count:
        raise RuntimeError(f"only {ordered} of {asset_count} assets have placed an order")


def _copy(folder: Path, target: Path) -> None:
    target.mkdir()
    for name in ("lts.db", "venues.db"):
        with (
            closing(sqlite3.connect(folder / name)) as source,
            closing(sqlite3.connect(target / name)) as copy,
        ):
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            source.backup(copy)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _size(transaction: Transaction) -> int:
    return sum(
        len(str(value))
        for _statement, values, many in transaction.statements
        for row in (values if many else (values,))
        for value in row
    )


@contextmanager
def _timed() -> Iterator[Seconds]:
    """Time what is done within, begun without garbage of the part before."""
    seconds = Seconds()
    gc.collect()
    passed, computed = perf_counter(), process_time()
    yield seconds
    seconds.passed, seconds.computed = perf_counter() - passed, process_time() - computed


if __name__ == "__main__":
    raise SystemExit(main())
