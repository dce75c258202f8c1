"""Plugins that the stories of the cycle trade with, each as small as its purpose allows."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

from lts_web.plugins import BrokerPluginBase, StrategyPluginBase
from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.plugins.pipeline.default_pipeline import PipelinePlugin
from tests.contracts.documented.base_structure import Thresholds
from tests.contracts.documented.broker import NotebookBroker
from tests.contracts.documented.pipeline import BackwardsPipeline
from tests.contracts.documented.portfolio import FirstTakesHalf
from tests.contracts.documented.strategy import LastBarStrategy
from tests.contracts.misbehaving import (
    MisbehavingBroker,
    MisbehavingPipeline,
    MisbehavingPortfolio,
    MisbehavingStrategy,
)


class Script(StrategyPluginBase):
    """Does at the n-th bar what the n-th letter says: b buy, s sell, c close, . nothing."""

    plugin_params: ClassVar[dict[str, Any]] = {
        "letters": "",
        "quantity": 0,
        "stop_pips": 50,
        "target_pips": 80,
        "max_risk_per_trade": 0.02,
        "position_size": 0.5,
    }
    plugin_debug_vars: ClassVar[list[str]] = ["letters", "seen"]
    seen = 0

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        self.seen = len(market_data["bars"])
        letter = self.params["letters"][self.seen - 1 : self.seen] or "."
        if letter == ".":
            return {"action": "none", "parameters": {}, "reason": "the script rests"}
        if letter == "c":
            return {"action": "close", "parameters": {}, "reason": "the script closes"}
        sign, price = (1, market_data["ask"]) if letter == "b" else (-1, market_data["bid"])
        parameters = {
            "side": "buy" if letter == "b" else "sell",
            "sl": price - sign * self.params["stop_pips"] * asset_data["pip"],
            "tp": price + sign * self.params["target_pips"] * asset_data["pip"],
        }
        if self.params["quantity"]:
            parameters["quantity"] = self.params["quantity"]
        return {"action": "open", "parameters": parameters, "reason": "the script opens"}


class Witness(Script):
    """A script that remembers what it was told of its asset, cycle by cycle."""

    told: ClassVar[list[dict[str, Any]]] = []

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        Witness.told.append(asset_data)
        return super().decide(asset_data, market_data)


class Momentum(StrategyPluginBase):
    """Follows the mean of the last closes with quantities of its own; turns, and closes early."""

    plugin_params: ClassVar[dict[str, Any]] = {
        "window": 12,
        "quantity": 12_345,
        "stop_pips": 25,
        "target_pips": 40,
        "position_size": 0.5,
    }

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        window = self.params["window"]
        closes = market_data["bars"].closes(window)
        if len(closes) < window:
            return {"action": "none"}
        pip, close = asset_data["pip"], market_data["close"]
        distance = (close - sum(closes) / window) / pip
        side = "buy" if distance > 0 else "sell"
        for position in asset_data["open_positions"]:
            if position["unrealized_pnl"] > 0.001 * asset_data["equity"]:
                return {"action": "close", "parameters": {"position_id": position["position_id"]}}
            if position["side"] == ("long" if side == "buy" else "short"):
                return {"action": "none"}
        if abs(distance) < 3:
            return {"action": "none"}
        sign = 1 if side == "buy" else -1
        return {
            "action": "open",
            "parameters": {
                "side": side,
                "quantity": self.params["quantity"],
                "sl": close - sign * self.params["stop_pips"] * pip,
                "tp": close + sign * self.params["target_pips"] * pip,
            },
        }


class Slow(StrategyPluginBase):
    """Takes its time over nothing, and counts how many do so at once.

    The first ones wait until as many are at it as `together` says, or for ten seconds.
    """

    plugin_params: ClassVar[dict[str, Any]] = {"seconds": 0.02, "together": 1}
    change = threading.Condition()
    now = most = 0

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        with Slow.change:
            Slow.now += 1
            Slow.most = max(Slow.most, Slow.now)
            Slow.change.notify_all()
            Slow.change.wait_for(lambda: Slow.most >= self.params["together"], 10)
        time.sleep(self.params["seconds"])
        with Slow.change:
            Slow.now -= 1
        return {"action": "none", "parameters": {}}


class Impatient(PipelinePlugin):
    """The default pipeline with a time limit that tests can wait for."""

    plugin_params: ClassVar[dict[str, Any]] = {
        **PipelinePlugin.plugin_params,
        "execution_timeout": 0.3,
    }
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {
        name: rule
        for name, rule in PipelinePlugin.plugin_schema.items()
        if name != "execution_timeout"
    }


class OddSettings(PipelinePlugin):
    """A pipeline that uses the house's names for something of its own."""

    plugin_params: ClassVar[dict[str, Any]] = {
        "max_concurrent_portfolios": 2,
        "execution_timeout": "soon",
        "error_retry_count": None,
        "error_retry_delay": -1.0,
        "statistics_enabled": "yes",
    }
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {}


class Unreadable(BrokerPluginBase):
    """A broker with a log that cannot be read while `down` is set."""

    capabilities = frozenset({"simulated", "transaction_log", "account_state"})
    down: ClassVar[bool] = True

    def open_order(self, order_params: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("an order was sent to a venue that cannot be read")

    def close_order(self, order_id: str) -> dict[str, Any]:
        raise AssertionError("an order was sent to a venue that cannot be read")

    def get_last_transaction_id(self) -> int:
        return 0

    def get_transactions_since(self, last_id: int, limit: int = 1000) -> list[dict[str, Any]]:
        if self.down:
            raise ConnectionError("the venue does not answer")
        return []

    def get_account_summary(self) -> dict[str, Any]:
        return {"success": True, "balance": 10_000.0, "equity": 10_000.0, "margin": 0.0,
                "unrealized_pnl": 0.0, "currency": "USD", "last_transaction_id": 0}  # fmt: skip


class WithoutQuote(BacktraderSimulationBroker):
    """Makes no quote of any price."""

    def quote_from_mid(self, instrument: str, mid: float) -> tuple[float, float]:
        raise LookupError(f"no quote of {instrument}")


class Stubborn(Script):
    """Cannot be constructed."""

    def __init__(self, config: Any = None) -> None:
        raise RuntimeError("no licence")


class Bare(StrategyPluginBase):
    """Forgets to call its base class, so that it has no parameters."""

    def __init__(self, config: Any = None) -> None:
        pass

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        return {"action": "none"}


class Talkative(Script):
    """Its debug information cannot be written down."""

    plugin_debug_vars: ClassVar[list[str]] = ["letters"]

    def get_debug_info(self) -> dict[str, Any]:
        endless: dict[str, Any] = {"nan": float("nan")}
        endless["self"] = endless
        return endless


class Mute:
    """An object that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unspeakable(Script):
    """Its debug information cannot be shown."""

    def get_debug_info(self) -> dict[str, Any]:
        return {"mute": Mute()}


class Tidy(Script):
    """Its debug information is odd, but can be written down; part of it is secret."""

    plugin_params: ClassVar[dict[str, Any]] = {**Script.plugin_params, "api_key": "hush"}

    def get_debug_info(self) -> dict[str, Any]:
        odd: dict[Any, Any] = {"nan": float("nan"), "set": {1}, 7: [1, "two"]}
        return {**odd, "api_key": self.params["api_key"]}


PLUGINS: dict[str, type] = {
    "strategy/script": Script,
    "strategy/witness": Witness,
    "strategy/momentum": Momentum,
    "strategy/slow": Slow,
    "strategy/stubborn": Stubborn,
    "strategy/bare": Bare,
    "strategy/talkative": Talkative,
    "strategy/unspeakable": Unspeakable,
    "strategy/tidy": Tidy,
    "strategy/last_bar": LastBarStrategy,
    "strategy/thresholds": Thresholds,
    "strategy/misbehaving": MisbehavingStrategy,
    "pipeline/impatient": Impatient,
    "pipeline/odd_settings": OddSettings,
    "pipeline/backwards": BackwardsPipeline,
    "pipeline/misbehaving": MisbehavingPipeline,
    "broker/notebook": NotebookBroker,
    "broker/unreadable": Unreadable,
    "broker/without_quote": WithoutQuote,
    "broker/misbehaving": MisbehavingBroker,
    "portfolio/first_takes_half": FirstTakesHalf,
    "portfolio/misbehaving": MisbehavingPortfolio,
}
