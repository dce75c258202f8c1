"""The pages in a real browser: live without a reload, honest when things die, whole without
JavaScript, and never against the content policy."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

from lts_web.store.live import bump, portfolio_topic
from lts_web.store.models import AssetRecord, BrokerAccountRecord, DatasetRecord, PortfolioRecord
from tests import factories
from tests.cast import ALICE, CHARLIE, Member
from tests.web.house import House, build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = (1440, 900), (390, 844)
POLL_SECONDS = 0.5
# Long enough for a loaded machine; a passing test does not wait for it.
PATIENCE_MILLISECONDS = 15_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium is installed; apt-get install chromium"
    ),
]


@dataclass
class Clock:
    """Wall time that a test can move."""

    now: datetime = factories.NOW

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@dataclass
class Desk:
    """A served application, and browsers that look at it."""

    house: House
    clock: Clock
    address: str
    browser: Browser
    faults: list[str] = field(default_factory=list)

    def open(
        self,
        member: Member | None = ALICE,
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: str = "light",
        javascript: bool = True,
    ) -> Page:
        """Return a page, logged in; whatever the browser complains about is kept."""
        context = self.browser.new_context(
            base_url=self.address,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=javascript,
        )
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        if javascript:
            context.add_init_script(
                "addEventListener('securitypolicyviolation', event => console.error("
                "'policy violation: ' + event.violatedDirective + ' ' + event.blockedURI))"
            )
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._listen)
        if member is not None:
            page.goto("/login")
            page.fill("#username", member.username)
            page.fill("#password", member.password)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url("**/")
        return page

    def _listen(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def trade(self, equity: str) -> None:
        """Let Alice's first portfolio run one more cycle, as the worker would."""
        with self.house.database.write() as session:
            portfolio = session.get_one(PortfolioRecord, 1)
            account = session.get_one(BrokerAccountRecord, 1)
            dataset = session.get_one(DatasetRecord, 1)
            made = factories.Made(portfolio, account, dataset, session.get_one(AssetRecord, 1))
            self._market = getattr(self, "_market", factories.MARKET_NOW) + timedelta(hours=1)
            cycle = factories.add_cycle(session, made, self._market, equity=Decimal(equity))
            factories.add_decision(session, made, cycle, reason=f"Equity is {equity} now.")
            bump(session, portfolio.user_id, portfolio_topic(portfolio.id))

    def beat(self) -> None:
        """Let the worker give a sign of life."""
        with self.house.database.write() as session:
            factories.add_heartbeat(session, self.clock.now)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the module."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def desk(tmp_path: Path, browser: Browser) -> Iterator[Desk]:
    """Alice's two portfolios on a real server; afterwards no browser may have complained."""
    database = factories.new_database(tmp_path)
    clock = Clock()
    with database.write() as session:
        factories.add_cast(session)
        majors = factories.add_portfolio(session, ALICE.id, "Majors")
        invented = factories.add_portfolio(session, ALICE.id, "Demonstration", synthetic=True)
        factories.trade_through(session, majors, cycles=60)
        factories.trade_through(session, invented, cycles=12, seed=2)
        factories.add_heartbeat(session, clock.now)
    house = build(tmp_path, database, clock=clock, live_poll_seconds=POLL_SECONDS)
    server = make_server("127.0.0.1", 0, house.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made = Desk(house, clock, f"http://127.0.0.1:{server.server_port}", browser)
    yield made
    for context in browser.contexts:
        context.close()
    server.shutdown()
    thread.join()
    database.close()
    assert made.faults == []


def test_a_trade_appears_without_a_reload_and_nothing_jumps(desk: Desk) -> None:
    page = desk.open()
    page.goto("/portfolios/1")
    page.evaluate("window.unloaded = false; addEventListener('unload', () => window.unloaded = 1)")
    page.get_by_text("The latest figures as a table").click()
    page.evaluate("window.scrollTo(0, 220)")
    page.evaluate("document.querySelector('#run-now').focus({preventScroll: true})")
    for equity in ("12345.67", "12400.00"):
        desk.trade(equity)
        amount = f"{Decimal(equity):,.2f} USD"
        expect(page.locator("#part-summary")).to_contain_text(amount)
        expect(page.locator("#part-activity")).to_contain_text(f"Equity is {equity} now.")
        expect(page.locator("#part-equity details")).to_contain_text(amount)
    assert page.evaluate("document.activeElement.id") == "run-now"
    assert page.evaluate("document.querySelector('#part-equity details').open")
    assert page.evaluate("Math.round(scrollY)") == 220
    assert page.evaluate("window.unloaded") is False
    page.goto("/")
    desk.trade("12999.00")
    expect(page.locator("#part-desk")).to_contain_text("12,999.00 USD")


def test_text_that_is_being_typed_survives_a_refresh_around_it(desk: Desk) -> None:
    """No part has a text field yet, so one is put into the page and into its refresh."""
    page = desk.open()

    def with_field(route: Any) -> None:
        answer = route.fetch()
        bar = '<div class="lts-bar">'
        route.fulfill(response=answer, body=answer.text().replace(bar, f"{bar}<input id='note'>"))

    page.route(re.compile(r"/portfolios/1(/parts/summary)?$"), with_field)
    page.goto("/portfolios/1")
    page.locator("#note").press_sequentially("half a sen")
    desk.trade("10001.00")
    expect(page.locator("#part-summary")).to_contain_text("10,001.00 USD")
    page.keyboard.type("tence")
    assert page.locator("#note").input_value() == "half a sentence"


def test_only_the_parts_that_changed_are_fetched(desk: Desk) -> None:
    page = desk.open()
    page.goto("/portfolios/2")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url.removeprefix(desk.address)))
    page.wait_for_timeout(4 * POLL_SECONDS * 1000)
    polls = [url for url in fetched if url.startswith("/live")]
    assert len(polls) >= 2
    assert [url for url in fetched if "/parts/" in url] == []
    desk.trade("10002.00")  # of the other portfolio
    page.wait_for_timeout(4 * POLL_SECONDS * 1000)
    assert [url for url in fetched if "/parts/" in url] == []


def test_a_hidden_tab_does_not_ask(desk: Desk) -> None:
    page = desk.open()
    page.goto("/")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})"
    )
    page.wait_for_timeout(2 * POLL_SECONDS * 1000)
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.wait_for_timeout(4 * POLL_SECONDS * 1000)
    assert fetched == []
    desk.trade("10003.00")
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#part-desk")).to_contain_text("10,003.00 USD")


def test_figures_grey_out_when_the_worker_dies_and_come_back(desk: Desk) -> None:
    page = desk.open()
    page.goto("/portfolios/1")
    banner = page.locator("#worker-banner")
    expect(banner).to_be_hidden()
    desk.clock.now += timedelta(seconds=45)
    expect(banner).to_be_visible()
    expect(banner).to_contain_text(re.compile(r"last seen 4\d s ago"))
    assert page.evaluate("getComputedStyle(document.querySelector('.lts-figures')).filter") == (
        "grayscale(1)"
    )
    desk.beat()
    expect(banner).to_be_hidden()
    expect(page.locator("#worker-pulse")).to_have_attribute("data-state", "alive")


def test_a_lost_connection_is_said_and_healed_by_itself(desk: Desk) -> None:
    page = desk.open()
    page.goto("/portfolios/1")
    page.context.set_offline(True)
    expect(page.locator("#worker-banner")).to_contain_text("connection to LTS is lost")
    desk.trade("10500.00")
    page.context.set_offline(False)
    expect(page.locator("#part-summary")).to_contain_text("10,500.00 USD")
    expect(page.locator("#worker-banner")).to_be_hidden()
    # The browser itself reports the requests that failed; nothing else may have been wrong.
    desk.faults[:] = [
        fault
        for fault in desk.faults
        if "ERR_INTERNET_DISCONNECTED" not in fault and "Failed to fetch" not in fault
    ]


def test_a_part_that_failed_is_asked_for_again(desk: Desk) -> None:
    page = desk.open()
    page.goto("/portfolios/1")
    failures = iter([True, True])

    def answer(route: Any) -> None:
        if next(failures, False):
            route.fulfill(status=500, body="<p>not for a part</p>")
        else:
            route.continue_()

    page.route("**/parts/summary", answer)
    desk.trade("10600.00")
    expect(page.locator("#part-summary")).to_contain_text("10,600.00 USD")
    assert "not for a part" not in page.content()
    desk.faults[:] = [fault for fault in desk.faults if "500" not in fault]


def test_an_expired_session_leads_to_the_login_page_and_back(desk: Desk) -> None:
    page = desk.open()
    page.goto("/portfolios/1")
    desk.house.aaa.sessions.clear()
    page.wait_for_url(re.compile(r"/login\?next="))
    assert page.locator("#part-summary").count() == 0
    page.fill("#username", ALICE.username)
    page.fill("#password", ALICE.password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/portfolios/1")
    desk.faults[:] = [fault for fault in desk.faults if "401" not in fault]


def test_ages_tick_in_the_browser(desk: Desk) -> None:
    page = desk.open()
    page.goto("/portfolios/1")
    age = page.locator("#part-summary time.lts-age").last
    first = age.inner_text()
    expect(age).not_to_have_text(first)


def test_the_theme_follows_the_system_until_someone_chooses(desk: Desk) -> None:
    page = desk.open(scheme="dark")
    page.goto("/portfolios/1")
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.locator(".lts-theme button").click()  # auto → dark
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-bs-theme", "dark")


def test_everything_works_without_javascript(desk: Desk) -> None:
    page = desk.open(javascript=False, size=PHONE)
    expect(page.locator(".app-sidebar")).not_to_be_in_viewport()
    page.get_by_label("Menu").click()
    page.locator(".app-sidebar").get_by_role("link", name="Portfolios").click()
    page.get_by_role("link", name="Majors").click()
    expect(page.locator("#equity-chart svg polyline")).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("was asked to run a cycle now")).to_be_visible()
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_role("button", name="Activate")).to_be_visible()
    page.locator("#part-activity").get_by_role("link", name="#1", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("#1")
    page.goto("/orders")
    page.select_option("#state", "denied")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No order fits")).to_be_visible()
    page.get_by_role("button", name=re.compile("Theme")).click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.locator("details.lts-user summary").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_its_screen_and_can_be_read(
    desk: Desk, size: tuple[int, int], scheme: str
) -> None:
    page = desk.open(size=size, scheme=scheme)
    for path in (
        "/",
        "/portfolios",
        "/portfolios/1",
        "/portfolios/2",
        "/orders",
        "/orders/1",
        "/positions",
        "/decisions",
        "/decisions/4",
        "/plugins",
        "/help",
        "/nothing-here",
    ):
        page.goto(path)
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), f"{path} is too wide"
        assert page.evaluate(FAINT_TEXT) == [], path
    desk.faults[:] = [fault for fault in desk.faults if "404" not in fault]


# The contrast of every visible text with the first opaque background behind it, as WCAG 2 counts
# it; returns what stays below 4.5 (3 for large text).
FAINT_TEXT = """
() => {
  const parse = text => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith('color(') ? [...parts.slice(0, 3).map(x => 255 * x), parts[3]] : parts;
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(c => c / 255).map(
      c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const over = (top, under) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map(i => top[i] * alpha + under[i] * (1 - alpha));
  };
  const behind = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if ((color[3] ?? 1) > 0) layers.unshift(color);
    }
    return layers.reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.nodeValue.trim());
    const style = getComputedStyle(element);
    if (!own || style.visibility === 'hidden' || !element.getClientRects().length) continue;
    if (element.closest('.visually-hidden, .visually-hidden-focusable')) continue;
    const background = behind(element);
    const text = over(parse(style.color), background);
    const [a, b] = [light(text), light(background)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24
      || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      faint.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className}: `
        + element.textContent.trim().slice(0, 40));
    }
  }
  return [...new Set(faint)];
}
"""


def test_strangers_to_a_portfolio_see_an_error_page(desk: Desk) -> None:
    page = desk.open(CHARLIE)
    answer = page.goto("/portfolios/1")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_text("There is nothing here")).to_be_visible()
    desk.faults[:] = [fault for fault in desk.faults if "404" not in fault]


def test_the_policy_collector_would_notice(desk: Desk) -> None:
    """The net that all other tests rely on has no hole: an inline style is reported."""
    page = desk.open()
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    deadline = time.monotonic() + 5
    told = "policy violation: style-src"
    while not any(told in fault for fault in desk.faults):
        assert time.monotonic() < deadline, desk.faults
        page.wait_for_timeout(50)
    desk.faults.clear()
