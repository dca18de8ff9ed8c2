"""``channel-monitor push``: the table of carriers, sent to a shipping system whenever it changes."""

from __future__ import annotations

import time
from pathlib import Path

import click

from monitor.cli.common import FoundProblem, WrongUse, many
from monitor.cli.logs import configure
from monitor.cli.places import Place, place_option
from monitor.cli.watching import watch
from monitor.live.views import LiveViews
from monitor.log.records import LogError
from monitor.push.message import SecretError, key_of, test_event
from monitor.push.pusher import FILE_NAME, LONGEST_REST_S, SOURCE, Pusher, PushError, Waiting, known
from monitor.read.routing import routing_rows
from monitor.settings import ConfigError, Settings, load_settings

Finding = tuple[str, bool, str]


@click.command()
@place_option
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Settings (TOML).")
@click.option("--test", "testing", is_flag=True, help="Send an event without rows that says it is a test, and end.")
def push(place: Place, config: Path | None, testing: bool) -> None:
    """Send the carriers of every lane to a shipping system when they change. Ctrl-C ends it.

    It runs beside `run`, one for a log. The table is that of `recommend --export FILE.json`, in a CloudEvent signed
    by the Standard Webhooks scheme, posted to push.url. It is sent at least once, and daily, for its rows end; a
    receiver that does not take it is tried again for as long as it takes.
    """
    try:
        settings = load_settings(config)
        pusher = pusher_of(settings, place)
        if pusher is None:
            raise WrongUse("There is nobody to push to: set push.url and push.secret_file.")
        configure(settings.logging.level, as_json=settings.logging.as_json)
        if testing:
            problem, _ = pusher.send(test_event(int(time.time()) * 1_000_000, SOURCE))
            if problem:
                raise FoundProblem(f"The receiver did not take the test: {problem}.")
            click.echo("The receiver took the test.")
            return

        def look(views: LiveViews) -> None:
            as_of = views.as_of()
            if as_of is not None:
                pusher.offer(routing_rows(views.recommendations()), as_of)

        watch(settings, place, look, "Pushing the table of carriers. Ctrl-C ends it.")
    except ConfigError as error:
        raise WrongUse(str(error)) from None
    except (LogError, PushError) as error:
        raise FoundProblem(str(error)) from None


def pusher_of(settings: Settings, place: Place) -> Pusher | None:
    """Made ready by the settings; None where nothing is to be pushed. Raises :class:`ConfigError`, ``PushError``."""
    ours = settings.push
    if ours.url is None:
        return None
    secret = ours.signing_secret()
    if secret is None:
        raise ConfigError(["push.secret: there is none; set push.secret_file, or CHANNEL_MONITOR_PUSH__SECRET."])
    try:
        key = key_of(secret)
    except SecretError as error:
        raise ConfigError([f"push.secret: {error}."]) from None
    url = ours.url.get_secret_value()
    return Pusher(url, key, state_path(settings, place), ours.timeout_s, 3_600 * ours.repeat_hours, time.time)


def state_path(settings: Settings, place: Place) -> Path:
    """The file that says what arrived last. Raises :class:`WrongUse` on Kafka, unless the settings say."""
    state: Path | None = settings.push.state
    if state is not None:
        return state
    if place.broker_of(settings) is not None:
        raise WrongUse("On Kafka say where it is to be kept what arrived last: set push.state to a file.")
    return place.directory_of(settings) / FILE_NAME


def look_at_push(settings: Settings, place: Place) -> list[Finding]:
    """What ``check`` says of the push; nothing where nothing is to be pushed."""
    try:
        if pusher_of(settings, place) is None:
            return []
        last = known(state_path(settings, place))
    except (ConfigError, PushError, WrongUse) as error:
        return [("push", False, str(error).rstrip(".") + ".")]
    when = (
        time.strftime("arrived on %Y-%m-%d at %H:%M UTC", time.gmtime(last.at_s))
        if last.at_s
        else "has not arrived yet"
    )
    found: list[Finding] = [("push", True, f"The table of carriers {when}. Try the receiver: push --test.")]
    if last.waiting is not None:
        found.append(_waits(last.waiting, time.time()))
    return found


def _waits(waiting: Waiting, now_s: float) -> Finding:
    """That the newest table does not arrive; a problem once it does not pass by itself."""
    minutes = max(int((now_s - waiting.since_s) // 60), 0)
    long = (
        f"{minutes} min" if minutes < 120 else f"{minutes // 60} hours" if minutes < 2880 else f"{minutes // 1440} days"
    )
    said = f"The newest table waits for {long}: {waiting.problem} (tried {many(waiting.attempts, 'time')})."
    if waiting.passes:
        remedy = "It is tried again by itself while `push` runs; see whether the receiver is up."
    else:
        remedy = (
            "The receiver refuses it: look into its log, set push.url and push.secret right, and try push --test; then "
            f"it goes within {LONGEST_REST_S / 60:.0f} minutes while `push` runs, at once when `push` is started anew."
        )
    return "push", waiting.passes and now_s < waiting.since_s + LONGEST_REST_S, f"{said} {remedy}"
