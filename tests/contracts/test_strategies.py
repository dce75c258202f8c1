"""The card of the strategy family, played through its gate."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest

from lts_web.plugins.boundary import PositionInput, asset_data, market_data
from lts_web.plugins.gates import StrategyGate
from lts_web.trading.decisions import Close, Decision, Hold, Open
from lts_web.trading.money import RateTable
from lts_web.trading.orders import Approved, Denied
from lts_web.trading.risk import RiskLimits, RiskState, review_open
from tests.contracts.cards import RUNNER, TIMEOUT_SECONDS, Market
from tests.contracts.plugins import make

STATE = RiskState(
    capital=Decimal(5000),
    equity=Decimal(10_000),
    free_margin=Decimal(10_000),
    exposure=Decimal(0),
    open_positions=0,
)


def _decide(name: str, market: Market, index: int, *positions: PositionInput) -> Decision:
    gate = StrategyGate(make("strategy", name), RUNNER, TIMEOUT_SECONDS)
    return gate.decide(market.inputs(*positions), market.view(index), market.history(index))


@pytest.mark.req("INT-002", "SYS-001")
@pytest.mark.parametrize("instrument", ["EUR_USD", "USD_JPY"])
class TestStrategies:
    families = ("strategy",)

    def test_every_answer_is_a_decision(
        self, family: str, plugin_name: str, instrument: str
    ) -> None:
        market = Market(instrument)
        for index in range(0, len(market.bars), 3):
            decision = _decide(plugin_name, market, index)
            assert isinstance(decision, Open | Hold), "flat, it may only open or hold"

    def test_every_entry_is_approved_or_denied_with_a_code(
        self, family: str, plugin_name: str, instrument: str
    ) -> None:
        market = Market(instrument)
        for index in range(len(market.bars)):
            decision = _decide(plugin_name, market, index)
            if isinstance(decision, Open):
                view = market.view(index)
                assert view.bar is not None
                rates = RateTable({instrument: view.bar.close})
                verdict = review_open(decision, view, market.instrument, STATE, RiskLimits(), rates)
                assert isinstance(verdict, Approved | Denied)

    def test_it_lives_with_a_position(self, family: str, plugin_name: str, instrument: str) -> None:
        market = Market(instrument)
        for side in ("long", "short"):
            for index in (20, 21, 60):
                decision = _decide(plugin_name, market, index, market.position(15, side))
                assert isinstance(decision, Open | Close | Hold)
                if isinstance(decision, Close):
                    assert decision.position_id in (None, 5), "it closes its own position only"

    def test_a_restart_changes_no_decision(
        self, family: str, plugin_name: str, instrument: str
    ) -> None:
        market = Market(instrument)
        lasting = StrategyGate(make("strategy", plugin_name), RUNNER, TIMEOUT_SECONDS)
        for index in range(40, 60):
            kept = lasting.decide(market.inputs(), market.view(index), market.history(index))
            assert kept == _decide(plugin_name, market, index)

    def test_it_leaves_what_it_is_given_alone(
        self, family: str, plugin_name: str, instrument: str
    ) -> None:
        market = Market(instrument)
        asset = asset_data(market.inputs(market.position(20)))
        before_asset = copy.deepcopy(asset)
        seen = market_data(market.view(30), market.history(30))
        before_market = dict(seen)
        make("strategy", plugin_name).decide(asset, seen)
        assert asset == before_asset
        assert seen == before_market
