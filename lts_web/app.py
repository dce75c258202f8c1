"""`create_app`: the only way to the web application, from its wiring to its last header."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask, g
from flask_wtf.csrf import CSRFProtect
from werkzeug.routing import IntegerConverter, Map

from lts_web.blueprints.auth.views import blueprint as auth
from lts_web.blueprints.dashboard.views import blueprint as dashboard
from lts_web.blueprints.portfolios.views import blueprint as portfolios
from lts_web.blueprints.status.views import blueprint as status
from lts_web.blueprints.system.views import blueprint as system
from lts_web.blueprints.trades.views import blueprint as trades
from lts_web.web import errors, formats, identity, limits, live, security, themes
from lts_web.web.context import EXTENSION, WebWiring

__all__ = ["WebWiring", "create_app"]

COOKIE = "lts_session"
LARGEST_FORM_BYTES = 256 * 1024
MOST_FORM_FIELDS = 500

# What htmx does differently here: an error never lands inside a part, and what a reader has
# unfolded stays so when the part around it is refreshed.
HTMX_CONFIG = json.dumps(
    {
        "noSwap": [204, 304, "4xx", "5xx"],
        "morphIgnore": ["data-htmx-powered", "open"],
        "history": False,
        "includeIndicatorCSS": False,
    }
)


class RowIdConverter(IntegerConverter):
    """Whole numbers that the database can hold; what is larger names nothing: 404."""

    def __init__(self, map: Map, **rules: Any) -> None:  # noqa: A002 - werkzeug's own name
        super().__init__(map, **{"max": 2**63 - 1, **rules})


def create_app(wiring: WebWiring) -> Flask:
    """Return the application, connected and closed to strangers."""
    app = Flask("lts_web", static_folder="static", template_folder="templates")
    app.url_map.converters["int"] = RowIdConverter
    app.extensions[EXTENSION] = wiring
    _configure(app, wiring)
    # The order matters: an id for the log, then the limits, then who it is, then the form's token.
    security.install(app, wiring.settings.session_cookie_secure)
    limits.install(app, wiring.limiter_storage, wiring.settings.rate_limit_per_minute)
    identity.install(app)
    CSRFProtect(app)
    for module in (errors, formats, live, themes):
        module.install(app)
    for blueprint in (auth, dashboard, portfolios, trades, system, status):
        app.register_blueprint(blueprint)
    app.context_processor(_frame)
    return app


def _configure(app: Flask, wiring: WebWiring) -> None:
    settings = wiring.settings
    app.config.update(
        SECRET_KEY=wiring.secret_key,
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=settings.request_body_limit_mb * 1024 * 1024,
        MAX_FORM_MEMORY_SIZE=LARGEST_FORM_BYTES,
        MAX_FORM_PARTS=MOST_FORM_FIELDS,
        PROPAGATE_EXCEPTIONS=False,
        # A form lives as long as its session: pages stay open for days.
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_HEADERS=["X-CSRFToken"],
    )
    app.jinja_options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.globals.update(
        version=wiring.version,
        htmx_config=HTMX_CONFIG,
        poll_seconds=settings.live_poll_seconds,
    )


def _frame() -> dict[str, Any]:
    """Give templates what `page` has read for the frame around them."""
    return {"frame": g.get("frame"), "frame_now": g.get("now")}
