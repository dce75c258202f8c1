"""Writes of the audit log, in the transaction that does what the row tells."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from lts_web.store.models import AuditLogRecord

# Built once and run past the object mapper: every change of an order writes such a row.
_ADD = insert(AuditLogRecord.metadata.tables[AuditLogRecord.__tablename__])


def write_audit(
    session: Session,
    *,
    actor: str,
    action: str,
    now: datetime,
    object_type: str | None = None,
    object_id: int | None = None,
    details: dict[str, Any] | None = None,
    user_id: int | None = None,
    address: str | None = None,
    request_id: str | None = None,
) -> None:
    """Write one audit row.

    `actor` names who did it ("alice", "worker", "system"), `user_id` is their account where they
    have one. `now` is the wall clock (aware UTC).
    """
    session.connection().execute(
        _ADD,
        {
            "user_id": user_id,
            "actor": actor[:80],
            "action": action[:100],
            "object_type": object_type,
            "object_id": object_id,
            "details": details,
            "address": address,
            "request_id": request_id,
            "recorded_at": now,
        },
    )
