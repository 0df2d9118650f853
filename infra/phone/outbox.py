"""Messages the server has not answered yet, oldest first: they survive the socket and are sent again, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.phone.errors import FrameRefused, PhoneError

LIMIT = 256


@dataclass(slots=True)
class Entry:
    """One message on its way."""

    frame: dict[str, Any]
    replaces: str | None
    answered: asyncio.Future[None]
    connection: int = 0
    """Number of the connection it was last written to; 0 before any."""


class Outbox:
    """Keeps each message under its id until `settle` or `refuse`; a repeated id is not done again by the server."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

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

    def refuse(self, message_id: str, error: FrameRefused) -> None:
        entry = self._entries.pop(message_id, None)
        if entry is not None and not entry.answered.done():
            entry.answered.set_exception(error)

    def next_for(self, connection: int) -> Entry | None:
        """The oldest entry not yet written to this connection."""
        return next((entry for entry in self._entries.values() if entry.connection != connection), None)

    def discard_oldest(self, code: str) -> None:
        """After 4400 or 4413: the server reads in order, so what it choked on is the oldest unanswered."""
        oldest = next(iter(self._entries), None)
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


def _look_at(answered: asyncio.Future[None]) -> None:
    """A refusal nobody waits for is no unhandled error."""
    if not answered.cancelled():
        answered.exception()
