"""Pipeline plugins: the order of the steps in a cycle."""
