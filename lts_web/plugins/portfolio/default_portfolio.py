"""`default_portfolio`: shares a portfolio's capital among its assets by one of three methods.

Allocation limits entries and never closes anything. What is not given away stays in cash, and
never more is given than there is. Decisions come from the arguments alone; what is remembered is
for `get_allocations` and debug information.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from lts_web.plugins.base import PortfolioPluginBase
from lts_web.trading.allocation import equal_weight, fixed_fraction, inverse_volatility

METHODS = ("equal_weight", "fixed_fraction", "inverse_volatility")


class DefaultPortfolio(PortfolioPluginBase):
    """Shares the capital equally, by a fixed fraction each, or by inverse volatility.

    `volatility_window` is the number of bars over which the house measures the volatility that
    each asset comes with. `rebalance_threshold` is a share of the capital: as long as no asset's
    target is further than that from the weight it has, all keep their weights.
    """

    plugin_params: ClassVar[dict[str, Any]] = {
        "method": "equal_weight",
        "fraction": 0.1,
        "volatility_window": 100,
        "rebalance_threshold": 0.0,
    }
    plugin_debug_vars: ClassVar[list[str]] = [*plugin_params, "last_operation"]
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "method": {
            "type": "text",
            "choices": METHODS,
            "help": "equal_weight: all alike. fixed_fraction: `fraction` each, the rest in cash. "
            "inverse_volatility: the calmer an asset, the more it gets.",
        },
        "fraction": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "help": "Part of the capital that each asset gets with fixed_fraction.",
        },
        "volatility_window": {
            "type": "integer",
            "minimum": 2,
            "maximum": 499,
            "help": "Bars over which volatility is measured, for inverse_volatility.",
        },
        "rebalance_threshold": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "help": "Weights stay as they are until one is further than this from its target; "
            "0 follows the targets in every cycle.",
        },
    }

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Check the method, since an unknown one could not share anything."""
        super().__init__(config)
        if self.params["method"] not in METHODS:
            raise ValueError(
                f"The allocation method {self.params['method']!r} does not exist: use "
                f"{', '.join(METHODS)}."
            )
        self.last_operation: dict[str, Any] | None = None
        self._answers: dict[int, dict[str, Any]] = {}

    def allocate(self, portfolio_id: int, assets: list[Any]) -> dict[str, Any]:
        """Return {allocations: {asset id: amount}, cash}, in the currency of the capital."""
        capital = Decimal(repr(assets[0]["capital"])) if assets else Decimal(0)
        targets = self._targets(max(capital, Decimal(0)), assets)
        if not self._drifted(capital, assets, targets):
            targets = {
                asset["id"]: capital * Decimal(repr(float(asset["weight"]))) for asset in assets
            }
        answer = {
            "allocations": {asset_id: float(amount) for asset_id, amount in targets.items()},
            "cash": float(capital - sum(targets.values())),
        }
        self._answers[portfolio_id] = answer
        return answer

    def rebalance(
        self, portfolio_id: int | None = None, assets: list[Any] | None = None
    ) -> dict[str, Any]:
        """Return the targets whatever the threshold says, or {} when there are no assets."""
        if portfolio_id is None or not assets:
            return {}
        ignoring_weights = [{**asset, "weight": None} for asset in assets]
        return self.allocate(portfolio_id, ignoring_weights)

    def get_allocations(self, portfolio_id: int | None = None) -> dict[int, Any]:
        """Return the last amounts by asset id, or of all portfolios by portfolio id."""
        if portfolio_id is None:
            return {key: dict(answer["allocations"]) for key, answer in self._answers.items()}
        return dict(self._answers.get(portfolio_id, {}).get("allocations", {}))

    def update(self, portfolio_id: int, operation_result: dict[str, Any]) -> None:
        """Keep the last operation for the debug information; allocation does not depend on it."""
        self.last_operation = {"portfolio_id": portfolio_id, **operation_result}

    def _targets(self, capital: Decimal, assets: list[Any]) -> dict[int, Decimal]:
        ids = [asset["id"] for asset in assets]
        if self.params["method"] == "fixed_fraction":
            return fixed_fraction(capital, ids, Decimal(repr(float(self.params["fraction"]))))
        if self.params["method"] == "inverse_volatility":
            return inverse_volatility(
                capital, {asset["id"]: asset.get("volatility") for asset in assets}
            )
        return equal_weight(capital, ids)

    def _drifted(self, capital: Decimal, assets: list[Any], targets: dict[int, Decimal]) -> bool:
        """Return whether weights must move: one is unknown or too far off, or all are too much."""
        threshold = self.params["rebalance_threshold"]
        weights = [asset.get("weight") for asset in assets]
        if not threshold or capital <= 0 or None in weights or sum(weights) > 1:
            return True
        return any(
            abs(float(targets[asset["id"]] / capital) - asset["weight"]) > threshold
            for asset in assets
        )
