"""How the calls of a node go now (Prometheus). Labels are of the contract's own words, never who or which call."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

sides_now = Gauge(
    "eyeline_call_sides", "Sides of calls that report to this node, by their candidate type", ["candidate_type"]
)
round_trip_seconds = Histogram(
    "eyeline_call_round_trip_seconds",
    "Round trip between the two phones, at each report",
    ["side"],
    buckets=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
)
jitter_seconds = Histogram(
    "eyeline_call_jitter_seconds",
    "Jitter of what a side receives, at each report",
    ["side"],
    buckets=(0.005, 0.01, 0.02, 0.04, 0.08, 0.16),
)
loss_ratio = Histogram(
    "eyeline_call_loss_ratio",
    "Share of packets lost on the way to a side since its last report",
    ["side"],
    buckets=(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
)
frames_per_second = Histogram(
    "eyeline_call_frames_per_second",
    "Frames a second that a volunteer sees, at each report",
    buckets=(1, 5, 10, 15, 20, 25, 30, 60),
)
time_to_media_seconds = Histogram(
    "eyeline_call_time_to_media_seconds",
    "From when a side's connection was begun to its first media",
    ["side"],
    buckets=(0.25, 0.5, 1, 2, 4, 8, 15),
)
pictures = Counter("eyeline_call_pictures_total", "What people were told of the picture", ["state"])
