"""Figures of performance: from closed round trips and a series of equity to numbers with formulas.

Every figure carries its formula, its unit, the size of the sample that it rests on and the
smallest sample at which it says something; `FORMULAS` lists them all, and help pages print that.
A figure that cannot be computed has the value None: an unknown is never shown as zero.

All amounts are in one account currency. Money stays Decimal; floats live only inside ratios and
are rounded to 8 decimals when they leave. Fractions are 0 to 1. Nothing here knows where trades
or points are stored, nor what time it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby, pairwise
from statistics import fmean, stdev
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from lts_web.trading.calendar import day_end, day_start, market_time_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

TRADING_DAYS_PER_YEAR = 252

_ZERO = Decimal(0)
_FOUR_DECIMALS = Decimal("0.0001")
_EIGHT_DECIMALS = Decimal("0.00000001")
_MICROSECOND = timedelta(microseconds=1)
# Returns that are all equal leave a deviation of rounding noise; below this it counts as none.
_NO_DEVIATION = 1e-12


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """One finished round trip; money in the account's currency.

    `realized_pnl` is gross: before `commission` and `swap`, after spread and slippage, which are
    in the prices. Commission and swap are costs: positive was paid, negative was received.
    `initial_risk` is the money lost at the first stop, None without one. `pips` is signed, in
    favour of the position. `units` is a size without sign.
    """

    position_id: int
    asset_id: int
    side: Literal["long", "short"]
    units: int
    entry_price: Decimal
    exit_price: Decimal
    opened_at: datetime
    closed_at: datetime
    realized_pnl: Decimal
    commission: Decimal
    swap: Decimal
    initial_risk: Decimal | None
    pips: Decimal

    @property
    def costs(self) -> Decimal:
        """Commission and swap together."""
        return self.commission + self.swap

    @property
    def net(self) -> Decimal:
        """Profit after commission and swap."""
        return self.realized_pnl - self.costs


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity at an instant, and the open notional (without sign) then, in account currency."""

    time: datetime
    equity: Decimal
    exposure: Decimal


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of equity below its highest point so far.

    `depth` is the fraction of the peak, `amount` the money. `recovered_at` is the first time at
    which equity was back at the peak, None while it is not.
    """

    depth: Decimal
    amount: Decimal
    started_at: datetime
    trough_at: datetime
    recovered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Formula:
    """How a figure is computed, in what unit, and from which sample size on it means something."""

    name: str
    unit: str
    minimum_sample: int
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One computed figure; `value` is None where it is not defined for the sample."""

    name: str
    value: Decimal | None
    formula: str
    minimum_sample: int
    sample: int
    unit: str

    @property
    def enough(self) -> bool:
        """Tell whether the sample is large enough for the figure to say something."""
        return self.sample >= self.minimum_sample


Figures = dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Performance:
    """All figures of a portfolio or an asset over a period, and its deepest drawdown."""

    trades: Figures
    equity: Figures
    costs: Figures
    drawdown: Drawdown | None


_YEAR = f"√{TRADING_DAYS_PER_YEAR}"

# Name, unit, smallest sample, formula. A trade's net = gross − commission − swap; a win has
# net > 0. Equity is sampled at each day's end, 17:00 New York, for the figures of daily returns.
# Spread and slippage are in the prices, thus in gross, so the costs here are those beside them.
_FORMULA_ROWS: tuple[tuple[str, str, int, str], ...] = (
    ("trades", "trades", 0, "number of closed round trips"),
    ("wins", "trades", 0, "number of trades with net > 0"),
    ("losses", "trades", 0, "number of trades with net < 0"),
    ("net_profit", "money", 1, "Σ net, where net = gross − commission − swap"),
    ("win_rate", "fraction", 30, "wins ÷ trades"),
    ("average_win", "money", 10, "Σ net of the wins ÷ wins"),
    ("average_loss", "money", 10, "Σ net of the losses ÷ losses (negative)"),
    ("payoff_ratio", "ratio", 30, "average win ÷ |average loss|"),
    ("profit_factor", "ratio", 30, "Σ net of the wins ÷ |Σ net of the losses|"),
    ("expectancy", "money", 30, "Σ net ÷ trades"),
    ("expectancy_pips", "pips", 30, "Σ pips ÷ trades"),
    ("expectancy_r", "R", 30, "mean of net ÷ initial risk, over trades with a known risk"),
    ("best_trade", "money", 1, "largest net"),
    ("worst_trade", "money", 1, "smallest net"),
    ("longest_win_streak", "trades", 1, "most wins in a row, by closing time"),
    ("longest_loss_streak", "trades", 1, "most losses in a row, by closing time"),
    ("average_duration", "seconds", 1, "mean of closing time − opening time"),
    ("longest_duration", "seconds", 1, "largest closing time − opening time"),
    ("total_return", "fraction", 2, "last equity ÷ first equity − 1"),
    ("volatility", "fraction", 20, f"standard deviation (n − 1) of daily returns × {_YEAR}"),
    (
        "sharpe_ratio",
        "ratio",
        60,
        f"mean daily return ÷ standard deviation (n − 1) × {_YEAR}, risk-free rate 0",
    ),
    ("sortino_ratio", "ratio", 60, f"mean daily return ÷ √(Σ min(return, 0)² ÷ n) × {_YEAR}"),
    ("max_drawdown", "fraction", 2, "largest (highest equity so far − equity) ÷ that highest"),
    ("max_drawdown_amount", "money", 2, "money lost from peak to trough of that drawdown"),
    ("time_in_market", "fraction", 2, "open market time with exposure ÷ open market time"),
    ("average_exposure", "fraction", 2, "mean of exposure ÷ equity over open market time"),
    ("commission", "money", 1, "Σ commission"),
    ("swap", "money", 1, "Σ swap (negative: received)"),
    ("total_costs", "money", 1, "Σ commission + Σ swap"),
    ("cost_share", "fraction", 30, "total costs ÷ Σ gross of the trades with gross > 0"),
)

FORMULAS: Mapping[str, Formula] = MappingProxyType({row[0]: Formula(*row) for row in _FORMULA_ROWS})


def performance(trades: Iterable[ClosedTrade], points: Sequence[EquityPoint]) -> Performance:
    """Return every figure of these trades and this series of equity (in order of time)."""
    trades = list(trades)
    return Performance(
        trades=trade_figures(trades),
        equity=equity_figures(points),
        costs=cost_figures(trades),
        drawdown=drawdown(points),
    )


def trade_figures(trades: Iterable[ClosedTrade]) -> Figures:
    """Return the figures of closed trades, by name; the order in which they come is free."""
    trades = sorted(trades, key=lambda trade: (trade.closed_at, trade.position_id))
    nets = [trade.net for trade in trades]
    wins = [net for net in nets if net > 0]
    losses = [net for net in nets if net < 0]
    in_risks = [
        trade.net / trade.initial_risk
        for trade in trades
        if trade.initial_risk is not None and trade.initial_risk > 0
    ]
    durations = [_seconds(trade.closed_at - trade.opened_at) for trade in trades]
    count = len(trades)
    return _figures(
        ("trades", Decimal(count), count),
        ("wins", Decimal(len(wins)), count),
        ("losses", Decimal(len(losses)), count),
        ("net_profit", _rounded(sum(nets, _ZERO)), count),
        ("win_rate", _ratio(Decimal(len(wins)), Decimal(count)), count),
        ("average_win", _mean(wins), len(wins)),
        ("average_loss", _mean(losses), len(losses)),
        (
            "payoff_ratio",
            # Both averages over a common denominator, so that nothing is rounded twice.
            _ratio(sum(wins, _ZERO) * len(losses), -sum(losses, _ZERO) * len(wins)),
            count,
        ),
        ("profit_factor", _ratio(sum(wins, _ZERO), -sum(losses, _ZERO)), count),
        ("expectancy", _mean(nets), count),
        ("expectancy_pips", _mean([trade.pips for trade in trades]), count),
        ("expectancy_r", _mean(in_risks), len(in_risks)),
        ("best_trade", _rounded(max(nets, default=None)), count),
        ("worst_trade", _rounded(min(nets, default=None)), count),
        ("longest_win_streak", _longest_run(net > 0 for net in nets), count),
        ("longest_loss_streak", _longest_run(net < 0 for net in nets), count),
        ("average_duration", _mean(durations), count),
        ("longest_duration", _rounded(max(durations, default=None)), count),
    )


def cost_figures(trades: Iterable[ClosedTrade]) -> Figures:
    """Return what the trades cost beside their prices, by name."""
    trades = list(trades)
    commission = sum((trade.commission for trade in trades), _ZERO)
    swap = sum((trade.swap for trade in trades), _ZERO)
    gross_gains = sum((max(trade.realized_pnl, _ZERO) for trade in trades), _ZERO)
    count = len(trades)
    return _figures(
        ("commission", _rounded(commission), count),
        ("swap", _rounded(swap), count),
        ("total_costs", _rounded(commission + swap), count),
        ("cost_share", _ratio(commission + swap, gross_gains), count),
    )


def equity_figures(points: Sequence[EquityPoint]) -> Figures:
    """Return the figures of a series of equity in order of time, by name.

    Capital that is moved in or out is not told apart from profit: split the series there.
    ValueError when the points are out of order.
    """
    count = len(points)
    returns = daily_returns(points)
    deviation, downside = _deviation(returns), _downside(returns)
    in_market, exposure = _exposure(points)
    growth: Decimal | None
    depth: Decimal | None
    amount: Decimal | None
    if count > 1 and points[0].equity > 0:
        growth = _ratio(points[-1].equity - points[0].equity, points[0].equity)
        fall = drawdown(points)
        depth, amount = (fall.depth, fall.amount) if fall else (_ZERO, _ZERO)
    else:
        growth = depth = amount = None
    return _figures(
        ("total_return", growth, count),
        ("volatility", _annual(deviation), len(returns)),
        ("sharpe_ratio", _annual(_reward(returns, deviation)), len(returns)),
        ("sortino_ratio", _annual(_reward(returns, downside)), len(returns)),
        ("max_drawdown", depth, count),
        ("max_drawdown_amount", _rounded(amount), count),
        ("time_in_market", in_market, count),
        ("average_exposure", exposure, count),
    )


def equity_at_day_ends(points: Sequence[EquityPoint]) -> list[EquityPoint]:
    """Return the equity at each trading day's end, 17:00 New York, that the points reach.

    A day's sample is the last point at or before its end, dated at that end; a day without a
    point of its own carries the equity on. The last day counts only if a point stands at its end.
    ValueError when the points are out of order.
    """
    _check_order(points)
    samples: list[EquityPoint] = []
    if not points:
        return samples
    # A day's end is also the start of the next day: a first point there is already a sample.
    first = points[0].time
    end = first if day_start(first) == first else day_end(first)
    for point, following in pairwise(points):
        while end < following.time:
            samples.append(EquityPoint(end, point.equity, point.exposure))
            end = day_end(end)
    if points[-1].time == end:
        samples.append(EquityPoint(end, points[-1].equity, points[-1].exposure))
    return samples


def daily_returns(points: Sequence[EquityPoint]) -> list[float]:
    """Return the relative change of equity from each day's end to the next, as fractions.

    Incomplete days at both ends are left out. The list is empty when equity was ever zero or
    less at a day's end, since no ratio means anything from there on.
    """
    days = equity_at_day_ends(points)
    if any(day.equity <= 0 for day in days):
        return []
    return [float(after.equity / before.equity - 1) for before, after in pairwise(days)]


def drawdown(points: Sequence[EquityPoint]) -> Drawdown | None:
    """Return the deepest relative fall from the highest equity so far, None if it never fell.

    Peaks of zero or less have no relative fall. ValueError when the points are out of order.
    """
    _check_order(points)
    peak: EquityPoint | None = None
    deepest, start, trough = _ZERO, None, 0
    for index, point in enumerate(points):
        if peak is None or point.equity >= peak.equity:
            peak = point
        elif peak.equity > 0:
            depth = (peak.equity - point.equity) / peak.equity
            if depth > deepest:
                deepest, start, trough = depth, peak, index
    if start is None:
        return None
    later = points[trough + 1 :]
    return Drawdown(
        depth=deepest.quantize(_EIGHT_DECIMALS, ROUND_HALF_EVEN),
        amount=start.equity - points[trough].equity,
        started_at=start.time,
        trough_at=points[trough].time,
        recovered_at=next((p.time for p in later if p.equity >= start.equity), None),
    )


def realized_volatility(closes: Sequence[float], window: int) -> float | None:
    """Return the standard deviation (n − 1) of the last `window` log returns, per bar.

    None with fewer than `window` + 1 closes. ValueError for a window under 2 and for a close that
    is not a finite number above zero.
    """
    if window < 2:
        raise ValueError(f"A volatility window of {window} returns is too short: use at least 2.")
    recent = closes[-(window + 1) :]
    if len(recent) <= window:
        return None
    for close in recent:
        if not (math.isfinite(close) and close > 0):
            raise ValueError(f"The close {close!r} is no price: closes must be finite and above 0.")
    return stdev(math.log(after / before) for before, after in pairwise(recent))


def _figures(*computed: tuple[str, Decimal | None, int]) -> Figures:
    """Return figures by name from (name, value, sample), with what the registry says of each."""
    figures: Figures = {}
    for name, value, sample in computed:
        known = FORMULAS[name]
        figures[name] = Figure(name, value, known.text, known.minimum_sample, sample, known.unit)
    return figures


def _rounded(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.quantize(_FOUR_DECIMALS, ROUND_HALF_EVEN)


def _mean(values: Sequence[Decimal]) -> Decimal | None:
    return _rounded(sum(values, _ZERO) / len(values)) if values else None


def _ratio(part: Decimal, whole: Decimal) -> Decimal | None:
    return (part / whole).quantize(_EIGHT_DECIMALS, ROUND_HALF_EVEN) if whole else None


def _seconds(duration: timedelta) -> Decimal:
    return Decimal(duration // _MICROSECOND) / 1_000_000


def _longest_run(flags: Iterable[bool]) -> Decimal:
    return Decimal(max((sum(1 for _ in run) for flag, run in groupby(flags) if flag), default=0))


def _deviation(returns: Sequence[float]) -> float | None:
    return stdev(returns) if len(returns) > 1 else None


def _downside(returns: Sequence[float]) -> float | None:
    if not returns:
        return None
    return math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in returns) / len(returns))


def _reward(returns: Sequence[float], risk: float | None) -> float | None:
    return None if risk is None or risk < _NO_DEVIATION else fmean(returns) / risk


def _annual(daily: float | None) -> Decimal | None:
    if daily is None:
        return None
    yearly = Decimal(repr(daily * math.sqrt(TRADING_DAYS_PER_YEAR)))
    return yearly.quantize(_EIGHT_DECIMALS, ROUND_HALF_EVEN)


def _exposure(points: Sequence[EquityPoint]) -> tuple[Decimal | None, Decimal | None]:
    """Return the share of open market time with exposure, and the mean of exposure ÷ equity.

    A point holds until the next one. Time in a closed market has no weight.
    """
    readings = [market_time_of(point.time) for point in points]
    spans = [
        (_seconds(until - since), point)
        for point, (since, until) in zip(points, pairwise(readings), strict=False)
    ]
    whole = sum((seconds for seconds, _ in spans), _ZERO)
    exposed = [(seconds, point) for seconds, point in spans if point.exposure]
    share = _ratio(sum((seconds for seconds, _ in exposed), _ZERO), whole)
    if any(point.equity <= 0 for _, point in exposed):
        return share, None
    weighted = (seconds * point.exposure / point.equity for seconds, point in exposed)
    return share, _ratio(sum(weighted, _ZERO), whole)


def _check_order(points: Sequence[EquityPoint]) -> None:
    for point, following in pairwise(points):
        if following.time < point.time:
            raise ValueError(
                f"Equity points are out of order: {following.time.isoformat()} comes after "
                f"{point.time.isoformat()}. Sort them by time."
            )
