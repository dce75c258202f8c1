"""Sums over portfolios, one for each currency: amounts in different money are never added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from lts_web.store.queries.portfolios import Portfolio


@dataclass(slots=True)
class Total:
    """What the portfolios of one currency amount to; `equity` None before the first cycle."""

    currency: str
    equity: Decimal | None = None
    day_profit: Decimal | None = None
    positions: int = 0
    without_stop: int = 0
    risk: Decimal = Decimal(0)
    unrealized_pnl: Decimal = Decimal(0)


def totals(portfolios: Iterable[Portfolio]) -> list[Total]:
    """Return the sums by currency, in order of their code."""
    found: dict[str, Total] = {}
    for portfolio in portfolios:
        total = found.setdefault(portfolio.base_currency, Total(portfolio.base_currency))
        if portfolio.latest is not None:
            total.equity = (total.equity or Decimal(0)) + portfolio.latest.equity
        if portfolio.day_profit is not None:
            total.day_profit = (total.day_profit or Decimal(0)) + portfolio.day_profit
        total.positions += portfolio.book.positions
        total.without_stop += portfolio.book.without_stop
        total.risk += portfolio.book.risk
        total.unrealized_pnl += portfolio.book.unrealized_pnl
    return [found[currency] for currency in sorted(found)]
