"""Plugins written to the documented page trade unchanged, alone and beside the house's own."""

from __future__ import annotations

from typing import Any

import pytest

from lts_web.gateways.process_lock import ProcessOwner
from lts_web.store.models import (
    AssetRecord,
    BrokerAccountRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
)
from lts_web.trading.positions import ledger_balance
from tests.cycle.desk import Desk
from tests.cycle.plugins import PLUGINS
from tests.house_of_trading import START, House, flat_bars

LEVEL = 1.1


def rising(count: int) -> list[tuple[Any, ...]]:
    """Return bars that each rise by ten pips, so that the documented strategy buys."""
    times = [time for time, *_ in flat_bars([LEVEL] * count)]
    levels = [round(LEVEL + 0.001 * number, 5) for number in range(count + 1)]
    return [
        (time, levels[n], levels[n + 1], levels[n], levels[n + 1]) for n, time in enumerate(times)
    ]


@pytest.mark.req("SYS-001", "INT-002", "STC-001")
def test_all_four_families_as_documented_in_one_portfolio(desk: Desk, house: House) -> None:
    portfolio = house.portfolio(pipeline_plugin="backwards", portfolio_plugin="first_takes_half")
    bars = house.dataset("EUR_USD", rising(4))
    terms = {"strategy_plugin": "last_bar", "broker_plugin": "notebook"}
    first = house.asset(portfolio, "EUR_USD", bars, **terms)
    second = house.asset(portfolio, "EUR_USD", bars, **terms)
    desk.cycle(portfolio)
    assert desk.told(first) == [("ordered", None)]
    assert desk.told(second) == [("denied", "NO_ALLOCATION")]
    [order] = desk.orders(first)
    [fill] = desk.rows(FillRecord)
    # Booked at once, at the decision's quote, and marked as what it is.
    assert (order.status, order.units, fill.price_source) == ("filled", 1000, "assumed")
    assert fill.price == order.price
    assert fill.market_time == order.market_time
    desk.cycle(portfolio)
    assert [row.kind for row in desk.orders(first)] == ["entry", "close"]
    [position] = desk.rows(PositionRecord)
    assert not position.is_open
    assert position.realized_pnl > 0
    [account] = desk.rows(BrokerAccountRecord)
    assert account.balance == account.initial_capital + position.realized_pnl
    assert account.balance == ledger_balance(account.initial_capital, desk.fills(account.id))
    assert {row.price_source for row in desk.rows(FillRecord)} == {"assumed"}


@pytest.mark.req("SYS-011", "INT-06")
def test_an_order_of_a_basic_broker_stays_unknown_after_a_crash(house: House) -> None:
    class Crash(BaseException):
        pass

    def reach(step: str) -> None:
        if step == "send.after":
            raise Crash

    bars = house.dataset("EUR_USD", rising(6))
    portfolio = house.portfolio()
    asset = house.asset(
        portfolio, "EUR_USD", bars, strategy_plugin="last_bar", broker_plugin="notebook"
    )
    dying = Desk.open(house, PLUGINS, reach=reach)
    with pytest.raises(Crash):
        dying.cycle(portfolio)
    dying.owner.close()
    desk = Desk.open(house, PLUGINS)
    for _ in range(2):
        house.clock.pass_(hours=2)
        desk.trading.service.recover()
    [order] = desk.orders(asset)
    assert order.status == "unknown"
    assert "a person must decide" in order.detail
    house.clock.pass_(hours=2)
    desk.cycle(portfolio)
    assert desk.told(asset)[-1] == ("denied", "OUTCOME_UNKNOWN")
    assert [one.status for one in desk.orders(asset)] == ["unknown"]
    assert desk.rows(FillRecord) == []
    desk.owner.close()


@pytest.mark.req("INT-002", "SYS-011")
def test_a_broker_without_a_log_cannot_share_an_account_with_one_that_keeps_one(
    desk: Desk, house: House
) -> None:
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", rising(4))
    basic = house.asset(
        portfolio, "EUR_USD", bars, strategy_plugin="last_bar", broker_plugin="notebook"
    )
    own = house.asset(portfolio, "EUR_USD", bars, strategy_plugin="last_bar")
    desk.cycles(portfolio, 3)
    assert {row.asset_id for row in desk.rows(OrderRecord)} == {own}
    assert desk.told(basic) == [("failed", "PLUGIN_UNAVAILABLE")] * 3
    assert "an account of its own" in desk.decision(basic).detail
    desk.adds_up(portfolio)


@pytest.mark.req("INT-002", "SYS-017")
def test_a_basic_broker_may_not_trade_a_real_account(desk: Desk, house: House) -> None:
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", rising(4))
    asset = house.asset(
        portfolio, "EUR_USD", bars, strategy_plugin="last_bar", broker_plugin="notebook"
    )
    [account] = desk.rows(BrokerAccountRecord)
    desk.change(BrokerAccountRecord, account.id, kind="practice")
    desk.cycle(portfolio)
    assert desk.told(asset) == [("failed", "BASIC_BROKER_ON_REAL_ACCOUNT")]


@pytest.mark.req("INT-002")
def test_a_plugin_of_the_bare_base_structure_runs(desk: Desk, house: House) -> None:
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", rising(4))
    asset = house.asset(portfolio, "EUR_USD", bars, strategy_plugin="thresholds")
    desk.cycles(portfolio, 2)
    assert desk.told(asset) == [("held", None)] * 2


@pytest.mark.req("SYS-003", "SYS-001")
def test_an_assets_own_pipeline_groups_it_and_allocation_runs_once(
    desk: Desk, house: House
) -> None:
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", rising(4))
    terms = {"strategy_plugin": "last_bar"}
    usual = house.asset(portfolio, "EUR_USD", bars, **terms)
    others = [
        house.asset(portfolio, "EUR_USD", bars, pipeline_plugin="backwards", **terms)
        for _ in range(2)
    ]
    report = desk.cycle(portfolio)
    assert report["success"]
    orders = [row.asset_id for row in desk.rows(OrderRecord)]
    # The portfolio's own pipeline comes first; the other takes its group backwards.
    assert orders == [usual, *reversed(others)]
    share = {str(asset): "3333.3333" for asset in (usual, *others)}
    assert desk.last_cycle(portfolio).allocation == share
    desk.change(AssetRecord, others[0], pipeline_plugin="gone")
    desk.cycle(portfolio)
    assert desk.told(others[0])[-1] == ("failed", "PLUGIN_UNAVAILABLE")
    assert "gone" in desk.decision(others[0]).detail
    assert desk.told(usual)[-1] == desk.told(others[1])[-1] == ("ordered", None)


@pytest.mark.req("SYS-001")
def test_a_documented_pipeline_as_the_systems_own_runs_what_is_due(house: House) -> None:
    desk = Desk.open(house, PLUGINS, pipeline_plugin="backwards")
    bars = house.dataset("EUR_USD", rising(4))
    portfolios = [house.portfolio(f"P{n}", latency_minutes=5.0) for n in range(2)]
    for portfolio in portfolios:
        house.asset(portfolio, "EUR_USD", bars, strategy_plugin="last_bar")
    desk.trading.run_due()
    assert len(desk.rows(OrderRecord)) == 2
    desk.trading.run_due()
    assert len(desk.rows(OrderRecord)) == 2
    desk.owner.close()


@pytest.mark.req("SYS-001", "INT-018")
def test_a_pipeline_may_use_the_houses_names_for_something_of_its_own(
    desk: Desk, house: House
) -> None:
    portfolio = house.portfolio(pipeline_plugin="odd_settings")
    bars = house.dataset("EUR_USD", rising(4))
    asset = house.asset(portfolio, "EUR_USD", bars, strategy_plugin="last_bar")
    assert desk.cycle(portfolio)["success"]
    assert desk.told(asset) == [("ordered", None)]


@pytest.mark.req("SYS-003", "INT-017", "INT-003")
def test_a_parameter_that_changes_reaches_the_plugin_in_the_next_cycle(
    desk: Desk, house: House
) -> None:
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 4, START))
    asset = house.asset(
        portfolio, "EUR_USD", bars, strategy_plugin="script", strategy_config={"letters": "...."}
    )
    desk.cycle(portfolio)
    desk.change(AssetRecord, asset, strategy_config={"letters": ".b"})
    desk.cycle(portfolio)
    desk.change(AssetRecord, asset, strategy_config={"letters": 7})
    desk.cycle(portfolio)
    assert desk.told(asset) == [
        ("held", None), ("ordered", None), ("failed", "PLUGIN_UNAVAILABLE"),
    ]  # fmt: skip
    assert "letters: expected text" in desk.decision(asset).detail


@pytest.mark.req("SYS-001", "SYS-006")
def test_a_restart_changes_no_decision(house: House) -> None:
    """The same bars in one process, and in a new process each cycle: the same orders."""
    told = []
    for restarts in (False, True):
        bars = house.dataset("EUR_USD")
        portfolio = house.portfolio(f"restarts: {restarts}")
        asset = house.asset(portfolio, "EUR_USD", bars, strategy_config={"entry_interval_bars": 2})
        desk = Desk.open(house, PLUGINS)
        for _ in range(30):
            desk.cycle(portfolio)
            if restarts:
                desk.owner.close()
                desk = Desk.open(house, PLUGINS, owner=ProcessOwner(house.folder / "locks", "new"))
        told.append(
            [(row.kind, row.units, row.price, row.market_time) for row in desk.orders(asset)]
        )
        desk.owner.close()
    assert told[0] == told[1]
    assert len(told[0]) > 4
