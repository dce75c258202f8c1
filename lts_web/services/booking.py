"""Books what a venue's transaction log says into orders, fills, positions and the ledger.

Every function works inside the caller's write transaction and applies a line exactly once. The
profit of a fill is computed here from prices, units and rate, never copied from the venue, so
that comparing the two balances proves something.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from lts_web.store import orders as store
from lts_web.store.audit import write_audit
from lts_web.store.engine import Session
from lts_web.store.models import BrokerAccountRecord, OrderRecord, PositionRecord
from lts_web.store.reports import insert_billing
from lts_web.store.rows import note, write_row
from lts_web.trading.codes import explain
from lts_web.trading.instruments import Side
from lts_web.trading.matching import FillReason, TransactionKind, VenueTransaction
from lts_web.trading.money import ZERO
from lts_web.trading.orders import (
    FINAL_STATUSES,
    OrderKind,
    OrderOrigin,
    OrderStatus,
    UnlawfulTransition,
)
from lts_web.trading.positions import Fill, FillError, Position, apply_fill

_VENUE_KINDS = {
    FillReason.STOP_LOSS.value: OrderKind.STOP_LOSS,
    FillReason.TAKE_PROFIT.value: OrderKind.TAKE_PROFIT,
}


class UnexplainedTransaction(Exception):
    """A line of the venue's log fits nothing of ours: a person must look; entries wait."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution to be booked, whichever way it was learned of."""

    transaction_id: str
    trade_id: str
    units: int
    price: Decimal
    rate: Decimal
    time: datetime
    reason: str
    commission: Decimal = ZERO
    swap: Decimal = ZERO
    price_source: str = "venue"


def book_transactions(
    session: Session,
    account: BrokerAccountRecord,
    user_id: int,
    lines: Iterable[VenueTransaction],
    now: datetime,
) -> int:
    """Apply the lines after the account's cursor, move the cursor, return how many there were.

    UnexplainedTransaction for a line that fits nothing; the caller rolls back and says so.
    """
    lines = list(lines)
    # Held for as long as they are booked, so that their rows are read together.
    _held = _load_named(session, account.id, lines) if len(lines) > 1 else []
    applied = 0
    try:
        for line in lines:
            if line.id <= account.last_transaction_id:
                continue
            _book_line(session, account, user_id, line, now)
            note(account, last_transaction_id=line.id, venue_balance=line.balance)
            applied += 1
    except UnexplainedTransaction:
        session.expire_all()  # the rows go back to what they were, and the objects follow
        raise
    if applied:
        write_row(
            session,
            account,
            balance=account.balance,
            venue_balance=account.venue_balance,
            last_transaction_id=account.last_transaction_id,
        )
    return applied


def _load_named(
    session: Session, account_id: int, lines: Iterable[VenueTransaction]
) -> list[OrderRecord | PositionRecord]:
    clients = {line.client_id for line in lines if line.client_id}
    trades = {str(line.trade_id) for line in lines if line.trade_id is not None}
    return store.load_named(session, account_id, clients, trades)


def _book_line(
    session: Session,
    account: BrokerAccountRecord,
    user_id: int,
    line: VenueTransaction,
    now: datetime,
) -> None:
    if line.kind is TransactionKind.TRANSFER:
        if line.pnl != account.initial_capital or account.last_transaction_id > 0:
            raise UnexplainedTransaction(
                f"transaction {line.id} moved {line.pnl} {account.currency} that LTS did not order"
            )
        return
    order = _order_of(session, account.id, line)
    if line.kind is TransactionKind.ORDER:
        if order is None:
            raise UnexplainedTransaction(
                f"transaction {line.id} is an order ({line.client_id or 'no client id'}) that is "
                f"not ours"
            )
        if OrderStatus(order.status) in FINAL_STATUSES:
            raise UnexplainedTransaction(
                f"transaction {line.id} is order {order.id}, which ended as {order.status}"
            )
        mark_accepted(session, order, str(line.order_id), line.time, now, str(line.id))
    elif line.kind in (TransactionKind.REJECT, TransactionKind.CANCEL):
        if order is not None:
            mark_refused(session, order, line, now)
    elif line.kind is TransactionKind.MODIFY:
        position = store.position_of_trade(session, account.id, str(line.trade_id))
        if position is not None:
            write_row(
                session,
                position,
                stop_loss=line.stop_loss,
                take_profit=line.take_profit,
                updated_at=now,
            )
            write_audit(
                session,
                actor="system",
                action="position.modified",
                object_type="position",
                object_id=position.id,
                details={"stop_loss": str(line.stop_loss), "take_profit": str(line.take_profit)},
                now=now,
            )
    else:
        _book_fill_line(session, account, user_id, order, line, now)


def _order_of(session: Session, account_id: int, line: VenueTransaction) -> OrderRecord | None:
    if line.client_id:
        found = store.by_client_id(session, account_id, line.client_id)
        if found is not None:
            return found
    if line.order_id is not None:
        return store.by_broker_id(session, account_id, str(line.order_id))
    return None


def mark_accepted(
    session: Session,
    order: OrderRecord,
    broker_order_id: str,
    market_time: datetime,
    now: datetime,
    transaction_id: str | None = None,
) -> None:
    """Note that the venue took the order; an order that is already further is left alone."""
    known_as = order.broker_order_id or broker_order_id
    if OrderStatus(order.status) in (
        OrderStatus.CREATED,
        OrderStatus.SUBMITTED,
        OrderStatus.UNKNOWN,
    ):
        set_status(
            session,
            order,
            OrderStatus.ACCEPTED,
            market_time=market_time,
            now=now,
            detail=f"the venue took it as order {broker_order_id}",
            transaction_id=transaction_id,
            broker_order_id=known_as,
        )
    elif known_as != order.broker_order_id:
        write_row(session, order, broker_order_id=known_as)


def mark_refused(
    session: Session, order: OrderRecord, line: VenueTransaction, now: datetime
) -> None:
    """Note a rejection or cancellation by the venue, unless the order is final already."""
    if OrderStatus(order.status) in FINAL_STATUSES:
        return
    rejected = line.kind is TransactionKind.REJECT
    write_row(session, order, code=line.reason, detail=explain(line.reason))
    set_status(
        session,
        order,
        OrderStatus.REJECTED if rejected else OrderStatus.CANCELLED,
        market_time=line.time,
        now=now,
        detail=order.detail,
        transaction_id=str(line.id),
    )


def set_status(
    session: Session,
    order: OrderRecord,
    status: OrderStatus,
    *,
    market_time: datetime,
    now: datetime,
    detail: str = "",
    transaction_id: str | None = None,
    **columns: Any,
) -> None:
    """Change the order's state, and columns with it, with its event and its audit row."""
    previous = order.status
    store.change_status(
        session,
        order,
        status,
        market_time=market_time,
        now=now,
        detail=detail,
        venue_transaction_id=transaction_id,
        **columns,
    )
    write_audit(
        session,
        actor="system",
        action=f"order.{status.value}",
        object_type="order",
        object_id=order.id,
        details={"from": previous, "to": status.value, "code": order.code, "detail": detail},
        now=now,
    )


def _book_fill_line(
    session: Session,
    account: BrokerAccountRecord,
    user_id: int,
    order: OrderRecord | None,
    line: VenueTransaction,
    now: datetime,
) -> None:
    if line.price is None or line.rate is None or line.trade_id is None:
        raise UnexplainedTransaction(f"fill {line.id} has no price, rate or trade")
    if store.fill_exists(session, account.id, str(line.id)):
        return
    if order is not None and line.instrument != order.instrument:
        raise UnexplainedTransaction(
            f"fill {line.id} is in {line.instrument}, its order {order.id} in {order.instrument}"
        )
    execution = Execution(
        transaction_id=str(line.id),
        trade_id=str(line.trade_id),
        units=line.units,
        price=line.price,
        rate=line.rate,
        time=line.time,
        reason=line.reason,
        commission=line.commission,
        swap=line.swap,
    )
    if order is None:
        order = _order_of_the_venue(session, account, execution, line, now)
    book_execution(session, account, user_id, order, execution, now)


def _order_of_the_venue(
    session: Session,
    account: BrokerAccountRecord,
    execution: Execution,
    line: VenueTransaction,
    now: datetime,
) -> OrderRecord:
    """Write the order that a stop or target hit at the venue amounts to."""
    position = store.position_of_trade(session, account.id, execution.trade_id)
    kind = _VENUE_KINDS.get(execution.reason)
    if position is None or kind is None:
        raise UnexplainedTransaction(
            f"fill {line.id} of {line.units} {line.instrument} belongs to no order of ours"
        )
    order = OrderRecord(
        portfolio_id=position.portfolio_id,
        asset_id=position.asset_id,
        account_id=account.id,
        position_id=position.id,
        order_key=f"venue:{account.id}:{line.id}",
        kind=kind.value,
        origin=OrderOrigin.VENUE.value,
        instrument=line.instrument,
        side=Side.of_units(line.units).value,
        order_type="stop" if kind is OrderKind.STOP_LOSS else "limit",
        status=OrderStatus.CREATED.value,
        units=line.units,
        price=position.stop_loss if kind is OrderKind.STOP_LOSS else position.take_profit,
        broker_order_id=str(line.order_id),
        broker_trade_id=execution.trade_id,
        last_transaction_id=line.id,
        market_time=line.time,
        created_at=now,
        updated_at=now,
    )
    session.add(order)
    session.flush()
    store.add_event(
        session,
        order_id=order.id,
        from_status=None,
        to_status=OrderStatus.CREATED.value,
        venue_transaction_id=str(line.id),
        detail=f"written because the venue hit the position's {kind.value.replace('_', ' ')}",
        market_time=line.time,
        recorded_at=now,
    )
    write_audit(
        session,
        actor="system",
        action=f"order.{order.status}",
        object_type="order",
        object_id=order.id,
        details={"transaction": line.id, "units": line.units, "reason": line.reason},
        now=now,
    )
    return order


def book_execution(
    session: Session,
    account: BrokerAccountRecord,
    user_id: int,
    order: OrderRecord,
    execution: Execution,
    now: datetime,
) -> None:
    """Book one execution: fill, position, order, ledger balance and billing row.

    UnexplainedTransaction: it contradicts what is booked; the caller rolls back.
    """
    _book_execution(session, account, user_id, order, execution, now)
    write_row(session, account, balance=account.balance)


def _book_execution(
    session: Session,
    account: BrokerAccountRecord,
    user_id: int,
    order: OrderRecord,
    execution: Execution,
    now: datetime,
) -> None:
    """Book one execution but for the account's row, of which only the balance is noted."""
    try:
        _book(session, account, user_id, order, execution, now)
    except (FillError, UnlawfulTransition) as contradiction:
        raise UnexplainedTransaction(
            f"fill {execution.transaction_id} contradicts what is booked: {contradiction}"
        ) from contradiction


def _book(
    session: Session,
    account: BrokerAccountRecord,
    user_id: int,
    order: OrderRecord,
    execution: Execution,
    now: datetime,
) -> None:
    left = order.units - order.filled_units
    if execution.units * left <= 0 or abs(execution.units) > abs(left):
        raise UnexplainedTransaction(
            f"fill {execution.transaction_id} of {execution.units} units does not fit order "
            f"{order.id}, of which {left} are left"
        )
    record = store.position_of_trade(session, account.id, execution.trade_id)
    if record is None and store.open_position(session, order.asset_id) is not None:
        raise UnexplainedTransaction(
            f"fill {execution.transaction_id} opens a second position of asset {order.asset_id}"
        )
    before = _position_value(record) if record is not None else None
    after = apply_fill(
        before,
        Fill(
            transaction_id=execution.transaction_id,
            position_key=execution.trade_id,
            instrument=order.instrument,
            units=execution.units,
            price=execution.price,
            time=execution.time,
            rate=execution.rate,
            commission=execution.commission,
            swap=execution.swap,
            reason=execution.reason,
        ),
    )
    realized = after.realized_pnl - (before.realized_pnl if before is not None else ZERO)
    if record is None:
        position_id = _add_position(session, account, order, after, execution, now)
    else:
        position_id = record.id
        _update_position(session, record, after, execution, now)
    store.add_fill(
        session,
        account_id=account.id,
        order_id=order.id,
        position_id=position_id,
        venue_transaction_id=execution.transaction_id,
        instrument=order.instrument,
        units=execution.units,
        price=execution.price,
        rate=execution.rate,
        realized_pnl=realized,
        commission=execution.commission,
        swap=execution.swap,
        reason=execution.reason,
        price_source=execution.price_source,
        market_time=execution.time,
        recorded_at=now,
    )
    note(account, balance=account.balance + realized - execution.commission - execution.swap)
    filled_units = order.filled_units + execution.units
    complete = filled_units == order.units
    set_status(
        session,
        order,
        OrderStatus.FILLED if complete else OrderStatus.PARTIALLY_FILLED,
        market_time=execution.time,
        now=now,
        detail=f"{execution.units} units at {execution.price} ({execution.reason})",
        transaction_id=execution.transaction_id,
        position_id=position_id,
        broker_trade_id=execution.trade_id,
        fill_price=execution.price,
        filled_units=filled_units,
    )
    insert_billing(
        session,
        [
            {
                "user_id": user_id,
                "portfolio_id": order.portfolio_id,
                "asset_id": order.asset_id,
                "cycle_id": order.cycle_id,
                "order_id": order.id,
                "kind": "trade",
                "currency": account.currency,
                "recorded_at": now,
            }
        ],
    )


def _position_value(record: PositionRecord) -> Position:
    return Position(
        key=record.broker_trade_id,
        instrument=record.instrument,
        side=Side.BUY if record.side == "long" else Side.SELL,
        units=record.units,
        opened_units=record.opened_units,
        entry_price=record.entry_price,
        opened_at=record.opened_at,
        exit_price=record.exit_price,
        closed_at=record.closed_at,
        realized_pnl=record.realized_pnl,
        commission=record.commission,
        swap=record.swap,
    )


def _add_position(
    session: Session,
    account: BrokerAccountRecord,
    order: OrderRecord,
    value: Position,
    execution: Execution,
    now: datetime,
) -> int:
    if order.kind != OrderKind.ENTRY.value:
        raise UnexplainedTransaction(
            f"fill {execution.transaction_id} closes trade {execution.trade_id}, which is not ours"
        )
    return store.add_position(
        session,
        portfolio_id=order.portfolio_id,
        asset_id=order.asset_id,
        account_id=account.id,
        broker_trade_id=execution.trade_id,
        instrument=order.instrument,
        side=value.side.position,
        units=value.units,
        opened_units=value.opened_units,
        entry_price=value.entry_price,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
        current_price=execution.price,
        commission=value.commission,
        swap=value.swap,
        initial_risk=order.initial_risk,
        open_risk=order.initial_risk,
        notional=order.notional,
        margin=order.margin,
        is_open=True,
        opened_at=value.opened_at,
        updated_at=now,
    )


def _update_position(
    session: Session,
    record: PositionRecord,
    value: Position,
    execution: Execution,
    now: datetime,
) -> None:
    closed: dict[str, Any] = {}
    if not value.is_open:
        closed = {
            "is_open": False,
            "closed_at": value.closed_at,
            "close_reason": execution.reason,
            "unrealized_pnl": ZERO,
            "open_risk": ZERO,
            "notional": ZERO,
            "margin": ZERO,
        }
    write_row(
        session,
        record,
        units=value.units,
        opened_units=value.opened_units,
        entry_price=value.entry_price,
        exit_price=value.exit_price,
        realized_pnl=value.realized_pnl,
        commission=value.commission,
        swap=value.swap,
        current_price=execution.price,
        updated_at=now,
        **closed,
    )
