"""``channel-monitor act``: a person's decision, appended to the log."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import click

from monitor.cli.common import FoundProblem, json_option, settings_or_fail
from monitor.cli.places import Place, open_log, place_option
from monitor.cli.whole_log import picture_of
from monitor.core.events import DecisionRecorded, DecisionRecordedData
from monitor.log.gateway import Gateway
from monitor.wire.decode import encode
from monitor.wire.incoming import Incoming


@click.command()
@click.argument("id_", metavar="ID")
@click.argument("what", type=click.Choice(["ack", "note", "mute", "done", "accept", "decline"]))
@click.option("--by", metavar="NAME", help="Who decided.")
@click.option("--note", metavar="TEXT", help="Why; at most 4,000 characters.")
@place_option
@json_option
def act(id_: str, what: str, by: str | None, note: str | None, place: Place, as_json: bool) -> None:
    """Record a decision about an incident, a parcel on the watchlist or a recommendation.

    ack: seen, someone is on it. note: a remark. mute, done: take a parcel off the watchlist until news of it comes and
    it falls silent again. accept, decline: the answer to a recommendation. It counts from the next tick on.
    """
    settings = settings_or_fail()
    with open_log(settings, place) as log:
        known = picture_of(log, settings)
        if id_ not in known.incidents and id_ not in known.parcels and known.advice_of(id_) is None:
            raise FoundProblem(
                f"There is no incident, no parcel and no recommendation with the id {id_!r}; nothing was recorded."
            )
        now = datetime.now(UTC)
        try:
            event = encode(
                DecisionRecorded(
                    specversion="1.0",
                    id=uuid.uuid4().hex,
                    source="channel-monitor/act",
                    subject=id_,
                    time=now,
                    recordedtime=now,
                    data=DecisionRecordedData(target=id_, what=what, by=by, note=note),  # type: ignore[arg-type]
                )
            )
            outcome = Gateway(log, settings.params()).ingest([Incoming("act", 1, event, event)])
        except ValueError as error:
            raise FoundProblem(str(error)) from None
    if outcome.accepted != 1:
        raise FoundProblem(f"The decision could not be recorded: {', '.join(outcome.dead_letters)}.")
    click.echo(json.dumps({"id": id_, "what": what, "by": by, "note": note}) if as_json else f"Recorded: {what} {id_}.")
