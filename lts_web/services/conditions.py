"""What can be wrong, as one stated list: each condition with its sentence, weight and link.

The dashboard, the health check and the help page all read this list; a condition that is not
here is not shown anywhere. Nothing here reads a database: the evidence comes as `Findings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from lts_web.store.queries.findings import ActivePortfolio, Counted, Findings, is_stale


class Severity(StrEnum):
    """How much a condition matters: trading is stopped, something is off, or good to know."""

    DANGER = "danger"
    WARNING = "warning"
    INFO = "info"


class ConditionName(StrEnum):
    """Every condition that LTS can report."""

    WORKER_NEVER_SEEN = "worker_never_seen"
    WORKER_SILENT = "worker_silent"
    ORDERS_UNKNOWN = "orders_unknown"
    RECONCILIATION_FAILING = "reconciliation_failing"
    BALANCE_DIFFERS = "balance_differs"
    CYCLES_FAILED = "cycles_failed"
    CYCLES_INTERRUPTED = "cycles_interrupted"
    CYCLES_MISSED = "cycles_missed"
    CYCLE_OVERDUE = "cycle_overdue"
    DATA_STALE = "data_stale"
    DECISIONS_DENIED = "decisions_denied"
    PLUGIN_BROKEN = "plugin_broken"
    REPLAY_FINISHED = "replay_finished"


# What each condition means and what to do; the help page prints this table.
CONDITIONS: dict[ConditionName, tuple[Severity, str]] = {
    ConditionName.WORKER_NEVER_SEEN: (
        Severity.DANGER,
        (
            "No worker has ever run on this database, so no cycle runs. Start it with `lts run`, "
            "or with `lts worker` beside `lts serve`."
        ),
    ),
    ConditionName.WORKER_SILENT: (
        Severity.DANGER,
        (
            "The worker gave no sign of life for 30 seconds or was stopped. No cycle runs and all "
            "figures are as old as its last sign. Look into the worker's log, then start it."
        ),
    ),
    ConditionName.ORDERS_UNKNOWN: (
        Severity.DANGER,
        (
            "It is not known whether an order reached its venue. Its asset opens nothing until the "
            "venue has been read; the worker tries at every cycle."
        ),
    ),
    ConditionName.RECONCILIATION_FAILING: (
        Severity.DANGER,
        "An account could not be read from its venue. Entries wait, exits stay possible.",
    ),
    ConditionName.BALANCE_DIFFERS: (
        Severity.DANGER,
        (
            "The venue's balance is not the one that our fills add up to. Compare the account's "
            "statement with the list of orders."
        ),
    ),
    ConditionName.CYCLES_FAILED: (
        Severity.WARNING,
        "A cycle of the last day ended with an error; its report names the asset and the reason.",
    ),
    ConditionName.CYCLES_INTERRUPTED: (
        Severity.WARNING,
        (
            "A worker ended in the middle of a cycle in the last day. Its orders were resolved by "
            "reading the venue; the cycle is not decided again."
        ),
    ),
    ConditionName.CYCLES_MISSED: (
        Severity.WARNING,
        "Cycles of the last day did not run at their time, for example because no worker ran.",
    ),
    ConditionName.CYCLE_OVERDUE: (
        Severity.WARNING,
        (
            "An active portfolio has not begun a cycle for more than three times its pace (and a "
            "minute), so its figures are old."
        ),
    ),
    ConditionName.DATA_STALE: (
        Severity.WARNING,
        "Decisions of the last day were denied because the quote was missing or too old.",
    ),
    ConditionName.DECISIONS_DENIED: (
        Severity.INFO,
        "Decisions of the last day were not let through; the codes say by which rule.",
    ),
    ConditionName.PLUGIN_BROKEN: (
        Severity.WARNING,
        "A plugin that is installed could not be loaded; the list of plugins says why.",
    ),
    ConditionName.REPLAY_FINISHED: (
        Severity.INFO,
        "A replay has used up its bars; give its assets longer data sets, or deactivate it.",
    ),
}

OVERDUE_GRACE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong now; `link` is the path of the page that shows more."""

    name: ConditionName
    sentence: str
    link: str

    @property
    def severity(self) -> Severity:
        """Return how much it matters."""
        return CONDITIONS[self.name][0]


def conditions(
    found: Findings, broken_plugins: Sequence[tuple[str, str]], now: datetime
) -> list[Condition]:
    """Return what is wrong at `now` (wall clock), the worst first.

    `broken_plugins` are (family, name) of the plugins that could not be loaded.
    """
    all_found = [
        *_worker(found, now),
        *_counted(found.unknown_orders),
        *_accounts(found),
        *_counted(found.cycles),
        *_denials(found),
        *_overdue(found, now),
        *_plugins(broken_plugins),
    ]
    order = list(Severity)
    return sorted(all_found, key=lambda condition: order.index(condition.severity))


def _worker(found: Findings, now: datetime) -> Iterator[Condition]:
    beat = found.heartbeat
    if beat is None:
        yield Condition(
            ConditionName.WORKER_NEVER_SEEN,
            "No worker was ever seen: nothing trades. Start it with “lts run”.",
            "/help#conditions",
        )
    elif beat.stopped_at is not None:
        yield Condition(
            ConditionName.WORKER_SILENT,
            "The worker is stopped: no cycle runs, and the figures are from before.",
            "/help#conditions",
        )
    elif beat.is_silent(now):
        yield Condition(
            ConditionName.WORKER_SILENT,
            "The worker gives no sign of life: no cycle runs, and the figures are from before.",
            "/help#conditions",
        )


_COUNTED = {
    "unknown": (
        ConditionName.ORDERS_UNKNOWN,
        "{n} of unknown outcome",
        "order",
        "/orders?status=unknown&portfolio={id}",
    ),
    "failed": (ConditionName.CYCLES_FAILED, "{n} failed in the last day", "cycle", None),
    "interrupted": (
        ConditionName.CYCLES_INTERRUPTED,
        "{n} interrupted in the last day",
        "cycle",
        None,
    ),
    "missed": (ConditionName.CYCLES_MISSED, "{n} missed in the last day", "cycle", None),
}


def _counted(rows: Iterable[Counted]) -> Iterator[Condition]:
    for row in rows:
        name, phrase, noun, link = _COUNTED[row.key]
        amount = f"1 {noun}" if row.count == 1 else f"{row.count} {noun}s"
        yield Condition(
            name,
            f"{row.portfolio_name}: {phrase.format(n=amount)}.",
            (link or "/portfolios/{id}#cycles").format(id=row.portfolio_id),
        )


def _accounts(found: Findings) -> Iterator[Condition]:
    for row in found.accounts:
        link = f"/portfolios/{row.portfolio_id}#accounts"
        if row.sync_error is not None:
            yield Condition(
                ConditionName.RECONCILIATION_FAILING,
                f"{row.portfolio_name}: the account {row.account_name} cannot be read from its "
                f"venue: {row.sync_error}",
                link,
            )
        if row.venue_balance is not None and row.venue_balance != row.balance:
            yield Condition(
                ConditionName.BALANCE_DIFFERS,
                f"{row.portfolio_name}: the venue says {row.venue_balance:,.4f} "
                f"{row.currency} for {row.account_name}, our fills say {row.balance:,.4f}.",
                link,
            )


def _denials(found: Findings) -> Iterator[Condition]:
    by_portfolio: dict[tuple[int, str], list[Counted]] = {}
    for row in found.denials:
        by_portfolio.setdefault((row.portfolio_id, row.portfolio_name), []).append(row)
    for (portfolio_id, portfolio_name), rows in by_portfolio.items():
        link = f"/decisions?outcome=denied&portfolio={portfolio_id}"
        for name, verb, chosen in (
            (
                ConditionName.DATA_STALE,
                "found no fresh quote",
                [row for row in rows if is_stale(row.key)],
            ),
            (
                ConditionName.DECISIONS_DENIED,
                "not let through",
                [row for row in rows if not is_stale(row.key)],
            ),
        ):
            total = sum(row.count for row in chosen)
            if total:
                noun = "1 decision" if total == 1 else f"{total} decisions"
                codes = ", ".join(f"{row.key} × {row.count}" for row in chosen[:3])
                yield Condition(
                    name, f"{portfolio_name}: {noun} {verb} in the last day ({codes}).", link
                )


def _overdue(found: Findings, now: datetime) -> Iterator[Condition]:
    worker_runs = found.heartbeat is not None and not found.heartbeat.is_silent(now)
    for portfolio in found.active:
        link = f"/portfolios/{portfolio.id}"
        if portfolio.finished_at is not None:
            yield Condition(
                ConditionName.REPLAY_FINISHED,
                f"{portfolio.name} has reached the end of its bars.",
                link,
            )
        elif worker_runs and is_overdue(portfolio, now):
            yield Condition(
                ConditionName.CYCLE_OVERDUE,
                f"{portfolio.name} is active and has not begun a cycle for too long.",
                link,
            )


def is_overdue(portfolio: ActivePortfolio, now: datetime) -> bool:
    """Return whether the portfolio's next cycle is later than three paces and a minute."""
    patience = 3 * timedelta(minutes=portfolio.latency_minutes or 0) + OVERDUE_GRACE
    due = portfolio.next_due_at
    last = portfolio.last_cycle_at
    if due is None:
        return last is not None and now - last > patience
    return now - due > patience


def _plugins(broken: Sequence[tuple[str, str]]) -> Iterator[Condition]:
    for family, name in broken:
        yield Condition(
            ConditionName.PLUGIN_BROKEN,
            f"The {family} plugin {name} could not be loaded.",
            "/plugins",
        )
