"""`default_strategy`: a demonstration that trades often enough to be watched.

It knows nothing about markets and its profit means nothing: it buys and sells in turn by the
number of the bar, so that every step of a cycle can be seen at work. It remembers nothing, which
makes a restart invisible to it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from lts_web.plugins.base import StrategyPluginBase
from lts_web.trading.calendar import market_time_of

_UNITS = {"S": "seconds", "M": "minutes", "H": "hours", "D": "days"}


class DefaultStrategy(StrategyPluginBase):
    """A demonstration: buys and sells in turn, by the number of the bar alone.

    Bars are numbered by open market time since a fixed origin. Without a position it opens on
    every `entry_interval_bars`-th bar, a buy or a sell as the number says; with one it waits for
    the stop, the target or `holding_bars` bars. The house sizes the order by `position_size` and
    `max_risk_per_trade`.
    """

    plugin_params: ClassVar[dict[str, Any]] = {
        "position_size": 0.02,
        "max_risk_per_trade": 0.02,
        "prediction_threshold": 0.6,
        "stop_loss_pips": 80,
        "take_profit_pips": 100,
        "order_type": "market",
        "entry_interval_bars": 5,
        "holding_bars": 12,
    }
    plugin_debug_vars: ClassVar[list[str]] = list(plugin_params)
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "position_size": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "help": "Part of the asset's capital that a position may take up, before leverage.",
        },
        "max_risk_per_trade": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "help": "Part of the equity that may be lost when the stop is hit.",
        },
        "prediction_threshold": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "help": "Least confidence: where there are predictions, all must reach it to open.",
        },
        "stop_loss_pips": {
            "type": "number",
            "minimum": 0.1,
            "maximum": 10_000,
            "help": "Distance of the stop loss from the price of the entry, in pips.",
        },
        "take_profit_pips": {
            "type": "number",
            "minimum": 0.1,
            "maximum": 10_000,
            "help": "Distance of the take profit from the price of the entry, in pips.",
        },
        "order_type": {"type": "text", "choices": ("market",), "help": "Kind of the orders."},
        "entry_interval_bars": {
            "type": "integer",
            "minimum": 1,
            "maximum": 10_000,
            "help": "It opens on every n-th bar only.",
        },
        "holding_bars": {
            "type": "integer",
            "minimum": 1,
            "maximum": 10_000,
            "help": "It closes a position that has lasted so many bars.",
        },
    }

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        """Return an entry, a close or nothing, from the bar's number and the open positions."""
        step = _bar_length(asset_data["timeframe"])
        number = _bar_number(market_data["time"], step)
        positions = asset_data["open_positions"]
        if positions:
            oldest = min(position["opened_at"] for position in positions)
            return self._with_position(number - _bar_number(oldest, step))
        interval = self.params["entry_interval_bars"]
        waiting = -number % interval
        if waiting:
            return _nothing(f"Demonstration: the next entry is {waiting} bars away.")
        confidence = _confidence(market_data["predictions"])
        if confidence < self.params["prediction_threshold"]:
            return _nothing(f"Demonstration: the predictions are too unsure ({confidence:.2f}).")
        side = "buy" if number // interval % 2 == 0 else "sell"
        return self._entry(side, asset_data["pip"], market_data, confidence)

    def _with_position(self, held_bars: int) -> dict[str, Any]:
        holding = self.params["holding_bars"]
        if held_bars < holding:
            return _nothing(f"Demonstration: the position is {held_bars} of {holding} bars old.")
        reason = f"Demonstration: the position is {held_bars} bars old."
        return {"action": "close", "parameters": {}, "reason": reason}

    def _entry(
        self, side: str, pip: float, market_data: dict[str, Any], confidence: float
    ) -> dict[str, Any]:
        price = market_data["ask"] if side == "buy" else market_data["bid"]
        if price is None:
            return _nothing("Demonstration: there is no quote to open on.")
        sign = 1 if side == "buy" else -1
        return {
            "action": "open",
            "parameters": {
                "side": side,
                "price": price,
                "sl": price - sign * self.params["stop_loss_pips"] * pip,
                "tp": price + sign * self.params["take_profit_pips"] * pip,
                "order_type": self.params["order_type"],
            },
            "reason": f"Demonstration: it is the turn of a {side}.",
            "confidence": confidence,
        }


def _bar_length(timeframe: str) -> timedelta:
    """Return one hour for "H1"; simulations may bring lengths that data sets do not have."""
    return timedelta(**{_UNITS[timeframe[0]]: int(timeframe[1:])})


def _bar_number(time: datetime, step: timedelta) -> int:
    return market_time_of(time) // step


def _confidence(predictions: list[dict[str, Any]]) -> float:
    """Return the least confidence among the predictions, 1 where none says any."""
    stated = (prediction.get("confidence") for prediction in predictions)
    return min((value for value in stated if value is not None), default=1.0)


def _nothing(reason: str) -> dict[str, Any]:
    return {"action": "none", "parameters": {}, "reason": reason}
