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
@place_option
@json_option
def recommend(place: Place, as_json: bool, export: Path | None) -> None:
    """Which carrier to use on each lane, how sure that is, and how much to move."""
    if export is not None and export.suffix not in (".csv", ".json"):
        raise click.BadParameter("FILE must end in .csv or .json.", param_hint="--export")
    settings = settings_or_fail()
    with open_log(settings, place) as log:
        picture = picture_of(log, settings)
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


def _saving(saving: Record | None) -> str | None:
    if saving is None:
        return None
    return f"{saving['value']:.2f} ({saving['low']:.2f} to {saving['high']:.2f}) {saving['currency']}"
