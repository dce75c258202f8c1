"""`default_pipeline`: which portfolios run when, and the order of the steps in a cycle.

The steps themselves (`lts_web.trading.ports.CycleSteps`) belong to the house; this plugin arranges
them and reaches no broker past them. It starts no server and writes no record.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from lts_web.plugins.base import PipelinePluginBase
from lts_web.trading.ports import CycleSteps

# Between these a drain looks again for portfolios that fell due and for a shutdown.
_LEAST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 0.5
_ERRORS_KEPT = 100

_log = logging.getLogger(__name__)


class PipelinePlugin(PipelinePluginBase):
    """Runs due portfolios side by side, and in each: allocate, decide, check, place, record.

    `max_concurrent_portfolios` is kept here; the house keeps `global_latency` (when a portfolio
    is due), `execution_timeout`, `error_retry_count`, `error_retry_delay` and
    `statistics_enabled`, which it reads from the parameters.
    """

    plugin_params: ClassVar[dict[str, Any]] = {
        "global_latency": 5,
        "max_concurrent_portfolios": 10,
        "execution_timeout": 300,
        "error_retry_count": 3,
        "error_retry_delay": 60,
        "statistics_enabled": True,
    }
    plugin_debug_vars: ClassVar[list[str]] = [*plugin_params, "in_flight"]
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "global_latency": {
            "type": "number",
            "minimum": 0,
            "maximum": 10_080,
            "help": "Minutes between cycles of a portfolio that states none of its own.",
        },
        "max_concurrent_portfolios": {
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
            "help": "Portfolios that run at the same time; the others follow, longest overdue "
            "first.",
        },
        "execution_timeout": {
            "type": "number",
            "minimum": 1,
            "maximum": 3600,
            "help": "Seconds that one call of a plugin may take.",
        },
        "error_retry_count": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "help": "How often a read that failed is tried again; an order is never sent twice.",
        },
        "error_retry_delay": {
            "type": "number",
            "minimum": 0,
            "maximum": 3600,
            "help": "Seconds before such another try.",
        },
        "statistics_enabled": {
            "type": "boolean",
            "help": "Record performance figures; decisions, orders and reports remain either way.",
        },
    }

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Begin idle."""
        super().__init__(config)
        self._change = threading.Condition()
        self._news = 0
        self._drain: _Drain | None = None
        self._in_flight: set[int] = set()

    @property
    def in_flight(self) -> list[int]:
        """Return the ids of the portfolios that run at this moment."""
        with self._change:
            return sorted(self._in_flight)

    def run(
        self, portfolio_id: int | None = None, assets: list[Any] | None = None
    ) -> dict[str, Any]:
        """Run one portfolio's cycle, or without arguments all portfolios that are due.

        One cycle: {success, cycle_id, assets: [{asset_id, action, order_id, error}]}; `assets`
        are ids, or dictionaries with an "id". All due: {success, cycles, errors}; it returns when
        nothing is due or running, or when the process stops. A second call while one is at work
        wakes that one and returns at once, so that the limit holds whoever calls.
        """
        if portfolio_id is not None:
            return self._execute_portfolio(portfolio_id, assets or [])
        with self._change:
            if self._drain is not None:
                self._drain.settled.clear()
                self._tell()
                return {"success": True, "cycles": 0, "errors": []}
            drain = self._drain = _Drain()
        try:
            self._run_due(drain)
        finally:
            with self._change:
                if self._drain is drain:
                    self._drain = None
        return {"success": not drain.errors, "cycles": drain.cycles, "errors": drain.errors}

    def _execute_portfolio(self, portfolio_id: int, assets: list[Any]) -> dict[str, Any]:
        steps = self._steps()
        steps.allocate(portfolio_id)
        records = [self._execute_asset(portfolio_id, _asset_id(asset)) for asset in assets]
        return {
            "success": all(not record.get("error") for record in records),
            "cycle_id": steps.cycle_id(portfolio_id),
            "assets": records,
        }

    def _execute_asset(self, portfolio_id: int, asset_id: int) -> dict[str, Any]:
        steps = self._steps()
        decision = steps.decide(portfolio_id, asset_id)
        if decision is not None:
            for verdict in steps.check(portfolio_id, asset_id, decision):
                steps.place(portfolio_id, asset_id, verdict)
        return steps.record(portfolio_id, asset_id)

    def _run_due(self, drain: _Drain) -> None:
        """Keep submitting what is due, also while slow portfolios run, until nothing is left."""
        steps = self._steps()
        limit = max(int(self.params["max_concurrent_portfolios"]), 1)
        with ThreadPoolExecutor(limit, thread_name_prefix="portfolio") as executor:
            while True:
                with self._change:
                    seen = self._news
                self._submit_due(steps, executor, limit, drain)
                seconds = steps.seconds_until_due()
                with self._change:
                    if self._news != seen:
                        continue
                    if not self._in_flight:
                        # Given up under the lock: a call from now on starts a drain of its own.
                        self._drain = None
                        return
                    self._change.wait(_pause(seconds))

    def _submit_due(
        self, steps: CycleSteps, executor: ThreadPoolExecutor, limit: int, drain: _Drain
    ) -> None:
        """Submit due portfolios, longest overdue first, as far as there is room."""
        for portfolio_id in steps.due():
            with self._change:
                if len(self._in_flight) >= limit:
                    return
                if portfolio_id in self._in_flight or portfolio_id in drain.settled:
                    continue
            if steps.stopping():
                return
            with self._change:
                self._in_flight.add(portfolio_id)
            future = executor.submit(steps.run_portfolio, portfolio_id)
            future.add_done_callback(partial(self._ended, drain, portfolio_id))

    def _ended(
        self, drain: _Drain, portfolio_id: int, future: Future[dict[str, Any] | None]
    ) -> None:
        """Make room for the next one; what failed or was not ours waits for the next call."""
        error = future.exception()
        if error is not None:
            _log.error("The cycle of portfolio %s failed", portfolio_id, exc_info=error)
        with self._change:
            self._in_flight.discard(portfolio_id)
            if error is not None:
                drain.failed(portfolio_id, error)
            elif future.result() is None:
                drain.settled.add(portfolio_id)
            else:
                drain.cycles += 1
            self._tell()

    def _tell(self) -> None:
        self._news += 1
        self._change.notify_all()

    def _steps(self) -> CycleSteps:
        steps: CycleSteps | None = self.plugins.get("steps")
        if steps is None:
            raise RuntimeError('Call start(plugins) first, with the steps under "steps".')
        return steps


@dataclass(slots=True)
class _Drain:
    """What one call of `run()` has done so far.

    `settled` are the portfolios that it does not try again by itself, though they look due.
    """

    cycles: int = 0
    errors: list[str] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)

    def failed(self, portfolio_id: int, error: BaseException) -> None:
        self.settled.add(portfolio_id)
        if len(self.errors) < _ERRORS_KEPT:
            self.errors.append(f"portfolio {portfolio_id}: {type(error).__name__}: {error}")


def _asset_id(asset: Any) -> int:
    return int(asset["id"] if isinstance(asset, Mapping) else asset)


def _pause(seconds_until_due: float | None) -> float:
    """Return how long to wait for news at most."""
    if seconds_until_due is None:
        return _LONGEST_WAIT_SECONDS
    return min(max(seconds_until_due, _LEAST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
