"""Ten real SIGKILLs of the real worker, spread over the protocol; each next worker recovers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.protocol.evidence import doubled, problems
from tests.protocol.real_workers import Workers, furnish

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals"),
    pytest.mark.req("SYS-011", "SYS-013", "INT-06", "INT-007"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
]

# (step, the how-manieth time it is reached); the worker trades two pairs, so some come twice.
FATES = (
    ("claim.written", 3),
    ("intent.written", 2),
    ("send.before", 3),
    ("venue.before_commit", 9),
    ("venue.committed", 9),
    ("send.after", 3),
    ("recovery.taken", 1),
    ("outcome.written", 2),
    ("sync.before_commit", 3),
    ("report.before_commit", 4),
)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    furnish(folder)
    workers = Workers(folder)
    yield workers
    workers.close()


def test_ten_sigkills_lose_and_double_nothing(workers: Workers, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    for step, times in FATES:
        workers.killed_at(step, times, journal)
        assert doubled(workers.database, workers.venues) == [], step
    workers.run_for(12)
    assert problems(workers.database, workers.venues) == []
    hit = Counter(journal.read_text().split())
    assert hit == Counter(step for step, _ in FATES)
    # A death in the recovery, or right after a claim was taken over, is not one more cycle.
    interrupted = workers.cycles("interrupted")
    assert len(FATES) - 1 <= interrupted <= len(FATES)
    assert workers.consecutive()
    print("\n".join(f"{times:3} × killed at {step}" for step, times in sorted(hit.items())))
