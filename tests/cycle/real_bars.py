"""The real bars that stand beside the project; whatever needs them is skipped without."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from lts_web.gateways.bar_files import BarFile, open_bar_file, read_bars
from lts_web.services.bar_import import BarImport, Imported, ParsedBar
from lts_web.services.portfolios import Actor
from lts_web.store.engine import Database
from lts_web.trading.instruments import find_instrument

FOLDER = os.environ.get("LTS_REFERENCE_DATA", "")
EURUSD = "eurusd_h1_2018_2020.csv"
USDJPY = "usdjpy_h1_2012_2022.csv"
INSTRUMENTS = {EURUSD: "EUR_USD", USDJPY: "USD_JPY"}
needs_real_bars = pytest.mark.skipif(
    not (Path(FOLDER) / EURUSD).is_file() or not FOLDER,
    reason="LTS_REFERENCE_DATA does not name a folder with the real bars",
)


def real_rows(name: str, count: int, skip: int = 0) -> list[ParsedBar]:
    """Return some bars of a file."""
    with open_bar_file(Path(FOLDER) / name) as stream:
        return list(opened(stream, name).rows())[skip : skip + count]


def import_real(database: Database, name: str, user_id: int) -> Imported:
    """Import a whole file, as the command does."""
    with open_bar_file(Path(FOLDER) / name) as stream:
        return BarImport(database, lambda: datetime.now(UTC)).run(
            lambda: opened(stream, name),
            name=name,
            instrument=INSTRUMENTS[name],
            timeframe="H1",
            user_id=user_id,
            actor=Actor(user_id, "alice"),
        )


def opened(stream: BinaryIO, name: str) -> BarFile:
    """Return the file, to be read from its beginning."""
    stream.seek(0)
    instrument = find_instrument(INSTRUMENTS[name])
    return read_bars(
        stream,
        instrument=instrument.name,
        timeframe="H1",
        price_precision=instrument.price_precision,
    )
