"""Tells trades and results from a venue's transaction log, in the documents' words.

Dictionaries with floats, for people and scripts; nothing here decides or books. Money is in
account currency, times are aware UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from lts_web.plugins.broker.bar_replay import MONEY_SCALE
from lts_web.trading.instruments import Side, find_instrument
from lts_web.trading.matching import OpenTrade, PendingOrder, TransactionKind, VenueTransaction


def closed_trades(lines: Iterable[VenueTransaction]) -> list[dict[str, Any]]:
    """Return one dictionary for each closed trade, in the order of closing.

    {trade_id, order_id, client_order_id, instrument, direction, units, volume (lots), entry_price,
    close_price, sl, tp, open_time, close_time, close_reason, pnl_pips, pnl, commission, swap,
    net_pnl}: pnl from prices, net_pnl = pnl − swap; commission was booked at the open.
    """
    entries: dict[int, VenueTransaction] = {}
    records: list[dict[str, Any]] = []
    for line in lines:
        if line.kind is not TransactionKind.FILL or line.trade_id is None:
            continue
        if line.trade_id == line.id:
            entries[line.id] = line
        elif line.trade_id in entries:
            records.append(_closed(entries.pop(line.trade_id), line))
    return records


def _closed(entry: VenueTransaction, close: VenueTransaction) -> dict[str, Any]:
    assert entry.price is not None
    assert close.price is not None
    instrument = find_instrument(entry.instrument)
    units, gain = abs(entry.units), close.price - entry.price
    side = Side.of_units(entry.units)
    return {
        "trade_id": str(entry.id),
        "order_id": str(entry.order_id),
        "client_order_id": entry.client_id,
        "instrument": entry.instrument,
        "direction": side.value,
        "units": units,
        "volume": units / instrument.lot_size,
        "entry_price": float(entry.price),
        "close_price": float(close.price),
        "sl": optional_float(entry.stop_loss),
        "tp": optional_float(entry.take_profit),
        "open_time": entry.time,
        "close_time": close.time,
        "close_reason": close.reason,
        "pnl_pips": float(instrument.pips(gain if side is Side.BUY else -gain)),
        "pnl": float(close.pnl),
        "commission": float(entry.commission),
        "swap": float(close.swap),
        "net_pnl": float(close.pnl - close.swap),
    }


def open_trade(trade: OpenTrade, unrealized: Decimal | None) -> dict[str, Any]:
    """Return an open trade; `order_id` is the trade's own id, by which it can be closed."""
    return {
        "order_id": str(trade.id),
        "trade_id": str(trade.id),
        "client_order_id": trade.client_id,
        "instrument": trade.instrument,
        "direction": Side.of_units(trade.units).value,
        "units": abs(trade.units),
        "volume": float(find_instrument(trade.instrument).lots(trade.units)),
        "entry_price": float(trade.price),
        "sl": optional_float(trade.stop_loss),
        "tp": optional_float(trade.take_profit),
        "open_time": trade.opened_at,
        "margin": float(trade.margin),
        "unrealized_pnl": optional_float(unrealized),
        "status": "open",
    }


def pending_order(order: PendingOrder) -> dict[str, Any]:
    """Return a request that waits for its bar; `closes` is the trade that it would end."""
    ticket = order.ticket
    return {
        "order_id": str(order.id),
        "trade_id": None,
        "client_order_id": ticket.client_id,
        "instrument": ticket.instrument,
        "direction": Side.of_units(ticket.units).value,
        "units": abs(ticket.units),
        "volume": float(find_instrument(ticket.instrument).lots(ticket.units)),
        "sl": optional_float(ticket.stop_loss),
        "tp": optional_float(ticket.take_profit),
        "requested_at": ticket.requested_at,
        "closes": None if order.closes is None else str(order.closes),
        "status": "pending",
    }


def results(initial: Decimal, final: Decimal, trades: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a simulation that follow from its closed trades.

    total_return_pct = (final − initial) / initial · 100; a winner has net_pnl > 0, every other
    trade is a loser; win_rate = winners / trades (0 without trades); profit_factor = Σ net_pnl of
    winners / |Σ net_pnl of losers|, None where the losers lost nothing.
    """
    nets = _booked(trades, "net_pnl")
    gains = [net for net in nets if net > 0]
    gained, lost, winners = sum(gains), sum(gains) - sum(nets), len(gains)
    return {
        "initial_cash": float(initial),
        "final_cash": float(final),
        "total_return_pct": float((final - initial) / initial * 100),
        "total_trades": len(trades),
        "winners": winners,
        "losers": len(trades) - winners,
        "win_rate": winners / len(trades) if trades else 0.0,
        "profit_factor": gained / lost if lost else None,
        "total_pnl": sum(nets) / MONEY_SCALE,
        "total_commission": sum(_booked(trades, "commission")) / MONEY_SCALE,
        "total_swap": sum(_booked(trades, "swap")) / MONEY_SCALE,
        "close_reasons": dict(Counter([trade["close_reason"] for trade in trades])),
        "trades": trades,
    }


def optional_float(value: Decimal | None) -> float | None:
    """Return the number as a float, None for none."""
    return None if value is None else float(value)


def _booked(trades: Iterable[Mapping[str, Any]], key: str) -> list[int]:
    # Whole ten-thousandths, as amounts are booked, so that a sum of many does not drift.
    return [round(trade[key] * MONEY_SCALE) for trade in trades]
