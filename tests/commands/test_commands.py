"""The commands of `lts`: what they do, what they answer, and how they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from lts_web.store.base import Record
from lts_web.store.models import (
    AssetRecord,
    AuditLogRecord,
    BarRecord,
    CycleRecord,
    DatasetRecord,
    PortfolioRecord,
)
from tests.commands.conftest import PASSWORD, Shell

HEADER = "DATE_TIME,OPEN,LOW,HIGH,CLOSE\n"


def bars_csv(path: Path, rows: int, *, broken_line: int | None = None) -> Path:
    """Write rows of a week in the documents' own format; one of them may be broken."""
    lines = [HEADER]
    for number in range(rows):
        day, hour = divmod(number, 24)
        price = 1.1 + number / 100_000
        line = f"2024-03-{4 + day:02d} {hour:02d}:00:00,{price:.5f},{price:.5f},{price:.5f},"
        lines.append(line + ("one point one\n" if number + 2 == broken_line else f"{price:.5f}\n"))
    path.write_text("".join(lines), encoding="utf-8")
    return path


def count(shell: Shell, record: type[Record]) -> int:
    database = shell.database()
    try:
        with database.read() as session:
            return len(session.scalars(select(record)).all())
    finally:
        database.close()


@pytest.mark.req("SYS-001", "SYS-018")
def test_bars_are_imported_for_everybody_or_for_an_owner(shell: Shell, tmp_path: Path) -> None:
    shell.person("alice")
    file = str(bars_csv(tmp_path / "week.csv", 100))
    typed = shell("bars", "import", file, "--instrument", "EURUSD", "--timeframe", "H1")
    assert typed.code == 0, typed.err
    assert typed.out.startswith("Imported 100 bars of EUR_USD H1 as data set 1.")
    document = shell.json(
        "bars", "import", file, "--instrument", "EUR/USD", "--timeframe", "H1", "--owner", "alice"
    )
    assert document == {
        "dataset_id": 2, "rows": 100, "gaps": 0, "outside_calendar": 0, "warnings": [],
    }  # fmt: skip
    database = shell.database()
    with database.read() as session:
        everybodys, own = session.scalars(select(DatasetRecord)).all()
        assert (everybodys.user_id, own.user_id) == (None, 1)
        assert (own.state, own.row_count, own.name) == ("ready", 100, "week.csv")
        assert everybodys.content_sha256 == own.content_sha256
        audited = session.scalars(select(AuditLogRecord).filter_by(action="bars.import")).all()
        assert [row.object_id for row in audited] == [1, 2]
    database.close()
    assert count(shell, BarRecord) == 200


@pytest.mark.req("SYS-018", "SYS-019", "STC-10", "INT-026")
def test_one_wrong_line_refuses_the_whole_file_and_says_which(shell: Shell, tmp_path: Path) -> None:
    shell("db", "upgrade")
    file = str(bars_csv(tmp_path / "broken.csv", 100, broken_line=57))
    command = ("bars", "import", file, "--instrument", "EUR_USD", "--timeframe", "H1")
    typed = shell(*command)
    assert (typed.code, typed.out) == (1, "")
    assert "line 57" in typed.err
    assert "CLOSE 'one point one'" in typed.err
    assert "Nothing was imported." in typed.err
    document = shell("--json", *command).document
    assert document["imported"] is False
    assert [(one["line"], one["column"]) for one in document["defects"]] == [(57, "CLOSE")]
    assert count(shell, DatasetRecord) == count(shell, BarRecord) == 0


@pytest.mark.req("SYS-018", "SYS-019", "STC-10")
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--instrument", "EUR_XXX", "--timeframe", "H1"), 2, "EUR_XXX"),
        (("--instrument", "EUR_USD", "--timeframe", "H7"), 2, "use one of M1"),
        (("--instrument", "EUR_USD", "--timeframe", "M5"), 1, "give the timeframe that the file"),
        (("--instrument", "EUR_USD", "--timeframe", "H1", "--zone", "Mars/Base"), None, "Mars"),
        (("--instrument", "EUR_USD", "--timeframe", "H1", "--scale", "ten"), None, "ten"),
        (("--instrument", "EUR_USD", "--timeframe", "H1", "--format", "%H"), None, ""),
        (("--instrument", "EUR_USD", "--timeframe", "H1", "--owner", "bob"), 1, "lts user list"),
    ],
)
def test_what_an_import_refuses_it_says_in_words(
    shell: Shell, tmp_path: Path, options: tuple[str, ...], code: int | None, words: str
) -> None:
    shell("db", "upgrade")
    file = str(bars_csv(tmp_path / "week.csv", 30))
    typed = shell("bars", "import", file, *options)
    assert typed.code == code if code is not None else typed.code in {1, 2}
    assert typed.out == ""
    assert words in typed.err
    assert "unexpected error" not in typed.err
    assert count(shell, DatasetRecord) == 0


@pytest.mark.req("SYS-019")
def test_a_file_that_is_none_is_refused(shell: Shell, tmp_path: Path) -> None:
    terms = ("--instrument", "EUR_USD", "--timeframe", "H1")
    for path in (tmp_path / "missing.csv", tmp_path):
        typed = shell("bars", "import", str(path), *terms)
        assert typed.code == 1
        assert typed.err.startswith("lts: ")
        assert "Nothing was imported." in typed.err


@pytest.mark.req("SYS-001", "SYS-002", "STC-001")
def test_a_cycle_runs_without_a_worker(shell: Shell) -> None:
    shell.person("alice", "admin")
    created = shell.json("demo")
    portfolio = str(created["portfolio_id"])
    assert shell.json("demo") == created, "a second demonstration was made"
    report = shell.json("cycle")
    [cycle] = report["cycles"]
    assert cycle["success"]
    assert cycle["portfolio_id"] == created["portfolio_id"]
    assert {row["outcome"] for row in cycle["assets"]} <= {"held", "ordered"}
    typed = shell("cycle", "--portfolio", portfolio, "--force")
    assert typed.code == 0
    assert f"Portfolio {portfolio}: cycle 2" in typed.out
    assert count(shell, CycleRecord) == 2
    waiting = shell("cycle", "--portfolio", portfolio)
    assert waiting.code == 0
    assert "No cycle ran" in waiting.out or "cycle 3" in waiting.out


@pytest.mark.req("SYS-019", "INT-026")
def test_what_a_cycle_refuses(shell: Shell) -> None:
    shell("db", "upgrade")
    typed = shell("cycle", "--portfolio", "77")
    assert (typed.code, typed.err) == (1, "lts: There is no portfolio 77.\n")
    assert shell("cycle", "--force").code == 2
    nothing = shell("cycle")
    assert (nothing.code, "No cycle ran" in nothing.out) == (0, True)


@pytest.mark.req("STC-005", "SYS-019")
def test_a_failed_asset_is_exit_code_3_and_a_line(shell: Shell) -> None:
    shell.person("alice", "admin")
    portfolio = shell.json("demo")["portfolio_id"]
    database = shell.database()
    with database.write() as session:
        asset = session.scalars(select(AssetRecord)).first()
        assert asset is not None
        asset.strategy_plugin = "gone"
        number = asset.id
    database.close()
    typed = shell("cycle", "--portfolio", str(portfolio), "--force")
    assert (typed.code, typed.out) == (3, "")
    assert f"asset {number}: failed: The strategy plugin 'gone' cannot be used" in typed.err
    [cycle] = shell("--json", "cycle", "--portfolio", str(portfolio), "--force").document["cycles"]
    assert cycle["success"] is False
    assert [row["outcome"] for row in cycle["assets"]].count("failed") == 1


@pytest.mark.req("INT-009", "SYS-013", "STC-15")
def test_the_database_is_checked(shell: Shell) -> None:
    upgraded = shell("db", "upgrade")
    assert (upgraded.code, upgraded.err) == (0, "")
    typed = shell("db", "check")
    assert (typed.code, typed.out) == (
        0, "The database is sound and has the newest schema.\n",
    )  # fmt: skip
    assert shell.json("db", "check") == {"sound": True, "problems": []}
    (shell.data / "lts.db").write_bytes(b"this is no database" * 100)
    broken = shell("db", "check")
    assert (broken.code, broken.out) == (1, "")
    assert "unexpected error" not in broken.err


@pytest.mark.req("INT-009")
def test_a_check_makes_no_database(shell: Shell) -> None:
    typed = shell("db", "check")
    assert typed.code == 1
    assert "lts db upgrade" in typed.err
    assert not (shell.data / "lts.db").exists()


@pytest.mark.req("INT-01", "INT-001", "SYS-008", "INT-004", "SYS-001")
def test_plugins_are_listed_and_tell_what_they_did(shell: Shell) -> None:
    rows = shell.json("plugins", "list")["items"]
    assert {row["family"] for row in rows} == {
        "aaa", "core", "pipeline", "strategy", "broker", "portfolio",
    }  # fmt: skip
    assert {row["state"] for row in rows} == {"ready"}
    assert "default_strategy" in shell("plugins", "list").out
    assert shell("plugins", "debug").out == "No plugin has run yet.\n"
    shell.person("alice", "admin")
    portfolio = shell.json("demo")["portfolio_id"]
    shell("cycle", "--portfolio", str(portfolio), "--force")
    items = shell.json("plugins", "debug")["items"]
    assert {row["family"] for row in items} == {"strategy", "broker", "portfolio", "pipeline"}
    strategy = next(row for row in items if row["family"] == "strategy")
    assert strategy["debug"]["order_type"] == "market"


@pytest.mark.req("SYS-004", "SYS-015", "SYS-019")
def test_users_are_made_listed_and_get_new_passwords(shell: Shell) -> None:
    shell.person("alice", "admin")
    [row] = shell.json("user", "list")["items"]
    assert (row["username"], row["role"], row["state"]) == ("alice", "admin", "active")
    assert PASSWORD not in shell("user", "list").out
    again = ("user", "create", "--username", "alice", "--email", "other@example.org",
             "--role", "user", "--password-stdin")  # fmt: skip
    typed = shell(*again, given=f"{PASSWORD}\n")
    assert typed.code == 1
    assert "There is a user alice already" in typed.err
    weak = shell("user", "set-password", "--username", "alice", "--password-stdin", given="short\n")
    assert weak.code == 2
    assert "short" not in weak.err
    missing = shell(
        "user", "set-password", "--username", "bob", "--password-stdin", given=f"{PASSWORD}2\n"
    )
    assert missing.code == 1
    changed = shell(
        "user", "set-password", "--username", "alice", "--password-stdin", given=f"{PASSWORD}2\n"
    )
    assert changed.code == 0


@pytest.mark.req("SYS-019")
def test_a_demonstration_needs_an_administrator(shell: Shell) -> None:
    typed = shell("demo")
    assert (typed.code, typed.out) == (1, "")
    assert "lts user create --role admin" in typed.err
    assert count(shell, PortfolioRecord) == 0
