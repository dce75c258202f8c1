"""The forms in which a strategy may be handed to a simulation, told apart and made one.

Nothing here calls a strategy.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lts_web.plugins.broker.simulation import Decide
from lts_web.trading.money import to_decimal
from lts_web.trading.risk import RiskLimits


def acts_itself(strategy: Any) -> bool:
    """Tell whether the strategy is a function of (broker, bar_index, bar): three arguments."""
    if hasattr(strategy, "decide") or not callable(strategy):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        arguments = inspect.signature(strategy).parameters.values()
    except ValueError:  # Some callables made in C tell no signature.
        return False
    return sum(one.kind in kinds and one.default is one.empty for one in arguments) == 3


def decide_of(strategy: Any) -> Decide:
    """Return the strategy's `decide`, or the strategy itself if it is a function of two.

    TypeError: it can be called in no way that a simulation knows.
    """
    decide: Decide = getattr(strategy, "decide", strategy)
    if not callable(decide):
        raise TypeError(
            f"{type(strategy).__name__} is no strategy: give an object with decide(asset_data, "
            f"market_data), or a function of these two, or one of (broker, bar_index, bar)."
        )
    return decide


def parameters_of(strategy: Any) -> dict[str, Any]:
    """Return the parameters of a strategy plugin, also when only its bound `decide` is given."""
    owner = getattr(strategy, "__self__", strategy)
    parameters = getattr(owner, "params", None)
    return dict(parameters) if isinstance(parameters, Mapping) else {}


def limits_of(parameters: Mapping[str, Any]) -> RiskLimits:
    """Return the default limits, with the sizing that a strategy's parameters ask for."""
    limits = RiskLimits()
    size = to_decimal(parameters.get("position_size"))
    risk = to_decimal(parameters.get("max_risk_per_trade"))
    return replace(
        limits,
        position_size=limits.position_size if size is None else size,
        max_risk_per_trade=limits.max_risk_per_trade if risk is None else risk,
    )
