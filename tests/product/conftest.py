"""An installation for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.product.product import PASSWORD, Product, installation


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """Nothing runs yet; whatever a test starts is ended after it."""
    yield from installation(tmp_path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the administrator Alice and her demonstration, made by commands."""
    made = Product(tmp_path_factory.mktemp("prepared"))
    alice = ("--username", "alice", "--email", "alice@example.org", "--role", "admin")
    created = made.lts("user", "create", *alice, "--password-stdin", given=f"{PASSWORD}\n")
    assert created.returncode == 0, created.stderr
    demo = made.lts("demo")
    assert demo.returncode == 0, demo.stderr
    return made.data


@pytest.fixture
def demonstration(product: Product, prepared: Path) -> Product:
    """An installation of Alice's with the demonstration, not running yet."""
    shutil.copytree(prepared, product.data)
    return product
