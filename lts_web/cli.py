"""The `lts` command: reads the command line, and calls one function for each command.

Answers go to standard output (`--json`: one document), every error is one line on standard error,
and the exit code says the rest: 0 done, 1 failed, 2 wrong usage or configuration. What a command
does stands in `lts_web.commands`, `lts_web.supervisor` and `lts_web.processes`, not here. Heavy
imports happen inside the commands, so that a start stays quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click

from lts_web import logs, processes, supervisor
from lts_web.commands import CommandResult
from lts_web.datadir import DataDirError
from lts_web.invocation import Invocation, output_options, say_error
from lts_web.settings import Loaded
from lts_web.settings_sources import SettingsError, shown

PASSWORD_LIMIT = 4096


def _read_values(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    values = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"expected KEY=VALUE, not {shown(text)}")
        values[key.strip()] = value
    return values


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--load_config", type=click.Path(path_type=Path), help="Configuration file (JSON).")
@click.option(
    "--set", "values", multiple=True, metavar="KEY=VALUE", callback=_read_values,
    help="Set one setting or plugin parameter; may be repeated.",
)  # fmt: skip
@output_options
@click.version_option(package_name="lts", prog_name="lts")
@click.pass_context
def lts(context: click.Context, load_config: Path | None, values: dict[str, str]) -> None:
    """Run and look after the Live Trading System."""
    invocation = context.ensure_object(Invocation)
    invocation.load_config = load_config.absolute() if load_config else None
    invocation.values = values


@lts.command()
@output_options
@click.pass_obj
def run(invocation: Invocation) -> int:
    """Start web and worker, and keep both running."""
    stop = processes.StopRequest()
    stop.install()
    loaded, data_dir = invocation.start("run")
    invocation.warn(loaded)
    own = invocation.own_arguments()
    supervisor.Supervisor(
        host=loaded.settings.host,
        port=loaded.settings.port,
        data_dir=data_dir,
        commands={
            "web": processes.own_command(*own, "serve"),
            "worker": processes.own_command(*own, "worker"),
        },
        prepare=lambda: _prepare_installation(invocation, loaded),
        announce=lambda line: _announce(invocation, line),
        stop=stop,
        quiet=invocation.quiet,
    ).run()
    return 0


def _announce(invocation: Invocation, line: str) -> None:
    if not invocation.quiet:
        click.echo(line)
        sys.stdout.flush()


def _prepare_installation(invocation: Invocation, loaded: Loaded) -> None:
    """Bring the database up to date and see that there is an administrator."""
    steps: tuple[tuple[str, dict[str, object]], ...] = (
        ("database", {"action": "upgrade"}),
        ("users", {"action": "first_administrator"}),
        ("demo", {"only_if_wanted": True}),
    )
    for area, options in steps:
        result = _area(area)(loaded, **options)
        if result.exit_code:
            raise supervisor.SupervisorError(" ".join(result.lines), result.exit_code)
        for line in result.lines if not invocation.quiet else ():
            click.echo(line)


supervised = click.option(
    "--supervised", "ready_file", type=click.Path(path_type=Path), hidden=True
)


@lts.command()
@supervised
@output_options
@click.pass_obj
def serve(invocation: Invocation, ready_file: Path | None) -> int:
    """Run the web server alone."""
    from lts_web.wiring import build_core  # noqa: PLC0415

    loaded, stop = _start_process(invocation, "web", ready_file)
    settings = loaded.settings
    server = partial(
        processes.serve,
        host=settings.host,
        port=settings.port,
        threads=settings.web_threads,
        body_limit_bytes=settings.request_body_limit_mb * 1024 * 1024,
        stop=stop,
        on_ready=processes.ready_signal(ready_file),
    )
    try:
        build_core(loaded, stop, server).start()
        return stop.exit_code
    except OSError as error:
        reason = supervisor.address_error(settings.host, settings.port, error)
        raise supervisor.SupervisorError(reason) from None


@lts.command()
@supervised
@output_options
@click.pass_obj
def worker(invocation: Invocation, ready_file: Path | None) -> int:
    """Run the worker alone."""
    from lts_web.wiring import build_worker  # noqa: PLC0415

    loaded, stop = _start_process(invocation, "worker", ready_file)
    return processes.work(
        build_worker(loaded, stop),
        threads=loaded.settings.worker_threads,
        stop=stop,
        on_ready=processes.ready_signal(ready_file),
    )


def _start_process(
    invocation: Invocation, process_kind: str, ready_file: Path | None
) -> tuple[Loaded, processes.StopRequest]:
    stop = processes.StopRequest()
    stop.install()
    if ready_file is not None:
        processes.follow_supervisor(stop)
    loaded, _ = invocation.start(process_kind)
    return loaded, stop


@lts.command("show-config")
@output_options
@click.pass_obj
def show_config(invocation: Invocation) -> int:
    """Show every setting, its value and where that comes from."""
    loaded = invocation.load()
    rows = loaded.shown()
    document = {
        "settings": {
            row.key: {"value": row.value, "source": row.source, "origin": row.origin}
            for row in rows
        },
        "warnings": list(loaded.warnings),
    }
    texts = [(row.key, logs.one_line(str(row.value)), row.origin) for row in rows]
    widths = [max(len(text[column]) for text in texts) for column in (0, 1)]
    lines = [
        f"{key:<{widths[0]}}  {value:<{min(widths[1], 50)}}  {origin}"
        for key, value, origin in texts
    ]
    invocation.warn(loaded)
    return invocation.answer(CommandResult(document=document, lines=tuple(lines)))


def _area(name: str) -> Callable[..., CommandResult]:
    """Import the commands of one area only when one of them is called."""
    command: Callable[..., CommandResult] = importlib.import_module(f"lts_web.commands.{name}").run
    return command


def _call(invocation: Invocation, area: str, **options: object) -> int:
    loaded, _ = invocation.start("command")
    invocation.warn(loaded)
    return invocation.answer(_area(area)(loaded, **options))


@lts.group()
def db() -> None:
    """Look after the database."""


@db.command("upgrade")
@output_options
@click.pass_obj
def db_upgrade(invocation: Invocation) -> int:
    """Bring the database to the newest schema."""
    return _call(invocation, "database", action="upgrade")


@db.command("check")
@output_options
@click.pass_obj
def db_check(invocation: Invocation) -> int:
    """Check the database's schema and integrity."""
    return _call(invocation, "database", action="check")


@lts.group()
def user() -> None:
    """Look after users."""


password_on_stdin = click.option(
    "--password-stdin", is_flag=True, required=True, help="Read the password from standard input."
)


def _read_password() -> str:
    text = sys.stdin.readline(PASSWORD_LIMIT + 1)
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or len(text) > PASSWORD_LIMIT:
        raise click.UsageError("standard input must hold the password on one line")
    logs.register_secret(password)
    return password


@user.command("create")
@click.option("--username", required=True)
@click.option("--email", required=True)
@click.option("--role", type=click.Choice(["user", "admin"]), required=True)
@password_on_stdin
@output_options
@click.pass_obj
def user_create(
    invocation: Invocation, /, username: str, email: str, role: str, **_flags: object
) -> int:
    """Create a user."""
    return _call(
        invocation, "users", action="create", username=username, email=email, role=role,
        password=_read_password(),
    )  # fmt: skip


@user.command("list")
@output_options
@click.pass_obj
def user_list(invocation: Invocation) -> int:
    """List all users."""
    return _call(invocation, "users", action="list")


@user.command("set-password")
@click.option("--username", required=True)
@password_on_stdin
@output_options
@click.pass_obj
def user_set_password(invocation: Invocation, /, username: str, **_flags: object) -> int:
    """Give a user a new password."""
    password = _read_password()
    return _call(invocation, "users", action="set_password", username=username, password=password)


@lts.command()
@click.option("--portfolio", type=click.IntRange(min=1), metavar="ID", help="Only this portfolio.")
@click.option(
    "--force", is_flag=True, help="Run the portfolio of --portfolio though it is not due."
)
@output_options
@click.pass_obj
def cycle(invocation: Invocation, portfolio: int | None, *, force: bool) -> int:
    """Run a cycle now, without a worker; exit code 3 if an asset failed."""
    return _call(invocation, "cycle", portfolio=portfolio, force=force)


@lts.group()
def bars() -> None:
    """Look after stored bars."""


@bars.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--instrument", required=True, help="For example EUR_USD.")
@click.option("--timeframe", required=True, help="For example H1.")
@click.option("--format", "time_format", help="Format of the time column, as of strptime.")
@click.option("--zone", default="UTC", show_default=True, help="Time zone of the file.")
@click.option("--scale", default="1", show_default=True, help="Factor for all prices.")
@click.option("--owner", metavar="USERNAME", help="User who may use the bars.")
@output_options
@click.pass_obj
def bars_import(invocation: Invocation, /, **options: object) -> int:
    """Import a CSV file of bars, all of it or nothing."""
    return _call(invocation, "bars", action="import", **options)


@lts.group()
def plugins() -> None:
    """Look at the plugins."""


@plugins.command("list")
@output_options
@click.pass_obj
def plugins_list(invocation: Invocation) -> int:
    """List all plugins, also those that cannot be loaded."""
    return _call(invocation, "plugins", action="list")


@plugins.command("debug")
@output_options
@click.pass_obj
def plugins_debug(invocation: Invocation) -> int:
    """Show the plugins' debug information."""
    return _call(invocation, "plugins", action="debug")


@lts.command()
@output_options
@click.pass_obj
def demo(invocation: Invocation) -> int:
    """Create the demonstration portfolio."""
    return _call(invocation, "demo")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    os.umask(0o077)
    logs.install_exception_hooks()
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: Sequence[str] | None) -> int:
    try:
        code = lts.main(args=arguments, prog_name="lts", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "lts"
        say_error(f"{error.format_message()} (see {path} --help)")
        return error.exit_code
    except click.ClickException as error:
        say_error(error.format_message())
        return error.exit_code
    except click.Abort:
        say_error("interrupted")
        return 130
    except (SettingsError, DataDirError, supervisor.SupervisorError) as error:
        say_error(str(error))
        return error.exit_code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
