"""Booking believes the venue's log, once; what contradicts our books is for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from lts_web.services.booking import UnexplainedTransaction, book_transactions
from lts_web.store.engine import Database, Session
from lts_web.store.models import (
    AuditLogRecord,
    BrokerAccountRecord,
    FillRecord,
    OrderEventRecord,
    OrderRecord,
    PositionRecord,
)
from lts_web.trading.matching import TransactionKind, VenueTransaction
from tests.house_of_trading import START, House, flat_bars

pytestmark = pytest.mark.req("SYS-013", "INT-007", "INT-013", "INT-08", "SYS-006")

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
CLIENT_ID = "lts-bookings-1"
MONEY = Decimal(10_000)
OPENED = VenueTransaction(1, START, TransactionKind.TRANSFER, MONEY, pnl=MONEY)
ACCEPTED = VenueTransaction(
    2,
    START,
    TransactionKind.ORDER,
    MONEY,
    order_id=2,
    client_id=CLIENT_ID,
    instrument="EUR_USD",
    units=1000,
)
ENTERED = VenueTransaction(
    3,
    START,
    TransactionKind.FILL,
    Decimal("9999.93"),
    order_id=2,
    trade_id=3,
    client_id=CLIENT_ID,
    instrument="EUR_USD",
    units=1000,
    price=Decimal("1.10010"),
    rate=Decimal(1),
    commission=Decimal("0.07"),
    reason="market",
)
STOPPED = VenueTransaction(
    4,
    START,
    TransactionKind.FILL,
    Decimal("9998.91"),
    order_id=4,
    trade_id=3,
    instrument="EUR_USD",
    units=-1000,
    price=Decimal("1.09910"),
    rate=Decimal(1),
    pnl=Decimal(-1),
    swap=Decimal("0.02"),
    reason="stop_loss",
)
LOG = (OPENED, ACCEPTED, ENTERED, STOPPED)


def furnished(folder: Path) -> House:
    """Return a house with one entry order that was written and not yet heard of."""
    house = House.build(folder)
    portfolio = house.portfolio()
    asset = house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([1.1])))
    with house.database.write() as session:
        order = OrderRecord(
            portfolio_id=portfolio,
            asset_id=asset,
            account_id=1,
            order_key="one",
            client_order_id=CLIENT_ID,
            kind="entry",
            origin="strategy",
            instrument="EUR_USD",
            side="buy",
            status="created",
            units=1000,
            stop_loss=Decimal("1.09910"),
            market_time=START,
            created_at=NOW,
            updated_at=NOW,
        )
        session.add(order)
        session.flush()
        session.add(
            OrderEventRecord(
                order_id=order.id,
                from_status=None,
                to_status="created",
                market_time=START,
                recorded_at=NOW,
            )
        )
    return house


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    house = furnished(tmp_path)
    yield house.database
    house.close()


def book(database: Database, *lines: VenueTransaction) -> int:
    with database.write() as session:
        account = session.get_one(BrokerAccountRecord, 1)
        return book_transactions(session, account, 1, lines, NOW)


def told(database: Database) -> tuple[object, ...]:
    """Return what is booked: cursor, balances, orders, fills and positions, and how many rows."""
    with database.read() as session:
        account = session.get_one(BrokerAccountRecord, 1)
        orders = session.execute(select(OrderRecord.kind, OrderRecord.status)).all()
        fills = session.execute(select(FillRecord.venue_transaction_id, FillRecord.units)).all()
        positions = session.execute(select(PositionRecord.units, PositionRecord.realized_pnl)).all()
        return (
            account.last_transaction_id,
            account.balance,
            account.venue_balance,
            [tuple(row) for row in orders],
            [tuple(row) for row in fills],
            [tuple(row) for row in positions],
            rows(session, OrderEventRecord),
            rows(session, AuditLogRecord),
        )


def rows(session: Session, record: type[OrderEventRecord | AuditLogRecord]) -> int:
    return session.scalar(select(func.count()).select_from(record)) or 0


def refused(database: Database, *lines: VenueTransaction) -> str:
    """Book lines that must be refused; nothing of them may stay."""
    before = told(database)
    with pytest.raises(UnexplainedTransaction) as refusal:
        book(database, *lines)
    assert told(database) == before
    return str(refusal.value)


def test_the_whole_log_is_booked_to_the_venues_own_balance(database: Database) -> None:
    assert book(database, *LOG) == 4
    cursor, balance, venue_balance, orders, fills, positions, *_ = told(database)
    assert (cursor, balance, venue_balance) == (4, Decimal("9998.9100"), Decimal("9998.9100"))
    assert orders == [("entry", "filled"), ("stop_loss", "filled")]
    assert fills == [("3", 1000), ("4", -1000)]
    assert positions == [(0, Decimal(-1))]


def test_the_order_of_the_venue_is_audited_like_any_other(database: Database) -> None:
    book(database, *LOG)
    with database.read() as session:
        actions = session.scalars(
            select(AuditLogRecord.action)
            .where(AuditLogRecord.object_type == "order", AuditLogRecord.object_id == 2)
            .order_by(AuditLogRecord.id)
        )
        assert list(actions) == ["order.created", "order.filled"]


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cuts=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=6))
def test_however_often_and_in_whatever_pieces_it_is_read(
    database: Database, cuts: list[tuple[int, int]]
) -> None:
    """Readings that overlap, repeat or end early lead to the same books as one reading."""
    book(database, *LOG)
    with TemporaryDirectory() as folder:
        house = furnished(Path(folder))
        read = 0
        for start, end in cuts:
            # A reading begins at or before what is known, never behind a gap.
            book(house.database, *LOG[min(start, read) : end])
            read = max(read, end)
        book(house.database, *LOG)
        assert book(house.database, *LOG) == 0
        assert told(house.database) == told(database)
        house.close()


def test_money_that_we_did_not_move(database: Database) -> None:
    book(database, OPENED)
    deposit = VenueTransaction(2, START, TransactionKind.TRANSFER, MONEY + 5, pnl=Decimal(5))
    assert "did not order" in refused(database, deposit)


def test_an_order_that_is_not_ours(database: Database) -> None:
    assert "not ours" in refused(database, OPENED, replace(ACCEPTED, client_id="by-hand"))


def test_an_order_that_was_given_up_as_never_sent(database: Database) -> None:
    with database.write() as session:
        session.get_one(OrderRecord, 1).status = "expired_unsent"
    assert "ended as expired_unsent" in refused(database, OPENED, ACCEPTED)
    assert "contradicts" in refused(database, OPENED, replace(ENTERED, id=2))


def test_a_fill_that_closes_more_than_is_open(database: Database) -> None:
    book(database, *LOG[:3])
    assert "across zero" in refused(database, replace(STOPPED, units=-2000))


def test_a_fill_of_a_trade_that_is_not_ours(database: Database) -> None:
    assert "belongs to no order" in refused(database, OPENED, replace(STOPPED, id=2, trade_id=99))


def test_what_comes_before_a_line_for_a_person_is_not_booked_either(database: Database) -> None:
    """The cursor stands where it stood: the next reading begins with the same lines."""
    stranger = replace(ACCEPTED, id=4, order_id=4, client_id="by-hand")
    assert "not ours" in refused(database, *LOG[:3], stranger)
    assert book(database, *LOG) == 4
