"""The gate between a decision and an order: every rule that can deny, each with its code.

`review` is the one way from a decision to an intent; the worker's cycle and the simulation both
go through it, which is why their fills agree. Limits that several processes share (exposure,
positions) are checked here and once more, under the database's write lock, when the intent is
written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from lts_web.trading.codes import DENIAL_SENTENCES, DenialCode
from lts_web.trading.decisions import Close, Open
from lts_web.trading.instruments import Instrument, Side
from lts_web.trading.market import MarketView, quote_problem
from lts_web.trading.money import ZERO, RateTable, round_money, to_decimal
from lts_web.trading.orders import Approved, Denied, OrderIntent, OrderKind, OrderOrigin, Verdict
from lts_web.trading.positions import open_risk
from lts_web.trading.sizing import SizingInputs, size_order


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """A portfolio's limits; `max_exposure` is a multiple of equity, fractions are 0–1."""

    require_stop_loss: bool = True
    require_take_profit: bool = True
    max_open_positions: int = 20
    max_exposure: Decimal = Decimal(10)
    max_leverage: Decimal = Decimal(30)
    max_quote_age: timedelta = timedelta(minutes=5)
    max_spread_pips: Decimal | None = None
    max_risk_per_trade: Decimal = Decimal("0.02")
    position_size: Decimal = Decimal("0.02")


def with_strategy_sizes(limits: RiskLimits, parameters: Mapping[str, object]) -> RiskLimits:
    """Return the limits with the sizes that a strategy's parameters state, where they do.

    ValueError: `position_size` or `max_risk_per_trade` is no fraction between 0 and 1.
    """
    sizes: dict[str, Decimal] = {}
    for name in ("position_size", "max_risk_per_trade"):
        if parameters.get(name) is None:
            continue
        value = to_decimal(parameters[name])
        if value is None or not 0 <= value <= 1:
            raise ValueError(f"{name} is {parameters[name]!r}; it must be a fraction from 0 to 1")
        sizes[name] = value
    return replace(
        limits,
        position_size=sizes.get("position_size", limits.position_size),
        max_risk_per_trade=sizes.get("max_risk_per_trade", limits.max_risk_per_trade),
    )


@dataclass(frozen=True, slots=True)
class AssetPosition:
    """An open position as the gate needs it; `units` signed."""

    position_id: int
    trade_id: str
    units: int
    entry_price: Decimal
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RiskState:
    """What is at stake before the order; money in account currency.

    `exposure` is the notional of all open positions and working entries of the account,
    `order_in_flight` whether the asset has an unfinished order, `outcome_unknown` whether one of
    them is unknown. `account_readable` is False when the venue's state could not be read.
    """

    capital: Decimal
    equity: Decimal
    free_margin: Decimal
    exposure: Decimal
    open_positions: int
    positions: tuple[AssetPosition, ...] = ()
    order_in_flight: bool = False
    outcome_unknown: bool = False
    account_readable: bool = True
    account_currency: str = "USD"
    leverage: Decimal = Decimal(100)


Trace = list[tuple[str, str]]

# From here on a level is no price, whatever the market.
_NO_PRICE = Decimal(10) ** 9


class _Terms(NamedTuple):
    """An entry whose prices are sound: sign of the side, quote, levels, rate, units asked for."""

    sign: int
    price: Decimal
    stop: Decimal | None
    target: Decimal | None
    rate: Decimal
    units: Decimal | None


def deny(code: DenialCode, detail: str = "", trace: Trace | None = None) -> Denied:
    """Return a denial whose detail defaults to the code's own sentence."""
    return Denied(code, detail or DENIAL_SENTENCES[code], tuple(trace or ()))


def review_open(
    decision: Open,
    view: MarketView,
    instrument: Instrument,
    state: RiskState,
    limits: RiskLimits,
    rates: RateTable,
) -> Verdict:
    """Return the intent for an entry, or the first denial in the order of the rules."""
    trace: Trace = []
    blocked = _blocked(view, instrument, state, limits, trace)
    if blocked is not None:
        return blocked
    quote = view.quote
    assert quote is not None
    price = quote.ask if decision.side is Side.BUY else quote.bid
    stop = _on_grid(decision.stop_loss, instrument)
    target = _on_grid(decision.take_profit, instrument)
    problem = _protection_problem(decision, price, stop, target, limits)
    if problem is not None:
        return deny(problem, trace=trace)
    trace.append(("protection", f"stop {stop}, target {target}"))
    rate = rates.rate(instrument.quote, state.account_currency)
    if rate is None:
        detail = (
            f"No rate converts {instrument.quote} to {state.account_currency}; import bars of a "
            f"pair that joins the two."
        )
        return deny(DenialCode.NO_CONVERSION, detail, trace)
    terms = _Terms(decision.side.sign, price, stop, target, rate, decision.units)
    return _sized_and_limited(terms, instrument, state, limits, trace)


def against_position(decision: Open | Close, positions: Sequence[AssetPosition]) -> Open | Close:
    """Return the close of an open position that an entry stands against, else the decision.

    An asset holds one position: a signal to the other side closes it now, and the entry may follow
    in a later cycle at the earliest.
    """
    if not positions or not isinstance(decision, Open):
        return decision
    if any(position.units * decision.side.sign < 0 for position in positions):
        return Close(reason=decision.reason, confidence=decision.confidence)
    return decision


def review_close(
    decision: Close, view: MarketView, instrument: Instrument, state: RiskState, limits: RiskLimits
) -> list[Verdict]:
    """Return one verdict for each position that the decision closes.

    Exits stay possible where entries wait: no exposure rule applies to them.
    """
    wanted = [
        position
        for position in state.positions
        if decision.position_id is None or position.position_id == decision.position_id
    ]
    if not wanted:
        return [deny(DenialCode.NO_OPEN_POSITION)]
    if state.outcome_unknown:
        return [deny(DenialCode.OUTCOME_UNKNOWN)]
    if state.order_in_flight:
        return [deny(DenialCode.ORDER_IN_FLIGHT)]
    if not view.market_open:
        return [deny(DenialCode.MARKET_CLOSED)]
    problem = quote_problem(view.quote, view.now, limits.max_quote_age)
    if problem is not None:
        return [deny(problem)]
    assert view.quote is not None
    return [
        Approved(
            OrderIntent(
                kind=OrderKind.CLOSE,
                origin=OrderOrigin.STRATEGY,
                instrument=instrument.name,
                units=-position.units,
                decision_price=view.quote.bid if position.units > 0 else view.quote.ask,
                position_id=position.position_id,
                trade_id=position.trade_id,
                binding_cap="position",
            )
        )
        for position in wanted
    ]


def _blocked(
    view: MarketView, instrument: Instrument, state: RiskState, limits: RiskLimits, trace: Trace
) -> Denied | None:
    """Return the denial that holds whatever the entry asks for, if there is one."""
    if not view.has_new_bar or view.bar is None:
        return deny(DenialCode.NO_BAR)
    if not view.market_open:
        return deny(DenialCode.MARKET_CLOSED)
    if not state.account_readable:
        return deny(DenialCode.ACCOUNT_UNREADABLE)
    if state.outcome_unknown:
        return deny(DenialCode.OUTCOME_UNKNOWN)
    if state.order_in_flight:
        return deny(DenialCode.ORDER_IN_FLIGHT)
    if state.positions:
        return deny(DenialCode.ASSET_POSITION_OPEN)
    if state.open_positions >= limits.max_open_positions:
        detail = f"{state.open_positions} positions are open; {limits.max_open_positions} may be."
        return deny(DenialCode.POSITION_LIMIT, detail)
    problem = quote_problem(view.quote, view.now, limits.max_quote_age)
    if problem is not None:
        return deny(problem)
    trace.append(("market", "open, with a sound quote"))
    if limits.max_spread_pips is not None and view.quote is not None:
        spread = instrument.pips(view.quote.spread)
        if spread > limits.max_spread_pips:
            detail = f"The spread is {spread:.1f} pips; {limits.max_spread_pips} are allowed."
            return deny(DenialCode.SPREAD_TOO_WIDE, detail, trace)
    if state.capital <= ZERO:
        return deny(DenialCode.NO_ALLOCATION, trace=trace)
    if state.equity <= ZERO:
        return deny(DenialCode.NO_CAPITAL, trace=trace)
    trace.append(("allocation", f"{state.capital} {state.account_currency}"))
    return None


def _is_price(level: Decimal) -> bool:
    return level.is_finite() and ZERO < level < _NO_PRICE


def _on_grid(level: Decimal | None, instrument: Instrument) -> Decimal | None:
    """Return a stop or target on the instrument's grid; what is no price stays as it is."""
    return instrument.round_price(level) if level is not None and _is_price(level) else level


def _protection_problem(
    decision: Open,
    price: Decimal,
    stop: Decimal | None,
    target: Decimal | None,
    limits: RiskLimits,
) -> DenialCode | None:
    if stop is None and limits.require_stop_loss:
        return DenialCode.NO_STOP_LOSS
    if target is None and limits.require_take_profit:
        return DenialCode.NO_TAKE_PROFIT
    for level in (stop, target):
        if level is not None and not _is_price(level):
            return DenialCode.PRICE_INVALID
    buys = decision.side is Side.BUY
    if stop is not None and (stop >= price if buys else stop <= price):
        return DenialCode.STOP_WRONG_SIDE
    if target is not None and (target <= price if buys else target >= price):
        return DenialCode.TARGET_WRONG_SIDE
    if decision.order_type != "market":
        return DenialCode.ORDER_TYPE_UNSUPPORTED
    return None


def _sized_and_limited(
    terms: _Terms,
    instrument: Instrument,
    state: RiskState,
    limits: RiskLimits,
    trace: Trace,
) -> Verdict:
    sign, price, stop, target, rate, asked = terms
    if asked is not None and not (asked.is_finite() and asked > ZERO):
        return deny(DenialCode.UNITS_INVALID, trace=trace)
    if asked is not None and asked > instrument.maximum_units:
        return deny(DenialCode.UNITS_ABOVE_MAXIMUM, trace=trace)
    leverage = min(limits.max_leverage, state.leverage)
    sized = size_order(
        instrument,
        SizingInputs(
            state.capital,
            state.equity,
            state.free_margin,
            price,
            stop,
            rate,
            limits.position_size,
            limits.max_risk_per_trade,
            leverage,
            explicit_units=asked,
        ),
    )
    trace += [(f"cap {name}", f"{units:.2f} units") for name, units in sized.caps]
    if sized.units < instrument.minimum_units:
        code = (
            DenialCode.MARGIN_INSUFFICIENT
            if sized.binding_cap == "margin"
            else DenialCode.UNITS_BELOW_MINIMUM
        )
        detail = (
            f"{DENIAL_SENTENCES[code]} The cap '{sized.binding_cap}' leaves {sized.units} units; "
            f"the smallest order is {instrument.minimum_units}."
        )
        return deny(code, detail, trace)
    notional = round_money(price * sized.units * rate)
    exposure = exposure_problem(state, limits, notional)
    if exposure is not None:
        return replace(exposure, trace=tuple(trace))
    trace.append(("exposure", f"{state.exposure + notional} {state.account_currency} after it"))
    units = sign * sized.units
    return Approved(
        OrderIntent(
            kind=OrderKind.ENTRY,
            origin=OrderOrigin.STRATEGY,
            instrument=instrument.name,
            units=units,
            decision_price=price,
            stop_loss=stop,
            take_profit=target,
            notional=notional,
            margin=round_money(notional / leverage),
            initial_risk=open_risk(price, stop, units, rate),
            binding_cap=sized.binding_cap,
        ),
        tuple(trace),
    )


def exposure_problem(state: RiskState, limits: RiskLimits, notional: Decimal) -> Denied | None:
    """Return the denial if `notional` more would break a limit on exposure or leverage."""
    total = state.exposure + notional
    if total > limits.max_exposure * state.equity:
        return deny(
            DenialCode.EXPOSURE_LIMIT,
            f"With this order {total} {state.account_currency} would be at work; the limit is "
            f"{limits.max_exposure} × the equity of {state.equity}.",
        )
    if total > limits.max_leverage * state.equity:
        return deny(
            DenialCode.LEVERAGE_LIMIT,
            f"With this order the leverage would be {total / state.equity:.2f}; the limit is "
            f"{limits.max_leverage}.",
        )
    return None
