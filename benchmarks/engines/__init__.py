"""The programs that the simulation benchmark starts, each in a process of its own."""
