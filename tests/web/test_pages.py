"""Every page with a filled database: what it shows, to whom, and without JavaScript."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import select

from lts_web.services.conditions import CONDITIONS
from lts_web.store.engine import Database
from lts_web.store.models import AuditLogRecord, PortfolioRecord, UserRecord
from lts_web.trading.codes import DenialCode, RejectCode
from lts_web.trading.orders import OrderStatus
from lts_web.trading.statistics import FORMULAS
from tests import factories
from tests.cast import ALICE, BOB, CHARLIE, VERA, Member
from tests.web.house import House, SomePlugin, build, csrf_token

PAGES = (
    "/",
    "/portfolios",
    "/portfolios/1",
    "/portfolios/1?range=all",
    "/portfolios/2",
    "/orders",
    "/orders?portfolio=1&status=filled",
    "/orders/1",
    "/positions",
    "/positions?state=closed",
    "/decisions",
    "/decisions?outcome=denied",
    "/decisions/4",
    "/plugins",
    "/help",
)
PARTS = (
    "/parts/dashboard",
    "/portfolios/parts/list",
    "/portfolios/1/parts/summary",
    "/portfolios/1/parts/equity",
    "/portfolios/1/parts/holdings",
    "/portfolios/1/parts/activity",
    "/parts/lists/orders",
    "/parts/lists/positions",
    "/parts/lists/decisions",
    "/orders/1/part",
)


class Outline(HTMLParser):
    """The tags of a page, checked for balance, with its ids."""

    VOID = frozenset(("br", "hr", "img", "input", "link", "meta"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.roots = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a tag."""
        if not self.open and tag not in self.VOID:
            self.roots += 1
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Pass a self-closing tag of a drawing."""

    def handle_endtag(self, tag: str) -> None:
        """Close a tag."""
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    """Return the outline of a page or part, which must be balanced."""
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids)), "an id stands twice"
    return parser


def test_every_page_answers_and_is_sound(house: House) -> None:
    client = house.client(ALICE)
    for path in PAGES:
        answer = client.get(path)
        assert answer.status_code == 200, path
        outline(answer.text)
        assert "<title>" in answer.text
        assert "Simulated" in answer.text, f"{path} does not say that it is simulated"


def test_every_part_has_one_root_that_fetches_itself(house: House) -> None:
    client = house.client(ALICE)
    for path in PARTS:
        part = client.get(path).text
        assert outline(part).roots == 1, path
        assert re.search(r'id="part-[a-z]+"', part.split(">")[0]), path


def test_a_page_includes_the_part_that_its_refresh_serves(house: House) -> None:
    client = house.client(ALICE)
    page = client.get("/portfolios/1").text
    for url in re.findall(r'hx-get="([^"]+/parts/[^"]+)"', page):
        part = client.get(url.replace("&amp;", "&")).text
        opening = part.split(">")[0]
        assert opening in page, url


@pytest.mark.req("SYS-006")
def test_the_dashboard_says_what_matters(house: House) -> None:
    page = house.client(ALICE).get("/").text
    for text in ("Running", "Equity", "Day’s profit", "Open positions", "at risk to the stops"):
        assert text in page
    assert "Anything wrong?" in page
    assert "2 of 2 portfolios active" in page
    assert 'href="/portfolios/1"' in page


def test_the_dashboard_of_a_newcomer_says_what_to_do(tmp_path: Path) -> None:
    database = factories.new_database(tmp_path)
    with database.write() as session:
        factories.add_cast(session)
    page = build(tmp_path, database).client(ALICE).get("/").text
    assert "There is no portfolio yet" in page
    assert "lts demo" in page
    assert "No worker was ever seen" in page


def test_the_days_profit_counts_from_the_trading_days_start(
    house: House, database: Database
) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Two days")
        start = factories.MARKET_NOW.replace(hour=20)  # 21:00 UTC is 17:00 New York in May
        for hours, equity in ((0, 9_000), (1, 9_500), (2, 9_700), (3, 9_750)):
            at = start + timedelta(hours=hours)
            factories.add_cycle(session, made, at, equity=Decimal(equity))
        number = made.portfolio.id
    page = house.client(ALICE).get(f"/portfolios/{number}/parts/summary").text
    assert "9,750.00 USD" in page
    assert "+250.00 USD" in page


def test_a_dead_worker_greys_the_figures_and_says_since_when(
    house: House, database: Database
) -> None:
    with database.write() as session:
        factories.add_heartbeat(session, factories.NOW - timedelta(seconds=31))
    page = house.client(ALICE).get("/portfolios/1").text
    assert "lts-stale" in page
    assert "The worker was last seen" in page
    assert "31 s ago" in page
    assert "Not running" in house.client(ALICE).get("/").text


def test_a_living_worker_leaves_the_figures_alone(house: House) -> None:
    page = house.client(ALICE).get("/portfolios/1").text
    assert "lts-stale" not in page
    assert re.search(r'id="worker-banner"[^>]* hidden', page)


@pytest.mark.req("SYS-006")
def test_an_order_shows_its_whole_history(house: House) -> None:
    page = house.client(ALICE).get("/orders/1").text
    for text in (
        "The fast average crossed above the slow one.",  # the decision's reason
        "open, with a sound quote",  # its trace
        "created",
        "submitted",
        "filled",
        "lts-a1b2c3d4-",  # the client order id
        "venue transaction",
        "Position #1",
        "Commission",
        "Billing",
        "Order #2",  # what closed it
        "Wholly filled.",
    ):
        assert text in page, text


def test_a_finished_order_asks_for_nothing_more(house: House, database: Database) -> None:
    client = house.client(ALICE)
    assert "hx-trigger" not in client.get("/orders/1/part").text
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Working")
        cycle = factories.add_cycle(session, made, factories.MARKET_NOW)
        order = factories.add_order(session, made, cycle, status="accepted")
    assert 'hx-trigger="portfolio-' in client.get(f"/orders/{order.id}/part").text


def test_refused_orders_and_decisions_say_why(house: House, database: Database) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Refused")
        cycle = factories.add_cycle(session, made, factories.MARKET_NOW)
        order = factories.add_order(
            session, made, cycle, status="rejected", code="INSUFFICIENT_MARGIN"
        )
        decision = factories.add_decision(
            session, made, cycle, action="open", outcome="denied", code="STALE_QUOTE", reason=""
        )
    client = house.client(ALICE)
    assert "margin did not cover the order" in client.get(f"/orders/{order.id}").text
    assert "The quote was too old" in client.get(f"/decisions/{decision.id}").text


def test_synthetic_and_live_are_marked_wherever_their_results_show(
    house: House, database: Database
) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Invented", synthetic=True, kind="live")
        factories.trade_through(session, made, cycles=6)
        order = made.portfolio.id
    client = house.client(ALICE)
    for path in ("/", f"/portfolios/{order}", "/orders", "/positions", "/decisions", "/help"):
        page = client.get(path).text
        assert "ynthetic" in page, path
        assert "Live money" in page, path
    assert "seeded model, not from a market" in client.get(f"/portfolios/{order}").text


def test_times_are_in_the_readers_zone_and_say_so(house: House, database: Database) -> None:
    with database.write() as session:
        alice = session.get(UserRecord, ALICE.id)
        assert alice is not None
        alice.time_zone = "Asia/Tokyo"
    page = house.client(ALICE).get("/portfolios/1").text
    assert "2019-05-14 23:00 JST" in page
    assert "times in Asia/Tokyo" in page


def test_lists_page_backwards_without_gaps(house: House, database: Database) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, CHARLIE.id, "Long")
        factories.trade_through(session, made, cycles=120)
    client, path, seen = house.client(CHARLIE), "/decisions", []
    while path:
        page = client.get(path).text
        seen += [int(number) for number in re.findall(r">#(\d+)</a></td>", page)]
        older = re.search(r'href="([^"]+before=\d+)"', page)
        path = older.group(1).replace("&amp;", "&") if older else ""
    assert len(seen) == 120
    assert seen == sorted(set(seen), reverse=True)


@pytest.mark.parametrize(
    "path",
    [
        "/orders?status=nonsense",
        "/orders?before=x",
        "/orders?portfolio=1e3",
        "/orders?before=" + "9" * 30,
    ],
)
def test_a_filter_that_means_nothing_is_refused(house: House, path: str) -> None:
    assert house.client(ALICE).get(path).status_code == 400


def test_a_long_history_is_sampled_and_says_so(house: House, database: Database) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, ALICE.id, "Old")
        for number in range(900):
            at = factories.MARKET_NOW + timedelta(hours=number)
            factories.add_cycle(session, made, at, equity=Decimal(10_000 + number))
        number = made.portfolio.id
    client = house.client(ALICE)
    recent = client.get(f"/portfolios/{number}/equity.json").json
    whole = client.get(f"/portfolios/{number}/equity.json?range=all").json
    assert recent["sampled"] is False
    assert recent["equity"] == [float(10_000 + each) for each in range(500, 900)]
    assert whole["sampled"] is True
    assert len(whole["equity"]) == 400
    assert (whole["equity"][0], whole["equity"][-1]) == (10_000.0, 10_899.0)
    assert whole["times"] == sorted(set(whole["times"]))
    assert "sampled at 400 instants" in client.get(f"/portfolios/{number}?range=all").text


@pytest.mark.req("SYS-002")
def test_buttons_change_the_portfolio_once_and_leave_a_trace(
    house: House, database: Database
) -> None:
    client = house.client(ALICE)

    def press(action: str) -> str:
        token = csrf_token(client.get("/portfolios/1").text)
        answer = client.post(f"/portfolios/1/{action}", data={"csrf_token": token})
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/portfolios/1"
        page: str = client.get("/portfolios/1").text
        return page

    assert "was asked to run a cycle now" in press("run")
    assert "is asked to run already" in press("run")
    assert "1 position stays open" in press("deactivate")
    assert "activate it before you run it" in press("run")
    assert "its first cycle starts now" in press("activate")
    assert len(house.wakes) == 3
    with database.read() as session:
        row = session.get(PortfolioRecord, 1)
        assert row is not None
        assert (row.status, row.run_requested_at, row.next_due_at) == (
            "active",
            None,
            factories.NOW,
        )
        trail = session.execute(select(AuditLogRecord.action, AuditLogRecord.actor)).all()
    assert [tuple(each) for each in trail] == [
        ("portfolio.run", "alice"),
        ("portfolio.deactivate", "alice"),
        ("portfolio.activate", "alice"),
    ]


def test_an_archived_portfolio_cannot_be_woken(house: House, database: Database) -> None:
    with database.write() as session:
        factories.add_portfolio(session, ALICE.id, "Archive", status="archived")
    client = house.client(ALICE)
    token = csrf_token(client.get("/portfolios/1").text)
    client.post("/portfolios/5/activate", data={"csrf_token": token})
    assert "an archived portfolio cannot trade" in client.get("/portfolios/5").text


def test_plugins_that_broke_say_why_to_administrators(tmp_path: Path, database: Database) -> None:
    broken = SomePlugin("broker", "my_broker", "broken", "No module named 'vendor'")
    house = build(tmp_path, database, plugins=(broken,))
    assert "No module named" in house.client(BOB).get("/plugins").text
    page = house.client(ALICE).get("/plugins").text
    assert "No module named" not in page
    assert "broken" in page
    assert "my_broker could not be loaded" in house.client(ALICE).get("/").text


def test_help_explains_every_state_code_figure_and_condition(house: House) -> None:
    page = house.client(ALICE).get("/help").text
    for name in (*DenialCode, *RejectCode):
        assert name in page
    for name in (*OrderStatus, *FORMULAS):
        assert name.replace("_", " ") in page
    for name in CONDITIONS:
        assert name.replace("_", " ").capitalize() in page


@pytest.mark.parametrize("member", [ALICE, BOB, CHARLIE, VERA])
def test_text_of_people_is_never_markup(house: House, database: Database, member: Member) -> None:
    with database.write() as session:
        made = factories.add_portfolio(session, member.id, "<script>alert(1)</script>")
        made.portfolio.description = "<img src=x onerror=alert(1)>"
        made.asset.status = "<b>bold</b>"
        cycle = factories.add_cycle(session, made, factories.MARKET_NOW, status="failed")
        cycle.errors = ["<i>error</i>"]
        decision = factories.add_decision(session, made, cycle, reason="<u>reason</u>")
        decision.inputs = {"<a>": "<a>"}
        number = made.portfolio.id
    client = house.client(member)
    for path in (f"/portfolios/{number}", "/decisions", f"/decisions/{decision.id}", "/"):
        page = client.get(path).text
        for markup in ("<script>alert", "<img src=x", "<b>bold", "<i>error", "<u>reason", "<a>"):
            assert markup not in page
