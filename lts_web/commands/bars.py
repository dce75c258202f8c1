"""The command that imports bars from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lts_web.commands import CommandResult
from lts_web.datadir import DataDir
from lts_web.gateways.bar_files import BarFile, BarFileError, open_bar_file, read_bars
from lts_web.services.accounts import AccountService
from lts_web.services.bar_import import BarImport, FileChanged
from lts_web.settings import Loaded
from lts_web.store import schema
from lts_web.store.engine import Database
from lts_web.trading.calendar import timeframe
from lts_web.trading.instruments import InstrumentError, find_instrument
from lts_web.wiring import command_actor, database_path, wall_clock

REFUSED = 1
WRONG_USAGE = 2


def run(loaded: Loaded, **options: Any) -> CommandResult:
    """Import `file` for `owner` (or for everybody), all of it or nothing."""
    try:
        instrument = find_instrument(options["instrument"])
        timeframe(options["timeframe"])
    except (InstrumentError, ValueError) as error:
        return CommandResult(WRONG_USAGE, None, (str(error),))
    path = database_path(loaded, DataDir(loaded.settings.data_dir))
    schema.upgrade(path)
    database = Database(path)
    try:
        return _import(database, instrument.name, instrument.price_precision, options)
    finally:
        database.close()


def _import(
    database: Database, instrument: str, price_precision: int, options: dict[str, Any]
) -> CommandResult:
    user_id = None
    if options["owner"] is not None:
        user = AccountService(database, wall_clock).find_user(options["owner"])
        if user is None:
            return CommandResult(
                REFUSED, None, (f"There is no user {options['owner']}: see `lts user list`.",)
            )
        user_id = user.id
    file: Path = options["file"]
    try:
        with open_bar_file(file) as stream:

            def open_file() -> BarFile:
                stream.seek(0)
                return read_bars(
                    stream,
                    instrument=instrument,
                    timeframe=options["timeframe"],
                    price_precision=price_precision,
                    time_format=options["time_format"],
                    zone=options["zone"],
                    scale=options["scale"],
                    now=wall_clock(),
                )

            imported = BarImport(database, wall_clock).run(
                open_file,
                name=file.name,
                instrument=instrument,
                timeframe=options["timeframe"],
                user_id=user_id,
                actor=command_actor(),
            )
    except BarFileError as error:
        defects = [
            {"line": one.line, "column": one.column, "code": one.code, "reason": one.reason}
            for one in error.defects
        ]
        lines = (*str(error).splitlines(), "Nothing was imported.")
        return CommandResult(REFUSED, {"imported": False, "defects": defects}, lines)
    except FileChanged as error:
        return CommandResult(REFUSED, {"imported": False, "defects": []}, (str(error),))
    except ValueError as error:
        return CommandResult(WRONG_USAGE, None, (str(error),))
    document = {
        "dataset_id": imported.dataset_id,
        "rows": imported.rows,
        "gaps": imported.gaps,
        "outside_calendar": imported.outside_calendar,
        "warnings": list(imported.warnings),
    }
    lines = (
        (
            f"Imported {imported.rows} bars of {instrument} {options['timeframe']} as data set "
            f"{imported.dataset_id}."
        ),
        *imported.warnings,
    )
    return CommandResult(document=document, lines=lines)
