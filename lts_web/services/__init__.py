"""Use cases, one verb each. Transactions begin and end here; no page, no queue, no SQL."""
