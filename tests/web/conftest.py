"""A house with a filled database: Alice's two portfolios, Charlie's and Vera's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lts_web.store.engine import Database
from tests import factories
from tests.cast import ALICE, CHARLIE, VERA
from tests.web.house import House, build


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with the cast, portfolios 1–4 and a living worker."""
    database = factories.new_database(tmp_path)
    with database.write() as session:
        factories.add_cast(session)
        majors = factories.add_portfolio(session, ALICE.id, "Majors")
        factories.add_portfolio(session, ALICE.id, "Demonstration", synthetic=True)
        factories.add_portfolio(session, CHARLIE.id, "Charlie's own")
        factories.add_portfolio(session, VERA.id, "Vera's own", status="inactive")
        factories.trade_through(session, majors, cycles=40)
        factories.add_heartbeat(session)
    yield database
    database.close()


@pytest.fixture
def house(tmp_path: Path, database: Database) -> House:
    """The application on that database."""
    return build(tmp_path, database)
