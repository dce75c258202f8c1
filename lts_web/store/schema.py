"""The schema of LTS's database: bring a file to the newest revision, or say what is wrong with it.

The revisions are the package `migrations`, found wherever it is installed; no ini file is read.
All of an upgrade is one transaction with foreign keys off, since rebuilding a table would delete
its children otherwise; they are checked before the commit. Moves no data by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

import migrations
from lts_web.store.engine import make_engine

MIGRATIONS = Path(migrations.__file__).parent


class SchemaError(RuntimeError):
    """The database cannot be used with this version of LTS; the file is as it was before."""

    exit_code = 1


def upgrade(database_path: Path, revisions: Path = MIGRATIONS) -> None:
    """Bring the database to the newest schema, creating the file if there is none.

    SchemaError: the file is of a newer LTS or no database, or the SQL of a revision failed; then
    nothing has changed, and neither has it after any other exception.
    """
    with _migrating(database_path, revisions) as config:
        command.upgrade(config, "head")


def downgrade(database_path: Path, revision: str, revisions: Path = MIGRATIONS) -> None:
    """Take the schema back to a revision ("base": no tables); what it did not know is lost.

    SchemaError as for `upgrade`.
    """
    with _migrating(database_path, revisions) as config:
        command.downgrade(config, revision)


def check(database_path: Path, revisions: Path = MIGRATIONS) -> list[str]:
    """Return what is wrong with the database, a sentence each; empty when it is sound."""
    if not database_path.is_file():
        return [f"There is no database {database_path.name}: run `lts db upgrade` to create it."]
    engine = make_engine(database_path)
    try:
        with engine.connect() as connection:
            return [
                *_revision_problems(connection, database_path, _config(revisions)),
                *_integrity_problems(connection),
            ]
    except DBAPIError as error:
        return [_unreadable(database_path, error)]
    finally:
        engine.dispose()


@contextmanager
def _migrating(database_path: Path, revisions: Path) -> Iterator[Config]:
    """Give a configuration whose connection is in one write transaction without foreign keys."""
    config = _config(revisions)
    engine = make_engine(database_path)
    event.listen(engine, "connect", _foreign_keys_off)
    try:
        with engine.execution_options(lts_write=True).begin() as connection:
            _refuse_newer(connection, database_path, config)
            config.attributes["connection"] = connection
            yield config
            broken = _broken_references(connection)
            if broken:
                raise SchemaError(f"{database_path.name} was left as it was: {' '.join(broken)}")
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.DatabaseError) and _is_no_database(error):
            raise SchemaError(_unreadable(database_path, error)) from error
        raise SchemaError(
            f"The schema of {database_path.name} could not be changed, and nothing was: "
            f"{error.orig}."
        ) from error
    finally:
        engine.dispose()


def _foreign_keys_off(connection: Any, _record: Any) -> None:
    # Has no effect inside a transaction, so it comes when the connection is made.
    connection.execute("PRAGMA foreign_keys=OFF")


def _config(revisions: Path) -> Config:
    config = Config()
    # A percent sign in a path would be read as an interpolation.
    config.set_main_option("script_location", str(revisions).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _known_revisions(config: Config) -> list[str]:
    """Return all revisions of this installation, the newest first."""
    script = ScriptDirectory.from_config(config)
    return [revision.revision for revision in script.walk_revisions()]


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _newer(database_path: Path, current: str, known: list[str]) -> str:
    return (
        f"{database_path.name} was written by a newer LTS (its schema is {current}, the newest "
        f"known here is {known[0]}): install that version, or restore a backup made before it."
    )


def _refuse_newer(connection: Connection, database_path: Path, config: Config) -> None:
    known, current = _known_revisions(config), _current(connection)
    if current is not None and current not in known:
        raise SchemaError(_newer(database_path, current, known))


def _revision_problems(connection: Connection, database_path: Path, config: Config) -> list[str]:
    known, current = _known_revisions(config), _current(connection)
    if current == known[0]:
        return []
    if current is not None and current not in known:
        return [_newer(database_path, current, known)]
    behind = f"The schema of {database_path.name} is {current or 'empty'}, not {known[0]}"
    return [f"{behind}: make a backup, then run `lts db upgrade`."]


def _integrity_problems(connection: Connection) -> list[str]:
    findings = connection.exec_driver_sql("PRAGMA integrity_check(5)").scalars().all()
    damaged = [f"The file is damaged: {finding}." for finding in findings if finding != "ok"]
    if damaged:
        damaged.append("Restore the last good backup.")
    return [*damaged, *_broken_references(connection)]


def _broken_references(connection: Connection) -> list[str]:
    """Return a sentence for each table with rows that refer to rows that do not exist."""
    counts: dict[tuple[str, str], int] = {}
    for table, _row, parent, _key in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        counts[table, parent] = counts.get((table, parent), 0) + 1
    return [
        f"{count} rows of {table} refer to rows of {parent} that do not exist."
        for (table, parent), count in counts.items()
    ]


def _is_no_database(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) in (
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN,
    )


def _unreadable(database_path: Path, error: DBAPIError) -> str:
    return (
        f"{database_path} cannot be read as a database ({error.orig}): check the path and its "
        f"permissions, or restore a backup."
    )
