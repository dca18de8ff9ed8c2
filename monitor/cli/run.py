"""``channel-monitor run``: the live monitor."""

from __future__ import annotations

import asyncio
import errno
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
import structlog
from aiohttp import web

from monitor.cli.common import FoundProblem, Progress, WrongUse, data_option, many
from monitor.cli.feeding import FeedProgress
from monitor.cli.logs import configure
from monitor.connectors.files import UnusableFile, check_readable, read_events
from monitor.core.params import Params
from monitor.live.checkpoint import CheckpointSettings
from monitor.live.clock import Feed, Ticker
from monitor.live.engine import Engine, EngineError, EngineSettings
from monitor.live.folding import FleetHandler, ParcelHandler
from monitor.live.version import state_version
from monitor.live.views import LiveViews
from monitor.log.embedded import EmbeddedLog
from monitor.log.merging import merge_history
from monitor.log.records import LogError
from monitor.log.schema import FILE_NAME
from monitor.log.topics import CONTRIBUTIONS, EVENTS
from monitor.read.lists import Samples
from monitor.settings import ConfigError, Settings, load_settings
from monitor.web.app import create_web
from monitor.web.metrics import Metrics
from monitor.web.settings import WebSettings, is_loopback

_LOG: Final = structlog.get_logger(__name__)
_SHUTDOWN_S: Final = 1.0


@click.command()
@data_option
@click.option("--host", help="Address to listen on (default 127.0.0.1); any but loopback needs an access token.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on (default 8080); 0 takes a free one.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Settings (TOML).")
@click.option("--feed", metavar="FILE", help="First stream this file of history into the log, in fast-forward.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Put the log in the order of recorded times, history that came late among the rest; fold all of it again.",
)
def run(
    data: Path | None, host: str | None, port: int | None, config: Path | None, feed: str | None, rebuild: bool
) -> None:
    """The live monitor: folds the log, ticks, serves the page, the API and /metrics. Ctrl-C ends it.

    With --data (default ./data) it runs on the embedded log in that directory and needs no other server; `ingest` may
    run beside it. A new version, or other detection settings, rebuild the state by themselves, in the order of the log;
    --rebuild also judges the past anew with the history that was ingested into it later.
    """
    try:
        settings = load_settings(config)
        page = _web_settings(settings, host, port)
        if feed is not None:
            check_readable(feed)
    except (ConfigError, ValueError, UnusableFile) as error:
        raise WrongUse(str(error)) from None
    configure(settings.logging.level, as_json=settings.logging.as_json)
    directory = data or settings.log.data
    try:
        partitions = None if (directory / FILE_NAME).is_file() else settings.log.partitions
        with EmbeddedLog.open(directory, create=True, partitions=partitions) as log:
            _prepare(log, settings.params(), rebuild)  # not in the event loop: Ctrl-C must end it
            asyncio.run(_Monitor(log, settings, page, feed, any_port=port is None).run())
    except (LogError, EngineError, UnusableFile) as error:
        raise FoundProblem(str(error)) from None


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
        min_sample=params.min_sample,
    )


def _prepare(log: EmbeddedLog, params: Params, rebuild: bool) -> None:
    """Forget the state if that is asked for, or if another version or other settings made it."""
    version = state_version(params)
    with log.exclusive():
        if rebuild:
            progress = Progress("{:,} events read, {:,} put in order")
            try:
                merged = merge_history(log, params, progress, state_version=version)
            finally:
                progress.clear()
            _LOG.info("history_merged", events=merged.events, ticks=merged.ticks, rewritten=merged.rewritten)
        elif log.state_version != version:
            log.new_generation(version)
        else:
            return
    _LOG.info("state_rebuilt", reason="asked" if rebuild else "new version or settings")


class _Monitor:
    """Engine, folds, ticker, views and web server of one process."""

    def __init__(
        self, log: EmbeddedLog, settings: Settings, page: WebSettings, feed: str | None, any_port: bool
    ) -> None:
        self._log = log
        self._settings = settings
        self._page = page
        self._feed = feed
        self._any_port = any_port
        self._fed = asyncio.Event()

    async def run(self) -> None:
        """Until it is told to stop. Raises ``EngineError`` or ``LogError``."""
        log, settings = self._log, self._settings
        params = settings.params()
        live = settings.live
        engine = Engine(
            log,
            EngineSettings(
                CheckpointSettings(live.checkpoint_interval_s, live.checkpoint_records), watchdog_s=live.watchdog_s
            ),
        )
        parcels = ParcelHandler(engine, params, log.partitions)
        fleet = FleetHandler(engine, params, log.partitions)
        engine.handle(EVENTS, parcels)
        engine.handle(CONTRIBUTIONS, fleet)
        self._engine, self._fleet = engine, fleet
        views = LiveViews(log.directory, params, self._health, self._runtime)
        runner = await self._serve(views)
        views.start()
        ticker = Ticker(log, params, lambda: parcels.folds.values())

        async def tick() -> None:
            await self._fed.wait()
            await ticker.run(engine.ready)

        async def feed() -> None:
            if self._feed is not None:
                await self._stream(self._feed, engine)
            self._fed.set()

        try:
            await engine.run(feed, tick)
        finally:
            views.stop()
            await runner.cleanup()
        click.echo("Stopped; everything is saved.", err=True)

    async def _stream(self, name: str, engine: Engine) -> None:
        progress = FeedProgress(name)
        feed = Feed(self._log, self._settings.params(), read_events(name))
        await feed.run(engine.ready, lambda: sum(engine.lag().values()), progress)
        progress.done()
        click.echo(f"{many(feed.appended, 'event')} streamed; the monitor is live now. Ctrl-C ends it.", err=True)

    async def _serve(self, views: LiveViews) -> web.AppRunner:
        app = create_web(views, self._page, Metrics(views, series_cap=self._page.series_cap))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        host, port = self._page.host, self._page.port
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not self._any_port:
                await runner.cleanup()
                raise EngineError(
                    f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --port; 0 takes a "
                    "free one."
                ) from None
            with suppress(KeyError):
                await site.stop()
            site = web.TCPSite(runner, host, 0)
            await site.start()
            click.echo(f"Port {port} is taken; another one was chosen.", err=True)
        bound: Any = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        click.echo(f"The page is at http://{shown}:{bound[1]}/")
        sys.stdout.flush()
        return runner

    def _health(self) -> dict[str, Any]:
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
        lag: Samples = [
            ({"topic": topic, "partition": str(partition)}, records)
            for (topic, partition), records in sorted(self._engine.lag().items())
        ]
        return {"ingest_lag_records": lag, "tick_duration_seconds": [({}, self._fleet.tick_duration_s)]}
