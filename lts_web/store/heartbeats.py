"""Writes of the workers' heartbeats, in the caller's transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from lts_web.store.models import WorkerHeartbeatRecord

KEPT = timedelta(days=7)


def beat(
    session: Session, owner: str, *, process_id: int, host: str, version: str, now: datetime
) -> None:
    """Note that the worker lives."""
    record = session.get(WorkerHeartbeatRecord, owner)
    if record is None:
        session.execute(
            delete(WorkerHeartbeatRecord).where(WorkerHeartbeatRecord.seen_at < now - KEPT)
        )
        record = WorkerHeartbeatRecord(
            owner=owner, process_id=process_id, host=host, version=version, started_at=now
        )
        session.add(record)
    record.seen_at = now


def rest(session: Session, owner: str, now: datetime) -> None:
    """Note that the worker has stopped of its own accord."""
    record = session.get(WorkerHeartbeatRecord, owner)
    if record is not None:
        record.stopped_at = now
