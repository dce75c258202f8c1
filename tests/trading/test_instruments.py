"""Instruments: their names, and rounding of prices and sizes."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.instruments import (
    CURRENCIES,
    Instrument,
    InstrumentError,
    Side,
    find_instrument,
    normalise_instrument,
)

PAIRS = sorted(f"{base}_{quote}" for base, quote in permutations(CURRENCIES, 2))
INSTRUMENTS = st.sampled_from(PAIRS).map(find_instrument)
PRICES = st.decimals("0.00001", "200000", places=8)


@given(
    pair=st.sampled_from(PAIRS),
    separator=st.sampled_from(["_", "", "/", "-"]),
    lower=st.booleans(),
    padding=st.sampled_from(["", " ", "\t"]),
)
def test_every_usual_spelling_leads_to_one_name(
    pair: str, separator: str, lower: bool, padding: str
) -> None:
    written = padding + pair.replace("_", separator) + padding
    assert normalise_instrument(written.lower() if lower else written) == pair
    assert find_instrument(written).name == pair


@pytest.mark.req("SYS-018", "SYS-019")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EURUS", "currency pair"),
        ("EUR__USD", "currency pair"),
        ("EUR_USD_JPY", "currency pair"),
        ("", "currency pair"),
        ("ÉUR_USD", "currency pair"),
        ("EUR_XXX", "XXX in EUR_XXX is not a currency"),
        ("EUR_EUR", "with itself"),
        ("EUR_USD\n; DROP TABLE", "currency pair"),
    ],
)
def test_other_names_are_refused_with_words_that_help(name: str, words: str) -> None:
    with pytest.raises(InstrumentError, match=words):
        normalise_instrument(name)


def test_the_pip_follows_the_quote_currency() -> None:
    assert (find_instrument("EUR_USD").pip, find_instrument("EUR_USD").price_precision) == (
        Decimal("0.0001"),
        5,
    )
    assert (find_instrument("USDJPY").pip, find_instrument("USDJPY").price_precision) == (
        Decimal("0.01"),
        3,
    )
    assert find_instrument("JPY_USD").pip == Decimal("0.0001")
    assert find_instrument("EUR_HUF").pip == Decimal("0.01")


@given(INSTRUMENTS)
def test_ten_price_steps_are_a_pip(instrument: Instrument) -> None:
    assert instrument.price_step * 10 == instrument.pip
    assert instrument.pips(instrument.pip) == 1
    assert f"{instrument.base}_{instrument.quote}" == instrument.name


@given(INSTRUMENTS, PRICES)
def test_prices_are_rounded_to_the_grid_by_half_a_step_at_most(
    instrument: Instrument, price: Decimal
) -> None:
    rounded = instrument.round_price(price)
    assert rounded % instrument.price_step == 0
    assert abs(rounded - price) <= instrument.price_step / 2
    assert instrument.round_price(rounded) == rounded


@given(INSTRUMENTS, PRICES)
def test_rounding_against_the_trader_never_helps_him(
    instrument: Instrument, price: Decimal
) -> None:
    bought = instrument.round_against(price, Side.BUY)
    sold = instrument.round_against(price, Side.SELL)
    assert price <= bought < price + instrument.price_step
    assert price - instrument.price_step < sold <= price
    assert bought % instrument.price_step == sold % instrument.price_step == 0


@given(st.decimals("-1e9", "1e9", places=4), st.sampled_from([1, 10, 1000]))
def test_units_are_rounded_toward_zero_to_the_step(units: Decimal, step: int) -> None:
    instrument = Instrument("EUR_USD", "EUR", "USD", Decimal("0.0001"), 5, unit_step=step)
    rounded = instrument.round_units(units)
    assert rounded % step == 0
    assert abs(rounded) <= abs(units) < abs(rounded) + step
    assert rounded * units >= 0


@given(st.integers(-(10**8), 10**8))
def test_lots_are_unsigned(units: int) -> None:
    instrument = find_instrument("EUR_USD")
    assert instrument.lots(units) == instrument.lots(-units) == abs(Decimal(units)) / 100_000


def test_sides() -> None:
    assert (Side.BUY.sign, Side.BUY.opposite, Side.BUY.position) == (1, Side.SELL, "long")
    assert (Side.SELL.sign, Side.SELL.opposite, Side.SELL.position) == (-1, Side.BUY, "short")
    assert Side.of_units(3) is Side.BUY
    assert Side.of_units(-1) is Side.SELL
    with pytest.raises(ValueError, match="zero units"):
        Side.of_units(0)
