"""The report of a backtest on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from monitor.cli.common import many
from monitor.cli.tables import print_table
from monitor.web import backtest as report
from monitor.web.i18n import Translator
from monitor.web.words import scope_text
from monitor.wire.backtest import Backtest

#: Rows of a table on the terminal; the JSON holds all.
MOST_ROWS: Final = 30
Record = Mapping[str, Any]


def print_report(backtest: Backtest) -> None:
    """Sentences first, then the tables."""
    record = backtest.model_dump(mode="json")
    t = Translator("en")
    for sentence in report.sentences(record, t):
        click.echo(sentence)
    summary = record["summary"]
    click.echo(
        f"\n{many(summary['parcels'], 'parcel')} on {many(summary['channels'], 'channel')}, "
        f"{many(summary['complaints'], 'complaint')}; as of {record['as_of'] or 'never'}; "
        f"pages possible from {summary['pages_possible_from'] or 'never'}."
    )
    if record["dead_letters"]:
        click.echo(f"{many(record['dead_letters'], 'record')} could not be used; replay writes them out.")
    click.echo("\nBy rule")
    print_table(report.rule_heads(t), report.rule_rows(record, t), empty="no incident was raised")
    if record["compared"]:
        _print_comparison(record, t)
    _print_degradations(record, t)
    _print_incidents(record, t)
    if record["switch"] is not None:
        _print_switch(record["switch"], t)


def _print_switch(switch: Record, t: Translator) -> None:
    click.echo(f"\n{t('switchback.title')}")
    for sentence in report.switch_sentences(switch, t):
        click.echo(sentence)
    if switch["lanes"]:
        click.echo()
        print_table(report.switch_heads(t), report.switch_rows(switch, t)[:MOST_ROWS], empty="")
        _print_rest(len(switch["lanes"]))


def _print_comparison(record: Record, t: Translator) -> None:
    other = record["compared"]
    click.echo("\nThe two settings side by side")
    heads = ["", *(run["config"] or t("backtest.defaults") for run in (record, other))]
    both = zip(report.figures(record["summary"], t), report.figures(other["summary"], t), strict=True)
    print_table(heads, [[name, one, two] for (name, one), (_, two) in both], empty="")


def _print_degradations(record: Record, t: Translator) -> None:
    rows = record["degradations"]
    click.echo(f"\n{t('backtest.went_wrong_' + record['summary']['source'])}; days from the start")
    shown = [
        [
            scope_text(row["scope"], t),
            row["start"][:10],
            row["days_to_page"],
            row["days_to_alarm"],
            row["days_to_calibrated_alarm"],
            row["lead_days"],
            t("backtest.outcome_" + row["outcome"]),
        ]
        for row in rows[:MOST_ROWS]
    ]
    heads = ["where", "start", "page", "alarm", "calibrated alarm", "lead", "what the monitor did"]
    print_table(heads, shown, empty="none")
    _print_rest(len(rows))


def _print_incidents(record: Record, t: Translator) -> None:
    rows = sorted(record["incidents"], key=lambda row: row["severity"])
    click.echo("\nIncidents")
    shown = [
        [
            row["incident_id"],
            row["severity"],
            row["known_by"],
            row["mode"],
            scope_text(row["scope"], t),
            t("backtest." + report.verdict(row["right"])),
            row["lead_days"],
        ]
        for row in rows[:MOST_ROWS]
    ]
    print_table(["id", "severity", "known by", "rule", "where", "right?", "lead"], shown, empty="none")
    _print_rest(len(rows))


def _print_rest(n: int) -> None:
    if n > MOST_ROWS:
        click.echo(f"... and {n - MOST_ROWS:,} more; --json has all")
