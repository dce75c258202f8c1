"""Runs the rule in a peer: `python -m benchmarks.engines.peers NAME FAST SLOW BARS`.

It runs in the peers' own environment and imports nothing of LTS. It prints one JSON object:
{bars, clock_seconds, processor_seconds, trades: [[entry bar, exit bar, units, entry price, exit
price], ...]}.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.engines.crossover import (
    BUY,
    CASH,
    HOLD,
    LEAVE,
    LEVERAGE,
    UNITS,
    Bars,
    Crossover,
    levels,
    read_bars,
)

Trades = list[tuple[int, int, int, float, float]]


def main(arguments: list[str]) -> None:
    """Run the engine that the command line names."""
    name, fast, slow, path = arguments
    bars = read_bars(Path(path))
    rule = Crossover(int(fast), int(slow), bars.quiet)
    engine = {"backtrader": run_backtrader, "backtesting": run_backtesting}[name]
    clock, processor, trades = engine(bars, rule)
    result = {
        "bars": len(bars.times),
        "clock_seconds": clock,
        "processor_seconds": processor,
        "trades": trades,
    }
    print(json.dumps(result))


def _frame(bars: Bars) -> Any:
    import pandas as pd  # noqa: PLC0415 – only the peers' environment has it

    prices = {"Open": bars.opens, "High": bars.highs, "Low": bars.lows, "Close": bars.closes}
    return pd.DataFrame(
        {name: list(column) for name, column in prices.items()} | {"Volume": 0.0},
        index=pd.to_datetime(list(bars.times), unit="s"),
    )


def run_backtesting(bars: Bars, rule: Crossover) -> tuple[float, float, Trades]:
    """Return the seconds that backtesting.py needs, and its closed trades."""
    from backtesting import Backtest, Strategy  # noqa: PLC0415 – only the one that is measured

    class Crossing(Strategy):
        def init(self) -> None:
            # The engine calls `next` from the second bar on.
            rule.decide(bars.highs[0], bars.lows[0], bars.closes[0], 0)

        def next(self) -> None:
            # Arithmetic with the numbers of numpy would be slower.
            data = self.data
            high, low, close = float(data.High[-1]), float(data.Low[-1]), float(data.Close[-1])
            decision = rule.decide(high, low, close, self.position.size)
            if decision == HOLD:
                return
            if decision == LEAVE:
                self.position.close()
                return
            stop, target = levels(decision, close, rule.reach)
            place = self.buy if decision == BUY else self.sell
            place(size=UNITS, sl=stop, tp=target)

    test = Backtest(_frame(bars), Crossing, cash=CASH, margin=1 / LEVERAGE)
    # Trades that are open at the end are told to the user, once; here they do not count.
    warnings.simplefilter("ignore", UserWarning)
    clock, processor = perf_counter(), process_time()
    result = test.run()
    clock, processor = perf_counter() - clock, process_time() - processor
    rows = result["_trades"].itertuples()
    trades = [
        (int(r.EntryBar), int(r.ExitBar), int(r.Size), float(r.EntryPrice), float(r.ExitPrice))
        for r in rows
    ]
    return clock, processor, trades


def run_backtrader(bars: Bars, rule: Crossover) -> tuple[float, float, Trades]:
    """Return the seconds that backtrader needs, and its closed trades."""
    import backtrader  # noqa: PLC0415 – only the one that is measured

    class Crossing(backtrader.Strategy):
        def __init__(self) -> None:
            self.bracket: list[Any] = []
            self.entry: tuple[int, int, float] | None = None
            self.made: Trades = []

        def notify_order(self, order: Any) -> None:
            if order.status != order.Completed:
                return
            index, price = len(self.data) - 1, order.executed.price
            if self.entry is None:
                self.entry = (index, int(order.executed.size), price)
            else:
                opened, units, paid = self.entry
                self.made.append((opened, index, units, paid, price))
                self.entry = None

        def next(self) -> None:
            data = self.data
            close = data.close[0]
            decision = rule.decide(data.high[0], data.low[0], close, self.position.size)
            if decision == HOLD:
                return
            if decision == LEAVE:
                self.close()
                for order in self.bracket[1:]:
                    self.cancel(order)
                return
            stop, target = levels(decision, close, rule.reach)
            place = self.buy_bracket if decision == BUY else self.sell_bracket
            self.bracket = place(
                size=UNITS,
                exectype=backtrader.Order.Market,
                stopprice=stop,
                limitprice=target,
            )

    cerebro = backtrader.Cerebro(stdstats=False)
    cerebro.addstrategy(Crossing)
    cerebro.adddata(backtrader.feeds.PandasData(dataname=_frame(bars), openinterest=None))
    cerebro.broker.setcash(CASH)
    cerebro.broker.setcommission(leverage=LEVERAGE)
    clock, processor = perf_counter(), process_time()
    [strategy] = cerebro.run()
    return perf_counter() - clock, process_time() - processor, strategy.made


if __name__ == "__main__":
    main(sys.argv[1:])
