"""Columns that keep digits and zones, and refuse what they could not keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, func, select
from sqlalchemy.exc import StatementError

from lts_web.store.types import UtcTime, money_type, price_type, rate_type

METADATA = MetaData()
KEPT = Table(
    "kept",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("money", money_type()),
    Column("price", price_type()),
    Column("rate", rate_type()),
    Column("at", UtcTime),
)
PLACES = {"money": 4, "price": 8, "rate": 12}
TIMES = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5, minutes=30))]))


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    return engine


def store(engine: Engine, **values: object) -> tuple[object, ...]:
    with engine.begin() as connection:
        key = connection.execute(KEPT.insert().values(**values)).inserted_primary_key
        assert key is not None
        columns = [KEPT.c[name] for name in values]
        return tuple(connection.execute(select(*columns).where(KEPT.c.id == key[0])).one())


@pytest.mark.req("SYS-013")
@pytest.mark.parametrize("column", PLACES)
@given(data=st.data())
def test_every_digit_comes_back(engine: Engine, column: str, data: st.DataObject) -> None:
    largest = Decimal(2**63 - 1).scaleb(-PLACES[column])
    amount = data.draw(st.decimals(-largest, largest, places=PLACES[column]))
    assert store(engine, **{column: amount}) == (amount,)


@given(st.decimals("-1e6", "1e6", places=9))
def test_finer_amounts_are_rounded_half_even(engine: Engine, amount: Decimal) -> None:
    assert store(engine, money=amount) == (amount.quantize(Decimal("0.0001"), "ROUND_HALF_EVEN"),)


@given(TIMES)
def test_every_microsecond_comes_back_in_utc(engine: Engine, at: datetime) -> None:
    (kept,) = store(engine, at=at)
    assert kept == at
    assert isinstance(kept, datetime)
    assert kept.tzinfo is UTC


def test_nothing_stays_nothing(engine: Engine) -> None:
    assert store(engine, money=None, price=None, rate=None, at=None) == (None,) * 4


@pytest.mark.req("SYS-018")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"at": datetime(2026, 3, 4)}, "has no zone"),  # noqa: DTZ001
        ({"money": 0.1}, "no exact finite decimal"),
        ({"money": Decimal("NaN")}, "no exact finite decimal"),
        ({"price": Decimal("Infinity")}, "no exact finite decimal"),
        ({"money": Decimal(2**63).scaleb(-4)}, "too large"),
        ({"rate": Decimal("-1e30")}, "too large"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    engine: Engine, values: dict[str, object], words: str
) -> None:
    with pytest.raises((StatementError, ValueError), match=words):
        store(engine, **values)


def test_amounts_sort_and_sum_as_numbers(engine: Engine) -> None:
    amounts = [Decimal("10.5"), Decimal(-3), Decimal("9.0001")]
    with engine.begin() as connection:
        connection.execute(KEPT.delete())
        connection.execute(KEPT.insert(), [{"money": amount} for amount in amounts])
        ordered = connection.execute(select(KEPT.c.money).order_by(KEPT.c.money)).scalars().all()
        total = connection.execute(select(func.sum(KEPT.c.money))).scalar_one()
    assert ordered == sorted(amounts)
    assert total == sum(amounts)
