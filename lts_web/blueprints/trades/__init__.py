"""Orders, positions and decisions."""
