"""Who is named when channels that share something go bad together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.core.alarms import WAIT_DAYS, Alarms
from monitor.core.forecast import Forecast
from monitor.core.groups import Group, Membership, new_group
from monitor.core.incidents import Incident, Stock, record
from monitor.core.params import Params
from monitor.core.verdict import Judged
from monitor.core.vocabulary import DAY_US

NAMES = ("BR|shoe|wolf", "DE|shoe|post", "ES|shoe|post", "RU|shoe|post", "RU|tablet|post", "RU|tablet|wolf")
POST = NAMES[1:5]
CARRIER = "carrier|||post"
PARAMS = Params()
FIRST = 20_000


def _stock(names: Iterable[str], severity: str) -> Stock:
    assert severity in ("ticket", "page")
    some = list(names)
    return Stock(10 * len(some), Forecast(len(some), 0.0, 2.0 * len(some)))


@dataclass
class _World:
    names: tuple[str, ...] = NAMES
    incidents: dict[str, Incident] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    clocks: dict[str, int] = field(default_factory=dict)
    besides: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    day: int = FIRST
    alarms: Alarms = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.alarms = Alarms(
            PARAMS, self.incidents, lambda incident, _: self.incidents.update({incident.incident_id: incident})
        )

    def judged(
        self,
        channels: dict[str, float],
        groups: dict[str, float] | None = None,
        shadow: bool = False,
        held: frozenset[str] = frozenset(),
        rising: frozenset[str] = frozenset(),
    ) -> list[str]:
        """A day with the given ln M (channels that are not named: 0); what is open afterwards. What the channels of a
        group but one say of late is as much, unless it is among ``besides``."""
        membership = Membership(self.names)
        for scope, ln_m in (groups or {}).items():
            group = self.groups.setdefault(scope, new_group())
            group.before, group.ln_m, group.fit, group.beside = group.ln_m, ln_m, ln_m, self.besides.get(scope, ln_m)
        verdicts = {
            name: self._verdict(channels.get(name, 0.0), ln_weight=self.weights.get(name, 0.0))
            for name in self.names
            if name not in held
        }
        shared = {scope: self._verdict(group.ln_m, self.clocks.get(scope, 2)) for scope, group in self.groups.items()}
        at_us = (self.day + 2) * DAY_US
        self.alarms.after_day(
            self.day,
            at_us,
            0 if shadow else 1_000,
            verdicts,
            shared,
            self.groups,
            membership,
            held,
            _stock,
            rising=rising,
        )
        self.day += 1
        return sorted(
            f"{one.severity} {one.scope}" + (" absorbed" if one.absorbed_by else "")
            for one in self.incidents.values()
            if not one.closed_us
        )

    def _verdict(self, ln_m: float, clock: int = 2, ln_weight: float = 0.0) -> Judged:
        return Judged(ln_m, clock, 3, 10.0, 20.0, self.day - 5, ln_weight)


def _of(ln_m: float, names: Iterable[str] = POST) -> dict[str, float]:
    return dict.fromkeys(names, ln_m)


def test_the_page_goes_to_what_the_channels_share() -> None:
    world = _World()
    channels = {**_of(4.0), "RU|tablet|post": 12.5}
    assert world.judged(channels, {CARRIER: 5.0, "country|RU||": 1.0}) == ["page carrier|||post"]
    [incident] = world.incidents.values()
    said = record(incident)
    assert said["scope"] == {"kind": "carrier", "country": None, "product": None, "carrier": "post"}
    assert said["members"] == list(POST)
    assert (said["parcels_at_risk"], said["evidence"]["ln_m"]) == (40, 5.0)  # type: ignore[index]


def test_a_group_pages_by_itself_before_any_of_its_channels() -> None:
    assert _World().judged(_of(3.0), {CARRIER: 9.1}) == ["page carrier|||post"]


def test_a_group_of_few_channels_needs_as_much_evidence_as_a_channel() -> None:
    scope = "country|BR||"
    names = tuple(f"BR|shoe|{carrier}" for carrier in ("post", "wolf", "sea"))
    for ln_m, wanted in ((PARAMS.page_ln_m - 0.1, []), (PARAMS.page_ln_m, [f"page {scope}"])):
        assert PARAMS.group_page_ln_m < ln_m
        world = _World(names, besides={scope: PARAMS.shared_fit})
        assert world.judged(_of(3.0, names), {scope: ln_m}) == wanted


def test_a_group_waits_while_a_forwarder_may_soon_explain_the_same() -> None:
    rising = frozenset(POST)
    for clock, wanted in ((0, []), (2, ["page carrier|||post"])):  # first scans, and what no forwarder is to blame for
        world = _World(clocks={CARRIER: clock})
        assert world.judged(_of(3.0), {CARRIER: 9.1}, rising=rising) == wanted
        assert world.judged(_of(3.0), {CARRIER: 9.1}) == ["page carrier|||post"]


def test_a_channel_alone_is_paged_itself() -> None:
    world = _World()
    assert world.judged({"RU|tablet|post": 12.5}, {CARRIER: 0.2}) == ["page channel|RU|tablet|post"]
    # Evidence of a group that no second channel stands for names nobody else either.
    world = _World()
    assert world.judged({"RU|tablet|post": 12.5}, {CARRIER: 5.0}) == ["page channel|RU|tablet|post"]


def test_the_group_whose_channels_agree_best_is_named_and_the_wider_of_two_alike() -> None:
    world = _World()
    channels = {**_of(4.0), "RU|tablet|post": 13.0}
    assert world.judged(channels, {CARRIER: 20.0, "carrier_country|RU||post": 20.3}) == ["page carrier|||post"]
    world = _World()
    assert world.judged(channels, {CARRIER: 20.0, "carrier_country|RU||post": 25.0}) == [
        "page carrier_country|RU||post"
    ]


def test_a_carrier_with_one_service_is_named_with_it() -> None:
    shared = dict.fromkeys(("carrier|||post", "carrier|||post/air"), PARAMS.page_ln_m)
    world = _World(("ES|shoe|post/air", "RU|shoe|post/air", "RU|shoe|wolf"))
    assert world.judged(_of(4.0, world.names[:2]), shared) == ["page carrier|||post/air"]
    # Where another service shares the fault, the carrier is at fault.
    world = _World(("ES|shoe|post/air", "RU|shoe|post/air", "RU|shoe|post/sea"))
    assert world.judged(_of(4.0, world.names), shared) == ["page carrier|||post"]


def test_a_group_is_named_when_its_other_channels_make_it_likelier_than_one_of_them() -> None:
    for beside, wanted in ((PARAMS.shared_fit, CARRIER), (PARAMS.shared_fit - 0.1, "channel|RU|tablet|post")):
        world = _World(besides={CARRIER: beside})
        assert world.judged({**_of(2.0), "RU|tablet|post": 12.5}, {CARRIER: 0.5}) == [f"page {wanted}"]


def test_a_group_pages_by_what_its_channels_show_of_late_with_evidence_beside_it() -> None:
    for ln_m, beside, wanted in (
        (PARAMS.corroborate_ln_m, PARAMS.group_page_fit, [f"page {CARRIER}"]),
        (PARAMS.corroborate_ln_m - 0.1, PARAMS.group_page_fit, []),
        (PARAMS.corroborate_ln_m, PARAMS.group_page_fit - 0.1, []),
    ):
        assert _World(besides={CARRIER: beside}).judged(_of(3.0), {CARRIER: ln_m}) == wanted


def test_a_channel_that_carries_much_is_paged_or_names_its_group_with_less_evidence() -> None:
    channel = "RU|tablet|post"
    ln_m = PARAMS.page_ln_m - 1.0
    for weight, said in ((1.0, "page"), (0.9, "ticket")):
        assert _World(weights={channel: weight}).judged({channel: ln_m}) == [f"{said} channel|{channel}"]
    world = _World(besides={CARRIER: PARAMS.shared_fit}, weights={channel: 1.0})
    assert world.judged({**_of(2.0), channel: ln_m}, {CARRIER: 0.5}) == [f"page {CARRIER}"]


def test_a_page_waits_two_days_for_a_forwarder_that_rises() -> None:
    channel = "RU|tablet|post"
    rising = frozenset({channel})
    world = _World()
    for _ in range(WAIT_DAYS):
        assert world.judged({channel: 12.5}, rising=rising) == [f"ticket channel|{channel}"]
        world.restart()
    assert world.judged({channel: 12.5}, rising=rising) == [f"page channel|{channel}"]


def test_a_page_that_waited_is_raised_although_its_evidence_has_fallen_meanwhile() -> None:
    channel = "RU|tablet|post"
    for later, said in ((PARAMS.ticket_ln_m, "page"), (PARAMS.ticket_ln_m - 0.1, "ticket")):
        world = _World()
        assert world.judged({channel: 12.5}, rising=frozenset({channel})) == [f"ticket channel|{channel}"]
        assert world.judged({channel: later}) == [f"{said} channel|{channel}"]


def test_a_page_that_was_raised_stays_as_it_was_and_is_absorbed() -> None:
    world = _World()
    world.judged({"RU|tablet|post": 12.5})
    before = record(next(iter(world.incidents.values())))
    assert world.judged({**_of(3.0), "RU|tablet|post": 15.0}, {CARRIER: 9.5}) == [
        "page carrier|||post",
        "page channel|RU|tablet|post absorbed",
    ]
    wide = next(one for one in world.incidents.values() if one.scope == CARRIER)
    after = record(next(one for one in world.incidents.values() if one.scope != CARRIER))
    assert after == {**before, "absorbed_by": wide.incident_id, "revision": 2}


def test_channels_that_turn_bad_later_join_and_page_nobody() -> None:
    world = _World()
    world.judged(_of(3.0, POST[:2]), {CARRIER: 9.5})
    world.restart()
    assert world.judged(_of(14.0), {CARRIER: 30.0}) == ["page carrier|||post"]
    [incident] = world.incidents.values()
    assert (incident.members, [one.channel for one in incident.joined]) == (list(POST[:2]), list(POST[2:]))
    assert {one.known_us for one in incident.joined} == {(FIRST + 3) * DAY_US}


def test_a_wider_cause_that_shows_later_absorbs_the_narrow_one() -> None:
    world = _World()
    world.judged(_of(4.0, POST[2:]), {"carrier_country|RU||post": 9.5})
    assert world.judged(_of(4.0), {CARRIER: 9.5, "carrier_country|RU||post": 12.0}) == [
        "page carrier_country|RU||post absorbed",
        "page carrier|||post",
    ]
    wide = next(one for one in world.incidents.values() if one.scope == CARRIER)
    assert wide.members == list(POST)


def test_what_an_open_incident_covers_pages_no_other_group() -> None:
    world = _World()
    world.judged(_of(4.0), {CARRIER: 9.5})
    assert world.judged(_of(14.0), {CARRIER: 30.0, "country|RU||": 14.0}) == ["page carrier|||post"]
    assert world.judged({**_of(14.0), "BR|shoe|wolf": 6.0, "RU|tablet|wolf": 13.0}, {"carrier|||wolf": 4.0}) == [
        "page carrier|||post",
        "page carrier|||wolf",
    ]


def test_a_group_closes_when_it_and_all_its_channels_are_calm() -> None:
    world = _World()
    world.judged(_of(4.0), {CARRIER: 9.5})
    for _ in range(10):
        assert world.judged({"RU|tablet|post": 9.0}, {CARRIER: 1.0}) == ["page carrier|||post"]
    for _ in range(PARAMS.close_days - 1):
        assert world.judged({}, {CARRIER: 1.0}) == ["page carrier|||post"]
    assert world.judged({}, {CARRIER: 1.0}) == []


def test_nothing_is_resolved_while_the_feed_is_silent() -> None:
    world = _World()
    world.judged({**_of(4.0), "BR|shoe|wolf": 8.0}, {CARRIER: 9.5})
    everything = frozenset(NAMES)
    for _ in range(40):
        assert world.judged({}, {}, held=everything) == ["page carrier|||post", "ticket channel|BR|shoe|wolf"]


def test_in_shadow_groups_are_not_named() -> None:
    world = _World()
    channels = {**_of(2.0), "RU|tablet|post": 20.0}
    assert world.judged(channels, {CARRIER: 20.0}, shadow=True) == ["ticket channel|RU|tablet|post"]
    assert world.judged(channels, {CARRIER: 21.0}) == [
        "page carrier|||post",
        "ticket channel|RU|tablet|post absorbed",
    ]
