"""An explanation on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Final

import click

from monitor.cli.common import many
from monitor.cli.tables import print_table

Record = dict[str, Any]
_WIDTH: Final = 110
_POSITION: Final = "{topic}-{partition}@{offset}[{index}]"
_EVENT_COLUMNS: Final = ("PARCEL", "TIME", "EVENT", "PLACE", "LOG POSITION")


def print_incident(told: Record) -> None:
    """Print the explanation of an incident: what it is, whether it is proven, rule, sums, baseline, events."""
    record, figures = told["record"], told["figures"]
    _print_head(record)
    _print_proof(told["verified"])
    _print_rule(told)
    _title(f"Sums when it became known ({_minute(figures['as_of'])})")
    _print_fixed(record, figures)
    if figures.get("sums"):
        click.echo()
        _print_rows(figures["sums"], ("clock", "alternative", "ln_m", "observed", "expected", "since"))
    if "members" in figures:
        _print_members(figures)
    if figures.get("baseline"):
        _print_baseline(figures["baseline"])
    if told["in_common"] and told["in_common"]["found"]:
        _print_in_common(told["in_common"])
    behind = told["behind"]
    _title(f"Behind it: {behind['what'] or 'no single events'}")
    if behind["what"]:
        left_out = [
            many(behind[f"{name}s_left_out"], name) for name in ("parcel", "event") if behind[f"{name}s_left_out"]
        ]
        more = f"; {' and '.join(left_out)} left out" if left_out else ""
        click.echo(f"{many(len(told['parcels']), 'parcel')}, {many(len(told['events']), 'event')}{more}.\n")
        print_events(told["events"])


def print_watch_item(told: Record) -> None:
    """Print the explanation of a parcel on the watchlist."""
    _print_rule(told)
    _title("Record")
    _print_nested(told["record"])
    _title("Figures")
    _print_nested(told["figures"])
    _title("Its events")
    print_events(told["events"])


def print_advice(told: Record) -> None:
    """Print the explanation of a recommendation."""
    record = told["record"]
    lane = "{country} {product}".format(**record["lane"])
    click.echo(f"{record['decision'].upper()} {lane}: {record['from_carrier']} -> {record['to_carrier'] or 'nobody'}")
    for reason in record["reasons"]:
        _print_wrapped(reason)
    if record["answer"]:
        _print_wrapped(f"{record['answered_by'] or 'Somebody'}: {record['answer']}. {record['answer_note'] or ''}")
    _print_outcome(record["outcome"])
    _print_rule(told)
    _title(f"Carriers as of {_minute(record['as_of'])}, amounts in {told['figures']['currency']}")
    print_table(
        ("CARRIER", "STATUS", "PARCELS", "LOST", "DAYS LATE", "PER 1,000", "POSTAGE", "COST (90%)", "PROBABILITY"),
        [
            (
                one["carrier"],
                one["status"],
                one["parcels"],
                _share(one["loss_ratio"]),
                one["late_days"],
                one["complaints_per_1000"],
                one["postage"],
                _interval(one["cost"]),
                _share(one["probability_better"]),
            )
            for one in told["figures"]["carriers"]
        ],
        empty="",
    )
    _title("Offers and rules behind it")
    rows = [
        (one["subject"], _minute(one["time"]), one["type"].removesuffix(".v1"), _POSITION.format(**one["position"]))
        for one in told["events"]
    ]
    print_table(("SUBJECT", "TIME", "EVENT", "LOG POSITION"), rows, empty="(none)")


def _print_outcome(one: Record | None) -> None:
    """What the last accepted switch of the lane brought."""
    if one is None:
        return
    _title(f"Accepted {_minute(one['accepted_at'])}: {one['from_carrier']} -> {one['to_carrier']}")
    told = {"too_early": "too early to tell", "not_followed": "hardly any parcel was moved"}.get(one["state"])
    if told is not None:
        _print_wrapped(f"{told[0].upper()}{told[1:]}.")
        return
    against = "on the same days" if one["against"] == "same_days" else "as it was known before"
    _print_wrapped(
        f"{one['parcels_moved']:.0f} parcels moved saved {_interval(one['saving_per_parcel'])} each against "
        f"{one['from_carrier']} {against}, {_interval(one['saved'])} {one['saved']['currency']} in all; forecast were "
        f"{_interval(one['forecast_per_parcel'])} each. Probability that it paid: {_share(one['probability_paid'])}."
    )


def _share(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.1%}"


def _interval(amount: Record | None) -> str | None:
    return None if amount is None else f"{amount['value']:.2f} ({amount['low']:.2f} to {amount['high']:.2f})"


def print_events(events: Sequence[Record]) -> None:
    """Print events with their places in the log."""
    rows = [
        (
            event["parcel_id"],
            _minute(event["time"]),
            _what(event),
            event.get("place") or event.get("country") or "",
            _POSITION.format(**event["position"]),
        )
        for event in events
    ]
    print_table(_EVENT_COLUMNS, rows, empty="(none)")


def _what(event: Record) -> str:
    if "milestone" in event:
        return str(event["milestone"])
    kind = event["type"].removesuffix(".v1")
    return f"{kind} {event['kind']}" if "kind" in event else kind


def _print_head(record: Record) -> None:
    scope = {name: value for name, value in record["scope"].items() if value is not None and name != "kind"}
    about = " ".join(str(value) for value in scope.values()) or "all"
    if record["scope"]["kind"] == "channel":
        about = record["members"][0]
    click.echo(f"{record['severity'].upper()} {record['mode']} of {record['scope']['kind']} {about}")
    state = f"closed {_minute(record['closed_at'])}" if record["closed_at"] else "still open"
    click.echo(
        f"Incident {record['incident_id']}, known by {_minute(record['known_by'])} UTC, trouble since "
        f"{record['opened_at'][:10]}, {state}."
    )
    for name in ("acknowledged_by", "absorbed_by"):
        if name in record:
            click.echo(f"{name}: {record[name]}")
    for note in record.get("notes", ()):
        click.echo(f"note: {note}")


def _print_proof(proof: Record) -> None:
    _title("Verified" if proof["equal"] else "NOT VERIFIED")
    refold = f"{many(proof['events'], 'event')} recorded up to {_minute(proof['refolded_to'])} folded again"
    stored = "what is stored" if proof["against"] == "state" else "a fold of the whole log (no state is stored)"
    if proof["equal"]:
        click.echo(f"{refold}: all {len(proof['compared'])} figures fixed then equal {stored}.")
        return
    count = many(len(proof["differences"]), "figure differs", "figures differ")
    click.echo(f"{refold}: {count} from {stored}.\n")
    rows = [(one["figure"], _plain(one["stored"]), _plain(one["refolded"])) for one in proof["differences"]]
    print_table(("FIGURE", "STORED", "REFOLDED"), rows, empty="")
    click.echo()
    _print_wrapped(proof["remedy"])


def _print_rule(told: Record) -> None:
    _title("Rule")
    _print_wrapped(told["rule"])
    if told.get("parameters"):
        click.echo()
        _print_wrapped(", ".join(f"{name} {value:g}" for name, value in told["parameters"].items()))


def _print_fixed(record: Record, figures: Record) -> None:
    evidence, forecast = figures["at_known_by"], figures["forecast"]["complaints_next_14_days"]
    if "drift" in figures:
        _print_drift(evidence, figures["drift"])
        return
    unit = "scans" if "scans" in figures else "exits" if record["clock"] else "events"
    click.echo(
        f"ln M {_number(evidence['ln_m'])}; {unit} seen {_number(evidence['observed'])} of "
        f"{_number(evidence['expected'])} expected since {evidence['since']}"
    )
    if "page_ln_m" in figures:
        click.echo(f"pages at {_number(figures['page_ln_m'])}: {_number(figures['parcels_a_day'])} parcels a day")
    if "beside" in figures:
        click.echo(
            f"what its channels show of the last days comes to {_number(figures['fit'])}, "
            f"the best left out to {_number(figures['beside'])}"
        )
    if "usual_lag_hours" in figures:
        click.echo(f"scans come {_number(figures['usual_lag_hours'])} hours late as a rule")
    ahead = f"{_number(forecast['expected'])} ({_number(forecast['low'])} to {_number(forecast['high'])})"
    expect = "" if record["severity"] == "feed" else f"; complaints to expect in 14 days: {ahead}"
    click.echo(f"{many(figures['parcels_at_risk'], 'parcel')} in flight{expect}")


def _print_drift(evidence: Record, drift: Record) -> None:
    now, before = _number(evidence["observed"]), _number(evidence["expected"])
    click.echo(f"usually {now} days from registration to delivery; {before} on {evidence['since']}")
    click.echo(
        f"{drift['ratio']:.1%} more, {_number(drift['standard_errors'])} standard errors "
        f"(ln M {_number(evidence['ln_m'])}); {_number(drift['deliveries_learnt'])} deliveries behind the baseline"
    )


def _print_members(figures: Record) -> None:
    _title(f"Channels of the group, by {figures['members_by']}")
    if figures["left_out"]:
        click.echo(f"Left out on the last judged day ({figures['judged_day']}): {figures['left_out']}\n")
    _print_rows(
        figures["members"],
        ("channel", "channel_ln_m", "ln_m", "observed", "expected", "since", "p50_days", "p80_days", "p95_days"),
    )
    if figures["members_not_shown"]:
        click.echo(f"{many(figures['members_not_shown'], 'channel')} more.")


def _print_baseline(baseline: Record) -> None:
    _title(f"Baseline it was judged against: {baseline['clock']} of {baseline['channel']}")
    quantiles = [
        f"{share.upper()[:3]} {baseline[share]}"
        for share in ("p50_days", "p80_days", "p95_days")
        if baseline.get(share) is not None
    ]
    if quantiles:
        click.echo(f"Days it takes: {', '.join(quantiles)}\n")
    rows = [
        (
            f"{row['from_age_days']}-{row['to_age_days']}"
            if row["from_age_days"] != row["to_age_days"]
            else str(row["from_age_days"]),
            f"{row['chance']:.1%}",
            f"{row['by_then']:.1%}",
            row["parcels"],
        )
        for row in baseline["by_age"]
    ]
    head = "USUALLY LEAVE" if quantiles else "USUALLY HAPPENS"
    print_table(("AGE, DAYS", head, "BY THEN", "PARCELS"), rows, empty="")


def _print_in_common(told: Record) -> None:
    _title(f"What the {many(told['overdue'], 'overdue parcel')} have in common")
    rows = [
        (
            "last scanned at" if one["cause"] == "place" else one["cause"].removesuffix("_id").replace("_", " "),
            one["value"] or "one and the same",
            f"{one['overdue']} of {told['overdue']}",
            _share(one["overdue_ratio"]),
            _share(one["usual_ratio"]),
            _share(one["in_time_ratio"]),
            f"{one['p']:.1g}",
        )
        for one in told["found"]
    ]
    print_table(("CAUSE", "VALUE", "OVERDUE", "SHARE", "USUALLY", "OF THOSE IN TIME", "CHANCE"), rows, empty="")


def _print_rows(rows: Sequence[Record], columns: Sequence[str]) -> None:
    some = [name for name in columns if any(name in row for row in rows)]
    head = [name.removesuffix("_days").replace("_", " ").upper() for name in some]
    print_table(head, [tuple(_cell(row.get(name)) for name in some) for row in rows], empty="(none)")


def _print_nested(value: Record, indent: int = 0) -> None:
    for name, item in value.items():
        if isinstance(item, dict):
            click.echo(f"{' ' * indent}{name}:")
            _print_nested(item, indent + 2)
        else:
            click.echo(f"{' ' * indent}{name}: {_plain(item)}")


def _print_wrapped(text: str) -> None:
    click.echo(textwrap.fill(text, _WIDTH))


def _title(text: str) -> None:
    click.echo(f"\n{text}")


def _cell(value: Any) -> Any:
    return round(value, 2) if isinstance(value, float) else value


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}".removesuffix(".0")


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
