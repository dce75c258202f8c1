"""The queue of wake-ups: signed messages only, one planned wake, and nothing that matters in it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from huey import SqliteHuey

from tests.real_processes import eventually
from worker.queue import SignedJson, make_queue, make_wake
from worker.tasks import FARTHEST_WAKE_SECONDS, Wakes, register

KEY = b"k" * 32


@contextmanager
def consuming(queue: SqliteHuey) -> Iterator[None]:
    """Run Huey's consumer in this process, as the worker does, but for its signal handlers."""
    consumer = queue.create_consumer(
        workers=1, worker_type="thread", periodic=False, max_delay=0.05, initial_delay=0.01
    )
    consumer._set_signal_handlers = lambda: None
    consumer.start()
    try:
        yield
    finally:
        consumer.stop(graceful=True)


@pytest.mark.req("INT-028", "STC-11")
@pytest.mark.parametrize("value", [{"a": [1, "two", None]}, datetime(2026, 1, 5, tzinfo=UTC), "x"])
def test_a_message_is_json_behind_its_signature(value: Any) -> None:
    serializer = SignedJson(KEY)
    message = serializer.serialize(value)
    signature, _, text = message.partition(b".")
    assert len(signature) == 64
    json.loads(text)
    assert serializer.deserialize(message) == value


@pytest.mark.req("INT-028", "STC-11", "SYS-018")
def test_what_is_not_signed_with_our_key_is_refused() -> None:
    serializer = SignedJson(KEY)
    message = serializer.serialize({"amount": 1})
    for forged in (
        message.replace(b"1}", b"9}"),
        SignedJson(b"z" * 32).serialize({"amount": 1}),
        message.partition(b".")[2],
        b"",
    ):
        with pytest.raises(ValueError, match="signature"):
            serializer.deserialize(forged)


@pytest.mark.req("INT-028", "SYS-011")
def test_a_forged_message_is_dropped_and_the_next_one_is_heard(tmp_path: Path) -> None:
    heard = threading.Event()
    queue = make_queue(tmp_path / "huey.db", KEY)
    wake = make_wake(queue, heard.set)
    forger = make_queue(tmp_path / "huey.db", b"z" * 32)
    stolen = make_wake(forger, lambda: None)
    stolen()
    with consuming(queue):
        eventually(lambda: queue.pending_count() == 0)
        time.sleep(0.1)
        assert not heard.is_set()
        wake()
        assert heard.wait(10)


@pytest.mark.req("SYS-009")
def test_a_wake_looks_and_plans_exactly_one_more(tmp_path: Path) -> None:
    looks: list[float] = []
    queue = make_queue(tmp_path / "huey.db", KEY)

    def run_due() -> float | None:
        looks.append(time.monotonic())
        return 0.2 if len(looks) < 3 else None

    wake = register(queue, run_due, lambda: None)
    for _ in range(5):
        wake()
    with consuming(queue):
        eventually(lambda: queue.pending_count() == 0)
        eventually(lambda: len(looks) >= 5)
        # The first look planned one more; the others found it planned.
        assert queue.scheduled_count() <= 1
        eventually(lambda: queue.scheduled_count() == 0)


def test_at_most_one_wake_is_planned_and_far_ones_are_left_to_the_clock() -> None:
    wakes = Wakes()
    assert wakes.plan(None) is None
    assert wakes.plan(FARTHEST_WAKE_SECONDS + 1) is None
    first = wakes.plan(30.0)
    assert first is not None
    assert abs(first - datetime.now(UTC) - timedelta(seconds=30)) < timedelta(seconds=1)
    assert wakes.plan(40.0) is None, "a later one was planned beside it"
    earlier = wakes.plan(5.0)
    assert earlier is not None
    wakes.woken()  # another wake arrives before that: it stays planned
    assert wakes.plan(5.0) is None
    due = wakes.plan(0.0)
    assert due is not None
    time.sleep(0.01)
    wakes.woken()
    assert wakes.plan(0.0) is not None


@pytest.mark.req("SYS-011")
def test_a_periodic_task_heals_a_lost_wake_and_another_maintains(tmp_path: Path) -> None:
    done: list[str] = []
    queue = make_queue(tmp_path / "huey.db", KEY)

    def run_due() -> None:
        done.append("looked")

    register(queue, run_due, lambda: done.append("maintained"))
    tasks = {task.name: task for task in queue._registry.periodic_tasks}
    assert set(tasks) == {"heal", "upkeep"}
    for minute in range(60):
        at = datetime(2026, 1, 5, 12, minute)  # noqa: DTZ001 - as Huey gives it
        assert tasks["heal"].validate_datetime(at)
        assert tasks["upkeep"].validate_datetime(at) == (minute == 17)
    for task in tasks.values():
        task.execute()
    assert sorted(done) == ["looked", "maintained"]
