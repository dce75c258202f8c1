"""The last gate before a simulated venue: no request passes outside the order protocol, or late.

A plugin call that was given up may go on in its thread and reach the venue when nobody waits for
it any more. The protocol states until when a request may pass; the thread inherits that limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal

from lts_web.plugins.base import NotSentError
from lts_web.trading.codes import RejectCode
from lts_web.trading.matching import (
    AccountState,
    CloseTicket,
    OpenTrade,
    PendingOrder,
    Ticket,
    VenueTransaction,
)
from lts_web.trading.ports import Clock, Venue

_SEND_BEFORE: ContextVar[datetime | None] = ContextVar("send_before", default=None)


@contextmanager
def sending_until(send_before: datetime) -> Iterator[None]:
    """Let requests pass until `send_before` (wall clock) within this context."""
    token = _SEND_BEFORE.set(send_before)
    try:
        yield
    finally:
        _SEND_BEFORE.reset(token)


class FencedVenue:
    """A venue that refuses requests outside their time; reads always pass."""

    def __init__(self, venue: Venue, clock: Clock) -> None:
        self._venue = venue
        self._clock = clock

    def submit(self, ticket: Ticket) -> VenueTransaction:
        """Accept or reject an entry; NotSentError outside its time."""
        self._check()
        return self._venue.submit(ticket)

    def close(self, ticket: CloseTicket) -> VenueTransaction:
        """Accept or reject a close; NotSentError outside its time."""
        self._check()
        return self._venue.close(ticket)

    def reject(self, ticket: Ticket | CloseTicket, code: RejectCode) -> VenueTransaction:
        """Write a rejection to the log; NotSentError outside its time."""
        self._check()
        return self._venue.reject(ticket, code)

    def modify(
        self,
        trade_id: int,
        stop_loss: Decimal | None,
        take_profit: Decimal | None,
        now: datetime,
    ) -> VenueTransaction | None:
        """Replace the protection of a trade; NotSentError outside its time."""
        self._check()
        return self._venue.modify(trade_id, stop_loss, take_profit, now)

    def cancel(self, order_id: int, now: datetime) -> VenueTransaction | None:
        """Cancel a pending request; NotSentError outside its time."""
        self._check()
        return self._venue.cancel(order_id, now)

    def account(self) -> AccountState:
        """Return the account's worth."""
        return self._venue.account()

    def open_trades(self) -> list[OpenTrade]:
        """Return the open trades, oldest first."""
        return self._venue.open_trades()

    def pending_orders(self) -> list[PendingOrder]:
        """Return the pending requests, oldest first."""
        return self._venue.pending_orders()

    def transactions_since(self, last_id: int, limit: int = 1000) -> list[VenueTransaction]:
        """Return the log's lines with an id above `last_id`, oldest first."""
        return self._venue.transactions_since(last_id, limit)

    def price(self, instrument: str) -> Decimal | None:
        """Return the last price of an instrument, or None."""
        return self._venue.price(instrument)

    def _check(self) -> None:
        limit = _SEND_BEFORE.get()
        if limit is None:
            raise NotSentError("orders reach a venue through the order protocol only")
        if self._clock() >= limit:
            raise NotSentError("the time to send had passed")
