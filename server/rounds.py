"""What a node does again and again: looks that are due, the index's clocks, sightings, and the index's rebuild."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol
from uuid import UUID, uuid4

import structlog

from matching.ports import IndexUnavailable, Listings, RequestBook, VolunteerIndex
from server.desk import Desk
from server.socket.hub import Hub
from server.tasks import every, lasting

log = structlog.get_logger()

Loop = Callable[[], Coroutine[Any, Any, None]]

LOOK_EVERY_S = 0.25
LOOKS_AT_ONCE = 8
LOOKS_PER_ROUND = 64
SWEEP_EVERY_S = 0.5
SWEEP_PEOPLE = 1000
WOKEN_SERVED = 8
"""So many of the people a sweep woke are at once matched with what waits for them; the next looks find the others."""
SIGHTINGS_EVERY_S = 2.0
SILENT_EVERY_S = 3.0
STEADY_S = 20.0
PARTITIONS_EVERY_S = 3600.0
CLOCK_EVERY_S = 5.0
REBUILD_CHECK_S = 0.5
REBUILD_LEASE_S = 5.0
REBUILD_PAGE = 1000
RELIST_EVERY_S = 20.0


class Presence(Protocol):
    """Sightings of sessions, written in batches."""

    async def flush(self) -> list[tuple[UUID, bool]]:
        """Sessions seen although they have ended, and whether their person is suspended."""

    async def forget_silent(self) -> list[tuple[UUID, UUID]]: ...

    async def keep_partitions(self) -> None: ...


class Generation(Protocol):
    """Which life of Valkey's data this is, and who rebuilds the index in it."""

    @property
    def current(self) -> str | None: ...

    async def watch(self) -> None: ...

    async def changed_from(self, seen: str | None) -> str: ...

    async def begin_rebuild(self, owner: str, lease_s: float) -> bool: ...

    async def extend(self, owner: str, lease_s: float) -> bool: ...

    async def complete(self, owner: str) -> bool: ...


class Rounds:
    """All loops of a node but the sockets' own; `run` owns them."""

    def __init__(
        self,
        desk: Desk,
        presence: Presence,
        close_silent: Callable[[UUID], object],
        close_ended: Callable[[UUID, bool], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Both have the socket of a session closed, should any node hold one, and must not wait.

        `close_ended`: the session, and whether its person is suspended.
        """
        self._desk = desk
        self._presence = presence
        self._close_silent = close_silent
        self._close_ended = close_ended
        self._clock = clock
        self._written_at = self._steady_since = clock()

    def loops(self, measure_clock: Callable[[], Awaitable[object]]) -> list[Loop]:
        """The loops that always run, each until cancelled."""
        rounds: list[tuple[float, str, Callable[[], Awaitable[object]]]] = [
            (LOOK_EVERY_S, "looks", self.look_at_due),
            (SWEEP_EVERY_S, "sweep", self.sweep),
            (SIGHTINGS_EVERY_S, "sightings", self.write_sightings),
            (SILENT_EVERY_S, "silent sessions", self.forget_silent),
            (PARTITIONS_EVERY_S, "partitions", self._presence.keep_partitions),
            (CLOCK_EVERY_S, "clock", measure_clock),
        ]
        return [lambda s=s, w=w, f=f: every(s, w, f) for s, w, f in rounds]  # type: ignore[misc]

    async def look_at_due(self) -> None:
        """Claim what is due and look at it, a few at a time, until little is left.

        A look that fails, or waits for a lock, holds up no other; what failed is told when all were looked at.
        """
        at_once = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def look(request_id: UUID) -> None:
            async with at_once:
                await self._desk.look(request_id)

        while True:
            due = await self._desk.help_desk.due(LOOKS_PER_ROUND)
            outcomes = await asyncio.gather(*map(look, due), return_exceptions=True)
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

    async def write_sightings(self) -> None:
        """Write down who was seen, and notice when that could not be done for a while.

        A socket whose session has ended is closed, should the word of that have been lost.
        """
        for session_id, suspended in await self._presence.flush():
            self._close_ended(session_id, suspended)
        now = self._clock()
        if now - self._written_at > 2 * SIGHTINGS_EVERY_S:
            self._steady_since = now
        self._written_at = now

    async def forget_silent(self) -> None:
        """People whose node died are not hot any more.

        Not judged while Postgres (or this node) stands still, nor right after: then everybody looks silent. A socket
        that is open all the same, on a node that only stood still for a while, is closed: its app says ready anew.
        """
        now = self._clock()
        if now - self._steady_since < STEADY_S or now - self._written_at > 2 * SIGHTINGS_EVERY_S:
            return
        for session_id, person_id in await self._presence.forget_silent():
            self._close_silent(session_id)
            await self._desk.help_desk.person_changed(person_id)


class Rebirth:
    """After a wipe, restart or failover of Valkey: sockets begin anew, requests are looked at, the index is rebuilt."""

    def __init__(
        self, generation: Generation, hub: Hub, book: RequestBook, index: VolunteerIndex, listings: Listings
    ) -> None:
        self._generation = generation
        self._hub = hub
        self._book = book
        self._index = index
        self._listings = listings
        self._owner = str(uuid4())

    async def follow(self) -> None:
        """Begin anew on each change of generation after the first one seen."""
        seen = await self._generation.changed_from(None)
        while True:
            seen = await self._generation.changed_from(seen)
            log.warning("valkey lost its data; beginning anew")
            try:
                await self._book.look_at_all()
                await self.list_own()
                await self._hub.reset()
            except Exception as error:
                # Beats find lost mailboxes and looks find waiting requests, only later.
                log.error("beginning anew failed", error=type(error).__name__)

    async def list_own(self) -> None:
        """List the people whose sockets this node holds: after a wipe they come back first, for they are hot.

        And again and again: of two who list a person at once, the one that read first may write last, and somebody who
        said ready would stay listed as cold for as long as they wait.
        """
        volunteers = [caller.user_id for caller in self._hub.callers() if caller.role != "requester"]
        try:
            for start in range(0, len(volunteers), REBUILD_PAGE):
                listings = await self._listings.of(volunteers[start : start + REBUILD_PAGE])
                await self._index.put(listings, (await self._book.now()).timestamp())
        except IndexUnavailable:
            return

    async def rebuild(self) -> None:
        """Fill an index that is not complete, unless another node is at it."""
        try:
            if not await self._generation.begin_rebuild(self._owner, REBUILD_LEASE_S):
                return
            count, after, more = 0, None, True
            while more:
                page, after = await self._listings.page(after, REBUILD_PAGE)
                await self._index.put(page, (await self._book.now()).timestamp())
                count, more = count + len(page), after is not None
                if not await self._generation.extend(self._owner, REBUILD_LEASE_S):
                    return
            if await self._generation.complete(self._owner):
                log.info("index rebuilt", people=count)
        except IndexUnavailable:
            return

    def loops(self) -> list[Loop]:
        """The loops that always run, each until cancelled."""
        return [
            lambda: lasting("watching valkey", self._generation.watch),
            lambda: lasting("following valkey", self.follow),
            lambda: every(REBUILD_CHECK_S, "index rebuild", self.rebuild),
            lambda: every(RELIST_EVERY_S, "listing own people", self.list_own),
        ]
