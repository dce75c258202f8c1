"""The commands about plugins: list them, and show what they last told about themselves."""

from __future__ import annotations

import json
from typing import Any

from lts_web.commands import CommandResult
from lts_web.datadir import DataDir
from lts_web.plugins.registry import Registry
from lts_web.settings import Loaded
from lts_web.store import schema
from lts_web.store.engine import Database
from lts_web.store.queries.plugins import debug_snapshots
from lts_web.wiring import database_path


def run(loaded: Loaded, **options: Any) -> CommandResult:
    """Carry out `action`: list or debug."""
    return _list() if options["action"] == "list" else _debug(loaded)


def _list() -> CommandResult:
    rows = Registry().rows()
    document = [
        {
            "family": row.family,
            "name": row.name,
            "state": row.state,
            "reason": row.reason,
            "version": row.version,
            "origin": row.origin,
        }
        for row in rows
    ]
    width = max((len(row.name) for row in rows), default=0)
    lines = tuple(
        " ".join(
            (
                row.family.ljust(10),
                row.name.ljust(width),
                row.state.ljust(7),
                row.version,
                row.reason,
            )
        ).rstrip()
        for row in rows
    )
    return CommandResult(document={"items": document, "next_cursor": None}, lines=lines)


def _debug(loaded: Loaded) -> CommandResult:
    path = database_path(loaded, DataDir(loaded.settings.data_dir))
    schema.upgrade(path)
    database = Database(path)
    try:
        with database.read() as session:
            snapshots = debug_snapshots(session)
    finally:
        database.close()
    lines = tuple(
        f"{row['family']} {row['name']} ({row['scope']}, {row['recorded_at']}): "
        f"{json.dumps(row['debug'])}"
        for row in snapshots
    ) or ("No plugin has run yet.",)
    return CommandResult(document={"items": snapshots, "next_cursor": None}, lines=lines)
