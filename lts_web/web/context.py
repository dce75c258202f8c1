"""What the web is wired to, and what one request may see of it.

`WebWiring` is given to `create_app` once; `snapshot` and `page` open the one read transaction that
a request reads from. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import current_app, g, has_request_context
from flask_login import current_user

from lts_web.services.portfolios import PortfolioService
from lts_web.settings import Settings
from lts_web.store.queries import ReadableDatabase, Scope, Snapshot, system
from lts_web.trading.ports import SessionView

EXTENSION = "lts"


class Authentication(Protocol):
    """What pages ask of the AAA plugin."""

    def login(self, username: str, password: str, ip: str | None = None) -> dict[str, Any]:
        """Return {success, session_token, user_id, role}, or {success: False, error, locked}."""

    def session(self, token: str) -> SessionView | None:
        """Return the live session of this token."""

    def logout(self, token: str) -> None:
        """End the session of this token."""


class PluginLine(Protocol):
    """A plugin as the list of plugins shows it; `state` is "ready" or "broken"."""

    @property
    def family(self) -> str:
        """Family."""

    @property
    def name(self) -> str:
        """Name of the entry point."""

    @property
    def state(self) -> str:
        """State."""

    @property
    def reason(self) -> str:
        """Why it is broken."""

    @property
    def version(self) -> str:
        """Version of what brings it."""

    @property
    def origin(self) -> str:
        """Distribution that brings it."""


@dataclass(frozen=True, kw_only=True)
class WebWiring:
    """Everything that the web is connected to.

    `wake` tells the worker that something is due, `clock` is wall time (aware UTC),
    `limiter_storage` the URI of the rate limits' counters, `health` replaces the built-in check.
    """

    settings: Settings
    database: ReadableDatabase
    aaa: Authentication
    portfolios: PortfolioService
    wake: Callable[[], None]
    clock: Callable[[], datetime]
    secret_key: bytes
    limiter_storage: str
    version: str
    plugin_rows: Callable[[], Sequence[PluginLine]]
    health: Callable[[], Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """One request's view of the data: a snapshot, whose rows, and the time."""

    session: Snapshot
    scope: Scope
    now: datetime


def wiring() -> WebWiring:
    """Return what the running application is wired to."""
    return cast(WebWiring, current_app.extensions[EXTENSION])


@contextmanager
def snapshot() -> Iterator[Reader]:
    """Open the request's read transaction, for the person who is logged in."""
    house = wiring()
    scope = Scope(current_user.id, everything=current_user.role == "admin")
    with house.database.read() as session:
        g.zone = system.time_zone(session, scope.user_id)
        yield Reader(session, scope, house.clock())


@contextmanager
def page() -> Iterator[Reader]:
    """Open a snapshot for a whole page, with what its frame shows."""
    with snapshot() as reader:
        g.frame = system.frame(reader.session, reader.scope)
        g.now = reader.now
        yield reader


def reader_zone() -> ZoneInfo:
    """Return the time zone of whoever reads, UTC where it is not known."""
    name = g.get("zone", "UTC") if has_request_context() else "UTC"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
