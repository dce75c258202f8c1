"""The worker's tasks: wake up and run what is due; each minute, in case a wake-up was lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from huey import SqliteHuey, crontab

from worker.queue import make_wake

logger = logging.getLogger(__name__)

# A wake-up farther off than this is left to the periodic one.
FARTHEST_WAKE_SECONDS = 60.0


class Wakes:
    """Keeps at most one wake-up of this process in the schedule, for the next due instant."""

    def __init__(self) -> None:
        self._planned: datetime | None = None
        self._lock = threading.Lock()

    def woken(self) -> None:
        """Note that a wake-up arrived."""
        with self._lock:
            if self._planned is not None and self._planned <= datetime.now(UTC):
                self._planned = None

    def plan(self, seconds: float | None) -> datetime | None:
        """Return when to wake next, or None if that is planned already or left to the clock."""
        if seconds is None or seconds > FARTHEST_WAKE_SECONDS:
            return None
        instant = datetime.now(UTC) + timedelta(seconds=seconds)
        with self._lock:
            if self._planned is not None and self._planned <= instant + timedelta(seconds=0.5):
                return None
            self._planned = instant
            return instant


def register(
    queue: SqliteHuey, run_due: Callable[[], float | None], maintain: Callable[[], None]
) -> Any:
    """Register the tasks and return the wake-up task.

    `run_due` runs what is due and returns the seconds to the next due instant; `maintain` does
    what is to be done now and then.
    """
    wakes = Wakes()

    def look() -> None:
        wakes.woken()
        instant = wakes.plan(run_due())
        if instant is not None:
            wake.schedule(eta=instant)

    wake = make_wake(queue, look)

    def heal() -> None:
        look()

    def upkeep() -> None:
        maintain()

    queue.periodic_task(crontab(minute="*"), name="heal")(heal)
    queue.periodic_task(crontab(minute="17"), name="upkeep")(upkeep)
    return wake
