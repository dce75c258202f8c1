"""The card of the pipeline family."""

from __future__ import annotations

import pytest

from tests.contracts.cards import RecordedSteps
from tests.contracts.plugins import make

ASSETS = [1, 2, 3]
ROWS = [{"id": asset_id, "symbol": "EURUSD"} for asset_id in ASSETS]


@pytest.mark.req("INT-002", "PLG-PIPE", "SYS-001")
class TestPipelines:
    families = ("pipeline",)

    def test_a_cycle_takes_every_asset_through_the_steps(
        self, family: str, plugin_name: str
    ) -> None:
        pipeline, steps = make("pipeline", plugin_name), RecordedSteps()
        pipeline.start({"steps": steps})
        answer = pipeline.run(7, list(ROWS))
        assert answer["success"] is True
        assert answer["cycle_id"] == 700
        assert sorted(record["asset_id"] for record in answer["assets"]) == ASSETS
        for asset_id in ASSETS:
            taken = [call[0] for call in steps.calls if call[1] == asset_id]
            placed = ["place"] if asset_id != steps.holding else []
            assert taken == ["decide", "check", *placed, "record"]

    def test_allocation_comes_first_and_once(self, family: str, plugin_name: str) -> None:
        pipeline, steps = make("pipeline", plugin_name), RecordedSteps()
        pipeline.start({"steps": steps})
        pipeline.run(7, list(ROWS))
        assert steps.calls[0] == ("allocate", 7)
        assert [call[0] for call in steps.calls].count("allocate") == 1

    def test_a_portfolio_without_assets_is_no_error(self, family: str, plugin_name: str) -> None:
        pipeline, steps = make("pipeline", plugin_name), RecordedSteps()
        pipeline.start({"steps": steps})
        assert pipeline.run(7, [])["assets"] == []
