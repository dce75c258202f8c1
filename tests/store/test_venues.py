"""The durable venues: the same answers as a book in memory, whatever kills or reopens them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, StatementError

from lts_web.store.venues import DurableVenue, UnknownVenueAccount, VenueConflict, Venues
from lts_web.trading.codes import RejectCode
from lts_web.trading.costs import CostModel
from lts_web.trading.market import Bar
from lts_web.trading.matching import CloseTicket, FillReason, Ticket, TransactionKind
from lts_web.trading.ports import Venue
from tests.trading.venue_scripts import START, STORIES, BookVenue, Player, Step, bar_at

T0 = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SERIES = "EUR_USD@1"
LENGTHS = {SERIES: 3600, "USD_JPY@2": 3600, "EUR_GBP@3": 3600}


def opened(path: Path, currency: str = "USD") -> Venues:
    venues = Venues(path)
    venues.create_tables()
    venues.open_account("1", currency, Decimal(10_000), START)
    return venues


@pytest.fixture
def venues(tmp_path: Path) -> Iterator[Venues]:
    venues = opened(tmp_path / "venues.db")
    yield venues
    assert venues.engine.pool.checkedout() == 0, "a connection leaked"  # type: ignore[attr-defined]
    venues.close()


@pytest.fixture
def venue(venues: Venues) -> DurableVenue:
    return venues.venue("1")


def ticket(number: int = 1, units: int = 1000, at: datetime = T0) -> Ticket:
    return Ticket(
        f"lts-{number}",
        "EUR_USD",
        SERIES,
        units,
        at,
        at,
        Decimal("1.09"),
        Decimal("1.12"),
        CostModel(Decimal(1), Decimal("0.5"), Decimal(7), Decimal("2.5")),
        Decimal(30),
    )


def bars(number: int, first: int = 0) -> list[Bar]:
    """Return calm hourly bars from `first` hours after noon on."""
    prices = (Decimal("1.1"), Decimal("1.101"), Decimal("1.099"), Decimal("1.1"))
    return [Bar(T0 + hour * HOUR, *prices) for hour in range(first, first + number)]


def advance(venues: Venues, passing: Sequence[Bar], hours: int = 500) -> list[object]:
    return list(venues.advance("1", T0 + hours * HOUR, {SERIES: passing}, LENGTHS))


def state_of(venues: Venues) -> object:
    venue = venues.venue("1")
    return (
        venue.account(),
        venue.open_trades(),
        venue.pending_orders(),
        venue.transactions_since(0),
        venue.price("EUR_USD"),
        venues.progress("1"),
    )


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


@pytest.mark.req("SYS-013", "STC-17")
@settings(max_examples=60, deadline=None)
@given(STORIES, st.sampled_from(["USD", "EUR"]), st.integers(0, 7))
def test_a_restored_book_behaves_as_one_that_kept_running(
    story: list[Step], currency: str, reopened: int
) -> None:
    book = BookVenue(currency, Decimal(0))
    book.transfer(Decimal(10_000), START)
    in_memory = Player(book, book.on_bars)
    with tempfile.TemporaryDirectory() as folder:
        venues = opened(Path(folder) / "venues.db", currency)
        durable = Player(venues.venue("1"), advance_on(venues))
        for number, step in enumerate(story):
            if reopened and number % reopened == 0:
                venues.close()
                venues = Venues(venues.path)
                durable.venue, durable.advance = venues.venue("1"), advance_on(venues)
            assert durable.play(step) == in_memory.play(step)
            assert durable.venue.account() == book.account()
        assert durable.venue.open_trades() == book.open_trades()
        assert durable.venue.pending_orders() == book.pending_orders()
        assert durable.venue.transactions_since(0, 10_000) == book.transactions
        assert {name: durable.venue.price(name) for name in book.prices} == book.prices
        venues.close()


def advance_on(venues: Venues) -> Callable[..., None]:
    def pass_hour(_opens_at: datetime, closes_at: datetime, passing: dict[str, Bar]) -> None:
        venues.advance("1", closes_at, {name: [bar] for name, bar in passing.items()}, LENGTHS)

    return pass_hour


@pytest.mark.req("SYS-013")
@settings(max_examples=25, deadline=None)
@given(
    hours=st.lists(
        st.tuples(*[st.integers(-60, 60)] * 2, *[st.integers(0, 40)] * 2), min_size=2, max_size=12
    ),
    cuts=st.lists(st.integers(0, 12), max_size=4),
    overlap=st.integers(0, 3),
)
def test_bars_pass_once_however_they_are_cut(
    hours: list[tuple[int, int, int, int]], cuts: list[int], overlap: int
) -> None:
    passing = [bar_at(T0 + n * HOUR, SERIES, shape) for n, shape in enumerate(hours)]
    with tempfile.TemporaryDirectory() as folder:
        whole, pieces = opened(Path(folder) / "1.db"), opened(Path(folder) / "2.db")
        for venues in (whole, pieces):
            venues.venue("1").submit(replace(ticket(), stop_loss=Decimal("1.0980")))
            venues.venue("1").submit(replace(ticket(2), stop_loss=None, take_profit=None))
        lines = advance(whole, passing)
        in_pieces = [
            line
            for cut in [*sorted(cuts), len(hours)]
            for line in advance(pieces, passing[: cut + overlap], cut)
        ]
        assert in_pieces == lines
        assert state_of(pieces) == state_of(whole)
        for venues in (whole, pieces):
            venues.close()


def test_a_venue_is_what_the_port_asks_for(venue: DurableVenue) -> None:
    port: Venue = venue
    assert port.account().balance == 10_000


def test_opening_again_changes_nothing(venues: Venues) -> None:
    before = dump(venues.path)
    venues.create_tables()
    venues.open_account("1", "USD", Decimal(99), T0)
    assert dump(venues.path) == before
    with pytest.raises(VenueConflict, match="kept in USD and cannot be opened in EUR"):
        venues.open_account("1", "EUR", Decimal(99), T0)
    (first,) = venues.venue("1").transactions_since(0)
    assert (first.kind, first.pnl, first.balance) == (TransactionKind.TRANSFER, 10_000, 10_000)


def test_accounts_do_not_meet(venues: Venues, venue: DurableVenue) -> None:
    other = venues.open_account("2", "EUR", Decimal("5.5"), T0)
    venue.submit(ticket())
    advance(venues, bars(1))
    assert other.account().balance == Decimal("5.5")
    assert other.pending_orders() == []
    assert [line.id for line in other.transactions_since(0)] == [1]
    assert venues.progress("2") == {}
    assert other.price("EUR_USD") is None


def test_an_account_that_was_never_opened_is_unknown(venues: Venues) -> None:
    lost = venues.venue("nobody")
    for use in (
        lost.account,
        lambda: lost.submit(ticket()),
        lambda: venues.advance("nobody", T0 + HOUR, {SERIES: bars(1)}, LENGTHS),
    ):
        with pytest.raises(UnknownVenueAccount, match="no account 'nobody'"):
            use()


def test_a_story_by_hand(venues: Venues, venue: DurableVenue) -> None:
    accepted = venue.submit(ticket())
    assert (accepted.id, accepted.kind) == (2, TransactionKind.ORDER)
    (filled,) = advance(venues, bars(1))
    assert filled == venue.transactions_since(2)[0]
    (trade,) = venue.open_trades()
    assert (trade.id, trade.price, trade.margin) == (3, Decimal("1.10015"), Decimal("36.6717"))
    assert venue.modify(3, Decimal("1.0950"), None, T0 + HOUR) is not None
    assert venue.open_trades()[0].stop_loss == Decimal("1.0950")
    assert venue.close(CloseTicket("lts-2", 3, T0 + HOUR, T0 + HOUR)).units == -1000
    assert venue.cancel(5, T0 + HOUR) is not None
    assert venue.cancel(5, T0 + HOUR) is None
    assert venue.reject(ticket(3), RejectCode.PAPER_REJECTION).reason == "PAPER_REJECTION"
    assert venue.transfer(Decimal(-100), T0).balance == Decimal("9899.93")
    venue.close(CloseTicket("lts-4", 3, T0 + HOUR, T0 + HOUR))
    *_, closed = advance(venues, bars(2))
    assert (closed.reason, closed.pnl) == (FillReason.CLOSE, Decimal("-0.15"))
    assert [line.id for line in venue.transactions_since(0)] == list(range(1, 11))
    assert [line.id for line in venue.transactions_since(4, limit=2)] == [5, 6]
    assert venues.progress("1") == {SERIES: T0 + 2 * HOUR}


def test_bars_wait_for_their_close(venues: Venues, venue: DurableVenue) -> None:
    venue.submit(ticket())
    two = {SERIES: bars(2)}
    assert venues.advance("1", T0 + timedelta(minutes=59), two, LENGTHS) == []
    assert venues.progress("1") == {}
    assert len(venues.advance("1", T0 + HOUR, two, LENGTHS)) == 1
    assert venues.progress("1") == {SERIES: T0 + HOUR}


def test_bars_pass_in_the_order_of_their_closes(venues: Venues, venue: DurableVenue) -> None:
    halves = "EUR_USD@2"
    prices = bars(1)[0]
    half_bars = [replace(prices, open_time=T0 + n * HOUR / 2) for n in range(2)]
    hourly = venue.submit(ticket(1))
    first_half = venue.submit(replace(ticket(2), series=halves))
    later = T0 + timedelta(minutes=15)
    second_half = venue.submit(replace(ticket(3, at=later), series=halves))
    lines = venues.advance(
        "1", T0 + HOUR, {SERIES: [prices], halves: half_bars}, {SERIES: 3600, halves: 1800}
    )
    # 12:00–12:30, then 12:00–13:00 before 12:30–13:00, which closes with it but opens later.
    order_ids = [line.order_id for line in lines]
    assert order_ids == [first_half.order_id, hourly.order_id, second_half.order_id]


def test_nothing_new_commits_nothing(venues: Venues) -> None:
    advance(venues, bars(2))
    watcher = sqlite3.connect(venues.path)
    (before,) = watcher.execute("PRAGMA data_version").fetchone()
    assert advance(venues, bars(2)) == advance(venues, []) == []
    assert venues.advance("1", T0, {SERIES: bars(5)}, LENGTHS) == []
    assert watcher.execute("PRAGMA data_version").fetchone() == (before,)
    watcher.close()


@pytest.mark.req("SYS-013")
def test_a_bar_that_has_passed_never_returns(venues: Venues, venue: DurableVenue) -> None:
    advance(venues, bars(2))
    venue.submit(ticket(at=T0 + 2 * HOUR))
    advance(venues, bars(1, 2))
    before = dump(venues.path)
    crash = [replace(bar, low=Decimal("1.01"), close=Decimal("1.02")) for bar in bars(3)]
    assert advance(venues, crash) == []
    assert dump(venues.path) == before
    assert len(venue.open_trades()) == 1


def test_a_closed_market_only_moves_the_progress(venues: Venues, venue: DurableVenue) -> None:
    saturday = datetime(2026, 3, 7, 12, tzinfo=UTC)
    venue.submit(ticket())
    closed = Bar(saturday, *(Decimal("1.1"),) * 4)
    assert venues.advance("1", saturday + HOUR, {SERIES: [closed]}, LENGTHS) == []
    assert venues.progress("1") == {SERIES: saturday + HOUR}
    assert venue.price("EUR_USD") is None


class Killed(BaseException):
    """Stands for the end of the process at one line."""


@contextmanager
def killed_at(venues: Venues, statement: int) -> Iterator[None]:
    """Kill before the given statement of the next transaction; its commit counts as one."""
    numbers = count()

    def step(*_: object) -> None:
        if next(numbers) == statement:
            raise Killed

    event.listen(venues.engine, "before_cursor_execute", step)
    event.listen(venues.engine, "commit", step)
    try:
        yield
    finally:
        event.remove(venues.engine, "before_cursor_execute", step)
        event.remove(venues.engine, "commit", step)


def stop_hit(venues: Venues) -> object:
    falling = replace(bars(1, 1)[0], low=Decimal("1.0890"))
    return advance(venues, [falling])


ACTIONS: dict[str, Callable[[Venues], object]] = {
    "submit": lambda venues: venues.venue("1").submit(ticket(7)),
    "close": lambda venues: venues.venue("1").close(CloseTicket("lts-8", 4, T0, T0)),
    "modify": lambda venues: venues.venue("1").modify(4, None, Decimal(2), T0),
    "cancel": lambda venues: venues.venue("1").cancel(3, T0),
    "fill": lambda venues: advance(venues, bars(1, 1)),
    "stop": stop_hit,
    "open account": lambda venues: venues.open_account("2", "USD", Decimal(5), T0),
}


@pytest.mark.req("SYS-013", "SYS-011")
@pytest.mark.parametrize("name", ACTIONS)
def test_killed_at_any_statement_nothing_has_happened(tmp_path: Path, name: str) -> None:
    venues = opened(tmp_path / "venues.db")
    venues.venue("1").submit(ticket(1))
    venues.venue("1").submit(ticket(2, at=T0 + HOUR))
    advance(venues, bars(1))
    before, before_rows = state_of(venues), dump(venues.path)
    for statement in count():
        try:
            with killed_at(venues, statement):
                answer = ACTIONS[name](venues)
        except Killed:
            assert state_of(venues) == before
            assert dump(venues.path) == before_rows
        else:
            break
    assert statement >= 4, "too few points to prove anything"
    assert answer
    assert dump(venues.path) != before_rows
    venues.close()


@pytest.mark.req("SYS-013")
def test_the_log_is_never_changed(venues: Venues) -> None:
    for change in ("DELETE FROM venue_transactions", "UPDATE venue_transactions SET units = 5"):
        with venues.engine.begin() as connection, pytest.raises(IntegrityError, match="never"):
            connection.exec_driver_sql(change)


@pytest.mark.req("SYS-018")
@pytest.mark.parametrize(
    "wrong",
    [
        {"stop_loss": Decimal("NaN")},
        {"take_profit": Decimal("1e30")},
        {"leverage": Decimal(0)},
        {"costs": CostModel(spread_pips=Decimal("Infinity"))},
        {"requested_at": datetime(2026, 3, 4)},  # noqa: DTZ001
    ],
)
def test_a_request_that_cannot_be_kept_leaves_no_trace(
    venues: Venues, venue: DurableVenue, wrong: dict[str, object]
) -> None:
    before = dump(venues.path)
    with pytest.raises((StatementError, ValueError)):
        venue.submit(replace(ticket(), **wrong))  # type: ignore[arg-type]
    assert dump(venues.path) == before
    assert venue.submit(ticket()).id == 2


@pytest.mark.req("STC-008")
def test_threads_share_an_account_without_losing_a_line(
    venues: Venues, venue: DurableVenue
) -> None:
    def work(number: int) -> None:
        for n in range(10):
            venue.submit(ticket(100 * number + n))
            advance(venues, bars(n + 1))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    lines = venue.transactions_since(0, 10_000)
    assert [line.id for line in lines] == list(range(1, len(lines) + 1))
    accepted = [line.client_id for line in lines if line.kind is TransactionKind.ORDER]
    assert sorted(accepted) == sorted(f"lts-{100 * n + m}" for n in range(6) for m in range(10))
    assert venues.progress("1") == {SERIES: T0 + 10 * HOUR}
    spent = sum(line.commission + line.swap - line.pnl for line in lines[1:])
    assert venue.account().balance == 10_000 - spent


SUBMITTER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from lts_web.store.venues import Venues
from lts_web.trading.matching import Ticket

now = datetime(2026, 3, 4, tzinfo=UTC)
venue = Venues(Path(sys.argv[1])).venue("1")
for number in range(40):
    venue.submit(Ticket(f"{sys.argv[2]}-{number}", "EUR_USD", "EUR_USD@1", 1, now, now))
"""


@pytest.mark.req("STC-008")
def test_processes_share_an_account_without_losing_a_line(
    venues: Venues, venue: DurableVenue
) -> None:
    root = Path(__file__).parents[2]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SUBMITTER, str(venues.path), name],
            cwd=root,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "abcd"
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    lines = venue.transactions_since(0)
    assert [line.id for line in lines] == list(range(1, 162))
    assert len({line.client_id for line in lines}) == 161
    assert len(venue.pending_orders()) == 160
