"""When a portfolio runs: its pace, run now, replay over bars with holes, the wall clock."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest

from lts_web.services.portfolios import Actor, AnswerCode, PortfolioService
from lts_web.store.models import (
    AssetRecord,
    AuditLogRecord,
    BrokerAccountRecord,
    CycleRecord,
    DecisionRecord,
    EquityPointRecord,
    FillRecord,
    LeaseRecord,
    PortfolioRecord,
    PositionRecord,
)
from tests.cycle.desk import Desk
from tests.cycle.plugins import PLUGINS, Slow, Unreadable, Witness
from tests.house_of_trading import START, House, flat_bars

HOUR = timedelta(hours=1)
LEVEL = 1.1


def script(letters: str) -> dict[str, object]:
    return {"strategy_plugin": "script", "strategy_config": {"letters": letters}}


@pytest.mark.req("SYS-002")
def test_a_replay_ends_and_says_so(desk: Desk, house: House) -> None:
    portfolio = house.portfolio()
    asset = house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([LEVEL] * 3)))
    desk.cycles(portfolio, 3)
    assert desk.portfolio(portfolio).finished_at is None
    assert desk.trading.service.due() == [portfolio]
    house.clock.pass_(minutes=1)
    assert desk.trading.service.run_portfolio(portfolio) is None
    row = desk.portfolio(portfolio)
    assert (row.status, row.finished_at, row.next_due_at) == ("active", house.clock(), None)
    assert [one.action for one in desk.rows(AuditLogRecord, object_type="portfolio")] == [
        "portfolio.replay_finished"
    ]
    assert desk.trading.service.due() == []
    assert desk.trading.service.run_portfolio(portfolio, forced=True) is None
    assert len(desk.rows(CycleRecord)) == len(desk.decisions(asset)) == 3


@pytest.mark.req("SYS-001", "SYS-003")
def test_the_steps_of_a_replay_are_the_union_of_all_bar_closes(desk: Desk, house: House) -> None:
    whole = flat_bars([LEVEL] * 6)
    portfolio = house.portfolio()
    first = house.asset(
        portfolio, "EUR_USD", house.dataset("EUR_USD", [whole[n] for n in (0, 1, 4, 5)])
    )
    second = house.asset(
        portfolio, "GBP_USD", house.dataset("GBP_USD", [whole[n] for n in (1, 2, 5)])
    )
    reports = desk.cycles(portfolio, 5)
    assert all(report["success"] for report in reports)
    steps = [row.market_time for row in desk.rows(CycleRecord)]
    assert steps == [START + HOUR * (n + 1) for n in (0, 1, 2, 4, 5)]
    assert [row.outcome for row in desk.decisions(first)] == [
        "held", "held", "no_bar", "held", "held",
    ]  # fmt: skip
    assert [row.outcome for row in desk.decisions(second)] == [
        "no_bar", "held", "held", "no_bar", "held",
    ]  # fmt: skip
    assert desk.decisions(second)[0].detail == "There is no bar yet."
    assert (START + HOUR * 3).isoformat() in desk.decisions(second)[3].detail
    assert desk.trading.service.run_portfolio(portfolio) is None


@pytest.mark.req("SYS-001")
def test_bars_outside_the_calendar_neither_trade_nor_test_stops(desk: Desk, house: House) -> None:
    # Friday 2024-03-08: the market closes at 22:00 UTC, and opens again on Sunday at 21:00 UTC,
    # since New York's summer time begins in that night.
    friday = START.replace(day=8, hour=19)
    inside = flat_bars([LEVEL] * 3, friday)
    outside = flat_bars([LEVEL - 0.02, LEVEL], friday + 3 * HOUR)
    sunday = flat_bars([LEVEL - 0.02], START.replace(day=10, hour=20))
    monday = flat_bars([LEVEL] * 2, START.replace(day=10, hour=21))
    bars = [*inside, *outside, *sunday, *monday]
    portfolio = house.portfolio()
    dataset = house.dataset("EUR_USD", bars)
    holder = house.asset(portfolio, "EUR_USD", dataset, **script("b......."))
    eager = house.asset(portfolio, "EUR_USD", dataset, **script("..bbbb.."))
    desk.cycles(portfolio, len(bars))
    assert [row.outcome for row in desk.decisions(holder)] == ["ordered", *["held"] * 7]
    [position] = desk.rows(PositionRecord)
    assert position.is_open, "a stop was tested on a bar outside the calendar"
    # The bar that closes with the market decides nothing either; that of Sunday 20:00 closes just
    # as the market opens, and still lies outside.
    assert desk.told(eager)[2:6] == [("denied", "MARKET_CLOSED")] * 4
    desk.adds_up(portfolio)


@pytest.mark.req("SYS-006")
def test_a_far_off_bar_outside_the_calendar_changes_nobodys_worth(desk: Desk, house: House) -> None:
    friday = START.replace(day=8, hour=19)
    bars = [
        *flat_bars([LEVEL, LEVEL, LEVEL + 0.001], friday),
        *flat_bars([LEVEL + 0.5], friday + 3 * HOUR),
    ]
    portfolio = house.portfolio()
    house.asset(
        portfolio, "EUR_USD", house.dataset("EUR_USD", bars),
        strategy_plugin="witness", strategy_config={"letters": "b"},
    )  # fmt: skip
    Witness.told.clear()
    [account] = desk.rows(BrokerAccountRecord)
    for _ in bars:
        desk.cycle(portfolio)
        point = desk.rows(EquityPointRecord)[-1]
        worth = house.venues.venue(account.venue_key).account()
        assert (point.balance, point.equity) == (worth.balance, worth.equity)
        told = Witness.told[-1]
        unrealized = sum(one["unrealized_pnl"] for one in told["open_positions"])
        assert told["equity"] == float(worth.equity)
        assert unrealized == float(worth.unrealized_pnl)
    assert len(Witness.told[-1]["open_positions"]) == 1


@pytest.mark.req("SYS-002", "SYS-007", "STC-12")
def test_run_now_is_one_cycle_beside_the_schedule(desk: Desk, house: House) -> None:
    portfolio = house.portfolio(latency_minutes=60.0)
    house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([LEVEL] * 9)))
    desk.cycle(portfolio)
    assert desk.trading.service.run_portfolio(portfolio) is None
    woken = threading.Event()
    pages = PortfolioService(house.database, woken.set, house.clock)
    asked = pages.request_run(Actor(house.user_id, "alice"), portfolio)
    assert (asked.code, woken.is_set()) == (AnswerCode.DONE, True)
    assert desk.trading.service.due() == [portfolio]
    desk.cycle(portfolio)
    assert [row.trigger for row in desk.rows(CycleRecord)] == ["schedule", "manual"]
    assert desk.trading.service.due() == []
    desk.cycle(portfolio, forced=True, trigger="command")
    assert desk.last_cycle(portfolio).trigger == "command"
    assert desk.trading.service.seconds_until_due() == 3600


@pytest.mark.req("SYS-002")
def test_forced_runs_an_inactive_portfolio_and_never_an_archived_one(
    desk: Desk, house: House
) -> None:
    portfolio = house.portfolio(status="inactive", next_due_at=None)
    house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([LEVEL] * 9)))
    assert desk.trading.service.run_portfolio(portfolio) is None
    desk.cycle(portfolio, forced=True)
    assert desk.portfolio(portfolio).next_due_at is None
    desk.change(PortfolioRecord, portfolio, status="archived")
    assert desk.trading.service.run_portfolio(portfolio, forced=True) is None
    assert desk.trading.service.run_portfolio(4711, forced=True) is None


@pytest.mark.req("SYS-009")
def test_the_latency_is_the_pace(desk: Desk, house: House) -> None:
    portfolio = house.portfolio(latency_minutes=0.05)
    house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([LEVEL] * 9)))
    service = desk.trading.service
    desk.cycle(portfolio)
    assert service.seconds_until_due() == 3.0
    house.clock.pass_(seconds=2.9)
    assert (service.due(), service.run_portfolio(portfolio)) == ([], None)
    house.clock.pass_(seconds=0.1)
    assert (service.due(), service.seconds_until_due()) == ([portfolio], 0.0)
    desk.cycle(portfolio)
    assert len(desk.rows(CycleRecord)) == 2


@pytest.mark.req("SYS-001", "SYS-011")
def test_missed_cycles_of_a_live_portfolio_are_one_row_with_a_count(
    desk: Desk, house: House
) -> None:
    house.clock.now = START.replace(hour=12)
    bars = house.dataset("EUR_USD", starts_at=START)  # the synthetic model has all bars
    portfolio = house.portfolio(feed="live", latency_minutes=10.0)
    asset = house.asset(portfolio, "EUR_USD", bars)
    desk.cycle(portfolio)
    house.clock.pass_(minutes=45)  # due after 10, so 35 minutes late: three were missed
    desk.cycle(portfolio)
    first, missed, second = desk.rows(CycleRecord)
    assert (first.status, missed.status, missed.missed, second.status) == (
        "done", "missed", 3, "done",
    )  # fmt: skip
    assert second.market_time == house.clock()
    assert len(desk.decisions(asset)) == 2, "a missed cycle decided something"
    assert desk.trading.service.seconds_until_due() == 600


@pytest.mark.req("SYS-001")
def test_a_live_portfolio_denies_what_rests_on_an_old_quote(desk: Desk, house: House) -> None:
    house.clock.now = START.replace(hour=12)
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 3))  # the last one closes at 12:00
    portfolio = house.portfolio(feed="live", latency_minutes=1.0)
    asset = house.asset(portfolio, "EUR_USD", bars, **script("..b"))
    house.clock.pass_(seconds=61)
    desk.cycle(portfolio)
    assert desk.told(asset) == [("denied", "STALE_QUOTE")]
    house.clock.pass_(hours=1)
    desk.cycle(portfolio)
    assert desk.told(asset)[-1] == ("no_bar", "NO_BAR")


@pytest.mark.req("SYS-001", "SYS-006")
def test_an_opposite_signal_closes_now_and_enters_in_the_next_cycle(
    desk: Desk, house: House
) -> None:
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 8))
    asset = house.asset(portfolio, "EUR_USD", bars, **script("bbsss..."))
    desk.cycles(portfolio, 8)
    assert desk.told(asset)[:5] == [
        ("ordered", None),
        ("denied", "ASSET_POSITION_OPEN"),  # the same side: no pyramiding
        ("ordered", None),  # the other side: the close
        ("ordered", None),  # and only now the entry
        ("denied", "ASSET_POSITION_OPEN"),
    ]
    assert [(one.kind, one.side) for one in desk.orders(asset)] == [
        ("entry", "buy"), ("close", "sell"), ("entry", "sell"),
    ]  # fmt: skip
    turn = desk.decisions(asset)[2]
    assert (turn.action, turn.trace[0][0]) == ("open", "opposite signal")
    assert [row.side for row in desk.rows(PositionRecord)] == ["long", "short"]
    desk.adds_up(portfolio)


@pytest.mark.req("SYS-003", "SYS-006")
def test_a_disabled_asset_decides_nothing_and_is_still_valued(desk: Desk, house: House) -> None:
    prices = [LEVEL, LEVEL, LEVEL + 0.0020, LEVEL - 0.0300, LEVEL]
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", flat_bars(prices))
    asset = house.asset(portfolio, "EUR_USD", bars, **script("b....c"))
    other = house.asset(portfolio, "EUR_USD", bars, **script("."))
    desk.cycles(portfolio, 2)
    desk.change(AssetRecord, asset, enabled=False)
    desk.cycle(portfolio)
    [position] = desk.rows(PositionRecord)
    assert position.is_open
    assert str(position.current_price) == "1.10200000"
    assert position.unrealized_pnl > 0
    desk.cycle(portfolio)
    [position] = desk.rows(PositionRecord)
    assert (position.is_open, position.close_reason) == (False, "stop_loss")
    assert (len(desk.decisions(asset)), len(desk.decisions(other))) == (2, 4)
    desk.adds_up(portfolio)


@pytest.mark.req("SYS-009", "STC-006")
def test_25_portfolios_run_three_at_a_time_longest_overdue_first(house: House) -> None:
    Slow.now = Slow.most = 0
    terms = {"max_concurrent_portfolios": 3}
    desk = Desk.open(house, PLUGINS, parameters={("pipeline", "default_pipeline"): terms})
    bars = house.dataset("EUR_USD", flat_bars([LEVEL]))
    portfolios = []
    for number in range(25):
        due = house.clock() - timedelta(minutes=(number * 7) % 25)
        portfolio = house.portfolio(f"P{number}", next_due_at=due, latency_minutes=60.0)
        house.asset(
            portfolio, "EUR_USD", bars, strategy_plugin="slow", strategy_config={"together": 3}
        )
        portfolios.append((due, portfolio))
    held: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            leases = desk.rows(LeaseRecord)
            held.append(sum(lease.owner is not None for lease in leases))

    watcher = threading.Thread(target=look)
    watcher.start()
    desk.trading.run_due()
    done.set()
    watcher.join()
    cycles = desk.rows(CycleRecord)
    assert [row.status for row in cycles] == ["done"] * 25
    assert {row.portfolio_id for row in cycles} == {one for _, one in portfolios}
    # Taken up in the order of their due instants: whenever one is claimed, those that are longer
    # overdue have been claimed or are just being so by the two others in flight.
    waiting = [one for _, one in sorted(portfolios)]
    for row in cycles:
        assert waiting.index(row.portfolio_id) <= 2
        waiting.remove(row.portfolio_id)
    assert Slow.most == 3
    assert 1 <= max(held) <= 3
    assert len(desk.rows(DecisionRecord)) == 25
    desk.owner.close()


@pytest.mark.req("SYS-009", "STC-006")
def test_two_processes_share_one_limit(house: House) -> None:
    terms = {("pipeline", "default_pipeline"): {"max_concurrent_portfolios": 2}}
    desks = [Desk.open(house, PLUGINS, parameters=terms) for _ in range(2)]
    bars = house.dataset("EUR_USD", flat_bars([LEVEL]))
    portfolios = [house.portfolio(f"P{number}") for number in range(3)]
    for portfolio in portfolios:
        house.asset(portfolio, "EUR_USD", bars)
    running = ExitStack()

    def claimed(desk: Desk, portfolio: int) -> bool:
        claims = desk.trading.claims
        running.enter_context(claims.holding(portfolio))
        plan = claims.plan(portfolio)
        assert plan is not None
        return claims.claim(plan, 2) is not None

    assert claimed(desks[0], portfolios[0])
    assert not claimed(desks[1], portfolios[0]), "one portfolio was claimed twice"
    assert claimed(desks[1], portfolios[1])
    assert not claimed(desks[0], portfolios[2]), "the limit holds over all processes"
    desks[1].owner.close()  # it dies, and its lease no longer counts
    assert claimed(desks[0], portfolios[2])
    running.close()
    desks[0].owner.close()


@pytest.mark.req("SYS-011", "SYS-009")
def test_a_clock_that_steps_back_stops_no_portfolio(desk: Desk, house: House) -> None:
    portfolio = house.portfolio(latency_minutes=30.0)
    house.asset(portfolio, "EUR_USD", house.dataset("EUR_USD", flat_bars([LEVEL] * 9)))
    desk.cycle(portfolio)
    house.clock.pass_(minutes=-60)  # due in an hour and a half: that may be meant
    assert desk.trading.service.due() == []
    house.clock.pass_(hours=-24)
    assert desk.trading.service.due() == [portfolio]
    desk.cycle(portfolio)
    assert desk.trading.service.seconds_until_due() == 1800


@pytest.mark.req("SYS-011", "STC-16")
def test_an_account_that_cannot_be_read_denies_entries_and_puts_the_next_cycle_off(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {"error_retry_count": 2, "error_retry_delay": 90.0}
    portfolio = house.portfolio(latency_minutes=0.5, pipeline_config=terms)
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 9))
    asset = house.asset(portfolio, "EUR_USD", bars, broker_plugin="unreadable", **script("bbbbb"))
    service = desk.trading.service
    delays = []
    for _ in range(3):
        desk.cycle(portfolio)
        delays.append(service.seconds_until_due())
        house.clock.pass_(seconds=delays[-1] or 0)
    # Twice the cycle waits for the venue; after that it goes on at its own pace.
    assert delays == [90.0, 90.0, 30.0]
    assert desk.told(asset) == [("denied", "ACCOUNT_UNREADABLE")] * 3
    monkeypatch.setattr(Unreadable, "down", False)
    desk.change(AssetRecord, asset, strategy_config={"letters": "."})
    desk.cycle(portfolio)
    assert service.seconds_until_due() == 30.0
    assert desk.decision(asset).outcome == "held"
    assert desk.rows(FillRecord) == []


@pytest.mark.req("SYS-011")
def test_a_stop_ends_the_cycle_in_order(house: House) -> None:
    def reach(step: str) -> None:
        if step == "decide.done":  # the first asset has decided
            desk.trading.service.stop()

    desk = Desk.open(house, PLUGINS, reach=reach)
    portfolio = house.portfolio()
    bars = house.dataset("EUR_USD", flat_bars([LEVEL] * 9))
    first = house.asset(portfolio, "EUR_USD", bars, **script("b"))
    second = house.asset(portfolio, "EUR_USD", bars, **script("b"))
    report = desk.cycle(portfolio)
    assert report["success"]
    assert desk.last_cycle(portfolio).status == "done"
    assert desk.told(first) == [("ordered", None)]
    assert desk.told(second) == [("denied", "STEP_ABANDONED")]
    assert desk.trading.service.run_portfolio(portfolio) is None
    assert [lease.owner for lease in desk.rows(LeaseRecord)] == [None]
    desk.owner.close()
