"""A small AAA plugin of another mind than the built-in one: only letters of its own house may in.

Its passwords are one word, kept in its own way; everything else is what the family documents.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any, ClassVar

from lts_web.plugins.base import AAAPluginBase
from lts_web.trading.ports import Accounts, Ports


class WatchwordAAA(AAAPluginBase):
    plugin_params: ClassVar[dict[str, Any]] = {"watchword": "swordfish"}
    accounts: Accounts
    ports: Ports

    def connect(self, ports: Ports) -> None:
        assert ports.accounts is not None
        self.ports, self.accounts = ports, ports.accounts

    def check_password_rules(self, password: str) -> list[str]:
        return [] if self.params["watchword"] in password else ["The watchword is missing."]

    def register(self, username: str, email: str, password: str, role: str) -> bool:
        if self.check_password_rules(password):
            return False
        kept = hashlib.sha256(password.encode()).hexdigest()
        return self.accounts.create_user(username, email, f"word:{kept}", role) is not None

    def login(self, username: str, password: str, ip: str | None = None) -> dict[str, Any]:
        user = self.accounts.find_user(username)
        kept = f"word:{hashlib.sha256(password.encode()).hexdigest()}"
        if user is None or user.password_hash != kept:
            return {"success": False, "error": "Halt! Who goes there?"}
        token = self.create_session(user.id)
        return {"success": True, "session_token": token, "user_id": user.id, "role": user.role}

    def assign_role(self, username: str, role: str) -> bool:
        return self.accounts.set_role(username, role)

    def audit(self, user_id: int, action: str, details: str | None = None) -> None:
        self.accounts.audit(user_id, action, details)

    def create_session(self, user_id: int) -> str:
        token = f"pass-{user_id}"
        ends = self.ports.clock() + timedelta(hours=1)
        self.accounts.create_session(user_id, hashlib.sha256(token.encode()).hexdigest(), ends)
        return token
