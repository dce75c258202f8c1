"""Measures `run_simulation` through `decide` against backtrader and backtesting.py.

All three make the same trades, which is checked in every turn; loading is outside the clock, every
run is a process of its own, and the engines take turns. Time is the processor's, so that other
work of the machine counts as little as it can; the clock's is printed beside it. Then: the same
at other densities of trades, how time grows from 100,000 bars to a million, and the memory that
a million bars take.
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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engines.crossover import DIGITS, HOUR, Bars, write_bars
from lts_web.plugins.broker.bar_table import ColumnNames, read_bars
from lts_web.trading.calendar import at_market_time, bar_in_calendar, is_open, market_time_of
from lts_web.trading.instruments import find_instrument

ROOT = Path(__file__).resolve().parent.parent
LOCK = Path(__file__).with_name("requirements.lock")
WANTED = {"backtrader": 8.0, "backtesting": 2.5}
MEMORY_LIMIT_MEGABYTES = 600
# Ten times the bars may take so many times the processor's time. What is above ten is noise: a long
# run meets more of the machine's other work; anything quadratic would come near a hundred.
GROWTH_LIMIT = 15

# Lengths of the two averages, in bars: what is wanted must hold for the first.
TYPICAL = (40, 120)
OTHERS = ((160, 480), (80, 240), (20, 60), (10, 30), (5, 15))
REFERENCE_FILES = ("eurusd_h1_2017_2018.csv", "eurusd_h1_2018_2020.csv")


class Different(Exception):
    """The engines did not make the same trades, so their speeds must not be compared."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds of every engine turn by turn: the processor's and the clock's."""

    bars: int
    trades: int
    processor: dict[str, list[float]]
    clock: dict[str, list[float]]

    def ratios(self, peer: str) -> list[float]:
        """Return how many times faster than the peer LTS was in each turn, in rising order."""
        pairs = zip(self.processor["lts"], self.processor[peer], strict=True)
        return sorted(theirs / own for own, theirs in pairs)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 when speed, growth and memory are as wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks simulation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs of fewer bars")
    quick = parser.parse_args(arguments).quick
    peers = peers_python()
    count, rounds = (20_000, 3) if quick else (50_000, 7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic, real = folder / "synthetic.bin", folder / "real.bin"
        write_bars(synthetic, make_bars(count))
        fast = report("synthetic bars", compare(synthetic, peers, TYPICAL, rounds))
        reference = os.environ.get("LTS_REFERENCE_DATA")
        if reference:
            write_bars(real, reference_bars(Path(reference)))
            report("EURUSD 2017-2020", compare(real, peers, TYPICAL, rounds))
        else:
            print("Real bars: not measured, since LTS_REFERENCE_DATA names no folder of them.")
        tabulate(synthetic, peers, rounds=1 if quick else 3)
        lean = grow(folder, smaller=count if quick else 100_000, rounds=2 if quick else 4)
    return 0 if fast and lean else 1


# --- against the peers ----------------------------------------------------------------------


def compare(path: Path, peers: Path, lengths: tuple[int, int], rounds: int) -> Comparison:
    """Let the engines run in turns over the same bars with the same rule."""
    names = ["lts", *WANTED]
    processor: dict[str, list[float]] = {name: [] for name in names}
    clock: dict[str, list[float]] = {name: [] for name in names}
    own: Any = None
    for turn in range(rounds):
        # Each begins once, so that no engine always follows the same one.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            python = sys.executable if name == "lts" else str(peers)
            program = ["own"] if name == "lts" else ["peers", name]
            result = run(python, *program, *map(str, lengths), str(path))
            processor[name].append(result["processor_seconds"])
            clock[name].append(result["clock_seconds"])
            own = own or result
            check_same(name, own["trades"], result["trades"])
    return Comparison(own["bars"], len(own["trades"]), processor, clock)


def report(title: str, found: Comparison) -> bool:
    """Print what was found, and return whether it is as wanted."""
    often = found.bars / max(found.trades, 1)
    print(
        f"{title}: {found.bars:,} hourly bars, {found.trades} trades alike in all engines, one in "
        f"{often:.0f} bars; {len(found.processor['lts'])} runs each in turns"
    )
    for name, seconds in found.processor.items():
        rates = sorted(found.bars / one for one in seconds)
        spread = f"from {rates[0]:,.0f} to {rates[-1]:,.0f}"
        print(f"  {name:12} {median(rates):10,.0f} bars a second of the processor ({spread})")
    enough = True
    for name, wanted in WANTED.items():
        ratios = found.ratios(name)
        best = min(found.processor[name]) / min(found.processor["lts"])
        by_clock = median(found.clock[name]) / median(found.clock["lts"])
        spread = f"turn by turn from {ratios[0]:.2f} to {ratios[-1]:.2f}"
        others = f"best runs {best:.2f}; by the clock {by_clock:.2f}; wanted {wanted:g}"
        print(f"  lts is {median(ratios):5.2f} × {name:12} ({spread}; {others})", flush=True)
        enough = enough and median(ratios) >= wanted
    return enough


def tabulate(path: Path, peers: Path, rounds: int) -> None:
    """Print the ratios for averages of other lengths, which trade more or less often."""
    print("The same rule with averages of other lengths:")
    heads = "  ".join(f"× {name}" for name in WANTED)
    print(f"  {'lengths':>9} {'trades in 1,000 bars':>21}  {heads}")
    for lengths in sorted((TYPICAL, *OTHERS), reverse=True):
        found = compare(path, peers, lengths, rounds)
        figures = (f"{median(found.ratios(name)):{len(name) + 2}.2f}" for name in WANTED)
        density = 1000 * found.trades / found.bars
        line = f"  {lengths[0]:>4}/{lengths[1]:<4} {density:>21.1f}  " + "  ".join(figures)
        print(line, flush=True)


def check_same(name: str, own: list[list[float]], theirs: list[list[float]]) -> None:
    """Raise Different unless both made the same trades, at the same prices to five digits."""

    def rounded(trades: list[list[float]]) -> list[tuple[float, ...]]:
        return [(*trade[:3], round(trade[3], 5), round(trade[4], 5)) for trade in sorted(trades)]

    mine, other = rounded(own), rounded(theirs)
    if mine != other:
        first = next((pair for pair in zip(mine, other, strict=False) if pair[0] != pair[1]), None)
        raise Different(f"LTS made {len(mine)} trades, {name} {len(other)}; first apart: {first}")


# --- against itself -------------------------------------------------------------------------


def grow(folder: Path, smaller: int, rounds: int) -> bool:
    """Print how time and memory grow with ten times the bars; return if both suffice.

    The least of several times is what the work takes; what is above it, others have taken.
    """
    counts = (smaller, 10 * smaller)
    for count in counts:
        write_bars(folder / f"{count}.bin", make_bars(count))
    least, peak, trades = dict.fromkeys(counts, float("inf")), 0.0, 0
    for _ in range(rounds):
        for count in counts:
            path = str(folder / f"{count}.bin")
            result = run(sys.executable, "own", *map(str, TYPICAL), path)
            least[count] = min(least[count], result["processor_seconds"])
            peak, trades = max(peak, result["peak_megabytes"]), len(result["trades"])
    growth = least[counts[1]] / least[counts[0]]
    print(f"LTS alone, the least processor time of {rounds} runs each in turns:")
    for count in counts:
        print(f"  {count:10,} bars: {least[count] / count * 1e6:5.2f} µs a bar")
    print(f"  ten times the bars take {growth:.1f} × the time (wanted: at most {GROWTH_LIMIT:g})")
    print(
        f"  peak memory {peak:,.0f} MB with {counts[1]:,} bars and {trades:,} trades (wanted for "
        f"a million bars: at most {MEMORY_LIMIT_MEGABYTES})"
    )
    return growth <= GROWTH_LIMIT and peak <= MEMORY_LIMIT_MEGABYTES


# --- bars -----------------------------------------------------------------------------------


def make_bars(count: int, seed: int = 7) -> Bars:
    """Return hourly bars of a random walk around 1.1, without gaps, in open markets only."""
    draw = random.Random(seed)
    times, prices = array("q"), (array("d"), array("d"), array("d"), array("d"))
    begin = market_time_of(datetime(2000, 1, 2, 22, tzinfo=UTC))
    price = 1.1
    for index in range(count):
        times.append(int(at_market_time(begin + timedelta(hours=index)).timestamp()))
        # A weak pull to the start keeps a million bars in the band of a currency pair.
        drift = 0.0002 * (1.1 - price)
        close = round(price + drift + max(-0.004, min(0.004, draw.gauss(0, 0.001))), DIGITS)
        high = round(max(price, close) + abs(draw.gauss(0, 0.0003)), DIGITS)
        low = round(min(price, close) - abs(draw.gauss(0, 0.0003)), DIGITS)
        for column, value in zip(prices, (price, high, low, close), strict=True):
            column.append(value)
        price = close
    return Bars(times, *prices, quiet=_quiet(times))


def reference_bars(folder: Path) -> Bars:
    """Return the real bars of the reference files that lie in the calendar."""
    times, prices = array("q"), (array("d"), array("d"), array("d"), array("d"))
    for name in REFERENCE_FILES:
        read = read_bars(folder / name, ColumnNames(), find_instrument("EUR_USD"))
        for index, opened in enumerate(read.times):
            if bar_in_calendar(datetime.fromtimestamp(opened, UTC)):
                times.append(opened)
                columns = (read.opens, read.highs, read.lows, read.closes)
                for target, source in zip(prices, columns, strict=True):
                    target.append(source[index])
    return Bars(times, *prices, quiet=_quiet(times))


def _quiet(times: array[int]) -> array[int]:
    """Return 1 for each bar at whose close the market is closed, else 0."""
    closed = (not is_open(datetime.fromtimestamp(opened + HOUR, UTC)) for opened in times)
    return array("b", closed)


# --- processes ------------------------------------------------------------------------------


def run(python: str, program: str, *arguments: str) -> Any:
    """Run a program of `engines` in a process of its own and return the JSON that it prints."""
    # Nothing of the caller's settings may reach a measured process.
    environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    done = subprocess.run(
        [python, "-m", f"benchmarks.engines.{program}", *arguments],
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
