"""A backtest without any short cut, to hold the fast one against.

Each bar goes to the book, each dictionary through the boundary, each decision through risk, in
the words of the worker's cycle and with nothing of the fast path's code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from lts_web.plugins.bars_view import BarsView, Columns
from lts_web.plugins.boundary import (
    AssetInputs,
    PositionInput,
    asset_data,
    market_data,
    read_decision,
    read_quote,
)
from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.plugins.broker.simulation import Setup
from lts_web.trading.calendar import bar_in_calendar, is_open
from lts_web.trading.decisions import Close, Open
from lts_web.trading.instruments import Side
from lts_web.trading.market import Bar, MarketView
from lts_web.trading.matching import Book, CloseTicket, Ticket
from lts_web.trading.money import RateTable
from lts_web.trading.orders import Approved
from lts_web.trading.risk import (
    AssetPosition,
    RiskState,
    against_position,
    review_close,
    review_open,
)


@dataclass
class Seen:
    """What the strategy was told at one bar."""

    asset: dict[str, Any]
    market: dict[str, Any]
    closes: list[float]


@dataclass
class Watched:
    """Wraps a strategy and keeps what it was told."""

    decide: Callable[[dict[str, Any], dict[str, Any]], object]
    seen: list[Seen] = field(default_factory=list)

    def __call__(self, asset: dict[str, Any], market: dict[str, Any]) -> object:
        bars = market.pop("bars")
        self.seen.append(Seen(asset, dict(market), bars.closes()))
        return self.decide(asset, market | {"bars": bars})


def plain_bar(columns: Columns, index: int) -> Bar:
    row = columns.row(index)
    prices = (Decimal(repr(row[name])) for name in ("open", "high", "low", "close"))
    return Bar(row["time"], *prices)


def plain_cycle(
    setup: Setup, broker: BacktraderSimulationBroker, decide: Callable[..., object]
) -> Book:
    """Replay every bar through the book and return it."""
    book = Book(setup.currency, setup.initial_cash)
    columns, name = setup.market.columns, setup.market.instrument.name
    length = timedelta(seconds=columns.timeframe_seconds)
    for index in range(len(columns)):
        bar = plain_bar(columns, index)
        bars = {name: bar}
        for pair, others in setup.market.conversions.items():
            if columns.times[index] in others.times:
                bars[pair] = plain_bar(others, others.times.index(columns.times[index]))
        book.on_bars(bar.open_time, bar.open_time + length, bars)
        now = (bar.open_time + length).astimezone(UTC)
        view = MarketView(
            instrument=name,
            now=now,
            bar=bar,
            quote=read_quote(
                broker.quote_from_mid(name, float(bar.close)), setup.market.instrument, now
            ),
            has_new_bar=True,
            market_open=is_open(now) and bar_in_calendar(bar.open_time),
            origin="stored",
        )
        answer = decide(
            asset_data(_inputs(setup, book)), market_data(view, BarsView(columns, index))
        )
        _carry_out(setup, book, view, answer, index, now)
    return book


def _inputs(setup: Setup, book: Book) -> AssetInputs:
    return AssetInputs(
        asset_id=1,
        portfolio_id=1,
        instrument=setup.market.instrument,
        timeframe="H1",
        capital=book.balance,
        equity=book.account().equity,
        currency=setup.currency,
        positions=tuple(
            PositionInput(
                trade.id,
                Side.of_units(trade.units).position,
                abs(trade.units),
                trade.price,
                trade.stop_loss,
                trade.take_profit,
                book.unrealized(trade),
                trade.opened_at,
            )
            for trade in book.trades.values()
        ),
        parameters=setup.parameters,
    )


def _carry_out(
    setup: Setup, book: Book, view: MarketView, answer: object, index: int, now: datetime
) -> None:
    decision = read_decision(answer)
    account = book.account()
    state = RiskState(
        capital=book.balance,
        equity=account.equity,
        free_margin=account.equity - account.margin_used,
        exposure=Decimal(0),
        open_positions=len(book.trades),
        positions=tuple(
            AssetPosition(trade.id, str(trade.id), trade.units, trade.price)
            for trade in book.trades.values()
        ),
        order_in_flight=bool(book.orders),
        account_currency=setup.currency,
        leverage=setup.leverage,
    )
    instrument, limits = setup.market.instrument, setup.limits
    if isinstance(decision, Open | Close):
        decision = against_position(decision, state.positions)
    client_id = f"plain-{index}"
    if isinstance(decision, Open):
        rates = RateTable(book.prices)
        verdict = review_open(decision, view, instrument, state, limits, rates)
        if isinstance(verdict, Approved):
            intent = verdict.intent
            book.submit(
                Ticket(
                    client_id,
                    instrument.name,
                    instrument.name,
                    intent.units,
                    now,
                    now,
                    intent.stop_loss,
                    intent.take_profit,
                    setup.costs,
                    setup.leverage,
                )
            )
    elif isinstance(decision, Close):
        for verdict in review_close(decision, view, instrument, state, limits):
            if isinstance(verdict, Approved):
                book.close(CloseTicket(client_id, int(verdict.intent.trade_id or 0), now, now))
