"""The volunteer index on Valkey: who may be asked next, found in constant time and drawn atomically.

People are spread over shards. Each step of one shard is one atomic function (`lua/index_*.lua`); steps of several
shards travel together.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any
from uuid import UUID

from infra.valkey.drawing import Drawing, Wish
from infra.valkey.keys import Shard, Shards
from infra.valkey.library import Call, Library
from infra.valkey.multiplexer import Argument
from infra.valkey.outages import AnswerWithin, is_unavailable
from matching.model import Listing, Tier
from matching.ports import IndexUnavailable, Swept

DEADLINE_S = 1.5
"""How long any one step may take before the caller is better served by Postgres."""
CHUNK = 100
"""People per function call."""
TOGETHER = 100
"""People on their way at once: while a server works on them, some 2 ms, nobody else is answered."""
SWEEP_LEAST = 8
"""People of one shard that a sweep moves at once, however many shards there are."""
STALE_AGAIN_S = 10.0
"""After this long without new edges a person whose window ended is reported again."""

_LAYOUT = struct.Struct(">cdddd")
_LETTERS = {
    (tier, newcomer): (tier.value[0].upper() if newcomer else tier.value[0]).encode()
    for tier in Tier
    for newcomer in (False, True)
}


def pack(listing: Listing) -> bytes:
    """The compact record: a letter, opens_at, closes_at, not_before, last_asked_at (big-endian doubles), languages.

    The letter is the tier's first one, a capital for a newcomer. A missing moment is +inf: a window that never opens,
    or never closes. `lua/_index.lua` reads and writes the same.
    """
    moments = _LAYOUT.pack(
        _LETTERS[listing.tier, listing.newcomer],
        inf if listing.opens_at is None else listing.opens_at,
        inf if listing.closes_at is None else listing.closes_at,
        listing.not_before,
        listing.last_asked_at,
    )
    return moments + ",".join(listing.languages).encode()


class ValkeyIndex:
    """Implements `matching.ports.VolunteerIndex`.

    A shard that cannot answer costs what it would have told: draws of others go on, and only "there are no more" needs
    the word of all.
    """

    def __init__(self, library: Library, shards: Shards | None = None) -> None:
        self._library = library
        self._shards = shards or Shards()
        self._all = self._shards.all()
        self._drawing = Drawing(self._shards, self._ask)

    async def put(self, listings: Sequence[Listing], now: float) -> None:
        await self._put(listings, now, only_new=False)

    async def restore(self, listings: Sequence[Listing], now: float) -> None:
        """As `put`, but whoever is known stays as they are: a rebuild puts people some time after it read them."""
        await self._put(listings, now, only_new=True)

    async def _put(self, listings: Sequence[Listing], now: float, *, only_new: bool) -> None:
        latest = {listing.person_id: listing for listing in listings}
        head: list[Argument] = [self._shards.count, now, int(only_new)]

        def call(shard: Shard, people: Sequence[UUID]) -> Call:
            args = list(head)
            for person_id in people:
                args += (person_id.bytes, pack(latest[person_id]))
            return [shard.prefix], args

        for some in self._portions(latest):
            calls = [call(shard, people) for shard, people in some]
            async with AnswerWithin(DEADLINE_S, IndexUnavailable):
                if None in await self._library.call_many("index_put", calls):
                    raise IndexUnavailable("another number of shards is counted")

    async def remove(self, people: Collection[UUID]) -> None:
        await self._each("index_remove", people)

    async def draw(
        self, *, language: str, tier: Tier, count: int, excluded: Collection[UUID], now: float, lease_until: float
    ) -> list[UUID]:
        async with AnswerWithin(DEADLINE_S, IndexUnavailable):
            return await self._drawing.draw(Wish(language, tier, excluded, now, lease_until), count)

    async def confirm(self, people: Collection[UUID], *, asked_at: float, until: float) -> None:
        await self._each("index_confirm", people, asked_at, until)

    async def release(self, people: Collection[UUID], *, at: float, now: float) -> None:
        await self._each("index_release", people, at, now)

    async def hold(self, people: Collection[UUID], until: float) -> None:
        await self._each("index_hold", people, until)

    async def sweep(self, now: float, limit: int) -> Swept:
        woken: list[UUID] = []
        stale: list[UUID] = []
        busy, left, answered = random.sample(self._all, len(self._all)), limit, False
        while busy and left > 0:
            share = min(left, max(SWEEP_LEAST, TOGETHER // len(busy)))
            some, busy = busy[: left // share], busy[left // share :]
            async with AnswerWithin(DEADLINE_S, IndexUnavailable):
                found = await self._ask("index_sweep", {shard: (now, share, now + STALE_AGAIN_S) for shard in some})
            answered = answered or bool(found)
            woken += [person_id for ids, _ in found.values() for person_id in _ids(ids)]
            stale += [person_id for _, ids in found.values() for person_id in _ids(ids)]
            busy += [shard for shard, both in found.items() if max(map(len, both)) >= share]
            left = limit - max(len(woken), len(stale))
        if not answered:
            raise IndexUnavailable("not rebuilt yet")
        return Swept(tuple(woken), tuple(stale))

    async def counts(self) -> dict[tuple[str, Tier], int]:
        async with AnswerWithin(DEADLINE_S, IndexUnavailable):
            replies = await self._ask("index_counts", dict.fromkeys(self._all, ()))
        if len(replies) < len(self._all):
            raise IndexUnavailable("not rebuilt yet")
        totals: dict[tuple[str, Tier], int] = {}
        for reply in replies.values():
            found = iter(reply)
            for language, *numbers in zip(found, *[found] * len(Tier), strict=True):
                for tier, number in zip(Tier, numbers, strict=True):
                    key = (language.decode(), tier)
                    totals[key] = totals.get(key, 0) + number
        return {key: number for key, number in totals.items() if number}

    async def _ask(self, name: str, asked: Mapping[Shard, Sequence[Argument]]) -> dict[Shard, Any]:
        """Call a function that answers only where the index is complete; the replies of the shards that do."""
        calls = [([shard.prefix], [self._shards.count, *args]) for shard, args in asked.items()]
        replies = dict(zip(asked, await self._library.call_each(name, calls), strict=True))
        for reply in replies.values():
            if isinstance(reply, Exception) and not is_unavailable(reply):
                raise reply
        return {s: reply for s, reply in replies.items() if reply is not None and not isinstance(reply, Exception)}

    async def _each(self, name: str, people: Collection[UUID], *args: float) -> None:
        """Call a function that ends in a list of ids, for people of all shards."""
        for some in self._portions(people):
            calls: list[Call] = [([shard.prefix], [*args, *(one.bytes for one in people)]) for shard, people in some]
            async with AnswerWithin(DEADLINE_S, IndexUnavailable):
                await self._library.call_many(name, calls)

    def _portions(self, people: Collection[UUID]) -> Iterator[list[tuple[Shard, Sequence[UUID]]]]:
        """People by shard, in calls of bounded size, as many of these as may travel together."""
        together: list[tuple[Shard, Sequence[UUID]]] = []
        count = 0
        for shard, members in self._shards.split(people).items():
            for at in range(0, len(members), CHUNK):
                chunk = members[at : at + CHUNK]
                if together and count + len(chunk) > TOGETHER:
                    yield together
                    together, count = [], 0
                together.append((shard, chunk))
                count += len(chunk)
        if together:
            yield together


def _ids(packed: Iterable[bytes]) -> list[UUID]:
    return [UUID(bytes=raw) for raw in packed]
