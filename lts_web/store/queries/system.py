"""What the frame of every page shows: the worker's sign of life and the live sequence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from lts_web.store.models import (
    AssetRecord,
    BrokerAccountRecord,
    DatasetRecord,
    LiveTopicRecord,
    PortfolioRecord,
    UserRecord,
    WorkerHeartbeatRecord,
)
from lts_web.store.queries import Scope, Snapshot, owned

WORKER_SILENT_AFTER = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The latest sign of life of any worker."""

    owner: str
    version: str
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None

    def is_silent(self, now: datetime) -> bool:
        """Return whether nothing can be running: stopped, or not seen for half a minute."""
        return self.stopped_at is not None or now - self.seen_at > WORKER_SILENT_AFTER


@dataclass(frozen=True, slots=True)
class Frame:
    """What the frame around every page needs of the database.

    `account_kinds` are the kinds of the reader's accounts, `synthetic` whether any of their
    active portfolios trades on invented bars.
    """

    sequence: int
    heartbeat: Heartbeat | None
    account_kinds: frozenset[str]
    synthetic: bool


@dataclass(frozen=True, slots=True)
class News:
    """The sequence now, and the topics that changed since the one asked about."""

    sequence: int
    topics: tuple[str, ...]


def time_zone(session: Snapshot, user_id: int) -> str:
    """Return the name of the user's time zone, "UTC" for nobody."""
    found = session.scalar(select(UserRecord.time_zone).where(UserRecord.id == user_id))
    return found or "UTC"


def has_users(session: Snapshot) -> bool:
    """Return whether anybody can log in at all."""
    return session.scalar(select(UserRecord.id).limit(1)) is not None


def heartbeat(session: Snapshot) -> Heartbeat | None:
    """Return the latest sign of life, or None if no worker was ever seen.

    Where one of several workers has just stopped, that of a living one counts.
    """
    rows = session.execute(
        select(
            WorkerHeartbeatRecord.owner,
            WorkerHeartbeatRecord.version,
            WorkerHeartbeatRecord.started_at,
            WorkerHeartbeatRecord.seen_at,
            WorkerHeartbeatRecord.stopped_at,
        )
        .order_by(WorkerHeartbeatRecord.seen_at.desc())
        .limit(8)
    )
    beats = [Heartbeat(*row) for row in rows]
    living = (beat for beat in beats if not beat.is_silent(beats[0].seen_at))
    return next(living, beats[0] if beats else None)


def sequence(session: Snapshot, user_id: int) -> int:
    """Return the number of the last change that this user's pages should hear of."""
    latest = session.scalar(
        select(func.max(LiveTopicRecord.sequence)).where(LiveTopicRecord.user_id == user_id)
    )
    return latest or 0


def news_since(session: Snapshot, user_id: int, seen: int) -> News:
    """Return what changed after `seen`; a number from the future (a restore) has seen nothing."""
    latest = sequence(session, user_id)
    if seen == latest:
        return News(latest, ())
    topics = session.scalars(
        select(LiveTopicRecord.topic)
        .where(
            LiveTopicRecord.user_id == user_id,
            LiveTopicRecord.sequence > (seen if seen < latest else 0),
        )
        .order_by(LiveTopicRecord.topic)
    )
    return News(latest, tuple(topics))


def frame(session: Snapshot, scope: Scope) -> Frame:
    """Return the page frame; read it first, so that the page's data are at least as new."""
    return Frame(
        sequence=sequence(session, scope.user_id),
        heartbeat=heartbeat(session),
        account_kinds=_account_kinds(session, scope),
        synthetic=_has_synthetic(session, scope),
    )


def _account_kinds(session: Snapshot, scope: Scope) -> frozenset[str]:
    kinds = session.scalars(
        select(BrokerAccountRecord.kind)
        .join(PortfolioRecord, PortfolioRecord.id == BrokerAccountRecord.portfolio_id)
        .where(owned(scope), PortfolioRecord.status != "archived")
        .distinct()
    )
    return frozenset(kinds)


def _has_synthetic(session: Snapshot, scope: Scope) -> bool:
    found = session.scalar(
        select(AssetRecord.id)
        .join(PortfolioRecord, PortfolioRecord.id == AssetRecord.portfolio_id)
        .join(DatasetRecord, DatasetRecord.id == AssetRecord.dataset_id)
        .where(
            owned(scope),
            PortfolioRecord.status == "active",
            DatasetRecord.origin == "synthetic",
        )
        .limit(1)
    )
    return found is not None
