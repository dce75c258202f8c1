"""Which portfolio runs next, and who may run it: due instants, slots and leases.

There is no table of jobs. Due is a query; the claim inserts the cycle's row, unique by portfolio
and slot, moves the cursor and takes the lease in one transaction. A killed cycle is marked
interrupted and never decided again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from lts_web.services.market_data import BarStore
from lts_web.services.ordering import LEASE_SECONDS, Reach
from lts_web.store import cycles as store
from lts_web.store.audit import write_audit
from lts_web.store.engine import Database, Session
from lts_web.store.live import bump, portfolio_topic
from lts_web.store.models import (
    AssetRecord,
    BrokerAccountRecord,
    CycleRecord,
    DatasetRecord,
    LeaseRecord,
    PortfolioRecord,
)
from lts_web.trading.ports import Clock, Series


class Owner(Protocol):
    """This process as an owner of leases, and its judgement of others."""

    name: str

    def alive(self, name: str) -> bool | None:
        """Return whether the named owner lives; None where that cannot be known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a portfolio's next cycle would be: its rows and the instant it runs at."""

    portfolio: PortfolioRecord
    assets: tuple[AssetRecord, ...]
    accounts: tuple[BrokerAccountRecord, ...]
    datasets: dict[int, DatasetRecord]
    market_time: datetime | None
    slot: str
    missed: int
    pace: timedelta

    def series(self, asset: AssetRecord) -> Series | None:
        """Return the bars that the asset trades on, or None if it has none."""
        row = self.datasets.get(asset.dataset_id) if asset.dataset_id is not None else None
        return series_of(row) if row is not None else None


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed cycle: its row's id and the lease's fencing token."""

    plan: Plan
    cycle_id: int
    token: int
    trigger: str
    started_at: datetime
    market_time: datetime


def series_of(row: DatasetRecord) -> Series:
    """Return the series that a data set's row stands for."""
    return Series(row.id, row.instrument, row.timeframe, row.origin)


class Claims:
    """Plans and claims cycles for one process."""

    def __init__(
        self,
        database: Database,
        bars: BarStore,
        clock: Clock,
        owner: Owner,
        reach: Reach = lambda _step: None,
    ) -> None:
        self._database = database
        self._bars = bars
        self._clock = clock
        self.owner = owner
        self._reach = reach
        self.pipeline_latency: Callable[[PortfolioRecord], float] = lambda _portfolio: 0.0
        self._held: set[int] = set()
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, portfolio_id: int) -> Iterator[bool]:
        """Hold a portfolio within this process; False: another thread of it does.

        A lease that this process owns without holding is left from a fault, and free again.
        """
        with self._lock:
            held = portfolio_id not in self._held
            if held:
                self._held.add(portfolio_id)
        try:
            yield held
        finally:
            if held:
                with self._lock:
                    self._held.discard(portfolio_id)

    def due(self) -> list[int]:
        """Return the ids of the due portfolios, longest overdue first."""
        with self._database.read() as session:
            return store.due_portfolios(session, self._clock())

    def seconds_until_due(self) -> float | None:
        """Return the time to the next due instant (0 if past), or None if there is none."""
        with self._database.read() as session:
            instant = store.next_due(session)
        if instant is None:
            return None
        return max((instant - self._clock()).total_seconds(), 0.0)

    def plan(self, portfolio_id: int) -> Plan | None:
        """Return the portfolio's next cycle as it would be now; None: no such portfolio."""
        now = self._clock()
        with self._database.read() as session:
            portfolio = store.get_portfolio(session, portfolio_id)
            if portfolio is None:
                return None
            assets = tuple(store.assets_of(session, portfolio_id))
            accounts = tuple(store.accounts_of(session, portfolio_id))
            datasets = store.datasets_by_id(
                session, [asset.dataset_id for asset in assets if asset.dataset_id is not None]
            )
        series = [
            series_of(datasets[asset.dataset_id])
            for asset in assets
            if asset.enabled and asset.dataset_id in datasets
        ]
        pace = self._pace(portfolio)
        market_time, slot, missed = self._step(portfolio, pace, series, now)
        return Plan(portfolio, assets, accounts, datasets, market_time, slot, missed, pace)

    def claim(
        self, plan: Plan, limit: int, *, forced: bool = False, trigger: str = "schedule"
    ) -> Claim | None:
        """Take the planned cycle, or return None if it is not due, taken, or above the limit.

        `limit` is how many portfolios may run at the same time, over all processes. `forced`
        runs it whether it is due or not.
        """
        now = self._clock()
        with self._database.write() as session:
            portfolio = session.get_one(PortfolioRecord, plan.portfolio.id)
            if not self._may_run(portfolio, plan, now, forced=forced):
                return None
            if plan.market_time is None:
                self._finish_replay(session, portfolio, now)
                return None
            # Asked before the lease is taken: what is returned without a cycle would keep it.
            if store.slot_taken(session, portfolio.id, plan.slot):
                return None
            lease = self._take(session, portfolio.id, limit, now)
            if lease is None:
                return None
            if portfolio.run_requested_at is not None and trigger == "schedule":
                trigger = "manual"
            cycle = self._add_cycle(session, plan, lease.token, trigger, now)
            portfolio.next_due_at = now + plan.pace if portfolio.status == "active" else None
            portfolio.run_requested_at = None
            portfolio.finished_at = None
            if portfolio.feed == "replay":
                portfolio.cursor_at = plan.market_time
            bump(session, portfolio.user_id, portfolio_topic(portfolio.id))
            self._reach("claim.before_commit")
        self._reach("claim.written")
        return Claim(plan, cycle.id, lease.token, trigger, now, plan.market_time)

    def take_over(self, portfolio_id: int) -> int | None:
        """Take the lease without a cycle, to recover; return its token, or None if it is held."""
        now = self._clock()
        with self._database.write() as session:
            lease = self._take(session, portfolio_id, 1_000_000, now)
            return lease.token if lease is not None else None

    def portfolios_to_recover(self) -> list[int]:
        """Return the portfolios in which something was left unfinished."""
        with self._database.read() as session:
            return store.portfolios_to_recover(session)

    def _pace(self, portfolio: PortfolioRecord) -> timedelta:
        """Return the portfolio's own latency, or its pipeline's where it states none."""
        minutes = portfolio.latency_minutes
        return timedelta(minutes=self.pipeline_latency(portfolio) if minutes is None else minutes)

    def _step(
        self,
        portfolio: PortfolioRecord,
        pace: timedelta,
        series: Iterable[Series],
        now: datetime,
    ) -> tuple[datetime | None, str, int]:
        """Return market time, slot and the number of missed slots of the next cycle."""
        if portfolio.feed == "replay":
            closes = [self._bars.next_close(one, portfolio.cursor_at) for one in series]
            known = [close for close in closes if close is not None]
            step = min(known) if known else None
            return step, step.isoformat() if step is not None else "", 0
        due = portfolio.next_due_at or now
        missed = 0
        if pace and portfolio.next_due_at is not None:
            missed = max(int((now - due) / pace), 0)
        return now, now.isoformat(), missed

    def _may_run(
        self, portfolio: PortfolioRecord, plan: Plan, now: datetime, *, forced: bool
    ) -> bool:
        if portfolio.cursor_at != plan.portfolio.cursor_at:
            return False
        if forced:
            return portfolio.status != "archived"
        due = store.is_due(portfolio.next_due_at, plan.pace, now)
        return portfolio.status == "active" and (due or portfolio.run_requested_at is not None)

    def _take(
        self, session: Session, portfolio_id: int, limit: int, now: datetime
    ) -> LeaseRecord | None:
        """Take a free lease with the next token, unless as many are held as may be."""
        running = 0
        for held in store.held_leases(session):
            free = self._free(held, portfolio_id, now)
            if held.portfolio_id == portfolio_id and not free:
                return None
            running += not free
        if running >= limit:
            return None
        lease = store.lease_of(session, portfolio_id)
        for cycle_id in store.interrupt_cycles(session, portfolio_id, now):
            write_audit(
                session,
                actor="worker",
                action="cycle.interrupted",
                object_type="cycle",
                object_id=cycle_id,
                details={"owner": lease.owner},
                now=now,
            )
        lease.token += 1
        lease.owner = self.owner.name
        lease.expires_at = now + timedelta(seconds=LEASE_SECONDS)
        return lease

    def _free(self, lease: LeaseRecord, taken: int, now: datetime) -> bool:
        """Return whether a held lease may be taken: a living owner is never robbed.

        `taken` is the portfolio that the caller holds in this process.
        """
        if lease.owner is None:
            return True
        if lease.owner == self.owner.name:
            return lease.portfolio_id == taken or lease.portfolio_id not in self._held
        alive = self.owner.alive(lease.owner)
        if alive is None:
            return lease.expires_at is None or lease.expires_at <= now
        return not alive

    def _add_cycle(
        self, session: Session, plan: Plan, token: int, trigger: str, now: datetime
    ) -> CycleRecord:
        assert plan.market_time is not None
        if plan.missed:
            session.add(
                CycleRecord(
                    portfolio_id=plan.portfolio.id,
                    slot=f"missed {now.isoformat()}",
                    trigger="schedule",
                    status="missed",
                    market_time=plan.market_time,
                    started_at=now,
                    finished_at=now,
                    missed=plan.missed,
                )
            )
        cycle = CycleRecord(
            portfolio_id=plan.portfolio.id,
            slot=plan.slot,
            trigger=trigger,
            status="running",
            owner=self.owner.name,
            lease_token=token,
            market_time=plan.market_time,
            started_at=now,
        )
        session.add(cycle)
        session.flush()
        return cycle

    def _finish_replay(self, session: Session, portfolio: PortfolioRecord, now: datetime) -> None:
        """Note that a replay has no bar left; it stays active and idle until an asset has more."""
        portfolio.next_due_at = None
        portfolio.run_requested_at = None
        if portfolio.finished_at is None:
            portfolio.finished_at = now
            write_audit(
                session,
                actor="worker",
                action="portfolio.replay_finished",
                object_type="portfolio",
                object_id=portfolio.id,
                now=now,
            )
        bump(session, portfolio.user_id, portfolio_topic(portfolio.id))
