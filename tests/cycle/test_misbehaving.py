"""Plugins that raise, hang, loop, lie or leave: their own asset shows it, all others go on."""

from __future__ import annotations

from typing import Any

import pytest

from lts_web.processes import StopRequest
from lts_web.store.models import (
    AssetRecord,
    CycleRecord,
    FillRecord,
    OrderRecord,
    PluginSnapshotRecord,
    PositionRecord,
)
from lts_web.wiring import _Turn
from tests.contracts.misbehaving import (
    FAILING,
    MANNERS,
    SILENT,
    UNREADABLE,
    MisbehavingBroker,
    MisbehavingPipeline,
    MisbehavingPortfolio,
)
from tests.cycle.desk import Desk
from tests.house_of_trading import House, flat_bars

LEVEL = 1.1
PATIENT = {"pipeline_plugin": "impatient"}
SCRIPT = {"strategy_plugin": "script", "strategy_config": {"letters": "b.c."}}
# What a decision that the boundary could read is denied with.
DENIED = {
    "wrong_side_stop": "STOP_WRONG_SIDE",
    "wrong_side_target": "TARGET_WRONG_SIDE",
    "no_stop": "NO_STOP_LOSS",
    "huge_quantity": "UNITS_ABOVE_MAXIMUM",
}


def expected(manner: str) -> tuple[str, str]:
    """Return outcome and code of an asset whose strategy misbehaves so."""
    if manner in SILENT:
        return "failed", "PLUGIN_TIMEOUT"
    if manner in FAILING:
        return "failed", "PLUGIN_ERROR"
    if manner in UNREADABLE:
        return "failed", "PLUGIN_ANSWER_INVALID"
    return "denied", DENIED[manner]


@pytest.mark.req("STC-005", "SYS-011", "INT-04", "INT-002", "STC-10")
def test_each_strategy_shows_its_manner_and_the_others_trade_in_the_same_cycle(
    desk: Desk, house: House
) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4))
    portfolio = house.portfolio(**PATIENT, max_open_positions=5)
    first = house.asset(portfolio, "EUR_USD", bars, **SCRIPT)
    odd = {
        manner: house.asset(
            portfolio, "EUR_USD", bars,
            strategy_plugin="misbehaving", strategy_config={"manner": manner},
        )
        for manner in MANNERS
    }  # fmt: skip
    last = house.asset(portfolio, "EUR_USD", bars, **SCRIPT)
    report = desk.cycle(portfolio)
    told = {manner: desk.told(asset)[-1] for manner, asset in odd.items()}
    assert told == {manner: expected(manner) for manner in MANNERS}
    assert desk.told(first) == desk.told(last) == [("ordered", None)]
    assert report["success"] is False
    for manner, asset in odd.items():
        row = desk.decision(asset)
        assert row.detail, manner
        assert all(character.isprintable() for character in row.detail)
    assert {row.asset_id for row in desk.rows(OrderRecord)} == {first, last}
    cycle = desk.last_cycle(portfolio)
    failed = sum(outcome == "failed" for outcome, _ in told.values())
    assert (cycle.counts["outcomes"]["failed"], len(cycle.errors)) == (failed, failed)
    desk.cycle(portfolio)
    assert len(desk.rows(FillRecord)) == 2
    desk.adds_up(portfolio)


@pytest.mark.req("STC-005", "SYS-011", "INT-01", "INT-001", "INT-018")
def test_a_plugin_that_cannot_be_made_is_the_trouble_of_its_asset(desk: Desk, house: House) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4))
    portfolio = house.portfolio()
    cases: list[dict[str, Any]] = [
        {"strategy_plugin": "stubborn"},
        {"strategy_plugin": "bare"},
        {"strategy_plugin": "gone"},
        {"broker_plugin": "gone"},
        {"strategy_config": {"stop_loss_pips": "far"}},
        {"strategy_config": {"no_such_parameter": 1}},
        {"broker_config": {"spread_pips": -1.0}},
        {"broker_config": {"pip_value": 0.01}},
    ]
    words = [
        "no licence", "params", "gone", "gone", "stop_loss_pips", "no_such_parameter",
        "spread_pips", "pip_value",
    ]  # fmt: skip
    odd = [house.asset(portfolio, "EUR_USD", bars, **case) for case in cases]
    without_bars = house.asset(portfolio, "EUR_USD", bars)
    desk.change(AssetRecord, without_bars, dataset_id=None)
    sound = house.asset(portfolio, "EUR_USD", bars, **SCRIPT)
    desk.cycle(portfolio)
    for asset, word in zip(odd, words, strict=True):
        row = desk.decision(asset)
        assert (row.outcome, row.code) == ("failed", "PLUGIN_UNAVAILABLE"), word
        assert word in row.detail
    assert desk.told(without_bars) == [("failed", "NO_BAR")]
    assert "choose a data set" in desk.decision(without_bars).detail
    assert desk.told(sound) == [("ordered", None)]


@pytest.mark.req("STC-005", "SYS-008", "SYS-011")
@pytest.mark.parametrize("strategy", ["talkative", "unspeakable"])
def test_debug_information_that_cannot_be_written_harms_nobody(
    desk: Desk, house: House, strategy: str
) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4))
    portfolio = house.portfolio()
    house.asset(portfolio, "EUR_USD", bars, strategy_plugin=strategy)
    sound = house.asset(portfolio, "EUR_USD", bars, **SCRIPT)
    report = desk.cycle(portfolio)
    assert report["success"]
    assert desk.told(sound) == [("ordered", None)]
    [row] = desk.rows(PluginSnapshotRecord, name=strategy)
    assert list(row.debug) == ["error"]


@pytest.mark.req("STC-005", "SYS-011")
@pytest.mark.parametrize("manner", MisbehavingPortfolio.manners)
def test_an_allocator_that_fails_gives_nobody_capital_and_lets_exits_through(
    desk: Desk, house: House, manner: str
) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 5))
    portfolio = house.portfolio(**PATIENT)
    holder = house.asset(portfolio, "EUR_USD", bars, **SCRIPT)
    late = house.asset(
        portfolio, "EUR_USD", bars,
        strategy_plugin="script", strategy_config={"letters": "..b"},
    )  # fmt: skip
    desk.cycles(portfolio, 2)
    with house.database.write() as session:
        row = session.get_one(type(desk.portfolio(portfolio)), portfolio)
        row.portfolio_plugin, row.portfolio_config = "misbehaving", {"manner": manner}
    desk.cycle(portfolio)
    assert desk.told(holder)[-1] == ("ordered", None)
    assert desk.orders(holder)[-1].kind == "close"
    outcome, code = desk.told(late)[-1]
    assert outcome == "denied"
    assert code in {"NO_ALLOCATION", "UNITS_BELOW_MINIMUM"}
    assert desk.last_cycle(portfolio).status == "failed"
    assert "allocation failed" in desk.last_cycle(portfolio).errors[0]
    desk.cycle(portfolio)
    assert not any(row.is_open for row in desk.rows(PositionRecord))
    desk.adds_up(portfolio)


@pytest.mark.req("STC-005", "SYS-011", "INT-06")
@pytest.mark.parametrize("manner", MisbehavingBroker.manners)
def test_a_broker_that_fails_leaves_its_order_in_the_state_that_is_true(
    desk: Desk, house: House, manner: str
) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4))
    portfolio = house.portfolio("Odd", **PATIENT)
    odd = house.asset(
        portfolio, "EUR_USD", bars, broker_plugin="misbehaving",
        broker_config={"manner": manner},
        strategy_plugin="script", strategy_config={"letters": "bbb"},
    )  # fmt: skip
    desk.cycles(portfolio, 3)
    orders = desk.orders(odd)
    if manner == "not_sent":
        assert [order.status for order in orders] == ["expired_unsent"] * 3
    elif manner == "refuses":
        assert [order.status for order in orders] == ["rejected"] * 3
        assert orders[0].detail == "deliberate"
    elif manner == "no_order_id":
        pass  # what a basic broker may omit is the boundary's decision
    else:
        # It may have been sent: nothing is sent again, and the asset waits for a person.
        assert [order.status for order in orders] == ["unknown"]
        assert desk.told(odd)[1:] == [("denied", "OUTCOME_UNKNOWN")] * 2
    assert desk.last_cycle(portfolio).status == "done"


@pytest.mark.req("STC-005", "SYS-011")
@pytest.mark.parametrize("manner", MisbehavingPipeline.manners)
def test_a_pipeline_that_fails_leaves_a_row_for_each_of_its_assets(
    desk: Desk, house: House, manner: str
) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4))
    portfolio = house.portfolio(**PATIENT)
    own = {"pipeline_plugin": "misbehaving", "pipeline_config": {"manner": manner}}
    left = [house.asset(portfolio, "EUR_USD", bars, **SCRIPT, **own) for _ in range(2)]
    sound = house.asset(portfolio, "EUR_USD", bars, **SCRIPT)
    report = desk.cycle(portfolio)
    assert desk.told(sound) == [("ordered", None)]
    codes = {code for asset in left for _, code in desk.told(asset)}
    if manner in SILENT:
        assert codes == {"PLUGIN_TIMEOUT"}
    elif manner in FAILING:
        assert codes == {"PLUGIN_ERROR"}
    else:
        assert codes == {"NOT_RUN"}
    assert {outcome for asset in left for outcome, _ in desk.told(asset)} == {"failed"}
    assert report["success"] is False


@pytest.mark.req("STC-005", "SYS-009", "SYS-011")
def test_the_worker_restarts_after_a_few_calls_that_never_came_back(
    desk: Desk, house: House
) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4))
    portfolio = house.portfolio(**PATIENT, latency_minutes=60.0)
    hanging = {"strategy_plugin": "misbehaving", "strategy_config": {"manner": "hang"}}
    for _ in range(3):
        house.asset(portfolio, "EUR_USD", bars, **hanging)
    for limit, restarts in ((4, False), (3, True)):
        stop = StopRequest()
        house.clock.pass_(minutes=60)
        turn = _Turn(desk.trading, limit, stop)
        desk.trading.instances.runner._abandoned = 0
        assert (turn.run() is None) == restarts
        assert (stop.requested, stop.restart) == (restarts, restarts)
    assert [row.status for row in desk.rows(CycleRecord)] == ["failed", "failed"]
    assert desk.trading.service.stopping()


@pytest.mark.req("STC-005", "SYS-011")
def test_an_allocator_that_is_gone_gives_nobody_capital(desk: Desk, house: House) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4))
    portfolio = house.portfolio(portfolio_plugin="gone")
    asset = house.asset(portfolio, "EUR_USD", bars, **SCRIPT)
    report = desk.cycle(portfolio)
    assert report["success"] is False
    assert desk.told(asset) == [("denied", "NO_ALLOCATION")]
    assert "'gone' cannot be used" in desk.last_cycle(portfolio).errors[0]


@pytest.mark.req("STC-005", "SYS-011", "INT-04")
def test_a_broker_that_gives_no_quote_fails_its_asset_alone(desk: Desk, house: House) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4))
    portfolio = house.portfolio()
    odd = house.asset(portfolio, "EUR_USD", bars, broker_plugin="without_quote", **SCRIPT)
    sound = house.asset(portfolio, "EUR_USD", bars, **SCRIPT)
    desk.cycle(portfolio)
    assert desk.told(odd) == [("failed", "PLUGIN_ERROR")]
    assert "gave no quote" in desk.decision(odd).detail
    assert desk.told(sound) == [("ordered", None)]
