"""backtrader_simulation_broker without a house: each documented method, with hand-worked sums."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import pytest

from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.plugins.broker.bar_table import BarTableError
from tests.plugins.broker.bars import MONDAY, at, flat, hourly, write_csv

DOCUMENTED = {
    "initial_cash": 10000.0,
    "leverage": 100,
    "spread_pips": 2.0,
    "commission_per_lot": 7.0,
    "slippage_pips": 1.0,
    "swap_per_lot_day": 10.0,
    "pip_value": 0.0001,
    "lot_size": 100000,
    "instrument": "EUR_USD",
    "csv_file": "",
    "datetime_column": "DATE_TIME",
    "datetime_format": "%Y-%m-%d %H:%M:%S",
    "open_col": "OPEN",
    "high_col": "HIGH",
    "low_col": "LOW",
    "close_col": "CLOSE",
}
FREE = {"spread_pips": 0, "slippage_pips": 0, "commission_per_lot": 0, "swap_per_lot_day": 0}


@pytest.fixture
def broker() -> BacktraderSimulationBroker:
    return BacktraderSimulationBroker()


def test_documented_parameters_have_their_defaults() -> None:
    assert DOCUMENTED.items() <= BacktraderSimulationBroker.plugin_params.items()


@pytest.mark.req("SYS-006")
def test_a_long_trade_costs_what_the_documents_say(broker: BacktraderSimulationBroker) -> None:
    opened = broker.open_order("EUR_USD", "buy", 1.0, price=1.10000, timestamp=MONDAY)
    assert opened["success"]
    # 1.10000 + (2 + 1) pips; commission 7 a lot; margin 100,000 × 1.1003 / 100.
    assert opened["entry_price"] == opened["fill_price"] == 1.1003
    assert broker.get_account_summary()["balance"] == 9993.0
    assert broker.get_account_summary()["margin"] == 1100.3
    closed = broker.close_order(
        opened["order_id"], price=1.105, timestamp=MONDAY + timedelta(days=2)
    )
    # (1.105 − 1.1003) × 100,000 = 470; swap 10 × 2 days; 10,000 − 7 + 470 − 20.
    assert closed["success"]
    assert closed["close_price"] == 1.105
    assert closed["pnl"] == 470.0
    assert closed["trade"]["swap"] == 20.0
    assert closed["trade"]["net_pnl"] == 450.0
    assert closed["trade"]["commission"] == 7.0
    assert closed["trade"]["pnl_pips"] == pytest.approx(47.0)
    assert broker.get_account_summary()["balance"] == 10443.0


def test_a_short_trade_pays_the_same_costs(broker: BacktraderSimulationBroker) -> None:
    opened = broker.open_order("EUR_USD", "sell", 0.5, price=1.2, timestamp=MONDAY)
    assert opened["entry_price"] == 1.1997
    closed = broker.close_order(
        opened["trade_id"], price=1.19, timestamp=MONDAY + timedelta(hours=36)
    )
    # (1.1997 − 1.19) × 50,000 = 485; swap 10 × 0.5 × 1.5; commission 3.5.
    assert closed["pnl"] == 485.0
    assert closed["trade"]["swap"] == 7.5
    assert broker.get_account_summary()["balance"] == 10000 - 3.5 + 485 - 7.5


def test_yen_pairs_use_their_own_pip_and_convert_the_profit() -> None:
    broker = BacktraderSimulationBroker({"instrument": "USD_JPY", "swap_per_lot_day": 0})
    opened = broker.open_order(direction="buy", volume=0.1, price=150.0, timestamp=MONDAY)
    assert opened["entry_price"] == 150.03
    closed = broker.close_order(opened["order_id"], price=151.03, timestamp=at(1))
    # 1 yen × 10,000 units = 10,000 JPY, at 151.03 JPY for a dollar.
    assert closed["pnl"] == round(10_000 / 151.03, 4)
    assert broker.get_account_summary()["balance"] == pytest.approx(10000 - 0.7 + closed["pnl"])


def test_a_cross_without_a_rate_is_refused_and_with_one_converted() -> None:
    config = FREE | {"instrument": "EUR_GBP"}
    lone = BacktraderSimulationBroker(config)
    refused = lone.open_order(direction="buy", volume=1, price=0.85, timestamp=MONDAY)
    assert refused == {
        "success": False,
        "code": "NO_CONVERSION",
        "error": "The venue had no rate to the account currency.",
    }
    broker = BacktraderSimulationBroker(config)
    broker.load_columns(hourly((0.85, 0.85, 0.85, 0.85), (0.86, 0.86, 0.86, 0.86)))
    broker.load_conversion_columns("GBP_USD", hourly(*flat(1.25, 2)))
    opened = broker.open_order(direction="buy", volume=1)
    assert opened["entry_price"] == 0.85
    broker.tick()
    # 0.01 × 100,000 GBP × 1.25 USD.
    assert broker.get_account_summary()["unrealized_pnl"] == 1250.0
    assert broker.get_open_trades()[0]["unrealized_pnl"] == 1250.0
    assert broker.close_order(opened["order_id"])["pnl"] == 1250.0


def test_yen_in_an_account_in_euro_uses_two_rates() -> None:
    broker = BacktraderSimulationBroker(
        {"instrument": "USD_JPY", "account_currency": "EUR", "swap_per_lot_day": 0}
    )
    broker.load_columns(hourly(*flat(150.0, 2)))
    refused = broker.open_order(direction="buy", volume=1)
    assert refused["code"] == "NO_CONVERSION"
    broker.load_conversion_columns("EUR_USD", hourly(*flat(1.25, 2)))
    assert broker.open_order(direction="buy", volume=1)["entry_price"] == 150.03
    # The commission of 7 USD is 5.60 EUR.
    assert broker.get_account_summary()["balance"] == 10000 - 5.6
    assert broker.get_account_summary()["currency"] == "EUR"


def test_margin_is_what_an_order_may_not_exceed() -> None:
    broker = BacktraderSimulationBroker({"initial_cash": 1000.0, "leverage": 30})
    answer = broker.open_order("EUR_USD", "buy", 1.0, price=1.1, timestamp=MONDAY)
    assert not answer["success"]
    assert answer["code"] == "INSUFFICIENT_MARGIN"
    assert "margin" in answer["error"]
    assert broker.get_account_summary()["balance"] == 1000.0
    assert broker.get_open_orders() == []


@pytest.mark.req("INT-012")
@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"direction": "up"}, "SIDE_INVALID"),
        ({"direction": None}, "SIDE_INVALID"),
        ({"volume": -1}, "UNITS_INVALID"),
        ({"volume": 0}, "UNITS_INVALID"),
        ({"volume": math.nan}, "UNITS_INVALID"),
        ({"volume": math.inf}, "UNITS_INVALID"),
        ({"volume": "much"}, "UNITS_INVALID"),
        ({"volume": True}, "UNITS_INVALID"),
        ({"volume": None}, "UNITS_INVALID"),
        ({"volume": 0.000001}, "UNITS_INVALID"),
        ({"volume": 1e300}, "UNITS_INVALID"),
        ({"volume": None, "quantity": -5}, "UNITS_INVALID"),
        ({"volume": None, "quantity": 1.5}, "UNITS_INVALID"),
        ({"price": -1.1}, "PRICE_INVALID"),
        ({"price": math.nan}, "PRICE_INVALID"),
        ({"sl": "low"}, "PRICE_INVALID"),
        ({"sl": 1.2}, "STOP_LOSS_ON_FILL_LOSS"),
        ({"tp": 1.0}, "TAKE_PROFIT_ON_FILL_LOSS"),
        ({"sl": 1.0, "stop_loss": 1.01}, "PARAMETERS_CONTRADICT"),
        ({"side": "sell"}, "PARAMETERS_CONTRADICT"),
        ({"instrument": "EURUSDX"}, "INSTRUMENT_INVALID"),
        ({"timestamp": "yesterday"}, "TIMESTAMP_INVALID"),
        ({"client_order_id": 7}, "CLIENT_ID_INVALID"),
        ({"order_type": "limit"}, "ORDER_TYPE_UNSUPPORTED"),
        ({"price": None}, "NO_PRICE"),
    ],
)
def test_bad_orders_are_refused_in_words(
    broker: BacktraderSimulationBroker, parameters: dict[str, object], code: str
) -> None:
    asked = {"instrument": "EUR_USD", "direction": "buy", "volume": 0.1, "price": 1.1}
    answer = broker.open_order({**asked, "timestamp": MONDAY, **parameters})
    assert answer["success"] is False
    assert answer["code"] == code
    assert answer["error"].endswith(".")
    assert broker.get_account_summary()["balance"] == 10000.0
    assert broker.get_open_trades() == []


def test_one_dictionary_with_any_documented_name_is_the_same_order() -> None:
    answers = []
    for order in (
        {"symbol": "EURUSD", "side": "long", "quantity": 10_000, "stop_loss": 1.09},
        {"instrument": "EUR/USD", "direction": "BUY", "volume": 0.1, "sl": 1.09},
    ):
        broker = BacktraderSimulationBroker()
        order |= {"price": 1.1, "take_profit": 1.12, "timestamp": "2026-01-05T00:00:00Z"}
        answer = broker.execute_order("open", order)
        answers.append((answer, broker.get_open_trades()))
    assert answers[0] == answers[1]
    assert answers[0][1][0]["units"] == 10_000
    assert answers[0][1][0]["volume"] == 0.1


def test_ticks_test_the_stop_before_the_target() -> None:
    broker = BacktraderSimulationBroker(FREE)
    broker.load_columns(hourly(*flat(1.1, 2), (1.1, 1.2, 1.0, 1.1), (1.1, 1.1, 1.1, 1.1)))
    opened = broker.open_order("EUR_USD", "buy", 0.1, tp=1.15, sl=1.05)
    assert broker.tick(1) == []
    [trade] = broker.tick(2)
    assert trade["trade_id"] == opened["trade_id"]
    assert trade["close_reason"] == "stop_loss"
    assert trade["close_price"] == 1.05
    assert trade["pnl"] == -500.0
    assert broker.tick() == []
    assert broker.tick() == []
    assert broker.get_trade_history() == [trade]


def test_a_gap_through_the_stop_fills_at_the_open_and_a_target_at_its_level() -> None:
    for side, sl, tp, row, reason, price in (
        ("buy", 1.05, 1.2, (1.02, 1.03, 1.01, 1.02), "stop_loss", 1.02),
        ("sell", 1.15, 1.0, (1.17, 1.18, 1.16, 1.17), "stop_loss", 1.17),
        ("buy", 1.05, 1.15, (1.18, 1.19, 1.17, 1.18), "take_profit", 1.15),
        ("sell", 1.15, 1.05, (1.02, 1.03, 1.01, 1.02), "take_profit", 1.05),
    ):
        broker = BacktraderSimulationBroker(FREE)
        broker.load_columns(hourly((1.1, 1.1, 1.1, 1.1), row))
        assert broker.open_order("EUR_USD", side, 0.1, tp, sl)["success"]
        [trade] = broker.tick()
        assert (trade["close_reason"], trade["close_price"]) == (reason, price)


def test_the_bar_whose_close_was_the_entry_tests_nothing() -> None:
    broker = BacktraderSimulationBroker(FREE)
    broker.load_columns(hourly((1.1, 1.2, 1.0, 1.1), (1.1, 1.1, 1.1, 1.1)))
    broker.open_order("EUR_USD", "buy", 0.1, sl=1.05, tp=1.15)
    assert broker.tick(0) == []
    assert broker.tick(1) == []
    assert len(broker.get_open_trades()) == 1


def test_ticks_go_forward_only(broker: BacktraderSimulationBroker) -> None:
    broker.load_columns(hourly(*flat(1.1, 3)))
    broker.tick(2)
    with pytest.raises(ValueError, match="Bar 1 has passed"):
        broker.tick(1)
    with pytest.raises(IndexError, match="no bar 3"):
        broker.tick(3)


def test_bars_outside_the_calendar_test_no_stop() -> None:
    broker = BacktraderSimulationBroker(FREE)
    # Friday 21:00 UTC is the last hour of the week, 22:00 lies outside.
    friday = MONDAY + timedelta(days=4, hours=21)
    broker.load_columns(hourly((1.1, 1.1, 1.1, 1.1), (1.0, 1.0, 1.0, 1.0), start=friday))
    broker.open_order("EUR_USD", "buy", 0.1, sl=1.05)
    assert broker.tick(1) == []
    assert broker.get_account_summary()["unrealized_pnl"] == 0


def test_modify_replaces_what_is_named_and_refuses_the_wrong_side() -> None:
    broker = BacktraderSimulationBroker(FREE)
    broker.load_columns(hourly(*flat(1.1, 2)))
    opened = broker.open_order("EUR_USD", "buy", 0.1, sl=1.05, tp=1.15)
    order_id = opened["order_id"]
    answer = broker.modify_order(order_id, sl=1.06)
    assert answer == {"success": True, "order_id": order_id, "sl": 1.06, "tp": 1.15}
    assert broker.modify_order(order_id, {"take_profit": None})["tp"] is None
    assert broker.get_open_trades()[0]["sl"] == 1.06
    assert broker.get_open_trades()[0]["tp"] is None
    assert broker.modify_order(order_id, sl=1.2)["code"] == "STOP_WRONG_SIDE"
    assert broker.modify_order(order_id, tp=1.0)["code"] == "TARGET_WRONG_SIDE"
    assert broker.modify_order(order_id, sl=-1)["code"] == "PRICE_INVALID"
    assert broker.modify_order("77", sl=1.0)["code"] == "TRADE_DOESNT_EXIST"
    assert broker.get_open_trades()[0]["sl"] == 1.06


def test_closing_what_is_not_there_keeps_the_account(broker: BacktraderSimulationBroker) -> None:
    broker.open_order("EUR_USD", "buy", 0.1, price=1.1, timestamp=MONDAY)
    for order_id, code in (
        ("99", "TRADE_DOESNT_EXIST"),
        ("x", "ORDER_DOESNT_EXIST"),
        (None, "ORDER_DOESNT_EXIST"),
    ):
        assert broker.close_order(order_id, price=1.1)["code"] == code
    assert len(broker.get_open_trades()) == 1


def test_a_failed_close_keeps_the_trade(broker: BacktraderSimulationBroker) -> None:
    opened = broker.open_order("EUR_USD", "buy", 0.1, price=1.1, timestamp=MONDAY)
    assert broker.close_order(opened["order_id"], price=math.nan)["code"] == "PRICE_INVALID"
    assert len(broker.get_open_trades()) == 1
    assert broker.close_order(opened["order_id"], price=1.1, timestamp=at(1))["success"]
    again = broker.close_order(opened["order_id"], price=1.1, timestamp=at(2))
    assert again["code"] == "TRADE_DOESNT_EXIST"


@pytest.mark.parametrize(
    ("reason", "recorded"),
    [("stop_loss", "stop_loss"), ("tp", "take_profit"), ("manual", "close")],
)
def test_the_reason_of_a_close_is_recorded(
    broker: BacktraderSimulationBroker, reason: str, recorded: str
) -> None:
    opened = broker.open_order("EUR_USD", "buy", 0.1, price=1.1, timestamp=MONDAY)
    closed = broker.close_order(opened["order_id"], 1.2, reason, at(1))
    assert closed["trade"]["close_reason"] == recorded


def test_prices_accounts_and_orders_can_be_read(broker: BacktraderSimulationBroker) -> None:
    assert broker.get_current_price() == {
        "success": False,
        "error": "No price of EUR_USD is known: load bars, or wait for the first one.",
    }
    assert broker.get_current_price("nonsense")["success"] is False
    broker.load_columns(hourly(*flat(1.1, 2)))
    assert broker.get_current_price("EURUSD") == {
        "success": True,
        "bid": 1.0999,
        "ask": 1.1001,
        "spread": 0.0002,
        "instrument": "EUR_USD",
        "time": at(1),
    }
    broker.open_order("EUR_USD", "buy", 0.1)
    [order] = broker.get_open_orders()
    assert order["status"] == "open"
    assert order["direction"] == "buy"
    summary = broker.get_account_summary()
    assert summary["equity"] == pytest.approx(10000 - 0.7 - 3.0)
    assert summary["unrealized_pnl"] == -3.0
    assert broker.get_last_transaction_id() == summary["last_transaction_id"] == 2
    first, second = broker.get_transactions_since(0)
    assert (first["kind"], second["kind"]) == ("order", "fill")
    assert broker.get_transactions_since(1) == [second]
    assert broker.get_transactions_since(0, 1) == [first]
    assert broker.get_trade_history(0) == []


def test_history_holds_the_last_trades_in_order(broker: BacktraderSimulationBroker) -> None:
    for number in range(3):
        opened = broker.open_order("EUR_USD", "buy", 0.1, price=1.1, timestamp=at(number))
        broker.close_order(opened["order_id"], 1.1 + number / 100, timestamp=at(number + 1))
    assert [trade["close_price"] for trade in broker.get_trade_history(2)] == [1.11, 1.12]
    assert len(broker.get_trade_history()) == 3


@pytest.mark.parametrize(
    "config",
    [
        {"initial_cash": 0},
        {"initial_cash": "much"},
        {"leverage": 0.5},
        {"spread_pips": -1},
        {"slippage_pips": math.nan},
        {"commission_per_lot": math.inf},
        {"swap_per_lot_day": "a lot"},
        {"instrument": "EUR"},
        {"account_currency": "XXX"},
    ],
)
def test_impossible_parameters_are_refused_at_once(config: dict[str, object]) -> None:
    [name] = config
    with pytest.raises(ValueError, match="EUR" if name == "instrument" else name):
        BacktraderSimulationBroker(config)
    good = BacktraderSimulationBroker()
    with pytest.raises(ValueError, match=r"\w"):
        good.set_params(**config)


def test_a_pip_or_lot_that_contradicts_the_instrument_is_an_error() -> None:
    assert BacktraderSimulationBroker().check_instrument("USD_JPY") is None
    broker = BacktraderSimulationBroker({"pip_value": 0.0001, "instrument": "USD_JPY"})
    sentence = broker.check_instrument("USD_JPY")
    assert sentence is not None
    assert "pip_value" in sentence
    assert "0.01" in sentence
    assert broker.check_instrument("EUR_USD") is None
    refused = broker.open_order(direction="buy", volume=1, price=150, timestamp=MONDAY)
    assert refused == {"success": False, "code": "CONFIGURATION_INVALID", "error": sentence}
    broker.load_columns(hourly(*flat(150.0, 2)))
    with pytest.raises(ValueError, match="pip_value"):
        broker.run_simulation()
    lots = BacktraderSimulationBroker({"lot_size": 1000}).check_instrument("EUR_USD")
    assert lots is not None
    assert "lot_size" in lots
    assert BacktraderSimulationBroker({"lot_size": 100000}).check_instrument("EUR_USD") is None


def test_csv_files_are_read_by_the_documented_parameters(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "bars.csv", hourly((1.1, 1.2, 1.0, 1.15), (1.15, 1.2, 1.1, 1.2)))
    broker = BacktraderSimulationBroker({"csv_file": str(path)})
    assert broker.load_csv() == 2
    assert broker.get_bars()[0] == {
        "datetime": MONDAY,
        "time": MONDAY,
        "open": 1.1,
        "high": 1.2,
        "low": 1.0,
        "close": 1.15,
    }
    other = tmp_path / "other.csv"
    other.write_text("when;\n", encoding="utf-8")
    other.write_text(
        "when,c,l,h,o\n05/01/2026 00:00,1.15,1.0,1.2,1.1\n05/01/2026 04:00,1.2,1.1,1.2,1.15\n",
        encoding="utf-8",
    )
    named = BacktraderSimulationBroker(
        {
            "datetime_column": "when",
            "datetime_format": "%d/%m/%Y %H:%M",
            "open_col": "o",
            "high_col": "h",
            "low_col": "l",
            "close_col": "c",
        }
    )
    assert named.load_csv(other) == 2
    assert named.get_bars()[0] == broker.get_bars()[0]
    with pytest.raises(BarTableError, match="csv_file"):
        BacktraderSimulationBroker().load_csv()
    with pytest.raises(BarTableError, match="load_csv"):
        BacktraderSimulationBroker().run_simulation()
