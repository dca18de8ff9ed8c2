"""``channels``, ``incidents``, ``watchlist``, ``explain``: the page's lists on the terminal, from the whole log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from monitor.cli.common import FoundProblem, json_option, settings_or_fail
from monitor.cli.places import Place, open_log, place_option
from monitor.cli.tables import print_table
from monitor.cli.whole_log import picture_of
from monitor.read.explain import explain as explain_id
from monitor.read.lists import Picture

Record = dict[str, Any]


def _picture(place: Place) -> Picture:
    settings = settings_or_fail()
    with open_log(settings, place) as log:
        return picture_of(log, settings)


@click.command()
@place_option
@json_option
def channels(place: Place, as_json: bool) -> None:
    """Every channel with its rates, each with n and a 95% interval (the last 90 days; --json has all time too)."""
    records = _picture(place).channel_records()
    if as_json:
        click.echo(json.dumps(records, ensure_ascii=False))
        return
    print_table(
        ("CHANNEL", "STATUS", "PARCELS", "IN FLIGHT", "P50 d", "P95 d", "ON TIME", "LOST", "LN M"),
        [
            (
                record["channel"],
                record["status"],
                record["recent"]["registered"],
                record["in_flight"],
                _days(record["recent"]["transit_days"]["p50"]),
                _days(record["recent"]["transit_days"]["p95"]),
                _percent(record["recent"]["on_time_ratio"]),
                _percent(record["recent"]["loss_ratio"]),
                "-" if record["ln_m"] is None else f"{record['ln_m']:.1f}",
            )
            for record in records
        ],
        empty="No channel has been seen yet.",
    )


@click.command()
@place_option
@json_option
def incidents(place: Place, as_json: bool) -> None:
    """Every incident, open and closed, the newest last."""
    records = _picture(place).incident_records()
    if as_json:
        click.echo(json.dumps(records, ensure_ascii=False))
        return
    print_table(
        ("INCIDENT", "SEVERITY", "WHAT", "CHANNEL", "SINCE", "KNOWN BY", "CLOSED", "LN M", "EXITS SEEN/EXPECTED"),
        [
            (
                record["incident_id"],
                record["severity"],
                record["mode"],
                record["members"][0],
                record["evidence"]["since"],
                record["known_by"][:16],
                (record["closed_at"] or "open")[:10],
                f"{record['evidence']['ln_m']:.1f}",
                f"{record['evidence']['observed']:.0f}/{record['evidence']['expected']:.0f}",
            )
            for record in records
        ],
        empty="No incident so far.",
    )


@click.command()
@place_option
@json_option
def watchlist(place: Place, as_json: bool) -> None:
    """The parcels to chase, the most urgent first: silent for longer than 95% of their channel's on this leg."""
    records = _picture(place).watch_records()
    if as_json:
        click.echo(json.dumps(records, ensure_ascii=False))
        return
    print_table(
        ("PRIORITY", "PARCEL", "CHANNEL", "REASON", "SILENT SINCE", "DAYS LEFT", "NEXT ACTION"),
        [
            (
                record["priority"],
                record["parcel_id"],
                record["channel"],
                record["reason"],
                record["since"][:16],
                record["days_left_in_dispute_window"],
                record["next_action"],
            )
            for record in records
        ],
        empty="No parcel to chase.",
    )


@click.command()
@click.argument("id_", metavar="ID")
@place_option
@json_option
def explain(id_: str, place: Place, as_json: bool) -> None:
    """Why an incident or a parcel on the watchlist is there: the rule, the figures, the events behind it."""
    from monitor.live.timeline import parcel_view

    settings = settings_or_fail()
    with open_log(settings, place) as log:
        now = picture_of(log, settings)
        told = explain_id(now, id_, now.watch_records())
        if told is None:
            raise FoundProblem(
                f"There is no incident and no parcel on the watchlist with the id {id_!r}; "
                "see `channel-monitor incidents` and `channel-monitor watchlist`."
            )
        parcels = [parcel_view(log, parcel_id, settings.params()) for parcel_id in told["parcels"]]
    told["events"] = [
        {"parcel_id": parcel["parcel_id"], **event} for parcel in parcels if parcel for event in parcel["events"]
    ]
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(told["rule"] + "\n")
    _print_nested(told["record"])
    click.echo()
    _print_nested(told["figures"])
    click.echo(f"\nEvents of {len(told['parcels'])} parcels behind it:")
    print_table(
        ("PARCEL", "TIME", "EVENT", "PLACE", "LOG POSITION"),
        [
            (
                event["parcel_id"],
                event["time"][:16],
                event.get("milestone") or event["type"],
                event.get("place") or event.get("country") or "",
                "{topic}-{partition}@{offset}[{index}]".format(**event["position"]),
            )
            for event in told["events"]
        ],
        empty="(none)",
    )


def _print_nested(value: Record, indent: int = 0) -> None:
    for name, item in value.items():
        if isinstance(item, dict):
            click.echo(f"{' ' * indent}{name}:")
            _print_nested(item, indent + 2)
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            click.echo(f"{' ' * indent}{name}:")
            print_table(tuple(item[0]), [tuple(row.values()) for row in item], empty="")
        else:
            text = ", ".join(map(str, item)) if isinstance(item, Sequence) and not isinstance(item, str) else item
            click.echo(f"{' ' * indent}{name}: {'-' if text is None else text}")


def _days(quantile: Record) -> str:
    return "-" if quantile["value"] is None else f"{quantile['value']:.1f}"


def _percent(ratio: Record) -> str:
    if not ratio["n"]:
        return "-"
    return f"{100 * ratio['value']:.1f}% ({100 * ratio['low']:.0f}-{100 * ratio['high']:.0f}, n={ratio['n']})"
