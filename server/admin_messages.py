"""What the admin page is shown: figures only, nobody's name. The same over HTTP and over its socket."""

from __future__ import annotations

import msgspec

from server.socket.messages import ErrorFrame, FromServer, PongFrame


class WaitingLanguage(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that wait, by their first language."""

    language: str
    count: int
    oldest_wait_s: float


class VolunteerLanguage(msgspec.Struct, frozen=True, kw_only=True):
    """Volunteers who could be asked now: hot have said they are ready, reachable are all, hot ones included."""

    language: str
    hot: int
    reachable: int


class AnswerTime(msgspec.Struct, frozen=True, kw_only=True):
    """From tap to accept, of the requests answered in the last hour; null when there were none."""

    p50_s: float | None
    p95_s: float | None
    count: int


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the whole service at `now`, from Postgres and Valkey."""

    now: str
    waiting: list[WaitingLanguage]
    offers_open: int
    calls_connecting: int
    calls_live: int
    volunteers: list[VolunteerLanguage]
    volunteers_known: bool
    """False while the index cannot answer (Valkey away, or being rebuilt); `volunteers` is empty then."""
    answer_time: AnswerTime


class QueueFrame(FromServer, frozen=True, kw_only=True, tag="queue"):
    data: Queue


AdminServerFrame = QueueFrame | ErrorFrame | PongFrame
"""Everything the admin socket says."""
