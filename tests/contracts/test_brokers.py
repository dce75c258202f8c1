"""The card of the broker family, played through its gate.

Each plugin is played twice: alone, and connected to a simulated account (which a plugin that has
its own venue does not notice).
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from lts_web.plugins.base import BROKER_CAPABILITIES, BrokerPluginBase
from lts_web.plugins.broker.local_venue import LocalVenue
from lts_web.plugins.gates import BrokerGate
from lts_web.trading.market import Bar
from lts_web.trading.matching import Book, TransactionKind
from lts_web.trading.orders import Confirmed, OrderIntent, Rejected
from lts_web.trading.ports import Ports
from tests.contracts.cards import (
    HOUR,
    ORIGIN,
    RUNNER,
    START_PRICES,
    TIMEOUT_SECONDS,
    close_of,
    entry,
)
from tests.contracts.plugins import make

NOW = ORIGIN + timedelta(hours=10)


class Desk:
    """A broker plugin at work: orders, the log, and bars that pass over its account."""

    def __init__(self, name: str, *, connected: bool, instrument: str = "EUR_USD") -> None:
        self.plugin: BrokerPluginBase = make("broker", name)
        self.book = Book("USD", Decimal(10_000))
        self.series = f"{instrument}@1"
        self.price = Decimal(START_PRICES[instrument])
        if connected:
            self.book.prices[instrument] = self.price
            venue = LocalVenue(self.book)
            self.plugin.connect(Ports(lambda: NOW, venue, self.series, account_currency="USD"))
        self.gate = BrokerGate(self.plugin, RUNNER, TIMEOUT_SECONDS)
        self.has_log = "transaction_log" in self.gate.capabilities
        self._bars = 0

    def open(self, intent: OrderIntent, client_id: str = "lts-test-1") -> Confirmed:
        """Open, which every broker must confirm for a sound order."""
        outcome = self.gate.open(intent, client_id, NOW)
        assert isinstance(outcome, Confirmed), outcome
        return outcome

    def pass_bar(self) -> None:
        """Let a quiet bar pass over the account."""
        opens_at = NOW + self._bars * HOUR
        self._bars += 1
        bar = Bar(opens_at, self.price, self.price, self.price, self.price)
        self.book.on_bars(opens_at, opens_at + HOUR, {self.series: bar})

    def opened_trade(self, intent: OrderIntent, client_id: str = "lts-test-1") -> str:
        """Open, let the fill happen, and return the trade's id as a close names it."""
        outcome = self.open(intent, client_id)
        self.pass_bar()
        if self.has_log:
            fills = [line for line in self.log() if line.kind is TransactionKind.FILL]
            assert [line.client_id for line in fills] == [client_id]
            return str(fills[0].trade_id)
        return outcome.trade_id or outcome.order_id

    def log(self) -> list[Any]:
        """Return the whole log."""
        return self.gate.transactions_since(0)


@pytest.mark.req("INT-002", "SYS-006")
@pytest.mark.parametrize("connected", [False, True], ids=["alone", "connected"])
class TestBrokers:
    families = ("broker",)

    def test_its_capabilities_are_known(
        self, family: str, plugin_name: str, connected: bool
    ) -> None:
        gate = Desk(plugin_name, connected=connected).gate
        assert gate.capabilities
        assert gate.capabilities <= BROKER_CAPABILITIES

    @pytest.mark.parametrize("units", [1000, -1000])
    @pytest.mark.parametrize("instrument", ["EUR_USD", "USD_JPY"])
    def test_what_it_opens_it_closes(
        self, family: str, plugin_name: str, connected: bool, units: int, instrument: str
    ) -> None:
        desk = Desk(plugin_name, connected=connected, instrument=instrument)
        intent = entry(instrument, units)
        trade_id = desk.opened_trade(intent)
        outcome = desk.gate.close(close_of(intent, trade_id), "lts-test-2", NOW + HOUR)
        assert isinstance(outcome, Confirmed), outcome

    def test_a_price_is_the_venues_or_the_quotes(
        self, family: str, plugin_name: str, connected: bool
    ) -> None:
        desk = Desk(plugin_name, connected=connected)
        outcome = desk.open(entry())
        if not desk.has_log:
            assert outcome.fill_price is not None, "nobody will ever report another price"
        if outcome.price_source == "assumed":
            assert outcome.fill_price == entry().decision_price

    def test_closing_what_is_not_there_has_a_known_outcome(
        self, family: str, plugin_name: str, connected: bool
    ) -> None:
        desk = Desk(plugin_name, connected=connected)
        outcome = desk.gate.close(close_of(entry(), "987654"), "lts-test-2", NOW)
        assert isinstance(outcome, Confirmed | Rejected), outcome

    def test_an_unknown_action_is_refused(
        self, family: str, plugin_name: str, connected: bool
    ) -> None:
        answer = Desk(plugin_name, connected=connected).plugin.execute_order("dance", {})
        assert answer["success"] is False
        assert "dance" in answer["error"]

    def test_its_log_tells_what_happened_since(
        self, family: str, plugin_name: str, connected: bool
    ) -> None:
        desk = Desk(plugin_name, connected=connected)
        if not desk.has_log:
            assert desk.gate.capabilities == {"basic"}, "without a log it proves nothing"
            return
        before = desk.gate.last_transaction_id()
        intent = entry()
        desk.opened_trade(intent)
        lines = desk.gate.transactions_since(before)
        assert [line.id for line in lines] == sorted({line.id for line in lines})
        assert lines[-1].id == desk.gate.last_transaction_id()
        assert {line.client_id for line in lines} == {"lts-test-1"}
        fill = next(line for line in lines if line.kind is TransactionKind.FILL)
        assert fill.units == intent.units
        assert fill.price is not None
        assert fill.rate == 1
        assert (fill.stop_loss, fill.take_profit) == (intent.stop_loss, intent.take_profit)
        assert desk.gate.transactions_since(before) == lines, "reading changes nothing"
        assert desk.gate.transactions_since(before, 1) == lines[:1]
        assert desk.gate.transactions_since(lines[-1].id) == []

    def test_its_account_can_be_read(self, family: str, plugin_name: str, connected: bool) -> None:
        desk = Desk(plugin_name, connected=connected)
        if "account_state" not in desk.gate.capabilities:
            return
        account = desk.gate.account()
        assert account.equity == account.balance + account.unrealized_pnl
        desk.opened_trade(entry())
        assert desk.gate.account().margin_used > 0
        if desk.has_log:
            assert desk.gate.account().balance == desk.log()[-1].balance

    @pytest.mark.parametrize("instrument", ["EUR_USD", "USD_JPY"])
    def test_its_quote_surrounds_the_price(
        self, family: str, plugin_name: str, connected: bool, instrument: str
    ) -> None:
        desk = Desk(plugin_name, connected=connected, instrument=instrument)
        quote = desk.gate.quote(instrument, desk.price, NOW)
        assert 0 < quote.bid <= desk.price <= quote.ask
        assert quote.ask - quote.bid < desk.price / 100
        assert quote.time == NOW

    def test_its_leverage_is_a_multiple(
        self, family: str, plugin_name: str, connected: bool
    ) -> None:
        assert Desk(plugin_name, connected=connected).gate.leverage() >= 1

    def test_its_defaults_fit_any_instrument(
        self, family: str, plugin_name: str, connected: bool
    ) -> None:
        gate = Desk(plugin_name, connected=connected).gate
        assert gate.check_instrument("EUR_USD") is None
        assert gate.check_instrument("USD_JPY") is None

    def test_it_lists_and_modifies_what_is_open(
        self, family: str, plugin_name: str, connected: bool
    ) -> None:
        desk = Desk(plugin_name, connected=connected)
        assert list(desk.plugin.get_open_orders()) == []
        trade_id = desk.opened_trade(entry())
        assert isinstance(desk.plugin.get_open_orders(), list)
        answer = desk.plugin.modify_order(trade_id, {"sl": 1.08, "tp": 1.12})
        assert answer["success"] is True
