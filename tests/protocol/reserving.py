"""One of several processes that reserve exposure on the same account, through the order protocol.

Started as `python -m tests.protocol.reserving FOLDER FIRST COUNT`; it says "ready" and waits for a
line on standard input. Every third order that it was granted it gives up again, so that exposure
is freed as well.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from lts_web.services.ordering import OrderDesk
from lts_web.services.runs import AccountRun, AssetRun, CycleRun
from lts_web.store.engine import Database
from lts_web.trading.decisions import Open
from lts_web.trading.instruments import Side, find_instrument
from lts_web.trading.orders import Denied, NotSent, OrderIntent, OrderKind, OrderOrigin
from lts_web.trading.risk import RiskLimits

OWNER, TOKEN = "reserving", 1
PORTFOLIO, CYCLE, ACCOUNT, USER = 1, 1, 1, 1
EQUITY = Decimal(10_000)
LIMITS = RiskLimits(
    max_open_positions=1_000_000, max_exposure=Decimal(50), max_leverage=Decimal(1000)
)
MARKET_TIME = datetime(2024, 3, 4, 9, tzinfo=UTC)


def notional_of(asset_id: int) -> Decimal:
    """Return what the asset wants to reserve: no two neighbours the same, and with cents."""
    return Decimal(500 + asset_id * 7919 % 1000) + Decimal("0.01") * (asset_id % 100)


@dataclass
class Reserver:
    """A desk in the middle of a cycle that several processes believe to be theirs."""

    desk: OrderDesk
    run: CycleRun
    account: AccountRun

    @classmethod
    def on(cls, database: Database) -> Reserver:
        """Return a reserver on the account of this database."""
        now = datetime.now(UTC)
        run = CycleRun(
            id=CYCLE,
            portfolio_id=PORTFOLIO,
            user_id=USER,
            name="Portfolio",
            currency="USD",
            initial_capital=EQUITY,
            market_time=MARKET_TIME,
            started_at=now,
            lease_token=TOKEN,
            owner=OWNER,
            feed="replay",
            trigger="schedule",
            limits=LIMITS,
        )
        account = AccountRun(
            id=ACCOUNT, venue_key="a", kind="simulated", currency="USD", broker=None, balance=EQUITY
        )
        desk = OrderDesk(database, lambda: datetime.now(UTC), "reserves", timedelta(seconds=60))
        return cls(desk, run, account)

    def reserve(self, asset_id: int, *, give_up: bool) -> bool:
        """Ask for the asset's exposure; return whether it was granted."""
        asset = AssetRun(
            id=asset_id,
            instrument=find_instrument("EUR_USD"),
            timeframe="H1",
            series=None,
            account=self.account,
            strategy=None,
            broker=None,
            strategy_plugin="none",
            broker_plugin="none",
            parameters={},
            limits=LIMITS,
            decision=Open(Side.BUY),
        )
        intent = OrderIntent(
            kind=OrderKind.ENTRY,
            origin=OrderOrigin.STRATEGY,
            instrument="EUR_USD",
            units=1000,
            decision_price=Decimal("1.1"),
            notional=notional_of(asset_id),
            margin=notional_of(asset_id) / 30,
            binding_cap="quantity",
        )
        written = self.desk.write_intent(self.run, asset, intent)
        if isinstance(written, Denied):
            return False
        if give_up:
            self.desk.write_outcome(self.run, asset, intent, written, NotSent("given up"))
        return True


def main() -> None:
    """Reserve for the given assets, one after the other."""
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    database = Database(folder / "lts.db")
    reserver = Reserver.on(database)
    print("ready", flush=True)
    sys.stdin.readline()
    granted = 0
    for asset_id in range(first, first + count):
        granted += reserver.reserve(asset_id, give_up=granted % 3 == 2)
    database.close()
    print(granted)


if __name__ == "__main__":
    main()
