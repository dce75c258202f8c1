"""Calls into plugins under a time limit, on threads that may be lost.

A call runs on a daemon thread of a bounded pool. Past its limit the thread is abandoned: nobody
waits for it, its result is refused, and another takes its place. A thread cannot be killed, so a
process that has lost several should be restarted by whoever reads `abandoned`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from time import monotonic
from typing import Any, TypeVar

from lts_web.trading.codes import DenialCode

T = TypeVar("T")
_DETAIL_LIMIT = 500


class PluginCallError(Exception):
    """A plugin gave no usable answer; the asset is denied with `code`, the others go on."""

    code = DenialCode.PLUGIN_ERROR


class PluginFailed(PluginCallError):
    """The plugin's code raised; `__cause__` is what it raised."""


class PluginTimedOut(PluginCallError):
    """The plugin did not answer in time; its thread and its instance are to be given up."""

    code = DenialCode.PLUGIN_TIMEOUT


class AnswerInvalid(PluginCallError):
    """The plugin answered with something that the contract does not allow."""

    code = DenialCode.PLUGIN_ANSWER_INVALID


class _Job:
    """One call and its outcome. `finished` is released when the outcome stands."""

    __slots__ = ("abandoned", "call", "done", "error", "finished", "problem", "result")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.problem = ""
        self.done = False
        self.abandoned = False
        self.finished = threading.Lock()
        self.finished.acquire()

    def run(self) -> None:
        try:
            self.result = self.call()
        except BaseException as error:  # noqa: BLE001 - the edge: plugin code may raise anything
            self.problem = _described(error)
            self.error = error


class _Worker(threading.Thread):
    """A thread that runs one job after the other until one of them is abandoned."""

    def __init__(self, runner: PluginRunner, number: int) -> None:
        super().__init__(name=f"plugin-{number}", daemon=True)
        self._runner = runner
        self._job: _Job | None = None
        self._wake = threading.Lock()
        self._wake.acquire()

    def give(self, job: _Job) -> None:
        self._job = job
        self._wake.release()

    def run(self) -> None:
        while True:
            self._wake.acquire()
            job, self._job = self._job, None
            assert job is not None
            job.run()
            if not self._runner.finish(self, job):
                return
            del job  # An idle thread must not keep the last answer alive.


class PluginRunner:
    """A bounded pool of threads for plugin calls.

    A call that is made from within a call never waits for a free thread, so that a full pool of
    pipelines cannot block the very steps that they wait for.
    """

    def __init__(self, max_threads: int = 64) -> None:
        self._max_threads = max_threads
        self._idle: deque[_Worker] = deque()
        self._free = threading.Condition()
        self._threads = 0
        self._started = 0
        self._abandoned = 0

    @property
    def abandoned(self) -> int:
        """Return how many threads are still stuck in calls that were given up."""
        return self._abandoned

    @property
    def threads(self) -> int:
        """Return how many threads are busy or wait for a call."""
        return self._threads

    def call(self, function: Callable[..., T], *args: Any, timeout_seconds: float) -> T:
        """Return `function(*args)`, run on a thread of the pool in a copy of this context.

        PluginTimedOut: no answer, or no free thread, within `timeout_seconds`. PluginFailed: it
        raised anything, SystemExit and KeyboardInterrupt included. A PluginCallError that it
        raises passes unchanged.
        """
        deadline = monotonic() + timeout_seconds
        context = copy_context()
        worker = self._take(timeout_seconds)
        job = _Job(lambda: context.run(function, *args))
        worker.give(job)
        if not job.finished.acquire(timeout=max(deadline - monotonic(), 0.0)):
            with self._free:
                if not job.done:
                    job.abandoned = True
                    self._abandoned += 1
                    self._threads -= 1
                    self._free.notify()
            if job.abandoned:
                raise PluginTimedOut(f"No answer within {timeout_seconds:g} seconds.")
        if job.error is None:
            result: T = job.result
            return result
        if isinstance(job.error, PluginCallError):
            raise job.error
        raise PluginFailed(job.problem) from job.error

    def finish(self, worker: _Worker, job: _Job) -> bool:
        """Take back the worker of a job that ended; False: it was given up and must end."""
        with self._free:
            job.done = True
            if job.abandoned:
                self._abandoned -= 1
                return False
            self._idle.append(worker)
            self._free.notify()
        job.finished.release()
        return True

    def _take(self, timeout_seconds: float) -> _Worker:
        with self._free:
            nested = isinstance(threading.current_thread(), _Worker)
            if not self._idle and not nested:
                room = self._free.wait_for(
                    lambda: self._idle or self._threads < self._max_threads, timeout_seconds
                )
                if not room:
                    raise PluginTimedOut(
                        f"All {self._max_threads} plugin threads were busy for "
                        f"{timeout_seconds:g} seconds."
                    )
            if self._idle:
                return self._idle.pop()
            self._threads += 1
            self._started += 1
            worker = _Worker(self, self._started)
        try:
            worker.start()
        except RuntimeError as error:
            with self._free:
                self._threads -= 1
            raise PluginFailed("The system has no thread left to run it on.") from error
        return worker


def _described(error: BaseException) -> str:
    """Return type and message of what a plugin raised, even if its `__str__` raises as well."""
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001 - the same edge
        message = "(its message cannot be read)"
    name = type(error).__name__
    described = (f"{name}: {message}" if message else name)[:_DETAIL_LIMIT]
    # A lone surrogate, as file names bring them, can be neither stored nor shown.
    return described.encode("utf-8", "replace").decode()
