"""How honest the off-policy estimate of ``backtest --switch`` is, on worlds whose truth is known.

.venv/bin/python tests/bench/switchback.py --seeds 1-20
.venv/bin/python tests/bench/switchback.py --seeds 9301-9400      # the proof; nobody looks at these while tuning

A world is one lane of 120 days. The truth is what the parcels that would have moved cost in the mean with one carrier,
less what they cost with the other, from the carriers' true costs.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import Any

from switch_worlds import World, equal, events, planted
from switching import TERMS

from monitor.core.params import Params
from monitor.replay.driver import Replay
from monitor.replay.offpolicy.estimate import estimate
from monitor.replay.offpolicy.notes import Notes
from monitor.wire.incoming import Incoming

DAYS = 120
EAGER = replace(
    TERMS, caution=0.0, margin_ratio=0.0, probability=0.5, back_probability=0.5
)  # so that equals switch, too


def followed(world: World, eager: bool) -> dict[str, Any]:
    """The estimate of one world beside the truth."""
    terms = EAGER if eager else TERMS
    notes = Notes(terms)
    run = Replay(replace(Params(), switch=terms), observer=notes)
    run.add(Incoming("world", i, line, line) for i, line in enumerate(events(world, DAYS), 1))
    state = run.run()
    found = estimate(notes, terms, state.as_of_us or 0)
    if not found.lanes or not found.lanes[0].moved:
        return {"seed": world.seed, "moved": 0}
    lane = found.lanes[0]
    truth, shares = 0.0, 0.0
    last_day = (state.as_of_us or 0) // 86_400_000_000 - lane.horizon_days
    days = {one.day for one in notes.parcels.values() if one.day < last_day}
    for day, move in notes.moves[lane.lane].items():
        if day in days:
            truth += move.share * (world.costs[move.from_carrier] - world.costs[move.to_carrier])
            shares += move.share
    per_parcel = truth / shares
    saved, judged = found.saved, [one for one in found.advice if one.is_as_forecast is not None]
    return {
        "seed": world.seed,
        "moved": round(lane.moved),
        "truth": round(per_parcel, 3),
        "estimate": round(float(saved.value) / lane.moved, 3),
        "covers": float(saved.low) <= per_parcel * lane.moved <= float(saved.high),
        "forecasts": len(judged),
        "as_forecast": sum(bool(one.is_as_forecast) for one in judged),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-20", help="first-last")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    out = {}
    for name, worlds, eager in (("planted", planted, False), ("equal", equal, True)):
        told = [one for one in (followed(worlds(seed), eager) for seed in seeds) if one["moved"]]
        out[name] = {
            "worlds": len(told),
            "covered_ratio": sum(one["covers"] for one in told) / max(len(told), 1),
            "bias_per_parcel": sum(one["estimate"] - one["truth"] for one in told) / max(len(told), 1),
            "forecasts": sum(one["forecasts"] for one in told),
            "as_forecast": sum(one["as_forecast"] for one in told),
            "missed": [one for one in told if not one["covers"]][:10],
        }
    json.dump(out, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
