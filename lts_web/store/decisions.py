"""The decision row: why an asset did, or did not, trade in a cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import insert
from sqlalchemy.orm import Session

from lts_web.store.models import DecisionRecord
from lts_web.trading.decisions import Decision, action_of
from lts_web.trading.market import MarketView


class DecidedAsset(Protocol):
    """What the row needs of the asset's run."""

    id: int
    decision: Decision | None
    outcome: str
    code: str | None
    detail: str
    trace: tuple[tuple[str, str], ...]
    inputs: dict[str, Any]
    units: int | None
    binding_cap: str | None
    view: MarketView | None


class DecidingCycle(Protocol):
    """What the row needs of the cycle."""

    id: int
    portfolio_id: int
    market_time: datetime


_ADD = insert(DecisionRecord.metadata.tables[DecisionRecord.__tablename__])


def add_decision(session: Session, values: dict[str, Any]) -> int:
    """Insert the row of an asset's decision and return its id."""
    made = session.connection().execute(_ADD, values)
    assert made.lastrowid is not None
    return made.lastrowid


def decision_values(asset: DecidedAsset, run: DecidingCycle, now: datetime) -> dict[str, Any]:
    """Return the row's values, for inserting many at once."""
    decision, view = asset.decision, asset.view
    return {
        "cycle_id": run.id,
        "portfolio_id": run.portfolio_id,
        "asset_id": asset.id,
        "action": action_of(decision) if decision is not None else "none",
        "outcome": asset.outcome,
        "code": asset.code,
        "detail": asset.detail[:1000],
        "reason": decision.reason[:1000] if decision is not None else "",
        "confidence": decision.confidence if decision is not None else None,
        "inputs": plain(asset.inputs),
        "trace": plain(asset.trace),
        "units": asset.units,
        "binding_cap": asset.binding_cap,
        "synthetic": view is not None and view.origin == "synthetic",
        "oracle": view is not None and view.oracle,
        "market_time": run.market_time,
        "recorded_at": now,
    }


def plain(value: Any) -> Any:
    """Return the value as JSON can hold it: decimals as text, times as ISO text."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value
