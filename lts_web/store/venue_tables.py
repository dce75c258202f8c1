"""The tables of the simulated venues, and how a book of the matching engine lies in them.

A venue's file is its own: LTS's database never joins it, just as it could not join a broker's.
Maps rows to values and back, and opens no transaction. Prices are kept to eight decimals, terms
(costs and leverage) and rates to twelve; what an order asks for beyond them is rounded here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    DDL,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    Row,
    RowMapping,
    String,
    Table,
    bindparam,
    delete,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from lts_web.store.base import NAMING, one_of
from lts_web.store.types import UtcTime, money_type, price_type, rate_type
from lts_web.trading.costs import CostModel
from lts_web.trading.matching import (
    Book,
    OpenTrade,
    PendingOrder,
    Ticket,
    TransactionKind,
    VenueTransaction,
)

VENUE_METADATA = MetaData(naming_convention=NAMING)


def _account_key() -> Column[str]:
    return Column("account", ForeignKey("venue_accounts.key"), primary_key=True)


def _terms() -> list[Column[Any]]:
    """Return the columns of a cost model and a leverage."""
    return [
        Column("spread_pips", rate_type(), nullable=False),
        Column("slippage_pips", rate_type(), nullable=False),
        Column("commission_per_lot", rate_type(), nullable=False),
        Column("swap_per_lot_day", rate_type(), nullable=False),
        Column("cost_currency", String(3), nullable=False),
        Column("leverage", rate_type(), CheckConstraint("leverage > 0", name="leverage")),
    ]


accounts = Table(
    "venue_accounts",
    VENUE_METADATA,
    Column("key", String(100), primary_key=True),
    Column("currency", String(3), nullable=False),
    Column("balance", money_type(), nullable=False),
    Column("last_transaction_id", Integer, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)
orders = Table(
    "venue_orders",
    VENUE_METADATA,
    _account_key(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("closes", Integer),
    Column("client_id", String(128), nullable=False),
    Column("instrument", String(7), nullable=False),
    Column("series", String(60), nullable=False),
    Column("units", Integer, CheckConstraint("units != 0", name="units"), nullable=False),
    Column("requested_at", UtcTime, nullable=False),
    Column("arrives_at", UtcTime, nullable=False),
    Column("stop_loss", price_type()),
    Column("take_profit", price_type()),
    *_terms(),
    sqlite_with_rowid=False,
)
trades = Table(
    "venue_trades",
    VENUE_METADATA,
    _account_key(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("client_id", String(128), nullable=False),
    Column("instrument", String(7), nullable=False),
    Column("series", String(60), nullable=False),
    Column("units", Integer, CheckConstraint("units != 0", name="units"), nullable=False),
    Column("price", price_type(), nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("stop_loss", price_type()),
    Column("take_profit", price_type()),
    Column("margin", money_type(), nullable=False),
    *_terms(),
    sqlite_with_rowid=False,
)
prices = Table(
    "venue_prices",
    VENUE_METADATA,
    _account_key(),
    Column("instrument", String(7), primary_key=True),
    Column("price", price_type(), CheckConstraint("price > 0", name="price"), nullable=False),
    sqlite_with_rowid=False,
)
transactions = Table(
    "venue_transactions",
    VENUE_METADATA,
    _account_key(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("time", UtcTime, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("balance", money_type(), nullable=False),
    Column("order_id", Integer),
    Column("trade_id", Integer),
    Column("client_id", String(128), nullable=False),
    Column("instrument", String(7), nullable=False),
    Column("units", Integer, nullable=False),
    Column("price", price_type()),
    Column("rate", rate_type()),
    Column("pnl", money_type(), nullable=False),
    Column("commission", money_type(), nullable=False),
    Column("swap", money_type(), nullable=False),
    Column("reason", String(60), nullable=False),
    Column("stop_loss", price_type()),
    Column("take_profit", price_type()),
    CheckConstraint(one_of("kind", TransactionKind), name="kind"),
    CheckConstraint("id > 0", name="id"),
    sqlite_with_rowid=False,
)
progress = Table(
    "venue_progress",
    VENUE_METADATA,
    _account_key(),
    Column("series", String(60), primary_key=True),
    Column("closed_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

for _change in ("UPDATE", "DELETE"):
    event.listen(
        transactions,
        "after_create",
        DDL(  # type: ignore[no-untyped-call]
            f"CREATE TRIGGER venue_transactions_no_{_change.lower()} "
            f"BEFORE {_change} ON venue_transactions "
            "BEGIN SELECT RAISE(ABORT, 'the log of a venue is never changed'); END"
        ),
    )

# Statements are built once: SQLAlchemy then finds their compiled form by identity.
_ACCOUNT = select(accounts).where(accounts.c.key == bindparam("key"))
_ORDERS = select(orders).where(orders.c.account == bindparam("key")).order_by(orders.c.id)
_TRADES = select(trades).where(trades.c.account == bindparam("key")).order_by(trades.c.id)
_PRICES = select(prices.c.instrument, prices.c.price).where(prices.c.account == bindparam("key"))
_LOG = (
    select(transactions)
    .where(transactions.c.account == bindparam("key"), transactions.c.id > bindparam("last_id"))
    .order_by(transactions.c.id)
    .limit(bindparam("row_limit"))
)
_SAVE_ACCOUNT = (
    update(accounts)
    .where(accounts.c.key == bindparam("of_key"))
    .values(
        balance=bindparam("new_balance"), last_transaction_id=bindparam("new_last_transaction_id")
    )
)
_ADD_LINES = insert(transactions)
_TERMS_OF_COSTS = ("spread_pips", "slippage_pips", "commission_per_lot", "swap_per_lot_day")
_TICKET_FIELDS = tuple(
    field.name for field in fields(Ticket) if field.name not in ("costs", "leverage")
)
_TRADE_FIELDS = tuple(
    field.name for field in fields(OpenTrade) if field.name not in ("costs", "leverage")
)
_LINE_FIELDS = tuple(field.name for field in fields(VenueTransaction))


class UnknownVenueAccount(LookupError):
    """No account of this key was ever opened at the simulated venue; nothing was done."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A table whose rows of one account are the entries of one of the book's dictionaries."""

    table: Table
    put: Any
    remove: Any


def _held(table: Table, key: str) -> _Held:
    """Return the table with its statements; `key` is the column beside the account."""
    columns = table.c
    upsert = sqlite.insert(table)
    upsert = upsert.on_conflict_do_update(
        index_elements=["account", key],
        set_={
            column.name: upsert.excluded[column.name]
            for column in columns
            if column.name not in ("account", key)
        },
    )
    remove = delete(table).where(
        columns.account == bindparam("of_account"), columns[key] == bindparam("of_key")
    )
    return _Held(table, upsert, remove)


_HELD_ORDERS = _held(orders, "id")
_HELD_TRADES = _held(trades, "id")
_HELD_PRICES = _held(prices, "instrument")
PUT_PROGRESS = _held(progress, "series").put


def load_book(connection: Connection, key: str) -> Book:
    """Return the account's book as it was last saved; UnknownVenueAccount if there is none."""
    account = load_account(connection, key)
    of_key = {"key": key}
    return Book(
        account.currency,
        account.balance,
        last_transaction_id=account.last_transaction_id,
        orders=load_orders(connection, key),
        trades=load_trades(connection, key),
        prices=dict(connection.execute(_PRICES, of_key).all()),
    )


def load_account(connection: Connection, key: str) -> Row[Any]:
    """Return the account's row; UnknownVenueAccount if there is none."""
    account = connection.execute(_ACCOUNT, {"key": key}).one_or_none()
    if account is None:
        raise UnknownVenueAccount(
            f"the simulated venue has no account {key!r}: open it before it is used"
        )
    return account


def load_orders(connection: Connection, key: str) -> dict[int, PendingOrder]:
    """Return the account's pending requests by id, oldest first."""
    rows = connection.execute(_ORDERS, {"key": key}).mappings()
    return {row["id"]: _order(row) for row in rows}


def load_trades(connection: Connection, key: str) -> dict[int, OpenTrade]:
    """Return the account's open trades by id, oldest first."""
    rows = connection.execute(_TRADES, {"key": key}).mappings()
    return {row["id"]: _trade(row) for row in rows}


@dataclass(frozen=True, slots=True)
class Saved:
    """What a book held when it was loaded; the book's own dictionaries change after it."""

    orders: Mapping[int, PendingOrder]
    trades: Mapping[int, OpenTrade]
    prices: Mapping[str, Any]

    @classmethod
    def of(cls, book: Book) -> Saved:
        """Return what the book holds now."""
        return cls(dict(book.orders), dict(book.trades), dict(book.prices))


def save_book(connection: Connection, key: str, book: Book, saved: Saved) -> None:
    """Write what changed since `saved`, and append the book's new lines to the log."""
    _save(connection, key, _HELD_ORDERS, saved.orders, book.orders, _order_row)
    _save(connection, key, _HELD_TRADES, saved.trades, book.trades, _trade_row)
    _save(connection, key, _HELD_PRICES, saved.prices, book.prices, _price_row)
    if book.transactions:
        connection.execute(_ADD_LINES, [_line_row(key, line) for line in book.transactions])
        connection.execute(
            _SAVE_ACCOUNT,
            {
                "of_key": key,
                "new_balance": book.balance,
                "new_last_transaction_id": book.last_transaction_id,
            },
        )


def read_log(
    connection: Connection, key: str, last_id: int, limit: int
) -> Iterable[VenueTransaction]:
    """Yield the lines of the account's log with an id above `last_id`, oldest first."""
    bound = {"key": key, "last_id": last_id, "row_limit": limit}
    for row in connection.execute(_LOG, bound).mappings():
        line = {name: row[name] for name in _LINE_FIELDS}
        yield VenueTransaction(**{**line, "kind": TransactionKind(line["kind"])})


def _save(
    connection: Connection,
    key: str,
    held: _Held,
    before: Mapping[Any, Any],
    after: Mapping[Any, Any],
    row_of: Any,
) -> None:
    gone = [{"of_account": key, "of_key": name} for name in before if name not in after]
    if gone:
        connection.execute(held.remove, gone)
    # Entries are frozen, so an entry that changed is another object.
    put = [row_of(key, name, now) for name, now in after.items() if before.get(name) is not now]
    if put:
        connection.execute(held.put, put)


def _order(row: RowMapping) -> PendingOrder:
    ticket = Ticket(**{name: row[name] for name in _TICKET_FIELDS}, **_read_terms(row))
    return PendingOrder(row["id"], ticket, row["closes"])


def _trade(row: RowMapping) -> OpenTrade:
    return OpenTrade(**{name: row[name] for name in _TRADE_FIELDS}, **_read_terms(row))


def _read_terms(row: RowMapping) -> dict[str, Any]:
    costs = CostModel(
        **{name: row[name] for name in _TERMS_OF_COSTS}, currency=row["cost_currency"]
    )
    return {"costs": costs, "leverage": row["leverage"]}


def _terms_row(costs: CostModel, leverage: Any) -> dict[str, Any]:
    return {
        **{name: getattr(costs, name) for name in _TERMS_OF_COSTS},
        "cost_currency": costs.currency,
        "leverage": leverage,
    }


def _order_row(key: str, order_id: int, order: PendingOrder) -> dict[str, Any]:
    ticket = order.ticket
    return {
        "account": key,
        "id": order_id,
        "closes": order.closes,
        **{name: getattr(ticket, name) for name in _TICKET_FIELDS},
        **_terms_row(ticket.costs, ticket.leverage),
    }


def _trade_row(key: str, _trade_id: int, trade: OpenTrade) -> dict[str, Any]:
    return {
        "account": key,
        **{name: getattr(trade, name) for name in _TRADE_FIELDS},
        **_terms_row(trade.costs, trade.leverage),
    }


def _price_row(key: str, instrument: str, price: Any) -> dict[str, Any]:
    return {"account": key, "instrument": instrument, "price": price}


def _line_row(key: str, line: VenueTransaction) -> dict[str, Any]:
    row = {name: getattr(line, name) for name in _LINE_FIELDS}
    return {"account": key, **row, "kind": line.kind.value}
