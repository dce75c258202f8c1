"""Every condition on the stated list can be seen, says what is wrong, and leads to a page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from lts_web.services.conditions import CONDITIONS, ConditionName, Severity, conditions
from lts_web.services.health import health
from lts_web.store.engine import Database
from lts_web.store.models import WorkerHeartbeatRecord
from lts_web.store.queries import EVERYTHING, Scope, findings
from tests import factories
from tests.cast import ALICE, CHARLIE
from tests.factories import MARKET_NOW, NOW, Made
from tests.web.house import House

Spoil = Callable[[Session, Made], None]


def _silent(session: Session, made: Made) -> None:
    factories.add_heartbeat(session, NOW - timedelta(seconds=31))


def _never_seen(session: Session, made: Made) -> None:
    session.execute(delete(WorkerHeartbeatRecord))


def _unknown(session: Session, made: Made) -> None:
    cycle = factories.add_cycle(session, made, MARKET_NOW)
    factories.add_order(session, made, cycle, status="unknown")


def _unreadable(session: Session, made: Made) -> None:
    made.account.sync_error = "The venue did not answer."


def _differs(session: Session, made: Made) -> None:
    made.account.venue_balance = made.account.balance + Decimal("0.0001")


def _cycle(status: str) -> Spoil:
    def spoil(session: Session, made: Made) -> None:
        factories.add_cycle(session, made, MARKET_NOW, status=status, equity=None)

    return spoil


def _overdue(session: Session, made: Made) -> None:
    made.portfolio.next_due_at = NOW - timedelta(seconds=70)


def _denied(code: str) -> Spoil:
    def spoil(session: Session, made: Made) -> None:
        cycle = factories.add_cycle(session, made, MARKET_NOW)
        factories.add_decision(session, made, cycle, action="open", outcome="denied", code=code)

    return spoil


def _finished(session: Session, made: Made) -> None:
    made.portfolio.finished_at = NOW


CASES: dict[ConditionName, Spoil] = {
    ConditionName.WORKER_NEVER_SEEN: _never_seen,
    ConditionName.WORKER_SILENT: _silent,
    ConditionName.ORDERS_UNKNOWN: _unknown,
    ConditionName.RECONCILIATION_FAILING: _unreadable,
    ConditionName.BALANCE_DIFFERS: _differs,
    ConditionName.CYCLES_FAILED: _cycle("failed"),
    ConditionName.CYCLES_INTERRUPTED: _cycle("interrupted"),
    ConditionName.CYCLES_MISSED: _cycle("missed"),
    ConditionName.CYCLE_OVERDUE: _overdue,
    ConditionName.DATA_STALE: _denied("STALE_QUOTE"),
    ConditionName.DECISIONS_DENIED: _denied("LEVERAGE_LIMIT"),
    ConditionName.REPLAY_FINISHED: _finished,
}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A database in which nothing is wrong: one active portfolio of Alice's, a living worker."""
    database = factories.new_database(tmp_path)
    with database.write() as session:
        factories.add_cast(session)
        factories.add_heartbeat(session)
    return database


def spoilt(database: Database, spoil: Spoil | None) -> None:
    """Write the portfolio, and what is wrong with it."""
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Majors")
        if spoil is not None:
            spoil(session, made)


def test_the_cases_cover_the_list() -> None:
    assert set(CASES) | {ConditionName.PLUGIN_BROKEN} == set(CONDITIONS) == set(ConditionName)


def test_nothing_wrong_is_nothing_said(house: House, database: Database) -> None:
    spoilt(database, None)
    with database.read() as session:
        assert conditions(findings.findings(session, EVERYTHING, NOW), [], NOW) == []
    assert "Nothing. The worker lives" in house.client(ALICE).get("/").text


@pytest.mark.parametrize("name", CASES)
def test_each_condition_shows_alone_and_leads_somewhere(
    house: House, database: Database, name: ConditionName
) -> None:
    spoilt(database, CASES[name])
    with database.read() as session:
        found = conditions(findings.findings(session, EVERYTHING, NOW), [], NOW)
        foreign = findings.findings(session, Scope(CHARLIE.id), NOW)
        theirs = [condition.name for condition in conditions(foreign, [], NOW)]
    assert [condition.name for condition in found] == [name]
    assert name.value.startswith("worker") == bool(theirs), "Charlie hears of the worker alone"
    client = house.client(ALICE)
    assert str(found[0].sentence).split(":")[0] in client.get("/").text
    assert client.get(found[0].link).status_code == 200


def test_what_is_older_than_a_day_is_over(database: Database) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Majors")
        for status in ("failed", "interrupted", "missed"):
            before = NOW - timedelta(hours=25)
            factories.add_cycle(session, made, MARKET_NOW, recorded_at=before, status=status)
    with database.read() as session:
        assert conditions(findings.findings(session, EVERYTHING, NOW), [], NOW) == []


def test_missed_cycles_are_counted_one_by_one(database: Database) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Majors")
        factories.add_cycle(session, made, MARKET_NOW, status="missed", missed=7, equity=None)
    with database.read() as session:
        found = conditions(findings.findings(session, EVERYTHING, NOW), [], NOW)
    assert found[0].sentence == "Majors: 7 cycles missed in the last day."


@pytest.mark.parametrize("code", ["NO_BAR", "MARKET_CLOSED", "ASSET_POSITION_OPEN"])
def test_having_nothing_to_do_is_not_wrong(database: Database, code: str) -> None:
    spoilt(database, _denied(code))
    with database.read() as session:
        assert conditions(findings.findings(session, EVERYTHING, NOW), [], NOW) == []


def test_the_worst_comes_first(database: Database) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Majors")
        for spoil in (_finished, _cycle("failed"), _unreadable):
            spoil(session, made)
    with database.read() as session:
        found = conditions(
            findings.findings(session, EVERYTHING, NOW), [("broker", "my_broker")], NOW
        )
    severities = [condition.severity for condition in found]
    assert severities == sorted(severities, key=list(Severity).index)
    assert severities[0] is Severity.DANGER


@pytest.mark.parametrize(
    ("name", "check"),
    [
        (ConditionName.WORKER_SILENT, "worker"),
        (ConditionName.WORKER_NEVER_SEEN, "worker"),
        (ConditionName.CYCLE_OVERDUE, "queue"),
        (ConditionName.CYCLES_FAILED, "cycle"),
        (ConditionName.CYCLES_INTERRUPTED, "cycle"),
    ],
)
def test_health_degrades_with_its_part(database: Database, name: ConditionName, check: str) -> None:
    spoilt(database, CASES[name])
    with database.read() as session:
        found = health(findings.findings(session, EVERYTHING, NOW), NOW)
    assert found["status"] == "degraded"
    checks = found["checks"]
    assert isinstance(checks, dict)
    assert [part for part, state in checks.items() if state != "ok"] == [check]
