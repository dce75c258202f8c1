"""Flask, but no page: identity, limits, errors, headers, formatting. Knows no SQL and no plugin."""
