"""Reads OHLC bars from a CSV file for a stand-alone simulation: simply, and strictly.

The file is whatever the caller names; imported data sets come another way and are not read here.
A file is taken whole or refused with the line and the reason: a skipped line would be a hole in
the market that nobody sees.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from lts_web.plugins.bars_view import Columns
from lts_web.trading.calendar import TIMEFRAMES
from lts_web.trading.instruments import Instrument
from lts_web.trading.money import to_decimal

_ISO_FORMAT = "%Y-%m-%d %H:%M:%S"
_ISO_SHAPE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_NAMES = {int(length.total_seconds()): name for name, length in TIMEFRAMES.items()}
_LONGEST_FIELD = 10_000


class BarTableError(ValueError):
    """The bars cannot be used; the message names file, line and reason. Nothing was loaded."""


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """What the columns of a file are called, and how its times are written (UTC)."""

    time: str = "DATE_TIME"
    open: str = "OPEN"
    high: str = "HIGH"
    low: str = "LOW"
    close: str = "CLOSE"
    time_format: str = _ISO_FORMAT


def read_bars(path: str | Path, names: ColumnNames, instrument: Instrument) -> Columns:
    """Return the bars of a CSV file; BarTableError says what is wrong with it.

    Columns go by name in any order, upper or lower case. Times are bar opens in UTC and strictly
    increase; prices are rounded half-even to the instrument's precision, as imports do. The
    smallest distance between two bars is taken for their length.
    """
    columns = Columns(0)
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if header is None:
                raise BarTableError(f"{path} is empty: it needs a line of column names and bars.")
            places = _places(header, names, path)
            _read_lines(reader, places, columns, names.time_format, instrument, path)
    except OSError as error:
        raise BarTableError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise BarTableError(f"{path} is not UTF-8 text: save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise BarTableError(f"{path} is no sound CSV file: {error}.") from error
    if len(columns) < 2:
        raise BarTableError(
            f"{path} holds {len(columns)} bars: at least two are needed, since their distance "
            f"tells how long a bar is."
        )
    width = min(after - before for before, after in pairwise(columns.times))
    return Columns(width, columns.times, columns.opens, columns.highs, columns.lows, columns.closes)


def timeframe_name(seconds: int) -> str:
    """Return "H1" for 3600; lengths without a name of their own are counted in M or S."""
    if seconds in _NAMES:
        return _NAMES[seconds]
    return f"M{seconds // 60}" if seconds % 60 == 0 else f"S{seconds}"


def _places(header: list[str], names: ColumnNames, path: str | Path) -> list[int]:
    """Return where time, open, high, low and close stand."""
    found = [field.strip() for field in header]
    places: list[int] = []
    for name in (names.time, names.open, names.high, names.low, names.close):
        exact = [place for place, field in enumerate(found) if field == name]
        alike = exact or [p for p, field in enumerate(found) if field.lower() == name.lower()]
        if len(alike) != 1:
            problem = "has no column" if not alike else "has more than one column"
            raise BarTableError(
                f"{path} {problem} {name!r}; its columns are {', '.join(found)[:200]}. The "
                f"parameters datetime_column, open_col, high_col, low_col and close_col name them."
            )
        places.append(alike[0])
    return places


def _read_lines(
    lines: Iterator[list[str]],
    places: list[int],
    columns: Columns,
    time_format: str,
    instrument: Instrument,
    path: str | Path,
) -> None:
    read_time = _time_reader(time_format)
    read_price = _price_reader(instrument)
    widest = max(places)
    last = None
    for number, row in enumerate(lines, start=2):
        if not row:
            continue
        if len(row) <= widest:
            raise BarTableError(f"{path}, line {number}: it has only {len(row)} fields.")
        time_text, *price_texts = (row[place] for place in places)
        try:
            time = read_time(time_text)
            prices = [read_price(text) for text in price_texts]
        except ValueError as error:
            raise BarTableError(f"{path}, line {number}: {error}.") from None
        problem = _bar_problem(time, last, *prices)
        if problem is not None:
            raise BarTableError(f"{path}, line {number}: {problem}.")
        columns.append(time, *prices)
        last = time


def _bar_problem(
    time: int, last: int | None, open_: float, high: float, low: float, close: float
) -> str | None:
    if last is not None and time <= last:
        return "its time is not later than the line before; sort the file and remove doubles"
    if high < max(open_, close) or low > min(open_, close):
        return "open or close lie outside low and high"
    return None


def _time_reader(time_format: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        text = text.strip()
        try:
            # The documents' own format is read by the interpreter's fast parser.
            if time_format == _ISO_FORMAT and _ISO_SHAPE.fullmatch(text):
                time = datetime.fromisoformat(text)
            else:
                time = datetime.strptime(text, time_format)  # noqa: DTZ007 – UTC follows
        except ValueError:
            raise ValueError(
                f"the time {text[:40]!r} is not written as {time_format!r} "
                f"(parameter datetime_format)"
            ) from None
        aware = time.replace(tzinfo=UTC) if time.utcoffset() is None else time
        return int(aware.timestamp())

    return read


def _price_reader(instrument: Instrument) -> Callable[[str], float]:
    on_grid = re.compile(rf"\d{{1,9}}(?:\.\d{{1,{instrument.price_precision}}})?", re.ASCII)

    def read(text: str) -> float:
        text = text.strip()
        if on_grid.fullmatch(text):
            price = float(text)
        else:
            number = to_decimal(text) if len(text) <= _LONGEST_FIELD else None
            if number is None or number >= 10**9:
                raise ValueError(f"{text[:40]!r} is no price")
            price = float(instrument.round_price(number))
        if price <= 0:
            raise ValueError(f"the price {text[:40]!r} is not above zero")
        return price

    return read


def bar_row(columns: Columns, index: int) -> Mapping[str, object]:
    """Return a bar as the predecessor's strategy functions know it: with its `datetime` beside."""
    row = columns.row(index)
    return {"datetime": row["time"], **row}
