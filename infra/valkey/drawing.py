"""Draws people from all shards of the index as if it were one."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from operator import itemgetter
from typing import Any, Protocol
from uuid import UUID

from infra.valkey.keys import Shard, Shards
from infra.valkey.multiplexer import Argument
from matching.model import Tier
from matching.ports import IndexUnavailable

SLACK, SLACK_LEAST = 200, 20
"""Entries a step may find and put away (their window ended since the last sweep) beyond those wanted and excluded: in
all shards together, but at least so many in each."""
ROUNDS = 10
"""Steps of one draw while thousands of windows have ended since the last sweep."""
FEW = 4
"""Shards, at random, that a common language is drawn from."""
COMMON = 50
"""A language is common when so many of its speakers may be asked now in the average shard."""


class Ask(Protocol):
    async def __call__(self, name: str, asked: Mapping[Shard, Sequence[Argument]]) -> dict[Shard, Any]:
        """The function's replies, without those of shards that cannot answer now."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which people are wanted, from when, and until when they are kept."""

    language: str
    tier: Tier
    excluded: Collection[UUID]
    now: float
    lease_until: float


_Turn = tuple[float, bytes]
"""When it is somebody's turn, and their id: the order of a ready set."""


def _told(ids: bytes, turns: bytes) -> list[_Turn]:
    """What `lua/_index.lua` `index_told` packed."""
    count = len(ids) // 16
    return list(zip(struct.unpack(f">{count}d", turns), (ids[16 * n : 16 * n + 16] for n in range(count)), strict=True))


class Drawing:
    """Remembers which languages are common; one for each index."""

    def __init__(self, shards: Shards, ask: Ask) -> None:
        self._shards = shards
        self._all = shards.all()
        self._ask = ask
        self._common: set[tuple[str, Tier]] = set()

    async def draw(self, wish: Wish, count: int) -> list[UUID]:
        """Up to `count` people, lowest turn first; fewer only if there are no more, which all shards have to say.

        A common language is drawn from a few shards at random: the head of each has waited about as long. Else all are
        asked whom they have, in one step, and those whose turn it is are taken. Raises `IndexUnavailable`.
        """
        if count < 1:
            return []
        one = _One(wish, self._shards, self._ask)
        kind = (wish.language, wish.tier)
        if len(self._all) == 1:
            return await one.straight(count)
        if kind in self._common:
            await one.from_some(random.sample(self._all, min(FEW, len(self._all))), count)
            self._common.discard(kind)
        ready = await one.in_turn(count)
        if ready is None or ready >= COMMON * len(self._all):
            self._common.add(kind)
        return one.people()


class _One:
    """One draw, and whom it has taken so far."""

    def __init__(self, wish: Wish, shards: Shards, ask: Ask) -> None:
        self._wish = wish
        self._all = shards.all()
        self._ask = ask
        self._taken: list[_Turn] = []
        self._excluded = {
            shard: b"".join(person_id.bytes for person_id in some)
            for shard, some in shards.split(wish.excluded).items()
        }

    def people(self) -> list[UUID]:
        return [UUID(bytes=one) for _, one in sorted(self._taken)]

    async def straight(self, count: int) -> list[UUID]:
        """From the only shard there is."""
        for _ in range(ROUNDS):
            more = await self._take({self._all[0]: count - len(self._taken)})
            if more is None:
                raise IndexUnavailable("not rebuilt yet")
            if not more:
                break
        return self.people()

    async def from_some(self, some: Sequence[Shard], count: int) -> None:
        """Take from the heads of these shards, as many from each."""
        await self._take(
            {shard: count // len(some) + (number < count % len(some)) for number, shard in enumerate(some)}
        )

    async def in_turn(self, count: int) -> int | None:
        """Take those whose turn it is among all shards until there are enough.

        Gives how many may be asked altogether, None when nobody had to be looked for. Raises `IndexUnavailable` when
        there are too few and a shard did not answer.
        """
        ready: int | None = None
        for _ in range(ROUNDS):
            wanted = count - len(self._taken)
            if wanted < 1:
                break
            replies = await self._ask(
                "index_peek", {shard: self._walk(shard, wanted, len(self._all)) for shard in self._all}
            )
            ready = sum(size for _, _, _, size in replies.values())
            heads = [(turn, shard) for shard, (*told, _, _) in replies.items() for turn in _told(*told)]
            await self._take(Counter(shard for _, shard in nsmallest(wanted, heads, key=itemgetter(0))))
            if len(heads) < wanted and len(replies) < len(self._all):
                raise IndexUnavailable("not rebuilt yet")
            if not heads and not any(more for _, _, more, _ in replies.values()):
                break
        return ready

    async def _take(self, shares: Mapping[Shard, int]) -> bool | None:
        """So many from the head of each; whether some may have more than they gave, None when none answers."""
        wanted = {shard: share for shard, share in shares.items() if share}
        asked = {
            shard: [*self._walk(shard, share, len(wanted)), self._wish.lease_until] for shard, share in wanted.items()
        }
        replies = await self._ask("index_draw", asked) if asked else {}
        self._taken += [turn for *told, _ in replies.values() for turn in _told(*told)]
        return any(more for _, _, more in replies.values()) if replies else None

    def _walk(self, shard: Shard, count: int, shards: int) -> list[Argument]:
        """ARGV of `index_draw` and `index_peek`, after the number of shards."""
        kept_out = self._excluded.get(shard, b"")
        slack = max(SLACK_LEAST, SLACK // shards)
        return [self._wish.language, self._wish.tier.value, self._wish.now, count, kept_out, slack]
