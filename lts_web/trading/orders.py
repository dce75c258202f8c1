"""Orders: their kinds, their states, and the one table of lawful changes between states.

An order is our intent; what the venue did with it arrives as events. Nothing here sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from lts_web.trading.codes import DenialCode
from lts_web.trading.instruments import Side


class OrderStatus(StrEnum):
    """Where an order stands; see `TRANSITIONS` for what may follow what."""

    CREATED = "created"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DENIED = "denied"
    EXPIRED = "expired"
    EXPIRED_UNSENT = "expired_unsent"
    UNKNOWN = "unknown"


class OrderKind(StrEnum):
    """What an order is for. Stops and targets are written when the venue has hit them."""

    ENTRY = "entry"
    CLOSE = "close"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"


class OrderOrigin(StrEnum):
    """Who wanted the order."""

    STRATEGY = "strategy"
    PERSON = "person"
    VENUE = "venue"
    SYSTEM = "system"


STATUS_SENTENCES: dict[OrderStatus, str] = {
    OrderStatus.CREATED: "Written down and about to be sent; found so at a start, it counts as "
    "unknown.",
    OrderStatus.SUBMITTED: "Sent; the venue has received it and not yet said more.",
    OrderStatus.ACCEPTED: "The venue has taken the order and has not filled it yet.",
    OrderStatus.PARTIALLY_FILLED: "A part is filled, the rest is still working.",
    OrderStatus.FILLED: "Wholly filled.",
    OrderStatus.CANCELLED: "Taken back before it was filled, by us or by the venue.",
    OrderStatus.REJECTED: "The venue refused it; the code is the venue's.",
    OrderStatus.DENIED: "LTS refused it before it was sent; the code is ours.",
    OrderStatus.EXPIRED: "The venue let it lapse at its time limit.",
    OrderStatus.EXPIRED_UNSENT: "It never reached the venue and will never be sent again.",
    OrderStatus.UNKNOWN: "It may or may not have reached the venue; the asset sends no other order "
    "until the venue has been read.",
}

_S = OrderStatus
_FROM_VENUE = frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.REJECTED})
TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.CREATED: _FROM_VENUE | {_S.SUBMITTED, _S.DENIED, _S.EXPIRED, _S.EXPIRED_UNSENT, _S.UNKNOWN},
    _S.SUBMITTED: _FROM_VENUE | {_S.EXPIRED, _S.UNKNOWN},
    _S.UNKNOWN: _FROM_VENUE | {_S.EXPIRED, _S.EXPIRED_UNSENT},
    _S.ACCEPTED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED}),
    _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.CANCELLED, _S.EXPIRED}),
    _S.FILLED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.DENIED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.EXPIRED_UNSENT: frozenset(),
}
OPEN_STATUSES = frozenset(status for status, following in TRANSITIONS.items() if following)
FINAL_STATUSES = frozenset(TRANSITIONS) - OPEN_STATUSES
# States in which nobody but the venue knows what became of the order.
UNRESOLVED_STATUSES = frozenset({_S.CREATED, _S.SUBMITTED, _S.UNKNOWN})


class UnlawfulTransition(ValueError):
    """An order was asked to take a state that cannot follow its present one; nothing changes."""


def check_transition(current: OrderStatus, following: OrderStatus) -> None:
    """Raise UnlawfulTransition unless `following` may come after `current`."""
    if following not in TRANSITIONS[current]:
        raise UnlawfulTransition(f"an order that is {current} cannot become {following}")


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order that passed sizing and risk, not yet written or sent.

    `units` are signed (sell negative). `trade_id` is the venue's trade that a close ends,
    `position_id` our position. `notional` and `margin` are in account currency at the decision
    quote. `binding_cap` names the limit that set the size.
    """

    kind: OrderKind
    origin: OrderOrigin
    instrument: str
    units: int
    decision_price: Decimal
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    position_id: int | None = None
    trade_id: str | None = None
    notional: Decimal = Decimal(0)
    margin: Decimal = Decimal(0)
    initial_risk: Decimal | None = None
    binding_cap: str = ""
    order_type: str = "market"

    @property
    def side(self) -> Side:
        """Return the side that the sign of the units says."""
        return Side.of_units(self.units)


@dataclass(frozen=True, slots=True)
class Approved:
    """Risk let the intent pass; `trace` holds each rule with what it saw."""

    intent: OrderIntent
    trace: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """Risk refused; nothing is sent. `detail` is a sentence with the figures."""

    code: DenialCode
    detail: str
    trace: tuple[tuple[str, str], ...] = ()


Verdict = Approved | Denied


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The venue took the order.

    `fill_price` is None while the fill is still to come; `price_source` is "venue", or "assumed"
    where the plugin named no price.
    """

    order_id: str
    fill_price: Decimal | None = None
    trade_id: str | None = None
    price_source: str = "venue"


@dataclass(frozen=True, slots=True)
class Rejected:
    """The venue refused; the order is final."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """It surely never left: the connection was refused, or the lease or the time was lost."""

    detail: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows: a time-out, an exception, an answer that cannot be read."""

    detail: str


Outcome = Confirmed | Rejected | NotSent | Unknown


def client_order_id(install: str, intent_id: int) -> str:
    """Return the id that the venue knows an order by: unique for ever on this installation."""
    return f"lts-{install}-{intent_id}"
