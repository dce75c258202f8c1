"""The command that creates the demonstration portfolio."""

from __future__ import annotations

from typing import Any

from lts_web.commands import CommandResult
from lts_web.datadir import DataDir
from lts_web.services.demonstration import Demonstration
from lts_web.settings import Loaded
from lts_web.store import schema
from lts_web.store.engine import Database
from lts_web.wiring import database_path, wall_clock


def run(loaded: Loaded, *, only_if_wanted: bool = False, **_options: Any) -> CommandResult:
    """Create the demonstration; `only_if_wanted` leaves it to the setting `demo`."""
    if only_if_wanted and not loaded.settings.demo:
        return CommandResult(document={"portfolio_id": None})
    path = database_path(loaded, DataDir(loaded.settings.data_dir))
    schema.upgrade(path)
    database = Database(path)
    try:
        created = Demonstration(database, wall_clock, loaded.settings.demo_pace_seconds).ensure()
    finally:
        database.close()
    if created is None:
        return CommandResult(
            1,
            {"portfolio_id": None},
            ("There is no administrator yet: create one with `lts user create --role admin`.",),
        )
    return CommandResult(
        document={"portfolio_id": created}, lines=(f"The demonstration is portfolio {created}.",)
    )
