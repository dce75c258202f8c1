"""The server's time for its pages, beside a bare Flask route that renders as much text.

The database holds 25 portfolios and 1,000 orders; one of the portfolios has 50,000 readings of its
equity. Requests pass the whole application (session, permission, queries, templates, headers)
but no network and no browser. The peer renders the very lines of the same page in a loop, without
a database; it shows what Flask and Jinja cost by themselves.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from flask import Flask, render_template_string
from flask.testing import FlaskClient
from sqlalchemy import insert

from lts_web.store.engine import Database, Session
from lts_web.store.live import bump, portfolio_topic
from lts_web.store.models import CycleRecord, EquityPointRecord, OrderRecord
from tests import factories
from tests.cast import ALICE
from tests.web.house import House, build

PORTFOLIOS, ORDERS, READINGS = 25, 1_000, 50_000
INSTRUMENTS = ("EUR_USD", "GBP_USD", "AUD_USD", "NZD_USD", "USD_CAD")
ADDRESSES = (
    "/",
    "/portfolios",
    "/portfolios/1",
    "/portfolios/1?range=all",
    "/orders",
    "/live?v=0",
    "/live?v=newest",
)
BARE_PAGE = "{% for line in lines %}{{ line|safe }}\n{% endfor %}"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of the same request, made again and again."""

    seconds: tuple[float, ...]

    @property
    def middle(self) -> float:
        """Return the median in milliseconds."""
        return 1000 * median(self.seconds)

    @property
    def slow(self) -> float:
        """Return the 95th percentile in milliseconds."""
        return 1000 * quantiles(self.seconds, n=20)[-1]


def fill(database: Database) -> None:
    """Write portfolios, their trading, and one long history."""
    orders_each = ORDERS // PORTFOLIOS
    with database.write() as session:
        factories.add_cast(session)
        for number in range(PORTFOLIOS):
            made = factories.add_portfolio(
                session,
                ALICE.id,
                f"Portfolio {number}",
                instrument=INSTRUMENTS[number % len(INSTRUMENTS)],
            )
            if number == 0:
                _add_history(session, made)
            factories.trade_through(session, made, cycles=60, seed=number)
            traded = session.query(OrderRecord).filter_by(portfolio_id=made.portfolio.id).count()
            first = factories.MARKET_NOW - timedelta(days=30)
            for past in range(orders_each - traded):
                at = first + timedelta(hours=past)
                cycle = factories.add_cycle(session, made, at, equity=None)
                factories.add_order(session, made, cycle, status="rejected", code="MARKET_HALTED")
        factories.add_heartbeat(session)


def measure(house: House, rounds: int) -> dict[str, tuple[Times, Times, int]]:
    """Return, by address, the times of LTS and of the peer in turns, and the page's bytes."""
    client = house.client(ALICE)
    found = {}
    newest = client.get("/live?v=0").headers["LTS-Sequence"]
    for address in ADDRESSES:
        path = address.replace("newest", newest)
        page = client.get(path)
        if page.status_code not in (200, 204):
            raise RuntimeError(f"{path} answered {page.status_code}")
        peer = bare_client(page.text)
        gc.collect()
        turns = [(_seconds(client, path), _seconds(peer, "/")) for _ in range(rounds)]
        own, bare = zip(*turns, strict=True)
        found[address] = (Times(own), Times(bare), len(page.data))
    return found


def bare_client(text: str) -> FlaskClient:
    """Return a client of an application that renders the text's lines and nothing else."""
    app = Flask("bare")
    lines = text.splitlines()

    @app.get("/")
    def page() -> str:
        return render_template_string(BARE_PAGE, lines=lines)

    return app.test_client()


def report(found: dict[str, tuple[Times, Times, int]]) -> None:
    """Print the figures."""
    print(f"{'':<26} {'LTS median':>11} {'p95':>8} {'peer':>8} {'p95':>8} {'bytes':>8}   (ms)")
    for address, (own, bare, size) in found.items():
        print(
            f"{address:<26} {own.middle:>11.2f} {own.slow:>8.2f} {bare.middle:>8.2f} "
            f"{bare.slow:>8.2f} {size:>8}"
        )


def main(arguments: list[str] | None = None) -> int:
    """Fill a database, measure and report; there is no limit to keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks dashboard", description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="requests of each address")
    requests = parser.parse_args(arguments).requests
    with tempfile.TemporaryDirectory(prefix="lts-pages-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        database = factories.new_database(folder)
        fill(database)
        print(
            f"{PORTFOLIOS} portfolios, {ORDERS} orders, {READINGS} readings of one portfolio; "
            f"{requests} requests each, in turns with a bare Flask route of the same size"
        )
        report(measure(build(folder, database), requests))
        database.close()
    return 0


def _add_history(session: Session, made: factories.Made) -> None:
    """Write the portfolio's readings, an hour apart, before all other trading."""
    start = factories.MARKET_NOW - timedelta(hours=READINGS + 1000)
    portfolio_id = made.portfolio.id
    ids = range(1, READINGS + 1)
    times = {number: start + timedelta(hours=number) for number in ids}
    session.execute(
        insert(CycleRecord),
        [
            {
                "id": number,
                "portfolio_id": portfolio_id,
                "slot": time.isoformat(),
                "status": "done",
                "market_time": time,
                "started_at": time,
                "finished_at": time,
            }
            for number, time in times.items()
        ],
    )
    session.execute(
        insert(EquityPointRecord),
        [
            {
                "portfolio_id": portfolio_id,
                "cycle_id": number,
                "market_time": time,
                "recorded_at": time,
                "balance": factories.CAPITAL,
                "equity": factories.CAPITAL + Decimal(number % 997),
                "exposure": Decimal(0),
                "margin_used": Decimal(0),
                "open_risk": Decimal(0),
            }
            for number, time in times.items()
        ],
    )
    bump(session, made.portfolio.user_id, portfolio_topic(portfolio_id))


def _seconds(client: FlaskClient, path: str) -> float:
    start = perf_counter()
    client.get(path)
    return perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
