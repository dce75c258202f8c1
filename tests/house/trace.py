"""Print which test shows which requirement: `make trace`.

A pytest plugin. It reads the requirements from docs/requirements.md and the `req` markers of the
collected tests, prints the matrix as a Markdown table, and runs no test. A requirement without a
test is a line that says so; a marker with an unknown ID makes the command fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "docs" / "requirements.md"
NOT_COVERED = "**not covered**"

MARKED: pytest.StashKey[dict[str, list[str]]] = pytest.StashKey()


def read_requirements(text: str) -> dict[str, str]:
    """Return each requirement's ID with its meaning, in the order of the page's tables."""
    requirements: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("| ") or line.startswith(("| ID ", "| ---")):
            continue
        identifiers, meaning = line.strip("| ").split(" | ", maxsplit=1)
        for identifier in identifiers.split(", "):
            if identifier in requirements:
                raise ValueError(f"{identifier} stands twice in the requirements")
            requirements[identifier] = meaning
    return requirements


def matrix(requirements: Mapping[str, str], shown_by: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the lines of the Markdown table and a closing count."""
    lines = ["| requirement | meaning | shown by |", "| --- | --- | --- |"]
    covered = 0
    for identifier, meaning in requirements.items():
        tests = sorted(set(shown_by.get(identifier, ())))
        covered += bool(tests)
        shown = "<br>".join(f"`{test}`" for test in tests) or NOT_COVERED
        lines.append(f"| {identifier} | {meaning} | {shown} |")
    return [*lines, "", f"{covered} of {len(requirements)} requirements are shown by a test."]


def unknown(requirements: Mapping[str, str], shown_by: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a line for each marked ID that the page does not have."""
    return [
        f"{identifier} is not in docs/requirements.md (marked on {', '.join(sorted(set(tests)))})"
        for identifier, tests in sorted(shown_by.items())
        if identifier not in requirements
    ]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch; without it this plugin does nothing."""
    parser.addoption(
        "--trace-requirements",
        action="store_true",
        help="print which test shows which requirement, and run none",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the requirements of every collected test; parameters of one test are one test."""
    shown_by: dict[str, list[str]] = {}
    for item in session.items:
        name = item.nodeid.partition("[")[0]
        for mark in item.iter_markers("req"):
            for identifier in mark.args:
                shown_by.setdefault(identifier, []).append(name)
    session.config.stash[MARKED] = shown_by


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run nothing when only the matrix is asked for, but do not hide a test file that is broken."""
    if not session.config.getoption("--trace-requirements") or session.testsfailed:
        return None
    requirements = read_requirements(REQUIREMENTS.read_text(encoding="utf-8"))
    shown_by: dict[str, list[str]] = session.config.stash[MARKED]
    if problems := unknown(requirements, shown_by):
        raise pytest.UsageError("; ".join(problems))
    return True


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Print the matrix in place of results."""
    if config.getoption("--trace-requirements") and exitstatus == pytest.ExitCode.OK:
        requirements = read_requirements(REQUIREMENTS.read_text(encoding="utf-8"))
        shown_by: dict[str, list[str]] = config.stash[MARKED]
        for line in matrix(requirements, shown_by):
            terminalreporter.write_line(line)
