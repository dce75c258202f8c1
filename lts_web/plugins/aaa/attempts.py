"""Turns and counts of login attempts, so that guessing is slow and tells nothing.

Attempts on one account take turns: parallel guesses would otherwise all read the same count.
Names without an account are counted as well, or a lock would tell which names exist; those counts
are kept in memory only, for the names tried last.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

TURNS = 64
REMEMBERED_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a login failed in a row, and until when further ones are refused."""

    count: int = 0
    locked_until: datetime | None = None

    def is_locked(self, now: datetime) -> bool:
        """Return whether attempts are refused now."""
        return self.locked_until is not None and now < self.locked_until

    def counted(self, now: datetime) -> int:
        """Return the failures that still count: a lock that is over starts from none."""
        return 0 if self.locked_until is not None and not self.is_locked(now) else self.count


class Attempts:
    """Keep the turns of accounts and the failures of names that have none."""

    def __init__(self) -> None:
        self._turns = tuple(threading.Lock() for _ in range(TURNS))
        self._unknown: OrderedDict[str, Failures] = OrderedDict()
        self._guard = threading.Lock()

    def turn(self, key: Hashable) -> threading.Lock:
        """Return the lock under which attempts with this key take turns."""
        return self._turns[hash(key) % TURNS]

    def of_unknown(self, name: str) -> Failures:
        """Return the failures of a name that has no account."""
        with self._guard:
            return self._unknown.get(name, Failures())

    def remember(self, name: str, failures: Failures) -> None:
        """Keep the failures of a name that has no account, and forget the oldest name."""
        with self._guard:
            self._unknown[name] = failures
            self._unknown.move_to_end(name)
            while len(self._unknown) > REMEMBERED_NAMES:
                self._unknown.popitem(last=False)
