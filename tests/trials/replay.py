"""The long replay: all common real bars through worker service and venue.

Three portfolios replay the bars that both files have: one with both pairs, whose venue balance is
held against our ledger after every cycle, and one for each pair alone, whose fills are held
against `run_simulation`. What was done stands in the databases of the folder, so an interrupted
trial goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lts_web.plugins import StrategyPluginBase
from lts_web.plugins.strategy.default_strategy import DefaultStrategy
from lts_web.store.engine import Database
from lts_web.store.models import (
    BrokerAccountRecord,
    CycleRecord,
    DatasetRecord,
    FillRecord,
    PortfolioRecord,
    PositionRecord,
)
from lts_web.store.venues import Venues
from lts_web.trading.money import ZERO
from lts_web.trading.positions import Fill, Position, apply_fill
from tests.cycle.agreement import BarRow, Terms, executed, simulated
from tests.cycle.desk import Desk
from tests.cycle.plugins import PLUGINS, Momentum
from tests.cycle.real_bars import EURUSD, FOLDER, INSTRUMENTS, USDJPY, import_real, real_rows
from tests.house_of_trading import House, MovableClock

NAME = "replay"
DESCRIPTION = (
    "Replay all common bars of EURUSD and USDJPY: the books against the venue after every cycle, "
    "the fills against run_simulation. Needs LTS_REFERENCE_DATA."
)
EVERY = 500
HOUR = timedelta(hours=1)
BOTH = "both"
STRATEGIES: dict[str, tuple[str, type[StrategyPluginBase], dict[str, Any]]] = {
    EURUSD: ("default_strategy", DefaultStrategy, {"entry_interval_bars": 4, "holding_bars": 9}),
    USDJPY: ("momentum", Momentum, {}),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the trial can be told."""
    parser.add_argument("--cycles", type=int, default=0, help="end after so many (0: all)")
    parser.add_argument(
        "--only", choices=[BOTH, *INSTRUMENTS.values()], help="replay this portfolio alone"
    )


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Carry the trial on; 0: all agreed, 1: something did not, 2: no real bars."""
    if not (Path(FOLDER) / EURUSD).is_file() or not FOLDER:
        print("LTS_REFERENCE_DATA must name the folder with the real bars.")
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    desk = Desk.open(opened(folder), PLUGINS)
    try:
        desk.trading.service.recover()
        prepare(desk)
        names = [arguments.only] if arguments.only else [BOTH, *INSTRUMENTS.values()]
        done = [replay(desk, name, arguments.cycles) for name in names]
    finally:
        desk.trading.close()
        desk.owner.close()
    return 0 if all(done) else 1


def opened(folder: Path) -> House:
    """Return the house in the folder, built if there is none."""
    if not (folder / "lts.db").exists():
        return House.build(folder)
    venues = Venues(folder / "venues.db")
    venues.create_tables()
    return House(folder, MovableClock(), Database(folder / "lts.db"), venues, user_id=1)


def prepare(desk: Desk) -> None:
    """Import the files and make the portfolios, as far as that has not been done."""
    house = desk.house
    known = {row.name: row for row in desk.rows(DatasetRecord, state="ready")}
    for file in STRATEGIES:
        if file not in known:
            imported = import_real(house.database, file, house.user_id)
            print(f"{file}: {imported.rows} bars, {imported.outside_calendar} outside the calendar")
    sets = {row.name: row for row in desk.rows(DatasetRecord, state="ready")}
    start, end = common(desk)
    made = {row.name for row in desk.rows(PortfolioRecord)}
    for name in {BOTH, *INSTRUMENTS.values()} - made:
        # A simulation knows no bar before its first; nor may the replay that it is held against.
        began = start if name == BOTH else None
        portfolio = house.portfolio(name, status="inactive", next_due_at=None, cursor_at=began)
        for file, (plugin, _, config) in STRATEGIES.items():
            if name not in (BOTH, INSTRUMENTS[file]):
                continue
            bars = sets[file].id
            if name != BOTH:
                bars = house.dataset(INSTRUMENTS[file], bars_between(file, start, end))
            house.asset(
                portfolio, INSTRUMENTS[file], bars,
                strategy_plugin=plugin, strategy_config=config,
            )  # fmt: skip
        desk.change(PortfolioRecord, portfolio, status="active", next_due_at=house.clock())


def common(desk: Desk) -> tuple[datetime, datetime]:
    """Return the open of the first and of the last bar that lie in both files' time."""
    rows = [row for row in desk.rows(DatasetRecord, state="ready") if row.name in STRATEGIES]
    first = [row.first_open for row in rows if row.first_open is not None]
    last = [row.last_open for row in rows if row.last_open is not None]
    return max(first), min(last)


@dataclass
class Ledger:
    """One account's fills folded as they come: the rebuild that is compared every cycle."""

    desk: Desk
    account: BrokerAccountRecord
    last_id: int = 0
    balance: Decimal = ZERO
    positions: dict[int, Position] = field(default_factory=dict)

    def catch_up(self) -> None:
        """Fold the fills that are new since the last time."""
        with self.desk.house.database.read() as session:
            rows = session.scalars(
                select(FillRecord)
                .where(FillRecord.account_id == self.account.id, FillRecord.id > self.last_id)
                .order_by(FillRecord.id)
            ).all()
        for row in rows:
            before = self.positions.get(row.position_id)
            after = apply_fill(before, as_fill(row))
            self.balance += after.net_pnl - (before.net_pnl if before is not None else ZERO)
            self.positions[row.position_id] = after
            self.last_id = row.id

    def agrees(self) -> bool:
        """Return whether venue and books say the same, to the last digit."""
        self.catch_up()
        venue = self.desk.house.venues.venue(self.account.venue_key)
        ours = self.desk.one(BrokerAccountRecord, id=self.account.id)
        rebuilt = self.account.initial_capital + self.balance
        trades = {(trade.units, trade.price) for trade in venue.open_trades()}
        held = {(one.units, one.entry_price) for one in self.positions.values() if one.is_open}
        return venue.account().balance == ours.balance == rebuilt and trades == held


def as_fill(row: FillRecord) -> Fill:
    """Return a row as the ledger folds it."""
    return Fill(
        transaction_id=row.venue_transaction_id,
        position_key=str(row.position_id),
        instrument=row.instrument,
        units=row.units,
        price=row.price,
        time=row.market_time,
        rate=row.rate,
        commission=row.commission,
        swap=row.swap,
        reason=row.reason,
    )


def replay(desk: Desk, name: str, limit: int) -> bool:
    """Replay one portfolio to the end of the common bars and print what came of it."""
    portfolio = desk.one(PortfolioRecord, name=name)
    [account] = desk.rows(BrokerAccountRecord, portfolio_id=portfolio.id)
    ledger = Ledger(desk, account)
    _, end = common(desk)
    started, cycles = time.monotonic(), 0
    while not limit or cycles < limit:
        if (cursor := desk.portfolio(portfolio.id).cursor_at) is not None and cursor > end:
            break
        desk.cycle(portfolio.id)
        cycles += 1
        if not ledger.agrees():
            print(f"{name}: after the step after {cursor} books and venue differ")
            return False
        if cycles % EVERY == 0:
            print(
                f"{name}: {cycles} cycles, {ledger.last_id} fills, {str(cursor)[:10]}", flush=True
            )
    seconds = time.monotonic() - started
    desk.adds_up(portfolio.id)
    print(
        f"{name}: {total_cycles(desk, portfolio.id)} cycles ({cycles} of them now, "
        f"{1000 * seconds / max(cycles, 1):.1f} ms each), {len(ledger.positions)} positions, "
        f"balance {account.initial_capital + ledger.balance} {account.currency}: "
        f"equal to the venue after every cycle"
    )
    return name == BOTH or same_fills(desk, portfolio, name)


def total_cycles(desk: Desk, portfolio_id: int) -> int:
    """Count the portfolio's finished cycles, those before an interruption included."""
    with desk.house.database.read() as session:
        query = select(func.count()).where(
            CycleRecord.portfolio_id == portfolio_id, CycleRecord.status == "done"
        )
        return session.scalar(query) or 0


def same_fills(desk: Desk, portfolio: PortfolioRecord, instrument: str) -> bool:
    """Hold the fills so far against those of a simulation of the very same bars."""
    interrupted = desk.rows(CycleRecord, portfolio_id=portfolio.id, status="interrupted")
    if interrupted:
        print(f"{instrument}: {len(interrupted)} cycles were killed undecided; nothing to compare")
        return True
    file = next(name for name, own in INSTRUMENTS.items() if own == instrument)
    _, cls, config = STRATEGIES[file]
    start, _ = common(desk)
    until = desk.portfolio(portfolio.id).cursor_at
    assert until is not None
    bars = [row for row in bars_between(file, start, until) if row[0] + HOUR <= until]
    expected = simulated(Terms(instrument), bars, cls, config)
    mine = {row.id for row in desk.rows(PositionRecord, portfolio_id=portfolio.id)}
    got = [executed(row) for row in desk.rows(FillRecord) if row.position_id in mine]
    if got != expected:
        first = next(
            (n for n, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1]),
            min(len(got), len(expected)),
        )
        print(f"{instrument}: fill {first} of {len(got)} differs from the simulation")
        return False
    print(f"{instrument}: all {len(got)} fills are those of run_simulation")
    return True


def bars_between(file: str, start: datetime, end: datetime) -> list[BarRow]:
    """Return the file's bars that open between these instants, both included."""
    return [row for row in real_rows(file, 10**9) if start <= row[0] <= end]
