"""The values matching speaks of: a request for help, the offers made for it, and the people in the index."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class RequestState(StrEnum):
    """Where a request is in its life; `matching/request_rules.py` holds the transitions."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    IN_CALL = "in_call"
    ENDED = "ended"


class Outcome(StrEnum):
    """How an ended request ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


class OfferOutcome(StrEnum):
    """How an offer ended; every offer ends exactly once."""

    WON = "won"
    LOST = "lost"
    WITHDRAWN = "withdrawn"
    DECLINED = "declined"
    EXPIRED = "expired"


class WithdrawReason(StrEnum):
    """What a volunteer is told when an offer is over."""

    ANSWERED = "answered"
    ANSWERED_BY_YOU = "answered_by_you"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REQUEST_ENDED = "request_ended"
    UNAVAILABLE = "unavailable"


class Tier(StrEnum):
    """How a person can be asked."""

    HOT = "hot"
    """A live session of theirs said ready."""
    COLD = "cold"
    """Has the app open without saying so, or a device that a push wakes."""
    IDLE = "idle"
    """As cold, by devices unseen for a month: asked from the third wave on."""


@dataclass(frozen=True, slots=True)
class Request:
    """One person's wish for help now. Times are the database's."""

    id: UUID
    requester_id: UUID
    session_id: UUID
    state: RequestState
    outcome: Outcome | None
    languages: tuple[str, ...]
    topic: str | None
    mode: str
    created_at: datetime
    waiting_since: datetime
    """When the present epoch began to wait."""
    deadline: datetime
    epoch: int
    returns: int
    """How often it went back to waiting."""
    wave: int
    asked: int
    """Offers made over all epochs, as the requester is told."""
    call_id: UUID | None
    version: int
    group_id: UUID | None = None
    """People the requester trusts, who are asked first."""
    desk_id: UUID | None = None
    """The organisation's desk that is asked."""
    public_at: datetime | None = None
    """With a group or desk: from then on anybody may be asked; None: never."""
    first_person: UUID | None = None
    """Who helped a moment ago, and is asked before all others until `first_until`."""
    first_until: datetime | None = None

    def is_private(self, now: datetime) -> bool:
        """Whether nobody but its group or desk may be asked."""
        if self.group_id is None and self.desk_id is None:
            return False
        return self.public_at is None or now < self.public_at


@dataclass(frozen=True, slots=True)
class Offer:
    """One volunteer was asked, once, for one epoch of a request."""

    request_id: UUID
    person_id: UUID
    epoch: int
    wave: int
    language: str
    offered_at: datetime
    expires_at: datetime
    outcome: OfferOutcome | None = None
    reason: WithdrawReason | None = None
    session_id: UUID | None = None
    """The session that accepted; None unless won."""
    told_at: datetime | None = None
    delivered_at: datetime | None = None
    """A session acknowledged it."""
    tier: Tier = Tier.HOT
    ring_at: datetime | None = None
    """When devices of theirs are to be rung (again); None: nothing to do."""
    rung: bool = False
    """A push provider took a ring, or may have."""
    ring_failed_at: datetime | None = None
    """None of their devices could be rung, so far."""
    barred: bool = False
    """They were suspended since."""
    ended_at: datetime | None = None
    local_hour: int | None = None
    """On the volunteer's wall when they were asked, 0 to 23."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What the index knows of one volunteer. Moments are Unix seconds of the database's clock."""

    person_id: UUID
    languages: tuple[str, ...]
    """Index languages (`matching/languages.py`), not raw tags."""
    tier: Tier
    opens_at: float | None
    """Start of the next weekly window, or of the current one; None when there is none."""
    closes_at: float | None
    """End of the window that starts at `opens_at`; None when it never ends (open all week)."""
    not_before: float = 0.0
    """Earliest moment to be asked again: pause, cooldown, call; `inf` when that is not known yet."""
    last_asked_at: float = 0.0
    """Never asked: a random fraction in [0, 1), so that newcomers come first in no fixed order."""
    newcomer: bool = False
    """Never had a call that connected: their turn comes sooner."""

    def ready_at(self, not_before: float) -> float:
        """When they may be asked: one who is hot said "ready now", which beats their hours."""
        if self.tier is Tier.HOT:
            return not_before
        return max(not_before, math.inf if self.opens_at is None else self.opens_at)

    def window_over(self, now: float) -> bool:
        """Whether their hours have ended, and new ones are to be worked out."""
        return self.tier is not Tier.HOT and self.closes_at is not None and self.closes_at <= now
