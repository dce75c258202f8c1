"""Runs the momentum rule in LTS, in a process of its own: `python -m benchmarks.engines.own BARS`.

It prints one JSON object: {seconds, trades, peak_megabytes}, with trades as the peers print them.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.engines.momentum import (
    CALM,
    CASH,
    DIGITS,
    ENTRY,
    HOUR,
    LEVERAGE,
    LOOKBACK,
    PROTECTION,
    UNITS,
    WILD,
    read_bars,
)
from lts_web.plugins.bars_view import Columns
from lts_web.plugins.broker.backtrader_simulation_broker import BacktraderSimulationBroker
from lts_web.trading.risk import RiskLimits

# The peers' costs are nought, and their orders have a size that nothing limits.
FREE = {"spread_pips": 0, "slippage_pips": 0, "commission_per_lot": 0, "swap_per_lot_day": 0}
UNLIMITED = RiskLimits(max_risk_per_trade=Decimal(1), position_size=Decimal(1))


def decide(asset_data: dict[str, Any], market_data: dict[str, Any]) -> dict[str, Any]:
    """Decide by the momentum rule, in the shape that every strategy plugin has."""
    closes = market_data["bars"].closes(LOOKBACK + 1)
    if len(closes) <= LOOKBACK:
        return {"action": "none"}
    close = market_data["close"]
    move = close - closes[0]
    reach = market_data["high"] - market_data["low"]
    positions = asset_data["open_positions"]
    if positions:
        turned = move < 0 if positions[0]["side"] == "long" else move > 0
        return {"action": "close"} if turned or reach > WILD else {"action": "none"}
    if -ENTRY <= move <= ENTRY or reach > CALM:
        return {"action": "none"}
    sign = 1 if move > 0 else -1
    return {
        "action": "open",
        "parameters": {
            "side": "buy" if move > 0 else "sell",
            "quantity": UNITS,
            "sl": round(close - sign * PROTECTION, DIGITS),
            "tp": round(close + sign * PROTECTION, DIGITS),
        },
    }


def main() -> None:
    """Run the simulation over the bars of the command line."""
    columns = Columns(HOUR, *read_bars(Path(sys.argv[1])))
    broker = BacktraderSimulationBroker(FREE | {"initial_cash": CASH, "leverage": LEVERAGE})
    broker.load_columns(columns)
    begin = time.perf_counter()
    summary = broker.run_simulation(decide, limits=UNLIMITED)
    seconds = time.perf_counter() - begin
    place = {time: index for index, time in enumerate(columns.times)}
    # A trade that the end of the bars closed ends with the last bar, as in the peers.
    place[columns.times[-1] + HOUR] = len(columns) - 1
    trades = [
        (
            place[int(trade["open_time"].timestamp())],
            place[int(trade["close_time"].timestamp())],
            trade["units"] if trade["direction"] == "buy" else -trade["units"],
            trade["entry_price"],
            trade["close_price"],
        )
        for trade in summary["trades"]
        if trade["close_reason"] != "end_of_data"
    ]
    print(json.dumps({"seconds": seconds, "trades": trades, "peak_megabytes": peak_megabytes()}))


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
    main()
