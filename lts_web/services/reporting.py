"""The last transaction of a cycle: what it decided, what it is worth, and that it is over.

Every asset leaves a decision row, also where nothing was done; the portfolio an equity point; the
lease is freed in the same transaction that ends the cycle.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from lts_web.services.runs import AssetRun, CycleRun
from lts_web.store import cycles as cycle_store
from lts_web.store import reports as store
from lts_web.store.decisions import decision_values, plain
from lts_web.store.engine import Database, Session
from lts_web.store.live import bump, portfolio_topic
from lts_web.store.models import BrokerAccountRecord
from lts_web.trading.codes import explain
from lts_web.trading.money import ZERO, round_money
from lts_web.trading.positions import open_risk, unrealized_pnl

SNAPSHOT_BYTES = 4_000


class Reporter:
    """Writes the end of cycles."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        reach: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._reach = reach
        self._snapshots: dict[tuple[str, str, str], str] = {}
        self._closed_before: dict[int, int] = {}

    def finish(self, run: CycleRun, snapshots: list[dict[str, Any]]) -> dict[str, Any]:
        """Write everything the cycle leaves and end it; return its report."""
        now = self._clock()
        failed = any(asset.outcome == "failed" for asset in run.assets.values())
        with self._database.write() as session:
            if cycle_store.lease_token(session, run.portfolio_id)[0] != run.lease_token:
                # Whoever has taken the portfolio over has marked this cycle interrupted.
                run.closed = True
                return {"success": False, "cycle_id": run.id, "counts": {}}
            self._write_decisions(session, run, now)
            worth = self._value(session, run, now)
            if run.statistics_enabled:
                self._write_statistics(session, run, worth, now)
            store.put_snapshots(session, self._changed(snapshots, now))
            counts = self._counts(session, run)
            store.finish_cycle(
                session,
                run.id,
                status="failed" if failed or run.errors else "done",
                finished_at=now,
                counts=counts,
                allocation=plain(run.allocation or {}),
                errors=self._errors(run),
            )
            store.release_lease(session, run.portfolio_id, run.lease_token)
            bump(session, run.user_id, portfolio_topic(run.portfolio_id))
            self._reach("report.before_commit")
        run.closed = True
        self._reach("report.written")
        return {"success": not failed and not run.errors, "cycle_id": run.id, "counts": counts}

    def _write_decisions(self, session: Session, run: CycleRun, now: datetime) -> None:
        assets = list(run.assets.values())
        store.insert_decisions(
            session,
            [decision_values(asset, run, now) for asset in assets if asset.decision_id is None],
        )
        store.insert_billing(
            session,
            [
                {
                    "user_id": run.user_id,
                    "portfolio_id": run.portfolio_id,
                    "asset_id": asset.id,
                    "cycle_id": run.id,
                    "kind": "strategy_execution",
                    "amount": ZERO,
                    "currency": run.currency,
                    "recorded_at": now,
                }
                for asset in assets
                if asset.executed
            ],
        )
        store.set_asset_status(
            session,
            [
                {
                    "id": asset.id,
                    "status": status_sentence(asset)[:300],
                    "allocated_capital": asset.capital,
                    "updated_at": now,
                }
                for asset in assets
            ],
        )

    def _value(self, session: Session, run: CycleRun, now: datetime) -> dict[str, Decimal]:
        """Mark the open positions and write the equity point; return the portfolio's worth."""
        worth = {
            "balance": sum(
                (
                    session.get_one(BrokerAccountRecord, account.id).balance
                    for account in run.accounts.values()
                ),
                run.idle_balance,
            ),
            "unrealized": ZERO,
            "exposure": ZERO,
            "margin_used": ZERO,
            "open_risk": ZERO,
        }
        marks = []
        for position in cycle_store.open_positions_of(session, run.portfolio_id):
            mark = self._mark(run, position)
            if mark is not None:
                marks.append({**mark, "updated_at": now})
            worth["unrealized"] += mark["unrealized_pnl"] if mark else position.unrealized_pnl
            worth["exposure"] += position.notional
            worth["margin_used"] += position.margin
            risk = mark["open_risk"] if mark else position.open_risk
            worth["open_risk"] += risk if risk is not None else position.notional
        store.mark_positions(session, marks)
        worth["equity"] = worth["balance"] + worth["unrealized"]
        store.add_equity_point(
            session,
            portfolio_id=run.portfolio_id,
            cycle_id=run.id,
            market_time=run.market_time,
            recorded_at=now,
            **{
                key: round_money(worth[key])
                for key in ("balance", "equity", "exposure", "margin_used", "open_risk")
            },
        )
        return worth

    def _mark(self, run: CycleRun, position: cycle_store.OpenPosition) -> dict[str, Any] | None:
        asset = run.assets.get(position.asset_id) or run.watched.get(position.asset_id)
        if asset is None or asset.last_price is None:
            return None
        rate = asset.account.rates.rate(asset.instrument.quote, asset.account.currency)
        if rate is None:
            return None
        price = asset.last_price
        return {
            "id": position.id,
            "current_price": price,
            "unrealized_pnl": unrealized_pnl(position.entry_price, price, position.units, rate),
            "open_risk": open_risk(position.entry_price, position.stop_loss, position.units, rate),
        }

    def _write_statistics(
        self, session: Session, run: CycleRun, worth: dict[str, Decimal], now: datetime
    ) -> None:
        """Write the portfolio's figures when a position has closed since the last time."""
        if self._closed_before.get(run.portfolio_id) == store.closed_count(
            session, run.portfolio_id
        ):
            return
        closed = store.closed_sums(session, run.portfolio_id)
        self._closed_before[run.portfolio_id] = closed.count
        losses = -closed.gross_loss
        figures = {
            "equity": worth["equity"],
            "closed_positions": Decimal(closed.count),
            "net_profit": closed.gross_profit - losses,
            "win_rate": Decimal(closed.winners) / closed.count if closed.count else None,
            "profit_factor": closed.gross_profit / losses if losses else None,
            "commission": closed.commission,
            "swap": closed.swap,
        }
        store.insert_statistics(
            session,
            [
                {
                    "portfolio_id": run.portfolio_id,
                    "cycle_id": run.id,
                    "key": key,
                    "value": float(value) if value is not None else None,
                    "sample": closed.count,
                    "market_time": run.market_time,
                    "recorded_at": now,
                }
                for key, value in figures.items()
            ],
        )

    def _counts(self, session: Session, run: CycleRun) -> dict[str, Any]:
        assets = run.assets.values()
        return {
            "assets": len(run.assets),
            "outcomes": dict(Counter(asset.outcome for asset in assets)),
            "denials": dict(
                Counter(asset.code for asset in assets if asset.outcome == "denied" and asset.code)
            ),
            "orders": store.order_counts(session, run.id),
        }

    def _errors(self, run: CycleRun) -> list[str]:
        errors = list(run.errors)
        errors.extend(
            f"asset {asset.id} ({asset.instrument.name}): {asset.error}"[:500]
            for asset in run.assets.values()
            if asset.error
        )
        return errors[:50]

    def _changed(self, snapshots: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
        """Return the snapshots that differ from what was written last, cut to a bounded size."""
        rows = []
        for snapshot in snapshots:
            key = (snapshot["family"], snapshot["name"], snapshot["scope"])
            text = json.dumps(plain(snapshot["debug"]), default=str, sort_keys=True)
            if self._snapshots.get(key) == text:
                continue
            self._snapshots[key] = text
            debug = json.loads(text) if len(text) <= SNAPSHOT_BYTES else {"cut": text[:1000]}
            rows.append({**snapshot, "debug": debug, "recorded_at": now})
        return rows


def status_sentence(asset: AssetRun) -> str:
    """Return in words what the asset did in its last cycle."""
    if asset.outcome == "ordered":
        return f"ordered {asset.units} units" if asset.units else "ordered the close"
    if asset.outcome == "held":
        reason = asset.decision.reason if asset.decision is not None else ""
        return f"held: {reason}" if reason else "held"
    if asset.outcome == "denied":
        return f"denied: {asset.detail or explain(asset.code or '')}"
    if asset.outcome == "no_bar":
        return "waits: no bar at this step"
    return f"failed: {asset.detail or explain(asset.code or '')}"
