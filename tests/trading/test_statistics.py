"""Figures of performance against hand-worked examples and independent, naive computations."""

from __future__ import annotations

import math
import statistics as plain
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.calendar import open_seconds, trading_day
from lts_web.trading.statistics import (
    FORMULAS,
    ClosedTrade,
    EquityPoint,
    Figures,
    cost_figures,
    daily_returns,
    drawdown,
    equity_at_day_ends,
    equity_figures,
    performance,
    realized_volatility,
    trade_figures,
)

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
D = Decimal


def trade(
    gross: str,
    commission: str = "0",
    swap: str = "0",
    *,
    position_id: int = 1,
    risk: str | None = None,
    pips: str = "0",
    closed: int = 1,
    held: int = 1,
) -> ClosedTrade:
    """A trade closed `closed` hours after Monday noon, after `held` hours."""
    closed_at = MONDAY + timedelta(hours=closed)
    return ClosedTrade(
        position_id=position_id,
        asset_id=1,
        side="long",
        units=10_000,
        entry_price=D("1.1"),
        exit_price=D("1.1"),
        opened_at=closed_at - timedelta(hours=held),
        closed_at=closed_at,
        realized_pnl=D(gross),
        commission=D(commission),
        swap=D(swap),
        initial_risk=None if risk is None else D(risk),
        pips=D(pips),
    )


def points(*equities: object, step: timedelta = timedelta(hours=1)) -> list[EquityPoint]:
    return [EquityPoint(MONDAY + n * step, D(str(e)), D(0)) for n, e in enumerate(equities)]


def at_day_ends(*equities: object) -> list[EquityPoint]:
    """Points at 17:00 New York on one weekday after the other, from Monday 2 March 2026 on."""
    made: list[EquityPoint] = []
    day = date(2026, 3, 2)
    while len(made) < len(equities):
        if day.weekday() < 5:
            end = datetime.combine(day, time(17), NEW_YORK).astimezone(UTC)
            made.append(EquityPoint(end, D(str(equities[len(made)])), D(0)))
        day += timedelta(days=1)
    return made


def values(figures: Figures) -> dict[str, Decimal | None]:
    return {name: figure.value for name, figure in figures.items()}


def number(value: Decimal | None) -> float:
    assert value is not None
    return float(value)


# -- a worked example ------------------------------------------------------------------------

# Net: +97, −52, +40, −30, −21, 0.
WORKED = [
    trade("100", "2", "1", position_id=1, closed=1, held=1, risk="50", pips="10"),
    trade("-50", "2", "0", position_id=2, closed=2, held=2, risk="50", pips="-5"),
    trade("42", "2", "0", position_id=3, closed=3, held=3, pips="4.2"),
    trade("-30", "2", "-2", position_id=4, closed=4, held=4, pips="-3"),
    trade("-20", "2", "-1", position_id=5, closed=5, held=5, risk="0", pips="-2"),
    trade("2", "2", "0", position_id=6, closed=6, held=9, pips="0.2"),
]


def test_the_figures_of_trades_worked_by_hand() -> None:
    assert values(trade_figures(WORKED)) == {
        "trades": D(6),
        "wins": D(2),
        "losses": D(3),
        "net_profit": D("34.0000"),
        "win_rate": D("0.33333333"),
        "average_win": D("68.5000"),
        "average_loss": D("-34.3333"),
        "payoff_ratio": D("1.99514563"),  # 68.5 ÷ (103 ÷ 3)
        "profit_factor": D("1.33009709"),  # 137 ÷ 103
        "expectancy": D("5.6667"),
        "expectancy_pips": D("0.7333"),
        "expectancy_r": D("0.4500"),  # (97 ÷ 50 − 52 ÷ 50) ÷ 2; a risk of 0 is no risk
        "best_trade": D("97.0000"),
        "worst_trade": D("-52.0000"),
        "longest_win_streak": D(1),
        "longest_loss_streak": D(2),
        "average_duration": D(4 * 3600),
        "longest_duration": D(9 * 3600),
    }


def test_costs_worked_by_hand() -> None:
    assert values(cost_figures(WORKED)) == {
        "commission": D("12.0000"),
        "swap": D("-2.0000"),
        "total_costs": D("10.0000"),
        "cost_share": D("0.06944444"),  # 10 ÷ 144
    }


def test_without_trades_counts_are_zero_and_the_rest_unknown() -> None:
    figures = values(trade_figures([]))
    known = {name: value for name, value in figures.items() if value is not None}
    zeros = ("trades", "wins", "losses", "net_profit", "longest_win_streak", "longest_loss_streak")
    assert known == dict.fromkeys(zeros, D(0))
    assert values(cost_figures([]))["cost_share"] is None


def test_a_ratio_without_losses_is_unknown_not_infinite() -> None:
    figures = trade_figures([trade("10"), trade("20")])
    assert figures["profit_factor"].value is None
    assert figures["payoff_ratio"].value is None
    assert figures["win_rate"].value == 1


def test_a_figure_says_whether_its_sample_is_large_enough() -> None:
    few = trade_figures([trade("1", position_id=n) for n in range(29)])["win_rate"]
    many = trade_figures([trade("1", position_id=n) for n in range(30)])["win_rate"]
    assert (few.sample, few.minimum_sample, few.value) == (29, 30, D(1))
    assert not few.enough
    assert many.enough


def test_every_figure_is_in_the_registry_and_every_formula_is_computed() -> None:
    made = performance(WORKED, points(1, 2))
    computed = {**made.trades, **made.equity, **made.costs}
    assert computed.keys() == FORMULAS.keys()
    for name, figure in computed.items():
        known = FORMULAS[name]
        assert (figure.name, figure.unit) == (name, known.unit)
        assert figure.formula == known.text
        assert figure.minimum_sample == known.minimum_sample


# -- against naive computations ---------------------------------------------------------------

money = st.decimals(-5000, 5000, places=4)
trades = st.lists(
    st.builds(
        lambda number, gross, commission, swap, risk, closed, held: replace(
            trade("0", position_id=number, closed=closed, held=held),
            realized_pnl=gross,
            commission=commission,
            swap=swap,
            initial_risk=risk,
        ),
        number=st.integers(1, 10**6),
        gross=money,
        commission=st.decimals(0, 50, places=4),
        swap=st.decimals(-50, 50, places=4),
        risk=st.none() | st.decimals(1, 500, places=2),
        closed=st.integers(0, 5000),
        held=st.integers(0, 400),
    ),
    max_size=40,
    unique_by=lambda made: made.position_id,
)


@given(trades, st.randoms(use_true_random=False))
def test_trade_figures_agree_with_floats_and_ignore_the_order(
    made: list[ClosedTrade], random: object
) -> None:
    figures = values(trade_figures(made))
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert values(trade_figures(shuffled)) == figures

    nets = [float(t.realized_pnl) - float(t.commission) - float(t.swap) for t in made]
    nets = [0.0 if abs(net) < 1e-9 else net for net in nets]
    wins, losses = [n for n in nets if n > 0], [n for n in nets if n < 0]
    assert number(figures["net_profit"]) == pytest.approx(sum(nets), abs=1e-3)
    if made:
        assert number(figures["win_rate"]) == pytest.approx(len(wins) / len(nets), abs=1e-8)
        assert number(figures["expectancy"]) == pytest.approx(plain.fmean(nets), abs=1e-4)
        assert number(figures["best_trade"]) == pytest.approx(max(nets), abs=1e-4)
    if wins and losses:
        factor = sum(wins) / -sum(losses)
        payoff = plain.fmean(wins) / -plain.fmean(losses)
        assert number(figures["profit_factor"]) == pytest.approx(factor, rel=1e-6, abs=1e-7)
        assert number(figures["payoff_ratio"]) == pytest.approx(payoff, rel=1e-6, abs=1e-7)


@given(trades)
def test_streaks_agree_with_a_string_of_outcomes(made: list[ClosedTrade]) -> None:
    in_order = sorted(made, key=lambda t: (t.closed_at, t.position_id))
    outcomes = "".join("w" if t.net > 0 else "l" if t.net < 0 else "-" for t in in_order)
    figures = values(trade_figures(made))
    for name, letter in (("longest_win_streak", "w"), ("longest_loss_streak", "l")):
        longest = max(n for n in range(len(made) + 1) if letter * n in outcomes)
        assert figures[name] == longest


@given(trades)
def test_net_profit_is_gross_less_the_costs(made: list[ClosedTrade]) -> None:
    gross = sum((t.realized_pnl for t in made), D(0))
    costs = cost_figures(made)["total_costs"].value
    assert costs is not None
    assert trade_figures(made)["net_profit"].value == gross - costs


# -- equity at day ends -----------------------------------------------------------------------


def test_equity_is_sampled_at_five_in_new_york_and_carried_over_a_silent_day() -> None:
    times = [
        (datetime(2026, 3, 5, 21, 59, tzinfo=UTC), "100"),  # Thursday, a minute before its end
        (datetime(2026, 3, 6, 22, 0, tzinfo=UTC), "110"),  # Friday's end, sharp
        (datetime(2026, 3, 10, 20, 59, tzinfo=UTC), "120"),  # Tuesday, summer time by now
        (datetime(2026, 3, 10, 21, 0, tzinfo=UTC), "130"),  # Tuesday's end, sharp
        (datetime(2026, 3, 11, 20, 0, tzinfo=UTC), "140"),  # Wednesday is not over
    ]
    sampled = equity_at_day_ends([EquityPoint(at, D(e), D(1)) for at, e in times])
    assert [(p.time.isoformat(), p.equity) for p in sampled] == [
        ("2026-03-05T22:00:00+00:00", D(100)),
        ("2026-03-06T22:00:00+00:00", D(110)),
        ("2026-03-09T21:00:00+00:00", D(110)),
        ("2026-03-10T21:00:00+00:00", D(130)),
    ]


series = st.lists(
    st.tuples(st.integers(0, 60 * 24 * 4), st.decimals(1, 10**6, places=2), st.integers(0, 3)),
    max_size=60,
).map(
    lambda rows: [
        EquityPoint(MONDAY + timedelta(minutes=15 * quarters), equity, D(10_000 * exposure))
        for quarters, equity, exposure in sorted(rows, key=lambda row: row[0])
    ]
)


@given(series)
def test_day_ends_agree_with_a_search_of_each_day(made: list[EquityPoint]) -> None:
    expected = []
    day = trading_day(MONDAY)
    while made and day <= made[-1].time.date():
        end = datetime.combine(day, time(17), NEW_YORK).astimezone(UTC)
        if day.weekday() < 5 and made[0].time <= end <= made[-1].time:
            latest = [point for point in made if point.time <= end][-1]
            expected.append(EquityPoint(end, latest.equity, latest.exposure))
        day += timedelta(days=1)
    assert equity_at_day_ends(made) == expected


def test_no_points_make_no_samples_and_no_figures() -> None:
    assert equity_at_day_ends([]) == []
    assert drawdown([]) is None
    assert set(values(equity_figures([])).values()) == {None}
    assert set(values(equity_figures(points(100))).values()) == {None}


def test_points_out_of_order_are_refused() -> None:
    for compute in (equity_at_day_ends, drawdown, equity_figures):
        with pytest.raises(ValueError, match="Sort them by time"):
            compute(points(1, 2, 3)[::-1])


# -- daily returns and their ratios -----------------------------------------------------------


def test_ratios_of_daily_returns_worked_by_hand() -> None:
    # Returns +10 %, −10 %, +10 %: mean 1/30, deviation √(4/300), downside √(0.01/3).
    made = at_day_ends(100, 110, 99, "108.9")
    assert daily_returns(made) == pytest.approx([0.1, -0.1, 0.1])
    figures = equity_figures(made)
    year = math.sqrt(252)
    expected = {
        "total_return": 0.089,
        "volatility": math.sqrt(4 / 300) * year,
        "sharpe_ratio": (1 / 30) / math.sqrt(4 / 300) * year,
        "sortino_ratio": (1 / 30) / math.sqrt(0.01 / 3) * year,
        "max_drawdown": 0.1,
        "max_drawdown_amount": 11,
    }
    for name, value in expected.items():
        assert number(figures[name].value) == pytest.approx(value, abs=1e-7), name
    assert figures["sharpe_ratio"].sample == 3
    assert not figures["sharpe_ratio"].enough


@given(series)
def test_ratios_agree_with_a_naive_computation(made: list[EquityPoint]) -> None:
    days = [float(point.equity) for point in equity_at_day_ends(made)]
    returns = [b / a - 1 for a, b in pairwise(days)]
    figures = values(equity_figures(made))
    if len(returns) < 2:
        assert figures["sharpe_ratio"] is None
        return
    mean = sum(returns) / len(returns)
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
    downside = math.sqrt(sum(r * r for r in returns if r < 0) / len(returns))
    year = math.sqrt(252)
    assert number(figures["volatility"]) == pytest.approx(deviation * year, rel=1e-6, abs=1e-6)
    for name, risk in (("sharpe_ratio", deviation), ("sortino_ratio", downside)):
        if risk > 1e-9:
            value = mean / risk * year
            assert number(figures[name]) == pytest.approx(value, rel=1e-6, abs=1e-6)
        elif risk == 0:
            assert figures[name] is None


def test_returns_without_deviation_have_no_sharpe_ratio() -> None:
    made = at_day_ends(*(D(100) * D("1.01") ** n for n in range(10)))
    figures = values(equity_figures(made))
    assert figures["sharpe_ratio"] is None
    assert figures["sortino_ratio"] is None
    assert figures["volatility"] == 0


def test_equity_of_zero_or_less_has_no_ratios() -> None:
    figures = values(equity_figures(at_day_ends(100, 0, 50, 60)))
    assert figures["volatility"] is None
    assert figures["total_return"] == D("-0.4")
    assert values(equity_figures(at_day_ends(0, 10, 20)))["total_return"] is None


# -- drawdown and exposure ---------------------------------------------------------------------


def test_the_deepest_drawdown_has_its_start_trough_and_recovery() -> None:
    made = points(100, 120, 120, 90, 108, 119, 120, 130, 110)
    fall = drawdown(made)
    assert fall is not None
    assert (fall.depth, fall.amount) == (D("0.25"), D(30))
    assert fall.started_at == made[2].time  # the last time at the peak
    assert fall.trough_at == made[3].time
    assert fall.recovered_at == made[6].time


def test_a_drawdown_that_lasts_has_no_recovery_and_rising_equity_has_none() -> None:
    fall = drawdown(points(100, 80, 90))
    assert fall is not None
    assert fall.recovered_at is None
    assert drawdown(points(100, 100, 101)) is None
    assert values(equity_figures(points(100, 100, 101)))["max_drawdown"] == 0


def test_a_peak_of_zero_or_less_has_no_relative_drawdown() -> None:
    assert drawdown(points(-10, -20, 0, -5)) is None
    fall = drawdown(points(-10, -20, 10, 4))
    assert fall is not None
    assert fall.depth == D("0.6")


@given(series)
def test_drawdown_agrees_with_every_pair_of_points(made: list[EquityPoint]) -> None:
    depths = [
        (made[i].equity - made[j].equity) / made[i].equity
        for i in range(len(made))
        for j in range(i + 1, len(made))
    ]
    deepest = max(depths, default=D(0))
    fall = drawdown(made)
    if deepest <= 0:
        assert fall is None
        return
    assert fall is not None
    assert abs(fall.depth - deepest) <= D("0.00000001")
    assert fall.started_at <= fall.trough_at
    assert fall.recovered_at is None or fall.recovered_at >= fall.trough_at


def test_exposure_is_weighted_by_open_market_time() -> None:
    friday = datetime(2026, 3, 6, 20, tzinfo=UTC)  # two hours before the closing
    made = [
        EquityPoint(friday, D(100), D(200)),
        EquityPoint(friday + timedelta(hours=1), D(100), D(0)),
        EquityPoint(friday + timedelta(hours=24), D(100), D(0)),  # Saturday: no weight
        EquityPoint(datetime(2026, 3, 8, 23, tzinfo=UTC), D(100), D(0)),  # opened at 21:00 UTC
    ]
    figures = values(equity_figures(made))
    assert figures["time_in_market"] == D("0.25")
    assert figures["average_exposure"] == D("0.5")
    figures = values(equity_figures([replace(made[0], equity=D(-1)), *made[1:]]))
    assert figures["time_in_market"] == D("0.25")
    assert figures["average_exposure"] is None


@given(series)
def test_time_in_market_agrees_with_a_sum_of_spans(made: list[EquityPoint]) -> None:
    spans = [(open_seconds(a.time, b.time), a) for a, b in pairwise(made)]
    whole = sum(seconds for seconds, _ in spans)
    figures = values(equity_figures(made))
    if not whole:
        assert figures["time_in_market"] is None
        return
    share = sum(seconds for seconds, point in spans if point.exposure) / whole
    mean = sum(seconds * float(point.exposure / point.equity) for seconds, point in spans) / whole
    assert number(figures["time_in_market"]) == pytest.approx(share, abs=1e-7)
    assert number(figures["average_exposure"]) == pytest.approx(mean, rel=1e-6, abs=1e-7)


# -- realised volatility ----------------------------------------------------------------------


def test_realised_volatility_worked_by_hand() -> None:
    # Log returns ln 2, −ln 2: mean 0, variance 2·(ln 2)² ÷ 1.
    assert realized_volatility([1.0, 2.0, 1.0], 2) == pytest.approx(math.log(2) * math.sqrt(2))
    assert realized_volatility([9.0, 1.0, 2.0, 1.0], 2) == realized_volatility([1.0, 2.0, 1.0], 2)
    assert realized_volatility([5.0] * 10, 5) == 0


@given(st.lists(st.floats(0.5, 2), max_size=60), st.integers(2, 50))
def test_realised_volatility_agrees_with_a_naive_one(closes: list[float], window: int) -> None:
    volatility = realized_volatility(closes, window)
    if len(closes) < window + 1:
        assert volatility is None
        return
    logs = [math.log(close) for close in closes[-window - 1 :]]
    returns = [logs[n + 1] - logs[n] for n in range(window)]
    mean = sum(returns) / window
    naive = math.sqrt(sum((r - mean) ** 2 for r in returns) / (window - 1))
    assert volatility == pytest.approx(naive, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_realised_volatility_refuses_what_is_no_price(bad: float) -> None:
    with pytest.raises(ValueError, match="no price"):
        realized_volatility([1.0, bad, 1.0], 2)


def test_realised_volatility_refuses_a_window_of_one() -> None:
    with pytest.raises(ValueError, match="too short"):
        realized_volatility([1.0, 2.0], 1)
