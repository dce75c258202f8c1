"""`lts` as a person types it, in this process, on a data directory of the test's own."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lts_web import cli, logs
from lts_web.store.engine import Database

PASSWORD = "Correct-Horse-Battery-1"


@dataclass(frozen=True)
class Typed:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return the one document that `--json` prints."""
        return json.loads(self.out)


@dataclass
class Shell:
    """Types commands; `data` is the data directory."""

    data: Path
    run: Callable[[tuple[str, ...], str], Typed]

    def __call__(self, *arguments: str, given: str = "") -> Typed:
        """Type `lts` with these arguments."""
        return self.run(arguments, given)

    def json(self, *arguments: str, given: str = "") -> Any:
        """Type `lts --json` and return the document of a command that succeeds."""
        typed = self("--json", *arguments, given=given)
        assert typed.code == 0, typed.err
        return typed.document

    def person(self, username: str, role: str = "user") -> None:
        """Create a user."""
        typed = self(
            "user", "create", "--username", username, "--email", f"{username}@example.org",
            "--role", role, "--password-stdin", given=f"{PASSWORD}\n",
        )  # fmt: skip
        assert typed.code == 0, typed.err

    def database(self) -> Database:
        """Open the database; the caller closes it."""
        return Database(self.data / "lts.db")


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    """A shell with an empty environment."""
    for name in list(os.environ):
        if name.startswith("LTS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LTS_DATA_DIR", str(tmp_path / "data"))
    mask, hook = os.umask(0o022), sys.excepthook

    def run(arguments: tuple[str, ...], given: str) -> Typed:
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Typed(ended.value.code, printed.out, printed.err)

    yield Shell(tmp_path / "data", run)
    os.umask(mask)
    sys.excepthook = hook
    logs.remove_handlers()
