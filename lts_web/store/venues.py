"""The simulated venues of the worker: books of the matching engine, durable in a file of their own.

Every request is one transaction: the book is loaded, acts, and what it changed is committed before
the answer is given, so a process killed at any line leaves either all of a request or nothing. Bars
pass through a book once, however often they are offered. The rules of matching are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, bindparam, insert, select

from lts_web.store.engine import make_engine
from lts_web.store.venue_tables import (
    PUT_PROGRESS,
    VENUE_METADATA,
    Saved,
    UnknownVenueAccount,
    accounts,
    load_account,
    load_book,
    load_orders,
    load_trades,
    prices,
    progress,
    read_log,
    save_book,
)
from lts_web.trading.codes import RejectCode
from lts_web.trading.market import Bar
from lts_web.trading.matching import (
    AccountState,
    Book,
    CloseTicket,
    OpenTrade,
    PendingOrder,
    Ticket,
    VenueTransaction,
)
from lts_web.trading.money import ZERO, round_money

__all__ = ["DurableVenue", "UnknownVenueAccount", "VenueConflict", "Venues"]

Answer = TypeVar("Answer")

_CURRENCY = select(accounts.c.currency).where(accounts.c.key == bindparam("key"))
_PROGRESS = select(progress.c.series, progress.c.closed_at).where(
    progress.c.account == bindparam("key")
)
_PRICE = select(prices.c.price).where(
    prices.c.account == bindparam("key"), prices.c.instrument == bindparam("name")
)


class VenueConflict(ValueError):
    """An account was opened again with other terms; the one that exists is unchanged."""


class Venues:
    """All simulated accounts, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = make_engine(path)
        self._writer = self.engine.execution_options(lts_write=True)

    def create_tables(self) -> None:
        """Create the tables that do not exist yet."""
        with self._writer.begin() as connection:
            VENUE_METADATA.create_all(connection)

    def open_account(
        self, key: str, currency: str, initial: Decimal, now: datetime
    ) -> DurableVenue:
        """Open an account with its first money, unless it is open already.

        VenueConflict: it is open in another currency.
        """
        with self._writer.begin() as connection:
            known = connection.execute(_CURRENCY, {"key": key}).scalar_one_or_none()
            if known is None:
                self._add_account(connection, key, currency, initial, now)
            elif known != currency:
                raise VenueConflict(
                    f"the account {key!r} is kept in {known} and cannot be opened in {currency}"
                )
        return self.venue(key)

    def venue(self, key: str) -> DurableVenue:
        """Return the account of this key; its first use fails if it was never opened."""
        return DurableVenue(self, key)

    def progress(self, key: str) -> dict[str, datetime]:
        """Return, by series, the close of the last bar that passed through the account."""
        with self.reading() as connection:
            return _load_progress(connection, key)

    def advance(
        self,
        key: str,
        until: datetime,
        bars: Mapping[str, Sequence[Bar]],
        timeframe_seconds: Mapping[str, int],
    ) -> list[VenueTransaction]:
        """Let the bars that closed up to `until` pass, and return the lines that they caused.

        `bars` maps a series to its bars; those that have passed before are left out. They pass in
        the order of their closes, and those that close together in the order of their opens.
        """
        if not any(bars.values()):
            return []
        with self._writer.begin() as connection:
            done = _load_progress(connection, key)
            instants = _instants(until, bars, timeframe_seconds, done)
            if not instants:
                return []
            book = load_book(connection, key)
            saved = Saved.of(book)
            reached: dict[str, datetime] = {}
            for (closes_at, opens_at), together in sorted(instants.items()):
                book.on_bars(opens_at, closes_at, together)
                reached.update(dict.fromkeys(together, closes_at))
            save_book(connection, key, book, saved)
            connection.execute(
                PUT_PROGRESS,
                [
                    {"account": key, "series": series, "closed_at": closed_at}
                    for series, closed_at in reached.items()
                ],
            )
        return book.transactions

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read transaction: one consistent snapshot."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def changing(self, key: str) -> Iterator[Book]:
        """Give the account's book to change; saved and durable at the end, or not at all."""
        with self._writer.begin() as connection:
            book = load_book(connection, key)
            saved = Saved.of(book)
            yield book
            save_book(connection, key, book, saved)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _add_account(
        self, connection: Connection, key: str, currency: str, initial: Decimal, now: datetime
    ) -> None:
        book = Book(currency, ZERO)
        connection.execute(
            insert(accounts),
            {
                "key": key,
                "currency": currency,
                "balance": ZERO,
                "last_transaction_id": 0,
                "opened_at": now,
            },
        )
        book.transfer(round_money(initial), now)
        save_book(connection, key, book, Saved.of(book))


class DurableVenue:
    """One account, as broker plugins and the reconciliation see it (`trading.ports.Venue`)."""

    def __init__(self, venues: Venues, key: str) -> None:
        self._venues = venues
        self.key = key

    def submit(self, ticket: Ticket) -> VenueTransaction:
        """Accept or reject an entry; durable when it returns."""
        with self._venues.changing(self.key) as book:
            return book.submit(ticket)

    def close(self, ticket: CloseTicket) -> VenueTransaction:
        """Accept or reject a close; durable when it returns."""
        with self._venues.changing(self.key) as book:
            return book.close(ticket)

    def reject(self, ticket: Ticket | CloseTicket, code: RejectCode) -> VenueTransaction:
        """Write a rejection to the log."""
        with self._venues.changing(self.key) as book:
            return book.reject(ticket, code)

    def modify(
        self,
        trade_id: int,
        stop_loss: Decimal | None,
        take_profit: Decimal | None,
        now: datetime,
    ) -> VenueTransaction | None:
        """Replace the protection of a trade; None: no such trade."""
        with self._venues.changing(self.key) as book:
            return book.modify(trade_id, stop_loss, take_profit, now)

    def cancel(self, order_id: int, now: datetime) -> VenueTransaction | None:
        """Cancel a pending request; None: no such order."""
        with self._venues.changing(self.key) as book:
            return book.cancel(order_id, now)

    def transfer(self, amount: Decimal, now: datetime) -> VenueTransaction:
        """Add (or with a negative amount take) money."""
        with self._venues.changing(self.key) as book:
            return book.transfer(amount, now)

    def account(self) -> AccountState:
        """Return the account's worth at the last prices."""
        return self._read(Book.account)

    def open_trades(self) -> list[OpenTrade]:
        """Return the open trades, oldest first."""
        with self._venues.reading() as connection:
            load_account(connection, self.key)
            return list(load_trades(connection, self.key).values())

    def pending_orders(self) -> list[PendingOrder]:
        """Return the pending requests, oldest first."""
        with self._venues.reading() as connection:
            load_account(connection, self.key)
            return list(load_orders(connection, self.key).values())

    def transactions_since(self, last_id: int, limit: int = 1000) -> list[VenueTransaction]:
        """Return the log's lines with an id above `last_id`, oldest first, at most `limit`."""
        with self._venues.reading() as connection:
            return list(read_log(connection, self.key, last_id, limit))

    def price(self, instrument: str) -> Decimal | None:
        """Return the last price of an instrument, or None if none was seen."""
        with self._venues.reading() as connection:
            return connection.execute(
                _PRICE, {"key": self.key, "name": instrument}
            ).scalar_one_or_none()

    def _read(self, look: Callable[[Book], Answer]) -> Answer:
        with self._venues.reading() as connection:
            return look(load_book(connection, self.key))


def _load_progress(connection: Connection, key: str) -> dict[str, datetime]:
    return dict(connection.execute(_PROGRESS, {"key": key}).all())


def _instants(
    until: datetime,
    bars: Mapping[str, Sequence[Bar]],
    timeframe_seconds: Mapping[str, int],
    done: Mapping[str, datetime],
) -> dict[tuple[datetime, datetime], dict[str, Bar]]:
    """Return the bars still to pass, by (close, open) and series.

    Series are taken by name, so that two of one instrument always leave the same last price.
    """
    instants: dict[tuple[datetime, datetime], dict[str, Bar]] = {}
    for series in sorted(bars):
        length = timedelta(seconds=timeframe_seconds[series])
        passed = done.get(series)
        for bar in bars[series]:
            closes_at = bar.open_time + length
            if closes_at <= until and (passed is None or closes_at > passed):
                instants.setdefault((closes_at, bar.open_time), {})[series] = bar
    return instants
