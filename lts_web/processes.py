"""What happens inside the two processes that `lts run` starts, or that are started by hand.

The web server (waitress) that finishes running requests when it is told to stop, the worker
(Huey's consumer) that finishes its cycle, and how either hears of a stop: a signal, or the end of
the supervisor. It knows nothing of pages or cycles: it is handed a WSGI callable or a Huey.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import waitress.server
from waitress import wasyncore

from lts_web.datadir import write_private

DRAIN_SECONDS = 5.0
WORKER_STOP_SECONDS = 6.0
ORPHAN_SECONDS = 9.0
HEALTH_CHECK_SECONDS = 10.0
RESTART_EXIT_CODE = 75

logger = logging.getLogger(__name__)


class StopRequest:
    """Tell a process that it shall end; every call only sets flags, so a signal may make it."""

    def __init__(self) -> None:
        self.requested = False
        self.restart = False
        self.wake: Callable[[], None] = lambda: None

    def request(self) -> None:
        """Ask for a clean end."""
        self.requested = True
        self.wake()

    def request_restart(self) -> None:
        """Ask for a clean end after which the supervisor starts the process again."""
        self.restart = True
        self.request()

    @property
    def exit_code(self) -> int:
        """Give the exit code of a clean end."""
        return RESTART_EXIT_CODE if self.restart else 0

    def install(self) -> None:
        """Let the signals that ask for an end do so; main thread only."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.request()

        # SIGHUP: the terminal has gone (POSIX); SIGBREAK: Ctrl-Break (Windows).
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), handle)


def follow_supervisor(stop: StopRequest, grace_seconds: float = ORPHAN_SECONDS) -> None:
    """End this process with its supervisor, which holds the other end of standard input.

    The end of that pipe asks for a clean stop, also when the supervisor was killed; past
    `grace_seconds` the process ends at once.
    """

    def watch() -> None:
        # The descriptor itself: a thread inside sys.stdin's lock would break the interpreter's end.
        while os.read(0, 1):
            pass
        stop.request()
        time.sleep(grace_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def ready_signal(path: Path | None) -> Callable[[], None]:
    """Give the function that tells the supervisor that this process is ready."""

    def tell() -> None:
        if path is not None:
            write_private(path, str(os.getpid()).encode())

    return tell


def serve(
    application: Any,
    *,
    host: str,
    port: int,
    threads: int,
    body_limit_bytes: int,
    stop: StopRequest,
    on_ready: Callable[[], None],
) -> int:
    """Serve a WSGI callable until told to stop, then finish running requests for up to 5 s.

    Returns the exit code. Raises OSError when the address cannot be used.
    """
    channels: dict[int, Any] = {}
    server = waitress.server.create_server(
        application,
        map=channels,
        host=host,
        port=port,
        threads=threads,
        max_request_body_size=body_limit_bytes,
        clear_untrusted_proxy_headers=True,
        ident=None,
        asyncore_use_poll=True,
    )
    listeners = [channel for channel in channels.values() if channel.accepting]
    stop.wake = listeners[0].pull_trigger
    on_ready()
    logger.info("listening on %s port %s", host, port)
    while not stop.requested:
        wasyncore.loop(timeout=1.0, use_poll=True, map=channels, count=1)
    stop.wake = lambda: None
    _drain(channels, listeners)
    server.task_dispatcher.shutdown(timeout=0.2)
    wasyncore.close_all(channels, ignore_all=True)
    return stop.exit_code


def _drain(channels: dict[int, Any], listeners: list[Any]) -> None:
    """Stop accepting, and go on until every running request has its answer, or time is up."""
    # Connections that wait already are taken; closing first would reset them.
    wasyncore.loop(timeout=0.0, use_poll=True, map=channels, count=1)
    for listener in listeners:
        wasyncore.dispatcher.close(listener)  # the server's own close() ends its trigger as well
    deadline = time.monotonic() + DRAIN_SECONDS

    def running() -> int:
        connections = [one for listener in listeners for one in listener.active_channels.values()]
        return sum(bool(one.requests or one.total_outbufs_len) for one in connections)

    while running() and time.monotonic() < deadline:
        wasyncore.loop(timeout=0.05, use_poll=True, map=channels, count=1)
    if unfinished := running():
        logger.warning("%s requests were not finished within %s s", unfinished, DRAIN_SECONDS)


def work(huey: Any, *, threads: int, stop: StopRequest, on_ready: Callable[[], None]) -> int:
    """Run Huey's consumer until told to stop, then let running tasks finish for up to 6 s.

    The same as `huey_consumer -k thread -w <threads> -m 1`. Returns the exit code.
    """
    consumer = huey.create_consumer(
        workers=threads,
        worker_type="thread",
        max_delay=1.0,
        graceful_signal="TERM",
        shutdown_timeout=WORKER_STOP_SECONDS,
    )
    consumer.start()
    # After its own handlers: those would answer SIGHUP by running this command line once more.
    stop.install()
    on_ready()
    next_check = time.monotonic() + HEALTH_CHECK_SECONDS
    while not stop.requested:
        time.sleep(0.05)
        if time.monotonic() >= next_check:
            consumer.check_worker_health()
            next_check = time.monotonic() + HEALTH_CHECK_SECONDS
    consumer.stop(graceful=True)
    huey.notify_interrupted_tasks()
    return stop.exit_code


def own_command(*arguments: str) -> list[str]:
    """Give the command line that runs `lts` with this interpreter."""
    # -P: the current folder must not be able to shadow a module.
    return [sys.executable, "-P", "-m", "lts_web.cli", *arguments]
