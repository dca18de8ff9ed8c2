"""`explain` proves an incident: the log is folded again, and what is stored must be what comes out."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hand_logs import replayed
from played import Played
from test_cli_verbs import printed, run

from monitor.cli.whole_log import refolded
from monitor.core.events import from_us
from monitor.core.incidents import Incident
from monitor.core.params import Params
from monitor.core.vocabulary import CLOCKS, DAY_US, STAGE_RANK
from monitor.live.state import saved_incident
from monitor.live.version import state_version
from monitor.log.embedded import EmbeddedLog, changelog
from monitor.log.records import Shard, TableChange
from monitor.log.topics import CONTRIBUTIONS, EVENTS
from monitor.replay.simulate import write_world
from monitor.settings import load_settings
from monitor.wire.decode import decode_pack
from monitor.wire.times import parse_time

PARAMS = Params(shadow_days=40, ticket_ln_m=3.0, page_ln_m=5.0)  # more incidents in less time
Json = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A log that `run` has folded, and the incidents in it."""

    data: Path
    exported: Path
    incidents: list[Json]
    told: dict[str, Json] = field(default_factory=dict)  # explanations so far

    def one(self, **wanted: str) -> Json:
        """The first incident with these members; ``kind`` is that of its scope."""
        for incident in self.incidents:
            if all({**incident, "kind": incident["scope"]["kind"]}[name] == value for name, value in wanted.items()):
                return incident
        raise AssertionError(f"no incident with {wanted}")

    def explained(self, incident: Json) -> Json:
        name = incident["incident_id"]
        if name not in self.told:
            self.told[name] = printed("explain", name, "--data", self.data)
        return self.told[name]

    def copy(self, to: Path) -> World:
        """The same log and state, which a test may change."""
        return World(Path(shutil.copytree(self.data, to / "own")), self.exported, self.incidents)


def fold(data: Path, params: Params = PARAMS) -> None:
    """Fold the log as `run` does, and save."""
    with EmbeddedLog.open(data, create=False) as log:
        log.new_generation(state_version(params))
        Played(log, params).fold_all()


@pytest.fixture(scope="module", autouse=True)
def settings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("shadow_days", "ticket_ln_m", "page_ln_m"):
            patch.setenv(f"CHANNEL_MONITOR_DETECTION__{name.upper()}", str(getattr(PARAMS, name)))
        yield


def made(directory: Path, name: str, seed: int, days: int, channels: int, volume: float) -> World:
    file, data = directory / f"{name}.jsonl", directory / name
    write_world(name, seed, file, days, channels, date(2024, 3, 4), volume, None)
    assert run("ingest", "--history", file, "--data", data).exit_code == 0
    fold(data)
    exported = directory / "exported.jsonl"
    assert run("export", "events", "--out", exported, "--data", data).exit_code == 0
    return World(data, exported, printed("incidents", "--data", data))


@pytest.fixture(scope="module")
def customs(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A country's customs holds many parcels: pages of a channel and of the country, and a ticket."""
    return made(tmp_path_factory.mktemp("customs"), "customs", 14, 90, 10, 0.4)


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A feed falls silent."""
    return made(tmp_path_factory.mktemp("outage"), "feed_outage", 1, 50, 6, 0.3)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A hub begins to lose parcels: pages of channels, then of their country."""
    return made(tmp_path_factory.mktemp("hub"), "hub_loses", 5, 100, 6, 0.6)


def tampered(world: World, incident: Json, change: Callable[[Incident], None]) -> None:
    """Change an incident in the saved state."""
    with EmbeddedLog.open(world.data, create=False) as log:
        kept = saved_incident(log, incident["incident_id"])
        assert kept is not None
        change(kept)
        value = msgspec.msgpack.encode(kept)
        changelog.write(
            log._connection,
            Shard(CONTRIBUTIONS, 0),
            [TableChange("incidents", incident["incident_id"].encode(), value)],
        )
        log._connection.commit()


def recorded_by(world: World, until: str) -> list[Json]:
    """What an export of the log tells of the events recorded up to then."""
    events = [json.loads(line) for line in world.exported.read_text().splitlines()]
    return [
        one
        for one in events
        if one["type"] != "clock.ticked.v1" and parse_time(one["recordedtime"]) <= parse_time(until)
    ]


# Proof


def test_every_incident_is_verified_against_the_stored_state(customs: World, outage: World) -> None:
    kinds = set()
    for world in (customs, outage):
        for incident in world.incidents:
            told, proof = world.explained(incident), world.explained(incident)["verified"]
            kinds.add((incident["scope"]["kind"], incident["severity"]))
            assert (proof["equal"], proof["differences"], proof["against"]) == (True, [], "state")
            assert proof["refolded_to"] == incident["known_by"]
            assert proof["events"] == len(recorded_by(world, incident["known_by"]))
            assert {"severity", "members", "parcels_at_risk", "evidence.ln_m"} <= set(proof["compared"])
            assert told["record"] == incident
    assert kinds >= {("channel", "page"), ("channel", "ticket"), ("country", "page"), ("feed", "feed")}


def test_a_page_that_was_a_ticket_first_is_verified_as_the_page_it_became(customs: World, tmp_path: Path) -> None:
    grown = []
    for page in customs.incidents:
        if (page["scope"]["kind"], page["severity"]) == ("channel", "page"):
            day_before = from_us(parse_time(page["known_by"]) - DAY_US)
            before = replayed(tmp_path / page["incident_id"], files=[customs.exported], until=day_before)
            earlier = [one for one in before.lines("incidents") if one["incident_id"] == page["incident_id"]]
            grown += [one["severity"] for one in earlier]
            assert customs.explained(page)["verified"]["equal"]
    assert "ticket" in grown


def test_a_note_and_a_later_closing_are_no_differences(outage: World, tmp_path: Path) -> None:
    own = outage.copy(tmp_path)
    (incident,) = own.incidents
    assert incident["closed_at"] > incident["known_by"]
    assert run("act", incident["incident_id"], "ack", "--by", "Li", "--data", own.data).exit_code == 0
    told = printed("explain", incident["incident_id"], "--data", own.data)
    assert told["verified"]["equal"]
    assert told["record"]["acknowledged_by"] == "Li"
    fold(own.data)
    assert own.explained(incident)["verified"]["equal"]


def test_stored_figures_that_are_not_what_the_log_gives_are_named_with_both_values(
    outage: World, tmp_path: Path
) -> None:
    own = outage.copy(tmp_path)
    (incident,) = own.incidents

    def change(kept: Incident) -> None:
        kept.ln_m += 0.000001
        kept.members = [*kept.members, "XX|other|one"]
        kept.opened_us -= DAY_US
        kept.parcels_at_risk += 1
        kept.complaints_high = 5.0

    tampered(own, incident, change)
    result = run("explain", incident["incident_id"], "--data", own.data, "--json")
    assert result.exit_code == 1
    proof = json.loads(result.stdout)["verified"]
    assert proof["equal"] is False
    assert "check --replay" in proof["remedy"]
    figures = {one["figure"]: (one["stored"], one["refolded"]) for one in proof["differences"]}
    assert figures == {
        "opened_at": (from_us(parse_time(incident["opened_at"]) - DAY_US), incident["opened_at"]),
        "members": ([*incident["members"], "XX|other|one"], incident["members"]),
        "parcels_at_risk": (incident["parcels_at_risk"] + 1, incident["parcels_at_risk"]),
        "evidence.ln_m": (pytest.approx(incident["evidence"]["ln_m"] + 1e-6, abs=1e-9), incident["evidence"]["ln_m"]),
        "forecast.complaints_next_14_days.high": (5.0, 0.0),
    }
    text = run("explain", incident["incident_id"], "--data", own.data)
    assert text.exit_code == 1
    assert "NOT VERIFIED" in text.stdout
    rows = [line.split() for line in text.stdout.splitlines()]
    assert ["parcels_at_risk", *map(str, figures["parcels_at_risk"])] in rows
    assert f"is stored as {figures['parcels_at_risk'][0]}, the log gives {figures['parcels_at_risk'][1]}" in text.stderr
    for name in figures:
        assert name in text.stderr
        assert name in [row[0] for row in rows if row]


@pytest.mark.parametrize(
    ("days", "named"), [(1, "known_by"), (-30, "incident_id")], ids=["known-later", "known-before-it-began"]
)
def test_a_stored_moment_that_is_not_the_right_one_is_a_difference(
    outage: World, tmp_path: Path, days: int, named: str
) -> None:
    own = outage.copy(tmp_path)
    (incident,) = own.incidents

    def change(kept: Incident) -> None:
        kept.known_us += days * DAY_US

    tampered(own, incident, change)
    result = run("explain", incident["incident_id"], "--data", own.data, "--json")
    assert result.exit_code == 1
    (difference,) = json.loads(result.stdout)["verified"]["differences"]
    assert difference["figure"] == named
    assert difference["refolded"] == (incident["known_by"] if named == "known_by" else None)


def test_changed_settings_are_named_as_the_likely_reason(
    customs: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = customs.one(kind="channel", severity="page")
    monkeypatch.setenv("CHANNEL_MONITOR_DETECTION__MARGIN", "0.2")
    result = run("explain", page["incident_id"], "--data", customs.data, "--json")
    assert result.exit_code == 1
    proof = json.loads(result.stdout)["verified"]
    assert proof["differences"]
    assert "made by other settings" in proof["remedy"]
    assert "made by other settings" in result.stderr


def test_without_a_stored_state_the_whole_log_is_folded_and_compared(outage: World, tmp_path: Path) -> None:
    own = outage.copy(tmp_path)
    with EmbeddedLog.open(own.data, create=False) as log:
        log.new_generation()
    told = own.explained(own.incidents[0])
    assert (told["verified"]["equal"], told["verified"]["against"]) == (True, "fold")
    assert "no state is stored" in run("explain", own.incidents[0]["incident_id"], "--data", own.data).stdout


# Figures


def test_the_sums_are_those_of_the_moment_at_which_it_became_known(customs: World) -> None:
    page = customs.one(kind="channel", severity="page", mode="transit_slow")
    figures = customs.explained(page)["figures"]
    assert figures["as_of"] == page["known_by"]
    assert figures["ln_m"] == page["evidence"]["ln_m"]
    strongest = max(figures["sums"], key=lambda one: one["ln_m"])
    assert strongest["clock"] == page["clock"]
    assert {name: strongest[name] for name in ("observed", "expected", "since")} == {
        name: page["evidence"][name] for name in ("observed", "expected", "since")
    }


def test_the_baseline_is_the_one_the_day_was_judged_by(customs: World) -> None:
    page = customs.one(kind="channel", severity="page", mode="transit_slow")
    baseline = customs.explained(page)["figures"]["baseline"]
    with EmbeddedLog.open(customs.data, create=False) as log:
        refold, _ = refolded(log, load_settings(), parse_time(page["known_by"]))
    channel = refold.world.channels[page["members"][0]]
    clock = CLOCKS.index(baseline["clock"])  # of stages that are judged together, the one that says most
    assert baseline["p95_days"] == channel.p95[clock]  # the fold notes it while it judges
    by_then = [row["by_then"] for row in baseline["by_age"]]
    assert by_then == sorted(by_then)
    before = max(row["by_then"] for row in baseline["by_age"] if row["to_age_days"] < baseline["p50_days"] - 1)
    after = min(row["by_then"] for row in baseline["by_age"] if row["to_age_days"] >= baseline["p50_days"] - 1)
    assert before < 0.5 <= after
    assert sum(row["parcels"] for row in baseline["by_age"]) == int(channel.risk[clock, :-1].sum())


def test_the_baseline_of_a_rare_event_is_told_by_age_too(customs: World) -> None:
    page = customs.one(mode="customs_hold", kind="channel")
    baseline = customs.explained(page)["figures"]["baseline"]
    assert (baseline["clock"], "p50_days" in baseline) == ("customs_hold", False)
    assert 0 < baseline["by_age"][-1]["by_then"] < 0.2
    assert baseline["by_age"][0]["from_age_days"] == 0


def test_a_group_is_told_with_its_channels_and_the_one_left_out(customs: World, tmp_path: Path) -> None:
    group = customs.one(kind="country")
    figures = customs.explained(group)["figures"]
    rows = {row["channel"]: row for row in figures["members"]}
    assert set(group["members"]) <= set(rows)
    assert {name for name, row in rows.items() if row["named"]} == set(group["members"])
    assert [name for name, row in rows.items() if row["left_out"]] == [figures["left_out"]]
    assert figures["members_by"] == "customs_hold"
    assert (figures["baseline"]["channel"], figures["baseline"]["clock"]) == (next(iter(rows)), "customs_hold")
    assert sum(row["observed"] for row in rows.values()) >= group["evidence"]["observed"]
    out = replayed(tmp_path, files=[customs.exported], until=group["known_by"])
    then = {one["channel"]: one["ln_m"] for one in out.lines("channels")}
    assert {name: row["channel_ln_m"] for name, row in rows.items()} == {name: then[name] for name in rows}
    assert figures["fit"] > figures["beside"] > PARAMS.shared_fit
    text = run("explain", group["incident_id"], "--data", customs.data).stdout
    assert f"comes to {figures['fit']:.1f}, the best left out to {figures['beside']:.1f}" in text


def test_a_channel_is_told_with_the_level_that_pages_what_it_carries(customs: World) -> None:
    page = customs.one(kind="channel", severity="page")
    figures = customs.explained(page)["figures"]
    weight = PARAMS.stake_power * math.log(min(max(figures["parcels_a_day"], 2.0), 6.0) / 2.0)
    assert figures["page_ln_m"] == pytest.approx(max(PARAMS.page_ln_m - weight, PARAMS.ticket_ln_m), abs=1e-5)
    assert figures["page_ln_m"] <= page["evidence"]["ln_m"]
    text = run("explain", page["incident_id"], "--data", customs.data).stdout
    assert f"pages at {figures['page_ln_m']:.1f}: {figures['parcels_a_day']:.1f} parcels a day" in text


def test_a_feed_is_told_with_the_scans_seen_and_expected(outage: World) -> None:
    (feed,) = outage.incidents
    told = outage.explained(feed)
    assert told["figures"]["scans"] == feed["evidence"]["observed"]
    assert told["figures"]["expected"] == feed["evidence"]["expected"]
    assert told["parameters"]["silent_score"] == 8
    assert 0 < len(told["events"]) <= 10
    assert {one["type"] for one in told["events"]} == {"parcel.scanned.v1"}
    assert {one["recordedtime"] <= feed["known_by"] for one in told["events"]} == {True}


def test_the_hub_at_which_overdue_parcels_were_last_scanned_is_told(hub: World) -> None:
    (item,) = json.loads(hub.exported.with_name("hub_loses.jsonl.truth.json").read_text())["planted"]
    page = hub.one(kind="country", severity="page")
    told = hub.explained(page)["in_common"]
    (found,) = told["found"]
    assert (found["cause"], found["value"]) == ("place", item["scope"]["place"])
    assert found["overdue"] == round(found["overdue_ratio"] * told["overdue"]) > 10
    assert found["usual_ratio"] < 0.1 < 3 * found["usual_ratio"] + 0.1 < found["overdue_ratio"]
    assert found["p"] < 0.001
    text = run("explain", page["incident_id"], "--data", hub.data).stdout
    assert f"What the {told['overdue']} overdue parcels have in common" in text
    line = next(line for line in text.splitlines() if line.startswith("last scanned at"))
    assert f"{item['scope']['place']}  {found['overdue']} of {told['overdue']}" in line


def test_nothing_is_told_where_overdue_parcels_are_like_the_others(customs: World, outage: World) -> None:
    assert customs.explained(customs.one(mode="transit_slow", severity="page"))["in_common"]["found"] == []
    assert outage.explained(outage.incidents[0])["in_common"] is None


# Events


def test_every_event_stands_in_the_log_where_it_is_said_to(customs: World, outage: World) -> None:
    for world in (customs, outage):
        with EmbeddedLog.open(world.data, create=False) as log:
            for incident in world.incidents:
                events = world.explained(incident)["events"]
                assert events
                for one in events:
                    place = one["position"]
                    assert place["topic"] == EVENTS
                    (record,) = log.read(EVENTS, place["partition"], place["offset"], 1)
                    assert record.offset == place["offset"]
                    event = json.loads(decode_pack(record.value)[place["index"]][0])
                    assert event["data"]["parcel_id"] == one["parcel_id"]
                    assert (event["type"], event["data"].get("milestone")) == (one["type"], one.get("milestone"))
                    assert parse_time(event["time"]) == parse_time(one["time"])
                    assert one["recordedtime"] <= incident["known_by"]


def test_the_parcels_behind_slowness_are_those_that_stood_in_the_stage(customs: World) -> None:
    page = customs.one(kind="channel", severity="page", mode="transit_slow")
    told = customs.explained(page)
    begins, ends = (STAGE_RANK[milestone] or 0 for milestone in page["clock"].split(">"))
    seen: dict[str, dict[int, str]] = {}
    of_channel = set()
    for one in recorded_by(customs, page["known_by"]):
        data = one["data"]
        if one["type"] == "parcel.registered.v1":
            channel = f"{data['destination']}|{data['product']}|{data['carrier']}"
            if page["members"] == [f"{channel}/{data['service']}" if data.get("service") else channel]:
                of_channel.add(one["subject"])
        elif one["type"] == "parcel.scanned.v1":
            rank = STAGE_RANK[data["milestone"]]
            stops = rank is None and data["milestone"] not in ("other", "info_received", "damaged")
            over = stops or data["milestone"] == "customs_held"
            if over or rank is not None:
                reached = ends if over else min(rank or 0, ends)
                times = seen.setdefault(one["subject"], {})
                times[reached] = min(times.get(reached, "9"), one["time"])
    standing = {
        id_: times[min(rank for rank in times if rank >= begins)]
        for id_, times in seen.items()
        if id_ in of_channel and begins <= max(times) < ends
    }
    assert told["parcels"] == sorted(standing, key=lambda id_: (parse_time(standing[id_]), id_))[:50]
    assert told["behind"]["parcels"] == len(standing)
    assert told["behind"]["parcels_left_out"] == max(len(standing) - 50, 0)
    assert {one["parcel_id"] for one in told["events"]} == set(told["parcels"])


def test_the_events_behind_a_rare_event_are_the_scans_that_are_it(customs: World) -> None:
    for incident in (customs.one(mode="customs_hold", kind="channel"), customs.one(kind="country")):
        told = customs.explained(incident)
        assert {one["milestone"] for one in told["events"]} == {"customs_held"}
        assert len(told["parcels"]) == len(set(told["parcels"])) > 2
        assert told["behind"]["parcels"] >= incident["evidence"]["observed"]
        assert all(one["time"] >= incident["evidence"]["since"] for one in told["events"])


# On the terminal


def test_the_terminal_shows_proof_rule_sums_and_events(customs: World) -> None:
    for incident in customs.incidents:
        told = customs.explained(incident)
        text = run("explain", incident["incident_id"], "--data", customs.data).stdout
        assert f"{told['verified']['events']:,} events" in text
        assert f"all {len(told['verified']['compared'])} figures fixed then equal what is stored" in text
        for one in told["figures"]["sums"]:
            assert one["clock"] in text
        for one in told["figures"].get("members", ()):
            assert one["channel"] in text
        for one in told["events"]:
            assert "{topic}-{partition}@{offset}[{index}]".format(**one["position"]) in text
        assert max(map(len, text.splitlines())) < 200


def test_a_parcel_on_the_watchlist_has_its_events_with_their_places(customs: World) -> None:
    row = printed("watchlist", "--data", customs.data)[0]
    told = printed("explain", row["parcel_id"], "--data", customs.data)
    assert (told["kind"], told["record"]) == ("watch_item", row)
    assert told["events"][0]["type"] == "parcel.registered.v1"
    text = run("explain", row["parcel_id"], "--data", customs.data).stdout
    assert "{topic}-{partition}@{offset}[{index}]".format(**told["events"][0]["position"]) in text
