"""The port of ``run``: a page, or the probes of a process without one."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import click
import structlog
from aiohttp import web

from monitor.live.engine import EngineError
from monitor.log.records import LogBusyError
from monitor.web.metrics import Metrics
from monitor.web.probes import create_probes
from monitor.web.settings import WebSettings

_LOG: Final = structlog.get_logger(__name__)
_T = TypeVar("_T")
_SHUTDOWN_S: Final = 1.0
_PATIENCE_S: Final = 3.0
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 15.0


class CannotListen(EngineError):
    """The port cannot be had."""


async def listen(app: web.Application, page: WebSettings, *, any_port: bool) -> tuple[web.AppRunner, str]:
    """Serve ``app``; the runner and the address (``http://host:port/``). ``any_port``: another one will do where it is
    taken. Raises :class:`CannotListen`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    host, port = page.host, page.port
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not any_port:
            await runner.cleanup()
            raise CannotListen(
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
    return runner, f"http://{shown}:{bound[1]}/"


class _NoFamilies:
    """There is nothing to measure yet but the process itself."""

    def families(self) -> dict[str, Any]:
        """None."""
        return {}


class Waiting:
    """While brokers do not answer at the start: it tries again, says so, and answers ``/readyz`` with 503.

    The port is opened after some seconds only, so that a usual start does not open it twice; a thread serves it, for
    the clients of the brokers block.
    """

    def __init__(self, page: WebSettings) -> None:
        self._page = page
        self._reason = "The brokers have not answered yet."
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="probes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(2 * _SHUTDOWN_S)

    def until(self, attempt: Callable[[], _T]) -> _T:
        """What ``attempt`` gives, as soon as the log answers. Raises what waiting does not mend."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return attempt()
            except LogBusyError as error:
                self._reason = str(error)
                _LOG.warning("brokers_awaited", reason=str(error), again_in_s=wait_s)
            self._over.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _serve(self) -> None:
        if self._over.wait(_PATIENCE_S) or not self._page.port:
            return
        try:
            asyncio.run(self._probe())
        except CannotListen as error:  # the start takes another one, or ends and says so
            _LOG.warning("probes_not_served", reason=str(error))

    async def _probe(self) -> None:
        app = create_probes(lambda: {"ready": False, "reasons": [self._reason]}, self._page, Metrics(_NoFamilies()))
        runner, _ = await listen(app, self._page, any_port=False)
        try:
            await asyncio.to_thread(self._over.wait)
        finally:
            await runner.cleanup()
