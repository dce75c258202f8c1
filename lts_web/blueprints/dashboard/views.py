"""The first page: is it running, what is it worth, what is at risk, is anything wrong."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from lts_web.blueprints.dashboard.totals import totals
from lts_web.services.conditions import conditions
from lts_web.store.queries import findings, portfolios, trades
from lts_web.store.queries.trades import Filter
from lts_web.web.context import Reader, page, snapshot, wiring

blueprint = Blueprint("dashboard", __name__)


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """Show the dashboard."""
    with page() as reader:
        desk = _desk(reader)
    return render_template("dashboard/page.html", **desk)


@blueprint.get("/parts/dashboard")
def part() -> ResponseReturnValue:
    """Return the dashboard's part, for its refresh."""
    with snapshot() as reader:
        desk = _desk(reader)
    return render_template("dashboard/_desk.html", **desk)


def _desk(reader: Reader) -> dict[str, Any]:
    found = findings.findings(reader.session, reader.scope, reader.now)
    listed = [
        portfolio
        for portfolio in portfolios.list_portfolios(reader.session, reader.scope)
        if portfolio.status != "archived"
    ]
    broken = [(row.family, row.name) for row in wiring().plugin_rows() if row.state == "broken"]
    due = [row.next_due_at for row in found.active if row.next_due_at is not None]
    begun = [row.last_cycle_at for row in found.active if row.last_cycle_at is not None]
    return {
        "now": reader.now,
        "heartbeat": found.heartbeat,
        "portfolios": listed,
        "totals": totals(listed),
        "conditions": conditions(found, broken, reader.now),
        "last_cycle_at": max(begun, default=None),
        "next_cycle_at": min(due, default=None),
        "open_positions": trades.positions(
            reader.session, reader.scope, Filter(state="open", limit=20)
        ),
        "recent_orders": trades.orders(reader.session, reader.scope, Filter(limit=8)),
    }
