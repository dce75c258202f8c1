"""How often a portfolio runs: by its own latency, or else by its pipeline's `global_latency`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lts_web.store.models import PortfolioRecord
from tests.house_of_trading import House, flat_bars


def next_due(house: House, portfolio_id: int) -> datetime | None:
    with house.database.read() as session:
        return session.get_one(PortfolioRecord, portfolio_id).next_due_at


@pytest.mark.req("PLG-PIPE")
@pytest.mark.parametrize(
    ("own", "config", "minutes"),
    [(None, {}, 5), (None, {"global_latency": 7.5}, 7.5), (2.0, {"global_latency": 7.5}, 2)],
)
def test_a_portfolio_without_a_latency_has_its_pipelines(
    tmp_path: Path, own: float | None, config: dict[str, float], minutes: float
) -> None:
    house = House.build(tmp_path)
    portfolio = house.portfolio(latency_minutes=own, pipeline_config=config)
    house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([1.1] * 5)))
    trading, owner = house.process()
    assert trading.service.run_portfolio(portfolio) is not None
    assert next_due(house, portfolio) == house.clock() + timedelta(minutes=minutes)
    assert trading.service.due() == []
    house.clock.pass_(minutes=minutes)
    assert trading.service.due() == [portfolio]
    owner.close()
    house.close()


@pytest.mark.req("SYS-011")
def test_a_clock_that_stepped_back_stops_nothing(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    portfolio = house.portfolio(latency_minutes=5.0)
    house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([1.1] * 5)))
    trading, owner = house.process()
    assert trading.service.run_portfolio(portfolio) is not None
    house.clock.pass_(days=-1)
    assert trading.service.due() == [portfolio]
    assert trading.service.run_portfolio(portfolio) is not None
    assert trading.service.due() == []
    owner.close()
    house.close()
