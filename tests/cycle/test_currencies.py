"""Accounts in other currencies: with bars of a pair that joins them, and without."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from lts_web.store.models import (
    DatasetRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
    UserRecord,
)
from lts_web.trading.money import round_money, round_rate
from tests.cycle.desk import Desk
from tests.house_of_trading import House, flat_bars

# Instrument, account currency, its level and pip, the pair that converts and its level.
CASES = [
    ("EUR_GBP", "USD", 0.85, 0.0001, "GBP_USD", 1.25),
    ("USD_JPY", "EUR", 150.0, 0.01, "EUR_USD", 1.08),
    ("USD_JPY", "EUR", 150.0, 0.01, "EUR_JPY", 162.0),
]


def script(letters: str) -> dict[str, Any]:
    return {"strategy_plugin": "script", "strategy_config": {"letters": letters}}


@pytest.mark.req("SYS-006", "SYS-001")
@pytest.mark.parametrize(("instrument", "currency", "level", "pip", "pair", "rate"), CASES)
def test_profit_is_converted_at_the_fill_with_the_rate_that_is_stored(
    desk: Desk, house: House, instrument: str, currency: str, level: float, pip: float,
    pair: str, rate: float,
) -> None:  # fmt: skip
    moved = level + 10 * pip
    prices = [level, level, moved, moved, moved]
    portfolio = house.portfolio(currency=currency)
    asset = house.asset(
        portfolio, instrument, house.dataset(instrument, flat_bars(prices)), **script("b.c..")
    )
    house.dataset(pair, flat_bars([rate, rate, rate * 1.01, rate * 1.02, rate * 1.02]))
    if pair == "EUR_JPY":
        # Costs are declared in dollars: they need their own way into the account.
        house.dataset("EUR_USD", flat_bars([1.08] * 5))
    desk.cycles(portfolio, 5)
    assert [row.status for row in desk.orders(asset)] == ["filled", "filled"]
    entry, close = desk.rows(FillRecord)
    used = Decimal(str(rate)) * Decimal("1.02")
    if pair == "GBP_USD":
        expected = used
    elif pair == "EUR_JPY":
        expected = 1 / used
    else:  # yen → dollars → euros, at the fill's own price
        expected = Decimal(1) / close.price / used
    assert abs(close.rate - round_rate(expected)) <= Decimal("0.000000000002")
    assert close.realized_pnl == round_money((close.price - entry.price) * entry.units * close.rate)
    assert close.realized_pnl > 0
    assert entry.commission > 0
    desk.adds_up(portfolio)


@pytest.mark.req("SYS-006", "SYS-001")
@pytest.mark.parametrize(("instrument", "currency", "level", "pip", "pair", "rate"), CASES[:2])
def test_without_a_rate_an_entry_is_denied(
    desk: Desk, house: House, instrument: str, currency: str, level: float, pip: float,
    pair: str, rate: float,
) -> None:  # fmt: skip
    portfolio = house.portfolio(currency=currency)
    bars = house.dataset(instrument, flat_bars([level] * 4))
    asset = house.asset(portfolio, instrument, bars, **script("bb.."))
    desk.cycle(portfolio)
    assert desk.told(asset) == [("denied", "NO_CONVERSION")]
    joined = {"EUR_GBP": "GBP to USD", "USD_JPY": "JPY to EUR"}[instrument]
    assert joined in desk.decision(asset).detail
    assert desk.rows(OrderRecord) == []
    # Once bars of a pair are there, it trades.
    house.dataset(pair, flat_bars([rate] * 4))
    desk.cycles(portfolio, 2)
    assert desk.told(asset)[1] == ("ordered", None)
    [position] = desk.rows(PositionRecord)
    assert position.is_open
    desk.adds_up(portfolio)


@pytest.mark.req("SYS-016", "SYS-006")
def test_bars_of_somebody_else_convert_nothing(desk: Desk, house: House) -> None:
    portfolio = house.portfolio()
    bars = house.dataset("EUR_GBP", flat_bars([0.85] * 4))
    asset = house.asset(portfolio, "EUR_GBP", bars, **script("bbbb"))
    with house.database.write() as session:
        session.add(
            UserRecord(
                id=99, username="charlie", email="c@example.org", password_hash="none",
                role="user", created_at=house.clock(), updated_at=house.clock(),
            )
        )  # fmt: skip
    foreign = house.dataset("GBP_USD", flat_bars([1.25] * 4))
    desk.change(DatasetRecord, foreign, user_id=99)
    desk.cycle(portfolio)
    assert desk.told(asset) == [("denied", "NO_CONVERSION")]
    desk.change(DatasetRecord, foreign, user_id=None)  # everybody's
    desk.cycle(portfolio)
    assert desk.told(asset)[-1] == ("ordered", None)
