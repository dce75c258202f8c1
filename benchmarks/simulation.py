"""Measures `run_simulation` through `decide` against backtrader and backtesting.py.

All three make the same trades, which is checked first; loading is outside the clock, every run is
a process of its own, and the engines take turns. Then: how time grows from 100,000 bars to a
million, and the memory that a million bars take.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import venv
from array import array
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engines.momentum import DIGITS, Bars, write_bars
from lts_web.trading.calendar import at_market_time, market_time_of

ROOT = Path(__file__).resolve().parent.parent
LOCK = Path(__file__).with_name("requirements.lock")
WANTED = {"backtrader": 8.0, "backtesting": 2.5}
MEMORY_LIMIT_MEGABYTES = 600


class Different(Exception):
    """The engines did not make the same trades, so their speeds must not be compared."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 when speed and memory are as wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks simulation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs of fewer bars")
    quick = parser.parse_args(arguments).quick
    peers = peers_python()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fast = compare(folder, peers, bars=20_000 if quick else 50_000, rounds=3 if quick else 7)
        lean = grow(folder, smaller=20_000 if quick else 100_000, rounds=1 if quick else 3)
    return 0 if fast and lean else 1


def compare(folder: Path, peers: Path, bars: int, rounds: int) -> bool:
    """Run the engines in turns over the same bars, print the ratios, return if they suffice."""
    path = folder / "bars.bin"
    write_bars(path, make_bars(bars))
    seconds: dict[str, list[float]] = {"lts": [], **{name: [] for name in WANTED}}
    count = 0
    for _ in range(rounds):
        own = run(sys.executable, "benchmarks.engines.own", path)
        seconds["lts"].append(own["seconds"])
        count = len(own["trades"])
        for name in WANTED:
            theirs = run(str(peers), "benchmarks.engines.peers", path, name)
            seconds[name].append(theirs["seconds"])
            check_same(name, own["trades"], theirs["trades"])
    print(f"{bars:,} hourly bars, {count} trades alike in all engines, {rounds} runs each in turns")
    for name, values in seconds.items():
        rates = sorted(bars / value for value in values)
        spread = f"from {rates[0]:,.0f} to {rates[-1]:,.0f}"
        print(f"  {name:12} {median(rates):10,.0f} bars/s   ({spread})")
    enough = True
    for name, wanted in WANTED.items():
        ratios = sorted(b / a for a, b in zip(seconds["lts"], seconds[name], strict=True))
        spread = f"from {ratios[0]:.1f} to {ratios[-1]:.1f}"
        print(f"  lts is {median(ratios):4.1f} × {name:12} ({spread}; wanted {wanted:g})")
        enough = enough and median(ratios) >= wanted
    return enough


def grow(folder: Path, smaller: int, rounds: int) -> bool:
    """Print how time and memory grow with ten times the bars; return if the memory suffices."""
    costs: dict[int, float] = {}
    peak = 0.0
    for count in (smaller, 10 * smaller):
        path = folder / f"{count}.bin"
        write_bars(path, make_bars(count))
        results = [run(sys.executable, "benchmarks.engines.own", path) for _ in range(rounds)]
        costs[count] = median(result["seconds"] for result in results) / count
        peak = max(result["peak_megabytes"] for result in results)
        trades = len(results[0]["trades"])
        print(f"  {count:10,} bars, {trades:6,} trades: {costs[count] * 1e6:5.2f} µs a bar")
    print(f"  ten times the bars take {10 * costs[10 * smaller] / costs[smaller]:.1f} × the time")
    print(f"  peak memory {peak:,.0f} MB (wanted for a million bars: {MEMORY_LIMIT_MEGABYTES})")
    return peak <= MEMORY_LIMIT_MEGABYTES


def make_bars(count: int, seed: int = 7) -> Bars:
    """Return hourly bars of a random walk around 1.1, without gaps, in open markets only."""
    draw = random.Random(seed)
    times, columns = array("q"), [array("d") for _ in range(4)]
    begin = market_time_of(datetime(2000, 1, 2, 22, tzinfo=UTC))
    price = 1.1
    for index in range(count):
        times.append(int(at_market_time(begin + timedelta(hours=index)).timestamp()))
        # A weak pull to the start keeps a million bars in the band of a currency pair.
        drift = 0.0002 * (1.1 - price)
        close = round(price + drift + max(-0.004, min(0.004, draw.gauss(0, 0.001))), DIGITS)
        high = round(max(price, close) + abs(draw.gauss(0, 0.0003)), DIGITS)
        low = round(min(price, close) - abs(draw.gauss(0, 0.0003)), DIGITS)
        for column, value in zip(columns, (price, high, low, close), strict=True):
            column.append(value)
        price = close
    return times, columns[0], columns[1], columns[2], columns[3]


def check_same(name: str, own: list[list[float]], theirs: list[list[float]]) -> None:
    """Raise Different unless both made the same trades, at the same prices to five digits."""

    def rounded(trades: list[list[float]]) -> list[tuple[float, ...]]:
        return [(*trade[:3], round(trade[3], 5), round(trade[4], 5)) for trade in sorted(trades)]

    mine, other = rounded(own), rounded(theirs)
    if mine != other:
        first = next((pair for pair in zip(mine, other, strict=False) if pair[0] != pair[1]), None)
        raise Different(f"LTS made {len(mine)} trades, {name} {len(other)}; first apart: {first}")


def run(python: str, module: str, bars: Path, *arguments: str) -> Any:
    """Run a module in a process of its own and return the JSON that it prints."""
    # Nothing of the caller's settings may reach a measured process.
    environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    done = subprocess.run(
        [python, "-m", module, *arguments, str(bars)],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def peers_python() -> Path:
    """Return the interpreter of the peers' environment, which is made where it is missing."""
    folder = Path(sys.prefix) / "benchmark-peers"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "installed.lock"
    wanted = LOCK.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"Installing the peers into {folder} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)],
            check=True,
        )
        stamp.write_text(wanted, encoding="utf-8")
    return python
