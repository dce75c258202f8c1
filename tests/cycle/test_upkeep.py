"""Thinning of old decisions: what led to an order stays, of the rest one an hour and asset."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from lts_web.services.heartbeat import Heartbeat
from lts_web.services.upkeep import Upkeep
from lts_web.store.models import DecisionRecord, OrderRecord, WorkerHeartbeatRecord
from tests.cycle.desk import Desk
from tests.house_of_trading import House, flat_bars

LEVEL = 1.1
KEPT = timedelta(days=90)


def traded(desk: Desk, house: House) -> tuple[int, int]:
    """Run twelve cycles of two assets, one each 20 minutes; one of them trades twice."""
    portfolio = house.portfolio(latency_minutes=20.0)
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 13))
    ids = tuple(
        house.asset(
            portfolio, "EUR_USD", bars, strategy_plugin="script",
            strategy_config={"letters": letters},
        )
        for letters in ("....b..c....", "............")
    )  # fmt: skip
    for _ in range(12):
        desk.cycle(portfolio)
        house.clock.pass_(minutes=20)
    return ids[0], ids[1]


@pytest.mark.req("SYS-009", "SYS-007")
def test_old_decisions_without_an_order_are_thinned_to_one_an_hour(
    desk: Desk, house: House
) -> None:
    trading, quiet = traded(desk, house)
    upkeep = Upkeep(house.database, house.clock, KEPT)
    upkeep.run()
    assert len(desk.rows(DecisionRecord)) == 24, "decisions that are young were thinned"
    house.clock.now += KEPT
    upkeep.run()
    left = desk.rows(DecisionRecord)
    hours = Counter((row.asset_id, row.recorded_at.hour) for row in left if row.asset_id == quiet)
    assert len(hours) == 4
    assert set(hours.values()) == {1}
    ordering = {row.decision_id for row in desk.rows(OrderRecord)}
    assert ordering <= {row.id for row in left}
    assert len([row for row in left if row.asset_id == trading]) == 4 + 2
    upkeep.run()
    assert len(desk.rows(DecisionRecord)) == len(left)


@pytest.mark.req("SYS-009")
def test_thinning_goes_in_batches(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lts_web.services.upkeep.BATCH", 3)
    traded(desk, house)
    house.clock.now += KEPT
    Upkeep(house.database, house.clock, KEPT).run()
    assert len(desk.rows(DecisionRecord)) == 4 + 4 + 2


@pytest.mark.req("SYS-011", "SYS-014")
def test_a_heartbeat_beats_and_says_when_it_rests(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lts_web.services.heartbeat.INTERVAL_SECONDS", 0.01)
    heart = Heartbeat(house.database, house.clock, "worker-1", "1.2.3")
    heart.start()
    first = desk.one(WorkerHeartbeatRecord)
    assert (first.owner, first.version, first.stopped_at) == ("worker-1", "1.2.3", None)
    house.clock.pass_(seconds=9)
    for _ in range(500):
        if desk.one(WorkerHeartbeatRecord).seen_at == house.clock():
            break
    else:
        raise AssertionError("it beat only once")
    heart.stop()
    heart.stop()
    assert desk.one(WorkerHeartbeatRecord).stopped_at == house.clock()
