"""Bars in their order: the grid of the timeframe, gaps, jumps and what a file amounts to.

A gap is time in which the market was open and no bar came; weekends are none. This module knows
nothing of text, lines of a file or columns, and keeps no bars: memory stays the same for any
number of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from lts_web.gateways.bar_defects import FieldError
from lts_web.trading.calendar import NEW_YORK, TIMEFRAMES, bar_in_calendar, open_seconds

ParsedBar = tuple[datetime, Decimal, Decimal, Decimal, Decimal]
"""Open time in UTC, open, high, low, close."""

NOTHING = timedelta(0)
HOUR = timedelta(hours=1)
JUMP = Decimal("1.2")
STEPS_KEPT = 64
FEWEST_STEPS = 2
NEW_YORK_CLOSE = 17 * 3600


@dataclass(frozen=True, slots=True)
class BarGap:
    """Open market without bars: between the bars that open at `after` and at `before`."""

    after: datetime
    before: datetime
    missing: int


class BarSequence:
    """Follows the bars of one file, in the order of its lines.

    `zone` is the file's own (its midnight may be where days start); with `now`, a bar that is not
    closed by then is refused. FieldError when the timeframe is unknown.
    """

    def __init__(self, timeframe: str, zone: tzinfo, now: datetime | None, gaps_kept: int) -> None:
        if timeframe not in TIMEFRAMES:
            raise FieldError(
                "timeframe",
                f"no timeframe has this name: give one of {', '.join(TIMEFRAMES)}",
                column="timeframe",
                value=timeframe,
            )
        self.rows = self.missing_bars = self.gap_count = self.outside_calendar = self.jumps = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.first_jump: datetime | None = None
        self.gaps: list[BarGap] = []
        self.timeframe = timeframe
        self._step = TIMEFRAMES[timeframe]
        self._now = now
        self._gaps_kept = gaps_kept
        self._close: Decimal | None = None
        self._regular_steps = 0
        self._long_steps: Counter[timedelta] = Counter()
        self._anchors = _anchors(self._step, zone)

    def place(self, opened: datetime) -> None:
        """Take the time of the next line; FieldError when no bar can open there."""
        previous, self.last = self.last, opened
        if self.first is None:
            self.first = opened
        if self._now is not None and opened + self._step > self._now:
            raise self._not_closed(opened)
        if previous is None:
            self._check_grid(opened)
            return
        elapsed = opened - previous
        if elapsed != self._step or self._step > HOUR:  # Else on the grid as the one before.
            self._check_grid(opened)
        if elapsed == self._step:
            self._regular_steps += 1
        elif elapsed > NOTHING:
            self._note_step(previous, opened, elapsed)
        elif elapsed == NOTHING:
            raise FieldError(
                "time_duplicate",
                "the line before has the same time: keep one bar for each time",
            )
        else:
            raise FieldError(
                "time_backwards",
                f"the line before is later ({previous:%Y-%m-%d %H:%M} UTC): sort the bars, "
                "oldest first",
            )

    def count(self, bar: ParsedBar) -> None:
        """Count a good bar, whether it is in the calendar, and a jump from the close before."""
        opened, _, high, low, close = bar
        self.rows += 1
        if not bar_in_calendar(opened):
            self.outside_calendar += 1
        before, self._close = self._close, close
        if before is not None and (high > before * JUMP or low * JUMP < before):
            self.jumps += 1
            self.first_jump = self.first_jump or opened

    def check_timeframe(self) -> None:
        """Refuse, with a FieldError, a file most of whose bars lie further apart than they last."""
        regular, irregular = self._regular_steps, self._long_steps.total()
        if regular + irregular < FEWEST_STEPS or regular >= irregular:
            return
        usual = self._long_steps.most_common(1)[0][0]
        raise FieldError(
            "timeframe_wrong",
            f"most bars do not follow each other at steps of {self._step} (the most usual step is "
            f"{usual}): give the timeframe that the file really has",
            column="timeframe",
            value=self.timeframe,
        )

    def _note_step(self, previous: datetime, opened: datetime, elapsed: timedelta) -> None:
        """Count the step, and the gap if bars are missing in it."""
        due = previous + self._step
        seconds = open_seconds(due, opened) if opened > due else 0.0
        missing = int(seconds // self._step.total_seconds())
        if not missing:
            self._regular_steps += 1
            return
        self.gap_count += 1
        self.missing_bars += missing
        if len(self.gaps) < self._gaps_kept:
            self.gaps.append(BarGap(previous, opened, missing))
        full = elapsed not in self._long_steps and len(self._long_steps) == STEPS_KEPT
        self._long_steps[max(self._long_steps) if full else elapsed] += 1

    def _not_closed(self, opened: datetime) -> FieldError:
        """Return why a bar that ends after now is refused."""
        if self._now is not None and opened > self._now:
            return FieldError(
                "time_future", "the bar lies in the future: check the zone and the format"
            )
        return FieldError(
            "bar_unfinished", "the bar is not closed yet: remove the line, or wait for its end"
        )

    def _check_grid(self, opened: datetime) -> None:
        """Refuse a time at which no bar of the timeframe opens."""
        fitting = [anchor for anchor in self._anchors if _fits(opened, anchor, self._step)]
        if not fitting:
            raise FieldError(
                "time_off_grid",
                f"no {self.timeframe} bar opens here ({opened:%Y-%m-%d %H:%M:%S} UTC): check the "
                "timeframe and the zone",
            )
        self._anchors = fitting


Anchor = tuple[tzinfo, int]
"""A zone and the second of its day at which bars start to count."""


def _anchors(step: timedelta, zone: tzinfo) -> list[Anchor]:
    """Return the grids on which bars may lie.

    Up to an hour there is one. Longer bars start to count at midnight UTC, at the end of the
    trading day (17:00 New York) or at midnight in the file's zone; the bars themselves tell which.
    """
    midnight: Anchor = (UTC, 0)
    if step <= HOUR:
        return [midnight]
    return [midnight, (NEW_YORK, NEW_YORK_CLOSE), (zone, 0)]


def _fits(opened: datetime, anchor: Anchor, step: timedelta) -> bool:
    """Tell whether a bar may open then, on the grid of that anchor's wall clock."""
    zone, start = anchor
    local = opened if zone is UTC else opened.astimezone(zone)
    seconds = local.hour * 3600 + local.minute * 60 + local.second - start
    return local.microsecond == 0 and seconds % int(step.total_seconds()) == 0
