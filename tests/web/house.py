"""A web application on a real database with a hand-written AAA plugin, for tests of pages."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from lts_web.app import WebWiring, create_app
from lts_web.services.portfolios import PortfolioService
from lts_web.settings import Settings
from lts_web.store.engine import Database
from lts_web.trading.ports import SessionView, UserAccount
from lts_web.web.limits import storage_uri
from tests.cast import CAST, Member
from tests.factories import NOW


class SimpleAaa:
    """Logs the cast in by their passwords; sessions live in a dictionary."""

    def __init__(self) -> None:
        self.sessions: dict[str, Member] = {}
        self.locked: set[str] = set()

    def login(self, username: str, password: str, ip: str | None = None) -> dict[str, Any]:
        """Let a member in."""
        for member in CAST:
            if username in (member.username, member.email) and password == member.password:
                if username in self.locked:
                    return {"success": False, "error": "locked", "locked": True}
                token = secrets.token_hex(16)
                self.sessions[token] = member
                return {
                    "success": True,
                    "session_token": token,
                    "user_id": member.id,
                    "role": member.role,
                }
        return {"success": False, "error": "wrong", "locked": False}

    def session(self, token: str) -> SessionView | None:
        """Return the session of a token."""
        member = self.sessions.get(token)
        if member is None:
            return None
        user = UserAccount(
            id=member.id,
            username=member.username,
            email=member.email,
            role=member.role,
            is_active=True,
            password_hash="",
        )
        return SessionView(1, user, NOW + timedelta(hours=8), NOW)

    def logout(self, token: str) -> None:
        """End a session."""
        self.sessions.pop(token, None)


@dataclass(frozen=True)
class SomePlugin:
    """A row of the list of plugins."""

    family: str
    name: str
    state: str = "ready"
    reason: str = ""
    version: str = "0.1.0"
    origin: str = "lts"


PLUGINS = (
    SomePlugin("aaa", "default_aaa"),
    SomePlugin("core", "default_core"),
    SomePlugin("pipeline", "default_pipeline"),
    SomePlugin("strategy", "default_strategy"),
    SomePlugin("broker", "backtrader_simulation_broker"),
    SomePlugin("portfolio", "default_portfolio"),
)


@dataclass
class House:
    """The application with what surrounds it."""

    app: Flask
    database: Database
    aaa: SimpleAaa
    folder: Path
    wakes: list[datetime] = field(default_factory=list)

    def client(self, member: Member | None = None) -> FlaskClient:
        """Return a browser, logged in as the member."""
        client = self.app.test_client()
        if member is not None:
            answer = log_in(client, member)
            assert answer.status_code == 303
        return client


def build(
    folder: Path,
    database: Database,
    *,
    clock: Callable[[], datetime] = lambda: NOW,
    plugins: tuple[SomePlugin, ...] = PLUGINS,
    **settings: Any,
) -> House:
    """Return a house whose clock stands still at `NOW` unless told otherwise."""
    aaa = SimpleAaa()
    wakes: list[datetime] = []

    def wake() -> None:
        wakes.append(clock())

    settings.setdefault("rate_limit_per_minute", 10_000)
    wiring = WebWiring(
        settings=Settings(data_dir=folder, **settings),
        database=database,
        aaa=aaa,
        portfolios=PortfolioService(database, wake, clock),
        wake=wake,
        clock=clock,
        secret_key=b"k" * 32,
        limiter_storage=storage_uri(folder / "limits.db"),
        version="0.1.0",
        plugin_rows=lambda: plugins,
    )
    return House(create_app(wiring), database, aaa, folder, wakes)


def csrf_token(page: str) -> str:
    """Return the form token of a page."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, "the page has no form token"
    return found.group(1)


def log_in(client: FlaskClient, member: Member, **fields: str) -> Any:
    """Log in through the form."""
    token = csrf_token(client.get("/login").text)
    form = {"username": member.username, "password": member.password, "csrf_token": token}
    return client.post("/login", data=form | fields)
