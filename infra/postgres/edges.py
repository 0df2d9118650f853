"""When people's hours begin and end, computed once for all who keep the same ones."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec

from matching.availability import next_window, weekly_windows

MOST = 100_000
"""Different hours remembered at a time, some 40 MB; then all are forgotten."""

Edges = tuple[float | None, float | None]
"""opens_at and closes_at of a `matching.model.Listing`."""


class EdgeCache:
    """The present or next window of a week in a zone is the same one until it closes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str | None, str], tuple[float, float, Edges]] = {}
        """Weekly hours (JSON) and zone -> from when until when (exclusive) these edges are the ones."""

    def of(self, weekly: str | None, zone: str, moment: float) -> Edges:
        """Edges as of this moment (Unix seconds); (None, None) without hours, or when the zone does not exist."""
        known = self._known.get((weekly, zone))
        if known is not None and known[0] <= moment < known[1]:
            return known[2]
        edges = _edges(weekly, zone, datetime.fromtimestamp(moment, UTC))
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[weekly, zone] = (moment, math.inf if edges[1] is None else edges[1], edges)
        return edges


def _edges(weekly: str | None, zone: str, now: datetime) -> Edges:
    try:
        window = next_window(weekly_windows(msgspec.json.decode(weekly) if weekly else []), zone, now)
    except ValueError:
        # A zone that no longer exists must not keep everybody else out of the index.
        return None, None
    if window is None:
        return None, None
    opens, closes = window
    return opens.timestamp(), closes.timestamp() if closes is not None else None
