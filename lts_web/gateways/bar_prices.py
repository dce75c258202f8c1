"""One price field of a bar file: exact digits in, `Decimal` out.

No float stands between the file and the value. Only ASCII digits with an optional decimal point
are a price; everything else is refused with the reason, never repaired.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal

from lts_web.gateways.bar_defects import FieldError

# Prices are stored as 64-bit integers with eight decimals: ten digits before the point fit.
MAX_DECIMALS = 8
MAX_INTEGER_DIGITS = 10
TOO_LARGE = Decimal(10) ** MAX_INTEGER_DIGITS
ONE = Decimal(1)

# 18 digits of a price times at most 8 of the scale stay exact within 28.
ARITHMETIC = Context(prec=28, rounding=ROUND_HALF_EVEN)
SCALE_DIGITS = 8

_NUMBER = re.compile(rf" *[0-9]{{1,{MAX_INTEGER_DIGITS}}}(?:\.[0-9]{{1,{MAX_DECIMALS}}})? *")
_SCALE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12})?(?:[eE][+-]?[0-9])?")

# The first that matches says why a field is no price.
_WHY_NOT: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("price_missing", re.compile(r""), "the price is missing: fill it in or remove the line"),
    (
        "price_not_finite",
        re.compile(r"[+-]?(?:s?nan|inf|infinity|null|none|n/?a|#n/?a)", re.IGNORECASE),
        "this is no number: fill in the price or remove the line",
    ),
    ("price_negative", re.compile(r"-\s*[0-9.].*"), "a price is above zero"),
    (
        "price_formula",
        re.compile(r"[=@+\-].*"),
        "this looks like a formula of a spreadsheet: store values, as plain digits",
    ),
    (
        "price_exponent",
        re.compile(r"[0-9.]+[eE][+-]?[0-9]+"),
        "an exponent is not accepted: write all digits, such as 0.00012",
    ),
    (
        "price_thousands",
        re.compile(
            r"[0-9]{1,3}(?:[ ,'’_\u00a0\u202f][0-9]{3})+(?:\.[0-9]*)?|[0-9.]+\.[0-9]+,[0-9]*"
        ),
        "thousands separators are not accepted: write the digits alone, with a decimal point",
    ),
    (
        "price_comma",
        re.compile(r"[0-9]*,[0-9]*"),
        "a decimal comma is not accepted: write a decimal point",
    ),
    (
        "price_decimals",
        re.compile(r"[0-9]+\.[0-9]{9,}"),
        f"more than {MAX_DECIMALS} decimals are not accepted: round the prices in the file",
    ),
    (
        "price_too_large",
        re.compile(r"[0-9]{11,}(?:\.[0-9]*)?"),
        f"a price has at most {MAX_INTEGER_DIGITS} digits before the point",
    ),
)


class PriceReader:
    """Reads price fields of one file and counts those that had to be rounded.

    `precision` is the instrument's number of decimals, 0 to 8; `scale` multiplies what is written
    (0.001 for a file in points of a thousandth). FieldError when an argument is unusable.
    """

    def __init__(self, precision: int, scale: Decimal | str) -> None:
        if not 0 <= precision <= MAX_DECIMALS:
            raise FieldError(
                "precision",
                f"the instrument's decimals must be 0 to {MAX_DECIMALS}",
                column="price_precision",
                value=str(precision),
            )
        self.rounded = 0
        self._precision = precision
        decimals = rf"(?:\.[0-9]{{1,{precision}}})?" if precision else ""
        self._exact = re.compile(rf"[0-9]{{1,{MAX_INTEGER_DIGITS}}}{decimals}")
        self._step = Decimal(1).scaleb(-precision)
        self._scale = _read_scale(str(scale))
        self._unscaled = self._scale == ONE

    def read(self, text: str) -> Decimal:
        """Return the price that `text` writes; FieldError says why it is none."""
        if self._unscaled and self._exact.fullmatch(text):  # Nearly always, so no step more.
            price = Decimal(text)
        else:
            price = self._scaled(text)
        if not price:
            raise FieldError(
                "price_zero",
                "a price is above zero, also when it is rounded to the instrument's "
                f"{self._precision} decimals: fill it in, remove the line or check the scale",
            )
        return price

    def _scaled(self, text: str) -> Decimal:
        """Return the price times the scale, with no more decimals than the instrument has."""
        if _NUMBER.fullmatch(text) is None:
            raise _why_not(text.strip(" "))
        price = Decimal(text)
        if not self._unscaled:
            price = ARITHMETIC.multiply(price, self._scale)
            if price >= TOO_LARGE:
                raise FieldError(
                    "price_too_large",
                    f"times the scale {self._scale} this has more than {MAX_INTEGER_DIGITS} "
                    "digits before the point: check the scale",
                )
        rounded = price.quantize(self._step, context=ARITHMETIC)
        if rounded == price:
            return price
        self.rounded += 1
        return rounded


def _why_not(text: str) -> FieldError:
    """Return the reason why `text` is no price."""
    for code, shape, reason in _WHY_NOT:
        if shape.fullmatch(text):
            return FieldError(code, reason)
    return FieldError(
        "price_not_a_number",
        "this is no plain number: only the digits 0 to 9 and one decimal point are accepted",
    )


def _read_scale(text: str) -> Decimal:
    """Return the factor that multiplies all prices; FieldError when it is none."""
    scale = Decimal(text) if _SCALE.fullmatch(text) else Decimal(0)
    if not scale or len(scale.normalize().as_tuple().digits) > SCALE_DIGITS:
        raise FieldError(
            "scale",
            f"the scale is a number above zero of at most {SCALE_DIGITS} digits, such as 1 or "
            "0.00001",
            column="scale",
            value=text,
        )
    return scale.normalize()
