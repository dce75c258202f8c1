"""The documents' simulation broker: realistic FX costs, stand-alone or on an account of the house.

Despite its name it needs no cerebro, and no backtrader at all. Stand-alone it loads bars from a
CSV file, keeps an account in memory and runs whole backtests; connected, it is the way to a
simulated venue. What a bar does to an order is the matching engine's business alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from lts_web.plugins.bars_view import Columns
from lts_web.plugins.boundary import transaction_dict
from lts_web.plugins.broker.bar_replay import (
    MONEY_SCALE,
    BarReplay,
    Market,
    exact,
    on_grid,
)
from lts_web.plugins.broker.bar_table import BarTableError, ColumnNames, bar_row, read_bars
from lts_web.plugins.broker.local_venue import LocalVenue
from lts_web.plugins.broker.simulated import SimulatedBroker
from lts_web.plugins.broker.simulation import DrawdownGauge, Setup, Simulation
from lts_web.plugins.broker.strategy_forms import (
    acts_itself,
    decide_of,
    limits_of,
    parameters_of,
)
from lts_web.plugins.broker.trade_records import closed_trades, results
from lts_web.trading.costs import CostModel
from lts_web.trading.instruments import (
    CURRENCIES,
    Instrument,
    InstrumentError,
    find_instrument,
)
from lts_web.trading.matching import Book, TransactionKind
from lts_web.trading.money import round_money, to_decimal
from lts_web.trading.ports import Venue
from lts_web.trading.risk import RiskLimits

BarFunction = Callable[["BacktraderSimulationBroker", int, Mapping[str, object]], object]
_AMOUNT = {"minimum": 0}


class BacktraderSimulationBroker(SimulatedBroker):
    """Simulates one instrument with spread, slippage, commission and swap."""

    plugin_params: ClassVar[dict[str, Any]] = {
        "initial_cash": 10000.0,
        "leverage": 100,
        "spread_pips": 2.0,
        "commission_per_lot": 7.0,
        "slippage_pips": 1.0,
        "swap_per_lot_day": 10.0,
        "pip_value": 0.0001,
        "lot_size": 100000,
        "instrument": "EUR_USD",
        "csv_file": "",
        "datetime_column": "DATE_TIME",
        "datetime_format": "%Y-%m-%d %H:%M:%S",
        "open_col": "OPEN",
        "high_col": "HIGH",
        "low_col": "LOW",
        "close_col": "CLOSE",
        "account_currency": "USD",
    }
    plugin_debug_vars: ClassVar[list[str]] = [
        "initial_cash",
        "leverage",
        "spread_pips",
        "commission_per_lot",
        "slippage_pips",
        "swap_per_lot_day",
        "instrument",
        "account_currency",
    ]
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "initial_cash": {
            "minimum": 0.01,
            "help": "Starting capital of a stand-alone simulation, in account currency.",
        },
        "leverage": {"type": "number", "minimum": 1, "maximum": 1000, "help": "A multiple."},
        "spread_pips": {**_AMOUNT, "maximum": 1000, "help": "Paid at the entry."},
        "commission_per_lot": {**_AMOUNT, "help": "USD per lot and round turn, at the open."},
        "slippage_pips": {**_AMOUNT, "maximum": 1000, "help": "Paid at the entry."},
        "swap_per_lot_day": {**_AMOUNT, "help": "USD per lot and day, a cost for both sides."},
        "pip_value": {
            "minimum": 0,
            "help": "The instrument's own pip is used; another value here is an error.",
        },
        "lot_size": {
            "type": "number",
            "minimum": 1,
            "help": "The instrument's own lot is used; another value here is an error.",
        },
        "instrument": {"help": "The pair of the bars, and of orders that name none."},
        "csv_file": {"operator_only": True, "help": "Bars for a stand-alone simulation."},
        "datetime_column": {"help": "Name of the column of bar opens, in UTC."},
        "datetime_format": {"help": "How the times are written, in the words of strptime."},
        "account_currency": {
            "choices": sorted(CURRENCIES),
            "help": "Currency of the stand-alone account; the house's accounts have their own.",
        },
    }

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Check the parameters; ValueError says which one is wrong."""
        self._columns: Columns | None = None
        self._conversions: dict[str, Columns] = {}
        self._replay: BarReplay | None = None
        self._in_function = False
        super().__init__(config)
        self._check_parameters()

    def set_params(self, **kwargs: Any) -> None:
        """Replace parameters; ValueError says which one is wrong.

        Bars that were loaded for another instrument are dropped.
        """
        super().set_params(**kwargs)
        self._check_parameters()
        if "instrument" in kwargs:
            self._columns, self._replay = None, None

    # --- what a trade costs -------------------------------------------------------------------

    def costs(self, instrument: Instrument) -> CostModel:
        """Return the parameters as costs; pips and lots are the instrument's own."""
        return CostModel(
            spread_pips=self.number("spread_pips"),
            slippage_pips=self.number("slippage_pips"),
            commission_per_lot=self.number("commission_per_lot"),
            swap_per_lot_day=self.number("swap_per_lot_day"),
        )

    def check_instrument(self, instrument: str) -> str | None:
        """Return why an explicit pip_value or lot_size contradicts the instrument, or None."""
        try:
            record = find_instrument(instrument)
        except InstrumentError as error:
            return str(error)
        for name, own in (("pip_value", record.pip), ("lot_size", Decimal(record.lot_size))):
            if name in self.configured and self.number(name) != own:
                return (
                    f"{name} is {self.params[name]}, but {record.name} has {own}: leave {name} "
                    f"out, or give {own}."
                )
        return None

    # --- bars ---------------------------------------------------------------------------------

    def load_csv(self, path: str | Path | None = None) -> int:
        """Load the bars of a CSV file, begin an empty account under them, return their number.

        Without a path the parameter csv_file names it. BarTableError says what is wrong.
        """
        chosen = path or self.params["csv_file"]
        if not chosen:
            raise BarTableError("There is no file to load: give a path, or set csv_file.")
        return self.load_columns(read_bars(chosen, self._column_names(), self._instrument()))

    def load_columns(self, columns: Columns) -> int:
        """Load bars that are in memory already, as `load_csv` does with a file."""
        if not len(columns):
            raise BarTableError("There are no bars to load.")
        self._columns = on_grid(columns, self._instrument())
        self._conversions = {}
        self._begin(self.new_book())
        return len(columns)

    def load_conversion(self, instrument: str, path: str | Path) -> int:
        """Load bars of a pair that converts to the account currency; return their number.

        They must be as long as the bars that are traded, which are loaded first.
        """
        record = find_instrument(instrument)
        return self.load_conversion_columns(
            record.name, read_bars(path, self._column_names(), record)
        )

    def load_conversion_columns(self, instrument: str, columns: Columns) -> int:
        """Load conversion bars that are in memory already."""
        record = find_instrument(instrument)
        if columns.timeframe_seconds != self._bars().timeframe_seconds:
            raise BarTableError(
                f"The bars of {record.name} last {columns.timeframe_seconds} seconds, those of "
                f"{self._instrument().name} {self._bars().timeframe_seconds}: load equal ones."
            )
        self._conversions[record.name] = on_grid(columns, record)
        self._begin(self.new_book())
        return len(columns)

    def get_bars(self) -> list[Mapping[str, object]]:
        """Return the loaded bars as {datetime, time, open, high, low, close}."""
        columns = self._bars()
        return [bar_row(columns, index) for index in range(len(columns))]

    # --- simulation ---------------------------------------------------------------------------

    def tick(self, bar_index: int | None = None) -> list[dict[str, Any]]:
        """Let bars pass up to and with `bar_index` (by default the next one), each once.

        Return the trades that a stop or target closed. The first bar passes when its price is
        first used. IndexError: there is no such bar; ValueError: it lies before the present one.
        """
        replay = self._under_way()
        index = replay.passed + 1 if bar_index is None else bar_index
        if index >= len(self._bars()):
            if bar_index is None:
                return []
            raise IndexError(f"There is no bar {index}: the last one is {len(self._bars()) - 1}.")
        if index < replay.passed:
            raise ValueError(f"Bar {index} has passed; the present bar is {replay.passed}.")
        log = replay.book.transactions
        before = len(log)
        for each in range(replay.passed + 1, index + 1):
            replay.advance(each)
        fills = [line for line in log[before:] if line.kind is TransactionKind.FILL]
        # A trade's id is the line of its entry.
        entries = [log[line.trade_id - 1] for line in fills if line.trade_id is not None]
        return closed_trades([*entries, *fills])

    def run_simulation(
        self,
        strategy_fn: Any = None,
        *,
        limits: RiskLimits | None = None,
        close_at_end: bool = True,
    ) -> dict[str, Any]:
        """Backtest over all loaded bars on a fresh account, and return the summary.

        `strategy_fn` is an object with `decide`, a callable (asset_data, market_data) with a
        decision's answer, or a callable (broker, bar_index, bar) that calls open_order and
        close_order; orders given at a bar's close are filled at the next open. None lets the rest
        of the bars pass over what is open. `limits` are a cycle's; by default the strategy's
        position_size and max_risk_per_trade. The page `docs/simulation.md` explains each key of
        the summary. ValueError: no bars, a connected broker, or parameters that do not fit.
        """
        setup = self._setup(strategy_fn, limits)
        codes: dict[str, int] = {}
        if strategy_fn is None:
            replay = self._under_way()
            gauge = self._let_pass(replay, None)
        elif acts_itself(strategy_fn):
            replay = self._begin(self.new_book())
            gauge = self._let_pass(replay, strategy_fn)
        else:
            simulation = Simulation(setup)
            replay = self._begin(simulation.book, simulation.replay)
            simulation.run(decide_of(strategy_fn))
            gauge, codes = simulation.drawdown, dict(simulation.codes)
        if close_at_end:
            replay.close_all(self.market_time())
            gauge.see(_money(replay))
        return self._summary(setup.initial_cash, gauge, codes)

    # --- the account in memory ----------------------------------------------------------------

    def new_book(self) -> Book:
        """Return an empty account with the initial cash."""
        cash = to_decimal(self.params["initial_cash"])
        if cash is None or cash <= 0:
            raise ValueError(
                f"initial_cash is {self.params['initial_cash']!r}: give an amount above 0."
            )
        return Book(str(self.params["account_currency"]), round_money(cash))

    def venue(self) -> Venue:
        """Return the account that the broker trades on, at the present prices."""
        if not self.connected and self._replay is not None:
            self._replay.mark()
        return super().venue()

    def market_price(self, instrument: Instrument) -> Decimal | None:
        """Return the present bar's close stand-alone, the venue's last price when connected."""
        if self.connected or self._columns is None or instrument != self._instrument():
            return super().market_price(instrument)
        return exact(self._columns.closes[self._present()])

    def market_time(self) -> datetime:
        """Return the end of the present bar stand-alone, the house's time when connected."""
        if self.connected or self._columns is None:
            return super().market_time()
        seconds = self._columns.times[self._present()] + self._columns.timeframe_seconds
        return datetime.fromtimestamp(seconds, UTC)

    def fills_later(self) -> bool:
        """Return whether requests wait: at a venue, and inside a run of a bar function."""
        return self.connected or self._in_function

    def book_changed(self) -> None:
        """Let the replay see what the book holds now."""
        if self._replay is not None:
            self._replay.rearm()

    # --- inside -------------------------------------------------------------------------------

    def _begin(self, book: Book, replay: BarReplay | None = None) -> BarReplay:
        """Start the loaded bars anew over an account."""
        self._local = LocalVenue(book)
        self._replay = replay or BarReplay(self._market(), book)
        return self._replay

    def _under_way(self) -> BarReplay:
        self._bars()
        assert self._replay is not None
        return self._replay

    def _present(self) -> int:
        """Return the index of the present bar; the first passes when it is first asked for."""
        replay = self._under_way()
        if replay.passed < 0:
            replay.advance(0)
        return replay.passed

    def _let_pass(self, replay: BarReplay, function: BarFunction | None) -> DrawdownGauge:
        """Let the bars that are left pass, calling the function at each one's close."""
        columns, gauge = self._bars(), DrawdownGauge(_money(replay))
        self._in_function = True
        try:
            for index in range(replay.passed + 1, len(columns)):
                replay.advance(index)
                gauge.see(_money(replay))
                if function is not None:
                    function(self, index, bar_row(columns, index))
        finally:
            self._in_function = False
        return gauge

    def _setup(self, strategy: Any, limits: RiskLimits | None) -> Setup:
        if self.connected:
            raise ValueError(
                "This broker trades on an account of the house; run_simulation needs one of its "
                "own: make another BacktraderSimulationBroker(config) and load its bars."
            )
        market = self._market()
        problem = self.check_instrument(market.instrument.name)
        if problem is not None:
            raise ValueError(problem)
        parameters = parameters_of(strategy)
        return Setup(
            market=market,
            initial_cash=self.new_book().balance,
            currency=str(self.params["account_currency"]),
            costs=self.costs(market.instrument),
            leverage=Decimal(repr(self.order_leverage())),
            limits=limits or limits_of(parameters),
            parameters=parameters,
        )

    def _summary(
        self, initial: Decimal, gauge: DrawdownGauge, codes: dict[str, int]
    ) -> dict[str, Any]:
        replay = self._under_way()
        replay.mark()
        account = replay.book.account()
        lines = replay.book.transactions
        return {
            **results(initial, account.balance, closed_trades(lines)),
            "final_equity": float(account.equity),
            "max_drawdown": gauge.worst,
            "currency": account.currency,
            "bars": replay.passed + 1,
            "fills": [transaction_dict(x) for x in lines if x.kind is TransactionKind.FILL],
            "decisions": codes,
        }

    def _bars(self) -> Columns:
        """Return the loaded bars, loading `csv_file` if that is set and nothing was loaded."""
        if self._columns is None:
            if not self.params["csv_file"]:
                raise BarTableError("No bars are loaded: call load_csv(path), or set csv_file.")
            self.load_csv()
        assert self._columns is not None
        return self._columns

    def _market(self) -> Market:
        return Market(self._instrument(), self._bars(), dict(self._conversions))

    def _instrument(self) -> Instrument:
        return find_instrument(str(self.params["instrument"]))

    def _column_names(self) -> ColumnNames:
        return ColumnNames(
            time=str(self.params["datetime_column"]),
            open=str(self.params["open_col"]),
            high=str(self.params["high_col"]),
            low=str(self.params["low_col"]),
            close=str(self.params["close_col"]),
            time_format=str(self.params["datetime_format"]),
        )

    def _check_parameters(self) -> None:
        self._instrument()
        self.costs(self._instrument())
        self.new_book()
        if self.number("leverage") < 1:
            raise ValueError(f"leverage is {self.params['leverage']!r}: give 1 or more.")
        if self.params["account_currency"] not in CURRENCIES:
            raise ValueError(
                f"account_currency is {self.params['account_currency']!r}: use one of "
                f"{', '.join(sorted(CURRENCIES))}."
            )


def _money(replay: BarReplay) -> int:
    return int(replay.book.balance * MONEY_SCALE) + replay.unrealized()
