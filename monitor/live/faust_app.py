"""The Faust app of the live monitor, without what Faust brings along: its web server, command line and log output."""

from __future__ import annotations

import logging
from typing import Any, Final

import faust
import structlog

_BUFFERED_RECORDS: Final = 200  # a record holds up to some hundred events
_LOGGERS: Final = ("faust", "mode", "aiokafka")


class _App(faust.App):  # type: ignore[misc]
    def _create_directories(self) -> None:
        """Create none: state is in the log, and Faust's data directory would stay empty."""


def make_app(name: str, broker: str) -> faust.App:
    """An app named ``name`` on the log at the URL ``broker``."""
    _route_logging()
    return _App(
        name,
        broker=broker,
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        stream_buffer_maxsize=_BUFFERED_RECORDS,
        stream_wait_empty=False,  # the position is in the checkpoint, so unfinished records are simply read again
        table_standby_replicas=0,
        topic_disable_leader=True,
        cython_optimizations=True,
    )


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"message": record.getMessage()}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        structlog.get_logger(record.name).log(record.levelno, "faust", **fields)


def _route_logging() -> None:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.handlers = [_ToStructlog()]
