"""`default_portfolio`: three ways of sharing, never above the whole, the rest in cash."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.plugins.boundary import AllocationRow, allocation_assets, read_allocation
from lts_web.plugins.portfolio.default_portfolio import METHODS, DefaultPortfolio
from lts_web.trading.allocation import check_allocation

CAPITAL = Decimal(10_000)


def _assets(*volatilities: float | None, weights: list[float | None] | None = None) -> list[Any]:
    present = weights or [None] * len(volatilities)
    return allocation_assets(
        [
            AllocationRow(number, "EUR_USD", CAPITAL, CAPITAL, volatility, weight)
            for number, (volatility, weight) in enumerate(
                zip(volatilities, present, strict=True), start=1
            )
        ]
    )


@pytest.mark.req("PLG-PORT")
class TestDefaultPortfolio:
    def test_equal_weight(self) -> None:
        answer = DefaultPortfolio().allocate(1, _assets(None, 0.1, 0.2, 0.3))
        assert answer == {"allocations": {1: 2500.0, 2: 2500.0, 3: 2500.0, 4: 2500.0}, "cash": 0.0}

    def test_fixed_fraction_leaves_the_rest_in_cash(self) -> None:
        plugin = DefaultPortfolio({"method": "fixed_fraction", "fraction": 0.3})
        answer = plugin.allocate(1, _assets(None, None))
        assert answer == {"allocations": {1: 3000.0, 2: 3000.0}, "cash": 4000.0}

    def test_fractions_that_are_too_much_together_are_scaled_down(self) -> None:
        plugin = DefaultPortfolio({"method": "fixed_fraction", "fraction": 0.5})
        assert plugin.allocate(1, _assets(*[None] * 4))["allocations"][1] == 2500.0

    def test_inverse_volatility_gives_the_calm_more(self) -> None:
        plugin = DefaultPortfolio({"method": "inverse_volatility"})
        answer = plugin.allocate(1, _assets(0.001, 0.003))
        assert answer["allocations"] == {1: 7500.0, 2: 2500.0}

    def test_an_unknown_volatility_counts_as_the_middle_one(self) -> None:
        plugin = DefaultPortfolio({"method": "inverse_volatility"})
        amounts = plugin.allocate(1, _assets(0.001, 0.002, 0.004, None))["allocations"]
        assert amounts[4] == amounts[2]

    def test_the_window_of_the_volatility_is_stated(self) -> None:
        assert DefaultPortfolio.plugin_params["volatility_window"] == 100

    def test_an_unknown_method_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(ValueError, match="equal_weight, fixed_fraction, inverse_volatility"):
            DefaultPortfolio({"method": "all_in"})

    def test_small_drift_moves_nothing_and_large_drift_moves_all(self) -> None:
        plugin = DefaultPortfolio({"rebalance_threshold": 0.05})
        kept = plugin.allocate(1, _assets(None, None, weights=[0.46, 0.54]))
        assert kept["allocations"] == {1: 4600.0, 2: 5400.0}
        moved = plugin.allocate(1, _assets(None, None, weights=[0.44, 0.56]))
        assert moved["allocations"] == {1: 5000.0, 2: 5000.0}

    @pytest.mark.parametrize("weights", [[None, 0.5], [0.6, 0.6]])
    def test_weights_that_cannot_be_kept_are_not(self, weights: list[float | None]) -> None:
        plugin = DefaultPortfolio({"rebalance_threshold": 0.5})
        answer = plugin.allocate(1, _assets(None, None, weights=weights))
        assert answer["allocations"] == {1: 5000.0, 2: 5000.0}

    def test_rebalance_ignores_the_threshold(self) -> None:
        plugin = DefaultPortfolio({"rebalance_threshold": 0.5})
        answer = plugin.rebalance(1, _assets(None, None, weights=[0.4, 0.6]))
        assert answer["allocations"] == {1: 5000.0, 2: 5000.0}
        assert plugin.rebalance() == {}

    def test_the_last_allocations_can_be_read(self) -> None:
        plugin = DefaultPortfolio()
        assert plugin.get_allocations() == {}
        plugin.allocate(3, _assets(None, None))
        assert plugin.get_allocations(3) == {1: 5000.0, 2: 5000.0}
        assert plugin.get_allocations() == {3: {1: 5000.0, 2: 5000.0}}
        assert plugin.get_allocations(4) == {}

    def test_operations_show_in_the_debug_information_only(self) -> None:
        plugin = DefaultPortfolio()
        before = plugin.allocate(1, _assets(None))
        plugin.update(1, {"action": "open"})
        assert plugin.get_debug_info()["last_operation"] == {"portfolio_id": 1, "action": "open"}
        assert plugin.allocate(1, _assets(None)) == before

    def test_without_assets_all_is_cash(self) -> None:
        assert DefaultPortfolio().allocate(1, []) == {"allocations": {}, "cash": 0.0}

    @given(
        method=st.sampled_from(METHODS),
        fraction=st.floats(0, 1),
        threshold=st.sampled_from([0.0, 0.05, 1.0]),
        capital=st.decimals(min_value=0, max_value=10**9, places=4),
        assets=st.lists(
            st.tuples(st.none() | st.floats(1e-7, 1), st.none() | st.floats(0, 1, allow_nan=False)),
            min_size=1,
            max_size=12,
        ),
    )
    def test_it_never_gives_away_more_than_there_is(
        self,
        method: str,
        fraction: float,
        threshold: float,
        capital: Decimal,
        assets: list[tuple[float | None, float | None]],
    ) -> None:
        plugin = DefaultPortfolio(
            {"method": method, "fraction": fraction, "rebalance_threshold": threshold}
        )
        rows = [
            AllocationRow(number, "EUR_USD", capital, capital, volatility, weight)
            for number, (volatility, weight) in enumerate(assets)
        ]
        answer = plugin.allocate(1, allocation_assets(rows))
        checked = check_allocation(capital, range(len(rows)), read_allocation(answer))
        assert sum(checked.values()) <= capital
        assert answer["cash"] >= -0.01
