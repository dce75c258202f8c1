"""One time field of a bar file: how it is written, in which zone, and when it was in UTC.

The way of writing is given, or found from the first bar in a short list; then every bar must be
written so. Whatever could mean two instants is refused: the order of day and month, and the hour
that a change of clocks repeats or leaves out. This module compares no two bars.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lts_web.gateways.bar_defects import FieldError

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR = 1970
LAST_YEAR = 2099
FORMAT_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """A way of writing a time: its name, its exact shape and how it is read."""

    name: str
    shape: re.Pattern[str]
    read: Callable[[str], datetime]


def _dashed(text: str) -> datetime:
    """Read a date written with points or slashes as if with dashes."""
    return datetime.fromisoformat(f"{text[:4]}-{text[5:7]}-{text[8:]}")


def _epoch_seconds(text: str) -> datetime:
    return EPOCH + timedelta(seconds=int(text))


def _epoch_milliseconds(text: str) -> datetime:
    return EPOCH + timedelta(milliseconds=int(text))


def _shape(pattern: str) -> re.Pattern[str]:
    """Compile a pattern in which d stands for any ASCII digit."""
    return re.compile(pattern.replace("d", "[0-9]"))


_ISO = datetime.fromisoformat
_FRACTION = r"[.,]d{1,9}"
_OFFSET = r"(?:Z|[+-]dd:?dd)"

# What is tried, in this order, when no format is given. No two shapes match the same text.
FORMATS: tuple[TimeFormat, ...] = (
    TimeFormat("%Y-%m-%d %H:%M:%S", _shape(r"dddd-dd-dd dd:dd:dd"), _ISO),
    TimeFormat("%Y-%m-%d %H:%M", _shape(r"dddd-dd-dd dd:dd"), _ISO),
    TimeFormat("%Y-%m-%d", _shape(r"dddd-dd-dd"), _ISO),
    TimeFormat("%Y.%m.%d %H:%M:%S", _shape(r"dddd\.dd\.dd dd:dd:dd"), _dashed),
    TimeFormat("%Y.%m.%d %H:%M", _shape(r"dddd\.dd\.dd dd:dd"), _dashed),
    TimeFormat("%Y.%m.%d", _shape(r"dddd\.dd\.dd"), _dashed),
    TimeFormat("%Y/%m/%d %H:%M:%S", _shape(r"dddd/dd/dd dd:dd:dd"), _dashed),
    TimeFormat("%Y/%m/%d %H:%M", _shape(r"dddd/dd/dd dd:dd"), _dashed),
    TimeFormat("%Y/%m/%d", _shape(r"dddd/dd/dd"), _dashed),
    TimeFormat("%Y%m%d %H:%M:%S", _shape(r"dddddddd dd:dd:dd"), _ISO),
    TimeFormat("%Y%m%d %H:%M", _shape(r"dddddddd dd:dd"), _ISO),
    TimeFormat("%Y%m%d %H%M%S", _shape(r"dddddddd dddddd"), _ISO),
    TimeFormat("%Y%m%d", _shape(r"dddddddd"), _ISO),
    TimeFormat("iso", _shape(rf"dddd-dd-dd(?:Tdd:dd(?::dd)?|[ T]dd:dd:dd{_FRACTION})"), _ISO),
    TimeFormat(
        "iso-offset", _shape(rf"dddd-dd-dd[ T]dd:dd(?::dd(?:{_FRACTION})?)?{_OFFSET}"), _ISO
    ),
    TimeFormat("epoch", _shape(r"d{9,10}"), _epoch_seconds),
    TimeFormat("epoch-ms", _shape(r"d{12,13}"), _epoch_milliseconds),
)
BY_NAME = {known.name: known for known in FORMATS}
_TWO_ORDERS = _shape(r"d{1,2}[-./ ]d{1,2}[-./ ](?:dddd|dd)(?: .*|T.*)?")
_ANYTHING = re.compile(r"[\x20-\x7e]+")


class TimeReader:
    """Reads the time fields of one file into UTC; its first field may settle the format.

    `time_format` is a name in `FORMATS` or a strptime format; `zone` is an IANA name and counts
    for times without an offset of their own. FieldError when an argument is unusable.
    """

    def __init__(self, time_format: str | None, zone: str) -> None:
        self.zone = _read_zone(zone)
        self._format = None if time_format is None else _read_format(time_format)

    @property
    def format_name(self) -> str | None:
        """Return the format's name, None as long as no field has settled it."""
        return None if self._format is None else self._format.name

    def read(self, text: str) -> datetime:
        """Return the instant that `text` writes, in UTC; FieldError says why it is none."""
        text = text.strip(" ")
        if self._format is None:
            self._format = _find_format(text)
        if self._format.shape.fullmatch(text) is None:
            raise FieldError(
                "time_format",
                f"the time is not written as {self._format.name}: all bars of a file are written "
                "in the same way",
            )
        try:
            moment = self._format.read(text)
        except ValueError:
            raise FieldError(
                "time_unreadable", f"this is no time written as {self._format.name}: correct it"
            ) from None
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise FieldError(
                "time_range",
                f"the time lies outside {FIRST_YEAR} to {LAST_YEAR}: check the format",
            )
        return self._in_utc(moment)

    def _in_utc(self, moment: datetime) -> datetime:
        """Return the instant of a wall time in the file's zone, or of an aware time."""
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        if self.zone is UTC:
            return moment.replace(tzinfo=UTC)
        local = moment.replace(tzinfo=self.zone)
        at = local.astimezone(UTC)
        if at.astimezone(self.zone).replace(tzinfo=None) != moment:
            raise FieldError(
                "time_skipped",
                f"this time never was in {self.zone}, where the clocks went forward: "
                "check the zone",
            )
        if local.replace(fold=1).utcoffset() != local.utcoffset():
            raise FieldError(
                "time_repeated",
                f"this time was twice in {self.zone}, where the clocks went back: "
                "write the times in UTC or with their offset",
            )
        return at


def _read_zone(name: str) -> tzinfo:
    """Return the zone of that name; FieldError when there is none."""
    if name in ("UTC", "Etc/UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FieldError(
            "zone",
            "no time zone has this name: give an IANA name, such as UTC or Europe/Athens",
            column="zone",
            value=name,
        ) from None


def _read_format(name: str) -> TimeFormat:
    """Return the format of that name, or the strptime format; FieldError when it is none."""
    if name in BY_NAME:
        return BY_NAME[name]
    if len(name) > FORMAT_CHARACTERS or "%Z" in name or not _gives_the_date(name):
        raise FieldError(
            "format",
            "the format must give year, month and day in the codes of strptime, such as "
            "%d/%m/%Y %H:%M, or be iso, epoch or epoch-ms; an offset is %z, names of zones are "
            "not read",
            column="format",
            value=name,
        )
    return TimeFormat(name, _ANYTHING, lambda text: datetime.strptime(text, name))  # noqa: DTZ007


def _gives_the_date(name: str) -> bool:
    """Tell whether a strptime format carries year, month and day there and back."""
    probe = datetime(2019, 11, 23, 21, 45, tzinfo=UTC)
    try:
        return datetime.strptime(probe.strftime(name), name).date() == probe.date()  # noqa: DTZ007
    except ValueError:
        return False


def _find_format(text: str) -> TimeFormat:
    """Return the one format in which the first time is written; fatal FieldError otherwise."""
    for known in FORMATS:
        if known.shape.fullmatch(text):
            return known
    if _TWO_ORDERS.fullmatch(text):
        raise FieldError(
            "time_ambiguous",
            "day and month cannot be told apart: give the format, such as %d/%m/%Y %H:%M or "
            "%m/%d/%Y %H:%M",
            fatal=True,
        )
    raise FieldError(
        "time_unknown",
        "this is no time in a known format: write it like 2020-03-17 23:00:00, or give the format "
        "in the codes of strptime, such as %d/%m/%Y %H:%M",
        fatal=True,
    )
