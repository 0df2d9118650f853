"""What a node does again and again: looks that are due, the index's clocks, sightings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from matching.ports import IndexUnavailable
from server.desk import Desk
from server.tasks import every

Loop = Callable[[], Coroutine[Any, Any, None]]

LOOK_EVERY_S = 0.25
LOOKS_PER_ROUND = 64
SWEEP_EVERY_S = 0.5
SWEEP_PEOPLE = 500
WOKEN_SERVED = 8
"""So many of the people a sweep woke are at once matched with what waits for them; the next looks find the others."""
SIGHTINGS_EVERY_S = 2.0
SILENT_EVERY_S = 3.0
RELIST_EVERY_S = 3.0
RELIST_PEOPLE = 100
CALLBACKS_EVERY_S = 5.0
PARTITIONS_EVERY_S = 3600.0
CLOCK_EVERY_S = 5.0


class Presence(Protocol):
    """Sightings of sessions, written in batches."""

    async def flush(self) -> list[tuple[UUID, bool]]:
        """Sessions seen although they have ended, and whether their person is suspended."""

    async def forget_silent(self) -> list[tuple[UUID, UUID]]:
        """Nobody while sightings could not be written, nor right after."""

    async def keep_partitions(self) -> None: ...


class Relistings(Protocol):
    """People whose change was committed, and may not have reached the index."""

    async def to_relist(self, limit: int) -> list[tuple[UUID, datetime]]:
        """The oldest first, and since when; nobody whose change is but a moment old."""

    async def relisted(self, person_id: UUID, since: datetime) -> None: ...


class Rounds:
    """All loops of a node but the sockets' own; `run` owns them."""

    def __init__(
        self,
        desk: Desk,
        presence: Presence,
        relistings: Relistings,
        close_silent: Callable[[UUID], object],
        close_ended: Callable[[UUID, bool], object],
    ) -> None:
        """Both have the socket of a session closed, should any node hold one, and must not wait.

        `close_ended`: the session, and whether its person is suspended.
        """
        self._desk = desk
        self._presence = presence
        self._relistings = relistings
        self._close_silent = close_silent
        self._close_ended = close_ended

    def loops(self, measure_clock: Callable[[], Awaitable[object]]) -> list[Loop]:
        """The loops that always run, each until cancelled."""
        rounds: list[tuple[float, str, Callable[[], Awaitable[object]]]] = [
            (LOOK_EVERY_S, "looks", self.look_at_due),
            (SWEEP_EVERY_S, "sweep", self.sweep),
            (SIGHTINGS_EVERY_S, "sightings", self.write_sightings),
            (SILENT_EVERY_S, "silent sessions", self.forget_silent),
            (RELIST_EVERY_S, "relistings", self.relist),
            (CALLBACKS_EVERY_S, "callbacks", self.call_back),
            (PARTITIONS_EVERY_S, "partitions", self._presence.keep_partitions),
            (CLOCK_EVERY_S, "clock", measure_clock),
        ]
        return [lambda s=s, w=w, f=f: every(s, w, f) for s, w, f in rounds]  # type: ignore[misc]

    async def look_at_due(self) -> None:
        """Claim what is due and look at it, a few at a time, until little is left.

        A look that fails, or waits for a lock, holds up no other; what failed is told when all were looked at.
        """
        while True:
            due = await self._desk.help_desk.due(LOOKS_PER_ROUND)
            outcomes = await asyncio.gather(*map(self._desk.look, due), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
            if len(due) < LOOKS_PER_ROUND:
                return

    async def sweep(self) -> None:
        """Bring people whose moment has come into ready, where a request may have waited for just them.

        So those whom a node that died had drawn and never asked are asked as soon as their lease is over. While the
        index is away there is nothing to do.
        """
        try:
            moved = SWEEP_PEOPLE
            while moved >= SWEEP_PEOPLE:
                swept = await self._desk.help_desk.sweep(SWEEP_PEOPLE)
                for person_id in swept.woken[:WOKEN_SERVED]:
                    await self._desk.woken(person_id)
                moved = len(swept.woken) + len(swept.stale)
        except IndexUnavailable:
            return

    async def relist(self) -> None:
        """List those whose change was committed, and who were perhaps not listed: the node died, or Valkey was away."""
        while people := await self._relistings.to_relist(RELIST_PEOPLE):
            for person_id, since in people:
                if not await self._desk.person_changed(person_id):
                    return
                await self._relistings.relisted(person_id, since)

    async def call_back(self) -> None:
        """Have those told, whom nobody came to, that somebody is free."""
        for request_id in await self._desk.help_desk.call_back():
            self._desk.look_soon(request_id)

    async def write_sightings(self) -> None:
        """Write down who was seen.

        A socket whose session has ended is closed, should the word of that have been lost.
        """
        for session_id, suspended in await self._presence.flush():
            self._close_ended(session_id, suspended)

    async def forget_silent(self) -> None:
        """People whose node died are not hot any more.

        A socket that is open all the same, on a node that only stood still for a while, is closed: its app says ready
        anew.
        """
        for session_id, person_id in await self._presence.forget_silent():
            self._close_silent(session_id)
            await self._desk.help_desk.person_changed(person_id)
