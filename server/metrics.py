"""What a node counts about its HTTP calls (Prometheus). Labels are route templates, never of what was sent."""

from __future__ import annotations

from prometheus_client import Histogram

http_seconds = Histogram(
    "eyeline_http_seconds",
    "Time to answer a call, by route and status; sockets are not among them",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
