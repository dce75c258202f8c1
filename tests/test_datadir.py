"""The data directory: owner-only from the first byte, and never somebody else's folder."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from lts_web import datadir
from lts_web.datadir import DataDir, DataDirError, ensure_private, prepare, private_open

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
pytestmark = pytest.mark.req("STC-9")


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


@pytest.fixture(autouse=True)
def wide_umask() -> object:
    """Start with the widest umask, so that no test passes by its narrowness."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    made = prepare(tmp_path / "data")
    os.umask(0)
    return made


@posix
def test_a_new_directory_and_its_folders_are_the_owners_alone(tmp_path: Path) -> None:
    made = prepare(tmp_path / "deep" / "data")
    folders = [made.root, made.logs_dir, made.locks_dir, made.keys_dir]
    assert {mode(folder) for folder in folders} == {0o700}


@posix
def test_loose_permissions_are_repaired(tmp_path: Path) -> None:
    made = prepare(tmp_path / "data")
    made.root.chmod(0o755)
    made.keys_dir.chmod(0o777)
    for path in (made.lts_db, made.keys_dir / "jwt_secret", made.logs_dir / "web.log"):
        path.touch()
        path.chmod(0o644)
    prepare(tmp_path / "data")
    assert (mode(made.root), mode(made.keys_dir)) == (0o700, 0o700)
    assert mode(made.lts_db) == mode(made.keys_dir / "jwt_secret") == 0o600
    assert mode(made.logs_dir / "web.log") == 0o600


@posix
def test_what_sqlite_adds_is_the_owners_alone(tmp_path: Path) -> None:
    made = prepare(tmp_path / "data")
    ensure_private(made.lts_db)
    with sqlite3.connect(made.lts_db) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")
        names = {path.name: mode(path) for path in made.root.glob("lts.db*")}
    assert set(names) == {"lts.db", "lts.db-wal", "lts.db-shm"}
    assert set(names.values()) == {0o600}
    connection.close()


def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match=r"not a folder.*LTS_DATA_DIR"):
        prepare(tmp_path / "file")
    if sys.platform != "win32":
        (tmp_path / "real").mkdir()
        (tmp_path / "real").chmod(0o755)
        (tmp_path / "link").symlink_to(tmp_path / "real")
        with pytest.raises(DataDirError, match="symbolic link"):
            prepare(tmp_path / "link")
        assert mode(tmp_path / "real") == 0o755


def test_a_folder_below_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match="LTS_DATA_DIR"):
        prepare(tmp_path / "file" / "data")


def test_folders_of_others_keep_their_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, clone, shared = (tmp_path / name for name in ("home", "clone", "shared"))
    for folder in (home, clone, shared):
        folder.mkdir(mode=0o755)
    (clone / "pyproject.toml").touch()
    monkeypatch.setenv("HOME", str(home))
    foreign = [home, clone, Path(tmp_path.anchor)]
    if sys.platform != "win32":
        shared.chmod(0o1777)
        foreign.append(shared)
    for folder in foreign:
        before = folder.stat().st_mode
        with pytest.raises(DataDirError, match="a folder of its own"):
            prepare(folder)
        assert folder.stat().st_mode == before


@posix
@pytest.mark.parametrize("how", ["w", "a", "x"])
def test_a_file_has_its_mode_from_the_start(data_dir: DataDir, how: str) -> None:
    with private_open(data_dir.initial_admin, how) as stream:  # type: ignore[arg-type]
        stream.write("é\n")
        stream.flush()
        assert mode(data_dir.initial_admin) == 0o600
    with private_open(data_dir.initial_admin) as stream:
        assert stream.read() == "é\n"


@posix
def test_a_looser_file_is_tightened_and_a_link_is_refused(data_dir: DataDir) -> None:
    data_dir.initial_admin.touch(mode=0o644)
    with private_open(data_dir.initial_admin, "a"):
        assert mode(data_dir.initial_admin) == 0o600
    (data_dir.root / "link").symlink_to(data_dir.initial_admin)
    with pytest.raises(OSError, match="link"):
        private_open(data_dir.root / "link", "w")
    with pytest.raises(OSError, match="link"):
        ensure_private(data_dir.root / "link")


def test_a_private_file_appears_whole(data_dir: DataDir) -> None:
    datadir.write_private(data_dir.initial_admin, b"one")
    datadir.write_private(data_dir.initial_admin, b"two")
    assert data_dir.initial_admin.read_bytes() == b"two"
    assert sorted(path.name for path in data_dir.root.iterdir()) == [
        "initial-admin.txt", "keys", "locks", "logs",
    ]  # fmt: skip


@pytest.mark.req("SYS-017")
def test_a_key_is_made_once_and_kept(data_dir: DataDir) -> None:
    key = data_dir.secret("jwt_secret")
    assert len(key) >= 32
    assert prepare(data_dir.root).secret("jwt_secret") == key
    assert data_dir.secret("huey_key") != key
    if sys.platform != "win32":
        assert mode(data_dir.keys_dir / "jwt_secret") == 0o600


def test_everyone_who_asks_at_once_gets_the_same_key(data_dir: DataDir) -> None:
    barrier = threading.Barrier(8)

    def ask(_number: int) -> bytes:
        barrier.wait()
        return DataDir(data_dir.root).secret("secret_key")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_damaged_key_is_refused_and_never_replaced(data_dir: DataDir, content: bytes) -> None:
    path = data_dir.keys_dir / "jwt_secret"
    path.write_bytes(content)
    with pytest.raises(DataDirError, match="fewer than 32 bytes"):
        data_dir.secret("jwt_secret")
    assert path.read_bytes() == content


def test_a_key_lock_that_never_frees_is_told(
    data_dir: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datadir, "KEY_LOCK_SECONDS", 0.1)
    with (
        FileLock(data_dir.locks_dir / "keys.lock"),
        pytest.raises(DataDirError, match="held by another process"),
    ):
        data_dir.secret("jwt_secret")


@pytest.mark.parametrize("name", ["../lts.db", "", "A", "a/b", "a" * 99])
def test_a_key_has_a_plain_name(data_dir: DataDir, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a key"):
        data_dir.secret(name)
