"""Passwords: how they are kept, and which ones are accepted.

A kept password is `v1:` followed by a bcrypt hash. bcrypt reads 72 bytes and stops at a NUL, so it
is given the Base64 of an HMAC-SHA-256 instead: 44 characters that depend on every byte typed.
Nothing here stores, logs or compares names; a password is taken exactly as typed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import bcrypt

VERSION = "v1"
LONGEST_PASSWORD = 1024
# What an account holds that has no password, because its owner logs in elsewhere.
UNUSABLE = "!"
# Keeps hashes of other programs from being tried here without cracking bcrypt first.
_LABEL = b"lts.password.v1"
_COST_DIGITS = slice(4, 6)


class PasswordHasher:
    """Hash and verify passwords at a cost of 2 ** `rounds`."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        # A well-formed hash that no password has: verifying against it costs the same.
        self._decoy = f"$2b${rounds:02d}${'.' * 53}".encode()

    def hash(self, password: str) -> str:
        """Return the text to keep; a fifth of a second of work at the default cost."""
        digest = bcrypt.hashpw(_prehash(password), bcrypt.gensalt(self.rounds))
        return f"{VERSION}:{digest.decode()}"

    def verify(self, password: str, kept: str | None) -> bool:
        """Return whether the password is the kept one.

        None (no such user), `UNUSABLE` and unreadable texts are False after the same work.
        """
        given = _prehash(password)
        version, _, digest = (kept or "").partition(":")
        if version == VERSION:
            try:
                return bcrypt.checkpw(given, digest.encode())
            except ValueError:  # a damaged row
                pass
        bcrypt.checkpw(given, self._decoy)
        return False

    def is_outdated(self, kept: str) -> bool:
        """Return whether a verified password should be hashed anew: older form, other cost."""
        version, _, digest = kept.partition(":")
        return version != VERSION or digest[_COST_DIGITS] != f"{self.rounds:02d}"


def _prehash(password: str) -> bytes:
    # A lone surrogate, which JSON can carry, is a character like any other here.
    typed = password.encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(_LABEL, typed, hashlib.sha256))


def broken_rules(
    password: str, *, shortest: int, needs_uppercase: bool, needs_digit: bool
) -> list[str]:
    """Return one sentence for each rule that the password breaks."""
    problems = []
    if len(password) < shortest:
        problems.append(f"The password needs at least {shortest} characters.")
    if len(password) > LONGEST_PASSWORD:
        problems.append(f"The password may have at most {LONGEST_PASSWORD} characters.")
    if needs_uppercase and not any(character.isupper() for character in password):
        problems.append("The password needs a capital letter.")
    if needs_digit and not any(character.isdigit() for character in password):
        problems.append("The password needs a digit.")
    return problems
