"""Real bars through import, worker service and venue: the books agree after every cycle."""

from __future__ import annotations

from collections import Counter

import pytest

from lts_web.store.models import DatasetRecord, FillRecord, PositionRecord
from tests.cycle.desk import Desk
from tests.cycle.real_bars import EURUSD, INSTRUMENTS, USDJPY, import_real, needs_real_bars
from tests.house_of_trading import House

BARS = 300
STRATEGIES = {
    EURUSD: {
        "strategy_plugin": "default_strategy",
        "strategy_config": {"entry_interval_bars": 4, "holding_bars": 9, "stop_loss_pips": 20.0},
    },
    USDJPY: {"strategy_plugin": "momentum", "strategy_config": {"target_pips": 12}},
}


@needs_real_bars
@pytest.mark.usefixtures("hurried")
@pytest.mark.req("SYS-001", "SYS-006", "STC-001", "INT-007")
def test_300_bars_of_each_add_up_after_every_cycle(desk: Desk, house: House) -> None:
    portfolio = house.portfolio()
    assets = []
    for file, terms in STRATEGIES.items():
        imported = import_real(house.database, file, house.user_id)
        assets.append(house.asset(portfolio, INSTRUMENTS[file], imported.dataset_id, **terms))
    [euro, yen] = desk.rows(DatasetRecord)
    assert (euro.row_count, yen.row_count) == (8_392, 57_600)
    # The yen's file begins years earlier: start where both have bars.
    desk.change(type(desk.portfolio(portfolio)), portfolio, cursor_at=euro.first_open)
    seen: Counter[int] = Counter()
    while min(seen[asset] for asset in assets) < BARS:
        report = desk.cycle(portfolio)
        assert report["success"], report
        seen.update(row["asset_id"] for row in report["assets"] if row["outcome"] != "no_bar")
        desk.adds_up(portfolio)
    assert len(desk.rows(FillRecord)) > 60
    reasons = {row.close_reason for row in desk.rows(PositionRecord)}
    assert reasons >= {"stop_loss", "take_profit", "close"}
