"""Plugins that misbehave, each in one way, for everything that must survive them.

They end when `LET_GO` is set, so that a test run leaves no thread busy.
"""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

from lts_web.plugins import (
    BrokerPluginBase,
    NotSentError,
    PipelinePluginBase,
    PortfolioPluginBase,
    StrategyPluginBase,
)

LET_GO = threading.Event()
MANNERS = (
    "raise",
    "exit",
    "hang",
    "loop",
    "nothing",
    "rubbish",
    "async",
    "nan",
    "infinite",
    "wrong_type",
    "unknown_action",
    "wrong_side_stop",
    "wrong_side_target",
    "no_stop",
    "negative_quantity",
    "huge_quantity",
    "absurd_quantity",
    "hanging_answer",
    "unprintable_error",
)
# What is refused at the boundary, before sizing and risk see it.
UNREADABLE = frozenset(
    {
        "nothing",
        "rubbish",
        "async",
        "nan",
        "infinite",
        "wrong_type",
        "unknown_action",
        "negative_quantity",
        "absurd_quantity",
    }
)
FAILING = frozenset({"raise", "exit", "unprintable_error"})
SILENT = frozenset({"hang", "loop", "hanging_answer"})


class Unprintable(Exception):
    """An error whose own message cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class HangingAnswer(dict[str, Any]):
    """A dictionary that never answers what is asked of it."""

    def get(self, key: str, default: Any = None) -> Any:
        hang()

    def __getitem__(self, key: str) -> Any:
        hang()


def hang() -> Any:
    """Wait until the tests are over."""
    LET_GO.wait()


def loop() -> Any:
    """Keep the processor busy until the tests are over."""
    while not LET_GO.is_set():
        time.sleep(0.0005)


def misbehave(manner: str) -> Any:
    """Do what every family can do wrong; return an answer that none can use."""
    if manner == "raise":
        raise ValueError("deliberate")
    if manner == "exit":
        raise SystemExit(1)
    if manner == "unprintable_error":
        raise Unprintable
    if manner == "hang":
        return hang()
    if manner == "loop":
        return loop()
    if manner == "hanging_answer":
        return HangingAnswer()
    if manner == "nothing":
        return None
    return ["rubbish", object()]


class MisbehavingStrategy(StrategyPluginBase):
    """A strategy that opens at every bar, in the manner of its parameter."""

    plugin_params: ClassVar[dict[str, Any]] = {"manner": "raise"}
    plugin_debug_vars: ClassVar[list[str]] = ["manner"]

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> Any:
        manner = self.params["manner"]
        if manner in FAILING | SILENT | {"nothing", "rubbish"}:
            return misbehave(manner)
        if manner == "async":
            return self._later()
        if manner == "wrong_type":
            return {"action": "open", "parameters": {"side": "buy", "quantity": "many"}}
        if manner == "unknown_action":
            return {"action": "panic", "parameters": {}}
        price = market_data["close"]
        distance = 50 * asset_data["pip"]
        parameters: dict[str, Any] = {"side": "buy", "sl": price - distance, "tp": price + distance}
        parameters |= {
            "nan": {"sl": float("nan")},
            "infinite": {"quantity": float("inf")},
            "wrong_side_stop": {"sl": price + distance},
            "wrong_side_target": {"tp": price - distance},
            "no_stop": {"sl": None},
            "negative_quantity": {"quantity": -1000},
            "huge_quantity": {"quantity": 1e11},
            "absurd_quantity": {"quantity": 10**400},
        }[manner]
        return {"action": "open", "parameters": parameters}

    async def _later(self) -> dict[str, Any]:
        return {"action": "none"}


class MisbehavingPortfolio(PortfolioPluginBase):
    """An allocator that gives capital away in the manner of its parameter."""

    plugin_params: ClassVar[dict[str, Any]] = {"manner": "raise"}
    manners = (*sorted(FAILING | SILENT), "nothing", "rubbish", "nan", "too_much", "strangers")

    def allocate(self, portfolio_id: int, assets: list[Any]) -> Any:
        manner = self.params["manner"]
        if manner == "nan":
            return {"allocations": {assets[0]["id"]: float("nan")}}
        if manner == "too_much":
            return {"allocations": {asset["id"]: asset["capital"] * 2 for asset in assets}}
        if manner == "strangers":
            return {"allocations": {987_654: 1.0}}
        return misbehave(manner)


class MisbehavingBroker(BrokerPluginBase):
    """A broker whose orders end in the manner of its parameter.

    `sent` holds the action and client id of every order that it was given.
    """

    plugin_params: ClassVar[dict[str, Any]] = {"manner": "raise"}
    manners = (
        *sorted(FAILING | SILENT),
        "nothing",
        "rubbish",
        "no_success",
        "success_is_text",
        "no_order_id",
        "nan_price",
        "not_sent",
        "refuses",
    )

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.sent: list[tuple[str, str]] = []

    def execute_order(self, action: str, parameters: dict[str, Any]) -> Any:
        manner = self.params["manner"]
        if manner == "not_sent":
            raise NotSentError("the connection was refused")
        self.sent.append((action, parameters["client_order_id"]))
        answers: dict[str, Any] = {
            "no_success": {"order_id": "1"},
            "success_is_text": {"success": "yes", "order_id": "1"},
            "no_order_id": {"success": True},
            "nan_price": {"success": True, "order_id": "1", "fill_price": float("nan")},
            "refuses": {"success": False, "error": "deliberate"},
        }
        return answers[manner] if manner in answers else misbehave(manner)

    def open_order(self, order_params: dict[str, Any]) -> dict[str, Any]:
        return self.execute_order("open", order_params)

    def close_order(self, order_id: str) -> dict[str, Any]:
        return self.execute_order("close", {"client_order_id": "", "order_id": order_id})


class MisbehavingPipeline(PipelinePluginBase):
    """A pipeline that runs its cycle in the manner of its parameter, or leaves assets out."""

    plugin_params: ClassVar[dict[str, Any]] = {"manner": "raise"}
    manners = (*sorted(FAILING | SILENT), "nothing", "rubbish", "forgets")

    def run(self, portfolio_id: int, assets: list[Any]) -> Any:
        manner = self.params["manner"]
        if manner == "forgets":
            return {"success": True, "cycle_id": 0, "assets": []}
        return misbehave(manner)
