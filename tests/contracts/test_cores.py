"""The card of the core family: it serves until it is stopped."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.contracts.plugins import make


def _initialized(name: str) -> Any:
    """Return a core plugin with a server by hand, where it asks for one."""
    plugin, ended = make("core", name), threading.Event()
    if hasattr(plugin, "initialize"):
        house = {
            "create_app": object,
            "serve": lambda application: ended.wait(),
            "stop": ended.set,
        }
        plugin.initialize({}, house, None, None)
    return plugin


@pytest.mark.req("INT-01", "PLG-CORE")
class TestCores:
    families = ("core",)

    def test_it_serves_until_it_is_stopped(self, family: str, plugin_name: str) -> None:
        plugin = _initialized(plugin_name)
        server = threading.Thread(target=plugin.start, daemon=True)
        server.start()
        server.join(0.05)
        assert server.is_alive()
        plugin.stop()
        server.join(10)
        assert not server.is_alive()

    def test_it_takes_the_other_families(self, family: str, plugin_name: str) -> None:
        plugin, others = _initialized(plugin_name), {"aaa": object()}
        plugin.set_plugins(others)
        assert plugin.plugins == others
