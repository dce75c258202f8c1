"""The check of the kill tests finds what it is there to find: protocols that are broken on purpose.

Each of them is a mistake that others have made. Undisturbed most of them work, which is why only a
death at the right line shows them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from lts_web import wiring
from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.services import reconcile
from lts_web.services.booking import book_transactions
from lts_web.services.cycle import CycleService
from lts_web.services.fencing import sending_until
from lts_web.services.ordering import OrderDesk, Written
from lts_web.services.reconcile import Reconciler
from lts_web.services.runs import AccountRun, AssetRun, CycleRun
from lts_web.store.models import BrokerAccountRecord, OrderRecord
from lts_web.store.orders import unresolved_orders
from lts_web.trading.matching import VenueTransaction
from lts_web.trading.orders import (
    Denied,
    OrderIntent,
    OrderKind,
    OrderOrigin,
    Outcome,
    Unknown,
    client_order_id,
)
from tests.protocol.scenarios import STORIES, Stage, Story

pytestmark = [pytest.mark.req("SYS-013", "INT-06", "INT-007"), pytest.mark.timeout(300)]


def first_death(stage: Stage, story: Story) -> tuple[str, list[str]] | None:
    """Return the first death after which something is wrong, or None."""
    return next((death for death in stage.deaths(story) if death[1]), None)


def undisturbed(stage: Stage, story: Story) -> list[str]:
    with stage.trial(story) as trial:
        return trial.recover_and_go_on() + trial.astray([])


# --- resend on unknown ----------------------------------------------------------------------------


class LosesTheAnswer(BacktraderSimulationBroker):
    """The venue takes an entry, and the answer to it is lost."""

    def execute_order(self, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer = super().execute_order(action, parameters)
        if action == "open":
            raise ConnectionError("the answer was lost")
        return answer


class RetriesAtOnce(OrderDesk):
    """Takes an exception for a refusal, and tries again."""

    def _send(
        self, run: CycleRun, asset: AssetRun, intent: OrderIntent, written: Written
    ) -> Outcome:
        outcome = super()._send(run, asset, intent, written)
        if isinstance(outcome, Unknown):
            outcome = super()._send(run, asset, intent, written)
        return outcome


def test_resending_at_once_is_caught(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "OrderDesk", RetriesAtOnce)
    story = STORIES["entry"].with_broker("loses_the_answer", LosesTheAnswer)
    assert any("was sent 2 times" in sentence for sentence in undisturbed(stage, story))


class ResendsWhatItDoesNotKnow(Reconciler):
    """Sends an entry again that a restart found unfinished, before it reads the venue."""

    def sync(self, account: AccountRun, portfolio_id: int, user_id: int) -> None:
        with self._database.read() as session:
            orders = unresolved_orders(session, account.id)
        for order in orders:
            assert account.broker is not None
            assert order.client_order_id is not None
            with sending_until(
                datetime.max.replace(tzinfo=order.market_time.tzinfo), order.market_time
            ):
                account.broker.open(intent_of(order), order.client_order_id, self._now(order))
        super().sync(account, portfolio_id, user_id)

    def _now(self, order: OrderRecord) -> datetime:
        return order.market_time + timedelta(hours=1)


def intent_of(order: OrderRecord) -> OrderIntent:
    assert order.price is not None
    return OrderIntent(
        kind=OrderKind.ENTRY,
        origin=OrderOrigin.STRATEGY,
        instrument=order.instrument,
        units=order.units,
        decision_price=order.price,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
    )


def test_resending_after_a_restart_is_caught(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "Reconciler", ResendsWhatItDoesNotKnow)
    story = STORIES["entry"]
    assert undisturbed(stage, story) == []
    found = first_death(stage, story)
    assert found is not None
    assert any("was sent 2 times" in sentence for sentence in found[1])


def test_a_resent_entry_is_really_bought_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venue knows a client id only while its order waits or its trade is open, as OANDA does.

    Here the stop closes the trade before the restarted process gets to its unknown order.
    """
    monkeypatch.setattr(wiring, "Reconciler", ResendsWhatItDoesNotKnow)
    calm = STORIES["entry"].bars[:2]
    bars = (*calm, (1.1001, 1.1002, 1.0970, 1.0980), *calm, *calm)
    story = Story("bought_twice", bars, "1:buy", first=1, cycles=1, reasons=())
    with stage.trial(story) as trial:
        steps = trial.steps(trial.in_question)
    with stage.trial(story) as trial:
        trial.steps(trial.in_question, ends_at=steps.index("send.after"))
        monkeypatch.setattr(CycleService, "recover", lambda _service: [])
        # What our books make of it must not hold the market up.
        at_once = {("pipeline", "default_pipeline"): {"error_retry_delay": 0}}
        wrong = trial.recover_and_go_on(parameters=at_once)
    assert any("was filled 2 times" in sentence for sentence in wrong)


# --- row after call -------------------------------------------------------------------------------


class WritesAfterwards(OrderDesk):
    """Calls the broker first and writes the order down after it."""

    def place(
        self, run: CycleRun, asset: AssetRun, intent: OrderIntent, ordinal: int = 0
    ) -> Outcome | None:
        with self._database.read() as session:
            last = session.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = 'orders'"))
        client_id = client_order_id(self._install, (last or 0) + 1)
        soon = self._clock() + timedelta(seconds=60)
        outcome = self._send(run, asset, intent, Written(0, client_id, soon))
        self._reach("send.after")
        written = self.write_intent(run, asset, intent)
        assert not isinstance(written, Denied)
        self.write_outcome(run, asset, intent, written, outcome)
        return outcome


@pytest.mark.parametrize("name", ["entry", "close"])
def test_a_row_after_the_call_is_caught(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(wiring, "OrderDesk", WritesAfterwards)
    assert undisturbed(stage, STORIES[name]) == []
    found = first_death(stage, STORIES[name])
    assert found is not None
    assert any("never written down" in sentence for sentence in found[1])


# --- the cursor apart from its events -------------------------------------------------------------


class MovesTheCursorFirst(Reconciler):
    """Commits how far the log was read, and what it says in a second transaction."""

    def _write(
        self,
        account: AccountRun,
        portfolio_id: int,
        user_id: int,
        lines: list[VenueTransaction],
        unsendable: frozenset[int],
    ) -> None:
        with self._database.write() as session:
            record = session.get_one(BrokerAccountRecord, account.id)
            before = record.last_transaction_id
            if lines:
                record.last_transaction_id = lines[-1].id
        with self._database.write() as session:
            record = session.get_one(BrokerAccountRecord, account.id)
            record.last_transaction_id = before
            book_transactions(session, record, user_id, lines, self._clock())


@pytest.mark.parametrize("name", ["stop_loss", "take_profit"])
def test_a_cursor_committed_before_its_events_is_caught(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(wiring, "Reconciler", MovesTheCursorFirst)
    assert undisturbed(stage, STORIES[name]) == []
    found = first_death(stage, STORIES[name])
    assert found is not None
    assert any("is not booked" in sentence for sentence in found[1])


@pytest.mark.parametrize("name", ["entry", "stop_loss"])
def test_a_cursor_that_is_never_committed_is_caught(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def forgetful(session: Any, account: BrokerAccountRecord, *rest: Any) -> int:
        before = account.last_transaction_id
        applied = book_transactions(session, account, *rest)
        account.last_transaction_id = before
        return applied

    monkeypatch.setattr(reconcile, "book_transactions", forgetful)
    assert any("was read to" in sentence for sentence in undisturbed(stage, STORIES[name]))


# --- a failed read taken for an empty one ---------------------------------------------------------


class ReadsNothing(Reconciler):
    """Takes a log that cannot be read after a restart for one in which nothing happened."""

    def _read(self, account: AccountRun) -> list[VenueTransaction]:
        with self._database.read() as session:
            fails = bool(unresolved_orders(session, account.id))
        return [] if fails else super()._read(account)


def test_a_failed_read_taken_for_an_empty_one_is_caught(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "Reconciler", ReadsNothing)
    assert undisturbed(stage, STORIES["entry"]) == []
    found = first_death(stage, STORIES["entry"])
    assert found is not None
    assert any("but the venue has it" in sentence for sentence in found[1])
