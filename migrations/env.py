"""Where Alembic starts: the revisions run on the connection that `lts_web.store.schema` hands over.

Opens no database and ends no transaction, since foreign keys must be off before it begins and be
checked before it ends.
"""

from __future__ import annotations

from alembic import context

from lts_web.store.models import Record

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Record.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
