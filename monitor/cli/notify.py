"""``channel-monitor notify``: messages of incidents to chats and mail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from monitor.cli.common import FoundProblem, WrongUse, many
from monitor.cli.logs import configure
from monitor.cli.places import Place, place_option
from monitor.cli.watching import watch
from monitor.live.views import LiveViews
from monitor.log.records import LogError
from monitor.notify.outlets import Outlet
from monitor.notify.queue import FILE_NAME, Queue, QueueError, waiting_in
from monitor.notify.sender import Rules, Sender
from monitor.notify.sinks import SinkError, parse_sinks
from monitor.settings import ConfigError, Settings, load_settings
from monitor.web.i18n import Translator

Finding = tuple[str, bool, str]


@click.command()
@place_option
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Settings (TOML).")
@click.option("--test", "testing", is_flag=True, help="Send a test message to every sink, and end.")
def notify(place: Place, config: Path | None, testing: bool) -> None:
    """Send a message when an incident opens, becomes a page, grows or ends. Ctrl-C ends it.

    It runs beside `run`, one for a log, and sends to the sinks of the setting notify.sinks or notify.sinks_file. What
    waits to be sent is kept on the disk: a message is sent at least once, and says so if it may be a repetition. When
    it runs for the first time it tells of nothing that is there already.
    """
    try:
        settings = load_settings(config)
        outlets = outlets_of(settings)
    except (ConfigError, SinkError) as error:
        raise WrongUse(str(error)) from None
    if not outlets:
        raise WrongUse("There is nobody to notify: set notify.sinks_file, or CHANNEL_MONITOR_NOTIFY__SINKS.")
    configure(settings.logging.level, as_json=settings.logging.as_json)
    if testing:
        _send_tests(outlets)
        return
    try:
        queue = Queue(queue_path(settings, place))
        try:
            _follow(settings, place, Sender(queue, outlets, _rules(settings), time.time))
        finally:
            queue.close()
    except (LogError, QueueError) as error:
        raise FoundProblem(str(error)) from None


def outlets_of(settings: Settings) -> list[Outlet]:
    """The sinks made ready. Raises :class:`ConfigError`, :class:`SinkError`."""
    return [Outlet(sink, settings.notify.timeout_s) for sink in parse_sinks(settings.notify.lines() or "")]


def queue_path(settings: Settings, place: Place) -> Path:
    """Where the queue is. Raises :class:`WrongUse` on Kafka, where no directory is near, unless the settings say."""
    if settings.notify.queue is not None:
        return settings.notify.queue
    if place.broker_of(settings) is not None:
        raise WrongUse("On Kafka say where the messages that wait are to be kept: set notify.queue to a file.")
    return place.directory_of(settings) / FILE_NAME


def look_at_sinks(settings: Settings, place: Place) -> list[Finding]:
    """What ``check`` says of the messages; nothing where nobody is to be notified."""
    try:
        outlets = outlets_of(settings)
    except (ConfigError, SinkError) as error:
        return [("messages", False, str(error).rstrip(".") + ".")]
    if not outlets:
        return []
    try:
        waiting = waiting_in(queue_path(settings, place))
    except (QueueError, WrongUse) as error:
        return [("messages", False, str(error))]
    names = {outlet.name for outlet in outlets}
    found: list[Finding] = [
        ("messages", True, f"{many(len(outlets), 'sink')}: {', '.join(sorted(names))}. Try them: notify --test.")
    ]
    for name, count in waiting.items():
        gone = "" if name in names else ", which is no sink any more"
        found.append(("messages", name in names, f"{many(count, 'message')} wait for {name}{gone}."))
    return found


def _rules(settings: Settings) -> Rules:
    ours = settings.notify
    return Rules(ours.heard(), ours.digest_s, ours.per_minute, ours.page or "")


def _send_tests(outlets: Sequence[Outlet]) -> None:
    failed = 0
    for outlet in outlets:
        t = Translator(outlet.language)
        outcome = outlet.send(t("notify.test_title"), t("notify.test_body"))
        failed += not outcome.arrived
        click.echo(f"{outlet.name}: {'sent' if outcome.arrived else outcome.reason}")
    if failed:
        raise FoundProblem(f"{many(failed, 'sink')} did not take the message.")


def _follow(settings: Settings, place: Place, sender: Sender) -> None:
    """Until it is told to stop. Raises ``LogError``, ``QueueError``."""
    seen: list[dict[str, Any]] | None = None

    def look(views: LiveViews) -> None:
        nonlocal seen
        incidents = views.incidents()
        if views.as_of() is not None and incidents is not seen:
            sender.look(incidents)
            seen = incidents
        sender.send()

    watch(settings, place, look, "Sending messages. Ctrl-C ends it.")
