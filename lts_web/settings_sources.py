"""Where configured values come from, and how each becomes a value of the right type.

Reads the configuration file, the environment and the command line into entries, and turns an
entry into a checked value or a message that helps. It knows no setting by name and decides no
precedence: that is `lts_web.settings` and `lts_web.plugin_settings`.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import NoReturn

PREFIX = "LTS_"
MASK = "********"
FILE_LIMIT_BYTES = 1024 * 1024
TEXT_LIMIT = 4096

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}
_SECRET_NAME = re.compile(r"(password|passphrase|secret|token|api_?key)$", re.IGNORECASE)


class SettingsError(Exception):
    """The configuration is refused: nothing starts, and the command exits with 2."""

    exit_code = 2


class Source(IntEnum):
    """Where a value comes from; a higher one wins."""

    PLUGIN = 0
    DEFAULT = 1
    FILE = 2
    ENVIRONMENT = 3
    COMMAND_LINE = 4

    @property
    def label(self) -> str:
        """Name the source for people."""
        return "plugin default" if self is Source.PLUGIN else self.name.lower().replace("_", " ")


class Kind(StrEnum):
    """The type that a value must have, in words that a message can use."""

    TEXT = "text"
    INTEGER = "a whole number"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    PATH = "a path"
    URL = "an address that starts with https:// or http://"
    LIST = "a list"
    MAPPING = "an object"
    ANY = "any value"


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as one source gives it.

    `origin` names key and place for messages; `is_text` says that `raw` was typed as text, as in
    the environment, and must be read; relative paths start at `folder`.
    """

    key: str
    raw: object
    source: Source
    origin: str
    is_text: bool
    folder: Path


@dataclass(frozen=True, slots=True)
class Resolved:
    """A checked value with the source that gave it."""

    value: object
    source: Source
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Declare one value: its name, its type and what it may be."""

    name: str
    kind: Kind
    default: object
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[object, ...] = ()
    secret: bool = False
    in_file: bool = True
    shared_with: str = ""

    @property
    def environment(self) -> str:
        """Name the environment variable."""
        return PREFIX + self.name.upper()

    @property
    def expected(self) -> str:
        """Say in words what is accepted."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        words = self.kind.value
        if self.minimum is not None and self.maximum is not None:
            return f"{words} from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{words} of at least {self.minimum:g}"
        if self.maximum is not None:
            return f"{words} of at most {self.maximum:g}"
        return words

    def accept(self, entry: Entry) -> object:
        """Turn an entry into a value of this setting; SettingsError names key, place and cure."""
        if entry.raw is None and self.default is None:
            return None
        value = self._read(entry)
        if self.choices:
            return self._choose(value, entry)
        if isinstance(value, int | float) and not isinstance(value, bool):
            too_small = self.minimum is not None and value < self.minimum
            too_large = self.maximum is not None and value > self.maximum
            if too_small or too_large:
                self._refuse(entry)
        return value

    def _read(self, entry: Entry) -> object:
        raw = entry.raw
        if entry.is_text and isinstance(raw, str):
            raw = self._read_text(raw, entry)
        accepted = {
            Kind.TEXT: str,
            Kind.PATH: str,
            Kind.URL: str,
            Kind.INTEGER: int,
            Kind.NUMBER: int | float,
            Kind.BOOLEAN: bool | int | str,
            Kind.LIST: list,
            Kind.MAPPING: dict,
            Kind.ANY: object,
        }[self.kind]
        is_number = self.kind in {Kind.INTEGER, Kind.NUMBER}
        if not isinstance(raw, accepted) or (is_number and isinstance(raw, bool)):
            self._refuse(entry)
        if isinstance(raw, str) and (len(raw) > TEXT_LIMIT or "\0" in raw):
            raise SettingsError(
                f"{entry.origin}: the text must be at most {TEXT_LIMIT} characters without NUL."
            )
        if self.kind is Kind.BOOLEAN:
            value = _BOOLEANS.get(str(raw).lower())
            return self._refuse(entry) if value is None else value
        if self.kind is Kind.NUMBER:
            return self._finite(raw, entry)
        if self.kind is Kind.URL and raw and not str(raw).startswith(("https://", "http://")):
            self._refuse(entry)
        return self._path(str(raw), entry) if self.kind is Kind.PATH else raw

    def _read_text(self, text: str, entry: Entry) -> object:
        """Read what was typed; text that is no such value is refused by the type check after."""
        stripped = text.strip()
        if self.kind is Kind.INTEGER and _INTEGER.fullmatch(stripped):
            return int(stripped)
        if self.kind is Kind.NUMBER and _NUMBER.fullmatch(stripped):
            return float(stripped)
        if self.kind is Kind.BOOLEAN:
            return stripped
        if self.kind in {Kind.LIST, Kind.MAPPING}:
            return parse_json(text, entry.origin)
        return text

    def _finite(self, raw: object, entry: Entry) -> float:
        assert isinstance(raw, int | float)
        try:
            value = float(raw)
        except OverflowError:
            self._refuse(entry)
        return value if math.isfinite(value) else self._refuse(entry)

    def _path(self, text: str, entry: Entry) -> Path:
        if not text.strip():
            self._refuse(entry)
        try:
            return (entry.folder / Path(text).expanduser()).absolute()
        except RuntimeError:  # a home directory that does not exist
            self._refuse(entry)

    def _choose(self, value: object, entry: Entry) -> object:
        for choice in self.choices:
            if value == choice or str(value).lower() == str(choice).lower():
                return choice
        return self._refuse(entry)

    def _refuse(self, entry: Entry) -> NoReturn:
        given = "the value given" if self.secret or is_secret_name(self.name) else shown(entry.raw)
        raise SettingsError(f"{entry.origin}: expected {self.expected}, not {given}.")


def is_secret_name(name: str) -> bool:
    """Tell whether a name by itself says that its value is a secret."""
    return _SECRET_NAME.search(name) is not None


def shown(value: object) -> str:
    """Show a value inside a message: short, on one line, without control characters."""
    text = ascii(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def near(key: str, known: Iterable[str], show: Callable[[str], str] = str) -> str:
    """Suggest known names near a wrong one, as the end of a message; `show` writes each."""
    by_lower = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(key.lower(), by_lower, n=3, cutoff=0.6)
    if not matches:
        return ""
    return " Did you mean " + " or ".join(show(by_lower[match]) for match in matches) + "?"


def parse_json(text: str, origin: str) -> object:
    """Read JSON strictly: no NaN, no key twice, no bottomless nesting."""

    def no_constant(name: str) -> NoReturn:
        raise SettingsError(f"{origin}: {name} is not a number that LTS accepts.")

    def no_double(pairs: list[tuple[str, object]]) -> dict[str, object]:
        document: dict[str, object] = {}
        for key, value in pairs:
            if key in document:
                raise SettingsError(f"{origin}: the key {shown(key)} stands there twice.")
            document[key] = value
        return document

    try:
        value: object = json.loads(text, parse_constant=no_constant, object_pairs_hook=no_double)
    except json.JSONDecodeError as error:
        raise SettingsError(
            f"{origin}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None
    except (ValueError, RecursionError):
        raise SettingsError(
            f"{origin}: not valid JSON: a number is too long or the nesting too deep."
        ) from None
    return value


def read_file(path: Path) -> tuple[list[Entry], list[str]]:
    """Read a JSON configuration file into entries, and warnings about the file itself.

    `{"plugins": {family: {plugin: {parameter: value}}}}` and the dotted key
    `plugins.family.plugin.parameter` mean the same.
    """
    document = parse_json(_file_text(path), str(path))
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: the file must hold one JSON object, as {{...}}.")
    entries = [
        Entry(key, value, Source.FILE, f"{key!r} in {path}", False, path.absolute().parent)
        for key, value in _flatten(document, path)
    ]
    twice = {entry.key for entry in entries if sum(other.key == entry.key for other in entries) > 1}
    if twice:
        raise SettingsError(f"{path}: the key {shown(min(twice))} stands there twice.")
    warnings = []
    holds_secret = any(is_secret_name(entry.key) for entry in entries)
    if holds_secret and os.name == "posix" and path.stat().st_mode & 0o077:
        warnings.append(f"{path} holds secrets and others may read it: run chmod 600 on it.")
    return entries, warnings


def _file_text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SettingsError(f"{path}: the configuration file must be an ordinary file.")
        with path.open("rb") as stream:
            data = stream.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"{path}: the configuration file cannot be read ({error.strerror}). "
            "Check --load_config or LTS_CONFIG."
        ) from None
    if len(data) > FILE_LIMIT_BYTES:
        raise SettingsError(f"{path}: the configuration file is larger than 1 MiB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path}: not UTF-8 text at line {line}.") from None


def _flatten(document: Mapping[str, object], path: Path) -> Iterable[tuple[str, object]]:
    for key, value in document.items():
        if key != "plugins":
            yield key, value
            continue
        for family, plugins in _object(value, key, path).items():
            for plugin, parameters in _object(plugins, f"{key}.{family}", path).items():
                place = f"{key}.{family}.{plugin}"
                for name, parameter in _object(parameters, place, path).items():
                    yield f"{place}.{name}", parameter


def _object(value: object, key: str, path: Path) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SettingsError(f"{key!r} in {path}: expected an object, not {shown(value)}.")
    return value


def read_environment(environ: Mapping[str, str]) -> list[Entry]:
    """Read the `LTS_*` variables; an empty one counts as not set."""
    folder = Path.cwd()
    return [
        Entry(name[len(PREFIX) :].lower(), text, Source.ENVIRONMENT, name, True, folder)
        for name, text in sorted(environ.items())
        if name.startswith(PREFIX) and text
    ]


def read_command_line(values: Mapping[str, object]) -> list[Entry]:
    """Read what the command line gave, `--set KEY=VALUE` among it."""
    folder = Path.cwd()
    return [
        Entry(key, raw, Source.COMMAND_LINE, f"{key!r} on the command line", True, folder)
        for key, raw in values.items()
        if raw is not None
    ]
