"""What the simulated brokers share: orders, by the documented methods.

Connected to the house, a broker is the way to one durable venue: requests are only accepted, and
their fills come with the next bar. Stand-alone it fills at once, at the price that it is given or
knows. Prices, costs, stops and rejections are the matching engine's business; this module must
not move money itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from lts_web.plugins.broker.order_request import (
    EntryRequest,
    OrderRefused,
    pick,
    read_client_id,
    read_entry,
    read_price,
    read_time,
    read_venue_id,
)
from lts_web.plugins.broker.simulated_account import SimulatedAccount
from lts_web.plugins.broker.trade_records import closed_trades, optional_float
from lts_web.trading.codes import REJECT_SENTENCES, RejectCode, explain
from lts_web.trading.instruments import Instrument, Side, find_instrument
from lts_web.trading.matching import (
    CloseTicket,
    FillReason,
    OpenTrade,
    PendingOrder,
    Ticket,
    TransactionKind,
    VenueTransaction,
)

Answer = dict[str, Any]
_CLOSE_REASONS = {
    "stop_loss": FillReason.STOP_LOSS,
    "sl": FillReason.STOP_LOSS,
    "take_profit": FillReason.TAKE_PROFIT,
    "tp": FillReason.TAKE_PROFIT,
    "end_of_data": FillReason.END_OF_DATA,
}
_ID_NAMES = ("trade_id", "position_id", "broker_order_id", "order_id")


class SimulatedBroker(SimulatedAccount):
    """A broker whose venue is simulated; subclasses say what a trade costs."""

    # --- what subclasses say ------------------------------------------------------------------

    def delay(self) -> timedelta:
        """Return how long a request travels, in market time."""
        return timedelta(0)

    def accepts(self, action: str, client_id: str) -> bool:
        """Return whether the venue takes the request ("open" or "close") at all."""
        return True

    def fills_later(self) -> bool:
        """Return whether requests wait for the next bar."""
        return self.connected

    def book_changed(self) -> None:
        """Hear that the account in memory has changed."""

    # --- the documented methods ---------------------------------------------------------------

    def open_order(
        self,
        order_params: Mapping[str, Any] | str | None = None,
        direction: str | None = None,
        volume: float | None = None,
        tp: float | None = None,
        sl: float | None = None,
        price: float | None = None,
        timestamp: datetime | None = None,
        **named: Any,
    ) -> Answer:
        """Open a position, asked for by one dictionary or by keywords, the instrument first.

        `volume` is in lots, `quantity` in units; `order_request.read_entry` lists all names.
        Return {success, order_id, trade_id, entry_price, fill_price, status}, with None for what
        the next bar will tell, or {success: False, code, error}.
        """
        named |= {"direction": direction, "volume": volume, "tp": tp, "sl": sl}
        named |= {"price": price, "timestamp": timestamp}
        whole = order_params if isinstance(order_params, Mapping) else {"symbol": order_params}
        given = {name: value for name, value in named.items() if value is not None}
        try:
            request = read_entry({**whole, **given}, self.default_instrument())
            return self._enter(request)
        except OrderRefused as refusal:
            return refused(refusal.code, str(refusal))

    def close_order(
        self,
        order_id: Mapping[str, Any] | str | int | None = None,
        price: float | None = None,
        reason: str = "manual",
        timestamp: datetime | None = None,
        **named: Any,
    ) -> Answer:
        """Close what an order opened, or cancel it while it waits; ids of order or trade work.

        Return {success, order_id, close_price, pnl, status}, with None for what the next bar will
        tell and `trade` where it is closed, or {success: False, code, error}.
        """
        whole = order_id if isinstance(order_id, Mapping) else {"order_id": order_id}
        named |= {"price": price, "timestamp": timestamp}
        given = {name: value for name, value in named.items() if value is not None}
        try:
            return self._leave({"reason": reason, **whole, **given})
        except OrderRefused as refusal:
            return refused(refusal.code, str(refusal))

    def modify_order(
        self, order_id: str, new_params: Mapping[str, Any] | None = None, **named: Any
    ) -> Answer:
        """Replace stop loss (sl) and take profit (tp) of a trade or of a waiting entry.

        What is not named stays; in `new_params`, None takes the level away. Return {success,
        order_id, sl, tp} or {success: False, code, error}.
        """
        given = {name: value for name, value in named.items() if value is not None}
        try:
            return self._modify(order_id, {**given, **(new_params or {})})
        except OrderRefused as refusal:
            return refused(refusal.code, str(refusal))

    def execute_order(self, action: str, parameters: dict[str, Any]) -> Answer:
        """Open or close by one dictionary, whose client id and time are kept."""
        if action == "close":
            return self.close_order(parameters)
        return super().execute_order(action, parameters)

    # --- opening ------------------------------------------------------------------------------

    def _enter(self, request: EntryRequest) -> Answer:
        instrument = request.instrument
        self._check(instrument)
        requested_at = request.timestamp or self.market_time()
        ticket = Ticket(
            client_id=request.client_id or self._unnamed(),
            instrument=instrument.name,
            series=self._series or instrument.name,
            units=request.units,
            requested_at=requested_at,
            arrives_at=requested_at + self.delay(),
            stop_loss=request.stop_loss,
            take_profit=request.take_profit,
            costs=self.costs(instrument),
            leverage=Decimal(repr(self.order_leverage())),
        )
        if not self.accepts("open", ticket.client_id):
            line = self.venue().reject(ticket, RejectCode.PAPER_REJECTION)
        elif self.fills_later():
            line = self.venue().submit(ticket)
        else:
            line = self._fill_now(ticket, request.price)
        self.book_changed()
        return _opened(line)

    def _fill_now(self, ticket: Ticket, named: Decimal | None) -> VenueTransaction:
        """Fill a stand-alone order at once, at the named price or the market's."""
        raw = self._price_for(find_instrument(ticket.instrument), named)
        line = self._local.submit(ticket)
        if line.kind is TransactionKind.REJECT:
            return line
        self._local.book.prices[ticket.instrument] = raw
        order = self._local.book.orders[line.id]
        return self._local.book.fill_order(order, raw, ticket.arrives_at)

    def _check(self, instrument: Instrument) -> None:
        """Refuse an instrument that the parameters or the account do not fit."""
        own = self._series.partition("@")[0]
        if own and instrument.name != own:
            raise OrderRefused(
                "INSTRUMENT_INVALID",
                f"This broker's account trades {own} here; {instrument.name} has no bars.",
            )
        problem = self.check_instrument(instrument.name)
        if problem is not None:
            raise OrderRefused("CONFIGURATION_INVALID", problem)

    # --- closing ------------------------------------------------------------------------------

    def _leave(self, parameters: Mapping[str, Any]) -> Answer:
        venue_id = read_venue_id(
            next((parameters[name] for name in _ID_NAMES if parameters.get(name)), None)
        )
        client_id = read_client_id(parameters.get("client_order_id")) or self._unnamed()
        price = read_price(parameters.get("price"), "price")
        at = read_time(parameters.get("timestamp")) or self.market_time()
        waiting = self._waiting(venue_id)
        if waiting is not None:
            self.venue().cancel(waiting.id, at)
            self.book_changed()
            return {"success": True, "order_id": str(venue_id), "status": "cancelled"} | _NOTHING
        trade = self._trade(venue_id)
        ticket = CloseTicket(
            client_id, trade.id if trade is not None else venue_id, at, at + self.delay()
        )
        if not self.accepts("close", client_id):
            line = self.venue().reject(ticket, RejectCode.PAPER_REJECTION)
        elif trade is None or self.fills_later():
            line = self.venue().close(ticket)
        else:
            reason = str(parameters["reason"])
            line = self._close_now(trade, price, ticket.arrives_at, reason)
        self.book_changed()
        return self._closed(line)

    def _close_now(
        self, trade: OpenTrade, named: Decimal | None, at: datetime, reason: str
    ) -> VenueTransaction:
        raw = self._price_for(find_instrument(trade.instrument), named)
        self._local.book.prices[trade.instrument] = raw
        kind = _CLOSE_REASONS.get(reason, FillReason.CLOSE)
        line = self._local.book.close_now(trade.id, raw, at, kind)
        assert line is not None
        return line

    def _closed(self, line: VenueTransaction) -> Answer:
        if line.kind is TransactionKind.REJECT:
            return refused(line.reason, REJECT_SENTENCES[RejectCode(line.reason)])
        answer = {"success": True, "order_id": str(line.order_id), "trade_id": str(line.trade_id)}
        if line.kind is TransactionKind.ORDER:
            return answer | {"status": "accepted"} | _NOTHING
        # A trade's id is the line of its entry.
        entry = self.venue().transactions_since((line.trade_id or 0) - 1, 1)
        [trade] = closed_trades([*entry, line])
        prices = {"close_price": trade["close_price"], "pnl": trade["pnl"], "trade": trade}
        return answer | {"status": "filled"} | prices

    # --- modifying ----------------------------------------------------------------------------

    def _modify(self, order_id: object, levels: Mapping[str, Any]) -> Answer:
        venue_id = read_venue_id(order_id)
        waiting, trade = self._waiting(venue_id), self._trade(venue_id)
        held = waiting.ticket if waiting is not None else trade
        if held is None:
            raise OrderRefused("TRADE_DOESNT_EXIST", explain("TRADE_DOESNT_EXIST"))
        instrument, side = find_instrument(held.instrument), Side.of_units(held.units)
        stop, target = held.stop_loss, held.take_profit
        if levels.keys() & {"stop_loss", "sl"}:
            stop = read_price(pick(levels, "stop_loss", "sl"), "stop loss")
        if levels.keys() & {"take_profit", "tp"}:
            target = read_price(pick(levels, "take_profit", "tp"), "take profit")
        stop = None if stop is None else instrument.round_price(stop)
        target = None if target is None else instrument.round_price(target)
        price = self.market_price(instrument)
        for level, sign, code in (
            (stop, side.sign, "STOP_WRONG_SIDE"),
            (target, -side.sign, "TARGET_WRONG_SIDE"),
        ):
            if level is not None and price is not None and sign * (price - level) <= 0:
                raise OrderRefused(code, f"{explain(code)} The price is {price}.")
        now = read_time(levels.get("timestamp")) or self.market_time()
        target_id = waiting.id if waiting is not None else trade.id if trade else venue_id
        self.venue().modify(target_id, stop, target, now)
        self.book_changed()
        return {
            "success": True,
            "order_id": str(order_id),
            "sl": optional_float(stop),
            "tp": optional_float(target),
        }

    # --- finding ------------------------------------------------------------------------------

    def _waiting(self, venue_id: int) -> PendingOrder | None:
        """Return the entry with this id that still waits for its bar."""
        for order in self.venue().pending_orders():
            if order.id == venue_id and order.closes is None:
                return order
        return None

    def _trade(self, venue_id: int) -> OpenTrade | None:
        """Return the open trade with this id, or that the order with this id opened."""
        trades = {trade.id: trade for trade in self.venue().open_trades()}
        if venue_id in trades or not trades:
            return trades.get(venue_id)
        # An order's fill is later in the log than the order itself, whose id is its line.
        last_id = venue_id
        while lines := self.venue().transactions_since(last_id):
            for line in lines:
                if line.kind is TransactionKind.FILL and line.order_id == venue_id:
                    return trades.get(line.id)
            last_id = lines[-1].id
        return None

    def _price_for(self, instrument: Instrument, named: Decimal | None) -> Decimal:
        price = named if named is not None else self.market_price(instrument)
        if price is None:
            raise OrderRefused(
                "NO_PRICE",
                f"No price of {instrument.name} is known: give price, or load bars first.",
            )
        return price

    def _unnamed(self) -> str:
        """Return a client id for a request that carries none, unused in this account so far."""
        return f"unnamed-{self.get_last_transaction_id() + 1}"


_NOTHING: Answer = {"close_price": None, "pnl": None}


def refused(code: str, error: str) -> Answer:
    """Return the answer to a request that was not carried out."""
    return {"success": False, "code": code, "error": error}


def _opened(line: VenueTransaction) -> Answer:
    if line.kind in (TransactionKind.REJECT, TransactionKind.CANCEL):
        return refused(line.reason, REJECT_SENTENCES[RejectCode(line.reason)])
    price = optional_float(line.price)
    filled = line.kind is TransactionKind.FILL
    return {
        "success": True,
        "order_id": str(line.order_id),
        "trade_id": str(line.trade_id) if filled else None,
        "entry_price": price,
        "fill_price": price,
        "status": "filled" if filled else "accepted",
    }
