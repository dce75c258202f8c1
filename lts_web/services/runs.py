"""The state of a cycle while it runs: values that its steps fill in, one per arrow.

Nothing here decides or writes; `cycle`, `ordering` and `reporting` do.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from lts_web.plugins.bars_view import BarsView
from lts_web.plugins.gates import BrokerGate, StrategyGate
from lts_web.trading.codes import DenialCode
from lts_web.trading.decisions import Decision
from lts_web.trading.instruments import Instrument
from lts_web.trading.market import Bar, MarketView
from lts_web.trading.matching import AccountState
from lts_web.trading.money import ZERO, RateTable
from lts_web.trading.orders import Verdict
from lts_web.trading.ports import Series
from lts_web.trading.risk import AssetPosition, RiskLimits


class CycleOver(Exception):
    """A step was asked of a cycle that has ended; whoever asks has been abandoned."""


@dataclass(slots=True)
class AccountRun:
    """One account during a cycle; `state` is what the venue said at its start."""

    id: int
    venue_key: str
    kind: str
    currency: str
    broker: BrokerGate | None
    state: AccountState | None = None
    balance: Decimal = ZERO
    last_transaction_id: int = 0
    exposure: Decimal = ZERO
    margin: Decimal = ZERO
    reserved_margin: Decimal = ZERO
    open_positions: int = 0
    error: str | None = None
    rates: RateTable = field(default_factory=lambda: RateTable({}))

    @property
    def readable(self) -> bool:
        """Return whether the venue's account was read in this cycle."""
        return self.error is None

    @property
    def has_log(self) -> bool:
        """Return whether the broker can tell what happened since an id."""
        return self.broker is not None and self.broker.has_log


@dataclass(slots=True)
class AssetRun:
    """One asset during a cycle, filled in by the steps."""

    id: int
    instrument: Instrument
    timeframe: str
    series: Series | None
    account: AccountRun
    strategy: StrategyGate | None
    broker: BrokerGate | None
    strategy_plugin: str
    broker_plugin: str
    parameters: dict[str, Any]
    limits: RiskLimits
    leverage: Decimal = Decimal(1)
    last_bar: Bar | None = None
    last_price: Decimal | None = None
    bars: BarsView | None = None
    view: MarketView | None = None
    viewed_at: datetime | None = None
    allocated_before: Decimal = ZERO
    capital: Decimal = ZERO
    volatility: float | None = None
    positions: tuple[AssetPosition, ...] = ()
    order_in_flight: bool = False
    outcome_unknown: bool = False
    decision: Decision | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    outcome: str = "failed"
    code: str | None = DenialCode.NOT_RUN.value
    detail: str = ""
    error: str | None = None
    trace: tuple[tuple[str, str], ...] = ()
    units: int | None = None
    binding_cap: str | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    placed: set[int] = field(default_factory=set)
    order_ids: list[int] = field(default_factory=list)
    decision_id: int | None = None
    executed: bool = False

    def fail(self, code: DenialCode, detail: str) -> None:
        """Note that the asset's cycle went wrong, which ends it for this asset only."""
        self.outcome, self.code, self.detail, self.error = "failed", code.value, detail, detail


@dataclass(slots=True)
class CycleRun:
    """One running cycle of a portfolio, under its lease.

    `watched` are disabled assets, whose open positions are valued all the same; `idle_balance` is
    what lies in accounts that no asset uses; `broken` is the
    fault of the house itself that ends the cycle.
    """

    id: int
    portfolio_id: int
    user_id: int
    name: str
    currency: str
    initial_capital: Decimal
    market_time: datetime
    started_at: datetime
    lease_token: int
    owner: str
    feed: str
    trigger: str
    limits: RiskLimits
    assets: dict[int, AssetRun] = field(default_factory=dict)
    watched: dict[int, AssetRun] = field(default_factory=dict)
    accounts: dict[int, AccountRun] = field(default_factory=dict)
    idle_balance: Decimal = ZERO
    allocation: dict[int, Decimal] | None = None
    errors: list[str] = field(default_factory=list)
    statistics_enabled: bool = True
    execution_timeout: float = 300.0
    closed: bool = False
    broken: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
