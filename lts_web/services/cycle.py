"""One cycle of a portfolio, from its claim to its report, through the plugins of all families.

The pipeline plugin arranges the steps; this service gives them to it, keeps it within its time,
and sees to it that every claimed cycle ends: with a report, or marked failed, or (killed) marked
interrupted at the next start.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from lts_web import logs
from lts_web.plugins.base import PipelinePluginBase, PluginBase
from lts_web.plugins.runner import PluginCallError, PluginTimedOut
from lts_web.services.claims import Claim, Claims, Plan
from lts_web.services.instances import Instances, PluginNotUsable
from lts_web.services.ordering import OrderDesk
from lts_web.services.preparation import PipelineSettings, Preparation
from lts_web.services.reconcile import Reconciler
from lts_web.services.reporting import Reporter
from lts_web.services.runs import CycleRun
from lts_web.services.steps import RunSteps
from lts_web.store import cycles as store
from lts_web.store.engine import Database
from lts_web.store.live import bump, portfolio_topic
from lts_web.store.models import AssetRecord, PortfolioRecord
from lts_web.store.reports import finish_cycle, release_lease
from lts_web.trading.codes import DenialCode
from lts_web.trading.ports import Clock

logger = logging.getLogger(__name__)

# A pipeline's own limit: each of its assets may use the time of three plugin calls.
CALLS_AN_ASSET = 3


class CycleService:
    """Runs due portfolios; also the scheduler behind the steps that a pipeline is given."""

    def __init__(
        self,
        database: Database,
        claims: Claims,
        preparation: Preparation,
        reconciler: Reconciler,
        desk: OrderDesk,
        reporter: Reporter,
        instances: Instances,
        clock: Clock,
        max_concurrent_portfolios: int,
        reach: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._database = database
        self._claims = claims
        self._preparation = preparation
        self._reconciler = reconciler
        self._desk = desk
        self._reporter = reporter
        self._instances = instances
        self._clock = clock
        self._limit = max_concurrent_portfolios
        self._reach = reach
        claims.pipeline_latency = lambda portfolio: (
            self._pipeline_settings(portfolio).global_latency
        )
        self._stopping = threading.Event()
        self.asked_to_stop: Callable[[], bool] = lambda: False

    # --- scheduling -------------------------------------------------------------------------

    def due(self) -> list[int]:
        """Return the ids of the due portfolios, longest overdue first."""
        return self._claims.due()

    def seconds_until_due(self) -> float | None:
        """Return the time to the next due instant (0 if past), or None if there is none."""
        return self._claims.seconds_until_due()

    def stopping(self) -> bool:
        """Return whether the process is shutting down."""
        return self._stopping.is_set() or self.asked_to_stop()

    def stop(self) -> None:
        """Begin no new cycle and no new decision; what is under way is finished."""
        self._stopping.set()

    def run_portfolio(
        self, portfolio_id: int, *, forced: bool = False, trigger: str = "schedule"
    ) -> dict[str, Any] | None:
        """Claim and run one cycle of the portfolio; None: not due, taken, or above the limit."""
        if self.stopping():
            return None
        plan = self._claims.plan(portfolio_id)
        if plan is None:
            return None
        with self._claims.holding(portfolio_id) as held:
            if not held:
                return None
            settings = self._pipeline_settings(plan.portfolio)
            claim = self._claims.claim(plan, self._limit, forced=forced, trigger=trigger)
            if claim is None:
                return None
            with logs.context(cycle=claim.cycle_id, portfolio=portfolio_id):
                try:
                    return self._run(claim, settings)
                except Exception as fault:
                    self._abort(claim, fault)
                    raise

    def recover(self) -> list[int]:
        """Read the venues of all portfolios in which something was left unfinished.

        Returns the portfolios that were looked after; those that a living process holds are its
        own business.
        """
        recovered = []
        for portfolio_id in self._claims.portfolios_to_recover():
            with self._claims.holding(portfolio_id) as held:
                try:
                    if held and self._recover(portfolio_id):
                        recovered.append(portfolio_id)
                except Exception:  # the edge of one portfolio: the others start all the same
                    logger.exception("portfolio %s could not be recovered", portfolio_id)
        return recovered

    def _recover(self, portfolio_id: int) -> bool:
        """Read one portfolio's venues under its lease; False: a living process holds it."""
        plan = self._claims.plan(portfolio_id)
        token = self._claims.take_over(portfolio_id)
        if plan is None or token is None:
            return False
        self._reach("recovery.taken")
        for account in self._preparation.accounts(plan):
            self._reconciler.sync(account, portfolio_id, plan.portfolio.user_id)
        with self._database.write() as session:
            release_lease(session, portfolio_id, token)
            bump(session, plan.portfolio.user_id, portfolio_topic(portfolio_id))
        logger.info("portfolio %s was left unfinished and has been reconciled", portfolio_id)
        return True

    # --- one cycle --------------------------------------------------------------------------

    def _run(self, claim: Claim, settings: PipelineSettings) -> dict[str, Any]:
        run = self._preparation.prepare(claim, self._claims.owner.name, settings)
        try:
            return self._run_prepared(claim, run, settings)
        finally:
            run.closed = True  # whatever a lost thread still asks of this cycle is refused

    def _run_prepared(
        self, claim: Claim, run: CycleRun, settings: PipelineSettings
    ) -> dict[str, Any]:
        steps = RunSteps(
            self,
            run,
            self._desk,
            self._instances,
            lambda: self._instances.portfolio(claim.plan.portfolio, run.execution_timeout),
            self._clock,
            self._reach,
        )
        for name, config, assets in pipeline_groups(claim.plan):
            self._run_group(run, steps, name, config, assets)
            if run.broken is not None:
                raise run.broken
        self._tell_allocator(run, claim.plan.portfolio)
        self._delay_after_failed_reads(run, settings)
        report = self._reporter.finish(run, self._snapshots(run, claim.plan))
        return {**report, "assets": [steps_row(run, asset_id) for asset_id in run.assets]}

    def _run_group(
        self,
        run: CycleRun,
        steps: RunSteps,
        name: str,
        config: dict[str, Any],
        assets: list[AssetRecord],
    ) -> None:
        scope = f"portfolio:{run.portfolio_id}"
        try:
            pipeline = self._instances.pipeline(name, scope, config)
        except PluginNotUsable as problem:
            self._group_failed(run, assets, problem.code, str(problem))
            return
        limit = run.execution_timeout * (CALLS_AN_ASSET * len(assets) + 1)
        try:
            answered = self._instances.runner.call(
                _started_and_run(pipeline, steps, run.portfolio_id, assets), timeout_seconds=limit
            )
        except PluginCallError as error:
            if isinstance(error, PluginTimedOut):
                self._instances.give_up(pipeline)
            self._group_failed(run, assets, error.code, f"The pipeline {name!r}: {error}")
            return
        if not answered:
            run.errors.append(f"the pipeline {name!r} did not answer {{success, …}}")

    def _group_failed(
        self, run: CycleRun, assets: list[AssetRecord], code: DenialCode, detail: str
    ) -> None:
        run.errors.append(detail[:500])
        for record in assets:
            asset = run.assets.get(record.id)
            if asset is not None and asset.decision is None and asset.error is None:
                asset.fail(code, detail)

    def _pipeline_settings(self, portfolio: PortfolioRecord) -> PipelineSettings:
        try:
            pipeline = self._instances.pipeline(
                portfolio.pipeline_plugin, f"portfolio:{portfolio.id}", portfolio.pipeline_config
            )
        except PluginNotUsable:
            return PipelineSettings()
        return PipelineSettings.of(pipeline.params)

    def _tell_allocator(self, run: CycleRun, portfolio: PortfolioRecord) -> None:
        """Tell the portfolio plugin what became of the assets that ordered."""
        ordered = [asset for asset in run.assets.values() if asset.order_ids]
        if not ordered:
            return
        try:
            gate = self._instances.portfolio(portfolio, run.execution_timeout)
        except PluginNotUsable as problem:
            run.errors.append(str(problem)[:500])
            return
        try:
            for asset in ordered:
                gate.update(run.portfolio_id, steps_row(run, asset.id))
        except PluginCallError as error:
            if isinstance(error, PluginTimedOut):
                self._instances.give_up(gate.plugin)
            run.errors.append(f"the portfolio plugin's update failed: {error}"[:500])

    def _delay_after_failed_reads(self, run: CycleRun, settings: PipelineSettings) -> None:
        """Set the instant of the next try after a failed read; nothing sleeps.

        For `error_retry_count` failures in a row the next cycle begins `error_retry_delay`
        seconds later, after that at the portfolio's own pace again.
        """
        if all(account.readable for account in run.accounts.values()):
            return
        now = self._clock()
        with self._database.write() as session:
            portfolio = session.get_one(PortfolioRecord, run.portfolio_id)
            failures = max(
                account.sync_failures for account in store.accounts_of(session, portfolio.id)
            )
            if failures <= settings.error_retry_count and portfolio.next_due_at is not None:
                portfolio.next_due_at = now + timedelta(seconds=settings.error_retry_delay)

    def _snapshots(self, run: CycleRun, plan: Plan) -> list[dict[str, Any]]:
        """Return the debug information of every plugin instance that took part."""
        portfolio, scope = plan.portfolio, f"portfolio:{plan.portfolio.id}"
        used: list[tuple[str, str, str, PluginBase]] = []
        with suppress(PluginNotUsable):
            gate = self._instances.portfolio(portfolio, run.execution_timeout)
            used.append(("portfolio", portfolio.portfolio_plugin, scope, gate.plugin))
        for name, config, _ in pipeline_groups(plan):
            with suppress(PluginNotUsable):
                used.append(
                    ("pipeline", name, scope, self._instances.pipeline(name, scope, config))
                )
        for asset in run.assets.values():
            own = f"asset:{asset.id}"
            if asset.strategy is not None:
                used.append(("strategy", asset.strategy_plugin, own, asset.strategy.plugin))
            if asset.broker is not None:
                used.append(("broker", asset.broker_plugin, own, asset.broker.plugin))
        # One row a plugin and scope: of two groups of one pipeline the last one tells.
        unique = {one[:3]: one for one in used}
        return [self._instances.snapshot(*one) for one in unique.values()]

    def _abort(self, claim: Claim, fault: Exception) -> None:
        """Mark a cycle failed that the house itself could not finish, and free its lease."""
        logger.error("the cycle could not be finished", exc_info=fault)
        portfolio = claim.plan.portfolio
        with self._database.write() as session:
            if not release_lease(session, portfolio.id, claim.token):
                return
            finish_cycle(
                session,
                claim.cycle_id,
                status="failed",
                finished_at=self._clock(),
                errors=[f"the cycle could not be finished ({type(fault).__name__}); see the log"],
            )
            bump(session, portfolio.user_id, portfolio_topic(portfolio.id))


def pipeline_groups(plan: Plan) -> list[tuple[str, dict[str, Any], list[AssetRecord]]]:
    """Return the enabled assets grouped by the pipeline that runs them, the portfolio's first."""
    groups: dict[tuple[str, str], list[AssetRecord]] = {}
    own = (plan.portfolio.pipeline_plugin, json.dumps(plan.portfolio.pipeline_config))
    groups[own] = []
    for asset in plan.assets:
        if not asset.enabled:
            continue
        key = own
        if asset.pipeline_plugin is not None:
            key = (asset.pipeline_plugin, json.dumps(asset.pipeline_config))
        groups.setdefault(key, []).append(asset)
    return [
        (name, json.loads(config), assets) for (name, config), assets in groups.items() if assets
    ]


def _started_and_run(
    pipeline: PipelinePluginBase, steps: RunSteps, portfolio_id: int, assets: list[AssetRecord]
) -> Callable[[], bool]:
    """Return the call that runs the cycle and says whether the answer can be read.

    Also the reading belongs to the call: an answer of a plugin's own type may hang as well.
    """

    def call() -> bool:
        pipeline.start({"steps": steps})
        rows = [{"id": asset.id, "symbol": asset.instrument.replace("_", "")} for asset in assets]
        answer: object = pipeline.run(portfolio_id, rows)
        return isinstance(answer, dict) and isinstance(answer.get("success"), bool)

    return call


def steps_row(run: CycleRun, asset_id: int) -> dict[str, Any]:
    """Return what the cycle's caller is told of an asset."""
    asset = run.assets[asset_id]
    return {
        "asset_id": asset.id,
        "outcome": asset.outcome,
        "code": asset.code,
        "order_id": asset.order_ids[-1] if asset.order_ids else None,
        "error": asset.error,
    }
