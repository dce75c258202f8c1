"""The gate before a simulated venue: one request, in its time, through the protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread

import pytest

from lts_web.plugins import NotSentError
from lts_web.services.fencing import FencedVenue, SentAlready, sending_until
from lts_web.store.venues import DurableVenue, Venues
from lts_web.trading.codes import RejectCode
from lts_web.trading.matching import CloseTicket, Ticket
from tests.house_of_trading import START, MovableClock

pytestmark = pytest.mark.req("INT-06", "SYS-011")

TICKET = Ticket("lts-1", "EUR_USD", "EUR_USD@1", 1000, START, START)
CLOSE = CloseTicket("lts-2", 1, START, START)
REQUESTS: dict[str, Callable[[FencedVenue], object]] = {
    "submit": lambda venue: venue.submit(TICKET),
    "close": lambda venue: venue.close(CLOSE),
    "reject": lambda venue: venue.reject(TICKET, RejectCode.PAPER_REJECTION),
    "modify": lambda venue: venue.modify(2, Decimal("1.09"), None, START),
    "cancel": lambda venue: venue.cancel(2, START),
}
ORDERS = [name for name in REQUESTS if name != "modify"]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[DurableVenue]:
    venues = Venues(tmp_path / "venues.db")
    venues.create_tables()
    yield venues.open_account("a", "USD", Decimal(10_000), START)
    venues.close()


@pytest.fixture
def fenced(durable: DurableVenue, clock: MovableClock) -> FencedVenue:
    return FencedVenue(durable, clock)


def lines(venue: DurableVenue) -> int:
    return venue.account().last_transaction_id


@pytest.mark.parametrize("request_name", REQUESTS)
def test_nothing_passes_outside_the_protocol(
    fenced: FencedVenue, durable: DurableVenue, request_name: str
) -> None:
    before = lines(durable)
    with pytest.raises(NotSentError):
        REQUESTS[request_name](fenced)
    assert lines(durable) == before


@pytest.mark.parametrize("request_name", REQUESTS)
def test_nothing_passes_at_or_after_the_last_moment(
    fenced: FencedVenue, durable: DurableVenue, clock: MovableClock, request_name: str
) -> None:
    before = lines(durable)
    with sending_until(clock() + timedelta(seconds=5), clock()):
        clock.pass_(seconds=5)
        with pytest.raises(NotSentError):
            REQUESTS[request_name](fenced)
    assert lines(durable) == before


def test_a_wall_clock_that_steps_back_lets_nothing_late_pass(
    fenced: FencedVenue, clock: MovableClock
) -> None:
    with sending_until(clock() + timedelta(seconds=0.05), clock()):
        clock.pass_(seconds=-3600)
        time.sleep(0.06)
        with pytest.raises(NotSentError):
            fenced.submit(TICKET)


@pytest.mark.parametrize("second", ORDERS)
def test_one_intent_is_one_request(
    fenced: FencedVenue, durable: DurableVenue, clock: MovableClock, second: str
) -> None:
    with sending_until(clock() + timedelta(seconds=5), clock()):
        fenced.submit(TICKET)
        sent = lines(durable)
        with pytest.raises(SentAlready):
            REQUESTS[second](fenced)
        fenced.modify(sent, Decimal("1.09"), None, START)
        clock.pass_(seconds=5)
        with pytest.raises(SentAlready):
            REQUESTS["modify"](fenced)
    assert lines(durable) == sent + 1


def test_the_next_intent_may_send_again(fenced: FencedVenue, clock: MovableClock) -> None:
    for number in range(2):
        with sending_until(clock() + timedelta(seconds=5), clock()):
            fenced.submit(replace(TICKET, client_id=f"lts-{number}"))
    assert len(fenced.pending_orders()) == 2


def test_a_thread_that_was_given_up_keeps_its_own_limit(
    fenced: FencedVenue, clock: MovableClock
) -> None:
    """Its permit is its own: it neither uses up the next one's nor may borrow it."""
    refused: list[Exception] = []

    def late() -> None:
        try:
            fenced.submit(TICKET)
        except NotSentError as refusal:
            refused.append(refusal)

    with sending_until(clock() + timedelta(seconds=5), clock()):
        context = copy_context()
    clock.pass_(seconds=6)
    with sending_until(clock() + timedelta(seconds=5), clock()):
        thread = Thread(target=context.run, args=(late,))
        thread.start()
        thread.join()
        fenced.submit(replace(TICKET, client_id="lts-3"))
    assert len(refused) == 1
    assert [order.ticket.client_id for order in fenced.pending_orders()] == ["lts-3"]


def test_reads_always_pass(fenced: FencedVenue) -> None:
    assert fenced.account().balance == 10_000
    assert fenced.open_trades() == []
    assert len(fenced.transactions_since(0)) == 1
    assert fenced.price("EUR_USD") is None
