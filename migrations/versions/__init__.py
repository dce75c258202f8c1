"""The revisions, by number. A revision that was released is never changed.

A table that a revision rebuilds loses its indexes on expressions, which Alembic cannot see: the
revision creates them again.
"""
