"""Light, dark, or whatever the system prefers; kept in a cookie that holds nothing else."""

from __future__ import annotations

from flask import Flask, request
from werkzeug.wrappers import Response

COOKIE = "theme"
CHOICES = ("auto", "light", "dark")
_YEAR_SECONDS = 31_536_000


def install(app: Flask) -> None:
    """Tell the templates which theme was chosen."""
    app.add_template_global(chosen, "theme")


def chosen() -> str:
    """Return the reader's choice, "auto" unless they made one."""
    choice = request.cookies.get(COOKIE, "auto")
    return choice if choice in CHOICES else "auto"


def remember(response: Response, choice: str) -> None:
    """Keep the choice for a year; app.js reads it, so scripts may."""
    if choice in CHOICES:
        response.set_cookie(COOKIE, choice, max_age=_YEAR_SECONDS, samesite="Lax")
