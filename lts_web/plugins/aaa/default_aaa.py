"""`default_aaa`: the policy of accounts, over the house's record of them.

It decides what a good password is, who may log in, when an account is locked, how long a session
lasts and which role includes which. It keeps nothing but the guesses at names that do not exist:
users, sessions and the audit log are reached through `ports.accounts`, whose calls are one short
transaction each. Passwords are hashed between those calls, never inside one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from lts_web.plugins.aaa.attempts import Attempts, Failures
from lts_web.plugins.aaa.names import google_username, is_address, plain, username_problems
from lts_web.plugins.aaa.parameters import DEBUG_VARIABLES, PARAMETERS, SCHEMA
from lts_web.plugins.aaa.passwords import UNUSABLE, PasswordHasher, broken_rules
from lts_web.plugins.aaa.tokens import TokenClaims, TokenKind, TokenRefused, TokenSigner
from lts_web.plugins.base import AAAPluginBase
from lts_web.trading.ports import Accounts, Clock, Ports, SessionView, UserAccount

GOOGLE_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
WRONG_LOGIN = "The name or the password is wrong."
# What each role includes besides itself; the administrator's role includes all.
INCLUDED = {"user": frozenset({"user", "viewer"}), "viewer": frozenset({"viewer"})}


class NotConnectedError(RuntimeError):
    """The plugin has no accounts to work on: `connect(ports)` was not called."""


class DefaultAAA(AAAPluginBase):
    """Users with passwords, sessions as rows, tokens for the API, roles and lockout."""

    plugin_params: ClassVar[dict[str, Any]] = PARAMETERS
    plugin_debug_vars: ClassVar[list[str]] = DEBUG_VARIABLES
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = SCHEMA

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Take the parameters; ValueError for a signing key that is too short."""
        super().__init__(config)
        self._attempts = Attempts()
        self._ports: Ports | None = None
        self._hasher = self._new_hasher()
        self._signer = self._new_signer()

    def set_params(self, **kwargs: Any) -> None:
        """Replace parameters; ValueError as at construction."""
        super().set_params(**kwargs)
        self._hasher = self._new_hasher()
        if kwargs.keys() & {"jwt_secret", "jwt_algorithm"}:
            self._signer = self._new_signer()

    def _new_hasher(self) -> PasswordHasher:
        return PasswordHasher(self.params["password_hash_rounds"])

    def _new_signer(self) -> TokenSigner:
        return TokenSigner(self.params["jwt_secret"], self.params["jwt_algorithm"])

    def connect(self, ports: Ports) -> None:
        """Receive the accounts and the clock."""
        self._ports = ports

    @property
    def _accounts(self) -> Accounts:
        if self._ports is None or self._ports.accounts is None:
            raise NotConnectedError("default_aaa has no accounts: call connect(ports) first.")
        return self._ports.accounts

    @property
    def _clock(self) -> Clock:
        if self._ports is None:
            raise NotConnectedError("default_aaa has no clock: call connect(ports) first.")
        return self._ports.clock

    # Users

    def check_password_rules(self, password: str) -> list[str]:
        """Return one sentence for each rule that the password breaks; empty: accepted."""
        return broken_rules(
            password,
            shortest=self.params["password_min_length"],
            needs_uppercase=self.params["password_require_uppercase"],
            needs_digit=self.params["password_require_digit"],
        )

    def check_name_rules(self, username: str, email: str) -> list[str]:
        """Return one sentence for each rule that the username or the address breaks."""
        address = [] if is_address(email) else ["This is no e-mail address: name@example.org."]
        return username_problems(username) + address

    def register(self, username: str, email: str, password: str, role: str = "") -> bool:
        """Create a user; False: a rule is broken, or the name or the address is taken.

        Without a role the user gets `default_role`. A caller must not pass on a role that the
        person registering has chosen.
        """
        role = role or self.params["default_role"]
        if not self._is_role(role) or self.check_name_rules(username, email):
            return False
        if self.check_password_rules(password):
            return False
        password_hash = self._hasher.hash(password)
        return self._accounts.create_user(username, email, password_hash, role) is not None

    def assign_role(self, username: str, role: str) -> bool:
        """Give a user a role; False: no such user or role, or it is the last administrator."""
        return self._is_role(role) and self._accounts.set_role(username, role)

    def authorize_user(self, user_roles: str | Iterable[str], required_role: str) -> bool:
        """Return whether one of the roles includes the required one; unknown roles include none."""
        roles = {user_roles} if isinstance(user_roles, str) else set(user_roles)
        if not self._is_role(required_role):
            return False
        if self.params["admin_role"] in roles:
            return True
        return any(required_role in INCLUDED.get(role, ()) for role in roles)

    def _is_role(self, role: str) -> bool:
        return role in INCLUDED or role == self.params["admin_role"]

    def change_password(self, user_id: int, old: str, new: str) -> dict[str, Any]:
        """Replace a user's own password, and end the user's sessions.

        Returns {success: True}, or {success: False, error, locked, problems}, where `problems` are
        the rules that the new password breaks. A wrong old password counts as a failed login.
        """
        problems = self.check_password_rules(new)
        if new == old:
            problems.append("The new password must differ from the old one.")
        if problems:
            return {
                "success": False,
                "error": " ".join(problems),
                "locked": False,
                "problems": problems,
            }
        with self._attempts.turn(user_id):
            user = self._accounts.get_user(user_id)
            refused = self._verify(user, str(user_id), old, None)
        if refused or user is None:
            return {**(refused or _refusal(WRONG_LOGIN)), "problems": []}
        self._accounts.set_password(user_id, self._hasher.hash(new))
        return {"success": True}

    def set_password(self, username: str, password: str) -> bool:
        """Give a user a new password without the old one: for administrators.

        False: no such user, or a rule is broken.
        """
        user = self._accounts.find_user(plain(username))
        if user is None or self.check_password_rules(password):
            return False
        self._accounts.set_password(user.id, self._hasher.hash(password))
        return True

    # Logging in

    def login(self, username: str, password: str, ip: str | None = None) -> dict[str, Any]:
        """Open a session for a username (or e-mail address) and password.

        Returns {success, access_token, refresh_token, session_token, user_id, role}, or
        {success: False, error, locked, retry_after_seconds}. A name that does not exist is treated
        like any other, in words, work and locks.
        """
        name = plain(username)
        key = self._turn_key(name)
        with self._attempts.turn(key):
            user = self._accounts.find_user(name)
            refused = self._verify(user, name, password, ip)
            if refused or user is None:
                return refused or _refusal(WRONG_LOGIN)
            self._accounts.record_login(user.id, ip)
        if self._hasher.is_outdated(user.password_hash):
            kept = self._hasher.hash(password)
            self._accounts.set_password(user.id, kept, ended_sessions=False)
        return self._logged_in(user, ip)

    def _turn_key(self, name: str) -> int | str:
        user = self._accounts.find_user(name)
        return user.id if user else name.lower()

    def _verify(
        self, user: UserAccount | None, name: str, password: str, address: str | None
    ) -> dict[str, Any] | None:
        """Return why the password does not open the account, or None if it does."""
        now = self._clock()
        failures = (
            Failures(user.failed_logins, user.locked_until)
            if user
            else self._attempts.of_unknown(name.lower())
        )
        if failures.is_locked(now):
            self._accounts.audit(user.id if user else None, "login_refused", "locked")
            return _locked(failures, now)
        kept = user.password_hash if user and user.is_active else None
        if self._hasher.verify(password, kept):
            return None
        failures = self._after_failure(failures, now)
        if user is None:
            self._attempts.remember(name.lower(), failures)
        self._accounts.record_login_failure(
            user.id if user else None, name, address, failures.locked_until
        )
        return _locked(failures, now) if failures.is_locked(now) else _refusal(WRONG_LOGIN)

    def _after_failure(self, failures: Failures, now: datetime) -> Failures:
        count = failures.counted(now) + 1
        if count < self.params["max_login_attempts"]:
            return Failures(count)
        return Failures(count, now + timedelta(minutes=self.params["lockout_duration_minutes"]))

    def google_oauth_login(self, id_token_data: Mapping[str, Any]) -> dict[str, Any]:
        """Open a session for a Google identity, and create its user at the first time.

        `id_token_data` are the claims of an ID token whose signature, nonce and times the caller
        has verified. The account is that of Google's subject; an account with the same e-mail
        address is never taken over. Returns what `login` returns.
        """
        audience = self.params["google_client_id"]
        username = google_username(id_token_data.get("sub"))
        if (
            username is None
            or id_token_data.get("iss", GOOGLE_ISSUERS[0]) not in GOOGLE_ISSUERS
            or (audience and id_token_data.get("aud", audience) != audience)
        ):
            return _refusal("Google's answer does not belong to this installation.")
        user = self._accounts.find_user(username)
        if user is None:
            email = id_token_data.get("email")
            if id_token_data.get("email_verified") is not True or not isinstance(email, str):
                return _refusal("Google has not verified this e-mail address.")
            if not is_address(email):
                return _refusal("Google gave no usable e-mail address.")
            user = self._accounts.create_user(
                username, email, UNUSABLE, self.params["default_role"]
            )
            if user is None:
                return _refusal(
                    "An account with this e-mail address exists: log in with its password."
                )
        if not user.is_active or user.password_hash != UNUSABLE:
            return _refusal("This account cannot log in with Google.")
        self._accounts.record_login(user.id, None)
        return self._logged_in(user, None)

    # Sessions and tokens

    def create_session(self, user_id: int) -> str:
        """Return the token of a new session; LookupError: no such active user."""
        return self._open_session(user_id, self._session_timeout, None)

    def session(self, token: str) -> SessionView | None:
        """Return the live session of a token, or None."""
        return self._live(_hashed(token), self._session_timeout)

    def logout(self, token: str) -> None:
        """End a session, and with it the API tokens that came from the same login."""
        self._accounts.end_session(_hashed(token))

    def validate_jwt(self, token: str) -> dict[str, Any]:
        """Return {valid: True, user_id, username, role}, or {valid: False, error}.

        The session must be alive and the user active; the role is the present one.
        """
        try:
            _, view = self._read_token(token, TokenKind.ACCESS)
        except TokenRefused as refused:
            return {"valid": False, "error": str(refused)}
        user = view.user
        return {"valid": True, "user_id": user.id, "username": user.username, "role": user.role}

    def refresh_access_token(self, refresh_token: str) -> dict[str, Any]:
        """Return {success, access_token, refresh_token, expires_in}, or {success: False, error}.

        However often tokens are renewed, the last one ends `jwt_refresh_expire_days` after login.
        """
        try:
            claims, _ = self._read_token(refresh_token, TokenKind.REFRESH)
        except TokenRefused as refused:
            return {"success": False, "error": str(refused)}
        now = self._clock()
        access = self._access_claims(claims, now)
        return {
            "success": True,
            "access_token": self._signer.issue(TokenKind.ACCESS, access, now),
            "refresh_token": self._signer.issue(TokenKind.REFRESH, claims, now),
            "expires_in": int((access.expires_at - now).total_seconds()),
        }

    @property
    def _session_timeout(self) -> timedelta:
        return timedelta(hours=self.params["session_timeout_hours"])

    @property
    def _refresh_timeout(self) -> timedelta:
        return timedelta(days=self.params["jwt_refresh_expire_days"])

    def _logged_in(self, user: UserAccount, address: str | None) -> dict[str, Any]:
        # The row lives as long as the longest token that rests on it; `session` is stricter.
        lasting = max(self._session_timeout, self._refresh_timeout)
        token = self._open_session(user.id, lasting, address)
        now = self._clock()
        claims = TokenClaims(user.id, _hashed(token), now + self._refresh_timeout)
        access = self._access_claims(claims, now)
        return {
            "success": True,
            "access_token": self._signer.issue(TokenKind.ACCESS, access, now),
            "refresh_token": self._signer.issue(TokenKind.REFRESH, claims, now),
            "session_token": token,
            "user_id": user.id,
            "role": user.role,
        }

    def _access_claims(self, claims: TokenClaims, now: datetime) -> TokenClaims:
        lasting = timedelta(minutes=self.params["jwt_access_expire_minutes"])
        return replace(claims, expires_at=min(claims.expires_at, now + lasting))

    def _open_session(self, user_id: int, lasting: timedelta, address: str | None) -> str:
        token = secrets.token_urlsafe(self.params["token_length"])
        self._accounts.create_session(user_id, _hashed(token), self._clock() + lasting, address)
        return token

    def _live(self, token_hash: str, lasting: timedelta) -> SessionView | None:
        now = self._clock()
        view = self._accounts.find_session(token_hash, now)
        if view is None:
            return None
        expires_at = min(view.expires_at, view.created_at + lasting)
        return replace(view, expires_at=expires_at) if now < expires_at else None

    def _read_token(self, token: str, kind: TokenKind) -> tuple[TokenClaims, SessionView]:
        claims = self._signer.read(token, kind, self._clock())
        view = self._live(claims.session_hash, self._refresh_timeout)
        if view is None or view.user.id != claims.user_id:
            raise TokenRefused("The session of this token has ended.")
        return claims, view

    # Audit

    def audit(self, user_id: int, action: str, details: str | None = None) -> None:
        """Record a note about what a user did, unless `audit_enabled` is off."""
        if self.params["audit_enabled"]:
            self._accounts.audit(user_id, action, details)

    def audit_action(self, user_id: int, action: str, details: str | None = None) -> None:
        """Record a note, as `audit` does."""
        self.audit(user_id, action, details)


def _hashed(token: str) -> str:
    """Return what is kept of a token: it is random, so its plain SHA-256 cannot be reversed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _refusal(error: str) -> dict[str, Any]:
    return {"success": False, "error": error, "locked": False}


def _locked(failures: Failures, now: datetime) -> dict[str, Any]:
    assert failures.locked_until is not None
    seconds = max(1, int((failures.locked_until - now).total_seconds()))
    return {
        "success": False,
        "error": f"Too many failed attempts. Try again in {-(-seconds // 60)} minutes.",
        "locked": True,
        "retry_after_seconds": seconds,
    }
