"""Errors as answers: a page for people, problem details for machines, a reference for the log.

The reference is the request's id, which stands in every log line of the request. Nothing of the
cause but what an HTTP error says of itself reaches the answer.
"""

from __future__ import annotations

import logging

from flask import Flask, Response, g, jsonify, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError

logger = logging.getLogger(__name__)

_MACHINES = ("/api/", "/health")
# Status → what happened, and what to do.
_SENTENCES: dict[int, tuple[str, str]] = {
    400: ("The request was not understood", "Go back, reload the page and try again."),
    401: ("You are not logged in", "Log in and try again."),
    403: ("You may not do that", "Ask an administrator if you think that you should."),
    404: ("There is nothing here", "Check the address, or start again from the dashboard."),
    405: ("That cannot be done here", "Use the buttons of the page instead of its address."),
    413: ("That is too large", "Send less at once."),
    414: ("The address is too long", "Start again from the dashboard."),
    429: ("Too many requests", "Wait a minute, then try again."),
    500: (
        "Something went wrong",
        "Try again, or give the reference to whoever runs LTS.",
    ),
}
_EXPIRED_FORM = (
    "The form was open for too long or came from elsewhere; reload the page and send it again."
)


def install(app: Flask) -> None:
    """Answer every error in its form."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(InternalServerError, _crash)


def _http_error(error: HTTPException) -> Response:
    code = error.code or 500
    title, advice = _SENTENCES.get(code, (error.name, "Start again from the dashboard."))
    detail = advice
    if isinstance(error, CSRFError):
        detail = _EXPIRED_FORM
    elif code == 403 and error.description != type(error).description:
        detail = error.description or advice
    response = _answer(code, title, detail)
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after"}:
            response.headers[name] = value
    if code == 429:
        response.headers.setdefault("Retry-After", "60")
    return response


def _crash(error: InternalServerError) -> Response:
    if error.original_exception is None:  # an abort(500); a crash is logged by Flask itself
        logger.error("answered 500 to %s %s", request.method, request.path)
    return _answer(500, *_SENTENCES[500])


def _answer(code: int, title: str, detail: str) -> Response:
    reference = g.get("request_id", "-")
    if request.path.startswith(_MACHINES):
        response = jsonify(
            type="about:blank",
            title=title,
            status=code,
            code=f"HTTP_{code}",
            detail=detail,
            reference=reference,
            errors=[],
        )
        response.mimetype = "application/problem+json"
    else:
        response = make_response(
            render_template(
                "errors/page.html", code=code, title=title, detail=detail, reference=reference
            )
        )
    response.status_code = code
    return response
