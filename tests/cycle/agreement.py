"""One backtest and one replay of the same bars, to be held against each other fill by fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from lts_web.plugins import StrategyPluginBase
from lts_web.plugins.bars_view import Columns
from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.store.models import FillRecord
from lts_web.trading.calendar import timeframe
from tests.cycle.desk import Desk

BarRow = tuple[datetime, Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Executed:
    """What both tell of a fill; money in account currency."""

    time: datetime
    units: int
    price: Decimal
    commission: Decimal
    swap: Decimal
    pnl: Decimal
    reason: str


@dataclass(frozen=True)
class Terms:
    """What is traded, on what account."""

    instrument: str
    currency: str = "USD"
    capital: int = 10_000
    costs: dict[str, Any] = field(default_factory=dict)
    conversions: dict[str, list[BarRow]] = field(default_factory=dict)


def columns_of(bars: list[BarRow], name: str = "H1") -> Columns:
    """Return bars as a simulation loads them."""
    columns = Columns(int(timeframe(name).total_seconds()))
    for time, *prices in bars:
        columns.append(int(time.timestamp()), *(float(price) for price in prices))
    return columns


def simulated(
    terms: Terms, bars: list[BarRow], strategy: type[StrategyPluginBase], config: dict[str, Any]
) -> list[Executed]:
    """Return the fills of `run_simulation`, in their order."""
    broker = BacktraderSimulationBroker(
        {
            "instrument": terms.instrument,
            "account_currency": terms.currency,
            "initial_cash": float(terms.capital),
            **terms.costs,
        }
    )
    broker.load_columns(columns_of(bars))
    for pair, rows in terms.conversions.items():
        broker.load_conversion_columns(pair, columns_of(rows))
    summary = broker.run_simulation(strategy(config), close_at_end=False)
    return [
        Executed(
            time=line["time"],
            units=line["units"],
            price=_decimal(line["price"]),
            commission=_decimal(line["commission"]),
            swap=_decimal(line["swap"]),
            pnl=_decimal(line["pnl"]),
            reason=line["reason"],
        )
        for line in summary["fills"]
    ]


def replayed(
    desk: Desk, terms: Terms, bars: list[BarRow], strategy_plugin: str, config: dict[str, Any]
) -> list[Executed]:
    """Return the fills of a portfolio that the worker's service replays over all the bars."""
    house = desk.house
    house.clock.pass_(seconds=1)
    for pair, rows in terms.conversions.items():
        house.dataset(pair, rows)
    portfolio = house.portfolio(
        f"{terms.instrument} {strategy_plugin} {house.clock()}",
        capital=terms.capital,
        currency=terms.currency,
    )
    asset = house.asset(
        portfolio,
        terms.instrument,
        house.dataset(terms.instrument, bars),
        strategy_plugin=strategy_plugin,
        strategy_config=config,
        broker_config=terms.costs,
    )
    while desk.trading.service.run_portfolio(portfolio) is not None:
        pass
    desk.adds_up(portfolio)
    assert len(desk.decisions(asset)) == len(bars)
    positions = {order.position_id for order in desk.orders(asset)}
    return [executed(row) for row in desk.rows(FillRecord) if row.position_id in positions]


def executed(row: FillRecord) -> Executed:
    """Return a booked fill as it is compared."""
    return Executed(
        time=row.market_time,
        units=row.units,
        price=row.price.normalize(),
        commission=row.commission.normalize(),
        swap=row.swap.normalize(),
        pnl=row.realized_pnl.normalize(),
        reason=row.reason,
    )


def _decimal(value: Any) -> Decimal:
    return Decimal(repr(float(value))).normalize()
