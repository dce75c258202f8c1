"""Logging: where it goes, what each line carries, and that no secret is ever in one.

Every process calls `configure` once. Lines carry the request, cycle and portfolio they belong to
(`context`). Secrets are masked in message, arguments and tracebacks by a filter on each handler,
so a handler that is added elsewhere takes `logs.MASKING` too. Nothing here decides what is logged,
and the record of what users and trading did is the audit log in the database, not this one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import re
import secrets
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

from lts_web.datadir import private_open

MASK = "********"
SHORTEST_SECRET = 6
FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
cycle_id: ContextVar[int | None] = ContextVar("cycle_id", default=None)
portfolio_id: ContextVar[int | None] = ContextVar("portfolio_id", default=None)

# Libraries that log each request, at a level where headers and bodies could appear.
_TALKATIVE = ("httpcore", "httpx", "oandapyV20", "urllib3", "huey", "filelock", "alembic")

_NAMES = r"(?:password|passwd|passphrase|secret|token|api[_-]?key|authorization|cookie)"
_VALUE = r"""(?:\\*"[^"\\]*(?:\\.[^"\\]*)*"?|\\*'[^'\\]*(?:\\.[^'\\]*)*'?|[^\s,;&"')}\]]+)"""
_PATTERNS = (
    # name=value, "name": "value", Name: Scheme value
    re.compile(
        rf"(?P<keep>{_NAMES}\\{{0,2}}[\"']?\s{{0,8}}[:=]\s{{0,8}})"
        rf"(?:(?:bearer|basic|token)\s{{1,8}})?{_VALUE}",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\bbearer\s{1,8})[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE),
    re.compile(r"(?P<keep>)\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"),
    re.compile(r"(?P<keep>://[^\s/:@]{0,256}:)[^\s/@]{1,256}(?=@)"),
)
_logger = logging.getLogger(__name__)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class MaskingFilter(logging.Filter):
    """Replace secrets in a record before any handler writes it."""

    def __init__(self) -> None:
        super().__init__()
        self._values: set[str] = set()
        self._registered: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def register(self, value: str) -> None:
        """Mask a value wherever it appears, also quoted; shorter than 6 characters is ignored."""
        if len(value) < SHORTEST_SECRET:
            return
        forms = {value, urllib.parse.quote(value), urllib.parse.quote_plus(value)}
        forms |= {repr(value)[1:-1], json.dumps(value)[1:-1]}
        with self._lock:
            self._values |= forms
            longest_first = sorted(self._values, key=len, reverse=True)
            self._registered = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, text: str) -> str:
        """Replace every registered value and everything that is named as a secret."""
        if self._registered is not None:
            text = self._registered.sub(MASK, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<keep>{MASK}", text)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record in place; it is always kept."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # A wrong format is a fault of the caller; its line must not be lost, nor raise here.
            message = f"{record.msg} {record.args!r}"
        record.msg, record.args = self.mask(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.mask(record.exc_text)
        if record.stack_info:
            record.stack_info = self.mask(record.stack_info)
        return True


class ContextFilter(logging.Filter):
    """Put the current request, cycle and portfolio on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the three attributes; the record is always kept."""
        record.request_id = request_id.get()
        record.cycle_id = cycle_id.get()
        record.portfolio_id = portfolio_id.get()
        return True


MASKING = MaskingFilter()
CONTEXT = ContextFilter()


def register_secret(value: str | bytes) -> None:
    """Mask a secret value in every log line from now on."""
    MASKING.register(value.decode(errors="replace") if isinstance(value, bytes) else value)


def mask(text: str) -> str:
    """Mask secrets in a text that goes elsewhere, as a debug snapshot does."""
    return MASKING.mask(text)


@contextlib.contextmanager
def context(
    *, request: str | None = None, cycle: int | None = None, portfolio: int | None = None
) -> Iterator[None]:
    """Mark all lines of a block with the given ids; those not given stay as they are."""
    with contextlib.ExitStack() as stack:
        if request is not None:
            stack.callback(request_id.reset, request_id.set(request))
        if cycle is not None:
            stack.callback(cycle_id.reset, cycle_id.set(cycle))
        if portfolio is not None:
            stack.callback(portfolio_id.reset, portfolio_id.set(portfolio))
        yield


def _stamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _marks(record: logging.LogRecord) -> dict[str, object]:
    names = ("request_id", "cycle_id", "portfolio_id")
    marks = {name: getattr(record, name, None) for name in names}
    return {name: value for name, value in marks.items() if value is not None}


def one_line(text: str) -> str:
    """Escape what would start a new line or steer a terminal."""
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text.replace("\n", "\\n"))


class TextFormatter(logging.Formatter):
    """One line for people; a traceback follows, indented, so that no text can forge a line."""

    def __init__(self, process_kind: str, *, traceback: bool = True) -> None:
        super().__init__()
        self._process_kind = process_kind
        self._traceback = traceback

    def format(self, record: logging.LogRecord) -> str:
        """Format a record that the masking filter has seen."""
        marks = " ".join(
            f"{name.removesuffix('_id')}={value}" for name, value in _marks(record).items()
        )
        head = f"{_stamp(record)} {record.levelname:<7} {self._process_kind} {record.name}:"
        lines = [one_line(f"{head} {f'[{marks}] ' if marks else ''}{record.getMessage()}")]
        blocks = [record.exc_text, record.stack_info]
        if not self._traceback:
            lines[0] += one_line(f" ({_last_line(record.exc_text)})" if record.exc_text else "")
            blocks = []
        for block in blocks:
            lines += [f"    {one_line(line)}" for line in (block or "").splitlines()]
        return "\n".join(lines)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, process_kind: str) -> None:
        super().__init__()
        self._process_kind = process_kind

    def format(self, record: logging.LogRecord) -> str:
        """Format a record that the masking filter has seen."""
        document: dict[str, object] = {
            "time": _stamp(record),
            "level": record.levelname,
            "process": self._process_kind,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
            **_marks(record),
        }
        if record.exc_text:
            document["traceback"] = record.exc_text
        if record.stack_info:
            document["stack"] = record.stack_info
        return json.dumps(document)


class PrivateRotatingFileHandler(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner can read, and that two processes may share."""

    def _open(self) -> TextIOWrapper:
        return private_open(Path(self.baseFilename), "a")

    def doRollover(self) -> None:  # noqa: N802
        """Rotate, or only open the new file where another process has rotated already.

        Windows refuses to rename a file that another process has open: then it grows on.
        """
        if self.stream is not None and not self._is_current(self.stream):
            self.stream.close()
            self.stream = self._open()
            return
        with contextlib.suppress(PermissionError):
            super().doRollover()
        if self.stream is None:
            self.stream = self._open()

    def _is_current(self, stream: TextIOWrapper) -> bool:
        try:
            current = Path(self.baseFilename).stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(current, os.fstat(stream.fileno()))


def configure(
    process_kind: str,
    *,
    level: str = "INFO",
    log_format: str = "text",
    quiet: bool = False,
    directory: Path | None = None,
) -> None:
    """Set up logging of this process: standard error, and `<process_kind>.log` in `directory`.

    Nothing goes to standard output. Quiet mode leaves only errors on standard error; the file has
    everything. Where there is a file, the lines on standard error come without tracebacks.
    """
    # A handler that fails would print the raw arguments, secrets included.
    logging.raiseExceptions = False
    console = logging.StreamHandler(sys.stderr)
    console.setLevel("ERROR" if quiet else level)
    console.addFilter(lambda record: not getattr(record, "told", False))
    console.setFormatter(_formatter(process_kind, log_format, traceback=directory is None))
    handlers: list[logging.Handler] = [console]
    if directory is not None:
        file = PrivateRotatingFileHandler(
            directory / f"{process_kind}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT
        )
        file.setFormatter(_formatter(process_kind, log_format, traceback=True))
        handlers.append(file)
    remove_handlers()
    root = logging.getLogger()
    for handler in handlers:
        handler.addFilter(CONTEXT)
        handler.addFilter(MASKING)
        root.addHandler(handler)
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel("WARNING")
    logging.captureWarnings(capture=True)


def _formatter(process_kind: str, log_format: str, *, traceback: bool) -> logging.Formatter:
    if log_format == "json":
        return JsonFormatter(process_kind)
    return TextFormatter(process_kind, traceback=traceback)


def remove_handlers() -> None:
    """Take back what `configure` set up, and close its file."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if CONTEXT in handler.filters:
            root.removeHandler(handler)
            handler.close()


def log_file() -> Path | None:
    """Give the file that this process logs to, if any."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrivateRotatingFileHandler):
            return Path(handler.baseFilename)
    return None


def install_exception_hooks() -> None:
    """Log what nothing caught under a reference number, and tell people that in one line."""
    sys.excepthook = _report_uncaught
    threading.excepthook = _report_uncaught_in_thread


def _report_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    reference = secrets.token_hex(4)
    found = (kind, error, trace)
    file = log_file()
    if file is not None:
        _logger.critical(
            "unexpected error, reference %s", reference, exc_info=found, extra={"told": True}
        )
    summary = one_line(mask(f"{kind.__name__}: {error}"))[:300]
    where = f" Details under that number: {file}" if file else ""
    sys.stderr.write(f"lts: unexpected error, reference {reference} ({summary}).{where}\n")


def _report_uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is SystemExit:
        return
    error = failed.exc_value or failed.exc_type()
    _logger.critical(
        "unexpected error in thread %s, reference %s",
        failed.thread.name if failed.thread else "?",
        secrets.token_hex(4),
        exc_info=(failed.exc_type, error, failed.exc_traceback),
    )
