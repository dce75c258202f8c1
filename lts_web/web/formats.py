"""How figures and times are written: one way, everywhere.

Amounts carry their currency and, where they are gains or losses, their sign; sizes are signed
units; times are in the reader's zone with the zone beside them. Missing is a dash, never zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from flask import Flask
from markupsafe import Markup, escape

from lts_web.trading.codes import explain
from lts_web.trading.instruments import InstrumentError, find_instrument
from lts_web.web.context import reader_zone

MISSING = "–"
MINUS = "\N{MINUS SIGN}"
_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"))


def install(app: Flask) -> None:
    """Make the formats filters of the templates."""
    for function in (
        money,
        signed_money,
        exact_money,
        price,
        units,
        signed_units,
        percent,
        number,
        moment,
        clock_time,
        ago,
        span,
        words,
        tone,
        readable,
        report,
        explain,
    ):
        app.add_template_filter(function, function.__name__)
    app.add_template_global(zone_name, "zone_name")


def money(amount: Decimal | None, currency: str = "") -> str:
    """Return an amount with two decimals and its currency: "1,234.50 USD"."""
    return _amount(amount, 2, currency, signed=False)


def signed_money(amount: Decimal | None, currency: str = "") -> str:
    """Return a gain or loss with its sign: "+12.00 USD"."""
    return _amount(amount, 2, currency, signed=True)


def exact_money(amount: Decimal | None, currency: str = "") -> str:
    """Return an amount with the four decimals that are booked."""
    return _amount(amount, 4, currency, signed=False)


def price(value: Decimal | None, instrument: str) -> str:
    """Return a price with the instrument's precision."""
    if value is None:
        return MISSING
    try:
        places = find_instrument(instrument).price_precision
    except InstrumentError:
        places = 5
    return f"{value:,.{places}f}"


def units(value: int | None) -> str:
    """Return a size without its sign: "10,000"."""
    return MISSING if value is None else f"{abs(value):,}"


def signed_units(value: int | None) -> str:
    """Return a size with its sign: "+10,000" bought, "−10,000" sold."""
    return MISSING if value is None else _sign(f"{value:+,}")


def percent(fraction: Decimal | float | None, places: int = 2) -> str:
    """Return a fraction of 0 to 1 as a signed percentage."""
    return MISSING if fraction is None else _sign(f"{fraction * 100:+.{places}f} %")


def number(value: Decimal | float | None, places: int = 2) -> str:
    """Return a plain number."""
    return MISSING if value is None else _sign(f"{value:,.{places}f}")


def moment(at: datetime | None) -> Markup | str:
    """Return date, time and zone: "2026-03-02 14:00:05 UTC"."""
    if at is None:
        return MISSING
    local = at.astimezone(reader_zone())
    return Markup('<time datetime="{}">{} {}</time>').format(
        _machine(at), local.strftime("%Y-%m-%d %H:%M:%S"), _zone(local)
    )


def clock_time(at: datetime | None) -> Markup | str:
    """Return the same without seconds, for dense tables."""
    if at is None:
        return MISSING
    local = at.astimezone(reader_zone())
    return Markup('<time datetime="{}">{} {}</time>').format(
        _machine(at), local.strftime("%Y-%m-%d %H:%M"), _zone(local)
    )


def zone_name() -> str:
    """Return the name of the zone in which times are written for this reader."""
    return reader_zone().key


def ago(at: datetime | None, now: datetime) -> Markup | str:
    """Return how long ago or ahead an instant is; the browser lets it tick."""
    if at is None:
        return MISSING
    return Markup('<time class="lts-age" datetime="{}">{}</time>').format(
        _machine(at), relative(now - at)
    )


def relative(age: timedelta) -> str:
    """Return "12 s ago", "in 3 min", "now"; app.js writes the same."""
    seconds = round(age.total_seconds())
    if abs(seconds) < 1:
        return "now"
    text = span(abs(seconds))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def span(seconds: float | None) -> str:
    """Return a duration in its largest fitting unit: "0.4 s", "12 s", "3 min", "2 h"."""
    if seconds is None:
        return MISSING
    for length, unit in _SPANS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 and seconds % 1 else f"{seconds:.0f} s"


def words(name: str | None) -> str:
    """Return a name of the code as words: "stop_loss" is "stop loss"."""
    return MISSING if name is None else name.replace("_", " ")


def tone(value: Decimal | float | None) -> str:
    """Return the class of a gain, a loss or neither; the sign says the same without colour."""
    if value is None or value == 0:
        return "lts-even"
    return "lts-gain" if value > 0 else "lts-loss"


def readable(value: Any) -> str:
    """Return a value out of a JSON column for people."""
    if value is None:
        return MISSING
    if value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _sign(f"{value:.6g}")
    if isinstance(value, int):
        return _sign(f"{value:,}")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def report(counts: Mapping[str, Any]) -> str:
    """Return a cycle's counts in one line: "assets 3 · outcomes: held 2, ordered 1"."""
    parts = []
    for name, value in counts.items():
        if isinstance(value, Mapping):
            inner = ", ".join(f"{words(key)} {readable(each)}" for key, each in value.items())
            parts += [f"{words(name)}: {inner}"] if inner else []
        elif value:
            parts.append(f"{words(name)} {readable(value)}")
    return " · ".join(parts) or MISSING


def _amount(amount: Decimal | None, places: int, currency: str, *, signed: bool) -> str:
    if amount is None:
        return MISSING
    text = f"{amount:+,.{places}f}" if signed else f"{amount:,.{places}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")  # nothing is neither gain nor loss, also when it was rounded
    return f"{_sign(text)} {escape(currency)}".rstrip() if currency else _sign(text)


def _sign(text: str) -> str:
    return text.replace("-", MINUS)


def _machine(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _zone(local: datetime) -> str:
    return local.tzname() or "UTC"
