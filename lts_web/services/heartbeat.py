"""The worker's sign of life, written by the wall clock while the process can write at all."""

from __future__ import annotations

import logging
import os
import socket
import threading

from lts_web.store.engine import Database, DatabaseError
from lts_web.store.heartbeats import beat, rest
from lts_web.trading.ports import Clock

logger = logging.getLogger(__name__)
INTERVAL_SECONDS = 5.0


class Heartbeat:
    """Beats on a thread of its own until stopped."""

    def __init__(self, database: Database, clock: Clock, owner: str, version: str) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner
        self._version = version
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the first beat and go on beating."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Write that the worker has stopped."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        with self._database.write() as session:
            rest(session, self._owner, self._clock())

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_SECONDS):
            try:
                self._beat()
            except DatabaseError as error:
                # The pages show a silent worker, which is what a full or locked disk makes of it.
                logger.warning("the heartbeat could not be written: %s", error)

    def _beat(self) -> None:
        with self._database.write() as session:
            beat(
                session,
                self._owner,
                process_id=os.getpid(),
                host=socket.gethostname()[:100],
                version=self._version,
                now=self._clock(),
            )
