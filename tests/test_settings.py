"""Settings: the table, the first pass of the merge, and what is refused in words that help."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from lts_web.settings import BY_NAME, SETTINGS, Settings, load_settings
from lts_web.settings_document import DOCUMENT, settings_document
from lts_web.settings_sources import (
    Entry,
    Kind,
    Setting,
    SettingsError,
    Source,
    parse_json,
    read_file,
)

CLONE = Path(__file__).parent.parent


def config(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "lts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    path.chmod(0o600)
    return path


def refused(
    environ: dict[str, str] | None = None, file: Path | None = None, **typed: object
) -> str:
    with pytest.raises(SettingsError) as found:
        load_settings(typed, environ or {}, file)
    return str(found.value)


def test_defaults_alone_give_the_documented_values(tmp_path: Path) -> None:
    loaded = load_settings({}, {}, clone_dir=tmp_path)
    assert (loaded.settings.host, loaded.settings.port) == ("127.0.0.1", 8000)
    assert loaded.settings.data_dir == tmp_path / "data"
    assert loaded.settings.broker_plugin == "backtrader_simulation_broker"
    assert loaded.settings.demo is True
    assert {value.source for value in loaded.resolved.values()} == {Source.DEFAULT}


@pytest.mark.req("SYS-005", "STC-004", "INT-016")
@given(
    file=st.none() | st.integers(1, 65535),
    environment=st.none() | st.integers(1, 65535),
    command_line=st.none() | st.integers(1, 65535),
)
def test_the_later_source_wins_and_is_reported(
    tmp_path_factory: pytest.TempPathFactory,
    file: int | None,
    environment: int | None,
    command_line: int | None,
) -> None:
    path = config(tmp_path_factory.mktemp("c"), {} if file is None else {"port": file})
    environ = {} if environment is None else {"LTS_PORT": str(environment)}
    typed = {} if command_line is None else {"port": str(command_line)}
    loaded = load_settings(typed, environ, path)
    expected = [
        (8000, Source.DEFAULT),
        (file, Source.FILE),
        (environment, Source.ENVIRONMENT),
        (command_line, Source.COMMAND_LINE),
    ]
    value, source = [one for one in expected if one[0] is not None][-1]
    assert loaded.settings.port == value
    assert loaded.resolved["port"].source is source


@given(name=st.sampled_from([row.name for row in SETTINGS if row.name != "config"]))
def test_every_setting_can_be_set_by_its_variable(name: str) -> None:
    row = BY_NAME[name]
    samples = {
        Kind.TEXT: "a" * 40,
        Kind.INTEGER: "7",
        Kind.NUMBER: "7.5",
        Kind.BOOLEAN: "1",
        Kind.PATH: "/somewhere",
    }
    text = str(row.choices[-1]) if row.choices else samples[row.kind]
    if name == "redis_url":
        assert "LTS_REDIS_URL" in refused({row.environment: text})
        return
    text = "sqlite:///x.db" if name == "database_url" else text
    loaded = load_settings({}, {row.environment: text})
    assert loaded.resolved[name].source is Source.ENVIRONMENT
    assert loaded.resolved[name].origin == f"LTS_{name.upper()}"


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("LTS_PORT", "abc", "a whole number from 1 to 65535"),
        ("LTS_PORT", "0", "from 1 to 65535"),
        ("LTS_PORT", "8_000", "a whole number"),
        ("LTS_PORT", "٨٠٠٠", "a whole number"),
        ("LTS_PORT", "9" * 5000, "a whole number"),
        ("LTS_PORT", "8000.0", "a whole number"),
        ("LTS_DEMO", "maybe", "true or false"),
        ("LTS_DEMO_PACE_SECONDS", "nan", "a number from 0.1"),
        ("LTS_DEMO_PACE_SECONDS", "1e999", "a number from 0.1"),
        ("LTS_ENV", "prod", "one of development, testing, production"),
        ("LTS_DATA_DIR", "   ", "a path"),
        ("LTS_HOST", "x" * 5000, "at most 4096 characters"),
        ("LTS_DATABASE_URL", "postgresql://lts:hunter2@db/lts", "'postgresql'"),
        ("LTS_REDIS_URL", "redis://:hunter2@cache", "not supported yet"),
        ("LTS_JWT_SECRET", "tooshort", "at least 32 bytes"),
    ],
)
@pytest.mark.req("SYS-005", "SYS-018", "INT-012")
def test_a_wrong_variable_is_refused_by_name(variable: str, text: str, words: str) -> None:
    message = refused({variable: text})
    assert variable in message
    assert words in message
    assert "hunter2" not in message
    assert "tooshort" not in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("true", True), ("False", False), ("0", False)]
)
def test_booleans_in_every_spelling(text: str, value: bool) -> None:
    assert load_settings({}, {"LTS_DEMO": text}).settings.demo is value


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings({}, {"LTS_PORT": ""}).settings.port == 8000


def test_choices_in_any_case() -> None:
    assert load_settings({}, {"LTS_LOG_LEVEL": "debug"}).settings.log_level == "DEBUG"


def test_reference_data_is_known_and_ignored() -> None:
    assert load_settings({}, {"LTS_REFERENCE_DATA": "/bars"}).pending == ()


def test_the_file_of_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first, second = config(tmp_path, {"port": 1}), config(tmp_path / "a", {"port": 2})
    environ = {"LTS_CONFIG": str(first)}
    assert load_settings({}, environ).settings.port == 1
    loaded = load_settings({}, environ, second)
    assert (loaded.settings.port, loaded.settings.config) == (2, second)


def test_paths_in_a_file_start_at_its_folder(tmp_path: Path) -> None:
    loaded = load_settings({}, {}, config(tmp_path, {"data_dir": "here"}))
    assert loaded.settings.data_dir == tmp_path / "here"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"port": }', "line 1, column 10"),
        ('{\n "port": 1\n "host": 2}', "line 3, column 2"),
        ("[1]", "one JSON object"),
        ('{"port": 1, "port": 2}', "twice"),
        ('{"port": NaN}', "NaN"),
        ('{"port": "8000"}', "'port' in"),
        ('{"port": true}', "a whole number"),
        ('{"demo": 2}', "true or false"),
        ('{"host": 1}', "expected text, not 1"),
        ('{"config": "x"}', "LTS_CONFIG"),
        ('{"plugins": []}', "expected an object"),
        ('{"plugins": {"broker": {"x": 1}}}', "plugins.broker.x"),
        ('{"plugins.broker.x.y": 1, "plugins": {"broker": {"x": {"y": 2}}}}', "twice"),
        ('{"port": ' + "1" * 5000 + "}", "too long"),
        ("[" * 200_000, "too deep"),
        ("x" * (1024 * 1024 + 1), "larger than 1 MiB"),
        ("", "line 1, column 1"),
    ],
)
@pytest.mark.req("STC-10", "SYS-018")
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, content: str, words: str) -> None:
    message = refused(file=config(tmp_path, content))
    assert words in message
    assert "lts.json" in message
    assert len(message) < 600


def test_files_that_are_no_text_or_no_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"{}\n\xff")
    assert "not UTF-8 text at line 2" in refused(file=tmp_path / "binary")
    assert "cannot be read" in refused(file=tmp_path / "missing")
    assert "ordinary file" in refused(file=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
@pytest.mark.req("SYS-017", "INT-020")
def test_a_file_with_secrets_that_others_may_read_warns(tmp_path: Path) -> None:
    path = config(tmp_path, {"jwt_secret": "s" * 40})
    assert load_settings({}, {}, path).warnings == ()
    path.chmod(0o644)
    (warning,) = load_settings({}, {}, path).warnings
    assert "chmod 600" in warning


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    row=st.sampled_from(SETTINGS),
    is_text=st.booleans(),
)
def test_any_value_is_accepted_in_its_type_or_refused(
    value: object, row: Setting, is_text: bool
) -> None:
    entry = Entry(row.name, value, Source.FILE, row.name, is_text, Path("/"))
    types = {
        Kind.TEXT: str, Kind.INTEGER: int, Kind.NUMBER: float, Kind.BOOLEAN: bool, Kind.PATH: Path,
    }  # fmt: skip
    try:
        accepted = row.accept(entry)
    except SettingsError as error:
        event(f"refused {row.kind}")
        reason = str(error)
    else:
        assert accepted is None or type(accepted) in {types[row.kind], type(Path())}
        return
    assert row.name in reason


@given(st.text(max_size=200))
def test_any_text_is_json_or_refused(text: str) -> None:
    with contextlib.suppress(SettingsError):
        parse_json(text, "here")


def test_secrets_show_nowhere(tmp_path: Path) -> None:
    secret = "s3cr3t-" * 6
    loaded = load_settings({}, {"LTS_JWT_SECRET": secret, "LTS_ADMIN_PASSWORD": "Correct-Horse1"})
    assert sorted(loaded.secrets()) == ["Correct-Horse1", secret]
    printed = repr(loaded.shown()) + repr(loaded.settings)
    assert secret not in printed
    assert "Correct-Horse1" not in printed
    assert loaded.settings.jwt_secret == secret


def test_the_help_of_each_setting_says_something() -> None:
    assert all(len(row.help) > 10 and row.help.endswith((".", ")")) for row in SETTINGS)
    assert len(SETTINGS) == len({row.environment for row in SETTINGS})


def test_the_documentation_is_the_table() -> None:
    page = (CLONE / DOCUMENT).read_text(encoding="utf-8")
    assert page == settings_document(), "run: python -m lts_web.settings_document"


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]


def test_nested_and_dotted_keys_are_the_same(tmp_path: Path) -> None:
    nested, _ = read_file(config(tmp_path, {"plugins": {"broker": {"x": {"y": [1]}}}}))
    dotted, _ = read_file(config(tmp_path, {"plugins.broker.x.y": [1]}))
    assert nested == dotted
    assert nested[0].folder == tmp_path
    assert os.fspath(tmp_path) in nested[0].origin
