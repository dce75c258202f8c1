"""Short reads for the demonstration portfolio, in the caller's transaction."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lts_web.store.models import PortfolioRecord, UserRecord


def demonstration_of(session: Session) -> int | None:
    """Return the id of the demonstration portfolio, archived or not."""
    return session.scalar(
        select(func.min(PortfolioRecord.id)).where(PortfolioRecord.is_demonstration.is_(True))
    )


def first_administrator(session: Session) -> int | None:
    """Return the id of the oldest active administrator."""
    return session.scalar(
        select(func.min(UserRecord.id)).where(
            UserRecord.role == "admin", UserRecord.is_active.is_(True)
        )
    )
