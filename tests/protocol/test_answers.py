"""A broker's answer may be lost, late or a lie: the venue's log alone says what happened.

The brokers here are the built-in one with one fault each, on a real venue.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from sqlalchemy import select

from lts_web.plugins import NotSentError
from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.services.fencing import SentAlready
from lts_web.services.reconcile import QUIET_PERIOD
from lts_web.store.models import (
    BrokerAccountRecord,
    CycleRecord,
    DecisionRecord,
    FillRecord,
    OrderRecord,
)
from lts_web.trading.matching import Ticket, TransactionKind
from lts_web.wiring import SEND_WINDOW, Trading
from tests.contracts.documented.broker import NotebookBroker
from tests.house_of_trading import START
from tests.protocol.evidence import problems
from tests.protocol.mortality import Life
from tests.protocol.scenarios import STORIES, Stage, Trial

pytestmark = [pytest.mark.req("INT-06", "SYS-011", "STC-005"), pytest.mark.timeout(60)]

TOO_LATE = (SEND_WINDOW + QUIET_PERIOD).total_seconds() + 1
AT_ONCE = {("pipeline", "default_pipeline"): {"error_retry_delay": 0}}
SHORT = {("pipeline", "default_pipeline"): {"execution_timeout": 1}}


class Faulty(BacktraderSimulationBroker):
    """Behaves as `manner` says at its first order of the kind `at`, and well ever after."""

    manner: ClassVar[str] = ""
    at: ClassVar[str] = "open"
    used: ClassVar[bool] = False
    refused: ClassVar[list[str]] = []
    let_go: ClassVar[threading.Event] = threading.Event()
    ended: ClassVar[threading.Event] = threading.Event()

    @classmethod
    def set_up(cls, manner: str, at: str) -> None:
        cls.manner, cls.at, cls.used = manner, at, False
        cls.refused = []
        cls.let_go, cls.ended = threading.Event(), threading.Event()

    def execute_order(self, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if action != self.at or Faulty.used:
            return super().execute_order(action, parameters)
        Faulty.used = True
        if self.manner == "raises before":
            raise ConnectionError("no answer")
        if self.manner == "knows that it did not send":
            raise NotSentError("the connection was refused")
        if self.manner == "hangs before":
            self.let_go.wait()
        answer = self._try(action, parameters)
        if self.manner == "sends twice":
            self._try(action, parameters)
        if self.manner == "hangs after":
            self.let_go.wait()
        self.ended.set()
        if self.manner == "exits after":
            raise SystemExit(1)
        if self.manner == "raises after":
            raise ConnectionError("the answer was lost")
        if self.manner == "answers rubbish":
            return {"success": "perhaps"}
        return answer

    def _try(self, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            return super().execute_order(action, parameters)
        except (NotSentError, SentAlready) as refusal:
            Faulty.refused.append(type(refusal).__name__)
            self.ended.set()
            raise


@pytest.fixture(autouse=True)
def nobody_waits() -> Iterator[None]:
    yield
    Faulty.let_go.set()


def orders(trial: Trial, kind: str) -> list[OrderRecord]:
    with trial.house.database.read() as session:
        rows = select(OrderRecord).where(OrderRecord.kind == kind).order_by(OrderRecord.id)
        return list(session.scalars(rows))


def codes(trial: Trial) -> list[str | None]:
    with trial.house.database.read() as session:
        return list(session.scalars(select(DecisionRecord.code).order_by(DecisionRecord.id)))


def faulty(stage: Stage, manner: str, at: str, **terms: Any) -> tuple[Any, Any]:
    """Return the context of a trial whose broker has this fault, and a way to start a process."""
    story = STORIES["entry" if at == "open" else "close"].with_broker("faulty", Faulty)
    Faulty.set_up("", at)
    stage.start(story)
    Faulty.set_up(manner, at)
    return stage.trial(story), lambda trial: trial.process(Life(), **terms)


KINDS = {"open": "entry", "close": "close"}


@pytest.mark.parametrize("at", KINDS)
@pytest.mark.parametrize("manner", ["raises after", "exits after", "answers rubbish"])
def test_a_lost_answer_is_found_in_the_log(stage: Stage, manner: str, at: str) -> None:
    context, start = faulty(stage, manner, at)
    with context as trial:
        trading = start(trial)
        trial.run(trading, 1)
        unknown = orders(trial, KINDS[at])[0]
        assert unknown.status == "unknown"
        assert unknown.unknown_since is not None
        trial.run(trading, 1)
        assert orders(trial, KINDS[at])[0].status == "filled"
        trial.run(trading, len(trial.start.story.bars))
        assert problems(trial.house.database, trial.house.venues) == []
        assert trial.astray([]) == []


@pytest.mark.parametrize("at", KINDS)
def test_what_never_arrived_is_waited_for_and_then_given_up(stage: Stage, at: str) -> None:
    context, start = faulty(stage, "raises before", at)
    with context as trial:
        trading = start(trial)
        trial.run(trading, 2)
        assert [order.status for order in orders(trial, KINDS[at])] == ["unknown"]
        trial.house.clock.pass_(seconds=TOO_LATE)
        trial.run(trading, 1)
        assert orders(trial, KINDS[at])[0].status == "expired_unsent"
        trial.run(trading, len(trial.start.story.bars))
        assert problems(trial.house.database, trial.house.venues) == []


def test_the_asset_waits_while_the_outcome_is_unknown(stage: Stage) -> None:
    story = STORIES["entry"].with_broker("faulty", Faulty)
    Faulty.set_up("raises before", "open")
    with stage.trial(story) as trial:
        trading = trial.process(Life())
        trial.run(trading, len(story.bars))
        assert "OUTCOME_UNKNOWN" in codes(trial)
        assert [order.status for order in orders(trial, "entry")] == ["unknown"]


def test_a_broker_may_know_that_it_did_not_send(stage: Stage) -> None:
    context, start = faulty(stage, "knows that it did not send", "open")
    with context as trial:
        trading = start(trial)
        trial.run(trading, 1)
        assert orders(trial, "entry")[0].status == "expired_unsent"
        trial.run(trading, len(trial.start.story.bars))
        assert problems(trial.house.database, trial.house.venues) == []


@pytest.mark.parametrize("at", KINDS)
def test_one_intent_is_one_request_whatever_the_plugin_tries(stage: Stage, at: str) -> None:
    context, start = faulty(stage, "sends twice", at)
    with context as trial:
        trading = start(trial)
        trial.run(trading, len(trial.start.story.bars))
        assert Faulty.refused == ["SentAlready"]
        assert problems(trial.house.database, trial.house.venues) == []
        assert trial.astray([]) == []


@pytest.mark.req("STC-005")
def test_an_abandoned_thread_that_sends_in_time_is_booked(stage: Stage) -> None:
    context, start = faulty(stage, "hangs before", "open", parameters=SHORT)
    with context as trial:
        trading = start(trial)
        trial.run(trading, 1)
        assert orders(trial, "entry")[0].status == "unknown"
        Faulty.let_go.set()
        assert Faulty.ended.wait(5)
        trial.run(trading, len(trial.start.story.bars))
        assert problems(trial.house.database, trial.house.venues) == []
        assert orders(trial, "entry")[0].status == "filled"


@pytest.mark.req("STC-005")
def test_an_abandoned_thread_sends_nothing_late(stage: Stage) -> None:
    context, start = faulty(stage, "hangs before", "open", parameters=SHORT)
    with context as trial:
        trading = start(trial)
        trial.run(trading, 1)
        trial.house.clock.pass_(seconds=TOO_LATE)
        trial.run(trading, 1)
        assert orders(trial, "entry")[0].status == "expired_unsent"
        Faulty.let_go.set()
        assert Faulty.ended.wait(5)
        assert Faulty.refused == ["NotSentError"]
        trial.run(trading, len(trial.start.story.bars))
        assert problems(trial.house.database, trial.house.venues) == []


@pytest.mark.req("STC-005")
def test_a_late_answer_changes_nothing(stage: Stage) -> None:
    context, start = faulty(stage, "hangs after", "open", parameters=SHORT)
    with context as trial:
        trading = start(trial)
        trial.run(trading, 3)
        Faulty.let_go.set()
        assert Faulty.ended.wait(5)
        trial.run(trading, len(trial.start.story.bars))
        assert problems(trial.house.database, trial.house.venues) == []
        assert trial.astray([]) == []


class SlowReader(Faulty):
    """While its log is being read, the abandoned thread sends, and the time to send runs out."""

    clock: ClassVar[Any] = None

    def get_transactions_since(self, last_id: int, limit: int = 1000) -> list[dict[str, Any]]:
        lines = super().get_transactions_since(last_id, limit)
        if Faulty.used and not Faulty.let_go.is_set():
            Faulty.let_go.set()
            assert Faulty.ended.wait(5)
            self.clock.pass_(seconds=TOO_LATE)
        return lines


def test_a_reading_that_takes_long_concludes_nothing_about_its_own_time(stage: Stage) -> None:
    """The order arrives after the log was read and before the reading is judged."""
    Faulty.set_up("", "open")
    story = STORIES["entry"].with_broker("slow_reader", SlowReader)
    stage.start(story)
    Faulty.set_up("hangs before", "open")
    with stage.trial(story) as trial:
        SlowReader.clock = trial.house.clock
        trading = trial.process(Life(), parameters=SHORT)
        trial.run(trading, 2)
        assert orders(trial, "entry")[0].status == "unknown"
        trial.run(trading, len(story.bars))
        assert problems(trial.house.database, trial.house.venues) == []


class Unreadable(BacktraderSimulationBroker):
    """Cannot be read while `down`."""

    down: ClassVar[bool] = False

    def get_transactions_since(self, last_id: int, limit: int = 1000) -> list[dict[str, Any]]:
        if self.down:
            raise ConnectionError("the venue cannot be reached")
        return super().get_transactions_since(last_id, limit)


@pytest.fixture
def venue_down() -> Iterator[None]:
    yield
    Unreadable.down = False


@pytest.mark.req("STC-16")
@pytest.mark.usefixtures("venue_down")
def test_a_failed_read_is_not_an_empty_one(stage: Stage) -> None:
    """After a death the order is there, but the venue cannot be asked: it stays unknown."""
    story = STORIES["entry"].with_broker("unreadable", Unreadable)
    with stage.trial(story) as trial:
        steps = trial.steps(trial.in_question)
    with stage.trial(story) as trial:
        trial.steps(trial.in_question, ends_at=steps.index("send.after"))
        Unreadable.down = True
        trial.die()
        trading = trial.process(Life(), parameters=AT_ONCE)
        trading.service.recover()
        trial.run(trading, 2)
        assert [order.status for order in orders(trial, "entry")] == ["unknown"]
        assert account(trial).sync_failures == 3
        trial.house.clock.pass_(seconds=TOO_LATE)
        trial.run(trading, 1)
        assert [order.status for order in orders(trial, "entry")] == ["unknown"]
        Unreadable.down = False
        trial.house.clock.pass_(seconds=TOO_LATE)
        trial.run(trading, len(story.bars))
        assert orders(trial, "entry")[0].status == "filled"
        assert problems(trial.house.database, trial.house.venues) == []


def test_a_broker_that_gives_an_id_again_confuses_nothing(stage: Stage) -> None:
    """The documented minimal broker has no memory; its trades are known by our own ids."""
    story = STORIES["entry"].with_broker("notebook", NotebookBroker)
    with stage.trial(story) as trial:
        trial.run(trial.process(Life()), 3)
        trial.die()
        trading = trial.process(Life())
        trial.run(trading, len(story.bars))
        first, second = orders(trial, "entry")
        assert (first.status, second.status) == ("filled", "filled")
        assert first.broker_order_id == second.broker_order_id
        assert first.broker_trade_id != second.broker_trade_id
        balance = account(trial).balance
        with trial.house.database.read() as session:
            states = set(session.scalars(select(CycleRecord.status)))
            profit = sum(session.scalars(select(FillRecord.realized_pnl)))
        assert states == {"done"}
        assert balance == 10_000 + profit


def account(trial: Trial) -> BrokerAccountRecord:
    with trial.house.database.read() as session:
        return session.scalars(select(BrokerAccountRecord)).one()


def by_hand(trial: Trial, trading: Trading) -> None:
    """Place an order at the venue that LTS knows nothing of."""
    ticket = Ticket(
        client_id="by-hand",
        instrument="EUR_USD",
        series="EUR_USD@1",
        units=500,
        requested_at=START,
        arrives_at=START,
    )
    line = trading.venues.venue(account(trial).venue_key).submit(ticket)
    assert line.kind is TransactionKind.ORDER


@pytest.mark.parametrize("name", ["entry", "close"])
def test_what_the_log_cannot_explain_is_for_a_person(stage: Stage, name: str) -> None:
    """Entries wait, exits stay possible, and nothing of the line is booked."""
    with stage.trial(STORIES[name]) as trial:
        trading = trial.process(Life(), parameters=AT_ONCE)
        before = account(trial)
        by_hand(trial, trading)
        trial.run(trading, 1)
        after = account(trial)
        assert after.sync_error is not None
        assert "not ours" in after.sync_error
        assert (after.last_transaction_id, after.balance) == (
            before.last_transaction_id,
            before.balance,
        )
        if name == "entry":
            assert codes(trial)[-1] == "ACCOUNT_UNREADABLE"
            assert orders(trial, "entry") == []
        else:
            assert [order.status for order in orders(trial, "close")] == ["accepted"]
        found = problems(trial.house.database, trial.house.venues)
        assert any("cannot be read" in sentence for sentence in found)
