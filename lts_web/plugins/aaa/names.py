"""Names: what a username and an e-mail address may look like.

Usernames hold no `@` and addresses need one, so a login field takes either without doubt. Names
are ASCII, because the database folds no other letters when it compares them.
"""

from __future__ import annotations

import re

LONGEST_USERNAME = 50
LONGEST_ADDRESS = 254
LONGEST_SUBJECT = 40
# Accounts of the Google login are named by Google's own lasting number of the person.
GOOGLE_PREFIX = "google-"

_USERNAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_USERNAME - 1}}}")
_ADDRESS = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}")
_SUBJECT = re.compile(rf"[A-Za-z0-9]{{1,{LONGEST_SUBJECT}}}")
_USERNAME_RULE = (
    f"The username needs 1 to {LONGEST_USERNAME} letters (a-z), digits, dots, dashes or "
    "underscores, and begins with a letter or digit."
)


def username_problems(username: str) -> list[str]:
    """Return one sentence for each rule that a chosen username breaks."""
    if not _USERNAME.fullmatch(username):
        return [_USERNAME_RULE]
    if username.lower().startswith(GOOGLE_PREFIX):
        return [f"Usernames that begin with {GOOGLE_PREFIX} belong to the Google login."]
    return []


def is_address(address: str) -> bool:
    """Return whether the text has the form of an e-mail address."""
    return len(address) <= LONGEST_ADDRESS and _ADDRESS.fullmatch(address) is not None


def google_username(subject: object) -> str | None:
    """Return the username of a Google identity, or None if this is no subject."""
    if isinstance(subject, str) and _SUBJECT.fullmatch(subject):
        return GOOGLE_PREFIX + subject
    return None


def plain(name: str) -> str:
    """Return a typed name as it is looked up: trimmed, storable, no longer than any real one."""
    return name.strip()[: LONGEST_ADDRESS + 1].encode("utf-8", "replace").decode()
