"""Portfolios: the list, the page of one, its parts and its buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, abort, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from lts_web.services.portfolios import Actor, Answer, AnswerCode
from lts_web.store.queries import equity, portfolios, trades
from lts_web.store.queries.equity import Curve
from lts_web.store.queries.portfolios import Portfolio
from lts_web.store.queries.trades import Filter
from lts_web.web.charts import line_chart
from lts_web.web.context import Reader, page, snapshot, wiring
from lts_web.web.identity import actor

blueprint = Blueprint("portfolios", __name__, url_prefix="/portfolios")

CLOSED_POSITIONS = 8
RECENT_ORDERS = 10
RECENT_DECISIONS = 10
RECENT_CYCLES = 8


@blueprint.get("")
def index() -> ResponseReturnValue:
    """List the portfolios."""
    with page() as reader:
        listed = portfolios.list_portfolios(reader.session, reader.scope)
    return render_template("portfolios/index.html", portfolios=listed, now=reader.now)


@blueprint.get("/parts/list")
def list_part() -> ResponseReturnValue:
    """Return the list, for its refresh."""
    with snapshot() as reader:
        listed = portfolios.list_portfolios(reader.session, reader.scope)
    return render_template("portfolios/_list.html", portfolios=listed, now=reader.now)


@blueprint.get("/<int:portfolio_id>")
def show(portfolio_id: int) -> ResponseReturnValue:
    """Show one portfolio."""
    with page() as reader:
        portfolio = load(reader, portfolio_id)
        parts = {
            name: value
            for read in PARTS.values()
            for name, value in read(reader, portfolio).items()
        }
    return render_template("portfolios/page.html", portfolio=portfolio, now=reader.now, **parts)


@blueprint.get("/<int:portfolio_id>/parts/<name>")
def part(portfolio_id: int, name: str) -> ResponseReturnValue:
    """Return one part of the page, for its refresh."""
    if name not in PARTS:
        abort(404)
    with snapshot() as reader:
        portfolio = load(reader, portfolio_id)
        values = PARTS[name](reader, portfolio)
    return render_template(
        f"portfolios/_{name}.html", portfolio=portfolio, now=reader.now, **values
    )


@blueprint.get("/<int:portfolio_id>/equity.json")
def equity_data(portfolio_id: int) -> ResponseReturnValue:
    """Return the curve for the drawing in the browser: seconds since 1970, and amounts."""
    with snapshot() as reader:
        portfolio = load(reader, portfolio_id)
        curve = _curve(reader, portfolio)
    return jsonify(
        currency=portfolio.base_currency,
        sampled=curve.sampled,
        times=[time.timestamp() for time, _ in curve.points],
        equity=[float(value) for _, value in curve.points],
    )


@blueprint.post("/<int:portfolio_id>/activate")
def activate(portfolio_id: int) -> ResponseReturnValue:
    """Let the portfolio trade."""
    return _ask(portfolio_id, wiring().portfolios.activate)


@blueprint.post("/<int:portfolio_id>/deactivate")
def deactivate(portfolio_id: int) -> ResponseReturnValue:
    """Start no further cycle."""
    return _ask(portfolio_id, wiring().portfolios.deactivate)


@blueprint.post("/<int:portfolio_id>/run")
def run(portfolio_id: int) -> ResponseReturnValue:
    """Ask for a cycle now."""
    return _ask(portfolio_id, wiring().portfolios.request_run)


def load(reader: Reader, portfolio_id: int) -> Portfolio:
    """Return the portfolio if it is there for the reader; a foreign one is a missing one."""
    portfolio = portfolios.find_portfolio(reader.session, reader.scope, portfolio_id)
    if portfolio is None:
        abort(404)
    return portfolio


def _ask(portfolio_id: int, request_change: Callable[[Actor, int], Answer]) -> ResponseReturnValue:
    """Pass a person's request on, and say on the page what became of it."""
    with snapshot() as reader:
        load(reader, portfolio_id)
    answer = request_change(actor(), portfolio_id)
    if answer.code is AnswerCode.MISSING:
        abort(404)
    flash(answer.sentence, "warning" if answer.refused else "success")
    return redirect(url_for("portfolios.show", portfolio_id=portfolio_id), code=303)


def _curve(reader: Reader, portfolio: Portfolio) -> Curve:
    if request.args.get("range") == "all":
        return equity.whole_curve(reader.session, portfolio.id)
    return equity.recent_curve(reader.session, portfolio.id)


def _summary(reader: Reader, portfolio: Portfolio) -> dict[str, Any]:
    last = trades.cycles(reader.session, portfolio.id, limit=1)
    return {"last_cycle": last[0] if last else None}


def _equity(reader: Reader, portfolio: Portfolio) -> dict[str, Any]:
    curve = _curve(reader, portfolio)
    return {
        "curve": curve,
        "chart": line_chart(curve.points),
        "range": "all" if request.args.get("range") == "all" else "recent",
        "accounts": portfolios.accounts(reader.session, portfolio.id),
    }


def _holdings(reader: Reader, portfolio: Portfolio) -> dict[str, Any]:
    return {
        "assets": portfolios.assets(reader.session, portfolio.id),
        "open_positions": trades.positions(
            reader.session, reader.scope, Filter(portfolio.id, state="open", limit=100)
        ),
        "closed_positions": trades.positions(
            reader.session,
            reader.scope,
            Filter(portfolio.id, state="closed", limit=CLOSED_POSITIONS),
        ),
    }


def _activity(reader: Reader, portfolio: Portfolio) -> dict[str, Any]:
    session, scope = reader.session, reader.scope
    return {
        "orders": trades.orders(session, scope, Filter(portfolio.id, limit=RECENT_ORDERS)),
        "decisions": trades.decisions(session, scope, Filter(portfolio.id, limit=RECENT_DECISIONS)),
        "cycles": trades.cycles(session, portfolio.id, limit=RECENT_CYCLES),
    }


PARTS: dict[str, Callable[[Reader, Portfolio], dict[str, Any]]] = {
    "summary": _summary,
    "equity": _equity,
    "holdings": _holdings,
    "activity": _activity,
}
