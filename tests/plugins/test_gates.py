"""Gates: plugins that misbehave are told apart, and an order's outcome is never guessed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from lts_web.plugins.base import BrokerPluginBase
from lts_web.plugins.boundary import AllocationRow
from lts_web.plugins.gates import BrokerGate, PortfolioGate, StrategyGate
from lts_web.plugins.runner import (
    AnswerInvalid,
    PluginCallError,
    PluginFailed,
    PluginRunner,
    PluginTimedOut,
)
from lts_web.trading.decisions import Open
from lts_web.trading.orders import Confirmed, NotSent, Rejected, Unknown
from tests.contracts.cards import Market, close_of, entry
from tests.contracts.misbehaving import (
    FAILING,
    LET_GO,
    MANNERS,
    SILENT,
    UNREADABLE,
    MisbehavingBroker,
    MisbehavingPortfolio,
    MisbehavingStrategy,
)

NOW = datetime(2026, 3, 4, tzinfo=UTC)
SHORT_SECONDS = 0.1


@pytest.fixture
def runner() -> Iterator[PluginRunner]:
    LET_GO.clear()
    runner = PluginRunner()
    yield runner
    LET_GO.set()
    deadline = time.monotonic() + 5
    while runner.abandoned and time.monotonic() < deadline:
        time.sleep(0.005)
    LET_GO.clear()


def _expected(manner: str) -> type[PluginCallError]:
    if manner in FAILING:
        return PluginFailed
    return PluginTimedOut if manner in SILENT else AnswerInvalid


@pytest.mark.req("STC-005", "SYS-011", "INT-002")
class TestStrategyGate:
    @pytest.mark.parametrize("manner", sorted(FAILING | SILENT | UNREADABLE))
    def test_each_misbehaviour_has_its_error(self, runner: PluginRunner, manner: str) -> None:
        market = Market(count=5)
        gate = StrategyGate(MisbehavingStrategy({"manner": manner}), runner, SHORT_SECONDS)
        with pytest.raises(_expected(manner)) as caught:
            gate.decide(market.inputs(), market.view(3), market.history(3))
        assert str(caught.value)

    @pytest.mark.parametrize("manner", sorted(set(MANNERS) - FAILING - SILENT - UNREADABLE))
    def test_what_is_merely_unwise_is_left_to_risk(self, runner: PluginRunner, manner: str) -> None:
        market = Market(count=5)
        gate = StrategyGate(MisbehavingStrategy({"manner": manner}), runner, 5)
        decision = gate.decide(market.inputs(), market.view(3), market.history(3))
        assert isinstance(decision, Open)


@pytest.mark.req("STC-005", "PLG-PORT")
class TestPortfolioGate:
    @pytest.mark.parametrize("manner", MisbehavingPortfolio.manners)
    def test_each_misbehaviour_has_its_error(self, runner: PluginRunner, manner: str) -> None:
        rows = [AllocationRow(1, "EUR_USD", Decimal(100), Decimal(100))]
        gate = PortfolioGate(MisbehavingPortfolio({"manner": manner}), runner, SHORT_SECONDS)
        with pytest.raises(_expected(manner)):
            gate.allocate(1, rows)

    def test_without_assets_nobody_is_asked(self, runner: PluginRunner) -> None:
        gate = PortfolioGate(MisbehavingPortfolio({"manner": "raise"}), runner, 5)
        assert gate.allocate(1, []) == {}


@pytest.mark.req("STC-005", "INT-06")
class TestBrokerGate:
    @pytest.mark.parametrize(
        "manner", sorted(set(MisbehavingBroker.manners) - {"not_sent", "refuses"})
    )
    def test_what_nobody_can_tell_is_unknown(self, runner: PluginRunner, manner: str) -> None:
        plugin = MisbehavingBroker({"manner": manner})
        gate = BrokerGate(plugin, runner, SHORT_SECONDS)
        outcome = gate.open(entry(), "lts-1", NOW)
        assert isinstance(outcome, Unknown)
        assert outcome.detail
        assert plugin.sent == [("open", "lts-1")], "it is sent once, whatever comes of it"

    def test_an_unreadable_close_is_unknown_too(self, runner: PluginRunner) -> None:
        gate = BrokerGate(MisbehavingBroker({"manner": "rubbish"}), runner, 5)
        assert isinstance(gate.close(close_of(entry(), "1"), "lts-2", NOW), Unknown)

    def test_a_refusal_is_a_rejection(self, runner: PluginRunner) -> None:
        gate = BrokerGate(MisbehavingBroker({"manner": "refuses"}), runner, 5)
        assert gate.open(entry(), "lts-1", NOW) == Rejected("REJECTED", "deliberate")

    def test_a_broker_that_knows_it_sent_nothing_is_believed(self, runner: PluginRunner) -> None:
        gate = BrokerGate(MisbehavingBroker({"manner": "not_sent"}), runner, 5)
        assert gate.open(entry(), "lts-1", NOW) == NotSent("the connection was refused")

    def test_a_broker_without_a_log_is_booked_at_the_quote(self, runner: PluginRunner) -> None:
        gate = BrokerGate(_Plain(), runner, 5)
        assert gate.capabilities == {"basic"}
        outcome = gate.open(entry(), "lts-1", NOW)
        assert outcome == Confirmed("1", entry().decision_price, None, "assumed")

    def test_a_broker_with_a_log_will_tell_the_price_later(self, runner: PluginRunner) -> None:
        plugin = _Plain()
        plugin.capabilities = frozenset({"transaction_log"})
        assert BrokerGate(plugin, runner, 5).open(entry(), "lts-1", NOW) == Confirmed("1")

    def test_reads_that_are_not_offered_say_so(self, runner: PluginRunner) -> None:
        gate = BrokerGate(_Plain(), runner, 5)
        for read in (gate.last_transaction_id, gate.account, lambda: gate.transactions_since(0)):
            with pytest.raises(AnswerInvalid, match="has no method"):
                read()

    def test_a_log_that_ignores_the_id_is_refused(self, runner: PluginRunner) -> None:
        line = {"id": 3, "time": NOW, "kind": "fill", "balance": "1"}
        plugin: Any = _Plain()
        plugin.get_transactions_since = lambda last_id, limit: [line]
        gate = BrokerGate(plugin, runner, 5)
        assert [one.id for one in gate.transactions_since(2)] == [3]
        with pytest.raises(AnswerInvalid, match="not later"):
            gate.transactions_since(3)

    def test_quotes_and_leverage_have_defaults(self, runner: PluginRunner) -> None:
        gate = BrokerGate(_Plain(), runner, 5)
        quote = gate.quote("USD_JPY", Decimal("150.1235"), NOW)
        assert (quote.bid, quote.ask) == (Decimal("150.123"), Decimal("150.124"))
        assert gate.leverage() == 30
        assert BrokerGate(_Plain({"leverage": 100}), runner, 5).leverage() == 100
        with pytest.raises(AnswerInvalid, match="leverage"):
            BrokerGate(_Plain({"leverage": 0}), runner, 5).leverage()


class _Plain(BrokerPluginBase):
    def open_order(self, order_params: dict[str, Any]) -> dict[str, Any]:
        return {"success": True, "order_id": "1"}

    def close_order(self, order_id: str) -> dict[str, Any]:
        return {"success": order_id == "1"}
