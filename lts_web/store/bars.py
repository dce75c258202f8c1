"""Reads and writes of stored bars and data sets, in the caller's transaction."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, delete, insert, select, type_coerce
from sqlalchemy.orm import Session

from lts_web.store.models import BarRecord, DatasetRecord

BarRow = tuple[datetime, Decimal, Decimal, Decimal, Decimal]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PRICE_SCALE = 1e8


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Consecutive bars as columns: opening times in epoch seconds, prices as floats.

    A price is the float nearest to the stored decimal, so that its shortest notation is that
    decimal again.
    """

    times: array[int]
    opens: array[float]
    highs: array[float]
    lows: array[float]
    closes: array[float]


def insert_bars(session: Session, dataset_id: int, rows: Iterable[BarRow]) -> int:
    """Insert one batch of bars and return how many there were."""
    values = [
        {"dataset_id": dataset_id, "open_time": time, "open": o, "high": h, "low": low, "close": c}
        for time, o, h, low, c in rows
    ]
    if values:
        session.execute(insert(BarRecord), values)
    return len(values)


def load_columns(
    session: Session, dataset_id: int, around: datetime | None, before: int, after: int
) -> BarColumns:
    """Return up to `before` bars that open before `around` and up to `after` that do not.

    `around` None means the start of the data set. The bars are consecutive, oldest first.
    """
    query = _raw().where(BarRecord.dataset_id == dataset_id)
    rows: list[tuple[int, ...]] = []
    if around is not None:
        earlier = query.where(BarRecord.open_time < around)
        found = session.execute(earlier.order_by(BarRecord.open_time.desc()).limit(before))
        rows.extend(tuple(row) for row in reversed(found.all()))
        query = query.where(BarRecord.open_time >= around)
    found = session.execute(query.order_by(BarRecord.open_time).limit(after))
    rows.extend(tuple(row) for row in found)
    columns: list[Iterable[int]] = list(zip(*rows, strict=True)) if rows else [[]] * 5
    times, *prices = columns
    return BarColumns(
        array("q", (time // 1_000_000 for time in times)),
        *(array("d", (price / _PRICE_SCALE for price in column)) for column in prices),
    )


def get_dataset(session: Session, dataset_id: int) -> DatasetRecord | None:
    """Return the data set's row."""
    return session.get(DatasetRecord, dataset_id)


def delete_dataset(session: Session, dataset_id: int) -> None:
    """Delete a data set with its bars."""
    session.execute(delete(DatasetRecord).where(DatasetRecord.id == dataset_id))


def abandoned_imports(session: Session, before: datetime) -> list[int]:
    """Return the data sets whose import began before this instant and never ended."""
    return list(
        session.scalars(
            select(DatasetRecord.id).where(
                DatasetRecord.state == "importing", DatasetRecord.created_at < before
            )
        )
    )


def opening_time(seconds: int) -> datetime:
    """Return an opening time of `BarColumns` as an aware instant."""
    return _EPOCH + timedelta(seconds=seconds)


def _raw() -> Any:
    # The scaled integers themselves: converting each to Decimal and back would cost more than
    # everything else that a cycle does with its bars.
    columns = (BarRecord.open_time, BarRecord.open, BarRecord.high, BarRecord.low, BarRecord.close)
    return select(*(type_coerce(column, BigInteger) for column in columns))
