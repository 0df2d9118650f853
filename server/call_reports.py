"""What the two sides report of their connections: counted on this node, and kept for the end of the call."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from server import call_metrics as metrics
from server.socket.messages import ShareSpread, Spread, Stats
from signaling.model import Side
from signaling.quality import Measured, Quality
from signaling.switchboard import Route

COUNT_EVERY_S = 5.0
SILENT_S = 15.0
"""Whoever did not report for so long (three reports) is in no call here any more."""
CANDIDATE_TYPES = ("host", "srflx", "prflx", "relay", "unknown")


class Reports(Protocol):
    """The last report of each side's connection, until its call ends."""

    def reported(self, call_id: UUID, side: Side, attempt: int, report: Quality) -> None:
        """Cheap, and never raises: what is lost is made good by the next report."""


@dataclass(frozen=True, slots=True)
class _Heard:
    at: float
    connection: tuple[UUID, int]
    """Call and attempt."""
    candidate_type: str
    has_media: bool


class CallReports:
    """Remembers nothing but who reported within `SILENT_S`, to count them."""

    def __init__(self, reports: Reports, clock: Callable[[], float] = time.monotonic) -> None:
        self._reports = reports
        self._clock = clock
        self._heard: dict[UUID, _Heard] = {}
        """By session."""

    def reported(self, session_id: UUID, route: Route, stats: Stats) -> None:
        """This session, which plays that part in a call, says how its connection does."""
        self._reports.reported(route.call_id, route.side, route.attempt, _quality(stats))
        before, connection = self._heard.get(session_id), (route.call_id, route.attempt)
        had_media = before is not None and before.connection == connection and before.has_media
        has_media = had_media or stats.time_to_media_s is not None
        self._heard[session_id] = _Heard(self._clock(), connection, stats.candidate_type or "unknown", has_media)
        _observe(route.side.value, stats, first_media=has_media and not had_media)

    async def count(self) -> None:
        """Set the gauge of who is in calls here now."""
        since = self._clock() - SILENT_S
        self._heard = {session: heard for session, heard in self._heard.items() if heard.at >= since}
        counts = collections.Counter(heard.candidate_type for heard in self._heard.values())
        for candidate_type in CANDIDATE_TYPES:
            metrics.sides_now.labels(candidate_type).set(counts[candidate_type])


def _observe(side: str, stats: Stats, *, first_media: bool) -> None:
    if stats.round_trip is not None:
        metrics.round_trip_seconds.labels(side).observe(stats.round_trip.now)
    if stats.jitter is not None:
        metrics.jitter_seconds.labels(side).observe(stats.jitter.now)
    if stats.loss is not None:
        metrics.loss_ratio.labels(side).observe(stats.loss.now)
    if stats.frames_per_second is not None:
        metrics.frames_per_second.observe(stats.frames_per_second.now)
    if first_media and stats.time_to_media_s is not None:
        metrics.time_to_media_seconds.labels(side).observe(stats.time_to_media_s)


def _quality(stats: Stats) -> Quality:
    return Quality(
        samples=stats.samples,
        round_trip=_measured(stats.round_trip),
        jitter=_measured(stats.jitter),
        loss=_measured(stats.loss),
        frames_per_second=_measured(stats.frames_per_second),
        freezes=stats.freezes,
        frozen_s=stats.frozen_s,
        candidate_type=stats.candidate_type,
        time_to_media_s=stats.time_to_media_s,
    )


def _measured(spread: Spread | ShareSpread | None) -> Measured | None:
    return None if spread is None else Measured(spread.mean, spread.worst)
