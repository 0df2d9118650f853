"""How far the phone has read its mailbox, and which messages still mean something. Pure bookkeeping."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

STATE_TYPES = frozenset({"request", "offer", "offer_withdrawn", "call"})
"""Messages that a snapshot already includes."""


class Admission(StrEnum):
    """What to do with a frame."""

    PASS = "pass"
    DROP = "drop"
    """Had it already, or the snapshot includes it."""
    GAP = "gap"
    """Something before it is missing: reconnect, and the resume fills it."""


class MailboxCursor:
    """Follows (incarnation, seq) through welcomes, replays and new incarnations."""

    def __init__(self) -> None:
        self.incarnation: str | None = None
        self.seq = 0
        """Highest number received without a gap."""
        self.acknowledged = 0
        self._snapshot_seq = 0

    def resume(self) -> dict[str, Any] | None:
        """The `resume` of the next hello, or None before the first welcome."""
        return None if self.incarnation is None else {"incarnation": self.incarnation, "seq": self.seq}

    def welcome(self, data: dict[str, Any]) -> None:
        """A snapshot came: first on a socket, or in its middle when a new incarnation began."""
        self.incarnation = data["incarnation"]
        self._snapshot_seq = data["seq"]
        if not data["resumed"]:
            self.seq = self.acknowledged = data["seq"]
        if data.get("offers"):
            # Shown in a snapshot, offers count as delivered when its number is acknowledged.
            self.acknowledged = self.seq - 1

    def admit(self, frame: dict[str, Any]) -> Admission:
        """Judge a frame other than `welcome`; unnumbered ones always pass."""
        seq = frame.get("seq")
        if seq is None:
            return Admission.PASS
        if seq <= self.seq:
            return Admission.DROP
        if seq != self.seq + 1:
            return Admission.GAP
        self.seq = seq
        included = seq <= self._snapshot_seq and frame.get("type") in STATE_TYPES
        return Admission.DROP if included else Admission.PASS

    def forget(self) -> None:
        """Start from a snapshot next time."""
        self.incarnation = None
