"""The last gate before a simulated venue: no request passes outside the order protocol, or late.

A plugin call that was given up may go on in its thread and reach the venue when nobody waits for
it any more. The protocol states until when a request may pass; the thread inherits that limit, and
one intent is one request, whatever a plugin tries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from threading import Lock
from time import monotonic

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


class SentAlready(Exception):
    """The intent's one request has passed, so this refusal does not mean that nothing was sent."""


@dataclass(slots=True)
class _Permit:
    """Leave to send one request until `send_before`."""

    send_before: datetime
    deadline: float
    used: bool = False
    lock: Lock = field(default_factory=Lock)


_PERMIT: ContextVar[_Permit | None] = ContextVar("permit", default=None)


@contextmanager
def sending_until(send_before: datetime, now: datetime) -> Iterator[None]:
    """Let one request pass until `send_before` (wall clock) within this context.

    The time that is left from `now` is measured as well, in case the wall clock steps back.
    """
    left = (send_before - now).total_seconds()
    token = _PERMIT.set(_Permit(send_before, monotonic() + left))
    try:
        yield
    finally:
        _PERMIT.reset(token)


class FencedVenue:
    """A venue that refuses requests outside their time; reads always pass.

    What is refused raises NotSentError, or SentAlready once the intent's request has passed.
    """

    def __init__(self, venue: Venue, clock: Clock) -> None:
        self._venue = venue
        self._clock = clock

    def submit(self, ticket: Ticket) -> VenueTransaction:
        """Accept or reject an entry."""
        self._check()
        return self._venue.submit(ticket)

    def close(self, ticket: CloseTicket) -> VenueTransaction:
        """Accept or reject a close."""
        self._check()
        return self._venue.close(ticket)

    def reject(self, ticket: Ticket | CloseTicket, code: RejectCode) -> VenueTransaction:
        """Write a rejection to the log."""
        self._check()
        return self._venue.reject(ticket, code)

    def modify(
        self,
        trade_id: int,
        stop_loss: Decimal | None,
        take_profit: Decimal | None,
        now: datetime,
    ) -> VenueTransaction | None:
        """Replace the protection of a trade."""
        self._check(is_order=False)
        return self._venue.modify(trade_id, stop_loss, take_profit, now)

    def cancel(self, order_id: int, now: datetime) -> VenueTransaction | None:
        """Cancel a pending request."""
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

    def _check(self, *, is_order: bool = True) -> None:
        permit = _PERMIT.get()
        if permit is None:
            raise NotSentError("orders reach a venue through the order protocol only")
        with permit.lock:
            late = self._clock() >= permit.send_before or monotonic() >= permit.deadline
            if permit.used and (is_order or late):
                raise SentAlready("the order was sent already; nothing may follow it")
            if late:
                raise NotSentError("the time to send had passed")
            permit.used |= is_order
