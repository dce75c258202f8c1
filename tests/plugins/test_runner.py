"""Calls under a time limit: results, failures, threads that are lost and replaced."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from statistics import median

import pytest

from lts_web.plugins.runner import AnswerInvalid, PluginFailed, PluginRunner, PluginTimedOut
from lts_web.trading.codes import DenialCode
from tests.contracts.misbehaving import Unprintable

marker: ContextVar[str] = ContextVar("marker", default="")


def _raise(error: BaseException) -> None:
    raise error


def _until(condition: object, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.req("SYS-011", "STC-005", "INT-04")
class TestCalls:
    def test_it_returns_what_the_function_does(self) -> None:
        assert PluginRunner().call(lambda a, b: a + b, 2, 3, timeout_seconds=5) == 5

    @pytest.mark.parametrize(
        "error", [ValueError("deliberate"), SystemExit(2), KeyboardInterrupt(), GeneratorExit()]
    )
    def test_whatever_is_raised_is_a_failure(self, error: BaseException) -> None:
        runner = PluginRunner()
        with pytest.raises(PluginFailed, match=type(error).__name__) as caught:
            runner.call(_raise, error, timeout_seconds=5)
        assert caught.value.__cause__ is error
        assert caught.value.code is DenialCode.PLUGIN_ERROR
        assert runner.call(lambda: 1, timeout_seconds=5) == 1

    def test_an_error_without_words_is_a_failure_too(self) -> None:
        with pytest.raises(PluginFailed, match="Unprintable"):
            PluginRunner().call(_raise, Unprintable(), timeout_seconds=5)

    def test_what_the_boundary_says_passes_unchanged(self) -> None:
        with pytest.raises(AnswerInvalid, match="side") as caught:
            PluginRunner().call(_raise, AnswerInvalid("side is missing"), timeout_seconds=5)
        assert caught.value.code is DenialCode.PLUGIN_ANSWER_INVALID

    def test_the_callers_context_is_seen_and_not_changed(self) -> None:
        marker.set("cycle 7")

        def look() -> str:
            seen = marker.get()
            marker.set("changed")
            return seen

        assert PluginRunner().call(look, timeout_seconds=5) == "cycle 7"
        assert marker.get() == "cycle 7"

    def test_a_thread_serves_many_calls(self) -> None:
        runner = PluginRunner()
        names = {
            runner.call(lambda: threading.current_thread().name, timeout_seconds=5)
            for _ in range(50)
        }
        assert len(names) == runner.threads == 1

    def test_a_call_is_quick(self) -> None:
        runner = PluginRunner()
        costs = []
        for _ in range(2000):
            start = time.perf_counter()
            runner.call(int, timeout_seconds=5)
            costs.append(time.perf_counter() - start)
        # Some 60 µs on a free machine; the bound leaves room for a busy one.
        assert median(costs) < 0.0005


@pytest.mark.req("SYS-011", "STC-005")
class TestTimeLimits:
    def test_a_call_that_hangs_is_given_up(self) -> None:
        runner, release = PluginRunner(), threading.Event()
        start = time.monotonic()
        with pytest.raises(PluginTimedOut, match=r"0\.05") as caught:
            runner.call(release.wait, timeout_seconds=0.05)
        assert time.monotonic() - start < 2
        assert caught.value.code is DenialCode.PLUGIN_TIMEOUT
        assert (runner.abandoned, runner.threads) == (1, 0)
        assert runner.call(lambda: 1, timeout_seconds=5) == 1
        release.set()
        _until(lambda: runner.abandoned == 0)

    def test_a_late_result_reaches_nobody(self) -> None:
        runner, release = PluginRunner(), threading.Event()
        with pytest.raises(PluginTimedOut):
            runner.call(lambda: (release.wait(), "late")[1], timeout_seconds=0.02)
        release.set()
        _until(lambda: runner.abandoned == 0)
        assert [runner.call(lambda i=i: i, timeout_seconds=5) for i in range(5)] == [0, 1, 2, 3, 4]

    def test_lost_threads_do_not_use_up_the_pool(self) -> None:
        runner, release = PluginRunner(max_threads=2), threading.Event()
        for _ in range(5):
            with pytest.raises(PluginTimedOut):
                runner.call(release.wait, timeout_seconds=0.02)
        assert runner.abandoned == 5
        assert runner.call(lambda: "still here", timeout_seconds=5) == "still here"
        release.set()

    def test_a_full_pool_waits_and_then_says_so(self) -> None:
        runner, release = PluginRunner(max_threads=1), threading.Event()
        busy = threading.Thread(target=lambda: runner.call(release.wait, timeout_seconds=30))
        busy.start()
        _until(lambda: runner.threads == 1)
        with pytest.raises(PluginTimedOut, match="busy"):
            runner.call(lambda: 1, timeout_seconds=0.05)
        waiting: list[int] = []
        second = threading.Thread(
            target=lambda: waiting.append(runner.call(lambda: 7, timeout_seconds=30))
        )
        second.start()
        release.set()
        second.join(10)
        busy.join(10)
        assert waiting == [7]
        assert runner.threads == 1

    def test_a_call_from_within_a_call_needs_no_free_thread(self) -> None:
        runner = PluginRunner(max_threads=1)

        def outer() -> str:
            return runner.call(lambda: "inner", timeout_seconds=5)

        assert runner.call(outer, timeout_seconds=5) == "inner"

    def test_many_callers_share_the_pool(self) -> None:
        runner = PluginRunner(max_threads=4)
        at_work, most, lock = 0, 0, threading.Lock()
        results: list[int] = []

        def work(number: int) -> int:
            nonlocal at_work, most
            with lock:
                at_work += 1
                most = max(most, at_work)
            time.sleep(0.002)
            with lock:
                at_work -= 1
            return number

        def caller(number: int) -> None:
            for one in range(10):
                result = runner.call(work, number * 10 + one, timeout_seconds=30)
                with lock:
                    results.append(result)

        threads = [threading.Thread(target=caller, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(results) == list(range(120))
        assert most <= 4
