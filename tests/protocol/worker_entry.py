"""The real worker, but for one thing: at a step of the protocol it kills or stops itself.

Started as `python -m tests.protocol.worker_entry` with the settings in its environment. It is
`lts worker` otherwise: the same wiring, the same consumer, the same signals.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import threading
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

from lts_web import processes, wiring
from lts_web.services.claims import Owner
from lts_web.services.ordering import Reach
from lts_web.settings import Loaded
from tests.protocol.mortality import watch_commits


class Fate:
    """What happens to this process: a signal of its own at the n-th time it reaches a step."""

    def __init__(self, step: str, times: int, number: int, journal: Path | None) -> None:
        self._step = step
        self._times = times
        self._signal = number
        self._journal = journal
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reach(self, step: str) -> None:
        """Count the step, and meet the fate if this is it."""
        with self._lock:
            self._reached[step] += 1
            met = step == self._step and self._reached[step] == self._times
        if met:
            if self._signal != signal.SIGKILL:
                wait_for_rest(Path(os.environ["LTS_DATA_DIR"]))
            if self._journal is not None:
                with self._journal.open("a") as stream:
                    stream.write(f"{step}\n")
            os.kill(os.getpid(), self._signal)


def wait_for_rest(folder: Path) -> None:
    """Wait until no thread is inside a transaction: a stopped one would keep its file locked."""
    for name in ("lts.db", "venues.db", "huey.db"):
        connection = sqlite3.connect(folder / name, timeout=15, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        connection.rollback()
        connection.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", default="")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--signal", default="SIGKILL")
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--ready", type=Path)
    parser.add_argument("--send-window", type=float, default=60.0)
    return parser.parse_args()


def main() -> int:
    """Build and run the worker."""
    given = arguments()
    fate = Fate(given.step, given.times, signal.Signals[given.signal], given.journal)
    open_trading = wiring.open_trading

    def open_watched(loaded: Loaded, owner: Owner, reach: Reach) -> wiring.Trading:
        trading = open_trading(loaded, owner, reach)
        watch_commits(trading.venues.engine, "venue", reach)
        return trading

    wiring.open_trading = open_watched  # type: ignore[assignment]
    wiring.build_trading = partial(
        wiring.build_trading, send_window=timedelta(seconds=given.send_window)
    )
    stop = processes.StopRequest()
    loaded = wiring.start_process("worker")
    return processes.work(
        wiring.build_worker(loaded, stop, fate.reach),
        threads=loaded.settings.worker_threads,
        stop=stop,
        on_ready=processes.ready_signal(given.ready),
    )


if __name__ == "__main__":
    sys.exit(main())
