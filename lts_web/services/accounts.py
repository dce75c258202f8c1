"""Accounts: the record of users and sessions behind the AAA plugin, and the first administrator.

Each method is one short transaction with its audit row; reads write nothing but, at most once a
minute, when a session was last seen. What a good password is, when an account locks and who may
do what is the plugin's to decide: nothing here hashes, compares or judges.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lts_web import logs
from lts_web.datadir import write_private
from lts_web.plugins.base import AAAPluginBase
from lts_web.services.portfolios import Actor
from lts_web.store import accounts as store
from lts_web.store.accounts import ADMINISTRATOR, UserSummary
from lts_web.store.audit import write_audit
from lts_web.store.engine import Database, Session
from lts_web.trading.ports import Clock, SessionView, UserAccount

FIRST_ADMINISTRATOR = "admin"
FIRST_ADDRESS = "admin@localhost"
SEEN_INTERVAL = timedelta(minutes=1)
PASSWORD_LENGTH = 20
PASSWORD_ATTEMPTS = 1000
# Without characters that are read for one another.
PASSWORD_ALPHABET = "".join(sorted({*string.ascii_letters, *string.digits} - set("0O1lI")))

SYSTEM = Actor(None, "system")
ANONYMOUS = Actor(None, "anonymous")


class AccountService:
    """The house's side of `trading.ports.Accounts`.

    `acting` names who asks, where the caller knows; without it the user concerned does. The file
    `initial_admin` is removed once the first administrator's password is another.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        initial_admin: Path | None = None,
        acting: Callable[[], Actor | None] = lambda: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._initial_admin = initial_admin
        self._acting = acting

    # Users

    def find_user(self, name: str) -> UserAccount | None:
        """Return the user with this username or e-mail address, case-insensitively."""
        with self._database.read() as session:
            return store.find_user(session, name)

    def get_user(self, user_id: int) -> UserAccount | None:
        """Return the user with this id."""
        with self._database.read() as session:
            return store.get_user(session, user_id)

    def list_users(self) -> list[UserSummary]:
        """Return all users by id, without their passwords."""
        with self._database.read() as session:
            return store.list_users(session)

    def has_administrator(self) -> bool:
        """Return whether there is an administrator, active or not."""
        with self._database.read() as session:
            return store.has_administrator(session)

    def create_user(
        self, username: str, email: str, password_hash: str, role: str
    ) -> UserAccount | None:
        """Write a user; None: the name or the address is taken."""
        now = self._clock()
        with self._database.write() as session:
            user = store.add_user(session, username, email, password_hash, role, now)
            if user is not None:
                self._note(session, now, "user_created", user, {"role": role})
        return user

    def set_password(self, user_id: int, password_hash: str, ended_sessions: bool = True) -> None:
        """Replace the hash, lift a lock and end the user's sessions.

        With `ended_sessions` False it is another hash of the same password: nothing else changes.
        LookupError: no such user.
        """
        now = self._clock()
        with self._database.write() as session:
            user = store.get_user(session, user_id)
            if user is None:
                raise LookupError(f"there is no user {user_id}")
            if ended_sessions:
                store.change_password(session, user_id, password_hash, now)
                ended = store.end_sessions(session, user_id, now)
                self._note(session, now, "password_changed", user, {"ended_sessions": ended})
            else:
                store.rehash_password(session, user_id, password_hash, now)
                self._note(session, now, "password_rehashed", user, by=SYSTEM)
        if ended_sessions and user.username == FIRST_ADMINISTRATOR and self._initial_admin:
            self._initial_admin.unlink(missing_ok=True)

    def set_role(self, username: str, role: str) -> bool:
        """Give the user a role; False: no such user, or it is the last active administrator."""
        now = self._clock()
        with self._database.write() as session:
            user = store.find_user(session, username)
            if user is None or not store.change_role(session, user.id, role, now):
                return False
            if user.role != role:
                details = {"from": user.role, "to": role}
                self._note(session, now, "role_changed", user, details, by=SYSTEM)
        return True

    # Logins and sessions

    def record_login_failure(
        self, user_id: int | None, name: str, address: str | None, locked_until: datetime | None
    ) -> None:
        """Count a failed login, and lock the account where `locked_until` says so."""
        now = self._clock()
        with self._database.write() as session:
            user = None if user_id is None else store.get_user(session, user_id)
            if user is not None:
                store.count_failure(session, user.id, locked_until, now)
            details: dict[str, Any] = {"locked": locked_until is not None}
            if user is None:
                # What was typed may be a password in the wrong field: only its beginning is kept.
                details["name"] = f"{name[:2]}…"
            self._note(session, now, "login_failed", user, details, by=ANONYMOUS, address=address)

    def record_login(self, user_id: int, address: str | None) -> None:
        """Reset the count of failures."""
        now = self._clock()
        with self._database.write() as session:
            store.clear_failures(session, user_id)
            user = store.get_user(session, user_id)
            self._note(session, now, "login", user, address=address)

    def create_session(
        self,
        user_id: int,
        token_hash: str,
        expires_at: datetime,
        address: str | None = None,
        agent: str | None = None,
    ) -> int:
        """Write a session and return its id; LookupError: no such active user."""
        now = self._clock()
        with self._database.write() as session:
            session_id = store.add_session(
                session, user_id, token_hash, expires_at, address, agent, now
            )
            if session_id is None:
                raise LookupError(f"there is no active user {user_id}")
            user = store.get_user(session, user_id)
            details = {"session_id": session_id}
            self._note(session, now, "session_opened", user, details, address=address)
        return session_id

    def find_session(self, token_hash: str, now: datetime) -> SessionView | None:
        """Return the live session of this token; its user is active."""
        with self._database.read() as session:
            found = store.live_session(session, token_hash, now)
        if found is None:
            return None
        view, seen_at = found
        if now - seen_at >= SEEN_INTERVAL:
            with self._database.write() as session:
                store.mark_seen(session, view.session_id, now)
        return view

    def end_session(self, token_hash: str) -> None:
        """End a session; ending an unknown one does nothing."""
        now = self._clock()
        with self._database.write() as session:
            user = store.end_session(session, token_hash, now)
            if user is not None:
                self._note(session, now, "logout", user)

    # Audit

    def audit(self, user_id: int | None, action: str, details: str | None = None) -> None:
        """Write an audit row of what a user did; without a known user it was someone else."""
        now = self._clock()
        with self._database.write() as session:
            user = None if user_id is None else store.get_user(session, user_id)
            note = {"note": details} if details is not None else None
            self._note(session, now, action, user, note, by=ANONYMOUS if user is None else None)

    def _note(
        self,
        session: Session,
        now: datetime,
        action: str,
        user: UserAccount | None,
        details: dict[str, Any] | None = None,
        *,
        by: Actor | None = None,
        address: str | None = None,
    ) -> None:
        """Write the audit row: by who acts, else by `by`, else by the user concerned."""
        own = Actor(user.id, user.username) if user else SYSTEM
        actor = self._acting() or by or own
        write_audit(
            session,
            actor=actor.name,
            action=action,
            object_type="user" if user else None,
            object_id=user.id if user else None,
            details=details,
            user_id=actor.user_id,
            address=address or actor.address,
            request_id=actor.request_id or logs.request_id.get(),
            now=now,
        )


class AdministratorRefusedError(Exception):
    """The first administrator cannot be created as configured; the command ends with 2."""


@dataclass(frozen=True, slots=True)
class FirstAdministrator:
    """The administrator that was just created; `password` only where it was made here."""

    username: str
    password: str | None


def ensure_first_administrator(
    aaa: AAAPluginBase,
    accounts: AccountService,
    *,
    email: str,
    password: str,
    initial_admin: Path,
) -> FirstAdministrator | None:
    """Create the first administrator through the AAA plugin; None: there is one already.

    Without a password a random one is made and kept in the file `initial_admin` before the user
    exists, so that it cannot be lost. AdministratorRefusedError says what to change.
    """
    if accounts.has_administrator():
        return None
    problems = password_problems(aaa, password) if password else []
    if problems:
        raise AdministratorRefusedError(f"LTS_ADMIN_PASSWORD is refused. {' '.join(problems)}")
    chosen = password or _random_password(aaa)
    if password:
        initial_admin.unlink(missing_ok=True)
    else:
        write_private(initial_admin, f"{chosen}\n".encode())
    if not aaa.register(FIRST_ADMINISTRATOR, email or FIRST_ADDRESS, chosen, ADMINISTRATOR):
        initial_admin.unlink(missing_ok=True)
        raise AdministratorRefusedError(
            "The first administrator cannot be created: the username "
            f"{FIRST_ADMINISTRATOR!r} or the address {email or FIRST_ADDRESS!r} is taken or not "
            "accepted. Set LTS_ADMIN_EMAIL to a free address, or make an administrator with "
            "`lts user create --role admin`."
        )
    return FirstAdministrator(FIRST_ADMINISTRATOR, None if password else chosen)


def password_problems(aaa: AAAPluginBase, password: str) -> list[str]:
    """Return the rules of the AAA plugin that a password breaks, if the plugin tells them."""
    tell: Callable[[str], list[str]] | None = getattr(aaa, "check_password_rules", None)
    return tell(password) if tell else []


def _random_password(aaa: AAAPluginBase) -> str:
    length = max(PASSWORD_LENGTH, int(aaa.params.get("password_min_length", 0)))
    for _ in range(PASSWORD_ATTEMPTS):
        password = "".join(secrets.choice(PASSWORD_ALPHABET) for _ in range(length))
        if not password_problems(aaa, password):
            return password
    raise AdministratorRefusedError(
        "No random password fits the rules of the AAA plugin. Set LTS_ADMIN_PASSWORD."
    )
