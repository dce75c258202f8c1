"""Commands as real processes beside each other and beside a worker."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.product.product import Product, posix
from tests.real_processes import eventually

pytestmark = [posix, pytest.mark.timeout(150)]
HEADER = "DATE_TIME,OPEN,LOW,HIGH,CLOSE\n"


def many_bars(path: Path, count: int) -> Path:
    """Write minute bars of one price over the days from 2024-03-04 on."""
    start = int(time.mktime(time.strptime("2024-03-04", "%Y-%m-%d"))) // 86_400 * 86_400
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for number in range(count):
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(start + 60 * number))
            file.write(f"{at},1.1,1.1,1.1,1.1\n")
    return path


@pytest.mark.req("SYS-013", "SYS-011", "INT-007")
def test_an_import_that_is_killed_leaves_nothing_that_counts(
    product: Product, tmp_path: Path
) -> None:
    file = many_bars(tmp_path / "minutes.csv", 60_000)
    assert product.lts("db", "upgrade").returncode == 0
    command = ("bars", "import", str(file), "--instrument", "EUR_USD", "--timeframe", "M1")
    dying = product.start(*command)
    eventually(lambda: product.count("bars") > 0, 60)
    os.kill(dying.pid, signal.SIGKILL)
    assert dying.wait(10) == -signal.SIGKILL
    assert product.query("SELECT state FROM datasets") == [("importing",)]
    assert product.count("datasets", "state = 'ready'") == 0
    assert product.count("audit_logs", "action = 'bars.import'") == 0
    # The next import is whole, and takes away what was left once it is surely abandoned.
    with closing(sqlite3.connect(product.data / "lts.db")) as connection:
        connection.execute("UPDATE datasets SET created_at = created_at - 7 * 3600000000")
        connection.commit()
    done = product.lts_json(*command)
    assert done["rows"] == 60_000
    assert product.query("SELECT state, row_count FROM datasets") == [("ready", 60_000)]
    assert product.count("bars") == 60_000


@pytest.mark.req("SYS-001", "SYS-011", "SYS-009")
def test_a_cycle_by_command_beside_a_running_worker_runs_no_step_twice(
    demonstration: Product,
) -> None:
    product = demonstration
    worker = product.start("worker")
    eventually(lambda: product.count("cycles") > 0, 30)
    [(portfolio,)] = product.query("SELECT id FROM portfolios")
    for _ in range(3):
        done = product.lts("--json", "cycle", "--portfolio", str(portfolio), "--force")
        assert done.returncode == 0, done.stderr
        assert set(json.loads(done.stdout)) == {"cycles"}
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    slots = [slot for (slot,) in product.query("SELECT slot FROM cycles ORDER BY id")]
    hours = [slot[11:13] for slot in slots]
    assert len(set(slots)) == len(slots)
    assert hours == [f"{(number + 1) % 24:02d}" for number in range(len(hours))]
    assert product.count("cycles", "status != 'done'") == 0
    assert product.count("decisions") == 3 * len(slots)


@pytest.mark.req("SYS-012", "STC-9", "SYS-019")
def test_the_small_commands_as_processes(demonstration: Product) -> None:
    product = demonstration
    assert product.lts_json("db", "check") == {"sound": True, "problems": []}
    rows = product.lts_json("plugins", "list")["items"]
    assert {row["state"] for row in rows} == {"ready"}
    [alice] = product.lts_json("user", "list")["items"]
    assert alice["username"] == "alice"
    for path in [product.data, *product.data.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    outside = {path for path in product.folder.iterdir() if path != product.data}
    assert all(path.name.startswith("errors-") for path in outside), "it wrote elsewhere"
