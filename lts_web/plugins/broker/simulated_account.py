"""The account under a simulated broker, and everything that is read from it.

Connected to the house, that is one durable venue; stand-alone, an account in memory. Reading
changes nothing, and no order is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from lts_web.plugins.base import BrokerPluginBase
from lts_web.plugins.boundary import transaction_dict
from lts_web.plugins.broker.local_venue import LocalVenue
from lts_web.plugins.broker.trade_records import closed_trades, open_trade, pending_order
from lts_web.trading.costs import CostModel
from lts_web.trading.instruments import (
    Instrument,
    InstrumentError,
    find_instrument,
    normalise_instrument,
)
from lts_web.trading.matching import Book, OpenTrade, VenueTransaction
from lts_web.trading.money import HUBS, RateTable, to_decimal
from lts_web.trading.ports import Ports, Venue
from lts_web.trading.positions import profit

_PAGE = 1000


class SimulatedAccount(BrokerPluginBase):
    """A broker's account with a simulated venue; subclasses trade on it."""

    capabilities = frozenset(
        {"simulated", "transaction_log", "client_ids", "native_stops", "account_state", "modify"}
    )

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Begin with an account in memory; `connect` replaces it."""
        super().__init__(config)
        self._venue: Venue | None = None
        self._series = ""
        self._clock: Callable[[], datetime] = _wall_clock
        self._local = LocalVenue(self.new_book())

    # --- what subclasses say ------------------------------------------------------------------

    def costs(self, instrument: Instrument) -> CostModel:
        """Return what a trade in the instrument costs."""
        raise NotImplementedError

    def new_book(self) -> Book:
        """Return an empty account in memory."""
        return Book("USD", Decimal(10_000))

    def market_price(self, instrument: Instrument) -> Decimal | None:
        """Return the price at which the instrument trades now, None if none is known."""
        return self.venue().price(instrument.name)

    def market_time(self) -> datetime:
        """Return the time of a request that names none."""
        return self._clock()

    # --- the house ----------------------------------------------------------------------------

    def connect(self, ports: Ports) -> None:
        """Trade on the account that the house offers, from now on."""
        self._clock = ports.clock
        if ports.venue is not None:
            self._venue = ports.venue
            self._series = ports.series

    @property
    def connected(self) -> bool:
        """Tell whether the broker trades on an account of the house."""
        return self._venue is not None

    def venue(self) -> Venue:
        """Return the account that the broker trades on."""
        return self._local if self._venue is None else self._venue

    def quote_from_mid(self, instrument: str, mid: float) -> tuple[float, float]:
        """Return bid and ask: the mid price with half the spread on either side."""
        record = find_instrument(instrument)
        half = self.costs(record).spread_pips * record.pip / 2
        price = Decimal(repr(float(mid)))
        return float(price - half), float(price + half)

    # --- reads --------------------------------------------------------------------------------

    def get_account_summary(self) -> dict[str, Any]:
        """Return {success, balance, equity, margin, unrealized_pnl, currency, …} as floats.

        `margin` is what open trades bind; `last_transaction_id` the last line of the log.
        """
        state = self.venue().account()
        return {
            "success": True,
            "balance": float(state.balance),
            "equity": float(state.equity),
            "margin": float(state.margin_used),
            "unrealized_pnl": float(state.unrealized_pnl),
            "currency": state.currency,
            "last_transaction_id": state.last_transaction_id,
        }

    def get_open_trades(self) -> list[dict[str, Any]]:
        """Return the open trades, oldest first."""
        return [open_trade(trade, self._unrealized(trade)) for trade in self.venue().open_trades()]

    def get_open_orders(self) -> list[dict[str, Any]]:
        """Return what is not finished: requests that wait (pending), then trades (open)."""
        waiting = [pending_order(order) for order in self.venue().pending_orders()]
        return [*waiting, *self.get_open_trades()]

    def get_trade_history(self, count: int = 50) -> list[dict[str, Any]]:
        """Return the last `count` closed trades, in the order of closing."""
        return closed_trades(self._log())[-count:] if count > 0 else []

    def get_current_price(self, instrument: str | None = None) -> dict[str, Any]:
        """Return {success, bid, ask, spread, instrument, time}, or {success: False, error}."""
        try:
            name = normalise_instrument(instrument or self.default_instrument())
        except InstrumentError as error:
            return {"success": False, "error": str(error)}
        mid = self.market_price(find_instrument(name))
        if mid is None:
            return {
                "success": False,
                "error": f"No price of {name} is known: load bars, or wait for the first one.",
            }
        bid, ask = self.quote_from_mid(name, float(mid))
        spread = Decimal(repr(ask)) - Decimal(repr(bid))
        return {
            "success": True,
            "bid": bid,
            "ask": ask,
            "spread": float(spread),
            "instrument": name,
            "time": self.market_time(),
        }

    def get_last_transaction_id(self) -> int:
        """Return the id of the last line of the venue's log, 0 if it is empty."""
        return self.venue().account().last_transaction_id

    def get_transactions_since(self, last_id: int, limit: int = 1000) -> list[dict[str, Any]]:
        """Return the log's lines with an id above `last_id`, oldest first, at most `limit`."""
        return [transaction_dict(line) for line in self.venue().transactions_since(last_id, limit)]

    # --- inside -------------------------------------------------------------------------------

    def default_instrument(self) -> str:
        """Return the instrument of a request that names none."""
        own = self._series.partition("@")[0]
        return own or str(self.params.get("instrument", "EUR_USD"))

    def number(self, name: str) -> Decimal:
        """Return a parameter as a number; ValueError unless it is finite and not negative."""
        value = to_decimal(self.params[name])
        if value is None or value < 0:
            raise ValueError(f"{name} is {self.params[name]!r}: give a number of 0 or more.")
        return value

    def _log(self) -> Iterator[VenueTransaction]:
        last_id = 0
        while lines := self.venue().transactions_since(last_id, _PAGE):
            yield from lines
            last_id = lines[-1].id

    def _unrealized(self, trade: OpenTrade) -> Decimal | None:
        """Return the trade's open profit at the last price, None where no rate converts it."""
        venue = self.venue()
        record, currency = find_instrument(trade.instrument), venue.account().currency
        pairs = {trade.instrument}
        for one in {record.quote, *HUBS}:
            pairs |= {f"{one}_{currency}", f"{currency}_{one}"}
            pairs |= {f"{record.quote}_{one}", f"{one}_{record.quote}"}
        prices = {pair: price for pair in pairs if (price := venue.price(pair)) is not None}
        rate = RateTable(prices).rate(record.quote, currency)
        if rate is None or trade.instrument not in prices:
            return None
        return profit(trade.price, prices[trade.instrument], trade.units, rate)


def _wall_clock() -> datetime:
    return datetime.now(UTC)
