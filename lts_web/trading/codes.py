"""Codes that explain why something did not happen, each with its sentence.

`DenialCode` is ours (nothing was sent), `RejectCode` is the venue's. Pages and help print the
sentences from here, so that a code never stands alone.
"""

from __future__ import annotations

from enum import StrEnum


class DenialCode(StrEnum):
    """Why LTS itself did not let an order go out."""

    NO_STOP_LOSS = "NO_STOP_LOSS"
    NO_TAKE_PROFIT = "NO_TAKE_PROFIT"
    STOP_WRONG_SIDE = "STOP_WRONG_SIDE"
    TARGET_WRONG_SIDE = "TARGET_WRONG_SIDE"
    PRICE_INVALID = "PRICE_INVALID"
    UNITS_INVALID = "UNITS_INVALID"
    UNITS_BELOW_MINIMUM = "UNITS_BELOW_MINIMUM"
    UNITS_ABOVE_MAXIMUM = "UNITS_ABOVE_MAXIMUM"
    EXPOSURE_LIMIT = "EXPOSURE_LIMIT"
    POSITION_LIMIT = "POSITION_LIMIT"
    ASSET_POSITION_OPEN = "ASSET_POSITION_OPEN"
    LEVERAGE_LIMIT = "LEVERAGE_LIMIT"
    MARGIN_INSUFFICIENT = "MARGIN_INSUFFICIENT"
    SPREAD_TOO_WIDE = "SPREAD_TOO_WIDE"
    NO_QUOTE = "NO_QUOTE"
    BAD_QUOTE = "BAD_QUOTE"
    CROSSED_QUOTE = "CROSSED_QUOTE"
    STALE_QUOTE = "STALE_QUOTE"
    NO_BAR = "NO_BAR"
    MARKET_CLOSED = "MARKET_CLOSED"
    NO_CONVERSION = "NO_CONVERSION"
    NO_ALLOCATION = "NO_ALLOCATION"
    NO_CAPITAL = "NO_CAPITAL"
    NO_OPEN_POSITION = "NO_OPEN_POSITION"
    ORDER_IN_FLIGHT = "ORDER_IN_FLIGHT"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    ORACLE_ON_REAL_ACCOUNT = "ORACLE_ON_REAL_ACCOUNT"
    BASIC_BROKER_ON_REAL_ACCOUNT = "BASIC_BROKER_ON_REAL_ACCOUNT"
    ORDER_TYPE_UNSUPPORTED = "ORDER_TYPE_UNSUPPORTED"
    PLUGIN_UNAVAILABLE = "PLUGIN_UNAVAILABLE"
    PLUGIN_ERROR = "PLUGIN_ERROR"
    PLUGIN_TIMEOUT = "PLUGIN_TIMEOUT"
    PLUGIN_ANSWER_INVALID = "PLUGIN_ANSWER_INVALID"
    ACCOUNT_UNREADABLE = "ACCOUNT_UNREADABLE"
    LEASE_LOST = "LEASE_LOST"
    NOT_RUN = "NOT_RUN"
    STEP_ABANDONED = "STEP_ABANDONED"


DENIAL_SENTENCES: dict[DenialCode, str] = {
    DenialCode.NO_STOP_LOSS: "The entry had no stop loss, and this portfolio demands one.",
    DenialCode.NO_TAKE_PROFIT: "The entry had no take profit, and this portfolio demands one.",
    DenialCode.STOP_WRONG_SIDE: "The stop loss lies on the wrong side of the price: below it for "
    "a buy, above it for a sell.",
    DenialCode.TARGET_WRONG_SIDE: "The take profit lies on the wrong side of the price: above it "
    "for a buy, below it for a sell.",
    DenialCode.PRICE_INVALID: "A price of the decision is not a positive number.",
    DenialCode.UNITS_INVALID: "The quantity is not a positive whole number of units.",
    DenialCode.UNITS_BELOW_MINIMUM: "The size that the limits leave is below the instrument's "
    "smallest order.",
    DenialCode.UNITS_ABOVE_MAXIMUM: "The size is above the instrument's largest order.",
    DenialCode.EXPOSURE_LIMIT: "The order would lift the open exposure above the portfolio's "
    "limit.",
    DenialCode.POSITION_LIMIT: "The portfolio already holds as many open positions as it may.",
    DenialCode.ASSET_POSITION_OPEN: "The asset already holds a position; there is no pyramiding.",
    DenialCode.LEVERAGE_LIMIT: "The order would lift the leverage above the portfolio's limit.",
    DenialCode.MARGIN_INSUFFICIENT: "The free margin of the account does not cover the order.",
    DenialCode.SPREAD_TOO_WIDE: "The spread is wider than the portfolio allows.",
    DenialCode.NO_QUOTE: "There was no quote to trade on.",
    DenialCode.BAD_QUOTE: "The quote was not made of positive, finite numbers.",
    DenialCode.CROSSED_QUOTE: "The quote was crossed: its bid stood above its ask.",
    DenialCode.STALE_QUOTE: "The quote was too old, or from the future.",
    DenialCode.NO_BAR: "The asset has no bar at this step.",
    DenialCode.MARKET_CLOSED: "The market is closed; the decision is made anew when it opens.",
    DenialCode.NO_CONVERSION: "There is no rate that converts the profit to the account currency.",
    DenialCode.NO_ALLOCATION: "The portfolio plugin gave this asset no capital.",
    DenialCode.NO_CAPITAL: "The account has no capital left to trade with.",
    DenialCode.NO_OPEN_POSITION: "There is no open position to close.",
    DenialCode.ORDER_IN_FLIGHT: "An earlier order of this asset is not finished yet.",
    DenialCode.OUTCOME_UNKNOWN: "The outcome of an earlier order is unknown; no new order until "
    "the venue has been read.",
    DenialCode.ORACLE_ON_REAL_ACCOUNT: "A forecast that has seen the future may trade simulated "
    "accounts only.",
    DenialCode.BASIC_BROKER_ON_REAL_ACCOUNT: "This broker plugin cannot prove what it did, so it "
    "may trade simulated accounts only.",
    DenialCode.ORDER_TYPE_UNSUPPORTED: "The venue takes no orders of this type.",
    DenialCode.PLUGIN_UNAVAILABLE: "A plugin of the asset could not be loaded or started.",
    DenialCode.PLUGIN_ERROR: "A plugin of the asset failed.",
    DenialCode.PLUGIN_TIMEOUT: "A plugin of the asset did not answer in time.",
    DenialCode.PLUGIN_ANSWER_INVALID: "A plugin of the asset gave an answer that cannot be read.",
    DenialCode.ACCOUNT_UNREADABLE: "The account could not be read from its venue, so nothing new "
    "is opened.",
    DenialCode.LEASE_LOST: "Another process has taken the portfolio over; nothing was sent.",
    DenialCode.NOT_RUN: "The pipeline plugin did not ask for a decision of this asset.",
    DenialCode.STEP_ABANDONED: "The cycle ended before the asset's decision was carried out.",
}


class RejectCode(StrEnum):
    """Why a simulated venue refused or cancelled an order; OANDA's words where it has them."""

    CLIENT_ORDER_ID_ALREADY_EXISTS = "CLIENT_ORDER_ID_ALREADY_EXISTS"
    CLIENT_TRADE_ID_ALREADY_EXISTS = "CLIENT_TRADE_ID_ALREADY_EXISTS"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    STOP_LOSS_ON_FILL_LOSS = "STOP_LOSS_ON_FILL_LOSS"
    TAKE_PROFIT_ON_FILL_LOSS = "TAKE_PROFIT_ON_FILL_LOSS"
    TRADE_DOESNT_EXIST = "TRADE_DOESNT_EXIST"
    ORDER_DOESNT_EXIST = "ORDER_DOESNT_EXIST"
    UNITS_INVALID = "UNITS_INVALID"
    NO_CONVERSION = "NO_CONVERSION"
    NO_PRICE = "NO_PRICE"
    LINKED_TRADE_CLOSED = "LINKED_TRADE_CLOSED"
    CLIENT_REQUEST = "CLIENT_REQUEST"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    PAPER_REJECTION = "PAPER_REJECTION"


REJECT_SENTENCES: dict[RejectCode, str] = {
    RejectCode.CLIENT_ORDER_ID_ALREADY_EXISTS: "A pending order already carries this client id.",
    RejectCode.CLIENT_TRADE_ID_ALREADY_EXISTS: "An open trade already carries this client id.",
    RejectCode.INSUFFICIENT_MARGIN: "The account's margin did not cover the order.",
    RejectCode.STOP_LOSS_ON_FILL_LOSS: "At the fill price the stop loss stood on the wrong side.",
    RejectCode.TAKE_PROFIT_ON_FILL_LOSS: "At the fill price the take profit stood on the wrong "
    "side.",
    RejectCode.TRADE_DOESNT_EXIST: "The venue has no such open trade.",
    RejectCode.ORDER_DOESNT_EXIST: "The venue has no such pending order.",
    RejectCode.UNITS_INVALID: "The venue does not accept this number of units.",
    RejectCode.NO_CONVERSION: "The venue had no rate to the account currency.",
    RejectCode.NO_PRICE: "The venue had no price for the instrument.",
    RejectCode.LINKED_TRADE_CLOSED: "The trade was closed before the order was filled.",
    RejectCode.CLIENT_REQUEST: "The order was cancelled on request.",
    RejectCode.ACCOUNT_CLOSED: "The venue account is closed.",
    RejectCode.PAPER_REJECTION: "The paper broker refused the order, as its acceptance rate asks.",
}


def explain(code: str) -> str:
    """Return the sentence of a denial or reject code; an unknown code explains itself."""
    for enum_class, sentences in ((DenialCode, DENIAL_SENTENCES), (RejectCode, REJECT_SENTENCES)):
        try:
            return sentences[enum_class(code)]  # type: ignore[index]
        except ValueError:
            continue
    return code.replace("_", " ").capitalize() + "."
