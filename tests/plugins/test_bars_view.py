"""History as a plugin sees it: it ends at the current bar, and cannot be changed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.plugins.bars_view import BarsView, Columns


def _columns(count: int) -> Columns:
    columns = Columns(3600)
    for index in range(count):
        columns.append(index * 3600, index + 0.1, index + 0.4, float(index), index + 0.2)
    return columns


COLUMNS = _columns(60)


@pytest.mark.req("INT-002")
class TestBarsView:
    def test_it_ends_at_the_current_bar(self) -> None:
        view = BarsView(COLUMNS, 9)
        assert len(view) == 10
        assert view[-1] == {
            "time": datetime(1970, 1, 1, 9, tzinfo=UTC),
            "open": 9.1,
            "high": 9.4,
            "low": 9.0,
            "close": 9.2,
        }
        for index in (10, 11, 59, -11):
            with pytest.raises(IndexError):
                view[index]

    def test_later_bars_do_not_appear_in_it(self) -> None:
        growing = _columns(5)
        view = BarsView(growing, 4)
        growing.append(5 * 3600, 9.0, 9.0, 9.0, 9.0)
        assert len(view) == 5
        assert 9.0 not in view.closes()

    def test_it_cannot_be_changed(self) -> None:
        view = BarsView(COLUMNS, 9)
        with pytest.raises(TypeError):
            view[0] = {}  # type: ignore[index]
        with pytest.raises(AttributeError):
            view.append({})  # type: ignore[attr-defined]
        view[0]["close"] = 99.0
        view.closes().clear()
        assert view[0]["close"] == 0.2
        assert len(view.closes()) == 10

    def test_an_empty_view_is_empty(self) -> None:
        view = BarsView(COLUMNS, -1)
        assert (len(view), list(view), view.closes(), view[:]) == (0, [], [], [])
        assert not view

    def test_more_than_there_is_gives_all(self) -> None:
        assert BarsView(COLUMNS, 2).highs(100) == [0.4, 1.4, 2.4]
        assert BarsView(COLUMNS, 2).lows(0) == []
        with pytest.raises(ValueError, match="0 or more"):
            BarsView(COLUMNS, 2).opens(-1)

    @given(
        end=st.integers(-1, 59),
        limit=st.integers(1, 70),
        cut=st.slices(60),
        last=st.integers(0, 70),
    )
    def test_it_is_the_list_of_its_bars(self, end: int, limit: int, cut: slice, last: int) -> None:
        expected = [COLUMNS.row(index) for index in range(max(0, end + 1 - limit), end + 1)]
        view = BarsView(COLUMNS, end, limit)
        assert list(view) == expected
        assert len(view) == len(expected)
        assert view[cut] == expected[cut]
        assert list(reversed(view)) == expected[::-1]
        closes = [row["close"] for row in expected]
        assert view.closes() == closes
        assert view.closes(last) == closes[max(0, len(closes) - last) :]
