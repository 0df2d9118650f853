"""What the phone measures of its connection, and when it tells."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from infra.phone.peer import Peer, Way
from infra.phone.state import View
from infra.phone.stats import StatsReport

WAY = Way(relayed=True, lost=0.1, round_trip_s=0.2, packets=100, jitter_s=0.01, candidate_type="relay")


class Line:
    """A peer that a test moves."""

    def __init__(self) -> None:
        self.travels = WAY
        self.flows = True
        self.video = SimpleNamespace(frames=0, brightness=120.0)

    async def way(self) -> Way:
        return self.travels

    def receiving(self) -> View:
        return {"audio": self.flows, "video": self.flows}


async def told(report: StatsReport, line: Line, at: float) -> View | None:
    return await report.look(cast(Peer, cast(Any, line)), at)


async def test_all_since_the_connection_was_begun_is_told_every_five_seconds() -> None:
    report, line = StatsReport(100.0), Line()
    assert await told(report, line, 100.5) is not None
    assert await told(report, line, 101.0) is None, "measured a moment ago"
    line.video.frames = 30
    line.travels = replace(WAY, lost=0.3, packets=200, round_trip_s=0.4, jitter_s=0.03)
    assert await told(report, line, 102.0) is None
    line.video.frames = 90
    line.travels = replace(WAY, lost=0.2, packets=300)
    stats = await told(report, line, 105.5)
    assert stats is not None
    assert stats["samples"] == 3
    assert {name: round(value, 6) for name, value in stats["loss"].items()} == {"now": 0.0, "mean": 0.2, "worst": 0.5}
    assert {name: round(value, 6) for name, value in stats["round_trip"].items()} == {
        "now": 0.2,
        "mean": 0.266667,
        "worst": 0.4,
    }
    assert stats["jitter"]["worst"] == 0.03
    assert stats["frames_per_second"]["worst"] < stats["frames_per_second"]["mean"] + 0.01
    assert (stats["candidate_type"], stats["time_to_media_s"], stats["luma"]) == ("relay", 0.5, 120.0)


async def test_what_was_not_measured_is_absent() -> None:
    report, line = StatsReport(0.0), Line()
    line.flows, line.travels = False, Way(relayed=False, lost=0.0, round_trip_s=None)
    assert await told(report, line, 3.0) is None, "no media yet"
    assert await told(report, line, 5.0) == {"samples": 2}
