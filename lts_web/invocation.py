"""One call of the `lts` command: its global options, and how it answers.

Loads the settings for a command, sets up its logs, and prints its result; it knows no command.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from lts_web import logs
from lts_web.commands import CommandResult
from lts_web.datadir import DataDir, prepare
from lts_web.plugin_settings import merge_plugin_parameters
from lts_web.settings import Loaded, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Invocation:
    """What stands on the command line before the command."""

    load_config: Path | None = None
    quiet: bool = False
    as_json: bool = False
    values: dict[str, str] = field(default_factory=dict)

    def load(self) -> Loaded:
        """Merge the settings in both passes, and keep every secret out of the logs."""
        # Loads every plugin, which `--help` and wrong usage need not wait for.
        from lts_web.plugins.registry import Registry  # noqa: PLC0415

        typed: dict[str, object] = {**self.values}
        if self.quiet:
            typed["quiet"] = True
        first = load_settings(typed, os.environ, self.load_config)
        registry = Registry()
        loaded = merge_plugin_parameters(first, registry.declarations(), registry.schemas())
        self.quiet = loaded.settings.quiet
        for value in loaded.secrets():
            logs.register_secret(value)
        return loaded

    def start(self, process_kind: str) -> tuple[Loaded, DataDir]:
        """Load the settings, prepare the data directory and set up the logs of this process."""
        loaded = self.load()
        settings = loaded.settings
        data_dir = prepare(settings.data_dir)
        logs.configure(
            process_kind,
            level=settings.log_level,
            log_format=settings.log_format,
            quiet=settings.quiet,
            directory=data_dir.logs_dir,
        )
        return loaded, data_dir

    def own_arguments(self) -> list[str]:
        """Give the options again, for a process that this one starts."""
        arguments = ["--load_config", str(self.load_config)] if self.load_config else []
        arguments += ["--quiet"] if self.quiet else []
        for key, value in self.values.items():
            arguments += ["--set", f"{key}={value}"]
        return arguments

    def warn(self, loaded: Loaded) -> None:
        """Show what the settings warn of."""
        if not self.quiet:
            for warning in loaded.warnings:
                say_error(f"warning: {warning}")

    def answer(self, result: CommandResult) -> int:
        """Print a result; `--json` is asked for by itself, so quiet mode does not silence it."""
        if self.as_json:
            click.echo(json.dumps(result.document, default=str))
        elif result.exit_code == 0 and not self.quiet:
            for line in result.lines:
                click.echo(line)
        if result.exit_code:
            for line in result.lines:
                say_error(line)
        return result.exit_code


def say_error(message: str) -> None:
    """Print one line on standard error."""
    click.echo(f"lts: {logs.one_line(logs.mask(message))}", err=True)


def _set_flag(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def set_flag(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            setattr(context.ensure_object(Invocation), name, True)

    return set_flag


def output_options(command: Command) -> Command:
    """Take `--quiet` and `--json`, before a command and after it."""
    for flag, name, words in (
        ("--json", "as_json", "Print one JSON document on standard output."),
        ("--quiet", "quiet", "Print nothing but errors."),
    ):
        option = click.option(
            flag, name, is_flag=True, expose_value=False, callback=_set_flag(name), help=words
        )
        command = option(command)
    return command
