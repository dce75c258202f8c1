"""`default_core`: makes the web application and serves it.

What a core plugin arranges belongs to the house, so `initialize` receives it: the factory of the
application and the server. This one takes both as they are; another may wrap the application, or
serve it elsewhere. Nothing here knows a page, a setting or the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from wsgiref.types import WSGIApplication

from lts_web.plugins.base import CorePluginBase


class NotInitializedError(RuntimeError):
    """`initialize` has not given what is needed; the message names the key."""


class CorePlugin(CorePluginBase):
    """The application as the house builds it, behind the house's own server."""

    plugin_debug_vars: ClassVar[list[str]] = ["families", "serving"]

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Begin with nothing to serve; `initialize` brings it."""
        super().__init__(config)
        self.plugins: dict[str, Any] = {}
        self.database: Any = None
        self.get_db: Callable[[], Any] | None = None
        self.serving = False
        self._house: dict[str, Any] = {}

    @property
    def families(self) -> list[str]:
        """Return the families whose plugins were given."""
        return sorted(self.plugins)

    def initialize(
        self,
        plugins: Mapping[str, Any],
        config: Mapping[str, Any],
        database: Any = None,
        get_db: Callable[[], Any] | None = None,
    ) -> None:
        """Receive the plugins by family, the database, and from the house in `config`:

        `create_app`: () → WSGI application; `serve`: (application) → None, which returns when the
        server has ended and its running requests were answered; `stop`: () → None, which asks it
        to end. `get_db` opens a transaction on `database`.
        """
        self.set_plugins(dict(plugins))
        self._house = dict(config)
        self.database = database
        self.get_db = get_db

    def set_plugins(self, plugins: dict[str, Any]) -> None:
        """Receive the other families' plugins by family name."""
        self.plugins = plugins

    def create_app(self) -> WSGIApplication:
        """Return a new application; NotInitializedError: nobody gave a factory."""
        application: WSGIApplication = self._given("create_app")()
        return application

    def start(self) -> None:
        """Serve the application until `stop`; NotInitializedError: nobody gave a server."""
        serve = self._given("serve")
        application = self.create_app()
        self.serving = True
        try:
            serve(application)
        finally:
            self.serving = False

    def stop(self) -> None:
        """Ask the server to answer its running requests and end; also before `start`."""
        self._given("stop")()

    def _given(self, key: str) -> Callable[..., Any]:
        try:
            given: Callable[..., Any] = self._house[key]
        except KeyError:
            raise NotInitializedError(
                f"default_core has no {key!r}: call initialize with it in config first."
            ) from None
        return given
