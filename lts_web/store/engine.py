"""The database engine: one file, explicit transactions, durable commits.

Writers begin with BEGIN IMMEDIATE, so that two of them queue instead of failing half-way; readers
see one snapshot. Only services open transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError as DatabaseError
from sqlalchemy.orm import Session

__all__ = ["Database", "DatabaseError", "Session", "make_engine"]

BUSY_TIMEOUT_MILLISECONDS = 15_000


class Database:
    """One SQLite file. `read()` and `write()` are the only ways in; both give a `Session`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = make_engine(path)
        self._writer = self.engine.execution_options(lts_write=True)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a write transaction: commit at the end, roll back on any exception."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            session.connection()  # takes the write lock now, before anything is read
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a read transaction: one consistent snapshot, nothing can be written."""
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            yield session
            session.expunge_all()  # a rollback expires rows, and these are read after it
            session.rollback()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def make_engine(path: Path) -> Engine:
    """Return an engine for the file with the pragmas and transactions that LTS relies on."""
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MILLISECONDS / 1000},
        pool_size=32,
        max_overflow=32,
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: Any) -> None:
    # The driver's own transaction control starts transactions late and loses updates.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MILLISECONDS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("lts_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
