"""`lts run`: start web and worker, keep both running, stop both cleanly.

A crashed child starts again after a pause that doubles from 0.5 s to 30 s. Each child reads a pipe
of which only this process holds the other end: the pipe's end asks the child to stop, so children
end with their supervisor even when it is killed, on Windows too. The supervisor serves no page,
runs no cycle and opens no database; what must happen before the start is handed to it.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from lts_web.datadir import FILE_MODE, DataDir, write_private
from lts_web.processes import ORPHAN_SECONDS, StopRequest

CONFIGURATION_EXIT_CODE = 2
TICK_SECONDS = 0.05

logger = logging.getLogger(__name__)


class SupervisorError(Exception):
    """The start is impossible; the message says why and what to do, `exit_code` how it ends."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Pace:
    """The supervisor's patience, in seconds."""

    first_pause: float = 0.5
    longest_pause: float = 30.0
    healthy: float = 60.0
    start: float = 60.0
    stop: float = 8.0
    attempts: int = 5


def web_address(host: str, port: int) -> str:
    """Give the address to show people."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def check_address(host: str, port: int, patience_seconds: float = 0.0) -> None:
    """Raise SupervisorError unless a server could listen there now.

    `patience_seconds` is for the children of a killed supervisor, which need a moment to end.
    """
    deadline = time.monotonic() + patience_seconds
    while (reason := _address_fault(host, port)) is not None:
        if time.monotonic() >= deadline:
            raise SupervisorError(reason)
        time.sleep(0.2)


def _address_fault(host: str, port: int) -> str | None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return f"The address {host!r} is not known. Set LTS_HOST to an address of this computer."
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            return address_error(host, port, error)
    return None


def address_error(host: str, port: int, error: OSError) -> str:
    """Say in one line why a server cannot listen, and which variable changes it."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use. Set LTS_PORT to a free port."
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"Port {port} on {host} is not allowed. Set LTS_PORT to a port above 1023."
    return f"LTS cannot listen on {host} port {port} ({error.strerror}). Set LTS_HOST or LTS_PORT."


def is_healthy(host: str, port: int) -> bool:
    """Ask the web server for its health once."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(target, port, timeout=2.0)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def only_one(data_dir: DataDir, address: str) -> Iterator[bool]:
    """Hold the data directory for one supervisor; yields whether the last one was killed."""
    record = data_dir.locks_dir / "run.json"
    lock = FileLock(data_dir.locks_dir / "run.lock", mode=FILE_MODE)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise SupervisorError(
            f"LTS is already running on {data_dir.root}{_recorded_address(record)}. Stop it first, "
            "or give this one its own LTS_DATA_DIR and LTS_PORT."
        ) from None
    try:
        was_killed = record.exists()
        write_private(record, json.dumps({"address": address, "pid": os.getpid()}).encode())
        yield was_killed
    finally:
        record.unlink(missing_ok=True)
        lock.release()


def _recorded_address(record: Path) -> str:
    try:
        return f" at {json.loads(record.read_text(encoding='utf-8'))['address']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class Child:
    """One process that is kept running."""

    def __init__(self, name: str, command: Sequence[str], data_dir: DataDir, pace: Pace) -> None:
        self.name = name
        self.is_ready = False
        self.exit_code: int | None = None
        self.crashes_in_row = 0
        self._ready_file = data_dir.locks_dir / f"{name}.ready"
        self._command = [*command, "--supervised", str(self._ready_file)]
        self._pace = pace
        self.process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._next_start = 0.0

    def tend(self, *, quiet: bool) -> None:
        """Start it when it is due, and see whether it is ready or has ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._next_start:
                self._start(quiet=quiet)
        elif (code := self.process.poll()) is not None:
            self._ended(code)
        elif not self.is_ready:
            self.is_ready = self._ready_file.exists()
            if not self.is_ready and now - self._started_at > self._pace.start:
                logger.error("%s was not ready after %g s: ending it", self.name, self._pace.start)
                self.process.kill()

    def _start(self, *, quiet: bool) -> None:
        self._ready_file.unlink(missing_ok=True)
        self._started_at = time.monotonic()
        # Standard output belongs to the supervisor: what a child prints goes to standard error.
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL if quiet else 2
        )
        logger.info("%s started, process %s", self.name, self.process.pid)

    def _ended(self, code: int) -> None:
        assert self.process is not None
        _close_pipe(self.process)
        self.process = None
        self.exit_code = code
        lived = time.monotonic() - self._started_at
        self.crashes_in_row = 1 if lived >= self._pace.healthy else self.crashes_in_row + 1
        pause = self._pace.first_pause * 2.0 ** min(self.crashes_in_row - 1, 30)
        pause = min(pause, self._pace.longest_pause)
        self._next_start = time.monotonic() + pause
        self.is_ready = False
        logger.warning(
            "%s ended with exit code %s after %.1f s; it starts again in %g s",
            self.name, code, lived, pause,
        )  # fmt: skip

    def ask_to_stop(self) -> None:
        """Ask for a clean end: the end of its pipe, and SIGTERM where that is a request."""
        if self.process is not None:
            _close_pipe(self.process)
            if os.name == "posix":
                self.process.terminate()

    def await_end(self, deadline: float) -> None:
        """Wait for the end until `deadline` (monotonic), then end it by force."""
        if self.process is not None:
            try:
                self.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.warning("%s did not stop in %g s: ending it", self.name, self._pace.stop)
                self.process.kill()
                self.process.wait()
            self.process = None
        self._ready_file.unlink(missing_ok=True)


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


@dataclass(frozen=True, kw_only=True)
class Supervisor:
    """Hold what one `lts run` needs.

    `commands` are the children by name, each started with `--supervised READY_FILE` added; a child
    writes that file when it is ready. `prepare` runs once before them, under the lock, and
    `announce` gets the ready line.
    """

    host: str
    port: int
    data_dir: DataDir
    commands: dict[str, list[str]]
    prepare: Callable[[], None]
    announce: Callable[[str], None]
    stop: StopRequest
    quiet: bool = False
    pace: Pace = Pace()

    def run(self) -> None:
        """Run until asked to stop; raises SupervisorError when a start is impossible."""
        address = web_address(self.host, self.port)
        with only_one(self.data_dir, address) as was_killed:
            check_address(self.host, self.port, ORPHAN_SECONDS if was_killed else 0.0)
            self.prepare()
            children = [
                Child(name, command, self.data_dir, self.pace)
                for name, command in self.commands.items()
            ]
            try:
                self._watch(children, address)
            finally:
                self._stop(children)

    def _watch(self, children: list[Child], address: str) -> None:
        """Tend the children; announce once, when all are ready and the web server is healthy."""
        announced, told = False, False
        started_at = time.monotonic()
        while not self.stop.requested:
            for child in children:
                child.tend(quiet=self.quiet)
                if not announced:
                    self._check_start(child)
            if not announced and all(child.is_ready for child in children):
                announced = is_healthy(self.host, self.port)
                if announced:
                    self.announce(f"LTS is ready: {address}")
                elif not told and time.monotonic() - started_at > self.pace.start:
                    told = True
                    logger.error("web is running, but %s/health does not answer 200", address)
            time.sleep(TICK_SECONDS)

    def _check_start(self, child: Child) -> None:
        """Give up before the first ready: on a refused configuration, or too many crashes."""
        if child.exit_code == CONFIGURATION_EXIT_CODE:
            raise SupervisorError(
                f"The {child.name} process refused its configuration; its message is above.",
                CONFIGURATION_EXIT_CODE,
            )
        if child.crashes_in_row >= self.pace.attempts:
            raise SupervisorError(
                f"The {child.name} process cannot start: it ended {child.crashes_in_row} times, "
                f"last with exit code {child.exit_code}. Its log says why: "
                f"{self.data_dir.logs_dir / (child.name + '.log')}"
            )

    def _stop(self, children: list[Child]) -> None:
        logger.info("stopping")
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + self.pace.stop
        for child in children:
            child.await_end(deadline)
