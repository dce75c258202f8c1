"""Small stories for the order protocol: a few bars, a script of decisions, a death at any step.

Each story trades EUR_USD with real costs and ends with a second entry, so that a system that is
blocked after a death shows. `Stage` prepares the state right before the steps in question
and keeps it as a folder to be copied; `Trial` is one copy, its processes and their deaths.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import event, select

from lts_web import wiring
from lts_web.gateways.process_lock import ProcessOwner
from lts_web.plugins import StrategyPluginBase
from lts_web.plugins.registry import installed_entry_points
from lts_web.plugins.runner import PluginRunner
from lts_web.store.engine import Database
from lts_web.store.models import CycleRecord, FillRecord
from lts_web.store.venues import Venues
from lts_web.wiring import Trading
from tests import house_of_trading
from tests.house_of_trading import START, House, MovableClock
from tests.protocol.evidence import doubled, problems, steps_taken
from tests.protocol.mortality import Killed, Life, watch_commits

# One pool of threads for all processes of a test run: each of them would leave its own behind.
RUNNER = PluginRunner()
HOUR = timedelta(hours=1)
DEAD = "interrupted"


class Scripted(StrategyPluginBase):
    """Does at each bar what its script says; remembers every bar at which it was asked."""

    plugin_params: ClassVar[dict[str, Any]] = {
        "script": "",
        "distance": 0.0010,
        "position_size": 0.5,
    }
    asked: ClassVar[list[tuple[int, datetime]]] = []

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        """Return the script's word for the bar that has just closed."""
        Scripted.asked.append((asset_data["asset_id"], market_data["time"]))
        number = int((market_data["time"] - START) / HOUR) - 1
        words = dict(word.split(":") for word in self.params["script"].split())
        action = words.get(str(number), "none")
        if action not in ("buy", "sell"):
            return {"action": action, "parameters": {}}
        sign = 1 if action == "buy" else -1
        price, distance = market_data["close"], self.params["distance"]
        protection = {"sl": price - sign * distance, "tp": price + sign * distance}
        return {
            "action": "open",
            "parameters": {"side": action, "quantity": 12_345, **protection},
        }


@dataclass(frozen=True)
class Story:
    """What happens: (open, high, low, close) of each bar, the script, and the cycles in question.

    Deaths are tried in the cycles `first` to `first + cycles - 1`, counted by bars from 0.
    `reasons` are those of all fills undisturbed, `without` where a death before the send cost the
    order in question: an entry that never was, or a close that the next opposite signal makes up.
    """

    name: str
    bars: tuple[tuple[float, float, float, float], ...]
    script: str
    first: int
    cycles: int
    reasons: tuple[str, ...]
    without: tuple[str, ...] = ()
    broker: str = "backtrader_simulation_broker"
    plugins: Mapping[str, type] = field(default_factory=dict)

    def with_broker(self, name: str, cls: type) -> Story:
        """Return the same story on a broker plugin of the test's own."""
        return replace(
            self, name=f"{self.name}-{name}", broker=name, plugins={f"broker/{name}": cls}
        )


def _flat(*prices: float) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((price, price, price, price) for price in prices)


_CALM = _flat(1.1000, 1.1001)
_AFTER = _flat(1.1002, 1.1001)
STORIES = {
    story.name: story
    for story in (
        Story(
            "entry",
            (*_CALM, *_flat(1.1003, 1.1004, 1.1002), *_AFTER),
            "1:buy 3:close 5:buy",
            first=1,
            cycles=2,
            reasons=("market", "close", "market"),
            without=("market",),
        ),
        Story(
            "close",
            (*_CALM, *_flat(1.1003, 1.1004, 1.1002), *_AFTER),
            "0:sell 2:close 5:buy",
            first=2,
            cycles=2,
            reasons=("market", "close", "market"),
            without=("market", "close"),
        ),
        Story(
            "stop_loss",
            (*_CALM, (1.1001, 1.1002, 1.0970, 1.0980), *_AFTER),
            "0:buy 3:sell",
            first=2,
            cycles=1,
            reasons=("market", "stop_loss", "market"),
        ),
        Story(
            "take_profit",
            (*_CALM, (1.1001, 1.1030, 1.1000, 1.1020), *_AFTER),
            "0:buy 3:sell",
            first=2,
            cycles=1,
            reasons=("market", "take_profit", "market"),
        ),
    )
}


@dataclass
class Start:
    """The state right before the steps in question, as a folder."""

    story: Story
    folder: Path
    clock: datetime
    user_id: int
    portfolio_id: int


class Trial:
    """A story on its databases, with processes that die and follow each other."""

    def __init__(self, stage: Stage, start: Start) -> None:
        self.start = start
        self._stage = stage
        self._owner: ProcessOwner | None = None
        self.house = House(
            stage.work, MovableClock(start.clock), stage.database, stage.venues, start.user_id
        )

    def process(self, life: Life, **terms: Any) -> Trading:
        """Start a process; the one before it must be dead."""
        self._stage.database.close()
        self._stage.venues.close()
        self._stage.life = life
        plugins = {"strategy/scripted": Scripted, **self.start.story.plugins}
        trading, self._owner = self.house.process(plugins, reach=life.reach, **terms)
        return trading

    def die(self) -> None:
        """Let go of what the operating system takes from a dead process: its lock."""
        if self._owner is not None:
            self._owner.close()
            self._owner = None
        self._stage.life = Life()

    def run(self, trading: Trading, cycles: int) -> None:
        """Run so many cycles; Killed where a life ends."""
        for _ in range(cycles):
            self.house.clock.pass_(seconds=2)
            trading.service.run_portfolio(self.start.portfolio_id)

    def in_question(self, trading: Trading) -> None:
        """Run the cycles in which the story tries deaths."""
        self.run(trading, self.start.story.cycles)

    def steps(
        self, act: Callable[[Trading], object], ends_at: int | None = None, **terms: Any
    ) -> list[str]:
        """Start a process, let it act, and return the steps up to its end.

        Building the process is no part of the story: its steps are not counted.
        """
        life = Life()
        trading = self.process(life, **terms)
        life.count(ends_at)
        try:
            act(trading)
        except Killed:
            assert life.over
        else:
            assert ends_at is None, f"step {ends_at} was never reached"
        return list(life.steps)

    def recover_and_go_on(self, cycles: int | None = None, **terms: Any) -> list[str]:
        """Start anew, recover, run so many cycles (None: to the end); return what is wrong."""
        self.die()
        trading = self.process(Life(), **terms)
        trading.service.recover()
        self.run(trading, len(self.start.story.bars) + 1 if cycles is None else cycles)
        return problems(self.house.database, self.house.venues)

    def running_cycles(self) -> list[int]:
        """Return the cycles that have begun and not ended."""
        with self.house.database.read() as session:
            rows = select(CycleRecord.id).where(CycleRecord.status == "running")
            return list(session.scalars(rows))

    def astray(self, killed: list[int]) -> list[str]:
        """Return how the finished story differs from what it may be after these cycles' deaths."""
        story = self.start.story
        with self.house.database.read() as session:
            slots = steps_taken(session, self.start.portfolio_id)
            states = {one: session.get_one(CycleRecord, one).status for one in killed}
            reasons = tuple(session.scalars(select(FillRecord.reason).order_by(FillRecord.id)))
        found = [f"cycle {one} is {state}" for one, state in states.items() if state != DEAD]
        if slots != sorted(set(slots)) or len(slots) != len(story.bars):
            found.append(f"the cycles are not one for each bar: {slots}")
        if reasons != story.reasons and not (killed and reasons == story.without):
            found.append(f"the fills were {reasons}")
        twice = [asked for asked, times in Counter(Scripted.asked).items() if times > 1]
        return found + [f"asset {asset} was asked twice at {time}" for asset, time in twice]


class Stage:
    """Prepares stories, and puts one after the other on the same two files.

    The engines stay, since a new one compiles all its statements anew; their connections do not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starts: dict[str, Start] = {}
        self.work = folder / "work"
        self.life = Life()
        self.database = Database(self.work / "lts.db")
        self.venues = Venues(self.work / "venues.db")
        for engine, name in ((self.database.engine, "database"), (self.venues.engine, "venue")):
            watch_commits(engine, name, self._reach)
            # A killed process loses nothing that it has written; a power cut is not tried here.
            event.listen(engine, "connect", _without_waiting_for_the_disk)

    def _reach(self, step: str) -> None:
        self.life.reach(step)

    def start(self, story: Story) -> Start:
        """Return the story's start, prepared once."""
        if story.name not in self._starts:
            self._starts[story.name] = self._prepare(story)
        return self._starts[story.name]

    @contextmanager
    def trial(self, story: Story, *, of: Path | None = None) -> Iterator[Trial]:
        """Put the story's start, or a kept state, on the stage for a while."""
        start = self.start(story)
        shutil.copytree(of or start.folder, self.work)
        trial = Trial(self, start)
        try:
            yield trial
        finally:
            trial.die()
            self._close()
            shutil.rmtree(self.work)

    def deaths(self, story: Story) -> Iterator[tuple[str, list[str]]]:
        """Kill a process at every step of the story, in order; yield each with what went wrong.

        The steps are recorded from a whole run first, so that no new one can be forgotten.
        """
        with self.trial(story) as trial:
            steps = trial.steps(trial.in_question)
        for number, step in enumerate(steps):
            Scripted.asked.clear()
            with self.trial(story) as trial:
                reached = trial.steps(trial.in_question, ends_at=number)
                assert reached == steps[: number + 1], "the story does not repeat itself"
                killed = trial.running_cycles()
                wrong = doubled(self.database, self.venues)
                try:
                    wrong += trial.recover_and_go_on()
                except Exception as fault:  # noqa: BLE001 - a broken protocol fails in any way
                    wrong.append(f"it cannot go on: {type(fault).__name__}: {fault}")
                yield step, wrong + trial.astray(killed)

    def keep(self, name: str) -> Path:
        """Copy the state on the stage, so that several trials can begin with it."""
        self._close()
        kept = self._folder / f"kept-{name}"
        shutil.copytree(self.work, kept)
        return kept

    def _close(self) -> None:
        self.database.close()
        self.venues.close()

    def _prepare(self, story: Story) -> Start:
        folder = self._folder / f"start-{story.name}"
        folder.mkdir()
        house = House.build(folder)
        bars = [(START + HOUR * number, *prices) for number, prices in enumerate(story.bars)]
        dataset = house.dataset("EUR_USD", bars)
        portfolio = house.portfolio()
        house.asset(
            portfolio,
            "EUR_USD",
            dataset,
            strategy_plugin="scripted",
            strategy_config={"script": story.script},
            broker_plugin=story.broker,
        )
        trading, owner = house.process({"strategy/scripted": Scripted, **story.plugins})
        for _ in range(story.first):
            house.clock.pass_(seconds=2)
            trading.service.run_portfolio(portfolio)
        owner.close()
        house.close()
        return Start(story, folder, house.clock(), house.user_id, portfolio)


def _without_waiting_for_the_disk(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def make_processes_cheap(monkeypatch: Any) -> None:
    """Let all processes of a test use one pool of threads and one search for plugins."""
    monkeypatch.setattr(wiring, "PluginRunner", lambda **_terms: RUNNER)
    monkeypatch.setattr(house_of_trading, "installed_entry_points", cache(installed_entry_points))
