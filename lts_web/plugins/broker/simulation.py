"""A whole backtest over loaded bars, as the worker's cycle would have traded them.

At each bar's close the strategy decides; its answer goes through the boundary, sizing and risk to
a request, which the matching engine fills at the next bar's open. The same steps in the same order
as a cycle, on an account in memory, so that a replay of the same bars gives the same fills. The
loop is written for speed: dictionaries are copied from templates, and the book is called only
where a bar can change it (see `bar_replay`). Nothing here reads a file, a clock or a venue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from lts_web.plugins.bars_view import BarsView
from lts_web.plugins.boundary import (
    AssetInputs,
    PositionInput,
    asset_data,
    position_data,
    read_decision,
)
from lts_web.plugins.broker.bar_replay import (
    MONEY_SCALE,
    BarReplay,
    Market,
    calendar_week,
    exact,
    half_even,
)
from lts_web.plugins.broker.bar_table import timeframe_name
from lts_web.plugins.runner import AnswerInvalid
from lts_web.trading.calendar import is_open
from lts_web.trading.costs import CostModel
from lts_web.trading.decisions import Close, Hold, Open, action_of
from lts_web.trading.instruments import Side
from lts_web.trading.market import MarketView, Quote
from lts_web.trading.matching import Book, CloseTicket, OpenTrade, Ticket, TransactionKind
from lts_web.trading.money import ZERO, RateTable
from lts_web.trading.orders import Approved, Verdict
from lts_web.trading.risk import (
    AssetPosition,
    RiskLimits,
    RiskState,
    against_position,
    review_close,
    review_open,
)

Decide = Callable[[dict[str, Any], dict[str, Any]], Any]

# Stand-alone there is one asset in one portfolio; these are their ids.
ASSET_ID = PORTFOLIO_ID = 1
# What most answers are; they need not be read to be understood.
_HOLD = {"action": "none"}
_EMPTY_HOLD: dict[str, object] = {"action": "none", "parameters": {}}
_MARKET_KEYS = (
    *("time", "open", "high", "low", "close"),
    *("bid", "ask", "spread", "bars", "predictions"),
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a simulation trades on; money in `currency`. The one asset gets the whole balance."""

    market: Market
    initial_cash: Decimal
    currency: str
    costs: CostModel
    leverage: Decimal
    limits: RiskLimits = field(default_factory=RiskLimits)
    parameters: Mapping[str, Any] = field(default_factory=dict)


class DrawdownGauge:
    """The deepest relative fall of equity below its highest value so far, at bar closes.

    `lowest` is the lowest value since the peak: only one beyond either of them changes anything.
    """

    __slots__ = ("lowest", "peak", "worst")

    def __init__(self, start: int) -> None:
        self.peak = self.lowest = start
        self.worst = 0.0

    def see(self, equity: int) -> None:
        """Take in one value of equity, in any unit."""
        if equity >= self.peak:
            self.peak = self.lowest = equity
        elif equity < self.lowest:
            self.lowest = equity
            if self.peak > 0:
                self.worst = max(self.worst, (self.peak - equity) / self.peak)


class Simulation:
    """One run of a strategy's `decide` over a market."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.book = Book(setup.currency, setup.initial_cash)
        self.replay = BarReplay(setup.market, self.book)
        self.drawdown = DrawdownGauge(int(setup.initial_cash * MONEY_SCALE))
        self.codes: Counter[str] = Counter()
        self._scale = 10**setup.market.instrument.price_precision
        self._half_spread = half_spread(setup)
        self._orders = 0
        self._asset = asset_data(_inputs(setup))
        # Taken anew whenever the book has changed.
        self._position: dict[str, Any] | None = None
        self._balance = 0

    def run(self, decide: Decide) -> None:
        """Let all bars pass, and ask for a decision at the close of each.

        What the strategy raises goes through to the caller; an answer that cannot be read counts
        as PLUGIN_ANSWER_INVALID and the run goes on, as a cycle would.
        """
        replay, gauge, columns = self.replay, self.drawdown, self.setup.market.columns
        scale, width = float(self._scale), columns.timeframe_seconds
        half, step = int(self._half_spread * self._scale), timedelta(seconds=width)
        template = dict.fromkeys(_MARKET_KEYS) | {"spread": 2 * half / scale}
        last = 0
        now, expected, week_end, next_week = datetime.fromtimestamp(0, UTC), -1, 0, 0
        parameters = self._asset["parameters"]
        self._take_stock()
        bars = zip(
            columns.times,
            columns.opens,
            columns.highs,
            columns.lows,
            columns.closes,
            strict=True,
        )
        for index, (opened, open_, high, low, close) in enumerate(bars):
            if opened >= next_week:
                week_end, next_week = calendar_week(opened)
            replay.passed = index
            points = round(close * scale)
            if opened < week_end:
                if low <= replay.lower or high >= replay.upper or replay.waiting:
                    replay.pass_bar(index)
                    self._take_stock()
                replay.marked, last = index, points
            # Adding to a time is several times cheaper than making one.
            now = now + step if opened == expected else datetime.fromtimestamp(opened + width, UTC)
            expected = opened + width
            asset, position = self._asset.copy(), self._position
            asset["parameters"] = parameters.copy() if parameters else {}
            if position is None:
                asset["open_positions"] = []
            else:
                if replay.simple is None:
                    unrealized = replay.unrealized()
                else:
                    entry, value, divisor = replay.simple
                    unrealized, rest = divmod((last - entry) * value, divisor)
                    if rest:
                        unrealized = half_even((last - entry) * value, divisor)
                equity = self._balance + unrealized
                if equity < gauge.lowest or equity >= gauge.peak:
                    gauge.see(equity)
                asset["open_positions"] = [position := position.copy()]
                # An integer divided by ten thousand is the float nearest to the booked amount.
                position["unrealized_pnl"] = unrealized / MONEY_SCALE
                asset["equity"] = equity / MONEY_SCALE
            market = template.copy()
            market["time"] = now
            market["open"] = open_
            market["high"] = high
            market["low"] = low
            market["close"] = close
            market["bid"] = (points - half) / scale
            market["ask"] = (points + half) / scale
            market["bars"] = BarsView(columns, index)
            market["predictions"] = []
            answer = decide(asset, market)
            if type(answer) is not dict or (answer != _HOLD and answer != _EMPTY_HOLD):
                opens = opened < week_end and (expected < week_end or is_open(now))
                self._act(answer, index, now, market_open=opens)
        self.codes["none"] += len(columns) - self.codes.total()

    # --- what the strategy sees ---------------------------------------------------------------

    def _take_stock(self) -> None:
        """Take balance and position from the book into the templates, and see the drawdown."""
        book, asset = self.book, self._asset
        self._balance = int(book.balance * MONEY_SCALE)
        asset["equity"] = balance = self._balance / MONEY_SCALE
        asset["capital"] = max(balance, 0.0)
        self._position = None
        for trade in book.trades.values():
            self._position = position_data(_position_input(trade))
            return
        self.drawdown.see(self._balance)

    # --- what it decided ----------------------------------------------------------------------

    def _act(self, answer: object, index: int, now: datetime, *, market_open: bool) -> None:
        """Carry a decision through risk to the book, and count what became of it."""
        try:
            decision = read_decision(answer)
        except AnswerInvalid as error:
            self.codes[error.code.value] += 1
            return
        if isinstance(decision, Hold):
            return
        # Only an entry asks whether there is a bar; the quote is all that an exit needs.
        bar = self.replay.bar(index) if isinstance(decision, Open) else None
        close = exact(self.setup.market.columns.closes[index]) if bar is None else bar.close
        quote = Quote(now, close - self._half_spread, close + self._half_spread)
        name = self.setup.market.instrument.name
        view = MarketView(name, now, bar, quote, True, market_open, "stored")
        code = ""
        for verdict in self._review(decision, view):
            refusal = self._place(verdict, now)
            code = code or refusal
        self.codes[code or action_of(decision)] += 1
        self.replay.waiting = bool(self.book.orders)

    def _review(self, decision: Open | Close, view: MarketView) -> list[Verdict]:
        setup, book = self.setup, self.book
        equity = margin_free = book.balance
        if book.trades:
            equity += Decimal(self.replay.unrealized()) / MONEY_SCALE
            margin_free = equity - book.margin_used()
        state = RiskState(
            capital=max(book.balance, ZERO),
            equity=equity,
            free_margin=margin_free,
            # Neither a position nor an order of this one asset lets an entry come so far.
            exposure=ZERO,
            open_positions=len(book.trades),
            positions=tuple([_asset_position(trade) for trade in book.trades.values()]),
            order_in_flight=bool(book.orders),
            account_currency=setup.currency,
            leverage=setup.leverage,
        )
        instrument = setup.market.instrument
        decision = against_position(decision, state.positions)
        if isinstance(decision, Close):
            return review_close(decision, view, instrument, state, setup.limits)
        self.replay.mark()
        rates = RateTable(book.prices)
        return [review_open(decision, view, instrument, state, setup.limits, rates)]

    def _place(self, verdict: Verdict, now: datetime) -> str:
        """Give an approved intent to the book; return the code of a refusal, ours or its own."""
        if not isinstance(verdict, Approved):
            return verdict.code.value
        intent = verdict.intent
        self._orders += 1
        client_id = f"sim-{self._orders}"
        if intent.trade_id is not None:
            line = self.book.close(CloseTicket(client_id, int(intent.trade_id), now, now))
        else:
            line = self.book.submit(
                Ticket(
                    client_id=client_id,
                    instrument=intent.instrument,
                    series=intent.instrument,
                    units=intent.units,
                    requested_at=now,
                    arrives_at=now,
                    stop_loss=intent.stop_loss,
                    take_profit=intent.take_profit,
                    costs=self.setup.costs,
                    leverage=self.setup.leverage,
                )
            )
        return line.reason if line.kind is TransactionKind.REJECT else ""


def half_spread(setup: Setup) -> Decimal:
    """Return half the spread as a price, rounded up: against the trader on both sides."""
    instrument = setup.market.instrument
    exact = setup.costs.spread_pips * instrument.pip / 2
    return exact.quantize(instrument.price_step, ROUND_CEILING)


def _inputs(setup: Setup) -> AssetInputs:
    return AssetInputs(
        asset_id=ASSET_ID,
        portfolio_id=PORTFOLIO_ID,
        instrument=setup.market.instrument,
        timeframe=timeframe_name(setup.market.columns.timeframe_seconds),
        capital=setup.initial_cash,
        equity=setup.initial_cash,
        currency=setup.currency,
        positions=(),
        parameters=setup.parameters,
    )


def _position_input(trade: OpenTrade) -> PositionInput:
    return PositionInput(
        position_id=trade.id,
        side=Side.of_units(trade.units).position,
        units=abs(trade.units),
        entry_price=trade.price,
        stop_loss=trade.stop_loss,
        take_profit=trade.take_profit,
        unrealized_pnl=ZERO,
        opened_at=trade.opened_at,
    )


def _asset_position(trade: OpenTrade) -> AssetPosition:
    return AssetPosition(
        position_id=trade.id,
        trade_id=str(trade.id),
        units=trade.units,
        entry_price=trade.price,
        stop_loss=trade.stop_loss,
        take_profit=trade.take_profit,
    )
