"""The broker family: the ways to a venue, simulated or real. Each module holds one plugin."""
