"""Importing bars: all or nothing, in pieces that never hold the database for long.

The file is read twice: once to see that every line is sound, once to write. A data set counts
only when it is marked ready; what a killed import left is removed by the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Protocol

from lts_web.services.portfolios import Actor
from lts_web.store.audit import write_audit
from lts_web.store.bars import abandoned_imports, delete_dataset, insert_bars
from lts_web.store.engine import Database
from lts_web.store.live import bump, bump_everyone
from lts_web.store.models import DatasetRecord
from lts_web.trading.ports import Clock

BATCH = 5_000
ABANDONED_AFTER = timedelta(hours=6)

ParsedBar = tuple[datetime, Decimal, Decimal, Decimal, Decimal]


class FileChanged(ValueError):
    """The file that was checked is not the file that was written; nothing of it is kept."""


class Summary(Protocol):
    """What is known of a file once its last row was read."""

    @property
    def rows(self) -> int:
        """Number of bars."""

    @property
    def first(self) -> datetime | None:
        """Opening of the first bar."""

    @property
    def last(self) -> datetime | None:
        """Opening of the last bar."""

    @property
    def gap_count(self) -> int:
        """Number of gaps."""

    @property
    def outside_calendar(self) -> int:
        """Bars outside the market's hours."""

    @property
    def warnings(self) -> object:
        """Warnings."""


class BarSourceFile(Protocol):
    """A file of bars that can be read once."""

    def rows(self) -> Iterator[ParsedBar]:
        """Yield the bars; raises at the first defect."""

    @property
    def summary(self) -> Summary:
        """What was read, after the last row."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A data set that was imported."""

    dataset_id: int
    rows: int
    gaps: int
    outside_calendar: int
    warnings: tuple[str, ...]


class BarImport:
    """Imports bars for a user, or for everybody when `user_id` is None."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def run(
        self,
        open_file: Callable[[], BarSourceFile],
        *,
        name: str,
        instrument: str,
        timeframe: str,
        user_id: int | None,
        actor: Actor,
    ) -> Imported:
        """Import the file that `open_file` opens (it is called twice) and return what came of it.

        Whatever `open_file` or its rows raise passes on, with nothing left behind.
        """
        summary, digest = self._checked(open_file())
        dataset_id = self._begin(name, instrument, timeframe, user_id)
        try:
            self._write(dataset_id, open_file(), digest)
            warnings = tuple(str(warning) for warning in summary.warnings)  # type: ignore[attr-defined]
            self._finish(dataset_id, summary, digest, warnings, user_id, actor)
        except BaseException:
            with self._database.write() as session:
                delete_dataset(session, dataset_id)
            raise
        return Imported(
            dataset_id, summary.rows, summary.gap_count, summary.outside_calendar, warnings
        )

    def _checked(self, file: BarSourceFile) -> tuple[Summary, str]:
        digest = hashlib.sha256()
        for row in file.rows():
            digest.update(repr(row).encode())
        return file.summary, digest.hexdigest()

    def _write(self, dataset_id: int, file: BarSourceFile, expected: str) -> None:
        digest = hashlib.sha256()
        rows = file.rows()
        while batch := list(islice(rows, BATCH)):
            for row in batch:
                digest.update(repr(row).encode())
            with self._database.write() as session:
                insert_bars(session, dataset_id, batch)
        if digest.hexdigest() != expected:
            raise FileChanged(
                "The file was changed while it was being read: import it again when it is finished."
            )

    def _begin(self, name: str, instrument: str, timeframe: str, user_id: int | None) -> int:
        now = self._clock()
        with self._database.write() as session:
            for dataset_id in abandoned_imports(session, now - ABANDONED_AFTER):
                delete_dataset(session, dataset_id)
            record = DatasetRecord(
                user_id=user_id,
                name=name[:200],
                instrument=instrument,
                timeframe=timeframe,
                origin="stored",
                state="importing",
                created_at=now,
            )
            session.add(record)
            session.flush()
            return record.id

    def _finish(
        self,
        dataset_id: int,
        summary: Summary,
        digest: str,
        warnings: tuple[str, ...],
        user_id: int | None,
        actor: Actor,
    ) -> None:
        now = self._clock()
        with self._database.write() as session:
            record = session.get_one(DatasetRecord, dataset_id)
            record.state = "ready"
            record.row_count = summary.rows
            record.first_open, record.last_open = summary.first, summary.last
            record.gap_count = summary.gap_count
            record.outside_calendar = summary.outside_calendar
            record.warnings = list(warnings)
            record.content_sha256 = digest
            write_audit(
                session,
                actor=actor.name,
                user_id=actor.user_id,
                action="bars.import",
                object_type="dataset",
                object_id=dataset_id,
                details={"rows": summary.rows, "instrument": record.instrument},
                now=now,
            )
            if user_id is not None:
                bump(session, user_id, "system")
            else:
                bump_everyone(session)
