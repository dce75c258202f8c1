"""Rows of users and their sessions: each function is one step inside a caller's transaction.

It compares names as the database folds them, and knows nothing of passwords beyond the text that
is kept, nor of lockout or roles beyond the last administrator's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from lts_web.store.models import SessionRecord, UserRecord
from lts_web.trading.ports import SessionView, UserAccount

ADMINISTRATOR = "admin"
# How long the rows of ended sessions are kept; the audit log keeps who logged in.
ENDED_SESSIONS_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class UserSummary:
    """A user as lists show one: without anything that opens the account."""

    id: int
    username: str
    email: str
    role: str
    is_active: bool
    locked_until: datetime | None
    created_at: datetime


def find_user(session: Session, name: str) -> UserAccount | None:
    """Return the user with this username or e-mail address, in any case; the username wins."""
    folded = func.lower(name)
    is_username = func.lower(UserRecord.username) == folded
    row = session.scalars(
        select(UserRecord)
        .where(or_(is_username, func.lower(UserRecord.email) == folded))
        .order_by(is_username.desc(), UserRecord.id)
        .limit(1)
    ).first()
    return None if row is None else _account(row)


def get_user(session: Session, user_id: int) -> UserAccount | None:
    """Return the user with this id."""
    row = session.get(UserRecord, user_id)
    return None if row is None else _account(row)


def list_users(session: Session) -> list[UserSummary]:
    """Return all users by id."""
    return [
        UserSummary(
            id=row.id,
            username=row.username,
            email=row.email,
            role=row.role,
            is_active=row.is_active,
            locked_until=row.locked_until,
            created_at=row.created_at,
        )
        for row in session.scalars(select(UserRecord).order_by(UserRecord.id))
    ]


def has_administrator(session: Session) -> bool:
    """Return whether there is an administrator, active or not."""
    found = select(UserRecord.id).where(UserRecord.role == ADMINISTRATOR).limit(1)
    return session.scalar(found) is not None


def add_user(
    session: Session, username: str, email: str, password_hash: str, role: str, now: datetime
) -> UserAccount | None:
    """Write a user; None: the name or the address is taken, also as the other's kind."""
    if find_user(session, username) or find_user(session, email):
        return None
    row = UserRecord(
        username=username,
        email=email,
        password_hash=password_hash,
        role=role,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return _account(row)


def change_password(session: Session, user_id: int, password_hash: str, now: datetime) -> None:
    """Write a new password of an existing user, and lift the lock."""
    row = session.get_one(UserRecord, user_id)
    row.password_hash = password_hash
    row.failed_logins = 0
    row.locked_until = None
    row.must_change_password = False
    row.updated_at = now


def rehash_password(session: Session, user_id: int, password_hash: str, now: datetime) -> None:
    """Write another hash of the same password of an existing user."""
    row = session.get_one(UserRecord, user_id)
    row.password_hash = password_hash
    row.updated_at = now


def change_role(session: Session, user_id: int, role: str, now: datetime) -> bool:
    """Write a role; False: it would take the last active administrator's."""
    row = session.get_one(UserRecord, user_id)
    if row.role == ADMINISTRATOR and role != ADMINISTRATOR:
        others = select(UserRecord.id).where(
            UserRecord.role == ADMINISTRATOR, UserRecord.is_active, UserRecord.id != user_id
        )
        if session.scalar(others.limit(1)) is None:
            return False
    row.role = role
    row.updated_at = now
    return True


def count_failure(
    session: Session, user_id: int, locked_until: datetime | None, now: datetime
) -> None:
    """Count a failed login of an existing user; a lock that is over begins a new count."""
    row = session.get_one(UserRecord, user_id)
    is_over = row.locked_until is not None and row.locked_until <= now
    row.failed_logins = 1 if is_over else row.failed_logins + 1
    row.locked_until = locked_until


def clear_failures(session: Session, user_id: int) -> None:
    """Forget the failed logins of a user."""
    session.execute(
        update(UserRecord)
        .where(UserRecord.id == user_id)
        .values(failed_logins=0, locked_until=None)
    )


def add_session(
    session: Session,
    user_id: int,
    token_hash: str,
    expires_at: datetime,
    address: str | None,
    agent: str | None,
    now: datetime,
) -> int | None:
    """Write a session and return its id; None: no such active user."""
    user = session.get(UserRecord, user_id)
    if user is None or not user.is_active:
        return None
    session.execute(
        delete(SessionRecord).where(
            SessionRecord.user_id == user_id,
            or_(
                SessionRecord.expires_at < now - ENDED_SESSIONS_KEPT,
                SessionRecord.ended_at < now - ENDED_SESSIONS_KEPT,
            ),
        )
    )
    row = SessionRecord(
        user_id=user_id,
        token_hash=token_hash,
        address=address and address[:64],
        agent=agent and agent[:200],
        created_at=now,
        last_seen_at=now,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return row.id


def live_session(
    session: Session, token_hash: str, now: datetime
) -> tuple[SessionView, datetime] | None:
    """Return the live session of an active user and when it was last seen."""
    found = session.execute(
        select(SessionRecord, UserRecord)
        .join(UserRecord, UserRecord.id == SessionRecord.user_id)
        .where(
            SessionRecord.token_hash == token_hash,
            SessionRecord.ended_at.is_(None),
            SessionRecord.expires_at > now,
            UserRecord.is_active,
        )
    ).first()
    if found is None:
        return None
    row, user = found
    view = SessionView(
        session_id=row.id,
        user=_account(user),
        expires_at=row.expires_at,
        created_at=row.created_at,
    )
    return view, row.last_seen_at


def mark_seen(session: Session, session_id: int, now: datetime) -> None:
    """Write when a session was last seen; never an earlier time than is there."""
    session.execute(
        update(SessionRecord)
        .where(SessionRecord.id == session_id, SessionRecord.last_seen_at < now)
        .values(last_seen_at=now)
    )


def end_session(session: Session, token_hash: str, now: datetime) -> UserAccount | None:
    """End a session and return its user; None: there was nothing to end."""
    row = session.scalars(
        select(SessionRecord).where(
            SessionRecord.token_hash == token_hash, SessionRecord.ended_at.is_(None)
        )
    ).first()
    if row is None:
        return None
    row.ended_at = now
    return get_user(session, row.user_id)


def end_sessions(session: Session, user_id: int, now: datetime) -> int:
    """End all live sessions of a user and return how many there were."""
    ended = session.execute(
        update(SessionRecord)
        .where(
            SessionRecord.user_id == user_id,
            SessionRecord.ended_at.is_(None),
            SessionRecord.expires_at > now,
        )
        .values(ended_at=now)
        .returning(SessionRecord.id)
    )
    return len(ended.all())


def _account(row: UserRecord) -> UserAccount:
    return UserAccount(
        id=row.id,
        username=row.username,
        email=row.email,
        role=row.role,
        is_active=row.is_active,
        password_hash=row.password_hash,
        failed_logins=row.failed_logins,
        locked_until=row.locked_until,
        must_change_password=row.must_change_password,
    )
