"""What a person can ask of a portfolio: activate it, deactivate it, run it now.

Each request is one transaction with its audit row and the news for the pages; the worker is woken
after it. Whether the person may ask is decided by the page or endpoint, not here; nothing here
trades.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lts_web.store import portfolios as store
from lts_web.store.audit import write_audit
from lts_web.store.engine import Database, Session
from lts_web.store.live import bump, portfolio_topic


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, for the audit log: user id, name, network address and request id."""

    user_id: int | None
    name: str
    address: str | None = None
    request_id: str | None = None


class AnswerCode(StrEnum):
    """What became of a request."""

    DONE = "done"
    UNCHANGED = "unchanged"
    MISSING = "missing"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a request and its sentence for people."""

    code: AnswerCode
    sentence: str

    @property
    def refused(self) -> bool:
        """Return whether the request could not be granted."""
        return self.code in {AnswerCode.MISSING, AnswerCode.REFUSED}


_MISSING = Answer(AnswerCode.MISSING, "There is no such portfolio.")


class PortfolioService:
    """The requests; `wake` tells the worker that something is due, `clock` is wall time."""

    def __init__(
        self, database: Database, wake: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._wake = wake
        self._clock = clock

    def activate(self, actor: Actor, portfolio_id: int) -> Answer:
        """Let the portfolio trade from now on; an active one stays as it is."""
        now = self._clock()
        with self._database.write() as session:
            before = store.state_of(session, portfolio_id)
            if before is None:
                return _MISSING
            if before.status == "active":
                return Answer(AnswerCode.UNCHANGED, f"{before.name} is active already.")
            if not store.change_status(
                session, portfolio_id, "active", expected=("inactive",), next_due_at=now, now=now
            ):
                return Answer(
                    AnswerCode.REFUSED,
                    f"{before.name} is {before.status}, and an {before.status} portfolio cannot "
                    "trade. Create a new one.",
                )
            self._note(session, actor, "portfolio.activate", before, now)
        self._wake()
        return Answer(AnswerCode.DONE, f"{before.name} is active; its first cycle starts now.")

    def deactivate(self, actor: Actor, portfolio_id: int) -> Answer:
        """Start no further cycle; open positions stay open with their stops at the venue."""
        now = self._clock()
        with self._database.write() as session:
            before = store.state_of(session, portfolio_id)
            if before is None:
                return _MISSING
            if not store.change_status(
                session, portfolio_id, "inactive", expected=("active",), next_due_at=None, now=now
            ):
                return Answer(AnswerCode.UNCHANGED, f"{before.name} is not active.")
            left = store.open_position_count(session, portfolio_id)
            self._note(session, actor, "portfolio.deactivate", before, now)
        sentence = f"{before.name} is inactive; a cycle that runs now is finished first."
        if left:
            noun = "1 position stays" if left == 1 else f"{left} positions stay"
            sentence += f" {noun} open, with stops and targets at the venue."
        return Answer(AnswerCode.DONE, sentence)

    def request_run(self, actor: Actor, portfolio_id: int) -> Answer:
        """Ask for one cycle now, beside the schedule."""
        now = self._clock()
        with self._database.write() as session:
            before = store.state_of(session, portfolio_id)
            if before is None:
                return _MISSING
            if before.status != "active":
                return Answer(
                    AnswerCode.REFUSED,
                    f"{before.name} is {before.status}; activate it before you run it.",
                )
            asked = store.request_run(session, portfolio_id, now)
            if asked:
                self._note(session, actor, "portfolio.run", before, now)
        # Also when it was asked for already: that wake may have been lost.
        self._wake()
        if not asked:
            return Answer(AnswerCode.UNCHANGED, f"{before.name} is asked to run already.")
        return Answer(AnswerCode.DONE, f"{before.name} was asked to run a cycle now.")

    def _note(
        self,
        session: Session,
        actor: Actor,
        action: str,
        before: store.PortfolioState,
        now: datetime,
    ) -> None:
        write_audit(
            session,
            actor=actor.name,
            user_id=actor.user_id,
            action=action,
            object_type="portfolio",
            object_id=before.id,
            details={"name": before.name, "status_before": before.status},
            address=actor.address,
            request_id=actor.request_id,
            now=now,
        )
        bump(session, before.user_id, portfolio_topic(before.id))
