"""Bar files of a stand-alone simulation: what is read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from lts_web.plugins.broker.bar_table import BarTableError, ColumnNames, read_bars, timeframe_name
from lts_web.trading.instruments import find_instrument

EUR_USD = find_instrument("EUR_USD")
HEADER = "DATE_TIME,OPEN,LOW,HIGH,CLOSE"
GOOD = "2026-01-05 00:00:00,1.1,1.0,1.2,1.1"


def read(tmp_path: Path, text: str, names: ColumnNames | None = None) -> list[float]:
    path = tmp_path / "bars.csv"
    path.write_text(text, encoding="utf-8")
    return list(read_bars(path, names or ColumnNames(), EUR_USD).closes)


def test_names_decide_where_a_column_is(tmp_path: Path) -> None:
    text = (
        "\ufeffclose, Date_Time ,OPEN,low,high\n"
        "1.1,2026-01-05 00:00:00,1.1,1.0,1.2\n"
        "1.15,2026-01-05 01:00:00,1.1,1.0,1.2\n\n"
    )
    assert read(tmp_path, text) == [1.1, 1.15]


def test_prices_are_rounded_to_the_instrument_as_imports_do(tmp_path: Path) -> None:
    text = (
        f"{HEADER}\n2026-01-05 00:00:00,1.1,1.0,1.2,1.123455\n"
        "2026-01-05 01:00:00,1.1,1.0,1.2,1.123465\n"
    )
    assert read(tmp_path, text) == [1.12346, 1.12346]


def test_the_smallest_distance_is_the_length_of_a_bar(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(
        f"{HEADER}\n{GOOD}\n2026-01-05 12:00:00,1.1,1.0,1.2,1.1\n"
        "2026-01-05 16:00:00,1.1,1.0,1.2,1.1\n",
        encoding="utf-8",
    )
    assert read_bars(path, ColumnNames(), EUR_USD).timeframe_seconds == 4 * 3600


def test_lengths_have_names() -> None:
    assert [timeframe_name(seconds) for seconds in (60, 3600, 86400, 120, 90)] == [
        "M1",
        "H1",
        "D1",
        "M2",
        "S90",
    ]


@pytest.mark.req("STC-10")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (f"{HEADER}\n{GOOD}\n", "at least two"),
        ("DATE_TIME,OPEN,LOW,HIGH\n", "no column 'CLOSE'"),
        (f"{HEADER},close,Close\n{GOOD},1,1\n", "at least two"),
        ("DATE_TIME,OPEN,LOW,HIGH,close,Close\n", "more than one column 'CLOSE'"),
        (f"{HEADER}\n{GOOD}\n2026-01-05 01:00:00,1.1\n", "line 3: it has only 2 fields"),
        (f"{HEADER}\n05.01.2026,1.1,1.0,1.2,1.1\n", "line 2: the time '05.01.2026'"),
        (f"{HEADER}\n{GOOD}\n{GOOD}\n", "line 3: its time is not later"),
        (f"{HEADER}\n2026-01-05 00:00:00,nan,1.0,1.2,1.1\n", "'nan' is no price"),
        (f"{HEADER}\n2026-01-05 00:00:00,-1.1,1.0,1.2,1.1\n", "not above zero"),
        (f"{HEADER}\n2026-01-05 00:00:00,1.1,1.0,1.05,1.1\n", "outside low and high"),
        (f'{HEADER}\n"2026-01-05 00:00:00,1.1', "no sound CSV"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BarTableError) as raised:
        read(tmp_path, text)
    assert words in str(raised.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BarTableError, match="cannot be read"):
        read_bars(tmp_path / "none.csv", ColumnNames(), EUR_USD)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BarTableError, match="UTF-8"):
        read_bars(binary, ColumnNames(), EUR_USD)
