"""run_simulation: the same fills as a cycle without short cuts, and a summary that adds up."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lts_web.plugins.bars_view import Columns
from lts_web.plugins.base import StrategyPluginBase
from lts_web.plugins.boundary import read_transactions
from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.plugins.broker.bar_replay import Market, half_even
from lts_web.plugins.broker.bar_table import ColumnNames, read_bars
from lts_web.plugins.broker.simulation import DrawdownGauge, Setup, Simulation
from lts_web.plugins.broker.strategy_forms import limits_of
from lts_web.plugins.strategy.default_strategy import DefaultStrategy
from lts_web.trading.instruments import find_instrument
from lts_web.trading.matching import Book, Ticket, TransactionKind, VenueTransaction
from lts_web.trading.positions import Fill, ledger_balance
from lts_web.trading.risk import RiskLimits
from tests.plugins.broker.bars import MONDAY, at, flat, hourly
from tests.plugins.broker.plain_cycle import Watched, plain_bar, plain_cycle

LOOSE = RiskLimits(
    require_stop_loss=False,
    require_take_profit=False,
    max_risk_per_trade=Decimal(1),
    position_size=Decimal(1),
    max_exposure=Decimal(1000),
    max_leverage=Decimal(1000),
)
# Instrument, account currency, price of the first bar, pairs that convert with their prices.
MARKETS = (
    ("EUR_USD", "USD", 1.1, {}),
    ("USD_JPY", "USD", 150.0, {}),
    ("EUR_GBP", "USD", 0.85, {"GBP_USD": 1.25}),
    ("USD_JPY", "EUR", 150.0, {"EUR_USD": 1.1}),
    ("EUR_USD", "EUR", 1.1, {}),
    ("USD_JPY", "USD", 150.0, {"EUR_USD": 1.1, "EUR_JPY": 165.0}),
)
steps = st.tuples(
    st.integers(-60, 60), st.integers(-80, 80), st.integers(0, 60), st.integers(0, 60)
)
actions = st.one_of(
    st.just(None),
    st.just("close"),
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        st.one_of(st.none(), st.integers(1, 150)),
        st.one_of(st.none(), st.integers(1, 150)),
        st.one_of(st.none(), st.integers(1, 400_000)),
    ),
)


def walk(instrument: str, price: float, moves: list[tuple[int, int, int, int]]) -> Columns:
    """Return bars that move by whole price steps, from the Friday evening of a week on."""
    scale = 10 ** find_instrument(instrument).price_precision
    points = round(price * scale)
    rows = []
    for gap, body, above, below in moves:
        opening = points + gap
        points = opening + body
        high, low = max(opening, points) + above, min(opening, points) - below
        rows.append((opening / scale, high / scale, low / scale, points / scale))
    # Some bars lie outside the calendar: an hour of the weekend on either side.
    columns = hourly(*rows, start=MONDAY + timedelta(days=4, hours=10))
    for index, opened in enumerate(columns.times):
        columns.times[index] = opened + (48 * 3600 if index >= 14 else 0)
    return columns


class Script:
    """Decides as drawn, one action for each bar, with levels in price steps from the close."""

    def __init__(self, drawn: list[Any], step: float) -> None:
        self.drawn, self.step, self.turn = drawn, step, -1

    def __call__(self, asset: dict[str, Any], market: dict[str, Any]) -> dict[str, Any]:
        self.turn += 1
        action = self.drawn[self.turn % len(self.drawn)]
        if action is None:
            return {"action": "none"}
        if action == "close":
            return {"action": "close", "reason": "drawn"}
        side, stop, target, quantity = action
        sign = 1 if side == "buy" else -1
        close = market["close"]
        return {
            "action": "open",
            "parameters": {
                "side": side,
                "quantity": quantity,
                "sl": None if stop is None else close - sign * stop * self.step,
                "tp": None if target is None else close + sign * (target + 30) * self.step,
            },
        }


def setup_of(broker: BacktraderSimulationBroker, market: Market) -> Setup:
    return Setup(
        market=market,
        initial_cash=Decimal(10_000),
        currency=str(broker.params["account_currency"]),
        costs=broker.costs(market.instrument),
        leverage=Decimal(100),
        limits=LOOSE,
        parameters={"window": 3},
    )


def without_client_ids(lines: list[VenueTransaction]) -> list[VenueTransaction]:
    return [replace(line, client_id="") for line in lines]


def fills_of(lines: list[VenueTransaction]) -> list[Fill]:
    """Return the fills as a ledger books them, with no amount of the venue's but its costs."""
    return [
        Fill(
            transaction_id=str(line.id),
            position_key=str(line.trade_id),
            instrument=line.instrument,
            units=line.units,
            price=line.price or Decimal(0),
            time=line.time,
            rate=line.rate or Decimal(0),
            commission=line.commission,
            swap=line.swap,
        )
        for line in lines
        if line.kind is TransactionKind.FILL
    ]


@pytest.mark.req("SYS-001", "SYS-013")
@settings(max_examples=150, deadline=None)
@given(
    which=st.sampled_from(MARKETS),
    moves=st.lists(steps, min_size=2, max_size=60),
    drawn=st.lists(actions, min_size=1, max_size=25),
)
def test_short_cuts_change_nothing_and_no_money_is_lost(
    which: tuple[str, str, float, dict[str, float]],
    moves: list[tuple[int, int, int, int]],
    drawn: list[Any],
) -> None:
    name, currency, price, conversions = which
    broker = BacktraderSimulationBroker({"instrument": name, "account_currency": currency})
    instrument = find_instrument(name)
    others = {pair: walk(pair, rate, moves[::-1]) for pair, rate in conversions.items()}
    setup = setup_of(broker, Market(instrument, walk(name, price, moves), others))
    fast = Watched(Script(drawn, float(instrument.price_step)))
    simulation = Simulation(setup)
    simulation.run(fast)
    slow = Watched(Script(drawn, float(instrument.price_step)))
    book = plain_cycle(setup, broker, slow)
    assert without_client_ids(simulation.book.transactions) == without_client_ids(book.transactions)
    for one, other in zip(fast.seen, slow.seen, strict=True):
        assert one == other
    assert simulation.codes.total() == len(moves)
    assert ledger_balance(setup.initial_cash, fills_of(book.transactions)) == book.balance
    simulation.replay.mark()
    assert simulation.book.account() == book.account()


@settings(max_examples=100, deadline=None)
@given(
    which=st.sampled_from(MARKETS),
    moves=st.lists(steps, min_size=2, max_size=40),
    drawn=st.lists(actions, min_size=1, max_size=20),
)
def test_a_bar_function_meets_the_book_that_sees_every_bar(
    which: tuple[str, str, float, dict[str, float]],
    moves: list[tuple[int, int, int, int]],
    drawn: list[Any],
) -> None:
    name, currency, price, conversions = which
    instrument = find_instrument(name)
    broker = BacktraderSimulationBroker({"instrument": name, "account_currency": currency})
    broker.load_columns(walk(name, price, moves))
    others = {pair: walk(pair, rate, moves[::-1]) for pair, rate in conversions.items()}
    for pair, columns in others.items():
        broker.load_conversion_columns(pair, columns)
    book = Book(currency, Decimal(10_000))
    script = Script(
        [one for one in drawn if one != "close"] or [None], float(instrument.price_step)
    )

    def act(own: BacktraderSimulationBroker, index: int, bar: dict[str, Any]) -> None:
        bars = {pair: plain_bar(columns, index) for pair, columns in others.items()}
        own_bar = plain_bar(walk(name, price, moves), index)
        book.on_bars(
            own_bar.open_time, own_bar.open_time + timedelta(hours=1), bars | {name: own_bar}
        )
        assert own.get_account_summary()["equity"] == float(book.account().equity)
        asked = script({}, bar).get("parameters")
        if asked is not None:
            quantity = asked.pop("quantity") or 1000
            own.open_order(asked | {"quantity": quantity, "client_order_id": f"c{index}"})
            now = own_bar.open_time + timedelta(hours=1)
            levels = [
                None if asked[key] is None else instrument.round_price(Decimal(repr(asked[key])))
                for key in ("sl", "tp")
            ]
            units = quantity if asked["side"] == "buy" else -quantity
            costs = broker.costs(instrument)
            book.submit(Ticket(f"c{index}", name, name, units, now, now, *levels, costs))

    broker.run_simulation(act, close_at_end=False)
    seen = read_transactions(broker.get_transactions_since(0, 10_000))
    assert seen == book.transactions


REFERENCE = os.environ.get("LTS_REFERENCE_DATA")


@pytest.mark.req("SYS-001")
@pytest.mark.skipif(not REFERENCE, reason="LTS_REFERENCE_DATA names no folder of real bars")
@pytest.mark.parametrize(
    ("file", "name"),
    [("eurusd_h1_2018_2020.csv", "EUR_USD"), ("usdjpy_h1_2012_2022.csv", "USD_JPY")],
)
def test_real_bars_give_the_fills_of_the_plain_cycle(file: str, name: str) -> None:
    broker = BacktraderSimulationBroker({"instrument": name})
    instrument = find_instrument(name)
    whole = read_bars(Path(str(REFERENCE)) / file, ColumnNames(), instrument)
    columns = first_of(whole, 1500)
    broker.load_columns(columns)
    strategy = DefaultStrategy()
    summary = broker.run_simulation(strategy, close_at_end=False)
    setup = replace(
        setup_of(broker, Market(instrument, columns)),
        limits=limits_of(strategy.params),
        parameters=strategy.params,
    )
    book = plain_cycle(setup, broker, strategy.decide)
    fills = without_client_ids(
        [line for line in book.transactions if line.kind is TransactionKind.FILL]
    )
    assert len(fills) > 40
    assert without_client_ids(read_transactions(summary["fills"])) == fills
    assert summary["final_cash"] == float(book.balance)


def first_of(columns: Columns, count: int) -> Columns:
    return Columns(
        columns.timeframe_seconds,
        columns.times[:count],
        columns.opens[:count],
        columns.highs[:count],
        columns.lows[:count],
        columns.closes[:count],
    )


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_half_even_is_decimals_rounding(numerator: int, divisor: int) -> None:
    exact = Decimal(numerator) / divisor
    if (exact * divisor) == numerator and abs(exact - round(exact)) != Decimal("0.5"):
        assert half_even(numerator, divisor) == round(exact)
    assert half_even(2 * numerator + 1, 2) == round(Decimal(2 * numerator + 1) / 2)


class Buyer(StrategyPluginBase):
    """Buys when flat, with stop and target 100 and 200 pips away; no quantity."""

    plugin_params: ClassVar[dict[str, Any]] = {"position_size": 0.5, "max_risk_per_trade": 0.01}

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        if asset_data["open_positions"]:
            return {"action": "none"}
        close = market_data["close"]
        return {
            "action": "open",
            "parameters": {"side": "buy", "sl": close - 0.01, "tp": close + 0.02},
        }


FREE = {"spread_pips": 0, "slippage_pips": 0, "commission_per_lot": 0, "swap_per_lot_day": 0}


@pytest.mark.req("SYS-006")
def test_a_strategy_plugin_is_sized_by_its_own_parameters_and_the_summary_adds_up() -> None:
    broker = BacktraderSimulationBroker(FREE)
    rising = [(1.1, 1.1, 1.1, 1.1), (1.1, 1.1, 1.1, 1.1), (1.1, 1.13, 1.1, 1.12)]
    broker.load_columns(hourly(*rising, (1.12, 1.12, 1.12, 1.12), (1.12, 1.12, 1.1, 1.1)))
    summary = broker.run_simulation(Buyer())
    # Risk 1 % of 10,000 over 100 pips is 10,000 units, at most: the entry 1.1 fills at 1.1.
    first, second = summary["trades"]
    assert (first["units"], first["entry_price"]) == (10_000, 1.1)
    assert first["open_time"] == at(1)
    assert (first["close_reason"], first["close_price"], first["pnl"]) == (
        "take_profit",
        1.12,
        200.0,
    )
    # 1 % of 10,200 over 100 pips; opened at 1.12, stopped at 1.11.
    assert (second["units"], second["close_reason"]) == (10_200, "stop_loss")
    assert summary["initial_cash"] == 10000.0
    assert summary["final_cash"] == summary["final_equity"] == 10098.0
    assert summary["total_return_pct"] == pytest.approx(0.98)
    assert (summary["total_trades"], summary["winners"], summary["losers"]) == (2, 1, 1)
    assert summary["win_rate"] == 0.5
    assert summary["profit_factor"] == pytest.approx(200 / 102)
    assert summary["total_pnl"] == 98.0
    assert summary["total_commission"] == summary["total_swap"] == 0.0
    assert summary["max_drawdown"] == pytest.approx(102 / 10200)
    assert summary["close_reasons"] == {"take_profit": 1, "stop_loss": 1}
    assert summary["decisions"] == {"open": 3, "none": 2}
    assert summary["bars"] == 5
    assert summary["currency"] == "USD"
    assert len(read_transactions(summary["fills"])) == 4
    assert broker.get_trade_history() == summary["trades"]
    # The bound method and a plain function of two are the same strategy.
    assert broker.run_simulation(Buyer().decide) == summary
    limits = RiskLimits(position_size=Decimal("0.5"), max_risk_per_trade=Decimal("0.01"))
    again = broker.run_simulation(
        lambda asset, market: Buyer().decide(asset, market), limits=limits
    )
    assert again == summary


def test_what_is_open_at_the_end_is_closed_or_left() -> None:
    broker = BacktraderSimulationBroker(FREE)
    broker.load_columns(hourly(*flat(1.1, 3)))
    closed = broker.run_simulation(Buyer())
    assert [trade["close_reason"] for trade in closed["trades"]] == ["end_of_data"]
    assert closed["trades"][0]["close_time"] == at(3)
    assert broker.get_open_orders() == []
    left = broker.run_simulation(Buyer(), close_at_end=False)
    assert left["trades"] == []
    assert len(broker.get_open_trades()) == 1
    # An order of the last bar waits for a bar that never comes.
    broker.load_columns(hourly(*flat(1.1, 1)))
    broker.run_simulation(Buyer(), close_at_end=False)
    assert [order["status"] for order in broker.get_open_orders()] == ["pending"]
    broker.run_simulation(Buyer())
    assert broker.get_open_orders() == []


def test_each_refusal_is_counted_by_its_code() -> None:
    broker = BacktraderSimulationBroker()
    broker.load_columns(hourly(*flat(1.1, 6)))
    answers: list[object] = [
        {"action": "open", "parameters": {"side": "buy"}},
        {"action": "open", "parameters": {"side": "buy", "sl": 1.2, "tp": 1.3}},
        {"action": "close"},
        {"action": "hover"},
        None,
        {"action": "none", "reason": "nothing to do"},
    ]
    summary = broker.run_simulation(lambda asset, market: answers.pop(0))
    assert summary["decisions"] == {
        "NO_STOP_LOSS": 1,
        "STOP_WRONG_SIDE": 1,
        "NO_OPEN_POSITION": 1,
        "PLUGIN_ANSWER_INVALID": 2,
        "none": 1,
    }


def test_a_missing_rate_denies_entries() -> None:
    broker = BacktraderSimulationBroker({"instrument": "EUR_GBP"})
    broker.load_columns(hourly(*flat(0.85, 3)))
    answer = {"action": "open", "parameters": {"side": "buy", "sl": 0.84, "tp": 0.87}}
    assert broker.run_simulation(lambda a, m: answer)["decisions"] == {
        "NO_CONVERSION": 3,
        "none": 0,
    }


def test_a_function_of_broker_index_and_bar_trades_at_the_next_open() -> None:
    broker = BacktraderSimulationBroker(FREE)
    broker.load_columns(
        hourly((1.1, 1.1, 1.1, 1.1), (1.11, 1.11, 1.11, 1.11), (1.12, 1.13, 1.12, 1.13))
    )
    seen = []

    def act(own: BacktraderSimulationBroker, index: int, bar: dict[str, Any]) -> None:
        seen.append((index, bar["datetime"], bar["close"], len(own.get_open_trades())))
        if index == 0:
            answer = own.open_order("EUR_USD", "buy", 0.1)
            assert (answer["status"], answer["entry_price"]) == ("accepted", None)
            waiting = own.open_order("EUR_USD", "sell", 0.1)
            assert own.close_order(waiting["order_id"])["status"] == "cancelled"
        elif index == 1:
            assert own.get_account_summary()["unrealized_pnl"] == 0.0
            answer = own.close_order(own.get_open_trades()[0]["order_id"])
            assert (answer["status"], answer["close_price"]) == ("accepted", None)

    summary = broker.run_simulation(act)
    assert seen == [(0, at(0), 1.1, 0), (1, at(1), 1.11, 1), (2, at(2), 1.13, 0)]
    [trade] = summary["trades"]
    assert (trade["entry_price"], trade["open_time"]) == (1.11, at(1))
    assert (trade["close_price"], trade["close_time"]) == (1.12, at(2))
    assert summary["final_cash"] == 10100.0
    assert summary["decisions"] == {}


def test_without_a_strategy_the_rest_of_the_bars_passes_over_what_is_open() -> None:
    broker = BacktraderSimulationBroker(FREE)
    broker.load_columns(hourly(*flat(1.1, 2), (1.1, 1.1, 1.08, 1.09)))
    broker.open_order("EUR_USD", "buy", 0.1, sl=1.085)
    summary = broker.run_simulation()
    assert summary["close_reasons"] == {"stop_loss": 1}
    assert summary["max_drawdown"] == pytest.approx(0.015)
    assert broker.run_simulation(Buyer())["initial_cash"] == 10000.0


def test_what_is_no_strategy_is_refused() -> None:
    broker = BacktraderSimulationBroker()
    broker.load_columns(hourly(*flat(1.1, 2)))
    with pytest.raises(TypeError, match="is no strategy"):
        broker.run_simulation(42)


def test_what_a_strategy_raises_reaches_its_author() -> None:
    broker = BacktraderSimulationBroker()
    broker.load_columns(hourly(*flat(1.1, 2)))

    def broken(asset: dict[str, Any], market: dict[str, Any]) -> None:
        raise ZeroDivisionError("in the strategy")

    with pytest.raises(ZeroDivisionError, match="in the strategy"):
        broker.run_simulation(broken)


class Vandal(Buyer):
    """Decides as its base does, and then spoils everything that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        self.told.append(dict(asset_data["parameters"]))
        answer = super().decide(asset_data, market_data)
        for position in asset_data["open_positions"]:
            position["quantity"] = 0
        asset_data["parameters"]["position_size"] = "nonsense"
        asset_data["open_positions"].append("nonsense")
        market_data["predictions"].append("nonsense")
        asset_data.clear()
        market_data.clear()
        return answer


def test_nothing_a_strategy_does_to_its_arguments_matters() -> None:
    vandal = Vandal()
    bars = hourly(*flat(1.1, 4), (1.1, 1.12, 1.1, 1.12), *flat(1.12, 3))
    clean, dirty = BacktraderSimulationBroker(), BacktraderSimulationBroker()
    clean.load_columns(bars)
    dirty.load_columns(bars)
    expected = clean.run_simulation(Buyer(), limits=RiskLimits())
    assert expected["total_trades"] == 2
    assert dirty.run_simulation(vandal, limits=RiskLimits()) == expected
    assert vandal.told == [vandal.params] * len(bars)


def test_at_the_close_of_the_week_nothing_is_opened_whatever_the_bar_length() -> None:
    sunday = datetime(2026, 1, 4, 22, tzinfo=UTC)  # 17:00 in New York
    answer = {"action": "open", "parameters": {"side": "buy", "sl": 1.0, "tp": 1.2}}
    for hours in (24, 8, 1):
        count = 120 // hours
        broker = BacktraderSimulationBroker()
        bars = hourly(*flat(1.1, count), start=sunday, seconds=hours * 3600)
        broker.load_columns(bars)
        decisions = broker.run_simulation(lambda asset, market: answer)["decisions"]
        # The fill of the first entry comes with the second bar, so only one is ever opened.
        others = {"open": 1, "ASSET_POSITION_OPEN": count - 2, "none": 0}
        assert decisions == others | {"MARKET_CLOSED": 1}
    # A bar of a whole week closes when the next week opens, and there the market is open.
    broker = BacktraderSimulationBroker()
    broker.load_columns(hourly(*flat(1.1, 1), start=sunday, seconds=7 * 86_400))
    assert broker.run_simulation(lambda asset, market: answer)["decisions"]["open"] == 1


@given(st.lists(st.integers(-50, 50), min_size=1))
def test_the_drawdown_is_the_deepest_fall_below_the_highest_so_far(changes: list[int]) -> None:
    gauge, equities = DrawdownGauge(100), [100]
    for change in changes:
        equities.append(equities[-1] + change)
        gauge.see(equities[-1])
    falls = [
        (peak - equity) / peak
        for peak, equity in zip(accumulate(equities, max), equities, strict=True)
    ]
    assert gauge.worst == max(falls)


def test_conversion_bars_must_be_as_long_as_the_traded_ones() -> None:
    broker = BacktraderSimulationBroker({"instrument": "EUR_GBP"})
    broker.load_columns(hourly(*flat(0.85, 2)))
    with pytest.raises(ValueError, match="load equal ones"):
        broker.load_conversion_columns("GBP_USD", hourly(*flat(1.25, 2), seconds=60))
