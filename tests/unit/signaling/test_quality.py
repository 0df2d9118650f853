"""A call's connections as one line for each side: means by weight, the worst of all, and what was never measured."""

from __future__ import annotations

from signaling.quality import Measured, Quality, summary

FIRST = Quality(
    samples=30,
    round_trip=Measured(0.1, 0.2),
    jitter=Measured(0.01, 0.05),
    loss=Measured(0.0, 0.1),
    frames_per_second=Measured(30, 20),
    freezes=1,
    frozen_s=2.5,
    candidate_type="host",
    time_to_media_s=0.4,
)
SECOND = Quality(
    samples=10,
    round_trip=Measured(0.3, 0.9),
    jitter=Measured(0.03, 0.04),
    loss=Measured(0.2, 0.5),
    frames_per_second=Measured(10, 5),
    freezes=2,
    frozen_s=4.0,
    candidate_type="relay",
    time_to_media_s=1.5,
)


def rounded(measured: Measured | None) -> tuple[float, float]:
    assert measured is not None
    return round(measured.mean, 6), measured.worst


def test_a_side_that_never_reported_has_no_quality() -> None:
    assert summary({}) is None


def test_one_connection_is_told_as_it_was() -> None:
    assert summary({1: FIRST}) == FIRST


def test_several_connections_are_one() -> None:
    both = summary({2: SECOND, 1: FIRST})
    assert both is not None
    assert both.samples == 40
    assert rounded(both.round_trip) == (0.15, 0.9)
    assert rounded(both.jitter) == (0.015, 0.05)
    assert rounded(both.loss) == (0.05, 0.5)
    assert rounded(both.frames_per_second) == (25, 5)
    assert (both.freezes, both.frozen_s) == (3, 6.5)
    assert both.candidate_type == "relay", "by which media went at last"
    assert both.time_to_media_s == 0.4, "of the first that had any"


def test_what_was_not_measured_changes_nothing() -> None:
    assert summary({1: FIRST, 2: Quality()}) == FIRST
    assert summary({1: Quality()}) == Quality()


def test_means_of_nothing_weigh_a_little() -> None:
    both = summary({1: Quality(round_trip=Measured(0.1, 0.1)), 2: Quality(samples=1, round_trip=Measured(0.3, 0.3))})
    assert both is not None
    assert rounded(both.round_trip) == (0.2, 0.3)
