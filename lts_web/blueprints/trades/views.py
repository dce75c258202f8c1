"""Orders, positions and decisions: the lists, and the whole history of one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue

from lts_web.store.queries import portfolios, trades
from lts_web.store.queries.trades import PAGE_ROWS, Filter
from lts_web.trading.orders import STATUS_SENTENCES, OrderStatus
from lts_web.web.context import Reader, page, snapshot

blueprint = Blueprint("trades", __name__)

ORDER_STATES = tuple(status.value for status in OrderStatus)
POSITION_STATES = ("open", "closed")
DECISION_STATES = ("ordered", "denied", "held", "failed", "no_bar")
_LARGEST_ID = 2**63 - 1

# List → (what reads it, the name of its state in the address, the states).
LISTS: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "orders": (trades.orders, "status", ORDER_STATES),
    "positions": (trades.positions, "state", POSITION_STATES),
    "decisions": (trades.decisions, "outcome", DECISION_STATES),
}


@blueprint.get("/orders")
def orders() -> ResponseReturnValue:
    """List the orders."""
    return _list_page("orders")


@blueprint.get("/positions")
def positions() -> ResponseReturnValue:
    """List the positions."""
    return _list_page("positions")


@blueprint.get("/decisions")
def decisions() -> ResponseReturnValue:
    """List the decisions, also those not to trade."""
    return _list_page("decisions")


@blueprint.get("/parts/lists/<kind>")
def list_part(kind: str) -> ResponseReturnValue:
    """Return the rows of a list, for their refresh."""
    if kind not in LISTS:
        abort(404)
    with snapshot() as reader:
        values = _list(reader, kind)
    return render_template(f"trades/_{kind}.html", **values)


@blueprint.get("/orders/<int:order_id>")
def order(order_id: int) -> ResponseReturnValue:
    """Show all that is known of one order."""
    with page() as reader:
        history = _history(reader, order_id)
    return render_template("trades/order.html", history=history, now=reader.now, **_SENTENCES)


@blueprint.get("/orders/<int:order_id>/part")
def order_part(order_id: int) -> ResponseReturnValue:
    """Return the order's history, for its refresh while it is not finished."""
    with snapshot() as reader:
        history = _history(reader, order_id)
    return render_template("trades/_order.html", history=history, now=reader.now, **_SENTENCES)


@blueprint.get("/decisions/<int:decision_id>")
def decision(decision_id: int) -> ResponseReturnValue:
    """Show what stood behind one decision."""
    with page() as reader:
        found = trades.decision_detail(reader.session, reader.scope, decision_id)
        if found is None:
            abort(404)
    return render_template("trades/decision.html", decision=found, now=reader.now)


_SENTENCES = {
    "sentences": {status.value: sentence for status, sentence in STATUS_SENTENCES.items()},
    "final": ("filled", "cancelled", "rejected", "denied", "expired", "expired_unsent"),
}


def _history(reader: Reader, order_id: int) -> trades.OrderHistory:
    history = trades.order_history(reader.session, reader.scope, order_id)
    if history is None:
        abort(404)
    return history


def _list_page(kind: str) -> ResponseReturnValue:
    with page() as reader:
        values = _list(reader, kind)
        values["portfolio_names"] = portfolios.names(reader.session, reader.scope)
    return render_template("trades/list.html", **values)


def _list(reader: Reader, kind: str) -> dict[str, Any]:
    read, state_name, states = LISTS[kind]
    wanted = Filter(
        portfolio_id=_number("portfolio"),
        before=_number("before"),
        state=_choice(state_name, states),
    )
    rows = read(reader.session, reader.scope, wanted)
    return {
        "kind": kind,
        "rows": rows,
        "wanted": wanted,
        "state_name": state_name,
        "states": states,
        "older": rows[-1].id if len(rows) == PAGE_ROWS else None,
        "now": reader.now,
    }


def _number(name: str) -> int | None:
    """Return a row id of the address; 400 for anything else."""
    text = request.args.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > _LARGEST_ID:
        abort(400)
    return int(text)


def _choice(name: str, known: Collection[str]) -> str | None:
    text = request.args.get(name, "")
    if not text:
        return None
    if text not in known:
        abort(400)
    return text
