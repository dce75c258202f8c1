"""The card of all families: the documented base structure."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

import pytest

from lts_web.plugins.base import PluginBase
from lts_web.plugins.parameters import parameter_rules, resolve_parameters
from lts_web.plugins.registry import FAMILIES, FAMILY_BASES
from lts_web.trading.ports import Ports
from tests.contracts.plugins import REGISTRY, make


@pytest.mark.req("INT-01", "INT-002", "SYS-008")
class TestEveryPlugin:
    families = FAMILIES

    def test_it_is_ready_and_of_its_family(self, family: str, plugin_name: str) -> None:
        row = REGISTRY.row(family, plugin_name)
        assert (row.state, row.reason) == ("ready", "")
        assert issubclass(REGISTRY.get(family, plugin_name), FAMILY_BASES[family])

    def test_it_starts_with_its_defaults(self, family: str, plugin_name: str) -> None:
        plugin = make(family, plugin_name)
        for name, default in type(plugin).plugin_params.items():
            assert name in plugin.params
            if name not in plugin.configured:
                assert plugin.params[name] == default

    def test_a_flat_dictionary_goes_over_the_defaults(self, family: str, plugin_name: str) -> None:
        cls = REGISTRY.get(family, plugin_name)
        name = next(iter(cls.plugin_params), None)
        given = {"something_else": [1]} if name is None else {name: cls.plugin_params[name]}
        plugin = cls(given)
        assert plugin.params == {**cls.plugin_params, **given}
        assert plugin.configured == frozenset(given)

    def test_instances_do_not_share_parameters(self, family: str, plugin_name: str) -> None:
        cls = REGISTRY.get(family, plugin_name)
        before = copy.deepcopy(dict(cls.plugin_params))
        cls().set_params(something_else=1)
        assert dict(cls.plugin_params) == before
        assert "something_else" not in cls().params

    def test_set_params_shows_in_the_debug_information(self, family: str, plugin_name: str) -> None:
        plugin: PluginBase = make(family, plugin_name)
        shown = [name for name in plugin.plugin_debug_vars if name in plugin.params]
        if shown:
            value = plugin.params[shown[0]]
            plugin.set_params(**{shown[0]: value})
            assert plugin.get_debug_info()[shown[0]] == value
        assert set(plugin.get_debug_info()) == set(plugin.plugin_debug_vars)

    def test_debug_information_joins_what_is_there(self, family: str, plugin_name: str) -> None:
        plugin: PluginBase = make(family, plugin_name)
        collected = {"from_another": 1}
        plugin.add_debug_info(collected)
        assert collected == {"from_another": 1, **plugin.get_debug_info()}

    def test_its_debug_variables_hold_no_secret(self, family: str, plugin_name: str) -> None:
        cls = REGISTRY.get(family, plugin_name)
        secret = {name for name, rule in parameter_rules(cls).items() if rule.secret}
        assert not secret & set(cls.plugin_debug_vars)

    def test_its_defaults_keep_its_own_rules(self, family: str, plugin_name: str) -> None:
        cls = REGISTRY.get(family, plugin_name)
        resolve_parameters(cls, cls.plugin_params)

    def test_it_may_be_connected(self, family: str, plugin_name: str) -> None:
        plugin: PluginBase = make(family, plugin_name)
        plugin.connect(Ports(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)))
