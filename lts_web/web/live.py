"""What a part of a page needs to refresh itself, and the headers of the live poll."""

from __future__ import annotations

from datetime import datetime

from flask import Flask

from lts_web.store.queries.system import Heartbeat, News

# Fired beside the topics whenever anything changed, for parts that show several portfolios.
ANYTHING = "news"


def install(app: Flask) -> None:
    """Give the templates the names of the events."""
    app.add_template_global(portfolio_event, "portfolio_event")
    app.jinja_env.globals["any_event"] = ANYTHING


def portfolio_event(portfolio_id: int) -> str:
    """Return the event that says that a portfolio has changed."""
    return f"portfolio-{portfolio_id}"


def headers(news: News, heartbeat: Heartbeat | None, now: datetime) -> dict[str, str]:
    """Return the poll's answer: the sequence, the worker's age, and events if there is news.

    The age is in seconds, "never" without a worker, "stopped" after a clean stop.
    """
    answer = {"LTS-Sequence": str(news.sequence), "LTS-Worker-Age": worker_age(heartbeat, now)}
    if news.topics:
        answer["HX-Trigger"] = ", ".join((ANYTHING, *news.topics))
    return answer


def worker_age(heartbeat: Heartbeat | None, now: datetime) -> str:
    """Return the worker's age as the poll tells it."""
    if heartbeat is None:
        return "never"
    if heartbeat.stopped_at is not None:
        return "stopped"
    return str(max(0, round((now - heartbeat.seen_at).total_seconds())))
