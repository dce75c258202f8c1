"""`lts run`'s supervisor with real processes: starting, crashing, stopping, being killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lts_web import supervisor
from lts_web.datadir import prepare
from lts_web.supervisor import Pace, SupervisorError, check_address, only_one, web_address
from tests.real_processes import alive, eventually, free_port

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
pytestmark = [pytest.mark.req("SYS-011"), pytest.mark.timeout(90)]

# A child that behaves as its first argument says; it notes each start in the journal.
CHILD = """
import http.server, os, signal, sys, threading, time
behaviour, port, journal, _, ready_file = sys.argv[1:]
with open(journal, "a") as stream:
    stream.write(f"{behaviour} {os.getpid()} {time.monotonic()}\\n")
starts = open(journal).read().count(behaviour + " ")
print("a child prints this")
if behaviour == "crash" or (behaviour == "flaky" and starts < 3):
    sys.exit(1)
if behaviour == "config":
    sys.exit(2)

def leave(*_):
    os._exit(0)

def follow():
    while os.read(0, 1):
        pass
    leave()

if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, leave)
    threading.Thread(target=follow, daemon=True).start()
if behaviour == "slow":
    time.sleep(1.0)
if behaviour in ("web", "sick"):
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if behaviour == "web" and self.path == "/health" else 503)
            self.end_headers()
        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
if behaviour != "never":
    open(ready_file, "w").close()
time.sleep(600)
"""

RUNNER = """
import json, sys
from pathlib import Path
from lts_web import logs
from lts_web import supervisor
from lts_web.datadir import prepare
from lts_web.processes import StopRequest
from lts_web.supervisor import Pace, Supervisor, SupervisorError
given = json.loads(sys.argv[1])
stop = StopRequest()
stop.install()
data_dir = prepare(Path(given["data_dir"]))
logs.configure("run", directory=data_dir.logs_dir)
def journal(): Path(given["prepared"]).write_text("yes")
try:
    Supervisor(
        host="127.0.0.1", port=given["port"], data_dir=data_dir, commands=given["commands"],
        prepare=journal, announce=lambda line: print(line, flush=True), stop=stop,
        quiet=given["quiet"], pace=Pace(**given["pace"]),
    ).run()
except SupervisorError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@dataclass
class Run:
    """One supervisor process with its fake children."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def starts(self, behaviour: str) -> list[tuple[int, float]]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        rows = [line.split() for line in lines]
        return [(int(pid), float(at)) for name, pid, at in rows if name == behaviour]

    def start(
        self, web: str = "web", worker: str = "worker", *, quiet: bool = False, **pace: float
    ) -> subprocess.Popen[str]:
        script = self.folder / "child.py"
        script.write_text(CHILD)
        commands = {
            name: [sys.executable, str(script), behaviour, str(self.port), str(self.journal)]
            for name, behaviour in (("web", web), ("worker", worker))
        }
        given = {
            "data_dir": str(self.folder / "data"),
            "prepared": str(self.folder / "prepared"),
            "port": self.port,
            "commands": commands,
            "quiet": quiet,
            "pace": {"first_pause": 0.05, "longest_pause": 0.4, "stop": 2.0, **pace},
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RUNNER), json.dumps(given)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self.process

    def await_ready(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self, number: int = signal.SIGTERM) -> tuple[str, str]:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.communicate(timeout=20)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    one = Run(tmp_path)
    yield one
    if one.process is not None:
        one.process.kill()
        one.process.communicate()
    lines = one.journal.read_text().splitlines() if one.journal.exists() else []
    for pid in [int(line.split()[1]) for line in lines]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_once_both_are_and_a_clean_stop(run: Run, number: int) -> None:
    process = run.start(worker="slow")
    assert run.await_ready() == f"LTS is ready: http://127.0.0.1:{run.port}\n"
    assert (run.folder / "prepared").read_text() == "yes"
    with socket.create_connection(("127.0.0.1", run.port)):
        pass
    (pid, _), (other, _) = run.starts("web") + run.starts("slow")
    out, err = run.end(number)
    assert process.returncode == 0
    assert out == "", "standard output has the ready line alone"
    assert "a child prints this" in err
    assert not alive(pid)
    assert not alive(other)
    assert list((run.folder / "data" / "locks").glob("*.ready")) == []
    assert not (run.folder / "data" / "locks" / "run.json").exists()


@posix
def test_a_crashed_child_is_started_again_without_a_second_ready_line(run: Run) -> None:
    run.start()
    run.await_ready()
    for seen in (1, 2):
        os.kill(run.starts("worker")[-1][0], signal.SIGKILL)
        eventually(lambda seen=seen: len(run.starts("worker")) > seen)  # type: ignore[misc]
    assert len(run.starts("web")) == 1
    out, err = run.end()
    assert out == ""
    assert len(re.findall(r"worker ended with exit code -9 .* starts again", err)) == 2


class Clock:
    """Stands for the time module where the supervisor reads the clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_the_pause_doubles_up_to_its_limit_and_starts_anew_after_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    child = supervisor.Child("worker", [sys.executable, "-c", ""], prepare(tmp_path / "d"), Pace())

    def pause_after(life_seconds: float) -> float:
        child.tend(quiet=True)
        assert child.process is not None
        child.process.wait()
        clock.now += life_seconds
        child.tend(quiet=True)
        (pause,) = re.findall(r"starts again in ([0-9.]+) s", caplog.text)
        caplog.clear()
        clock.now += float(pause) - 0.01
        child.tend(quiet=True)
        assert child.process is None, "it must wait the whole pause"
        clock.now += 0.02
        return float(pause)

    assert [pause_after(1) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert [pause_after(59.9), pause_after(60), pause_after(1)] == [30, 0.5, 1]


@posix
def test_a_flaky_start_is_tried_again(run: Run) -> None:
    run.start(worker="flaky")
    assert run.await_ready().startswith("LTS is ready")
    assert len(run.starts("flaky")) == 3
    run.end()


@pytest.mark.parametrize("behaviour", ["crash", "config"])
def test_a_child_that_cannot_start_ends_the_run(run: Run, behaviour: str) -> None:
    process = run.start(worker=behaviour)
    out, err = process.communicate(timeout=30)
    assert out == ""
    assert process.returncode == (1 if behaviour == "crash" else 2)
    assert len(run.starts(behaviour)) == (5 if behaviour == "crash" else 1)
    assert "The worker process" in err.splitlines()[-1]
    eventually(lambda: not any(alive(pid) for pid, _ in run.starts("web")))


@posix
def test_a_child_that_is_never_ready_is_ended_and_counted(run: Run) -> None:
    process = run.start(worker="never", start=0.3, attempts=2)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.count("was not ready after 0.3 s") == 2


@posix
def test_a_sick_web_server_is_told_and_not_called_ready(run: Run) -> None:
    run.start(web="sick", start=0.5)
    eventually(lambda: run.starts("sick") and run.starts("worker"))
    time.sleep(2.0)
    out, err = run.end()
    assert out == ""
    assert err.count("/health does not answer 200") == 1


@posix
def test_a_stop_before_ready_is_clean_too(run: Run) -> None:
    process = run.start(worker="never")
    eventually(lambda: run.starts("never"))
    run.end()
    assert process.returncode == 0


@posix
def test_a_child_that_hangs_at_the_stop_is_ended_by_force(run: Run) -> None:
    process = run.start(worker="stubborn", stop=0.5)
    run.await_ready()
    started = time.monotonic()
    _, err = run.end()
    assert time.monotonic() - started < 5
    assert process.returncode == 0
    assert "worker did not stop in 0.5 s" in err
    assert not alive(run.starts("stubborn")[0][0])


@posix
def test_children_end_with_a_killed_supervisor_and_the_next_run_starts(run: Run) -> None:
    run.start()
    run.await_ready()
    pids = [run.starts("web")[0][0], run.starts("worker")[0][0]]
    run.end(signal.SIGKILL)
    run.start()
    assert run.await_ready().startswith("LTS is ready")
    assert not any(alive(pid) for pid in pids)
    run.end()


@posix
def test_quiet_children_print_nothing(run: Run) -> None:
    run.start(quiet=True)
    run.await_ready()
    _, err = run.end()
    assert "a child prints this" not in err


@posix
def test_a_second_run_on_one_directory_is_refused(run: Run) -> None:
    run.start()
    run.await_ready()
    second = Run(run.folder)
    process = second.start()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"already running on {run.folder / 'data'} at http://127.0.0.1:{run.port}" in err
    assert "LTS_DATA_DIR" in err
    assert len(run.starts("web")) == 1
    run.end()


@pytest.mark.req("SYS-019")
def test_a_used_port_is_one_line_that_names_the_variable(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", run.port))
        taken.listen()
        process = run.start()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    assert err == f"Port {run.port} on 127.0.0.1 is in use. Set LTS_PORT to a free port.\n"
    assert run.starts("web") == []
    assert not (run.folder / "prepared").exists()


def test_an_address_that_is_not_ours_names_the_variable() -> None:
    with pytest.raises(SupervisorError, match="LTS_HOST"):
        check_address("192.0.2.1", free_port())
    with pytest.raises(SupervisorError, match="LTS_HOST"):
        check_address("no such host", free_port())


def test_a_port_that_frees_in_time_is_waited_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SupervisorError):
            check_address("127.0.0.1", port, 0.3)
    check_address("127.0.0.1", port, 5.0)


def test_the_holder_of_a_directory_leaves_a_trace_only_when_it_dies(tmp_path: Path) -> None:
    data_dir = prepare(tmp_path / "data")
    with only_one(data_dir, "http://x") as was_killed:
        assert not was_killed
    with (
        contextlib.suppress(SupervisorError),
        only_one(data_dir, "http://x"),
    ):
        raise SupervisorError("no start")
    with only_one(data_dir, "http://x") as was_killed:
        assert not was_killed
        (data_dir.locks_dir / "copy").write_bytes((data_dir.locks_dir / "run.json").read_bytes())
    (data_dir.locks_dir / "copy").replace(data_dir.locks_dir / "run.json")
    with only_one(data_dir, "http://x") as was_killed:
        assert was_killed


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert web_address("::1", 80) == "http://[::1]:80"
    assert web_address("127.0.0.1", 80) == "http://127.0.0.1:80"
