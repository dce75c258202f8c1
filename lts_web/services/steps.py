"""The steps of one running cycle, as a pipeline plugin is given them.

A step never raises for what a plugin, a venue or the market did: that is noted in the asset's
run. What it does raise is a fault of the house itself and ends the cycle; the cycle's service
finds it in `run.broken`, whatever the pipeline plugin made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Protocol

from lts_web.plugins.boundary import AllocationRow, AssetInputs, PositionInput
from lts_web.plugins.gates import PortfolioGate
from lts_web.plugins.runner import PluginCallError, PluginTimedOut
from lts_web.services.instances import Instances, PluginNotUsable
from lts_web.services.ordering import OrderDesk, denial_without_order
from lts_web.services.preparation import closes_at
from lts_web.services.runs import AssetRun, CycleOver, CycleRun
from lts_web.trading import calendar
from lts_web.trading.codes import DenialCode
from lts_web.trading.decisions import Decision, Hold, Open, action_of
from lts_web.trading.market import MarketView
from lts_web.trading.money import ZERO
from lts_web.trading.orders import Approved, Denied, OrderKind, Outcome, Rejected, Verdict
from lts_web.trading.ports import Clock
from lts_web.trading.positions import unrealized_pnl
from lts_web.trading.risk import RiskState, against_position, review_close, review_open
from lts_web.trading.statistics import realized_volatility

VOLATILITY_WINDOW = 100
TURNED = ("opposite signal", "the open position is closed; an entry may follow in a later cycle")


class StepMisused(ValueError):
    """A pipeline plugin asked a step for what it cannot do; the fault is the plugin's."""


class Scheduler(Protocol):
    """The part of the cycle's service that is not about one cycle."""

    def due(self) -> list[int]:
        """Return the due portfolios, longest overdue first."""

    def seconds_until_due(self) -> float | None:
        """Return the time to the next due instant, or None."""

    def run_portfolio(self, portfolio_id: int) -> dict[str, Any] | None:
        """Claim and run one cycle; None: not claimed."""

    def stopping(self) -> bool:
        """Return whether the process is shutting down."""


class RunSteps:
    """Implements `ports.CycleSteps` for one cycle."""

    def __init__(
        self,
        scheduler: Scheduler,
        run: CycleRun,
        desk: OrderDesk,
        instances: Instances,
        allocator: Callable[[], PortfolioGate],
        clock: Clock,
        reach: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._scheduler = scheduler
        self._run = run
        self._desk = desk
        self._instances = instances
        self._allocator = allocator
        self._clock = clock
        self._reach = reach

    def due(self) -> list[int]:
        """Return the due portfolios, longest overdue first."""
        return self._scheduler.due()

    def seconds_until_due(self) -> float | None:
        """Return the time to the next due instant, or None."""
        return self._scheduler.seconds_until_due()

    def run_portfolio(self, portfolio_id: int) -> dict[str, Any] | None:
        """Claim and run one cycle of a portfolio; None: not claimed."""
        return self._scheduler.run_portfolio(portfolio_id)

    def stopping(self) -> bool:
        """Return whether the process is shutting down."""
        return self._scheduler.stopping()

    def cycle_id(self, portfolio_id: int) -> int:
        """Return the id of the running cycle."""
        self._check(portfolio_id)
        return self._run.id

    def allocate(self, portfolio_id: int) -> dict[int, Decimal]:
        """Return each asset's capital, computed once; none of any where the plugin failed."""
        self._check(portfolio_id)
        with self._own_faults(), self._run.lock:
            if self._run.allocation is None:
                self._run.allocation = self._allocate()
                for asset_id, amount in self._run.allocation.items():
                    self._run.assets[asset_id].capital = amount
            return dict(self._run.allocation)

    def decide(self, portfolio_id: int, asset_id: int) -> Decision | None:
        """Return the strategy's decision, or None where the asset's run says why not."""
        asset = self._asset(portfolio_id, asset_id)
        self.allocate(portfolio_id)
        with self._own_faults():
            return self._decide(asset)

    def check(self, portfolio_id: int, asset_id: int, decision: Decision) -> list[Verdict]:
        """Return what sizing and risk say of the decision; none for a hold."""
        asset = self._asset(portfolio_id, asset_id)
        if asset.view is None or decision is not asset.decision:
            raise StepMisused("check takes the decision that decide gave for this asset")
        with self._own_faults():
            asset.verdicts = self._review(asset, decision)
            return list(asset.verdicts)

    def place(self, portfolio_id: int, asset_id: int, verdict: Verdict) -> Outcome | None:
        """Carry an approved intent through the order protocol; None: nothing was sent."""
        asset = self._asset(portfolio_id, asset_id)
        ordinal = next((n for n, one in enumerate(asset.verdicts) if one is verdict), None)
        if ordinal is None:
            raise StepMisused("place takes a verdict that check gave for this asset")
        if isinstance(verdict, Denied):
            return None
        if ordinal in asset.placed:
            raise StepMisused("a verdict is placed once")
        asset.placed.add(ordinal)
        with self._own_faults():
            return self._place(asset, verdict, ordinal)

    def record(self, portfolio_id: int, asset_id: int) -> dict[str, Any]:
        """Return {asset_id, action, order_id, error}."""
        asset = self._asset(portfolio_id, asset_id)
        return {
            "asset_id": asset.id,
            "action": action_of(asset.decision) if asset.decision is not None else "none",
            "order_id": asset.order_ids[-1] if asset.order_ids else None,
            "error": asset.error,
        }

    # --- inside -----------------------------------------------------------------------------

    def _asset(self, portfolio_id: int, asset_id: int) -> AssetRun:
        self._check(portfolio_id)
        asset = self._run.assets.get(asset_id)
        if asset is None:
            raise StepMisused(f"asset {asset_id!r} does not take part in this cycle")
        return asset

    def _check(self, portfolio_id: int) -> None:
        if portfolio_id != self._run.portfolio_id or self._run.closed:
            raise CycleOver(f"no cycle of portfolio {portfolio_id} is running here")

    @contextmanager
    def _own_faults(self) -> Iterator[None]:
        """Keep what the house itself raises, so that no pipeline plugin can swallow it."""
        try:
            yield
        except CycleOver:
            raise
        except BaseException as fault:
            self._run.broken = fault
            raise

    def _allocate(self) -> dict[int, Decimal]:
        run = self._run
        usable = [asset for asset in run.assets.values() if asset.error is None]
        if not usable:
            return {}
        accounts = run.accounts.values()
        capital = sum((account.balance for account in accounts), run.idle_balance)
        equity = sum(
            (
                account.state.equity if account.state is not None else account.balance
                for account in accounts
            ),
            run.idle_balance,
        )
        rows = []
        try:
            gate = self._allocator()
        except PluginNotUsable as problem:
            return self._no_allocation(str(problem))
        window = gate.plugin.params.get("volatility_window", VOLATILITY_WINDOW)
        for asset in usable:
            if asset.bars is not None and isinstance(window, int) and window >= 2:
                asset.volatility = realized_volatility(asset.bars.closes(window + 1), window)
            rows.append(
                AllocationRow(
                    asset_id=asset.id,
                    instrument=asset.instrument.name,
                    capital=max(capital, ZERO),
                    equity=equity,
                    volatility=asset.volatility,
                    weight=float(asset.allocated_before / capital)
                    if asset.allocated_before > 0 and capital > 0
                    else None,
                )
            )
        try:
            return gate.allocate(run.portfolio_id, rows)
        except PluginCallError as error:
            self._lost(gate.plugin, error)
            return self._no_allocation(str(error))

    def _no_allocation(self, reason: str) -> dict[int, Decimal]:
        self._run.errors.append(f"allocation failed, so there are no entries: {reason}"[:500])
        return {}

    def _decide(self, asset: AssetRun) -> Decision | None:
        if asset.error is not None:
            return None
        if self.stopping():
            # Nobody's fault: an orderly stop must not count as a failed cycle.
            asset.outcome, asset.code = "denied", DenialCode.STEP_ABANDONED.value
            asset.detail = "The worker was told to stop before this decision."
            return None
        view = self._view(asset)
        if view is None:
            return None
        asset.view = view
        inputs = self._inputs(asset)
        assert asset.strategy is not None
        assert asset.bars is not None
        try:
            decision = asset.strategy.decide(inputs, view, asset.bars)
        except PluginCallError as error:
            self._lost(asset.strategy.plugin, error)
            asset.fail(error.code, f"The strategy {asset.strategy_plugin!r}: {error}")
            return None
        finally:
            asset.executed = True
        asset.decision = decision
        asset.outcome, asset.code, asset.detail = "held", None, ""
        self._reach("decide.done")
        return decision

    def _view(self, asset: AssetRun) -> MarketView | None:
        """Return the market as the asset's decision sees it; None where there is none."""
        run = self._run
        asset.viewed_at = self._clock()
        bar_close = closes_at(asset)
        if asset.last_bar is None or bar_close is None or asset.series is None:
            asset.outcome, asset.code = "no_bar", DenialCode.NO_BAR.value
            asset.detail = "There is no bar yet."
            return None
        # A replay's step belongs to the bars that close at it; a live cycle sees the last bar.
        age = run.market_time - bar_close
        if age if run.feed == "replay" else age >= calendar.timeframe(asset.timeframe):
            asset.outcome, asset.code = "no_bar", DenialCode.NO_BAR.value
            asset.detail = f"Its last bar closed at {bar_close.isoformat()}."
            return None
        assert asset.broker is not None
        try:
            quote = asset.broker.quote(asset.instrument.name, asset.last_bar.close, bar_close)
        except PluginCallError as error:
            self._lost(asset.broker.plugin, error)
            asset.fail(error.code, f"The broker {asset.broker_plugin!r} gave no quote: {error}")
            return None
        return MarketView(
            instrument=asset.instrument.name,
            now=run.market_time,
            bar=asset.last_bar,
            quote=quote,
            has_new_bar=True,
            market_open=calendar.is_open(run.market_time)
            and calendar.bar_in_calendar(asset.last_bar.open_time),
            origin=asset.series.origin,
            oracle=asset.series.oracle,
        )

    def _inputs(self, asset: AssetRun) -> AssetInputs:
        account = asset.account
        equity = account.state.equity if account.state is not None else account.balance
        positions = tuple(self._position_inputs(asset))
        assert asset.view is not None
        quote, bar = asset.view.quote, asset.last_bar
        asset.inputs = {
            "time": self._run.market_time,
            "close": bar.close if bar is not None else None,
            "bid": quote.bid if quote is not None else None,
            "ask": quote.ask if quote is not None else None,
            "capital": asset.capital,
            "equity": equity,
            "currency": account.currency,
            "open_positions": [
                {"position_id": one.position_id, "side": one.side, "units": one.units}
                for one in positions
            ],
            "strategy": asset.strategy_plugin,
            "broker": asset.broker_plugin,
            "origin": asset.view.origin,
        }
        return AssetInputs(
            asset_id=asset.id,
            portfolio_id=self._run.portfolio_id,
            instrument=asset.instrument,
            timeframe=asset.timeframe,
            capital=asset.capital,
            equity=equity,
            currency=account.currency,
            positions=positions,
            parameters=asset.parameters,
        )

    def _position_inputs(self, asset: AssetRun) -> Iterator[PositionInput]:
        rate = asset.account.rates.rate(asset.instrument.quote, asset.account.currency)
        for position in asset.positions:
            price = asset.last_price if asset.last_price is not None else position.entry_price
            yield PositionInput(
                position_id=position.position_id,
                side="long" if position.units > 0 else "short",
                units=abs(position.units),
                entry_price=position.entry_price,
                stop_loss=position.stop_loss,
                take_profit=position.take_profit,
                unrealized_pnl=unrealized_pnl(position.entry_price, price, position.units, rate)
                if rate is not None
                else ZERO,
                opened_at=position.opened_at or self._run.market_time,
            )

    def _review(self, asset: AssetRun, decision: Decision) -> list[Verdict]:
        if isinstance(decision, Hold):
            return []
        assert asset.view is not None
        state = self._risk_state(asset)
        verdicts: list[Verdict]
        wanted, decision = decision, against_position(decision, asset.positions)
        if isinstance(decision, Open):
            verdicts = [
                review_open(
                    decision,
                    asset.view,
                    asset.instrument,
                    state,
                    asset.limits,
                    asset.account.rates,
                )
            ]
        else:
            verdicts = review_close(decision, asset.view, asset.instrument, state, asset.limits)
        turned = () if decision is wanted else (TURNED,)
        for verdict in verdicts:
            if isinstance(verdict, Denied):
                denial_without_order(asset, verdict)
            else:
                asset.trace = (*turned, *verdict.trace)
                asset.units = verdict.intent.units
                asset.binding_cap = verdict.intent.binding_cap
        return verdicts

    def _risk_state(self, asset: AssetRun) -> RiskState:
        account = asset.account
        if account.state is not None:
            equity, margin = account.state.equity, account.state.margin_used
        else:
            equity, margin = account.balance, account.margin
        return RiskState(
            capital=asset.capital,
            equity=equity,
            free_margin=equity - margin - account.reserved_margin,
            exposure=account.exposure,
            open_positions=account.open_positions,
            positions=asset.positions,
            order_in_flight=asset.order_in_flight,
            outcome_unknown=asset.outcome_unknown,
            account_readable=account.readable,
            account_currency=account.currency,
            leverage=asset.leverage,
        )

    def _place(self, asset: AssetRun, verdict: Approved, ordinal: int) -> Outcome | None:
        intent = verdict.intent
        outcome = self._desk.place(self._run, asset, intent, ordinal)
        refused = outcome is None or isinstance(outcome, Rejected)
        if intent.kind is OrderKind.ENTRY and not refused:
            asset.account.exposure += intent.notional
            asset.account.reserved_margin += intent.margin
            asset.account.open_positions += 1
        return outcome

    def _lost(self, plugin: Any, error: PluginCallError) -> None:
        if isinstance(error, PluginTimedOut):
            self._instances.give_up(plugin)
