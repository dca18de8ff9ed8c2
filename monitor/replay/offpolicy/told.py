"""The estimate as the record of a backtest."""

from __future__ import annotations

from monitor.core.switch.money import Money
from monitor.core.vocabulary import DAY_US
from monitor.replay.backtest.facts import moment
from monitor.replay.offpolicy.estimate import AdviceFound, Estimate, LaneFound
from monitor.wire.backtest import SwitchAdvice, SwitchBacktest, SwitchLane, SwitchVerdict
from monitor.wire.recommendations import Lane, Saving


def told(found: Estimate) -> SwitchBacktest:
    """The record of an estimate."""
    saved = found.saved
    judged = [one for one in found.advice if one.saving is not None]
    moved = sum(one.moved for one in found.lanes)
    return SwitchBacktest(
        currency=found.currency,
        parcels=sum(one.parcels for one in found.lanes),
        parcels_left_out=sum(one.left_out for one in found.lanes),
        parcels_moved=round(moved, 1),
        parcels_untold=round(sum(one.untold for one in found.lanes), 1),
        saved=_saving(saved, found.currency),
        verdict=_verdict(found, moved, saved),
        lanes=[_lane(one, found.currency) for one in found.lanes],
        advice=[_advice(one, found.currency) for one in found.advice],
        judged=len(judged),
        paid=sum(one.saving is not None and one.saving.value > 0 for one in judged),
        as_forecast=sum(bool(one.is_as_forecast) for one in judged),
    )


def _verdict(found: Estimate, moved: float, saved: Money) -> SwitchVerdict:
    if not found.lanes:
        return "none_advised"
    if not moved or saved.low <= 0 <= saved.high:
        return "cannot_tell"
    return "saves" if saved.low > 0 else "costs"


def _saving(amount: Money, currency: str) -> Saving:
    return Saving(**amount.record(currency))


def _at(lane: str) -> Lane:
    country, product = lane.split("|")
    return Lane(country=country, product=product)


def _lane(one: LaneFound, currency: str) -> SwitchLane:
    return SwitchLane(
        lane=_at(one.lane),
        days=one.days,
        horizon_days=one.horizon_days,
        parcels_moved=round(one.moved, 1),
        parcels_untold=round(one.untold, 1),
        saved=_saving(one.saved_money, currency) if one.moved else None,
        imbalances=one.imbalances,
        why_not=one.why_not or None,
    )


def _advice(one: AdviceFound, currency: str) -> SwitchAdvice:
    return SwitchAdvice(
        recommendation_id=one.move.advice_id,
        lane=_at(one.lane),
        given=moment(one.move.day * DAY_US),
        from_carrier=one.move.from_carrier,
        to_carrier=one.move.to_carrier,
        forecast_per_parcel=_saving(one.move.forecast, currency),
        saving_per_parcel=None if one.saving is None else _saving(one.saving, currency),
        as_forecast=one.is_as_forecast,
    )
