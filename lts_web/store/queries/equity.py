"""What portfolios were worth: the latest reading, the day's profit, and the curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Integer, Select, case, func, literal, select
from sqlalchemy.orm import aliased

from lts_web.store.models import EquityPointRecord, PortfolioRecord
from lts_web.store.queries import Snapshot
from lts_web.store.types import UtcTime
from lts_web.trading.calendar import day_start

RECENT_POINTS = 400
SAMPLED_POINTS = 400


@dataclass(frozen=True, slots=True)
class Reading:
    """What a portfolio was worth at the end of a cycle, in its base currency."""

    market_time: datetime
    recorded_at: datetime
    balance: Decimal
    equity: Decimal
    exposure: Decimal
    margin_used: Decimal
    open_risk: Decimal


@dataclass(frozen=True, slots=True)
class Curve:
    """Readings in order of time; `sampled` tells that there are more between them."""

    points: tuple[tuple[datetime, Decimal], ...]
    sampled: bool


_READING = (
    EquityPointRecord.market_time,
    EquityPointRecord.recorded_at,
    EquityPointRecord.balance,
    EquityPointRecord.equity,
    EquityPointRecord.exposure,
    EquityPointRecord.margin_used,
    EquityPointRecord.open_risk,
)
_NEWEST_FIRST = (EquityPointRecord.market_time.desc(), EquityPointRecord.id.desc())
_Older = aliased(EquityPointRecord)


def latest_with_day_profit(
    session: Snapshot, start_capital: Mapping[int, Decimal]
) -> dict[int, tuple[Reading | None, Decimal | None]]:
    """Return each portfolio's latest reading, and its profit since the trading day began.

    The day is that of the reading's market time and starts at 17:00 New York; a portfolio that
    began within it is compared with its start capital.
    """
    readings = {
        row[0]: Reading(*row[1:])
        for row in session.execute(
            select(EquityPointRecord.portfolio_id, *_READING).where(
                EquityPointRecord.id.in_(_last_of_each(start_capital))
            )
        )
    }
    starts = {key: day_start(reading.market_time) for key, reading in readings.items()}
    references: dict[int, Decimal] = {}
    if starts:
        rows = session.execute(
            select(EquityPointRecord.portfolio_id, EquityPointRecord.equity).where(
                EquityPointRecord.id.in_(_last_of_each(starts, until=starts))
            )
        )
        references = {row[0]: row[1] for row in rows}
    return {
        key: (reading, reading.equity - references.get(key, capital))
        if (reading := readings.get(key)) is not None
        else (None, None)
        for key, capital in start_capital.items()
    }


def _last_of_each(
    portfolio_ids: Iterable[int], until: Mapping[int, datetime] | None = None
) -> Select[tuple[int | None]]:
    """Return the query of each portfolio's last reading's id, at or before its own `until`.

    One index look-up a portfolio, however long the histories are.
    """
    last = select(_Older.id).where(_Older.portfolio_id == PortfolioRecord.id)
    if until is not None:
        bounds = {key: literal(at, UtcTime()) for key, at in until.items()}
        last = last.where(_Older.market_time <= case(bounds, value=PortfolioRecord.id))
    newest = last.order_by(_Older.market_time.desc(), _Older.id.desc()).limit(1)
    return select(newest.correlate(PortfolioRecord).scalar_subquery()).where(
        PortfolioRecord.id.in_(list(portfolio_ids))
    )


def recent_curve(session: Snapshot, portfolio_id: int, count: int = RECENT_POINTS) -> Curve:
    """Return the last `count` readings, every one of them."""
    rows = session.execute(
        select(EquityPointRecord.market_time, EquityPointRecord.equity)
        .where(EquityPointRecord.portfolio_id == portfolio_id)
        .order_by(*_NEWEST_FIRST)
        .limit(count)
    ).all()
    return Curve(tuple((row[0], row[1]) for row in reversed(rows)), sampled=False)


def whole_curve(session: Snapshot, portfolio_id: int, count: int = SAMPLED_POINTS) -> Curve:
    """Return the whole history: every reading, or those in force at `count` instants.

    Sampling costs one index look-up an instant, whatever the length of the history.
    """
    recent = recent_curve(session, portfolio_id, count + 1)
    if len(recent.points) <= count:
        return recent
    bounds = select(
        func.min(EquityPointRecord.market_time, type_=Integer).label("first"),
        func.max(EquityPointRecord.market_time, type_=Integer).label("last"),
    ).where(EquityPointRecord.portfolio_id == portfolio_id)
    edges = bounds.subquery()
    ticks = select(literal(0).label("tick")).cte("ticks", recursive=True)
    ticks = ticks.union_all(select(ticks.c.tick + 1).where(ticks.c.tick < count - 1))
    instant = edges.c.first + (edges.c.last - edges.c.first) * ticks.c.tick // (count - 1)
    at_instant = (
        select(EquityPointRecord.id)
        .where(
            EquityPointRecord.portfolio_id == portfolio_id,
            EquityPointRecord.market_time <= instant,
        )
        .order_by(*_NEWEST_FIRST)
        .limit(1)
        .correlate(ticks, edges)
        .scalar_subquery()
    )
    chosen = select(at_instant).select_from(ticks.join(edges, literal(value=True))).distinct()
    rows = session.execute(
        select(EquityPointRecord.market_time, EquityPointRecord.equity)
        .where(EquityPointRecord.id.in_(chosen))
        .order_by(EquityPointRecord.market_time, EquityPointRecord.id)
    )
    return Curve(tuple((row[0], row[1]) for row in rows), sampled=True)
