"""Reads and deletes of what is kept for a limited time only, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from lts_web.store.models import DecisionRecord, OrderRecord


@dataclass(frozen=True, slots=True)
class OldDecision:
    """A decision that may have been kept long enough."""

    id: int
    asset_id: int
    recorded_at: datetime
    has_order: bool


def decisions_after(session: Session, last_id: int, limit: int) -> list[OldDecision]:
    """Return up to `limit` decisions with an id above `last_id`, oldest first."""
    has_order = exists().where(OrderRecord.decision_id == DecisionRecord.id)
    rows = session.execute(
        select(DecisionRecord.id, DecisionRecord.asset_id, DecisionRecord.recorded_at, has_order)
        .where(DecisionRecord.id > last_id)
        .order_by(DecisionRecord.id)
        .limit(limit)
    )
    return [OldDecision(row[0], row[1], row[2], bool(row[3])) for row in rows]


def delete_decisions(session: Session, ids: Collection[int]) -> None:
    """Delete these decisions."""
    session.execute(
        delete(DecisionRecord)
        .where(DecisionRecord.id.in_(ids))
        .execution_options(synchronize_session=False)
    )
