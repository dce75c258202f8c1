"""The live poll: what it says, to whom, and that nothing committed is ever missed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lts_web.store.engine import Database
from lts_web.store.live import bump, bump_everyone, portfolio_topic
from lts_web.store.models import WorkerHeartbeatRecord
from lts_web.store.queries import system
from tests import factories
from tests.cast import ALICE, BOB, CAST, CHARLIE, VERA
from tests.web.house import House, build


def test_nothing_new_is_an_empty_answer(house: House) -> None:
    client = house.client(ALICE)
    first = client.get("/live?v=0")
    assert first.status_code == 204
    assert first.headers["HX-Trigger"] == "news, portfolio-1, portfolio-2, system"
    again = client.get(f"/live?v={first.headers['LTS-Sequence']}")
    assert again.status_code == 204
    assert "HX-Trigger" not in again.headers
    assert again.headers["LTS-Sequence"] == first.headers["LTS-Sequence"]
    assert again.data == b""


def test_a_change_names_its_topic_to_its_owner_and_administrators(
    house: House, database: Database
) -> None:
    clients = {member.id: house.client(member) for member in (ALICE, BOB, CHARLIE)}
    seen = {key: c.get("/live").headers["LTS-Sequence"] for key, c in clients.items()}
    with database.write() as session:
        bump(session, ALICE.id, portfolio_topic(1))
    news = {key: c.get(f"/live?v={seen[key]}").headers for key, c in clients.items()}
    assert news[ALICE.id]["HX-Trigger"] == "news, portfolio-1"
    assert news[BOB.id]["HX-Trigger"] == "news, portfolio-1"
    assert "HX-Trigger" not in news[CHARLIE.id]


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "9" * 40, "999999"])
def test_a_number_that_cannot_be_gets_everything(house: House, value: str) -> None:
    answer = house.client(ALICE).get(f"/live?v={value}")
    assert answer.status_code == 204
    assert "portfolio-1" in answer.headers["HX-Trigger"]


def test_the_workers_age_travels_with_every_poll(house: House, database: Database) -> None:
    client = house.client(ALICE)
    assert client.get("/live").headers["LTS-Worker-Age"] == "0"
    with database.write() as session:
        factories.add_heartbeat(session, factories.NOW - timedelta(seconds=47))
    assert client.get("/live").headers["LTS-Worker-Age"] == "47"
    with database.write() as session:
        factories.add_heartbeat(session, stopped=True)
    assert client.get("/live").headers["LTS-Worker-Age"] == "stopped"


def test_a_worker_that_was_never_seen(tmp_path: Path) -> None:
    database = factories.new_database(tmp_path)
    with database.write() as session:
        factories.add_cast(session)
    client = build(tmp_path, database).client(VERA)
    assert client.get("/live").headers["LTS-Worker-Age"] == "never"


def test_one_living_worker_is_enough(house: House, database: Database) -> None:
    with database.write() as session:
        factories.add_heartbeat(session, factories.NOW, stopped=True)
        session.add(
            WorkerHeartbeatRecord(
                owner="worker-2",
                process_id=1,
                host="desk",
                version="0.1.0",
                started_at=factories.NOW,
                seen_at=factories.NOW - timedelta(seconds=3),
            )
        )
    assert house.client(ALICE).get("/live").headers["LTS-Worker-Age"] == "3"


def test_an_expired_session_is_sent_to_the_login_page_as_a_whole(house: House) -> None:
    client = house.client(ALICE)
    house.aaa.sessions.clear()
    for path in ("/live?v=1", "/portfolios/1/parts/summary"):
        answer = client.get(
            path,
            headers={
                "HX-Request": "true",
                "HX-Current-URL": "http://localhost/portfolios/1?range=all",
            },
        )
        assert answer.status_code == 401
        assert answer.headers["HX-Redirect"] == "/login?next=/portfolios/1?range%3Dall"
        assert answer.data == b""


def test_a_page_carries_a_sequence_that_is_not_newer_than_its_data(
    house: House, database: Database
) -> None:
    client = house.client(ALICE)
    page = client.get("/portfolios/1").text
    with database.read() as session:
        latest = system.sequence(session, ALICE.id)
    assert f'data-sequence="{latest}"' in page


BUMPS = st.lists(
    st.tuples(st.sampled_from([ALICE.id, BOB.id, CHARLIE.id, None]), st.integers(1, 4)),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(bumps=BUMPS, polls=st.sets(st.integers(0, 24)))
def test_whoever_polls_at_any_time_hears_of_every_change(
    tmp_path_factory: pytest.TempPathFactory,
    bumps: list[tuple[int | None, int]],
    polls: set[int],
) -> None:
    """After each poll a reader has heard of exactly the topics that were bumped for them."""
    database = factories.new_database(tmp_path_factory.mktemp("live"))
    with database.write() as session:
        factories.add_cast(session)
    seen = {member.id: 0 for member in CAST}
    waiting: dict[int, set[str]] = {member.id: set() for member in CAST}
    for number, (user_id, portfolio_id) in enumerate(bumps):
        with database.write() as session:
            if user_id is None:
                bump_everyone(session)
            else:
                bump(session, user_id, portfolio_topic(portfolio_id))
        for member in CAST:
            if user_id is None:
                waiting[member.id].add("system")
            elif member.id == user_id or member.role == "admin":
                waiting[member.id].add(portfolio_topic(portfolio_id))
        if number in polls:
            with database.read() as session:
                for member in CAST:
                    news = system.news_since(session, member.id, seen[member.id])
                    assert set(news.topics) == waiting[member.id]
                    assert news.sequence >= seen[member.id]
                    seen[member.id], waiting[member.id] = news.sequence, set()
    database.close()
