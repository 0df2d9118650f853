"""How the phone's connection does, for the contract's `stats`: measured once a second, told every five."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from infra.phone.peer import Peer, Way
from infra.phone.state import View

MEASURE_EVERY_S = 1.0
TELL_EVERY_S = 5.0


@dataclass(slots=True)
class Spread:
    """Now, mean and worst of one thing."""

    choose: Callable[[float, float], float] = max
    _now: float = 0.0
    _worst: float = 0.0
    _sum: float = 0.0
    _count: int = 0

    def add(self, value: float) -> None:
        self._now = value
        self._worst = self.choose(self._worst, value) if self._count else value
        self._sum += value
        self._count += 1

    def values(self, mean: float | None = None) -> View | None:
        """None while nothing was measured. `mean`: a truer one than that of the measurements."""
        if not self._count:
            return None
        return {"now": self._now, "mean": self._sum / self._count if mean is None else mean, "worst": self._worst}


@dataclass(slots=True)
class StatsReport:
    """Of one connection, begun at `began_at`; told also when media came. All times are of one steady clock."""

    began_at: float
    _measured_at: float | None = None
    _told_at: float = field(init=False)
    _media_at: float | None = None
    _samples: int = 0
    _frames: int = 0
    _luma: float | None = None
    _way: Way | None = None
    _round_trip: Spread = field(default_factory=Spread)
    _jitter: Spread = field(default_factory=Spread)
    _loss: Spread = field(default_factory=Spread)
    _frames_per_second: Spread = field(default_factory=lambda: Spread(min))

    def __post_init__(self) -> None:
        self._told_at = self.began_at

    async def look(self, peer: Peer, now: float) -> View | None:
        """Measure a connected peer if it is time for that. Gives what is to be told now, if anything is."""
        media_came = self._media_at is None and any(peer.receiving().values())
        if media_came:
            self._media_at = now
        elif self._measured_at is not None and now - self._measured_at < MEASURE_EVERY_S:
            return None
        self._measure_picture(peer, now)
        self._measure_way(await peer.way())
        self._samples += 1
        self._measured_at = now
        if now - self._told_at < TELL_EVERY_S and not media_came:
            return None
        self._told_at = now
        return self._told()

    def _measure_picture(self, peer: Peer, now: float) -> None:
        frames = peer.video.frames
        if self._measured_at is not None and frames and now > self._measured_at:
            self._frames_per_second.add((frames - self._frames) / (now - self._measured_at))
        self._frames = frames
        self._luma = peer.video.brightness if peer.receiving()["video"] else None

    def _measure_way(self, way: Way) -> None:
        before, self._way = self._way, way
        if way.round_trip_s is not None:
            self._round_trip.add(way.round_trip_s)
        if way.jitter_s is not None:
            self._jitter.add(way.jitter_s)
        packets = way.packets - (before.packets if before else 0)
        if packets > 0:
            lost = way.lost * way.packets - (before.lost * before.packets if before else 0)
            self._loss.add(min(1.0, max(0.0, lost / packets)))

    def _told(self) -> View:
        assert self._way is not None
        told = {
            "samples": self._samples,
            "round_trip": self._round_trip.values(),
            "jitter": self._jitter.values(),
            "loss": self._loss.values(mean=self._way.lost),
            "frames_per_second": self._frames_per_second.values(),
            "candidate_type": self._way.candidate_type,
            "time_to_media_s": self._media_at - self.began_at if self._media_at is not None else None,
            "luma": self._luma,
        }
        return {name: value for name, value in told.items() if value is not None}
