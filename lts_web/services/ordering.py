"""Write, send, write: how an approved intent becomes an order at the venue, at most once.

T1 commits the intent under the lease's token and reserves its exposure; the broker is called with
no transaction open; T2 commits what came of it, together with what the venue's log says since. An
outcome that nobody knows stays `unknown` until the venue has been read; nothing is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from lts_web.plugins.runner import PluginCallError
from lts_web.services.booking import (
    Execution,
    UnexplainedTransaction,
    book_execution,
    book_transactions,
    mark_accepted,
    set_status,
)
from lts_web.services.fencing import sending_until
from lts_web.services.runs import AssetRun, CycleRun
from lts_web.store import cycles as cycle_store
from lts_web.store import orders as store
from lts_web.store.audit import write_audit
from lts_web.store.decisions import add_decision, decision_values
from lts_web.store.engine import Database, Session
from lts_web.store.live import bump, portfolio_topic
from lts_web.store.models import (
    BrokerAccountRecord,
    OrderRecord,
    PositionRecord,
)
from lts_web.trading.codes import DenialCode
from lts_web.trading.decisions import action_of
from lts_web.trading.matching import TransactionKind, VenueTransaction
from lts_web.trading.orders import (
    Confirmed,
    Denied,
    NotSent,
    OrderIntent,
    OrderKind,
    OrderStatus,
    Outcome,
    Rejected,
    Unknown,
    client_order_id,
)
from lts_web.trading.ports import Clock
from lts_web.trading.risk import RiskState, deny, exposure_problem

LEASE_SECONDS = 120
Reach = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Written:
    """An intent that is committed and may now be sent, once."""

    order_id: int
    client_order_id: str
    send_before: datetime


class OrderDesk:
    """The only way from an intent to a broker.

    `reach` is told each step of the protocol by name; trials stop the process there.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        install: str,
        send_window: timedelta,
        reach: Reach = lambda _step: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._install = install
        self._send_window = send_window
        self._reach = reach

    def place(
        self, run: CycleRun, asset: AssetRun, intent: OrderIntent, ordinal: int = 0
    ) -> Outcome | None:
        """Carry one intent through the protocol and return what came of it; None: denied.

        `ordinal` tells apart the intents of one kind that an asset has in a cycle.
        """
        written = self.write_intent(run, asset, intent, ordinal)
        if isinstance(written, Denied):
            return None
        outcome = self._send(run, asset, intent, written)
        self._reach("send.after")
        self.write_outcome(run, asset, intent, written, outcome)
        return outcome

    # --- T1 ---------------------------------------------------------------------------------

    def write_intent(
        self, run: CycleRun, asset: AssetRun, intent: OrderIntent, ordinal: int = 0
    ) -> Written | Denied:
        """Commit the decision and the order `created`, or the order `denied`, under the lease.

        The limits that several processes share are judged here, under the write lock.
        """
        now = self._clock()
        with self._database.write() as session:
            denied = self._intent_denial(session, run, asset, intent, now)
            if denied is not None and denied.code is DenialCode.LEASE_LOST:
                asset.fail(denied.code, denied.detail)
                return denied
            written = self._add_order(session, run, asset, intent, ordinal, now, denied)
            bump(session, run.user_id, portfolio_topic(run.portfolio_id))
            self._reach("intent.before_commit")
        asset.order_ids.append(written.order_id)
        self._reach("intent.written")
        return denied if denied is not None else written

    def _intent_denial(
        self,
        session: Session,
        run: CycleRun,
        asset: AssetRun,
        intent: OrderIntent,
        now: datetime,
    ) -> Denied | None:
        until = now + timedelta(seconds=LEASE_SECONDS)
        if run.closed or not cycle_store.renew_lease(
            session, run.portfolio_id, run.lease_token, run.owner, until
        ):
            return deny(DenialCode.LEASE_LOST)
        working = store.working_orders(session, asset.id)
        if any(order.status == OrderStatus.UNKNOWN.value for order in working):
            return deny(DenialCode.OUTCOME_UNKNOWN)
        if working:
            return deny(DenialCode.ORDER_IN_FLIGHT)
        position = store.open_position(session, asset.id)
        if intent.kind is OrderKind.CLOSE:
            return None if position is not None else deny(DenialCode.NO_OPEN_POSITION)
        if position is not None:
            return deny(DenialCode.ASSET_POSITION_OPEN)
        bound = store.reserved(session, asset.account.id)
        if bound.open_positions >= asset.limits.max_open_positions:
            return deny(
                DenialCode.POSITION_LIMIT,
                f"{bound.open_positions} positions are open or on their way; "
                f"{asset.limits.max_open_positions} may be.",
            )
        state = self._risk_state(asset, bound)
        return exposure_problem(state, asset.limits, intent.notional)

    def _risk_state(self, asset: AssetRun, bound: store.Reserved) -> RiskState:
        account = asset.account
        equity = account.state.equity if account.state is not None else account.balance
        return RiskState(
            capital=asset.capital,
            equity=equity,
            free_margin=equity - bound.margin,
            exposure=bound.exposure,
            open_positions=bound.open_positions,
            account_currency=account.currency,
            leverage=asset.leverage,
        )

    def _add_order(
        self,
        session: Session,
        run: CycleRun,
        asset: AssetRun,
        intent: OrderIntent,
        ordinal: int,
        now: datetime,
        denied: Denied | None,
    ) -> Written:
        if denied is not None:
            asset.outcome, asset.code, asset.detail = "denied", denied.code.value, denied.detail
        else:
            asset.outcome, asset.code, asset.detail = "ordered", None, ""
        if asset.decision_id is None:
            asset.decision_id = add_decision(session, decision_values(asset, run, now))
        send_before = (asset.viewed_at or now) + self._send_window
        status = (OrderStatus.CREATED if denied is None else OrderStatus.DENIED).value
        code = denied.code.value if denied is not None else None
        detail = denied.detail if denied is not None else ""
        order_id = store.add_order(
            session,
            portfolio_id=run.portfolio_id,
            asset_id=asset.id,
            account_id=asset.account.id,
            cycle_id=run.id,
            decision_id=asset.decision_id,
            position_id=intent.position_id,
            order_key=f"{run.portfolio_id}:{asset.id}:{run.id}:{intent.kind.value}:{ordinal}",
            kind=intent.kind.value,
            origin=intent.origin.value,
            instrument=intent.instrument,
            side=intent.side.value,
            order_type=intent.order_type,
            status=status,
            units=intent.units,
            price=intent.decision_price,
            stop_loss=intent.stop_loss,
            take_profit=intent.take_profit,
            notional=intent.notional,
            margin=intent.margin,
            initial_risk=intent.initial_risk,
            binding_cap=intent.binding_cap,
            code=code,
            detail=detail,
            broker_trade_id=intent.trade_id,
            last_transaction_id=asset.account.last_transaction_id,
            lease_token=run.lease_token,
            send_before=send_before if denied is None else None,
            market_time=run.market_time,
            created_at=now,
            updated_at=now,
        )
        client_id = client_order_id(self._install, order_id)
        if denied is None:
            store.name_order(session, order_id, client_id)
        store.add_event(
            session,
            order_id=order_id,
            from_status=None,
            to_status=status,
            detail=detail or f"sized by the cap '{intent.binding_cap}'",
            market_time=run.market_time,
            recorded_at=now,
        )
        write_audit(
            session,
            actor="worker",
            action=f"order.{status}",
            object_type="order",
            object_id=order_id,
            details={"cycle": run.id, "units": intent.units, "code": code},
            now=now,
        )
        return Written(order_id, client_id, send_before)

    # --- the call ---------------------------------------------------------------------------

    def _send(
        self, run: CycleRun, asset: AssetRun, intent: OrderIntent, written: Written
    ) -> Outcome:
        """Call the broker, unless the lease or the time to send was lost meanwhile."""
        self._reach("send.before")
        assert asset.broker is not None
        with self._database.read() as session:
            token, owner = cycle_store.lease_token(session, run.portfolio_id)
        if token != run.lease_token or owner != run.owner or run.closed:
            return NotSent("another process has taken the portfolio over")
        now = self._clock()
        if now >= written.send_before:
            return NotSent("the time to send had passed")
        call = asset.broker.open if intent.kind is OrderKind.ENTRY else asset.broker.close
        with sending_until(written.send_before, now):
            return call(intent, written.client_order_id, run.market_time)

    # --- T2 ---------------------------------------------------------------------------------

    def write_outcome(
        self,
        run: CycleRun,
        asset: AssetRun,
        intent: OrderIntent,
        written: Written,
        outcome: Outcome,
    ) -> None:
        """Commit the outcome and what the venue's log says since, under the lease's token.

        With the token lost nothing is written: whoever holds the portfolio now reads the venue.
        """
        outcome, lines = self._compared_with_log(asset, intent, written, outcome)
        now = self._clock()
        with self._database.write() as session:
            token, _owner = cycle_store.lease_token(session, run.portfolio_id)
            order = session.get_one(OrderRecord, written.order_id)
            account = session.get_one(BrokerAccountRecord, asset.account.id)
            if token != run.lease_token:
                asset.fail(DenialCode.LEASE_LOST, "The portfolio was taken over meanwhile.")
                return
            if OrderStatus(order.status) is OrderStatus.CREATED:
                self._apply(session, run, asset, intent, order, account, outcome, now)
            try:
                with session.begin_nested():
                    book_transactions(session, account, run.user_id, lines, now)
            except UnexplainedTransaction as problem:
                session.expire_all()
                account.sync_error = asset.account.error = str(problem)[:500]
            cursor, balance = account.last_transaction_id, account.balance
            bump(session, run.user_id, portfolio_topic(run.portfolio_id))
            self._reach("outcome.before_commit")
        # Known only now: a cursor that was not committed would hide lines from the next reading.
        asset.account.last_transaction_id, asset.account.balance = cursor, balance
        self._reach("outcome.written")

    def _compared_with_log(
        self, asset: AssetRun, intent: OrderIntent, written: Written, outcome: Outcome
    ) -> tuple[Outcome, list[VenueTransaction]]:
        """Return the outcome as the venue's log has it, and the lines since the cursor.

        A plugin may say that the venue refused what the venue in fact took: the log decides.
        """
        account = asset.account
        if not isinstance(outcome, Confirmed | Rejected):
            return outcome, []
        if not account.has_log or asset.broker is None:
            if isinstance(outcome, Confirmed) and self._rate(asset) is None:
                return Unknown(
                    f"no rate converts {asset.instrument.quote} to {account.currency}, so that "
                    f"the fill cannot be booked"
                ), []
            return outcome, []
        try:
            lines = asset.broker.transactions_since(account.last_transaction_id)
        except PluginCallError as error:
            if isinstance(outcome, Rejected):
                return Unknown(f"{outcome.detail} The venue's log could not be read: {error}"), []
            return outcome, []  # the next reconciliation reads it; the order stands as confirmed
        taken = next(
            (
                line
                for line in lines
                if line.client_id == written.client_order_id and line.kind is TransactionKind.ORDER
            ),
            None,
        )
        if isinstance(outcome, Rejected) and taken is not None:
            return Confirmed(order_id=str(taken.order_id)), lines
        return outcome, lines

    def _rate(self, asset: AssetRun) -> Decimal | None:
        return asset.account.rates.rate(asset.instrument.quote, asset.account.currency)

    def _apply(
        self,
        session: Session,
        run: CycleRun,
        asset: AssetRun,
        intent: OrderIntent,
        order: OrderRecord,
        account: BrokerAccountRecord,
        outcome: Outcome,
        now: datetime,
    ) -> None:
        final = partial(set_status, session, order, market_time=run.market_time, now=now)
        if isinstance(outcome, Confirmed) and not asset.account.has_log:
            try:
                with session.begin_nested():
                    mark_accepted(session, order, outcome.order_id, run.market_time, now)
                    execution = self._assumed(session, run, asset, intent, order, outcome)
                    book_execution(session, account, run.user_id, order, execution, now)
            except UnexplainedTransaction as problem:
                # For one, a broker without a memory gives the same trade id again.
                session.expire_all()
                outcome = Unknown(f"The broker's answer cannot be booked: {problem}")
        if isinstance(outcome, Confirmed):
            mark_accepted(session, order, outcome.order_id, run.market_time, now)
        elif isinstance(outcome, Rejected):
            order.code, order.detail = outcome.code[:60], outcome.detail[:1000]
            asset.detail = outcome.detail
            final(OrderStatus.REJECTED, detail=outcome.detail)
        elif isinstance(outcome, NotSent):
            order.detail = outcome.detail
            asset.detail = outcome.detail
            final(OrderStatus.EXPIRED_UNSENT, detail=outcome.detail)
        else:
            assert isinstance(outcome, Unknown)
            order.detail = outcome.detail[:1000]
            asset.detail = f"The outcome is unknown: {outcome.detail}"
            asset.outcome_unknown = True
            final(OrderStatus.UNKNOWN, detail=outcome.detail)

    def _assumed(
        self,
        session: Session,
        run: CycleRun,
        asset: AssetRun,
        intent: OrderIntent,
        order: OrderRecord,
        outcome: Confirmed,
    ) -> Execution:
        """Return the execution of a broker that keeps no log: at its price, or at the quote.

        The trade is known by our own id, since nothing says that such a broker's ids are unique.
        """
        trade_id = str(order.client_order_id)
        if intent.position_id is not None:
            trade_id = session.get_one(PositionRecord, intent.position_id).broker_trade_id
        rate = self._rate(asset)
        assert rate is not None
        return Execution(
            transaction_id=f"assumed-{order.client_order_id}",
            trade_id=trade_id,
            units=intent.units,
            price=outcome.fill_price or intent.decision_price,
            rate=rate,
            time=run.market_time,
            reason="market" if intent.kind is OrderKind.ENTRY else "close",
            price_source=outcome.price_source,
        )


def denial_without_order(asset: AssetRun, denied: Denied) -> None:
    """Note in the asset's record why no order follows from its decision."""
    assert asset.decision is not None
    asset.outcome, asset.code, asset.detail = "denied", denied.code.value, denied.detail
    asset.trace = denied.trace
    if action_of(asset.decision) == "none":
        asset.outcome = "held"
