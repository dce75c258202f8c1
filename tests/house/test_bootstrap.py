"""bootstrap.py: what it skips, what it repeats, and how it answers signals and wrong use."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import bootstrap

ROOT = Path(__file__).parents[2]
VERSION = bootstrap.version_text(sys.version_info[:2])
SCRIPTS = "Scripts" if sys.platform == "win32" else "bin"

FAKE_LTS = """\
import os, signal, sys, time

def main(arguments):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("lts", *arguments, os.environ.get("PYTHONDONTWRITEBYTECODE"), flush=True)
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    sys.exit(int(os.environ.get("FAKE_CODE", "0")))
"""

PARENT = """\
import bootstrap, os, signal, sys
signal.signal(signal.SIGTERM, bootstrap.stop)
try:
    bootstrap.run_tool([sys.executable, "child.py"], os.environ, capture=True)
except bootstrap.Stopped:
    sys.exit(0)
"""
CHILD = """\
import subprocess, sys
subprocess.run([sys.executable, "grandchild.py"])
"""
GRANDCHILD = """\
import os, pathlib, time
pathlib.Path("started").write_text(str(os.getpid()))
time.sleep(60)
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a small `lts` command of its own, to which the module under test points."""
    for name in ("bootstrap.py", *bootstrap.SETUP_INPUTS):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, target)
    package = tmp_path / "lts_web"
    package.mkdir()
    package.joinpath("__init__.py").write_text("")
    package.joinpath("cli.py").write_text(FAKE_LTS)
    vendor = package / "static" / "vendor"
    vendor.mkdir(parents=True)
    vendor.joinpath(".stamp").write_text("")
    environment = tmp_path / ".venv"
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", environment)
    monkeypatch.setattr(bootstrap, "STATE", environment / "lts-setup.json")
    monkeypatch.setattr(bootstrap, "SETUP_LOCK", tmp_path / ".bootstrap.lock")
    monkeypatch.setattr(bootstrap, "VENDOR_STAMP", vendor / ".stamp")
    return tmp_path


class Steps:
    """Stands in for the set-up's steps: notes them, makes the environment, fails when told to."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.commands: list[str] = []
        self.fail_at = fail_at

    def __call__(self, command: Sequence[str], advice: str) -> None:
        if len(self.commands) == self.fail_at:
            raise bootstrap.BootstrapError(advice)
        self.commands.append(" ".join(command))
        if "venv" in command:
            scripts = bootstrap.ENVIRONMENT / SCRIPTS
            shutil.rmtree(bootstrap.ENVIRONMENT, ignore_errors=True)
            scripts.mkdir(parents=True)
            if sys.platform == "win32":
                bootstrap.environment_python().write_text("stands there, is never run")
            else:
                bootstrap.environment_python().symlink_to(sys.executable)

    def made_environment(self) -> bool:
        return any("-m venv --clear" in command for command in self.commands)


@pytest.fixture
def set_up(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int | None], tuple[Steps, list[str]]]:
    """Run the set-up with recorded steps; a step that fails leaves its error to the caller."""

    def act(need: str, fail_at: int | None = None) -> tuple[Steps, list[str]]:
        steps, said = Steps(fail_at), []
        monkeypatch.setattr(bootstrap, "step", steps)
        if fail_at is None:
            bootstrap.set_up(need, said.append)
        else:
            with pytest.raises(bootstrap.BootstrapError):
                bootstrap.set_up(need, said.append)
        return steps, said

    return act


SetUp = Callable[..., tuple[Steps, list[str]]]


def test_a_second_start_does_nothing(set_up: SetUp) -> None:
    first, said = set_up("runtime")
    assert first.made_environment()
    assert [line[:17] for line in said] == [f"Setting up ({n}/4):" for n in range(1, 5)]
    assert all(
        "--require-hashes" in command for command in first.commands if "--requirement" in command
    )
    second, said = set_up("runtime")
    assert (second.commands, said) == ([], [])


def test_tests_add_their_tools_and_running_keeps_them(set_up: SetUp) -> None:
    set_up("runtime")
    more, _ = set_up("dev")
    assert not more.made_environment()
    assert any("locks/dev.lock" in command for command in more.commands)
    assert set_up("runtime")[0].commands == []


@pytest.mark.parametrize("name", bootstrap.SETUP_INPUTS)
def test_a_changed_input_repeats_the_set_up_in_place(name: str, clone: Path, set_up: SetUp) -> None:
    set_up("dev")
    with clone.joinpath(name).open("a") as file:
        file.write("\n")
    again, _ = set_up("runtime")
    assert again.commands
    assert not again.made_environment()
    assert any("locks/dev.lock" in command for command in again.commands)


@pytest.mark.parametrize("step", range(4))
def test_an_interrupted_set_up_heals_at_the_next_start(step: int, set_up: SetUp) -> None:
    set_up("runtime", fail_at=step)
    assert not bootstrap.STATE.exists()
    healed, _ = set_up("runtime")
    assert healed.made_environment()
    assert bootstrap.is_ready("runtime")


def test_an_update_that_fails_is_not_taken_for_done(clone: Path, set_up: SetUp) -> None:
    set_up("runtime")
    clone.joinpath("pyproject.toml").write_text("")
    set_up("runtime", fail_at=1)
    assert not bootstrap.is_ready("runtime")


def test_a_missing_front_end_is_brought_back(set_up: SetUp) -> None:
    set_up("runtime")
    bootstrap.VENDOR_STAMP.unlink()
    assert set_up("runtime")[0].commands


@pytest.mark.parametrize("content", ["", "[]", "{", '{"digest": 1, "python": "3.11"}'])
def test_a_damaged_stamp_means_a_new_environment(content: str, set_up: SetUp) -> None:
    set_up("runtime")
    bootstrap.STATE.write_text(content)
    assert set_up("runtime")[0].made_environment()


def test_an_unsupported_python_uses_a_supported_one_from_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: name)
    monkeypatch.setattr(
        bootstrap, "python_version", lambda command: "3.12" if "3.12" in command[-1] else ""
    )
    assert bootstrap.find_python()[1] == "3.12"


def test_without_a_supported_python_it_says_which_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    with pytest.raises(bootstrap.BootstrapError, match=r"needs Python 3\.11, 3\.12 or 3\.13") as e:
        bootstrap.find_python()
    assert e.value.code == 2


def test_one_set_up_at_a_time(clone: Path) -> None:
    with bootstrap.one_at_a_time(print), bootstrap.SETUP_LOCK.open("a+b") as other:
        assert not bootstrap.try_lock(other)
    with bootstrap.SETUP_LOCK.open("a+b") as other:
        assert bootstrap.try_lock(other)


def test_tests_do_not_see_the_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTS_PORT", "1")
    monkeypatch.setenv("LTS_REFERENCE_DATA", "bars")
    monkeypatch.setenv("UNRELATED", "kept")
    variables = bootstrap.without_settings()
    assert "LTS_PORT" not in variables
    assert variables["LTS_REFERENCE_DATA"] == "bars"
    assert variables["UNRELATED"] == "kept"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--fast"], ["run", "--", "-x"]])
def test_wrong_use_exits_2_and_says_how_it_is_used(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bootstrap.py", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "usage: bootstrap.py" in done.stderr
    assert done.stdout == ""


def start(clone: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, clone / "bootstrap.py", *arguments],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


@pytest.mark.req("SYS-012")
@pytest.mark.skipif(sys.platform == "win32", reason="needs an environment that can be run")
def test_run_becomes_the_lts_command(clone: Path, set_up: SetUp) -> None:
    set_up("runtime")
    assert finish(start(clone, "run")) == (0, "lts run 1\n", "")
    assert finish(start(clone, "run", "--quiet"))[1] == "lts --quiet run 1\n"
    assert finish(start(clone, "run", LTS_QUIET="1"))[1] == "lts --quiet run 1\n"
    assert finish(start(clone, "run", FAKE_CODE="1"))[0] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal of this kind")
def test_sigterm_exits_0_at_any_moment_after_the_first(clone: Path, set_up: SetUp) -> None:
    set_up("runtime")
    for delay in (0.5, 0.8, 1.5):
        process = start(clone, "run", FAKE_SECONDS="20")
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        assert finish(process)[0] == 0, f"after {delay} s"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal of this kind")
def test_sigterm_stops_a_step_with_all_that_it_started(clone: Path) -> None:
    started = clone / "started"
    clone.joinpath("grandchild.py").write_text(GRANDCHILD)
    clone.joinpath("child.py").write_text(CHILD)
    clone.joinpath("parent.py").write_text(PARENT)
    process = subprocess.Popen([sys.executable, "parent.py"], cwd=clone)
    deadline = time.monotonic() + 20
    while not (started.exists() and started.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_the_stamp_tells_what_it_was_made_for(set_up: SetUp) -> None:
    set_up("dev")
    state = json.loads(bootstrap.STATE.read_text())
    assert state["needs"] == ["dev", "runtime"]
    assert state["python"] == VERSION
