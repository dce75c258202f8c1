"""Runs the rule in LTS: `python -m benchmarks.engines.own FAST SLOW BARS`, in a process of its own.

It prints one JSON object: {bars, clock_seconds, processor_seconds, trades, peak_megabytes}, with
trades as the peers print them.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.engines.crossover import (
    BUY,
    CASH,
    HOLD,
    HOUR,
    LEAVE,
    LEVERAGE,
    SELL,
    UNITS,
    Crossover,
    levels,
    read_bars,
)
from lts_web.plugins.bars_view import Columns
from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.trading.risk import RiskLimits

# The peers' costs are nought, and their orders have a size that nothing limits.
FREE = {"spread_pips": 0, "slippage_pips": 0, "commission_per_lot": 0, "swap_per_lot_day": 0}
UNLIMITED = RiskLimits(max_risk_per_trade=Decimal(1), position_size=Decimal(1))


class Strategy:
    """The rule in the shape that every strategy plugin has."""

    def __init__(self, rule: Crossover) -> None:
        self.rule = rule

    def decide(self, asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
        """Decide at a bar's close."""
        close, positions = market_data["close"], asset_data["open_positions"]
        held = 0 if not positions else BUY if positions[0]["side"] == "long" else SELL
        decision = self.rule.decide(market_data["high"], market_data["low"], close, held)
        if decision == HOLD:
            return {"action": "none"}
        if decision == LEAVE:
            return {"action": "close"}
        stop, target = levels(decision, close, self.rule.reach)
        return {
            "action": "open",
            "parameters": {
                "side": "buy" if decision == BUY else "sell",
                "quantity": UNITS,
                "sl": stop,
                "tp": target,
            },
        }


def main(arguments: list[str]) -> None:
    """Run the simulation over the bars of the command line."""
    bars = read_bars(Path(arguments[2]))
    broker = BacktraderSimulationBroker(FREE | {"initial_cash": CASH, "leverage": LEVERAGE})
    broker.load_columns(Columns(HOUR, bars.times, bars.opens, bars.highs, bars.lows, bars.closes))
    strategy = Strategy(Crossover(int(arguments[0]), int(arguments[1]), bars.quiet))
    clock, processor = perf_counter(), process_time()
    summary = broker.run_simulation(strategy, limits=UNLIMITED)
    clock, processor = perf_counter() - clock, process_time() - processor
    result = {
        "bars": len(bars.times),
        "clock_seconds": clock,
        "processor_seconds": processor,
        "trades": _trades(summary, bars.times),
        "peak_megabytes": peak_megabytes(),
    }
    print(json.dumps(result))


def _trades(summary: dict[str, Any], times: Any) -> list[tuple[float, ...]]:
    place = {time: index for index, time in enumerate(times)}
    return [
        (
            place[int(trade["open_time"].timestamp())],
            place[int(trade["close_time"].timestamp())],
            trade["units"] if trade["direction"] == "buy" else -trade["units"],
            trade["entry_price"],
            trade["close_price"],
        )
        for trade in summary["trades"]
        # What only the end of the bars closed is no trade of the rule's.
        if trade["close_reason"] != "end_of_data"
    ]


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class _Counters(ctypes.Structure):
        _fields_ = (
            ("size", wintypes.DWORD),
            ("faults", wintypes.DWORD),
            ("peak", ctypes.c_size_t),
            ("rest", ctypes.c_size_t * 7),
        )

    def peak_megabytes() -> float:
        """Return the most memory that this process has held so far."""
        counters = _Counters(size=ctypes.sizeof(_Counters))
        process = wintypes.HANDLE(ctypes.windll.kernel32.GetCurrentProcess())
        ctypes.windll.psapi.GetProcessMemoryInfo(process, ctypes.byref(counters), counters.size)
        return float(counters.peak) / 2**20

else:
    import resource

    def peak_megabytes() -> float:
        """Return the most memory that this process has held so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Linux counts kilobytes, macOS bytes.
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main(sys.argv[1:])
