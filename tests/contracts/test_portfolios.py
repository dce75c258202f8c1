"""The card of the portfolio family, played through its gate."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lts_web.plugins.boundary import AllocationRow
from lts_web.plugins.gates import PortfolioGate
from tests.contracts.cards import RUNNER, TIMEOUT_SECONDS
from tests.contracts.plugins import make

INSTRUMENTS = ("EUR_USD", "USD_JPY", "EUR_GBP")


def _rows(count: int, capital: Decimal, weight: float | None = None) -> list[AllocationRow]:
    return [
        AllocationRow(
            asset_id=10 + number,
            instrument=INSTRUMENTS[number % 3],
            capital=capital,
            equity=capital,
            volatility=None if number % 4 == 3 else 0.0005 * (1 + number),
            weight=weight,
        )
        for number in range(count)
    ]


def _gate(name: str) -> PortfolioGate:
    return PortfolioGate(make("portfolio", name), RUNNER, TIMEOUT_SECONDS)


@pytest.mark.req("INT-002", "PLG-PORT")
class TestPortfolios:
    families = ("portfolio",)

    @pytest.mark.parametrize("count", [1, 2, 7, 100])
    @pytest.mark.parametrize("capital", ["10000", "0.05", "123456789.1234"])
    def test_it_gives_away_no_more_than_there_is(
        self, family: str, plugin_name: str, count: int, capital: str
    ) -> None:
        rows = _rows(count, Decimal(capital))
        amounts = _gate(plugin_name).allocate(1, rows)
        assert set(amounts) == {row.asset_id for row in rows}
        assert all(amount >= 0 for amount in amounts.values())
        assert sum(amounts.values()) <= Decimal(capital)

    def test_without_capital_nobody_gets_any(self, family: str, plugin_name: str) -> None:
        amounts = _gate(plugin_name).allocate(1, _rows(3, Decimal(0)))
        assert set(amounts.values()) == {Decimal(0)}

    def test_weights_of_now_are_welcome(self, family: str, plugin_name: str) -> None:
        rows = _rows(4, Decimal(10_000), weight=0.25)
        assert sum(_gate(plugin_name).allocate(1, rows).values()) <= 10_000

    def test_without_assets_there_is_nothing_to_say(self, family: str, plugin_name: str) -> None:
        answer = make("portfolio", plugin_name).allocate(1, [])
        assert not answer.get("allocations")

    def test_a_restart_changes_nothing(self, family: str, plugin_name: str) -> None:
        lasting = _gate(plugin_name)
        rows = _rows(5, Decimal(10_000))
        assert lasting.allocate(1, rows) == lasting.allocate(1, rows)
        assert lasting.allocate(1, rows) == _gate(plugin_name).allocate(1, rows)

    def test_it_hears_of_operations(self, family: str, plugin_name: str) -> None:
        _gate(plugin_name).update(1, {"asset_id": 10, "action": "open", "success": True})
