"""``channel-monitor explain``: why an incident, a parcel on the watchlist or a recommendation is there."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from monitor.cli.common import FoundProblem, json_option, settings_or_fail
from monitor.cli.explain_text import print_advice, print_incident, print_watch_item
from monitor.cli.places import Place, open_log, place_option
from monitor.cli.whole_log import picture_of, refolded
from monitor.core.events import from_us
from monitor.core.incidents import Incident, record
from monitor.live.state import saved_incident
from monitor.live.version import state_version
from monitor.log.protocol import Log
from monitor.read.behind import behind, look_up
from monitor.read.explain import explain as explain_stored
from monitor.read.explain import proven
from monitor.read.in_common import in_common
from monitor.read.lists import Picture
from monitor.read.proof import compared, differences
from monitor.read.told import told as say
from monitor.settings import Settings

Record = dict[str, Any]
_OTHER_SETTINGS: Final = (
    "The stored state was made by other settings or another version of the program: that is the likely reason. Put the "
    "settings back and ask again, or start `run`, which makes the state anew by the present ones."
)
_DAMAGED: Final = (
    "Settings and version are those that made the stored state, so the state was damaged or changed. `channel-monitor "
    "check --replay` compares all of it with the log, `channel-monitor run --rebuild` makes it anew; please report it "
    "with a backup of the log."
)
_OURS: Final = (
    "No state is stored: a fold of the whole log and one of its beginning disagree, which they never should; please "
    "report it with a backup of the log."
)


@click.command()
@click.argument("id_", metavar="ID")
@place_option
@json_option
def explain(id_: str, place: Place, as_json: bool) -> None:
    """Why an incident, a parcel on the watchlist or a recommendation is there: rule, figures, events behind it.

    For an incident the log is folded again up to the moment at which it became known, and every figure that was fixed
    then is compared with what is stored. The sums, the baseline and the events are those of that moment.

    Exit status: 0 done, 1 the figures differ or there is no such id, 2 wrong use.
    """
    settings = settings_or_fail()
    with open_log(settings, place) as log:
        stored = saved_incident(log, id_)
        now = picture_of(log, settings)
        incident = now.incidents.get(id_) or stored
        if incident is not None:
            told = _of_incident(log, settings, stored, incident)
        else:
            told = _of_list(log, settings, now, id_)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    elif told["kind"] == "incident":
        print_incident(told)
    elif told["kind"] == "recommendation":
        print_advice(told)
    else:
        print_watch_item(told)
    proof = told.get("verified")
    if proof is not None and not proof["equal"]:
        differ = "; ".join(
            f"{one['figure']} is stored as {json.dumps(one['stored'])}, the log gives {json.dumps(one['refolded'])}"
            for one in proof["differences"]
        )
        raise FoundProblem(f"Incident {id_} is not what the log gives: {differ}. {proof['remedy']}")


def _of_incident(log: Log, settings: Settings, stored: Incident | None, incident: Incident) -> Record:
    """The explanation of an incident. ``stored``: as the state keeps it, if there is one; ``incident``: as of now."""
    claimed = stored or incident
    refold, events = refolded(log, settings, claimed.known_us)
    then = refold.then
    found = then.incidents.get(claimed.incident_id)
    known = claimed if found is None else found
    told = proven(then, known, refold.tallies, refold.world.judged)
    parcels, shown, number = look_up(behind(then, known), refold.lines())
    differ = differences(claimed, found)
    proof: Record = {
        "equal": not differ,
        "refolded_to": from_us(claimed.known_us),
        "events": events,
        "compared": compared(claimed),
        "against": "state" if stored is not None else "fold",
        "differences": differ,
    }
    if differ:
        proof["remedy"] = _OURS if stored is None else _remedy(log, settings)
    return {
        "kind": "incident",
        "basis": told["basis"],
        "record": record(incident),
        "verified": proof,
        **{name: told[name] for name in ("rule", "parameters", "figures")},
        "in_common": in_common(then, known, refold.tallies, refold.lines()),
        "behind": number,
        "parcels": parcels,
        "events": shown,
    }


def _remedy(log: Log, settings: Settings) -> str:
    return _DAMAGED if log.state_version == state_version(settings.params()) else _OTHER_SETTINGS


def _of_list(log: Log, settings: Settings, now: Picture, id_: str) -> Record:
    """The explanation of a watch item or a recommendation. Raises :class:`FoundProblem` for an id that is none."""
    from monitor.live.timeline import events_of, parcel_view

    told = explain_stored(now, id_, now.watch_records())
    if told is None:
        raise FoundProblem(
            f"There is no incident, no recommendation and no parcel on the watchlist with the id {id_!r}; see "
            "`channel-monitor incidents`, `recommend` and `watchlist`. An id from an older page may be one of other "
            "settings."
        )
    if told["kind"] == "recommendation":
        behind = [(subject, *one) for subject in told["declared_by"] for one in events_of(log, subject)]
        return {**told, "events": [{"subject": s, **say(e, us, at)} for s, us, e, _, at in behind]}
    parcel = parcel_view(log, id_, settings.params())
    events = [] if parcel is None else parcel["events"]
    return {**told, "events": [{"parcel_id": id_, **event} for event in events]}
