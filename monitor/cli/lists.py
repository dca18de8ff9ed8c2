"""``channels``, ``incidents``, ``watchlist``: the page's lists on the terminal, from the whole log."""

from __future__ import annotations

import json
from typing import Any

import click

from monitor.cli.common import json_option, many, settings_or_fail
from monitor.cli.places import Place, open_log, place_option
from monitor.cli.tables import print_table
from monitor.cli.whole_log import picture_of
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


def _about(record: dict[str, Any]) -> str:
    """A channel by its id, anything wider by its kind, its names and the number of its channels."""
    scope, members = record["scope"], record["members"]
    if scope["kind"] == "channel":
        return str(members[0])
    names = " ".join(str(name) for key, name in scope.items() if key != "kind" and name)
    return f"{scope['kind']} {names}".rstrip() + f" ({many(len(members), 'channel')})"


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
        ("INCIDENT", "SEVERITY", "WHAT", "ABOUT", "SINCE", "KNOWN BY", "CLOSED", "LN M", "SEEN/EXPECTED"),
        [
            (
                record["incident_id"],
                record["severity"],
                record["mode"],
                _about(record),
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


def _days(quantile: Record) -> str:
    return "-" if quantile["value"] is None else f"{quantile['value']:.1f}"


def _percent(ratio: Record) -> str:
    if not ratio["n"]:
        return "-"
    return f"{100 * ratio['value']:.1f}% ({100 * ratio['low']:.0f}-{100 * ratio['high']:.0f}, n={ratio['n']})"
