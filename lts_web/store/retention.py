"""Deletes of what is kept for a limited time only, in the caller's transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, delete, func, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from lts_web.store.models import DecisionRecord, OrderRecord

MICROSECONDS_AN_HOUR = 3_600_000_000


def thin_decisions(session: Session, before: datetime, limit: int) -> int:
    """Delete up to `limit` decisions without an order, recorded before `before`.

    The first of each asset and hour stays. Returns how many were deleted.
    """
    kept = aliased(DecisionRecord)
    hour = _hour(DecisionRecord.recorded_at)
    first_of_hour = (
        select(func.min(kept.id))
        .where(
            kept.asset_id == DecisionRecord.asset_id,
            _hour(kept.recorded_at) == hour,
        )
        .scalar_subquery()
    )
    has_order = select(OrderRecord.id).where(OrderRecord.decision_id == DecisionRecord.id).exists()
    old = (
        select(DecisionRecord.id)
        .where(DecisionRecord.recorded_at < before, ~has_order, DecisionRecord.id != first_of_hour)
        .limit(limit)
    )
    deleted = session.execute(
        delete(DecisionRecord)
        .where(DecisionRecord.id.in_(old))
        .returning(DecisionRecord.id)
        .execution_options(synchronize_session=False)
    )
    return len(deleted.all())


def _hour(time: InstrumentedAttribute[datetime]) -> ColumnElement[int]:
    """Return the number of the hour of a stored time, by integer division as SQLite does it."""
    return type_coerce(time, BigInteger).op("/")(MICROSECONDS_AN_HOUR)
