"""The second pass of the merge: every plugin keeps its parameters and gets what is meant for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web.plugin_settings import merge_plugin_parameters, parameter
from lts_web.settings import Loaded, load_settings
from lts_web.settings_sources import Kind, SettingsError, Source

BROKER: dict[str, object] = {
    "spread": 0.0002,
    "timeout": 30,
    "api_key": "dummy",
    "account_id": "a",
    "horizons": ["1h"],
    "base_url": "",
}
DECLARATIONS: dict[str, dict[str, dict[str, object] | None]] = {
    "aaa": {"default_aaa": {"jwt_secret": "", "audit_enabled": True}},
    "core": {"default_core": {}},
    "pipeline": {"default_pipeline": {"timeout": 5}},
    "strategy": {"default_strategy": {"position-size": 0.02, "extra": None}},
    "broker": {
        "backtrader_simulation_broker": {"spread_pips": 2.0, "timeout": 30},
        "default_broker": BROKER,
        "broken": None,
    },
    "portfolio": {"default_portfolio": {}},
}
HEALTHY = {
    family: {name: own for name, own in plugins.items() if own is not None}
    for family, plugins in DECLARATIONS.items()
}
SCHEMAS: dict[str, dict[str, dict[str, dict[str, object]]]] = {
    "broker": {
        "default_broker": {"timeout": {"minimum": 1, "maximum": 60}, "base_url": {"type": "url"}}
    }
}
SPREAD = "plugins.broker.default_broker.spread"
SPREAD_VARIABLE = "LTS_PLUGINS__BROKER__DEFAULT_BROKER__SPREAD"


def merged(
    file: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
    typed: dict[str, object] | None = None,
    *,
    folder: Path | None = None,
    broker: str = "default_broker",
    defaults: dict[str, object] | None = None,
) -> Loaded:
    path = None
    if file is not None:
        assert folder is not None
        path = folder / "lts.json"
        path.write_text(json.dumps(file), encoding="utf-8")
        path.chmod(0o600)
    first = load_settings({"broker_plugin": broker, **(typed or {})}, environ or {}, path)
    return merge_plugin_parameters(first, DECLARATIONS, SCHEMAS, defaults)


def spread(loaded: Loaded) -> tuple[object, Source]:
    found = loaded.plugins["broker", "default_broker"]["spread"]
    return found.value, found.source


@pytest.mark.req("SYS-005", "STC-004", "INT-02", "INT-003", "INT-005")
@given(
    st.lists(
        st.sampled_from(
            [
                (Source.DEFAULT, True),
                (Source.FILE, False),
                (Source.FILE, True),
                (Source.ENVIRONMENT, False),
                (Source.ENVIRONMENT, True),
                (Source.COMMAND_LINE, False),
                (Source.COMMAND_LINE, True),
            ]
        ),
        unique=True,
    )
)
def test_precedence_and_the_full_key_before_the_bare_one(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[tuple[Source, bool]]
) -> None:
    file: dict[str, object] = {}
    environ: dict[str, str] = {}
    typed: dict[str, object] = {}
    defaults: dict[str, object] = {}
    for source, is_full in chosen:
        value = source * 2 + is_full
        key = SPREAD if is_full else "spread"
        if source is Source.DEFAULT:
            defaults[key] = value
        elif source is Source.FILE:
            file[key] = value
        elif source is Source.ENVIRONMENT:
            environ[SPREAD_VARIABLE if is_full else "LTS_SPREAD"] = str(value)
        else:
            typed[key] = str(value)
    loaded = merged(file, environ, typed, folder=tmp_path_factory.mktemp("c"), defaults=defaults)
    if not chosen:
        assert spread(loaded) == (0.0002, Source.PLUGIN)
    else:
        source, is_full = max(chosen)
        assert spread(loaded) == (source * 2 + is_full, source)


def test_a_bare_name_reaches_every_selected_plugin_and_no_other() -> None:
    loaded = merged(environ={"LTS_TIMEOUT": "17"})
    assert loaded.plugin_parameters("pipeline", "default_pipeline")["timeout"] == 17
    assert loaded.plugin_parameters("broker", "default_broker")["timeout"] == 17
    assert loaded.plugin_parameters("broker", "backtrader_simulation_broker")["timeout"] == 30


def test_parameters_nobody_set_stay_the_plugins_own() -> None:
    loaded = merged()
    assert loaded.plugin_parameters("broker", "default_broker") == BROKER
    assert loaded.pending == ()


def test_names_that_no_variable_can_have() -> None:
    loaded = merged(environ={"LTS_PLUGINS__STRATEGY__DEFAULT_STRATEGY__POSITION_SIZE": "0.5"})
    own = loaded.plugin_parameters("strategy", "default_strategy")
    assert own == {"position-size": 0.5, "extra": None}


def test_lists_are_json_in_a_variable() -> None:
    loaded = merged(environ={"LTS_HORIZONS": '["1h", "1d"]'})
    assert loaded.plugin_parameters("broker", "default_broker")["horizons"] == ["1h", "1d"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("spred", "Did you mean spread"),
        ("prot", "Did you mean port"),
        ("plugins.broker.default_broker.sprad", f"Did you mean {SPREAD}"),
        ("plugins.broker.defalt_broker.spread", "default_broker"),
        ("zzzzzzz.zzz", "no such setting"),
    ],
)
@pytest.mark.req("SYS-018", "INT-026")
def test_an_unknown_key_in_the_file_is_refused_with_near_names(
    tmp_path: Path, key: str, words: str
) -> None:
    path = tmp_path / "lts.json"
    path.write_text(json.dumps({key: 1}), encoding="utf-8")
    first = load_settings({}, {}, path)
    with pytest.raises(SettingsError) as found:
        merge_plugin_parameters(first, HEALTHY)
    assert words in str(found.value)
    assert repr(key) in str(found.value)


def test_an_unknown_key_on_the_command_line_is_refused() -> None:
    with pytest.raises(SettingsError, match="on the command line"):
        merged(typed={"plugins.broker.default_broker.nothing": "1"})


def test_an_unknown_variable_warns_with_near_names() -> None:
    loaded = merged(environ={"LTS_PROT": "1", "LTS_PLUGINS__BROKER__DEFAULT_BROKER__SPRED": "1"})
    assert "LTS_PROT: ignored" in loaded.warnings[1]
    assert "LTS_PORT" in loaded.warnings[1]
    assert SPREAD_VARIABLE in loaded.warnings[0]


def test_a_parameter_of_a_plugin_not_selected_says_how_to_write_it(tmp_path: Path) -> None:
    path = tmp_path / "lts.json"
    path.write_text('{"spread": 0.1}', encoding="utf-8")
    with pytest.raises(SettingsError, match=SPREAD):
        merge_plugin_parameters(load_settings({}, {}, path), HEALTHY)


@pytest.mark.req("SYS-011", "STC-005")
def test_a_broken_plugin_keeps_nothing_from_starting(tmp_path: Path) -> None:
    loaded = merged({"plugins.broker.broken.x": 1, "perhaps_its": 2}, folder=tmp_path)
    assert len(loaded.warnings) == 2
    assert merged(broker="broken").plugin_parameters("broker", "broken") == {}


def test_an_unknown_plugin_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError) as found:
        merged(broker="oanda")
    assert "LTS_BROKER_PLUGIN" in str(found.value)
    assert "backtrader_simulation_broker, broken, default_broker" in str(found.value)


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        (SPREAD_VARIABLE, "wide", "a number"),
        ("LTS_TIMEOUT", "61", "from 1 to 60"),
        ("LTS_HORIZONS", "1h", "not valid JSON"),
        ("LTS_BASE_URL", "ftp://example.org", "https://"),
        ("LTS_AUDIT_ENABLED", "perhaps", "true or false"),
    ],
)
def test_a_wrong_type_is_refused_by_name(variable: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as found:
        merged(environ={variable: text})
    assert variable in str(found.value)
    assert words in str(found.value)


@pytest.mark.req("INT-020", "INT-025")
def test_a_secret_is_masked_even_when_the_plugin_does_not_declare_it_one() -> None:
    loaded = merged(environ={"LTS_API_KEY": "very-secret"})
    assert "very-secret" not in repr(loaded.shown())
    assert "very-secret" in loaded.secrets()


def test_a_shared_setting_reaches_the_aaa_plugin_above_the_installations_own() -> None:
    key = "plugins.aaa.default_aaa.jwt_secret"
    made, given_one = "m" * 40, "g" * 40
    own = merged(defaults={key: made}).plugins["aaa", "default_aaa"]["jwt_secret"]
    assert (own.value, own.source) == (made, Source.DEFAULT)
    loaded = merged(environ={"LTS_JWT_SECRET": given_one}, defaults={key: made})
    assert loaded.plugin_parameters("aaa", "default_aaa")["jwt_secret"] == given_one


@pytest.mark.parametrize(
    ("default", "rules", "kind"),
    [
        (True, {}, Kind.BOOLEAN),
        (1, {}, Kind.INTEGER),
        (1.0, {}, Kind.NUMBER),
        ("a", {}, Kind.TEXT),
        ([], {}, Kind.LIST),
        ({}, {}, Kind.MAPPING),
        (None, {}, Kind.ANY),
        (None, {"type": float}, Kind.NUMBER),
        (1, {"type": "float"}, Kind.NUMBER),
        ("", {"type": "bar_set"}, Kind.ANY),
        ("", {"type": "url"}, Kind.URL),
    ],
)
def test_the_type_is_the_declared_one_or_that_of_the_default(
    default: object, rules: dict[str, object], kind: Kind
) -> None:
    assert parameter("p", default, rules).kind is kind
