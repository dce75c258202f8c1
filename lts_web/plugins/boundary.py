"""The one place where the documented dictionaries become frozen values, and back.

Dictionaries for plugins carry floats and aware UTC times; what plugins answer is checked here,
word by word, before anything else of the house sees it. Every key is in the appendix of the
plugin guide. AnswerInvalid says what is wrong with an answer and what would be right. This module
calls no plugin and decides nothing: whether a sound answer is wise is the business of risk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from lts_web.plugins.answers import (
    CODE_LIMIT,
    ID_LIMIT,
    LARGEST_AMOUNT,
    LARGEST_PRICE,
    LARGEST_QUANTITY,
    TEXT_LIMIT,
    amount_of,
    brief,
    dictionary_of,
    first_of,
    identifier_of,
    integer_of,
    number_of,
    optional_integer,
    optional_positive,
    positive_of,
    refuse,
    shown,
    text_of,
    time_of,
    units_of,
)
from lts_web.plugins.bars_view import BarsView
from lts_web.plugins.inputs import AllocationRow, AssetInputs, PositionInput
from lts_web.trading.decisions import Close, Decision, Hold, Open
from lts_web.trading.instruments import Instrument, Side
from lts_web.trading.market import MarketView, Quote
from lts_web.trading.matching import AccountState, TransactionKind, VenueTransaction
from lts_web.trading.orders import Confirmed, OrderIntent, Outcome, Rejected

__all__ = [
    "AllocationRow",
    "AssetInputs",
    "PositionInput",
    "allocation_assets",
    "asset_data",
    "close_parameters",
    "market_data",
    "open_parameters",
    "position_data",
    "read_account",
    "read_allocation",
    "read_close_answer",
    "read_decision",
    "read_last_transaction_id",
    "read_leverage",
    "read_open_answer",
    "read_quote",
    "read_transactions",
    "symbol_of",
    "transaction_dict",
]

REJECTED_WITHOUT_CODE = "REJECTED"
LARGEST_LEVERAGE = Decimal(10_000)

_SIDES = {"buy": Side.BUY, "long": Side.BUY, "sell": Side.SELL, "short": Side.SELL}
_PRICE_KEYS = ("fill_price", "entry_price", "close_price", "price")


# --- to a strategy --------------------------------------------------------------------------


def symbol_of(instrument: str) -> str:
    """Return the documents' name of an instrument: "EURUSD" for "EUR_USD"."""
    return instrument.replace("_", "")


def asset_data(inputs: AssetInputs) -> dict[str, Any]:
    """Return the first argument of `decide`."""
    instrument = inputs.instrument
    return {
        "asset_id": inputs.asset_id,
        "portfolio_id": inputs.portfolio_id,
        "symbol": symbol_of(instrument.name),
        "instrument": instrument.name,
        "timeframe": inputs.timeframe,
        "capital": float(inputs.capital),
        "equity": float(inputs.equity),
        "currency": inputs.currency,
        "pip": float(instrument.pip),
        "min_units": float(instrument.minimum_units),
        "open_positions": [position_data(position) for position in inputs.positions],
        "parameters": dict(inputs.parameters),
    }


def position_data(position: PositionInput) -> dict[str, Any]:
    """Return one of the `open_positions` in the first argument of `decide`."""
    return {
        "position_id": position.position_id,
        "side": position.side,
        "quantity": float(abs(position.units)),
        "entry_price": float(position.entry_price),
        "stop_loss": _float(position.stop_loss),
        "take_profit": _float(position.take_profit),
        "unrealized_pnl": float(position.unrealized_pnl),
        "opened_at": position.opened_at,
    }


def market_data(
    view: MarketView, bars: BarsView, predictions: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return the second argument of `decide`; what the market does not have is None."""
    bar, quote = view.bar, view.quote
    return {
        "time": view.now,
        "open": None if bar is None else float(bar.open),
        "high": None if bar is None else float(bar.high),
        "low": None if bar is None else float(bar.low),
        "close": None if bar is None else float(bar.close),
        "bid": None if quote is None else float(quote.bid),
        "ask": None if quote is None else float(quote.ask),
        "spread": None if quote is None else float(quote.spread),
        "bars": bars,
        "predictions": [dict(prediction) for prediction in predictions],
    }


# --- from a strategy ------------------------------------------------------------------------


def read_decision(answer: object) -> Decision:
    """Return the decision in an answer of `decide`."""
    whole = dictionary_of(answer, "decide")
    action = whole.get("action")
    reason = text_of(whole, "reason", TEXT_LIMIT)
    confidence = _confidence(whole)
    if action == "none":
        return Hold(reason, confidence)
    if action not in ("open", "close"):
        refuse(f"action is {shown(action)}; it must be 'open', 'close' or 'none'")
    parameters = whole.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        refuse(f"parameters is {shown(parameters)}; it must be a dictionary")
    if action == "close":
        return Close(_position_id(parameters), reason, confidence)
    return _read_open(parameters, reason, confidence)


def _read_open(parameters: dict[Any, Any], reason: str, confidence: float | None) -> Open:
    wanted = first_of(parameters, "side", "direction")
    side = _SIDES.get(wanted.strip().lower()) if isinstance(wanted, str) else None
    if side is None:
        refuse(f"side is {shown(wanted)}; it must be 'buy' or 'sell' ('long' or 'short')")
    if parameters.get("volume") is not None:
        refuse("volume has no unit here; give quantity in units, or leave both out to be sized")
    order_type = parameters.get("order_type", "market")
    if not isinstance(order_type, str) or len(order_type) > 20:
        refuse(f"order_type is {shown(order_type)}; it must be text, for example 'market'")
    return Open(
        side=side,
        units=optional_positive(parameters, LARGEST_QUANTITY, "quantity"),
        stop_loss=optional_positive(parameters, LARGEST_PRICE, "sl", "stop_loss"),
        take_profit=optional_positive(parameters, LARGEST_PRICE, "tp", "take_profit"),
        price=optional_positive(parameters, LARGEST_PRICE, "price"),
        order_type=order_type.strip().lower(),
        reason=reason,
        confidence=confidence,
    )


def _position_id(parameters: dict[Any, Any]) -> int | None:
    value = first_of(parameters, "position_id", "order_id")
    return None if value is None else integer_of(value, "position_id")


def _confidence(answer: dict[Any, Any]) -> float | None:
    if answer.get("confidence") is None:
        return None
    number = number_of(answer["confidence"], "confidence")
    if not 0 <= number <= 1:
        refuse(f"confidence is {number}; it must be between 0 and 1, not a percentage")
    return float(number)


# --- to and from a portfolio plugin ---------------------------------------------------------


def allocation_assets(rows: Sequence[AllocationRow]) -> list[dict[str, Any]]:
    """Return the second argument of `allocate`."""
    return [
        {
            "id": row.asset_id,
            "symbol": symbol_of(row.instrument),
            "capital": float(row.capital),
            "equity": float(row.equity),
            "volatility": row.volatility,
            "weight": row.weight,
        }
        for row in rows
    ]


def read_allocation(answer: object) -> dict[int, Decimal]:
    """Return amount by asset id from an answer of `allocate`; an empty one gives nothing away."""
    whole = dictionary_of(answer, "allocate")
    allocations = whole.get("allocations", {})
    if not isinstance(allocations, dict):
        refuse(f"allocations is {shown(allocations)}; it must be a dictionary {{asset id: amount}}")
    amounts: dict[int, Decimal] = {}
    for key, value in allocations.items():
        asset_id = integer_of(key, "an asset id in allocations")
        amount = number_of(value, f"the amount of asset {asset_id}")
        if amount < 0 or amount > LARGEST_AMOUNT:
            refuse(f"the amount of asset {asset_id} is {brief(amount)}; it must be 0 or more")
        if asset_id in amounts:
            refuse(f"asset {asset_id} stands in allocations twice")
        amounts[asset_id] = amount
    if whole.get("cash") is not None:
        number_of(whole["cash"], "cash")
    return amounts


# --- to a broker ----------------------------------------------------------------------------


def open_parameters(
    intent: OrderIntent, client_order_id: str, instrument: Instrument, market_time: datetime
) -> dict[str, Any]:
    """Return the parameters of `execute_order("open", …)`; `quantity` is in units."""
    stop_loss, take_profit = _float(intent.stop_loss), _float(intent.take_profit)
    return {
        **_order(intent, client_order_id, instrument, market_time),
        "order_type": intent.order_type,
        "stop_loss": stop_loss,
        "sl": stop_loss,
        "take_profit": take_profit,
        "tp": take_profit,
    }


def close_parameters(
    intent: OrderIntent,
    client_order_id: str,
    instrument: Instrument,
    market_time: datetime,
    reason: str = "close",
) -> dict[str, Any]:
    """Return the parameters of `execute_order("close", …)`; all ids name the venue's trade."""
    return {
        **_order(intent, client_order_id, instrument, market_time),
        "order_id": intent.trade_id,
        "position_id": intent.trade_id,
        "trade_id": intent.trade_id,
        "broker_order_id": intent.trade_id,
        "reason": reason,
    }


def _order(
    intent: OrderIntent, client_order_id: str, instrument: Instrument, market_time: datetime
) -> dict[str, Any]:
    side = intent.side.value
    return {
        "client_order_id": client_order_id,
        "instrument": instrument.name,
        "symbol": instrument.name,
        "side": side,
        "direction": side,
        "quantity": float(abs(intent.units)),
        "price": float(intent.decision_price),
        "timestamp": market_time,
    }


# --- from a broker --------------------------------------------------------------------------


def read_open_answer(answer: object, quote_price: Decimal | None) -> Outcome:
    """Return what an answer to "open" says; a price that it does not name is `quote_price`.

    With `quote_price` None a missing price means that the fill is still to come.
    """
    outcome = _outcome(answer, quote_price)
    if isinstance(outcome, Confirmed) and not outcome.order_id:
        refuse("the order was taken without an order_id, so nobody could ever close it")
    return outcome


def read_close_answer(answer: object, quote_price: Decimal | None) -> Outcome:
    """Return what an answer to "close" says; its order_id may be missing and is then ""."""
    return _outcome(answer, quote_price)


def _outcome(answer: object, quote_price: Decimal | None) -> Outcome:
    whole = dictionary_of(answer, "execute_order")
    success = whole.get("success")
    if success is False:
        return _rejection(whole)
    if success is not True:
        refuse(f"success is {shown(success)}; it must be True or False")
    price = next((whole[key] for key in _PRICE_KEYS if whole.get(key) is not None), None)
    trade_id = identifier_of(whole, "trade_id")
    order_id = identifier_of(whole, "order_id") or trade_id or ""
    if price is None and quote_price is not None:
        return Confirmed(order_id, quote_price, trade_id, "assumed")
    named = None if price is None else positive_of(price, LARGEST_PRICE, "the fill price")
    return Confirmed(order_id, named, trade_id, "venue")


def _rejection(answer: dict[Any, Any]) -> Rejected:
    error = answer.get("error") or answer.get("message") or ""
    detail = error if isinstance(error, str) else shown(error)
    code = answer.get("code")
    if not isinstance(code, str) or not code.strip():
        code = REJECTED_WITHOUT_CODE
    return Rejected(code.strip()[:CODE_LIMIT], detail[:TEXT_LIMIT])


def read_quote(answer: object, instrument: Instrument, time: datetime) -> Quote:
    """Return the quote in an answer of `quote_from_mid`, rounded against the trader.

    Whether bid and ask are sound together is judged with the market's other checks.
    """
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        refuse(f"quote_from_mid gave {shown(answer)}; it must give (bid, ask)")
    # Floats carry dust beyond the precision; it must not count as a step against the trader.
    dust = instrument.price_step / 1000
    bid, ask = (positive_of(price, LARGEST_PRICE, "a price").quantize(dust) for price in answer)
    return Quote(
        time, instrument.round_against(bid, Side.SELL), instrument.round_against(ask, Side.BUY)
    )


def transaction_dict(line: VenueTransaction) -> dict[str, Any]:
    """Return a line of a venue's log as plugins hand it over.

    Decimals are strings, so that a balance can be compared to the last digit.
    """
    return {
        "id": line.id,
        "time": line.time,
        "kind": str(line.kind),
        "balance": str(line.balance),
        "order_id": line.order_id,
        "trade_id": line.trade_id,
        "client_id": line.client_id,
        "instrument": line.instrument,
        "units": line.units,
        "price": None if line.price is None else str(line.price),
        "rate": None if line.rate is None else str(line.rate),
        "pnl": str(line.pnl),
        "commission": str(line.commission),
        "swap": str(line.swap),
        "reason": line.reason,
        "stop_loss": None if line.stop_loss is None else str(line.stop_loss),
        "take_profit": None if line.take_profit is None else str(line.take_profit),
    }


def read_transactions(answer: object) -> list[VenueTransaction]:
    """Return the lines of a venue's log, oldest first; AnswerInvalid if the ids do not rise."""
    if not isinstance(answer, list | tuple):
        refuse(f"get_transactions_since gave {shown(answer)}; it must give a list")
    lines = [_transaction(one) for one in answer]
    for before, after in pairwise(lines):
        if after.id <= before.id:
            refuse(f"transaction {after.id} comes after {before.id}; give them oldest first, once")
    return lines


def _transaction(answer: object) -> VenueTransaction:
    whole = dictionary_of(answer, "get_transactions_since")
    try:
        kind = TransactionKind(text_of(whole, "kind", CODE_LIMIT))
    except ValueError:
        known = ", ".join(TransactionKind)
        refuse(f"kind is {shown(whole.get('kind'))}; it must be one of {known}")
    instrument = text_of(whole, "instrument", 20)
    return VenueTransaction(
        id=integer_of(whole.get("id"), "id"),
        time=time_of(whole.get("time")),
        kind=kind,
        balance=amount_of(whole, "balance", None),
        order_id=optional_integer(whole, "order_id"),
        trade_id=optional_integer(whole, "trade_id"),
        client_id=text_of(whole, "client_id", ID_LIMIT),
        instrument=instrument,
        units=units_of(whole),
        price=optional_positive(whole, LARGEST_PRICE, "price", text=True),
        rate=optional_positive(whole, LARGEST_PRICE, "rate", text=True),
        pnl=amount_of(whole, "pnl"),
        commission=amount_of(whole, "commission"),
        swap=amount_of(whole, "swap"),
        reason=text_of(whole, "reason", CODE_LIMIT),
        stop_loss=optional_positive(whole, LARGEST_PRICE, "stop_loss", text=True),
        take_profit=optional_positive(whole, LARGEST_PRICE, "take_profit", text=True),
    )


def read_last_transaction_id(answer: object) -> int:
    """Return the id in an answer of `get_last_transaction_id`."""
    return integer_of(answer, "the last transaction id")


def read_leverage(answer: object) -> Decimal:
    """Return the multiple in an answer of `order_leverage`."""
    return positive_of(answer, LARGEST_LEVERAGE, "the leverage")


def read_account(answer: object, currency: str = "") -> AccountState:
    """Return the state in an answer of `get_account_summary`; it may leave the currency out."""
    whole = dictionary_of(answer, "get_account_summary")
    last_id = whole.get("last_transaction_id")
    return AccountState(
        currency=text_of(whole, "currency", 3) or currency,
        balance=amount_of(whole, "balance", None),
        equity=amount_of(whole, "equity", None),
        margin_used=amount_of(whole, "margin"),
        unrealized_pnl=amount_of(whole, "unrealized_pnl"),
        last_transaction_id=0 if last_id is None else integer_of(last_id, "last_transaction_id"),
    )


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
