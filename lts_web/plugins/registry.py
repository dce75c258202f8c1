"""Finding and loading plugins by their entry points.

A plugin that cannot be loaded is a row with its reason, never a crash. Only the families asked
for are loaded, and each plugin once: the worker never loads the core family. This module makes no
instances and knows no configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from threading import RLock
from typing import Any

from lts_web.plugins.base import (
    AAAPluginBase,
    BrokerPluginBase,
    CorePluginBase,
    PipelinePluginBase,
    PluginBase,
    PortfolioPluginBase,
    StrategyPluginBase,
)
from lts_web.plugins.parameters import (
    ParameterError,
    ParameterRule,
    parameter_rules,
    resolve_parameters,
)

__all__ = [
    "FAMILIES",
    "ParameterError",
    "ParameterRule",
    "PluginNotFound",
    "PluginRow",
    "PluginUnavailable",
    "Registry",
    "load_plugin",
    "parameter_rules",
    "resolve_parameters",
]

FAMILY_BASES: dict[str, type[PluginBase]] = {
    "aaa": AAAPluginBase,
    "core": CorePluginBase,
    "pipeline": PipelinePluginBase,
    "strategy": StrategyPluginBase,
    "broker": BrokerPluginBase,
    "portfolio": PortfolioPluginBase,
}
FAMILIES = tuple(FAMILY_BASES)
_GROUP_PREFIX = "plugins_"
_OWN_DISTRIBUTION = "lts"

# The methods without which a family cannot do its work; the rest have defaults that say so.
_NEEDED: dict[str, tuple[str, ...]] = {
    "aaa": ("register", "login", "assign_role", "audit", "create_session"),
    "core": ("start", "stop", "set_plugins"),
    "pipeline": ("run",),
    "strategy": ("decide",),
    "broker": ("open_order", "close_order"),
    "portfolio": ("allocate",),
}

EntryPoints = Callable[[str], Iterable[metadata.EntryPoint]]


class PluginUnavailable(ImportError):
    """The plugin exists and cannot be used; the message says why."""


class PluginNotFound(PluginUnavailable):
    """No plugin has this name; the message lists those that exist."""


@dataclass(frozen=True, slots=True)
class PluginRow:
    """A plugin as a list shows it.

    `state` is "ready" or "broken"; `reason` says why it is broken; `version` and `origin` are of
    the distribution that brings it; `cls` is None when it is broken.
    """

    family: str
    name: str
    state: str
    reason: str
    version: str
    origin: str
    cls: type[PluginBase] | None


def installed_entry_points(group: str) -> Iterable[metadata.EntryPoint]:
    """Return the entry points of a group in this environment."""
    return metadata.entry_points(group=group)


class Registry:
    """The plugins of some families, each loaded when it is first asked for."""

    def __init__(
        self,
        families: Iterable[str] = FAMILIES,
        entry_points: EntryPoints = installed_entry_points,
    ) -> None:
        """Look up the entry points of the families; nothing is loaded yet."""
        self.families = tuple(families)
        self._points = {
            family: sorted(entry_points(_GROUP_PREFIX + family), key=_built_in_first)
            for family in self.families
        }
        self._rows: dict[metadata.EntryPoint, PluginRow] = {}
        self._lock = RLock()

    def names(self, family: str) -> tuple[str, ...]:
        """Return the names in a family, sorted, broken ones included."""
        return tuple(sorted({point.name for point in self._family(family)}))

    def rows(self) -> tuple[PluginRow, ...]:
        """Return all plugins, loading what was not loaded yet, by family and name."""
        rows = []
        for points in self._points.values():
            taken: set[str] = set()
            for point in sorted(points, key=lambda point: point.name):
                row = self._row(point)
                if point.name in taken:
                    row = _broken(row, "another distribution already brings a plugin of this name")
                taken.add(point.name)
                rows.append(row)
        return tuple(rows)

    def row(self, family: str, name: str) -> PluginRow:
        """Return the row of one plugin; PluginNotFound lists the known names."""
        for point in self._family(family):
            if point.name == name:
                return self._row(point)
        known = ", ".join(self.names(family)) or "none"
        raise PluginNotFound(f"There is no {family} plugin {name!r}. Known: {known}.")

    def get(self, family: str, name: str) -> type[PluginBase]:
        """Return a plugin's class; PluginUnavailable says why there is none to be had."""
        row = self.row(family, name)
        if row.cls is None:
            raise PluginUnavailable(f"The {family} plugin {name!r} cannot be used: {row.reason}.")
        return row.cls

    def declarations(self) -> dict[str, dict[str, dict[str, Any] | None]]:
        """Return {family: {name: {parameter: default}}}; None stands for a broken plugin."""
        return {
            family: {
                name: None if cls is None else dict(cls.plugin_params)
                for name, cls in self._classes(family).items()
            }
            for family in self.families
        }

    def schemas(self) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
        """Return {family: {name: plugin_schema}} of the plugins that are not broken."""
        return {
            family: {
                name: dict(cls.plugin_schema)
                for name, cls in self._classes(family).items()
                if cls is not None
            }
            for family in self.families
        }

    def _classes(self, family: str) -> dict[str, type[PluginBase] | None]:
        return {name: self.row(family, name).cls for name in self.names(family)}

    def _family(self, family: str) -> list[metadata.EntryPoint]:
        try:
            return self._points[family]
        except KeyError:
            known = ", ".join(self.families)
            raise PluginNotFound(
                f"There is no plugin family {family!r} here. Known: {known}."
            ) from None

    def _row(self, point: metadata.EntryPoint) -> PluginRow:
        with self._lock:
            if point not in self._rows:
                self._rows[point] = _load(point)
            return self._rows[point]


@cache
def _installed() -> Registry:
    return Registry()


def load_plugin(group: str, name: str) -> tuple[type[PluginBase], list[str]]:
    """Return a plugin's class and the names of its parameters.

    `group` is the entry-point group, for example "plugins_broker". PluginNotFound: no such group
    or name; PluginUnavailable: it cannot be loaded. Both are ImportErrors.
    """
    family = group.removeprefix(_GROUP_PREFIX)
    if family == group or family not in FAMILIES:
        known = ", ".join(_GROUP_PREFIX + one for one in FAMILIES)
        raise PluginNotFound(f"There is no plugin group {group!r}. Known: {known}.")
    cls = _installed().get(family, name)
    return cls, list(cls.plugin_params)


def _built_in_first(point: metadata.EntryPoint) -> tuple[bool, str, str]:
    """Sort so that a name is taken by LTS itself first, else always by the same distribution."""
    distribution = point.dist.name if point.dist is not None else ""
    return distribution != _OWN_DISTRIBUTION, distribution, point.value


def _load(point: metadata.EntryPoint) -> PluginRow:
    family = point.group.removeprefix(_GROUP_PREFIX)
    usable: type[PluginBase] | None = None
    try:
        cls = point.load()
        reason = _contract_problem(family, cls)
        if not reason:
            usable = _with_family_defaults(family, cls)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge: a plugin's own code runs
        reason = f"loading {point.value} failed with {type(error).__name__}: {error}"
    return PluginRow(
        family=family,
        name=point.name,
        state="broken" if reason else "ready",
        reason=reason.rstrip("."),
        version=point.dist.version if point.dist is not None else "",
        origin=f"{point.dist.name} ({point.value})" if point.dist is not None else point.value,
        cls=usable,
    )


def _broken(row: PluginRow, reason: str) -> PluginRow:
    return PluginRow(row.family, row.name, "broken", reason, row.version, row.origin, None)


def _contract_problem(family: str, cls: object) -> str:
    """Return why a class is no plugin of its family, or ""."""
    if not isinstance(cls, type) or not issubclass(cls, PluginBase):
        return "it is no class that inherits from PluginBase of lts_web.plugins"
    if not _str_keys(cls.plugin_params) or not _str_keys(cls.plugin_schema):
        return "plugin_params and plugin_schema must be dictionaries with names as keys"
    variables: object = cls.plugin_debug_vars
    if not isinstance(variables, list | tuple) or not all(isinstance(v, str) for v in variables):
        return "plugin_debug_vars must be a list of names"
    stray = set(cls.plugin_schema) - set(cls.plugin_params)
    if stray:
        return f"plugin_schema describes parameters that plugin_params lacks: {sorted(stray)}"
    if str(cls.plugin_interface).split(".")[0] != "1":
        return (
            f"it was made for interface {cls.plugin_interface}, and this LTS offers 1.x: install "
            f"a version of the plugin for 1.x"
        )
    base = FAMILY_BASES[family]
    for method in _NEEDED[family]:
        own = getattr(cls, method, None)
        if not callable(own) or own is getattr(base, method):
            return f"it has no method {method}"
    return ""


def _str_keys(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _with_family_defaults(family: str, cls: type[PluginBase]) -> type[PluginBase]:
    """Put the family's defaults behind the methods of a class that inherits PluginBase alone.

    The documented base structure does so, and its plugins must run as they are.
    """
    base = FAMILY_BASES[family]
    if issubclass(cls, base):
        return cls
    return type(cls.__name__, (cls, base), {"__module__": cls.__module__, "__doc__": cls.__doc__})
