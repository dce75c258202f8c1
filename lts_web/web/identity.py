"""Who is asking: the session cookie, the guard in front of every route, and roles.

Every route is closed unless it is listed here as public, and every change is refused to viewers
unless it is listed as theirs. Who someone is, the AAA plugin decides.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from flask import (
    Flask,
    Request,
    abort,
    g,
    has_request_context,
    redirect,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user

from lts_web.services.portfolios import Actor
from lts_web.trading.ports import SessionView
from lts_web.web.context import wiring

PUBLIC = frozenset({"static", "auth.login", "auth.theme", "status.health"})
OPEN_TO_VIEWERS = frozenset({"auth.login", "auth.logout", "auth.theme"})
TOKEN_KEY = "session_token"  # noqa: S105
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Person(UserMixin):
    """Whoever is logged in, for views and templates."""

    def __init__(self, view: SessionView) -> None:
        self.id: int = view.user.id
        self.username: str = view.user.username
        self.role: str = view.user.role
        self.session_ends: datetime = view.expires_at

    @property
    def may_change(self) -> bool:
        """Return whether the role may change anything."""
        return self.role != "viewer"


def install(app: Flask) -> None:
    """Load the person of each request, and refuse strangers wherever it is not public."""
    manager = LoginManager()
    manager.session_protection = None  # the session is a row, not what the cookie claims
    manager.request_loader(_load_person)
    # A global instead of a context processor, so that error pages ask for nobody.
    manager.init_app(app, add_context_processor=False)
    app.add_template_global(current_user, "current_user")
    app.before_request(_guard)


def actor() -> Actor:
    """Return the person of the request as the audit log names them."""
    return Actor(current_user.id, current_user.username, request.remote_addr, g.request_id)


def acting() -> Actor | None:
    """Return the person of the request; None outside a request, and while nobody is logged in."""
    return actor() if has_request_context() and current_user.is_authenticated else None


def log_in(token: str) -> None:
    """Begin a session of the browser under the token; whatever it held before is dropped."""
    session.clear()
    session[TOKEN_KEY] = token


def log_out() -> None:
    """End the session, its row included."""
    token = session.pop(TOKEN_KEY, None)
    if isinstance(token, str):
        wiring().aaa.logout(token)
    session.clear()


def safe_target(target: str | None) -> str:
    """Return a path of this site that one may be sent to, the dashboard for anything else."""
    home = url_for("dashboard.show")
    if not target or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return home
    if any(ord(character) < 0x21 for character in target):
        return home
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc else home


def _load_person(_request: Request) -> Person | None:
    token = session.get(TOKEN_KEY)
    if not isinstance(token, str):
        return None
    view = wiring().aaa.session(token)
    return Person(view) if view is not None and view.user.is_active else None


def _guard() -> ResponseReturnValue | None:
    if request.endpoint is None or request.endpoint in PUBLIC:
        return None
    if not current_user.is_authenticated:
        return _to_login()
    if (
        request.method not in _READING
        and request.endpoint not in OPEN_TO_VIEWERS
        and not current_user.may_change
    ):
        abort(403, "Your role may look at everything and change nothing.")
    return None


def _to_login() -> ResponseReturnValue:
    """Send a stranger to the login page; htmx would put that page inside a part."""
    if "HX-Request" in request.headers:
        shown = urlsplit(request.headers.get("HX-Current-URL", ""))
        target = shown.path + (f"?{shown.query}" if shown.query else "")
        login = url_for("auth.login", next=safe_target(target))
        return "", 401, {"HX-Redirect": login}
    wanted = request.full_path.rstrip("?") if request.method in _READING else None
    return redirect(url_for("auth.login", next=wanted), code=303)
