"""Ports: what the core and the plugins need of the house, as protocols.

Wiring gives implementations to plugins through `plugin.connect(ports)`, which is a no-op in the
base class, so that a plugin written to the documented page need not know of them. Nothing here is
implemented.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from lts_web.trading.codes import RejectCode
from lts_web.trading.decisions import Decision
from lts_web.trading.market import Bar
from lts_web.trading.matching import (
    AccountState,
    CloseTicket,
    OpenTrade,
    PendingOrder,
    Ticket,
    VenueTransaction,
)
from lts_web.trading.orders import Outcome, Verdict

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Series:
    """One stream of bars: a stored or synthetic data set of an instrument and a timeframe."""

    dataset_id: int
    instrument: str
    timeframe: str
    origin: str
    oracle: bool = False

    @property
    def key(self) -> str:
        """Return the name under which the matching engine knows the stream."""
        return f"{self.instrument}@{self.dataset_id}"


class MarketData(Protocol):
    """Bars by series. A bar counts as known at its close, never before."""

    def next_close(self, series: Series, after: datetime | None) -> datetime | None:
        """Return the first bar close later than `after` (None: the very first), or None."""

    def bars(self, series: Series, until: datetime, count: int) -> list[Bar]:
        """Return at most `count` bars that closed at or before `until`, oldest first."""

    def bars_between(self, series: Series, after: datetime, until: datetime) -> list[Bar]:
        """Return the bars that closed later than `after` and at or before `until`."""


class Venue(Protocol):
    """One simulated account, as its broker plugin and the reconciliation see it."""

    def submit(self, ticket: Ticket) -> VenueTransaction:
        """Accept or reject an entry; durable when it returns."""

    def close(self, ticket: CloseTicket) -> VenueTransaction:
        """Accept or reject a close; durable when it returns."""

    def reject(self, ticket: Ticket | CloseTicket, code: RejectCode) -> VenueTransaction:
        """Write a rejection to the log."""

    def modify(
        self,
        trade_id: int,
        stop_loss: Decimal | None,
        take_profit: Decimal | None,
        now: datetime,
    ) -> VenueTransaction | None:
        """Replace the protection of a trade; None: no such trade."""

    def cancel(self, order_id: int, now: datetime) -> VenueTransaction | None:
        """Cancel a pending request; None: no such order."""

    def account(self) -> AccountState:
        """Return the account's worth."""

    def open_trades(self) -> list[OpenTrade]:
        """Return the open trades, oldest first."""

    def pending_orders(self) -> list[PendingOrder]:
        """Return the pending requests, oldest first."""

    def transactions_since(self, last_id: int, limit: int = 1000) -> list[VenueTransaction]:
        """Return the log's lines with an id above `last_id`, oldest first, at most `limit`."""

    def price(self, instrument: str) -> Decimal | None:
        """Return the last price of an instrument, or None if none was seen."""


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user as the AAA family sees one. `password_hash` never leaves that family."""

    id: int
    username: str
    email: str
    role: str
    is_active: bool
    password_hash: str
    failed_logins: int = 0
    locked_until: datetime | None = None
    must_change_password: bool = False


@dataclass(frozen=True, slots=True)
class SessionView:
    """A live session: its row, its user, and when it ends (aware UTC)."""

    session_id: int
    user: UserAccount
    expires_at: datetime
    created_at: datetime


class Accounts(Protocol):
    """Users, sessions and their records; each call is one short transaction with its audit row."""

    def find_user(self, name: str) -> UserAccount | None:
        """Return the user with this username or e-mail address, case-insensitively."""

    def get_user(self, user_id: int) -> UserAccount | None:
        """Return the user with this id."""

    def create_user(
        self, username: str, email: str, password_hash: str, role: str
    ) -> UserAccount | None:
        """Write a user; None: the name or the address is taken."""

    def set_password(self, user_id: int, password_hash: str, ended_sessions: bool = True) -> None:
        """Replace the hash, and end the user's sessions unless told otherwise."""

    def set_role(self, username: str, role: str) -> bool:
        """Give the user a role; False: no such user."""

    def record_login_failure(
        self, user_id: int | None, name: str, address: str | None, locked_until: datetime | None
    ) -> None:
        """Count a failed login (and lock the account where `locked_until` says so)."""

    def record_login(self, user_id: int, address: str | None) -> None:
        """Reset the count of failures."""

    def create_session(
        self,
        user_id: int,
        token_hash: str,
        expires_at: datetime,
        address: str | None = None,
        agent: str | None = None,
    ) -> int:
        """Write a session and return its id."""

    def find_session(self, token_hash: str, now: datetime) -> SessionView | None:
        """Return the live session of this token."""

    def end_session(self, token_hash: str) -> None:
        """End a session; ending an unknown one does nothing."""

    def audit(self, user_id: int | None, action: str, details: str | None = None) -> None:
        """Write an audit row."""


class CycleSteps(Protocol):
    """The steps of the cycle that a pipeline plugin arranges; none reaches past the protocol.

    No step raises for what a plugin, a venue or the market did: it is noted in the asset's
    record. All are bound to the running cycle of the portfolio.
    """

    def due(self) -> list[int]:
        """Return the ids of the portfolios that are due, longest overdue first."""

    def seconds_until_due(self) -> float | None:
        """Return the time to the next due instant (0 if past), or None if there is none."""

    def run_portfolio(self, portfolio_id: int) -> dict[str, Any] | None:
        """Claim and run one cycle of the portfolio by its own pipeline; None: not claimed."""

    def cycle_id(self, portfolio_id: int) -> int:
        """Return the id of the portfolio's running cycle."""

    def allocate(self, portfolio_id: int) -> dict[int, Decimal]:
        """Return each asset's capital; computed once a cycle."""

    def decide(self, portfolio_id: int, asset_id: int) -> Decision | None:
        """Return the strategy's decision; None where there was none (the record says why)."""

    def check(self, portfolio_id: int, asset_id: int, decision: Decision) -> list[Verdict]:
        """Return what sizing and risk say: one verdict for each order that would follow."""

    def place(self, portfolio_id: int, asset_id: int, verdict: Verdict) -> Outcome | None:
        """Carry one approved intent through write, send, write; None: nothing was sent."""

    def record(self, portfolio_id: int, asset_id: int) -> dict[str, Any]:
        """Return {asset_id, action, order_id, error} and keep the decision row for the report."""

    def stopping(self) -> bool:
        """Return whether the process is shutting down and no new cycle should start."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What a plugin may be connected to; a field is None where the family has no use for it."""

    clock: Clock
    venue: Venue | None = None
    series: str = ""
    accounts: Accounts | None = None
    steps: CycleSteps | None = None
    account_currency: str = "USD"
