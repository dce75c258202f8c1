"""The web server and the worker as real processes: nothing that runs is dropped at a stop."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lts_web.processes import StopRequest
from tests.real_processes import eventually, free_port

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
pytestmark = [posix, pytest.mark.req("SYS-011"), pytest.mark.timeout(60)]

WEB = """
import sys, time
from pathlib import Path
from lts_web import processes

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/slow"):
        time.sleep(float(path[5:]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * 3_000_000] if path == "/slow1.0" else [b"done"]

stop = processes.StopRequest()
stop.install()
if len(sys.argv) > 3:
    processes.follow_supervisor(stop)
sys.exit(processes.serve(
    application, host="127.0.0.1", port=int(sys.argv[1]), threads=2, body_limit_bytes=1000,
    stop=stop, on_ready=processes.ready_signal(Path(sys.argv[2])),
))
"""

WORKER = """
import os, sys, time
from pathlib import Path
from huey import SqliteHuey
from lts_web import processes

folder = Path(sys.argv[2]).parent
huey = SqliteHuey("t", filename=str(folder / "huey.db"), results=False)

@huey.task()
def cycle(seconds):
    (folder / "begun").touch()
    time.sleep(seconds)
    (folder / "ended").touch()

@huey.task()
def restart():
    stop.request_restart()

stop = processes.StopRequest()
if len(sys.argv) > 3:
    processes.follow_supervisor(stop, float(sys.argv[3]))
if sys.argv[1] == "restart":
    restart()
else:
    cycle(float(sys.argv[1]))
sys.exit(processes.work(
    huey, threads=2, stop=stop, on_ready=processes.ready_signal(Path(sys.argv[2])),
))
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started = []

    def start_now(script: str, argument: object, *more: str) -> subprocess.Popen[bytes]:
        ready = tmp_path / "ready"
        command = [sys.executable, "-c", textwrap.dedent(script), str(argument), str(ready), *more]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        eventually(lambda: ready.exists() or process.poll() is not None)
        return process

    yield start_now
    for process in started:
        process.kill()
        process.communicate()


def get(port: int, path: str) -> tuple[int, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, len(answer.read())


def test_a_running_request_gets_its_whole_answer_and_new_ones_none(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    port = free_port()
    process = start(WEB, port)
    answers: list[tuple[int, int]] = []
    # Three requests on two threads: one of them still waits when the stop comes.
    clients = [
        threading.Thread(target=lambda: answers.append(get(port, "/slow1.0"))) for _ in range(3)
    ]
    for client in clients:
        client.start()
    time.sleep(0.4)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    with pytest.raises(ConnectionRefusedError):
        get(port, "/new")
    for client in clients:
        client.join()
    assert answers == [(200, 3_000_000)] * 3
    assert process.wait(10) == 0


def test_a_request_without_end_does_not_hold_the_stop(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    port = free_port()
    process = start(WEB, port)
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /slow60 HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(0.3)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert 4 < time.monotonic() - started < 7.5
    client.close()


def test_an_idle_server_stops_at_once_also_with_open_connections(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    port = free_port()
    process = start(WEB, port)
    with socket.create_connection(("127.0.0.1", port)):
        assert get(port, "/") == (200, 4)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert time.monotonic() - started < 2


def test_the_end_of_the_supervisor_is_a_clean_stop(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = start(WEB, free_port(), "supervised")
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    assert process.wait(10) == 0


def test_the_worker_lets_a_running_cycle_finish(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = start(WORKER, 1.0)
    eventually((tmp_path / "begun").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert (tmp_path / "ended").exists()


def test_a_worker_whose_cycle_hangs_still_ends_in_time(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = start(WORKER, 600)
    eventually((tmp_path / "begun").exists)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(12) == 0
    assert time.monotonic() - started < 8
    assert not (tmp_path / "ended").exists()


def test_an_orphan_ends_at_once_when_its_time_is_up(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = start(WORKER, 600, "1.0")
    eventually((tmp_path / "begun").exists)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    assert process.wait(5) == 1


def test_a_worker_that_asks_for_a_restart_says_so_by_its_exit_code(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    assert start(WORKER, "restart").wait(10) == 75


def test_a_hangup_stops_the_worker_instead_of_starting_it_twice(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = start(WORKER, 0.1)
    process.send_signal(signal.SIGHUP)
    assert process.wait(10) == 0


def test_a_stop_is_remembered_and_wakes() -> None:
    stop, woken = StopRequest(), []
    stop.wake = lambda: woken.append(1)
    assert not stop.requested
    stop.request()
    assert stop.requested
    assert stop.exit_code == 0
    stop.request_restart()
    assert stop.exit_code == 75
    assert len(woken) == 2
