"""Writes of portfolios on behalf of people. Each function works in the caller's transaction.

Changes of state are compare-and-set: they name the states that they start from and say whether
they found the portfolio in one of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from lts_web.store.models import PortfolioRecord, PositionRecord


@dataclass(frozen=True, slots=True)
class PortfolioState:
    """What a change needs to know of a portfolio before it."""

    id: int
    user_id: int
    name: str
    status: str
    run_requested_at: datetime | None


def state_of(session: Session, portfolio_id: int) -> PortfolioState | None:
    """Return the portfolio's state, or None if there is no such portfolio."""
    row = session.execute(
        select(
            PortfolioRecord.id,
            PortfolioRecord.user_id,
            PortfolioRecord.name,
            PortfolioRecord.status,
            PortfolioRecord.run_requested_at,
        ).where(PortfolioRecord.id == portfolio_id)
    ).one_or_none()
    return PortfolioState(*row) if row is not None else None


def change_status(
    session: Session,
    portfolio_id: int,
    status: str,
    *,
    expected: Collection[str],
    next_due_at: datetime | None,
    now: datetime,
) -> bool:
    """Give the portfolio a status and its next due instant; False: it was in no expected state.

    A request to run now ends with any change of status.
    """
    changed = session.execute(
        update(PortfolioRecord)
        .where(PortfolioRecord.id == portfolio_id, PortfolioRecord.status.in_(expected))
        .values(status=status, next_due_at=next_due_at, run_requested_at=None, updated_at=now)
        .returning(PortfolioRecord.id)
    )
    return changed.scalar() is not None


def request_run(session: Session, portfolio_id: int, now: datetime) -> bool:
    """Ask for a cycle now; False: the portfolio is not active, or one is already asked for."""
    changed = session.execute(
        update(PortfolioRecord)
        .where(
            PortfolioRecord.id == portfolio_id,
            PortfolioRecord.status == "active",
            PortfolioRecord.run_requested_at.is_(None),
        )
        .values(run_requested_at=now)
        .returning(PortfolioRecord.id)
    )
    return changed.scalar() is not None


def open_position_count(session: Session, portfolio_id: int) -> int:
    """Return how many positions of the portfolio are open."""
    count = session.scalar(
        select(func.count())
        .select_from(PositionRecord)
        .where(PositionRecord.portfolio_id == portfolio_id, PositionRecord.is_open.is_(True))
    )
    return count or 0
