"""A volunteer index for many people: who may be asked in lists kept in turn, whose moment will come in heaps.

It does what `infra.memory.index` does, which looks at everybody each time; a test holds the two together.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from random import Random
from uuid import UUID

from infra.memory.index import TOLD_AGAIN_S
from matching.model import Listing, Tier
from matching.ports import Swept
from matching.turns import turn

_Place = tuple[float, int]
"""In turn: by `matching.turns`, and the id. In a heap: when, and the id."""


@dataclass(eq=False)
class Entry:
    """One person: what was put, what was decided since, and where they are."""

    listing: Listing
    not_before: float
    last_asked_at: float
    wake_at: float | None = inf
    """None: in ready."""
    turn: _Place | None = None
    """Their place in the ready lists they are in."""

    @property
    def ready_at(self) -> float:
        return self.listing.ready_at(self.not_before)

    def window_over(self, now: float) -> bool:
        return self.listing.window_over(now)


class TurnIndex:
    """Implements `matching.ports.VolunteerIndex`; complete from the beginning, and never wiped."""

    def __init__(self) -> None:
        self._people: dict[int, Entry] = {}
        self._ready: dict[tuple[str, Tier], list[_Place]] = {}
        # Both may hold people who have moved on since; they are passed over.
        self._wakes: list[_Place] = []
        self._closes: list[_Place] = []

    async def put(self, listings: Sequence[Listing], now: float) -> None:
        for listing in listings:
            await self.remove([listing.person_id])
            entry = Entry(listing, listing.not_before, listing.last_asked_at)
            self._people[listing.person_id.int] = entry
            self._place(entry, now)

    async def restore(self, listings: Sequence[Listing], now: float) -> None:
        await self.put([one for one in listings if one.person_id.int not in self._people], now)

    async def remove(self, people: Collection[UUID]) -> None:
        for person_id in people:
            entry = self._people.pop(person_id.int, None)
            if entry is not None:
                self._leave_ready(entry)

    async def draw(
        self, *, language: str, tier: Tier, count: int, excluded: Collection[UUID], now: float, lease_until: float
    ) -> list[UUID]:
        drawn: list[Entry] = []
        closed: list[Entry] = []
        for entry in self._in_turn(language, tier):
            if len(drawn) == count:
                break
            if entry.listing.person_id not in excluded:
                (closed if entry.window_over(now) else drawn).append(entry)
        for entry in closed:
            self._wake_at(entry, now)
        for entry in drawn:
            self._wake_at(entry, lease_until)
        return [entry.listing.person_id for entry in drawn]

    async def confirm(self, people: Collection[UUID], *, asked_at: float, until: float) -> None:
        for entry in self._known(people):
            entry.last_asked_at = max(entry.last_asked_at, asked_at)
            entry.not_before = max(entry.not_before, until)
            self._wake_at(entry, entry.ready_at)

    async def release(self, people: Collection[UUID], *, at: float, now: float) -> None:
        for entry in self._known(people):
            entry.not_before = at
            self._place(entry, now)

    async def hold(self, people: Collection[UUID], until: float) -> None:
        for entry in self._known(people):
            entry.not_before = until
            self._wake_at(entry, entry.ready_at)

    async def sweep(self, now: float, limit: int) -> Swept:
        woken: list[UUID] = []
        stale: list[UUID] = []
        for entry in list(self._due(self._wakes, now, limit, lambda entry, at: entry.wake_at == at)):
            if entry.ready_at <= now and entry.window_over(now):
                stale.append(entry.listing.person_id)
                self._wake_at(entry, now + TOLD_AGAIN_S)
            elif self._place(entry, now):
                woken.append(entry.listing.person_id)
        closing = self._due(
            self._closes, now, limit, lambda entry, at: entry.wake_at is None and entry.window_over(now)
        )
        for entry in list(closing):
            stale.append(entry.listing.person_id)
            self._wake_at(entry, now + TOLD_AGAIN_S)
        return Swept(tuple(woken), tuple(stale))

    def somebody_free(self, language: str, excluded: Collection[UUID]) -> bool:
        """Whether anybody else could be asked now."""
        turns = (one for tier in Tier for one in self._in_turn(language, tier))
        return any(entry.listing.person_id not in excluded for entry in turns)

    async def counts(self) -> dict[tuple[str, Tier], int]:
        return {key: len(turns) for key, turns in self._ready.items() if turns}

    # -- within -------------------------------------------------------------------------------------------------------

    def _in_turn(self, language: str, tier: Tier) -> Iterator[Entry]:
        return map(self._entry, self._ready.get((language, tier), ()))

    def _entry(self, place: _Place) -> Entry:
        return self._people[place[1]]

    def _known(self, people: Collection[UUID]) -> list[Entry]:
        return [self._people[person_id.int] for person_id in people if person_id.int in self._people]

    def _place(self, entry: Entry, now: float) -> bool:
        """Put them where they belong at `now`; True when that is ready."""
        if entry.ready_at > now or entry.window_over(now):
            self._wake_at(entry, entry.ready_at)
            return False
        self._leave_ready(entry)
        listing = entry.listing
        entry.wake_at = None
        entry.turn = (turn(entry.last_asked_at, listing.newcomer), listing.person_id.int)
        for language in listing.languages:
            insort(self._ready.setdefault((language, listing.tier), []), entry.turn)
        if listing.tier is not Tier.HOT and listing.closes_at is not None:
            heapq.heappush(self._closes, (listing.closes_at, listing.person_id.int))
        return True

    def _wake_at(self, entry: Entry, at: float) -> None:
        self._leave_ready(entry)
        entry.wake_at = at
        if at < inf:
            heapq.heappush(self._wakes, (at, entry.listing.person_id.int))

    def _leave_ready(self, entry: Entry) -> None:
        if entry.turn is not None:
            for language in entry.listing.languages:
                turns = self._ready[language, entry.listing.tier]
                del turns[bisect_left(turns, entry.turn)]
            entry.turn = None

    def _due(
        self, heap: list[_Place], now: float, limit: int, still: Callable[[Entry, float], bool]
    ) -> Iterable[Entry]:
        """At most so many whose moment has come, earliest first, without those who have moved on."""
        found: dict[int, Entry] = {}
        while heap and heap[0][0] <= now and len(found) < limit:
            at, number = heapq.heappop(heap)
            entry = self._people.get(number)
            if entry is not None and still(entry, at):
                found[number] = entry
        return found.values()


class RandomIndex(TurnIndex):
    """Draws at random among those who may be asked, whose turn it may be or not."""

    def __init__(self, dice: Random) -> None:
        super().__init__()
        self._dice = dice

    def _in_turn(self, language: str, tier: Tier) -> Iterator[Entry]:
        turns = self._ready.get((language, tier), [])
        moved: dict[int, int] = {}  # A shuffle, only as far as it is looked at.
        for place in range(len(turns)):
            chosen = self._dice.randrange(place, len(turns))
            yield self._entry(turns[moved.get(chosen, chosen)])
            moved[chosen] = moved.get(place, place)


class LongestIdleIndex(TurnIndex):
    """Whose last call is the longest ago comes first, however often they were asked since, as in call centres."""

    def __init__(self) -> None:
        super().__init__()
        self._idle_since: dict[UUID, float] = {}

    async def put(self, listings: Sequence[Listing], now: float) -> None:
        for listing in listings:
            self._idle_since.setdefault(listing.person_id, listing.last_asked_at)
        idle = [(one, self._idle_since[one.person_id]) for one in listings]
        await super().put([replace(one, last_asked_at=since, newcomer=False) for one, since in idle], now)

    async def confirm(self, people: Collection[UUID], *, asked_at: float, until: float) -> None:
        await super().confirm(people, asked_at=0.0, until=until)

    async def hold(self, people: Collection[UUID], until: float) -> None:
        """Only who has a call is held."""
        for entry in self._known(people):
            entry.last_asked_at = self._idle_since[entry.listing.person_id] = until
        await super().hold(people, until)
