"""The gate: every denial can be reached, and what passes breaks no limit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lts_web.trading import market, risk
from lts_web.trading.codes import (
    DENIAL_SENTENCES,
    REJECT_SENTENCES,
    DenialCode,
    RejectCode,
    explain,
)
from lts_web.trading.decisions import Close, Open
from lts_web.trading.instruments import Side, find_instrument
from lts_web.trading.market import Bar, MarketView, Quote
from lts_web.trading.money import RateTable
from lts_web.trading.orders import Approved, Denied, OrderKind, Verdict
from lts_web.trading.risk import AssetPosition, RiskLimits, RiskState, review_close, review_open

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
EUR_USD = find_instrument("EUR_USD")
PRICE = Decimal("1.1")
BAR = Bar(NOW - timedelta(hours=1), PRICE, PRICE, PRICE, PRICE)
QUOTE = Quote(NOW, Decimal("1.0999"), Decimal("1.1001"))
VIEW = MarketView("EUR_USD", NOW, BAR, QUOTE, True, True, "stored")
STATE = RiskState(
    capital=Decimal(10_000),
    equity=Decimal(10_000),
    free_margin=Decimal(10_000),
    exposure=Decimal(0),
    open_positions=0,
)
LIMITS = RiskLimits(position_size=Decimal("0.1"))
BUY = Open(Side.BUY, stop_loss=Decimal("1.09"), take_profit=Decimal("1.12"))
SELL = Open(Side.SELL, stop_loss=Decimal("1.11"), take_profit=Decimal("1.08"))
POSITION = AssetPosition(7, "3", 1000, PRICE)
RATES = RateTable({})
USD_RATES = RateTable({"EUR_USD": PRICE})


def look(
    decision: Open = BUY,
    *,
    view: MarketView = VIEW,
    state: RiskState = STATE,
    limits: RiskLimits = LIMITS,
    rates: RateTable = RATES,
) -> Verdict:
    return review_open(decision, view, EUR_USD, state, limits, rates)


def quoted(**changes: object) -> MarketView:
    return replace(VIEW, quote=replace(QUOTE, **changes))  # type: ignore[arg-type]


def asked(**changes: object) -> Open:
    return replace(BUY, **changes)  # type: ignore[arg-type]


def having(**changes: object) -> RiskState:
    return replace(STATE, **changes)  # type: ignore[arg-type]


def within(**changes: object) -> RiskLimits:
    return replace(LIMITS, **changes)  # type: ignore[arg-type]


STALE = NOW - timedelta(minutes=5, microseconds=1)
ENTRIES: list[tuple[DenialCode, Callable[[], Verdict]]] = [
    (DenialCode.NO_BAR, lambda: look(view=replace(VIEW, has_new_bar=False))),
    (DenialCode.NO_BAR, lambda: look(view=replace(VIEW, bar=None))),
    (DenialCode.MARKET_CLOSED, lambda: look(view=replace(VIEW, market_open=False))),
    (DenialCode.ACCOUNT_UNREADABLE, lambda: look(state=having(account_readable=False))),
    (DenialCode.OUTCOME_UNKNOWN, lambda: look(state=having(outcome_unknown=True))),
    (DenialCode.ORDER_IN_FLIGHT, lambda: look(state=having(order_in_flight=True))),
    (DenialCode.ASSET_POSITION_OPEN, lambda: look(state=having(positions=(POSITION,)))),
    (DenialCode.POSITION_LIMIT, lambda: look(state=having(open_positions=20))),
    (DenialCode.POSITION_LIMIT, lambda: look(limits=within(max_open_positions=0))),
    (DenialCode.NO_QUOTE, lambda: look(view=replace(VIEW, quote=None))),
    (DenialCode.BAD_QUOTE, lambda: look(view=quoted(bid=Decimal("NaN")))),
    (DenialCode.CROSSED_QUOTE, lambda: look(view=quoted(bid=Decimal("1.2")))),
    (DenialCode.STALE_QUOTE, lambda: look(view=quoted(time=STALE))),
    (DenialCode.SPREAD_TOO_WIDE, lambda: look(limits=within(max_spread_pips=Decimal("1.9")))),
    (DenialCode.NO_ALLOCATION, lambda: look(state=having(capital=Decimal(0)))),
    (DenialCode.NO_CAPITAL, lambda: look(state=having(equity=Decimal(-5)))),
    (DenialCode.NO_STOP_LOSS, lambda: look(asked(stop_loss=None))),
    (DenialCode.NO_TAKE_PROFIT, lambda: look(asked(take_profit=None))),
    (DenialCode.PRICE_INVALID, lambda: look(asked(stop_loss=Decimal("NaN")))),
    (DenialCode.PRICE_INVALID, lambda: look(asked(take_profit=Decimal("1e12")))),
    (DenialCode.PRICE_INVALID, lambda: look(asked(stop_loss=Decimal("0.000001")))),
    (DenialCode.PRICE_INVALID, lambda: look(asked(stop_loss=Decimal(-1)))),
    (DenialCode.STOP_WRONG_SIDE, lambda: look(asked(stop_loss=Decimal("1.1001")))),
    (DenialCode.STOP_WRONG_SIDE, lambda: look(replace(SELL, stop_loss=Decimal("1.09")))),
    (DenialCode.TARGET_WRONG_SIDE, lambda: look(asked(take_profit=Decimal("1.1001")))),
    (DenialCode.TARGET_WRONG_SIDE, lambda: look(replace(SELL, take_profit=Decimal("1.2")))),
    (DenialCode.ORDER_TYPE_UNSUPPORTED, lambda: look(asked(order_type="limit"))),
    (DenialCode.NO_CONVERSION, lambda: look(state=having(account_currency="CHF"))),
    (DenialCode.UNITS_INVALID, lambda: look(asked(units=Decimal(0)))),
    (DenialCode.UNITS_INVALID, lambda: look(asked(units=Decimal("Infinity")))),
    (DenialCode.UNITS_ABOVE_MAXIMUM, lambda: look(asked(units=Decimal("1e999999")))),
    (DenialCode.UNITS_BELOW_MINIMUM, lambda: look(asked(units=Decimal("0.5")))),
    (DenialCode.MARGIN_INSUFFICIENT, lambda: look(state=having(free_margin=Decimal(0)))),
    (DenialCode.MARGIN_INSUFFICIENT, lambda: look(state=having(free_margin=Decimal(-9)))),
    (DenialCode.EXPOSURE_LIMIT, lambda: look(state=having(exposure=Decimal(99_999)))),
    (DenialCode.LEVERAGE_LIMIT, lambda: look(limits=within(max_leverage=Decimal("0.9")),
                                             state=having(exposure=Decimal(8990)))),
]  # fmt: skip


def exits(view: MarketView = VIEW, position_id: int | None = None, **changes: object) -> Verdict:
    state = replace(having(positions=(POSITION,)), **changes)  # type: ignore[arg-type]
    (verdict,) = review_close(Close(position_id), view, EUR_USD, state, LIMITS)
    return verdict


EXITS: list[tuple[DenialCode, Callable[[], Verdict]]] = [
    (DenialCode.NO_OPEN_POSITION, lambda: exits(positions=())),
    (DenialCode.NO_OPEN_POSITION, lambda: exits(position_id=8)),
    (DenialCode.OUTCOME_UNKNOWN, lambda: exits(outcome_unknown=True)),
    (DenialCode.ORDER_IN_FLIGHT, lambda: exits(order_in_flight=True)),
    (DenialCode.MARKET_CLOSED, lambda: exits(replace(VIEW, market_open=False))),
    (DenialCode.NO_QUOTE, lambda: exits(replace(VIEW, quote=None))),
    (DenialCode.STALE_QUOTE, lambda: exits(quoted(time=STALE))),
]


@pytest.mark.req("SYS-001", "INT-012")
@pytest.mark.parametrize(("code", "ask"), [*ENTRIES, *EXITS])
def test_every_rule_denies_with_its_code_and_words(
    code: DenialCode, ask: Callable[[], Verdict]
) -> None:
    verdict = ask()
    assert isinstance(verdict, Denied)
    assert verdict.code is code
    assert len(verdict.detail) < 400
    assert verdict.detail.endswith(".")


def test_every_code_that_the_gate_can_give_is_reached() -> None:
    given_codes: set[str] = set()
    for module in (risk, market):
        source = Path(module.__file__).read_text(encoding="utf-8")
        given_codes |= set(re.findall(r"DenialCode\.([A-Z_]+)", source))
    assert given_codes == {code.value for code, _ in [*ENTRIES, *EXITS]}


def test_every_code_has_a_sentence() -> None:
    assert set(DENIAL_SENTENCES) == set(DenialCode)
    assert set(REJECT_SENTENCES) == set(RejectCode)
    assert explain("NO_QUOTE") == DENIAL_SENTENCES[DenialCode.NO_QUOTE]
    assert explain("INSUFFICIENT_MARGIN") == REJECT_SENTENCES[RejectCode.INSUFFICIENT_MARGIN]
    assert explain("SOMETHING_NEW") == "Something new."


def test_an_entry_by_hand() -> None:
    verdict = look(replace(BUY, stop_loss=Decimal("1.0900012"), reason="up"))
    assert isinstance(verdict, Approved)
    intent = verdict.intent
    # 0.02 × 10,000 / (1.1001 − 1.09) = 19,801.98 at risk; 10,000 × 0.1 × 30 / 1.1001 = 27,270.25.
    assert (intent.units, intent.binding_cap) == (19_801, "risk")
    assert intent.decision_price == Decimal("1.1001")
    assert intent.stop_loss == Decimal("1.09000"), "a stop lies on the instrument's grid"
    assert intent.notional == Decimal("21783.0801")
    assert intent.margin == Decimal("726.1027")
    assert intent.initial_risk == Decimal("199.9901")
    assert [name for name, _ in verdict.trace] == [
        "market", "allocation", "protection", "cap risk", "cap capital", "cap margin",
        "cap maximum", "exposure",
    ]  # fmt: skip


def test_protection_may_be_waived() -> None:
    free = within(require_stop_loss=False, require_take_profit=False)
    verdict = look(Open(Side.SELL), limits=free)
    assert isinstance(verdict, Approved)
    assert verdict.intent.units < 0
    assert verdict.intent.initial_risk is None


def test_a_close_ends_the_whole_position_at_the_side_it_would_meet() -> None:
    short = AssetPosition(8, "4", -300, PRICE)
    state = having(
        positions=(POSITION, short), exposure=Decimal("1e9"), open_positions=99, equity=Decimal(-1)
    )
    long_close, short_close = review_close(Close(), VIEW, EUR_USD, state, LIMITS)
    assert isinstance(long_close, Approved)
    assert isinstance(short_close, Approved)
    assert (long_close.intent.units, long_close.intent.decision_price) == (-1000, QUOTE.bid)
    assert (short_close.intent.units, short_close.intent.decision_price) == (300, QUOTE.ask)
    assert (short_close.intent.kind, short_close.intent.trade_id) == (OrderKind.CLOSE, "4")
    (only,) = review_close(Close(8), VIEW, EUR_USD, state, LIMITS)
    assert only == short_close


MONEY = st.decimals("-100", "100000", places=4)
RICH = st.decimals("500", "100000", places=4)
FRACTIONS = st.decimals("0.001", "1", places=4)


@st.composite
def entries(draw: st.DrawFn) -> Open:
    """Draw an entry whose stop and target nearly always lie on their right sides."""
    side = draw(st.sampled_from(Side))
    right = st.decimals("0.0025", "0.2", places=7)
    wrong = st.decimals("-0.01", "0", places=5)
    away = st.one_of(st.none(), *[right] * 6, wrong)
    stop, target = draw(away), draw(away)
    return Open(
        side,
        units=draw(st.none() | st.decimals("1", "200000", places=2)),
        stop_loss=None if stop is None else PRICE - side.sign * stop,
        take_profit=None if target is None else PRICE + side.sign * target,
    )


# Most of what is drawn passes, else the property would prove little.
WORLDS = {
    "decision": entries(),
    "state": st.builds(
        RiskState,
        capital=RICH,
        equity=RICH,
        free_margin=RICH,
        exposure=st.decimals("0", "50000", places=4),
        open_positions=st.sampled_from([0, 1, 2, 3]),
        account_currency=st.sampled_from(["USD", "EUR"]),
        leverage=st.decimals("1", "100", places=1),
    ),
    "limits": st.builds(
        RiskLimits,
        require_stop_loss=st.sampled_from([False, False, True]),
        require_take_profit=st.sampled_from([False, False, True]),
        max_open_positions=st.sampled_from([3, 4, 9]),
        max_exposure=st.decimals("0.5", "40", places=1),
        max_leverage=st.decimals("0.5", "60", places=1),
        max_spread_pips=st.sampled_from([None, Decimal(1), Decimal("2.5")]),
        max_risk_per_trade=FRACTIONS,
        position_size=FRACTIONS,
    ),
    "spread": st.sampled_from([-1, *range(20)]),
}


@pytest.mark.req("SYS-001", "STC-005")
@settings(max_examples=300)
@given(**WORLDS)
def test_what_passes_breaks_no_limit(
    decision: Open, state: RiskState, limits: RiskLimits, spread: int
) -> None:
    ask = QUOTE.bid + spread * EUR_USD.price_step
    view = replace(VIEW, quote=replace(QUOTE, ask=ask))
    verdict = look(decision, view=view, state=state, limits=limits, rates=USD_RATES)
    if isinstance(verdict, Denied):
        assert verdict.code in DENIAL_SENTENCES
        return
    intent, sign = verdict.intent, decision.side.sign
    price, units = intent.decision_price, abs(intent.units)
    rate = USD_RATES.rate("USD", state.account_currency)
    assert rate is not None
    cent = Decimal("0.0001")  # Each amount was booked to four decimals.
    assert intent.side is decision.side
    assert price == (ask if decision.side is Side.BUY else QUOTE.bid)
    assert EUR_USD.minimum_units <= units <= EUR_USD.maximum_units
    assert decision.units is None or units <= decision.units
    assert abs(intent.notional - price * units * rate) <= cent
    assert state.exposure + intent.notional <= limits.max_exposure * state.equity
    assert state.exposure + intent.notional <= limits.max_leverage * state.equity
    assert intent.margin <= state.free_margin + cent
    allowed = min(limits.max_leverage, state.leverage)
    assert intent.notional <= state.capital * limits.position_size * allowed + cent
    assert state.open_positions < limits.max_open_positions
    assert spread >= 0
    assert limits.max_spread_pips is None or spread <= limits.max_spread_pips * 10
    if intent.stop_loss is None:
        assert not limits.require_stop_loss
        assert intent.initial_risk is None
    else:
        assert sign * (price - intent.stop_loss) > 0
        assert intent.stop_loss % EUR_USD.price_step == 0
        assert intent.initial_risk is not None
        assert intent.initial_risk <= limits.max_risk_per_trade * state.equity + cent
    if intent.take_profit is None:
        assert not limits.require_take_profit
    else:
        assert sign * (intent.take_profit - price) > 0
        assert intent.take_profit % EUR_USD.price_step == 0


@pytest.mark.req("STC-005")
@given(
    side=st.sampled_from(Side),
    units=st.none() | st.decimals(allow_nan=True, allow_infinity=True),
    stop=st.none() | st.decimals(allow_nan=True, allow_infinity=True),
    target=st.none() | st.decimals(allow_nan=True, allow_infinity=True),
)
def test_no_number_of_a_strategy_breaks_the_gate(
    side: Side, units: Decimal | None, stop: Decimal | None, target: Decimal | None
) -> None:
    verdict = look(Open(side, units, stop, target))
    assert len(repr(verdict)) < 5000


@given(equity=MONEY, exposure=st.decimals("0", "1e6", places=4), more=st.decimals("0", "1e6"))
def test_the_check_at_the_write_agrees_with_the_limits(
    equity: Decimal, exposure: Decimal, more: Decimal
) -> None:
    assume(more == more.quantize(Decimal("0.0001")))
    state = having(equity=equity, exposure=exposure)
    problem = risk.exposure_problem(state, LIMITS, more)
    allowed = min(LIMITS.max_exposure, LIMITS.max_leverage) * equity
    assert (problem is None) == (exposure + more <= allowed)
