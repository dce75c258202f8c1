"""The first test is the product: one command, and a person watches a portfolio trade."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import httpx
import pytest

from tests.product.product import PASSWORD, Browser, Product, kill, posix, program, worker_process
from tests.real_processes import alive, eventually

pytestmark = [posix, pytest.mark.timeout(150)]


def stopped(product: Product, process: subprocess.Popen[str]) -> float:
    """Ask the supervisor to stop; return the seconds until it had, with exit code 0."""
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, product.errors()
    return time.monotonic() - started


def nothing_half_done(product: Product) -> None:
    """Assert that a stop left no cycle, lease or order in the middle, and the books agree."""
    assert product.count("cycles", "status = 'running'") == 0
    assert product.count("cycles", "status = 'failed'") == 0
    assert product.count("leases", "owner IS NOT NULL") == 0
    assert product.count("orders", "status IN ('created', 'unknown')") == 0
    [(ours, venue_says)] = product.query("SELECT balance, venue_balance FROM broker_accounts")
    [(theirs,)] = product.query("SELECT balance FROM venue_accounts", file="venues.db")
    assert ours == venue_says == theirs
    fills = product.query("SELECT venue_transaction_id FROM fills ORDER BY id")
    log = product.query(
        "SELECT CAST(id AS TEXT) FROM venue_transactions WHERE kind = 'fill' ORDER BY id",
        file="venues.db",
    )
    # The last bars' fills are read at the next start at the latest, so what is booked is a prefix.
    assert fills == log[: len(fills)]


@pytest.mark.req("SYS-001", "SYS-004", "SYS-011", "SYS-014", "STC-001", "STC-003", "STC-14")
def test_one_command_to_a_moving_demonstration(product: Product) -> None:
    process = product.start("run")
    before = product.wait_ready(process)
    assert any("Created administrator admin" in line for line in before)
    health = httpx.get(f"{product.address}/health")
    assert health.status_code == 200
    assert health.json()["checks"]["database"] == "ok"

    with Browser(product) as browser:
        assert browser.get("/").status_code == 303
        assert browser.log_in(password="wrong-password").status_code == 401
        assert browser.log_in().status_code == 303
        dashboard = browser.get("/")
        assert dashboard.status_code == 200
        assert "Demonstration" in dashboard.text
        assert "Synthetic" in dashboard.text
        eventually(lambda: product.count("fills") >= 2, 60)
        [(portfolio,)] = product.query("SELECT id FROM portfolios")
        page = browser.get(f"/portfolios/{portfolio}")
        assert page.status_code == 200
        for instrument in ("EUR_USD", "GBP_USD", "USD_JPY"):
            assert instrument in page.text or instrument.replace("_", "/") in page.text
        [(order,)] = product.query("SELECT id FROM orders ORDER BY id LIMIT 1")
        assert browser.get(f"/orders/{order}").status_code == 200
        for path in ("/orders", "/positions", "/decisions", "/plugins", "/help"):
            assert browser.get(path).status_code == 200, path
        cycles = product.count("cycles")
        eventually(lambda: product.count("cycles") > cycles)

        # The worker is killed in the middle of its work: the supervisor brings it back, and it
        # goes on where the books are.
        first = worker_process(product)
        kill(first)
        eventually(lambda: worker_process(product) != first, 30)
        cycles = product.count("cycles")
        eventually(lambda: product.count("cycles") > cycles + 2, 30)
        assert browser.get("/").status_code == 200
        assert httpx.get(f"{product.address}/health").status_code == 200

    second = worker_process(product)
    assert stopped(product, process) < 10
    assert not alive(second)
    nothing_half_done(product)
    filled = product.count("fills")
    assert product.count("decisions") == 3 * product.count("cycles", "status = 'done'") + sum(
        count
        for (count,) in product.query(
            "SELECT count(*) FROM decisions JOIN cycles ON cycles.id = cycle_id "
            "WHERE cycles.status = 'interrupted'"
        )
    )

    # The second start finds everything, and goes on; it is quick.
    started = time.monotonic()
    process = product.start("run")
    assert not any("Created administrator" in line for line in product.wait_ready(process))
    assert time.monotonic() - started < 10
    eventually(lambda: product.count("fills") > filled, 60)
    assert product.count("portfolios") == 1
    assert stopped(product, process) < 10
    nothing_half_done(product)
    assert "Traceback" not in product.errors()


@pytest.mark.req("SYS-011", "SYS-014", "SYS-002")
def test_serve_and_worker_by_themselves_and_a_dead_worker_on_the_page(
    demonstration: Product,
) -> None:
    product = demonstration
    web = product.start("serve")
    eventually(lambda: responds(product))
    with Browser(product) as browser:
        assert browser.log_in("alice", PASSWORD).status_code == 303
        assert "No worker yet" in browser.get("/").text
        assert httpx.get(f"{product.address}/health").json()["checks"]["worker"] == "degraded"
        worker = product.start("worker")
        eventually(lambda: product.count("worker_heartbeats") == 1, 30)
        eventually(lambda: product.count("cycles", "status = 'done'") > 2, 30)
        assert 'data-state="alive"' in browser.get("/").text
        kill(worker.pid)
        worker.wait()
        # Thirty seconds of silence, without the wait.
        with closing(sqlite3.connect(product.data / "lts.db", timeout=10)) as connection:
            connection.execute("UPDATE worker_heartbeats SET seen_at = seen_at - 31000000")
            connection.commit()
        page = browser.get("/").text
        assert 'data-state="silent"' in page
        assert "lts-stale" in page
        assert httpx.get(f"{product.address}/health").json()["checks"]["worker"] == "degraded"

        [(portfolio,)] = product.query("SELECT id FROM portfolios")
        cycles = product.count("cycles")
        again = product.start("worker")
        eventually(lambda: product.count("cycles") > cycles, 30)
        off = browser.post(f"/portfolios/{portfolio}/deactivate", f"/portfolios/{portfolio}")
        assert off.status_code == 303
        eventually(lambda: product.count("leases", "owner IS NOT NULL") == 0)
        assert product.query("SELECT status FROM portfolios") == [("inactive",)]
        cycles = product.count("cycles")
        on = browser.post(f"/portfolios/{portfolio}/activate", f"/portfolios/{portfolio}")
        assert on.status_code == 303
        eventually(lambda: product.count("cycles") > cycles)
    for process in (again, web):
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - started < 10
    nothing_half_done(product)
    [(stopped_at,)] = product.query(
        "SELECT stopped_at FROM worker_heartbeats ORDER BY started_at DESC LIMIT 1"
    )
    assert stopped_at is not None


def responds(product: Product) -> bool:
    try:
        return httpx.get(f"{product.address}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.req("SYS-001", "SYS-011", "INT-028")
def test_hueys_own_consumer_is_a_worker_as_well(demonstration: Product) -> None:
    product = demonstration
    consumer = product.start(
        str(program("huey_consumer")), "worker.app.huey", "-k", "thread", "-w", "2"
    )
    eventually(lambda: product.count("fills") >= 1, 60)
    consumer.send_signal(signal.SIGINT)  # Huey's own word for a graceful end
    consumer.wait(20)
    nothing_half_done(product)
    assert "Traceback" not in product.errors()


@pytest.mark.req("SYS-001")
def test_the_worker_never_loads_the_web_and_the_web_is_a_wsgi_callable(product: Product) -> None:
    check = (
        "import json, sys; import {module}; "
        "print(json.dumps([name for name in ('flask', 'werkzeug', 'waitress', "
        "'lts_web.web') if name in sys.modules]))"
    )

    def loaded(module: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", check.format(module=module)],
            capture_output=True, text=True, env=product.environment(), check=True, timeout=60,
            cwd=product.folder,
        )  # fmt: skip
        names: list[str] = json.loads(done.stdout.splitlines()[-1])
        return names

    assert loaded("worker.app") == []
    assert "flask" in loaded("wsgi")
    called = (
        "import wsgi; from werkzeug.test import Client; "
        "print(Client(wsgi.app).get('/health').status_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", called], capture_output=True, text=True,
        env=product.environment(), check=True, timeout=60, cwd=product.folder,
    )  # fmt: skip
    assert done.stdout.split()[-1] == "200"
