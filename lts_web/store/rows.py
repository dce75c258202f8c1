"""Updates of single rows past the object mapper, which costs several times what they do.

The object that stands for a row, where there is one, is kept equal to it. Opens no transaction.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Table, Update, bindparam, inspect, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from lts_web.store.base import Record


@cache
def update_of(table: Table, *names: str) -> Update:
    """Return the update of the named columns in the row of an id, to be run with `row_values`."""
    return (
        update(table)
        .where(table.c.id == bindparam("of_id"))
        .values({name: bindparam(f"new_{name}") for name in names})
    )


def row_values(row_id: int, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `update_of`; the columns' own names are taken by its SET clause."""
    return {"of_id": row_id, **{f"new_{name}": value for name, value in values.items()}}


def write_row(session: Session, record: Record, **values: Any) -> None:
    """Write columns of a record at once, after what was changed in it before.

    The mapper does not know of it: who rolls back to a savepoint expires the record.
    """
    state = inspect(record)
    if state.modified:
        session.flush()
    table, identity = state.mapper.local_table, state.identity
    assert isinstance(table, Table)
    assert identity is not None
    session.connection().execute(update_of(table, *values), row_values(identity[0], values))
    note(record, **values)


def note(record: Record, **values: Any) -> None:
    """Give a record the values that its row will get by `write_row`."""
    for name, value in values.items():
        set_committed_value(record, name, value)
