"""The plugins that the cards are played on: every installed one, and the documented ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

from lts_web.plugins.base import PluginBase
from lts_web.plugins.registry import FAMILIES, Registry, installed_entry_points

_DOCUMENTED = {
    "aaa": {"own_users": "aaa:OwnUsers"},
    "core": {"waiting_core": "core:WaitingCore"},
    "pipeline": {"backwards": "pipeline:BackwardsPipeline"},
    "strategy": {"last_bar": "strategy:LastBarStrategy", "thresholds": "base_structure:Thresholds"},
    "broker": {"notebook": "broker:NotebookBroker"},
    "portfolio": {"first_takes_half": "portfolio:FirstTakesHalf"},
}


def entry_points(group: str) -> Iterable[metadata.EntryPoint]:
    """Return the installed entry points of a group and those of the documented plugins."""
    documented = _DOCUMENTED[group.removeprefix("plugins_")]
    return [
        *installed_entry_points(group),
        *(
            metadata.EntryPoint(name, f"tests.contracts.documented.{value}", group)
            for name, value in documented.items()
        ),
    ]


REGISTRY = Registry(FAMILIES, entry_points)

# Plugins that need more than their class to be used in a test: name → (class) → instance.
SETUPS: dict[tuple[str, str], Callable[[Any], PluginBase]] = {}


def make(family: str, name: str) -> Any:
    """Return an instance as the cards use it; it fails, and never skips, if there is none."""
    cls = REGISTRY.get(family, name)
    setup = SETUPS.get((family, name))
    return cls() if setup is None else setup(cls)
