"""What a cycle leaves behind: a row for every asset, a report, and the evidence of every order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from lts_web.store.models import (
    AssetRecord,
    AuditLogRecord,
    BillingRecordRecord,
    BrokerAccountRecord,
    DecisionRecord,
    EquityPointRecord,
    FillRecord,
    OrderEventRecord,
    OrderRecord,
    PluginSnapshotRecord,
    PositionRecord,
    StatisticRecord,
)
from tests.cycle.desk import Desk
from tests.cycle.plugins import PLUGINS
from tests.house_of_trading import START, House, flat_bars

LEVEL = 1.1000
SCRIPT = {"strategy_plugin": "script"}


def script(letters: str, **parameters: Any) -> dict[str, Any]:
    return {**SCRIPT, "strategy_config": {"letters": letters, **parameters}}


@pytest.mark.req("SYS-001", "STC-001", "INT-04")
def test_every_asset_leaves_a_row_whatever_it_did(desk: Desk, house: House) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL, LEVEL]))
    later = house.dataset("EUR_USD", flat_bars([LEVEL], START.replace(hour=12)))
    portfolio = house.portfolio()
    holding = house.asset(portfolio, "EUR_USD", bars, **script("."))
    ordering = house.asset(portfolio, "EUR_USD", bars, **script("b"))
    denied = house.asset(portfolio, "EUR_USD", bars, **script("b", quantity=10**11))
    waiting = house.asset(portfolio, "EUR_USD", later, **script("b"))
    failing = house.asset(portfolio, "EUR_USD", bars, strategy_plugin="misbehaving")
    report = desk.cycle(portfolio)

    rows = {row.asset_id: row for row in desk.rows(DecisionRecord)}
    assert {key: (row.outcome, row.code) for key, row in rows.items()} == {
        holding: ("held", None),
        ordering: ("ordered", None),
        denied: ("denied", "UNITS_ABOVE_MAXIMUM"),
        waiting: ("no_bar", "NO_BAR"),
        failing: ("failed", "PLUGIN_ERROR"),
    }
    assert rows[holding].reason == "the script rests"
    assert (rows[ordering].action, rows[ordering].binding_cap) == ("open", "capital")
    assert rows[ordering].units == desk.orders(ordering)[0].units
    assert {name for name, _ in rows[ordering].trace} >= {"protection", "cap risk", "exposure"}
    assert rows[ordering].inputs["close"] == str(LEVEL)
    assert rows[ordering].inputs["capital"] == "2000.0000"
    assert "deliberate" in rows[failing].detail

    assert report["success"] is False
    cycle = desk.last_cycle(portfolio)
    assert (cycle.status, cycle.id) == ("failed", report["cycle_id"])
    assert cycle.counts["outcomes"] == {
        "held": 1, "ordered": 1, "denied": 1, "no_bar": 1, "failed": 1,
    }  # fmt: skip
    assert cycle.counts["denials"] == {"UNITS_ABOVE_MAXIMUM": 1}
    assert cycle.counts["orders"] == {"accepted": 1}
    assert [f"asset {failing} (EUR_USD)" in error for error in cycle.errors] == [True]
    assert cycle.allocation == {str(key): "2000.0000" for key in rows}

    status = {row.id: row.status for row in desk.rows(AssetRecord)}
    assert status[holding] == "held: the script rests"
    assert status[waiting] == "waits: no bar at this step"
    assert status[failing].startswith("failed: The strategy 'misbehaving'")
    executed = {row.asset_id for row in desk.rows(BillingRecordRecord, kind="strategy_execution")}
    assert executed == {holding, ordering, denied, failing}


@pytest.mark.req("SYS-001", "SYS-006", "SYS-007", "INT-08", "INT-010", "STC-12")
def test_every_change_of_an_order_has_its_event_and_its_audit_row(desk: Desk, house: House) -> None:
    prices = [LEVEL, LEVEL, LEVEL + 0.001, LEVEL + 0.001, LEVEL + 0.001, LEVEL - 0.01]
    bars = house.dataset("EUR_USD", flat_bars(prices))
    portfolio = house.portfolio()
    asset = house.asset(portfolio, "EUR_USD", bars, **script("b.cb.."))
    desk.cycles(portfolio, 6)
    entry, close, second, stop = desk.orders(asset)
    assert [(one.kind, one.status) for one in (entry, close, second, stop)] == [
        ("entry", "filled"), ("close", "filled"), ("entry", "filled"), ("stop_loss", "filled"),
    ]  # fmt: skip
    for order in desk.orders(asset):
        events = desk.rows(OrderEventRecord, order_id=order.id)
        assert [row.to_status for row in events][-1] == "filled"
        assert desk.audited(order.id) == [f"order.{row.to_status}" for row in events]
        for event in events:
            [audit] = desk.rows(
                AuditLogRecord,
                object_type="order",
                object_id=order.id,
                action=f"order.{event.to_status}",
            )
            assert audit.recorded_at == event.recorded_at
    trades = desk.rows(BillingRecordRecord, kind="trade")
    assert [row.order_id for row in trades] == [entry.id, close.id, second.id, stop.id]
    assert {row.amount for row in desk.rows(BillingRecordRecord)} == {Decimal(0)}
    assert [row.close_reason for row in desk.rows(PositionRecord)] == ["close", "stop_loss"]
    desk.adds_up(portfolio)


@pytest.mark.req("SYS-013", "INT-007", "INT-013")
@pytest.mark.parametrize("point", ["intent.before_commit", "outcome.before_commit"])
def test_order_event_and_audit_row_come_together_or_not_at_all(house: House, point: str) -> None:
    def reach(step: str) -> None:
        if step == point:
            raise RuntimeError("the disk is full")

    desk = Desk.open(house, PLUGINS, reach=reach)
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", flat_bars([LEVEL, LEVEL]))
    house.asset(portfolio, "EUR_USD", bars, **script("b"))
    with pytest.raises(RuntimeError):
        desk.cycle(portfolio)
    orders = desk.rows(OrderRecord)
    assert len(orders) == (0 if point.startswith("intent") else 1)
    events = [(row.order_id, row.to_status) for row in desk.rows(OrderEventRecord)]
    audits = [
        (row.object_id, row.action.removeprefix("order."))
        for row in desk.rows(AuditLogRecord, object_type="order")
    ]
    assert events == audits == [(order.id, "created") for order in orders]
    assert desk.last_cycle(portfolio).status == "failed"
    desk.owner.close()


@pytest.mark.req("SYS-006", "STC-001")
def test_the_equity_point_is_what_the_venue_says(desk: Desk, house: House) -> None:
    prices = [LEVEL, LEVEL, LEVEL + 0.0007, LEVEL - 0.0003, LEVEL + 0.0011, LEVEL]
    bars = house.dataset("EUR_USD", flat_bars(prices))
    portfolio = house.portfolio()
    asset = house.asset(portfolio, "EUR_USD", bars, **script("s..c"))
    [account] = desk.rows(BrokerAccountRecord)
    for _ in prices:
        desk.cycle(portfolio)
        point = desk.rows(EquityPointRecord)[-1]
        state = house.venues.venue(account.venue_key).account()
        assert (point.balance, point.equity) == (state.balance, state.equity)
        unrealized = sum((row.unrealized_pnl for row in desk.rows(PositionRecord)), Decimal(0))
        assert point.equity - point.balance == unrealized
    assert len(desk.rows(EquityPointRecord)) == len(prices)
    [position] = desk.rows(PositionRecord, asset_id=asset)
    assert position.unrealized_pnl == 0
    assert position.realized_pnl < 0


@pytest.mark.req("SYS-001", "STC-001")
@pytest.mark.parametrize("enabled", [True, False])
def test_statistics_can_be_switched_off_and_nothing_else_is(
    desk: Desk, house: House, enabled: bool
) -> None:
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 5))
    portfolio = house.portfolio(pipeline_config={"statistics_enabled": enabled})
    house.asset(portfolio, "EUR_USD", bars, **script("b.c"))
    desk.cycles(portfolio, 5)
    figures = {row.key: row.value for row in desk.rows(StatisticRecord)}
    if enabled:
        [position] = desk.rows(PositionRecord)
        net = position.realized_pnl - position.commission - position.swap
        assert figures["closed_positions"] == 1
        assert figures["net_profit"] == float(net)
        assert figures["win_rate"] == 0
    else:
        assert figures == {}
    assert len(desk.rows(DecisionRecord)) == len(desk.rows(EquityPointRecord)) == 5
    assert len(desk.rows(FillRecord)) == 2
    assert len(desk.rows(BillingRecordRecord)) == 5 + 2


@pytest.mark.req("SYS-001")
def test_what_rests_on_synthetic_bars_says_so(desk: Desk, house: House) -> None:
    portfolio = house.portfolio()
    real = house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([LEVEL])))
    made = house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD"))
    desk.cycle(portfolio)
    assert (desk.decision(real).synthetic, desk.decision(made).synthetic) == (False, True)
    assert desk.decision(made).inputs["origin"] == "synthetic"


@pytest.mark.req("SYS-008", "INT-004", "STC-001")
def test_every_plugin_of_the_cycle_leaves_its_debug_information(desk: Desk, house: House) -> None:
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 2))
    asset = house.asset(
        portfolio, "EUR_USD", bars, strategy_plugin="tidy", strategy_config={"letters": "."}
    )
    desk.cycle(portfolio)
    rows = {(row.family, row.name, row.scope): row for row in desk.rows(PluginSnapshotRecord)}
    assert set(rows) == {
        ("strategy", "tidy", f"asset:{asset}"),
        ("broker", "backtrader_simulation_broker", f"asset:{asset}"),
        ("portfolio", "default_portfolio", f"portfolio:{portfolio}"),
        ("pipeline", "default_pipeline", f"portfolio:{portfolio}"),
    }
    debug = rows["strategy", "tidy", f"asset:{asset}"].debug
    assert debug == {"nan": "NaN", "set": "{1}", "api_key": "•••", "7": [1, "two"]}
    before = rows["strategy", "tidy", f"asset:{asset}"].recorded_at
    house.clock.pass_(minutes=5)
    desk.cycle(portfolio)
    [row] = desk.rows(PluginSnapshotRecord, family="strategy")
    assert row.recorded_at == before, "what did not change was written again"
