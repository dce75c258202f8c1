"""Quotes and bars: what no order may rest on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.codes import DenialCode
from lts_web.trading.market import Bar, Quote, bar_problem, quote_problem

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
AGE = timedelta(minutes=5)
PRICES = st.decimals("0.0001", "1000", places=5)


def quote(bid: str, ask: str, time: datetime = NOW) -> Quote:
    return Quote(time, Decimal(bid), Decimal(ask))


@pytest.mark.parametrize(
    ("given_quote", "code"),
    [
        (None, DenialCode.NO_QUOTE),
        (quote("NaN", "1.1"), DenialCode.BAD_QUOTE),
        (quote("1.1", "sNaN"), DenialCode.BAD_QUOTE),
        (quote("1.1", "Infinity"), DenialCode.BAD_QUOTE),
        (quote("0", "1.1"), DenialCode.BAD_QUOTE),
        (quote("-1", "1.1"), DenialCode.BAD_QUOTE),
        (quote("1.2", "1.1"), DenialCode.CROSSED_QUOTE),
        (quote("1.1", "1.2", NOW + timedelta(microseconds=1)), DenialCode.STALE_QUOTE),
        (quote("1.1", "1.2", NOW - AGE - timedelta(microseconds=1)), DenialCode.STALE_QUOTE),
    ],
)
def test_an_unsound_quote_is_named(given_quote: Quote | None, code: DenialCode) -> None:
    assert quote_problem(given_quote, NOW, AGE) is code


@given(bid=PRICES, spread=st.decimals("0", "1", places=5), age=st.integers(0, 300))
def test_a_sound_quote_passes(bid: Decimal, spread: Decimal, age: int) -> None:
    sound = Quote(NOW - timedelta(seconds=age), bid, bid + spread)
    assert quote_problem(sound, NOW, AGE) is None
    assert sound.spread == spread
    assert sound.bid <= sound.mid <= sound.ask


def bar(*prices: str) -> Bar:
    return Bar(NOW, *(Decimal(price) for price in prices))


@pytest.mark.parametrize(
    ("impossible", "words"),
    [
        (bar("1", "NaN", "1", "1"), "positive number"),
        (bar("1", "Infinity", "1", "1"), "positive number"),
        (bar("0", "1", "0", "1"), "positive number"),
        (bar("1", "1", "-1", "1"), "positive number"),
        (bar("1.2", "1.1", "1.0", "1.1"), "outside low and high"),
        (bar("1.1", "1.2", "1.0", "1.3"), "outside low and high"),
        (bar("1.1", "1.2", "1.15", "1.2"), "outside low and high"),
    ],
)
def test_an_impossible_bar_is_named(impossible: Bar, words: str) -> None:
    problem = bar_problem(impossible)
    assert problem is not None
    assert words in problem


@given(st.lists(PRICES, min_size=4, max_size=4))
def test_a_possible_bar_passes(prices: list[Decimal]) -> None:
    low, first, second, high = sorted(prices)
    assert bar_problem(Bar(NOW, first, high, low, second)) is None
    assert bar_problem(Bar(NOW, second, high, low, first)) is None
