"""Read models: what pages show, as plain values. Nothing here writes or decides.

Every function takes the session of one read snapshot, and a `Scope` where rows belong to someone:
a foreign row is not there.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import ColumnElement, true
from sqlalchemy.exc import SQLAlchemyError as StoreError
from sqlalchemy.orm import Session as Snapshot

from lts_web.store.models import PortfolioRecord

__all__ = ["EVERYTHING", "ReadableDatabase", "Scope", "Snapshot", "StoreError", "owned"]


class ReadableDatabase(Protocol):
    """The database as pages see it: it can be read, one consistent snapshot at a time."""

    def read(self) -> AbstractContextManager[Snapshot]:
        """Open a read transaction."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a reader sees: their own, or (administrators) everybody's."""

    user_id: int
    everything: bool = False


EVERYTHING = Scope(user_id=0, everything=True)


def owned(scope: Scope) -> ColumnElement[bool]:
    """Return the condition under which a portfolio is in the scope."""
    return true() if scope.everything else PortfolioRecord.user_id == scope.user_id
