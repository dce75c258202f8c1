"""The paper broker of the documents: orders on a simulated account, some refused if asked for.

It costs its spread and nothing else. What a refusal, a delay or a price does is the simulated
venue's business; this plugin talks to no server, whatever its address parameter says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any, ClassVar

from lts_web.plugins.broker.simulated import SimulatedBroker
from lts_web.trading.costs import CostModel
from lts_web.trading.instruments import Instrument, find_instrument

DEFAULT_SPREAD_PIPS = Decimal(2)
_SMALLEST_SPREAD_PIPS = Decimal("0.1")
_LARGEST_SPREAD_PIPS = Decimal(100)


class DefaultBroker(SimulatedBroker):
    """Trades on paper. Refusals follow from seed and client id alone, so they repeat."""

    plugin_params: ClassVar[dict[str, Any]] = {
        "broker_api_url": "https://api.oanda.com/v3",
        "api_key": "dummy_api_key",
        "account_id": "dummy_account",
        "timeout": 30,
        "spread": 0.0002,
        "execution_delay": 0.1,
        "acceptance_rate_open": 1.0,
        "acceptance_rate_close": 1.0,
        "seed": 0,
    }
    plugin_debug_vars: ClassVar[list[str]] = [
        "account_id",
        "spread",
        "execution_delay",
        "acceptance_rate_open",
        "acceptance_rate_close",
        "seed",
    ]
    plugin_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "broker_api_url": {"type": "url", "help": "Not used: this broker trades on paper."},
        "api_key": {"type": "secret", "help": "Not used: this broker trades on paper."},
        "account_id": {"help": "A name for the account, shown in debug information."},
        "timeout": {"minimum": 0, "help": "Not used: no request leaves the system."},
        "spread": {
            "minimum": 0,
            "help": "Ask minus bid as a price difference; unless set, 2 pips of the instrument.",
        },
        "execution_delay": {
            "minimum": 0,
            "maximum": 86_400,
            "help": "Seconds of market time until a request reaches the venue.",
        },
        "acceptance_rate_open": {
            "minimum": 0,
            "maximum": 1,
            "help": "Fraction of entries that are accepted; 0.95 is the documented paper broker.",
        },
        "acceptance_rate_close": {
            "minimum": 0,
            "maximum": 1,
            "help": "Fraction of closes that are accepted; 0.98 is the documented paper broker.",
        },
        "seed": {"help": "Another seed refuses other requests."},
    }

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Check the parameters; ValueError says which one is wrong."""
        super().__init__(config)
        self._check_parameters()

    def set_params(self, **kwargs: Any) -> None:
        """Replace parameters; ValueError says which one is wrong."""
        super().set_params(**kwargs)
        self._check_parameters()

    def costs(self, instrument: Instrument) -> CostModel:
        """Return the spread alone; there is no slippage, commission or swap."""
        return CostModel(spread_pips=self._spread_pips(instrument))

    def delay(self) -> timedelta:
        """Return `execution_delay`, which passes in market time: nobody sleeps."""
        return timedelta(seconds=float(self.number("execution_delay")))

    def accepts(self, action: str, client_id: str) -> bool:
        """Return whether a number that follows from seed and client id is below the rate."""
        rate = float(self.number(f"acceptance_rate_{action}"))
        text = f"{self.params['seed']}|{action}|{client_id}"
        digest = blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < rate * 2**64

    def check_instrument(self, instrument: str) -> str | None:
        """Return why an explicit spread cannot be meant for the instrument, or None."""
        record = find_instrument(instrument)
        pips = self._spread_pips(record)
        if not pips or _SMALLEST_SPREAD_PIPS <= pips <= _LARGEST_SPREAD_PIPS:
            return None
        usual = DEFAULT_SPREAD_PIPS * record.pip
        return (
            f"A spread of {self.params['spread']} is {pips:g} pips of {record.name}, whose pip is "
            f"{record.pip}: spread is a price difference, for example {usual}."
        )

    def _spread_pips(self, instrument: Instrument) -> Decimal:
        if "spread" not in self.configured:
            return DEFAULT_SPREAD_PIPS
        return instrument.pips(self.number("spread"))

    def _check_parameters(self) -> None:
        self.number("spread")
        self.number("execution_delay")
        for name in ("acceptance_rate_open", "acceptance_rate_close"):
            if self.number(name) > 1:
                raise ValueError(f"{name} is {self.params[name]!r}: give a fraction from 0 to 1.")
