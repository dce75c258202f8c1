"""`run_simulation` and the worker's replay of the same bars give identical fills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from lts_web.plugins import StrategyPluginBase
from lts_web.plugins.strategy.default_strategy import DefaultStrategy
from lts_web.trading.calendar import bar_in_calendar
from lts_web.trading.instruments import find_instrument
from lts_web.trading.synthetic import SyntheticSeries
from tests.cycle.agreement import BarRow, Terms, replayed, simulated
from tests.cycle.desk import Desk
from tests.cycle.plugins import Momentum
from tests.cycle.real_bars import EURUSD, INSTRUMENTS, USDJPY, needs_real_bars, real_rows

STRATEGIES: dict[str, tuple[type[StrategyPluginBase], dict[str, Any]]] = {
    "default_strategy": (
        DefaultStrategy,
        {"entry_interval_bars": 3, "holding_bars": 6, "stop_loss_pips": 15.0,
         "take_profit_pips": 20.0, "position_size": 0.3},
    ),
    "momentum": (Momentum, {"window": 8}),
}  # fmt: skip


def synthetic(instrument: str, price: str, count: int, seed: int = 3) -> list[BarRow]:
    """Return bars of the model, from a Thursday on, with two far-off bars in the weekend."""
    model = SyntheticSeries(
        seed=seed,
        instrument=instrument,
        timeframe="H1",
        price_precision=find_instrument(instrument).price_precision,
        start_price=Decimal(price),
        origin=datetime(2024, 3, 7, 6, tzinfo=UTC),
    )
    bars: list[BarRow] = list(model.bars(0, count))
    hour = timedelta(hours=1)
    weekend = next(n for n, bar in enumerate(bars) if bars[n + 1][0] - bar[0] > hour)
    shifted = [
        (time, *(price * Decimal("1.02") for price in bars[weekend][1:]))
        for time in (bars[weekend][0] + hour, bars[weekend + 1][0] - hour)
    ]
    outside = [
        (time, *(round(price, model.price_precision) for price in prices))
        for time, *prices in shifted
    ]
    assert not any(bar_in_calendar(bar[0]) for bar in outside)
    return bars[: weekend + 1] + outside + bars[weekend + 1 :]


def agree(desk: Desk, terms: Terms, bars: list[BarRow], name: str, least: int) -> None:
    strategy, config = STRATEGIES[name]
    expected = simulated(terms, bars, strategy, config)
    assert replayed(desk, terms, bars, name, config) == expected
    assert len(expected) >= least, "so few fills prove nothing"


@pytest.mark.usefixtures("hurried")
@pytest.mark.req("SYS-001", "SYS-006", "STC-001")
@needs_real_bars
@pytest.mark.parametrize(("file", "name"), [(EURUSD, "default_strategy"), (USDJPY, "momentum")])
def test_on_real_bars(desk: Desk, file: str, name: str) -> None:
    agree(desk, Terms(INSTRUMENTS[file]), real_rows(file, 220, skip=100), name, 20)


@pytest.mark.usefixtures("hurried")
@pytest.mark.req("SYS-001", "SYS-006")
@pytest.mark.parametrize(
    ("instrument", "price", "name"),
    [("EUR_USD", "1.1", "momentum"), ("USD_JPY", "150", "default_strategy")],
)
def test_on_synthetic_bars(desk: Desk, instrument: str, price: str, name: str) -> None:
    costs = {"spread_pips": 1.3, "slippage_pips": 0.4, "commission_per_lot": 5.5}
    bars = synthetic(instrument, price, 150)
    agree(desk, Terms(instrument, costs=costs, capital=3_333), bars, name, 12)


@pytest.mark.usefixtures("hurried")
@pytest.mark.req("SYS-006")
@pytest.mark.parametrize(
    ("instrument", "price", "currency", "pair", "rate"),
    [("EUR_GBP", "0.85", "USD", "GBP_USD", "1.26"), ("USD_JPY", "150", "EUR", "EUR_USD", "1.09")],
)
def test_in_an_account_of_another_currency(
    desk: Desk, instrument: str, price: str, currency: str, pair: str, rate: str
) -> None:
    bars = synthetic(instrument, price, 110)
    # The pair that converts has holes of its own.
    conversion = [
        row for number, row in enumerate(synthetic(pair, rate, 110, seed=9)) if number % 7 != 5
    ]
    terms = Terms(instrument, currency, conversions={pair: conversion})
    agree(desk, terms, bars, "momentum", 8)
