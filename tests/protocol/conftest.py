"""A stage for the stories of the order protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.protocol.scenarios import Scripted, Stage, make_processes_cheap


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Stories in a temporary folder, their processes on one pool of threads."""
    make_processes_cheap(monkeypatch)
    Scripted.asked.clear()
    return Stage(tmp_path)
