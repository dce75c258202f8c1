"""The card of the AAA family: the documented methods and what they answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lts_web.trading.ports import Ports
from tests.contracts.plugins import make
from tests.plugins.aaa.accounts_ports import HandClock, MemoryAccounts

PASSWORD = "Correct-Horse-1"


def _connected(name: str) -> Any:
    plugin, clock = make("aaa", name), HandClock()
    if "password_hash_rounds" in plugin.params:
        plugin.set_params(password_hash_rounds=4)
    plugin.connect(Ports(clock=clock, accounts=MemoryAccounts(clock)))
    assert plugin.register("alice", "alice@example.org", PASSWORD, "user") is True
    return plugin


@pytest.mark.req("INT-011", "PLG-AAA", "SYS-004")
class TestAccounts:
    families = ("aaa",)

    def test_a_registered_user_logs_in(self, family: str, plugin_name: str) -> None:
        answer = _connected(plugin_name).login("alice", PASSWORD)
        assert answer["success"] is True
        assert isinstance(answer["user_id"], int)
        assert answer["role"] == "user"
        assert len(answer["session_token"]) >= 32

    def test_a_wrong_password_and_an_unknown_name_look_alike(
        self, family: str, plugin_name: str
    ) -> None:
        plugin = _connected(plugin_name)
        wrong, unknown = plugin.login("alice", "no"), plugin.login("nobody", "no")
        assert wrong["success"] is unknown["success"] is False
        assert wrong["error"] == unknown["error"]

    def test_a_name_is_taken_once(self, family: str, plugin_name: str) -> None:
        plugin = _connected(plugin_name)
        assert plugin.register("alice", "other@example.org", PASSWORD, "user") is False

    def test_roles_are_given_to_those_who_exist(self, family: str, plugin_name: str) -> None:
        plugin = _connected(plugin_name)
        assert plugin.assign_role("alice", "admin") is True
        assert plugin.assign_role("nobody", "admin") is False
        assert plugin.login("alice", PASSWORD)["role"] == "admin"

    def test_every_session_has_a_token_of_its_own(self, family: str, plugin_name: str) -> None:
        plugin = _connected(plugin_name)
        user_id = plugin.login("alice", PASSWORD)["user_id"]
        tokens = {plugin.create_session(user_id) for _ in range(20)}
        assert len(tokens) == 20
        assert all(isinstance(token, str) and len(token) >= 32 for token in tokens)

    def test_actions_are_recorded(self, family: str, plugin_name: str) -> None:
        plugin = _connected(plugin_name)
        user_id = plugin.login("alice", PASSWORD)["user_id"]
        assert plugin.audit(user_id, "looked", f"at {datetime(2026, 1, 1, tzinfo=UTC)}") is None
