"""The second pass of the merge: the parameters of plugins.

plugin default < defaults < file < environment < command line. The asset's stored value, the last of
all, is laid over the result where the asset is known. This works on declarations alone and loads no
plugin.

A key is `plugins.<family>.<plugin>.<parameter>`, as a variable
`LTS_PLUGINS__<FAMILY>__<PLUGIN>__<PARAMETER>` (every character that is no letter or digit becomes
an underscore). A bare parameter name applies to each selected plugin that declares it, unless a
setting has that name; within one source the full key wins over the bare one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lts_web.settings import BY_NAME, FAMILIES, SETTINGS, Loaded
from lts_web.settings_sources import (
    PREFIX,
    Entry,
    Kind,
    Resolved,
    Setting,
    SettingsError,
    Source,
    is_secret_name,
    near,
    shown,
)

_KIND_BY_TYPE: Mapping[object, Kind] = {
    bool: Kind.BOOLEAN, "bool": Kind.BOOLEAN, "boolean": Kind.BOOLEAN,
    int: Kind.INTEGER, "int": Kind.INTEGER, "integer": Kind.INTEGER,
    float: Kind.NUMBER, "float": Kind.NUMBER, "number": Kind.NUMBER,
    str: Kind.TEXT, "str": Kind.TEXT, "string": Kind.TEXT, "text": Kind.TEXT, "secret": Kind.TEXT,
    "url": Kind.URL, "bar_set": Kind.ANY, "bar set": Kind.ANY,
    list: Kind.LIST, "list": Kind.LIST, "array": Kind.LIST,
    dict: Kind.MAPPING, "dict": Kind.MAPPING, "object": Kind.MAPPING,
}  # fmt: skip


# family → plugin → parameter → default; None stands for a plugin that could not be loaded, whose
# parameters nobody can check: one broken plugin must not keep everything from starting.
Declarations = Mapping[str, Mapping[str, Mapping[str, object] | None]]
# family → plugin → parameter → its row of `plugin_schema`.
Schemas = Mapping[str, Mapping[str, Mapping[str, Mapping[str, object]]]]


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One parameter of one plugin."""

    family: str
    plugin: str
    setting: Setting

    @property
    def key(self) -> str:
        return f"plugins.{self.family}.{self.plugin}.{self.setting.name}"


def parameter(name: str, default: object, rules: Mapping[str, object]) -> Setting:
    """Declare a plugin's parameter by its default and its row of `plugin_schema`.

    Without a declared type it is that of the default; a default of None takes any value.
    """
    kind = _KIND_BY_TYPE.get(rules.get("type"))
    if kind is None:
        kind = _KIND_BY_TYPE.get(type(default), Kind.ANY)
    minimum, maximum = rules.get("minimum"), rules.get("maximum")
    choices = rules.get("choices")
    return Setting(
        name=name,
        kind=kind,
        default=default,
        help=str(rules.get("help", "")),
        minimum=float(minimum) if isinstance(minimum, int | float) else None,
        maximum=float(maximum) if isinstance(maximum, int | float) else None,
        choices=tuple(choices) if isinstance(choices, list | tuple) else (),
        secret=bool(rules.get("secret", is_secret_name(name))) or rules.get("type") == "secret",
    )


def merge_plugin_parameters(
    loaded: Loaded,
    declarations: Declarations,
    schemas: Schemas | None = None,
    defaults: Mapping[str, object] | None = None,
) -> Loaded:
    """Give the pending entries to the plugins, and every plugin its parameters.

    `defaults` are values of this installation by full key (a generated key, for example), above
    the plugin's own and below the file. Raises SettingsError for a selected plugin that is not
    known, for an unknown key in the file or on the command line, and for a wrong type; an unknown
    variable only warns.
    """
    _check_selected(loaded, declarations)
    parameters = [
        _Parameter(family, plugin, parameter(name, default, _rules(schemas, family, plugin, name)))
        for family, plugins in declarations.items()
        for plugin, own in plugins.items()
        for name, default in (own or {}).items()
    ]
    entries = [*_installation(defaults or {}), *_shared(loaded, parameters), *loaded.pending]
    assigned, warnings = _assign(loaded, entries, parameters, declarations)
    merged: dict[tuple[str, str], dict[str, Resolved]] = {
        (family, plugin): {} for family, plugins in declarations.items() for plugin in plugins
    }
    for declared in parameters:
        own = Resolved(declared.setting.default, Source.PLUGIN, "plugin default")
        values = merged[declared.family, declared.plugin]
        values[declared.setting.name] = assigned.get(declared.key, own)
    return dataclasses.replace(
        loaded,
        pending=(),
        warnings=(*loaded.warnings, *warnings),
        plugins=MappingProxyType({key: MappingProxyType(own) for key, own in merged.items()}),
        plugin_secrets=frozenset(one.key for one in parameters if one.setting.secret),
    )


def _rules(schemas: Schemas | None, family: str, plugin: str, name: str) -> Mapping[str, object]:
    return (schemas or {}).get(family, {}).get(plugin, {}).get(name, {})


def _check_selected(loaded: Loaded, declarations: Declarations) -> None:
    for family in FAMILIES:
        name, known = loaded.selected(family), declarations.get(family, {})
        if name not in known:
            key = f"{family}_plugin"
            raise SettingsError(
                f"{BY_NAME[key].environment} ({loaded.resolved[key].origin}): there is no {family} "
                f"plugin {shown(name)}. Known: {', '.join(sorted(known)) or 'none'}."
            )


def _installation(defaults: Mapping[str, object]) -> list[Entry]:
    return [
        Entry(key, value, Source.DEFAULT, "made by this installation", False, Path.cwd())
        for key, value in defaults.items()
    ]


def _shared(loaded: Loaded, parameters: list[_Parameter]) -> list[Entry]:
    """Give the settings that are also a plugin's parameters, unless nobody set them."""
    declared = {one.key for one in parameters}
    entries = []
    for row in SETTINGS:
        given = loaded.resolved[row.name]
        if row.shared_with and given.source is not Source.DEFAULT:
            key = f"plugins.{row.shared_with}.{loaded.selected(row.shared_with)}.{row.name}"
            if key in declared:
                entries.append(
                    Entry(key, given.value, given.source, given.origin, False, Path.cwd())
                )
    return entries


def _assign(
    loaded: Loaded,
    entries: Iterable[Entry],
    parameters: list[_Parameter],
    declarations: Declarations,
) -> tuple[dict[str, Resolved], list[str]]:
    """Find each entry's parameters and keep the value of the highest source."""
    chosen = [one for one in parameters if loaded.selected(one.family) == one.plugin]
    full: dict[str, list[_Parameter]] = {}
    bare: dict[str, list[_Parameter]] = {}
    for one in parameters:
        full[one.key] = [one]
        full[_variable(one.key)] = [one]
    for one in chosen:
        bare.setdefault(one.setting.name, []).append(one)
        if (variable := _variable(one.setting.name)) != one.setting.name:
            bare.setdefault(variable, []).append(one)
    assigned: dict[str, Resolved] = {}
    warnings = []
    for entry in sorted(entries, key=lambda one: (one.source, one.key in full)):
        targets = full.get(entry.key) or bare.get(entry.key) or []
        if not targets:
            warnings += _unclaimed(entry, parameters, declarations)
        for target in targets:
            value = target.setting.accept(entry)
            assigned[target.key] = Resolved(value, entry.source, entry.origin)
    return assigned, warnings


def _variable(key: str) -> str:
    """Give the lower-case variable name, without its prefix, of a dotted key."""
    return "__".join(re.sub(r"[^a-z0-9]", "_", part) for part in key.lower().split("."))


def _unclaimed(entry: Entry, parameters: list[_Parameter], declarations: Declarations) -> list[str]:
    """Refuse a key that nothing knows, or answer the warning that is enough for it."""
    broken = [
        f"plugins.{family}.{plugin}."
        for family, plugins in declarations.items()
        for plugin, declaration in plugins.items()
        if declaration is None
    ]
    if entry.key.startswith((*broken, *map(_variable, broken))):
        return [f"{entry.origin}: not checked, because the plugin could not be loaded."]
    elsewhere = sorted(one.key for one in parameters if one.setting.name == entry.key)
    if elsewhere:
        reason = f"no selected plugin has this parameter; write {' or '.join(elsewhere)}."
    elif entry.source is Source.ENVIRONMENT:
        variables = [row.name for row in SETTINGS]
        variables += [_variable(name) for one in parameters for name in (one.key, one.setting.name)]
        reason = "LTS has no such setting."
        reason += near(entry.key, variables, lambda name: PREFIX + name.upper())
    else:
        known = [*BY_NAME, *(one.key for one in parameters)]
        known += [one.setting.name for one in parameters]
        reason = "LTS has no such setting." + near(entry.key, known)
    if entry.source is Source.ENVIRONMENT or (broken and "." not in entry.key):
        return [f"{entry.origin}: ignored; {reason}"]
    raise SettingsError(f"{entry.origin}: {reason}")
