"""Plays each card on every plugin of its family."""

from __future__ import annotations

import pytest

from tests.contracts.misbehaving import LET_GO
from tests.contracts.plugins import REGISTRY


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    families = getattr(metafunc.cls, "families", ())
    if families and "plugin_name" in metafunc.fixturenames:
        pairs = [(family, name) for family in families for name in REGISTRY.names(family)]
        ids = [f"{family}-{name}" for family, name in pairs]
        metafunc.parametrize(("family", "plugin_name"), pairs, ids=ids)


@pytest.fixture(scope="session", autouse=True)
def let_go() -> object:
    """Let plugins that hang on purpose end when the tests have."""
    yield
    LET_GO.set()
