"""What is done now and then: thinning old decisions that led to nothing."""

from __future__ import annotations

from datetime import timedelta

from lts_web.store.engine import Database
from lts_web.store.retention import thin_decisions
from lts_web.trading.ports import Clock

BATCH = 5_000


class Upkeep:
    """Keeps the database from growing without end."""

    def __init__(self, database: Database, clock: Clock, decisions_kept: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._decisions_kept = decisions_kept

    def run(self) -> None:
        """Thin the decisions without an order that are old enough, to one an hour and asset."""
        before = self._clock() - self._decisions_kept
        while True:
            with self._database.write() as session:
                if thin_decisions(session, before, BATCH) < BATCH:
                    return
