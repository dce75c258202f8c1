"""The command that runs cycles without a worker."""

from __future__ import annotations

from typing import Any

from lts_web.commands import CommandResult
from lts_web.datadir import DataDir
from lts_web.gateways.process_lock import ProcessOwner
from lts_web.settings import Loaded
from lts_web.store.cycles import get_portfolio
from lts_web.wiring import Trading, open_trading

ASSET_FAILED = 3


def run(loaded: Loaded, **options: Any) -> CommandResult:
    """Run one cycle of `portfolio`, or of every due one; `force` asks for one that is not due."""
    owner = ProcessOwner(DataDir(loaded.settings.data_dir).locks_dir, "command")
    trading = open_trading(loaded, owner)
    try:
        trading.service.recover()
        return _run(trading, options["portfolio"], force=options["force"])
    finally:
        trading.close()
        owner.close()


def _run(trading: Trading, portfolio_id: int | None, *, force: bool) -> CommandResult:
    if portfolio_id is not None:
        with trading.database.read() as session:
            known = get_portfolio(session, portfolio_id) is not None
        if not known:
            return _nothing(f"There is no portfolio {portfolio_id}.", exit_code=1)
    elif force:
        return _nothing("--force needs --portfolio ID: say which one is to run.", exit_code=2)
    ids = [portfolio_id] if portfolio_id is not None else trading.service.due()
    reports = []
    for one in ids:
        report = trading.service.run_portfolio(one, forced=force, trigger="command")
        if report is not None:
            reports.append({"portfolio_id": one, **report})
    if not reports:
        return _nothing(
            "No cycle ran: nothing is due, a worker is running it, or its bars are used up. "
            "--portfolio ID --force runs one that is not due."
        )
    failed = any(not report["success"] for report in reports)
    return CommandResult(
        ASSET_FAILED if failed else 0,
        {"cycles": reports},
        tuple(line for report in reports for line in _lines(report)),
    )


def _nothing(sentence: str, exit_code: int = 0) -> CommandResult:
    return CommandResult(exit_code, {"cycles": []}, (sentence,))


def _lines(report: dict[str, Any]) -> list[str]:
    lines = [f"Portfolio {report['portfolio_id']}: cycle {report['cycle_id']}"]
    for asset in report["assets"]:
        told = asset["error"] or asset["code"] or ""
        lines.append(f"  asset {asset['asset_id']}: {asset['outcome']}{': ' if told else ''}{told}")
    return lines
