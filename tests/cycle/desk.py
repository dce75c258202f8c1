"""A trading desk over a `House`: one process, its cycles, and questions to the database.

`Desk.adds_up` is the check that every story ends with: the venue's own balance against our ledger
rebuilt from fills, and the venue's open trades against our open positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import inspect, select

from lts_web.gateways.process_lock import ProcessOwner
from lts_web.store.base import Record
from lts_web.store.models import (
    AuditLogRecord,
    BrokerAccountRecord,
    CycleRecord,
    DecisionRecord,
    FillRecord,
    OrderRecord,
    PortfolioRecord,
    PositionRecord,
)
from lts_web.trading.positions import Fill, ledger_balance
from lts_web.wiring import Trading
from tests.house_of_trading import House

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass
class Desk:
    """One process of a house, and what it left in the database."""

    house: House
    trading: Trading
    owner: ProcessOwner

    @classmethod
    def open(cls, house: House, plugins: Mapping[str, type] | None = None, **terms: Any) -> Desk:
        """Start a process with the test's own plugins beside the installed ones."""
        return cls(house, *house.process(plugins, **terms))

    def cycle(self, portfolio_id: int, **how: Any) -> dict[str, Any]:
        """Run one cycle that is due, and return its report."""
        report = self.trading.service.run_portfolio(portfolio_id, **how)
        assert report is not None, "the cycle was not claimed"
        return report

    def cycles(self, portfolio_id: int, count: int) -> list[dict[str, Any]]:
        """Run so many cycles, one after the other."""
        return [self.cycle(portfolio_id) for _ in range(count)]

    def rows(self, record: type[AnyRecord], **values: Any) -> list[AnyRecord]:
        """Return the rows with these values, oldest first."""
        with self.house.database.read() as session:
            query = select(record).filter_by(**values)
            return list(session.scalars(query.order_by(*inspect(record).primary_key)))

    def one(self, record: type[AnyRecord], **values: Any) -> AnyRecord:
        """Return the one row with these values."""
        [row] = self.rows(record, **values)
        return row

    def decisions(self, asset_id: int) -> list[DecisionRecord]:
        """Return the asset's decisions, oldest first."""
        return self.rows(DecisionRecord, asset_id=asset_id)

    def decision(self, asset_id: int) -> DecisionRecord:
        """Return the asset's last decision."""
        return self.decisions(asset_id)[-1]

    def orders(self, asset_id: int) -> list[OrderRecord]:
        """Return the asset's orders, oldest first."""
        return self.rows(OrderRecord, asset_id=asset_id)

    def told(self, asset_id: int) -> list[tuple[str, str | None]]:
        """Return outcome and code of the asset's decisions, oldest first."""
        return [(row.outcome, row.code) for row in self.decisions(asset_id)]

    def portfolio(self, portfolio_id: int) -> PortfolioRecord:
        """Return the portfolio's row as it is now."""
        return self.one(PortfolioRecord, id=portfolio_id)

    def last_cycle(self, portfolio_id: int) -> CycleRecord:
        """Return the portfolio's last cycle."""
        return self.rows(CycleRecord, portfolio_id=portfolio_id)[-1]

    def audited(self, order_id: int) -> list[str]:
        """Return the actions of the audit rows of an order, oldest first."""
        rows = self.rows(AuditLogRecord, object_type="order", object_id=order_id)
        return [row.action for row in rows]

    def change(self, record: type[Record], key: int, **values: Any) -> None:
        """Write values into one row, as a page would."""
        with self.house.database.write() as session:
            row = session.get_one(record, key)
            for name, value in values.items():
                setattr(row, name, value)

    def adds_up(self, portfolio_id: int) -> None:
        """Assert that books and venue agree to the last digit, in money and in trades."""
        for account in self.rows(BrokerAccountRecord, portfolio_id=portfolio_id):
            venue = self.house.venues.venue(account.venue_key)
            ledger = ledger_balance(account.initial_capital, self.fills(account.id))
            assert (ledger, account.balance) == (venue.account().balance,) * 2
            ours = {
                (row.broker_trade_id, row.units, row.entry_price)
                for row in self.rows(PositionRecord, account_id=account.id, is_open=True)
            }
            theirs = {(str(one.id), one.units, one.price) for one in venue.open_trades()}
            assert ours == theirs

    def fills(self, account_id: int) -> list[Fill]:
        """Return the account's fills as the ledger folds them."""
        trades = {row.id: row.broker_trade_id for row in self.rows(PositionRecord)}
        return [
            Fill(
                transaction_id=row.venue_transaction_id,
                position_key=trades[row.position_id],
                instrument=row.instrument,
                units=row.units,
                price=row.price,
                time=row.market_time,
                rate=row.rate,
                commission=row.commission,
                swap=row.swap,
                reason=row.reason,
            )
            for row in self.rows(FillRecord, account_id=account_id)
        ]
