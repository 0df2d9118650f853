"""How a call went: what its sides report of their connections, summed up when it ends. Pure.

Every report holds all since its connection (one attempt's) was begun, so only the last of each counts. Names and units
are those of W3C webrtc-stats where they have one; what was not measured is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing measured again and again. The worst is the highest, of frames per second the lowest."""

    mean: float
    worst: float


@dataclass(frozen=True, slots=True)
class Quality:
    """One side's view: of one connection in a report, of all it had in a summary."""

    samples: int = 0
    """How many measurements the means are of."""
    round_trip: Measured | None = None
    """Seconds."""
    jitter: Measured | None = None
    """Seconds."""
    loss: Measured | None = None
    """Share of the packets that should have come here, 0 to 1."""
    frames_per_second: Measured | None = None
    freezes: int | None = None
    frozen_s: float | None = None
    candidate_type: str | None = None
    """`host`, `srflx`, `prflx` or `relay`: by which of its own candidates media went, at last."""
    time_to_media_s: float | None = None
    """From when the connection was begun to the first media, of the first connection that had any."""


def summary(reports: Mapping[int, Quality]) -> Quality | None:
    """The last reports of a side's connections, by attempt, as one; None when it never reported."""
    if not reports:
        return None
    every = [report for _, report in sorted(reports.items())]
    return Quality(
        samples=sum(one.samples for one in every),
        round_trip=_together(every, lambda one: one.round_trip, max),
        jitter=_together(every, lambda one: one.jitter, max),
        loss=_together(every, lambda one: one.loss, max),
        frames_per_second=_together(every, lambda one: one.frames_per_second, min),
        freezes=_total([one.freezes for one in every if one.freezes is not None]),
        frozen_s=_total([one.frozen_s for one in every if one.frozen_s is not None]),
        candidate_type=next((one.candidate_type for one in reversed(every) if one.candidate_type), None),
        time_to_media_s=next((one.time_to_media_s for one in every if one.time_to_media_s is not None), None),
    )


def _together(
    every: Sequence[Quality], of: Callable[[Quality], Measured | None], worst: Callable[[list[float]], float]
) -> Measured | None:
    """The mean weighs each connection by its measurements, each at least once."""
    known = [(measured, max(1, one.samples)) for one in every if (measured := of(one)) is not None]
    if not known:
        return None
    weights = sum(weight for _, weight in known)
    mean = sum(measured.mean * weight for measured, weight in known) / weights
    return Measured(mean, worst([measured.worst for measured, _ in known]))


def _total(values: list[N]) -> N | None:
    return sum(values) if values else None
