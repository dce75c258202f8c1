"""The boundary: documented dictionaries become values, and everything else is refused in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.plugins.boundary import (
    AllocationRow,
    allocation_assets,
    asset_data,
    close_parameters,
    market_data,
    open_parameters,
    read_account,
    read_allocation,
    read_close_answer,
    read_decision,
    read_open_answer,
    read_quote,
    read_transactions,
    transaction_dict,
)
from lts_web.plugins.runner import AnswerInvalid
from lts_web.trading.decisions import Close, Hold, Open
from lts_web.trading.instruments import Side, find_instrument
from lts_web.trading.market import MarketView
from lts_web.trading.matching import TransactionKind, VenueTransaction
from lts_web.trading.orders import Confirmed, Rejected
from tests.contracts.cards import ORIGIN, Market, close_of, entry

EURUSD = find_instrument("EUR_USD")
USDJPY = find_instrument("USD_JPY")
KEYS = st.sampled_from(
    [
        "action",
        "parameters",
        "side",
        "quantity",
        "sl",
        "tp",
        "price",
        "position_id",
        "reason",
        "confidence",
        "order_type",
    ]
)


def _open(**parameters: Any) -> Any:
    return read_decision({"action": "open", "parameters": {"side": "buy", **parameters}})


def _refused(answer: Any, read: Any = read_decision) -> str:
    with pytest.raises(AnswerInvalid) as caught:
        read(answer)
    return str(caught.value)


@pytest.mark.req("INT-002")
class TestToAStrategy:
    def test_every_key_of_asset_data(self) -> None:
        market = Market()
        data = asset_data(market.inputs(market.position(4)))
        assert data == {
            "asset_id": 11,
            "portfolio_id": 3,
            "symbol": "EURUSD",
            "instrument": "EUR_USD",
            "timeframe": "H1",
            "capital": 5000.0,
            "equity": 10_000.0,
            "currency": "USD",
            "pip": 0.0001,
            "min_units": 1.0,
            "open_positions": [
                {
                    "position_id": 5,
                    "side": "long",
                    "quantity": 1000.0,
                    "entry_price": float(market.bars[4].open),
                    "stop_loss": None,
                    "take_profit": None,
                    "unrealized_pnl": 1.25,
                    "opened_at": market.bars[4].open_time,
                }
            ],
            "parameters": {},
        }

    def test_numbers_are_floats_and_times_aware(self) -> None:
        market = Market()
        data = asset_data(market.inputs(market.position(4)))
        seen = market_data(market.view(9), market.history(9), [{"horizon": 1, "value": 1.1}])
        numbers = [data["capital"], data["equity"], data["pip"], data["min_units"]]
        numbers += [seen[key] for key in ("open", "high", "low", "close", "bid", "ask", "spread")]
        assert {type(number) for number in numbers} == {float}
        assert seen["time"].utcoffset() == timedelta(0)
        assert seen["predictions"] == [{"horizon": 1, "value": 1.1}]
        prices = ["open", "high", "low", "close", "bid", "ask", "spread"]
        assert list(seen) == ["time", *prices, "bars", "predictions"]

    def test_history_ends_at_the_bar_of_the_decision(self) -> None:
        market = Market()
        seen = market_data(market.view(9), market.history(9))
        assert seen["bars"][-1]["close"] == seen["close"]
        assert seen["bars"][-1]["time"] + timedelta(hours=1) == seen["time"]

    def test_what_the_market_lacks_is_none(self) -> None:
        view = MarketView("EUR_USD", ORIGIN, None, None, False, True, "stored")
        seen = market_data(view, Market().history(-1))
        assert seen["close"] is seen["bid"] is seen["spread"] is None

    def test_a_plugin_cannot_change_what_the_house_holds(self) -> None:
        inputs = Market().inputs()
        asset_data(inputs)["parameters"]["position_size"] = 1.0
        assert inputs.parameters == {}


@pytest.mark.req("INT-002", "INT-012", "STC-005")
class TestDecisions:
    def test_nothing_to_do(self) -> None:
        assert read_decision({"action": "none"}) == Hold()
        whole = {"action": "none", "parameters": {}, "reason": "flat", "confidence": 0.4}
        assert read_decision(whole) == Hold("flat", 0.4)

    @pytest.mark.parametrize(
        ("word", "side"),
        [("buy", Side.BUY), ("long", Side.BUY), ("sell", Side.SELL), (" SHORT ", Side.SELL)],
    )
    def test_an_entry_of_either_side(self, word: str, side: Side) -> None:
        assert read_decision({"action": "open", "parameters": {"side": word}}) == Open(side)
        assert read_decision({"action": "open", "parameters": {"direction": word}}) == Open(side)

    def test_an_entry_with_everything(self) -> None:
        answer = {
            "action": "open",
            "parameters": {
                "side": "sell",
                "quantity": 2500,
                "price": 1.1,
                "sl": 1.11,
                "tp": 1.0875,
                "order_type": "MARKET",
            },
            "reason": "falling",
            "confidence": 1,
        }
        assert read_decision(answer) == Open(
            Side.SELL,
            Decimal(2500),
            Decimal("1.11"),
            Decimal("1.0875"),
            Decimal("1.1"),
            "market",
            "falling",
            1.0,
        )

    def test_both_names_of_stop_and_target_work(self) -> None:
        assert _open(stop_loss=1.0, take_profit=1.2) == _open(sl=1.0, tp=1.2)
        assert _open(stop_loss=1.0, sl=1.0).stop_loss == 1
        assert "differ" in _refused(
            {"action": "open", "parameters": {"side": "buy", "sl": 1.0, "stop_loss": 1.1}}
        )

    @pytest.mark.parametrize("value", [1000, 1000.0, Decimal(1000), Fraction(1000)])
    def test_numbers_of_every_kind_are_numbers(self, value: Any) -> None:
        assert _open(quantity=value).units == 1000

    @pytest.mark.parametrize(
        ("parameters", "position_id"),
        [(None, None), ({}, None), ({"position_id": 7}, 7), ({"order_id": "12"}, 12)],
    )
    def test_a_close(self, parameters: Any, position_id: int | None) -> None:
        assert read_decision({"action": "close", "parameters": parameters}) == Close(position_id)

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (None, "must give a dictionary"),
            ([1], "must give a dictionary"),
            ("open", "must give a dictionary"),
            ({}, "action is None"),
            ({"action": "hold"}, "'open', 'close' or 'none'"),
            ({"action": ["open"]}, "of type list"),
            ({"action": "open"}, "side is None"),
            ({"action": "open", "parameters": [1]}, "must be a dictionary"),
            ({"action": "open", "parameters": {"side": "up"}}, "'buy' or 'sell'"),
            ({"action": "open", "parameters": {"side": 1}}, "'buy' or 'sell'"),
            ({"action": "close", "parameters": {"position_id": "x"}}, "whole number"),
            ({"action": "close", "parameters": {"position_id": 1.5}}, "whole number"),
            ({"action": "close", "parameters": {"position_id": True}}, "whole number"),
            ({"action": "close", "parameters": {"position_id": -1}}, "out of range"),
            ({"action": "none", "reason": 5}, "reason is 5; it must be text"),
            ({"action": "none", "confidence": 70}, "not a percentage"),
            ({"action": "none", "confidence": "high"}, "must be a number"),
        ],
    )
    def test_what_is_no_decision(self, answer: Any, words: str) -> None:
        assert words in _refused(answer)

    @pytest.mark.parametrize("key", ["quantity", "price", "sl", "tp"])
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (float("nan"), "finite"),
            (float("inf"), "finite"),
            (Decimal("sNaN"), "finite"),
            ("1.1", "must be a number"),
            (True, "must be a number"),
            ([1.1], "must be a number"),
            (1j, "must be a number"),
            (0, "above 0"),
            (-1.1, "above 0"),
            (1e15, "mistake"),
            pytest.param(10**400, "mistake", id="large integer"),
            pytest.param(10**5000, "huge", id="long integer"),
            pytest.param(Fraction(10**400, 3), "huge", id="large fraction"),
            (Decimal("1E+999999"), "mistake"),
        ],
    )
    def test_numbers_that_are_none(self, key: str, value: Any, words: str) -> None:
        message = _refused({"action": "open", "parameters": {"side": "buy", key: value}})
        assert words in message
        assert key in message
        assert len(message) < 300

    def test_volume_is_refused_since_its_unit_is_unknown(self) -> None:
        message = _refused({"action": "open", "parameters": {"side": "buy", "volume": 0.1}})
        assert "quantity in units" in message

    def test_an_async_strategy_is_told_what_to_do(self) -> None:
        async def decide() -> dict[str, Any]:
            return {}

        assert "ordinary function" in _refused(decide())

    def test_long_reasons_are_cut(self) -> None:
        assert len(read_decision({"action": "none", "reason": "x" * 5000}).reason) == 1000

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=20)
            | st.sampled_from(["open", "close", "none", "buy", "sell"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    KEYS,
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=12,
        )
    )
    def test_any_answer_is_a_decision_or_refused(self, answer: Any) -> None:
        try:
            decision = read_decision(answer)
        except AnswerInvalid:
            pass
        else:
            assert isinstance(decision, Open | Close | Hold)
            if isinstance(decision, Open):
                for number in (decision.units, decision.stop_loss, decision.take_profit):
                    assert number is None or (number.is_finite() and number > 0)


@pytest.mark.req("INT-002", "PLG-PORT")
class TestAllocations:
    def test_every_key_of_a_row(self) -> None:
        row = AllocationRow(4, "USD_JPY", Decimal("100.5"), Decimal(90), 0.001, 0.25)
        assert allocation_assets([row]) == [
            {
                "id": 4,
                "symbol": "USDJPY",
                "capital": 100.5,
                "equity": 90.0,
                "volatility": 0.001,
                "weight": 0.25,
            }
        ]

    def test_amounts_by_asset(self) -> None:
        answer = {"allocations": {1: 100, "2": 0.1}, "cash": 3.5}
        assert read_allocation(answer) == {1: Decimal(100), 2: Decimal("0.1")}
        assert read_allocation({}) == read_allocation({"allocations": {}}) == {}

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (None, "dictionary"),
            ({"allocations": [1]}, "dictionary"),
            ({"allocations": {"x": 1}}, "whole number"),
            ({"allocations": {1: -1}}, "0 or more"),
            ({"allocations": {1: float("nan")}}, "finite"),
            ({"allocations": {1: "all"}}, "number"),
            ({"allocations": {1: 1e20}}, "0 or more"),
            ({"allocations": {1: 1, "1": 1}}, "twice"),
            ({"allocations": {}, "cash": "much"}, "cash"),
        ],
    )
    def test_what_is_no_allocation(self, answer: Any, words: str) -> None:
        assert words in _refused(answer, read_allocation)


@pytest.mark.req("INT-002")
class TestOrders:
    def test_every_key_of_an_open(self) -> None:
        parameters = open_parameters(entry(units=-1000), "lts-x-1", EURUSD, ORIGIN)
        assert parameters == {
            "client_order_id": "lts-x-1",
            "instrument": "EUR_USD",
            "symbol": "EUR_USD",
            "side": "sell",
            "direction": "sell",
            "quantity": 1000.0,
            "price": 1.1,
            "timestamp": ORIGIN,
            "order_type": "market",
            "stop_loss": 1.111,
            "sl": 1.111,
            "take_profit": 1.089,
            "tp": 1.089,
        }

    def test_every_key_of_a_close(self) -> None:
        parameters = close_parameters(close_of(entry(), "42"), "lts-x-2", EURUSD, ORIGIN)
        ids = {parameters.pop(key) for key in (
            "order_id", "position_id", "trade_id", "broker_order_id"
        )}  # fmt: skip
        assert ids == {"42"}
        assert parameters == {
            "client_order_id": "lts-x-2",
            "instrument": "EUR_USD",
            "symbol": "EUR_USD",
            "side": "sell",
            "direction": "sell",
            "quantity": 1000.0,
            "price": 1.1,
            "timestamp": ORIGIN,
            "reason": "close",
        }


@pytest.mark.req("INT-002", "STC-005")
class TestBrokerAnswers:
    def test_a_price_under_any_documented_name(self) -> None:
        for key in ("fill_price", "entry_price", "close_price"):
            answer = {"success": True, "order_id": 5, key: 1.2345}
            assert read_open_answer(answer, None) == Confirmed("5", Decimal("1.2345"))

    def test_without_a_price_the_quote_is_assumed_or_the_fill_awaited(self) -> None:
        answer = {"success": True, "order_id": "5", "fill_price": None}
        assert read_open_answer(answer, Decimal("1.1")) == Confirmed(
            "5", Decimal("1.1"), None, "assumed"
        )
        assert read_open_answer(answer, None) == Confirmed("5")

    def test_a_trade_may_have_an_id_of_its_own(self) -> None:
        answer = {"success": True, "order_id": "5", "trade_id": "6"}
        assert read_open_answer(answer, None) == Confirmed("5", None, "6")
        assert read_open_answer({"success": True, "trade_id": 6}, None) == Confirmed("6", None, "6")

    def test_a_close_needs_no_id(self) -> None:
        assert read_close_answer({"success": True}, None) == Confirmed("")
        assert "could ever close it" in _refused(
            {"success": True}, lambda answer: read_open_answer(answer, None)
        )

    @pytest.mark.parametrize(
        ("answer", "rejected"),
        [
            ({"success": False}, Rejected("REJECTED")),
            ({"success": False, "error": "no money"}, Rejected("REJECTED", "no money")),
            ({"success": False, "code": "X", "message": "m"}, Rejected("X", "m")),
            ({"success": False, "code": 7, "error": [1]}, Rejected("REJECTED", "of type list")),
        ],
    )
    def test_refusals_keep_their_code_and_words(self, answer: Any, rejected: Rejected) -> None:
        assert read_open_answer(answer, None) == read_close_answer(answer, None) == rejected

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            True,
            {},
            {"success": 1, "order_id": "1"},
            {"success": "True", "order_id": "1"},
            {"success": True, "order_id": ["1"]},
            {"success": True, "order_id": "x" * 101},
            {"success": True, "order_id": "a\nb"},
            {"success": True, "order_id": "1", "fill_price": float("nan")},
            {"success": True, "order_id": "1", "fill_price": 0},
            {"success": True, "order_id": "1", "fill_price": "1.1"},
        ],
    )
    def test_what_cannot_be_read_is_no_refusal(self, answer: Any) -> None:
        _refused(answer, lambda answer: read_open_answer(answer, Decimal(1)))

    def test_a_quote_is_rounded_against_the_trader(self) -> None:
        quote = read_quote((1.100004, 1.100096), EURUSD, ORIGIN)
        assert (quote.bid, quote.ask) == (Decimal("1.10000"), Decimal("1.10010"))

    def test_dust_of_floats_is_no_step(self) -> None:
        quote = read_quote((1.1 + 2e-16, 150.1 + 1e-13), EURUSD, ORIGIN)
        assert quote.bid == Decimal("1.10000")
        assert read_quote((149.9, 0.1 + 0.2 + 150), USDJPY, ORIGIN).ask == Decimal("150.300")

    @pytest.mark.parametrize("answer", [None, 1.1, (1.1,), ("1", "2"), (0, 1.1), (1.1, 1e12)])
    def test_what_is_no_quote(self, answer: Any) -> None:
        _refused(answer, lambda answer: read_quote(answer, EURUSD, ORIGIN))


money = st.decimals(min_value=-(10**10), max_value=10**10, places=4)
prices = st.none() | st.decimals(min_value="0.00001", max_value=10**6, places=5)
LINES = st.builds(
    VenueTransaction,
    id=st.integers(1, 10**9),
    time=st.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - the zone comes beside it
        max_value=datetime(2030, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    kind=st.sampled_from(TransactionKind),
    balance=money,
    order_id=st.none() | st.integers(1, 10**9),
    trade_id=st.none() | st.integers(1, 10**9),
    client_id=st.text(alphabet="lts-0123456789", max_size=30),
    instrument=st.sampled_from(["", "EUR_USD"]),
    units=st.integers(-(10**8), 10**8),
    price=prices,
    rate=st.none() | st.decimals(min_value="0.000001", max_value=10**6, places=12),
    pnl=money,
    commission=money,
    swap=money,
    reason=st.sampled_from(["", "stop_loss"]),
    stop_loss=prices,
    take_profit=prices,
)


@pytest.mark.req("INT-002", "SYS-006")
class TestTheLog:
    @given(st.lists(LINES, max_size=4, unique_by=lambda line: line.id))
    def test_a_log_goes_through_the_boundary_to_the_last_digit(
        self, lines: list[VenueTransaction]
    ) -> None:
        lines.sort(key=lambda line: line.id)
        assert read_transactions([transaction_dict(line) for line in lines]) == lines

    def test_a_documented_log_may_use_numbers_and_leave_keys_out(self) -> None:
        answer = {
            "id": "7",
            "time": datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))),
            "kind": "fill",
            "balance": 9_999.5,
            "units": -1000.0,
            "price": 1.1,
        }
        (line,) = read_transactions([answer])
        assert (line.id, line.units, line.price) == (7, -1000, Decimal("1.1"))
        assert line.balance == Decimal("9999.5")
        assert line.time == datetime(2026, 1, 1, 10, tzinfo=UTC)
        assert (line.order_id, line.pnl, line.client_id) == (None, 0, "")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"id": None}, "id"),
            ({"kind": "dance"}, "order, fill"),
            ({"time": "2026-01-01"}, "zone"),
            ({"time": datetime(2026, 1, 1)}, "zone"),  # noqa: DTZ001 - the fault under test
            ({"balance": None}, "balance"),
            ({"balance": "much"}, "balance"),
            ({"balance": "1e30"}, "no account holds"),
            ({"units": 0.5}, "whole number"),
            ({"price": -1}, "above 0"),
        ],
    )
    def test_what_is_no_line_of_a_log(self, change: dict[str, Any], words: str) -> None:
        line = {"id": 1, "time": ORIGIN, "kind": "fill", "balance": "1", "units": 1}
        assert words in _refused([{**line, **change}], read_transactions)

    def test_lines_must_come_in_order_and_once(self) -> None:
        line = {"id": 3, "time": ORIGIN, "kind": "fill", "balance": "1"}
        for second in (3, 2):
            message = _refused([line, {**line, "id": second}], read_transactions)
            assert "oldest first" in message
        assert "list" in _refused({}, read_transactions)

    def test_an_account_by_its_documented_keys(self) -> None:
        answer = {"balance": 100.5, "equity": 99, "margin": "2.5", "unrealized_pnl": -1.5}
        account = read_account(answer, "EUR")
        assert account.currency == "EUR"
        assert (account.balance, account.equity) == (Decimal("100.5"), Decimal(99))
        assert (account.margin_used, account.unrealized_pnl) == (Decimal("2.5"), Decimal("-1.5"))
        assert account.last_transaction_id == 0
        assert "equity" in _refused({"balance": 1}, read_account)
