"""The monitor's own log lines: structured, on stderr, one a decision.

Modules call ``structlog.get_logger()`` and log an event with fields. What the libraries (Faust, aiohttp, Kafka
clients) write through the standard library's ``logging`` comes out in the same form.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]

# At "info" these tell every rebalance and every request; what they warn of is still shown.
# Faust's services log under the name of the module that subclasses them.
_TALKATIVE: Final = (
    *("aiohttp.access", "aiokafka", "asyncio", "faust", "kafka", "mode", "urllib3"),
    *("monitor.live.faust_app", "monitor.live.tables", "monitor.log.faust_reading"),
    *("monitor.log.embedded.transport", "monitor.log.kafka.transport"),
)
# What goes wrong there is raised to those who asked, and they say it.
_SILENT: Final = ("kafka",)
# Brokers that are away, or a group that rebalances, make these say the same many times a second.
_REPEATING: Final = ("aiokafka", "faust", "mode", "monitor.log.kafka")
_SAME_S: Final = 30.0
_MOST_KNOWN: Final = 1_000
_SECRET_WORDS: Final = ("token", "password", "secret", "authorization", "cookie")


def configure(level: Level = "info", *, as_json: bool = False) -> None:
    """Set up all logging of this process. May be called again; the last call counts."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _hide_secrets,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers made at import must follow a later configure()
    )
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        rendering += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        # plain: the other tracebacks show local variables, among them customers and tokens
        plain = structlog.dev.plain_traceback
        rendering += [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.terminator = "\n\x1b[K"  # a progress line may stand below
    if level != "debug":
        handler.addFilter(_Repeats())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        least = logging.CRITICAL if name in _SILENT else logging.WARNING
        library.setLevel(max(least, root.level) if level != "debug" else logging.DEBUG)
    logging.captureWarnings(True)


class _Repeats(logging.Filter):
    """Lets what the clients of brokers say through once in a while, and not again for every try and connection."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what was just said, if with other numbers."""
        if not record.name.startswith(_REPEATING) or not isinstance(record.msg, str):
            return True
        # librdkafka puts the kind of a message and all of its text into arguments.
        kind = record.args[0] if record.name.endswith("librdkafka") and isinstance(record.args, tuple) else None
        what = (record.name, record.msg, kind)
        now = time.monotonic()
        if now - self._said.get(what, -_SAME_S) < _SAME_S:
            return False
        if len(self._said) >= _MOST_KNOWN:
            self._said.clear()
        self._said[what] = now
        return True


def quiet() -> None:
    """For verbs that end with a sentence: what the clients of Kafka say on the way is not shown, unless
    :func:`configure` has set up logging."""
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A field whose name speaks of a secret keeps its name and loses its value."""
    for name in event:
        if any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = "[hidden]"
    return event
