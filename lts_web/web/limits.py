"""Rate limits: strangers and logins, counted by address across all processes.

The counters live in a small SQLite file of their own, since counters in memory would count for
each process alone. Whoever has a session is not counted here, but for logging in again.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flask import Flask, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import current_user
from limits.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEME = "lts-sqlite"
UNCOUNTED = frozenset({"static", "status.health"})
_BUSY_SECONDS = 5.0
_SWEEP_EVERY = 500


def storage_uri(path: Path) -> str:
    """Return the URI under which the limiter finds the counters in this file."""
    return f"{SCHEME}:{path.as_uri().removeprefix('file:')}"


class SqliteStorage(Storage):
    """Fixed-window counters in one SQLite file; exact between threads and processes."""

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012

    def __init__(self, uri: str, wrap_exceptions: bool = False, **options: object) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        path = unquote(urlsplit(uri).path)
        # "/C:/…" is how an address writes a Windows path.
        self._path = path[1:] if path[2:3] == ":" else path
        self._local = threading.local()
        self._since_sweep = 0
        with self._cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS counters "
                "(key TEXT PRIMARY KEY, count INTEGER NOT NULL, expires REAL NOT NULL)"
            )

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return what the file may raise."""
        return sqlite3.Error

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            # A counter that a power cut forgets is no loss.
            connection.execute("PRAGMA synchronous=OFF")
            self._local.connection = connection
        cursor = connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count and return the count; a window that has passed begins anew."""
        now = time.time()
        with self._cursor() as cursor:
            count: int = cursor.execute(
                "INSERT INTO counters VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET "
                "count = CASE WHEN expires <= ?4 THEN ?2 ELSE count + ?2 END, "
                "expires = CASE WHEN expires <= ?4 THEN ?3 ELSE expires END RETURNING count",
                (key, amount, now + expiry, now),
            ).fetchone()[0]
            self._since_sweep += 1
            if self._since_sweep >= _SWEEP_EVERY:
                self._since_sweep = 0
                cursor.execute("DELETE FROM counters WHERE expires <= ?", (now,))
        return count

    def get(self, key: str) -> int:
        """Return the count in the present window."""
        with self._cursor() as cursor:
            row = cursor.execute(
                "SELECT count FROM counters WHERE key = ? AND expires > ?", (key, time.time())
            ).fetchone()
        return row[0] if row else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        with self._cursor() as cursor:
            row = cursor.execute("SELECT expires FROM counters WHERE key = ?", (key,)).fetchone()
        return row[0] if row else time.time()

    def check(self) -> bool:
        """Return whether the file answers."""
        try:
            with self._cursor() as cursor:
                cursor.execute("SELECT 1 FROM counters LIMIT 1").fetchone()
        except sqlite3.Error:
            return False
        return True

    def reset(self) -> int | None:
        """Forget all counters and return how many there were."""
        with self._cursor() as cursor:
            return cursor.execute("DELETE FROM counters").rowcount

    def clear(self, key: str) -> None:
        """Forget one counter."""
        with self._cursor() as cursor:
            cursor.execute("DELETE FROM counters WHERE key = ?", (key,))


def install(app: Flask, storage: str, per_minute: int) -> None:
    """Refuse addresses that ask more than `per_minute` times a minute without a session."""
    Limiter(
        get_remote_address,
        app=app,
        application_limits=[f"{per_minute} per minute"],
        application_limits_exempt_when=_is_exempt,
        storage_uri=storage,
        headers_enabled=True,
        in_memory_fallback=[f"{per_minute} per minute"],
        in_memory_fallback_enabled=True,
        key_prefix="lts",
    )


def _is_exempt() -> bool:
    if request.endpoint in UNCOUNTED:
        return True
    if request.endpoint == "auth.login" and request.method == "POST":
        return False
    return bool(current_user.is_authenticated)
