"""Which processes live: each holds a file lock that the operating system drops when it dies.

A lease in the database names its owner; whether that owner still lives is read here, so that a
killed owner's lease is free at once and a living one (even a stopped one) is never robbed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from pathlib import Path

from filelock import FileLock, Timeout

FILE_MODE = 0o600
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")


class ProcessOwner:
    """This process as an owner of leases. Close it to give up everything at once."""

    def __init__(self, locks_dir: Path, kind: str) -> None:
        host = _UNSAFE.sub("-", socket.gethostname())[:30] or "host"
        self.host = host
        self.name = f"{kind}-{host}-{os.getpid()}-{secrets.token_hex(4)}"
        self._locks_dir = locks_dir
        self._lock = FileLock(self._path(self.name), mode=FILE_MODE)
        self._lock.acquire(blocking=False)

    def alive(self, name: str) -> bool | None:
        """Return whether the named owner lives; None where its lock cannot be judged from here."""
        if name == self.name:
            return True
        if f"-{self.host}-" not in name:
            return None
        path = self._path(name)
        if not path.exists():
            return False
        probe = FileLock(path, mode=FILE_MODE)
        try:
            probe.acquire(blocking=False)
        except Timeout:
            return True
        probe.release()
        _remove(path)
        return False

    def close(self) -> None:
        """Let go of the lock; every lease of this owner is free from now on."""
        self._lock.release()
        _remove(self._path(self.name))

    def _path(self, name: str) -> Path:
        return self._locks_dir / f"owner-{_UNSAFE.sub('-', name)}.lock"


def _remove(path: Path) -> None:
    """Remove a dead owner's file; on Windows another process may hold it open while it probes."""
    with contextlib.suppress(OSError):
        path.unlink()
