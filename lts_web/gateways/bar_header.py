"""The first line of a bar file: which delimiter, and which column holds what.

Columns go by name, in any order and any case; extra ones are left alone. This module looks at no
row and guesses nothing from positions.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass

from lts_web.gateways.bar_defects import FieldError

DELIMITERS = ",;\t"
EXAMPLE = "DATE_TIME,OPEN,HIGH,LOW,CLOSE"
PRICES = {
    "OPEN": ("OPEN", "O"),
    "HIGH": ("HIGH", "H"),
    "LOW": ("LOW", "L"),
    "CLOSE": ("CLOSE", "C"),
}
WHOLE_TIMES = ("DATETIME", "TIMESTAMP", "OPENTIME", "GMTTIME")
KNOWN = frozenset(
    [*WHOLE_TIMES, "DATE", "TIME", *(alias for aliases in PRICES.values() for alias in aliases)]
)


@dataclass(frozen=True, slots=True)
class BarHeader:
    """Where the columns are: one index or two for the time; open, high, low, close."""

    delimiter: str
    names: tuple[str, ...]
    time: tuple[int, ...]
    prices: tuple[int, int, int, int]

    @property
    def columns(self) -> dict[str, str]:
        """Return each meaning with the name that the file gives it."""
        time = " + ".join(self.names[index] for index in self.time)
        prices = zip(PRICES, self.prices, strict=True)
        return {"TIME": time} | {price: self.names[index] for price, index in prices}

    @property
    def ignored(self) -> tuple[str, ...]:
        """Return the names of the columns that mean nothing here, such as a volume."""
        used = {*self.time, *self.prices}
        return tuple(name for index, name in enumerate(self.names) if name and index not in used)


def split_fields(text: str, delimiter: str) -> list[str]:
    """Return the fields of one line; FieldError when its quotes do not close."""
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        raise FieldError(
            "quotes",
            "the quotes do not match: a quoted field starts and ends on its own line, "
            "right beside the delimiters",
        ) from None


def read_header(text: str) -> BarHeader:
    """Return what the first line names; FieldError, always fatal, when it does not suffice."""
    delimiter = max(
        DELIMITERS, key=lambda mark: sum(_plain(name) in KNOWN for name in text.split(mark))
    )
    names = split_fields(text, delimiter)
    plain = [_plain(name) for name in names]
    if KNOWN.isdisjoint(plain):
        raise FieldError(
            "no_header",
            "the first line names no column: put a header above the bars, with comma, semicolon "
            f"or tab between the names, for example {EXAMPLE}",
            value=text or None,
            fatal=True,
        )
    found = {price: _only(price, aliases, plain, names) for price, aliases in PRICES.items()}
    time = _time_columns(plain, names)
    missing = [price for price, index in found.items() if index is None]
    if not time:
        missing.insert(0, "DATE_TIME")
    if missing:
        raise FieldError(
            "missing_column", _missing_reason(plain), column=", ".join(missing), fatal=True
        )
    open_, high, low, close = (index for index in found.values() if index is not None)
    stripped = tuple(name.strip() for name in names)
    return BarHeader(delimiter, stripped, time, (open_, high, low, close))


def _plain(name: str) -> str:
    """Return a column name without case, spaces, underscores and brackets."""
    return "".join(character for character in name.upper() if character.isalnum())


def _only(meaning: str, aliases: tuple[str, ...], plain: list[str], names: list[str]) -> int | None:
    """Return the index of the one column with that meaning, None when there is none."""
    found = [index for index, name in enumerate(plain) if name in aliases]
    if len(found) > 1:
        raise FieldError(
            "duplicate_column",
            f"more than one column could be {meaning}: keep one and rename or remove the others",
            column=", ".join(names[index].strip() for index in found),
            fatal=True,
        )
    return found[0] if found else None


def _time_columns(plain: list[str], names: list[str]) -> tuple[int, ...]:
    """Return the index of the time's column, or those of the date's and the time of day's."""
    pair = [plain.index(name) for name in ("DATE", "TIME") if plain.count(name) == 1]
    if len(pair) == 2 and set(plain).isdisjoint(WHOLE_TIMES):
        return tuple(pair)
    whole = _only("the time", ("DATE", "TIME", *WHOLE_TIMES), plain, names)
    return () if whole is None else (whole,)


def _missing_reason(plain: list[str]) -> str:
    """Return why a needed column was not found, and what to do."""
    sides = {
        side + alias if first else alias + side
        for side in ("BID", "ASK")
        for aliases in PRICES.values()
        for alias in aliases
        for first in (True, False)
    }
    if sides.isdisjoint(plain):
        return f"the header does not name it: the file needs at least {EXAMPLE}"
    return (
        "the file has bid or ask prices, and a bar here has one price for each of open, high, low "
        "and close: rename the four columns that you mean to OPEN, HIGH, LOW, CLOSE"
    )
