"""`default_aaa`: registration, login, lockout, sessions, tokens and roles.

Every test runs over the port in memory and over the house's own accounts on a real database.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from lts_web.plugins.aaa.default_aaa import DefaultAAA, NotConnectedError
from lts_web.trading.ports import Accounts, Ports
from tests.plugins.aaa.accounts_ports import NOW, HandClock, MemoryAccounts, house_accounts

CONFIG = {"password_hash_rounds": 4, "jwt_secret": "a secret of at least thirty-two bytes"}
GOOD, OTHER = "Correct1horse", "Another1horse"
DOCUMENTED = {
    "session_timeout_hours": 24, "password_min_length": 8, "max_login_attempts": 5,
    "lockout_duration_minutes": 30, "audit_enabled": True, "default_role": "user",
    "admin_role": "admin", "token_length": 32, "jwt_algorithm": "HS256",
    "jwt_access_expire_minutes": 30, "jwt_refresh_expire_days": 7,
    "password_require_uppercase": True, "password_require_digit": True,
}  # fmt: skip


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["memory", "house"])
def accounts(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Accounts:
    return MemoryAccounts(clock) if request.param == "memory" else house_accounts(tmp_path, clock)


@pytest.fixture
def aaa(accounts: Accounts, clock: HandClock) -> DefaultAAA:
    return connected(accounts, clock)


def connected(accounts: Accounts, clock: HandClock, **config: Any) -> DefaultAAA:
    plugin = DefaultAAA(CONFIG | config)
    plugin.connect(Ports(clock=clock, accounts=accounts))
    return plugin


@pytest.fixture
def alice(aaa: DefaultAAA) -> int:
    assert aaa.register("alice", "alice@example.org", GOOD, "user") is True
    return int(aaa.login("alice", GOOD)["user_id"])


def counted_hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list to which every verification adds its kind and cost."""
    costs: list[bytes] = []
    real = bcrypt.checkpw

    def counted(given: bytes, digest: bytes) -> bool:
        costs.append(digest[:7])
        return real(given, digest)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return costs


# Parameters and users


@pytest.mark.req("PLG-AAA")
def test_parameters_are_the_documented_ones() -> None:
    plugin = DefaultAAA()
    assert DOCUMENTED.items() <= plugin.params.items()
    assert {"jwt_secret", "google_client_id", "google_client_secret"} <= plugin.params.keys()
    assert set(DefaultAAA.plugin_schema) == set(DefaultAAA.plugin_params)


@pytest.mark.req("INT-020")
def test_debug_information_holds_no_secret() -> None:
    info = DefaultAAA(CONFIG).get_debug_info()
    assert info["max_login_attempts"] == 5
    assert CONFIG["jwt_secret"] not in info.values()


def test_a_short_secret_is_refused_at_once_and_when_set() -> None:
    with pytest.raises(ValueError, match="jwt_secret"):
        DefaultAAA({"jwt_secret": "short"})
    with pytest.raises(ValueError, match="jwt_secret"):
        DefaultAAA(CONFIG).set_params(jwt_secret="short")


def test_without_accounts_it_says_so() -> None:
    with pytest.raises(NotConnectedError, match="connect"):
        DefaultAAA(CONFIG).login("alice", GOOD)


@pytest.mark.req("SYS-004", "PLG-AAA")
def test_register_answers_a_bool_and_takes_a_name_once(aaa: DefaultAAA) -> None:
    assert aaa.register("alice", "alice@example.org", GOOD, "user") is True
    assert aaa.register("ALICE", "other@example.org", GOOD, "user") is False
    assert aaa.register("other", "Alice@Example.org", GOOD, "user") is False


@pytest.mark.req("SYS-018")
@pytest.mark.parametrize(
    ("username", "email", "password", "role"),
    [
        ("", "a@example.org", GOOD, "user"),
        ("a b", "a@example.org", GOOD, "user"),
        ("a@b", "a@example.org", GOOD, "user"),
        ("x" * 51, "a@example.org", GOOD, "user"),
        ("Ünder", "a@example.org", GOOD, "user"),
        ("google-123", "a@example.org", GOOD, "user"),
        ("alice", "example.org", GOOD, "user"),
        ("alice", "a@", GOOD, "user"),
        ("alice", "a b@example.org", GOOD, "user"),
        ("alice", "a@example.org", "short", "user"),
        ("alice", "a@example.org", GOOD, "root"),
    ],
)
def test_register_refuses_what_breaks_a_rule(
    aaa: DefaultAAA, accounts: Accounts, username: str, email: str, password: str, role: str
) -> None:
    assert aaa.register(username, email, password, role) is False
    assert accounts.find_user("alice") is None


def test_who_registers_without_a_role_gets_the_default(aaa: DefaultAAA, accounts: Accounts) -> None:
    assert aaa.register("alice", "alice@example.org", GOOD)
    user = accounts.find_user("alice")
    assert user is not None
    assert user.role == "user"
    assert GOOD not in user.password_hash


# Login and lockout


@pytest.mark.req("SYS-004", "PLG-AAA")
def test_login_returns_what_is_documented(aaa: DefaultAAA, alice: int) -> None:
    answer = aaa.login("alice", GOOD, ip="192.0.2.1")
    assert answer.keys() == {
        "success", "access_token", "refresh_token", "session_token", "user_id", "role",
    }  # fmt: skip
    assert (answer["success"], answer["user_id"], answer["role"]) == (True, alice, "user")
    assert aaa.login(" Alice@Example.org ", GOOD)["user_id"] == alice


@pytest.mark.req("SYS-010")
@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_a_lock_does_not_tell_whether_the_account_exists(
    aaa: DefaultAAA, alice: int, clock: HandClock, name: str
) -> None:
    wrong = {
        "success": False, "error": "The name or the password is wrong.", "locked": False,
    }  # fmt: skip
    locked = {
        "success": False, "error": "Too many failed attempts. Try again in 30 minutes.",
        "locked": True, "retry_after_seconds": 1800,
    }  # fmt: skip
    assert [aaa.login(name, "Wrong1horse") for _ in range(4)] == [wrong] * 4
    assert aaa.login(name.upper(), "Wrong1horse") == locked
    assert aaa.login(name, GOOD) == locked
    clock.forward(minutes=29, seconds=59)
    assert aaa.login(name, GOOD)["retry_after_seconds"] == 1
    clock.forward(seconds=1)
    assert [aaa.login(name, "Wrong1horse") for _ in range(4)] == [wrong] * 4
    assert aaa.login(name, GOOD)["success"] is (name == "alice")


def test_a_login_forgets_the_failures_before_it(aaa: DefaultAAA, alice: int) -> None:
    for _ in range(4):
        aaa.login("alice", "Wrong1horse")
    assert aaa.login("alice", GOOD)["success"]
    assert not aaa.login("alice", "Wrong1horse")["locked"]


@pytest.mark.req("SYS-010")
def test_parallel_guesses_are_counted_one_by_one(
    aaa: DefaultAAA, alice: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guesses = counted_hashes(monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        names = ["alice", "alice@example.org"] * 10
        answers = list(pool.map(lambda name: aaa.login(name, "Wrong1horse"), names))
    assert len(guesses) == 5
    assert sum(answer["locked"] for answer in answers) == 16


@pytest.mark.req("SYS-010")
@pytest.mark.parametrize("name", ["alice", "nobody", "bob\ud800", "x" * 10_000])
def test_a_failed_login_costs_one_hash_whoever_it_is(
    aaa: DefaultAAA, alice: int, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    costs = counted_hashes(monkeypatch)
    assert not aaa.login(name, "Wrong1horse")["success"]
    assert costs == [b"$2b$04$"]


def test_hashes_of_an_older_cost_are_renewed_at_login(
    accounts: Accounts, clock: HandClock, aaa: DefaultAAA, alice: int
) -> None:
    kept_session = aaa.create_session(alice)
    stronger = connected(accounts, clock, password_hash_rounds=5)
    assert stronger.login("alice", GOOD)["success"]
    user = accounts.find_user("alice")
    assert user is not None
    assert "$05$" in user.password_hash
    assert stronger.session(kept_session) is not None
    assert stronger.login("alice", GOOD)["success"]


def test_only_the_names_tried_last_are_remembered(
    clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lts_web.plugins.aaa.attempts.REMEMBERED_NAMES", 2)
    aaa = connected(MemoryAccounts(clock), clock, max_login_attempts=1)
    assert all(aaa.login(name, GOOD)["locked"] for name in ("one", "two", "three"))
    attempts = aaa._attempts
    remembered = [attempts.of_unknown(name).count for name in ("one", "two", "three")]
    assert remembered == [0, 1, 1]


def test_a_disabled_user_fails_like_a_wrong_password(clock: HandClock) -> None:
    accounts = MemoryAccounts(clock)
    aaa = connected(accounts, clock)
    aaa.register("alice", "alice@example.org", GOOD)
    wrong = aaa.login("alice", "Wrong1horse")
    accounts.users[1] = replace(accounts.users[1], is_active=False)
    assert aaa.login("alice", GOOD) == wrong


# Passwords


@pytest.mark.req("SYS-015")
def test_changing_a_password_needs_the_old_one_and_ends_sessions(
    aaa: DefaultAAA, alice: int
) -> None:
    session = aaa.login("alice", GOOD)["session_token"]
    refused = aaa.change_password(alice, "Wrong1horse", OTHER)
    assert (refused["success"], refused["locked"], refused["problems"]) == (False, False, [])
    assert aaa.change_password(alice, GOOD, "short")["problems"]
    assert "differ" in aaa.change_password(alice, GOOD, GOOD)["error"]
    assert aaa.session(session) is not None
    assert aaa.change_password(alice, GOOD, OTHER) == {"success": True}
    assert aaa.session(session) is None
    assert not aaa.login("alice", GOOD)["success"]
    assert aaa.login("alice", OTHER)["success"]


def test_guessing_the_old_password_locks_the_account(aaa: DefaultAAA, alice: int) -> None:
    answers = [aaa.change_password(alice, "Wrong1horse", OTHER) for _ in range(5)]
    assert [answer["locked"] for answer in answers] == [False] * 4 + [True]
    assert aaa.login("alice", GOOD)["locked"]
    assert not aaa.change_password(99, GOOD, OTHER)["success"]


def test_an_administrator_sets_a_password_and_lifts_the_lock(aaa: DefaultAAA, alice: int) -> None:
    for _ in range(5):
        aaa.login("alice", "Wrong1horse")
    assert not aaa.set_password("alice", "short")
    assert not aaa.set_password("nobody", OTHER)
    assert aaa.set_password("alice", OTHER)
    assert aaa.login("alice", OTHER)["success"]


# Sessions and tokens


@pytest.mark.req("SYS-004", "SYS-015", "INT-011")
def test_a_session_lasts_its_hours_and_ends_at_logout(
    aaa: DefaultAAA, alice: int, clock: HandClock
) -> None:
    created, login = aaa.create_session(alice), aaa.login("alice", GOOD)["session_token"]
    for token in (created, login):
        view = aaa.session(token)
        assert view is not None
        assert (view.user.id, view.expires_at) == (alice, NOW + timedelta(hours=24))
    aaa.logout(created)
    assert aaa.session(created) is None
    clock.forward(hours=23, minutes=59)
    assert aaa.session(login) is not None
    clock.forward(minutes=1)
    assert aaa.session(login) is None


@pytest.mark.req("SYS-015")
def test_session_tokens_are_random_and_only_hashes_are_kept(
    aaa: DefaultAAA, alice: int, clock: HandClock
) -> None:
    accounts = MemoryAccounts(clock)
    plugin = connected(accounts, clock)
    plugin.register("alice", "alice@example.org", GOOD)
    tokens = {plugin.create_session(1) for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) >= 43 for token in tokens)
    assert set(accounts.sessions) == {hashlib.sha256(one.encode()).hexdigest() for one in tokens}


@pytest.mark.parametrize("token", ["", "x", "\ud800", "x" * 100_000])
def test_foreign_session_tokens_open_nothing(aaa: DefaultAAA, token: str) -> None:
    assert aaa.session(token) is None
    aaa.logout(token)


def test_no_session_for_a_user_that_does_not_exist(aaa: DefaultAAA) -> None:
    with pytest.raises(LookupError):
        aaa.create_session(99)


@pytest.mark.req("PLG-AAA", "INT-011")
def test_access_tokens_tell_the_user_and_the_present_role(
    aaa: DefaultAAA, alice: int, clock: HandClock
) -> None:
    token = aaa.login("alice", GOOD)["access_token"]
    assert aaa.validate_jwt(token) == {
        "valid": True, "user_id": alice, "username": "alice", "role": "user",
    }  # fmt: skip
    assert aaa.assign_role("alice", "viewer")
    assert aaa.validate_jwt(token)["role"] == "viewer"
    clock.forward(minutes=30)
    assert aaa.validate_jwt(token)["valid"] is False


@pytest.mark.req("SYS-010", "INT-011")
def test_logout_ends_the_tokens_of_the_same_login(aaa: DefaultAAA, alice: int) -> None:
    first, second = aaa.login("alice", GOOD), aaa.login("alice", GOOD)
    aaa.logout(first["session_token"])
    assert not aaa.validate_jwt(first["access_token"])["valid"]
    assert not aaa.refresh_access_token(first["refresh_token"])["success"]
    assert aaa.validate_jwt(second["access_token"])["valid"]


@pytest.mark.req("PLG-AAA")
def test_refreshing_ends_seven_days_after_the_login(
    aaa: DefaultAAA, alice: int, clock: HandClock
) -> None:
    login = aaa.login("alice", GOOD)
    assert not aaa.refresh_access_token(login["access_token"])["success"]
    assert not aaa.validate_jwt(login["refresh_token"])["valid"]
    clock.forward(days=6, hours=23, minutes=50)
    renewed = aaa.refresh_access_token(login["refresh_token"])
    assert renewed["success"]
    assert renewed["expires_in"] == 600
    assert aaa.validate_jwt(renewed["access_token"])["user_id"] == alice
    clock.forward(minutes=10)
    assert not aaa.validate_jwt(renewed["access_token"])["valid"]
    assert not aaa.refresh_access_token(renewed["refresh_token"])["success"]


# Roles and audit


@pytest.mark.req("SYS-016")
@pytest.mark.parametrize(
    ("roles", "required", "allowed"),
    [
        ("admin", "user", True), (["admin"], "admin", True), (["user"], "admin", False),
        (["user"], "viewer", True), (["viewer"], "user", False), ([], "viewer", False),
        (["viewer", "user"], "user", True), (["admin"], "root", False), (["root"], "root", False),
        ("superadmin", "admin", False),
    ],
)  # fmt: skip
def test_roles_include_lesser_ones(roles: Any, required: str, allowed: bool) -> None:
    assert DefaultAAA(CONFIG).authorize_user(roles, required) is allowed


@pytest.mark.req("SYS-004")
def test_roles_are_assigned_but_the_last_administrator_stays(aaa: DefaultAAA, alice: int) -> None:
    assert aaa.assign_role("alice", "admin")
    assert not aaa.assign_role("alice", "user")
    assert not aaa.assign_role("alice", "root")
    assert not aaa.assign_role("nobody", "user")
    assert aaa.register("bob", "bob@example.org", GOOD, "admin")
    assert aaa.assign_role("alice", "user")


def test_notes_can_be_switched_off(clock: HandClock) -> None:
    accounts = MemoryAccounts(clock)
    plugin = connected(accounts, clock)
    plugin.audit(1, "looked", "at the page")
    plugin.audit_action(1, "looked again")
    connected(accounts, clock, audit_enabled=False).audit(1, "silent")
    assert accounts.audited == [(1, "looked", "at the page"), (1, "looked again", None)]


# Google


IDENTITY = {"sub": "1234567890", "email": "carol@example.org", "email_verified": True}


@pytest.mark.req("PLG-AAA")
def test_google_creates_a_user_once_and_knows_it_by_its_subject(
    aaa: DefaultAAA, accounts: Accounts
) -> None:
    first = aaa.google_oauth_login(IDENTITY)
    assert first["success"]
    assert first["role"] == "user"
    moved = IDENTITY | {"email": "carol@example.com", "email_verified": False}
    assert aaa.google_oauth_login(moved)["user_id"] == first["user_id"]
    assert aaa.validate_jwt(first["access_token"])["valid"]
    user = accounts.get_user(first["user_id"])
    assert user is not None
    assert not aaa.login(user.username, user.password_hash)["success"]


@pytest.mark.req("SYS-010")
def test_google_never_takes_over_an_account_with_the_same_address(
    aaa: DefaultAAA, alice: int
) -> None:
    answer = aaa.google_oauth_login(IDENTITY | {"email": "ALICE@example.org"})
    assert not answer["success"]
    assert "exists" in answer["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1},
        {"email": None}, {"email": "no address"}, {"sub": None}, {"sub": ""}, {"sub": 123},
        {"sub": "x" * 41}, {"sub": "a b"}, {"iss": "https://example.org"}, {"aud": "another"},
    ],
)  # fmt: skip
def test_google_identities_that_are_not_sure_are_refused(
    accounts: Accounts, clock: HandClock, change: dict[str, Any]
) -> None:
    aaa = connected(accounts, clock, google_client_id="this")
    assert not aaa.google_oauth_login(IDENTITY | change)["success"]
    assert aaa.google_oauth_login(IDENTITY | {"aud": "this"})["success"]
