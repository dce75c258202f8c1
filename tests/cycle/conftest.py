"""A house and a desk for the stories of the cycle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.contracts.misbehaving import LET_GO
from tests.cycle.desk import Desk
from tests.cycle.plugins import PLUGINS
from tests.house_of_trading import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Databases in a temporary folder, and Alice."""
    house = House.build(tmp_path)
    yield house
    house.close()


@pytest.fixture
def hurried(house: House) -> House:
    """The same house without a wait for the disk: for long replays, not for questions of safety."""
    for engine in (house.database.engine, house.venues.engine):
        engine.dispose()

        @event.listens_for(engine, "connect")
        def without_waiting(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA synchronous=OFF")

    return house


@pytest.fixture
def desk(house: House) -> Iterator[Desk]:
    """One process with all plugins of these tests."""
    LET_GO.clear()
    desk = Desk.open(house, PLUGINS)
    yield desk
    LET_GO.set()
    desk.owner.close()
