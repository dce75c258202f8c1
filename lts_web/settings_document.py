"""Write the settings page of the documentation from the table.

`python -m lts_web.settings_document` rewrites `docs/settings.md`; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

from lts_web.settings import SETTINGS, clone_directory
from lts_web.settings_sources import Kind, Setting

DOCUMENT = Path("docs") / "settings.md"

_INTRODUCTION = """\
# Settings

This page is written by `python -m lts_web.settings_document` from the table in
`lts_web/settings.py`; change it there.

`lts show-config` shows every value of an installation and where it comes from
(`lts --json show-config` as JSON). Secrets are masked.

## Where values come from

The later wins: defaults, configuration file, environment, command line.

- **Configuration file**: a JSON object with the names below as keys, at most 1 MiB. `LTS_CONFIG`
  names it, `--load_config FILE` wins over that. Relative paths in it start at its folder. An
  unknown key is refused, with the names near it.
- **Environment**: `LTS_` and the name in capitals. An empty variable counts as not set. An unknown
  `LTS_…` variable is a warning (`LTS_REFERENCE_DATA` is read by tests and benchmarks alone).
- **Command line**: `lts --set KEY=VALUE COMMAND`, as often as needed; `--quiet` and
  `--load_config` have options of their own. Other users of the computer can see a command line:
  give secrets in the environment or in a file that only you can read.

Numbers are written in digits. True and false are `true`, `false`, `1` or `0`. Whatever is of the
wrong type or out of its bounds ends the command with exit code 2 and a line that names key, source
and what is expected.

## Parameters of plugins

The precedence continues: plugin default, then the defaults of the installation, file, environment,
command line, and last the value stored with an asset. A parameter has three names:

| where | name |
| --- | --- |
| file, command line | `plugins.<family>.<plugin>.<parameter>`; in the file also nested objects |
| environment | `LTS_PLUGINS__<FAMILY>__<PLUGIN>__<PARAMETER>` |
| everywhere | the bare name, for each *selected* plugin that has the parameter |

The families are `aaa`, `core`, `pipeline`, `strategy`, `broker` and `portfolio`. For example, the
spread of `default_broker` is `plugins.broker.default_broker.spread`,
`LTS_PLUGINS__BROKER__DEFAULT_BROKER__SPREAD` (two underscores where the key has a dot), and, while
`broker_plugin` is `default_broker`, also `spread` and `LTS_SPREAD`. Within one source the full name
wins over the bare one. A bare name that is also a setting is that setting. Lists and objects are
written as JSON in a variable.

`jwt_secret`, `google_client_id` and `google_client_secret` are also parameters of the selected
`aaa` plugin.

## All settings

| setting | variable | type | default | meaning |
| --- | --- | --- | --- | --- |
"""


def settings_document() -> str:
    """Give the whole page as Markdown."""
    return _INTRODUCTION + "".join(f"{_row(setting)}\n" for setting in SETTINGS)


def _row(setting: Setting) -> str:
    notes = setting.help
    if setting.secret:
        notes += " *Secret.*"
    if not setting.in_file:
        notes += " *Not in the file.*"
    name, variable = f"`{setting.name}`", f"`{setting.environment}`"
    return f"| {name} | {variable} | {setting.expected} | {_default(setting)} | {notes} |"


def _default(setting: Setting) -> str:
    if setting.default in ("", None):
        return "–"
    if setting.kind is Kind.BOOLEAN:
        return f"`{str(setting.default).lower()}`"
    return f"`{setting.default}`"


def main() -> None:
    """Rewrite the page in the clone."""
    path = clone_directory() / DOCUMENT
    path.parent.mkdir(exist_ok=True)
    path.write_text(settings_document(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
