"""What a node counts (Prometheus). Labels are route templates, never of what was sent."""

from __future__ import annotations

import asyncio

from prometheus_client import Counter, Gauge, Histogram

http_seconds = Histogram(
    "eyeline_http_seconds",
    "Time to answer a call, by route and status; sockets are not among them",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)

wakes_given_up = Counter(
    "eyeline_wakes_given_up_total",
    "People whose devices were to be told once more when it was too late for that, by type of push",
    ["type"],
)

tasks = Gauge("eyeline_tasks", "Tasks of the event loop now; a number that only grows is a leak")


def _live_tasks() -> float:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # collected where no event loop runs
        return 0.0


tasks.set_function(_live_tasks)
