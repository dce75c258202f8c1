"""LTS as a person starts it: real processes on a data directory of their own, seen over HTTP.

`Product` starts commands and ends all of them; `Browser` logs in as people do, through the form.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.real_processes import alive, eventually, free_port

PASSWORD = "Correct-Horse-Battery-1"
posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@dataclass
class Product:
    """One installation: its folder, its port, and the processes that were started on it."""

    folder: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Return the data directory."""
        return self.folder / "data"

    @property
    def address(self) -> str:
        """Return the address of the pages."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return what the processes see: the caller's variables but for those of LTS."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("LTS_")}
        return {
            **own,
            "LTS_DATA_DIR": str(self.data),
            "LTS_PORT": str(self.port),
            "LTS_ADMIN_EMAIL": "admin@example.org",
            "LTS_ADMIN_PASSWORD": PASSWORD,
            "LTS_DEMO_PACE_SECONDS": "0.2",
            **self.settings,
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command of `lts`, or another program by its path."""
        words = list(command) if "/" in command[0] else [*lts(), *command]
        number = len(self.processes)
        errors = (self.folder / f"errors-{number}.txt").open("w", encoding="utf-8")
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=errors, text=True,
            env=self.environment(), cwd=self.folder,
        )  # fmt: skip
        errors.close()
        self.processes.append(process)
        return process

    def errors(self) -> str:
        """Return what all processes wrote to standard error."""
        return "".join(one.read_text("utf-8") for one in sorted(self.folder.glob("errors-*.txt")))

    def lts(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command of `lts` to its end."""
        return subprocess.run(
            [*lts(), *command], capture_output=True, text=True, input=given, timeout=120,
            env=self.environment(), cwd=self.folder, check=False,
        )  # fmt: skip

    def lts_json(self, *command: str, code: int = 0, given: str = "") -> Any:
        """Run a command with --json and return its one document."""
        done = self.lts("--json", *command, given=given)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def wait_ready(self, process: subprocess.Popen[str], seconds: float = 60) -> list[str]:
        """Read standard output up to the ready line; return what stood before it."""
        assert process.stdout is not None
        before: list[str] = []
        while line := process.stdout.readline():
            if line == f"LTS is ready: {self.address}\n":
                return before
            before.append(line)
        raise AssertionError(f"it ended with {process.wait(seconds)}: {self.errors()}")

    def query(self, sql: str, *values: Any, file: str = "lts.db") -> list[tuple[Any, ...]]:
        """Read from a database beside the running processes."""
        with closing(sqlite3.connect(self.data / file, timeout=10)) as connection:
            return connection.execute(sql, values).fetchall()

    def count(self, table: str, where: str = "1") -> int:
        """Count rows."""
        [(number,)] = self.query(f"SELECT count(*) FROM {table} WHERE {where}")
        return int(number)

    def end(self) -> None:
        """End every process that still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def lts() -> list[str]:
    """Return the `lts` of this environment."""
    return [str(program("lts"))]


def program(name: str) -> Path:
    """Return a program of this environment."""
    found = Path(sys.executable).parent / (f"{name}.exe" if os.name == "nt" else name)
    assert found.is_file(), f"{found} is missing: install LTS into this environment"
    return found


def worker_process(product: Product) -> int:
    """Return the process id of the worker that was seen last."""
    [(found,)] = product.query(
        "SELECT process_id FROM worker_heartbeats ORDER BY started_at DESC LIMIT 1"
    )
    return int(found)


def kill(pid: int) -> None:
    """End a process as a crash would, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))


class Browser:
    """Somebody at the pages."""

    def __init__(self, product: Product) -> None:
        self._client = httpx.Client(base_url=product.address, timeout=20)

    def get(self, path: str) -> httpx.Response:
        """Ask for a page."""
        return self._client.get(path)

    def log_in(self, username: str = "admin", password: str = PASSWORD) -> httpx.Response:
        """Fill in the form, with its token."""
        token = self.token("/login")
        form = {"username": username, "password": password, "csrf_token": token}
        return self._client.post("/login", data=form)

    def post(self, path: str, page: str, **form: str) -> httpx.Response:
        """Send a form of a page, with the page's token."""
        return self._client.post(path, data={**form, "csrf_token": self.token(page)})

    def token(self, path: str) -> str:
        """Return the token of the forms on a page."""
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.get(path).text)
        assert found is not None, f"{path} shows no form with a token"
        return found.group(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def installation(folder: Path, **settings: str) -> Iterator[Product]:
    """Yield an installation and end its processes afterwards."""
    product = Product(folder, settings=settings)
    try:
        yield product
    finally:
        product.end()
