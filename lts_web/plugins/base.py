"""The base classes of the six plugin families: what a plugin may rely on, and what it must answer.

A documented plugin needs nothing but its family's base class; everything beyond the documented
page has a default here. This module must not load Flask, a database or any single plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

from lts_web.trading.ports import Ports

INTERFACE_VERSION = "1.0"
DEFAULT_LEVERAGE = 30.0

BROKER_CAPABILITIES = frozenset(
    {
        "basic",
        "simulated",
        "transaction_log",
        "client_ids",
        "native_stops",
        "account_state",
        "partial_close",
        "modify",
    }
)


class NotSentError(Exception):
    """A broker plugin knows for sure that the request never left.

    The order ends without having been sent. Any other exception leaves its outcome unknown.
    """


class PluginBase:
    """What every plugin has: parameters, debug information and a connection to the house."""

    plugin_params: ClassVar[dict[str, Any]] = {}
    plugin_debug_vars: ClassVar[list[str]] = []
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {}
    plugin_interface: ClassVar[str] = INTERFACE_VERSION

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Merge the flat dictionary `config` over the defaults; its names count as configured."""
        given = dict(config or {})
        self.params: dict[str, Any] = deepcopy(dict(self.plugin_params)) | given
        self.configured: frozenset[str] = frozenset(given)

    def set_params(self, **kwargs: Any) -> None:
        """Replace parameters; their names count as configured from now on."""
        self.params.update(kwargs)
        self.configured |= kwargs.keys()

    def get_debug_info(self) -> dict[str, Any]:
        """Return the debug variables by name: parameters first, else attributes, else None."""
        return {
            name: self.params[name] if name in self.params else getattr(self, name, None)
            for name in self.plugin_debug_vars
        }

    def add_debug_info(self, debug_info: dict[str, Any]) -> None:
        """Write the debug variables into `debug_info`."""
        debug_info.update(self.get_debug_info())

    def connect(self, ports: Ports) -> None:
        """Receive what the house offers; called once, after construction. Ignored by default."""


class AAAPluginBase(PluginBase):
    """Users, sessions, roles and their audit."""

    def register(self, username: str, email: str, password: str, role: str) -> bool:
        """Create a user; False: refused."""
        raise NotImplementedError

    def login(self, username: str, password: str) -> dict[str, Any]:
        """Return {success, …} with tokens, or {success: False, error}."""
        raise NotImplementedError

    def assign_role(self, username: str, role: str) -> bool:
        """Give a user a role; False: no such user."""
        raise NotImplementedError

    def audit(self, user_id: int, action: str, details: str | None = None) -> None:
        """Record that a user did something."""
        raise NotImplementedError

    def create_session(self, user_id: int) -> str:
        """Return the token of a new session."""
        raise NotImplementedError


class CorePluginBase(PluginBase):
    """The web application and its server."""

    def start(self) -> None:
        """Serve until stopped."""
        raise NotImplementedError

    def stop(self) -> None:
        """Let running requests end, and stop serving."""
        raise NotImplementedError

    def set_plugins(self, plugins: dict[str, Any]) -> None:
        """Receive the other families' plugins by family name."""
        raise NotImplementedError


class PipelinePluginBase(PluginBase):
    """The order of the steps in a cycle, and which portfolios run when."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Begin without plugins; `start` brings them."""
        super().__init__(config)
        self.plugins: dict[str, Any] = {}

    def start(self, plugins: dict[str, Any]) -> None:
        """Receive the plugins and, as "steps", the steps of the cycle. Starts no server."""
        self.plugins = plugins

    def run(self, portfolio_id: int, assets: list[Any]) -> dict[str, Any]:
        """Run one cycle of a portfolio; return {success, cycle_id, assets}."""
        raise NotImplementedError


class StrategyPluginBase(PluginBase):
    """What to do with one asset, now."""

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        """Return {action: open|close|none, parameters}."""
        raise NotImplementedError


class BrokerPluginBase(PluginBase):
    """The way to a venue.

    `capabilities` says what the house may ask for beyond the documented page, see
    `BROKER_CAPABILITIES`; "basic" alone may trade simulated accounts only.
    """

    capabilities: frozenset[str] = frozenset({"basic"})

    def open_order(self, order_params: dict[str, Any]) -> dict[str, Any]:
        """Open a position; return {success, order_id, …} or {success: False, error}."""
        raise NotImplementedError

    def modify_order(self, order_id: str, new_params: dict[str, Any]) -> dict[str, Any]:
        """Replace stop loss and take profit; return {success, …}."""
        raise NotImplementedError

    def close_order(self, order_id: str) -> dict[str, Any]:
        """Close what `order_id` opened; return {success, …}."""
        raise NotImplementedError

    def get_open_orders(self) -> list[Any]:
        """Return what is open at the venue."""
        raise NotImplementedError

    def execute_order(self, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Pass "open" on to `open_order` and "close" to `close_order`; others are refused."""
        if action == "open":
            return self.open_order(parameters)
        if action == "close":
            return self.close_order(parameters["order_id"])
        return {"success": False, "error": f"There is no action {action!r}: use open or close."}

    def quote_from_mid(self, instrument: str, mid: float) -> tuple[float, float]:
        """Return the bid and ask that this venue would make of a mid price."""
        return mid, mid

    def order_leverage(self) -> float:
        """Return the leverage that the venue allows, as a multiple."""
        return float(self.params.get("leverage", DEFAULT_LEVERAGE))

    def check_instrument(self, instrument: str) -> str | None:
        """Return why a parameter contradicts the instrument's record, as a sentence, or None."""
        return None


class PortfolioPluginBase(PluginBase):
    """How a portfolio's capital is shared among its assets."""

    def allocate(self, portfolio_id: int, assets: list[Any]) -> dict[str, Any]:
        """Return {allocations: {asset id: amount}, cash}."""
        raise NotImplementedError

    def update(self, portfolio_id: int, operation_result: dict[str, Any]) -> None:
        """Hear what became of an operation. Ignored by default."""
