"""Allocation: never above the capital, never negative, and what plugins answer is checked."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.allocation import (
    AllocationError,
    check_allocation,
    equal_weight,
    fixed_fraction,
    inverse_volatility,
    weighted,
)

CAPITAL = st.decimals("0", "1e9", places=4)
ASSETS = st.lists(st.integers(1, 500), unique=True, max_size=40)
WEIGHTS = st.dictionaries(st.integers(1, 500), st.decimals("0", "1000", places=6), max_size=40)
VOLATILITIES = st.dictionaries(
    st.integers(1, 500),
    st.none() | st.floats(allow_nan=True, allow_infinity=True),
    max_size=40,
)


def within(capital: Decimal, shares: dict[int, Decimal]) -> bool:
    return sum(shares.values(), Decimal(0)) <= capital and all(
        share >= 0 and share == share.quantize(Decimal("0.0001")) for share in shares.values()
    )


@pytest.mark.req("PLG-PORT")
@given(CAPITAL, ASSETS, st.decimals("0", "2", places=6))
def test_fixed_fraction(capital: Decimal, assets: list[int], fraction: Decimal) -> None:
    shares = fixed_fraction(capital, assets, fraction)
    assert list(shares) == assets
    assert within(capital, shares)
    assert all(share <= capital * fraction for share in shares.values())
    assert len(set(shares.values())) <= 1


@pytest.mark.req("PLG-PORT")
@given(CAPITAL, ASSETS.filter(bool))
def test_equal_weight_leaves_less_than_a_step_an_asset(capital: Decimal, assets: list[int]) -> None:
    shares = equal_weight(capital, assets)
    assert within(capital, shares)
    assert capital - sum(shares.values()) < Decimal("0.0001") * len(assets)


@pytest.mark.req("PLG-PORT")
@given(CAPITAL, WEIGHTS)
def test_weights_are_kept_in_proportion(capital: Decimal, weights: dict[int, Decimal]) -> None:
    shares = weighted(capital, weights)
    assert within(capital, shares)
    assert set(shares) == (set(weights) if sum(weights.values()) > 0 else set())
    for asset, share in shares.items():
        owed = capital * weights[asset] / sum(weights.values())
        assert abs(share - owed) <= Decimal("0.0001")


def test_negative_weights_allocate_nothing() -> None:
    assert weighted(Decimal(100), {1: Decimal(2), 2: Decimal(-1)}) == {}


@pytest.mark.req("PLG-PORT")
@given(CAPITAL, VOLATILITIES)
def test_inverse_volatility_stays_within_the_capital(
    capital: Decimal, volatilities: dict[int, float | None]
) -> None:
    shares = inverse_volatility(capital, volatilities)
    assert within(capital, shares)
    known = {
        asset: value
        for asset, value in volatilities.items()
        if value is not None and 0 < value < float("inf")
    }
    for calm, calm_value in known.items():
        for wild, wild_value in known.items():
            if calm_value < wild_value and shares:
                assert shares[calm] >= shares[wild]


def test_inverse_volatility_by_hand() -> None:
    assert inverse_volatility(Decimal(900), {1: 0.01, 2: 0.02}) == {1: Decimal(600), 2: 300}
    unknown_gets_the_median = inverse_volatility(Decimal(900), {1: 0.01, 2: None, 3: 0.02, 4: 0.02})
    assert unknown_gets_the_median[2] == unknown_gets_the_median[3]
    assert inverse_volatility(Decimal(900), {1: None, 2: None}) == {1: Decimal(450), 2: 450}
    assert inverse_volatility(Decimal(900), {}) == {}


@pytest.mark.parametrize("lost", ["-0.005", "-1", "-1000"])
def test_a_capital_below_zero_gives_nothing_and_breaks_nothing(lost: str) -> None:
    capital = Decimal(lost)
    assert equal_weight(capital, [1, 2]) == {1: 0, 2: 0}
    assert inverse_volatility(capital, {1: 0.1}) == {1: 0}
    assert check_allocation(capital, [1, 2], {}) == {1: 0, 2: 0}


@pytest.mark.req("PLG-PORT", "INT-002")
@given(CAPITAL, st.dictionaries(st.integers(1, 20), st.decimals("-10", "1e9", places=6)), ASSETS)
def test_a_checked_allocation_is_refused_or_within_the_capital(
    capital: Decimal, answer: dict[int, Decimal], assets: list[int]
) -> None:
    try:
        shares = check_allocation(capital, assets, answer)
    except AllocationError:
        assert (
            set(answer) - set(assets)
            or min(answer.values()) < 0
            or sum(answer.values()) > capital + Decimal("0.01")
        )
    else:
        assert set(shares) == set(assets)
        assert within(capital, shares)
        assert all(shares[asset] <= amount for asset, amount in answer.items())


@pytest.mark.req("STC-005", "SYS-019")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({3: Decimal(1)}, r"not in question: \[3\]"),
        ({1: Decimal(-1)}, "no amount"),
        ({1: Decimal("NaN")}, "no amount"),
        ({1: Decimal("Infinity")}, "no amount"),
        ({1: Decimal(60), 2: Decimal("40.02")}, "gives away 100.02"),
    ],
)
def test_an_impossible_answer_is_refused_with_words(answer: dict[int, Decimal], words: str) -> None:
    with pytest.raises(AllocationError, match=words):
        check_allocation(Decimal(100), [1, 2], answer)


def test_the_dust_of_floats_is_forgiven() -> None:
    shares = check_allocation(Decimal(100), [1, 2], {1: Decimal("50.004"), 2: Decimal("50.004")})
    assert shares == {1: Decimal(50), 2: Decimal(50)}
