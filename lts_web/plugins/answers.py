"""Single values out of a plugin's answer: each read with its type and bounds, or refused in words.

`lts_web.plugins.boundary` builds on it. Every function raises AnswerInvalid with a sentence that
says what is wrong and what would be right. Nothing here knows what an answer is for.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from inspect import iscoroutine
from numbers import Real
from typing import Any, NoReturn

from lts_web.plugins.runner import AnswerInvalid
from lts_web.trading.money import ZERO, to_decimal

TEXT_LIMIT = 1000
CODE_LIMIT = 60
ID_LIMIT = 100
# Above these a number is no price, no quantity and no amount, whatever the market.
LARGEST_PRICE = Decimal(10) ** 9
LARGEST_QUANTITY = Decimal(10) ** 12
LARGEST_AMOUNT = Decimal(10) ** 14


def refuse(message: str) -> NoReturn:
    """Raise AnswerInvalid with the message, cut to what a page can show."""
    raise AnswerInvalid(message[:TEXT_LIMIT])


def dictionary_of(answer: object, method: str) -> dict[Any, Any]:
    """Return the answer of `method` if it is a dictionary."""
    if isinstance(answer, dict):
        return answer
    if iscoroutine(answer):
        answer.close()
        refuse(f"{method} is async; it must be an ordinary function that returns a dictionary")
    refuse(f"{method} gave {shown(answer)}; it must give a dictionary")


def first_of(values: dict[Any, Any], *keys: str) -> Any:
    """Return the one value that these keys name; two that differ are refused."""
    name, found = "", None
    for key in keys:
        value = values.get(key)
        if value is None:
            continue
        if found is None:
            name, found = key, value
        elif value != found:
            refuse(f"{name} and {key} mean the same and differ; give one of them")
    return found


def number_of(value: object, name: str, *, text: bool = False) -> Decimal:
    """Return a finite number; `text` allows a decimal string."""
    usual = type(value) is float or type(value) is int
    if not usual:
        usable = isinstance(value, Real | Decimal) or (text and isinstance(value, str))
        if not usable or isinstance(value, bool):
            refuse(f"{name} is {shown(value)}; it must be a number")
    try:
        if not usual and isinstance(value, Real) and not isinstance(value, int | float):
            value = float(value)
        number = to_decimal(value)
    except (OverflowError, ValueError):  # Python refuses to convert very long integers.
        refuse(f"{name} is a huge number; it must be one of ordinary size")
    if number is None:
        refuse(f"{name} is {shown(value)}; it must be a finite number")
    return number


def positive_of(value: object, largest: Decimal, name: str, *, text: bool = False) -> Decimal:
    """Return a number above 0 and at most `largest`."""
    number = Decimal(repr(value)) if type(value) is float else number_of(value, name, text=text)
    if number.is_finite() and ZERO < number <= largest:
        return number
    number = number_of(value, name, text=text)
    if number <= ZERO:
        refuse(f"{name} is {brief(number)}; it must be above 0")
    refuse(f"{name} is {brief(number)}; more than {largest:.0e} is certainly a mistake")


def optional_positive(
    values: dict[Any, Any], largest: Decimal, *keys: str, text: bool = False
) -> Decimal | None:
    """Return the positive number under one of these keys, or None if there is none."""
    value = first_of(values, *keys)
    return None if value is None else positive_of(value, largest, keys[0], text=text)


def amount_of(values: dict[Any, Any], key: str, default: Decimal | None = ZERO) -> Decimal:
    """Return an amount of money; `default` None: it must be there."""
    value = values.get(key)
    if value is None and default is not None:
        return default
    number = number_of(value, key, text=True)
    if abs(number) > LARGEST_AMOUNT:
        refuse(f"{key} is {brief(number)}, which no account holds")
    return number


def integer_of(value: object, name: str) -> int:
    """Return a whole number from 0 on, given as such or in digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        number = int(value)
    else:
        refuse(f"{name} is {shown(value)}; it must be a whole number")
    if not 0 <= number < 2**63:
        refuse(f"{name} is out of range")
    return number


def optional_integer(values: dict[Any, Any], key: str) -> int | None:
    """Return the whole number under a key, or None if there is none."""
    return None if values.get(key) is None else integer_of(values[key], key)


def units_of(values: dict[Any, Any]) -> int:
    """Return the signed whole units of a line of a log."""
    number = number_of(values.get("units", 0), "units", text=True)
    if number != number.to_integral_value() or abs(number) > LARGEST_QUANTITY:
        refuse(f"units is {brief(number)}; it must be a whole number of units")
    return int(number)


def identifier_of(values: dict[Any, Any], key: str) -> str | None:
    """Return the id under a key, text or a whole number, or None if there is none."""
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        refuse(f"{key} is {shown(value)}; it must be text or a whole number")
    identifier = str(value).strip()
    if not 0 < len(identifier) <= ID_LIMIT or not identifier.isprintable():
        refuse(f"{key} must have 1 to {ID_LIMIT} printable characters")
    return identifier


def text_of(values: dict[Any, Any], key: str, limit: int) -> str:
    """Return the text under a key, cut to `limit` characters; "" if there is none."""
    value = values.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        refuse(f"{key} is {shown(value)}; it must be text")
    # A lone surrogate, as file names bring them, can be neither stored nor shown.
    return value[:limit].replace("\0", "").encode("utf-8", "replace").decode()


def time_of(value: object) -> datetime:
    """Return an aware time in UTC."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        refuse(f"time is {shown(value)}; it must be a datetime with a zone")
    return value.astimezone(UTC)


def brief(number: Decimal) -> str:
    """Return a number as people read it, never a wall of digits."""
    text = f"{number:f}" if number == 0 or -6 < number.adjusted() < 15 else f"{number:.3e}"
    return text[:40]


def shown(value: object) -> str:
    """Return a value for a message: short, and without calling anything of the plugin's own."""
    if value is None or type(value) in (bool, str):
        text = repr(value)
    elif type(value) is int:
        text = str(value) if abs(value) < 10**15 else "a huge number"
    elif type(value) is float:
        text = repr(value) if math.isfinite(value) else str(value)
    else:
        text = f"of type {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
