"""What a node counts about its sockets (Prometheus). Labels are of the contract's own words, never of what was sent."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge

connections = Gauge("eyeline_socket_connections", "Sockets attached to a session now")
frames_in = cache(Counter("eyeline_socket_frames_in_total", "Client frames understood, by type", ["type"]).labels)
frames_out = cache(Counter("eyeline_socket_frames_out_total", "Numbered messages sent, by type", ["type"]).labels)
"""Of one type; looked up for every frame, so kept."""
errors_out = Counter("eyeline_socket_errors_total", "Client frames refused, by code", ["code"])
closes = Counter("eyeline_socket_closes_total", "Sockets closed by the server, by code", ["code"])
welcomes = Counter(
    "eyeline_socket_welcomes_total", "Welcomes: fresh, resumed, refused (asked in vain), renewed", ["how"]
)
gaps = Counter("eyeline_socket_gaps_total", "Gaps in a mailbox's numbers: repaired, or lost and begun anew", ["end"])
beat_seconds = Gauge("eyeline_socket_beat_seconds", "How long the last round of heartbeats took")
