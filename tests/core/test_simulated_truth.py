"""What the truth says is planted is what the parcels of the simulated world live through, and nothing else is."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pytest
from simulated import DAYS, START, parcels, plan, planted

from monitor.replay.simulate import SCENARIOS, SimulationError, simulate
from monitor.replay.simulate.calendar import holidays_between
from monitor.replay.simulate.cases import KINDS, Cases, open_cases
from monitor.replay.simulate.channels import build_channels
from monitor.replay.simulate.clock import WorkClock
from monitor.replay.simulate.journeys import Journeys
from monitor.replay.simulate.planting import Influence
from monitor.replay.simulate.scenarios import Plant, Scenario
from monitor.replay.simulate.world import plan_world

Times = npt.NDArray[np.float64]
_PEAK = date(2024, 7, 1)


def together(journeys: tuple[Journeys, ...], name: str) -> Times:
    """One column of all channels."""
    return np.concatenate([getattr(channel, name) for channel in journeys])


def cases_of(scenario: str, like: str | None = None, start: date = START) -> list[tuple[Journeys, Cases]]:
    """Complaints on the channels that ``like`` touches."""
    world = plan(scenario, start)
    return [
        (channel, open_cases(world.setting, channel, Influence(world.planted, channel.channel)))
        for channel in parcels(scenario, start, like=like)
    ]


def stage_ratio(scenario: str, first: str, last: str, start: date = START) -> Times:
    """Duration of a stage relative to the same parcel's in the quiet world, where it lies in the planted window."""
    item = planted(scenario, start)
    ratios = []
    for bad, good in zip(parcels(scenario, start), parcels("quiet", start, like=scenario), strict=True):
        n = len(good)  # parcels that a surge adds come behind the ordinary ones
        begun, ended = getattr(bad, first)[:n], getattr(bad, last)[:n]
        known = (begun >= item.first) & (ended < min(item.end, DAYS)) & np.isfinite(getattr(good, last))
        ratios.append((ended[known] - begun[known]) / (getattr(good, last)[known] - getattr(good, first)[known]))
    found = np.concatenate(ratios)
    assert len(found) > 50
    return found


@pytest.mark.parametrize(
    "scenario", ["loss", "country", "untracked_batch", "lost_batch", "hub_loses", "bulk_complainer", "surge"]
)
def test_channels_that_are_not_touched_live_the_same_days_as_in_the_quiet_world(scenario: str) -> None:
    quiet = parcels("quiet", touched=False, like=scenario)
    for before, after in zip(quiet, parcels(scenario, touched=False), strict=True):
        assert before.channel.id == after.channel.id
        for column in fields(Journeys):
            if column.name != "channel":
                np.testing.assert_array_equal(getattr(before, column.name), getattr(after, column.name))


@pytest.mark.parametrize(
    ("scenario", "factor"), [("stretch", 1.6), ("stretch2", 2.0), ("carrier", 1.5), ("country", 1.5)]
)
def test_stretched_channels_take_the_planted_factor_longer_to_arrive(scenario: str, factor: float) -> None:
    assert np.median(stage_ratio(scenario, "departed", "arrived")) == pytest.approx(factor, rel=0.06)


def test_nothing_changes_before_the_planted_day() -> None:
    first = planted("stretch").first
    for before, after in zip(parcels("quiet", like="stretch"), parcels("stretch"), strict=True):
        early = before.delivered < first
        assert early.sum() > 20
        np.testing.assert_array_equal(before.delivered[early], after.delivered[early])
        assert (after.delivered[~early] >= before.delivered[~early] - 1e-9).all()


def test_a_stalled_channel_has_no_departure_for_ten_days() -> None:
    item, departed = planted("stall"), together(parcels("stall"), "departed")
    usual = together(parcels("quiet", like="stall"), "departed")
    assert item.end - item.first == 10
    assert ((usual > item.first) & (usual < item.end)).sum() > 10
    assert ((departed > item.first) & (departed < item.end)).sum() == 0


def test_a_drifting_channel_gets_slower_day_by_day() -> None:
    (bad,), (good,), item = parcels("drift"), parcels("quiet", like="drift"), planted("drift")
    with np.errstate(invalid="ignore"):
        ratio = (bad.arrived - bad.departed) / (good.arrived - good.departed)
    middle = (bad.arrived + bad.departed) / 2 - item.first
    for first, last in ((0, 10), (15, 25), (30, 40)):
        inside = (middle > first) & (middle < last) & np.isfinite(ratio) & (bad.departed >= item.first)
        assert inside.sum() > 10
        assert np.median(ratio[inside]) == pytest.approx(1 + 0.015 * float(np.mean(middle[inside])), abs=0.1)


def test_origin_stages_take_three_times_as_long_in_an_unprepared_holiday() -> None:
    ratio = stage_ratio("holiday_unprepared", "accepted", "departed", _PEAK)
    assert 2.4 < np.median(ratio) < 5.0  # slower parcels also miss the faster days after the holiday


@pytest.mark.parametrize(
    ("scenario", "reaches", "meets", "share"),
    [
        ("misroute", "departed", "misrouted", 0.08),
        ("security_return", "accepted", "security", 0.12),
        ("customs", "arrived", "held", 0.25),
        ("country_product", "arrived", "returning", 0.15),
    ],
)
def test_the_planted_share_of_parcels_meets_what_is_planted(
    scenario: str, reaches: str, meets: str, share: float
) -> None:
    journeys, item = parcels(scenario), planted(scenario)
    when, met = together(journeys, reaches), np.isfinite(together(journeys, meets))
    inside = (when >= item.first) & (when < min(item.end, DAYS - 25))
    if meets == "returning":  # only those whose delivery has been tried can have failed
        inside &= np.isfinite(np.minimum(together(journeys, "delivered"), together(journeys, "attempted")))
    n = int(inside.sum())
    assert n > 40
    assert met[inside].mean() == pytest.approx(share, abs=3 * (share * (1 - share) / n) ** 0.5)
    assert met[when < item.first].mean() < share / 1.5


def test_a_losing_channel_delivers_15_percent_less() -> None:
    bad, good = parcels("loss"), parcels("quiet", like="loss")
    item, delivered = planted("loss"), together(good, "delivered")
    due = (together(good, "accepted") >= item.first) & np.isfinite(delivered)
    n = int(due.sum())
    missing = ~np.isfinite(together(bad, "delivered")[due])
    assert n > 40
    assert missing.mean() == pytest.approx(0.145, abs=3 * (0.145 * 0.855 / n) ** 0.5)


def test_a_hub_keeps_most_of_what_comes_to_it_and_the_gateway_nothing() -> None:
    journeys, item = parcels("hub_loses"), planted("hub_loses")
    arrived, hub = together(journeys, "arrived"), together(journeys, "second_hub")
    gone = ~np.isfinite(np.minimum(together(journeys, "delivered"), together(journeys, "attempted")))
    inside = (arrived >= item.first) & (arrived < DAYS - 30)
    assert item.scope["place"] == f"{journeys[0].channel.country.cities[0]} hub"
    assert hub.mean() == pytest.approx(0.5, abs=0.05)
    assert gone[inside & hub].mean() > 0.85
    assert gone[inside & ~hub].mean() < 0.1
    assert gone[(arrived < item.first) & hub].mean() < 0.1


def test_untracked_parcels_are_those_of_the_planted_weeks_or_forwarder() -> None:
    for scenario, share in (("no_tracking", 1.0), ("untracked_batch", 0.85)):
        journeys, item = parcels(scenario), planted(scenario)
        registered, unscanned = together(journeys, "registered"), together(journeys, "unscanned")
        hit = (registered >= item.first) & (registered < item.end)
        if "forwarder" in item.scope:
            hit &= np.concatenate([j.by_forwarder() for j in journeys]) == item.scope["forwarder"]
        assert unscanned[hit].mean() == pytest.approx(share, abs=0.06)
        assert unscanned[~hit].mean() < 0.03


def test_a_surge_triples_the_parcels_and_leaves_the_ordinary_ones_alone() -> None:
    (before,), (after,), item = parcels("quiet", like="surge"), parcels("surge"), planted("surge")
    counts = [((j.registered >= item.first) & (j.registered < item.end)).sum() for j in (before, after)]
    assert counts[1] / counts[0] == pytest.approx(3.0, rel=0.25)
    np.testing.assert_array_equal(before.delivered, after.delivered[: len(before)])


def test_buyers_complain_weeks_after_the_delay_began() -> None:
    item = planted("stretch2")
    (_, usual), (_, late) = (cases_of(name, "stretch2")[0] for name in ("quiet", "stretch2"))
    known = set(usual.parcel[usual.kind == 0].tolist())
    extra = [
        opened
        for parcel, kind, opened in zip(late.parcel.tolist(), late.kind.tolist(), late.opened.tolist(), strict=True)
        if kind == 0 and parcel not in known
    ]
    assert len(extra) > 5
    assert min(extra) > item.first + 2
    assert np.median(extra) > item.first + 14


def test_a_burst_brings_five_times_the_disputes_of_ordinary_days() -> None:
    item = planted("dispute_burst")
    opened = np.concatenate([cases.opened for _, cases in cases_of("dispute_burst")])
    before = ((opened >= item.first - 20) & (opened < item.first)).sum() / 20
    during = ((opened >= item.first) & (opened < item.end)).sum() / (item.end - item.first)
    assert during / before == pytest.approx(5.0, rel=0.25)


def test_a_bulk_complainer_is_behind_all_the_extra_complaints() -> None:
    item = planted("bulk_complainer")
    customers = [
        channel.channel.dropshippers[channel.customer[parcel]] if channel.customer[parcel] >= 0 else "retail"
        for channel, cases in cases_of("bulk_complainer")
        for parcel in cases.parcel[cases.serial == 3]
    ]
    assert len(customers) > 10
    assert set(customers) == {item.scope["customer_id"]}


def test_empty_boxes_come_from_one_forwarder() -> None:
    item = planted("empty_box")
    by_forwarder: dict[str, int] = {}
    for channel, cases in cases_of("empty_box"):
        boxes = cases.parcel[cases.kind == KINDS.index("empty_box")]
        for forwarder in channel.by_forwarder()[boxes]:
            by_forwarder[str(forwarder)] = by_forwarder.get(str(forwarder), 0) + 1
    assert by_forwarder[item.scope["forwarder"]] > 10
    assert by_forwarder[item.scope["forwarder"]] > 0.8 * sum(by_forwarder.values())


def test_notices_before_a_holiday_cut_complaints_about_late_parcels() -> None:
    item = planted("holiday_prepared", _PEAK)
    counts = []
    for scenario in ("quiet", "holiday_prepared"):
        count = 0
        for (channel, cases), ordinary in zip(
            cases_of(scenario, "holiday_prepared", _PEAK), parcels("quiet", _PEAK, like="holiday_prepared"), strict=True
        ):
            due = channel.registered[cases.parcel] + channel.channel.promised_days
            inside = (due >= item.first) & (due < item.end) & (cases.parcel < len(ordinary))
            count += int((inside & (cases.kind == 0)).sum())
        counts.append(count)
    assert 0.75 < counts[1] / counts[0] < 0.95


def test_express_takes_days_and_registered_mail_to_russia_two_months() -> None:
    channels = build_channels(1, 400, (0.5, 60.0))
    russia = [c.transit_days for c in channels if c.country.code == "RU" and c.carrier.part == "china-post/registered"]
    express = [
        c.transit_days for c in channels if c.carrier.part in ("dhl/express", "ups/saver") and c.country.haul < 2
    ]
    assert 55 < float(np.median(russia)) < 78
    assert express
    assert all(4 < days < 12 for days in express)
    assert max(c.volume for c in channels) / min(c.volume for c in channels) > 100


def test_every_scenario_says_in_the_contracts_words_what_it_plants() -> None:
    modes = {
        "transit_slow", "stage_stalled", "no_first_scan", "loss", "customs_hold", "security_return", "returned",
        "misroute", "complaints", "empty_box", "sentinel", "feed_silent", "feed_late",
    }  # fmt: skip
    for name, data in SCENARIOS.items():
        assert data.name == name
        assert data.description
        assert "\n" not in data.description
        for plant in data.plants:
            assert {plant.mode, *plant.modes} - {None} <= modes
            assert (plant.mode is None) <= (not plant.alarm)


def test_the_demonstration_is_small_and_begins_to_fail_outside_holidays() -> None:
    assert 200_000 < simulate("demo", 1).events < 250_000
    for start in (None, date(2026, 5, 6), date(2025, 8, 1)):
        world = plan_world("demo", 1, start=start)
        (item,) = world.planted
        began = world.setting.start + timedelta(days=item.first)
        assert 145 <= item.first <= 170
        assert [c.volume >= 8 for c in world.channels if c.id in item.members] == [True]
        assert {holiday.name for holiday in world.holidays} & {"spring-festival", "golden-week"}
        assert not any(holiday.start <= began <= holiday.end for holiday in world.holidays)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenario": "nonsense"}, "known are: quiet, stretch"),
        ({"days": 0}, "days is 0; it must lie between 1"),
        ({"channels": 5000}, "channels is 5000"),
        ({"volume": float("nan")}, "volume is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"start": date(1999, 1, 1)}, "from 2015 to 2035"),
        ({"scenario": "carrier", "channels": 2}, "raise --channels or --volume"),
        ({"scenario": "holiday_prepared", "days": 30}, "change --start or --days"),
    ],
)
def test_a_world_that_cannot_be_made_says_what_to_change(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        simulate(**{"scenario": "quiet", "seed": 1, **arguments})  # type: ignore[arg-type]


def test_a_scenario_is_added_by_adding_data(monkeypatch: pytest.MonkeyPatch) -> None:
    surge = SCENARIOS["surge"].plants[0]
    mine = Scenario("mine", "a surge of the whole shop", (Plant("all", None, surge.effects, days=20, alarm=False),))
    monkeypatch.setitem(SCENARIOS, "mine", mine)
    assert len(simulate("mine", 1, 60, 5).truth["planted"][0]["channels"]) == 5


def test_known_holidays_fall_on_their_days() -> None:
    found = {h.name: h for h in holidays_between(date(2024, 10, 14), date(2025, 5, 1))}
    assert found["black-friday"].zero == date(2024, 11, 29)
    assert found["spring-festival"].zero == date(2025, 1, 29)
    assert "golden-week" not in found


def test_a_work_clock_stands_still_on_idle_days_and_ends_with_the_world() -> None:
    clock = WorkClock(np.array([1.0, 0.0, 0.0, 2.0]))
    done = clock.advance(np.array([0.5, 0.5, 3.0, 3.5, np.inf]), np.array([0.25, 1.5, 1.0, 1.5, 1.0]))
    np.testing.assert_allclose(done, [0.75, 3.5, 3.5, np.inf, np.inf], atol=1e-6)
