"""The data directory: the one place where LTS writes, readable by its owner only.

Knows every path in it, creates files with their final permissions (never open first, closed
later), and keeps the keys of this installation. It opens no database and reads no settings.

On Windows the modes have no meaning: there a new directory made with mode 0700 gets an access list
for its owner alone (Python 3.11.10, 3.12.4 and later), which the files in it inherit.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
SHORTEST_KEY_BYTES = 32
KEY_LOCK_SECONDS = 10.0

_FLAGS = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}
_KEY_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


class DataDirError(Exception):
    """The data directory cannot be used as it is; the message says what to change."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class DataDir:
    """Name every path in a prepared data directory."""

    root: Path

    @property
    def lts_db(self) -> Path:
        """The database of LTS."""
        return self.root / "lts.db"

    @property
    def huey_db(self) -> Path:
        """The task queue; a file of its own, because Huey locks it exclusively."""
        return self.root / "huey.db"

    @property
    def venues_db(self) -> Path:
        """The books of the simulated venues."""
        return self.root / "venues.db"

    @property
    def limits_db(self) -> Path:
        """The counters of the rate limits."""
        return self.root / "limits.db"

    @property
    def logs_dir(self) -> Path:
        """Log files."""
        return self.root / "logs"

    @property
    def locks_dir(self) -> Path:
        """Lock files and signs of life."""
        return self.root / "locks"

    @property
    def keys_dir(self) -> Path:
        """Keys of this installation."""
        return self.root / "keys"

    @property
    def initial_admin(self) -> Path:
        """The first administrator's random password, until it is changed."""
        return self.root / "initial-admin.txt"

    def secret(self, name: str) -> bytes:
        """Give a key of this installation, 64 printable bytes made at its first use.

        Names in use: `secret_key` (Flask), `jwt_secret`, `huey_key`. Safe when several processes
        ask at once, and after a crash half-way: a key file appears whole or not at all.
        """
        if not _KEY_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a key")
        path = self.keys_dir / name
        with self._key_lock():
            if not os.path.lexists(path):
                write_private(path, secrets.token_urlsafe(48).encode())
            with private_open(path, "r") as stream:
                key = stream.read().strip().encode()
        if len(key) < SHORTEST_KEY_BYTES:
            raise DataDirError(
                f"The key file {path} holds fewer than {SHORTEST_KEY_BYTES} bytes. Restore it from "
                "a backup, or delete it: then a new key is made and what it protected ends."
            )
        return key

    @contextlib.contextmanager
    def _key_lock(self) -> Iterator[None]:
        lock = FileLock(self.locks_dir / "keys.lock", mode=FILE_MODE)
        try:
            lock.acquire(timeout=KEY_LOCK_SECONDS)
        except Timeout:
            raise DataDirError(
                f"{lock.lock_file} is held by another process for more than "
                f"{KEY_LOCK_SECONDS:g} seconds. Stop that process and try again."
            ) from None
        try:
            yield
        finally:
            lock.release()


def prepare(path: Path) -> DataDir:
    """Make the data directory, or repair the permissions of an existing one.

    Refuses a symbolic link, a file, and folders that clearly serve something else (the root of a
    file system, the home folder, shared ones like /tmp): their permissions must not change.
    """
    os.umask(0o077)  # also for what libraries create, such as SQLite's -wal and -shm files
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the symbolic link
    _refuse_foreign(path)
    directory = DataDir(path)
    try:
        _private_directory(path)
        for inside in (directory.logs_dir, directory.locks_dir, directory.keys_dir):
            _private_directory(inside)
        for folder in (path, directory.logs_dir, directory.locks_dir, directory.keys_dir):
            _repair_files(folder)
    except OSError as error:
        raise DataDirError(
            f"The data directory {path} cannot be used: {error.strerror} ({error.filename}). "
            "Give LTS_DATA_DIR a folder that this user owns and may write to."
        ) from None
    return directory


def _refuse_foreign(path: Path) -> None:
    home = Path("~").expanduser() if "HOME" in os.environ else None
    foreign = path in {Path(path.anchor), home} or (path / "pyproject.toml").exists()
    if os.name == "posix" and path.is_dir() and not path.is_symlink():
        foreign = foreign or bool(path.stat().st_mode & stat.S_ISVTX)
    if foreign:
        raise DataDirError(
            f"The data directory cannot be {path} itself: LTS keeps its directory closed to "
            "others. Give LTS_DATA_DIR a folder of its own, for example "
            f"{path / 'lts-data'}."
        )


def _private_directory(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=DIRECTORY_MODE)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a folder"
        raise DataDirError(
            f"{path} is {kind}. The data directory must be a real folder: "
            "remove it, or point LTS_DATA_DIR elsewhere."
        )
    if os.name == "posix" and stat.S_IMODE(found.st_mode) != DIRECTORY_MODE:
        path.chmod(DIRECTORY_MODE)


def _repair_files(folder: Path) -> None:
    if os.name != "posix":
        return
    for path in folder.iterdir():
        # Another process may remove its file in between.
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
                path.chmod(FILE_MODE)


def _descriptor(path: Path, flags: int) -> int:
    """Open with the final permissions; a symbolic link in place of the file is an error."""
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, FILE_MODE)
    if os.name == "posix" and os.fstat(descriptor).st_mode & 0o077:
        os.fchmod(descriptor, FILE_MODE)
    return descriptor


def private_open(path: Path, mode: Literal["r", "w", "a", "x"] = "r") -> TextIOWrapper:
    """Open a text file (UTF-8) that only its owner may read; an existing looser one is tightened.

    A symbolic link is refused (OSError).
    """
    direction: Literal["r", "w"] = "r" if mode == "r" else "w"
    return os.fdopen(_descriptor(path, _FLAGS[mode]), direction, encoding="utf-8", newline="")


def ensure_private(path: Path) -> Path:
    """Make sure that a file exists with mode 0600, before a library such as SQLite opens it."""
    os.close(_descriptor(path, os.O_RDWR | os.O_CREAT))
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 as a whole: a reader sees the old content or the new."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(_descriptor(temporary, _FLAGS["x"]), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
