"""The documentation tells the truth: its links, commands, settings, map and tables are the code's.

Each page is read as text, and what it names is looked up where it lives. What a machine cannot
judge, such as whether a sentence helps, is not tested here.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

import bootstrap
from lts_web import wiring
from lts_web.cli import lts
from lts_web.plugins import StrategyPluginBase
from lts_web.plugins.boundary import read_decision
from lts_web.services import demonstration, ordering, reconcile
from lts_web.settings import OTHER_VARIABLES, SETTINGS
from lts_web.settings_document import DOCUMENT
from lts_web.trading.codes import DenialCode, RejectCode
from lts_web.trading.decisions import Open
from lts_web.trading.orders import TRANSITIONS, OrderStatus
from lts_web.trading.synthetic import SyntheticSeries

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8"))
NAMES = [
    "README.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    *sorted(page.relative_to(ROOT).as_posix() for page in ROOT.joinpath("docs").glob("*.md")),
]
PAGES = {name: ROOT.joinpath(name).read_text(encoding="utf-8") for name in NAMES}
README = PAGES["README.md"]
PROTOCOL = PAGES["docs/protocol.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
every_page = pytest.mark.parametrize("name", NAMES)


def prose(text: str) -> str:
    """Return the page without its blocks of code."""
    return FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """Return what stands in code style within sentences and tables."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def code(text: str) -> list[str]:
    """Return all spans and all lines of shell blocks."""
    lines = [
        line
        for language, block in FENCE.findall(text)
        if language in {"", "sh"}
        for line in block.splitlines()
    ]
    return spans(text) + lines


def section(text: str, title: str) -> str:
    """Return what stands under a heading, down to the next one of its rank."""
    after = re.split(rf"^## {re.escape(title)}$", text, maxsplit=1, flags=re.MULTILINE)
    assert len(after) == 2, f"there is no section {title!r}"
    return re.split(r"^## ", after[1], maxsplit=1, flags=re.MULTILINE)[0]


def marked(text: str, name: str) -> str:
    """Return what stands between the comments `name` and `end`."""
    return text.split(f"<!-- {name} -->", 1)[1].split("<!-- end -->", 1)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the first table's rows, without its header."""
    table = re.search(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    assert table, "there is no table"
    lines = [line.strip("|").split("|") for line in table[0].splitlines()]
    return [[cell.strip() for cell in cells] for cells in lines[2:]]


def names_in(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


# --- links ----------------------------------------------------------------------------------------


def headings(text: str) -> set[str]:
    """Return the anchors that a page's headings make, as the usual renderers do."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_every_link_leads_somewhere(name: str) -> None:
    folder = ROOT.joinpath(name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[name])):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        page = folder.joinpath(path) if path else ROOT / name
        assert page.is_file(), f"{name} links to {target}, which is no file"
        if anchor:
            assert anchor in headings(page.read_text(encoding="utf-8")), f"{name}: {target}"


def test_the_index_lists_every_page() -> None:
    listed = set(re.findall(r"\]\(([^)]+)\)", PAGES["docs/README.md"]))
    pages = {Path(name).name for name in NAMES if name.startswith("docs/")} - {"README.md"}
    assert pages | {"../README.md", "../CHANGELOG.md"} == listed


@every_page
def test_every_path_and_test_that_is_named_exists(name: str) -> None:
    own = re.compile(r"(?:lts_web|worker|migrations|benchmarks|tests|docs|locks)(?:/[\w./-]+)+")
    for span in spans(PAGES[name]):
        path, _, test = span.partition("::")
        if own.fullmatch(path) is None or path.startswith("lts_web/static/vendor"):
            continue
        assert ROOT.joinpath(path).exists(), f"{name} names {path}"
        if test:
            assert f"def {test}(" in ROOT.joinpath(path).read_text(encoding="utf-8"), span


# --- commands -------------------------------------------------------------------------------------


def option_of(command: click.Command, token: str) -> click.Parameter | None:
    """Return the option that the token means; None for the help option."""
    if token in {"--help", "-h"}:
        return None
    for parameter in command.params:
        if token in parameter.opts:
            return parameter
    raise AssertionError(f"{command.name} has no option {token}")


def check_lts(line: str) -> None:
    """Follow a command line through the groups; fail where a name or an option is unknown."""
    command: click.Command = lts
    tokens = iter(shlex.split(line)[1:])
    for token in tokens:
        if token == "COMMAND":
            return
        if token.startswith("-"):
            option = option_of(command, token)
            if isinstance(option, click.Option) and not option.is_flag:
                next(tokens)
        elif isinstance(command, click.Group):
            assert token in command.commands, f"{line!r}: there is no command {token!r}"
            command = command.commands[token]
    required = [parameter for parameter in command.params if parameter.required]
    if any(token.startswith("--") or token.isupper() for token in shlex.split(line)[1:]):
        # A line that is written out in full must be one that can be typed.
        missing = [one.opts[0] for one in required if isinstance(one, click.Option)]
        assert all(name in line for name in missing), f"{line!r} lacks one of {missing}"


@every_page
def test_every_command_exists(name: str) -> None:
    targets = set(re.findall(r"^(\w+):", ROOT.joinpath("Makefile").read_text(), re.MULTILINE))
    for text in code(PAGES[name]):
        if command := re.fullmatch(r"(?:\.venv/bin/)?(lts [^…]+)", text):
            check_lts(command[1])
        if target := re.match(r"make (\w+)", text):
            assert target[1] in targets, f"{name}: there is no target {target[1]}"
        if own := re.match(r"(?:python3 )?bootstrap\.py (.+)", text):
            bootstrap.parse(own[1].split())


def test_the_readme_names_every_command_and_every_target() -> None:
    named = " ".join(code(README))
    for command in lts.commands.values():
        parts = command.commands if isinstance(command, click.Group) else [""]
        for part in parts:
            assert f"lts {command.name} {part}".strip() in named
    makefile = ROOT.joinpath("Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    for target in phony[1].split():
        assert f"make {target}" in named


def test_the_check_that_must_pass_is_what_the_readme_says() -> None:
    script = ROOT.joinpath(".ci", "run").read_text(encoding="utf-8")
    assert '"$python" bootstrap.py check' in script
    assert '"$python" bootstrap.py test' in script
    assert "`.ci/run`" in section(README, "Test it")


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.req("SYS-005")
@pytest.mark.parametrize("name", [name for name in NAMES if name != DOCUMENT.as_posix()])
def test_every_variable_that_is_named_exists(name: str) -> None:
    known = {setting.environment for setting in SETTINGS}
    known |= {f"LTS_{key.upper()}" for key in OTHER_VARIABLES}
    assert set(re.findall(r"\bLTS_[A-Z][A-Z_]*[A-Z]", PAGES[name])) <= known


@pytest.mark.req("SYS-005")
def test_the_readme_and_the_settings_page_agree() -> None:
    page = {
        cells[1]: cells[3] for cells in rows(section(PAGES[DOCUMENT.as_posix()], "All settings"))
    }
    table = rows(section(README, "Configuration"))
    assert len(table) >= 8
    for variable, default, _ in table:
        assert page[variable] == default, f"{variable}: the README says {default}"


# --- the map --------------------------------------------------------------------------------------

ROOMS = ("trading", "plugins", "gateways", "store", "services", "web", "blueprints")
CONTRACTS: list[dict[str, Any]] = [
    contract
    for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
    if contract["type"] == "forbidden"
]


def module_of(path: str) -> str:
    return path.replace("/", ".")


def forbidden_to(module: str) -> set[str]:
    """Return what import-linter forbids the room; of the store, `queries` may be let through."""
    modules: set[str] = set()
    for contract in CONTRACTS:
        if module in contract["source_modules"]:
            modules |= set(contract["forbidden_modules"])
    return modules


def map_rows() -> list[tuple[list[str], set[str], set[str]]]:
    return [
        (re.findall(r"`([^`]+)`", room), names_in(may), names_in(never))
        for room, _, may, never in rows(section(README, "The map"))
    ]


def test_the_map_names_every_package() -> None:
    text = section(README, "The map")
    folders = [
        path.name
        for path in ROOT.joinpath("lts_web").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    ]
    assert {f"lts_web/{folder}" for folder in folders} <= set(spans(text))
    others = {
        path.parent.name
        for path in ROOT.glob("*/__init__.py")
        if path.parent.name not in {"lts_web", "tests"}
    }
    assert others | {"tests", "wsgi.py"} <= set(spans(text))


def test_the_families_of_the_map_are_the_folders() -> None:
    named = set(spans(section(README, "The map")))
    for family in ROOT.joinpath("lts_web", "plugins").glob("*/__init__.py"):
        assert family.parent.name in named


def test_the_map_is_what_import_linter_checks() -> None:
    described = set()
    for paths, may, never in map_rows():
        own = {path.removeprefix("lts_web/") for path in paths}
        described |= own
        for path in paths:
            denied = forbidden_to(module_of(path))
            allowed = {
                room
                for room in ROOMS
                if f"lts_web.{room}" not in denied and f"lts_web.{room}.*" not in denied
            }
            if "lts_web.store.*" in denied:
                allowed.add("store.queries")
            told = {name for name in may if name.partition(".")[0] in ROOMS}
            assert told == allowed - own, f"{path} may import {sorted(allowed - own)}"
            assert not (may - told) & denied, f"{path} must not import {sorted(may & denied)}"
            assert never <= denied, f"nothing forbids {path} {sorted(never - denied)}"
    assert described == {*ROOMS, "worker"}


# --- decisions, changes, credits ------------------------------------------------------------------


def test_every_decision_has_its_date() -> None:
    decisions = re.findall(r"^- (.+)$", section(README, "Decisions"), re.MULTILINE)
    assert len(decisions) >= 30
    for decision in decisions:
        day, _, sentence = decision.partition(" · ")
        assert date.fromisoformat(day) >= date(2026, 11, 21), decision
        assert len(sentence) > 40, decision


@every_page
def test_every_code_in_capitals_is_known(name: str) -> None:
    known = {*DenialCode, *RejectCode}
    for module in (wiring, ordering, reconcile):
        known |= set(vars(module))
    known |= {"TRANSITIONS", "OPEN_TIME", "DATE_TIME", "GMT_TIME"}
    for span in spans(PAGES[name]):
        if re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", span) and not span.startswith("LTS_"):
            is_pair = re.fullmatch(r"[A-Z]{3}_[A-Z]{3}", span)
            assert is_pair or span in known, f"{name} names {span}"


def test_the_changelog_has_this_version() -> None:
    version = PYPROJECT["project"]["version"]
    assert f"\n## [{version}] – " in PAGES["CHANGELOG.md"]
    assert f"Version {version} " in README


def test_the_credits_are_the_packages_of_the_lock() -> None:
    lock = json.loads(ROOT.joinpath("package-lock.json").read_text(encoding="utf-8"))["packages"]
    licences = {
        path.removeprefix("node_modules/"): package["license"]
        for path, package in lock.items()
        if path
    }
    table = rows(section(README, "Licence and credits"))
    assert {re.findall(r"`(.+?)`", cells[0])[0]: cells[1] for cells in table} == licences


# --- examples -------------------------------------------------------------------------------------


@every_page
def test_every_python_example_can_be_read(name: str) -> None:
    for language, block in FENCE.findall(PAGES[name]):
        if language == "python":
            ast.parse(block)


@pytest.mark.req("INT-002")
def test_the_strategy_of_the_readme_decides() -> None:
    (example,) = (block for language, block in FENCE.findall(README) if language == "python")
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    plugin = next(
        value
        for value in names.values()
        if isinstance(value, type)
        and issubclass(value, StrategyPluginBase)
        and value is not StrategyPluginBase
    )()
    asset = {"open_positions": [], "pip": 0.0001}
    noon = {"time": datetime(2024, 3, 4, 12, tzinfo=UTC), "ask": 1.1}
    decision = read_decision(plugin.decide(asset, noon))
    assert isinstance(decision, Open)
    assert decision.stop_loss == pytest.approx(Decimal("1.097"))
    later = {**noon, "time": datetime(2024, 3, 4, 13, tzinfo=UTC)}
    assert plugin.decide(asset, later)["action"] == "none"
    assert plugin.decide({**asset, "open_positions": [{}]}, noon)["action"] == "none"


# --- the order protocol ---------------------------------------------------------------------------


def transitions() -> str:
    """Return the rows of the table as the code has them."""
    lines = []
    for status in OrderStatus:
        following = [f"`{one.value}`" for one in OrderStatus if one in TRANSITIONS[status]]
        lines.append(f"| `{status.value}` | {', '.join(following) or '– (final)'} |")
    return "\n".join(lines)


def fail_points() -> set[str]:
    """Return every step that the code names to `reach`."""
    found = set()
    for path in ROOT.joinpath("lts_web").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or len(node.args) != 1:
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)
            if name in {"reach", "_reach"} and isinstance(node.args[0], ast.Constant):
                found.add(str(node.args[0].value))
    return found


def test_the_table_of_transitions_is_the_codes() -> None:
    assert transitions() in marked(PROTOCOL, "transitions"), f"write:\n{transitions()}"


def test_every_state_is_explained() -> None:
    states = [names_in(cells[0]) for cells in rows(section(PROTOCOL, "States"))]
    assert states == [{status.value} for status in OrderStatus]


def test_every_fail_point_is_listed() -> None:
    points = fail_points()
    assert len(points) >= 15
    listed = [cells[0].strip("`") for cells in rows(marked(PROTOCOL, "fail points"))]
    assert sorted(listed) == sorted(points)


def test_the_times_of_the_protocol_are_the_codes() -> None:
    values = {
        "SEND_WINDOW": wiring.SEND_WINDOW,
        "LEASE_SECONDS": timedelta(seconds=ordering.LEASE_SECONDS),
        "QUIET_PERIOD": reconcile.QUIET_PERIOD,
    }
    table = rows(section(PROTOCOL, "Leases and fencing"))
    told = {cells[2].strip("`"): cells[1] for cells in table}
    assert told == {name: f"{value.total_seconds():g} s" for name, value in values.items()}
    assert f"{wiring.SEND_WINDOW.total_seconds():g} seconds" in README


def proofs() -> Iterator[str]:
    for cells in rows(marked(PROTOCOL, "proofs")):
        yield from names_in(cells[1])


def test_every_promise_names_its_test() -> None:
    # That each of them exists, test_every_path_and_test_that_is_named_exists looks up.
    assert all(name.startswith("tests/") for name in proofs())
    assert len(list(proofs())) >= 8


# --- the demonstration ----------------------------------------------------------------------------


def test_the_demonstration_is_as_its_page_says() -> None:
    page = PAGES["docs/demonstration.md"]
    pace = next(one for one in SETTINGS if one.name == "demo_pace_seconds")
    assert f"seed {demonstration.SEED}" in page
    assert f"from {demonstration.STARTS_AT:%Y-%m-%d}" in page
    assert f"{demonstration.CAPITAL:,} USD" in page
    assert f"every {pace.default:g} seconds" in page
    for instrument, _, _ in demonstration.SERIES:
        assert f"`{instrument}`" in page


def test_synthetic_moves_go_on_as_the_page_warns() -> None:
    instrument, start, _ = demonstration.SERIES[0]
    model = SyntheticSeries(demonstration.SEED, instrument, "H1", 5, start, demonstration.STARTS_AT)
    closes = [float(bar[4]) for bar in model.bars(0, 10_000)]

    def variance(step: int) -> float:
        moves = [later / now - 1 for now, later in zip(closes, closes[step:], strict=False)]
        return sum(move * move for move in moves) / len(moves) / step

    assert variance(24) > 1.3 * variance(1)
