"""What runs beside `run` and follows its lists until it is told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Final

import click

from monitor.cli.places import Place, opened
from monitor.live.views import LiveViews
from monitor.log.embedded import EmbeddedLog
from monitor.log.protocol import Log
from monitor.log.records import LogError
from monitor.settings import Settings

_LOOK_S: Final = 0.5


def watch(settings: Settings, place: Place, look: Callable[[LiveViews], None], announced: str) -> None:
    """Let ``look`` see the lists, twice a second once they are there, until SIGINT or SIGTERM. ``announced``: what is
    said at the beginning. Raises ``LogError`` and what ``look`` raises."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with opened(settings, place):  # there is a log; if not, say so now
        pass

    def open_log() -> Log:
        if place.broker_of(settings) is None:
            return EmbeddedLog.open(place.directory_of(settings), create=False, read_only=True)
        return opened(settings, place)

    views = LiveViews(open_log, settings.params(), lambda: {"ready": True, "reasons": []}, dict)
    views.start()
    click.echo(announced, err=True)
    try:
        while not stop.wait(_LOOK_S):
            look(views)
            if ended := views.ended():
                raise LogError(ended)
    finally:
        views.stop()
