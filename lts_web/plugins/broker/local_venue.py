"""A simulated account in memory: what a broker trades on that is connected to no account.

It offers the same port as the durable venue, over the same matching engine. Nothing is kept when
the process ends.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from lts_web.trading.codes import RejectCode
from lts_web.trading.matching import (
    AccountState,
    Book,
    CloseTicket,
    OpenTrade,
    PendingOrder,
    Ticket,
    VenueTransaction,
)


class LocalVenue:
    """Implements `ports.Venue` over a `Book` that nobody else writes."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def submit(self, ticket: Ticket) -> VenueTransaction:
        """Accept or reject an entry."""
        return self.book.submit(ticket)

    def close(self, ticket: CloseTicket) -> VenueTransaction:
        """Accept or reject a close."""
        return self.book.close(ticket)

    def reject(self, ticket: Ticket | CloseTicket, code: RejectCode) -> VenueTransaction:
        """Write a rejection to the log."""
        return self.book.reject(ticket, code)

    def modify(
        self,
        trade_id: int,
        stop_loss: Decimal | None,
        take_profit: Decimal | None,
        now: datetime,
    ) -> VenueTransaction | None:
        """Replace the protection of a trade or pending entry; None: there is none."""
        return self.book.modify(trade_id, stop_loss, take_profit, now)

    def cancel(self, order_id: int, now: datetime) -> VenueTransaction | None:
        """Cancel a pending request; None: there is none."""
        return self.book.cancel(order_id, now)

    def account(self) -> AccountState:
        """Return the account's worth at the last prices."""
        return self.book.account()

    def open_trades(self) -> list[OpenTrade]:
        """Return the open trades, oldest first."""
        return sorted(self.book.trades.values(), key=lambda trade: trade.id)

    def pending_orders(self) -> list[PendingOrder]:
        """Return the pending requests, oldest first."""
        return sorted(self.book.orders.values(), key=lambda order: order.id)

    def transactions_since(self, last_id: int, limit: int = 1000) -> list[VenueTransaction]:
        """Return the log's lines with an id above `last_id`, oldest first, at most `limit`."""
        # Ids count up from 1 without gaps, so an id is also a place in the list.
        return self.book.transactions[max(last_id, 0) : max(last_id, 0) + max(limit, 0)]

    def price(self, instrument: str) -> Decimal | None:
        """Return the last price of an instrument, or None if none was seen."""
        return self.book.prices.get(instrument)
