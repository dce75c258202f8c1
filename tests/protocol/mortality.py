"""Processes that die where a test wants it: at a step of the protocol, or around a commit.

A `Life` is what a process tells its steps to. Where it is to end it raises `Killed`, and from then
on nothing that still runs may reach another step or commit anything, as if the process were gone.
"""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Engine


class Killed(BaseException):
    """The process ended here; nobody may catch it and go on."""


class Life:
    """One process's life: the steps that it reached, and at which of them it ends."""

    def __init__(self) -> None:
        """Begin a life that never ends."""
        self.steps: list[str] = []
        self.over = False
        self._ends_at: int | None = None
        self._lock = threading.Lock()

    def count(self, ends_at: int | None = None) -> None:
        """Count steps from now on, from 0; end at the one with this number."""
        self.steps.clear()
        self._ends_at = ends_at

    def reach(self, step: str) -> None:
        """Note the step; Killed if life ends here or has ended."""
        with self._lock:
            if not self.over:
                self.steps.append(step)
                self.over = len(self.steps) - 1 == self._ends_at
            if self.over:
                raise Killed(step)


def watch_commits(engine: Engine, name: str, reach: Any) -> None:
    """Make every commit of the engine two steps: right before it, and right after it."""
    commit = engine.dialect.do_commit

    def do_commit(connection: Any) -> None:
        reach(f"{name}.before_commit")
        commit(connection)
        reach(f"{name}.committed")

    engine.dialect.do_commit = do_commit  # type: ignore[assignment, method-assign]
