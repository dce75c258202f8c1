"""Two real workers on one data directory, and one that sleeps through its time to send."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from lts_web.store.models import CycleRecord, LeaseRecord, OrderRecord, PortfolioRecord
from tests.protocol.evidence import problems
from tests.protocol.real_workers import Workers, furnish

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals"),
    pytest.mark.req("SYS-009", "SYS-011", "STC-006", "STC-008"),
    pytest.mark.timeout(170),
    pytest.mark.slow,
]
SEND_WINDOW = 2.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def workers(folder: Path) -> Iterator[Workers]:
    furnish(folder, portfolios=3)
    workers = Workers(folder)
    yield workers
    workers.close()


def owners(workers: Workers) -> set[str | None]:
    with workers.database.read() as session:
        return set(session.scalars(select(CycleRecord.owner).distinct()))


def test_two_workers_run_every_cycle_once(workers: Workers, folder: Path) -> None:
    both = [workers.start(), workers.start()]
    workers.eventually(lambda: len(owners(workers)) == 2)
    until = workers.cycles() + 60
    workers.eventually(lambda: workers.cycles() >= until)
    for process in both:
        workers.stop(process)
    assert workers.consecutive()
    assert problems(workers.database, workers.venues) == []
    assert workers.cycles("interrupted", "failed") == 0
    logs = "".join(path.read_text() for path in (folder / "logs").iterdir())
    assert "database is locked" not in logs


def cycles_of(workers: Workers, portfolio: int) -> int:
    with workers.database.read() as session:
        rows = select(func.count()).where(CycleRecord.portfolio_id == portfolio)
        return session.scalar(rows) or 0


def activate(workers: Workers, portfolios: list[int], status: str) -> None:
    with workers.database.write() as session:
        session.execute(
            update(PortfolioRecord)
            .where(PortfolioRecord.id.in_(portfolios))
            .values(status=status, next_due_at=PortfolioRecord.created_at)
        )


def stands_still(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None


def test_a_worker_that_was_stopped_past_its_time_sends_nothing(workers: Workers) -> None:
    """It stands still right before a send, past lease and send window, while another one works."""
    activate(workers, [2, 3], "inactive")
    window = ("--send-window", str(SEND_WINDOW))
    fate = ("--step", "send.before", "--times", "3", "--signal", "SIGSTOP")
    stopped = workers.start(*fate, *window)
    workers.eventually(lambda: stands_still(stopped.pid))
    stopped_at = time.monotonic()
    with workers.database.write() as session:
        [held] = session.scalars(select(LeaseRecord).where(LeaseRecord.owner.is_not(None)))
        held.expires_at = datetime(2020, 1, 1, tzinfo=UTC)
        owner, token = held.owner, held.token
        [sleeper] = session.scalars(select(OrderRecord).where(OrderRecord.status == "created"))
    before = cycles_of(workers, 1)
    activate(workers, [2, 3], "active")
    other = workers.start(*window)
    workers.eventually(lambda: cycles_of(workers, 2) >= 10 and cycles_of(workers, 3) >= 10)
    workers.eventually(lambda: time.monotonic() > stopped_at + SEND_WINDOW + 0.5)
    assert cycles_of(workers, 1) == before, "a living owner was robbed"
    with workers.database.read() as session:
        lease = session.get_one(LeaseRecord, 1)
        assert (lease.owner, lease.token) == (owner, token)

    stopped.send_signal(signal.SIGCONT)
    workers.eventually(lambda: cycles_of(workers, 1) >= before + 10)
    for process in (stopped, other):
        workers.stop(process)
    with workers.database.read() as session:
        order = session.get_one(OrderRecord, sleeper.id)
    assert (order.status, order.detail) == ("expired_unsent", "the time to send had passed")
    assert workers.consecutive()
    assert problems(workers.database, workers.venues) == []
    assert workers.cycles("interrupted", "failed") == 0
