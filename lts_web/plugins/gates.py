"""Plugins as the services meet them: typed calls under a time limit, answers already checked.

The plugin's code and the reading of its answer both run on the runner's thread, so that an answer
that hangs when it is read is caught as well. A gate keeps nothing between calls and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from lts_web.plugins.bars_view import BarsView
from lts_web.plugins.base import (
    BrokerPluginBase,
    NotSentError,
    PortfolioPluginBase,
    StrategyPluginBase,
)
from lts_web.plugins.boundary import (
    AllocationRow,
    AssetInputs,
    allocation_assets,
    asset_data,
    close_parameters,
    market_data,
    open_parameters,
    read_account,
    read_allocation,
    read_close_answer,
    read_decision,
    read_last_transaction_id,
    read_leverage,
    read_open_answer,
    read_quote,
    read_transactions,
)
from lts_web.plugins.runner import AnswerInvalid, PluginCallError, PluginRunner
from lts_web.trading.allocation import AllocationError, check_allocation
from lts_web.trading.decisions import Decision
from lts_web.trading.instruments import find_instrument
from lts_web.trading.market import MarketView, Quote
from lts_web.trading.matching import AccountState, VenueTransaction
from lts_web.trading.orders import NotSent, OrderIntent, Outcome, Unknown

T = TypeVar("T")


class StrategyGate:
    """The way to a strategy plugin."""

    def __init__(
        self, plugin: StrategyPluginBase, runner: PluginRunner, timeout_seconds: float
    ) -> None:
        """Give each call at most `timeout_seconds`."""
        self.plugin = plugin
        self._runner = runner
        self._timeout_seconds = timeout_seconds

    def decide(
        self,
        inputs: AssetInputs,
        view: MarketView,
        bars: BarsView,
        predictions: Iterable[Mapping[str, Any]] = (),
    ) -> Decision:
        """Return what the strategy decides; PluginCallError says why there is no decision."""

        def call() -> Decision:
            market = market_data(view, bars, predictions)
            return read_decision(self.plugin.decide(asset_data(inputs), market))

        return self._runner.call(call, timeout_seconds=self._timeout_seconds)


class PortfolioGate:
    """The way to a portfolio plugin."""

    def __init__(
        self, plugin: PortfolioPluginBase, runner: PluginRunner, timeout_seconds: float
    ) -> None:
        """Give each call at most `timeout_seconds`."""
        self.plugin = plugin
        self._runner = runner
        self._timeout_seconds = timeout_seconds

    def allocate(self, portfolio_id: int, rows: Sequence[AllocationRow]) -> dict[int, Decimal]:
        """Return each asset's capital, zero for those that get none and never above the whole.

        PluginCallError: no answer, or one that gives away what is not there.
        """
        if not rows:
            return {}

        def call() -> dict[int, Decimal]:
            amounts = read_allocation(self.plugin.allocate(portfolio_id, allocation_assets(rows)))
            try:
                return check_allocation(rows[0].capital, [row.asset_id for row in rows], amounts)
            except AllocationError as error:
                raise AnswerInvalid(f"The allocation cannot be used: {error}.") from error

        return self._runner.call(call, timeout_seconds=self._timeout_seconds)

    def update(self, portfolio_id: int, operation_result: dict[str, Any]) -> None:
        """Tell the plugin what became of an operation; PluginCallError if it fails."""
        self._runner.call(
            self.plugin.update,
            portfolio_id,
            operation_result,
            timeout_seconds=self._timeout_seconds,
        )


class BrokerGate:
    """The way to a broker plugin. Orders answer with an outcome and never raise; reads may."""

    def __init__(
        self, plugin: BrokerPluginBase, runner: PluginRunner, timeout_seconds: float
    ) -> None:
        """Give each call at most `timeout_seconds`."""
        self.plugin = plugin
        self._runner = runner
        self._timeout_seconds = timeout_seconds

    @property
    def capabilities(self) -> frozenset[str]:
        """Return what the broker can do; a documented plugin is "basic"."""
        return frozenset(self.plugin.capabilities)

    @property
    def has_log(self) -> bool:
        """Return whether the broker can tell what happened since an id."""
        return "transaction_log" in self.capabilities

    def open(self, intent: OrderIntent, client_order_id: str, market_time: datetime) -> Outcome:
        """Send an entry once and return one of the four outcomes."""

        def call() -> Outcome:
            instrument = find_instrument(intent.instrument)
            parameters = open_parameters(intent, client_order_id, instrument, market_time)
            answer = self.plugin.execute_order("open", parameters)
            return read_open_answer(answer, self._assumed_price(intent))

        return self._send(call)

    def close(self, intent: OrderIntent, client_order_id: str, market_time: datetime) -> Outcome:
        """Send a close once and return one of the four outcomes."""

        def call() -> Outcome:
            instrument = find_instrument(intent.instrument)
            parameters = close_parameters(intent, client_order_id, instrument, market_time)
            answer = self.plugin.execute_order("close", parameters)
            return read_close_answer(answer, self._assumed_price(intent))

        return self._send(call)

    def last_transaction_id(self) -> int:
        """Return the id of the last line of the venue's log."""
        return self._read("get_last_transaction_id", read_last_transaction_id)

    def transactions_since(self, last_id: int, limit: int = 1000) -> list[VenueTransaction]:
        """Return at most `limit` lines of the venue's log above `last_id`, oldest first."""
        lines = self._read("get_transactions_since", read_transactions, last_id, limit)
        if lines and lines[0].id <= last_id:
            raise AnswerInvalid(f"Transaction {lines[0].id} is not later than {last_id}.")
        return lines

    def account(self) -> AccountState:
        """Return the account's state as the venue gives it."""
        return self._read("get_account_summary", read_account)

    def quote(self, instrument: str, mid: Decimal, time: datetime) -> Quote:
        """Return the quote that the venue would make of a mid price."""
        record = find_instrument(instrument)
        return self._read(
            "quote_from_mid",
            lambda answer: read_quote(answer, record, time),
            instrument,
            float(mid),
        )

    def leverage(self) -> Decimal:
        """Return the leverage that the venue allows, as a multiple."""
        return self._read("order_leverage", read_leverage)

    def check_instrument(self, instrument: str) -> str | None:
        """Return why a parameter contradicts the instrument's record, or None."""
        return self._read("check_instrument", lambda answer: answer and str(answer), instrument)

    def _assumed_price(self, intent: OrderIntent) -> Decimal | None:
        """Return the price of a fill that nobody will ever report, else None."""
        return None if self.has_log else intent.decision_price

    def _send(self, call: Callable[[], Outcome]) -> Outcome:
        try:
            return self._runner.call(call, timeout_seconds=self._timeout_seconds)
        except PluginCallError as error:
            if isinstance(error.__cause__, NotSentError):
                return NotSent(str(error.__cause__) or "The broker plugin did not send it.")
            return Unknown(f"{error.code}: {error}")

    def _read(self, method: str, read: Callable[[Any], T], *args: Any) -> T:
        def call() -> T:
            own = getattr(self.plugin, method, None)
            if own is None:
                raise AnswerInvalid(f"The broker plugin has no method {method}.")
            return read(own(*args))

        return self._runner.call(call, timeout_seconds=self._timeout_seconds)
