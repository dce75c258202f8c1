"""The migrations: up, down and up again on empty and filled tables, and against the models."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path
from textwrap import dedent, indent

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from lts_web.store import schema
from lts_web.store.engine import Database, make_engine
from lts_web.store.models import Record
from tests.store.filled import fill_every_table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lts.db"


@pytest.fixture
def filled(path: Path) -> Path:
    schema.upgrade(path)
    database = Database(path)
    with database.write() as session:
        fill_every_table(session)
    database.close()
    return path


@pytest.fixture
def revisions(tmp_path: Path) -> Path:
    """A copy of the revisions that a test may add to."""
    # A percent sign, since Alembic's configuration would read one as an interpolation.
    copy = tmp_path / "100% revisions"
    shutil.copytree(schema.MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def add_revision(revisions: Path, body: str) -> None:
    number = len(list((revisions / "versions").glob("0*.py"))) + 1
    text = f"""
        import sqlalchemy as sa
        from alembic import op

        revision = "{number:04}"
        down_revision = "{number - 1:04}"


        def upgrade():
    """
    written = dedent(text).rstrip() + "\n" + indent(dedent(body).strip(), "    ") + "\n"
    (revisions / "versions" / f"{number:04}_test.py").write_text(written, encoding="utf-8")


def schema_of(path: Path) -> set[tuple[str, str, str]]:
    """Return (type, name, SQL with its lines sorted) of all that a database declares."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT type, name, coalesce(sql, '') FROM sqlite_master "
            "WHERE name != 'alembic_version' AND tbl_name != 'alembic_version'"
        ).fetchall()
    connection.close()
    return {
        (kind, name, "\n".join(sorted(re.sub(r"\s+", " ", line) for line in sql.split(", \n"))))
        for kind, name, sql in (
            # The closing bracket stands on a line of its own, whatever comes last before it.
            (kind, name, re.sub(r"\n\)", ", \n)", sql))
            for kind, name, sql in rows
        )
    }


def columns_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(path) as connection:
        found = {
            name: connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            for name in Record.metadata.tables
        }
    connection.close()
    return found


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


def row_counts(path: Path) -> dict[str, int]:
    database = Database(path)
    with database.read() as session:
        counts = {
            name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in Record.metadata.tables.items()
        }
    database.close()
    return counts


@pytest.mark.req("STC-18", "INT-009")
def test_up_down_and_up_on_empty_tables(path: Path) -> None:
    schema.upgrade(path)
    first = schema_of(path)
    schema.upgrade(path)
    assert schema_of(path) == first
    schema.downgrade(path, "base")
    assert {name for _, name, _ in schema_of(path)} <= {"sqlite_sequence"}
    schema.upgrade(path)
    assert schema_of(path) == first
    assert schema.check(path) == []


@pytest.mark.req("STC-18")
def test_the_factory_fills_every_table(filled: Path) -> None:
    assert all(count > 0 for count in row_counts(filled).values())
    assert schema.check(filled) == []


@pytest.mark.req("STC-18")
def test_up_down_and_up_on_filled_tables(filled: Path) -> None:
    before = dump(filled)
    schema.upgrade(filled)
    assert dump(filled) == before, "an upgrade with nothing to do changed something"
    schema.downgrade(filled, "base")
    schema.upgrade(filled)
    assert set(row_counts(filled).values()) == {0}
    database = Database(filled)
    with database.write() as session:
        fill_every_table(session)
    database.close()
    assert schema.check(filled) == []


@pytest.mark.req("STC-18")
def test_the_migrations_make_what_the_models_say(path: Path, tmp_path: Path) -> None:
    schema.upgrade(path)
    modelled = tmp_path / "models.db"
    engine = make_engine(modelled)
    Record.metadata.create_all(engine)
    engine.dispose()
    assert schema_of(path) == schema_of(modelled)
    assert columns_of(path) == columns_of(modelled)


# Alembic cannot see the indexes on lower(…); the test above compares them by their SQL.
@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_autogenerate_finds_no_difference(path: Path) -> None:
    schema.upgrade(path)
    engine = make_engine(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Record.metadata)
    engine.dispose()
    assert differences == []


def test_every_constraint_has_a_name(path: Path) -> None:
    schema.upgrade(path)
    for _, name, sql in schema_of(path):
        for line in sql.splitlines():
            unnamed = re.match(r" ?(CHECK|UNIQUE|FOREIGN KEY|PRIMARY KEY)\b", line)
            assert unnamed is None, f"{name}: {line}"


@pytest.mark.req("STC-18", "SYS-013")
def test_a_failed_migration_leaves_the_old_schema_whole(filled: Path, revisions: Path) -> None:
    before = dump(filled)
    add_revision(revisions, 'op.create_table("first_half", sa.Column("id", sa.Integer()))')
    add_revision(
        revisions,
        """
        op.execute("UPDATE users SET username = 'changed'")
        op.drop_table("fills")
        op.execute("SELECT * FROM nowhere")
        """,
    )
    with pytest.raises(schema.SchemaError, match="no such table: nowhere"):
        schema.upgrade(filled, revisions)
    assert dump(filled) == before
    assert schema.check(filled) == []


@pytest.mark.req("SYS-013")
def test_a_migration_that_raises_anything_leaves_the_old_schema_whole(
    filled: Path, revisions: Path
) -> None:
    before = dump(filled)
    add_revision(revisions, 'op.drop_table("fills")\nraise RuntimeError("a fault of the revision")')
    with pytest.raises(RuntimeError, match="a fault of the revision"):
        schema.upgrade(filled, revisions)
    assert dump(filled) == before


@pytest.mark.req("STC-18")
@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_rebuilding_a_parent_keeps_its_children(filled: Path, revisions: Path) -> None:
    before = row_counts(filled)
    add_revision(
        revisions,
        """
        with op.batch_alter_table("users", recreate="always") as users:
            users.alter_column("theme", type_=sa.String(20))
        with op.batch_alter_table("datasets", recreate="always") as datasets:
            datasets.alter_column("name", type_=sa.String(300))
        """,
    )
    schema.upgrade(filled, revisions)
    assert row_counts(filled) == before
    assert schema.check(filled, revisions) == []
    database = Database(filled)
    with pytest.raises(IntegrityError), database.write() as session:
        session.connection().exec_driver_sql("DELETE FROM users")
    database.close()


@pytest.mark.req("STC-18")
def test_a_migration_that_orphans_rows_is_taken_back(filled: Path, revisions: Path) -> None:
    before = dump(filled)
    add_revision(revisions, 'op.execute("DELETE FROM cycles")')
    with pytest.raises(schema.SchemaError, match="rows of decisions refer to rows of cycles"):
        schema.upgrade(filled, revisions)
    assert dump(filled) == before


@pytest.mark.req("INT-009", "SYS-019")
def test_a_database_of_the_future_is_refused(filled: Path) -> None:
    with sqlite3.connect(filled) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = dump(filled)
    with pytest.raises(schema.SchemaError, match=r"written by a newer LTS .*9999.*0001"):
        schema.upgrade(filled)
    assert dump(filled) == before
    (problem,) = schema.check(filled)
    assert "install that version" in problem


@pytest.mark.req("INT-009")
def test_check_names_what_is_missing(path: Path, revisions: Path) -> None:
    (problem,) = schema.check(path)
    assert "no database" in problem
    assert not path.exists(), "looking must not create"
    schema.upgrade(path)
    add_revision(revisions, "pass")
    (problem,) = schema.check(path, revisions)
    assert "is 0001, not 0002" in problem


def test_check_finds_orphans_and_damage(filled: Path) -> None:
    with sqlite3.connect(filled) as connection:
        connection.execute("DELETE FROM portfolios")
    connection.close()
    problems = schema.check(filled)
    assert any("rows of assets refer to rows of portfolios" in problem for problem in problems)
    with filled.open("r+b") as file:
        file.seek(4096 * 6)
        file.write(b"\xff" * 4096)
    found = " ".join(schema.check(filled))
    assert "damaged" in found or "cannot be read" in found


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("not a database at all\n" * 400)
    with pytest.raises(schema.SchemaError, match="cannot be read as a database"):
        schema.upgrade(path)
    (problem,) = schema.check(path)
    assert "cannot be read as a database" in problem
    assert path.read_text().startswith("not a database")
