"""An AAA plugin as documented, with users of its own and no port of the house."""

import secrets

from lts_web.plugins import AAAPluginBase


class OwnUsers(AAAPluginBase):
    plugin_params = {"default_role": "user"}  # noqa: RUF012 - as documented
    plugin_debug_vars = ["default_role"]  # noqa: RUF012 - as documented

    def __init__(self, config=None):
        super().__init__(config)
        self.users = {}
        self.sessions = {}
        self.audited = []

    def register(self, username, email, password, role):
        if username in self.users:
            return False
        self.users[username] = {"id": len(self.users) + 1, "password": password, "role": role}
        return True

    def login(self, username, password):
        user = self.users.get(username)
        if user is None or user["password"] != password:
            return {"success": False, "error": "The name or the password is wrong."}
        token = self.create_session(user["id"])
        return {
            "success": True,
            "session_token": token,
            "user_id": user["id"],
            "role": user["role"],
        }

    def assign_role(self, username, role):
        if username not in self.users:
            return False
        self.users[username]["role"] = role
        return True

    def audit(self, user_id, action, details=None):
        self.audited.append((user_id, action, details))

    def create_session(self, user_id):
        token = secrets.token_urlsafe(32)
        self.sessions[token] = user_id
        return token
