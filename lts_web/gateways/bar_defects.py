"""What is wrong with a bar file: one value for each defect, one exception for the whole file.

Every echoed piece of the file is cut and escaped here, so that no message can carry control
characters or a wall of text to a terminal, a log or a page. This module reads no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

ECHOED_CHARACTERS = 40


def safe_text(text: str) -> str:
    """Return `text` fit for a message: at most 40 characters, each unprintable one escaped."""
    shown = text[:ECHOED_CHARACTERS]
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in shown.encode("utf-8", "backslashreplace").decode()
    )
    return escaped + ("…" if len(text) > ECHOED_CHARACTERS else "")


@dataclass(frozen=True, slots=True)
class BarDefect:
    """One thing that is wrong, where it stands, and what to do about it.

    `line` counts from 1, the header being line 1; it is None for the file as a whole and for an
    argument. `column` is the header's own name or the argument's; `value` is what stood there.
    """

    line: int | None
    column: str | None
    value: str | None
    reason: str
    code: str

    def __post_init__(self) -> None:
        """Make what comes from the file safe to show."""
        for name in ("column", "value"):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, safe_text(text))

    def __str__(self) -> str:
        """Say it in one line."""
        place = [] if self.line is None else [f"line {self.line}"]
        place += [] if self.column is None else [self.column]
        value = "" if self.value is None else f" '{self.value}'"
        return f"{', '.join(place)}{value}: {self.reason}".removeprefix(": ").strip()


class BarFileError(ValueError):
    """The file is refused as a whole: mend it and give it again; no bar of it may be kept.

    `line`, `column`, `value`, `reason` and `code` are those of the first of the `defects`.
    `complete` is False when reading stopped before the end, so that more may be wrong.
    """

    def __init__(self, *defects: BarDefect, complete: bool = True) -> None:
        first = defects[0]
        self.defects = defects
        self.complete = complete
        self.line, self.column, self.value = first.line, first.column, first.value
        self.reason, self.code = first.reason, first.code
        said = [str(defect) for defect in defects]
        if not complete:
            said.append("Reading stopped here: there may be more.")
        super().__init__("\n".join(said))


class FieldError(ValueError):
    """One field or line is refused; the reader adds where it stands and goes on.

    `fatal` stops the reading: what follows could not be understood.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        column: str | None = None,
        value: str | None = None,
        fatal: bool = False,
    ) -> None:
        super().__init__(reason)
        self.code, self.reason, self.column, self.value = code, reason, column, value
        self.fatal = fatal

    def at(
        self, line: int | None, column: str | None = None, value: str | None = None
    ) -> BarDefect:
        """Return the defect, placed; what the field itself knew of its place wins."""
        return BarDefect(line, self.column or column, self.value or value, self.reason, self.code)


class Defects:
    """The defects of one file as they are found, up to a number at which reading stops."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: list[BarDefect] = []

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._found)

    def add(self, defect: BarDefect) -> None:
        """Take one more; BarFileError when that is enough of them."""
        self._found.append(defect)
        if len(self._found) >= self._most:
            raise BarFileError(*self._found, complete=False)

    def stop(self, defect: BarDefect) -> NoReturn:
        """Take one after which nothing can be understood: always BarFileError."""
        raise BarFileError(*self._found, defect, complete=False)

    def finish(self) -> None:
        """Raise BarFileError if there is any."""
        if self._found:
            raise BarFileError(*self._found)
