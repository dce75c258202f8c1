"""Parameters of plugins: types, bounds, choices, and words for what is refused."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.plugins import PluginBase
from lts_web.plugins.registry import ParameterError, parameter_rules, resolve_parameters


class Undeclared(PluginBase):
    plugin_params: ClassVar[dict[str, Any]] = {
        "flag": True,
        "count": 3,
        "ratio": 0.5,
        "name": "x",
        "items": [],
        "table": {},
        "free": None,
        "api_url": "",
        "api_key": "",
        "token_length": 32,
    }


class Declared(PluginBase):
    plugin_params: ClassVar[dict[str, Any]] = {
        "size": 1,
        "mode": "a",
        "address": "",
        "bars": "",
        "note": "",
    }
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "size": {"type": "number", "minimum": 1, "maximum": 10, "help": "How large."},
        "mode": {"choices": ("a", "b")},
        "address": {"type": "url"},
        "bars": {"type": "bar_set"},
        "note": {"type": str, "secret": True},
    }


def _problems(cls: type[PluginBase], **values: Any) -> dict[str, str]:
    with pytest.raises(ParameterError) as caught:
        resolve_parameters(cls, values)
    return dict(caught.value.problems)


@pytest.mark.req("SYS-005", "INT-012")
class TestResolve:
    def test_only_what_was_set_comes_back(self) -> None:
        assert resolve_parameters(Undeclared) == {}
        assert resolve_parameters(Undeclared, {"count": 3}) == {"count": 3}

    def test_later_layers_win(self) -> None:
        layers = {"count": 1, "name": "low"}, {"count": 2}, {}
        assert resolve_parameters(Undeclared, *layers) == {"count": 2, "name": "low"}

    def test_whole_numbers_are_numbers(self) -> None:
        value = resolve_parameters(Undeclared, {"ratio": 1})["ratio"]
        assert (value, type(value)) == (1.0, float)

    def test_a_default_of_none_takes_anything(self) -> None:
        for value in (None, 1, "x", [1], {}):
            assert resolve_parameters(Undeclared, {"free": value}) == {"free": value}

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("flag", 1, "true or false"),
            ("flag", "yes", "true or false"),
            ("count", 1.5, "a whole number"),
            ("count", True, "a whole number"),
            ("count", "3", "a whole number"),
            ("ratio", "0.5", "a number"),
            ("ratio", float("nan"), "a number"),
            ("ratio", float("inf"), "a number"),
            ("ratio", 10**400, "a number"),
            ("ratio", None, "a number"),
            ("name", 5, "text"),
            ("name", "x" * 10_001, "at most"),
            ("name", "a\0b", "NUL"),
            ("items", {}, "a list"),
            ("table", [], "an object"),
            ("api_url", "ftp://x", "address"),
            ("cuont", 1, "no such parameter"),
        ],
    )
    def test_what_does_not_fit_is_refused_in_words(
        self, name: str, value: object, words: str
    ) -> None:
        if name == "api_url":
            assert "address" in _problems(Declared, address=value)["address"]
        else:
            assert words in _problems(Undeclared, **{name: value})[name]

    def test_every_problem_is_named_at_once(self) -> None:
        assert set(_problems(Undeclared, count="x", ratio="y", nothing=1)) == {
            "count",
            "ratio",
            "nothing",
        }

    def test_bounds_and_choices_of_the_schema_hold(self) -> None:
        assert "the most is 10" in _problems(Declared, size=10.5)["size"]
        assert "the least is 1" in _problems(Declared, size=0)["size"]
        assert "one of a, b" in _problems(Declared, mode="c")["mode"]
        assert resolve_parameters(Declared, {"size": 10, "mode": "b"}) == {
            "size": 10.0,
            "mode": "b",
        }

    def test_a_refused_secret_is_not_shown(self) -> None:
        problem = _problems(Declared, note=12_345)["note"]
        assert "12345" not in problem

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_a_number_is_taken_exactly_within_its_bounds(self, value: float) -> None:
        if 1 <= value <= 10:
            assert resolve_parameters(Declared, {"size": value}) == {"size": value}
        else:
            assert set(_problems(Declared, size=value)) == {"size"}


@pytest.mark.req("SYS-003", "INT-020")
class TestRules:
    def test_undeclared_parameters_have_the_type_of_their_default(self) -> None:
        kinds = {name: rule.kind for name, rule in parameter_rules(Undeclared).items()}
        assert kinds["flag"] == "boolean"
        assert kinds["count"] == "integer"
        assert kinds["ratio"] == "number"
        assert kinds["free"] == "any"

    def test_secrets_and_addresses_are_for_operators(self) -> None:
        rules = parameter_rules(Undeclared)
        assert rules["api_key"].secret
        assert rules["api_key"].operator_only
        assert rules["api_url"].operator_only
        assert not rules["token_length"].secret
        assert not rules["count"].operator_only
        declared = parameter_rules(Declared)
        assert declared["address"].operator_only
        assert declared["note"].secret
        assert not declared["bars"].operator_only
