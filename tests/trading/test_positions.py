"""Fills to positions to profit, against a recomputation in exact fractions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.instruments import Side
from lts_web.trading.money import ZERO
from lts_web.trading.positions import (
    Fill,
    FillError,
    Position,
    apply_fill,
    fold_fills,
    ledger_balance,
    open_risk,
    profit,
    unrealized_pnl,
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
PRICES = st.decimals("0.5", "200", places=5)
RATES = st.decimals("0.005", "1.5", places=6)
COSTS = st.decimals("0", "50", places=4)
UNITS = st.integers(-(10**6), 10**6).filter(bool)


def fill(units: int, price: Decimal | str, rate: Decimal | str = "1", **changes: object) -> Fill:
    made = Fill("1", "p", "EUR_USD", units, Decimal(price), NOW, Decimal(rate))
    return replace(made, **changes)  # type: ignore[arg-type]


@st.composite
def round_trips(draw: st.DrawFn) -> list[Fill]:
    """Draw fills of several positions, each opened once and then closed in parts, interleaved."""
    streams: list[list[Fill]] = []
    for key in range(draw(st.integers(1, 4))):
        opened = draw(UNITS)
        parts = [opened]
        left = opened
        while left and draw(st.booleans()):
            closed = draw(st.integers(1, abs(left)))
            parts.append(-closed if opened > 0 else closed)
            left += parts[-1]
        streams.append(
            [
                Fill(
                    f"{key}-{number}",
                    f"position {key}",
                    "EUR_USD",
                    units,
                    draw(PRICES),
                    NOW,
                    draw(RATES),
                    draw(COSTS),
                    draw(COSTS),
                )
                for number, units in enumerate(parts)
            ]
        )
    merged = []
    while streams:
        stream = draw(st.sampled_from(streams))
        merged.append(stream.pop(0))
        if not stream:
            streams.remove(stream)
    return merged


def booked(amount: Fraction) -> Fraction:
    """Round to four decimals, half to even, as `round` does for fractions."""
    return Fraction(round(amount * 10_000), 10_000)


def exact_balance(initial: Decimal, fills: list[Fill]) -> Fraction:
    """Recompute the balance from the fills alone, knowing nothing of positions."""
    balance, entries = Fraction(initial), {}
    for one in fills:
        balance -= Fraction(one.commission) + Fraction(one.swap)
        entry = entries.setdefault(one.position_key, one)
        if entry is not one:
            gained = (Fraction(one.price) - Fraction(entry.price)) * -one.units
            balance += booked(gained * Fraction(one.rate))
    return balance


@pytest.mark.req("SYS-006")
@given(initial=st.decimals("0", "1e6", places=4), fills=round_trips())
def test_the_ledger_equals_an_independent_recomputation(
    initial: Decimal, fills: list[Fill]
) -> None:
    assert Fraction(ledger_balance(initial, fills)) == exact_balance(initial, fills)


@pytest.mark.req("SYS-006")
@given(fills=round_trips())
def test_units_costs_and_sides_follow_from_the_fills(fills: list[Fill]) -> None:
    for key, position in fold_fills(fills).items():
        own = [one for one in fills if one.position_key == key]
        assert position.units == sum(one.units for one in own)
        assert position.opened_units == own[0].units
        assert position.side is Side.of_units(own[0].units)
        assert position.entry_price == own[0].price
        assert position.commission == sum(one.commission for one in own)
        assert position.swap == sum(one.swap for one in own)
        assert position.is_open == (position.closed_at is None) == (position.units != 0)
        assert position.net_pnl == position.realized_pnl - position.commission - position.swap
        closes = own[1:]
        if closes:
            value = sum(Fraction(one.price) * one.units for one in closes)
            mean = value / sum(one.units for one in closes)
            assert position.exit_price is not None
            assert abs(Fraction(position.exit_price) - mean) < Fraction(1, 10**20)
        else:
            assert position.exit_price is None
            assert position.realized_pnl == 0


@given(units=UNITS, entry=PRICES, more=st.integers(1, 10**6), added=PRICES, out=PRICES, rate=RATES)
def test_growing_averages_the_entry(
    units: int, entry: Decimal, more: int, added: Decimal, out: Decimal, rate: Decimal
) -> None:
    more = more if units > 0 else -more
    grown = apply_fill(apply_fill(None, fill(units, entry)), fill(more, added))
    assert grown.opened_units == grown.units == units + more
    value = Fraction(entry) * units + Fraction(added) * more
    assert abs(Fraction(grown.entry_price) - value / (units + more)) < Fraction(1, 10**20)
    closed = apply_fill(grown, fill(-units - more, out, rate))
    exact = (Fraction(out) * (units + more) - value) * Fraction(rate)
    assert abs(Fraction(closed.realized_pnl) - exact) <= Fraction(1, 10_000)


@given(UNITS, PRICES, PRICES, RATES)
def test_long_and_short_mirror_each_other(
    units: int, entry: Decimal, out: Decimal, rate: Decimal
) -> None:
    assert profit(entry, out, units, rate) == -profit(entry, out, -units, rate)
    assert profit(entry, out, units, rate) == -profit(out, entry, units, rate)
    assert profit(entry, entry, units, rate) == 0
    assert unrealized_pnl(entry, out, units, rate) == profit(entry, out, units, rate)


@pytest.mark.req("SYS-006")
def test_examples_worked_by_hand() -> None:
    # Long 100,000 EUR_USD from 1.10000 to 1.10250: 250 USD.
    assert profit(Decimal("1.1"), Decimal("1.1025"), 100_000, Decimal(1)) == 250
    # Short 50,000 USD_JPY from 150.000 to 149.400: 30,000 JPY at 0.0067 USD.
    assert profit(Decimal(150), Decimal("149.4"), -50_000, Decimal("0.0067")) == 201
    fills = [
        fill(100_000, "1.1", commission=Decimal(7)),
        fill(-40_000, "1.102", swap=Decimal("0.5")),
        fill(-60_000, "1.099", swap=Decimal(1)),
    ]
    position = fold_fills(fills)["p"]
    assert position.realized_pnl == 80 - 60
    assert position.net_pnl == 20 - 7 - Decimal("1.5")
    assert ledger_balance(Decimal(1000), fills) == Decimal("1011.5")
    assert position.exit_price == Decimal("1.1002")


def opened() -> Position:
    return apply_fill(None, fill(1000, "1.1"))


@pytest.mark.req("SYS-013")
@pytest.mark.parametrize(
    ("position", "wrong", "words"),
    [
        (None, fill(0, "1.1"), "no units"),
        (opened(), fill(0, "1.1"), "no units"),
        (opened(), fill(-1001, "1.1"), "across zero"),
        (opened(), fill(-1000, "1.1", instrument="USD_JPY"), "does not belong"),
        (apply_fill(opened(), fill(-1000, "1.2")), fill(1, "1.1"), "does not belong"),
    ],
)
def test_a_fill_that_does_not_fit_is_refused(
    position: Position | None, wrong: Fill, words: str
) -> None:
    with pytest.raises(FillError, match=words):
        apply_fill(position, wrong)


def test_a_position_closes_at_its_last_fill() -> None:
    later = NOW + timedelta(hours=1)
    half = apply_fill(opened(), fill(-500, "1.2"))
    assert half.is_open
    assert half.closed_at is None
    assert apply_fill(half, fill(-500, "1.2", time=later)).closed_at == later


@given(UNITS, PRICES, PRICES, RATES)
def test_what_is_at_risk_is_the_loss_at_the_stop_never_negative(
    units: int, entry: Decimal, stop: Decimal, rate: Decimal
) -> None:
    risk = open_risk(entry, stop, units, rate)
    assert risk == max(-profit(entry, stop, units, rate), ZERO)
    assert open_risk(entry, None, units, rate) is None
