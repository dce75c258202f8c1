"""What the commands of `lts` answer.

Each area of the command line is one module here with `run(loaded, **options) -> CommandResult`.
They call services and hold no rules of their own; nothing here prints or ends the process.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Say how a command ended.

    `document` is what `--json` prints; `lines` are for people: on standard output when
    `exit_code` is 0, on standard error otherwise.
    """

    exit_code: int = 0
    document: object = None
    lines: tuple[str, ...] = ()
