"""The one check of everything that the order protocol promises, on the two databases alone.

It believes no flag: our ledger is rebuilt from fills and compared with the venue's own log, to the
last digit. `problems` is for a system at rest, after a recovery and a cycle; `doubled` holds at any
instant, also between a death and the recovery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from sqlalchemy import select

from lts_web.store.engine import Database, Session
from lts_web.store.models import (
    AuditLogRecord,
    BrokerAccountRecord,
    CycleRecord,
    DecisionRecord,
    FillRecord,
    LeaseRecord,
    OrderEventRecord,
    OrderRecord,
    PositionRecord,
)
from lts_web.store.venues import Venues
from lts_web.trading.matching import TransactionKind, VenueTransaction
from lts_web.trading.orders import TRANSITIONS, UNRESOLVED_STATUSES, OrderStatus
from lts_web.trading.positions import Fill, fold_fills, ledger_balance

WHOLE_LOG = 10**9


def problems(database: Database, venues: Venues) -> list[str]:
    """Return what is lost, doubled, unresolved or inconsistent, one sentence each."""
    with database.read() as session:
        found = [*_cycles(session), *_orders(session)]
        for account in session.scalars(select(BrokerAccountRecord)):
            log = venues.venue(account.venue_key).transactions_since(0, WHOLE_LOG)
            found += [
                *_log_and_fills(session, account, log),
                *_log_and_orders(session, account, log),
                *_balances(session, account, venues),
                *_positions(session, account, venues),
                *_pending(session, account, venues),
            ]
    return found


def doubled(database: Database, venues: Venues) -> list[str]:
    """Return what must never be, not even right after a death: anything done twice, or unwritten.

    What the venue knows and we do not is no problem yet, but an order that we never wrote is.
    """
    with database.read() as session:
        found = list(_events(session))
        for account in session.scalars(select(BrokerAccountRecord)):
            log = venues.venue(account.venue_key).transactions_since(0, WHOLE_LOG)
            found += list(_sent_twice(session, account, log))
            fills = _fills(session, account.id)
            known = {str(line.id) for line in log}
            found += [
                f"fill {one.transaction_id} is not the venue's"
                for one in fills
                if one.transaction_id not in known
            ]
            if ledger_balance(account.initial_capital, fills) != account.balance:
                found.append(f"account {account.id}: the balance does not follow from the fills")
    return found


def steps_taken(session: Session, portfolio_id: int) -> list[str]:
    """Return the slots of the portfolio's cycles in the order in which they were claimed."""
    rows = select(CycleRecord.slot).where(
        CycleRecord.portfolio_id == portfolio_id, CycleRecord.status != "missed"
    )
    return list(session.scalars(rows.order_by(CycleRecord.id)))


# --- cycles ---------------------------------------------------------------------------------------


def _cycles(session: Session) -> Iterator[str]:
    running = session.scalars(select(CycleRecord.id).where(CycleRecord.status == "running"))
    yield from (f"cycle {cycle_id} still counts as running" for cycle_id in running)
    held = session.scalars(select(LeaseRecord).where(LeaseRecord.owner.is_not(None)))
    yield from (f"portfolio {lease.portfolio_id} is held by {lease.owner}" for lease in held)
    decided = select(DecisionRecord.asset_id, DecisionRecord.market_time)
    for (asset_id, time), times in Counter(session.execute(decided)).items():
        if times > 1:
            yield f"asset {asset_id} decided {times} times at {time}"
    failed = session.scalars(select(CycleRecord).where(CycleRecord.status == "failed"))
    yield from (f"cycle {cycle.id} failed: {cycle.errors}" for cycle in failed)


# --- orders ---------------------------------------------------------------------------------------


def _orders(session: Session) -> Iterator[str]:
    unresolved = [status.value for status in UNRESOLVED_STATUSES]
    for order in session.scalars(select(OrderRecord).where(OrderRecord.status.in_(unresolved))):
        yield f"order {order.id} is still {order.status}"
    seen = Counter(
        (order.asset_id, order.market_time, order.kind)
        for order in session.scalars(select(OrderRecord).where(OrderRecord.cycle_id.is_not(None)))
    )
    yield from (f"{times} orders of one step: {key}" for key, times in seen.items() if times > 1)
    yield from _events(session)


def _events(session: Session) -> Iterator[str]:
    """Every order's events are one lawful chain that ends in its state, each with its audit row."""
    audited = Counter(
        (row.object_id, row.action)
        for row in session.execute(
            select(AuditLogRecord.object_id, AuditLogRecord.action).where(
                AuditLogRecord.object_type == "order"
            )
        )
    )
    for order in session.scalars(select(OrderRecord)):
        rows = select(OrderEventRecord).where(OrderEventRecord.order_id == order.id)
        events = list(session.scalars(rows.order_by(OrderEventRecord.id)))
        states = [event.to_status for event in events]
        if not states or states[-1] != order.status or events[0].from_status is not None:
            yield f"order {order.id} is {order.status}, its events say {states}"
        for before, after in pairwise(events):
            lawful = {state.value for state in TRANSITIONS[OrderStatus(before.to_status)]}
            if after.from_status != before.to_status or after.to_status not in lawful:
                yield f"order {order.id}: {before.to_status} became {after.to_status}"
        for state, times in Counter(states).items():
            if audited[order.id, f"order.{state}"] != times:
                yield f"order {order.id}: {state} was not audited as often as it happened"


def _log_and_orders(
    session: Session, account: BrokerAccountRecord, log: Sequence[VenueTransaction]
) -> Iterator[str]:
    yield from _sent_twice(session, account, log)
    sent = {line.client_id for line in log if line.kind is TransactionKind.ORDER}
    refused = {line.client_id for line in log if line.kind is TransactionKind.REJECT}
    for order in session.scalars(select(OrderRecord).where(OrderRecord.account_id == account.id)):
        never_sent = order.status in (OrderStatus.EXPIRED_UNSENT, OrderStatus.DENIED)
        if order.client_order_id in sent | refused and never_sent:
            yield f"order {order.id} is {order.status}, but the venue has it"
        must_be_sent = order.origin != "venue" and order.status != OrderStatus.REJECTED
        if must_be_sent and not never_sent and order.client_order_id not in sent:
            yield f"order {order.id} is {order.status}, but the venue does not have it"


def _sent_twice(
    session: Session, account: BrokerAccountRecord, log: Sequence[VenueTransaction]
) -> Iterator[str]:
    """Each intent is at most one request at the venue, and each request is an intent of ours."""
    ours = set(session.scalars(select(OrderRecord.client_order_id)))
    requests = [
        line for line in log if line.kind in (TransactionKind.ORDER, TransactionKind.REJECT)
    ]
    for client_id, times in Counter(line.client_id for line in requests).items():
        if times > 1:
            yield f"{client_id} was sent {times} times"
        if client_id not in ours:
            yield f"{client_id} was sent and never written down"
    entries = Counter(
        line.client_id for line in log if line.kind is TransactionKind.FILL and line.client_id
    )
    for client_id, times in entries.items():
        if times > 1:
            yield f"{client_id} was filled {times} times"


def _pending(session: Session, account: BrokerAccountRecord, venues: Venues) -> Iterator[str]:
    waiting = {order.ticket.client_id for order in venues.venue(account.venue_key).pending_orders()}
    rows = select(OrderRecord.client_order_id).where(
        OrderRecord.account_id == account.id, OrderRecord.status == OrderStatus.ACCEPTED
    )
    if (ours := set(session.scalars(rows))) != waiting:
        yield f"accepted by our books: {ours}, waiting at the venue: {waiting}"


# --- fills, balances, positions -------------------------------------------------------------------


def _fills(session: Session, account_id: int) -> list[Fill]:
    rows = session.execute(
        select(FillRecord, PositionRecord.broker_trade_id)
        .join(PositionRecord, PositionRecord.id == FillRecord.position_id)
        .where(FillRecord.account_id == account_id)
        .order_by(FillRecord.id)
    )
    return [
        Fill(
            transaction_id=record.venue_transaction_id,
            position_key=trade,
            instrument=record.instrument,
            units=record.units,
            price=record.price,
            time=record.market_time,
            rate=record.rate,
            commission=record.commission,
            swap=record.swap,
            reason=record.reason,
        )
        for record, trade in rows
    ]


def _log_and_fills(
    session: Session, account: BrokerAccountRecord, log: Sequence[VenueTransaction]
) -> Iterator[str]:
    """Every fill of the venue is booked exactly once, as it was."""
    booked = Counter(_fills(session, account.id))
    happened = Counter(_fill_of(line) for line in log if line.kind is TransactionKind.FILL)
    yield from (
        f"fill {one.transaction_id} of the venue is not booked" for one in happened - booked
    )
    yield from (
        f"fill {one.transaction_id} is booked beyond the venue's log" for one in booked - happened
    )


def _fill_of(line: VenueTransaction) -> Fill:
    assert line.price is not None
    assert line.rate is not None
    return Fill(
        transaction_id=str(line.id),
        position_key=str(line.trade_id),
        instrument=line.instrument,
        units=line.units,
        price=line.price,
        time=line.time,
        rate=line.rate,
        commission=line.commission,
        swap=line.swap,
        reason=line.reason,
    )


def _balances(session: Session, account: BrokerAccountRecord, venues: Venues) -> Iterator[str]:
    """The ledger rebuilt from fills equals the venue's balance, and the cursor is at the end."""
    fills = _fills(session, account.id)
    ledger = ledger_balance(account.initial_capital, fills)
    state = venues.venue(account.venue_key).account()
    for name, balance in (("our account", account.balance), ("the venue", state.balance)):
        if balance != ledger:
            yield f"{name} has {balance}, the fills of account {account.id} make {ledger}"
    if account.last_transaction_id != state.last_transaction_id:
        yield (
            f"account {account.id} was read to {account.last_transaction_id} of "
            f"{state.last_transaction_id}"
        )
    if account.sync_error is not None:
        yield f"account {account.id} cannot be read: {account.sync_error}"


def _positions(session: Session, account: BrokerAccountRecord, venues: Venues) -> Iterator[str]:
    """Positions are the venue's trades, and what their fills make of them."""
    folded = fold_fills(_fills(session, account.id))
    records = {
        record.broker_trade_id: record
        for record in session.scalars(
            select(PositionRecord).where(PositionRecord.account_id == account.id)
        )
    }
    for key, record in records.items():
        position = folded.get(key)
        if position is None or (record.units, record.realized_pnl, record.is_open) != (
            position.units,
            position.realized_pnl,
            position.is_open,
        ):
            yield f"position {record.id} is not what its fills make"
    ours = {
        (key, one.units, one.entry_price, one.stop_loss, one.take_profit)
        for key, one in records.items()
        if one.is_open
    }
    theirs = {
        (str(one.id), one.units, one.price, one.stop_loss, one.take_profit)
        for one in venues.venue(account.venue_key).open_trades()
    }
    if ours != theirs:
        yield f"open positions are {sorted(ours)}, open trades are {sorted(theirs)}"
