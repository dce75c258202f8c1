"""Booking and conversion: direct pairs, inverted ones, chains through a hub, the unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.money import HUBS, ONE, RateTable, round_money, round_rate, to_decimal

PRICES = st.decimals("0.0001", "20000", places=5)
AMOUNTS = st.decimals("-1e12", "1e12", places=9)


@given(AMOUNTS)
def test_booking_moves_an_amount_by_half_a_step_at_most(amount: Decimal) -> None:
    booked = round_money(amount)
    assert booked == booked.quantize(Decimal("0.0001"))
    assert abs(booked - amount) <= Decimal("0.00005")
    assert round_money(booked) == booked
    assert round_money(-amount) == -booked


@pytest.mark.parametrize(
    ("amount", "booked"),
    [("0.00005", "0"), ("0.00015", "0.0002"), ("-0.00005", "0"), ("2.00025", "2.0002")],
)
def test_ties_go_to_the_even_digit(amount: str, booked: str) -> None:
    assert round_money(Decimal(amount)) == Decimal(booked)


@given(price=PRICES)
def test_a_direct_pair_is_its_price_and_the_way_back_its_inverse(price: Decimal) -> None:
    rates = RateTable({"EUR_USD": price})
    assert rates.rate("EUR", "USD") == price
    assert rates.rate("USD", "EUR") == round_rate(ONE / price)


@given(price=PRICES, other=PRICES)
def test_a_direct_pair_wins_over_an_inverted_one_and_a_chain(
    price: Decimal, other: Decimal
) -> None:
    rates = RateTable({"EUR_GBP": price, "GBP_EUR": other, "EUR_USD": other, "GBP_USD": other})
    assert rates.rate("EUR", "GBP") == price
    inverted = RateTable({"GBP_EUR": other, "EUR_USD": price, "GBP_USD": price})
    assert inverted.rate("EUR", "GBP") == round_rate(ONE / other)


@pytest.mark.parametrize("hub", HUBS)
@given(first=PRICES, second=PRICES)
def test_a_chain_goes_through_one_hub(hub: str, first: Decimal, second: Decimal) -> None:
    rates = RateTable({f"AUD_{hub}": first, f"{hub}_CHF": second})
    assert rates.rate("AUD", "CHF") == round_rate(first * second)
    assert rates.rate("CHF", "AUD") == round_rate((ONE / second) * (ONE / first))


def test_hubs_are_tried_in_their_order() -> None:
    through_usd = {"AUD_USD": Decimal(2), "USD_CHF": Decimal(3)}
    through_eur = {"AUD_EUR": Decimal(5), "EUR_CHF": Decimal(7)}
    assert RateTable({**through_eur, **through_usd}).rate("AUD", "CHF") == 6
    assert RateTable(through_eur).rate("AUD", "CHF") == 35


@given(price=PRICES)
def test_what_cannot_be_derived_is_unknown_never_zero_or_one(price: Decimal) -> None:
    rates = RateTable({"EUR_USD": price, "AUD_NZD": price, "USD_JPY": Decimal(0)})
    assert rates.rate("AUD", "USD") is None
    assert rates.rate("USD", "JPY") is None
    assert rates.rate("JPY", "USD") is None
    assert rates.rate("GBP", "GBP") == 1


def test_a_rate_below_its_last_decimal_is_unknown() -> None:
    tiny = Decimal("0.00000001")
    assert RateTable({"AUD_USD": tiny, "USD_CHF": tiny}).rate("AUD", "CHF") is None


@given(direct=PRICES, cross=PRICES)
def test_there_and_back_is_where_one_began(direct: Decimal, cross: Decimal) -> None:
    rates = RateTable({"EUR_USD": direct, "USD_CHF": cross})
    there, back = rates.rate("EUR", "CHF"), rates.rate("CHF", "EUR")
    if there is not None and back is not None:
        # Each way was rounded at its twelfth decimal.
        assert abs(there * back - 1) <= (there + back + 1) * Decimal("1e-12")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1.1, Decimal("1.1")),
        (0.1 + 0.2, Decimal("0.30000000000000004")),
        (7, Decimal(7)),
        (" 1.50 ", Decimal("1.50")),
        (Decimal("2.5"), Decimal("2.5")),
        ("1e3", Decimal(1000)),
    ],
)
def test_numbers_are_read_as_they_were_written(value: object, number: Decimal) -> None:
    assert to_decimal(value) == number


@pytest.mark.req("INT-002", "SYS-018")
@pytest.mark.parametrize(
    "value",
    [
        True, None, "", "one", "NaN", "inf", float("nan"), float("-inf"), Decimal("sNaN"),
        b"1", [1], 1 + 2j, pytest.param(10**5000, id="5001 digits"),
    ],
)  # fmt: skip
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    assert to_decimal(value) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives_the_way_there_and_back(value: float) -> None:
    number = to_decimal(value)
    assert number is not None
    assert float(number) == value
