"""The schema's history, one revision after the other; `lts_web.store.schema` runs it."""
