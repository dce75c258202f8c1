"""The matching engine: its rules on examples, and the conservation of money in random stories."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.calendar import is_open
from lts_web.trading.codes import RejectCode
from lts_web.trading.costs import CostModel
from lts_web.trading.market import Bar
from lts_web.trading.matching import (
    Book,
    CloseTicket,
    FillReason,
    Ticket,
    TransactionKind,
    VenueTransaction,
)
from lts_web.trading.positions import Fill, fold_fills, ledger_balance
from tests.trading.venue_scripts import STORIES, Step, play_on_book

T0 = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SERIES = "EUR_USD@1"
ORDER, FILL = TransactionKind.ORDER, TransactionKind.FILL
CANCEL, REJECT = TransactionKind.CANCEL, TransactionKind.REJECT


def bar(hour: int, *prices: str) -> Bar:
    return Bar(T0 + hour * HOUR, *(Decimal(price) for price in prices))


def feed(book: Book, *bars: Bar, series: str = SERIES) -> None:
    for one in bars:
        book.on_bars(one.open_time, one.open_time + HOUR, {series: one})


def ticket(
    units: int = 10_000,
    stop: str | None = "1.0900",
    target: str | None = "1.1200",
    *,
    client: str = "lts-1",
    hour: int = 0,
    costs: CostModel | None = None,
    leverage: int = 100,
    instrument: str = "EUR_USD",
) -> Ticket:
    return Ticket(
        client,
        instrument,
        SERIES if instrument == "EUR_USD" else f"{instrument}@9",
        units,
        T0 + hour * HOUR,
        T0 + hour * HOUR,
        None if stop is None else Decimal(stop),
        None if target is None else Decimal(target),
        costs or CostModel(),
        Decimal(leverage),
    )


@pytest.fixture
def book() -> Book:
    return Book("USD", Decimal(10_000))


def last(book: Book) -> VenueTransaction:
    return book.transactions[-1]


CALM = ("1.1000", "1.1010", "1.0990", "1.1005")


@pytest.mark.req("PLG-BRK-2", "SYS-001")
def test_a_request_is_filled_at_the_open_of_the_next_bar_with_its_costs(book: Book) -> None:
    costs = CostModel(Decimal(1), Decimal("0.5"), Decimal(7), Decimal(24))
    feed(book, bar(-1, *CALM))
    accepted = book.submit(ticket(costs=costs))
    assert (accepted.kind, accepted.order_id, book.trades) == (ORDER, 1, {})
    feed(book, bar(0, "1.1002", "1.1010", "1.0990", "1.1005"))
    filled = last(book)
    assert (filled.kind, filled.order_id, filled.trade_id) == (FILL, 1, 2)
    assert (filled.price, filled.commission) == (Decimal("1.10035"), Decimal("0.7"))
    assert book.balance == filled.balance == Decimal("9999.3")
    book.close(CloseTicket("lts-2", 2, T0 + HOUR, T0 + HOUR))
    feed(book, bar(3, "1.1100", "1.1110", "1.1090", "1.1105"))
    closed = last(book)
    assert (closed.price, closed.reason) == (Decimal("1.11"), FillReason.CLOSE)
    assert closed.pnl == Decimal("96.5")
    assert closed.swap == Decimal("0.3"), "24 a lot and day, a tenth of a lot, three hours"
    assert book.balance == Decimal("10095.5")


def test_a_bar_that_opened_before_the_request_does_not_fill_it(book: Book) -> None:
    book.submit(ticket(hour=1))
    feed(book, bar(0, *CALM))
    assert len(book.orders) == 1
    feed(book, bar(1, *CALM))
    assert not book.orders


def test_a_delayed_request_is_not_filled_before_it_arrives(book: Book) -> None:
    late = Ticket("lts-1", "EUR_USD", SERIES, 1000, T0, T0 + 1.5 * HOUR)
    book.submit(late)
    feed(book, bar(0, *CALM))
    assert len(book.orders) == 1
    feed(book, bar(1, *CALM))
    assert last(book).time == T0 + 1.5 * HOUR


@pytest.mark.req("PLG-BRK-2")
@pytest.mark.parametrize(
    ("units", "candle", "price", "reason"),
    [
        (1000, ("1.1000", "1.1010", "1.0899", "1.1000"), "1.0900", FillReason.STOP_LOSS),
        (1000, ("1.0880", "1.0890", "1.0870", "1.0880"), "1.0880", FillReason.STOP_LOSS),
        (1000, ("1.1000", "1.1201", "1.0950", "1.1000"), "1.1200", FillReason.TAKE_PROFIT),
        (1000, ("1.1300", "1.1310", "1.1290", "1.1300"), "1.1200", FillReason.TAKE_PROFIT),
        (1000, ("1.1000", "1.1250", "1.0850", "1.1000"), "1.0900", FillReason.STOP_LOSS),
        (-1000, ("1.1000", "1.1101", "1.0950", "1.1000"), "1.1100", FillReason.STOP_LOSS),
        (-1000, ("1.1150", "1.1160", "1.1140", "1.1150"), "1.1150", FillReason.STOP_LOSS),
        (-1000, ("1.1000", "1.1050", "1.0799", "1.1000"), "1.0800", FillReason.TAKE_PROFIT),
        (-1000, ("1.1000", "1.1200", "1.0700", "1.1000"), "1.1100", FillReason.STOP_LOSS),
    ],
    ids=["stop", "gap", "target", "gap to target", "both", "stop ↓", "gap ↓", "target ↓", "both ↓"],
)
def test_stop_before_target_at_its_level_or_at_the_open_of_a_gap(
    book: Book, units: int, candle: tuple[str, ...], price: str, reason: FillReason
) -> None:
    levels = ("1.0900", "1.1200") if units > 0 else ("1.1100", "1.0800")
    book.submit(ticket(units, *levels))
    feed(book, bar(0, *CALM), bar(1, *candle))
    assert (last(book).price, last(book).reason) == (Decimal(price), reason)
    assert not book.trades


def test_protection_holds_from_the_bar_of_the_fill_on(book: Book) -> None:
    book.submit(ticket())
    feed(book, bar(0, "1.1000", "1.1010", "1.0850", "1.1005"))
    assert [line.kind for line in book.transactions] == [ORDER, FILL, FILL]
    assert last(book).price == Decimal("1.0900")


@pytest.mark.parametrize(
    ("opened", "code"),
    [
        ("1.0899", RejectCode.STOP_LOSS_ON_FILL_LOSS),
        ("1.0900", RejectCode.STOP_LOSS_ON_FILL_LOSS),
        ("1.1199", RejectCode.TAKE_PROFIT_ON_FILL_LOSS),
    ],
)
def test_a_gap_past_its_protection_cancels_the_entry(
    book: Book, opened: str, code: RejectCode
) -> None:
    book.submit(ticket(costs=CostModel(Decimal(1))))
    feed(book, bar(0, opened, "1.1300", "1.0800", "1.1000"))
    assert (last(book).kind, last(book).reason) == (CANCEL, code)
    assert book.balance == 10_000
    assert not book.orders


def test_margin_and_commission_must_be_covered(book: Book) -> None:
    costs = CostModel(commission_per_lot=Decimal(7))
    book.submit(ticket(900_000, costs=costs))
    feed(book, bar(0, *CALM))
    assert book.margin_used() == Decimal(9900)
    book.submit(ticket(9_100, client="lts-2", hour=1))
    feed(book, bar(1, *CALM))
    assert last(book).reason == RejectCode.INSUFFICIENT_MARGIN, "63 of commission are gone"
    assert len(book.trades) == 1


def test_profit_in_yen_and_in_a_cross_is_converted(book: Book) -> None:
    feed(book, bar(0, "1.25", "1.25", "1.25", "1.25"), series="GBP_USD@8")
    book.submit(ticket(10_000, "149", "152", instrument="USD_JPY"))
    book.submit(ticket(10_000, "0.84", "0.87", instrument="EUR_GBP", client="lts-2"))
    feed(book, bar(0, "150", "150", "150", "150"), series="USD_JPY@9")
    feed(book, bar(0, "0.85", "0.85", "0.85", "0.85"), series="EUR_GBP@9")
    feed(book, bar(1, "151", "152", "151", "152"), series="USD_JPY@9")
    # 2 yen × 10,000 at 1/152, the rate of the fill, not the last one.
    assert last(book).pnl == Decimal("131.5789")
    feed(book, bar(1, "0.86", "0.875", "0.86", "0.87"), series="EUR_GBP@9")
    assert last(book).pnl == Decimal(250)


def test_without_a_rate_nothing_is_opened() -> None:
    book = Book("CHF", Decimal(10_000))
    book.submit(ticket())
    feed(book, bar(0, *CALM))
    assert (last(book).kind, last(book).reason) == (CANCEL, RejectCode.NO_CONVERSION)


@pytest.mark.req("INT-06")
def test_a_client_id_is_only_known_while_it_is_pending_or_open(book: Book) -> None:
    book.submit(ticket())
    assert book.submit(ticket()).reason == RejectCode.CLIENT_ORDER_ID_ALREADY_EXISTS
    feed(book, bar(0, *CALM))
    assert book.submit(ticket()).reason == RejectCode.CLIENT_TRADE_ID_ALREADY_EXISTS
    feed(book, bar(1, "1.1000", "1.1010", "1.0800", "1.1000"))
    assert book.submit(ticket()).kind == ORDER, "a finished id is forgotten: a resend opens twice"


def test_requests_that_make_no_sense_are_rejected(book: Book) -> None:
    assert book.submit(ticket(0)).reason == RejectCode.UNITS_INVALID
    assert book.submit(ticket(10**9)).reason == RejectCode.UNITS_INVALID
    rejected = book.close(CloseTicket("lts-9", 77, T0, T0))
    assert (rejected.kind, rejected.reason) == (REJECT, RejectCode.TRADE_DOESNT_EXIST)
    assert book.modify(77, None, None, T0) is None
    assert book.cancel(77, T0) is None
    assert book.close_now(77, Decimal(1), T0, FillReason.END_OF_DATA) is None
    assert [line.id for line in book.transactions] == [1, 2, 3]


def test_a_second_close_is_cancelled_by_the_first(book: Book) -> None:
    book.submit(ticket())
    feed(book, bar(0, *CALM))
    for client in ("lts-2", "lts-3"):
        assert book.close(CloseTicket(client, 2, T0 + HOUR, T0 + HOUR)).kind == ORDER
    feed(book, bar(1, *CALM))
    assert [line.kind for line in book.transactions[-2:]] == [FILL, CANCEL]
    assert last(book).reason == RejectCode.LINKED_TRADE_CLOSED


def test_a_stop_ends_a_close_that_waits(book: Book) -> None:
    book.submit(ticket())
    feed(book, bar(0, *CALM))
    late = T0 + 5 * HOUR
    book.close(CloseTicket("lts-2", 2, T0 + HOUR, late))
    feed(book, bar(1, "1.1000", "1.1000", "1.0800", "1.1000"))
    assert not book.orders
    assert not book.trades


def test_closes_come_before_entries_so_that_their_margin_is_free(book: Book) -> None:
    book.submit(ticket(900_000))
    feed(book, bar(0, *CALM))
    book.submit(ticket(900_000, client="lts-2", hour=1))
    book.close(CloseTicket("lts-3", 2, T0 + HOUR, T0 + HOUR))
    feed(book, bar(1, *CALM))
    assert [line.kind for line in book.transactions[-2:]] == [FILL, FILL]
    assert len(book.trades) == 1


def test_protection_can_be_changed_on_orders_and_trades(book: Book) -> None:
    book.submit(ticket())
    changed = book.modify(1, Decimal("1.0950"), None, T0)
    assert changed is not None
    assert changed.kind == TransactionKind.MODIFY
    feed(book, bar(0, *CALM))
    assert book.trades[3].stop_loss == Decimal("1.0950")
    book.modify(3, None, Decimal("1.1006"), T0)
    feed(book, bar(1, "1.1000", "1.1010", "1.0800", "1.1000"))
    assert (last(book).price, last(book).reason) == (Decimal("1.1006"), FillReason.TAKE_PROFIT)


def test_nothing_is_traded_outside_the_calendar(book: Book) -> None:
    friday_close = datetime(2026, 3, 6, 22, tzinfo=UTC)
    assert not is_open(friday_close)
    book.submit(ticket())
    outside = Bar(friday_close, *(Decimal("1.1"),) * 4)
    book.on_bars(friday_close, friday_close + HOUR, {SERIES: outside})
    assert book.prices == {}
    assert len(book.orders) == 1


def test_the_account_is_valued_at_the_last_prices(book: Book) -> None:
    book.submit(ticket(10_000))
    feed(book, bar(0, *CALM))
    state = book.account()
    assert (state.unrealized_pnl, state.equity) == (Decimal(5), Decimal(10_005))
    assert (state.margin_used, state.last_transaction_id) == (Decimal(110), 2)


CURRENCIES = st.sampled_from(["USD", "EUR", "GBP"])


@pytest.mark.req("SYS-006", "SYS-013")
@given(STORIES, CURRENCIES)
def test_money_is_conserved(story: list[Step], currency: str) -> None:
    book = play_on_book(story, currency)
    lines = book.transactions
    booked = sum(line.pnl - line.commission - line.swap for line in lines)
    assert book.balance == booked
    assert book.balance == lines[-1].balance
    for before, line in pairwise(lines):
        assert line.balance == before.balance + line.pnl - line.commission - line.swap
        if line.kind not in (FILL, TransactionKind.TRANSFER):
            assert line.balance == before.balance
    assert [line.id for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.req("SYS-006")
@given(STORIES, CURRENCIES)
def test_the_ledger_of_the_fills_is_the_balance_of_the_venue(
    story: list[Step], currency: str
) -> None:
    book = play_on_book(story, currency)
    fills = fills_of(book)
    transfers = [line.pnl for line in book.transactions if line.kind is TransactionKind.TRANSFER]
    assert ledger_balance(sum(transfers, Decimal(0)), fills) == book.balance
    positions = fold_fills(fills)
    assert {key for key, position in positions.items() if position.is_open} == {
        str(trade_id) for trade_id in book.trades
    }


@pytest.mark.req("SYS-006")
@given(STORIES, CURRENCIES)
def test_every_order_ends_once_and_every_trade_closes_once(
    story: list[Step], currency: str
) -> None:
    book = play_on_book(story, currency)
    lines = book.transactions
    accepted = [line.order_id for line in lines if line.kind is ORDER]
    ends = Counter(
        line.order_id for line in lines if line.kind is CANCEL or line.order_id in accepted
        if line.kind in (FILL, CANCEL)
    )  # fmt: skip
    assert all(count == 1 for count in ends.values())
    assert set(accepted) == set(ends) | set(book.orders)
    assert not set(ends) & set(book.orders)
    opened = [line.trade_id for line in lines if line.reason == FillReason.MARKET]
    closed = [line.trade_id for line in lines if line.kind is FILL and line.trade_id != line.id]
    assert len(set(opened)) == len(opened)
    assert len(set(closed)) == len(closed)
    assert set(opened) - set(closed) == set(book.trades)
    assert set(closed) <= set(opened)


@given(STORIES)
def test_fills_happen_in_open_markets_and_never_to_the_traders_gain(story: list[Step]) -> None:
    book = play_on_book(story)
    requested = {line.id: line for line in book.transactions if line.kind is ORDER}
    for line in book.transactions:
        if line.kind is not FILL:
            continue
        assert is_open(line.time)
        assert line.price is not None
        assert line.rate is not None
        order = requested.get(line.order_id or 0)
        if order is not None:
            assert line.time >= order.time
            assert line.units == order.units
        if line.reason == FillReason.MARKET and line.stop_loss is not None:
            assert (line.price - line.stop_loss) * line.units > 0
        if line.reason == FillReason.MARKET and line.take_profit is not None:
            assert (line.take_profit - line.price) * line.units > 0


def fills_of(book: Book) -> list[Fill]:
    return [
        Fill(
            str(line.id),
            str(line.trade_id),
            line.instrument,
            line.units,
            line.price,
            line.time,
            line.rate,
            line.commission,
            line.swap,
            line.reason,
        )
        for line in book.transactions
        if line.kind is FILL and line.price is not None and line.rate is not None
    ]
