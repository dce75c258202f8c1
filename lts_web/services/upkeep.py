"""What is done now and then: thinning old decisions that led to nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

from lts_web.store.engine import Database
from lts_web.store.retention import OldDecision, decisions_after, delete_decisions
from lts_web.trading.ports import Clock

BATCH = 5_000


class Upkeep:
    """Keeps the database from growing without end.

    It goes through the decisions once, in the order in which they were written, and remembers how
    far it came; after a restart the thinned ones are passed over quickly. The search holds no
    lock, since cycles must not wait for it.
    """

    def __init__(self, database: Database, clock: Clock, decisions_kept: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._decisions_kept = decisions_kept
        self._last_id = 0
        self._kept_hours: dict[int, datetime] = {}

    def run(self) -> None:
        """Thin the decisions without an order that are old enough, to one an hour and asset."""
        before = self._clock() - self._decisions_kept
        while True:
            with self._database.read() as session:
                found = decisions_after(session, self._last_id, BATCH)
            old = [one for one in found if one.recorded_at < before]
            superfluous = [one.id for one in old if not self._is_kept(one)]
            if superfluous:
                with self._database.write() as session:
                    delete_decisions(session, superfluous)
            if old:
                self._last_id = old[-1].id
            if len(old) < BATCH:
                return

    def _is_kept(self, decision: OldDecision) -> bool:
        """Return whether it led to an order, or is the first of its asset in its hour."""
        hour = decision.recorded_at.replace(minute=0, second=0, microsecond=0)
        first = self._kept_hours.get(decision.asset_id) != hour
        self._kept_hours[decision.asset_id] = hour
        return first or decision.has_order
