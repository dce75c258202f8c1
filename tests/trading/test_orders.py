"""The table of lawful order states, and what an order is known by."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.trading.instruments import Side
from lts_web.trading.orders import (
    FINAL_STATUSES,
    OPEN_STATUSES,
    STATUS_SENTENCES,
    TRANSITIONS,
    UNRESOLVED_STATUSES,
    OrderIntent,
    OrderKind,
    OrderOrigin,
    OrderStatus,
    UnlawfulTransition,
    check_transition,
    client_order_id,
)

STATUSES = st.sampled_from(OrderStatus)


@pytest.mark.req("SYS-006")
def test_every_status_stands_in_the_table_and_has_its_sentence() -> None:
    assert set(TRANSITIONS) == set(STATUS_SENTENCES) == set(OrderStatus)
    assert set(OrderStatus) == OPEN_STATUSES | FINAL_STATUSES
    assert not OPEN_STATUSES & FINAL_STATUSES


@pytest.mark.req("SYS-006")
def test_every_status_can_be_reached_from_created() -> None:
    reached, waiting = set(), [OrderStatus.CREATED]
    while waiting:
        status = waiting.pop()
        if status not in reached:
            reached.add(status)
            waiting.extend(TRANSITIONS[status])
    assert reached == set(OrderStatus)


@pytest.mark.req("SYS-006")
@given(STATUSES, STATUSES)
def test_only_what_the_table_allows_passes(current: OrderStatus, following: OrderStatus) -> None:
    if following in TRANSITIONS[current]:
        check_transition(current, following)
    else:
        with pytest.raises(UnlawfulTransition, match=f"{current} cannot become {following}"):
            check_transition(current, following)


@given(st.data())
def test_every_walk_ends_and_never_leaves_its_end(data: st.DataObject) -> None:
    status, steps = OrderStatus.CREATED, 0
    while TRANSITIONS[status]:
        status = data.draw(st.sampled_from(sorted(TRANSITIONS[status])))
        steps += 1
        assert steps <= len(OrderStatus), "an order can walk in circles"
    assert status in FINAL_STATUSES
    for following in OrderStatus:
        with pytest.raises(UnlawfulTransition):
            check_transition(status, following)


def test_no_status_follows_itself_and_nothing_returns_to_created() -> None:
    for status, following in TRANSITIONS.items():
        assert status not in following
        assert OrderStatus.CREATED not in following


def test_a_resolved_order_never_becomes_unresolved_again() -> None:
    for status in set(OrderStatus) - UNRESOLVED_STATUSES:
        assert not TRANSITIONS[status] & UNRESOLVED_STATUSES


def test_what_reached_the_venue_is_never_called_unsent_or_denied() -> None:
    for status in (OrderStatus.SUBMITTED, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED):
        assert OrderStatus.DENIED not in TRANSITIONS[status]
        assert OrderStatus.EXPIRED_UNSENT not in TRANSITIONS[status]


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=8), st.integers(1))
def test_client_ids_are_unique_and_of_harmless_characters(install: str, intent: int) -> None:
    made = client_order_id(install, intent)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", made)
    assert made != client_order_id(install, intent + 1)


def test_an_intent_knows_its_side() -> None:
    intent = OrderIntent(OrderKind.ENTRY, OrderOrigin.STRATEGY, "EUR_USD", -5, Decimal("1.1"))
    assert intent.side is Side.SELL
