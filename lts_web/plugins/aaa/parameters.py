"""The parameters of `default_aaa`: defaults, bounds, and the words of its form. Data only."""

from __future__ import annotations

from typing import Any

PARAMETERS: dict[str, Any] = {
    "session_timeout_hours": 24,
    "password_min_length": 8,
    "max_login_attempts": 5,
    "lockout_duration_minutes": 30,
    "audit_enabled": True,
    "default_role": "user",
    "admin_role": "admin",
    "token_length": 32,
    "jwt_secret": "",
    "jwt_algorithm": "HS256",
    "jwt_access_expire_minutes": 30,
    "jwt_refresh_expire_days": 7,
    "password_require_uppercase": True,
    "password_require_digit": True,
    "google_client_id": "",
    "google_client_secret": "",
    "password_hash_rounds": 12,
}
DEBUG_VARIABLES = [
    "session_timeout_hours",
    "password_min_length",
    "max_login_attempts",
    "lockout_duration_minutes",
    "audit_enabled",
    "default_role",
    "jwt_algorithm",
    "jwt_access_expire_minutes",
    "jwt_refresh_expire_days",
]
SCHEMA: dict[str, dict[str, Any]] = {
    "session_timeout_hours": {
        "minimum": 1, "maximum": 8760, "help": "Hours after which a session ends.",
    },
    "password_min_length": {
        "minimum": 8, "maximum": 128, "help": "Fewest characters of a password.",
    },
    "max_login_attempts": {
        "minimum": 1, "maximum": 100, "help": "Failed logins in a row that lock an account.",
    },
    "lockout_duration_minutes": {
        "minimum": 1, "maximum": 10_080, "help": "Minutes that a lock lasts.",
    },
    "audit_enabled": {
        "help": "Record free notes; changes, logins and orders are recorded in any case.",
    },
    "default_role": {
        "choices": ["user", "viewer"], "help": "Role of those who register themselves.",
    },
    "admin_role": {"choices": ["admin"], "help": "Role that may do everything."},
    "token_length": {
        "minimum": 16, "maximum": 128, "help": "Random bytes of a session token.",
    },
    "jwt_secret": {
        "secret": True, "operator_only": True, "help": "Key that signs API tokens.",
    },
    "jwt_algorithm": {
        "choices": ["HS256", "HS384", "HS512"], "help": "How API tokens are signed.",
    },
    "jwt_access_expire_minutes": {
        "minimum": 1, "maximum": 1440, "help": "Minutes that an access token lasts.",
    },
    "jwt_refresh_expire_days": {
        "minimum": 1, "maximum": 90,
        "help": "Days after a login until which access tokens can be renewed.",
    },
    "password_require_uppercase": {"help": "Whether a password needs a capital letter."},
    "password_require_digit": {"help": "Whether a password needs a digit."},
    "google_client_id": {"operator_only": True, "help": "Client ID of the Google login."},
    "google_client_secret": {
        "secret": True, "operator_only": True, "help": "Client secret of the Google login.",
    },
    "password_hash_rounds": {
        "minimum": 10, "maximum": 16, "operator_only": True,
        "help": "Work of a password hash; each step doubles it.",
    },
}  # fmt: skip
