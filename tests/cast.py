"""The people of the stories: Alice owns, Bob is administrator, Charlie must see nothing of hers.

Vera belongs to nobody's trade: she is a viewer, with a portfolio of her own that she may not
touch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who can log in."""

    id: int
    username: str
    role: str
    password: str

    @property
    def email(self) -> str:
        """Return the member's address."""
        return f"{self.username}@example.org"


ALICE = Member(1, "alice", "user", "Wonderland-1")
BOB = Member(2, "bob", "admin", "Builder-22")
CHARLIE = Member(3, "charlie", "user", "Chocolate-3")
VERA = Member(4, "vera", "viewer", "Only-looking-4")
CAST = (ALICE, BOB, CHARLIE, VERA)
