"""Many random SIGKILLs of the real worker, on one data directory that never gets a rest.

Most random instants hit idling and prove nothing, so the worker is killed at steps of the protocol:
each of them a least number of times, the rest at random. The journal of deaths is the trial's
state; after every death nothing may be doubled, after every tenth a worker runs undisturbed and
everything must add up.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select

from lts_web.store.models import FillRecord, OrderRecord
from tests.protocol.evidence import doubled, problems
from tests.protocol.real_workers import Workers, furnish

NAME = "kills"
DESCRIPTION = "Kill the real worker at random steps of the order protocol: nothing lost or doubled."
STEPS = (
    "claim.before_commit",
    "claim.written",
    "venue.before_commit",
    "venue.committed",
    "venue.advanced",
    "sync.read",
    "sync.before_commit",
    "sync.applied",
    "decide.done",
    "intent.before_commit",
    "intent.written",
    "send.before",
    "send.after",
    "outcome.before_commit",
    "outcome.written",
    "report.before_commit",
    "report.written",
)
RECOVERY = "recovery.taken"
MOST_TIMES = 12
EVERY = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the trial can be told."""
    parser.add_argument("--count", type=int, default=200, help="deaths in all (default: 200)")
    parser.add_argument("--least", type=int, default=5, help="deaths at each step (default: 5)")


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Carry the trial on; 0: all added up, 1: something did not, 2: no POSIX signals here."""
    if sys.platform == "win32":
        print("This trial sends POSIX signals; it does not run on Windows.")
        return 2
    data, journal = folder / "data", folder / "journal"
    if not data.exists():
        data.mkdir(mode=0o700)
        furnish(data, portfolios=2)
    journal.touch()
    workers = Workers(data)
    try:
        return deaths(workers, journal, arguments.count, arguments.least)
    finally:
        workers.close()


def deaths(workers: Workers, journal: Path, count: int, least: int) -> int:
    """Kill until the journal holds so many deaths; print the figures."""
    begun = time.monotonic()
    done = Counter(journal.read_text().split())
    print(f"{done.total()} of {count} deaths were there already", flush=True)
    while done.total() < count:
        # A recovery only happens where the last death left something to recover.
        unfinished = workers.cycles("running") > 0
        step = next_step([*STEPS, RECOVERY] if unfinished else STEPS, done, least)
        times = 1 if step == RECOVERY else random.randint(1, MOST_TIMES)
        workers.killed_at(step, times, journal)
        done[step] += 1
        wrong = doubled(workers.database, workers.venues)
        if not wrong and done.total() % EVERY == 0:
            wrong = at_rest(workers)
            print(f"{done.total()} deaths, {workers.cycles()} cycles", flush=True)
        if wrong:
            return told(wrong, step)
    wrong = at_rest(workers)
    figures(workers, done, time.monotonic() - begun)
    return told(wrong, "the end") if wrong else 0


def next_step(steps: Sequence[str], done: Counter[str], least: int) -> str:
    """Return a step that was hit too seldom so far, else any."""
    seldom = [step for step in steps if done[step] < least]
    return random.choice(seldom or steps)


def at_rest(workers: Workers) -> list[str]:
    """Let a worker recover and run a while, and return what does not add up."""
    workers.run_for(10)
    wrong = problems(workers.database, workers.venues)
    return wrong if workers.consecutive() else [*wrong, "a bar had no cycle, or two"]


def told(wrong: list[str], step: str) -> int:
    """Print what went wrong."""
    print(f"after {step}:", *wrong, sep="\n  ")
    return 1


def figures(workers: Workers, done: Counter[str], seconds: float) -> None:
    """Print the histogram of the steps that were hit, and what the worker did meanwhile."""
    for step in (*STEPS, RECOVERY):
        print(f"{done[step]:5} × {step}")
    with workers.database.read() as session:
        statuses = dict(
            session.execute(
                select(OrderRecord.status, func.count()).group_by(OrderRecord.status)
            ).all()
        )
        fills = session.scalar(select(func.count()).select_from(FillRecord))
    print(
        f"{done.total()} deaths at {len(+done)} steps, {workers.cycles()} cycles "
        f"({workers.cycles('interrupted')} interrupted), orders {statuses}, {fills} fills, "
        f"{seconds:.0f} s; every venue's balance equals the ledger of its fills to the last digit"
    )
