"""`default_strategy`: it trades by the number of the bar, remembers nothing, and says so."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from lts_web.plugins.boundary import PositionInput, asset_data, market_data, read_decision
from lts_web.plugins.registry import ParameterError, resolve_parameters
from lts_web.plugins.strategy.default_strategy import DefaultStrategy
from lts_web.trading.decisions import Close, Decision, Hold, Open
from lts_web.trading.instruments import Side
from lts_web.trading.sizing import SizingInputs, size_order
from tests.contracts.cards import HOUR, Market

DOCUMENTED = {
    "position_size": 0.02,
    "max_risk_per_trade": 0.02,
    "prediction_threshold": 0.6,
    "stop_loss_pips": 80,
    "take_profit_pips": 100,
    "order_type": "market",
}


def _decide(
    market: Market,
    index: int,
    *positions: PositionInput,
    predictions: tuple[dict[str, Any], ...] = (),
    **config: Any,
) -> Decision:
    seen = market_data(market.view(index), market.history(index), predictions)
    return read_decision(
        DefaultStrategy(config).decide(asset_data(market.inputs(*positions)), seen)
    )


def _entries(market: Market, **config: Any) -> dict[int, Open]:
    decisions = {i: _decide(market, i, **config) for i in range(len(market.bars))}
    return {index: one for index, one in decisions.items() if isinstance(one, Open)}


@pytest.mark.req("PLG-STRAT-1")
class TestDefaultStrategy:
    def test_the_documented_parameters_have_their_defaults(self) -> None:
        assert {name: DefaultStrategy.plugin_params[name] for name in DOCUMENTED} == DOCUMENTED

    def test_it_is_labelled_a_demonstration(self) -> None:
        assert "demonstration" in (DefaultStrategy.__doc__ or "").lower()
        for decision in (_decide(Market(), 3), _decide(Market(), 30, Market().position(5))):
            assert decision.reason.startswith("Demonstration")

    def test_flat_it_opens_every_few_bars(self) -> None:
        indices = list(_entries(Market()))
        assert indices[0] < 5
        assert {after - before for before, after in pairwise(indices)} == {5}

    def test_buys_and_sells_take_turns(self) -> None:
        sides = [one.side for one in _entries(Market()).values()]
        assert len(sides) > 20
        assert all(a is not b for a, b in pairwise(sides))

    def test_a_weekend_changes_no_turn(self) -> None:
        entries = _entries(Market(count=240))
        assert {index % 5 for index in entries} == {next(iter(entries)) % 5}

    @pytest.mark.parametrize("instrument", ["EUR_USD", "USD_JPY"])
    def test_stop_and_target_lie_pips_from_the_price_of_the_entry(self, instrument: str) -> None:
        market = Market(instrument)
        pip = market.instrument.pip
        for index, entry in _entries(market).items():
            quote = market.view(index).quote
            assert quote is not None
            price = quote.ask if entry.side is Side.BUY else quote.bid
            assert entry.stop_loss is not None
            assert entry.take_profit is not None
            stop = market.instrument.round_price(entry.stop_loss)
            target = market.instrument.round_price(entry.take_profit)
            step = market.instrument.price_step
            assert abs(stop - (price - entry.side.sign * 80 * pip)) <= step
            assert abs(target - (price + entry.side.sign * 100 * pip)) <= step

    def test_the_house_sizes_the_order(self) -> None:
        assert all(entry.units is None for entry in _entries(Market()).values())

    @pytest.mark.parametrize(("size", "risk", "cap"), [(0.02, 1.0, "capital"), (1, 0.01, "risk")])
    def test_its_two_fractions_bind(self, size: float, risk: float, cap: str) -> None:
        market = Market()
        sized = size_order(
            market.instrument,
            SizingInputs(
                capital=Decimal(10_000),
                equity=Decimal(10_000),
                free_margin=Decimal(10_000),
                price=Decimal("1.1"),
                stop_loss=Decimal("1.092"),
                rate=Decimal(1),
                position_size=Decimal(str(size)),
                max_risk_per_trade=Decimal(str(risk)),
                leverage=Decimal(30),
            ),
        )
        assert sized.binding_cap == cap

    def test_it_holds_a_position_for_its_time_and_closes_it(self) -> None:
        market = Market()
        position = market.position(10)
        for index in range(10, 22):
            assert isinstance(_decide(market, index, position), Hold if index < 21 else Close)
        assert isinstance(_decide(market, 60, position), Close)

    def test_unsure_predictions_keep_it_out(self) -> None:
        market = Market()
        index = next(iter(_entries(market)))
        for confidence, kind in ((0.59, Hold), (0.6, Open), (None, Open)):
            rows = ({"horizon": 1, "confidence": 1.0}, {"horizon": 2, "confidence": confidence})
            assert isinstance(_decide(market, index, predictions=rows), kind)

    def test_its_own_parameters_do_what_they_say(self) -> None:
        market = Market()
        assert set(_entries(market, entry_interval_bars=1)) == set(range(len(market.bars)))
        assert isinstance(_decide(market, 12, market.position(10), holding_bars=3), Close)
        entry = next(iter(_entries(market, stop_loss_pips=10, take_profit_pips=20).values()))
        assert entry.take_profit is not None
        assert entry.stop_loss is not None
        assert abs(entry.take_profit - entry.stop_loss) == pytest.approx(Decimal("0.003"))

    def test_bars_of_every_length_are_counted(self) -> None:
        for timeframe, length in (("M1", timedelta(minutes=1)), ("M10", 10 * HOUR / 60),
                                  ("H4", 4 * HOUR), ("D1", 24 * HOUR)):  # fmt: skip
            market = Market()
            asset = asset_data(market.inputs()) | {"timeframe": timeframe}
            seen = market_data(market.view(5), market.history(5))
            actions = []
            for number in range(5):
                seen["time"] = market.bars[5].open_time.replace(hour=0) + number * length
                actions.append(DefaultStrategy().decide(asset, seen)["action"])
            assert actions.count("open") == 1, timeframe

    @pytest.mark.parametrize(
        "values",
        [
            {"position_size": 1.5},
            {"max_risk_per_trade": -0.1},
            {"stop_loss_pips": 0},
            {"order_type": "limit"},
            {"entry_interval_bars": 0},
            {"holding_bars": 1.5},
        ],
    )
    def test_parameters_that_make_no_sense_are_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(ParameterError):
            resolve_parameters(DefaultStrategy, values)
