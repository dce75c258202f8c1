"""The house's accounts on a real database, the first administrator, and the user commands."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from lts_web.commands import CommandResult, users
from lts_web.datadir import DataDir, prepare
from lts_web.plugin_settings import merge_plugin_parameters
from lts_web.plugins.aaa.default_aaa import DefaultAAA
from lts_web.plugins.base import AAAPluginBase
from lts_web.services.accounts import (
    AccountService,
    AdministratorRefusedError,
    ensure_first_administrator,
)
from lts_web.services.portfolios import Actor
from lts_web.settings import FAMILIES, Loaded, load_settings
from lts_web.store.base import Record
from lts_web.store.engine import Database
from lts_web.store.models import AuditLogRecord, SessionRecord, UserRecord
from lts_web.trading.ports import Ports
from tests.plugins.aaa.accounts_ports import NOW, HandClock
from tests.plugins.aaa.replacement import WatchwordAAA

GOOD, OTHER = "Correct1horse", "Another1horse"
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "lts.db")
    Record.metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def accounts(database: Database, clock: HandClock, tmp_path: Path) -> AccountService:
    return AccountService(database, clock, tmp_path / "initial-admin.txt")


@pytest.fixture
def alice(accounts: AccountService) -> int:
    user = accounts.create_user("alice", "alice@example.org", "hash", "user")
    assert user is not None
    return user.id


def audited(database: Database) -> list[tuple[str, str, int | None, dict[str, Any] | None]]:
    with database.read() as session:
        rows = session.scalars(select(AuditLogRecord).order_by(AuditLogRecord.id))
        return [(row.action, row.actor, row.object_id, row.details) for row in rows]


# The port


@pytest.mark.req("INT-08", "SYS-013")
def test_each_change_is_one_commit_with_its_audit_row(
    database: Database, accounts: AccountService, clock: HandClock
) -> None:
    commits: list[int] = []
    event.listen(database.engine, "commit", lambda _connection: commits.append(1))
    accounts.create_user("alice", "alice@example.org", "hash", "user")
    accounts.record_login_failure(1, "alice", "192.0.2.1", None)
    accounts.record_login(1, "192.0.2.1")
    accounts.create_session(1, "a" * 64, NOW + HOUR, "192.0.2.1", "browser")
    accounts.end_session("a" * 64)
    accounts.set_role("alice", "viewer")
    accounts.set_password(1, "new", ended_sessions=False)
    accounts.set_password(1, "newer")
    accounts.audit(1, "looked", "at a page")
    rows = audited(database)
    assert [action for action, *_ in rows] == [
        "user_created", "login_failed", "login", "session_opened", "logout", "role_changed",
        "password_rehashed", "password_changed", "looked",
    ]  # fmt: skip
    assert len(commits) == len(rows)
    assert {row[2] for row in rows} == {1}
    assert rows[5][3] == {"from": "user", "to": "viewer"}
    assert rows[8] == ("looked", "alice", 1, {"note": "at a page"})


def test_what_changes_nothing_leaves_no_row(
    database: Database, accounts: AccountService, alice: int
) -> None:
    before = audited(database)
    assert accounts.create_user("Alice", "new@example.org", "hash", "user") is None
    assert accounts.create_user("new", "ALICE@example.org", "hash", "user") is None
    assert accounts.create_user("alice@example.org", "new@example.org", "hash", "user") is None
    assert accounts.set_role("alice", "user")
    assert not accounts.set_role("nobody", "user")
    accounts.end_session("unknown")
    assert accounts.find_session("unknown", NOW) is None
    with pytest.raises(LookupError):
        accounts.set_password(99, "hash")
    with pytest.raises(LookupError):
        accounts.create_session(99, "a" * 64, NOW + HOUR)
    assert audited(database) == before


@pytest.mark.req("SYS-013")
def test_a_failed_audit_row_undoes_the_change(
    accounts: AccountService, alice: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("lts_web.services.accounts.write_audit", broken)
    with pytest.raises(OSError, match="disk full"):
        accounts.set_password(alice, "new")
    user = accounts.get_user(alice)
    assert user is not None
    assert user.password_hash == "hash"


@pytest.mark.req("SYS-007")
def test_the_audit_names_who_acts(database: Database, clock: HandClock) -> None:
    bob = Actor(None, "bob", "192.0.2.9", "r-1")
    AccountService(database, clock, acting=lambda: bob).create_user("al", "a@b", "h", "user")
    with database.read() as session:
        row = session.scalars(select(AuditLogRecord)).one()
        assert (row.actor, row.address, row.request_id) == ("bob", "192.0.2.9", "r-1")


@pytest.mark.req("INT-020")
def test_a_name_that_does_not_exist_is_not_kept_whole(
    database: Database, accounts: AccountService
) -> None:
    accounts.record_login_failure(None, "MyPassword1", None, None)
    assert "MyPassword1" not in str(audited(database))
    assert audited(database)[0][1] == "anonymous"


def test_failures_count_up_and_begin_anew_after_a_lock(
    accounts: AccountService, alice: int, clock: HandClock
) -> None:
    for locked_until in (None, None, NOW + HOUR):
        accounts.record_login_failure(alice, "alice", None, locked_until)
    user = accounts.get_user(alice)
    assert user is not None
    assert (user.failed_logins, user.locked_until) == (3, NOW + HOUR)
    clock.forward(hours=1)
    accounts.record_login_failure(alice, "alice", None, None)
    user = accounts.get_user(alice)
    assert user is not None
    assert (user.failed_logins, user.locked_until) == (1, None)


@pytest.mark.req("SYS-015")
def test_last_seen_is_written_at_most_once_a_minute(
    database: Database, accounts: AccountService, alice: int
) -> None:
    accounts.create_session(alice, "a" * 64, NOW + HOUR)
    writes: list[str] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _c, _cur, statement, *_: writes.append(statement) if "UPDATE" in statement else None,
    )
    for seconds in range(0, 181, 10):
        assert accounts.find_session("a" * 64, NOW + timedelta(seconds=seconds)) is not None
    assert len(writes) == 3
    with database.read() as session:
        seen = session.scalars(select(SessionRecord.last_seen_at)).one()
    assert seen == NOW + timedelta(seconds=180)


@pytest.mark.req("SYS-015")
def test_a_session_of_a_disabled_user_is_dead(
    database: Database, accounts: AccountService, alice: int
) -> None:
    accounts.create_session(alice, "a" * 64, NOW + HOUR)
    with database.write() as session:
        session.get_one(UserRecord, alice).is_active = False
    assert accounts.find_session("a" * 64, NOW) is None
    with pytest.raises(LookupError):
        accounts.create_session(alice, "b" * 64, NOW + HOUR)


def test_old_sessions_are_removed_when_new_ones_open(
    database: Database, accounts: AccountService, alice: int, clock: HandClock
) -> None:
    accounts.create_session(alice, "a" * 64, NOW + HOUR)
    clock.forward(days=30)
    accounts.create_session(alice, "b" * 64, clock.now + HOUR)
    clock.forward(days=1)
    accounts.create_session(alice, "c" * 64, clock.now + HOUR)
    with database.read() as session:
        kept = session.scalars(select(SessionRecord.token_hash)).all()
    assert sorted(kept) == ["b" * 64, "c" * 64]


def test_a_new_password_ends_all_sessions_and_nobody_elses(
    accounts: AccountService, alice: int
) -> None:
    bob = accounts.create_user("bob", "bob@example.org", "hash", "user")
    assert bob is not None
    accounts.create_session(alice, "a" * 64, NOW + HOUR)
    accounts.create_session(bob.id, "b" * 64, NOW + HOUR)
    accounts.set_password(alice, "new", ended_sessions=False)
    assert accounts.find_session("a" * 64, NOW) is not None
    accounts.set_password(alice, "newer")
    assert accounts.find_session("a" * 64, NOW) is None
    assert accounts.find_session("b" * 64, NOW) is not None


def _demote(folder: str, name: str) -> bool:
    database = Database(Path(folder) / "lts.db")
    try:
        return AccountService(database, HandClock()).set_role(name, "user")
    finally:
        database.close()


@pytest.mark.req("SYS-013")
def test_two_processes_never_demote_both_administrators(
    accounts: AccountService, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        accounts.create_user(name, f"{name}@example.org", "hash", "admin")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        done = pool.starmap(_demote, [(str(tmp_path), name) for name in ("one", "two")])
    assert sorted(done) == [False, True]
    assert accounts.has_administrator()


# The first administrator


def connected(plugin: AAAPluginBase, accounts: AccountService, clock: HandClock) -> AAAPluginBase:
    plugin.connect(Ports(clock=clock, accounts=accounts))
    return plugin


@pytest.fixture
def aaa(accounts: AccountService, clock: HandClock) -> AAAPluginBase:
    return connected(DefaultAAA({"password_hash_rounds": 4}), accounts, clock)


@pytest.mark.req("SYS-004", "SYS-010")
def test_a_random_password_is_kept_until_it_is_changed(
    aaa: AAAPluginBase, accounts: AccountService, tmp_path: Path
) -> None:
    file = tmp_path / "initial-admin.txt"
    options: dict[str, Any] = {"email": "", "password": "", "initial_admin": file}
    created = ensure_first_administrator(aaa, accounts, **options)
    assert created is not None
    assert created.password is not None
    assert file.read_text() == f"{created.password}\n"
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600
    assert aaa.login("admin", created.password)["role"] == "admin"
    assert ensure_first_administrator(aaa, accounts, **options) is None
    assert isinstance(aaa, DefaultAAA)
    aaa.set_params(password_hash_rounds=5)
    assert aaa.login("admin", created.password)["success"]
    assert file.exists()
    assert aaa.change_password(1, created.password, OTHER)["success"]
    assert not file.exists()


def test_a_given_password_is_used_and_not_kept(
    aaa: AAAPluginBase, accounts: AccountService, tmp_path: Path
) -> None:
    file = tmp_path / "initial-admin.txt"
    file.write_text("of a start that was killed")
    created = ensure_first_administrator(
        aaa, accounts, email="boss@example.org", password=GOOD, initial_admin=file
    )
    assert created is not None
    assert created.password is None
    assert not file.exists()
    assert aaa.login("boss@example.org", GOOD)["success"]


@pytest.mark.parametrize(
    ("email", "password", "words"),
    [("", "weak", "LTS_ADMIN_PASSWORD"), ("no address", "", "LTS_ADMIN_EMAIL")],
)
def test_what_cannot_be_is_refused_with_words(
    aaa: AAAPluginBase,
    accounts: AccountService,
    tmp_path: Path,
    email: str,
    password: str,
    words: str,
) -> None:
    file = tmp_path / "initial-admin.txt"
    with pytest.raises(AdministratorRefusedError, match=words) as refused:
        ensure_first_administrator(
            aaa, accounts, email=email, password=password, initial_admin=file
        )
    assert "weak" not in str(refused.value)
    assert not accounts.has_administrator()
    assert not file.exists()


def test_rules_that_no_random_password_keeps_ask_for_one(
    accounts: AccountService, clock: HandClock, tmp_path: Path
) -> None:
    with pytest.raises(AdministratorRefusedError, match="Set LTS_ADMIN_PASSWORD"):
        ensure_first_administrator(
            connected(WatchwordAAA({"watchword": "0O"}), accounts, clock),
            accounts,
            email="",
            password="",
            initial_admin=tmp_path / "initial-admin.txt",
        )


# The commands


def loaded(data_dir: DataDir, **environ: str) -> Loaded:
    values = {"LTS_DATA_DIR": str(data_dir.root), **environ}
    first = load_settings({"password_hash_rounds": 10}, values)
    declarations: dict[str, dict[str, dict[str, Any] | None]] = {
        family: {first.selected(family): {}} for family in FAMILIES
    }
    declarations["aaa"] = {
        "default_aaa": DefaultAAA.plugin_params,
        "watchword": {**WatchwordAAA.plugin_params, "password_hash_rounds": 10},
    }
    schemas = {"aaa": {"default_aaa": DefaultAAA.plugin_schema}}
    return merge_plugin_parameters(first, declarations, schemas)


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    return prepare(tmp_path / "data")


def create(settings: Loaded, **changes: str) -> CommandResult:
    options = {
        "username": "alice", "email": "alice@example.org", "role": "user", "password": GOOD,
    }  # fmt: skip
    return users.run(settings, action="create", **(options | changes))


@pytest.mark.req("SYS-004")
def test_users_are_created_and_listed_on_a_new_data_directory(data_dir: DataDir) -> None:
    settings = loaded(data_dir)
    result = create(settings)
    assert (result.exit_code, result.lines) == (0, ("Created user alice (id 1).",))
    assert create(settings, username="bob", email="bob@example.org", role="admin").exit_code == 0
    listed = users.run(settings, action="list")
    assert isinstance(listed.document, dict)
    assert [(item["id"], item["username"]) for item in listed.document["items"]] == [
        (1, "alice"), (2, "bob"),
    ]  # fmt: skip
    assert "v1:" not in str(listed)
    assert listed.lines[2].split() == ["2", "bob", "bob@example.org", "admin", "active"]


@pytest.mark.parametrize(
    ("changes", "exit_code", "words"),
    [
        ({"password": "weak"}, 2, "at least 8"),
        ({"username": "a b"}, 2, "username"),
        ({"email": "nowhere"}, 2, "e-mail"),
        ({"email": "new@example.org"}, 1, "alice already"),
        ({"username": "new"}, 1, "alice@example.org already"),
    ],
)
@pytest.mark.req("SYS-019")
def test_a_refused_user_is_told_why(
    data_dir: DataDir, changes: dict[str, str], exit_code: int, words: str
) -> None:
    settings = loaded(data_dir)
    create(settings)
    result = create(settings, **changes)
    assert result.exit_code == exit_code
    assert words in " ".join(result.lines)
    assert isinstance(result.document, dict)
    assert words in result.document["error"]


def test_a_password_is_set_by_command(data_dir: DataDir) -> None:
    settings = loaded(data_dir)
    create(settings)

    def set_password(username: str, password: str) -> int:
        result = users.run(settings, action="set_password", username=username, password=password)
        return result.exit_code

    assert set_password("alice", OTHER) == 0
    assert set_password("alice", "weak") == 2
    assert set_password("nobody", OTHER) == 1


@pytest.mark.req("SYS-004")
def test_the_first_administrator_is_made_once(data_dir: DataDir) -> None:
    settings = loaded(data_dir)
    first = users.run(settings, action="first_administrator")
    password = data_dir.initial_admin.read_text().strip()
    assert first.exit_code == 0
    assert password in first.lines[0]
    assert password not in str(first.document)
    again = users.run(settings, action="first_administrator")
    assert (again.exit_code, again.lines) == (0, ())
    assert users.run(settings, action="set_password", username="admin", password=OTHER).lines
    assert not data_dir.initial_admin.exists()


@pytest.mark.req("SYS-004")
def test_a_weak_first_password_exits_with_2(data_dir: DataDir) -> None:
    result = users.run(
        loaded(data_dir, LTS_ADMIN_PASSWORD="weakling"), action="first_administrator"
    )
    assert result.exit_code == 2
    assert "LTS_ADMIN_PASSWORD" in result.lines[0]
    assert "weakling" not in result.lines[0]


@pytest.mark.req("PLG-AAA", "SYS-004")
def test_a_replacement_plugin_really_decides(
    data_dir: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.entry_points

    def with_replacement(**selection: Any) -> Any:
        found: list[Any] = list(real(**selection))
        if selection.get("group") == "plugins_aaa":
            value = "tests.plugins.aaa.replacement:WatchwordAAA"
            found.append(importlib.metadata.EntryPoint("watchword", value, "plugins_aaa"))
        return found

    monkeypatch.setattr(importlib.metadata, "entry_points", with_replacement)
    replaced = loaded(data_dir, LTS_AAA_PLUGIN="watchword")
    refused = create(replaced)
    assert (refused.exit_code, refused.lines) == (2, ("The watchword is missing.",))
    word = "swordfish"
    assert create(loaded(data_dir), password=word).exit_code == 2
    assert create(replaced, password=word).exit_code == 0
    unable = users.run(replaced, action="set_password", username="alice", password=word)
    assert "cannot set passwords" in unable.lines[0]

    database = Database(data_dir.lts_db)
    accounts, clock = AccountService(database, HandClock()), HandClock()
    theirs = connected(WatchwordAAA(), accounts, clock)
    ours = connected(DefaultAAA({"password_hash_rounds": 4}), accounts, clock)
    assert theirs.login("alice", word)["session_token"] == "pass-1"
    assert theirs.login("alice", GOOD)["error"].startswith("Halt")
    assert not ours.login("alice", word)["success"]
    database.close()
