"""What every test shares: a clean environment, and properties without a stop-watch."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# These machines are shared: how long one example takes says nothing about the code.
settings.register_profile("lts", deadline=None, max_examples=60)
settings.load_profile("lts")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("LTS_") and name != "LTS_REFERENCE_DATA":
            monkeypatch.delenv(name)
