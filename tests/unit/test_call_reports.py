"""What a node counts of its calls, and what it passes on of a report."""

from __future__ import annotations

from uuid import UUID

from prometheus_client import REGISTRY

from server.call_reports import CallReports
from server.socket.messages import ShareSpread, Spread, Stats
from signaling.model import Side
from signaling.quality import Measured, Quality
from signaling.switchboard import Route

CALL, SESSION, PEER = UUID(int=1), UUID(int=2), UUID(int=3)
VOLUNTEER = Route(CALL, 2, Side.VOLUNTEER, PEER, ended=False)
STATS = Stats(
    samples=4,
    round_trip=Spread(now=0.2, mean=0.1, worst=0.3),
    jitter=Spread(now=0.01, mean=0.02, worst=0.03),
    loss=ShareSpread(now=0.5, mean=0.25, worst=1.0),
    frames_per_second=Spread(now=12, mean=24, worst=6),
    freezes=1,
    frozen_s=2.5,
    candidate_type="relay",
    time_to_media_s=0.7,
    luma=3,
)


class Kept:
    def __init__(self) -> None:
        self.reports: dict[tuple[UUID, Side, int], Quality] = {}

    def reported(self, call_id: UUID, side: Side, attempt: int, report: Quality) -> None:
        self.reports[call_id, side, attempt] = report


class Figures:
    """What the metrics have grown by since it was made."""

    def __init__(self) -> None:
        self._before = {name: self._now(name) for name in ("round_trip_seconds", "time_to_media_seconds")}

    def observed(self, name: str) -> float:
        return self._now(name) - self._before[name]

    @staticmethod
    def _now(name: str) -> float:
        return REGISTRY.get_sample_value(f"eyeline_call_{name}_count", {"side": "volunteer"}) or 0


def sides(candidate_type: str) -> float | None:
    return REGISTRY.get_sample_value("eyeline_call_sides", {"candidate_type": candidate_type})


async def test_a_report_is_kept_without_what_is_only_of_now() -> None:
    kept = Kept()
    CallReports(kept).reported(SESSION, VOLUNTEER, STATS)
    assert kept.reports == {
        (CALL, Side.VOLUNTEER, 2): Quality(
            samples=4,
            round_trip=Measured(0.1, 0.3),
            jitter=Measured(0.02, 0.03),
            loss=Measured(0.25, 1.0),
            frames_per_second=Measured(24, 6),
            freezes=1,
            frozen_s=2.5,
            candidate_type="relay",
            time_to_media_s=0.7,
        )
    }


async def test_every_report_is_counted_and_the_time_to_media_once_for_a_connection() -> None:
    reports, figures = CallReports(Kept()), Figures()
    for stats in (Stats(), STATS, STATS):
        reports.reported(SESSION, VOLUNTEER, stats)
    assert (figures.observed("round_trip_seconds"), figures.observed("time_to_media_seconds")) == (2, 1)


async def test_whoever_reports_is_counted_until_silent_for_three_reports() -> None:
    now = 0.0
    reports = CallReports(Kept(), clock=lambda: now)
    reports.reported(SESSION, VOLUNTEER, STATS)
    reports.reported(PEER, VOLUNTEER, Stats())
    await reports.count()
    assert (sides("relay"), sides("unknown"), sides("host")) == (1, 1, 0)
    now = 10.0
    reports.reported(PEER, VOLUNTEER, Stats(candidate_type="host"))
    now = 15.1
    await reports.count()
    assert (sides("relay"), sides("unknown"), sides("host")) == (0, 0, 1)
