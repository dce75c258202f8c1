"""Makes a claimed cycle ready: its assets, accounts and plugins, the venues read, the books true.

What cannot be made ready is noted where it belongs (an asset without its plugin, an account that
cannot be read), never raised: the others go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lts_web.services.claims import Claim, Plan, series_of
from lts_web.services.instances import Instances, PluginNotUsable
from lts_web.services.market_data import BarStore
from lts_web.services.reconcile import Reconciler
from lts_web.services.runs import AccountRun, AssetRun, CycleRun
from lts_web.store import cycles as store
from lts_web.store import orders as order_store
from lts_web.store.engine import Database
from lts_web.store.models import AssetRecord, BrokerAccountRecord, PortfolioRecord
from lts_web.trading.calendar import timeframe
from lts_web.trading.codes import DenialCode
from lts_web.trading.instruments import find_instrument
from lts_web.trading.money import ZERO, to_decimal
from lts_web.trading.orders import OrderStatus
from lts_web.trading.ports import Series
from lts_web.trading.risk import AssetPosition, RiskLimits, with_strategy_sizes

DEFAULT_TIMEOUT_SECONDS = 300.0
COST_CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """What the service reads from the portfolio's pipeline plugin."""

    execution_timeout: float = DEFAULT_TIMEOUT_SECONDS
    statistics_enabled: bool = True
    error_retry_count: int = 3
    error_retry_delay: float = 60.0
    global_latency: float = 5.0

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> PipelineSettings:
        """Return the settings among a pipeline's parameters.

        What a pipeline of another author does not have, or uses in another sense, is default.
        """

        def number(name: str, default: float) -> float:
            value = to_decimal(parameters.get(name))
            return float(value) if value is not None and value >= 0 else default

        usual = cls()
        return cls(
            execution_timeout=number("execution_timeout", 0.0) or usual.execution_timeout,
            statistics_enabled=parameters.get("statistics_enabled") is not False,
            error_retry_count=int(number("error_retry_count", usual.error_retry_count)),
            error_retry_delay=number("error_retry_delay", usual.error_retry_delay),
            global_latency=number("global_latency", usual.global_latency),
        )


class Preparation:
    """Builds the run of a claimed cycle and brings its books up to date."""

    def __init__(
        self,
        database: Database,
        bars: BarStore,
        instances: Instances,
        reconciler: Reconciler,
        max_quote_age: timedelta,
    ) -> None:
        self._database = database
        self._bars = bars
        self._instances = instances
        self._reconciler = reconciler
        self._max_quote_age = max_quote_age

    def prepare(self, claim: Claim, owner: str, settings: PipelineSettings) -> CycleRun:
        """Return the run, its venues advanced and read, its positions and orders loaded."""
        plan = claim.plan
        portfolio = plan.portfolio
        run = CycleRun(
            id=claim.cycle_id,
            portfolio_id=portfolio.id,
            user_id=portfolio.user_id,
            name=portfolio.name,
            currency=portfolio.base_currency,
            initial_capital=portfolio.initial_capital,
            market_time=claim.market_time,
            started_at=claim.started_at,
            lease_token=claim.token,
            owner=owner,
            feed=portfolio.feed,
            trigger=claim.trigger,
            limits=self._limits(portfolio),
            statistics_enabled=settings.statistics_enabled,
            execution_timeout=settings.execution_timeout,
        )
        self._build(run, plan)
        for record in plan.accounts:
            account = run.accounts.get(record.id)
            if account is None:
                continue
            series = self._account_series(plan, record)
            if record.kind == "simulated":
                self._reconciler.advance(record, series, run.market_time)
            self._reconciler.sync(account, run.portfolio_id, run.user_id)
            account.rates = self._reconciler.prices(series, run.market_time)
        self._load_state(run)
        return run

    def accounts(self, plan: Plan) -> list[AccountRun]:
        """Return the portfolio's accounts with a broker each, to be read outside a cycle."""
        run = CycleRun(
            id=0,
            portfolio_id=plan.portfolio.id,
            user_id=plan.portfolio.user_id,
            name=plan.portfolio.name,
            currency=plan.portfolio.base_currency,
            initial_capital=plan.portfolio.initial_capital,
            market_time=plan.portfolio.created_at,
            started_at=plan.portfolio.created_at,
            lease_token=0,
            owner="",
            feed=plan.portfolio.feed,
            trigger="schedule",
            limits=RiskLimits(),
        )
        self._build(run, plan)
        return list(run.accounts.values())

    def _build(self, run: CycleRun, plan: Plan) -> None:
        records = {record.id: record for record in plan.accounts}
        for record in plan.accounts:
            run.accounts[record.id] = AccountRun(
                id=record.id,
                venue_key=record.venue_key,
                kind=record.kind,
                currency=record.currency,
                broker=None,
                balance=record.balance,
            )
        for asset in plan.assets:
            made = self._asset(run, plan, asset, records[asset.account_id])
            (run.assets if asset.enabled else run.watched)[asset.id] = made
        users: dict[int, list[AssetRun]] = {}
        for one in (run.assets | run.watched).values():
            users.setdefault(one.account.id, []).append(one)
        # An account that no asset uses has nothing to be read for.
        idle = [record.balance for record in plan.accounts if record.id not in users]
        run.idle_balance = sum(idle, ZERO)
        run.accounts = {key: run.accounts[key] for key in users}
        for key, assets in users.items():
            _choose_reader(run.accounts[key], assets)

    def _asset(
        self, run: CycleRun, plan: Plan, asset: AssetRecord, account: BrokerAccountRecord
    ) -> AssetRun:
        series = plan.series(asset)
        made = AssetRun(
            id=asset.id,
            instrument=find_instrument(asset.instrument),
            timeframe=asset.timeframe,
            series=series,
            account=run.accounts[asset.account_id],
            strategy=None,
            broker=None,
            strategy_plugin=asset.strategy_plugin,
            broker_plugin=asset.broker_plugin,
            parameters={},
            limits=run.limits,
            allocated_before=asset.allocated_capital,
        )
        problems: list[PluginNotUsable] = []
        try:
            made.broker = self._instances.broker(asset, account, series, run.execution_timeout)
            made.leverage = self._instances.leverage(made.broker, asset.instrument)
        except PluginNotUsable as problem:
            problems.append(problem)
        try:
            made.strategy = self._instances.strategy(asset, run.execution_timeout)
            made.parameters = dict(made.strategy.plugin.params)
            made.limits = with_strategy_sizes(run.limits, made.parameters)
        except PluginNotUsable as problem:
            problems.append(problem)
        except ValueError as problem:
            problems.append(PluginNotUsable(str(problem)))
        if problems:
            made.fail(problems[0].code, " ".join(str(problem) for problem in problems))
        elif series is None:
            made.fail(DenialCode.NO_BAR, "The asset has no bars: choose a data set for it.")
        return made

    def _limits(self, portfolio: PortfolioRecord) -> RiskLimits:
        return RiskLimits(
            require_stop_loss=portfolio.require_stop_loss,
            require_take_profit=portfolio.require_take_profit,
            max_open_positions=portfolio.max_open_positions,
            max_exposure=portfolio.max_exposure,
            max_leverage=portfolio.max_leverage,
            max_spread_pips=portfolio.max_spread_pips,
            max_quote_age=self._max_quote_age,
        )

    def _account_series(self, plan: Plan, account: BrokerAccountRecord) -> list[Series]:
        """Return the streams that the account lives on: its assets' and its conversions'."""
        own = {
            series.key: series
            for asset in plan.assets
            if asset.account_id == account.id and (series := plan.series(asset)) is not None
        }
        pairs = needed_pairs(account.currency, {series.instrument for series in own.values()})
        if pairs:
            with self._database.read() as session:
                rows = store.datasets_for_pairs(session, plan.portfolio.user_id, pairs)
            # Invented prices must not convert real ones, nor the other way round.
            origins = {series.origin for series in own.values()}
            rows = [row for row in rows if row.origin in origins]
            timeframes = {series.timeframe for series in own.values()}
            rows.sort(key=lambda row: (row.timeframe not in timeframes, row.id))
            joined: set[frozenset[str]] = set()
            for row in rows:
                series, pair = series_of(row), frozenset(row.instrument.split("_"))
                if pair not in joined:
                    joined.add(pair)
                    own.setdefault(series.key, series)
        return list(own.values())

    def _load_state(self, run: CycleRun) -> None:
        """Load open positions, unfinished orders and the last bars of all assets."""
        assets = run.assets | run.watched
        with self._database.read() as session:
            for position in store.open_positions_of(session, run.portfolio_id):
                asset = assets.get(position.asset_id)
                if asset is None:
                    continue
                asset.positions += (
                    AssetPosition(
                        position_id=position.id,
                        trade_id=order_store.trade_for_broker(session, position.id)
                        if not asset.account.has_log
                        else position.broker_trade_id,
                        units=position.units,
                        entry_price=position.entry_price,
                        stop_loss=position.stop_loss,
                        take_profit=position.take_profit,
                        opened_at=position.opened_at,
                    ),
                )
            for order in order_store.working_orders_of(session, run.portfolio_id):
                asset = assets.get(order.asset_id)
                if asset is not None:
                    asset.order_in_flight = True
                    asset.outcome_unknown |= order.status == OrderStatus.UNKNOWN.value
        for asset in assets.values():
            if asset.series is None:
                continue
            asset.bars = self._bars.window(asset.series, run.market_time)
            last = self._bars.bars(asset.series, run.market_time, 1)
            asset.last_bar = last[-1] if last else None
            asset.last_price = self._bars.last_price(asset.series, run.market_time)


def _choose_reader(account: AccountRun, assets: list[AssetRun]) -> None:
    """Give the account the broker that it is read through: the first that keeps a log.

    What a broker without a log did stands nowhere in the account's own, so the two cannot share
    one: the books would never agree with the venue again.
    """
    usable = [asset for asset in assets if asset.broker is not None]
    logging = [asset for asset in usable if asset.broker is not None and asset.broker.has_log]
    reader = next(iter(logging or usable), None)
    account.broker = reader.broker if reader is not None else None
    for asset in usable if logging else ():
        if asset not in logging:
            asset.fail(
                DenialCode.PLUGIN_UNAVAILABLE,
                f"The broker plugin {asset.broker_plugin!r} keeps no log of what it did, and other "
                f"assets trade the same account through one that does: give this asset an account "
                f"of its own.",
            )


def needed_pairs(currency: str, instruments: Iterable[str]) -> set[str]:
    """Return the pairs, in both spellings, that would join what is traded to the account.

    Profit arises in each instrument's quote currency, simulated costs in dollars.
    """
    joined = {frozenset(name.split("_")) for name in instruments}
    foreign = {name.split("_")[1] for name in instruments} | {COST_CURRENCY}
    pairs = set()
    for other in foreign - {currency}:
        if frozenset((other, currency)) not in joined:
            pairs |= {f"{other}_{currency}", f"{currency}_{other}"}
    return pairs


def closes_at(asset: AssetRun) -> datetime | None:
    """Return when the asset's last bar closed, or None without one."""
    if asset.last_bar is None:
        return None
    return asset.last_bar.open_time + timeframe(asset.timeframe)
