"""When a desk answers: weekly windows in its own zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from matching.availability import WeeklyWindow, next_window


@dataclass(frozen=True, slots=True)
class Opening:
    """How a desk stands at one moment."""

    is_open: bool
    opens_at: datetime | None
    """The next opening of one that is closed; None for one that is open, or will never be."""
    closes_at: datetime | None
    """End of this window or the next one; None for one that is always open, or never."""


@dataclass(frozen=True, slots=True)
class DeskHours:
    """A desk without windows is never open."""

    windows: Sequence[WeeklyWindow]
    time_zone: str

    def at(self, now: datetime) -> Opening:
        try:
            window = next_window(self.windows, self.time_zone, now)
        except ValueError:  # a zone that this machine does not know (any more)
            window = None
        if window is None:
            return Opening(False, None, None)
        opens_at, closes_at = window
        if opens_at <= now:
            return Opening(True, None, closes_at)
        return Opening(False, opens_at, closes_at)
