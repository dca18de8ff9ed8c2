"""``channel-monitor recommend``: which carrier to use on each lane, on the terminal or for a shipping system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from monitor.cli.common import FoundProblem, json_option, many, settings_or_fail
from monitor.cli.places import Place, open_log, place_option
from monitor.cli.tables import print_table
from monitor.cli.whole_log import picture_of
from monitor.core.switch.outcomes import balance_record
from monitor.read.routing import routing_csv, routing_rows

Record = dict[str, Any]
_ANSWERED: Final = {"accept": " (accepted)", "decline": " (declined)"}


@click.command()
@click.option(
    "--export",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the carriers of every lane for a shipping system instead: FILE ends in .csv or .json.",
)
@click.option("--outcomes", is_flag=True, help="Show what accepted switches brought instead.")
@place_option
@json_option
def recommend(place: Place, as_json: bool, export: Path | None, outcomes: bool) -> None:
    """Which carrier to use on each lane, how sure that is, and how much to move."""
    if export is not None and export.suffix not in (".csv", ".json"):
        raise click.BadParameter("FILE must end in .csv or .json.", param_hint="--export")
    settings = settings_or_fail()
    with open_log(settings, place) as log:
        picture = picture_of(log, settings)
    if outcomes:
        _print_outcomes(picture.outcome_records(), balance_record(picture.balance()), as_json)
        return
    records = picture.advice_records()
    if export is not None:
        rows = routing_rows(records)
        text = routing_csv(rows) if export.suffix == ".csv" else json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
        try:
            export.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise FoundProblem(f"{click.format_filename(export)}: {error.strerror}.") from None
        said = {"file": str(export), "rows": len(rows)}
        click.echo(json.dumps(said) if as_json else f"{many(len(rows), 'row')} written to {said['file']}.")
        return
    if as_json:
        click.echo(json.dumps(records, ensure_ascii=False))
        return
    found = balance_record(picture.balance())
    if found["accepted"]:
        _print_balance(found)
    print_table(
        ("ID", "LANE", "DECISION", "FROM", "TO", "MOVE", "SAVING A PARCEL (90%)", "PROBABILITY", "EXCLUDED"),
        [
            (
                record["recommendation_id"],
                "{country} {product}".format(**record["lane"]),
                record["decision"] + _ANSWERED.get(record["answer"], ""),
                record["from_carrier"],
                record["to_carrier"],
                f"{record['share_to_move']:.0%}" if record["share_to_move"] else None,
                _saving(record["saving_per_parcel"]),
                None if record["probability_better"] is None else f"{record['probability_better']:.1%}",
                ", ".join(sorted(record["excluded"])) or None,
            )
            for record in records
        ],
        empty="No lane has had parcels in the last 40 days.",
    )


def _print_outcomes(records: list[Record], found: Record, as_json: bool) -> None:
    """Print what accepted switches brought, and their sum."""
    if as_json:
        click.echo(json.dumps({"balance": found, "outcomes": records}, ensure_ascii=False))
        return
    if found["accepted"]:
        _print_balance(found)
    print_table(
        (
            "LANE",
            "ACCEPTED",
            "FROM",
            "TO",
            "STATE",
            "MOVED",
            "FORECAST A PARCEL (90%)",
            "MEASURED (90%)",
            "SAVED IN ALL",
        ),
        [
            (
                "{country} {product}".format(**one["lane"]),
                one["accepted_at"][:10],
                one["from_carrier"],
                one["to_carrier"],
                one["state"] + {True: ", as forecast", False: ", not as forecast", None: ""}[one["as_forecast"]],
                round(one["parcels_moved"]),
                _saving(one["forecast_per_parcel"]),
                _saving(one["saving_per_parcel"]),
                _saving(one["saved"]),
            )
            for one in records
        ],
        empty="No switch was accepted yet: channel-monitor act ID accept.",
    )


def _print_balance(found: Record) -> None:
    saved = "".join(f"; saved {_saving(amount)}" for amount in found["saved"])
    click.echo(
        f"Of {many(found['accepted'], 'accepted switch', 'accepted switches')} {found['measured']} could be measured, "
        f"{found['paid']} paid{saved}."
    )
    if found["warning"]:
        click.echo(f"Warning: {found['warning']}")
    click.echo()


def _saving(saving: Record | None) -> str | None:
    if saving is None:
        return None
    return f"{saving['value']:.2f} ({saving['low']:.2f} to {saving['high']:.2f}) {saving['currency']}"
