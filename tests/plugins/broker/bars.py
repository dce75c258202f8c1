"""Bars for the broker tests: written by hand, or made from steps that hypothesis draws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from lts_web.plugins.bars_view import Columns

# A Monday, so that a week of hours lies in the calendar.
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = 3600

Row = tuple[float, float, float, float]


def hourly(*rows: Row, start: datetime = MONDAY, seconds: int = HOUR) -> Columns:
    """Return bars (open, high, low, close) that follow each other without a gap in time."""
    columns = Columns(seconds)
    first = int(start.timestamp())
    for index, row in enumerate(rows):
        columns.append(first + index * seconds, *row)
    return columns


def flat(price: float, count: int) -> list[Row]:
    """Return bars that do not move."""
    return [(price, price, price, price)] * count


def at(hours: float) -> datetime:
    """Return a time so many hours after the first bar's open."""
    return MONDAY + timedelta(hours=hours)


def write_csv(path: Path, columns: Columns, header: str = "DATE_TIME,OPEN,LOW,HIGH,CLOSE") -> Path:
    """Write bars in the documents' own format, LOW before HIGH."""
    lines = [header]
    for index in range(len(columns)):
        row = columns.row(index)
        time = row["time"].strftime("%Y-%m-%d %H:%M:%S")
        lines.append(f"{time},{row['open']},{row['low']},{row['high']},{row['close']}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
