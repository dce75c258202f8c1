"""The live sequence: which change a user's pages heard of last.

Whoever changes something that a page shows bumps its topic in the same transaction, so that a
page never misses what was committed. The sequence counts per user; administrators see
everything, so every bump reaches them too. Topics are "portfolio-<id>" and "system".
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Executable, bindparam, func, or_, select, true
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from lts_web.store.models import LiveTopicRecord, UserRecord

SYSTEM_TOPIC = "system"


def portfolio_topic(portfolio_id: int) -> str:
    """Return the topic of a portfolio's changes."""
    return f"portfolio-{portfolio_id}"


def bump(session: Session, user_id: int, topic: str) -> None:
    """Note a change for the pages of this user and of all administrators."""
    session.execute(_FOR_OWNER, {"owner": user_id, "topic_name": topic})


def bump_everyone(session: Session, topic: str = SYSTEM_TOPIC) -> None:
    """Note a change for the pages of all users."""
    session.execute(_FOR_ALL, {"topic_name": topic})


_TOPICS = LiveTopicRecord.metadata.tables["live_topics"]
_USERS = UserRecord.metadata.tables["users"]


def _statement(users: ColumnElement[bool]) -> Executable:
    """Return the insert-or-update of the topic's row of each of the users."""
    topics = _TOPICS.alias("latest")
    latest = (
        select(func.max(topics.c.sequence))
        .where(topics.c.user_id == _USERS.c.id)
        .correlate(_USERS)
        .scalar_subquery()
    )
    name = bindparam("topic_name", type_=_TOPICS.c.topic.type)
    rows = select(_USERS.c.id, name, 1 + func.coalesce(latest, 0)).where(users)
    statement = insert(_TOPICS).from_select(["user_id", "topic", "sequence"], rows)
    return statement.on_conflict_do_update(
        index_elements=["user_id", "topic"], set_={"sequence": statement.excluded.sequence}
    )


# Built once: building costs twenty times what running does.
_FOR_OWNER = _statement(or_(_USERS.c.id == bindparam("owner"), _USERS.c.role == "admin"))
_FOR_ALL = _statement(true())
