"""`default_core`: it makes the application from the given factory and serves it until stopped."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from lts_web import processes
from lts_web.plugins.base import CorePluginBase
from lts_web.plugins.core.default_core import CorePlugin, NotInitializedError


def greeting(_environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class MarkedCore(CorePlugin):
    """A replacement that really decides: every answer of its application is marked."""

    def create_app(self) -> WSGIApplication:
        inner = super().create_app()

        def application(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            def marked(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
                return start(status, [*headers, ("X-Core", "marked")], error)

            return inner(environ, marked)

        return application


def initialized(
    core: CorePlugin, serve: Callable[[Any], Any], stop: Callable[[], None]
) -> CorePlugin:
    house = {"create_app": lambda: greeting, "serve": serve, "stop": stop}
    core.initialize({"aaa": object()}, house, database="db", get_db=lambda: "session")
    return core


@pytest.mark.req("PLG-CORE")
def test_the_factory_makes_the_application() -> None:
    core = initialized(CorePlugin(), print, lambda: None)
    assert core.create_app() is greeting
    assert core.database == "db"
    assert core.get_db is not None
    assert core.get_db() == "session"
    assert core.get_debug_info() == {"families": ["aaa"], "serving": False}
    core.set_plugins({"core": core})
    assert core.families == ["core"]


@pytest.mark.req("PLG-CORE")
@pytest.mark.parametrize("call", ["create_app", "start", "stop"])
def test_without_initialize_it_says_what_is_missing(call: str) -> None:
    core: CorePluginBase = CorePlugin()
    with pytest.raises(NotInitializedError, match="initialize"):
        getattr(core, call)()


@pytest.mark.req("PLG-CORE", "SYS-012")
@pytest.mark.parametrize(("cls", "mark"), [(CorePlugin, None), (MarkedCore, "marked")])
def test_it_serves_until_stopped_and_a_replacement_decides(
    cls: type[CorePlugin], mark: str | None, free_port: int
) -> None:
    stop, ready = processes.StopRequest(), threading.Event()
    serve = partial(
        processes.serve,
        host="127.0.0.1",
        port=free_port,
        threads=2,
        body_limit_bytes=1024,
        stop=stop,
        on_ready=ready.set,
    )
    core = initialized(cls(), serve, stop.request)
    thread = threading.Thread(target=core.start)
    thread.start()
    try:
        assert ready.wait(10)
        assert core.serving
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/", timeout=10) as answer:
            assert answer.read() == b"hello"
            assert answer.headers["X-Core"] == mark
    finally:
        core.stop()
        thread.join(10)
    assert not thread.is_alive()
    assert not core.serving


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
