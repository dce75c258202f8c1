"""All settings of LTS, in one table: the fields of `Settings`.

The table gives each setting its type, default, bounds and help; the environment variable, the
documentation and `lts show-config` follow from it. `load_settings` is the first pass of the merge
(defaults < file < environment < command line); `lts_web.plugin_settings` is the second, for the
parameters of plugins. Nothing here opens a database, loads a plugin or writes a file.
"""

# ruff: noqa: RUF009 - declare() only describes a field; the defaults themselves are immutable.
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, get_type_hints

from lts_web.settings_sources import (
    MASK,
    Entry,
    Kind,
    Resolved,
    Setting,
    SettingsError,
    Source,
    is_secret_name,
    read_command_line,
    read_environment,
    read_file,
)

T = TypeVar("T")

FAMILIES = ("aaa", "core", "pipeline", "strategy", "broker", "portfolio")
JWT_SECRET_BYTES = 32
# Read by the tests and benchmarks alone; it is no setting, and no mistake either.
OTHER_VARIABLES = frozenset({"reference_data"})

_KINDS = {
    str: Kind.TEXT,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    bool: Kind.BOOLEAN,
    Path: Kind.PATH,
    Path | None: Kind.PATH,
}


def declare(
    default: T,
    help_text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    in_file: bool = True,
    shared_with: str = "",
) -> T:
    """Declare one row of the table.

    `shared_with` names a plugin family whose selected plugin takes the setting as its parameter
    of the same name.
    """
    rules = {
        "help": help_text,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "secret": secret,
        "in_file": in_file,
        "shared_with": shared_with,
    }
    declared: T = field(default=default, metadata=rules, repr=not secret)
    return declared


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hold every setting of one start; the fields are the table."""

    host: str = declare("127.0.0.1", "Address on which the web server listens.")
    port: int = declare(8000, "Port of the web server.", minimum=1, maximum=65535)
    data_dir: Path = declare(
        Path("data"),
        "Folder of databases, keys and logs, readable by its owner only; "
        "by default `data` in the folder of the program.",
    )
    config: Path | None = declare(
        None, "Configuration file (JSON); `--load_config` wins over it.", in_file=False
    )
    quiet: bool = declare(False, "Nothing on standard output, only errors on standard error.")
    env: str = declare(
        "production",
        "What this installation is for.",
        choices=("development", "testing", "production"),
    )
    demo: bool = declare(True, "Create the demonstration portfolio for the first administrator.")
    admin_email: str = declare(
        "", "E-mail of the first administrator; read only while there is none."
    )
    admin_password: str = declare(
        "",
        "Password of the first administrator; read only while there is none. "
        "Without it a random one is made, shown once and kept in `initial-admin.txt`.",
        secret=True,
    )
    jwt_secret: str = declare(
        "",
        f"Key that signs API tokens, at least {JWT_SECRET_BYTES} bytes; made when absent.",
        secret=True,
        shared_with="aaa",
    )
    google_client_id: str = declare("", "Client ID of the Google login.", shared_with="aaa")
    google_client_secret: str = declare(
        "", "Client secret of the Google login.", secret=True, shared_with="aaa"
    )
    database_url: str = declare(
        "", "Database; only SQLite so far (`sqlite:///…`). Empty: `lts.db` in the data folder."
    )
    redis_url: str = declare("", "Not supported yet: must stay empty.")

    aaa_plugin: str = declare("default_aaa", "Plugin for users, sessions and roles.")
    core_plugin: str = declare("default_core", "Plugin that makes the web application.")
    pipeline_plugin: str = declare("default_pipeline", "Pipeline plugin of new portfolios.")
    strategy_plugin: str = declare("default_strategy", "Strategy plugin of new assets.")
    broker_plugin: str = declare("backtrader_simulation_broker", "Broker plugin of new assets.")
    portfolio_plugin: str = declare("default_portfolio", "Allocation plugin of new portfolios.")

    log_level: str = declare(
        "INFO",
        "Least weight of a message that is logged.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    log_format: str = declare(
        "text", "Form of the log: lines for people or JSON objects.", choices=("text", "json")
    )
    rate_limit_per_minute: int = declare(
        60,
        "Requests a minute that one address may make without logging in.",
        minimum=1,
        maximum=100_000,
    )
    request_body_limit_mb: int = declare(
        32, "Largest request body in MiB.", minimum=1, maximum=1024
    )
    registration: str = declare(
        "auto",
        "Who may register: `auto` is open when listening on this computer only, else invite.",
        choices=("auto", "open", "invite", "closed"),
    )
    session_cookie_secure: str = declare(
        "auto",
        "Send the session cookie over HTTPS only; `auto` decides by the request.",
        choices=("auto", "on", "off"),
    )
    web_threads: int = declare(8, "Threads that answer requests.", minimum=1, maximum=64)
    worker_threads: int = declare(2, "Threads that run cycles.", minimum=1, maximum=32)
    worker_restart_after_abandoned: int = declare(
        3,
        "Plugin calls past their time limit after which the worker restarts itself.",
        minimum=1,
        maximum=100,
    )
    live_poll_seconds: float = declare(
        2.0, "Seconds between two looks of a page for news.", minimum=0.5, maximum=60
    )
    demo_pace_seconds: float = declare(
        3.0, "Seconds between two steps of the demonstration.", minimum=0.1, maximum=3600
    )
    quote_max_age_seconds: float = declare(
        60.0, "Age in seconds from which a live quote is stale.", minimum=1, maximum=86_400
    )
    decision_retention_days: int = declare(
        90,
        "Days after which decisions without an order are thinned to one an hour.",
        minimum=1,
        maximum=36_500,
    )


def _table() -> tuple[Setting, ...]:
    types = get_type_hints(Settings)
    rows = []
    for row in fields(Settings):
        assert row.default is not MISSING
        rows.append(
            Setting(
                name=row.name, kind=_KINDS[types[row.name]], default=row.default, **row.metadata
            )
        )
    return tuple(rows)


SETTINGS: tuple[Setting, ...] = _table()
BY_NAME: Mapping[str, Setting] = MappingProxyType({row.name: row for row in SETTINGS})


@dataclass(frozen=True, slots=True)
class Shown:
    """One row of `lts show-config`."""

    key: str
    value: object
    source: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Hold the outcome of the merge: each value with its source.

    After the first pass `pending` holds the entries that no setting claims; the second pass gives
    them to plugins and fills `plugins`: (family, plugin) → parameter → value.
    """

    settings: Settings
    resolved: Mapping[str, Resolved]
    pending: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()
    plugins: Mapping[tuple[str, str], Mapping[str, Resolved]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    plugin_secrets: frozenset[str] = frozenset()

    def selected(self, family: str) -> str:
        """Name the plugin that the settings select for a family."""
        name: str = getattr(self.settings, f"{family}_plugin")
        return name

    def plugin_parameters(self, family: str, plugin: str) -> dict[str, object]:
        """Give a plugin's parameters as the flat dictionary that its class takes."""
        merged = self.plugins.get((family, plugin), {})
        return {name: resolved.value for name, resolved in merged.items()}

    def secrets(self) -> list[str]:
        """List the secret values, so that no log ever shows one."""
        values = [row.value for row in self._rows() if self._is_secret(row)]
        return [value for value in values if isinstance(value, str) and value]

    def shown(self) -> list[Shown]:
        """List every value with its source, secrets masked."""
        return [
            Shown(row.key, MASK, row.source, row.origin)
            if self._is_secret(row) and row.value not in ("", None)
            else row
            for row in self._rows()
        ]

    def _rows(self) -> list[Shown]:
        rows = [_shown(name, resolved) for name, resolved in self.resolved.items()]
        for (family, plugin), parameters in self.plugins.items():
            rows += [
                _shown(f"plugins.{family}.{plugin}.{name}", resolved)
                for name, resolved in parameters.items()
            ]
        return rows

    def _is_secret(self, row: Shown) -> bool:
        declared = row.key in BY_NAME and BY_NAME[row.key].secret
        return declared or row.key in self.plugin_secrets or is_secret_name(row.key)


def _shown(key: str, resolved: Resolved) -> Shown:
    return Shown(key, resolved.value, resolved.source.label, resolved.origin)


def clone_directory() -> Path:
    """Give the folder of the clone (it holds `pyproject.toml`), else the current one."""
    above = Path(__file__).resolve().parent.parent
    return above if (above / "pyproject.toml").is_file() else Path.cwd()


def load_settings(
    command_line: Mapping[str, object],
    environ: Mapping[str, str],
    config_file: Path | None = None,
    clone_dir: Path | None = None,
) -> Loaded:
    """Merge defaults < file < environment < command line: the first pass.

    `config_file` is that of `--load_config`; without it `LTS_CONFIG` names one. Raises
    SettingsError, which names the key, its source and what is expected.
    """
    from_environment = read_environment(environ)
    from_command_line = read_command_line(command_line)
    warnings: list[str] = []
    file_entries: list[Entry] = []
    path = config_file or _config_path([*from_environment, *from_command_line])
    if path is not None:
        file_entries, warnings = read_file(path)
    resolved = _defaults(clone_dir or clone_directory())
    if path is not None:
        source = Source.COMMAND_LINE if config_file else Source.ENVIRONMENT
        resolved["config"] = Resolved(
            path, source, "--load_config" if config_file else "LTS_CONFIG"
        )
    pending = []
    for entry in [*file_entries, *from_environment, *from_command_line]:
        setting = BY_NAME.get(entry.key)
        if setting is None:
            if entry.source is not Source.ENVIRONMENT or entry.key not in OTHER_VARIABLES:
                pending.append(entry)
        elif entry.source is Source.FILE and not setting.in_file:
            raise SettingsError(
                f"{entry.origin}: a configuration file cannot name another one; "
                f"use {setting.environment}."
            )
        elif entry.key != "config":
            resolved[entry.key] = Resolved(setting.accept(entry), entry.source, entry.origin)
    _check_together(resolved)
    settings = Settings(**{name: value.value for name, value in resolved.items()})  # type: ignore[arg-type]
    return Loaded(
        settings=settings,
        resolved=MappingProxyType(resolved),
        pending=tuple(pending),
        warnings=tuple(warnings),
    )


def _config_path(entries: list[Entry]) -> Path | None:
    named = [entry for entry in entries if entry.key == "config"]
    if not named:
        return None
    path = BY_NAME["config"].accept(named[-1])
    assert isinstance(path, Path)
    return path


def _defaults(clone_dir: Path) -> dict[str, Resolved]:
    resolved = {row.name: Resolved(row.default, Source.DEFAULT, "default") for row in SETTINGS}
    data_dir = clone_dir.absolute() / Settings.data_dir
    resolved["data_dir"] = Resolved(data_dir, Source.DEFAULT, "default")
    return resolved


def _check_together(resolved: Mapping[str, Resolved]) -> None:
    """Refuse what is of the right type and still cannot work; no message shows the value."""
    jwt_secret = str(resolved["jwt_secret"].value)
    if jwt_secret and len(jwt_secret.encode()) < JWT_SECRET_BYTES:
        raise SettingsError(
            f"LTS_JWT_SECRET ({resolved['jwt_secret'].origin}): the key must have at least "
            f"{JWT_SECRET_BYTES} bytes. Leave it out, and LTS makes one."
        )
    database_url = str(resolved["database_url"].value)
    if database_url and not database_url.startswith(("sqlite:///", "sqlite+pysqlite:///")):
        scheme = database_url.partition(":")[0][:20]
        raise SettingsError(
            f"LTS_DATABASE_URL ({resolved['database_url'].origin}): the scheme {scheme!r} is not "
            "supported yet. Use sqlite:///PATH, or leave it out for lts.db in the data folder."
        )
    if resolved["redis_url"].value:
        raise SettingsError(
            f"LTS_REDIS_URL ({resolved['redis_url'].origin}): Redis is not supported yet. "
            "Leave it out: the queue is a SQLite file in the data folder."
        )
