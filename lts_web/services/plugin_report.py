"""Writes down which plugins could be loaded, so that every process and page tells the same."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lts_web.plugins.registry import PluginRow
from lts_web.store.engine import Database
from lts_web.store.plugin_states import put_states


def write_plugin_states(database: Database, rows: Iterable[PluginRow], now: datetime) -> None:
    """Replace the rows of these plugins; plugins that are gone from a family lose theirs."""
    with database.write() as session:
        put_states(
            session,
            [
                {
                    "family": row.family,
                    "name": row.name[:100],
                    "state": row.state,
                    "reason": row.reason[:1000],
                    "version": row.version[:40],
                    "origin": row.origin[:200],
                    "checked_at": now,
                }
                for row in rows
            ],
        )
