"""Strategy plugins: what to do with one asset, now."""
