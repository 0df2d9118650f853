"""The figures of a run, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from random import Random
from statistics import fmean

from infra.simulation.record import Record

RESAMPLES = 100
DAY_S = 86_400.0

Weighed = Sequence[tuple[float, float]]
"""Values with how often they come, ascending."""
Statistic = Callable[[Weighed], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and between what it lies with a chance of 95 %, by bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one policy at one chance of an answer."""

    p50_s: Interval
    p95_s: Interval
    """Time to an answer; a request that nobody answered counts with its deadline."""
    notifications: Interval
    waves: float
    late_taps: Interval
    """Both per request."""
    gini: Interval
    """Of turns among volunteers: 0 when all rang equally often, 1 when one had every ring."""
    unanswered: int
    nobody_free: int
    first_turn_max_days: float
    never_rang: int
    """Volunteers."""


def figures(record: Record, seed: int) -> Figures:
    dice = Random(f"{seed} resamples")
    p50_s, p95_s = intervals(record.waited_s, (partial(quantile, part=0.5), partial(quantile, part=0.95)), dice)
    (notifications,) = intervals(record.notifications, (mean,), dice)
    (late_taps,) = intervals(record.late_taps, (mean,), dice)
    (of_turns,) = intervals(record.turns, (gini,), dice)
    return Figures(
        p50_s=p50_s,
        p95_s=p95_s,
        notifications=notifications,
        waves=fmean(record.waves),
        late_taps=late_taps,
        gini=of_turns,
        unanswered=record.unanswered,
        nobody_free=record.nobody_free,
        first_turn_max_days=max(record.first_turn_s) / DAY_S,
        never_rang=record.turns.count(0),
    )


def quantile(weighed: Weighed, part: float) -> float:
    """The smallest value that at least this part of all does not exceed."""
    enough = part * sum(weight for _, weight in weighed) - 1e-9
    upto = accumulate(weight for _, weight in weighed)
    return next(value for (value, _), so_far in zip(weighed, upto, strict=True) if so_far >= enough)


def mean(weighed: Weighed) -> float:
    return sum(value * weight for value, weight in weighed) / sum(weight for _, weight in weighed)


def gini(weighed: Weighed) -> float:
    """0: everybody has as much; towards 1: one has everything."""
    people = sum(weight for _, weight in weighed)
    total = sum(value * weight for value, weight in weighed)
    if total == 0:
        return 0.0
    have = below = 0.0
    for value, weight in weighed:
        below += weight * (have + value * weight / 2)
        have += value * weight
    return 1 - 2 * below / (people * total)


def intervals(values: Sequence[float], statistics: Sequence[Statistic], dice: Random) -> list[Interval]:
    """By the Bayesian bootstrap (Rubin 1981): every value is weighed anew at random, again and again."""
    counted = sorted(Counter(values).items())
    again = [[(value, dice.gammavariate(count, 1)) for value, count in counted] for _ in range(RESAMPLES)]
    found = []
    for statistic in statistics:
        resampled = sorted(map(statistic, again))
        low, high = (resampled[round(part * (RESAMPLES - 1))] for part in (0.025, 0.975))
        found.append(Interval(statistic(counted), low, high))
    return found
