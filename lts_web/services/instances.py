"""Plugin instances for the cycle: made from stored parameters, connected, cached, given up.

An instance is kept as long as its parameters stay the same and it answers in time. It holds no
state that matters, so making a new one never changes a decision.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from lts_web import logs
from lts_web.plugins.base import (
    BrokerPluginBase,
    PipelinePluginBase,
    PluginBase,
    PortfolioPluginBase,
    StrategyPluginBase,
)
from lts_web.plugins.gates import BrokerGate, PortfolioGate, StrategyGate
from lts_web.plugins.parameters import parameter_rules
from lts_web.plugins.registry import (
    ParameterError,
    PluginUnavailable,
    Registry,
    resolve_parameters,
)
from lts_web.plugins.runner import PluginCallError, PluginRunner
from lts_web.services.fencing import FencedVenue
from lts_web.store.decisions import plain
from lts_web.store.models import AssetRecord, BrokerAccountRecord, PortfolioRecord
from lts_web.store.venues import Venues
from lts_web.trading.codes import DenialCode
from lts_web.trading.ports import Clock, Ports, Series

KEPT = 20_000
MAKE_TIMEOUT_SECONDS = 30.0
MASK = "•••"
DEBUG_KEYS = 100

SystemParameters = Mapping[tuple[str, str], Mapping[str, Any]]


class PluginNotUsable(Exception):
    """A plugin cannot be made for this asset; `code` and the message go into its decision."""

    def __init__(self, message: str, code: DenialCode = DenialCode.PLUGIN_UNAVAILABLE) -> None:
        super().__init__(message)
        self.code = code


class Instances:
    """Makes and keeps plugin instances. Safe to share between threads."""

    def __init__(
        self,
        registry: Registry,
        system: SystemParameters,
        runner: PluginRunner,
        venues: Venues,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._system = system
        self.runner = runner
        self._venues = venues
        self._clock = clock
        self._kept: OrderedDict[tuple[str, ...], PluginBase] = OrderedDict()
        # By identity: a plugin may be unhashable, or equal to another.
        self._leverages: dict[int, tuple[PluginBase, Decimal]] = {}
        self._lock = threading.Lock()

    def strategy(self, asset: AssetRecord, timeout_seconds: float) -> StrategyGate:
        """Return the asset's strategy; PluginNotUsable says why there is none."""
        plugin = self._instance(
            "strategy",
            asset.strategy_plugin,
            f"asset:{asset.id}",
            asset.strategy_config,
            Ports(clock=self._clock),
        )
        return StrategyGate(cast("StrategyPluginBase", plugin), self.runner, timeout_seconds)

    def broker(
        self,
        asset: AssetRecord,
        account: BrokerAccountRecord,
        series: Series | None,
        timeout_seconds: float,
    ) -> BrokerGate:
        """Return the asset's broker on its account; PluginNotUsable says why there is none."""
        venue = None
        if account.kind == "simulated":
            venue = FencedVenue(self._venues.venue(account.venue_key), self._clock)
        plugin = self._instance(
            "broker",
            asset.broker_plugin,
            f"asset:{asset.id}:{series.key if series is not None else ''}",
            asset.broker_config,
            Ports(
                clock=self._clock,
                venue=venue,
                series=series.key if series is not None else "",
                account_currency=account.currency,
            ),
        )
        gate = BrokerGate(cast("BrokerPluginBase", plugin), self.runner, timeout_seconds)
        if account.kind != "simulated" and gate.capabilities == frozenset({"basic"}):
            raise PluginNotUsable(
                f"The broker plugin {asset.broker_plugin!r} keeps no log of what it did, so it "
                f"may trade simulated accounts only.",
                DenialCode.BASIC_BROKER_ON_REAL_ACCOUNT,
            )
        return gate

    def leverage(self, gate: BrokerGate, instrument: str) -> Decimal:
        """Return the venue's leverage; PluginNotUsable if a parameter contradicts the instrument.

        Asked once of each instance, since neither can change in its life.
        """
        known = self._leverages.get(id(gate.plugin))
        if known is not None:
            return known[1]
        try:
            problem = gate.check_instrument(instrument)
            if problem:
                raise PluginNotUsable(problem)
            leverage = gate.leverage()
        except PluginCallError as error:
            raise PluginNotUsable(str(error), error.code) from error
        self._leverages[id(gate.plugin)] = (gate.plugin, leverage)
        return leverage

    def portfolio(self, portfolio: PortfolioRecord, timeout_seconds: float) -> PortfolioGate:
        """Return the portfolio's allocator; PluginNotUsable says why there is none."""
        plugin = self._instance(
            "portfolio",
            portfolio.portfolio_plugin,
            f"portfolio:{portfolio.id}",
            portfolio.portfolio_config,
            Ports(clock=self._clock),
        )
        return PortfolioGate(cast("PortfolioPluginBase", plugin), self.runner, timeout_seconds)

    def pipeline(self, name: str, scope: str, config: Mapping[str, Any]) -> PipelinePluginBase:
        """Return a pipeline; PluginNotUsable says why there is none."""
        plugin = self._instance("pipeline", name, scope, config, Ports(clock=self._clock))
        return cast("PipelinePluginBase", plugin)

    def give_up(self, plugin: PluginBase) -> None:
        """Forget an instance that did not answer in time; the next use makes a new one."""
        with self._lock:
            for key in [key for key, kept in self._kept.items() if kept is plugin]:
                del self._kept[key]
            self._leverages.pop(id(plugin), None)

    def snapshot(self, family: str, name: str, scope: str, plugin: PluginBase) -> dict[str, Any]:
        """Return the plugin's debug information as plain JSON values, its secrets masked."""
        try:
            debug = self.runner.call(_debug_of, plugin, timeout_seconds=MAKE_TIMEOUT_SECONDS)
        except PluginCallError as error:
            debug = {"error": str(error)}
        return {"family": family, "name": name, "scope": scope, "debug": debug}

    def _instance(
        self, family: str, name: str, scope: str, config: Mapping[str, Any], ports: Ports
    ) -> PluginBase:
        key = (family, name, scope, json.dumps(dict(config), sort_keys=True, default=str))
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        made = self._make(family, name, config, ports)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                _, oldest = self._kept.popitem(last=False)
                self._leverages.pop(id(oldest), None)
        return made

    def _make(self, family: str, name: str, config: Mapping[str, Any], ports: Ports) -> PluginBase:
        try:
            cls = self._registry.get(family, name)
            _refuse_operators_own(cls, config)
            parameters = resolve_parameters(cls, self._system.get((family, name), {}), config)

            def make() -> PluginBase:
                plugin = cls(parameters)
                if not isinstance(plugin.params, dict):
                    raise TypeError("its params must be a dictionary")
                plugin.connect(ports)
                return plugin

            return self.runner.call(make, timeout_seconds=MAKE_TIMEOUT_SECONDS)
        except (PluginUnavailable, ParameterError, PluginCallError) as error:
            message = f"The {family} plugin {name!r} cannot be used: {error}"
            raise PluginNotUsable(message[:1000]) from error


def _debug_of(plugin: PluginBase) -> dict[str, Any]:
    """Read and write out the debug information where a plugin's own objects can do no harm."""
    debug = plugin.get_debug_info()
    if not isinstance(debug, dict):
        return {"error": "get_debug_info did not return a dictionary"}
    rules = parameter_rules(type(plugin))
    masked = {
        str(key): MASK if key in rules and rules[key].secret and value else value
        for key, value in list(debug.items())[:DEBUG_KEYS]
    }
    # NaN and infinity are no JSON: they become their names.
    plain_debug: dict[str, Any] = json.loads(
        json.dumps(plain(masked), default=str), parse_constant=str
    )
    return plain_debug


def _masked(value: Any) -> Any:
    """Return the value with what looks like a secret masked in all its texts."""
    if isinstance(value, str):
        return logs.mask(value)
    if isinstance(value, Mapping):
        return {str(key): _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value


def _refuse_operators_own(cls: type[PluginBase], config: Mapping[str, Any]) -> None:
    """Refuse addresses, paths and secrets that are stored with an asset or portfolio."""
    rules = parameter_rules(cls)
    problems = [
        (name, "only the operator sets it: in the file, the environment or on the command line")
        for name in config
        if name in rules and rules[name].operator_only
    ]
    if problems:
        raise ParameterError(problems)
