"""The plugin guide names every key that a plugin meets, and every parameter of these families."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lts_web.plugins.base import BROKER_CAPABILITIES
from lts_web.plugins.boundary import (
    AllocationRow,
    allocation_assets,
    asset_data,
    close_parameters,
    market_data,
    open_parameters,
    transaction_dict,
)
from lts_web.plugins.registry import Registry
from lts_web.trading.matching import Book, TransactionKind
from tests.contracts.cards import ORIGIN, Market, close_of, entry

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


def _section(title: str) -> set[str]:
    """Return the words in code style of the section whose title begins so."""
    after = GUIDE.split(f"\n### {title}", 1)[1]
    return set(re.findall(r"`([^`]+)`", re.split(r"\n##+ ", after, maxsplit=1)[0]))


@pytest.mark.req("INT-002")
class TestAppendix:
    def test_what_a_strategy_is_given(self) -> None:
        market = Market(count=5)
        data = asset_data(market.inputs(market.position(1)))
        words = _section("`decide(asset_data, market_data)`: `asset_data`")
        assert set(data) | set(data["open_positions"][0]) <= words
        seen = market_data(market.view(2), market.history(2))
        assert set(seen) <= _section("`decide(asset_data, market_data)`: `market_data`")

    def test_what_an_allocator_is_given(self) -> None:
        row = AllocationRow(1, "EUR_USD", entry().decision_price, entry().decision_price)
        assert set(allocation_assets([row])[0]) <= _section("`allocate(portfolio_id, assets)`")

    def test_what_a_broker_is_given(self) -> None:
        instrument = Market(count=1).instrument
        words = _section("`execute_order(action, parameters)` of a broker")
        assert set(open_parameters(entry(), "1", instrument, ORIGIN)) <= words
        assert set(close_parameters(close_of(entry(), "1"), "2", instrument, ORIGIN)) <= words

    def test_what_a_broker_may_offer(self) -> None:
        book = Book("USD", entry().decision_price)
        line = replace(book.transfer(entry().decision_price, ORIGIN), rate=None)
        words = _section("What a broker may offer beyond that")
        assert set(transaction_dict(line)) | set(BROKER_CAPABILITIES) <= words
        assert {kind.value for kind in TransactionKind} <= words


@pytest.mark.req("SYS-003")
def test_every_parameter_of_these_families_is_explained() -> None:
    registry = Registry(("strategy", "portfolio", "pipeline"))
    for row in registry.rows():
        assert row.cls is not None, row.reason
        for name, default in row.cls.plugin_params.items():
            line = re.search(rf"^\| `{name}` \| `?([^|`]+?)`? \|", GUIDE, re.MULTILINE)
            assert line is not None, f"{row.name}: {name} is not in the guide"
            shown = str(default).lower()
            assert line[1].lower() in (shown, shown.removesuffix(".0")), name


def test_the_guides_example_runs(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.+?)```", GUIDE, re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(compile(code[1], "guide", "exec"), names)
    market = Market(count=40)
    actions = set()
    for index in range(40):
        plugin = names["Breakout"]()  # type: ignore[operator]
        seen = market_data(market.view(index), market.history(index))
        actions.add(plugin.decide(asset_data(market.inputs()), seen)["action"])
    assert actions == {"open", "none"}
