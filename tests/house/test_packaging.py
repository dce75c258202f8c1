"""What is shipped: pinned, hashed, licensed, whole, and free from traces of any machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hatch_build

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("build", "dev", "runtime")
FAMILIES = ("aaa", "broker", "core", "pipeline", "portfolio", "strategy")
ENTRY_POINTS = [
    pytest.param(f"plugins_{family}", name, id=name)
    for family in FAMILIES
    for name in PYPROJECT["project"]["entry-points"][f"plugins_{family}"]
]
PINNED = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+?)(?: ; (?P<marker>.+))?")


def lock_text(name: str) -> str:
    return ROOT.joinpath("locks", f"{name}.lock").read_text(encoding="utf-8")


def locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return each package of a lock with its version and hashes; refuse any other kind of line."""
    packages = {}
    for entry in lock_text(name).replace("\\\n", "").splitlines():
        requirement, *hashes = [part.strip() for part in entry.split("--hash=")]
        match = PINNED.fullmatch(requirement)
        assert match, f"locks/{name}.lock holds a line that is no pinned package: {entry[:80]}"
        packages[match["name"]] = (match["version"], frozenset(hashes))
    return packages


def repository_files() -> list[Path]:
    """Return what git holds or would take."""
    git = shutil.which("git")
    if git is None or not ROOT.joinpath(".git").exists():
        pytest.skip("needs git and a clone")
    listing = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.req("SYS-020", "STC-13")
@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(name: str) -> None:
    for package, (_, hashes) in locked(name).items():
        assert hashes, f"{package} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes)
    assert "//" not in lock_text(name)


@pytest.mark.req("SYS-020", "STC-13")
def test_the_dev_lock_holds_the_runtime_lock() -> None:
    development = locked("dev")
    for package, entry in locked("runtime").items():
        assert development[package] == entry, f"{package} differs: run `make lock`"


@pytest.mark.req("SYS-020", "STC-13")
@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime", PYPROJECT["project"]["dependencies"]),
        ("dev", PYPROJECT["dependency-groups"]["dev"]),
        ("build", PYPROJECT["dependency-groups"]["build"]),
        ("build", PYPROJECT["build-system"]["requires"]),
    ],
    ids=["runtime", "dev", "build", "build-system"],
)
def test_the_locks_fit_pyproject(lock: str, wanted: list[str]) -> None:
    packages = locked(lock)
    for text in wanted:
        requirement = Requirement(text)
        version, _ = packages[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{text}: locked {version}, run `make lock`"


def test_build_requirements_are_pinned_exactly() -> None:
    for text in PYPROJECT["build-system"]["requires"]:
        assert [each.operator for each in Requirement(text).specifier] == ["=="]


def test_no_locked_package_is_left_out_on_a_supported_system() -> None:
    environments = [
        {"python_full_version": f"{python}.0", "python_version": python, "sys_platform": system}
        for python in ("3.11", "3.12", "3.13")
        for system in ("linux", "win32")
    ]
    only_on_windows = {"colorama"}
    for name in LOCKS:
        for entry in re.findall(r"^([a-z0-9-]+==.+?) \\$", lock_text(name), re.MULTILINE):
            requirement = Requirement(entry)
            if requirement.marker is None or requirement.name in only_on_windows:
                continue
            for each in environments:
                assert requirement.marker.evaluate({str(k): v for k, v in each.items()}), entry


@pytest.mark.req("SYS-020", "STC-13")
def test_front_end_packages_are_pinned_with_integrity_and_no_address() -> None:
    wanted = json.loads(ROOT.joinpath("package.json").read_text(encoding="utf-8"))["dependencies"]
    lock = json.loads(ROOT.joinpath("package-lock.json").read_text(encoding="utf-8"))
    packages: dict[str, dict[str, Any]] = lock["packages"]
    assert packages.pop("")["dependencies"] == wanted
    for name, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} is not pinned exactly: {version}"
        assert packages[f"node_modules/{name}"]["version"] == version
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), f"{name} has no integrity"
        assert "resolved" not in package
    assert "omit-lockfile-registry-resolved=true" in ROOT.joinpath(".npmrc").read_text().split()


def test_nothing_names_a_package_registry_or_a_machine() -> None:
    # Spelled in pieces, so that this file does not name them either. A path of a machine starts
    # at its root: a folder of that name inside the project is its own.
    hosts = "|".join((r"npmjs\.(?:org|com)", r"py" + r"pi\.org", r"python" + r"hosted\.org"))
    folders = "|".join(("ro" + "ot", "wo" + "rk", "us" + "r/local"))
    forbidden = re.compile(rf"(?:{hosts})|(?<![\w.}})>*])/(?:{folders})/")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in repository_files()
        for match in forbidden.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def test_no_third_party_asset_is_committed() -> None:
    for path in repository_files():
        assert "vendor" not in path.relative_to(ROOT).parts
        assert not path.name.endswith((".min.js", ".min.css", ".woff", ".woff2"))


def test_the_licence_is_the_gpl_and_travels_with_the_package() -> None:
    text = ROOT.joinpath("LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 3, 29 June 2007" in text
    assert "END OF TERMS AND CONDITIONS" in text
    installed = metadata.metadata("lts")
    assert installed["License-Expression"] == "GPL-3.0-or-later"
    assert installed["License-File"] == "LICENSE"


def test_the_installed_project_is_this_one() -> None:
    assert metadata.version("lts") == PYPROJECT["project"]["version"]
    commands = metadata.entry_points(group="console_scripts")
    assert commands["lts"].value == PYPROJECT["project"]["scripts"]["lts"]


@pytest.mark.req("INT-01", "INT-001")
@pytest.mark.parametrize(("group", "name"), ENTRY_POINTS)
def test_each_plugin_entry_point_loads(group: str, name: str) -> None:
    entry_point = metadata.entry_points(group=group)[name]
    assert entry_point.value == PYPROJECT["project"]["entry-points"][group][name]
    plugin = entry_point.load()
    assert isinstance(plugin, type)
    assert isinstance(plugin.plugin_params, dict)


@pytest.fixture
def fake_project(tmp_path: Path) -> Path:
    """A project whose front-end packages have been brought in."""
    for name in hatch_build.NPM_FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    vendor = tmp_path / hatch_build.VENDOR
    for _, target in hatch_build.ASSETS:
        file = vendor / target
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("asset", encoding="utf-8")
    vendor.joinpath(hatch_build.STAMP).write_text(hatch_build.expected_stamp(tmp_path))
    return tmp_path


def test_assets_are_current_only_while_lock_and_files_stand(fake_project: Path) -> None:
    assert hatch_build.is_current(fake_project)
    asset = fake_project / hatch_build.VENDOR / hatch_build.ASSETS[0][1]
    asset.unlink()
    assert not hatch_build.is_current(fake_project)
    asset.write_text("asset", encoding="utf-8")
    assert hatch_build.is_current(fake_project)
    lock = fake_project / "package-lock.json"
    lock.write_bytes(lock.read_bytes() + b" ")
    assert not hatch_build.is_current(fake_project)


def test_line_ends_of_a_windows_clone_do_not_make_assets_stale(fake_project: Path) -> None:
    lock = fake_project / "package-lock.json"
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))
    assert hatch_build.is_current(fake_project)


def test_a_file_that_a_package_no_longer_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(hatch_build.AssetError, match=r"admin-lte/dist/css/adminlte\.min\.css"):
        hatch_build.copy_assets(tmp_path / "node_modules", tmp_path / "vendor")


def test_the_style_sheets_find_the_files_they_need() -> None:
    vendor = ROOT / hatch_build.VENDOR
    sheet = vendor / "bootstrap-icons" / "bootstrap-icons.min.css"
    font = re.search(r'url\("([^"?]+\.woff2)', sheet.read_text(encoding="utf-8"))
    assert font
    assert sheet.parent.joinpath(font[1]).is_file()
