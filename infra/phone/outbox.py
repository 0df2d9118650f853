"""Messages the server has not answered yet, oldest first: they survive the socket and are sent again, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.phone.errors import FrameRefused, PhoneError
from infra.phone.reconnect import Backoff

LIMIT = 256
TRIES = 6
"""So often a message is written at most that the server refuses for the moment only (`retryable`)."""


@dataclass(slots=True)
class Entry:
    """One message on its way."""

    frame: dict[str, Any]
    replaces: str | None
    answered: asyncio.Future[None]
    connection: int = 0
    """Number of the connection it was last written to; 0 before any."""
    refused_on: int = 0
    """Number of the connection on which it was last refused for the moment; 0 for none."""
    refusals: int = 0
    due_at: float = 0.0
    """When it goes again on that connection, by the event loop's clock."""
    pauses: Backoff = field(default_factory=Backoff)

    @property
    def kind(self) -> str:
        """No message overtakes an earlier one of its kind."""
        return str(self.frame["type"])


class Outbox:
    """Keeps each message under its id until it is answered for good; a repeated id is not done again by the server."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._hesitates = False
        """Something was refused for the moment, and it or what stands behind it may still have to go."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._entries

    def add(self, frame: dict[str, Any], *, replaces: str | None = None) -> asyncio.Future[None]:
        """Keep `frame` (which has an `id`). The future ends when it is answered; raises `FrameRefused` when refused.

        `replaces` names a kind of which only the newest matters (ready, media): an older one is given up.
        Raises `PhoneError` when too much is unanswered.
        """
        if replaces is not None:
            self._give_up((i for i, entry in self._entries.items() if entry.replaces == replaces), "superseded")
        if len(self._entries) >= LIMIT:
            raise PhoneError(f"more than {LIMIT} messages unanswered")
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answered.add_done_callback(_look_at)
        self._entries[frame["id"]] = Entry(frame, replaces, answered)
        return answered

    def settle(self, message_id: str) -> None:
        entry = self._entries.pop(message_id, None)
        if entry is not None and not entry.answered.done():
            entry.answered.set_result(None)

    def refused(self, message_id: str, error: FrameRefused, now: float) -> None:
        """The server's `error`: what may be tried again is, after a short pause, and later ones of its kind wait."""
        entry = self._entries[message_id]
        entry.refusals += 1
        if not error.retryable or entry.refusals >= TRIES:
            self.refuse(message_id, error)
            return
        entry.refused_on, entry.connection = entry.connection, 0
        entry.due_at = now + entry.pauses.next_s()
        self._hesitates = True

    def refuse(self, message_id: str, error: FrameRefused) -> None:
        """Give it up."""
        entry = self._entries.pop(message_id, None)
        if entry is not None and not entry.answered.done():
            entry.answered.set_exception(error)

    def next_for(self, connection: int, now: float) -> Entry | None:
        """The oldest entry that this connection is to carry now."""
        return next((entry for entry in self._unwritten(connection) if _due_at(entry, connection) <= now), None)

    def due_at(self, connection: int) -> float | None:
        """When this connection has something to carry once more; None while it has nothing."""
        if not self._hesitates:
            return None
        due_at = min((_due_at(entry, connection) for entry in self._unwritten(connection)), default=None)
        self._hesitates = due_at is not None or any(e.refused_on == connection for e in self._entries.values())
        return due_at

    def _unwritten(self, connection: int) -> Iterator[Entry]:
        """What this connection has not carried, but for what stands behind one of its kind that was refused on it.

        A new connection carries everything at once: the order of writing is the order of messages again.
        """
        held: set[str] = set()
        for entry in self._entries.values():
            if entry.connection != connection and entry.kind not in held:
                yield entry
            if entry.refused_on == connection:
                held.add(entry.kind)

    def discard_oldest(self, code: str) -> None:
        """After 4400 or 4413: the server reads in order, so what it choked on is the oldest it has not answered."""
        oldest = next((i for i, entry in self._entries.items() if entry.connection), None)
        if oldest is not None:
            self.refuse(oldest, FrameRefused(code))

    def forget_call(self, call_id: str, *, before_attempt: int | None = None) -> None:
        """Messages of an ended call, or of its earlier attempts, are not worth sending again."""

        def over(frame: dict[str, Any]) -> bool:
            return frame.get("call") == call_id and (before_attempt is None or frame.get("attempt", 0) < before_attempt)

        self._give_up((i for i, entry in self._entries.items() if over(entry.frame)), "call_ended")

    def clear(self, code: str) -> None:
        self._give_up(iter(self._entries), code)

    def _give_up(self, ids: Iterator[str], code: str) -> None:
        for message_id in list(ids):
            self.refuse(message_id, FrameRefused(code))


def _due_at(entry: Entry, connection: int) -> float:
    return entry.due_at if entry.refused_on == connection else 0.0


def _look_at(answered: asyncio.Future[None]) -> None:
    """A refusal nobody waits for is no unhandled error."""
    if not answered.cancelled():
        answered.exception()
