"""The bytes of a bar file: opened safely, read as a stream, cut into lines of text within bounds.

This module knows nothing of bars, columns or times.
"""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, NoReturn, TypeVar

from lts_web.gateways.bar_defects import BarDefect, BarFileError, Defects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = TypeVar("Answer")

FOREIGN_STARTS = {
    b"PK\x03\x04": "a ZIP archive or a workbook of a spreadsheet",
    b"\x1f\x8b": "a gzip archive",
    codecs.BOM_UTF16_LE: "UTF-16 text",
    codecs.BOM_UTF16_BE: "UTF-16 text",
}
EMPTY_LINES = 100
AS_CSV = "store it as CSV in UTF-8 and give that file"
LINK_SAFE = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)  # POSIX only; on Windows links need a right of their own
    | getattr(os, "O_NONBLOCK", 0)  # POSIX only: opening a pipe would wait for its writer
    | getattr(os, "O_BINARY", 0)  # Windows only: no translation of line ends
)


@dataclass(frozen=True, slots=True)
class BarFileLimits:
    """The bounds of a file and of what is said about it."""

    file_bytes: int = 512 * 1024 * 1024
    rows: int = 5_000_000
    line_bytes: int = 4096
    defects: int = 20
    gaps: int = 20

    @property
    def too_large(self) -> str:
        """Return the reason for refusing a file over the limit."""
        return f"the file is larger than {self.file_bytes / 1024**2:g} MiB: split it by years"


class Line(NamedTuple):
    """One line of text without its end; `cut` when the file stops before the line's end."""

    number: int
    text: str
    cut: bool


def open_bar_file(path: str | os.PathLike[str], limits: BarFileLimits | None = None) -> BinaryIO:
    """Open a regular file for `read_bars`; BarFileError says why another path is refused.

    What was opened is looked at again, in case the path was exchanged in between. The caller
    closes the file.
    """
    limits = limits or BarFileLimits()
    name = Path(path).name or str(path)
    _check_kind(name, _ask(name, lambda: os.lstat(path)), limits)
    stream = _ask(name, lambda: os.fdopen(os.open(path, LINK_SAFE), "rb"))
    try:
        _check_kind(name, os.fstat(stream.fileno()), limits)
    except BarFileError:
        stream.close()
        raise
    return stream


def read_lines(stream: BinaryIO, limits: BarFileLimits, defects: Defects) -> Iterator[Line]:
    """Yield the lines that hold something, numbered from 1; what is wrong goes to `defects`."""
    longest, total, number, empty = limits.line_bytes, 0, 0, 0
    while raw := stream.readline(longest + 1):
        number += 1
        total += len(raw)
        if number == 1:
            _check_start(raw, defects)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) > longest or total > limits.file_bytes or b"\0" in raw:
            defects.stop(_unbounded(number, raw, limits))
        try:
            text = raw.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            shown = raw.decode(errors="backslashreplace").strip()
            reason = "the line is not text in UTF-8: store the file in UTF-8"
            defects.add(BarDefect(number, None, shown, reason, "not_utf8"))
            continue
        if not text or text.isspace():
            empty = empty or number
            if number - empty < EMPTY_LINES:
                continue
            reason = f"more than {EMPTY_LINES} empty lines: remove them"
            defects.stop(BarDefect(empty, None, None, reason, "empty_line"))
        if empty:
            reason = "an empty line before the end of the file: remove it"
            defects.add(BarDefect(empty, None, None, reason, "empty_line"))
            empty = 0
        if "\r" in text:
            reason = "a carriage return inside the line: end each line with LF or CR LF"
            defects.add(BarDefect(number, None, text, reason, "carriage_return"))
            continue
        yield Line(number, text, cut=raw[-1:] != b"\n")
    if not total:
        reason = "the file is empty: give one with a header and bars"
        defects.stop(BarDefect(None, None, None, reason, "empty_file"))


def _ask(name: str, question: Callable[[], Answer]) -> Answer:
    """Return what the operating system answers; BarFileError says why it does not."""
    try:
        return question()
    except FileNotFoundError:
        _refuse(name, "no_file", "there is no such file: check the path")
    except (OSError, ValueError):
        _refuse(name, "unreadable_file", "the file cannot be read: check its path and permissions")


def _check_start(raw: bytes, defects: Defects) -> None:
    """Stop at a file that is of another kind, by its first bytes."""
    for start, what in FOREIGN_STARTS.items():
        if raw.startswith(start):
            reason = f"this is {what}, not CSV in UTF-8: {AS_CSV}"
            defects.stop(BarDefect(None, None, None, reason, "not_csv"))


def _unbounded(number: int, raw: bytes, limits: BarFileLimits) -> BarDefect:
    """Return why reading stops at this line."""
    if b"\0" in raw:
        reason = f"a NUL byte, so the file is binary or UTF-16: {AS_CSV}"
        return BarDefect(number, None, None, reason, "nul_byte")
    if len(raw) > limits.line_bytes:
        shown = raw[:200].decode(errors="backslashreplace")
        reason = f"the line is longer than {limits.line_bytes} bytes: no line of bars is"
        return BarDefect(number, None, shown, reason, "line_too_long")
    return BarDefect(number, None, None, limits.too_large, "file_too_large")


def _check_kind(name: str, found: os.stat_result, limits: BarFileLimits) -> None:
    """Refuse whatever is no regular file of bearable size."""
    if stat.S_ISLNK(found.st_mode):
        _refuse(name, "symlink", "this is a symbolic link: give the file itself")
    if stat.S_ISDIR(found.st_mode):
        _refuse(name, "directory", "this is a directory: give a file in it")
    if not stat.S_ISREG(found.st_mode):
        _refuse(name, "no_regular_file", "this is a device, pipe or socket: give a regular file")
    if found.st_size > limits.file_bytes:
        _refuse(name, "file_too_large", limits.too_large)


def _refuse(name: str, code: str, reason: str) -> NoReturn:
    raise BarFileError(BarDefect(None, None, name, reason, code))
