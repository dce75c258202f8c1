"""The matching engine of every simulated venue: one account's book.

The durable venue of the worker, the paper broker and `run_simulation` all run this engine, so the
same bars and orders give the same fills everywhere. It is a value machine: it is told bars and
requests in order of time, keeps orders, trades and a balance, and appends transactions to a log
that can be read since an id. Its deduplication is deliberately no better than OANDA's: a client
id is checked among pending orders and open trades only.

Rules. A request is filled at the open of the first bar of its series that opens at or after the
request, entries at a price that carries spread and slippage, exits at the raw price. Stops and
targets are tested from the fill's own bar on, the stop first; a gap through a stop fills at the
open, a target fills at its level. A stop that a gap put on the wrong side cancels the entry. Bars
that open outside the FX calendar neither fill nor test anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from lts_web.trading.calendar import bar_in_calendar
from lts_web.trading.codes import RejectCode
from lts_web.trading.costs import CostModel
from lts_web.trading.instruments import Instrument, Side, find_instrument
from lts_web.trading.market import Bar
from lts_web.trading.money import ONE, ZERO, RateTable, round_money
from lts_web.trading.positions import profit

# An exit is at the raw price; its trade remembers what else it costs.
_NO_COSTS = CostModel()


class TransactionKind(StrEnum):
    """What a line of a venue's log tells."""

    ORDER = "order"
    FILL = "fill"
    CANCEL = "cancel"
    REJECT = "reject"
    MODIFY = "modify"
    TRANSFER = "transfer"


class FillReason(StrEnum):
    """Why a fill happened."""

    MARKET = "market"
    CLOSE = "close"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    END_OF_DATA = "end_of_data"


@dataclass(frozen=True, slots=True)
class VenueTransaction:
    """One immutable line of the venue's log; ids count up from 1 in each account.

    Money is in account currency, costs positive, `balance` the balance after the line. `units`
    are signed as traded; `rate` converts quote to account currency.
    """

    id: int
    time: datetime
    kind: TransactionKind
    balance: Decimal
    order_id: int | None = None
    trade_id: int | None = None
    client_id: str = ""
    instrument: str = ""
    units: int = 0
    price: Decimal | None = None
    rate: Decimal | None = None
    pnl: Decimal = ZERO
    commission: Decimal = ZERO
    swap: Decimal = ZERO
    reason: str = ""
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request to open: signed units, protection, costs, and when it reaches the venue.

    `series` names the stream of bars that the order is matched against.
    """

    client_id: str
    instrument: str
    series: str
    units: int
    requested_at: datetime
    arrives_at: datetime
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    costs: CostModel = field(default_factory=CostModel)
    leverage: Decimal = Decimal(100)


@dataclass(frozen=True, slots=True)
class CloseTicket:
    """A request to close an open trade wholly."""

    client_id: str
    trade_id: int
    requested_at: datetime
    arrives_at: datetime


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """An accepted request that waits for its bar; `closes` is the trade that it ends."""

    id: int
    ticket: Ticket
    closes: int | None = None


@dataclass(frozen=True, slots=True)
class OpenTrade:
    """A filled entry that is still open."""

    id: int
    client_id: str
    instrument: str
    series: str
    units: int
    price: Decimal
    opened_at: datetime
    stop_loss: Decimal | None
    take_profit: Decimal | None
    costs: CostModel
    leverage: Decimal
    margin: Decimal


@dataclass(frozen=True, slots=True)
class AccountState:
    """What an account is worth; money in `currency`."""

    currency: str
    balance: Decimal
    equity: Decimal
    margin_used: Decimal
    unrealized_pnl: Decimal
    last_transaction_id: int


class Book:
    """One simulated account: its balance, orders, trades, last prices and transaction log.

    `transactions` holds what was appended since the book was made or restored; whoever restores a
    book gives the state it had and keeps the log itself.
    """

    def __init__(
        self,
        currency: str,
        balance: Decimal,
        *,
        last_transaction_id: int = 0,
        orders: Mapping[int, PendingOrder] | None = None,
        trades: Mapping[int, OpenTrade] | None = None,
        prices: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.currency = currency
        self.balance = balance
        self.last_transaction_id = last_transaction_id
        self.orders: dict[int, PendingOrder] = dict(orders or {})
        self.trades: dict[int, OpenTrade] = dict(trades or {})
        self.prices: dict[str, Decimal] = dict(prices or {})
        self.transactions: list[VenueTransaction] = []

    # --- requests ---------------------------------------------------------------------------

    def submit(self, ticket: Ticket) -> VenueTransaction:
        """Accept or reject a request to open; the fill comes with a later bar."""
        problem = self._submit_problem(ticket)
        if problem is not None:
            return self.reject(ticket, problem)
        number = self.last_transaction_id + 1
        line = self._append(
            VenueTransaction(
                number,
                ticket.requested_at,
                TransactionKind.ORDER,
                self.balance,
                order_id=number,
                client_id=ticket.client_id,
                instrument=ticket.instrument,
                units=ticket.units,
                stop_loss=ticket.stop_loss,
                take_profit=ticket.take_profit,
            )
        )
        self.orders[number] = PendingOrder(number, ticket)
        return line

    def reject(self, ticket: Ticket | CloseTicket, code: RejectCode) -> VenueTransaction:
        """Write a rejection of the request; nothing else changes."""
        return self._append(
            VenueTransaction(
                self.last_transaction_id + 1,
                ticket.requested_at,
                TransactionKind.REJECT,
                self.balance,
                client_id=ticket.client_id,
                instrument=ticket.instrument if isinstance(ticket, Ticket) else "",
                units=ticket.units if isinstance(ticket, Ticket) else 0,
                trade_id=ticket.trade_id if isinstance(ticket, CloseTicket) else None,
                reason=code.value,
            )
        )

    def close(self, ticket: CloseTicket) -> VenueTransaction:
        """Accept or reject a request to close a trade; the fill comes with a later bar."""
        trade = self.trades.get(ticket.trade_id)
        if trade is None:
            return self.reject(ticket, RejectCode.TRADE_DOESNT_EXIST)
        if self._client_id_pending(ticket.client_id):
            return self.reject(ticket, RejectCode.CLIENT_ORDER_ID_ALREADY_EXISTS)
        number = self.last_transaction_id + 1
        line = self._append(
            VenueTransaction(
                number,
                ticket.requested_at,
                TransactionKind.ORDER,
                self.balance,
                order_id=number,
                trade_id=trade.id,
                client_id=ticket.client_id,
                instrument=trade.instrument,
                units=-trade.units,
            )
        )
        request = Ticket(
            client_id=ticket.client_id,
            instrument=trade.instrument,
            series=trade.series,
            units=-trade.units,
            requested_at=ticket.requested_at,
            arrives_at=ticket.arrives_at,
            costs=_NO_COSTS,
        )
        self.orders[number] = PendingOrder(number, request, closes=trade.id)
        return line

    def modify(
        self,
        trade_id: int,
        stop_loss: Decimal | None,
        take_profit: Decimal | None,
        now: datetime,
    ) -> VenueTransaction | None:
        """Replace stop and target of an open trade (or of a pending entry); None: no such."""
        trade = self.trades.get(trade_id)
        order = self.orders.get(trade_id)
        if trade is not None:
            self.trades[trade_id] = replace(trade, stop_loss=stop_loss, take_profit=take_profit)
            instrument, client_id = trade.instrument, trade.client_id
        elif order is not None and order.closes is None:
            ticket = replace(order.ticket, stop_loss=stop_loss, take_profit=take_profit)
            self.orders[trade_id] = replace(order, ticket=ticket)
            instrument, client_id = ticket.instrument, ticket.client_id
        else:
            return None
        return self._append(
            VenueTransaction(
                self.last_transaction_id + 1,
                now,
                TransactionKind.MODIFY,
                self.balance,
                trade_id=trade_id,
                client_id=client_id,
                instrument=instrument,
                stop_loss=stop_loss,
                take_profit=take_profit,
            )
        )

    def cancel(self, order_id: int, now: datetime) -> VenueTransaction | None:
        """Cancel a pending request; None: there is no such."""
        order = self.orders.get(order_id)
        if order is None:
            return None
        return self._cancel(order, RejectCode.CLIENT_REQUEST, now)

    def transfer(self, amount: Decimal, now: datetime) -> VenueTransaction:
        """Add (or with a negative amount take) money."""
        booked = round_money(amount)
        self.balance += booked
        number = self.last_transaction_id + 1
        return self._append(
            VenueTransaction(number, now, TransactionKind.TRANSFER, self.balance, pnl=booked)
        )

    # --- time -------------------------------------------------------------------------------

    def on_bars(self, opens_at: datetime, closes_at: datetime, bars: Mapping[str, Bar]) -> None:
        """Let one instant of the market pass: `bars` maps series to bars of one open time.

        A series is "INSTRUMENT" or "INSTRUMENT@anything". Call in order of time. Pending requests
        meet the open, then stops and targets are tested, then the closes are the last prices.
        """
        if not bar_in_calendar(opens_at):
            return
        for series, bar in bars.items():
            self.prices[_instrument_of(series)] = bar.open
        if self.orders:
            self._fill_due(opens_at, closes_at, bars)
        if self.trades:
            for _, trade in sorted(self.trades.items()):
                if trade.series in bars:
                    self._test_protection(trade, bars[trade.series], opens_at)
        for series, bar in bars.items():
            self.prices[_instrument_of(series)] = bar.close

    def fill_order(self, order: PendingOrder, raw: Decimal, time: datetime) -> VenueTransaction:
        """Fill (or, where a rule forbids it, cancel) a pending request at the raw price."""
        if order.closes is None:
            return self._fill_entry(order, raw, time)
        trade = self.trades.get(order.closes)
        if trade is None:
            return self._cancel(order, RejectCode.LINKED_TRADE_CLOSED, time)
        del self.orders[order.id]
        return self._close_trade(
            trade, raw, time, FillReason.CLOSE, order.id, order.ticket.client_id
        )

    def close_now(
        self, trade_id: int, raw: Decimal, time: datetime, reason: FillReason
    ) -> VenueTransaction | None:
        """Close an open trade at the raw price at once; None: no such trade."""
        trade = self.trades.get(trade_id)
        if trade is None:
            return None
        return self._close_trade(trade, raw, time, reason, None, "")

    # --- reading ----------------------------------------------------------------------------

    def account(self) -> AccountState:
        """Return balance, equity at the last prices, margin and unrealised profit."""
        unrealized = sum((self.unrealized(trade) for trade in self.trades.values()), ZERO)
        return AccountState(
            currency=self.currency,
            balance=self.balance,
            equity=self.balance + unrealized,
            margin_used=self.margin_used(),
            unrealized_pnl=unrealized,
            last_transaction_id=self.last_transaction_id,
        )

    def margin_used(self) -> Decimal:
        """Return the margin that the open trades bind, as fixed when they opened."""
        return sum([trade.margin for trade in self.trades.values()], ZERO)

    def free_margin(self) -> Decimal:
        """Return what a new trade may bind: equity at the last prices less the margin in use."""
        if not self.trades:
            return self.balance
        state = self.account()
        return state.equity - state.margin_used

    def unrealized(self, trade: OpenTrade) -> Decimal:
        """Return what closing the trade at the last price would realise, before swap."""
        price = self.prices.get(trade.instrument)
        instrument = find_instrument(trade.instrument)
        rate = self.rate(instrument.quote)
        if price is None or rate is None:
            return ZERO
        return profit(trade.price, price, trade.units, rate)

    def rate(
        self, currency: str, instrument: str | None = None, price: Decimal | None = None
    ) -> Decimal | None:
        """Return currency → account currency at the last prices, one of which may be overridden."""
        if currency == self.currency:
            return ONE
        if instrument is None or price is None:
            return RateTable(self.prices).rate(currency, self.currency)
        return RateTable({**self.prices, instrument: price}).rate(currency, self.currency)

    # --- inside -----------------------------------------------------------------------------

    def _fill_due(self, opens_at: datetime, closes_at: datetime, bars: Mapping[str, Bar]) -> None:
        """Fill what waits for these bars: closes first, then entries, each in order of request."""
        due = [
            (order.closes is None, order.id, order)
            for order in self.orders.values()
            if order.ticket.series in bars
            and order.ticket.requested_at <= opens_at
            and order.ticket.arrives_at < closes_at
        ]
        for _, number, order in sorted(due):
            # The fill of one close cancels the others of its trade.
            if number in self.orders:
                time = max(opens_at, order.ticket.arrives_at)
                self.fill_order(order, bars[order.ticket.series].open, time)

    def _submit_problem(self, ticket: Ticket) -> RejectCode | None:
        instrument = find_instrument(ticket.instrument)
        size = abs(ticket.units)
        if not instrument.minimum_units <= size <= instrument.maximum_units:
            return RejectCode.UNITS_INVALID
        if size % instrument.unit_step:
            return RejectCode.UNITS_INVALID
        if self._client_id_pending(ticket.client_id):
            return RejectCode.CLIENT_ORDER_ID_ALREADY_EXISTS
        if self.trades and any(
            trade.client_id == ticket.client_id for trade in self.trades.values()
        ):
            return RejectCode.CLIENT_TRADE_ID_ALREADY_EXISTS
        return None

    def _client_id_pending(self, client_id: str) -> bool:
        return bool(self.orders) and any(
            order.ticket.client_id == client_id for order in self.orders.values()
        )

    def _fill_entry(self, order: PendingOrder, raw: Decimal, time: datetime) -> VenueTransaction:
        ticket = order.ticket
        instrument = find_instrument(ticket.instrument)
        side = Side.of_units(ticket.units)
        price = ticket.costs.entry_price(instrument, side, raw)
        rate = self.rate(instrument.quote, instrument.name, raw)
        cost_rate = self.rate(ticket.costs.currency, instrument.name, raw)
        if rate is None or cost_rate is None:
            return self._cancel(order, RejectCode.NO_CONVERSION, time)
        problem = _protection_problem(ticket, side, raw, price)
        if problem is not None:
            return self._cancel(order, problem, time)
        margin = round_money(abs(ticket.units) * price * rate / ticket.leverage)
        commission = ticket.costs.commission(instrument, ticket.units, cost_rate)
        if margin + commission > self.free_margin():
            return self._cancel(order, RejectCode.INSUFFICIENT_MARGIN, time)
        del self.orders[order.id]
        self.balance -= commission
        number = self.last_transaction_id + 1
        self.trades[number] = OpenTrade(
            id=number,
            client_id=ticket.client_id,
            instrument=instrument.name,
            series=ticket.series,
            units=ticket.units,
            price=price,
            opened_at=time,
            stop_loss=ticket.stop_loss,
            take_profit=ticket.take_profit,
            costs=ticket.costs,
            leverage=ticket.leverage,
            margin=margin,
        )
        return self._append(
            VenueTransaction(
                number,
                time,
                TransactionKind.FILL,
                self.balance,
                order_id=order.id,
                trade_id=number,
                client_id=ticket.client_id,
                instrument=instrument.name,
                units=ticket.units,
                price=price,
                rate=rate,
                commission=commission,
                reason=str(FillReason.MARKET),
                stop_loss=ticket.stop_loss,
                take_profit=ticket.take_profit,
            )
        )

    def _test_protection(self, trade: OpenTrade, bar: Bar, opens_at: datetime) -> None:
        stop, target, long = trade.stop_loss, trade.take_profit, trade.units > 0
        # A trade of this very bar was opened at its open, so only an older one can be gapped.
        time = max(opens_at, trade.opened_at)
        if stop is not None and (bar.low <= stop if long else bar.high >= stop):
            raw = min(bar.open, stop) if long else max(bar.open, stop)
            self._close_trade(trade, raw, time, FillReason.STOP_LOSS, None, "")
        elif target is not None and (bar.high >= target if long else bar.low <= target):
            self._close_trade(trade, target, time, FillReason.TAKE_PROFIT, None, "")

    def _close_trade(
        self,
        trade: OpenTrade,
        raw: Decimal,
        time: datetime,
        reason: FillReason,
        order_id: int | None,
        client_id: str,
    ) -> VenueTransaction:
        instrument: Instrument = find_instrument(trade.instrument)
        side = Side.of_units(-trade.units)
        price = instrument.round_against(raw, side)
        rate = self.rate(instrument.quote, instrument.name, raw)
        cost_rate = self.rate(trade.costs.currency, instrument.name, raw)
        # The entry was only filled with both rates known, and prices are never forgotten.
        assert rate is not None
        assert cost_rate is not None
        pnl = profit(trade.price, price, trade.units, rate)
        swap = trade.costs.swap(instrument, trade.units, time - trade.opened_at, cost_rate)
        self.balance += pnl - swap
        del self.trades[trade.id]
        number = self.last_transaction_id + 1
        line = self._append(
            VenueTransaction(
                number,
                time,
                TransactionKind.FILL,
                self.balance,
                order_id=number if order_id is None else order_id,
                trade_id=trade.id,
                client_id=client_id,
                instrument=instrument.name,
                units=-trade.units,
                price=price,
                rate=rate,
                pnl=pnl,
                swap=swap,
                reason=str(reason),
            )
        )
        if self.orders:
            for order in [order for order in self.orders.values() if order.closes == trade.id]:
                self._cancel(order, RejectCode.LINKED_TRADE_CLOSED, time)
        return line

    def _cancel(self, order: PendingOrder, code: RejectCode, time: datetime) -> VenueTransaction:
        del self.orders[order.id]
        return self._append(
            VenueTransaction(
                self.last_transaction_id + 1,
                time,
                TransactionKind.CANCEL,
                self.balance,
                order_id=order.id,
                trade_id=order.closes,
                client_id=order.ticket.client_id,
                instrument=order.ticket.instrument,
                units=order.ticket.units,
                reason=code.value,
            )
        )

    def _append(self, line: VenueTransaction) -> VenueTransaction:
        self.last_transaction_id = line.id
        self.transactions.append(line)
        return line


def _instrument_of(series: str) -> str:
    return series.partition("@")[0]


def _protection_problem(
    ticket: Ticket, side: Side, raw: Decimal, price: Decimal
) -> RejectCode | None:
    """Return why the fill cannot carry its stop or target at these prices."""
    stop, target, buys = ticket.stop_loss, ticket.take_profit, side is Side.BUY
    if stop is not None and (stop >= raw if buys else stop <= raw):
        return RejectCode.STOP_LOSS_ON_FILL_LOSS
    if target is not None and (target <= price if buys else target >= price):
        return RejectCode.TAKE_PROFIT_ON_FILL_LOSS
    return None
