"""Parameters of plugins: what a class declares, and the check of the values given to it.

A declaration is `plugin_params` (names and defaults) and, where there is one, `plugin_schema`.
Nothing here loads a plugin, reads a file or knows where a value came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lts_web.plugins.base import PluginBase

# Where these point to is never the choice of an ordinary user.
OPERATOR_ONLY_NAMES = frozenset({"api_url", "base_url", "broker_api_url", "csv_file"})
_SECRET_WORDS = ("secret", "password", "token", "api_key")
_TEXT_LIMIT = 10_000

_KINDS: dict[object, str] = {
    bool: "boolean", "bool": "boolean", "boolean": "boolean",
    int: "integer", "int": "integer", "integer": "integer",
    float: "number", "float": "number", "number": "number",
    str: "text", "str": "text", "string": "text", "text": "text",
    "url": "url", "secret": "secret", "bar_set": "bar_set", "bar set": "bar_set",
    list: "list", "list": "list", "array": "list",
    dict: "mapping", "dict": "mapping", "object": "mapping",
}  # fmt: skip

_EXPECTED = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "text": "text",
    "url": "an address that starts with https:// or http://",
    "secret": "text",
    "bar_set": "the name or number of an imported bar set",
    "list": "a list",
    "mapping": "an object",
    "any": "a value",
}


class ParameterError(ValueError):
    """Values given to a plugin are refused; `problems` holds (parameter, message), one each."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        """Keep the problems, and say them all in one message."""
        super().__init__("; ".join(f"{name}: {message}" for name, message in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class ParameterRule:
    """What one parameter may be. `kind` is a key of the table of kinds, "any" if undeclared."""

    name: str
    kind: str
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    help: str = ""
    secret: bool = False
    operator_only: bool = False

    def problem(self, value: object) -> str | None:
        """Return why the value is refused, in words, or None."""
        if value is None and self.default is None:
            return None
        if not self._has_kind(value):
            given = "" if self.secret else f", not {_shown(value)}"
            return f"expected {_EXPECTED[self.kind]}{given}"
        if self.choices and value not in self.choices:
            return f"choose one of {', '.join(str(choice) for choice in self.choices)}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._bounds_problem(value)
        if isinstance(value, str) and (len(value) > _TEXT_LIMIT or "\0" in value):
            return f"the text must be at most {_TEXT_LIMIT} characters without NUL"
        return None

    def _has_kind(self, value: object) -> bool:
        if self.kind == "any":
            return True
        if self.kind == "boolean":
            return isinstance(value, bool)
        if isinstance(value, bool):
            return False
        if self.kind == "number":
            return isinstance(value, int | float) and abs(value) < 1e300 and not math.isnan(value)
        if self.kind == "url":
            return isinstance(value, str) and (
                not value or value.startswith(("https://", "http://"))
            )
        if self.kind == "bar_set":
            return isinstance(value, int | str)
        types = {"integer": int, "text": str, "secret": str, "list": list, "mapping": dict}
        return isinstance(value, types[self.kind])

    def _bounds_problem(self, value: float) -> str | None:
        if self.minimum is not None and value < self.minimum:
            return f"{_shown(value)} is too small: the least is {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"{_shown(value)} is too large: the most is {self.maximum:g}"
        return None


def parameter_rules(cls: type[PluginBase]) -> dict[str, ParameterRule]:
    """Return the rules of all parameters of a plugin class, by name.

    Undeclared: the type of the default (None: any), no bounds, and the name as label.
    """
    return {
        name: _rule(name, default, cls.plugin_schema.get(name, {}))
        for name, default in cls.plugin_params.items()
    }


def resolve_parameters(cls: type[PluginBase], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the layers set, later layers winning, each checked.

    What no layer sets is left out, so that the class's own default applies. ParameterError names
    every parameter that does not exist or does not fit.
    """
    rules = parameter_rules(cls)
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.items():
            rule = rules.get(name)
            if rule is None:
                problems[name] = (
                    f"there is no such parameter; known are {', '.join(rules) or 'none'}"
                )
                continue
            problem = rule.problem(value)
            if problem is not None:
                problems[name] = problem
            values[name] = float(value) if rule.kind == "number" and problem is None else value
    if problems:
        raise ParameterError(list(problems.items()))
    return values


def _rule(name: str, default: object, declared: Mapping[str, Any]) -> ParameterRule:
    kind = _KINDS.get(declared.get("type")) or _KINDS.get(type(default), "any")
    secret = bool(declared.get("secret", _names_a_secret(name, default))) or kind == "secret"
    return ParameterRule(
        name=name,
        kind=kind,
        default=default,
        minimum=declared.get("minimum"),
        maximum=declared.get("maximum"),
        choices=tuple(declared.get("choices", ())),
        help=str(declared.get("help", "")),
        secret=secret,
        operator_only=bool(declared.get("operator_only"))
        or name in OPERATOR_ONLY_NAMES
        or kind == "url"
        or secret,
    )


def _names_a_secret(name: str, default: object) -> bool:
    """Return whether it is text that is called a secret; the length of a password is none."""
    return isinstance(default, str | None) and any(word in name for word in _SECRET_WORDS)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, bool | int | float | str) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."
