"""The commands about the database: upgrade and check."""

from __future__ import annotations

from typing import Any

from lts_web.commands import CommandResult
from lts_web.datadir import DataDir
from lts_web.settings import Loaded
from lts_web.store import schema
from lts_web.wiring import database_path


def run(loaded: Loaded, **options: Any) -> CommandResult:
    """Carry out `action`: upgrade or check."""
    path = database_path(loaded, DataDir(loaded.settings.data_dir))
    if options["action"] == "check":
        problems = schema.check(path)
        return CommandResult(
            exit_code=1 if problems else 0,
            document={"sound": not problems, "problems": problems},
            lines=tuple(problems) or ("The database is sound and has the newest schema.",),
        )
    try:
        schema.upgrade(path)
    except schema.SchemaError as error:
        return CommandResult(error.exit_code, {"upgraded": False}, (str(error),))
    return CommandResult(document={"upgraded": True})
