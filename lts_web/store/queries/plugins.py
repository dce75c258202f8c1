"""What is known of plugins: their last debug information."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lts_web.store.models import PluginSnapshotRecord


def debug_snapshots(session: Session) -> list[dict[str, Any]]:
    """Return the last debug information of every plugin instance, by family, name and scope."""
    rows = session.scalars(
        select(PluginSnapshotRecord).order_by(
            PluginSnapshotRecord.family, PluginSnapshotRecord.name, PluginSnapshotRecord.scope
        )
    )
    return [
        {
            "family": row.family,
            "name": row.name,
            "scope": row.scope,
            "debug": row.debug,
            "recorded_at": row.recorded_at.isoformat().replace("+00:00", "Z"),
        }
        for row in rows
    ]
