"""The costs of the documented simulation, on examples worked by hand and as properties."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.costs import CostModel
from lts_web.trading.instruments import Side, find_instrument

EUR_USD, USD_JPY = find_instrument("EUR_USD"), find_instrument("USD_JPY")
COSTS = CostModel(Decimal("1.5"), Decimal("0.5"), Decimal(7), Decimal(3))
PIPS = st.decimals("0", "50", places=3)
UNITS = st.integers(-(10**7), 10**7).filter(bool)


@pytest.mark.req("PLG-BRK-2")
def test_spread_and_slippage_are_both_paid_at_the_entry() -> None:
    assert COSTS.entry_price(EUR_USD, Side.BUY, Decimal("1.1")) == Decimal("1.1002")
    assert COSTS.entry_price(EUR_USD, Side.SELL, Decimal("1.1")) == Decimal("1.0998")
    assert COSTS.entry_price(USD_JPY, Side.BUY, Decimal(150)) == Decimal("150.02")


@pytest.mark.req("PLG-BRK-2")
def test_commission_is_by_lots_and_swap_by_elapsed_days() -> None:
    assert COSTS.commission(EUR_USD, -50_000, Decimal(1)) == Decimal("3.5")
    assert COSTS.commission(EUR_USD, 50_000, Decimal("0.9")) == Decimal("3.15")
    assert COSTS.swap(EUR_USD, 50_000, timedelta(hours=36), Decimal(1)) == Decimal("2.25")
    assert COSTS.swap(EUR_USD, -50_000, timedelta(hours=36), Decimal(1)) == Decimal("2.25")
    assert COSTS.swap(EUR_USD, 50_000, timedelta(seconds=-1), Decimal(1)) == 0


def test_the_parts_of_the_entry_are_named_in_money() -> None:
    assert COSTS.entry_spread_cost(EUR_USD, -10_000, Decimal(1)) == Decimal("1.5")
    assert COSTS.entry_slippage_cost(EUR_USD, 10_000, Decimal("0.5")) == Decimal("0.25")


@given(spread=PIPS, slippage=PIPS, side=st.sampled_from(Side), raw=st.decimals("1", "2", places=8))
def test_costs_never_better_a_price_and_cost_less_than_a_step_too_much(
    spread: Decimal, slippage: Decimal, side: Side, raw: Decimal
) -> None:
    price = CostModel(spread, slippage).entry_price(EUR_USD, side, raw)
    worse = side.sign * (price - raw)
    owed = (spread + slippage) * EUR_USD.pip
    assert owed <= worse < owed + EUR_USD.price_step
    assert price % EUR_USD.price_step == 0


@given(
    units=UNITS, rate=st.decimals("0.001", "200", places=6), seconds=st.integers(-(10**6), 10**8)
)
def test_costs_are_never_negative_and_equal_for_both_sides(
    units: int, rate: Decimal, seconds: int
) -> None:
    held = timedelta(seconds=seconds)
    assert COSTS.commission(EUR_USD, units, rate) == COSTS.commission(EUR_USD, -units, rate) >= 0
    assert COSTS.swap(EUR_USD, units, held, rate) == COSTS.swap(EUR_USD, -units, held, rate) >= 0
