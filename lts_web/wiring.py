"""The one place where database, plugins, gateways and clock meet.

Builds what each kind of process needs from the settings; it decides nothing. The worker's half
loads neither Flask nor the core family.
"""

from __future__ import annotations

import atexit
import inspect
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import make_url

from lts_web import logs
from lts_web.datadir import DataDir, prepare
from lts_web.gateways.process_lock import ProcessOwner
from lts_web.plugin_settings import merge_plugin_parameters
from lts_web.plugins.base import AAAPluginBase, CorePluginBase, PipelinePluginBase
from lts_web.plugins.registry import Registry
from lts_web.plugins.runner import PluginRunner
from lts_web.services.accounts import AccountService
from lts_web.services.claims import Claims, Owner
from lts_web.services.cycle import CycleService
from lts_web.services.heartbeat import Heartbeat
from lts_web.services.installation import installation_id
from lts_web.services.instances import Instances
from lts_web.services.market_data import BarStore
from lts_web.services.ordering import OrderDesk, Reach
from lts_web.services.plugin_report import write_plugin_states
from lts_web.services.portfolios import Actor, PortfolioService
from lts_web.services.preparation import Preparation
from lts_web.services.reconcile import Reconciler
from lts_web.services.reporting import Reporter
from lts_web.services.upkeep import Upkeep
from lts_web.settings import Loaded, load_settings
from lts_web.settings_sources import Source
from lts_web.store import schema
from lts_web.store.engine import Database
from lts_web.store.venues import Venues
from lts_web.trading.ports import Clock, Ports
from worker.queue import make_queue, make_wake
from worker.tasks import register

if TYPE_CHECKING:
    from huey import SqliteHuey

    from lts_web.processes import StopRequest

logger = logging.getLogger(__name__)

SEND_WINDOW = timedelta(seconds=60)
WORKER_FAMILIES = ("pipeline", "strategy", "broker", "portfolio")


def wall_clock() -> datetime:
    """Return the time of day, aware UTC."""
    return datetime.now(UTC)


def start_process(process_kind: str) -> Loaded:
    """Load the settings from environment and file, and set up data directory and logs.

    For processes that another program starts (a WSGI server, Huey's consumer); `lts` commands do
    the same with their own options.
    """
    registry = Registry()
    first = load_settings({}, os.environ, None)
    loaded = merge_plugin_parameters(first, registry.declarations(), registry.schemas())
    for value in loaded.secrets():
        logs.register_secret(value)
    settings = loaded.settings
    data_dir = prepare(settings.data_dir)
    logs.configure(
        process_kind,
        level=settings.log_level,
        log_format=settings.log_format,
        quiet=settings.quiet,
        directory=data_dir.logs_dir,
    )
    return loaded


def database_path(loaded: Loaded, data_dir: DataDir) -> Path:
    """Return the file of LTS's own database."""
    url = loaded.settings.database_url
    return Path(make_url(url).database or "") if url else data_dir.lts_db


def system_parameters(loaded: Loaded) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the plugin parameters that file, environment or command line set, by plugin."""
    return {
        key: {
            name: resolved.value
            for name, resolved in values.items()
            if resolved.source > Source.DEFAULT
        }
        for key, values in loaded.plugins.items()
    }


@dataclass(frozen=True, slots=True)
class Trading:
    """Everything that a process needs to run cycles."""

    database: Database
    venues: Venues
    bars: BarStore
    instances: Instances
    desk: OrderDesk
    reconciler: Reconciler
    claims: Claims
    service: CycleService
    runner: PluginRunner
    pipeline: PipelinePluginBase

    def run_due(self) -> None:
        """Run all portfolios that are due, by the system's pipeline plugin."""
        if accepts_no_arguments(self.pipeline.run):
            self.pipeline.run()  # type: ignore[call-arg]
            return
        # A pipeline written to the documented page runs one portfolio; the house calls the due.
        for portfolio_id in self.service.due():
            if self.service.stopping():
                return
            self.service.run_portfolio(portfolio_id)

    def close(self) -> None:
        """Close both databases."""
        self.database.close()
        self.venues.close()


def build_trading(
    *,
    database: Database,
    venues: Venues,
    registry: Registry,
    parameters: Mapping[tuple[str, str], Mapping[str, Any]],
    owner: Owner,
    clock: Clock = wall_clock,
    pipeline_plugin: str = "default_pipeline",
    max_quote_age: timedelta = timedelta(seconds=60),
    send_window: timedelta = SEND_WINDOW,
    reach: Reach = lambda _step: None,
) -> Trading:
    """Return the trading half of a process. `reach` is told each step of the order protocol."""
    runner = PluginRunner(max_threads=64)
    instances = Instances(registry, parameters, runner, venues, clock)
    pipeline = instances.pipeline(pipeline_plugin, "system", {})
    bars = BarStore(database)
    reconciler = Reconciler(database, venues, bars, clock, owner.alive, reach)
    desk = OrderDesk(database, clock, installation_id(database, clock), send_window, reach)
    claims = Claims(database, bars, clock, owner, reach)
    service = CycleService(
        database,
        claims,
        Preparation(database, bars, instances, reconciler, max_quote_age),
        reconciler,
        desk,
        Reporter(database, clock, reach),
        instances,
        clock,
        int(pipeline.params.get("max_concurrent_portfolios", 10)),
        reach,
    )
    pipeline.start({"steps": service})
    return Trading(
        database,
        venues,
        bars,
        instances,
        desk,
        reconciler,
        claims,
        service,
        runner,
        pipeline,
    )


def open_trading(loaded: Loaded, owner: Owner, reach: Reach = lambda _step: None) -> Trading:
    """Return the trading half on the data directory that the settings name."""
    data_dir = DataDir(loaded.settings.data_dir)
    path = database_path(loaded, data_dir)
    schema.upgrade(path)
    venues = Venues(data_dir.venues_db)
    venues.create_tables()
    settings = loaded.settings
    return build_trading(
        database=Database(path),
        venues=venues,
        registry=Registry(WORKER_FAMILIES),
        parameters=system_parameters(loaded),
        owner=owner,
        pipeline_plugin=loaded.selected("pipeline"),
        max_quote_age=timedelta(seconds=settings.quote_max_age_seconds),
        reach=reach,
    )


def build_worker(
    loaded: Loaded,
    stop: StopRequest | None = None,
    reach: Reach = lambda _step: None,
) -> SqliteHuey:
    """Return the worker's Huey with its tasks; its first task recovers, then runs what is due.

    `stop` is how the process is told to end; without it (Huey's own consumer) the process ends
    itself by its signal when plugins have hung too often.
    """
    data_dir = DataDir(loaded.settings.data_dir)
    owner = ProcessOwner(data_dir.locks_dir, "worker")
    trading = open_trading(loaded, owner, reach)
    heartbeat = Heartbeat(trading.database, wall_clock, owner.name, version())
    heartbeat.start()
    queue = make_queue(data_dir.huey_db, data_dir.secret("huey_key"))
    # What a killed worker left planned is planned anew from the portfolios' own due instants.
    queue.storage.flush_queue()
    queue.storage.flush_schedule()
    turn = _Turn(trading, loaded.settings.worker_restart_after_abandoned, stop)
    upkeep = Upkeep(
        trading.database, wall_clock, timedelta(days=loaded.settings.decision_retention_days)
    )
    wake = register(queue, turn.run, upkeep.run)
    restart_after = loaded.settings.worker_restart_after_abandoned
    # A worker that has lost too many plugin calls ends its turn as well, to start anew.
    trading.service.asked_to_stop = lambda: (
        queue.stopping() or trading.runner.abandoned >= restart_after
    )
    queue.on_shutdown(name="rest")(heartbeat.stop)
    atexit.register(trading.close)  # the last close folds SQLite's journals into their files
    write_plugin_states(trading.database, Registry(WORKER_FAMILIES).rows(), wall_clock())
    wake()
    return queue


class _Turn:
    """One look at what is due; the first one recovers what was left unfinished."""

    def __init__(self, trading: Trading, restart_after: int, stop: StopRequest | None) -> None:
        self._trading = trading
        self._restart_after = restart_after
        self._stop = stop
        self._recovered = threading.Event()
        self._recovering = threading.Lock()

    def run(self) -> float | None:
        """Run what is due and return the seconds to the next due instant."""
        service = self._trading.service
        if not self._recovered.is_set():
            with self._recovering:
                if not self._recovered.is_set():
                    service.recover()
                    self._recovered.set()
        self._trading.run_due()
        if self._trading.runner.abandoned >= self._restart_after:
            self._restart()
        return None if service.stopping() else service.seconds_until_due()

    def _restart(self) -> None:
        logger.warning(
            "%s plugin calls never came back; the worker restarts itself",
            self._trading.runner.abandoned,
        )
        self._trading.service.stop()
        if self._stop is not None:
            self._stop.request_restart()
        else:
            import signal  # noqa: PLC0415 - only a worker under Huey's own consumer needs it

            signal.raise_signal(signal.SIGTERM)


def build_web(loaded: Loaded, stop: StopRequest | None = None) -> Any:
    """Return the WSGI application as the selected core plugin makes it."""
    return cast("Any", build_core(loaded, stop)).create_app()


def build_core(
    loaded: Loaded,
    stop: StopRequest | None = None,
    serve: Callable[[Any], Any] | None = None,
) -> CorePluginBase:
    """Return the core plugin, given what it needs to make the application and to serve it."""
    from lts_web.app import create_app  # noqa: PLC0415 - loads Flask
    from lts_web.web.context import WebWiring  # noqa: PLC0415 - loads Flask
    from lts_web.web.identity import acting  # noqa: PLC0415 - loads Flask
    from lts_web.web.limits import storage_uri  # noqa: PLC0415 - loads Flask

    settings = loaded.settings
    data_dir = DataDir(settings.data_dir)
    path = database_path(loaded, data_dir)
    schema.upgrade(path)
    database = Database(path)
    registry = Registry()
    queue = make_queue(data_dir.huey_db, data_dir.secret("huey_key"))
    wake = make_wake(queue, lambda: None)
    accounts = AccountService(database, wall_clock, data_dir.initial_admin, acting)
    aaa = build_aaa(loaded, registry, accounts, data_dir)
    write_plugin_states(database, registry.rows(), wall_clock())
    wiring = WebWiring(
        settings=settings,
        database=database,
        aaa=cast("Any", aaa),
        portfolios=PortfolioService(database, wake, wall_clock),
        wake=wake,
        clock=wall_clock,
        secret_key=data_dir.secret("secret_key"),
        limiter_storage=storage_uri(data_dir.limits_db),
        version=version(),
        plugin_rows=registry.rows,
    )
    cls = registry.get("core", loaded.selected("core"))
    core = cast(
        "CorePluginBase", cls(system_parameters(loaded).get(("core", loaded.selected("core")), {}))
    )
    house: dict[str, Any] = {"create_app": partial(create_app, wiring)}
    if serve is not None:
        house["serve"] = serve
    if stop is not None:
        house["stop"] = stop.request
    initialize = getattr(core, "initialize", None)
    if initialize is not None:
        initialize({"aaa": aaa}, house, database, database.write)
    return core


def build_aaa(
    loaded: Loaded, registry: Registry, accounts: AccountService, data_dir: DataDir
) -> AAAPluginBase:
    """Return the selected AAA plugin, connected, with this installation's signing key."""
    name = loaded.selected("aaa")
    cls = registry.get("aaa", name)
    parameters = dict(system_parameters(loaded).get(("aaa", name), {}))
    if "jwt_secret" in cls.plugin_params and not parameters.get("jwt_secret"):
        parameters["jwt_secret"] = data_dir.secret("jwt_secret").hex()
        logs.register_secret(parameters["jwt_secret"])
    aaa = cast("AAAPluginBase", cls(parameters))
    aaa.connect(Ports(clock=wall_clock, accounts=accounts))
    return aaa


def accepts_no_arguments(function: Callable[..., Any]) -> bool:
    """Return whether the function can be called without arguments."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    return True


def version() -> str:
    """Return the installed version of LTS."""
    return metadata.version("lts")


def command_actor() -> Actor:
    """Return who acts where a command does."""
    return Actor(None, "command line")
