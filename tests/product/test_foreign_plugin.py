"""A plugin of another author, installed beside LTS: it runs, it is slow, it hangs, it is broken."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing

import pytest

from tests.product.product import Browser, Product, posix
from tests.real_processes import eventually

pytestmark = [posix, pytest.mark.timeout(120)]

SLEEPER = """
import time
from lts_web.plugins import StrategyPluginBase

class Sleeper(StrategyPluginBase):
    plugin_params = {"seconds": 1.0}
    plugin_debug_vars = ["seconds"]

    def decide(self, asset_data, market_data):
        time.sleep(self.params["seconds"])
        return {"action": "none", "parameters": {}, "reason": "slept well"}
"""
ENTRY_POINTS = "[plugins_strategy]\nsleeper = sleeper:Sleeper\nwreck = wreck_that_is_not_there:X\n"


@pytest.fixture
def foreign(demonstration: Product) -> Product:
    """The demonstration with another author's distribution installed."""
    site = demonstration.folder / "site"
    info = site / "sleeper-2.5.dist-info"
    info.mkdir(parents=True)
    (site / "sleeper.py").write_text(SLEEPER, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleeper\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    demonstration.settings["PYTHONPATH"] = str(site)
    return demonstration


def choose(product: Product, plugin: str, **config: float) -> None:
    """Let every asset be decided by a plugin."""
    with closing(sqlite3.connect(product.data / "lts.db")) as connection:
        connection.execute(
            "UPDATE assets SET strategy_plugin = ?, strategy_config = ?",
            (plugin, json.dumps(config)),
        )
        connection.commit()


def stop(process: subprocess.Popen[str]) -> float:
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    return time.monotonic() - started


@pytest.mark.req("INT-01", "INT-001", "SYS-011", "SYS-001")
def test_it_is_listed_runs_and_a_broken_one_is_a_row_with_its_reason(foreign: Product) -> None:
    rows = {row["name"]: row for row in foreign.lts_json("plugins", "list")["items"]}
    sleeper, wreck = rows["sleeper"], rows["wreck"]
    assert (sleeper["state"], sleeper["version"], sleeper["origin"]) == (
        "ready", "2.5", "sleeper (sleeper:Sleeper)",
    )  # fmt: skip
    assert wreck["state"] == "broken"
    assert "wreck_that_is_not_there" in wreck["reason"]
    choose(foreign, "sleeper", seconds=0.01)
    [cycle] = foreign.lts_json("cycle", "--portfolio", "1", "--force")["cycles"]
    assert [row["outcome"] for row in cycle["assets"]] == ["held"] * 3
    choose(foreign, "wreck")
    [cycle] = foreign.lts_json("cycle", "--portfolio", "1", "--force", code=3)["cycles"]
    assert {row["code"] for row in cycle["assets"]} == {"PLUGIN_UNAVAILABLE"}
    assert all("wreck_that_is_not_there" in row["error"] for row in cycle["assets"])


@pytest.mark.req("SYS-011", "SYS-013", "STC-005")
def test_a_stop_with_a_slow_cycle_in_flight_ends_it_in_order(foreign: Product) -> None:
    choose(foreign, "sleeper", seconds=2.0)
    process = foreign.start("run")
    foreign.wait_ready(process)
    eventually(lambda: foreign.count("cycles", "status = 'running'") == 1, 30)
    assert stop(process) < 10
    assert foreign.query("SELECT DISTINCT status FROM cycles") == [("done",)]
    assert foreign.count("leases", "owner IS NOT NULL") == 0
    told = foreign.query("SELECT outcome, code FROM decisions ORDER BY id DESC LIMIT 3")
    assert ("denied", "STEP_ABANDONED") in told
    assert set(told) <= {("held", None), ("denied", "STEP_ABANDONED")}


@pytest.mark.req("SYS-011", "SYS-013", "STC-005")
def test_a_stop_with_a_plugin_that_hangs_is_as_quick_and_the_next_start_heals(
    foreign: Product,
) -> None:
    choose(foreign, "sleeper", seconds=3600.0)
    process = foreign.start("run")
    foreign.wait_ready(process)
    eventually(lambda: foreign.count("cycles", "status = 'running'") == 1, 30)
    with Browser(foreign) as browser:
        assert browser.log_in("alice").status_code == 303
        assert browser.get("/").status_code == 200
    assert stop(process) < 10
    choose(foreign, "default_strategy")
    process = foreign.start("run")
    foreign.wait_ready(process)
    eventually(lambda: foreign.count("cycles", "status = 'done'") > 1, 30)
    assert stop(process) < 10
    statuses = [status for (status,) in foreign.query("SELECT status FROM cycles ORDER BY id")]
    assert statuses[0] == "interrupted"
    assert set(statuses[1:]) == {"done"}
