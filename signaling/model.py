"""The values signaling speaks of: a call, its two sides, and what each side reports of its media."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Side(StrEnum):
    """The two ends of a call; the server knows nothing else of a person's place in it."""

    REQUESTER = "requester"
    VOLUNTEER = "volunteer"

    @property
    def other(self) -> Side:
        return Side.VOLUNTEER if self is Side.REQUESTER else Side.REQUESTER


class CallState(StrEnum):
    """Where a call is in its life; `signaling/call_rules.py` holds the transitions."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


class EndReason(StrEnum):
    """Why a call ended (the contract's `end_reason`)."""

    DONE = "done"
    LEFT = "left"
    CANCELLED = "cancelled"
    TECHNICAL = "technical"
    LOST = "lost"
    NEVER_CONNECTED = "never_connected"
    BUSY = "busy"
    MOVED = "moved"
    REPORTED = "reported"
    SUSPENDED = "suspended"
    ENDED_BY_ADMIN = "ended_by_admin"
    DRAINED = "drained"


class Picture(StrEnum):
    """What the volunteer sees of a video call (the contract's `picture`)."""

    OK = "ok"
    FROZEN = "frozen"
    """It came before, and comes no more."""
    DARK = "dark"
    """It comes, and nothing is to be seen on it."""
    PAUSED = "paused"
    """The requester's phone is busy otherwise, or they paused it."""


@dataclass(frozen=True, slots=True)
class Media:
    """What one side last reported about its peer connection (the contract's `media` frame)."""

    state: str = "new"
    """`new` until the first report, then `connected`, `disconnected` or `failed`."""
    sends_audio: bool = False
    sends_video: bool = False
    receives_audio: bool = False
    receives_video: bool = False
    paused: str | None = None
    """`phone_call`, `background`, `user` or None."""
    receives_dark: bool = False
    """Whether the picture it receives is all dark, as its `stats` say."""


@dataclass(frozen=True, slots=True)
class End:
    """One side of a call: who, on which session, and how they are."""

    person_id: UUID
    session_id: UUID
    media: Media
    away_since: datetime | None
    """Since when the session's socket is known to be gone; None while it is attached."""
    seen_at: datetime
    """When the session was last seen at all, by any node."""
    owner_epoch: int = 0
    """Of the last owner of the session's mailbox that had its socket."""
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Practice:
    """What a call has whose other side is the server's own phone."""

    ends_at: datetime
    """When it is over, however well it goes: others wait for the phone."""
    phone_until: datetime
    """The phone is there at least until then; its node says so again and again."""


@dataclass(frozen=True, slots=True)
class Call:
    """Two people in one conversation, or one with the server's own phone. Times are the database's."""

    id: UUID
    request_id: UUID
    epoch: int
    attempt: int
    """Number of the peer connection both sides build; starts at 1."""
    state: CallState
    mode: str
    language: str
    created_at: datetime
    connect_by: datetime
    """When a call that never connected ends; renewed when both sides build anew."""
    connected_at: datetime | None
    """First moment media ran both ways; None before."""
    reconnecting_since: datetime | None
    ended_at: datetime | None
    end_reason: EndReason | None
    ended_by: Side | None
    """None for the system."""
    requester: End
    volunteer: End
    version: int
    practice: Practice | None = None
    """None between two people."""
    picture: Picture | None = None
    """None: none came yet, and perhaps none will, as without a camera."""
    picture_since: datetime | None = None
    direct: bool = False
    """Whether the two may learn each other's address, because a group wants it so; else as the deployment has it."""
    watched_since: datetime | None = None
    """Since when what sides say and do could be written down without a break; None: always."""

    def end(self, side: Side) -> End:
        return self.requester if side is Side.REQUESTER else self.volunteer

    def side_of_session(self, session_id: UUID) -> Side | None:
        """The side this session plays, or None when the call is not (or no longer) its own."""
        return next((side for side in Side if self.end(side).session_id == session_id), None)

    def side_of_person(self, person_id: UUID) -> Side | None:
        return next((side for side in Side if self.end(side).person_id == person_id), None)
