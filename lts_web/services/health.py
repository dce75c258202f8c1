"""The health of the installation for machines: one word for each part, and one for the whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lts_web.services.conditions import is_overdue
from lts_web.store.queries.findings import Findings

OK, DEGRADED, DOWN = "ok", "degraded", "down"


def health(found: Findings | None, now: datetime) -> dict[str, str | Mapping[str, str]]:
    """Return {status, checks} as of `now`; `found` None: the database could not be read.

    Checks: database, worker (seen within 30 s), queue (every due portfolio is begun in time),
    cycle (no failed or interrupted one in the last day).
    """
    if found is None:
        checks = {"database": DOWN, "worker": "unknown", "queue": "unknown", "cycle": "unknown"}
        return {"status": DOWN, "checks": checks}
    worker = OK
    if found.heartbeat is None or found.heartbeat.is_silent(now):
        worker = DEGRADED
    late = any(
        is_overdue(portfolio, now) for portfolio in found.active if portfolio.finished_at is None
    )
    failed = any(row.key in {"failed", "interrupted"} for row in found.cycles)
    checks = {
        "database": OK,
        "worker": worker,
        "queue": DEGRADED if late else OK,
        "cycle": DEGRADED if failed else OK,
    }
    degraded = any(state != OK for state in checks.values())
    return {"status": DEGRADED if degraded else OK, "checks": checks}
