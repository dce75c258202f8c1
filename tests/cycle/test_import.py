"""Importing bars: all or nothing, whatever happens on the way, and bounded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from lts_web.services.bar_import import BATCH, BarImport, FileChanged, ParsedBar
from lts_web.services.portfolios import Actor
from lts_web.store.models import AssetRecord, AuditLogRecord, BarRecord, DatasetRecord
from tests.cycle.desk import Desk
from tests.house_of_trading import START, House

PRICE = Decimal("1.10000")


@dataclass
class Summed:
    """What a file tells of itself after its last row."""

    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    gap_count: int = 0
    outside_calendar: int = 0
    warnings: tuple[str, ...] = ("two gaps",)


class MadeFile:
    """So many hourly bars; `fault` is raised in the place of a row."""

    def __init__(self, count: int, fault: tuple[int, BaseException] | None = None) -> None:
        self.count = count
        self.fault = fault
        self.summary = Summed()

    def rows(self) -> Iterator[ParsedBar]:
        for number in range(self.count):
            if self.fault is not None and number == self.fault[0]:
                raise self.fault[1]
            self.summary.rows = number + 1
            yield (START + timedelta(hours=number), PRICE, PRICE, PRICE, PRICE)


def files(*made: MadeFile) -> Callable[[], MadeFile]:
    """Return an `open_file` that gives one after the other."""
    waiting = list(made)
    return lambda: waiting.pop(0)


@pytest.fixture
def bar_import(house: House) -> BarImport:
    return BarImport(house.database, house.clock)


def terms(house: House) -> dict[str, Any]:
    return {
        "name": "made.csv", "instrument": "EUR_USD", "timeframe": "H1",
        "user_id": house.user_id, "actor": Actor(house.user_id, "alice"),
    }  # fmt: skip


@pytest.mark.req("SYS-013", "INT-007", "SYS-011", "STC-10")
@pytest.mark.parametrize("fault", [ValueError("a torn disk"), KeyboardInterrupt()])
def test_what_breaks_on_the_way_leaves_nothing(
    desk: Desk, house: House, bar_import: BarImport, fault: BaseException
) -> None:
    whole, torn = MadeFile(BATCH * 2), MadeFile(BATCH * 2, (BATCH + 7, fault))
    with pytest.raises(type(fault)):
        bar_import.run(files(whole, torn), **terms(house))
    assert desk.rows(DatasetRecord) == []
    assert desk.rows(BarRecord) == []
    assert desk.rows(AuditLogRecord, action="bars.import") == []


@pytest.mark.req("SYS-013", "SYS-018")
def test_a_file_that_changes_while_it_is_read_is_refused(
    desk: Desk, house: House, bar_import: BarImport
) -> None:
    with pytest.raises(FileChanged, match="import it again"):
        bar_import.run(files(MadeFile(10), MadeFile(11)), **terms(house))
    assert desk.rows(DatasetRecord) == []
    assert desk.rows(BarRecord) == []


@pytest.mark.req("SYS-013", "SYS-011")
def test_a_killed_import_is_never_traded_on_and_is_cleared_away(
    desk: Desk, house: House, bar_import: BarImport
) -> None:
    left = house.dataset("EUR_USD", [(START, PRICE, PRICE, PRICE, PRICE)])
    desk.change(DatasetRecord, left, state="importing")
    portfolio = house.portfolio()
    asset = house.asset(portfolio, "EUR_USD", left)
    assert desk.trading.service.run_portfolio(portfolio) is None
    assert desk.decisions(asset) == []
    desk.change(AssetRecord, asset, dataset_id=None)
    bar_import.run(files(MadeFile(3), MadeFile(3)), **terms(house))
    assert left in [row.id for row in desk.rows(DatasetRecord)], "it may still be at work"
    house.clock.pass_(hours=7)
    bar_import.run(files(MadeFile(3), MadeFile(3)), **terms(house))
    assert [row.state for row in desk.rows(DatasetRecord)] == ["ready", "ready"]
    assert len(desk.rows(BarRecord)) == 6


@pytest.mark.req("STC-10", "SYS-009")
def test_a_file_three_times_as_large_takes_no_more_memory(
    house: House, bar_import: BarImport
) -> None:
    peaks = []
    for count in (BATCH, BATCH * 3):
        tracemalloc.start()
        bar_import.run(files(MadeFile(count), MadeFile(count)), **terms(house))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
