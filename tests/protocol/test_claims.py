"""Who may run a portfolio: leases are free when their owner is dead, and only then."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from lts_web.gateways.process_lock import ProcessOwner
from lts_web.services.claims import Claim
from lts_web.services.ordering import LEASE_SECONDS
from lts_web.store.models import CycleRecord, LeaseRecord, PortfolioRecord
from lts_web.wiring import Trading
from tests.house_of_trading import START, House, flat_bars

pytestmark = [pytest.mark.req("SYS-009", "SYS-011", "STC-006"), pytest.mark.timeout(60)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House.build(tmp_path)
    yield house
    house.close()


@pytest.fixture
def portfolio(house: House) -> int:
    return one_more(house)


def one_more(house: House, name: str = "Portfolio") -> int:
    dataset = house.dataset("EUR_USD", flat_bars([1.1, 1.1, 1.1]))
    portfolio = house.portfolio(name)
    house.asset(portfolio, "EUR_USD", dataset)
    return portfolio


Claimer = Callable[..., Claim | None]


@pytest.fixture
def claim() -> Iterator[Claimer]:
    """Claim a portfolio as a cycle does, holding it until the test is over."""
    with ExitStack() as stack:

        def claim_now(trading: Trading, portfolio: int, limit: int = 10) -> Claim | None:
            with ExitStack() as attempt:
                if not attempt.enter_context(trading.claims.holding(portfolio)):
                    return None
                plan = trading.claims.plan(portfolio)
                assert plan is not None
                taken = trading.claims.claim(plan, limit)
                if taken is not None:
                    stack.enter_context(attempt.pop_all())
                return taken

        yield claim_now


def lease(house: House, portfolio: int) -> LeaseRecord:
    with house.database.read() as session:
        return session.get_one(LeaseRecord, portfolio)


def test_a_slot_is_claimed_once(house: House, portfolio: int, claim: Claimer) -> None:
    trading, _ = house.process()
    first = claim(trading, portfolio)
    assert first is not None
    assert first.market_time == START + timedelta(hours=1)
    assert trading.claims.claim(first.plan, 10) is None
    assert claim(trading, portfolio) is None


def test_what_a_fault_left_is_free_in_its_own_process(house: House, portfolio: int) -> None:
    trading, _ = house.process()
    plan = trading.claims.plan(portfolio)
    assert plan is not None
    left = trading.claims.claim(plan, 10)
    assert left is not None
    house.clock.pass_(seconds=1)
    with trading.claims.holding(portfolio) as held, house.database.read() as session:
        assert held
        assert session.get_one(CycleRecord, left.cycle_id).status == "running"
    assert trading.service.recover() == [portfolio]
    with house.database.read() as session:
        assert session.get_one(CycleRecord, left.cycle_id).status == "interrupted"


def test_a_stale_plan_claims_nothing(house: House, portfolio: int) -> None:
    trading, _ = house.process()
    stale = trading.claims.plan(portfolio)
    assert stale is not None
    trading.service.run_portfolio(portfolio)
    house.clock.pass_(seconds=1)
    assert trading.claims.claim(stale, 10) is None


def test_a_taken_slot_keeps_no_lease(house: House, portfolio: int, claim: Claimer) -> None:
    """Where a replay was put back, its old slots stand; a refused claim must leave nothing."""
    trading, _ = house.process()
    trading.service.run_portfolio(portfolio)
    with house.database.write() as session:
        session.get_one(PortfolioRecord, portfolio).cursor_at = None
    house.clock.pass_(seconds=1)
    before = lease(house, portfolio).token
    assert claim(trading, portfolio) is None
    assert lease(house, portfolio).owner is None
    assert lease(house, portfolio).token == before


def test_a_living_owner_is_never_robbed(house: House, portfolio: int, claim: Claimer) -> None:
    first, _ = house.process()
    second, _ = house.process()
    assert claim(first, portfolio) is not None
    house.clock.pass_(seconds=LEASE_SECONDS * 10)
    assert claim(second, portfolio) is None
    assert second.claims.take_over(portfolio) is None
    assert second.service.recover() == []


def test_a_dead_owner_is_free_at_once_and_its_cycle_interrupted(
    house: House, portfolio: int, claim: Claimer
) -> None:
    first, owner = house.process()
    killed = claim(first, portfolio)
    assert killed is not None
    owner.close()
    second, _ = house.process()
    house.clock.pass_(seconds=1)
    taken = claim(second, portfolio)
    assert taken is not None
    assert taken.token == killed.token + 1
    assert taken.plan.slot != killed.plan.slot
    with house.database.read() as session:
        states = dict(session.execute(select(CycleRecord.id, CycleRecord.status)).all())
    assert states == {killed.cycle_id: "interrupted", taken.cycle_id: "running"}


def test_an_owner_on_another_machine_is_judged_by_its_lease(
    house: House, portfolio: int, claim: Claimer
) -> None:
    trading, _ = house.process()
    with house.database.write() as session:
        expires_at = house.clock() + timedelta(seconds=LEASE_SECONDS)
        session.add(
            LeaseRecord(
                portfolio_id=portfolio,
                token=5,
                owner="worker-elsewhere-17-abcd",
                expires_at=expires_at,
            )
        )
    assert claim(trading, portfolio) is None
    house.clock.pass_(seconds=LEASE_SECONDS)
    taken = claim(trading, portfolio)
    assert taken is not None
    assert taken.token == 6


def test_the_limit_counts_all_processes_and_no_dead_ones(house: House, claim: Claimer) -> None:
    portfolios = [one_more(house, f"Portfolio {number}") for number in range(4)]
    first, owner = house.process()
    second, _ = house.process()
    assert claim(first, portfolios[0], limit=2) is not None
    assert claim(second, portfolios[1], limit=2) is not None
    assert claim(first, portfolios[2], limit=2) is None
    assert claim(second, portfolios[2], limit=2) is None
    owner.close()
    assert claim(second, portfolios[2], limit=2) is not None
    assert claim(second, portfolios[3], limit=2) is None


def test_many_threads_claim_each_slot_once(house: House, portfolio: int) -> None:
    processes = [house.process()[0] for _ in range(4)]
    claims: list[Claim] = []
    together = threading.Barrier(len(processes))

    def race(trading: Trading) -> None:
        plan = trading.claims.plan(portfolio)
        assert plan is not None
        together.wait()
        taken = trading.claims.claim(plan, 10)
        if taken is not None:
            claims.append(taken)

    threads = [threading.Thread(target=race, args=(trading,)) for trading in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claims) == 1


# --- the lock that shows who lives ----------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from lts_web.gateways.process_lock import ProcessOwner
owner = ProcessOwner(Path(sys.argv[1]), "worker")
print(owner.name, flush=True)
time.sleep(60)
"""


@pytest.mark.req("SYS-012")
def test_a_killed_process_is_dead_and_a_stopped_one_lives(tmp_path: Path) -> None:
    watcher = ProcessOwner(tmp_path, "worker")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    name = holder.stdout.readline().strip()
    assert watcher.alive(name) is True
    if sys.platform != "win32":
        holder.send_signal(signal.SIGSTOP)
        assert watcher.alive(name) is True
    holder.kill()
    holder.communicate()
    assert watcher.alive(name) is False
    assert watcher.alive(name) is False
    assert watcher.alive(watcher.name) is True
    assert [path.name for path in tmp_path.iterdir()] == [f"owner-{watcher.name}.lock"]
    watcher.close()
    assert list(tmp_path.iterdir()) == []


def test_who_runs_elsewhere_cannot_be_judged(tmp_path: Path) -> None:
    watcher = ProcessOwner(tmp_path, "worker")
    assert watcher.alive("worker-elsewhere-17-abcd") is None
    watcher.close()
