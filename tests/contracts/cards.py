"""What the cards share: a market, an account and steps to put a plugin before."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from lts_web.plugins.bars_view import BarsView, Columns
from lts_web.plugins.boundary import AssetInputs, PositionInput
from lts_web.plugins.runner import PluginRunner
from lts_web.trading.decisions import Decision, Hold, Open
from lts_web.trading.instruments import Side, find_instrument
from lts_web.trading.market import Bar, MarketView, Quote
from lts_web.trading.orders import (
    Approved,
    Confirmed,
    OrderIntent,
    OrderKind,
    OrderOrigin,
    Outcome,
    Verdict,
)
from lts_web.trading.synthetic import SyntheticSeries

ORIGIN = datetime(2026, 3, 2, tzinfo=UTC)
RUNNER = PluginRunner()
TIMEOUT_SECONDS = 10.0
HOUR = timedelta(hours=1)
START_PRICES = {"EUR_USD": "1.10000", "USD_JPY": "150.000"}


class Market:
    """Synthetic hourly bars of an instrument and the view of them at each bar."""

    def __init__(self, instrument: str = "EUR_USD", count: int = 120, seed: int = 7) -> None:
        self.instrument = find_instrument(instrument)
        series = SyntheticSeries(
            seed,
            instrument,
            "H1",
            self.instrument.price_precision,
            START_PRICES[instrument],
            ORIGIN,
        )
        self.bars = [Bar(*row) for row in series.bars(0, count)]
        self.columns = Columns(3600)
        for bar in self.bars:
            prices = map(float, (bar.open, bar.high, bar.low, bar.close))
            self.columns.append(int(bar.open_time.timestamp()), *prices)

    def view(self, index: int) -> MarketView:
        """Return the market at the close of a bar, with a spread of one pip."""
        bar = self.bars[index]
        now = bar.open_time + HOUR
        half = self.instrument.pip / 2
        quote = Quote(now, bar.close - half, bar.close + half)
        return MarketView(self.instrument.name, now, bar, quote, True, True, "synthetic")

    def history(self, index: int) -> BarsView:
        """Return the bars up to the one at `index`."""
        return BarsView(self.columns, index)

    def inputs(self, *positions: PositionInput) -> AssetInputs:
        """Return what a strategy is told of an asset of this instrument."""
        return AssetInputs(
            asset_id=11,
            portfolio_id=3,
            instrument=self.instrument,
            timeframe="H1",
            capital=Decimal(5000),
            equity=Decimal(10_000),
            currency="USD",
            positions=positions,
            parameters={},
        )

    def position(self, opened_index: int, side: str = "long") -> PositionInput:
        """Return a position of 1000 units that opened with a bar."""
        bar = self.bars[opened_index]
        return PositionInput(5, side, 1000, bar.open, None, None, Decimal("1.25"), bar.open_time)


def entry(instrument: str = "EUR_USD", units: int = 1000) -> OrderIntent:
    """Return an approved entry around the start price, its stop and target a percent away."""
    record = find_instrument(instrument)
    price = Decimal(START_PRICES[instrument])
    away = price / 100 * (1 if units > 0 else -1)
    return OrderIntent(
        kind=OrderKind.ENTRY,
        origin=OrderOrigin.STRATEGY,
        instrument=instrument,
        units=units,
        decision_price=price,
        stop_loss=record.round_price(price - away),
        take_profit=record.round_price(price + away),
    )


def close_of(intent: OrderIntent, trade_id: str) -> OrderIntent:
    """Return the close of what an entry opened."""
    return OrderIntent(
        kind=OrderKind.CLOSE,
        origin=OrderOrigin.STRATEGY,
        instrument=intent.instrument,
        units=-intent.units,
        decision_price=intent.decision_price,
        position_id=5,
        trade_id=trade_id,
    )


@dataclass
class RecordedSteps:
    """The steps of a cycle, by hand: one asset holds, the others open; each call is written down.

    It implements `ports.CycleSteps`.
    """

    holding: int = 2
    due_ids: list[int] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def due(self) -> list[int]:
        return list(self.due_ids)

    def seconds_until_due(self) -> float | None:
        return 0.0 if self.due_ids else None

    def run_portfolio(self, portfolio_id: int) -> dict[str, Any] | None:
        self.calls.append(("run_portfolio", portfolio_id))
        self.due_ids.remove(portfolio_id)
        return {"success": True}

    def cycle_id(self, portfolio_id: int) -> int:
        return portfolio_id * 100

    def allocate(self, portfolio_id: int) -> dict[int, Decimal]:
        self.calls.append(("allocate", portfolio_id))
        return {}

    def decide(self, portfolio_id: int, asset_id: int) -> Decision | None:
        self.calls.append(("decide", asset_id))
        return Hold("by hand") if asset_id == self.holding else Open(Side.BUY)

    def check(self, portfolio_id: int, asset_id: int, decision: Decision) -> list[Verdict]:
        self.calls.append(("check", asset_id))
        return [Approved(entry())] if isinstance(decision, Open) else []

    def place(self, portfolio_id: int, asset_id: int, verdict: Verdict) -> Outcome | None:
        self.calls.append(("place", asset_id))
        return Confirmed("1")

    def record(self, portfolio_id: int, asset_id: int) -> dict[str, Any]:
        self.calls.append(("record", asset_id))
        return {"asset_id": asset_id, "action": "open", "order_id": None, "error": None}

    def stopping(self) -> bool:
        return False
