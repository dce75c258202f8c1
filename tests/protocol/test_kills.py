"""The process may die at any line: nothing is lost, nothing doubled, and trading goes on.

In process and exhaustive: at every step that a whole run has shown, in order, on real files.
"""

from __future__ import annotations

import pytest

from lts_web.store.models import CycleRecord
from lts_web.wiring import Trading
from tests.protocol.scenarios import DEAD, STORIES, Stage

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


@pytest.mark.parametrize("name", STORIES)
def test_undisturbed_the_story_is_what_it_says(stage: Stage, name: str) -> None:
    with stage.trial(STORIES[name]) as trial:
        assert trial.recover_and_go_on() == []
        assert trial.astray([]) == []
    with stage.trial(STORIES[name]) as trial:
        assert set(trial.steps(trial.in_question)) >= EXPECTED[name]


@pytest.mark.parametrize("name", STORIES)
def test_killed_at_every_step(stage: Stage, name: str) -> None:
    deaths = list(stage.deaths(STORIES[name]))
    assert [death for death in deaths if death[1]] == []


@pytest.mark.parametrize("name", ["entry", "close"])
def test_killed_again_at_every_step_of_the_recovery(stage: Stage, name: str) -> None:
    """First deaths are those after a commit: between two of them nothing durable changes."""
    story = STORIES[name]
    with stage.trial(story) as trial:
        steps = trial.steps(trial.in_question)
    for number in (at for at, step in enumerate(steps) if step.endswith(".committed")):
        with stage.trial(story) as trial:
            trial.steps(trial.in_question, ends_at=number)
            killed = trial.running_cycles()
            dead = stage.keep(f"{name}-{number}")
        with stage.trial(story, of=dead) as trial:
            recovery = trial.steps(recover)
        for again in range(len(recovery)):
            with stage.trial(story, of=dead) as trial:
                trial.steps(recover, ends_at=again)
                wrong = trial.recover_and_go_on(cycles=2)
                assert wrong == [], (steps[number], recovery[again])
                with trial.house.database.read() as session:
                    states = {session.get_one(CycleRecord, one).status for one in killed}
                assert states <= {DEAD}


def recover(trading: Trading) -> None:
    trading.service.recover()
