"""The `lts` command: answers, exit codes and errors as people and scripts see them."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lts_web import cli, logs
from lts_web.commands import CommandResult
from lts_web.plugin_settings import Declarations, Schemas
from lts_web.settings import FAMILIES, Loaded
from tests.real_processes import eventually, free_port

DEFAULTS = {
    "aaa": "default_aaa",
    "core": "default_core",
    "pipeline": "default_pipeline",
    "strategy": "default_strategy",
    "broker": "backtrader_simulation_broker",
    "portfolio": "default_portfolio",
}


class FakeRegistry:
    """Declares one plugin a family, and no more."""

    def declarations(self) -> Declarations:
        own: dict[str, object] = {"spread_pips": 2.0, "api_key": "none"}
        return {
            family: {DEFAULTS[family]: own if family == "broker" else {}} for family in FAMILIES
        }

    def schemas(self) -> Schemas:
        return {}


class Area:
    """Stands for the module of one area of commands, and remembers how it was called."""

    def __init__(self, result: CommandResult | Exception) -> None:
        self.result = result
        self.options: dict[str, Any] = {}

    def run(self, loaded: Loaded, **options: Any) -> CommandResult:
        assert loaded.pending == ()
        self.options = options
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run with plugins of our own, an empty environment and a data directory in tmp_path."""
    monkeypatch.setattr("lts_web.plugins.registry.Registry", FakeRegistry)
    for name in list(os.environ):
        if name.startswith("LTS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LTS_DATA_DIR", str(tmp_path / "data"))
    before = os.umask(0o022)
    hook = sys.excepthook
    yield
    os.umask(before)
    sys.excepthook = hook
    logs.remove_handlers()


@pytest.fixture
def area(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Area]:
    def install(name: str, result: CommandResult | Exception | None = None) -> Area:
        made = Area(result or CommandResult())
        monkeypatch.setitem(sys.modules, f"lts_web.commands.{name}", made)
        return made

    return install


def lts(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    printed = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, printed.out, printed.err


@pytest.mark.req("SYS-005", "STC-004")
def test_show_config_says_where_each_value_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "lts.json"
    file.write_text('{"web_threads": 3, "spread_pips": 1.5}')
    monkeypatch.setenv("LTS_PORT", "9000")
    code, out, err = lts(
        capsys, "--load_config", str(file), "--set", "host=0.0.0.0", "--json", "show-config"
    )
    shown = json.loads(out)["settings"]
    assert (code, err) == (0, "")
    assert shown["web_threads"]["value"] == 3
    assert shown["web_threads"]["source"] == "file"
    assert str(file) in shown["web_threads"]["origin"]
    assert shown["port"] == {"value": 9000, "source": "environment", "origin": "LTS_PORT"}
    assert (shown["host"]["value"], shown["host"]["source"]) == ("0.0.0.0", "command line")
    assert shown["demo"]["source"] == "default"
    parameter = shown["plugins.broker.backtrader_simulation_broker.spread_pips"]
    assert (parameter["value"], parameter["source"]) == (1.5, "file")
    assert not (tmp_path / "data").exists()


@pytest.mark.req("INT-020")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_show_config_masks_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("LTS_ADMIN_PASSWORD", "Correct-Horse1")
    monkeypatch.setenv("LTS_API_KEY", "broker-key-1")
    code, out, err = lts(capsys, *options, "show-config")
    assert code == 0
    assert "Correct-Horse1" not in out + err
    assert "broker-key-1" not in out + err
    assert "********" in out


def test_options_stand_before_the_command_or_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    _, before, _ = lts(capsys, "--json", "show-config")
    _, after, _ = lts(capsys, "show-config", "--json")
    assert json.loads(before) == json.loads(after)


def test_an_unknown_variable_warns_and_quiet_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LTS_PROT", "1")
    code, out, err = lts(capsys, "show-config")
    assert code == 0
    assert err == (
        "lts: warning: LTS_PROT: ignored; LTS has no such setting. Did you mean LTS_PORT?\n"
    )
    assert "port" in out
    assert lts(capsys, "--quiet", "show-config") == (0, "", "")
    monkeypatch.setenv("LTS_QUIET", "1")
    assert lts(capsys, "show-config") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("--nonsense", "show-config"), "--nonsense"),
        (("--set", "port", "show-config"), "KEY=VALUE"),
        (("--set", "port=x", "show-config"), "a whole number from 1 to 65535"),
        (("--set", "prot=1", "show-config"), "Did you mean port"),
        (("--load_config", "/does/not/exist", "show-config"), "cannot be read"),
        (("cycle", "--portfolio", "0"), "--portfolio"),
        (("user", "create", "--username", "a", "--email", "b", "--role", "king"), "--role"),
        (("user", "create", "--username", "a", "--email", "b", "--role", "user"), "password-stdin"),
        (("bars", "import", "x.csv", "--timeframe", "H1"), "--instrument"),
    ],
)
@pytest.mark.req("SYS-019", "INT-026")
def test_wrong_usage_is_one_line_and_exits_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = lts(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert err.startswith("lts: ")


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = lts(capsys)
    assert code == 2
    assert "show-config" in err
    assert lts(capsys, "--help")[0] == 0


def test_a_used_up_data_directory_is_one_line(
    capsys: pytest.CaptureFixture[str], area: Callable[..., Area], tmp_path: Path
) -> None:
    area("demo")
    (tmp_path / "data").touch()
    code, out, err = lts(capsys, "demo")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "not a folder" in err


@pytest.mark.parametrize(
    ("arguments", "name", "options"),
    [
        (("db", "upgrade"), "database", {"action": "upgrade"}),
        (("db", "check"), "database", {"action": "check"}),
        (("user", "list"), "users", {"action": "list"}),
        (("cycle",), "cycle", {"portfolio": None, "force": False}),
        (("cycle", "--portfolio", "7", "--force"), "cycle", {"portfolio": 7, "force": True}),
        (("plugins", "list"), "plugins", {"action": "list"}),
        (("plugins", "debug"), "plugins", {"action": "debug"}),
        (("demo",), "demo", {}),
        (
            ("bars", "import", "x.csv", "--instrument", "EUR_USD", "--timeframe", "H1",
             "--zone", "Europe/Berlin", "--owner", "alice"),
            "bars",
            {"action": "import", "file": Path("x.csv"), "instrument": "EUR_USD",
             "timeframe": "H1", "time_format": None, "zone": "Europe/Berlin", "scale": "1",
             "owner": "alice"},
        ),
    ],
)  # fmt: skip
def test_each_command_calls_its_one_function(
    capsys: pytest.CaptureFixture[str],
    area: Callable[..., Area],
    arguments: tuple[str, ...],
    name: str,
    options: dict[str, object],
) -> None:
    called = area(name, CommandResult(document={"a": 1}, lines=("one", "two")))
    assert lts(capsys, *arguments) == (0, "one\ntwo\n", "")
    assert called.options == options
    assert json.loads(lts(capsys, "--json", *arguments)[1]) == {"a": 1}
    assert lts(capsys, "--quiet", *arguments) == (0, "", "")


def test_a_failure_is_told_on_standard_error_with_its_exit_code(
    capsys: pytest.CaptureFixture[str], area: Callable[..., Area]
) -> None:
    area("cycle", CommandResult(3, {"failed": 1}, ("asset 1 failed",)))
    assert lts(capsys, "cycle") == (3, "", "lts: asset 1 failed\n")
    code, out, err = lts(capsys, "--quiet", "--json", "cycle")
    assert (code, json.loads(out), err) == (3, {"failed": 1}, "lts: asset 1 failed\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "create", "--username", "a", "--email", "a@b.c", "--role", "admin"),
        ("user", "set-password", "--username", "a"),
    ],
)
def test_a_password_comes_from_standard_input_and_is_never_logged(
    capsys: pytest.CaptureFixture[str],
    area: Callable[..., Area],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    called = area("users")
    monkeypatch.setattr(sys, "stdin", io.StringIO(" Pass word-é1 \r\nmore\n"))
    assert lts(capsys, *arguments, "--password-stdin")[0] == 0
    assert called.options["password"] == " Pass word-é1 "
    assert "Pass word" not in logs.mask("it was  Pass word-é1 !")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert lts(capsys, *arguments, "--password-stdin")[0] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
@pytest.mark.req("STC-9")
def test_what_a_command_writes_is_the_owners_alone(
    capsys: pytest.CaptureFixture[str], area: Callable[..., Area], tmp_path: Path
) -> None:
    area("demo")
    lts(capsys, "demo")
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


# The real command in real processes, with a wiring that holds the smallest web and worker.
LAUNCH = """
import sys, types
sys.path.insert(0, {tests!r})
wiring = types.ModuleType("lts_web.wiring")
sys.modules["lts_web.wiring"] = wiring
from lts_web import processes
from lts_web.commands import CommandResult
from lts_web.plugins import registry
from huey import SqliteHuey

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]

class Core:
    def __init__(self, serve):
        self.serve = serve
    def start(self):
        self.serve(application)

def build_core(loaded, stop, serve):
    return Core(serve)

def build_worker(loaded, stop):
    filename = str(loaded.settings.data_dir / "huey.db")
    return SqliteHuey("lts", filename=filename, results=False)

wiring.build_core, wiring.build_worker = build_core, build_worker
class Registry:
    def declarations(self):
        return {{family: {{name: {{}}}} for family, name in {defaults!r}.items()}}
    def schemas(self):
        return {{}}
registry.Registry = Registry
for name in ("database", "users", "demo"):
    module = types.ModuleType("lts_web.commands." + name)
    module.run = lambda loaded, **options: CommandResult({prepared!r}, None, ("prepared",))
    sys.modules["lts_web.commands." + name] = module
processes.own_command = lambda *arguments: [sys.executable, __file__, *arguments]
from lts_web import cli
if len(sys.argv) > 1 and sys.argv[1] == "explode":
    cli.lts.main = lambda **_: 1 / 0
cli.main()
"""


def launcher(tmp_path: Path, prepared: int = 0) -> list[str]:
    script = tmp_path / "launch.py"
    tests = str(Path(__file__).parent.parent)
    script.write_text(
        textwrap.dedent(LAUNCH.format(tests=tests, defaults=DEFAULTS, prepared=prepared))
    )
    return [sys.executable, str(script)]


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.req("SYS-001", "STC-9")
@pytest.mark.parametrize("quiet", [False, True])
def test_run_starts_both_and_stops_both(tmp_path: Path, quiet: bool) -> None:
    port = free_port()
    environ = {**os.environ, "LTS_PORT": str(port), "LTS_JWT_SECRET": "canary-" * 6}
    process = subprocess.Popen(
        [*launcher(tmp_path), *(["--quiet"] if quiet else []), "run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    if quiet:
        eventually((tmp_path / "data" / "locks" / "worker.ready").exists)
        eventually((tmp_path / "data" / "locks" / "web.ready").exists)
    else:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines == [*["prepared\n"] * 3, f"LTS is ready: {address}\n"]
    with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
        assert answer.status == 200
    for path in (tmp_path / "data").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - started < 10
    assert out == ""
    assert not quiet or err == ""
    assert {path.name for path in (tmp_path / "data" / "logs").iterdir()} == {
        "run.log", "web.log", "worker.log",
    }  # fmt: skip
    everything = [p.read_text() for p in (tmp_path / "data" / "logs").iterdir()]
    assert "canary-" not in "".join([out, err, *everything])


def test_run_ends_when_the_database_cannot_be_prepared(tmp_path: Path) -> None:
    done = subprocess.run(
        [*launcher(tmp_path, prepared=1), "run"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "lts: prepared"


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_used_port_is_told_by_run_and_by_serve(tmp_path: Path, command: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*launcher(tmp_path), "--set", f"port={port}", command],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line == f"lts: Port {port} on 127.0.0.1 is in use. Set LTS_PORT to a free port."


@pytest.mark.req("SYS-019")
def test_an_unexpected_error_is_one_line_with_a_reference(tmp_path: Path) -> None:
    done = subprocess.run(
        [*launcher(tmp_path), "explode"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lts: unexpected error, reference ")
    assert "ZeroDivisionError" in line
