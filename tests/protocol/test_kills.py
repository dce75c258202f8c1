"""The process may die at any line: nothing is lost, nothing doubled, and trading goes on.

The steps are recorded from a whole run first, so that no new one can be forgotten, and the process
is killed at each of them in order, on real database files.
"""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from lts_web.store.models import CycleRecord, FillRecord
from lts_web.wiring import Trading
from tests.protocol.evidence import doubled, steps_taken
from tests.protocol.scenarios import STORIES, Scripted, Stage, Trial

pytestmark = [
    pytest.mark.req("SYS-011", "SYS-013", "INT-06", "INT-007", "STC-008", "INT-08"),
    pytest.mark.timeout(300),
]

# What each story must pass through; a protocol that loses one of these steps is another protocol.
EXPECTED = {
    "entry": {"decide.done", "intent.written", "send.before", "venue.committed", "outcome.written"},
    "close": {"decide.done", "intent.written", "send.before", "venue.committed", "outcome.written"},
    "stop_loss": {"venue.advanced", "venue.committed", "sync.read", "sync.applied"},
    "take_profit": {"venue.advanced", "venue.committed", "sync.read", "sync.applied"},
}


def running_cycles(trial: Trial) -> list[int]:
    with trial.house.database.read() as session:
        rows = select(CycleRecord.id).where(CycleRecord.status == "running")
        return list(session.scalars(rows))


def check_end(trial: Trial, killed: list[int], wrong: list[str]) -> None:
    """Everything adds up, every bar had its cycle once, and the killed ones stay interrupted."""
    assert wrong == []
    with trial.house.database.read() as session:
        steps = steps_taken(session, trial.start.portfolio_id)
        bars = len(trial.start.story.bars)
        assert len(steps) == bars
        assert steps == sorted(set(steps))
        for cycle_id in killed:
            assert session.get_one(CycleRecord, cycle_id).status == "interrupted"
        reasons = tuple(session.scalars(select(FillRecord.reason).order_by(FillRecord.id)))
    story = trial.start.story
    assert reasons == story.reasons or (killed and reasons == story.without)
    asked = Counter(Scripted.asked)
    assert max(asked.values()) == 1, "a bar was decided twice"


@pytest.mark.parametrize("name", STORIES)
def test_undisturbed_the_story_is_what_it_says(stage: Stage, name: str) -> None:
    with stage.trial(STORIES[name]) as trial:
        wrong = trial.recover_and_go_on()
        check_end(trial, [], wrong)


@pytest.mark.parametrize("name", STORIES)
def test_killed_at_every_step(stage: Stage, name: str) -> None:
    story = STORIES[name]
    with stage.trial(story) as trial:
        steps = trial.steps(trial.in_question)
    assert set(steps) >= EXPECTED[name]
    print(len(steps), steps)
    for number, step in enumerate(steps):
        Scripted.asked.clear()
        with stage.trial(story) as trial:
            reached = trial.steps(trial.in_question, ends_at=number)
            assert reached == steps[: number + 1]
            killed = running_cycles(trial)
            assert doubled(trial.house.database, trial.house.venues) == [], (number, step)
            wrong = trial.recover_and_go_on()
            try:
                check_end(trial, killed, wrong)
            except AssertionError as error:
                error.add_note(f"killed at step {number}, {step}")
                raise


@pytest.mark.parametrize("name", ["entry", "close"])
def test_killed_again_at_every_step_of_the_recovery(stage: Stage, name: str) -> None:
    """First deaths are those after a commit: between two of them nothing durable changes."""
    story = STORIES[name]
    with stage.trial(story) as trial:
        steps = trial.steps(trial.in_question)
    for number in (at for at, step in enumerate(steps) if step.endswith(".committed")):
        with stage.trial(story) as trial:
            trial.steps(trial.in_question, ends_at=number)
            killed = running_cycles(trial)
            dead = stage.keep(f"{name}-{number}")
        with stage.trial(story, of=dead) as trial:
            recovery = trial.steps(recover)
        print(steps[number], recovery)
        for again in range(len(recovery)):
            with stage.trial(story, of=dead) as trial:
                trial.steps(recover, ends_at=again)
                wrong = trial.recover_and_go_on(cycles=2)
                assert wrong == [], (steps[number], recovery[again])
                with trial.house.database.read() as session:
                    states = {session.get_one(CycleRecord, one).status for one in killed}
                assert states <= {"interrupted"}


def recover(trading: Trading) -> None:
    trading.service.recover()
