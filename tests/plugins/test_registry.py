"""Finding and loading plugins: what is installed, what is broken, and why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lts_web.plugins import (
    PluginNotFound,
    PluginUnavailable,
    StrategyPluginBase,
    load_plugin,
)
from lts_web.plugins.registry import FAMILIES, PluginRow, Registry

WORKING = "tests.contracts.documented.strategy:LastBarStrategy"


def _registry(*points: tuple[str, str, str]) -> Registry:
    def entry_points(group: str) -> Iterable[EntryPoint]:
        return [EntryPoint(n, value, group) for g, n, value in points if g == group]

    return Registry(FAMILIES, entry_points)


def _strategy(line: str, *, decides: bool = True) -> str:
    """Return the code of a strategy with one more line in its class."""
    method = "    def decide(self, asset_data, market_data): return {}\n" if decides else ""
    return (
        "from lts_web.plugins import StrategyPluginBase\n"
        f"class Plugin(StrategyPluginBase):\n    {line}\n{method}"
    )


def _row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> PluginRow:
    """Return the row of a strategy plugin with this code."""
    name = f"plugin_under_test_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return _registry(("plugins_strategy", "one", f"{name}:Plugin")).row("strategy", "one")


@pytest.mark.req("INT-01")
class TestLoadPlugin:
    def test_it_gives_the_class_and_its_parameters(self) -> None:
        cls, parameters = load_plugin("plugins_strategy", "default_strategy")
        assert cls.__name__ == "DefaultStrategy"
        assert issubclass(cls, StrategyPluginBase)
        assert {"position_size", "stop_loss_pips", "order_type"} <= set(parameters)
        assert parameters == list(cls.plugin_params)

    @pytest.mark.parametrize(
        ("group", "name", "word"),
        [
            ("plugins_strategy", "no_such", "default_strategy"),
            ("plugins_nothing", "default_strategy", "plugins_strategy"),
            ("strategy", "default_strategy", "plugins_strategy"),
        ],
    )
    def test_what_is_unknown_names_what_is_known(self, group: str, name: str, word: str) -> None:
        with pytest.raises(PluginNotFound, match=word) as caught:
            load_plugin(group, name)
        assert isinstance(caught.value, ImportError)

    def test_all_documented_built_ins_of_this_stage_are_installed(self) -> None:
        installed = {family: Registry((family,)).names(family) for family in FAMILIES}
        assert "default_aaa" in installed["aaa"]
        assert "default_core" in installed["core"]
        assert "default_pipeline" in installed["pipeline"]
        assert "default_strategy" in installed["strategy"]
        assert {"default_broker", "backtrader_simulation_broker"} <= set(installed["broker"])
        assert "default_portfolio" in installed["portfolio"]


@pytest.mark.req("INT-01", "SYS-011")
class TestBrokenPlugins:
    def test_a_missing_module_is_a_row_with_its_reason(self) -> None:
        registry = _registry(
            ("plugins_strategy", "gone", "no_such_module:Plugin"),
            ("plugins_strategy", "working", WORKING),
        )
        gone, working = registry.rows()
        assert (gone.name, gone.state, gone.cls) == ("gone", "broken", None)
        assert "no_such_module" in gone.reason
        assert (working.name, working.state) == ("working", "ready")
        with pytest.raises(PluginUnavailable, match="no_such_module"):
            registry.get("strategy", "gone")

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("raise SystemExit(3)", "SystemExit"),
            ("1 / 0", "ZeroDivisionError"),
            ("def broken(:", "SyntaxError"),
            ("Plugin = 5", "inherits from PluginBase"),
            ("class Plugin: pass", "inherits from PluginBase"),
            (_strategy("x = 1", decides=False), "no method decide"),
            (_strategy("plugin_params = ['a']"), "plugin_params"),
            (_strategy("plugin_debug_vars = 'a'"), "plugin_debug_vars"),
            (_strategy("plugin_schema = {'stray': {'type': int}}"), "stray"),
            (_strategy("plugin_interface = '2.0'"), "made for interface 2.0"),
            (_strategy("open_order = close_order = print", decides=False), "no method decide"),
        ],
    )
    def test_each_fault_has_its_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
    ) -> None:
        row = _row(tmp_path, monkeypatch, code)
        assert row.state == "broken"
        assert reason in row.reason

    @pytest.mark.parametrize("version", ["'1.0'", "'1.9'", "1.2"])
    def test_interfaces_of_the_first_kind_are_welcome(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
    ) -> None:
        code = _strategy(f"plugin_interface = {version}")
        assert _row(tmp_path, monkeypatch, code).state == "ready"

    def test_a_name_that_is_taken_is_a_row_too(self) -> None:
        registry = _registry(
            ("plugins_strategy", "twin", WORKING),
            ("plugins_strategy", "twin", "tests.contracts.misbehaving:MisbehavingStrategy"),
        )
        first, second = registry.rows()
        assert [first.state, second.state] == ["ready", "broken"]
        assert "already" in second.reason
        assert registry.names("strategy") == ("twin",)
        assert registry.get("strategy", "twin") is first.cls

    def test_declarations_leave_a_place_for_the_broken(self) -> None:
        registry = _registry(
            ("plugins_strategy", "gone", "no_such_module:Plugin"),
            ("plugins_strategy", "working", WORKING),
        )
        assert registry.declarations()["strategy"] == {"gone": None, "working": {"stop_pips": 50}}
        assert registry.schemas()["strategy"] == {"working": {}}


def test_only_the_families_asked_for_are_known() -> None:
    registry = Registry(("strategy",))
    assert {row.family for row in registry.rows()} == {"strategy"}
    with pytest.raises(PluginNotFound, match="strategy"):
        registry.get("core", "default_core")


def test_a_class_of_the_base_structure_alone_gets_the_familys_defaults() -> None:
    registry = _registry(
        ("plugins_strategy", "plain", "tests.contracts.documented.base_structure:Thresholds")
    )
    cls = registry.get("strategy", "plain")
    assert issubclass(cls, StrategyPluginBase)
    assert cls.__name__ == "Thresholds"
    assert cls({"count": 1}).params == {"level": "low", "count": 1}


@pytest.mark.req("PLG-CORE")
def test_importing_the_bases_loads_neither_flask_nor_a_database() -> None:
    code = (
        "import sys\n"
        "from lts_web.plugins import BrokerPluginBase, load_plugin\n"
        "heavy = {'flask', 'sqlalchemy', 'huey', 'backtrader', 'oandapyV20', 'bcrypt'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert not [m for m in sys.modules if m.startswith('lts_web.plugins.broker')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
