"""backtrader_simulation_broker on an account of the house, met through the broker gate."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.plugins.broker.local_venue import LocalVenue
from lts_web.plugins.gates import BrokerGate
from lts_web.plugins.runner import PluginRunner
from lts_web.trading.instruments import Side
from lts_web.trading.market import Bar
from lts_web.trading.matching import Book, TransactionKind
from lts_web.trading.orders import Confirmed, OrderIntent, OrderKind, OrderOrigin, Rejected
from lts_web.trading.ports import Ports
from tests.plugins.broker.bars import at, flat, hourly

SERIES = "EUR_USD@3"


class House:
    """An account of the house and the broker that is connected to it."""

    def __init__(self, config: dict[str, object] | None = None) -> None:
        self.book = Book("USD", Decimal(10_000))
        self.broker = BacktraderSimulationBroker(config)
        self.broker.connect(Ports(lambda: at(1), venue=LocalVenue(self.book), series=SERIES))

    def bar(self, hour: int, *prices: str) -> None:
        values = [Decimal(price) for price in (prices if len(prices) == 4 else prices * 4)]
        self.book.on_bars(at(hour), at(hour + 1), {SERIES: Bar(at(hour), *values)})


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def gate(house: House) -> BrokerGate:
    return BrokerGate(house.broker, PluginRunner(), timeout_seconds=10)


def intent(units: int, trade_id: str | None = None, stop: str | None = None) -> OrderIntent:
    return OrderIntent(
        kind=OrderKind.CLOSE if trade_id else OrderKind.ENTRY,
        origin=OrderOrigin.STRATEGY,
        instrument="EUR_USD",
        units=units,
        decision_price=Decimal("1.1"),
        stop_loss=None if stop is None else Decimal(stop),
        trade_id=trade_id,
    )


@pytest.mark.req("SYS-001", "INT-002")
def test_an_entry_and_its_close_go_through_the_gate(house: House, gate: BrokerGate) -> None:
    assert gate.capabilities >= {"simulated", "transaction_log", "client_ids", "modify"}
    opened = gate.open(intent(-10_000, stop="1.2"), "lts-a-1", at(1))
    assert opened == Confirmed("1", None, None, "venue")
    assert house.broker.get_open_orders()[0]["status"] == "pending"
    house.bar(1, "1.1")
    [line] = gate.transactions_since(1)
    assert line.kind is TransactionKind.FILL
    # A short: 1.1 less three pips, 0.1 lot at 7 USD; the lines say all that was asked.
    assert (line.price, line.commission, line.units) == (Decimal("1.0997"), Decimal("0.7"), -10_000)
    assert (line.client_id, line.stop_loss) == ("lts-a-1", Decimal("1.2"))
    assert gate.account().margin_used == Decimal("109.97")
    closed = gate.close(intent(10_000, trade_id=str(line.trade_id)), "lts-a-2", at(2))
    assert isinstance(closed, Confirmed)
    assert closed.fill_price is None
    house.bar(2, "1.09")
    last = gate.transactions_since(gate.last_transaction_id() - 1)[0]
    assert (last.reason, last.client_id, last.pnl) == ("close", "lts-a-2", Decimal(97))
    assert gate.account().balance == house.book.balance
    assert house.broker.get_trade_history()[0]["client_order_id"] == "lts-a-1"


def test_the_quote_is_the_mid_with_half_the_spread_on_either_side(gate: BrokerGate) -> None:
    quote = gate.quote("EUR_USD", Decimal("1.14062"), at(1))
    assert (quote.bid, quote.ask) == (Decimal("1.14052"), Decimal("1.14072"))
    assert gate.leverage() == 100
    assert gate.check_instrument("EUR_USD") is None


def test_an_odd_spread_is_rounded_against_the_trader() -> None:
    gate = BrokerGate(House({"spread_pips": 0.5}).broker, PluginRunner(), timeout_seconds=10)
    quote = gate.quote("EUR_USD", Decimal("1.14062"), at(1))
    assert (quote.bid, quote.ask) == (Decimal("1.14059"), Decimal("1.14065"))


def test_the_venues_refusals_come_back_with_code_and_sentence(
    house: House, gate: BrokerGate
) -> None:
    gate.open(intent(1000), "lts-a-1", at(1))
    twice = gate.open(intent(1000), "lts-a-1", at(1))
    assert isinstance(twice, Rejected)
    assert twice.code == "CLIENT_ORDER_ID_ALREADY_EXISTS"
    assert twice.detail == "A pending order already carries this client id."
    missing = gate.close(intent(-1000, trade_id="77"), "lts-a-3", at(1))
    assert missing == Rejected("TRADE_DOESNT_EXIST", "The venue has no such open trade.")
    huge = gate.open(intent(10**11), "lts-a-4", at(1))
    assert isinstance(huge, Rejected)
    assert huge.code == "UNITS_INVALID"
    assert [line.kind for line in gate.transactions_since(1)] == [TransactionKind.REJECT] * 3


def test_a_stop_on_the_wrong_side_of_a_gap_cancels_the_entry(
    house: House, gate: BrokerGate
) -> None:
    gate.open(intent(1000, stop="1.09"), "lts-a-1", at(1))
    house.bar(1, "1.08")
    [line] = gate.transactions_since(1)
    assert (line.kind, line.reason) == (TransactionKind.CANCEL, "STOP_LOSS_ON_FILL_LOSS")


def test_another_instrument_than_the_accounts_bars_is_refused(house: House) -> None:
    answer = house.broker.open_order("USD_JPY", "buy", 0.1)
    assert answer["code"] == "INSTRUMENT_INVALID"
    assert "EUR_USD" in answer["error"]
    assert house.broker.open_order(direction="buy", volume=0.1)["status"] == "accepted"


def test_a_price_named_by_the_caller_is_no_fill(house: House) -> None:
    answer = house.broker.open_order("EUR_USD", "buy", 0.1, price=0.5, timestamp=at(1))
    assert (answer["status"], answer["fill_price"], answer["entry_price"]) == (
        "accepted",
        None,
        None,
    )
    house.bar(1, "1.1")
    assert [trade.price for trade in house.book.trades.values()] == [Decimal("1.1003")]


def test_orders_can_be_closed_and_changed_by_the_id_of_order_or_trade(house: House) -> None:
    first = house.broker.open_order("EUR_USD", "buy", 0.1, sl=1.0)
    changed = house.broker.modify_order(first["order_id"], {"sl": 1.01, "tp": 1.3})
    assert (changed["sl"], changed["tp"]) == (1.01, 1.3)
    house.bar(1, "1.1")
    assert house.broker.modify_order(first["order_id"], sl=1.05)["success"]
    [trade] = house.book.trades.values()
    assert (trade.stop_loss, trade.take_profit) == (Decimal("1.05"), Decimal("1.3"))
    assert Side.of_units(trade.units) is Side.BUY
    closed = house.broker.close_order(first["order_id"])
    assert closed["trade_id"] == str(trade.id)
    house.bar(2, "1.1")
    assert house.book.trades == {}
    waiting = house.broker.open_order("EUR_USD", "buy", 0.1)
    assert house.broker.close_order({"order_id": waiting["order_id"]})["status"] == "cancelled"
    assert house.book.orders == {}


def test_prices_come_from_the_venue_and_times_from_the_house(house: House) -> None:
    assert house.broker.get_current_price()["success"] is False
    house.bar(1, "1.1")
    price = house.broker.get_current_price()
    assert (price["bid"], price["ask"], price["time"]) == (1.0999, 1.1001, at(1))


def test_a_whole_simulation_needs_an_account_of_its_own(house: House) -> None:
    house.broker.load_columns(hourly(*flat(1.1, 3)))
    with pytest.raises(ValueError, match="one of its own"):
        house.broker.run_simulation()
    house.bar(1, "1.2")
    assert house.broker.get_current_price()["bid"] == 1.1999


def test_a_connection_without_an_account_leaves_the_broker_on_its_own() -> None:
    broker = BacktraderSimulationBroker()
    broker.connect(Ports(lambda: at(5)))
    assert broker.open_order("EUR_USD", "buy", 0.1, price=1.1)["status"] == "filled"
    assert broker.get_open_trades()[0]["open_time"] == at(5)
