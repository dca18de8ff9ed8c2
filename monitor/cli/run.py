"""``channel-monitor run``: the live monitor."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import click
import structlog
from aiohttp import web

from monitor.cli.common import FoundProblem, WrongUse, many
from monitor.cli.feeding import FeedProgress
from monitor.cli.hosts import Host, host_of
from monitor.cli.listening import CannotListen, Waiting, listen
from monitor.cli.logs import configure
from monitor.cli.places import Place, place_option
from monitor.cli.restarting import OPTION, may_restart, restart
from monitor.connectors.files import UnusableFile, check_readable, read_events
from monitor.live.checkpoint import CheckpointSettings
from monitor.live.clock import Feed, Ticker
from monitor.live.engine import Engine, EngineError, EngineSettings
from monitor.live.folding import FleetHandler, ParcelHandler
from monitor.live.views import LiveViews
from monitor.log.records import LogBusyError, LogError
from monitor.log.topics import CONTRIBUTIONS, EVENTS
from monitor.read.lists import Samples
from monitor.settings import ConfigError, Settings, load_settings
from monitor.web.app import create_web
from monitor.web.metrics import Metrics
from monitor.web.probes import create_probes
from monitor.web.settings import WebSettings, is_loopback

_LOG: Final = structlog.get_logger(__name__)
_RETIRE_LOOK_S: Final = 5.0
Role = Literal["all", "worker", "web"]


@click.command()
@place_option
@click.option("--host", help="Address to listen on (default 127.0.0.1); any but loopback needs an access token.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on (default 8080); 0 takes a free one.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Settings (TOML).")
@click.option("--feed", metavar="FILE", help="First stream this file of history into the log, in fast-forward.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Fold all of the log again; an embedded log is first put in the order of recorded times, history that came "
    "late among the rest.",
)
@click.option(
    "--role",
    type=click.Choice(["all", "worker", "web"]),
    default="all",
    help="With --broker: only fold, with probes and the worker's own /metrics on the port (worker), or only serve the "
    "page, the API and /metrics (web). Default: both.",
)
@click.option(OPTION, default="", hidden=True)
def run(
    place: Place,
    host: str | None,
    port: int | None,
    config: Path | None,
    feed: str | None,
    rebuild: bool,
    role: Role,
    restarts: str,
) -> None:
    """The live monitor: folds the log, ticks, serves the page, the API and /metrics. Ctrl-C ends it.

    With --data (default ./data) it runs on the embedded log in that directory and needs no other server; `ingest` may
    run beside it. With --broker it runs on Apache Kafka, alone or as one of several workers that share the work; it
    waits for brokers that are away. A new version, or other detection settings, rebuild the state by themselves, in
    the order of the log; --rebuild also judges the past of an embedded log anew with the history that was ingested
    into it later.
    """
    try:
        settings = load_settings(config)
        page = _web_settings(settings, host, port)
        if feed is not None:
            check_readable(feed)
    except (ConfigError, ValueError, UnusableFile) as error:
        raise WrongUse(str(error)) from None
    if role != "all" and place.broker_of(settings) is None:
        raise WrongUse(f"--role {role} is for several programs on one Kafka: give --broker too.")
    configure(settings.logging.level, as_json=settings.logging.as_json)
    shared = bool(restarts)  # what cannot be mended by waiting ends the first start
    try:
        with ExitStack() as stack:  # not in the event loop: Ctrl-C must end it
            on = _host(stack, settings, place, page, rebuild=rebuild)
            shared = on.shared
            asyncio.run(_Monitor(on, settings, page, feed, role, any_port=port is None).run())
    except (LogError, EngineError, UnusableFile) as error:
        if shared and not isinstance(error, UnusableFile | CannotListen) and may_restart(restarts):
            restart(str(error), restarts)
        raise FoundProblem(str(error)) from None


def _host(stack: ExitStack, settings: Settings, place: Place, page: WebSettings, *, rebuild: bool) -> Host:
    """The log made ready; brokers that are away are waited for. Raises ``LogError``."""

    def attempt() -> Host:
        return stack.enter_context(host_of(settings, place, rebuild=rebuild))

    if place.broker_of(settings) is None:
        return attempt()
    with Waiting(page) as waiting:
        return waiting.until(attempt)


def _web_settings(settings: Settings, host: str | None, port: int | None) -> WebSettings:
    """What the HTTP side is told. Raises :class:`ValueError` for a host that needs a token."""
    ours = settings.web
    host = host or ours.host
    token = ours.token()
    if token is None and not is_loopback(host):
        raise ValueError(
            f"--host {host} would show everything to the network. Set CHANNEL_MONITOR_WEB__ACCESS_TOKEN or "
            "CHANNEL_MONITOR_WEB__ACCESS_TOKEN_FILE first, or listen on 127.0.0.1."
        )
    params = settings.params()
    return WebSettings(
        host=host,
        port=ours.port if port is None else port,
        access_token=token,
        timezone=ours.timezone,
        language=ours.language,
        max_request_bytes=ours.max_request_bytes,
        page_size=ours.page_size,
        series_cap=ours.series_cap,
        refresh_s=ours.refresh_s,
        recent_days=params.recent_days,
        canary_parcels=params.canary_parcels,
        min_sample=params.min_sample,
    )


@dataclass(frozen=True, slots=True)
class _Served:
    """What is being served, to be stopped; a worker has no views."""

    views: LiveViews | None
    runner: web.AppRunner

    async def stop(self) -> None:
        """End it."""
        if self.views is not None:
            self.views.stop()
        await self.runner.cleanup()


class _Monitor:
    """Engine, folds, ticker, views and web server of one process, or what its role has of them."""

    def __init__(
        self, host: Host, settings: Settings, page: WebSettings, feed: str | None, role: Role, any_port: bool
    ) -> None:
        self._host = host
        self._role = role
        self._settings = settings
        self._page = page
        self._feed = feed
        self._any_port = any_port
        self._fed = asyncio.Event()
        self._engine: Engine | None = None
        self._fleet: FleetHandler | None = None

    async def run(self) -> None:
        """Until it is told to stop. Raises ``EngineError`` or ``LogError``."""
        if self._role == "web":
            await self._only_serve()
            return
        settings, host = self._settings, self._host
        params, partitions = settings.params(), host.log.partitions
        live = settings.live
        engine = Engine(
            host.backend,
            EngineSettings(
                CheckpointSettings(live.checkpoint_interval_s, live.checkpoint_records), watchdog_s=live.watchdog_s
            ),
        )
        parcels = ParcelHandler(engine, params, partitions)
        fleet = FleetHandler(engine, params, partitions)
        engine.handle(EVENTS, parcels)
        engine.handle(CONTRIBUTIONS, fleet)
        self._engine, self._fleet = engine, fleet
        served = await (self._serve_probes() if self._role == "worker" else self._serve())
        ticker = Ticker(host.open_log, params, lambda: parcels.folds.values())

        async def tick() -> None:
            await self._fed.wait()
            await ticker.run(engine.ready)

        async def retire() -> None:
            await engine.ready.wait()
            while sum(engine.lag().values()):
                await asyncio.sleep(_RETIRE_LOOK_S)
            with suppress(LogBusyError):  # the next start tries again
                for generation in await asyncio.to_thread(host.retire):
                    _LOG.info("generation_retired", generation=generation)

        async def feed() -> None:
            if self._feed is not None:
                await self._stream(self._feed, engine)
            self._fed.set()

        try:
            await engine.run(feed, tick, retire)
        finally:
            await served.stop()
            if host.shared:
                host.log.close()  # or its threads would wait for brokers that are away
        rest = "everything is saved." if engine.saved else "what is not saved is folded again by the next start."
        click.echo(f"Stopped; {rest}", err=True)

    async def _only_serve(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        served = await self._serve()
        try:
            await stop.wait()
        finally:
            await served.stop()
        click.echo("Stopped.", err=True)

    async def _stream(self, name: str, engine: Engine) -> None:
        progress = FeedProgress(name)
        feed = Feed(self._host.open_log, self._settings.params(), read_events(name))
        await feed.run(engine.ready, lambda: sum(engine.lag().values()), progress)
        progress.done()
        click.echo(f"{many(feed.appended, 'event')} streamed; the monitor is live now. Ctrl-C ends it.", err=True)

    async def _serve(self) -> _Served:
        views = LiveViews(self._host.open_reader, self._settings.params(), self._health, self._runtime)
        app = create_web(views, self._page, Metrics(views, series_cap=self._page.series_cap))
        runner, address = await listen(app, self._page, any_port=self._any_port)
        click.echo(f"The page is at {address}")
        sys.stdout.flush()
        views.start()
        return _Served(views, runner)

    async def _serve_probes(self) -> _Served:
        app = create_probes(self._health, self._page, Metrics(self, series_cap=self._page.series_cap))
        runner, address = await listen(app, self._page, any_port=self._any_port)
        click.echo(f"Probes and /metrics are at {address}")
        sys.stdout.flush()
        return _Served(None, runner)

    def families(self) -> dict[str, Samples]:
        """The metrics of a process without views: those of its own shards."""
        return self._runtime()

    def _health(self) -> dict[str, Any]:
        if self._engine is None:
            return {"recovered": True, "lag_records": None, "ready": True, "reasons": []}
        status = self._engine.status()
        reasons = []
        if not status.recovered:
            reasons.append("The state is not recovered yet.")
        if status.lag_records > self._settings.live.lag_ready_records:
            reasons.append(f"{status.lag_records:,} records of the log are not folded yet.")
        if status.blocked:
            reasons.append(f"Checkpoints are blocked: {status.blocked}")
        return {
            "recovered": status.recovered,
            "lag_records": status.lag_records,
            "ready": not reasons,
            "reasons": reasons,
        }

    def _runtime(self) -> dict[str, Samples]:
        if self._engine is None or self._fleet is None:
            return {}
        lag: Samples = [
            ({"topic": topic, "partition": str(partition)}, records)
            for (topic, partition), records in sorted(self._engine.lag().items())
        ]
        return {
            "ingest_lag_records": lag,
            "pending_records": [({}, self._engine.checkpointer.pending_records)],
            "tick_duration_seconds": [({}, self._fleet.tick_duration_s)],
        }
