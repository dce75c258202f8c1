"""The traceability matrix: nothing left out, nothing made up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.trace import NOT_COVERED, REQUIREMENTS, matrix, read_requirements, unknown

ROOT = Path(__file__).parents[2]

PAGE = """\
# Requirements

| ID | meaning |
| --- | --- |
| SYS-001 | runs end to end |
| INT-01, INT-001 | plugin life |
"""


def marked_requirements() -> dict[str, list[str]]:
    """Return each ID given to a `req` marker anywhere in the tests, with the files."""
    found: dict[str, list[str]] = {}
    for path in sorted(ROOT.joinpath("tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.req":
                for argument in node.args:
                    identifier = ast.literal_eval(argument)
                    found.setdefault(identifier, []).append(path.relative_to(ROOT).as_posix())
    return found


def test_every_id_of_a_row_is_a_requirement() -> None:
    assert read_requirements(PAGE) == {
        "SYS-001": "runs end to end",
        "INT-01": "plugin life",
        "INT-001": "plugin life",
    }


def test_an_id_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="INT-01 stands twice"):
        read_requirements(PAGE + "| INT-01 | again |\n")


def test_a_requirement_without_a_test_is_listed_as_not_covered() -> None:
    lines = matrix(read_requirements(PAGE), {"SYS-001": ["tests/a.py::b", "tests/a.py::b"]})
    assert lines[2] == "| SYS-001 | runs end to end | `tests/a.py::b` |"
    assert lines[3] == f"| INT-01 | plugin life | {NOT_COVERED} |"
    assert lines[-1] == "1 of 3 requirements are shown by a test."


def test_a_marker_with_an_unknown_id_is_told_with_its_test() -> None:
    problems = unknown(read_requirements(PAGE), {"SYS-999": ["tests/a.py::b"]})
    assert problems == ["SYS-999 is not in docs/requirements.md (marked on tests/a.py::b)"]


def test_the_page_holds_every_family_of_requirements() -> None:
    requirements = read_requirements(REQUIREMENTS.read_text(encoding="utf-8"))
    expected = {f"SYS-{number:03}" for number in range(1, 21)}
    expected |= {f"STC-{number:03}" for number in range(1, 9)}
    expected |= {f"STC-{number}" for number in range(8, 19)}
    expected |= {f"INT-{number:02}" for number in range(1, 10)}
    expected |= {f"INT-{number:03}" for number in range(1, 29)}
    expected |= {f"EXT-{number}" for number in range(1, 5)}
    assert expected <= requirements.keys()


def test_every_marker_in_the_tests_names_a_known_requirement() -> None:
    requirements = read_requirements(REQUIREMENTS.read_text(encoding="utf-8"))
    assert unknown(requirements, marked_requirements()) == []
