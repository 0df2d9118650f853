"""Tells of a wipe, a restart or a failover of Valkey, and lets one node at a time rebuild the volunteer index after it.

FLUSHALL raises no error anywhere, and a promoted replica or a restarted server may have lost what was acknowledged. So
every node asks twice a second which life of the data this is: the server's run id, and a random id kept in the data.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any
from uuid import uuid4

from infra.valkey.connection import answer_within
from infra.valkey.keys import Shard
from infra.valkey.library import Library
from matching.ports import IndexUnavailable

POLL_S = 0.5
DEADLINE_S = 1.5


class IndexState(StrEnum):
    """How far the index's rebuild has come in the present life of the data."""

    ABSENT = "absent"
    """Nobody rebuilds: not begun, or who did lost the lease. Whoever sees this should `begin_rebuild`."""
    REBUILDING = "rebuilding"
    COMPLETE = "complete"


class Generation:
    """What a node knows of the present life of one shard's data. Its owner runs `watch` as a task."""

    def __init__(self, library: Library, shard: Shard | None = None, *, poll_s: float = POLL_S) -> None:
        self._library = library
        self._prefix = (shard or Shard(0)).prefix
        self._poll_s = poll_s
        self._changed = asyncio.Event()
        self.current: str | None = None
        """Names the present life of the data; None before it was first seen. Stays while Valkey cannot be reached."""
        self.state: IndexState | None = None
        """As of the last poll; None while Valkey cannot be reached."""

    async def watch(self) -> None:
        """Poll for ever. Ends only by cancellation or by a mistake of ours."""
        while True:
            try:
                await self.poll()
            except IndexUnavailable:
                self.state = None
            await asyncio.sleep(self._poll_s)

    async def poll(self) -> IndexState:
        """Look now. Raises `IndexUnavailable` when Valkey cannot be reached."""
        server, generation, state = await self._call("generation_see", uuid4().hex)
        self.state = IndexState(state.decode())
        life = f"{server.decode()}.{generation.decode()}"
        if life != self.current:
            self.current = life
            self._changed.set()
            self._changed = asyncio.Event()
        return self.state

    async def changed_from(self, seen: str | None) -> str:
        """Wait until `current` is another than `seen`, and give it. Misses no change, however late it is asked."""
        while self.current is None or self.current == seen:
            await self._changed.wait()
        return self.current

    async def begin_rebuild(self, owner: str, lease_s: float) -> bool:
        """Take the lease on streaming everybody back; False when the index is complete or another owner is at it.

        `owner` must be unique among all processes there ever were (a random name per node start). People may be put by
        anyone meanwhile. After a restart or failover all sets of the index are emptied first.
        Raises `IndexUnavailable`, as the two below.
        """
        return bool(await self._call("generation_begin", uuid4().hex, owner, _milliseconds(lease_s)))

    async def extend(self, owner: str, lease_s: float) -> bool:
        """Keep the lease; False when it was lost (to a wipe or another owner): stop and look again."""
        return bool(await self._call("generation_extend", owner, _milliseconds(lease_s)))

    async def complete(self, owner: str) -> bool:
        """Say that everybody was put: the index answers from now on. False when the lease was lost."""
        completed = bool(await self._call("generation_complete", owner))
        if completed:
            self.state = IndexState.COMPLETE
        return completed

    async def _call(self, name: str, *args: str | int) -> Any:
        async with answer_within(DEADLINE_S, IndexUnavailable):
            return await self._library.call(name, [self._prefix], args)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
