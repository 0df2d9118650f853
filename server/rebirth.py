"""After a wipe, restart or failover of Valkey: sockets begin anew, requests are looked at, the index is rebuilt.

Whoever has a socket comes back first, listed by the node that holds it. Everybody else is streamed back by one node
that holds the lease on it, most wanted languages first; each is answered for as soon as all who speak it are there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Protocol
from uuid import UUID, uuid4

import structlog

from matching.model import Listing
from matching.ports import IndexUnavailable, RequestBook
from server.socket.hub import Hub
from server.tasks import every, lasting

log = structlog.get_logger()

Loop = Callable[[], Coroutine[Any, Any, None]]

CHECK_S = 0.5
LEASE_S = 5.0
PAGE = 1000
"""Volunteers read at once; a node that rebuilds is deaf to its sockets for some ten milliseconds at a time."""
READ_AHEAD = 2
"""Pages that Postgres works on while one is put."""
PARTS = 2
RELIST_EVERY_S = 20.0


class Rebuild(Protocol):
    """The lease on filling the parts of the index that are empty. Each method raises `IndexUnavailable`."""

    def wanted(self, listings: Sequence[Listing]) -> Sequence[Listing]:
        """Those that belong to such a part."""

    async def extend(self, lease_s: float) -> bool:
        """Keep it; this and the others give False when it was lost."""

    async def put(self, languages: Collection[str]) -> bool:
        """Everybody who speaks these languages was put."""

    async def complete(self) -> bool:
        """Everybody was put."""


class Generation(Protocol):
    """Which life of Valkey's data this is, and who rebuilds the index in it."""

    async def watch(self) -> None: ...

    async def changed_from(self, seen: str | None) -> str: ...

    async def begin_rebuild(self, owner: str, lease_s: float) -> Rebuild | None: ...


class Index(Protocol):
    """The volunteer index, as far as it is filled here. Both raise `IndexUnavailable`."""

    async def put(self, listings: Sequence[Listing], now: float) -> None: ...

    async def restore(self, listings: Sequence[Listing], now: float) -> None:
        """As `put`, of those who are not known."""


class Census(Protocol):
    """All volunteers, as the index wants them."""

    async def of(
        self, people: Collection[UUID], *, speaking: Collection[str] | None = None, besides: Collection[str] = ()
    ) -> list[Listing]:
        """Those of these who can be asked, speak one of the (index) languages `speaking` (None: any) and none of
        `besides`."""

    async def page(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next volunteers after this id, at most `limit`."""

    async def wanted(self) -> Sequence[Collection[str]]:
        """Groups of (index) languages, most wanted first."""


class Rebirth:
    """`loops` watch for the end of a life of the data, and do what it takes to begin the next."""

    def __init__(self, generation: Generation, hub: Hub, book: RequestBook, index: Index, census: Census) -> None:
        self._generation = generation
        self._hub = hub
        self._book = book
        self._index = index
        self._census = census
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
            for start in range(0, len(volunteers), PAGE):
                listings = await self._census.of(volunteers[start : start + PAGE])
                await self._index.put(listings, (await self._book.now()).timestamp())
        except IndexUnavailable:
            return

    async def rebuild(self) -> None:
        """Fill what is empty of the index, unless another node is at it."""
        try:
            lease = await self._generation.begin_rebuild(self._owner, LEASE_S)
        except IndexUnavailable:
            return
        if lease is None:
            return
        try:
            count = await self._fill(lease)
        except IndexUnavailable as error:  # the lease runs out, and somebody begins again
            log.warning("index rebuild given up", error=str(error))
            return
        if count is None:
            log.warning("index rebuild given up", error="the lease was lost")
        else:
            log.info("index rebuilt", people=count)

    async def _fill(self, lease: Rebuild) -> int | None:
        """How many were put; None when the lease was lost."""
        count, done = 0, set[str]()
        for wanted in await self._census.wanted():
            languages = set(wanted) - done
            if languages:
                put = await self._put_all(lease, speaking=languages, besides=done)
                if put is None or not await lease.put(languages):
                    return None
                count, done = count + put, done | languages
        put = await self._put_all(lease, speaking=None, besides=done)
        if put is None or not await lease.complete():
            return None
        return count + put

    async def _put_all(
        self, lease: Rebuild, *, speaking: Collection[str] | None, besides: Collection[str]
    ) -> int | None:
        count = 0
        async with aclosing(self._pages(speaking, besides)) as pages:
            async for page in pages:
                count += len(page)
                now = (await self._book.now()).timestamp()
                wanted = lease.wanted(page)
                # Those known already were listed by somebody who knew later. In parts: while Valkey works on one, the
                # next is packed.
                await asyncio.gather(*(self._index.restore(wanted[part::PARTS], now) for part in range(PARTS)))
                if not await lease.extend(LEASE_S):
                    return None
        return count

    async def _pages(
        self, speaking: Collection[str] | None, besides: Collection[str]
    ) -> AsyncGenerator[Sequence[Listing], None]:
        """Some pages are read while the last one is put."""

        async def read(people: Collection[UUID]) -> list[Listing]:
            return await self._census.of(people, speaking=speaking, besides=besides)

        reading: deque[asyncio.Task[list[Listing]]] = deque()
        people = await self._census.page(None, PAGE)
        try:
            while people or reading:
                if people:
                    reading.append(asyncio.create_task(read(people)))
                    people = await self._census.page(people[-1], PAGE) if len(people) == PAGE else []
                if len(reading) > READ_AHEAD or not people:
                    yield await reading.popleft()
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    def loops(self) -> list[Loop]:
        """The loops that always run, each until cancelled."""
        return [
            lambda: lasting("watching valkey", self._generation.watch),
            lambda: lasting("following valkey", self.follow),
            lambda: every(CHECK_S, "index rebuild", self.rebuild),
            lambda: every(RELIST_EVERY_S, "listing own people", self.list_own),
        ]
