"""Headers on every answer, the request's id, and how long what may be cached.

The content policy allows nothing inline and nothing from elsewhere; `data:` images are the icons
in AdminLTE's form controls.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from pathlib import Path

from flask import Flask, Response, g, request, url_for
from flask.sessions import SecureCookieSessionInterface

from lts_web import logs

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_YEAR_SECONDS = 31_536_000


class CookieByTransport(SecureCookieSessionInterface):
    """The session cookie, kept to HTTPS always, never, or where the request came by HTTPS."""

    def __init__(self, secure: str) -> None:
        self._secure = secure

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether the cookie of this answer may travel over HTTPS only."""
        return request.is_secure if self._secure == "auto" else self._secure == "on"


def install(app: Flask, cookie_secure: str = "auto") -> None:
    """Give each request an id, each answer its headers and the cookie its transport."""
    app.session_interface = CookieByTransport(cookie_secure)
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_end)
    app.add_template_global(static_url, "static_url")


def static_url(filename: str) -> str:
    """Return the address of a static file; it changes with the content, so it may be kept."""
    return url_for("static", filename=filename, v=_digest(filename))


@cache
def _digest(filename: str) -> str:
    path = Path(__file__).resolve().parent.parent / "static" / filename
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _begin() -> None:
    g.request_id = secrets.token_hex(6)
    g.request_id_mark = logs.request_id.set(g.request_id)


def _end(_error: BaseException | None) -> None:
    mark = g.pop("request_id_mark", None)
    if mark is not None:
        logs.request_id.reset(mark)


def _finish(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers["X-Request-ID"] = g.get("request_id", "-")
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={_YEAR_SECONDS}"
    if request.endpoint == "static" and response.status_code < 400:
        lasting = f"public, max-age={_YEAR_SECONDS}, immutable"
        response.headers["Cache-Control"] = lasting if "v" in request.args else "no-cache"
    else:
        response.headers["Cache-Control"] = "no-store"
    return response
