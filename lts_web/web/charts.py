"""A line of figures as the geometry of a drawing, for readers without JavaScript.

The drawing is a box of 1000 × 300 that is stretched to its place; labels stand beside it as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

WIDTH = 1000
HEIGHT = 300
_MARGIN = 8


@dataclass(frozen=True, slots=True)
class LineChart:
    """The corners of the line ("x,y x,y"), and the values at its edges."""

    line: str
    area: str
    lowest: Decimal
    highest: Decimal
    first_time: datetime
    last_time: datetime
    first: Decimal
    last: Decimal

    @property
    def change(self) -> Decimal:
        """Return the last value less the first."""
        return self.last - self.first


def line_chart(points: Sequence[tuple[datetime, Decimal]]) -> LineChart | None:
    """Return the drawing of (time, value) in order of time; None with fewer than two."""
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    lowest, highest = min(values), max(values)
    start = points[0][0]
    seconds = (points[-1][0] - start).total_seconds() or 1.0
    spread = float(highest - lowest) or 1.0
    corners = []
    for time, value in points:
        x = WIDTH * (time - start).total_seconds() / seconds
        y = HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * float(value - lowest) / spread
        corners.append(f"{x:.1f},{y:.1f}")
    line = " ".join(corners)
    return LineChart(
        line=line,
        area=f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}",
        lowest=lowest,
        highest=highest,
        first_time=start,
        last_time=points[-1][0],
        first=values[0],
        last=values[-1],
    )
