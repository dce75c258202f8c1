"""The trading core: pure values and rules, standard library only.

Nothing here reads a clock, a file, a network or a database, and nothing logs: `now` is an
argument, data come in as values and leave as values.
"""
