"""What LTS says about itself: plugins, help, and the poll that keeps pages live."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from lts_web.services.conditions import CONDITIONS
from lts_web.store.queries import system
from lts_web.trading.codes import DENIAL_SENTENCES, REJECT_SENTENCES
from lts_web.trading.orders import STATUS_SENTENCES
from lts_web.trading.statistics import FORMULAS
from lts_web.web import live as live_page
from lts_web.web.context import page, wiring

blueprint = Blueprint("system", __name__)

FAMILIES = ("aaa", "core", "pipeline", "strategy", "broker", "portfolio")


@blueprint.get("/plugins")
def plugins() -> ResponseReturnValue:
    """List the plugins; a broken one with its reason."""
    with page():
        rows = sorted(
            wiring().plugin_rows(), key=lambda row: (FAMILIES.index(row.family), row.name)
        )
    return render_template("system/plugins.html", rows=rows)


@blueprint.get("/help")
def show_help() -> ResponseReturnValue:
    """Explain the concepts, the states, the codes and the figures."""
    with page():
        pass
    return render_template(
        "system/help.html",
        conditions=CONDITIONS,
        states=STATUS_SENTENCES,
        denials=DENIAL_SENTENCES,
        rejections=REJECT_SENTENCES,
        formulas=FORMULAS.values(),
    )


@blueprint.get("/live")
def live() -> ResponseReturnValue:
    """Say what changed since the sequence `v`: 204 with events, or 204 with none."""
    house = wiring()
    seen = request.args.get("v", "0")
    number = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 19 else 0
    with house.database.read() as session:
        news = system.news_since(session, current_user.id, number)
        beat = system.heartbeat(session)
    return "", 204, live_page.headers(news, beat, house.clock())
