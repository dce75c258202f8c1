"""Measurements, each beside its peer in one run: `python -m benchmarks [name [option ...]]`.

A benchmark is a module of this package with `main(arguments: list[str] | None) -> int`, which
prints its figures and how they came about, and returns 0 if they keep what is wanted. A new one
is a new module and nothing else. Nothing here is part of the product.
"""
