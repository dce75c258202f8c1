"""The queue of wake-ups: Huey on its own SQLite file, with signed JSON messages.

A message only says "look again"; what is to be done stands in LTS's own tables. Messages that are
not signed by this installation's key are dropped.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from huey import SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

logger = logging.getLogger(__name__)
_TIME = "__time__"
WAKE_EXPIRES = timedelta(minutes=10)


class SignedJson(Serializer):
    """Messages as JSON behind an HMAC-SHA256 of it."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def _serialize(self, data: Any) -> bytes:
        body = data._asdict() if isinstance(data, Message) else data
        text = json.dumps(body, default=_encode_time, separators=(",", ":")).encode()
        return self._signature(text) + b"." + text

    def _deserialize(self, data: bytes) -> Any:
        signature, _, text = bytes(data).partition(b".")
        if not hmac.compare_digest(signature, self._signature(text)):
            raise ValueError("a message of the queue does not carry this installation's signature")
        body = json.loads(text, object_hook=_decode_time)
        if isinstance(body, dict) and set(body) == set(Message._fields):
            return Message(**body)
        return body

    def _signature(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, hashlib.sha256).hexdigest().encode()


class WakeQueue(SqliteHuey):
    """The queue, which knows whether the consumer that it serves is being stopped."""

    consumer: Any = None

    def create_consumer(self, **options: Any) -> Any:
        """Return a consumer and remember it."""
        self.consumer = super().create_consumer(**options)
        return self.consumer

    def stopping(self) -> bool:
        """Return whether the consumer was told to stop, by whichever signal."""
        return self.consumer is not None and self.consumer.stop_flag.is_set()


def make_queue(path: Path, key: bytes) -> WakeQueue:
    """Return the queue in this file."""
    return WakeQueue(
        "lts",
        filename=str(path),
        results=False,
        utc=True,
        serializer=SignedJson(key),
        fsync=False,
    )


def make_wake(queue: SqliteHuey, look: Any) -> Any:
    """Register the wake-up task, which calls `look()`, and return it."""
    return queue.task(name="wake", expires=WAKE_EXPIRES)(look)


def _encode_time(value: Any) -> Any:
    if isinstance(value, datetime):
        return {_TIME: value.isoformat()}
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} cannot be part of a message")


def _decode_time(value: dict[str, Any]) -> Any:
    if set(value) == {_TIME}:
        return datetime.fromisoformat(value[_TIME])
    return value
