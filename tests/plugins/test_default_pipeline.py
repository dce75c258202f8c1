"""`default_pipeline`: due portfolios side by side, never above the limit, none dropped."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from lts_web.plugins.pipeline.default_pipeline import PipelinePlugin
from tests.contracts.cards import RecordedSteps

DOCUMENTED = {
    "global_latency": 5,
    "max_concurrent_portfolios": 10,
    "execution_timeout": 300,
    "error_retry_count": 3,
    "error_retry_delay": 60,
    "statistics_enabled": True,
}


class DueSteps(RecordedSteps):
    """Steps whose portfolios take a while; it counts how many run at the same time.

    `slow` run until `release` is set; `foreign` are held by somebody else and stay due; `failing`
    raise and stay due.
    """

    def __init__(self, due: list[int]) -> None:
        super().__init__(due_ids=due)
        self.lock = threading.Lock()
        self.release = threading.Event()
        self.running: set[int] = set()
        self.ran: list[int] = []
        self.most = 0
        self.slow: set[int] = set()
        self.foreign: set[int] = set()
        self.failing: set[int] = set()
        self.stop = False

    def due(self) -> list[int]:
        with self.lock:
            return [one for one in self.due_ids if one not in self.running]

    def seconds_until_due(self) -> float | None:
        return 0.0 if self.due() else None

    def fall_due(self, portfolio_id: int) -> None:
        with self.lock:
            self.due_ids.append(portfolio_id)

    def run_portfolio(self, portfolio_id: int) -> dict[str, Any] | None:
        with self.lock:
            if portfolio_id in self.foreign:
                self.calls.append(("refused", portfolio_id))
                return None
            assert portfolio_id not in self.running, "one portfolio runs once at a time"
            self.running.add(portfolio_id)
            self.most = max(self.most, len(self.running))
        try:
            if portfolio_id in self.failing:
                self.calls.append(("failed", portfolio_id))
                raise ValueError("deliberate")
            if portfolio_id in self.slow:
                assert self.release.wait(20)
            else:
                time.sleep(0.005)
            with self.lock:
                self.due_ids.remove(portfolio_id)
                self.ran.append(portfolio_id)
        finally:
            with self.lock:
                self.running.discard(portfolio_id)
        return {"success": True}

    def stopping(self) -> bool:
        return self.stop


def _pipeline(steps: DueSteps, **config: Any) -> PipelinePlugin:
    pipeline = PipelinePlugin(config)
    pipeline.start({"steps": steps})
    return pipeline


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.req("PLG-PIPE")
def test_the_documented_parameters_have_their_defaults() -> None:
    assert PipelinePlugin.plugin_params == DOCUMENTED


def test_without_steps_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="start"):
        PipelinePlugin().run(1, [1])


def test_assets_may_be_dictionaries() -> None:
    pipeline, steps = PipelinePlugin(), RecordedSteps()
    pipeline.start({"steps": steps})
    answer = pipeline.run(1, [{"id": 4}, 5])
    assert [record["asset_id"] for record in answer["assets"]] == [4, 5]


def test_an_assets_error_is_the_cycles() -> None:
    class Failing(RecordedSteps):
        def record(self, portfolio_id: int, asset_id: int) -> dict[str, Any]:
            return super().record(portfolio_id, asset_id) | {"error": "deliberate"}

    pipeline = PipelinePlugin()
    pipeline.start({"steps": Failing()})
    assert pipeline.run(1, [4])["success"] is False


@pytest.mark.req("SYS-009", "STC-006", "PLG-PIPE")
class TestDue:
    def test_twenty_five_portfolios_with_a_limit_of_three(self) -> None:
        steps = DueSteps(list(range(25)))
        answer = _pipeline(steps, max_concurrent_portfolios=3).run()
        assert sorted(steps.ran) == list(range(25))
        assert steps.most == 3
        assert answer == {"success": True, "cycles": 25, "errors": []}

    def test_the_longest_overdue_begin(self) -> None:
        steps = DueSteps([5, 3, 9, 1])
        _pipeline(steps, max_concurrent_portfolios=1).run()
        assert steps.ran == [5, 3, 9, 1]

    def test_nothing_due_is_no_error(self) -> None:
        answer = _pipeline(DueSteps([])).run()
        assert answer == {"success": True, "cycles": 0, "errors": []}

    def test_a_slow_portfolio_does_not_hold_up_what_falls_due_later(self) -> None:
        steps = DueSteps([1])
        steps.slow = {1}
        drain = threading.Thread(target=_pipeline(steps, max_concurrent_portfolios=2).run)
        drain.start()
        _until(lambda: steps.running == {1})
        for portfolio_id in (2, 3, 4):
            steps.fall_due(portfolio_id)
        _until(lambda: sorted(steps.ran) == [2, 3, 4])
        assert drain.is_alive()
        steps.release.set()
        drain.join(10)
        assert not drain.is_alive()
        assert steps.ran[-1] == 1

    def test_two_threads_never_exceed_the_limit(self) -> None:
        steps = DueSteps(list(range(30)))
        pipeline = _pipeline(steps, max_concurrent_portfolios=3)
        callers = [threading.Thread(target=pipeline.run) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(20)
        assert sorted(steps.ran) == list(range(30))
        assert steps.most <= 3

    def test_a_second_call_wakes_the_first_and_returns(self) -> None:
        steps = DueSteps([1])
        steps.slow = {1}
        pipeline = _pipeline(steps, max_concurrent_portfolios=2)
        drain = threading.Thread(target=pipeline.run)
        drain.start()
        _until(lambda: pipeline.in_flight == [1])
        steps.fall_due(2)
        assert pipeline.run() == {"success": True, "cycles": 0, "errors": []}
        _until(lambda: steps.ran == [2])
        steps.release.set()
        drain.join(10)
        assert not drain.is_alive()
        assert pipeline.in_flight == []

    def test_one_failure_stops_no_other_and_is_not_tried_for_ever(self) -> None:
        steps = DueSteps([1, 2, 3])
        steps.failing = {2}
        answer = _pipeline(steps, max_concurrent_portfolios=1).run()
        assert steps.ran == [1, 3]
        assert answer["success"] is False
        assert answer["errors"] == ["portfolio 2: ValueError: deliberate"]
        assert steps.calls.count(("failed", 2)) == 1

    def test_what_somebody_else_runs_is_left_to_them(self) -> None:
        steps = DueSteps([1, 2])
        steps.foreign = {1}
        answer = _pipeline(steps).run()
        assert steps.ran == [2]
        assert answer["cycles"] == 1
        assert steps.calls.count(("refused", 1)) == 1

    def test_the_next_call_tries_again(self) -> None:
        steps = DueSteps([1])
        steps.foreign = {1}
        pipeline = _pipeline(steps)
        pipeline.run()
        steps.foreign = set()
        assert pipeline.run()["cycles"] == 1

    def test_a_shutdown_starts_nothing_new(self) -> None:
        steps = DueSteps(list(range(10)))
        steps.slow = {0}
        drain = threading.Thread(target=_pipeline(steps, max_concurrent_portfolios=1).run)
        drain.start()
        _until(lambda: steps.running == {0})
        steps.stop = True
        steps.release.set()
        drain.join(10)
        assert not drain.is_alive()
        assert steps.ran == [0], "what runs is finished, nothing else begins"

    def test_an_error_in_the_work_list_reaches_the_caller_and_frees_the_plugin(self) -> None:
        class NoList(DueSteps):
            def due(self) -> list[int]:
                raise OSError("no database")

        steps = NoList([1])
        pipeline = _pipeline(steps)
        for _ in range(2):
            with pytest.raises(OSError, match="no database"):
                pipeline.run()
