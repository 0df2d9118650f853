"""What one socket is allowed: sizes, rates and waits, and the close codes that end it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from server.socket.messages import MAX_CANDIDATE_CHARS, MAX_CHAT_CHARS, MAX_SDP_CHARS, Limits


class Close(IntEnum):
    """Close codes of the contract (4xxx) and of RFC 6455 section 7.4 and its registry (1xxx)."""

    GOING_AWAY = 1001
    """Nothing came for so long that the client was taken for dead."""
    DRAIN = 1012
    TRY_AGAIN_LATER = 1013
    """What a socket needs from Postgres or Valkey is away; the client resumes with jitter like after any other."""
    BAD_FRAME = 4400
    UNAUTHORIZED = 4401
    SUSPENDED = 4403
    HELLO_TIMEOUT = 4408
    SESSION_TAKEN_OVER = 4409
    FRAME_TOO_LARGE = 4413
    RATE_LIMITED = 4429
    SLOW_CONSUMER = 4430


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketRules:
    """The same for every socket of a node. Names ending in `_s` are seconds."""

    heartbeat_s: float = 5.0
    """A silent client is pinged (RFC 6455) after one of these and taken for dead after `silent_beats`."""
    silent_beats: int = 3
    hello_s: float = 5.0
    frame_bytes: int = 64 * 1024
    frames_per_s: int = 50
    frames_burst: int = 200
    """Frames beyond are refused with `too_fast`; as many again refused without a pause closes with 4429."""
    queue_frames: int = 512
    queue_bytes: int = 1024 * 1024
    """Of frames waiting for a slow reader; more closes with 4430."""
    room_s: float = 10.0
    """How long a replay waits for a reader to catch up before it counts as slow."""
    close_s: float = 2.0
    """How long the closing handshake may take before the connection is cut."""
    after_call_s: float = 60.0
    """How long after a call an expired token is still tolerated."""
    drain_s: float = 5.0
    """How long all sockets together may take to leave; they are sent off within half of it."""
    resumes_per_s: int = 250
    """So many people a node that goes has the others take in a second; see `resume_within_s`."""

    def limits(self) -> Limits:
        """What the client is told of them."""
        return Limits(
            frame_bytes=self.frame_bytes,
            frames_per_s=self.frames_per_s,
            frames_burst=self.frames_burst,
            sdp_chars=MAX_SDP_CHARS,
            candidate_chars=MAX_CANDIDATE_CHARS,
            chat_chars=MAX_CHAT_CHARS,
            message_id_chars=64,
            silence_ms=int(1000 * self.heartbeat_s * self.silent_beats),
        )


RESUME_SOON_S = 1.5
RESUME_LATE_S = 30.0


def resume_within_s(sockets: int, *, soon: bool, rules: SocketRules) -> float:
    """The time over which those whom a node sends off come back to others.

    `soon`: for people in calls, and for requesters, of whom nobody has time. Volunteers who wait are rung by push
    meanwhile.
    """
    return RESUME_SOON_S if soon else min(max(RESUME_SOON_S, sockets / rules.resumes_per_s), RESUME_LATE_S)


class Pace(Enum):
    """What becomes of a frame under the rate rule."""

    FINE = "fine"
    TOO_FAST = "too_fast"
    FLAGRANT = "flagrant"


class Bucket:
    """A token bucket that goes into debt: refused frames cost too, so only a pause helps."""

    __slots__ = ("_at", "_tokens")

    def __init__(self, rules: SocketRules, now: float) -> None:
        self._tokens = float(rules.frames_burst)
        self._at = now

    def spend(self, rules: SocketRules, now: float) -> Pace:
        """Judge one frame at `now` (monotonic seconds)."""
        earned = (now - self._at) * rules.frames_per_s
        self._tokens = min(float(rules.frames_burst), self._tokens + earned) - 1
        self._at = now
        if self._tokens >= 0:
            return Pace.FINE
        return Pace.TOO_FAST if self._tokens >= -rules.frames_burst else Pace.FLAGRANT
