"""Bar files: what is accepted and how, and what each defect is answered."""

from __future__ import annotations

import io
import itertools
import os
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lts_web.gateways.bar_defects import safe_text
from lts_web.gateways.bar_files import (
    BarFile,
    BarFileError,
    BarFileLimits,
    BarFileSummary,
    ParsedBar,
    open_bar_file,
    read_bars,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = "DATE_TIME,OPEN,HIGH,LOW,CLOSE\n"
NOON = datetime(2020, 3, 17, 12, tzinfo=UTC)
GOOD = "2020-03-17 12:00:00,1.1,1.2,1.0,1.15\n"


def opened(data: str | bytes, **options: Any) -> BarFile:
    raw = data.encode() if isinstance(data, str) else data
    defaults: dict[str, Any] = {"instrument": "EUR_USD", "timeframe": "H1", "price_precision": 5}
    return read_bars(io.BytesIO(raw), **(defaults | options))


def read(data: str | bytes, **options: Any) -> tuple[list[ParsedBar], BarFileSummary]:
    file = opened(data, **options)
    return list(file.rows()), file.summary


def refused(data: str | bytes, **options: Any) -> BarFileError:
    with pytest.raises(BarFileError) as caught:
        read(data, **options)
    return caught.value


def at(hour: int, prices: str = "1.1,1.2,1.0,1.15") -> str:
    return f"2020-03-17 {hour:02d}:00:00,{prices}\n"


# What is accepted.


@pytest.mark.req("INT-012")
def test_columns_go_by_name_in_any_order_and_case() -> None:
    text = "Low;CLOSE;volume;high;<Date>;<TIME>;o\n1.0;1.15;99;1.2;2020.03.17;12:00;1.10\n"
    bars, summary = read(text)
    assert bars == [(NOON, Decimal("1.10"), Decimal("1.2"), Decimal("1.0"), Decimal("1.15"))]
    assert summary.columns == {
        "TIME": "<Date> + <TIME>",
        "OPEN": "o",
        "HIGH": "high",
        "LOW": "Low",
        "CLOSE": "CLOSE",
    }
    assert summary.ignored_columns == ("volume",)
    assert (summary.delimiter, summary.time_format) == (";", "%Y.%m.%d %H:%M")
    assert (summary.rows, summary.first, summary.last) == (1, NOON, NOON)


def test_digits_are_kept_as_they_are_written() -> None:
    bars, _ = read(HEADER + at(12, "1.10,1.1999900,1,1.15"))
    assert [str(price) for price in bars[0][1:]] == ["1.10", "1.1999900", "1", "1.15"]


@pytest.mark.parametrize("header", ["DATETIME", "timestamp", "Date Time", "Date", "Time", '"DATE"'])
def test_the_time_has_several_names(header: str) -> None:
    assert read(f"{header},O,H,L,C\n{GOOD}")[0][0][0] == NOON


@pytest.mark.parametrize(
    ("mark", "end", "start"), list(itertools.product(",;\t", ["\n", "\r\n"], ["", "\ufeff"]))
)
def test_delimiters_line_ends_byte_order_mark_and_quotes(mark: str, end: str, start: str) -> None:
    text = HEADER + '"2020-03-17 12:00:00", 1.1 ,"1.2",1.0,1.15\n\n'
    bars, summary = read(start + text.replace(",", mark).replace("\n", end))
    assert bars == read(HEADER + GOOD)[0]
    assert summary.delimiter == mark


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2020-03-17 12:00:00", "%Y-%m-%d %H:%M:%S"),
        ("2020-03-17 12:00", "%Y-%m-%d %H:%M"),
        ("2020-03-17T12:00:00", "iso"),
        ("2020-03-17 12:00:00.000", "iso"),
        ("2020-03-17T12:00:00.000000000Z", "iso-offset"),
        ("2020-03-17 14:00+02:00", "iso-offset"),
        ("2020.03.17 12:00", "%Y.%m.%d %H:%M"),
        ("2020/03/17 12:00:00", "%Y/%m/%d %H:%M:%S"),
        ("20200317 120000", "%Y%m%d %H%M%S"),
        ("20200317 12:00", "%Y%m%d %H:%M"),
        ("1584446400", "epoch"),
        ("1584446400000", "epoch-ms"),
    ],
)
def test_the_format_is_found(text: str, name: str) -> None:
    bars, summary = read(HEADER + GOOD.replace("2020-03-17 12:00:00", text))
    assert bars[0][0] == NOON
    assert summary.time_format == name


@pytest.mark.parametrize(
    ("text", "time_format"),
    [
        ("17.03.2020 12:00:00.000", "%d.%m.%Y %H:%M:%S.%f"),
        ("03/17/20 12:00 PM", "%m/%d/%y %I:%M %p"),
        ("1584446400", "epoch"),
        ("2020-03-17 12:00", "%Y-%m-%d %H:%M"),
        ("17/03/2020 15:00 +0300", "%d/%m/%Y %H:%M %z"),
    ],
)
def test_a_given_format_is_used(text: str, time_format: str) -> None:
    bars, summary = read(
        HEADER + GOOD.replace("2020-03-17 12:00:00", text), time_format=time_format
    )
    assert bars[0][0] == NOON
    assert summary.time_format == time_format


def test_times_of_a_zone_become_utc_and_an_offset_wins() -> None:
    assert read(HEADER + at(14), zone="Europe/Athens")[0][0][0] == NOON
    given = HEADER + "2020-03-17T12:00:00Z,1.1,1.2,1.0,1.15\n"
    assert read(given, zone="Europe/Athens")[0][0][0] == NOON


def test_the_scale_multiplies_exactly() -> None:
    bars, summary = read(HEADER + at(12, "81121,81203.0,81107,81201"), scale="0.001")
    assert bars[0][1:] == tuple(map(Decimal, ["81.121", "81.203", "81.107", "81.201"]))
    assert not summary.warnings


def test_more_decimals_than_the_instrument_has_are_rounded_and_counted() -> None:
    bars, summary = read(HEADER + at(12, "1.1000049,1.2,1.0,1.1500051"))
    assert [str(price) for price in bars[0][1:]] == ["1.10000", "1.2", "1.0", "1.15001"]
    assert [(warning.code, warning.count) for warning in summary.warnings] == [("rounded", 2)]
    assert read(HEADER + at(12, "110,110,110,110"), price_precision=0)[0][0][1] == 110
    assert read(HEADER + at(12, "1.5,1.5,1.5,1.5"), price_precision=0)[1].warnings[0].count == 4


def test_weekends_are_no_gaps_and_missing_bars_are() -> None:
    friday = datetime(2020, 3, 13, 20, tzinfo=UTC)
    sunday = datetime(2020, 3, 15, 21, tzinfo=UTC)
    times = [friday, sunday, sunday + timedelta(hours=1), sunday + timedelta(hours=4)]
    times += [times[-1] + timedelta(hours=hour) for hour in (1, 2)]
    _, summary = read(HEADER + "".join(f"{time:%Y-%m-%d %H:%M},1,1,1,1\n" for time in times))
    assert (summary.gap_count, summary.missing_bars) == (1, 2)
    assert (summary.gaps[0].after, summary.gaps[0].before) == (times[2], times[3])


def test_only_the_first_gaps_are_kept_and_all_are_counted() -> None:
    hours = [0, 1, 2, 4, 5, 7, 8, 10, 11]
    _, summary = read(HEADER + "".join(map(at, hours)), limits=BarFileLimits(gaps=1))
    assert (summary.gap_count, len(summary.gaps)) == (3, 1)


def test_bars_outside_the_calendar_are_kept_and_counted() -> None:
    bars, summary = read(HEADER + "2020-03-13 20:00:00,1,1,1,1\n2020-03-13 21:00:00,1,1,1,1\n")
    assert (len(bars), summary.outside_calendar) == (2, 1)
    assert summary.warnings[0].code == "outside_calendar"


def test_a_jump_and_a_missing_last_line_end_are_warnings() -> None:
    text = HEADER + at(12) + at(13, "1.4,1.5,1.4,1.5") + at(14, "1.1,1.1,1.1,1.1").strip()
    bars, summary = read(text)
    assert len(bars) == 3
    assert [(warning.code, warning.count) for warning in summary.warnings] == [
        ("jumps", 2),
        ("cut", 1),
    ]
    assert "2020-03-17 13:00 UTC" in str(summary.warnings[0])


@pytest.mark.parametrize(
    ("timeframe", "zone", "times"),
    [
        ("D1", "UTC", ["2020-03-05", "2020-03-06", "2020-03-09", "2020-03-10"]),
        ("D1", "Asia/Tokyo", ["2020-03-05", "2020-03-06", "2020-03-09"]),
        ("D1", "UTC", ["2020-03-05 22:00", "2020-03-08 21:00", "2020-03-09 21:00"]),
        ("H4", "UTC", ["2020-03-06 14:00", "2020-03-06 18:00", "2020-03-08 21:00"]),
        ("H4", "UTC", ["2020-03-06 12:00", "2020-03-06 16:00", "2020-03-06 20:00"]),
        ("M15", "Asia/Kolkata", ["2020-03-06 17:30", "2020-03-06 17:45", "2020-03-06 18:00"]),
    ],
)
def test_long_bars_start_at_midnight_or_at_the_end_of_the_trading_day(
    timeframe: str, zone: str, times: list[str]
) -> None:
    text = HEADER + "".join(f"{time},1,1,1,1\n" for time in times)
    _, summary = read(text, timeframe=timeframe, zone=zone)
    assert (summary.rows, summary.gap_count) == (len(times), 0)


@pytest.mark.parametrize(
    ("timeframe", "times", "line"),
    [
        ("D1", ["2020-03-05 00:00", "2020-03-05 22:00"], 3),
        ("H4", ["2020-03-08 02:00", "2020-03-08 06:00", "2020-03-08 10:00"], 4),
        ("H4", ["2020-03-05 03:00"], 2),
    ],
)
def test_long_bars_keep_to_one_start_of_the_day(
    timeframe: str, times: list[str], line: int
) -> None:
    error = refused(HEADER + "".join(f"{time},1,1,1,1\n" for time in times), timeframe=timeframe)
    assert (error.code, error.line) == ("time_off_grid", line)


def test_a_closed_bar_is_accepted_at_its_very_end() -> None:
    assert len(read(HEADER + GOOD, now=NOON + timedelta(hours=1))[0]) == 1


# What is refused: the file, the code, the line, the column, and words of the answer.

A_TIME = "2020-03-17 12:00:00"
REFUSED: list[tuple[str | bytes, str, int | None, str | None, str]] = [
    ("", "empty_file", None, None, "empty"),
    ("\n\n", "no_header", 1, None, "header"),
    (HEADER, "no_bars", None, None, "no bars"),
    (GOOD + at(13), "no_header", 1, None, "put a header above"),
    ("a|b|c\n1|2|3\n", "no_header", 1, None, "comma, semicolon or tab"),
    ("DATE_TIME,OPEN,CLOSE\n", "missing_column", 1, "HIGH, LOW", "does not name it"),
    ("OPEN,HIGH,LOW,CLOSE\n", "missing_column", 1, "DATE_TIME", "does not name it"),
    ("TIME,BID_OPEN,BID_HIGH,BID_LOW,BID_CLOSE\n", "missing_column", 1, None, "bid or ask"),
    ("TIME,OPEN,OPEN,HIGH,LOW,CLOSE\n", "duplicate_column", 1, "OPEN, OPEN", "keep one"),
    ("TIME,DATETIME,OPEN,HIGH,LOW,CLOSE\n", "duplicate_column", 1, "TIME, DATETIME", "keep one"),
    (HEADER + f"{A_TIME},1,1,1\n", "field_count", 2, None, "names 5 columns and this line has 4"),
    (HEADER + f"{A_TIME},1,1,1,1,1,1\n", "field_count", 2, None, "decimal commas"),
    (HEADER + GOOD + "2020-03-17 13:00:00,1.1", "field_count", 3, None, "ends inside this line"),
    (HEADER + f'"{A_TIME},1,1,1,1\n', "quotes", 2, None, "quotes"),
    (HEADER + GOOD + "\n" + at(13), "empty_line", 3, None, "remove it"),
    (HEADER + GOOD + "\n" * 200, "empty_line", 3, None, "more than 100"),
    (HEADER + "noon,1,1,1,1\n", "time_unknown", 2, "DATE_TIME", "give the format"),
    (HEADER + "=NOW(),1,1,1,1\n", "time_unknown", 2, "DATE_TIME", "no time in a known format"),
    (HEADER + "03/04/2020 12:00,1,1,1,1\n", "time_ambiguous", 2, "DATE_TIME", "%d/%m/%Y"),
    (HEADER + GOOD + "2020-03-17T13:00,1,1,1,1\n", "time_format", 3, "DATE_TIME", "not written as"),
    (HEADER + GOOD + "٢٠٢٠-03-17 13:00:00,1,1,1,1\n", "time_format", 3, "DATE_TIME", "same way"),
    (HEADER + "2020-02-30 12:00:00,1,1,1,1\n", "time_unreadable", 2, "DATE_TIME", "correct it"),
    (HEADER + "0001-01-01 00:00:00,1,1,1,1\n", "time_range", 2, "DATE_TIME", "outside 1970"),
    (HEADER + GOOD + GOOD, "time_duplicate", 3, "DATE_TIME", "keep one bar"),
    (HEADER + at(13) + at(12), "time_backwards", 3, "DATE_TIME", "oldest first"),
    (HEADER + GOOD.replace("12:00:00", "12:30:00"), "time_off_grid", 2, "DATE_TIME", "H1 bar"),
    (HEADER + at(12, ",1,1,1"), "price_missing", 2, "OPEN", "fill it in"),
    (HEADER + at(12, "1,NaN,1,1"), "price_not_finite", 2, "HIGH", "no number"),
    (HEADER + at(12, "1,1,-inf,1"), "price_not_finite", 2, "LOW", "no number"),
    (HEADER + at(12, "1,1,1,-1.1"), "price_negative", 2, "CLOSE", "above zero"),
    (HEADER + at(12, "0,0,0.000,0"), "price_zero", 2, "OPEN", "above zero"),
    (HEADER + at(12, "0.000001,1,0.000001,1"), "price_zero", 2, "OPEN", "rounded"),
    (HEADER + at(12, '"1,234.5",1,1,1'), "price_thousands", 2, "OPEN", "thousands"),
    (HEADER + at(12, "1 234.5,1,1,1"), "price_thousands", 2, "OPEN", "thousands"),
    (HEADER + at(12, '"1,12345",1,1,1'), "price_comma", 2, "OPEN", "decimal point"),
    (HEADER + at(12, "=1+1,1,1,1"), "price_formula", 2, "OPEN", "spreadsheet"),
    (HEADER + at(12, "@SUM(A1),1,1,1"), "price_formula", 2, "OPEN", "spreadsheet"),
    (HEADER + at(12, "+cmd,1,1,1"), "price_formula", 2, "OPEN", "spreadsheet"),
    (HEADER + at(12, "-cmd|' /C',1,1,1"), "price_formula", 2, "OPEN", "spreadsheet"),
    (HEADER + at(12, "1.1e0,1,1,1"), "price_exponent", 2, "OPEN", "exponent"),
    (HEADER + at(12, "1.123450001,1,1,1"), "price_decimals", 2, "OPEN", "8 decimals"),
    (HEADER + at(12, "12345678901,1,1,1"), "price_too_large", 2, "OPEN", "10 digits"),
    (HEADER + at(12, "١.١,1,1,1"), "price_not_a_number", 2, "OPEN", "digits 0 to 9"),
    (HEADER + at(12, "1_0,1,1,1"), "price_not_a_number", 2, "OPEN", "digits 0 to 9"),
    (HEADER + at(12, "1.1,1.0,1.2,1.1"), "high_below_low", 2, "HIGH", "below the low"),
    (HEADER + at(12, "1.3,1.2,1.0,1.1"), "outside_range", 2, "OPEN", "open lies outside"),
    (HEADER + at(12, "1.1,1.2,1.0,0.9"), "outside_range", 2, "CLOSE", "close lies outside"),
    (HEADER + at(0) + at(4) + at(8), "timeframe_wrong", None, "timeframe", "4:00:00"),
    (HEADER + "x" * 5000 + "\n", "line_too_long", 2, None, "4096 bytes"),
    (HEADER + "2020-03-17\0", "nul_byte", 2, None, "binary"),
    ((HEADER + GOOD).encode("utf-16"), "not_csv", None, None, "UTF-16"),
    ((HEADER + GOOD).encode("utf-16-le"), "nul_byte", 1, None, "UTF-16"),
    (b"PK\x03\x04rest", "not_csv", None, None, "workbook"),
    (b"\x1f\x8brest", "not_csv", None, None, "gzip"),
    ((HEADER + "é,1,1,1,1\n").encode("latin-1"), "not_utf8", 2, None, "UTF-8"),
    ((HEADER + GOOD).replace("\n", "\r"), "carriage_return", 1, None, "LF or CR LF"),
]


@pytest.mark.req("SYS-018", "SYS-019", "INT-012", "STC-10")
@pytest.mark.parametrize(
    ("data", "code", "line", "column", "words"), REFUSED, ids=lambda value: str(value)[:24]
)
def test_each_defect_is_answered(
    data: str | bytes, code: str, line: int | None, column: str | None, words: str
) -> None:
    error = refused(data)
    assert (error.code, error.line) == (code, line)
    if column is not None:
        assert error.column == column
    assert words in error.reason
    assert words in str(error)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"timeframe": "H2"}, "timeframe", "M1, M5"),
        ({"zone": "Mars/Base"}, "zone", "IANA"),
        ({"zone": "../etc"}, "zone", "IANA"),
        ({"zone": "Europe"}, "zone", "IANA"),
        ({"scale": "0"}, "scale", "above zero"),
        ({"scale": "-1"}, "scale", "above zero"),
        ({"scale": Decimal("NaN")}, "scale", "above zero"),
        ({"scale": "1.123456789"}, "scale", "8 digits"),
        ({"price_precision": 9}, "precision", "0 to 8"),
        ({"time_format": "%H:%M"}, "format", "year, month and day"),
        ({"time_format": "%"}, "format", "strptime"),
        ({"time_format": "%Y-%m-%d %H:%M %Z"}, "format", "zones"),
        ({"time_format": "x" * 65}, "format", "strptime"),
    ],
)
def test_each_unusable_argument_is_answered_at_once(
    options: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(BarFileError) as caught:
        opened(HEADER + GOOD, **options)
    assert (caught.value.code, caught.value.line) == (code, None)
    assert words in caught.value.reason


def test_bars_that_are_not_over_are_refused() -> None:
    assert refused(HEADER + GOOD, now=NOON - timedelta(hours=1)).code == "time_future"
    assert refused(HEADER + GOOD, now=NOON + timedelta(minutes=59)).code == "bar_unfinished"


def test_the_hours_of_a_change_of_clocks_are_refused_with_their_line() -> None:
    skipped = HEADER + "2020-03-29 03:00:00,1,1,1,1\n"
    repeated = HEADER + "2020-10-25 02:00:00,1,1,1,1\n2020-10-25 03:00:00,1,1,1,1\n"
    error = refused(skipped, zone="Europe/Athens")
    assert (error.code, error.line) == ("time_skipped", 2)
    error = refused(repeated, zone="Europe/Athens")
    assert (error.code, error.line) == ("time_repeated", 3)


def test_a_price_that_the_scale_makes_too_large_is_refused() -> None:
    error = refused(HEADER + at(12, "12,12,12,12"), scale="1e9")
    assert (error.code, error.line, error.column) == ("price_too_large", 2, "OPEN")
    assert "check the scale" in error.reason


def test_all_defects_are_named_up_to_the_limit() -> None:
    bad = at(12, "x,1,y,1") + at(12) + at(13, "1,1")
    error = refused(HEADER + bad)
    assert [(defect.line, defect.code) for defect in error.defects] == [
        (2, "price_not_a_number"),
        (2, "price_not_a_number"),
        (3, "time_duplicate"),
        (4, "field_count"),
    ]
    assert error.complete
    many = refused(HEADER + at(12, "x,1,1,1") * 100)
    assert len(many.defects) == 20
    assert not many.complete
    assert "there may be more" in str(many)


def test_no_bar_follows_the_first_defect() -> None:
    rows = opened(HEADER + at(10) + at(11, "x,1,1,1") + at(12)).rows()
    assert next(rows)[0].hour == 10
    with pytest.raises(BarFileError):
        next(rows)


@pytest.mark.req("STC-10")
def test_bounds_of_rows_and_bytes() -> None:
    text = HEADER + at(10) + at(11) + at(12)
    assert len(read(text, limits=BarFileLimits(rows=3))[0]) == 3
    error = refused(text, limits=BarFileLimits(rows=2))
    assert (error.code, error.line) == ("too_many_rows", 4)
    assert len(read(text, limits=BarFileLimits(file_bytes=len(text)))[0]) == 3
    error = refused(text, limits=BarFileLimits(file_bytes=len(text) - 1))
    assert (error.code, error.line) == ("file_too_large", 4)


@pytest.mark.req("SYS-018")
def test_what_is_echoed_is_short_and_harmless() -> None:
    error = refused(HEADER + at(12, "\x1b[31m\u202e" + "9x" * 200 + ",1,1,1"))
    assert error.value is not None
    assert error.value.startswith("\\x1b[31m\\u202e9x")
    assert error.value.endswith("…")
    assert str(error).isprintable()
    assert safe_text("\udc80\n") == "\\udc80\\n"


def test_rows_come_once_and_the_summary_after_them() -> None:
    file = opened(HEADER + GOOD)
    with pytest.raises(RuntimeError, match="read them first"):
        _ = file.summary
    list(file.rows())
    assert file.summary.rows == 1
    with pytest.raises(RuntimeError, match="open the file again"):
        list(file.rows())


# Paths.


def test_a_regular_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(HEADER + GOOD, encoding="utf-8", newline="\r\n")
    with open_bar_file(path) as stream:
        file = read_bars(stream, instrument="EUR_USD", timeframe="H1", price_precision=5)
        assert len(list(file.rows())) == 1


@pytest.mark.req("SYS-018", "SYS-019")
def test_other_paths_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(HEADER + GOOD)
    paths = [(tmp_path / "none.csv", "no_file"), (tmp_path, "directory")]
    paths += [(Path("bars\0.csv"), "unreadable_file")]
    if sys.platform != "win32":
        link, pipe = tmp_path / "link.csv", tmp_path / "pipe.csv"
        link.symlink_to(path)
        os.mkfifo(pipe)
        paths += [(link, "symlink"), (pipe, "no_regular_file")]
        paths += [(Path(os.devnull), "no_regular_file")]
    for refused_path, code in paths:
        with pytest.raises(BarFileError) as caught:
            open_bar_file(refused_path)
        assert caught.value.code == code
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(BarFileError, match="larger than"):
        open_bar_file(path, BarFileLimits(file_bytes=10))


# Properties.

prices = st.integers(1, 10**8).map(lambda number: Decimal(number).scaleb(-5))


@st.composite
def bars(draw: st.DrawFn) -> list[ParsedBar]:
    first = datetime(1999, 1, 1, tzinfo=UTC) + timedelta(hours=draw(st.integers(0, 200_000)))
    found = []
    for number in range(draw(st.integers(1, 12))):
        low, middle, other, high = sorted(draw(st.tuples(prices, prices, prices, prices)))
        open_, close = draw(st.permutations([middle, other]))
        found.append((first + timedelta(hours=number), open_, high, low, close))
    return found


def written(
    given_bars: list[ParsedBar], order: list[int], mark: str, end: str, quote: str
) -> bytes:
    names = ["Date_Time", "open", "HIGH", "Low", "close", "Volume"]
    rows = [
        [bar[0].strftime("%Y-%m-%d %H:%M:%S"), *(format(price, "f") for price in bar[1:]), "7"]
        for bar in given_bars
    ]
    lines = [mark.join(quote + row[index] + quote for index in order) for row in [names, *rows]]
    return "".join(line + end for line in lines).encode()


@given(
    bars(),
    st.permutations(range(6)),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", '"']),
)
def test_what_is_written_is_read_digit_by_digit(
    given_bars: list[ParsedBar], order: list[int], mark: str, end: str, quote: str
) -> None:
    found, summary = read(written(given_bars, order, mark, end, quote))
    assert found == given_bars
    assert [list(map(str, bar[1:])) for bar in found] == [
        [format(price, "f") for price in bar[1:]] for bar in given_bars
    ]
    assert (summary.rows, summary.first, summary.last) == (
        len(given_bars),
        given_bars[0][0],
        given_bars[-1][0],
    )


def outcome(data: bytes) -> tuple[list[ParsedBar], BarFileError | None]:
    found: list[ParsedBar] = []
    try:
        found.extend(opened(data).rows())
    except BarFileError as error:
        return found, error
    return found, None


@given(bars(), st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3)), max_size=4))
@settings(max_examples=300)
def test_a_damaged_file_is_refused_or_read_as_sound_bars(
    given_bars: list[ParsedBar], damage: list[tuple[int, bytes]]
) -> None:
    data = written(given_bars, [0, 1, 2, 3, 4, 5], ",", "\n", "")
    for place, put in damage:
        index = place % len(data)
        data = data[:index] + put + data[index + 1 :]
        data = data or b" "
    found, error = outcome(data)
    if error is not None:
        assert all(defect.reason and defect.code for defect in error.defects)
        assert all(line.isprintable() for line in str(error).splitlines())
    assert all(0 < low <= min(o, c) <= max(o, c) <= high for _, o, high, low, c in found)
    assert all(before[0] < after[0] for before, after in itertools.pairwise(found))


class GeneratedFile(io.RawIOBase):
    """A file that exists only line by line, so that it takes no memory of its own."""

    def __init__(self, rows: int) -> None:
        self._lines = self._generate(rows)

    def readable(self) -> bool:
        return True

    @staticmethod
    def _generate(rows: int) -> Iterator[bytes]:
        yield HEADER.encode()
        for number in range(rows):
            time = datetime(2010, 1, 4, tzinfo=UTC) + timedelta(minutes=number)
            yield f"{time:%Y-%m-%d %H:%M},1.1000{number % 10},1.20000,1.00000,1.15000\n".encode()

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._lines, b"")


@pytest.mark.req("STC-10")
@pytest.mark.slow
def test_memory_does_not_grow_with_the_file() -> None:
    file = read_bars(
        GeneratedFile(200_000),  # type: ignore[arg-type]
        instrument="EUR_USD",
        timeframe="M1",
        price_precision=5,
    )
    rows = file.rows()
    next(rows)
    tracemalloc.start()
    try:
        count = sum(1 for _ in rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 199_999
    assert peak < 1024 * 1024


# The real files.

REFERENCE = os.environ.get("LTS_REFERENCE_DATA", "")


@pytest.mark.skipif(not REFERENCE, reason="LTS_REFERENCE_DATA names no folder of real bars")
@pytest.mark.parametrize(
    ("name", "precision", "rows", "outside", "last"),
    [
        ("eurusd_h1_2017_2018.csv", 5, 7652, 0, datetime(2018, 11, 6, 0, tzinfo=UTC)),
        ("eurusd_h1_2018_2020.csv", 5, 8392, 0, datetime(2020, 3, 17, 23, tzinfo=UTC)),
        ("usdjpy_h1_2012_2022.csv", 3, 57600, 29, datetime(2022, 3, 4, 21, tzinfo=UTC)),
        ("gbpusd_h1_2012_2022.csv", 5, 57600, 23, datetime(2022, 3, 4, 21, tzinfo=UTC)),
    ],
)
def test_the_real_files_are_accepted(
    name: str, precision: int, rows: int, outside: int, last: datetime
) -> None:
    with open_bar_file(Path(REFERENCE) / name) as stream:
        file = read_bars(
            stream,
            instrument=f"{name[:3]}_{name[3:6]}".upper(),
            timeframe="H1",
            price_precision=precision,
        )
        count = sum(1 for _ in file.rows())
    summary = file.summary
    assert (count, summary.rows, summary.outside_calendar) == (rows, rows, outside)
    assert summary.last == last
    assert {warning.code for warning in summary.warnings} <= {"gaps", "outside_calendar"}


def test_the_guide_explains_every_code() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "bars.md").read_text(encoding="utf-8")
    codes = {code for _, code, *_ in REFUSED} | {"time_skipped", "time_repeated", "symlink"}
    assert {code for code in codes if f"`{code}`" not in guide} == set()
