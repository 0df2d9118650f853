"""Tells of a wipe, a restart or a failover of Valkey, and lets one node at a time rebuild the volunteer index after it.

FLUSHALL raises no error anywhere, and a promoted replica or a restarted server may have lost what was acknowledged. So
every node asks twice a second which life of the data this is, of each shard: the server's run id, and a random id kept
in the data.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any
from uuid import uuid4

from infra.valkey.keys import Shard, Shards
from infra.valkey.library import Library
from infra.valkey.multiplexer import Argument
from infra.valkey.outages import AnswerWithin, is_unavailable
from matching.model import Listing
from matching.ports import IndexUnavailable

POLL_S = 0.5
DEADLINE_S = 1.5


class IndexState(StrEnum):
    """How far a shard's rebuild has come in the present life of its data."""

    ABSENT = "absent"
    """Nobody rebuilds: not begun, or who did lost the lease. Whoever sees this should `begin_rebuild`."""
    REBUILDING = "rebuilding"
    COMPLETE = "complete"


class Generation:
    """What a node knows of the present life of the index's data. Its owner runs `watch` as a task."""

    def __init__(self, library: Library, shards: Shards | None = None, *, poll_s: float = POLL_S) -> None:
        self._library = library
        self._shards = shards or Shards()
        self._poll_s = poll_s
        self._changed = asyncio.Event()
        self._lives: dict[Shard, bytes] = {}
        self.current: str | None = None
        """Names the present life of the data; None before it was first seen. Stays while Valkey cannot be reached."""
        self.states: dict[Shard, IndexState] = {}
        """As of the last poll; without those shards that cannot be reached."""

    async def watch(self) -> None:
        """Poll for ever. Ends only by cancellation or by a mistake of ours."""
        while True:
            try:
                await self.poll()
            except IndexUnavailable:
                self.states = {}
            await asyncio.sleep(self._poll_s)

    async def poll(self) -> IndexState:
        """Look now; the state of the shard that is the furthest from being complete.

        Raises `IndexUnavailable` when no shard can be reached.
        """
        seen = await _each(self._library, "generation_see", self._shards.all(), [self._shards.count, uuid4().hex])
        if not seen:
            raise IndexUnavailable("no shard can be reached")
        self.states = {shard: IndexState(state.decode()) for shard, (_, _, state) in seen.items()}
        self._lives |= {shard: server + generation for shard, (server, generation, _) in seen.items()}
        lives = sorted((shard.number, life) for shard, life in self._lives.items())
        current = hashlib.sha256(repr(lives).encode()).hexdigest()
        if current != self.current:
            self.current = current
            self._changed.set()
            self._changed = asyncio.Event()
        return min(self.states.values(), key=list(IndexState).index)

    async def changed_from(self, seen: str | None) -> str:
        """Wait until `current` is another than `seen`, and give it. Misses no change, however late it is asked."""
        while self.current is None or self.current == seen:
            await self._changed.wait()
        return self.current

    async def begin_rebuild(self, owner: str, lease_s: float) -> Rebuild | None:
        """Take the lease on streaming people back into the shards that need it; None when none does that is not taken.

        `owner` must be unique among all processes there ever were (a random name per node start). People may be put by
        anyone meanwhile. Raises `IndexUnavailable`.
        """
        wanting = [shard for shard in self._shards.all() if self.states.get(shard) is not IndexState.COMPLETE]
        args: list[Argument] = [self._shards.count, uuid4().hex, owner, _milliseconds(lease_s)]
        taken = await _each(self._library, "generation_begin", wanting, args)
        if not taken:
            return None
        await self._drop_shards(max(taken.values()))
        return Rebuild(self._library, self._shards, owner, list(taken))

    async def _drop_shards(self, before: int) -> None:
        """Shards there were when more were counted."""
        gone = [Shard(number) for number in range(self._shards.count, before)]
        await _each(self._library, "generation_drop", gone, [before])


class Rebuild:
    """The lease on streaming everybody back into some shards. Its owner extends it, or loses it."""

    def __init__(self, library: Library, shards: Shards, owner: str, taken: Sequence[Shard]) -> None:
        self._library = library
        self._shards = shards
        self._owner = owner
        self._taken = frozenset(taken)

    def wanted(self, listings: Sequence[Listing]) -> Sequence[Listing]:
        """Those of shards that are rebuilt."""
        if len(self._taken) == self._shards.count:
            return listings
        return [one for one in listings if self._shards.of(one.person_id) in self._taken]

    async def extend(self, lease_s: float) -> bool:
        """Keep the lease; False when all of it was lost (to a wipe or another owner): stop and look again.

        Raises `IndexUnavailable`, as the two below.
        """
        return await self._held("generation_extend", self._owner, _milliseconds(lease_s))

    async def put(self, languages: Collection[str]) -> bool:
        """Say that everybody of these languages was put: from now on the index answers for them."""
        return await self._held("generation_put", self._owner, *languages)

    async def complete(self) -> bool:
        """Say that everybody was put: the index answers from now on. False when the lease was lost."""
        return await self._held("generation_complete", self._owner)

    async def _held(self, name: str, *args: Argument) -> bool:
        """Go on with those shards that are still ours."""
        replies = await _each(self._library, name, self._taken, args)
        self._taken = frozenset(shard for shard, held in replies.items() if held)
        return bool(self._taken)


async def _each(library: Library, name: str, shards: Collection[Shard], args: Sequence[Argument]) -> dict[Shard, Any]:
    """Call the same for each shard; the replies of those that have one."""
    async with AnswerWithin(DEADLINE_S, IndexUnavailable):
        replies = await library.call_each(name, [([shard.prefix], args) for shard in shards])
    for reply in replies:
        if isinstance(reply, Exception) and not is_unavailable(reply):
            raise reply
    told = zip(shards, replies, strict=True)
    return {shard: reply for shard, reply in told if reply is not None and not isinstance(reply, Exception)}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
