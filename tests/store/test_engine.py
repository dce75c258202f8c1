"""Transactions: writers queue, readers see one snapshot, and nothing is lost or left open."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, OperationalError

from lts_web.store import schema
from lts_web.store.engine import BUSY_TIMEOUT_MILLISECONDS, Database
from lts_web.store.models import ConfigurationRecord, SessionRecord

NOW = datetime(2026, 3, 4, tzinfo=UTC)
PROCESSES, INCREMENTS = 4, 60
INCREMENT = """
import sys
from pathlib import Path
from lts_web.store.engine import Database
from lts_web.store.models import ConfigurationRecord

database = Database(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    with database.write() as session:
        record = session.get_one(ConfigurationRecord, "counter")
        record.value = record.value + 1
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "lts.db"
    schema.upgrade(path)
    database = Database(path)
    yield database
    assert database.engine.pool.checkedout() == 0, "a connection leaked"  # type: ignore[attr-defined]
    database.close()


def put(database: Database, key: str, value: object) -> None:
    with database.write() as session:
        session.merge(ConfigurationRecord(key=key, value=value, updated_at=NOW))


def read(database: Database, key: str) -> object:
    with database.read() as session:
        record = session.get(ConfigurationRecord, key)
        return None if record is None else record.value


@pytest.mark.req("SYS-013", "INT-03")
def test_every_connection_has_the_pragmas(database: Database) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": BUSY_TIMEOUT_MILLISECONDS,
    }
    with database.engine.connect() as first, database.engine.connect() as second:
        for connection in (first, second):
            for pragma, value in wanted.items():
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


@pytest.mark.req("SYS-013")
def test_a_writer_holds_the_lock_before_it_reads(database: Database) -> None:
    rival = sqlite3.connect(database.path, timeout=0, isolation_level=None)
    with database.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        rival.execute("BEGIN IMMEDIATE")
    rival.execute("BEGIN IMMEDIATE")
    rival.close()


@pytest.mark.req("SYS-013", "INT-007", "INT-013")
def test_any_exception_takes_everything_back(database: Database) -> None:
    put(database, "kept", 1)

    def fail(fault: BaseException) -> None:
        with database.write() as session:
            session.add(ConfigurationRecord(key="lost", value=1, updated_at=NOW))
            session.get_one(ConfigurationRecord, "kept").value = 2
            session.flush()
            raise fault

    for fault in (RuntimeError("a fault"), KeyboardInterrupt(), SystemExit(1)):
        with pytest.raises(type(fault)):
            fail(fault)
        assert read(database, "lost") is None
        assert read(database, "kept") == 1
    put(database, "kept", 3)
    assert read(database, "kept") == 3


@pytest.mark.req("SYS-013")
def test_constraints_hold_and_take_the_transaction_back(database: Database) -> None:
    def add_orphan() -> None:
        with database.write() as session:
            session.add(ConfigurationRecord(key="before", value=1, updated_at=NOW))
            session.flush()
            session.add(
                SessionRecord(
                    user_id=404, token_hash="x", created_at=NOW, last_seen_at=NOW, expires_at=NOW
                )
            )

    with pytest.raises(IntegrityError):
        add_orphan()
    assert read(database, "before") is None


@pytest.mark.req("SYS-013", "STC-008")
def test_a_reader_sees_one_snapshot_and_hinders_no_writer(database: Database) -> None:
    put(database, "counter", 1)
    with database.read() as session:
        assert session.get_one(ConfigurationRecord, "counter").value == 1
        put(database, "counter", 2)
        session.expire_all()
        assert session.get_one(ConfigurationRecord, "counter").value == 1
    assert read(database, "counter") == 2


def test_what_is_written_in_a_read_is_not_kept(database: Database) -> None:
    with database.read() as session:
        session.add(ConfigurationRecord(key="lost", value=1, updated_at=NOW))
        session.flush()
    assert read(database, "lost") is None


@pytest.mark.req("INT-03", "INT-006")
def test_connections_are_returned_whatever_happens(database: Database) -> None:
    for _ in range(100):
        put(database, "counter", 1)
        with pytest.raises(OperationalError), database.write() as session:
            session.connection().exec_driver_sql("SELECT * FROM nowhere")
        with pytest.raises(OperationalError), database.read() as session:
            session.connection().exec_driver_sql("SELECT * FROM nowhere")
    with database.read() as session:
        count = session.execute(select(func.count()).select_from(ConfigurationRecord)).scalar_one()
    assert count == 1


@pytest.mark.req("STC-008", "SYS-013")
def test_four_processes_lose_no_update(database: Database) -> None:
    put(database, "counter", 0)
    command = [sys.executable, "-c", INCREMENT, str(database.path), str(INCREMENTS)]
    root = Path(__file__).parents[2]
    running = [
        subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert read(database, "counter") == PROCESSES * INCREMENTS
