"""Runs the momentum rule in a peer: `python -m benchmarks.engines.peers NAME BARS`.

It runs in the peers' own environment and imports nothing of LTS. It prints one JSON object:
{seconds, trades: [[entry bar, exit bar, units, entry price, exit price], ...]}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.engines.momentum import (
    CALM,
    CASH,
    DIGITS,
    ENTRY,
    LEVERAGE,
    LOOKBACK,
    PROTECTION,
    UNITS,
    WEEK_BARS,
    WILD,
    Bars,
    read_bars,
)

Trades = list[tuple[int, int, int, float, float]]


def main() -> None:
    """Run the engine that the command line names."""
    engine = {"backtrader": run_backtrader, "backtesting": run_backtesting}[sys.argv[1]]
    seconds, trades = engine(read_bars(Path(sys.argv[2])))
    print(json.dumps({"seconds": seconds, "trades": trades}))


def _frame(bars: Bars) -> Any:
    import pandas as pd  # noqa: PLC0415 – only the peers' environment has it

    times, opens, highs, lows, closes = bars
    prices = {"Open": opens, "High": highs, "Low": lows, "Close": closes}
    return pd.DataFrame(
        {name: list(column) for name, column in prices.items()} | {"Volume": 0.0},
        index=pd.to_datetime(list(times), unit="s"),
    )


def run_backtesting(bars: Bars) -> tuple[float, Trades]:
    """Return the seconds that backtesting.py needs, and its closed trades."""
    from backtesting import Backtest, Strategy  # noqa: PLC0415 – only the one that is measured

    class Momentum(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            closes = self.data.Close
            if len(closes) <= LOOKBACK:
                return
            close = closes[-1]
            move = close - closes[-1 - LOOKBACK]
            reach = self.data.High[-1] - self.data.Low[-1]
            if self.position:
                turned = move < 0 if self.position.is_long else move > 0
                if (turned or reach > WILD) and len(closes) % WEEK_BARS:
                    self.position.close()
            elif -ENTRY <= move <= ENTRY or reach > CALM or len(closes) % WEEK_BARS == 0:
                return
            elif move > 0:
                stop, target = round(close - PROTECTION, DIGITS), round(close + PROTECTION, DIGITS)
                self.buy(size=UNITS, sl=stop, tp=target)
            else:
                stop, target = round(close + PROTECTION, DIGITS), round(close - PROTECTION, DIGITS)
                self.sell(size=UNITS, sl=stop, tp=target)

    test = Backtest(_frame(bars), Momentum, cash=CASH, margin=1 / LEVERAGE)
    begin = time.perf_counter()
    result = test.run()
    seconds = time.perf_counter() - begin
    rows = result["_trades"].itertuples()
    return seconds, [
        (int(r.EntryBar), int(r.ExitBar), int(r.Size), float(r.EntryPrice), float(r.ExitPrice))
        for r in rows
    ]


def run_backtrader(bars: Bars) -> tuple[float, Trades]:
    """Return the seconds that backtrader needs, and its closed trades."""
    import backtrader  # noqa: PLC0415 – only the one that is measured

    class Momentum(backtrader.Strategy):
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
            data = self.data.close
            if len(self.data) <= LOOKBACK:
                return
            close = data[0]
            move = close - data[-LOOKBACK]
            reach = self.data.high[0] - self.data.low[0]
            held = self.position.size
            if held:
                turned = move < 0 if held > 0 else move > 0
                if (turned or reach > WILD) and len(self.data) % WEEK_BARS:
                    self.close()
                    for order in self.bracket[1:]:
                        self.cancel(order)
            elif not -ENTRY <= move <= ENTRY and reach <= CALM and len(self.data) % WEEK_BARS:
                sign = 1 if move > 0 else -1
                place = self.buy_bracket if move > 0 else self.sell_bracket
                self.bracket = place(
                    size=UNITS,
                    exectype=backtrader.Order.Market,
                    stopprice=round(close - sign * PROTECTION, DIGITS),
                    limitprice=round(close + sign * PROTECTION, DIGITS),
                )

    cerebro = backtrader.Cerebro(stdstats=False)
    cerebro.addstrategy(Momentum)
    cerebro.adddata(backtrader.feeds.PandasData(dataname=_frame(bars), openinterest=None))
    cerebro.broker.setcash(CASH)
    cerebro.broker.setcommission(leverage=LEVERAGE)
    begin = time.perf_counter()
    [strategy] = cerebro.run()
    return time.perf_counter() - begin, strategy.made


if __name__ == "__main__":
    main()
