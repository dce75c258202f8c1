"""Reading the venues: bars pass through simulated accounts, and what they did is booked.

A read that fails is not an empty read: the account then counts as unreadable, its entries wait,
and nothing is concluded about any order. An order whose outcome was unknown ends here, by what a
complete reading of the log shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from lts_web.plugins.runner import PluginCallError
from lts_web.services.booking import UnexplainedTransaction, book_transactions, set_status
from lts_web.services.market_data import BarStore
from lts_web.services.runs import AccountRun
from lts_web.store import orders as store
from lts_web.store.audit import write_audit
from lts_web.store.engine import BUSY_TIMEOUT_MILLISECONDS, Database, Session
from lts_web.store.live import bump, portfolio_topic
from lts_web.store.models import BrokerAccountRecord, CycleRecord, OrderRecord
from lts_web.store.venues import Venues
from lts_web.trading.calendar import timeframe
from lts_web.trading.market import Bar
from lts_web.trading.matching import AccountState, VenueTransaction
from lts_web.trading.money import RateTable
from lts_web.trading.orders import OrderStatus
from lts_web.trading.ports import Clock, Series

PAGE = 1000
# How long after its last moment to be sent an order is still waited for in the venue's log: longer
# than a request that was let through in time may wait for the venue's write lock.
QUIET_PERIOD = timedelta(seconds=BUSY_TIMEOUT_MILLISECONDS / 1000 + 5)


class Reconciler:
    """Advances simulated venues and keeps our books equal to what the venues tell."""

    def __init__(
        self,
        database: Database,
        venues: Venues,
        bars: BarStore,
        clock: Clock,
        owner_alive: Callable[[str], bool | None],
        reach: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._database = database
        self._venues = venues
        self._bars = bars
        self._clock = clock
        self._owner_alive = owner_alive
        self._reach = reach
        self._opened: set[str] = set()

    def advance(
        self, account: BrokerAccountRecord, series: Iterable[Series], market_time: datetime
    ) -> None:
        """Let all bars that have closed by `market_time` pass through a simulated account.

        A series that the account has not seen before starts with its last bar: what lies before
        only tells the price.
        """
        if account.venue_key not in self._opened:
            self._venues.open_account(
                account.venue_key, account.currency, account.initial_capital, market_time
            )
            self._opened.add(account.venue_key)
        progress = self._venues.progress(account.venue_key)
        bars: dict[str, list[Bar]] = {}
        lengths: dict[str, int] = {}
        for one in series:
            reached = progress.get(one.key)
            if reached is None:
                bars[one.key] = self._bars.bars(one, market_time, 1)
            else:
                bars[one.key] = self._bars.bars_between(one, reached, market_time)
            lengths[one.key] = int(timeframe(one.timeframe).total_seconds())
        self._venues.advance(account.venue_key, market_time, bars, lengths)
        self._reach("venue.advanced")

    def prices(self, series: Iterable[Series], market_time: datetime) -> RateTable:
        """Return conversion by the last prices of the series known at `market_time`."""
        prices = {}
        for one in series:
            price = self._bars.last_price(one, market_time)
            if price is not None:
                prices[one.instrument] = price
        return RateTable(prices)

    def sync(self, account: AccountRun, portfolio_id: int, user_id: int) -> None:
        """Read the account from its venue and book what is new; note in `account` how it went."""
        # Judged before the log is read: whoever could still send then may do so during the reading.
        unsendable = self._unsendable(account)
        lines = self._read(account)
        self._reach("sync.read")
        with self._database.read() as session:
            record = session.get_one(BrokerAccountRecord, account.id)
            unresolved = store.unresolved_orders(session, account.id)
            if not lines:
                account.error = account.error or _balance_problem(account, record)
            quiet = account.error is None and record.sync_error is None
            quiet = quiet and not unresolved and not lines
        if not quiet:
            self._write(account, portfolio_id, user_id, lines, unsendable)
            self._reach("sync.applied")
        with self._database.read() as session:
            record = session.get_one(BrokerAccountRecord, account.id)
            bound = store.reserved(session, account.id)
            account.balance = record.balance
            account.last_transaction_id = record.last_transaction_id
        account.exposure, account.margin = bound.exposure, bound.margin
        account.open_positions = bound.open_positions

    def _read(self, account: AccountRun) -> list[VenueTransaction]:
        """Return all lines since the cursor and read the account's state, or note the failure."""
        broker = account.broker
        if broker is None:
            account.error = account.error or "no asset of this account has a working broker plugin"
            return []
        if not account.has_log:
            return []
        with self._database.read() as session:
            cursor = session.get_one(BrokerAccountRecord, account.id).last_transaction_id
        lines: list[VenueTransaction] = []
        try:
            while True:
                page = broker.transactions_since(cursor)
                lines.extend(page)
                if len(page) < PAGE:
                    break
                cursor = page[-1].id
            state = broker.account()
        except PluginCallError as error:
            account.error = f"the account could not be read: {error}"[:500]
            return []
        account.error = _contradiction(account, state, lines[-1].id if lines else cursor)
        if account.error is not None:
            return []
        account.state = state
        return lines

    def _write(
        self,
        account: AccountRun,
        portfolio_id: int,
        user_id: int,
        lines: list[VenueTransaction],
        unsendable: frozenset[int],
    ) -> None:
        now = self._clock()
        with self._database.write() as session:
            record = session.get_one(BrokerAccountRecord, account.id)
            if account.error is None:
                try:
                    with session.begin_nested():
                        book_transactions(session, record, user_id, lines, now)
                except UnexplainedTransaction as problem:
                    session.refresh(record)
                    account.error = str(problem)[:500]
                account.error = account.error or _balance_problem(account, record)
            if (record.sync_error is None) != (account.error is None):
                readable = account.error is None
                write_audit(
                    session,
                    actor="worker",
                    action="account.readable" if readable else "account.unreadable",
                    object_type="account",
                    object_id=record.id,
                    details={"error": account.error},
                    now=now,
                )
            record.sync_failures = 0 if account.error is None else record.sync_failures + 1
            record.sync_error = account.error
            record.synced_at = now if account.error is None else record.synced_at
            for order in store.unresolved_orders(session, account.id):
                self._resolve(session, account, order, order.id in unsendable, now)
            bump(session, user_id, portfolio_topic(portfolio_id))
            self._reach("sync.before_commit")

    def _resolve(
        self,
        session: Session,
        account: AccountRun,
        order: OrderRecord,
        unsendable: bool,
        now: datetime,
    ) -> None:
        """End an order that the complete log does not know, or show that it is unknown."""
        searched = account.error is None and account.has_log
        if searched and unsendable:
            order.detail = "A complete reading of the venue's log did not find it."
            set_status(
                session,
                order,
                OrderStatus.EXPIRED_UNSENT,
                market_time=order.market_time,
                now=now,
                detail=order.detail,
            )
        elif order.status == OrderStatus.CREATED.value:
            order.detail = (
                "It may have been sent; the venue's log is being watched for it."
                if account.has_log
                else "It may have been sent, and this broker keeps no log to look it up in; "
                "a person must decide."
            )
            set_status(
                session,
                order,
                OrderStatus.UNKNOWN,
                market_time=order.market_time,
                now=now,
                detail="found unfinished when the venue was read",
            )

    def _unsendable(self, account: AccountRun) -> frozenset[int]:
        """Return the unresolved orders that cannot reach the venue any more.

        The time to send is over for them, or their sender is dead; a dead one's last request may
        still be under way to a venue outside this machine.
        """
        now = self._clock()
        with self._database.read() as session:
            orders = store.unresolved_orders(session, account.id)
            owners = {
                order.id: session.get_one(CycleRecord, order.cycle_id).owner
                for order in orders
                if order.cycle_id is not None and account.kind == "simulated"
            }
        return frozenset(
            order.id
            for order in orders
            if (order.send_before is not None and now >= order.send_before + QUIET_PERIOD)
            or self._owner_dead(owners.get(order.id))
        )

    def _owner_dead(self, owner: str | None) -> bool:
        return owner is not None and self._owner_alive(owner) is False


def _contradiction(account: AccountRun, state: AccountState, cursor: int) -> str | None:
    """Return why what the venue says of itself cannot be believed, or None."""
    if state.currency and state.currency != account.currency:
        return (
            f"the venue keeps the account in {state.currency}, LTS in {account.currency}; no "
            f"figure of the two can be compared"
        )
    if state.last_transaction_id < cursor:
        return (
            f"the venue's log ends at transaction {state.last_transaction_id}, before the last one "
            f"that was booked, {cursor}: its data were lost or replaced by older ones"
        )
    return None


def _balance_problem(account: AccountRun, record: BrokerAccountRecord) -> str | None:
    """Return that the two balances differ where both are of the same transaction, else None."""
    state = account.state
    if state is None or state.last_transaction_id != record.last_transaction_id:
        return None
    if state.balance == record.balance:
        return None
    return (
        f"the venue's balance is {state.balance} {account.currency}, our ledger says "
        f"{record.balance}, both after transaction {record.last_transaction_id}"
    )
