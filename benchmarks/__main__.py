"""Runs the benchmark that is named, with its own options, or all of them, one after the other."""

from __future__ import annotations

import importlib
import pkgutil
import platform
import sys

import benchmarks


def find_benchmarks() -> list[str]:
    """Return the names of all benchmarks: the modules of this package."""
    modules = pkgutil.iter_modules(benchmarks.__path__)
    return sorted(one.name for one in modules if not (one.ispkg or one.name.startswith("_")))


def main(arguments: list[str]) -> int:
    """Run what the arguments name; 0 when every figure is as wanted, 2 for an unknown name."""
    known = find_benchmarks()
    name, *options = arguments or [""]
    if name and name not in known:
        print(
            f"There is no benchmark {name!r}: use python -m benchmarks [name [option ...]] with "
            f"one of {', '.join(known)}, or no name to run all.",
            file=sys.stderr,
        )
        return 2
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    status = 0
    for each in [name] if name else known:
        print(f"\n== {each} ==", flush=True)
        status |= importlib.import_module(f"benchmarks.{each}").main(options)
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
