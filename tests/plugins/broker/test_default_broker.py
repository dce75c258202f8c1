"""The paper broker: its spread, its delay, and refusals that repeat with the seed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from lts_web.plugins.broker.default_broker import DefaultBroker
from lts_web.plugins.broker.local_venue import LocalVenue
from lts_web.trading.instruments import find_instrument
from lts_web.trading.market import Bar
from lts_web.trading.matching import Book
from lts_web.trading.ports import Ports
from tests.plugins.broker.bars import MONDAY, at

DOCUMENTED = {
    "broker_api_url": "https://api.oanda.com/v3",
    "api_key": "dummy_api_key",
    "account_id": "dummy_account",
    "timeout": 30,
    "spread": 0.0002,
    "execution_delay": 0.1,
}


def connected(config: dict[str, object] | None = None) -> tuple[DefaultBroker, Book]:
    broker = DefaultBroker(config)
    book = Book("USD", Decimal(10_000))
    broker.connect(Ports(lambda: MONDAY, venue=LocalVenue(book), series="EUR_USD@1"))
    return broker, book


def bar(hour: int, price: str) -> Bar:
    return Bar(at(hour), *[Decimal(price)] * 4)


def order(number: int) -> dict[str, object]:
    return {
        "instrument": "EUR_USD",
        "side": "buy",
        "quantity": 1000.0,
        "client_order_id": f"lts-test-{number}",
        "timestamp": at(1),
    }


def test_documented_parameters_have_their_defaults_and_nothing_is_refused_unasked() -> None:
    assert DOCUMENTED.items() <= DefaultBroker.plugin_params.items()
    broker, _ = connected()
    assert all(broker.execute_order("open", order(n))["success"] for n in range(200))


def test_the_default_spread_is_two_pips_of_any_instrument() -> None:
    broker = DefaultBroker()
    assert broker.quote_from_mid("EUR_USD", 1.1) == (1.0999, 1.1001)
    assert broker.quote_from_mid("USD_JPY", 150.0) == (149.99, 150.01)
    assert broker.check_instrument("USD_JPY") is None
    assert broker.costs(find_instrument("USD_JPY")).commission_per_lot == 0


@pytest.mark.parametrize(
    ("spread", "instrument", "fits"),
    [
        (0.0001, "EUR_USD", True),
        (0.0, "EUR_USD", True),
        (0.01, "USD_JPY", True),
        (0.0002, "USD_JPY", False),
        (0.02, "EUR_USD", False),
    ],
)
def test_a_spread_that_contradicts_the_pip_is_an_error(
    spread: float, instrument: str, fits: bool
) -> None:
    broker = DefaultBroker({"spread": spread})
    sentence = broker.check_instrument(instrument)
    assert (sentence is None) is fits
    if sentence is not None:
        assert "price difference" in sentence
        answer = broker.open_order(
            instrument=instrument, direction="buy", quantity=1000, price=1.1, timestamp=MONDAY
        )
        assert answer["error"] == sentence


def test_stand_alone_orders_fill_at_the_price_given_and_cost_the_spread() -> None:
    broker = DefaultBroker({"execution_delay": 0})
    opened = broker.open_order("EUR_USD", "buy", 0.1, price=1.1, timestamp=MONDAY)
    assert opened["fill_price"] == 1.1002
    closed = broker.close_order(opened["order_id"], price=1.1102, timestamp=at(24))
    assert closed["pnl"] == 100.0
    assert broker.get_account_summary()["balance"] == 10100.0
    assert broker.open_order("EUR_USD", "buy", 0.1)["success"]


@pytest.mark.req("INT-002")
def test_refusals_follow_from_seed_and_client_id_alone() -> None:
    def refused(seed: int) -> list[bool]:
        broker, _ = connected({"acceptance_rate_open": 0.95, "seed": seed})
        return [not broker.execute_order("open", order(n))["success"] for n in range(1000)]

    first = refused(1)
    assert first == refused(1)
    assert first != refused(2)
    # 1000 draws at 5 %: outside 20 to 80 has a chance of less than one in a million.
    assert 20 < sum(first) < 80


def test_a_refusal_is_in_the_venues_log_and_in_words() -> None:
    broker, book = connected({"acceptance_rate_open": 0.0})
    answer = broker.execute_order("open", order(1))
    assert answer == {
        "success": False,
        "code": "PAPER_REJECTION",
        "error": "The paper broker refused the order, as its acceptance rate asks.",
    }
    [line] = broker.get_transactions_since(0)
    assert (line["kind"], line["reason"]) == ("reject", "PAPER_REJECTION")
    assert line["client_id"] == "lts-test-1"
    assert book.orders == {}


def test_a_refused_close_keeps_the_trade() -> None:
    broker, book = connected({"acceptance_rate_close": 0.0})
    broker.execute_order("open", order(1))
    book.on_bars(at(2), at(3), {"EUR_USD@1": bar(2, "1.1")})
    [trade] = book.trades.values()
    close = {"order_id": str(trade.id), "client_order_id": "lts-test-2", "timestamp": at(3)}
    assert broker.execute_order("close", close)["code"] == "PAPER_REJECTION"
    assert list(book.trades.values()) == [trade]


def test_the_delay_passes_in_market_time() -> None:
    broker, book = connected({"execution_delay": 5400})
    broker.execute_order("open", order(1))
    book.on_bars(at(1), at(2), {"EUR_USD@1": bar(1, "1.1")})
    assert not book.trades
    book.on_bars(at(2), at(3), {"EUR_USD@1": bar(2, "1.2")})
    [trade] = book.trades.values()
    assert trade.opened_at == at(1) + timedelta(seconds=5400)
    assert trade.price == Decimal("1.2002")


@pytest.mark.parametrize(
    "config",
    [
        {"acceptance_rate_open": 1.5},
        {"acceptance_rate_close": -0.1},
        {"execution_delay": -1},
        {"spread": "wide"},
    ],
)
def test_impossible_parameters_are_refused_at_once(config: dict[str, object]) -> None:
    [name] = config
    with pytest.raises(ValueError, match=name):
        DefaultBroker(config)
    with pytest.raises(ValueError, match=name):
        DefaultBroker().set_params(**config)
