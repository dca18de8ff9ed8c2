"""The folds give the same for the same events, however these come: shuffled, repeated, in packs or partitions."""

from __future__ import annotations

from collections import Counter

from driving import Partitions, counts, in_order, letters, replayed, told
from hypothesis import assume, given
from hypothesis import strategies as st
from worlds import garbage, params, worlds

from monitor.core.params import Params
from monitor.core.vocabulary import YEAR_2000_US, YEAR_2089_US
from monitor.replay.outputs import summary
from monitor.wire.decode import decode
from monitor.wire.times import recorded_us


@given(worlds, st.lists(garbage, max_size=3), params, st.data())
def test_neither_order_nor_files_nor_repeated_lines_matter(
    lines: list[bytes], broken: list[bytes], settings: Params, data: st.DataObject
) -> None:
    lines = [*lines, *broken]
    first = told(replayed([lines], settings))
    shuffled = data.draw(st.permutations(lines))
    cut = data.draw(st.integers(0, len(lines)))
    repeated = data.draw(st.lists(st.sampled_from(lines), max_size=5))
    world = replayed([shuffled[:cut], [*repeated, *shuffled[cut:]]], settings)
    assert told(world) == first
    before = summary(replayed([lines], settings))["duplicates"]
    assert summary(world)["duplicates"] == before + len(repeated)


@given(worlds, params, st.data())
def test_partitions_packs_repeats_and_restarts_leave_no_trace(
    lines: list[bytes], settings: Params, data: st.DataObject
) -> None:
    # An event whose recorded time cannot be is recorded with the one before it: that depends on the partition.
    lines = [line for line in lines if recorded_us(line) < YEAR_2089_US]
    assume(lines)
    grid = settings.tick_us
    rows = in_order(lines)
    first, last = (-(-max(row[0], YEAR_2000_US) // grid) * grid for row in (rows[0], rows[-1]))
    plain = replayed([lines], settings, until_us=last)
    run = Partitions(settings, data.draw(st.integers(1, 4), label="partitions"))
    said = data.draw(st.lists(st.integers(first // grid - 3, last // grid), max_size=6), label="ticks said aloud")
    queues = run.log(lines, [*(tick * grid for tick in sorted({*said} - {last // grid})), last])
    largest = data.draw(st.sampled_from([1, 3, 1000]), label="events in a record")
    order = data.draw(st.lists(st.integers(0, 3), max_size=60), label="partitions in turn")
    restarts = data.draw(st.sets(st.integers(0, 60), max_size=4), label="restarts")
    repeats = data.draw(st.dictionaries(st.integers(0, 60), st.integers(0, 60), max_size=4), label="delivered again")
    step = 0
    while any(queues):
        which = (order[step] if step < len(order) else step) % run.count
        while not queues[which]:
            which = (which + 1) % run.count
        queue = queues[which]
        run.pack(which, [queue.popleft() for _ in range(min(largest, len(queue)))])
        if step in repeats:
            run.deliver_again(repeats[step])
        if step in restarts:
            run.restart()
        step += 1
    expected = {name: told(plain)[name] for name in ("channels", "incidents", "watchlist", "recommendations")}
    expected |= {"letters": letters(plain.dead_letters), "counts": counts(plain.fleet)}
    assert run.told(last) == expected
    assert run.sha256() == plain.sha256()


@given(worlds, st.lists(garbage, max_size=3), params)
def test_every_line_is_an_event_a_duplicate_or_a_dead_letter(
    lines: list[bytes], broken: list[bytes], settings: Params
) -> None:
    world = replayed([[*lines, *broken]], settings)
    said = summary(world)
    assert said["events"] + said["duplicates"] + said["dead_letters"] == len(lines) + len(broken)
    assert 0 <= said["waiting"] <= said["events"]
    assert min(world.fleet.counts.values(), default=0) >= 0
    by_reason = Counter(letter.reason for letter in world.dead_letters)
    assert all(world.fleet.counts.get(f"dead|{reason}", 0) <= n for reason, n in by_reason.items())
    assert len({(letter.raw, letter.reason) for letter in world.dead_letters}) == len(world.dead_letters)


@given(worlds, params)
def test_parcels_add_up(lines: list[bytes], settings: Params) -> None:
    world = replayed([lines], settings)
    for record in told(world)["channels"]:
        for part in (record, record["recent"]):
            assert part["in_flight"] == part["registered"] - part["delivered"] - part["lost"] - part["returned"]
            assert 0 <= part["presumed_lost"] <= part["in_flight"]
            for name in ("registered", "in_flight", "delivered", "lost", "returned"):
                assert part[name] >= 0
            for name in ("on_time_ratio", "first_scan_ratio", "loss_ratio", "hold_ratio"):
                figure = part[name]
                assert (figure["value"] is None) == (figure["n"] == 0)
                if figure["n"]:
                    assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
            assert part["complaints_per_1000"]["n"] == part["registered"]
        assert record["recent"]["registered"] <= record["registered"]
    for channel in world.channels.values():
        assert min(channel.life.values(), default=0) >= 0
        assert all(n >= 0 for cohort in channel.recent.values() for n in cohort.values())
    assert said_of(world.fleet.counts) == sum(record["registered"] for record in told(world)["channels"])


def said_of(counts: dict[str, int]) -> int:
    """Parcels counted."""
    return counts.get("parcels", 0)


@given(worlds, params, st.data())
def test_until_equals_a_replay_of_what_was_recorded_by_then(
    lines: list[bytes], settings: Params, data: st.DataObject
) -> None:
    times = sorted(recorded_us(line) for line in lines)
    until = data.draw(st.sampled_from(times)) + data.draw(st.sampled_from([0, 0, 1, -1, settings.tick_us]))
    if data.draw(st.booleans()):
        until = -(-until // settings.tick_us) * settings.tick_us
    whole = told(replayed([lines], settings, until))
    kept = [line for line in lines if recorded_us(line) <= until]
    assert whole == told(replayed([kept], settings, until))


@given(worlds)
def test_worlds_hold_only_events(lines: list[bytes]) -> None:
    for line in lines:
        decode(line)
