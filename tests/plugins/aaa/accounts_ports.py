"""The accounts port twice: in memory, and the house's own over a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lts_web.services.accounts import AccountService
from lts_web.store.base import Record
from lts_web.store.engine import Database
from lts_web.trading.ports import SessionView, UserAccount

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


class HandClock:
    """A clock that moves only by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **parts: float) -> None:
        self.now += timedelta(**parts)


class MemoryAccounts:
    """The port in memory, written from its docstrings."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.users: dict[int, UserAccount] = {}
        self.sessions: dict[str, tuple[int, datetime, datetime]] = {}
        self.audited: list[tuple[int | None, str, str | None]] = []

    def find_user(self, name: str) -> UserAccount | None:
        wanted = name.lower()
        for user in self.users.values():
            if wanted in (user.username.lower(), user.email.lower()):
                return user
        return None

    def get_user(self, user_id: int) -> UserAccount | None:
        return self.users.get(user_id)

    def create_user(
        self, username: str, email: str, password_hash: str, role: str
    ) -> UserAccount | None:
        if self.find_user(username) or self.find_user(email):
            return None
        user = UserAccount(len(self.users) + 1, username, email, role, True, password_hash)
        self.users[user.id] = user
        return user

    def set_password(self, user_id: int, password_hash: str, ended_sessions: bool = True) -> None:
        user = replace(self.users[user_id], password_hash=password_hash)
        if ended_sessions:
            user = replace(user, failed_logins=0, locked_until=None)
            kept = {key: row for key, row in self.sessions.items() if row[0] != user_id}
            self.sessions = kept
        self.users[user_id] = user

    def set_role(self, username: str, role: str) -> bool:
        user = self.find_user(username)
        if user is None:
            return False
        others = [one for one in self.users.values() if one.role == "admin" and one.id != user.id]
        if user.role == "admin" and role != "admin" and not others:
            return False
        self.users[user.id] = replace(user, role=role)
        return True

    def record_login_failure(
        self, user_id: int | None, name: str, address: str | None, locked_until: datetime | None
    ) -> None:
        if user_id is not None:
            user = self.users[user_id]
            is_over = user.locked_until is not None and user.locked_until <= self.clock()
            count = 1 if is_over else user.failed_logins + 1
            self.users[user_id] = replace(user, failed_logins=count, locked_until=locked_until)

    def record_login(self, user_id: int, address: str | None) -> None:
        self.users[user_id] = replace(self.users[user_id], failed_logins=0, locked_until=None)

    def create_session(
        self,
        user_id: int,
        token_hash: str,
        expires_at: datetime,
        address: str | None = None,
        agent: str | None = None,
    ) -> int:
        if user_id not in self.users:
            raise LookupError(user_id)
        self.sessions[token_hash] = (user_id, self.clock(), expires_at)
        return len(self.sessions)

    def find_session(self, token_hash: str, now: datetime) -> SessionView | None:
        if token_hash not in self.sessions:
            return None
        user_id, created_at, expires_at = self.sessions[token_hash]
        user = self.users[user_id]
        if now >= expires_at or not user.is_active:
            return None
        return SessionView(1, user, expires_at, created_at)

    def end_session(self, token_hash: str) -> None:
        self.sessions.pop(token_hash, None)

    def audit(self, user_id: int | None, action: str, details: str | None = None) -> None:
        self.audited.append((user_id, action, details))


def house_accounts(folder: Path, clock: HandClock) -> AccountService:
    """Return the real service on a new database."""
    database = Database(folder / "lts.db")
    Record.metadata.create_all(database.engine)
    return AccountService(database, clock, folder / "initial-admin.txt")
