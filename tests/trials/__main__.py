"""Long trials of the whole system: `python -m tests.trials`, or `make trial`.

Without a name all trials run one after the other; `--list` only names them. Each keeps its state in
a folder of its own, so that an interrupted one goes on where it was; `--afresh` begins again. A
trial is a module beside this one with NAME, DESCRIPTION, `add_arguments` and `run`.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

FOLDER = Path(tempfile.gettempdir()) / "lts-trials"


def trials() -> dict[str, ModuleType]:
    """Return the trials by name."""
    names = sorted(found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)]))
    modules = (importlib.import_module(f"tests.trials.{name}") for name in names if name[0] != "_")
    return {module.NAME: module for module in modules if hasattr(module, "NAME")}


def parser_of(known: dict[str, ModuleType]) -> argparse.ArgumentParser:
    """Return the command line, with a command for each trial."""
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the trials and end")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    parser.add_argument("--afresh", action="store_true", help="forget what was done before")
    commands = parser.add_subparsers(dest="trial", metavar="TRIAL")
    for name, module in known.items():
        command = commands.add_parser(name, help=module.DESCRIPTION)
        module.add_arguments(command)
    return parser


def main() -> int:
    """Run the trials that are asked for; return the worst of their exit codes."""
    known = trials()
    parser = parser_of(known)
    given = parser.parse_args()
    if given.list:
        for name, module in known.items():
            print(f"{name:<10} {module.DESCRIPTION}")
        return 0
    worst = 0
    for name in [given.trial] if given.trial else list(known):
        folder = given.folder / name
        if given.afresh and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arguments = given if given.trial else parser.parse_args([name])
        print(f"{name} (in {folder})", flush=True)
        worst = max(worst, known[name].run(arguments, folder))
    return worst


if __name__ == "__main__":
    sys.exit(main())
