"""``channel-monitor act``: a person's decision, appended to the log."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import click

from monitor.cli.common import FoundProblem, WrongUse, json_option, settings_or_fail
from monitor.cli.places import Place, open_log, place_option
from monitor.cli.whole_log import picture_of
from monitor.core.events import DecisionRecorded, DecisionRecordedData
from monitor.core.switch.advice import SWITCH, Advice
from monitor.log.gateway import Gateway
from monitor.wire.decode import encode
from monitor.wire.incoming import Incoming


@click.command()
@click.argument("id_", metavar="ID")
@click.argument("what", type=click.Choice(["ack", "note", "mute", "done", "accept", "decline"]))
@click.option("--by", metavar="NAME", help="Who decided.")
@click.option("--note", metavar="TEXT", help="Why; at most 4,000 characters.")
@click.option("--carrier", metavar="CARRIER", help="With accept: the carrier that is taken instead of the advised one.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="With accept: the share of the lane's parcels that is moved instead of the advised one, 0 to 1.",
)
@place_option
@json_option
def act(
    id_: str,
    what: str,
    by: str | None,
    note: str | None,
    carrier: str | None,
    share: float | None,
    place: Place,
    as_json: bool,
) -> None:
    """Record a decision about an incident, a parcel on the watchlist or a recommendation.

    ack: seen, someone is on it. note: a remark. mute, done: take a parcel off the watchlist until news of it comes and
    it falls silent again. accept, decline: the answer to a recommendation; with --carrier and --share a switch of
    your own. It counts from the next tick on.
    """
    settings = settings_or_fail()
    with open_log(settings, place) as log:
        known = picture_of(log, settings)
        if id_ not in known.incidents and id_ not in known.parcels and known.advice_of(id_) is None:
            raise FoundProblem(
                f"There is no incident, no parcel and no recommendation with the id {id_!r}; nothing was recorded."
            )
        if carrier is not None or share is not None:
            _check_override(known.advice_of(id_), what, carrier)
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
                    data=DecisionRecordedData(id_, what, by, note, carrier, share),  # type: ignore[arg-type]
                )
            )
            outcome = Gateway(log, settings.params()).ingest([Incoming("act", 1, event, event)])
        except ValueError as error:
            raise FoundProblem(str(error)) from None
    if outcome.accepted != 1:
        raise FoundProblem(f"The decision could not be recorded: {', '.join(outcome.dead_letters)}.")
    own = {name: value for name, value in (("carrier", carrier), ("share", share)) if value is not None}
    told = {"id": id_, "what": what, "by": by, "note": note, **own}
    click.echo(json.dumps(told) if as_json else f"Recorded: {what} {id_}.")


def _check_override(advised: tuple[str, Advice] | None, what: str, carrier: str | None) -> None:
    """Raises :class:`WrongUse`, or :class:`FoundProblem` where the carrier may not be taken."""
    if advised is None or what != "accept":
        raise WrongUse("--carrier and --share go with accept, and with the id of a recommendation.")
    lane, advice = advised
    if carrier is None:
        if advice.decision != SWITCH:
            raise WrongUse(f"No switch is advised for {lane.replace('|', ' ')}: say to which --carrier.")
    elif carrier == advice.from_carrier:
        raise FoundProblem(
            f"{carrier} is the carrier in use; decline the advice to stay with it. Nothing was recorded."
        )
    elif carrier in advice.excluded:
        raise FoundProblem(f"{carrier} may not be used: {advice.excluded[carrier]}. Nothing was recorded.")
    elif carrier not in {one.carrier for one in advice.carriers}:
        known = ", ".join(one.carrier for one in advice.carriers[1:]) or "none"
        raise FoundProblem(f"{carrier} is no carrier of {lane.replace('|', ' ')} ({known}). Nothing was recorded.")
