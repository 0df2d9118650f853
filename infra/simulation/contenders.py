"""The ways of asking people that a simulation compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.simulation.dice import Dice
from infra.simulation.index import LongestIdleIndex, RandomIndex, TurnIndex
from matching.waves import AdaptiveWaves, BeMyEyesWaves, FixedWaves, WavePolicy, WaveView


@dataclass(frozen=True, slots=True)
class OneByOne:
    """Rings one person, and the next when that ring is over, or has lasted for `ring`."""

    ring: timedelta = timedelta(days=1)

    def wanted(self, view: WaveView) -> int:
        return int(all(one.age_s >= self.ring.total_seconds() for one in view.ringing))

    def next_wave_at(self, view: WaveView) -> datetime:
        youngest_s = min((one.age_s for one in view.ringing), default=0.0)
        return view.now + max(self.ring - timedelta(seconds=youngest_s), timedelta(seconds=1))

    def is_urgent(self, view: WaveView) -> bool:
        return True


def _in_turn(_dice: Dice) -> TurnIndex:
    return TurnIndex()


def _at_random(dice: Dice) -> TurnIndex:
    return RandomIndex(dice.stream("draws"))


def _longest_idle(_dice: Dice) -> TurnIndex:
    return LongestIdleIndex()


@dataclass(frozen=True, slots=True)
class Contender:
    """How many are asked, and who."""

    waves: WavePolicy
    index: Callable[[Dice], TurnIndex] = _in_turn


CONTENDERS: Mapping[str, Contender] = {
    "adaptive": Contender(AdaptiveWaves()),
    "fixed_10_per_15s": Contender(FixedWaves(10, timedelta(seconds=15))),
    "ring_50": Contender(FixedWaves(50, timedelta(seconds=30))),
    "one_at_a_time": Contender(OneByOne()),
    # As call centres do: whose last call is the longest ago, for 15 s, then the next.
    "longest_idle": Contender(OneByOne(timedelta(seconds=15)), _longest_idle),
    "be_my_eyes_2014": Contender(BeMyEyesWaves(timedelta(seconds=5), most=1), _at_random),
    "be_my_eyes_2015": Contender(BeMyEyesWaves(), _at_random),
}

FIXED_FAMILY: Mapping[str, Contender] = {
    f"fixed_{size}_per_10s": Contender(FixedWaves(size, timedelta(seconds=10)))
    for size in (2, 4, 8, 12, 20, 30, 45, 60)
}
"""What somebody could choose who knew how likely people are to answer: for the picture."""
