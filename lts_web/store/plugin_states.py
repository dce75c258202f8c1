"""Writes of the plugins' states, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from lts_web.store.models import PluginStateRecord


def put_states(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Replace all rows of the families that occur."""
    families = {row["family"] for row in rows}
    session.execute(delete(PluginStateRecord).where(PluginStateRecord.family.in_(families)))
    if rows:
        unique = {(row["family"], row["name"]): row for row in rows}
        session.execute(insert(PluginStateRecord), list(unique.values()))
