"""Random stories of a simulated account, played the same way on any venue.

A story is a list of steps: an hour of bars, an entry, an exit, a change of protection, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from lts_web.trading.codes import RejectCode
from lts_web.trading.costs import CostModel
from lts_web.trading.instruments import find_instrument
from lts_web.trading.market import Bar
from lts_web.trading.matching import (
    Book,
    CloseTicket,
    OpenTrade,
    PendingOrder,
    Ticket,
    VenueTransaction,
)
from lts_web.trading.ports import Venue

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PRICES = {"EUR_USD@1": Decimal("1.1"), "USD_JPY@2": Decimal(150), "EUR_GBP@3": Decimal("0.85")}
COSTS = (
    CostModel(),
    CostModel(Decimal("1.5"), Decimal("0.3"), Decimal(7), Decimal("2.5")),
    CostModel(Decimal("0.7"), Decimal(0), Decimal("3.3"), Decimal("0.9"), "EUR"),
)

OpenToClose = tuple[int, int, int, int]
"""Open, close, reach above and reach below of a bar, in pips from the series' price."""


@dataclass(frozen=True)
class Hour:
    """An hour passes (and a pause after it); a series without a bar is silent."""

    bars: Mapping[str, OpenToClose]
    pause: timedelta


@dataclass(frozen=True)
class Enter:
    series: str
    units: int
    stop: int | None
    target: int | None
    costs: CostModel
    leverage: Decimal
    client: int
    delay: timedelta


@dataclass(frozen=True)
class Leave:
    index: int
    client: int


@dataclass(frozen=True)
class Protect:
    index: int
    stop: int | None
    target: int | None


@dataclass(frozen=True)
class Withdraw:
    index: int


@dataclass(frozen=True)
class Transfer:
    amount: Decimal


Step = Hour | Enter | Leave | Protect | Withdraw | Transfer

_pips = st.integers(-60, 60)
_reach = st.integers(0, 40)
_distance = st.one_of(st.none(), st.integers(20, 90), st.integers(-5, 40))
_client = st.integers(1, 30)

HOURS = st.builds(
    Hour,
    st.fixed_dictionaries(
        {"EUR_USD@1": st.tuples(_pips, _pips, _reach, _reach)},
        optional={
            series: st.tuples(_pips, _pips, _reach, _reach) for series in ("EUR_GBP@3", "USD_JPY@2")
        },
    ),
    # Some pauses lead into a weekend or over it.
    st.sampled_from([0, 0, 0, 0, 0, 0, 20, 60]).map(lambda hours: hours * HOUR),
)
ENTRIES = st.builds(
    Enter,
    series=st.sampled_from(["EUR_USD@1", "EUR_USD@1", "EUR_USD@1", "USD_JPY@2", "EUR_GBP@3"]),
    units=st.sampled_from([-5000, 5000, -20_000, 20_000, 999, -1, 400_000, 10**9]),
    stop=_distance,
    target=_distance,
    costs=st.sampled_from(COSTS),
    leverage=st.sampled_from([Decimal("33.3"), Decimal(100), Decimal(5)]),
    client=_client,
    delay=st.sampled_from([timedelta(0), timedelta(0), timedelta(0), timedelta(minutes=20), HOUR]),
)
LEAVES = st.builds(Leave, st.sampled_from([0, 0, 1]), _client)
OTHERS = st.one_of(
    st.builds(Protect, st.sampled_from([0, 0, 1]), _distance, _distance),
    st.builds(Withdraw, st.integers(0, 1)),
    st.builds(Transfer, st.decimals("-500", "500", places=4)),
)
# Rounds, since a plain list of steps is mostly requests that meet nothing to act on.
_ROUNDS = st.tuples(
    st.lists(ENTRIES, max_size=2), st.lists(LEAVES, max_size=2), st.lists(OTHERS, max_size=1), HOURS
)
STORIES = st.lists(_ROUNDS, min_size=4, max_size=14).map(
    lambda rounds: [
        step
        for entries, leaves, others, hour in rounds
        for step in (*entries, *leaves, *others, hour)
    ]
)

Advance = Callable[[datetime, datetime, Mapping[str, Bar]], None]
Answer = VenueTransaction | None


class BookVenue(Book):
    """A book in memory with the methods of a venue."""

    def open_trades(self) -> list[OpenTrade]:
        """Return the open trades, oldest first."""
        return sorted(self.trades.values(), key=lambda trade: trade.id)

    def pending_orders(self) -> list[PendingOrder]:
        """Return the pending requests, oldest first."""
        return sorted(self.orders.values(), key=lambda order: order.id)

    def transactions_since(self, last_id: int, limit: int = 1000) -> list[VenueTransaction]:
        """Return the lines since an id."""
        return [line for line in self.transactions if line.id > last_id][:limit]

    def price(self, instrument: str) -> Decimal | None:
        """Return the last price."""
        return self.prices.get(instrument)


def bar_at(opens_at: datetime, series: str, shape: OpenToClose) -> Bar:
    """Return the bar of a shape."""
    pip, base = find_instrument(series.partition("@")[0]).pip, PRICES[series]
    opened, closed, above, below = shape
    return Bar(
        opens_at,
        base + opened * pip,
        base + (max(opened, closed) + above) * pip,
        base + (min(opened, closed) - below) * pip,
        base + closed * pip,
    )


class Player:
    """Plays steps on a venue; `now` moves with each hour."""

    def __init__(self, venue: Venue, advance: Advance) -> None:
        self.venue = venue
        self.advance = advance
        self.now = START

    def play(self, step: Step) -> list[Answer]:
        """Play one step and return what the venue answered."""
        if isinstance(step, Hour):
            return self._hour(step)
        if isinstance(step, Enter):
            return [self._enter(step)]
        if isinstance(step, Transfer):
            return [self.venue.transfer(step.amount, self.now)]  # type: ignore[attr-defined]
        if isinstance(step, Withdraw):
            orders = self.venue.pending_orders()
            wanted = orders[step.index].id if step.index < len(orders) else 10**6
            return [self.venue.cancel(wanted, self.now)]
        trades = self.venue.open_trades()
        trade = trades[step.index] if step.index < len(trades) else None
        if isinstance(step, Leave):
            trade_id = 10**6 if trade is None else trade.id
            return [
                self.venue.close(CloseTicket(f"lts-{step.client}", trade_id, self.now, self.now))
            ]
        stop, target = (None, None) if trade is None else self._levels(trade.series, step, 1)
        return [self.venue.modify(10**6 if trade is None else trade.id, stop, target, self.now)]

    def _hour(self, step: Hour) -> list[Answer]:
        before = self.venue.account().last_transaction_id
        bars = {series: bar_at(self.now, series, shape) for series, shape in step.bars.items()}
        self.advance(self.now, self.now + HOUR, dict(sorted(bars.items())))
        self.now += HOUR + step.pause
        return list(self.venue.transactions_since(before))

    def _enter(self, step: Enter) -> VenueTransaction:
        sign = 1 if step.units > 0 else -1
        stop, target = self._levels(step.series, step, sign)
        ticket = Ticket(
            f"lts-{step.client}",
            step.series.partition("@")[0],
            step.series,
            step.units,
            self.now,
            self.now + step.delay,
            stop,
            target,
            step.costs,
            step.leverage,
        )
        if step.client == 30:
            return self.venue.reject(ticket, RejectCode.PAPER_REJECTION)
        return self.venue.submit(ticket)

    def _levels(
        self, series: str, step: Enter | Protect, sign: int
    ) -> tuple[Decimal | None, Decimal | None]:
        pip, base = find_instrument(series.partition("@")[0]).pip, PRICES[series]
        stop = None if step.stop is None else base - sign * step.stop * pip
        target = None if step.target is None else base + sign * step.target * pip
        return stop, target


def play_on_book(story: list[Step], currency: str = "USD") -> BookVenue:
    """Play a story on a new book with 10,000 in its currency, and return the book."""
    book = BookVenue(currency, Decimal(0))
    book.transfer(Decimal(10_000), START)
    player = Player(book, book.on_bars)
    for step in story:
        player.play(step)
    return book
