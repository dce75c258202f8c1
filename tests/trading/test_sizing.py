"""Sizing: the least of the caps, on the step, and monotone in what it is computed from."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.instruments import Instrument, find_instrument
from lts_web.trading.sizing import SizingInputs, size_order

EUR_USD = find_instrument("EUR_USD")
STEPPED = replace(EUR_USD, unit_step=1000, minimum_units=1000)
MONEY = st.decimals("-1000", "1e7", places=4)
PRICES = st.decimals("0.01", "300", places=5)
FRACTIONS = st.decimals("0", "1", places=4)

INPUTS = st.builds(
    SizingInputs,
    capital=MONEY,
    equity=MONEY,
    free_margin=MONEY,
    price=PRICES,
    stop_loss=st.none() | PRICES,
    rate=st.decimals("0.001", "200", places=6),
    position_size=FRACTIONS,
    max_risk_per_trade=FRACTIONS,
    leverage=st.decimals("1", "500", places=2),
    explicit_units=st.none() | st.decimals("0.01", "1e9", places=2),
)
INSTRUMENTS = st.sampled_from([EUR_USD, STEPPED, replace(EUR_USD, maximum_units=5000)])


@given(INSTRUMENTS, INPUTS)
def test_no_cap_is_exceeded_and_the_size_lies_on_the_step(
    instrument: Instrument, inputs: SizingInputs
) -> None:
    sized = size_order(instrument, inputs)
    caps = dict(sized.caps)
    assert sized.units >= 0
    assert sized.units % instrument.unit_step == 0
    assert all(sized.units <= max(cap, 0) for cap in caps.values())
    assert caps[sized.binding_cap] == min(caps.values())
    assert sized.units + instrument.unit_step > min(caps.values()), "a whole step was left over"
    assert sized.units <= instrument.maximum_units


@given(INPUTS)
def test_the_money_behind_each_cap_is_kept(inputs: SizingInputs) -> None:
    units = size_order(EUR_USD, inputs).units
    notional = units * inputs.price * inputs.rate
    # The divisions carry 28 digits, so a product may miss its bound by the last of them.
    slack = 1 + Decimal("1e-24")
    if units:
        assert notional <= inputs.free_margin * inputs.leverage * slack
        assert notional <= inputs.capital * inputs.position_size * inputs.leverage * slack
        if inputs.stop_loss is not None:
            loss = abs(inputs.price - inputs.stop_loss) * units * inputs.rate
            assert not loss or loss <= inputs.max_risk_per_trade * inputs.equity * slack
        if inputs.explicit_units is not None:
            assert units <= inputs.explicit_units


@given(
    INPUTS,
    st.sampled_from(
        ["capital", "equity", "free_margin", "position_size", "max_risk_per_trade", "leverage"]
    ),
    st.decimals("0", "1e6", places=4),
)
def test_more_means_never_less(inputs: SizingInputs, name: str, more: Decimal) -> None:
    richer = replace(inputs, **{name: getattr(inputs, name) + more})
    assert size_order(EUR_USD, richer).units >= size_order(EUR_USD, inputs).units


@given(INPUTS, st.decimals("0", "10", places=5))
def test_a_wider_stop_is_never_a_larger_order(inputs: SizingInputs, wider: Decimal) -> None:
    if inputs.stop_loss is not None:
        sign = 1 if inputs.stop_loss >= inputs.price else -1
        farther = replace(inputs, stop_loss=inputs.stop_loss + sign * wider)
        if inputs.stop_loss != inputs.price:
            assert size_order(EUR_USD, farther).units <= size_order(EUR_USD, inputs).units


@pytest.mark.parametrize(
    ("changes", "units", "cap"),
    [
        ({}, 20_000, "risk"),  # 0.02 × 10,000 / (1.10 − 1.09)
        ({"stop_loss": None}, 54_545, "capital"),  # 10,000 × 0.2 × 30 / 1.10
        ({"free_margin": Decimal(100)}, 2_727, "margin"),  # 100 × 30 / 1.10
        ({"explicit_units": Decimal("1234.9")}, 1_234, "quantity"),
        ({"rate": Decimal("0.5"), "stop_loss": Decimal("1.06")}, 10_000, "risk"),
    ],
)
def test_examples_worked_by_hand(changes: dict[str, Decimal], units: int, cap: str) -> None:
    inputs = SizingInputs(
        capital=Decimal(10_000),
        equity=Decimal(10_000),
        free_margin=Decimal(10_000),
        price=Decimal("1.10"),
        stop_loss=Decimal("1.09"),
        rate=Decimal(1),
        position_size=Decimal("0.2"),
        max_risk_per_trade=Decimal("0.02"),
        leverage=Decimal(30),
    )
    sized = size_order(EUR_USD, replace(inputs, **changes))
    assert (sized.units, sized.binding_cap) == (units, cap)


def test_the_largest_order_binds_the_rich() -> None:
    inputs = SizingInputs(
        *(Decimal("1e12"),) * 3,
        price=Decimal(1),
        stop_loss=None,
        rate=Decimal(1),
        position_size=Decimal(1),
        max_risk_per_trade=Decimal(1),
        leverage=Decimal(1),
    )
    sized = size_order(EUR_USD, inputs)
    assert (sized.units, sized.binding_cap) == (EUR_USD.maximum_units, "maximum")
