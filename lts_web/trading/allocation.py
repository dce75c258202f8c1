"""How a portfolio's capital is shared among its assets.

Pure arithmetic behind `default_portfolio`, and the check that every portfolio plugin's answer
passes. What is not allocated stays in cash; allocation limits entries only and never closes
anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, Decimal

from lts_web.trading.money import MONEY_STEP, ZERO


class AllocationError(ValueError):
    """An allocation gives more than there is, or to assets that do not exist."""


def _booked(amount: Decimal) -> Decimal:
    # A capital that was lost, and more, has nothing to share.
    return max(amount.quantize(MONEY_STEP, rounding=ROUND_DOWN), ZERO)


def fixed_fraction(
    capital: Decimal, asset_ids: Sequence[int], fraction: Decimal
) -> dict[int, Decimal]:
    """Return `fraction` of the capital for each asset, scaled down if together above 1."""
    if not asset_ids:
        return {}
    # Dividing the capital, not 1, spares a third of 9,000 the loss of its last digit.
    share = _booked(min(capital * fraction, capital / len(asset_ids)))
    return dict.fromkeys(asset_ids, share)


def equal_weight(capital: Decimal, asset_ids: Sequence[int]) -> dict[int, Decimal]:
    """Return capital / n for each of the n assets."""
    return fixed_fraction(capital, asset_ids, Decimal(1))


def weighted(capital: Decimal, weights: Mapping[int, Decimal]) -> dict[int, Decimal]:
    """Return capital · weight / Σ weights for each asset; weights must not be negative."""
    total = sum(weights.values(), ZERO)
    if total <= 0 or any(weight < 0 for weight in weights.values()):
        return {}
    return {asset_id: _booked(capital * weight / total) for asset_id, weight in weights.items()}


def inverse_volatility(
    capital: Decimal, volatilities: Mapping[int, float | None]
) -> dict[int, Decimal]:
    """Return capital in proportion to 1 / volatility.

    An asset whose volatility is not known yet (None or not positive) is weighted with the median
    of the known ones, so that it neither starves nor dominates; with none known, all are equal.
    """
    known = sorted(value for value in volatilities.values() if value is not None and value > 0)
    if not known:
        return equal_weight(capital, list(volatilities))
    median = known[len(known) // 2]
    return weighted(
        capital,
        {
            asset_id: Decimal(1)
            / Decimal(repr(value if value is not None and value > 0 else median))
            for asset_id, value in volatilities.items()
        },
    )


def check_allocation(
    capital: Decimal, asset_ids: Sequence[int], allocations: Mapping[int, Decimal]
) -> dict[int, Decimal]:
    """Return the amounts of the known assets, booked; those left out get zero.

    AllocationError: an amount that is negative or not finite, an asset that is not asked for, or
    a sum above the capital (a cent of dust from floats is forgiven by scaling down).
    """
    capital = max(capital, ZERO)
    unknown = set(allocations) - set(asset_ids)
    if unknown:
        raise AllocationError(f"it allocates to assets that are not in question: {sorted(unknown)}")
    for asset_id, amount in allocations.items():
        if not amount.is_finite() or amount < 0:
            raise AllocationError(f"asset {asset_id} gets {amount}, which is no amount")
    total = sum(allocations.values(), ZERO)
    if total > capital + Decimal("0.01"):
        raise AllocationError(f"it gives away {total}, but there are only {capital}")
    scale = capital / total if total > capital else Decimal(1)
    return {asset_id: _booked(allocations.get(asset_id, ZERO) * scale) for asset_id in asset_ids}
