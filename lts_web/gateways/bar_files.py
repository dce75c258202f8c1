"""Reads files of open, high, low, close bars: strictly, as a stream, all or nothing.

The caller takes the rows as they come and keeps them only when the last one has come: one defect
anywhere refuses the whole file. This module stores nothing, repairs nothing and knows no clock;
the memory that it needs does not grow with the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from lts_web.gateways.bar_defects import BarDefect, BarFileError, Defects, FieldError
from lts_web.gateways.bar_header import BarHeader, read_header, split_fields
from lts_web.gateways.bar_lines import BarFileLimits, Line, open_bar_file, read_lines
from lts_web.gateways.bar_prices import PriceReader
from lts_web.gateways.bar_sequence import BarGap, BarSequence, ParsedBar
from lts_web.gateways.bar_times import TimeReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal

__all__ = [
    "BarDefect",
    "BarFile",
    "BarFileError",
    "BarFileLimits",
    "BarFileSummary",
    "BarGap",
    "BarWarning",
    "ParsedBar",
    "open_bar_file",
    "read_bars",
]


@dataclass(frozen=True, slots=True)
class BarWarning:
    """Something to know about a file that was accepted; `count` says how often it occurs."""

    code: str
    count: int
    text: str

    def __str__(self) -> str:
        """Say it in one line."""
        return self.text


@dataclass(frozen=True, slots=True)
class BarFileSummary:
    """What was understood of a file that was accepted.

    `first` and `last` are open times in UTC; `columns` gives each meaning the file's own name;
    `gaps` holds the first of the `gap_count` gaps, in which `missing_bars` bars are missing.
    """

    instrument: str
    timeframe: str
    rows: int
    first: datetime
    last: datetime
    columns: Mapping[str, str]
    ignored_columns: tuple[str, ...]
    delimiter: str
    time_format: str
    zone: str
    gap_count: int
    missing_bars: int
    gaps: tuple[BarGap, ...]
    outside_calendar: int
    warnings: tuple[BarWarning, ...]


class BarFile:
    """One file being read: `rows()` first, then `summary`. Made by `read_bars`."""

    def __init__(
        self,
        stream: BinaryIO,
        instrument: str,
        times: TimeReader,
        prices: PriceReader,
        sequence: BarSequence,
        limits: BarFileLimits,
    ) -> None:
        self._stream = stream
        self._instrument = instrument
        self._times, self._prices, self._sequence = times, prices, sequence
        self._limits = limits
        self._defects = Defects(limits.defects)
        self._started = False
        self._summary: BarFileSummary | None = None

    @property
    def summary(self) -> BarFileSummary:
        """Return what the file amounts to; RuntimeError before `rows()` has come to its end."""
        if self._summary is None:
            raise RuntimeError("The summary exists when all rows have been read: read them first.")
        return self._summary

    def rows(self) -> Iterator[ParsedBar]:
        """Yield the bars, oldest first; BarFileError when the file is refused.

        The error may come after any number of bars: keep none of them then. It names up to
        `limits.defects` defects; no bar is yielded after the first. To be called once.
        """
        if self._started:
            raise RuntimeError("The rows can be read once: open the file again.")
        self._started = True
        lines = read_lines(self._stream, self._limits, self._defects)
        header = self._header(lines)
        cut = False
        for line in lines:
            bar = self._bar(line, header)
            cut = line.cut
            if bar is None or self._defects:
                continue
            self._sequence.count(bar)
            if self._sequence.rows > self._limits.rows:
                reason = f"the file has more than {self._limits.rows} bars: split it by years"
                self._defects.stop(BarDefect(line.number, None, None, reason, "too_many_rows"))
            yield bar
        self._summary = self._finish(header, cut)

    def _header(self, lines: Iterator[Line]) -> BarHeader:
        """Return what the first line names."""
        line = next(lines, Line(1, "", cut=False))
        self._defects.finish()
        try:
            return read_header(line.text)
        except FieldError as error:
            self._defects.stop(error.at(line.number))

    def _bar(self, line: Line, header: BarHeader) -> ParsedBar | None:
        """Return the bar of one line, None when something is wrong with it."""
        try:
            fields = split_fields(line.text, header.delimiter)
        except FieldError as error:
            self._defects.add(error.at(line.number, None, line.text))
            return None
        if len(fields) != len(header.names):
            self._defects.add(_wrong_length(line, len(fields), header))
            return None
        opened = self._opened(line.number, fields, header)
        prices = []
        for index in header.prices:
            try:
                prices.append(self._prices.read(fields[index]))
            except FieldError as error:
                self._defects.add(error.at(line.number, header.names[index], fields[index]))
        if len(prices) < len(header.prices):
            return None
        open_, high, low, close = prices
        if not (low <= open_ <= high and low <= close <= high):
            self._defects.add(_outside_range(line.number, fields, header, prices))
            return None
        return None if opened is None else (opened, open_, high, low, close)

    def _opened(self, number: int, fields: list[str], header: BarHeader) -> datetime | None:
        """Return the open time in UTC, None when it is no time or not the next one."""
        at = header.time
        text = fields[at[0]] if len(at) == 1 else " ".join([fields[index] for index in at])
        try:
            opened = self._times.read(text)
            self._sequence.place(opened)
        except FieldError as error:
            defect = error.at(number, header.columns["TIME"], text)
            if error.fatal:
                self._defects.stop(defect)
            self._defects.add(defect)
            return None
        return opened

    def _finish(self, header: BarHeader, cut: bool) -> BarFileSummary:
        """Return the summary, or refuse what only the whole file shows."""
        self._defects.finish()
        sequence, zone = self._sequence, str(self._times.zone)
        if sequence.first is None or sequence.last is None:
            reason = "the file has a header and no bars: add the bars"
            self._defects.stop(BarDefect(None, None, None, reason, "no_bars"))
        try:
            sequence.check_timeframe()
        except FieldError as error:
            self._defects.stop(error.at(None))
        return BarFileSummary(
            instrument=self._instrument,
            timeframe=sequence.timeframe,
            rows=sequence.rows,
            first=sequence.first,
            last=sequence.last,
            columns=MappingProxyType(header.columns),
            ignored_columns=header.ignored,
            delimiter=header.delimiter,
            time_format=self._times.format_name or "",
            zone=zone,
            gap_count=sequence.gap_count,
            missing_bars=sequence.missing_bars,
            gaps=tuple(sequence.gaps),
            outside_calendar=sequence.outside_calendar,
            warnings=tuple(_warnings(sequence, self._prices.rounded, cut)),
        )


def read_bars(
    stream: BinaryIO,
    *,
    instrument: str,
    timeframe: str,
    price_precision: int,
    time_format: str | None = None,
    zone: str = "UTC",
    scale: Decimal | str = "1",
    now: datetime | None = None,
    limits: BarFileLimits | None = None,
) -> BarFile:
    """Return the bars of an open file, not yet read; BarFileError when an argument is unusable.

    `stream` gives bytes and stays the caller's to close. `price_precision` is the instrument's
    number of decimals; `zone` is an IANA name for times that carry no offset; `scale` multiplies
    every price; `now` (aware) refuses bars that are not closed by then.
    """
    limits = limits or BarFileLimits()
    try:
        times = TimeReader(time_format, zone)
        prices = PriceReader(price_precision, scale)
        sequence = BarSequence(timeframe, times.zone, now, limits.gaps)
    except FieldError as error:
        raise BarFileError(error.at(None)) from None
    return BarFile(stream, instrument, times, prices, sequence, limits)


def _wrong_length(line: Line, found: int, header: BarHeader) -> BarDefect:
    """Return the defect of a line with too few or too many fields."""
    expected = len(header.names)
    if line.cut:
        advice = "the file ends inside this line: get it again, whole"
    elif found > expected and header.delimiter == ",":
        advice = "if decimal commas split the prices, write decimal points, else correct the line"
    else:
        advice = "correct the line"
    reason = f"the header names {expected} columns and this line has {found} fields: {advice}"
    return BarDefect(line.number, None, line.text, reason, "field_count")


def _outside_range(
    number: int, fields: list[str], header: BarHeader, prices: list[Decimal]
) -> BarDefect:
    """Return the defect of a bar whose prices contradict each other."""
    open_, high, low, _ = prices
    at_open, at_high, _, at_close = header.prices
    if high < low:
        at, reason = at_high, f"the high is below the low of {low}: correct the line"
    else:
        at, name = (at_close, "close") if low <= open_ <= high else (at_open, "open")
        reason = (
            f"the {name} lies outside the bar's range of {low} to {high}: correct the line, and "
            "check that the columns have the right names"
        )
    code = "high_below_low" if high < low else "outside_range"
    return BarDefect(number, header.names[at], fields[at], reason, code)


def _warnings(sequence: BarSequence, rounded: int, cut: bool) -> Iterator[BarWarning]:
    """Yield what the file's owner should know although the file is accepted."""
    if sequence.gap_count:
        first = sequence.gaps[0].after if sequence.gaps else sequence.first
        text = (
            f"{sequence.gap_count} gaps in open market hours, {sequence.missing_bars} bars in all; "
            f"the first after {first:%Y-%m-%d %H:%M} UTC."
        )
        yield BarWarning("gaps", sequence.gap_count, text)
    if sequence.outside_calendar:
        count = sequence.outside_calendar
        text = f"{count} bars open while the market is closed: they are kept and not traded on."
        yield BarWarning("outside_calendar", count, text)
    if sequence.jumps:
        text = (
            f"{sequence.jumps} bars reach more than 20 % away from the close before; the first at "
            f"{sequence.first_jump:%Y-%m-%d %H:%M} UTC: check for wrong prices or a changed scale."
        )
        yield BarWarning("jumps", sequence.jumps, text)
    if rounded:
        text = f"{rounded} prices had more decimals than the instrument and were rounded."
        yield BarWarning("rounded", rounded, text)
    if cut:
        text = "The last line has no line end: the file may have been cut off there."
        yield BarWarning("cut", 1, text)
