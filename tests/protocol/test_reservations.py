"""Four processes reserve exposure on one account, 500 times each, through the order protocol."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from lts_web.store.models import (
    AssetRecord,
    BrokerAccountRecord,
    CycleRecord,
    DecisionRecord,
    LeaseRecord,
    OrderEventRecord,
    OrderRecord,
)
from lts_web.store.orders import reserved
from lts_web.trading.codes import DenialCode
from lts_web.trading.orders import OrderStatus
from tests.house_of_trading import House, flat_bars
from tests.protocol.real_workers import REPOSITORY
from tests.protocol.reserving import (
    CYCLE,
    EQUITY,
    LIMITS,
    MARKET_TIME,
    OWNER,
    PORTFOLIO,
    TOKEN,
    notional_of,
)

pytestmark = [
    pytest.mark.req("STC-008", "SYS-013", "SYS-009", "INT-007"),
    pytest.mark.timeout(170),
    pytest.mark.slow,
]

PROCESSES, EACH = 4, 500
LIMIT = LIMITS.max_exposure * EQUITY


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House.build(tmp_path)
    house.portfolio()
    dataset = house.dataset("EUR_USD", flat_bars([1.1]))
    now = house.clock()
    with house.database.write() as session:
        account = session.scalars(select(BrokerAccountRecord.id)).one()
        session.add_all(
            AssetRecord(
                portfolio_id=PORTFOLIO,
                account_id=account,
                dataset_id=dataset,
                instrument="EUR_USD",
                timeframe="H1",
                created_at=now,
                updated_at=now,
            )
            for _ in range(PROCESSES * EACH)
        )
        session.add(
            LeaseRecord(
                portfolio_id=PORTFOLIO,
                token=TOKEN,
                owner=OWNER,
                expires_at=now + timedelta(days=1000),
            )
        )
        session.add(
            CycleRecord(
                id=CYCLE,
                portfolio_id=PORTFOLIO,
                slot="one",
                status="running",
                owner=OWNER,
                lease_token=TOKEN,
                market_time=MARKET_TIME,
                started_at=now,
            )
        )
    yield house
    house.close()


def reserve_together(house: House) -> list[int]:
    """Run all processes at once; return how many orders each was granted."""
    script = [sys.executable, "-m", "tests.protocol.reserving", str(house.folder)]
    children = [
        subprocess.Popen(
            [*script, str(1 + number * EACH), str(EACH)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for child in children:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            pytest.fail(child.communicate()[1])
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    granted = []
    for child in children:
        answer, errors = child.communicate(timeout=150)
        assert child.returncode == 0, errors
        assert errors == ""
        granted.append(int(answer))
    return granted


def test_reservations_of_four_processes_never_pass_the_limit(house: House) -> None:
    """Every grant and every denial is what a single queue would have said, in commit order."""
    granted = reserve_together(house)
    with house.database.read() as session:
        orders = {order.id: order for order in session.scalars(select(OrderRecord))}
        events = list(session.scalars(select(OrderEventRecord).order_by(OrderEventRecord.id)))
        decisions = session.scalar(select(func.count()).select_from(DecisionRecord))
        bound = reserved(session, 1)
    assert len(orders) == decisions == PROCESSES * EACH
    assert len({order.asset_id for order in orders.values()}) == PROCESSES * EACH

    total, highest, denials = Decimal(0), Decimal(0), 0
    for event in events:
        order = orders[event.order_id]
        assert order.notional == notional_of(order.asset_id)
        if event.to_status == OrderStatus.CREATED:
            total += order.notional
            assert total <= LIMIT
        elif event.to_status == OrderStatus.EXPIRED_UNSENT:
            total -= order.notional
        else:
            assert (event.to_status, order.code) == ("denied", DenialCode.EXPOSURE_LIMIT)
            assert total + order.notional > LIMIT, "denied though there was room"
            denials += 1
        highest = max(highest, total)
    given_up = [one for one in orders.values() if one.status == OrderStatus.EXPIRED_UNSENT]
    assert bound.exposure == total
    assert bound.open_positions == sum(granted) - len(given_up)
    assert sum(granted) == PROCESSES * EACH - denials
    assert min(granted) > 0
    assert denials > 100
    assert len(given_up) > 100
    assert highest > LIMIT - 1500
